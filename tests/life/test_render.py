"""A deploy on Render, from the commands of `render.yaml` itself: nobody notices a good one, a bad one changes nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.life.conftest import FIRST, do, let_in, until
from tests.life.people import Person
from tests.life.render import HOST, Instance, Render

GATED = "DO $$ BEGIN WHILE EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.05); END LOOP; END $$; CREATE TABLE b (id bigint);"


@contextmanager
def looking_all_the_time(person: Person, *paths: str) -> Iterator[list[int]]:
    """Somebody who reloads these pages without a pause; what every answer was."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for path in paths:
                try:
                    seen.append(person.get(path).status)
                except OSError:
                    seen.append(0)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield seen
    finally:
        over.set()
        looker.join()


def test_a_deploy_in_the_middle_of_a_run_is_noticed_by_nobody(render: Render) -> None:
    staging = render.given["STAGING_DATABASE_URL"]
    do(staging, "CREATE TABLE gate (id bigint)", "INSERT INTO gate VALUES (1)")
    first = render.checkout("first", FIRST | {"002_gated.sql": GATED})
    assert render.deploy(first).ended == "live"
    render.deploy_worker(first)
    lead = let_in(render, first)
    button = lead.button("staging")
    run = lead.click("staging", button)
    until(
        lambda: do(
            staging,
            "SELECT pid FROM pg_stat_activity WHERE query LIKE '%FROM gate%' AND state = 'active' AND pid <> pg_backend_pid()",
        )
    )

    def both_answer(old: Instance, new: Instance) -> None:
        for instance in (old, new):
            beside = Person(instance.port, HOST, dict(lead.cookies))
            assert beside.click("staging", button) == run, "two instances, one run"

    second = render.checkout("second", FIRST | {"002_gated.sql": GATED, "003_c.sql": "CREATE TABLE c (id bigint);"})
    with looking_all_the_time(lead, "/", run, f"/fragments{run}?seen=") as seen:
        deployed = render.deploy(second, meanwhile=both_answer)
        opener = threading.Timer(0.5, do, (staging, "DELETE FROM gate"))
        opener.start()
        render.deploy_worker(second)
        opener.join()
        until(lambda: "Applied 2 files" in lead.get(run).text)
    assert deployed.ended == "live", deployed.said
    assert set(seen) == {200}
    assert do(staging, "SELECT filename FROM _migrations_applied ORDER BY 1") == [("001_a.sql",), ("002_gated.sql",)]
    assert "003_c.sql" in lead.get("/").text


def test_a_deploy_that_fails_leaves_the_old_instance_serving(render: Render) -> None:
    """Before the deploy, at the start of the new instance, and where that instance never becomes healthy."""
    good = render.checkout("good", FIRST)
    assert render.deploy(good).ended == "live"
    old = render.web
    lead = let_in(render, good)
    broken = render.checkout("broken", FIRST)
    (broken / "rung.toml").write_text("[environments.staging]\nurk = 1\n")
    nowhere = {"RUNG_HOME_URL": "postgresql://rung:c4n4ry@127.0.0.1:1/rung"}
    with looking_all_the_time(lead, "/", "/environments/staging") as seen:
        refused = [
            render.deploy(good, changed=nowhere),
            render.deploy(broken),
            render.deploy(good, changed={"RUNG_CONFIG": str(broken / "rung.toml")}),
        ]
    assert [one.ended for one in refused] == ["pre-deploy"] * 3
    assert "nothing listens at 127.0.0.1:1" in refused[0].said
    assert "urk" in refused[1].said
    assert not [one for one in refused if "c4n4ry" in one.said or "Traceback" in one.said]
    assert set(seen) == {200}
    assert render.web is old


@pytest.mark.slow
def test_an_instance_that_never_becomes_healthy_is_not_switched_to(render: Render) -> None:
    good = render.checkout("good", FIRST)
    assert render.deploy(good).ended == "live"
    old = render.web
    lead = let_in(render, good)
    with looking_all_the_time(lead, "/") as seen:
        sick = render.deploy(good, changed={"PORT": str(render.front.port)})
    assert sick.ended == "health"
    assert "ended by itself" in sick.said
    assert set(seen) == {200}
    assert render.web is old
