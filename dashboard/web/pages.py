"""One frozen page model per template: everything a template shows, ready to be shown."""

from dataclasses import dataclass, field
from typing import NamedTuple

# --- what every page has ---


@dataclass(frozen=True, slots=True)
class Link:
    """A place to go. `current`: it is the page one is on."""

    text: str
    href: str
    current: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """Who is looking."""

    email: str
    role: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands round every page. `icon`: a file of `static/`; `csrf`: the token every form of the page sends."""

    title: str
    csrf: str
    visitor: Person | None = None
    links: tuple[Link, ...] = ()
    icon: str = "favicon.svg"


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time: `iso` for the script, `ago` to read, `absolute` in reach."""

    iso: str
    ago: str = field(repr=False)  # what only grows older is not news: see `pieces.fingerprint`
    absolute: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sign:
    """A state: sign (a symbol of the sprite), word, and family of hue."""

    name: str
    word: str
    hue: str


@dataclass(frozen=True, slots=True)
class FileName:
    """A file name and where it may be wrapped: `parts` (`017_`, `add_`), `last` `preferences`; `ending` `.sql`."""

    full: str
    parts: tuple[str, ...]
    last: str
    ending: str


@dataclass(frozen=True, slots=True)
class Live:
    """A piece of a page that refreshes itself. `pace`: `fast` and `brisk` while something runs, `slow`, or `still`.

    `version` is a fingerprint of what the piece shows; the script sends it back and gets an empty answer for the same.
    """

    href: str
    pace: str
    version: str


@dataclass(frozen=True, slots=True)
class Empty:
    """Nothing to show yet: why, and the command that changes it."""

    heading: str
    text: str
    command: str | None = None


# --- the ladder ---


@dataclass(frozen=True, slots=True)
class Head:
    """One environment's head in the matrix. `facts`: short texts below the headline."""

    name: str
    href: str
    protected: bool
    sign: Sign
    facts: tuple[str, ...]
    applied: Moment | None
    rail: str


class Cell(NamedTuple):
    """One file in one environment. `look`: the classes of the rail behind the sign.

    A tuple, because a page may hold thousands, and a tuple is made and unpacked in half the time.
    """

    look: str
    sign: str
    word: str
    when: str
    href: str


class MatrixRow(NamedTuple):
    name: FileName
    href: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class MatrixPage:
    """The ladder.

    Attributes
    ----------
    body: its rows, drawn already by `matrix_rows.html`.
    density: few, several or many rails.
    searchable: whether there is anything that a filter could leave out.

    """

    frame: Frame
    live: Live
    verdict: Sign
    facts: tuple[str, ...]
    looked: Moment | None
    heads: tuple[Head, ...]
    body: str
    only_differences: bool
    search: str
    search_href: str
    density: str
    legend: tuple[Sign, ...]
    searchable: bool
    empty: Empty | None


# --- pieces that several pages show ---


@dataclass(frozen=True, slots=True)
class ProblemView:
    """Why something did not go through. `said`: the server's or our message with its SQLSTATE; `copy`: all as text."""

    place: str
    place_href: str | None
    excerpt: str
    said: str
    detail: str | None
    hint: str | None
    advice: str
    copy: str


@dataclass(frozen=True, slots=True)
class FindingView:
    """One remark of the review. `stops`: the gate stops before the file. `allowed`: why its author accepts it.

    `here`: what the environment's catalog adds. `source`: which knowledge it rests on.
    """

    sign: Sign
    what: str
    line: int
    href: str
    rule: str
    statement: str
    safer: str
    stops: bool
    allowed: str = ""
    here: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in a list."""

    href: str
    sign: Sign
    environment: str
    environment_href: str
    summary: str
    who: str
    when: Moment
    took: str | None


# --- one environment ---


@dataclass(frozen=True, slots=True)
class AnswerView:
    """What the rows say to one question. `how`: what was read for it."""

    sign: Sign
    what: str
    line: int
    href: str
    statement: str
    how: str
    advice: str


@dataclass(frozen=True, slots=True)
class Matter:
    """One line of what matters first. `place`: file and line, as a link."""

    sign: Sign
    what: str
    place: str
    href: str


@dataclass(frozen=True, slots=True)
class StepView:
    """One file of the plan. `barrier`: words for where a run cannot pass; `waits`: it lies behind that."""

    number: int
    name: FileName
    href: str
    sign: Sign
    notes: tuple[str, ...]
    findings: tuple[FindingView, ...]
    refusal: ProblemView | None
    barrier: str | None
    waits: bool
    answers: tuple[AnswerView, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to apply.

    Attributes
    ----------
    mode: what the form sends.
    confirm: the name that has to be typed. typed: what was typed there, when the form was refused.
    fold: the line behind which it hides until somebody wants it.

    """

    mode: str
    label: str
    text: str
    emphasis: str
    needs_reason: bool = False
    confirm: str | None = None
    typed: str = ""
    fold: str | None = None
    open: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """One decision that fits: what the form sends, what the button says, what follows from it."""

    decision: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class ChangedLine:
    """One line of a comparison. `kind`: same, removed, added, or gap, which is a remark between the lines."""

    kind: str
    number: str
    text: str


