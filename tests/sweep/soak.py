"""The soak: runners killed at random moments, two at a time, sessions ended under them; `make soak` runs it.

A seed says what is done; how far a runner gets until then is the machine's affair.
"""

import argparse
import contextlib
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from dashboard.core.environment import Environment
from dashboard.core.migration import Folder
from dashboard.core.resolving import Decision
from dashboard.core.run import Outcome
from dashboard.postgres import embedded
from dashboard.postgres.embedded import EmbeddedServer
from dashboard.services.apply import apply
from tests.oracle import LOG, ORDER, ask, assert_consistent, assert_nothing_half, folder_of, ledger, noted
from tests.sweep.resolving import settled
from tests.sweep.victim import KILLED, Victim, ready

DURABLE_IS_NOT_NEEDED = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
GROUND = ("000_log.sql", LOG + noted("000_log.sql") + "CREATE TABLE t AS SELECT generate_series(1, 2000) AS id;\n")
ENDS = {  # what else befalls a run: which of its sessions, and how
    "the file's session ended": ("rung work", "pg_terminate_backend"),
    "the lock's session ended": ("rung control", "pg_terminate_backend"),
    "the statement cancelled": ("rung work", "pg_cancel_backend"),
}


@dataclass
class Soak:
    """One soak, on one server. `counted`: what was done so far, by name."""

    server: EmbeddedServer
    victims: Iterator[Victim]
    dice: random.Random
    scratch: Path
    counted: Counter[str] = field(default_factory=Counter)
    decided: Counter[Decision] = field(default_factory=Counter)

    def round(self, number: int) -> None:
        """One database: a few runs that are disturbed, and one that is not. Raises AssertionError."""
        files = self._files()
        path = self.scratch / str(number)
        path.mkdir()
        for name, text in files:
            (path / name).write_text(text)
        self.server.create_database(f"soak_{number}", "template0")
        environment = Environment("local", 0, self.server.url(f"soak_{number}"))
        for _ in range(self.dice.randint(1, 5)):
            said = self._disturbed(environment, path)
            assert_nothing_half(environment, piecemeal=_half_done(environment, files), said=said)
        finish(environment, folder_of(*files), self.decided)
        assert_consistent(environment, [name for name, _ in files])
        self.server.drop_database(f"soak_{number}")

    def _files(self) -> tuple[tuple[str, str], ...]:
        """1 to 20 files, small and big, quick and slow, some with a frame of their own."""
        names = [f"{number:03}_file.sql" for number in range(1, self.dice.randint(1, 20))]
        return (GROUND, *((name, self.dice.choice(KINDS)(self.dice, name)) for name in names))

    def _disturbed(self, environment: Environment, path: Path) -> str:
        """One or two runners at once, and what befalls them; all that they said."""
        assert environment.url
        runners = [next(self.victims) for _ in range(self.dice.choice((1, 1, 2)))]
        for runner in runners:
            runner.tell(path, "migrate", "--dir", ".", "--lock-wait", "30", DATABASE_URL=environment.url.reveal())
        began = time.monotonic()
        for after, what in sorted((self.dice.uniform(0, 0.8), what) for what in self._fates(len(runners))):
            time.sleep(max(0.0, began + after - time.monotonic()))
            self._befall(environment, runners, what)
        ended = [runner.said() for runner in runners]
        self.counted["kills"] += sum(one.code == KILLED for one in ended)
        for one in ended:
            assert one.code in (KILLED, 0, 1, 3, 4), one  # 3: half done before; 4: its session was ended
            assert "Traceback" not in one.text, one
        return "".join(one.text for one in ended)

    def _fates(self, runners: int) -> list[str]:
        killed = [str(number) for number in range(runners) if self.dice.random() < 0.85]
        return killed + [what for what in ENDS if self.dice.random() < 0.2]

    def _befall(self, environment: Environment, runners: list[Victim], what: str) -> None:
        if what.isdigit():
            runners[int(what)].kill()
            return
        name, deed = ENDS[what]
        of_ours = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
        until = time.monotonic() + 0.3
        while not (found := ask(environment, f"SELECT {deed}(pid) {of_ours}", name)) and time.monotonic() < until:
            time.sleep(0.01)
        self.counted[what] += len(found)


