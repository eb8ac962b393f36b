"""Any story of adding, editing, renaming, applying, dying and losing the link: every file is in once, and in order."""

from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dashboard.core.environment import Environment, Policies, Policy
from dashboard.core.migration import Folder
from dashboard.core.run import Outcome
from dashboard.postgres import history
from dashboard.postgres.connect import connect
from dashboard.postgres.embedded import EmbeddedServer
from dashboard.services.apply import apply
from tests.oracle import LOG, ORDER, ask, assert_no_secret, folder_of, ledger, noted, wait_until
from tests.sweep.resolving import settled
from tests.sweep.victim import KILLED, killed_at
from tests.wire import Chunk, Cut, wire_to

_numbers = count(1)
KINDS = {
    "small": noted,
    "framed": lambda name: f"BEGIN;\n{noted(name)}COMMIT;\n",
    "piecemeal": lambda name: (
        f"{noted(name)}CREATE INDEX CONCURRENTLY ix_{name[:3]} ON public.log (entry);\nVACUUM public.log;\n"
    ),
}
ORDERS = replace(ORDER, lock_wait=30)


class Story(RuleBasedStateMachine):
    """One database and one folder.

    Attributes
    ----------
    files: name -> text, in order. effects: the names that the files' own statements wrote, each to be there once.
    known: the names that the ledger has to have. old: names that a renamed file had.

    """

    server: ClassVar[EmbeddedServer]

    @initialize()
    def begin(self) -> None:
        self.stack = ExitStack()
        name = f"story_{next(_numbers)}"
        self.server.create_database(name, "template0")
        self.stack.callback(self.server.drop_database, name)
        self.environment = Environment("local", 0, self.server.url(name))
        self.files = {"000_log.sql": LOG + noted("000_log.sql")}
        self.effects, self.known, self.number = dict.fromkeys(self.files, "000_log.sql"), list[str](), 0

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()

    def folder(self) -> Folder:
        return folder_of(*self.files.items())

    def pending(self) -> list[str]:
        return [name for name in self.files if name not in self.known]

    # --- what people do ---

    @rule(kind=st.sampled_from(sorted(KINDS)))
    def add(self, kind: str) -> None:
        self.number += 1
        name = f"{self.number:03}_{kind}.sql"
        self.files[name] = KINDS[kind](name)
        self.effects[name] = name

    @precondition(lambda self: "_small" in "".join(self.pending()))
    @rule()
    def edit_what_is_pending(self) -> None:
        name = next(name for name in self.pending() if "_small" in name)
        self.files[name] += "-- thought again\n"

    @precondition(lambda self: [name for name in self.known if name in self.files])
    @rule(data=st.data())
    def edit_what_is_applied(self, data: st.DataObject) -> None:
        """Nothing runs as long as it is so; then the old text is put back."""
        name = data.draw(st.sampled_from([name for name in self.known if name in self.files]))
        before, text = ledger(self.environment), self.files[name]
        self.files[name] += "SELECT 1;\n"
        strict = replace(self.environment, policies=Policies(edited=Policy.REFUSE))
        result = apply(strict, self.folder, ORDERS)
        assert result.outcome is Outcome.REFUSED, result
        assert ledger(self.environment) == before
        self.files[name] = text

    @precondition(lambda self: [name for name in self.known if name in self.files and "_small" in name])
    @rule()
    def rename_what_is_applied(self) -> None:
        name = next(name for name in self.known if name in self.files and "_small" in name)
        self.files = {(f"{one[:3]}_renamed.sql" if one == name else one): text for one, text in self.files.items()}

    @rule()
    def run(self) -> None:
        self._run_to_the_end()

    # --- what happens ---

    @rule(call=st.sampled_from(["sendto", "recvfrom"]), number=st.integers(5, 45))
    def die(self, call: str, number: int) -> None:
        folder = Path(self.stack.enter_context(TemporaryDirectory()))
        for name, text in self.files.items():
            (folder / name).write_text(text)
        victim = killed_at(call, number)
        assert self.environment.url
        victim.tell(folder, "migrate", "--dir", ".", "--lock-wait", "30", DATABASE_URL=self.environment.url.reveal())
        said = victim.said()
        assert said.code in (KILLED, 0, 3), said  # 3: a statement of an earlier death waits for a decision
        assert_no_secret(self.environment, said.text)
        self._some_may_be_in()

    @rule(number=st.integers(5, 40), delivered=st.booleans())
    def lose_the_link(self, number: int, delivered: bool) -> None:
        assert self.environment.url
        with wire_to(self.environment.url) as wire:

            def cut(chunk: Chunk) -> None:
                if chunk.number == number:
                    raise Cut

            wire.before, wire.after = (wire.before, cut) if delivered else (cut, wire.after)
            apply(replace(self.environment, url=wire.url), self.folder, ORDERS)
        self._some_may_be_in()

    # --- what must be true ---

    def _some_may_be_in(self) -> None:
        """A beginning of what was pending, in order; nothing else."""
        ours = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'rung %'"
        wait_until(lambda: not ask(self.environment, ours))
        new = [name for name in ledger(self.environment) if name not in self.known]
        assert new == self.pending()[: len(new)]
        self.known += new

    def _run_to_the_end(self) -> None:
        result = None
        while result is None or result.outcome is Outcome.REFUSED:
            result = settled(self.environment, self.folder(), lambda: apply(self.environment, self.folder, ORDERS))
        assert result.outcome in (Outcome.APPLIED, Outcome.NOTHING), result.problem
        self.known += self.pending()
        assert ledger(self.environment) == self.known

    @invariant()
    def every_effect_is_there_at_most_once_and_none_is_missing(self) -> None:
        if not hasattr(self, "environment") or not ledger(self.environment):
            return
        traces = [entry for (entry,) in ask(self.environment, "SELECT entry FROM public.log")]
        assert len(traces) == len(set(traces)), traces
        wanted = {self.effects[name] for name in self.known if name in self.effects}
        assert wanted <= set(traces)
        assert all("piecemeal" in name for name in set(traces) - wanted), "a file is half in"
        with connect(self.environment, purpose="test") as connection:
            assert history.verify(connection).ok


@pytest.fixture
def storyteller(server: EmbeddedServer) -> type[Story]:
    Story.server = server
    return Story


@pytest.mark.slow
@pytest.mark.fault(1)
@pytest.mark.fault(2)
def test_no_story_loses_a_file_or_runs_one_twice(storyteller: type[Story]) -> None:
    calm = settings(
        phases=(Phase.generate,),  # a shorter story takes minutes to find
        max_examples=10,
        stateful_step_count=10,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(storyteller, settings=calm)
