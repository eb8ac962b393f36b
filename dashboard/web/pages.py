"""One frozen page model per template: everything a template shows, ready to be shown."""

from dataclasses import dataclass, field

from dashboard.core.matrix import Matrix


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
    ago: str
    absolute: str


@dataclass(frozen=True, slots=True)
class Sign:
    """A state: sign (a symbol of the sprite), word, and family of hue."""

    name: str
    word: str
    hue: str


@dataclass(frozen=True, slots=True)
class FileName:
    """A file name and where it may be wrapped: `parts` `017_`, `add_`, `user_`, `last` `preferences`, `ending` `.sql`."""

    full: str
    parts: tuple[str, ...]
    last: str
    ending: str


@dataclass(frozen=True, slots=True)
class Live:
    """A piece of a page that refreshes itself. `pace`: `fast` while something runs, `slow`, or `still`.

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


@dataclass(frozen=True, slots=True)
class Cell:
    """One file in one environment. `look`: the classes of the rail behind the sign."""

    look: str
    sign: str
    word: str
    when: str
    href: str


@dataclass(frozen=True, slots=True)
class MatrixRow:
    name: FileName
    href: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class MatrixPage:
    frame: Frame
    live: Live
    verdict: Sign
    facts: tuple[str, ...]
    looked: Moment | None
    heads: tuple[Head, ...]
    rows: tuple[MatrixRow, ...]
    only_differences: bool
    search: str
    search_href: str
    density: str
    legend: tuple[Sign, ...]
    empty: Empty | None
