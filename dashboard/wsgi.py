"""gunicorn's entry; nothing but wiring. `rung serve` starts it, and names the configuration in $RUNG_CONFIG."""

import os
from pathlib import Path

from dashboard.bootstrap import build
from dashboard.log import set_up
from dashboard.settings import load
from dashboard.web import create_app

_config = os.environ.get("RUNG_CONFIG")

set_up()
app = create_app(build(load(os.environ, start=Path.cwd(), config=Path(_config) if _config else None)))
