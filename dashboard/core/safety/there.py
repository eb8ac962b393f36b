"""What an environment's catalog has, as far as rules ask: its tables, the types that files name, its version."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Name = tuple[str, str]  # schema and name


@dataclass(frozen=True, slots=True)
class Column:
    """A column as it is there.

    Attributes
    ----------
    type: as PostgreSQL writes it: `character varying(50)`. base: of a domain the type below it: `varchar`.
    category: of `pg_type.typcategory`; `E` is an enumeration. domain: whether its type is one.
    generated: `s` stored, `v` virtual; empty where it is not.

    """

    type: str
    base: str
    category: str
    required: bool = False
    domain: bool = False
    generated: str = ""


@dataclass(frozen=True, slots=True)
class Need:
    """Something that cannot be without a table, or without one of its columns.

    Attributes
    ----------
    column: empty where it needs no column in particular.
    kind: view, key (a foreign key of another table), generated, policy or trigger.
    name: without its schema. told: in PostgreSQL's words: "view adults". of: the table that has it, or the name again.

    """

    column: str
    kind: str
    name: str
    told: str
    of: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A table or view that is there, by its real name.

    Attributes
    ----------
    heap: bytes of the table itself, with all partitions. whole: with TOAST and indexes.
    rows: the server's estimate; None where it never counted.
    dependents: what a DROP … CASCADE takes along, as PostgreSQL describes it.
    never_null: columns that a valid constraint keeps from being NULL.
    kind: of `pg_class.relkind`. partition_of: the table that it is a partition of.
    indexes: the columns of each by its name, None for an expression.
    tied: columns that an index of expressions, a CHECK or a foreign key has to be checked for again.
    changing: tables whose rows go or change when rows of this one are deleted.

    """

    schema: str
    name: str
    heap: int = 0
    whole: int = 0
    rows: int | None = None
    dependents: tuple[str, ...] = ()
    never_null: frozenset[str] = frozenset()
    kind: str = "r"
    partition_of: str = ""
    columns: Mapping[str, Column] = field(default_factory=dict)
    indexes: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    constraints: frozenset[str] = frozenset()
    needs: tuple[Need, ...] = ()
    tied: frozenset[str] = frozenset()
    changing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What one environment's catalog said.

    Attributes
    ----------
    tables: by (schema, name) as the files write them; a schema is empty where the file leaves it out.
    asked: the names that were looked for, found or not.
    home: the schema that a name without one is made in.
    version: the server's major version; 0 where nobody asked.
    strict: domains that refuse some value, so that a column of one is written at once.
    volatile: functions of the users' that may give each row another value.

    """

    tables: Mapping[Name, Fact] = field(default_factory=dict)
    asked: frozenset[Name] = frozenset()
    home: str = ""
    version: int = 0
    strict: frozenset[str] = frozenset()
    volatile: frozenset[str] = frozenset()

    @property
    def keys(self) -> frozenset[Name]:
        """(schema, name) of every table that is there; public where nobody told."""
        found = {(fact.schema, fact.name) for fact in self.tables.values()}
        return frozenset(found | {(schema or "public", name) for schema, name in self.tables})


NOTHING = Facts()

_ALIKE = {"varchar": {"varchar", "text"}, "text": {"varchar", "text"}, "cidr": {"cidr", "inet"}}
_FRACTIONS = frozenset({"timestamp", "timestamptz"})
_STORED_BY_SIZE = frozenset({"bpchar", "bit", "varbit", "interval", "time", "timetz"})
_FINEST = 6  # digits of a second


def widens(old: Column, base: str, sizes: Sequence[int]) -> bool:
    """Whether a column can take that type without a row being written or read; `sizes` as in numeric(10, 2).

    >>> short = Column("character varying(20)", "varchar", "S")
    >>> widens(short, "varchar", [50]), widens(short, "text", []), widens(short, "varchar", [10])
    (True, True, False)
    """
    had = [int(size) for size in re.findall(r"-?\d+", old.type.partition("(")[2].partition(")")[0])]
    if base == "numeric" == old.base:
        return not sizes or (bool(had) and [*sizes, 0][1] == [*had, 0][1] and sizes[0] >= had[0])
    if base in _FRACTIONS and base == old.base:
        return not sizes or sizes[0] >= [*had, _FINEST][0]
    if base == "varchar" and sizes:
        return old.base == "varchar" and bool(had) and sizes[0] >= had[0]
    return base in _ALIKE.get(old.base, {old.base}) and not sizes and old.base not in _STORED_BY_SIZE
