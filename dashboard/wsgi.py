"""gunicorn's entry; nothing but wiring. `rung serve` starts it, and names the configuration in $RUNG_CONFIG."""

import gc
import os
from pathlib import Path

from dashboard.bootstrap import build
from dashboard.log import set_up
from dashboard.settings import load
from dashboard.web import create_app

_config = os.environ.get("RUNG_CONFIG")

set_up()
app = create_app(build(load(os.environ, start=Path.cwd(), config=Path(_config) if _config else None)))

# Modules and templates stay for good. To look through them for rubbish again and again holds up requests, at times by
# 80 ms; a page leaves hardly any behind.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 20)