def _half_done(environment: Environment, files: tuple[tuple[str, str], ...]) -> str:
    """The file that may be half in: the first one that is not in the ledger, if it cannot run in a transaction."""
    done = ledger(environment)
    return next((name for name, text in files if name not in done and "CONCURRENTLY" in text), "")


def _small(dice: random.Random, name: str) -> str:
    return noted(name)


def _framed(dice: random.Random, name: str) -> str:
    return f"BEGIN;\n{noted(name)}CREATE TABLE made_by_{name[:3]} (id int);\nCOMMIT;\n"


def _slow(dice: random.Random, name: str) -> str:
    return f"{noted(name)}SELECT pg_sleep({dice.uniform(0.01, 0.3):.2f});\n"


def _big(dice: random.Random, name: str) -> str:
    rows = "INSERT INTO t SELECT generate_series(1, 20);\n" * dice.randint(50, 1500)
    return f"{rows}{noted(name)}-- {'x' * dice.randint(0, 300_000)}\n"


def _piecemeal(dice: random.Random, name: str) -> str:
    index = f"CREATE INDEX CONCURRENTLY ix_{name[:3]} ON t (id);\n"
    statements = [noted(name), index, "VACUUM t;\n", "SELECT pg_sleep(0.05);\n"]
    dice.shuffle(statements)
    return "".join(statements)


KINDS = (_small, _small, _framed, _slow, _big, _piecemeal)


def finish(environment: Environment, folder: Folder, decided: Counter[Decision]) -> None:
    """Run undisturbed; of several files that stopped half-way, one after the other is decided about."""
    order = replace(ORDER, lock_wait=60)
    result = None
    while result is None or result.outcome is Outcome.REFUSED:
        result = settled(environment, folder, lambda: apply(environment, lambda: folder, order), decided)
    assert result.outcome in (Outcome.APPLIED, Outcome.NOTHING), result.problem


def soak(server: EmbeddedServer, seed: int, kills: int, seconds: float, scratch: Path) -> Soak:
    """Rounds until so many kills or seconds are over. An AssertionError names seed and round."""
    dice, until = random.Random(seed), time.monotonic() + seconds  # noqa: S311  # dice, not a secret
    with ready(Victim, 4) as victims:
        running = Soak(server, victims, dice, scratch)
        while running.counted["kills"] < kills and time.monotonic() < until:
            running.counted["rounds"] += 1
            try:
                running.round(running.counted["rounds"])
            except AssertionError as wrong:
                wrong.add_note(f"seed {seed}, round {running.counted['rounds']}")
                raise
    return running


def main() -> int:
    """`make soak`."""
    asked = argparse.ArgumentParser(prog="soak", description=__doc__)
    asked.add_argument("--kills", type=int, default=200)
    asked.add_argument("--seconds", type=float, default=900)
    asked.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    given = asked.parse_args()
    print(f"RUNG soak: seed {given.seed}, at most {given.kills} kills or {given.seconds:.0f} s", flush=True)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = embedded.place(f"soak-{secrets.token_hex(4)}", scratch)
        stack.callback(embedded.remove, folder)
        soaked = soak(
            embedded.start(folder, settings=DURABLE_IS_NOT_NEEDED), given.seed, given.kills, given.seconds, scratch
        )
    others = [f"{soaked.counted[what]} x {what}" for what in ENDS]
    others += [f"{times} x decided: {decision}" for decision, times in soaked.decided.items()]
    print(f"{soaked.counted['rounds']} databases; {', '.join(others)}; {time.monotonic() - began:.0f} s")
    print(f"RUNG soak: {soaked.counted['kills']} kills, 0 divergences")
    return 0


if __name__ == "__main__":
    sys.exit(main())