@dataclass(frozen=True, slots=True)
class CaseView:
    """A file that waits for a decision.

    Attributes
    ----------
    said: what is in doubt. place: the statement, with its line.
    ways: the decisions that fit and that this person may take. instead: what to read where there are none.
    shown: hash of the content that is decided about.
    confirm: the name that has to be typed. fold: the line behind which the form hides until somebody wants it.
    changes: against what was applied. incomparable: why there are none.

    """

    name: FileName
    href: str
    sign: Sign
    said: str
    place: str | None
    changes: tuple[ChangedLine, ...]
    incomparable: str | None
    ways: tuple[Way, ...]
    instead: str | None
    shown: str
    confirm: str | None
    typed_reason: str
    typed_confirm: str
    fold: str | None
    open: bool


@dataclass(frozen=True, slots=True)
class Rung:
    """One file beside its rail, newest first."""

    name: FileName
    href: str
    sign: Sign
    look: str


@dataclass(frozen=True, slots=True)
class RehearseForm:
    """The button on an environment's page, and the newest rehearsal there. `fits`: it was of the plan that is shown."""

    href: str
    newest: Link | None
    fits: bool


@dataclass(frozen=True, slots=True)
class EnvironmentPage:
    """`held`: the digest of the plan shown; the script does not swap another plan under the reader's eyes.

    `cases`: files that stopped half-way; `edited`: applied files that changed since.
    `done`: what was just decided; `message`: why something was not done.
    """

    frame: Frame
    live: Live
    name: str
    protected: bool
    message: str | None
    done: str | None
    verdict: Sign
    facts: tuple[str, ...]
    applied: Moment | None
    looked: Moment | None
    trouble: ProblemView | None
    stops: tuple[str, ...]
    notices: tuple[str, ...]
    cases: tuple[CaseView, ...]
    edited: tuple[CaseView, ...]
    resolve_href: str
    steps: tuple[StepView, ...]
    steps_heading: str
    held: str
    apply_href: str
    choices: tuple[Choice, ...]
    typed_reason: str
    who_may: str | None
    running: RunLine | None
    rungs: tuple[Rung, ...]
    older: str | None
    runs: tuple[RunLine, ...]
    history_href: str
    rehearse: RehearseForm | None
    matters: tuple[Matter, ...] = ()
    more_matters: str = ""
    empty: Empty | None = None


# --- one rehearsal ---


@dataclass(frozen=True, slots=True)
class RehearsedStatement:
    """`effects`: what it did on the copy, as sentences."""

    line: int
    href: str
    text: str
    effects: tuple[str, ...]
    heavy: bool


@dataclass(frozen=True, slots=True)
class RehearsedFile:
    name: FileName
    href: str
    sign: Sign
    statements: tuple[RehearsedStatement, ...]
    problem: ProblemView | None
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangeView:
    """One object of the schema. `sign`: a plus, a minus or a tilde; `word`: the same in a word."""

    sign: str
    word: str
    hue: str
    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class RehearsalPage:
    """`doing`: what the worker is at, while it is not over. `again_href`: where a new one is asked for.

    waiting: why it does not begin. stop_href: where it is stopped; None where it is over, or the reader may not.
    """

    frame: Frame
    live: Live
    environment: str
    environment_href: str
    verdict: Sign
    who: str
    asked: Moment
    facts: tuple[str, ...]
    doing: str | None
    waiting: str | None
    stop_href: str | None
    stale: bool
    trouble: ProblemView | None
    notes: tuple[str, ...]
    files: tuple[RehearsedFile, ...]
    changes: tuple[ChangeView, ...]
    again_href: str | None
    held: str


# --- one run ---


@dataclass(frozen=True, slots=True)
class StatementView:
    """One statement of a run. `forecast`: what a rehearsal of it had said about its time; empty where none did."""

    number: int
    text: str
    sign: Sign
    took: str
    forecast: str = ""


@dataclass(frozen=True, slots=True)
class SessionView:
    """Another session: what it is called, and what else is known of it."""

    name: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QueueView:
    """Sessions that wait for each other. `since`: of the sentence; its `ago` is the bare span."""

    said: str
    since: Moment | None
    sessions: tuple[SessionView, ...]
    more: str | None
    then: str


@dataclass(frozen=True, slots=True)
class MeterView:
    """How far a statement is. `percent`: None where nobody knows."""

    phase: str
    percent: int | None
    counted: str


