"""The command `rung`."""

import contextlib
import gc
import os
import sys


def main() -> None:
    """Run the command line and end the process."""
    gc.disable()  # a command allocates little and ends soon; collecting while modules load costs a tenth of its time
    from dashboard.cli.main import rung

    code = rung()
    with contextlib.suppress(OSError):  # every line was flushed when it was said, and a fault was noticed then
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)  # taking the interpreter apart costs as much again as what the quick commands do


if __name__ == "__main__":
    main()
