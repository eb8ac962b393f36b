"""What a rehearsal saw: pending files run on a throwaway copy of a schema, statement by statement."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dashboard.core.locks import LOCK_MODES, in_words, stops
from dashboard.core.run import Problem

ObjectKey = tuple[str, int, int]
"""(catalog, oid, number of the column or 0)."""


@dataclass(frozen=True, slots=True)
class SchemaObject:
    """One object of a schema. `name`: schema-qualified. `definition`: as PostgreSQL would write it."""

    kind: str
    name: str
    definition: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a database is made of at one moment.

    Attributes
    ----------
    files: the file on disk of each table and index, by oid; another one under the same oid is a rewrite.
    relations: their names, by oid.
    indexes: the oids in `relations` that are indexes.
    scans: how often each table was read from end to end in this transaction, by oid.

    """

    objects: Mapping[ObjectKey, SchemaObject] = field(default_factory=dict)
    files: Mapping[int, int] = field(default_factory=dict)
    relations: Mapping[int, str] = field(default_factory=dict)
    indexes: frozenset[int] = frozenset()
    scans: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lock:
    """The strongest lock on one table that was there before the file, and the statement that took it.

    Attributes
    ----------
    mode: PostgreSQL's name, such as `AccessExclusiveLock`.
    since: 1-based statement of the file from which on it is held; it is held until the file ends.

    """

    relation: str
    mode: str
    since: int

    @property
    def words(self) -> str:
        """`ACCESS EXCLUSIVE`, as LOCK TABLE writes it."""
        return in_words(self.mode)

    @property
    def stops(self) -> str:
        """Whom it makes wait: `reads and writes`, `writes`, or nobody but other changes of the schema."""
        return stops(self.mode)


@dataclass(frozen=True, slots=True)
class Change:
    """One object that is there, gone or different afterwards. `before` or `after` is empty where there is none."""

    kind: str
    name: str
    before: str
    after: str

    @property
    def sign(self) -> str:
        """`+` added, `-` gone, `~` changed."""
        return "~" if self.before and self.after else "+" if self.after else "-"


@dataclass(frozen=True, slots=True)
class StatementTrace:
    """What one statement did.

    Attributes
    ----------
    locks: those it took that were not held before, or that it made stronger; `sampled` where the statement runs
        outside of a transaction and was looked at every few milliseconds while it ran.
    rewritten, scanned, built: names of tables whose file was written anew, of tables read from end to end, of indexes.
    gone: objects that are not there any more.

    """

    index: int
    line: int
    statement: str
    kind: str
    locks: tuple[Lock, ...] = ()
    rewritten: tuple[str, ...] = ()
    scanned: tuple[str, ...] = ()
    built: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    sampled: bool = False