@dataclass(frozen=True, slots=True)
class FileView:
    """One file of a run.

    Attributes
    ----------
    earlier: how many finished statements are not listed, in words.
    meter, queues: of the statement that runs: how far it is, whom it waits for, and who waits for it.

    """

    name: FileName
    href: str
    sign: Sign
    look: str
    took: str | None
    notes: tuple[str, ...]
    earlier: str | None
    statements: tuple[StatementView, ...]
    later: str | None
    meter: MeterView | None = None
    queues: tuple[QueueView, ...] = ()


@dataclass(frozen=True, slots=True)
class RunPage:
    """One run.

    Attributes
    ----------
    progress: such as `2 of 3 files applied`.
    ticking: since when it runs; its `ago` is the bare span.
    stop_href: None where there is nothing to stop, or nobody to do it.
    told: how far the messages to webhooks are.

    """

    frame: Frame
    live: Live
    environment: str
    environment_href: str
    verdict: Sign
    progress: str
    who: str
    asked: Moment
    took: str | None
    ticking: Moment | None
    reason: str | None
    waiting: str | None
    files: tuple[FileView, ...]
    notes: tuple[str, ...]
    problem: ProblemView | None
    stopping: str | None
    stop_href: str | None
    next_link: Link | None
    run_id: str
    told: tuple[Sign, ...] = ()


# --- one run on paper ---


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class PrintedStatement:
    number: str
    text: str
    what: str
    at: str
    took: str


@dataclass(frozen=True, slots=True)
class PrintedFile:
    """One file of a run. `findings`: those that would have stopped it, and were overruled because of `reason`."""

    name: FileName
    outcome: str
    raw_hash: str
    when: str
    findings: tuple[FindingView, ...]
    reason: str
    statements: tuple[PrintedStatement, ...]
    problem: str
    renamed_from: str


@dataclass(frozen=True, slots=True)
class ChainLink:
    """A row's place in the chain. `gone`: since when the database itself does not hold it any more."""

    number: str
    what: str
    previous: str
    own: str
    gone: str


@dataclass(frozen=True, slots=True)
class PrintedPage:
    frame: Frame
    run_id: str
    run_href: str
    environment: str
    verdict: str
    facts: tuple[Fact, ...]
    files: tuple[PrintedFile, ...]
    remarks: tuple[str, ...]
    chain: tuple[ChainLink, ...]
    check: "ChainView"
    printed: str


# --- one migration ---


@dataclass(frozen=True, slots=True)
class CodeLine:
    """One line of a file: pieces of text with the class of their colour, and the hue of a finding on it."""

    number: int
    pieces: tuple[tuple[str, str], ...]
    mark: str


