"""Compare: every environment beside the others, asked now or as last seen."""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from dashboard.core.environment import Environment
from dashboard.core.errors import EnvironmentFault, NoHome, RungError, UnknownEnvironment
from dashboard.core.matrix import Look, Matrix, make_matrix, with_moments
from dashboard.core.migration import Folder, Migration
from dashboard.core.picture import NotReachable, Picture, says_the_same
from dashboard.core.plan import Plan, make_plan
from dashboard.core.safety.finding import Reviewed
from dashboard.postgres import history
from dashboard.postgres.connect import connect
from dashboard.postgres.home import mirror, pictures
from dashboard.postgres.home.pool import Home
from dashboard.postgres.observe import take_picture

PATIENCE = 10.0  # seconds for all answers together; a server that cannot be reached at all takes 3

_log = logging.getLogger("rung.compare")

Answer = Picture | NotReachable


class Compare:
    """Pictures of all environments become plans and a matrix."""

    def __init__(self, environments: Sequence[Environment], read: Callable[[], Folder], home: Home | None) -> None:
        self._environments = {environment.name: environment for environment in environments}
        self._read, self._home = read, home
        self._plans = _Plans()
        self._pictures: dict[str, tuple[int, Picture]] = {}
        self._matrix: tuple[tuple[Look, ...], Matrix] | None = None

    def live(self) -> Matrix:
        """Ask every environment now, all at once; home is not needed, and gets the pictures where there is one.

        A dead environment is a column with its reason, and costs the others nothing.
        """
        return make_matrix(self.looks())

    def looks(self) -> list[Look]:
        """The same before it is put into a matrix: each environment with its plan, in order."""
        folder = self._read()
        answers = self._ask(self._environments.values(), self._claimed(list(self._environments), 0))
        return [self._look(answers[name], folder) for name in self._environments]

    def last_known(self) -> Matrix:
        """What home remembers; never asks an environment. Raises NoHome, Unreachable (of home), NoFolder."""
        looks = tuple(self._last_looks(list(self._environments)))
        known = self._matrix
        if known is None or not all(map(_shows_the_same, known[0], looks)):
            known = (looks, make_matrix(looks))
        elif known[0] != looks:
            known = (looks, with_moments(known[1], looks))
        self._matrix = known
        return known[1]

    def refresh(self, max_age: float) -> bool:
        """Ask again those environments that nobody asked within `max_age` seconds; whether there were any.

        Whoever comes first asks, for all processes that share home; the others get False at once. Also copies new
        rows of the asked environments' histories. Takes about 3 s at most, and as long as that only where an
        environment is dead.
        """
        try:
            with self._need_home().connection() as connection:
                claimed = pictures.claim(connection, list(self._environments), max_age)
        except EnvironmentFault as fault:  # where it cannot be written to, what it remembers can still be shown
            _log.warning("home could not be told", extra={"reason": str(fault)})
            return False
        if claimed:
            self._ask([self._environments[name] for name in claimed], claimed)
        return bool(claimed)

    def look(self, name: str) -> Look:
        """One environment, asked now. Raises UnknownEnvironment."""
        environment = self._environment(name)
        answers = self._ask([environment], self._claimed([name], 0))
        return self._look(answers[name], self._read())

    def last_look(self, name: str) -> Look:
        """One environment as home remembers it."""
        self._environment(name)
        return self._last_looks([name])[0]

    def look_again(self, name: str) -> None:
        """Ask one environment and tell home; for who cares about the others that look. Never raises."""
        try:
            self._ask([self._environment(name)], self._claimed([name], 0))
        except Exception:  # noqa: BLE001  # the next look will do it
            _log.exception("could not look again", extra={"environment": name})

    # --- asking ---

    def _ask(self, environments: Collection[Environment], claimed: dict[str, datetime]) -> dict[str, Answer]:
        """Everybody at once; each answer goes to home when it comes, so that a dead environment holds up nobody's."""
        if not environments:
            return {}
        pool = ThreadPoolExecutor(len(environments), thread_name_prefix="ask")
        asked = {one.name: pool.submit(self._ask_one, one, claimed.get(one.name)) for one in environments}
        wait(asked.values(), timeout=PATIENCE)
        pool.shutdown(wait=False)
        return {name: _answer_of(name, future) for name, future in asked.items()}

    def _ask_one(self, environment: Environment, claimed_at: datetime | None) -> Answer:
        answer = take_picture(environment)
        if self._home is None or claimed_at is None:
            return answer
        try:
            return self._remember(self._home, environment, answer, claimed_at)
        except RungError as fault:
            _log.warning("home could not be told", extra={"environment": environment.name, "reason": str(fault)})
            return answer

    def _remember(self, home: Home, environment: Environment, answer: Answer, claimed_at: datetime) -> Answer:
        name = environment.name
        if isinstance(answer, NotReachable):
            with home.connection() as connection:
                pictures.keep_silence(connection, answer, claimed_at)
                return pictures.stored(connection, [name])[name].not_reachable or answer
        with home.connection() as connection:
            pictures.keep(connection, answer, claimed_at)
            known = mirror.newest(connection, name)
        if (known.id if known else 0) != answer.history_id:
            with connect(environment, purpose="copy of the history") as target:
                mirror.follow(home, name, partial(history.rows_since, target))
        return answer

    def _claimed(self, names: list[str], max_age: float) -> dict[str, datetime]:
        """For those who ask anyway: where home cannot be had, they do without."""
        if self._home is None:
            return {}
        try:
            with self._home.connection() as connection:
                return pictures.claim(connection, names, max_age)
        except RungError as fault:
            _log.warning("home could not be asked", extra={"reason": str(fault)})
            return {}

    # --- remembering ---

    def _last_looks(self, names: list[str]) -> list[Look]:
        folder = self._read()
        with self._need_home().connection() as connection:
            stored = pictures.stored(connection, names)
            for name, known in stored.items():
                if known.version != self._pictures.get(name, (0, None))[0]:
                    found = pictures.load(connection, name)
                    if found:
                        self._pictures[name] = found
                self._heard_again(name, known.taken_at)
        return [self._last_look(name, stored.get(name), folder) for name in names]

    def _heard_again(self, name: str, taken_at: datetime | None) -> None:
        """It said later what it had said before."""
        version, picture = self._pictures.get(name, (0, None))
        if picture and taken_at and picture.taken_at != taken_at:
            self._pictures[name] = version, replace(picture, taken_at=taken_at)

    def _last_look(self, name: str, stored: pictures.Stored | None, folder: Folder) -> Look:
        environment = self._environments[name]
        silent = stored.not_reachable if stored else None
        if stored is None or not stored.version:
            return Look(environment, None, None, silent)
        picture = self._pictures[name][1]
        return Look(environment, picture, self._plans.plan(environment, folder, picture), silent)

    def _look(self, answer: Answer, folder: Folder) -> Look:
        environment = self._environments[answer.environment]
        if isinstance(answer, Picture):
            return Look(environment, answer, self._plans.plan(environment, folder, answer))
        if self._home is not None:
            try:
                return replace(self._last_looks([environment.name])[0], not_reachable=answer)
            except RungError:
                pass  # home is away too; it was said when it was asked first
        return Look(environment, None, None, answer)

    def _environment(self, name: str) -> Environment:
        try:
            return self._environments[name]
        except KeyError:
            raise UnknownEnvironment(name, ", ".join(self._environments)) from None

    def _need_home(self) -> Home:
        if self._home is None:
            raise NoHome("the dashboard")  # noqa: TRY003  # the one who needs it
        return self._home


