"""`python -m bench`: measure, print the table, and with --check say by the exit code whether every bound is kept."""

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Sequence

import psycopg

from bench import ground, table
from bench.rows import ROWS


def main(words: Sequence[str] | None = None) -> int:
    """Exit codes: 0 measured; 1 a bound is not kept, and --check was given."""
    chosen = _arguments().parse_args(words)
    sizes = ground.QUICK if chosen.quick else ground.FULL
    settings = ground.DURABLE if chosen.durable else ground.NOT_DURABLE
    with ground.opened(sizes, settings) as prepared:
        about = _about(prepared, durable=chosen.durable)
        groups = []
        for name in chosen.only or ROWS:
            print(f"measuring {name} …", file=sys.stderr)
            groups.append(ROWS[name](prepared))
    about.append(f"load average {_load()} afterwards")
    print(json.dumps(table.as_json(about, groups), indent=2) if chosen.json else table.as_text(about, groups))
    return int(chosen.check and any(group.over for group in groups))


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="How fast Rung is. See docs/performance.md.")
    parser.add_argument("--only", action="append", choices=ROWS, metavar="NAME", help=f"one of: {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds; the same files")
    parser.add_argument("--durable", action="store_true", help="the server waits for the disk, as in production")
    parser.add_argument("--check", action="store_true", help="exit 1 when a bound is not kept")
    parser.add_argument("--json", action="store_true", help="every sample, as JSON")
    return parser


def _about(prepared: ground.Ground, *, durable: bool) -> list[str]:
    with psycopg.connect(prepared.server.url("postgres").reveal()) as connection:
        version = connection.info.parameter_status("server_version")
    return [
        f"Python {platform.python_version()}, PostgreSQL {version}, {os.cpu_count()} processors, {platform.machine()}",
        f"the server {'waits' if durable else 'does not wait'} for the disk; all take turns, first turns do not count",
        f"load average {_load()} before",
    ]


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped
    sys.exit(main())
