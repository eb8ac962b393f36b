"""A runner's process that is made ready in advance, told what to do, and killed: by the wire, a signal, or strace."""

import json
import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KILLED = -9
PATIENCE = 120

# The real command. What it needs is imported while nobody waits for it.
COMMAND = """
import json, os, sys
import dashboard.cli.main, dashboard.cli.migrate, dashboard.services.apply
from dashboard.core.safety import review
from dashboard.__main__ import main
told = json.loads(sys.stdin.readline())
os.environ.update(told["variables"])
os.chdir(told["folder"])
sys.argv = ["rung", *told["words"]]
main()
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What a victim printed on both its channels, and its exit code; `KILLED` where it did not get to one."""

    code: int
    text: str


class Victim:
    """`rung`, waiting for its words. prefix: a program that starts it, such as strace."""

    def __init__(self, prefix: Sequence[str] = (), program: str = COMMAND) -> None:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "DATABASE_URL"))}
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", program],
            env={**variables, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def tell(self, folder: Path, *words: str, **variables: str) -> None:
        """Go; does not wait."""
        assert self.process.stdin
        told = {"folder": str(folder), "words": words, "variables": variables}
        self.process.stdin.write(json.dumps(told) + "\n")
        self.process.stdin.flush()

    def said(self, patience: float = PATIENCE) -> Said:
        """Wait for its end."""
        text, _ = self.process.communicate(timeout=patience)
        return Said(self.process.returncode, text)

    def kill(self) -> None:
        self.process.kill()

    def dismiss(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def ready(make: Callable[[], Victim], number: int = 3) -> Iterator[Iterator[Victim]]:
    """Victims one after the other; so many are being made ready meanwhile. What is left over is dismissed."""
    waiting: deque[Victim] = deque()

    def take() -> Iterator[Victim]:
        while True:
            while len(waiting) < number:
                waiting.append(make())
            yield waiting.popleft()

    try:
        yield take()
    finally:
        for victim in waiting:
            victim.dismiss()


def killed_at(call: str, number: int) -> Victim:
    """One that the kernel kills as it enters its n-th system call of a kind; strace counts, the product knows nothing."""
    strace = shutil.which("strace")
    assert strace
    words = ("-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}")
    return Victim((strace, *words))
