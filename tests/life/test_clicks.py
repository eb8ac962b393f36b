"""Many people at once: one run of it, and nobody is turned away."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.life.conftest import FIRST, do, let_in, until
from tests.life.people import Person
from tests.life.render import HOST, Render


@pytest.mark.parametrize("clicks", [8, pytest.param(50, marks=pytest.mark.slow)])
def test_everybody_who_clicks_at_once_gets_the_same_run(render: Render, clicks: int) -> None:
    checkout = render.checkout("first", FIRST | {"002_b.sql": "SELECT pg_sleep(1); CREATE TABLE b (id bigint);"})
    assert render.deploy(checkout).ended == "live"
    render.deploy_worker(checkout)
    lead = let_in(render, checkout)
    button = lead.button("staging")
    everybody = [Person(render.front.port, HOST, dict(lead.cookies)) for _ in range(clicks)]
    with ThreadPoolExecutor(clicks) as pool:
        runs = set(pool.map(lambda person: person.click("staging", button), everybody))
    assert len(runs) == 1, runs
    until(lambda: "Applied 2 files" in lead.get(runs.copy().pop()).text)
    assert do(render.home, "SELECT count(*) FROM home.run") == [(1,)]
    assert do(render.home, "SELECT count(*) FROM home.audit WHERE deed = 'run asked for'") == [(1,)]
    target = render.given["STAGING_DATABASE_URL"]
    assert do(target, "SELECT filename FROM rung.history WHERE event = 'applied' ORDER BY id") == [
        ("001_a.sql",),
        ("002_b.sql",),
    ]