@dataclass(frozen=True, slots=True)
class FileTrace:
    """What one file did. `problem`: why it went no further. `left`: what it leaves behind in its session.

    inconclusive: the problem may be the copy's: it has no rows, and its role is no superuser.
    """

    filename: str
    statements: tuple[StatementTrace, ...]
    problem: Problem | None = None
    inconclusive: bool = False
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The whole of it.

    Attributes
    ----------
    server_version: of the throwaway server; `of`: of the environment's own.
    files: in order, up to the first that did not go through; empty where `problem` says why nothing was tried.
    changes: how the schema differs afterwards.
    notes: what could not be copied, and what else somebody must know who reads this.

    """

    environment: str
    server_version: str
    of: str
    files: tuple[FileTrace, ...] = ()
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    problem: Problem | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> FileTrace | None:
        """The file that did not go through."""
        return next((file for file in self.files if file.problem is not None), None)


def trace_of(
    index: int, line: int, statement: str, kind: str, before: Snapshot, after: Snapshot, locks: tuple[Lock, ...]
) -> StatementTrace:
    """What happened between two snapshots."""
    same = before.files.keys() & after.files.keys()
    rewritten = {oid for oid in same if before.files[oid] != after.files[oid] and oid not in before.indexes}
    old_files = frozenset(before.files.values())
    built = {oid for oid in after.indexes if after.files.get(oid, 0) not in old_files}
    scanned = {oid for oid, times in after.scans.items() if times > before.scans.get(oid, 0)}
    return StatementTrace(
        index=index,
        line=line,
        statement=statement,
        kind=kind,
        locks=locks,
        rewritten=_names(after, rewritten),
        scanned=_names(after, scanned & before.relations.keys()),
        built=_names(after, built),
        gone=_gone(before, after),
    )


def _names(snapshot: Snapshot, oids: Iterable[int]) -> tuple[str, ...]:
    return tuple(sorted(snapshot.relations[oid] for oid in oids if oid in snapshot.relations))


def _gone(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """What is gone, without what was made anew by the same name, and what belongs to a table that is gone itself."""
    there = {(thing.kind, thing.name) for thing in after.objects.values()}
    gone = {
        key: thing
        for key, thing in before.objects.items()
        if key not in after.objects and (thing.kind, thing.name) not in there
    }
    tables = {oid for catalog, oid, number in gone if catalog == "pg_class" and number == 0}
    told = (thing for (_, oid, number), thing in gone.items() if number == 0 or oid not in tables)
    return tuple(sorted(f"{thing.kind} {thing.name}" for thing in told))


def new_locks(held: Mapping[str, Lock], seen: Iterable[tuple[str, str]], index: int) -> tuple[Lock, ...]:
    """The locks among (relation, mode) pairs that are stronger than what is held on that relation already."""
    strongest: dict[str, Lock] = {}
    for relation, mode in seen:
        known = strongest.get(relation) or held.get(relation)
        if mode in LOCK_MODES[1:] and (known is None or LOCK_MODES.index(mode) > LOCK_MODES.index(known.mode)):
            strongest[relation] = Lock(relation, mode, index)
    return tuple(strongest[relation] for relation in sorted(strongest))


def differences(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """How two snapshots of one database differ, object by object, ordered by kind and name.

    A table that is new or gone is told with its columns and constraints, as one change.
    """
    again, changes = _made_anew(before, after), []
    for key in before.objects.keys() | (after.objects.keys() - again.values()):
        old, new = before.objects.get(key), after.objects.get(again.get(key, key))
        if old is None and new is not None:
            changes += [] if _belongs(key, before, after) else [Change(new.kind, new.name, "", _whole(key, after))]
        elif new is None and old is not None:
            changes += [] if _belongs(key, after, before) else [Change(old.kind, old.name, _whole(key, before), "")]
        elif old is not None and new is not None and old != new:
            changes.append(Change(new.kind, _name_of(old, new), _text_of(old), _text_of(new)))
    return tuple(sorted(changes, key=lambda change: (change.kind, change.name, change.sign)))


def _belongs(key: ObjectKey, without: Snapshot, within: Snapshot) -> bool:
    """Whether it is part of a table that only one of the two snapshots has."""
    thing = within.objects[key]
    if thing.kind == "column":
        return ("pg_class", key[1], 0) not in without.objects
    if thing.kind == "constraint":
        return _is_only_in(thing.name.rpartition(" on ")[2], within, without)
    if thing.kind in ("index", "sequence"):
        return any(_is_only_in(table, within, without) for table in _parents(thing, within))
    return False


def _is_only_in(table: str, within: Snapshot, without: Snapshot) -> bool:
    there = {key for key, thing in within.objects.items() if thing.name == table and key[2] == 0}
    return bool(there) and not there & without.objects.keys()


def _parents(thing: SchemaObject, within: Snapshot) -> list[str]:
    """The tables whose constraint an index keeps, or whose column's default a sequence gives."""
    schema, _, name = thing.name.rpartition(".")
    if thing.kind == "index":
        named = (other.name for other in within.objects.values() if other.kind == "constraint")
        return [table for kept, _, table in (one.rpartition(" on ") for one in named) if kept == name]
    asks = f"nextval('{thing.name}'"
    given = (other for other in within.objects.values() if other.kind == "column" and asks in other.definition)
    return [column.name.rpartition(".")[0] for column in given if column.name.startswith(f"{schema}.")]


def _whole(key: ObjectKey, within: Snapshot) -> str:
    """A table with what belongs to it, a line each; anything else as it is."""
    thing = within.objects[key]
    if thing.kind not in ("table", "foreign table"):
        return _text_of(thing)
    columns = sorted(
        ((k[2], t) for k, t in within.objects.items() if t.kind == "column" and k[1] == key[1]),
        key=lambda pair: pair[0],
    )
    lines = [f"{column.name.rpartition('.')[2]} {column.definition}" for _, column in columns]
    ends = f" on {thing.name}"
    kept = (t for t in within.objects.values() if t.kind == "constraint" and t.name.endswith(ends))
    lines += sorted(f"CONSTRAINT {one.name.removesuffix(ends)} {one.definition}" for one in kept)
    return "\n".join([*([thing.definition] if thing.definition else []), *lines]) or thing.name


def _made_anew(before: Snapshot, after: Snapshot) -> dict[ObjectKey, ObjectKey]:
    """What was dropped and made again by the same name: its key before, and its key after."""
    fresh = {(t.kind, t.name): key for key, t in after.objects.items() if key not in before.objects}
    lost = {(t.kind, t.name): key for key, t in before.objects.items() if key not in after.objects}
    return {lost[name]: fresh[name] for name in lost.keys() & fresh.keys()}


def _name_of(old: SchemaObject | None, new: SchemaObject | None) -> str:
    if old and new and old.name != new.name:
        return f"{old.name} → {new.name}"
    told = new or old
    return told.name if told else ""


def _text_of(thing: SchemaObject | None) -> str:
    return "" if thing is None else thing.definition or thing.name
