"""One fresh apply, timed inside a process of its own: the clock starts when the interpreter has imported everything."""

import gc
import os
import sys
import time
from pathlib import Path

from bench.ground import VARIABLE, environment
from dashboard.core.environment import Secret
from dashboard.core.migration import SIZE_LIMIT, Migration, read_migration
from dashboard.core.run import Actor, ActorKind, Door, Order, Outcome
from dashboard.core.safety.review import review
from dashboard.folder import read_folder
from dashboard.services.apply import apply


def main() -> int:
    """Apply the folder named on the command line and print the seconds."""
    _import_what_is_imported_late()
    folder = Path(sys.argv[1])
    target = environment(Secret(os.environ[VARIABLE]))
    order = Order(Actor(ActorKind.PERSON, "bench", Door.CLI))
    gc.disable()  # as the command does
    started = time.perf_counter()
    result = apply(target, lambda: read_folder(folder, SIZE_LIMIT), order)
    seconds = time.perf_counter() - started
    if result.outcome is not Outcome.APPLIED:
        print(result.outcome, result.problem)
        return 1
    print(seconds)
    return 0


def _import_what_is_imported_late() -> None:
    small = read_migration("1_warm_up.sql", b"SELECT 1")
    if isinstance(small, Migration):
        review([small])


if __name__ == "__main__":
    sys.exit(main())