def _shows_the_same(before: Look, look: Look) -> bool:
    """All but when it was seen: a plan is the same object for as long as folder and environment say the same."""
    return before.plan is look.plan and before.not_reachable == look.not_reachable


def _answer_of(name: str, future: "Future[Answer]") -> Answer:
    if not future.done():
        return NotReachable(name, f"it did not answer within {PATIENCE:.0f} s", "Look what keeps its server busy.")
    return future.result()


@dataclass(frozen=True, slots=True)
class _Made:
    picture: Picture
    folder: Folder
    plan: Plan


class _Plans:
    """Plans and reviews that were made before: most pages show the same ones again."""

    SIZE = 200  # reviewed batches

    def __init__(self) -> None:
        self._made: dict[str, _Made] = {}
        self._reviewed: dict[tuple[tuple[str, str], ...], tuple[Reviewed, ...]] = {}
        self._turn = threading.Lock()

    def plan(self, environment: Environment, folder: Folder, picture: Picture) -> Plan:
        made = self._made.get(environment.name)
        if made is None or made.folder != folder or not says_the_same(made.picture, picture):
            made = _Made(picture, folder, make_plan(environment, folder, picture, self._review))
            self._made[environment.name] = made
        elif made.picture is not picture:  # the newest object, which is quickly seen to be the same next time
            self._made[environment.name] = replace(made, picture=picture)
        return made.plan

    def _review(self, batch: Sequence[Migration]) -> tuple[Reviewed, ...]:
        from dashboard.core.safety.review import review  # loads the parser

        key = tuple((migration.filename, migration.raw_hash) for migration in batch)
        with self._turn:  # parsing keeps a core busy: twice the same at once helps nobody
            if key not in self._reviewed:
                while len(self._reviewed) >= self.SIZE:
                    del self._reviewed[next(iter(self._reviewed))]
                self._reviewed[key] = review(batch)
            return self._reviewed[key]
