"""The log: one JSON line per event on standard error, for web and worker. Ours and our libraries' alike."""

import logging
import sys

import structlog

_FROM_LOGGING = (
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.CallsiteParameterAdder([structlog.processors.CallsiteParameter.PROCESS]),
    structlog.processors.format_exc_info,
)
_QUIET = {"procrastinate": logging.WARNING, "psycopg.pool": logging.ERROR}  # they tell what we tell anyway


def set_up(level: int = logging.INFO) -> None:
    """Send everything that is logged in this process to standard error, line by line. A second call changes nothing."""
    root = logging.getLogger()
    if any(isinstance(handler, _Handler) for handler in root.handlers):
        return
    handler = _Handler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_FROM_LOGGING,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("message"),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root.addHandler(handler)
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]  # generic for type checkers only
    """Ours, so that it can be found again."""
