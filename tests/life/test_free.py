"""The free plan: no pre-deploy, no worker, no shell; `docs/render.md` says what to write, and that is what runs here."""

import re
import sys
from pathlib import Path

from tests.life.conftest import FIRST, do
from tests.life.render import ROOT, WEB, Render

GUIDE = (ROOT / "docs" / "render.md").read_text()
COMMANDS = dict(re.findall(r"^    (preDeployCommand|startCommand): (rung .+)$", GUIDE, re.MULTILINE))
SERVER = f'{sys.executable} -c \'import http.server,os; http.server.test(http.server.SimpleHTTPRequestHandler,port=int(os.environ["PORT"]),bind="127.0.0.1")\''


def test_an_application_never_starts_on_a_database_that_is_behind(render: Render) -> None:
    app = WEB | {"startCommand": ".venv/bin/" + COMMANDS["startCommand"].replace("<your server>", SERVER)}
    production = render.given["PRODUCTION_DATABASE_URL"]
    good = _with_health(render.checkout("good", FIRST))
    old = render.boot(app, good)
    assert render.is_healthy(old, 20), old.said
    broken = _with_health(render.checkout("broken", FIRST | {"002_b.sql": "ALTER TABLE nowhere ADD COLUMN x int;"}))
    before = render.run(".venv/bin/" + COMMANDS["preDeployCommand"], broken)
    new = render.boot(app, broken)
    assert not render.is_healthy(new, 20)
    assert (before.returncode, new.process.wait(1)) == (1, 1)
    assert "002_b.sql:1" in new.said
    assert render.is_healthy(old, 5)
    mended = _with_health(render.checkout("mended", FIRST | {"002_b.sql": "ALTER TABLE a ADD COLUMN x int;"}))
    assert render.is_healthy(render.boot(app, mended), 20)
    assert do(production, "SELECT filename FROM _migrations_applied ORDER BY 1") == [("001_a.sql",), ("002_b.sql",)]


def _with_health(checkout: Path) -> Path:
    """What a file server answers to the health check."""
    (checkout / WEB["healthCheckPath"].strip("/")).write_text("ok")
    return checkout


def test_the_guide_names_what_the_blueprint_has() -> None:
    for service in ("web", "worker"):
        assert service in GUIDE
    assert WEB["startCommand"].removeprefix(".venv/bin/").removesuffix(" --no-worker") in GUIDE
