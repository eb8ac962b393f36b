"""Two hundred people watch one run: nobody is turned away, other pages stay quick, home is not overrun."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.life.conftest import do, let_in
from tests.life.render import Render

FILES = {f"{n:03}_t.sql": f"CREATE TABLE t{n} (id bigint);\nSELECT pg_sleep(0.3);" for n in range(1, 60)}
WATCHERS = 200
MOST = 8 + 8 + 8 + 2  # sessions in home: those of the pages, of the worker's runs, of its queue; its ear, and our look


@pytest.mark.slow
def test_many_watch_one_run_and_other_pages_stay_quick(render: Render) -> None:
    checkout = render.checkout("first", FILES)
    assert render.deploy(checkout).ended == "live"
    assert render.web
    render.deploy_worker(checkout)
    lead = let_in(render, checkout)
    run = lead.click("staging", lead.button("staging"))
    cookie = "; ".join(f"{name}={value}" for name, value in lead.cookies.items())
    words = ("-m", "bench.crowd", str(render.web.port), cookie, f"/fragments{run}", "--host", lead.host)
    size = ("--watchers", str(WATCHERS), "--seconds", "8")
    crowd = subprocess.Popen(
        [sys.executable, *words, *size], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
    )
    most = 0
    while crowd.poll() is None:
        most = max(most, _connections(render))
    told = json.loads(crowd.communicate()[0])
    assert told["errors"] == []
    assert len(told["watched"]) > WATCHERS
    assert most <= MOST
    assert lead.get(run).text.count("applied</span>") > 0
    quick = statistics.quantiles(told["read"], n=20)[18]
    assert quick < 1, "0.1 s on a quiet machine; make bench holds it to that"


def _connections(render: Render) -> int:
    ((number,),) = do(render.home, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    assert isinstance(number, int)
    return number
