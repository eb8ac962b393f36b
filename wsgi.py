"""gunicorn's entry; nothing but wiring."""

import os
from pathlib import Path

from dashboard.settings import load

from dashboard.bootstrap import build
from dashboard.web import create_app

app = create_app(build(load(os.environ, start=Path.cwd())))  # noqa: TID251  # the one place beside the command line
