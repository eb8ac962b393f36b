"""Files that run in one transaction each, with their rows in ledger and history; several go out in one flight."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile

from dashboard.core.plan import Action, Step
from dashboard.core.record import Happening
from dashboard.postgres import frame, history
from dashboard.postgres.flight import SYNC, Broken, Landing, Leg, Message, Part
from dashboard.postgres.history import Entry
from dashboard.postgres.ledger import Ledger
from dashboard.postgres.piecemeal import drop_leftovers
from dashboard.postgres.session import ATTEMPTS, Finish, Session, Verdict, in_the_way
from dashboard.postgres.telling import Telling, script_of
from dashboard.postgres.watch import Watch

# In one flight at most: what a runner that dies may leave a server with, which goes on until it notices.
FILES, CHARACTERS = 50, 200_000

# What only a new session sees, or what no session gets rid of.
_NEEDS_NEW_SESSION = ("ALTER DATABASE", "ALTER ROLE", "ALTER SYSTEM", "LOAD", "PREPARE", "DEALLOCATE", "DISCARD")
_PREPARED_WRONGLY = ("26000", "42P05")  # a name that is not there, or is there already


def needs_new_session(step: Step) -> bool:
    """Whether the file after this one must not run in the same session."""
    return any(statement.kind.startswith(_NEEDS_NEW_SESSION) for statement in script_of(step).statements)


def in_one_flight(steps: Sequence[Step], ledger: Ledger) -> Sequence[Step]:
    """The first steps that may go out together: the first, and those behind it that need nothing from us between."""
    count, characters = 1, len(steps[0].migration.text)
    for before, step in pairwise(steps):
        characters += len(step.migration.text)
        apart = needs_new_session(before) or not script_of(step).transactional or step.unfinished is not None
        if apart or not ledger.keyed or count == FILES or characters > CHARACTERS:
            break
        count += 1
    return steps[:count]


class Wholes:
    """Transactional files in order. `place`: 0-based, of the first among the files of the run."""

    def __init__(self, session: Session, steps: Sequence[Step], place: int, telling: Telling) -> None:
        self._session, self._telling = session, telling
        self._steps, self._place = steps, place
        self._finishes: list[Finish] = []
        self._seen: list[Entry] = []
        self._attempt = 1

    def run(self) -> tuple[Finish, ...]:
        """How the first of them ended; all but the last are applied."""
        self._begins()
        finish = drop_leftovers(self._session, self._rest[0])
        while self._rest and finish is None:
            finish = self._attempted()
        if finish is not None:
            self._end(finish)
        if self._seen:
            self._session.record(*self._seen)
        return tuple(self._finishes)

    def _attempted(self) -> Finish | None:
        """Fly once; how the file ended at which it stopped, and None where there is none or it is tried again."""
        passage = self._fly()
        if not self._rest:
            return None
        finish = self._verdict(passage)
        if finish is None:
            finish = self._again(passage) if self._attempt < ATTEMPTS else self._failed(passage)
        return finish

    @property
    def _rest(self) -> Sequence[Step]:
        return self._steps[len(self._finishes) :]

    def _begins(self) -> None:
        self._telling.begins(self._rest[0], self._place + len(self._finishes) + 1)

    def _end(self, finish: Finish) -> None:
        self._telling.ended(self._rest[0], finish)
        self._finishes.append(finish)
        self._attempt = 1

    # --- one flight ---

    def _fly(self) -> "_Passage":
        """Once more, in a new session, where the one before had prepared statements that nobody expected."""
        passage = self._passage()
        while passage.prepared_wrongly or self._session.refused(passage.landing):
            if passage.prepared_wrongly:
                self._session.close_work()
            passage = self._passage()
        return passage

    def _passage(self) -> "_Passage":
        """Everything that is left goes out, and what the server finishes is ended as its answers arrive."""
        carried, aboard = self._session.used, self._rest
        files = (step.migration for step in aboard)
        landing, watch = self._session.fly(self._legs(aboard), *files, landed=self._landed, prepare=True)
        return _Passage(landing, watch, carried or len(self._rest) < len(aboard))

    def _landed(self, watch: Watch) -> None:
        self._end(Finish(Verdict.APPLIED, notes=(*self._notes(), *watch.remarks, *self._held(watch))))
        if self._rest:
            self._begins()

    def _held(self, watch: Watch) -> tuple[str, ...]:
        """Goes into the history later: its own row was on its way before the locks were seen."""
        held = watch.held()
        self._seen += [Entry(Happening.NOTE, self._rest[0].migration, remark=remark) for remark in held]
        return held

    def _legs(self, aboard: Sequence[Step]) -> Iterator[Leg]:
        self._session.working()
        after = None
        for step in aboard:
            if after is not None or self._session.used:
                yield from frame.clean()
            yield from self._file(step, after)
            after = step.migration.filename

    def _file(self, step: Step, after: str | None) -> Iterator[Leg]:
        """The whole life of a file. The ledger's row comes first: its unique key is the fence.

        after: the file before it in this flight, without whose row this one must not run.
        """
        session, script, name = self._session, script_of(step), step.migration.filename
        ledger = session.known.ledger
        yield Message(script.begin, Part.BEGIN)
        yield frame.limits(session.working().info.server_version, local=True, plain=session.plain)
        yield from ledger.insert(name, after)
        for statement in script.statements:  # the last one is answered with the COMMIT
            live = statement is not script.statements[-1]
            yield Message(statement.text, Part.STATEMENT, statement=statement, live=live)
        if script.statements:
            yield Message("SET CONSTRAINTS ALL IMMEDIATE", Part.CONSTRAINTS)
        yield from frame.own_state()
        yield frame.check(session.held, ledger, name)
        yield history.append(session.author, self._entry(step))
        yield from (Message("COMMIT", Part.COMMIT), SYNC)

    def _entry(self, step: Step) -> Entry:
        adopted = step.action is Action.ADOPT
        return Entry(
            Happening.ADOPTED if adopted else Happening.APPLIED,
            step.migration,
            with_text=True,
            remark="; ".join(self._notes(step)) or None,
            renamed_from=step.renamed_from,
        )

    def _notes(self, step: Step | None = None) -> tuple[str, ...]:
        """Of the file that is under way, or of one behind it."""
        step, current = step or self._rest[0], self._rest[0]
        if step.renamed_from is not None:
            return (f"renamed from {step.renamed_from}; recorded, not run",)
        if step is current and self._attempt > 1:
            return (*script_of(step).notes, f"it took {self._attempt} attempts: others were in the way")
        return script_of(step).notes

    # --- when it did not go through ---

    def _verdict(self, passage: "_Passage") -> Finish | None:
        """How the file ended; None where another attempt is right."""
        session, step = self._session, self._rest[0]
        broken, lost, cancelled_by = passage.landing.broken, passage.landing.lost, passage.watch.cancelled_by
        if lost is not None and (broken is None or broken.message.part is Part.COMMIT):
            return self._found_out(lost.reason, cancelled_by)
        assert broken is not None  # noqa: S101  # for the type checker: one of the two is set
        if broken.message.part is Part.COMMIT and session.in_ledger(step):
            return Finish(Verdict.APPLIED, notes=self._notes())
        if broken.message.part is Part.LEDGER and lost is None:
            taken = session.taken(step, broken)
            if taken is not None:
                return taken
        if lost is None and cancelled_by is None and in_the_way(broken):
            return None
        return self._failed(passage)

    def _found_out(self, reason: str, cancelled_by: str | None) -> Finish:
        """Of the first file without an answer. The server may have gone on with those behind it."""
        finish = self._session.find_out(self._rest[0], reason, self._notes(), cancelled_by)
        while finish.verdict is Verdict.APPLIED and len(self._rest) > 1 and self._session.in_ledger(self._rest[1]):
            self._end(finish)
            self._begins()
        return finish

    def _again(self, passage: "_Passage") -> Finish | None:
        """Wait for another attempt; set where somebody wants to stop meanwhile."""
        who = self._session.retry(self._rest[0].migration, passage.broken, passage.watch, self._attempt)
        if who is not None:
            return self._failed(passage, who)
        self._attempt += 1
        return None

    def _failed(self, passage: "_Passage", cancelled_by: str | None = None) -> Finish:
        step, broken = self._rest[0], passage.broken
        self._held(passage.watch)
        problem = self._session.problem(step, broken, passage.watch, began=passage.began)
        if self._attempt > 1:
            problem = replace(problem, advice=f"Tried {self._attempt} times. {problem.advice}")
        if broken.message.part is Part.FRAME and passage.landing.lost is None and self._session.in_ledger(step):
            problem = replace(
                problem, advice=f"{problem.advice} The ledger has the file, because it committed that too."
            )
        return self._session.ended(
            step, problem, started_at=passage.began, cancelled_by=cancelled_by or passage.watch.cancelled_by
        )


@dataclass(frozen=True, slots=True)
class _Passage:
    """One flight, for the file that did not go through in it.

    Attributes
    ----------
    carried: the session held what another file may have left behind.

    """

    landing: Landing
    watch: Watch
    carried: bool

    @property
    def began(self) -> str | None:
        """When its transaction did, as epoch; None where its row did not come into the ledger."""
        own = takewhile(lambda answer: answer[0].part is not Part.COMMIT, reversed(self.landing.answers))
        return Landing(list(own)[::-1]).value(Part.LEDGER)

    @property
    def broken(self) -> Broken:
        assert self.landing.broken is not None  # noqa: S101  # for the type checker: the caller looked
        return self.landing.broken

    @property
    def prepared_wrongly(self) -> bool:
        broken, lost = self.landing.broken, self.landing.lost
        return self.carried and lost is None and broken is not None and broken.sqlstate in _PREPARED_WRONGLY