@dataclass(frozen=True, slots=True)
class Stand:
    """Where the file stands in one environment."""

    anchor: str
    environment: str
    href: str
    protected: bool
    sign: Sign
    note: str
    applied: Moment | None
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One thing that happened. `rail`: tied to its neighbours of the same run up, down, both ways or not at all."""

    rail: str
    sign: Sign
    environment: str
    environment_href: str
    name: FileName | None
    file_href: str | None
    who: str
    who_href: str
    door: str
    when: Moment
    took: str
    run_href: str
    said: str


@dataclass(frozen=True, slots=True)
class MigrationPage:
    frame: Frame
    name: FileName
    facts: tuple[str, ...]
    notes: tuple[str, ...]
    absent: str | None
    lines: tuple[CodeLine, ...]
    more: str | None
    findings: tuple[FindingView, ...]
    refusal: ProblemView | None
    stands: tuple[Stand, ...]
    history: tuple[HistoryLine, ...]
    history_href: str


# --- the history ---


@dataclass(frozen=True, slots=True)
class Option:
    value: str
    text: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class ChainView:
    """Whether one environment's record is whole. `loud`: it is broken; `check_href`: where the button sends."""

    environment: str
    href: str
    sign: Sign
    said: tuple[str, ...]
    advice: str
    loud: bool
    checked: Moment | None
    asked_by: str
    head: str
    check_href: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on the axis, as a percentage; a `minor` one goes first where there is little room."""

    x: str
    label: str
    minor: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """One run, or several that are too close to be told apart. `number`: empty for a single one."""

    x: str
    sign: Sign
    number: str
    href: str
    label: str
    when: str
    what: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One environment. `y`: of its rail, in pixels."""

    name: str
    y: int
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The picture. `said`: what it shows, in a sentence; `legend`: the signs that are in it."""

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    height: int
    axis: int
    said: str
    legend: tuple[Sign, ...]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """The history.

    Attributes
    ----------
    values: filter -> what was asked for; empty where nothing was.
    zone: in which days begin and end; zone_open: no day was chosen yet, so the reader's own may be put there.
    complaints: what is wrong with the filters. chips: the filters, each a link to the same without it.

    """

    frame: Frame
    href: str
    summary: str
    environments: tuple[Option, ...]
    kinds: tuple[Option, ...]
    outcomes: tuple[Option, ...]
    values: dict[str, str]
    zone: str
    zone_open: bool
    complaints: tuple[str, ...]
    chips: tuple[Link, ...]
    exports: tuple[Link, ...]
    chains: tuple[ChainView, ...]
    timeline: Timeline | None
    rows: tuple[HistoryLine, ...]
    older_href: str | None
    newest_href: str | None
    empty: Empty | None


# --- the audit ---


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One thing that somebody did. `href`: of what it was done to; `said`: how it ended, and more about it."""

    sign: Sign
    subject: str
    href: str | None
    said: str
    environment: str
    environment_href: str | None
    who: str
    who_href: str
    address: str
    when: Moment


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What the last check of the audit found. `loud`: it is broken."""

    sign: Sign
    said: str
    advice: str
    loud: bool
    checked: Moment
    asked_by: str
    head: str


@dataclass(frozen=True, slots=True)
class AuditPage:
    """The audit; for the filters see `HistoryPage`. `last`: the last check, if there was one."""

    frame: Frame
    href: str
    summary: str
    environments: tuple[Option, ...]
    kinds: tuple[Option, ...]
    deeds: tuple[Option, ...]
    outcomes: tuple[Option, ...]
    values: dict[str, str]
    zone: str
    zone_open: bool
    complaints: tuple[str, ...]
    chips: tuple[Link, ...]
    exports: tuple[Link, ...]
    rows: tuple[AuditLine, ...]
    older_href: str | None
    newest_href: str | None
    empty: Empty | None
    last: AuditCheck | None
    check_href: str


# --- signing in, errors ---


@dataclass(frozen=True, slots=True)
class SignInPage:
    """`failed`: why the last try did not work; the same words whatever was wrong. `first_href`: nobody is here yet.

    `issuer`: who else signs people in.
    """

    frame: Frame
    action: str
    email: str
    failed: str | None
    command: str
    first_href: str | None
    issuer: Link | None


@dataclass(frozen=True, slots=True)
class FirstPage:
    """The first admin's account."""

    frame: Frame
    email: str
    advice: str
    failed: str | None


@dataclass(frozen=True, slots=True)
class ProofPage:
    """Who is asking, once more. `fields`: what was typed before, and is sent again; `reason`: the part people wrote.

    `issuer`: where it is asked, for accounts that come in by one. `lost`: there is none any more, and nothing to ask.
    """

    frame: Frame
    environment: str
    action: str
    fields: tuple[tuple[str, str], ...]
    reason: str
    email: str
    has_password: bool
    issuer: Link | None
    lost: bool
    failed: str | None
    command: str
    back_href: str


@dataclass(frozen=True, slots=True)
class ConnectPage:
    """What connecting an account means, and the way to the issuer."""

    frame: Frame
    email: str
    issuer: str
    href: str


@dataclass(frozen=True, slots=True)
class ProvedPage:
    """It is who it was. `action`, `fields`: what waited for it; without fields it has to be asked for again."""

    frame: Frame
    environment: str
    action: str
    fields: tuple[tuple[str, str], ...]
    reason: str
    back_href: str


@dataclass(frozen=True, slots=True)
class OwnSession:
    """A session in its owner's list. `name`: what a form calls it; `this`: the one that is looking."""

    name: str
    browser: str
    agent: str
    address: str
    since: Moment
    seen: Moment
    this: bool


@dataclass(frozen=True, slots=True)
class AccountPage:
    """`failed`, `done`: how the last form went. `issuer`: who could sign in for this account, or does.

    `lost`: an issuer did that is gone.
    """

    frame: Frame
    email: str
    roles: tuple[str, ...]
    sessions: tuple[OwnSession, ...]
    summary: str
    has_password: bool
    by_issuer: bool
    lost: bool
    issuer: str | None
    advice: str
    failed: str | None
    done: str | None


@dataclass(frozen=True, slots=True)
class PersonRow:
    """An account in the admins' list. `own`: of the admin who is looking, and not to be changed here."""

    email: str
    roles: tuple[str, ...]
    way: str
    since: Moment
    disabled: bool
    own: bool


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """`link`: a one-time address that is shown this once."""

    frame: Frame
    people: tuple[PersonRow, ...]
    roles: tuple[str, ...]
    environments: tuple[str, ...]
    typed: str
    failed: str | None
    done: str | None
    link: str | None


@dataclass(frozen=True, slots=True)
class LinkPage:
    """`sets`: it leads to where a password is set."""

    frame: Frame
    action: str
    sets: bool


@dataclass(frozen=True, slots=True)
class ErrorPage:
    frame: Frame
    heading: str
    text: str
    advice: str
    way: Link
    reference: str | None
    command: str | None = None
