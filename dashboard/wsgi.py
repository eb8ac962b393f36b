"""gunicorn's entry; nothing but wiring. `rung serve` starts it, and names the configuration in $RUNG_CONFIG."""

import gc
import os
import sys
from pathlib import Path

from dashboard.bootstrap import build, refuse_unsafe
from dashboard.core.errors import ConfigurationError
from dashboard.log import set_up
from dashboard.settings import load
from dashboard.web import create_app

_config = os.environ.get("RUNG_CONFIG")

_HALT = 4  # gunicorn's own code for an application that cannot be loaded: it ends, and starts no other worker

set_up()
try:
    settings = load(os.environ, start=Path.cwd(), config=Path(_config) if _config else None)
    refuse_unsafe(settings, pages=True)
except ConfigurationError as wrong:
    sys.stderr.write(f"rung: {wrong}\n{wrong.advice}\n")
    sys.exit(_HALT)
app = create_app(build(settings))

# Modules and templates stay for good. To look through them for rubbish again and again holds up requests, at times by
# 80 ms; a page leaves hardly any behind.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 20)
