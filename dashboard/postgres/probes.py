"""Asks the rows of an environment what pending statements will meet, in one transaction that cannot write."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import errors, sql

from dashboard.core.environment import Environment
from dashboard.core.errors import ConnectionLost
from dashboard.core.estimate import amount
from dashboard.core.events import Blocker
from dashboard.core.foresight import KEYS, MOST, Answer, Outcome, counted, named, with_article
from dashboard.core.probes import (
    Affected,
    AnyRow,
    Duplicates,
    Key,
    Nulls,
    Orphans,
    Probe,
    Table,
    Unfit,
    Unknown,
    Validated,
    Violators,
)
from dashboard.core.safety.names import listed, shown
from dashboard.core.safety.there import Column, Fact, Facts, Need
from dashboard.postgres.catalog import Catalog, Known, read_catalog, read_more
from dashboard.postgres.connect import Connection, dial, one_line

PATIENCE = 5  # seconds for one probe
BUDGET = 25.0  # seconds for all of them
_SAMPLE = 64 * 10**6  # bytes of a table that is too large
_TEXTS = frozenset({"text", "varchar", "bpchar", "name", "citext"})
_VALID_SINCE = 160000  # pg_input_is_valid
_KEY_LENGTH = 60

Condition = sql.Composable


@dataclass(frozen=True, slots=True)
class Seen:
    """What a database told.

    Attributes
    ----------
    answers: in the order of the probes.
    oldest: a transaction that is open for long. replication: what sessions of the role begin with.

    """

    answers: tuple[Answer, ...]
    facts: Facts
    oldest: Blocker | None = None
    replication: str = "origin"


def ask(
    environment: Environment,
    probes: Sequence[Probe],
    tables: Collection[Table] = (),
    *,
    types: Collection[str] = (),
    functions: Collection[str] = (),
    size_limit: int,
    budget: float = BUDGET,
) -> Seen:
    """Ask the rows, and the catalog about these names; questions that nobody needs the answer of are left out.

    budget: seconds for all probes. Raises EnvironmentFault, MissingVariable, BadDatabaseUrl.
    """
    if not probes and not tables:
        return Seen((), Facts())
    with dial(environment, purpose="probes") as connection:
        try:
            catalog = _read(connection, probes, tables, types, functions)
            return _ask(connection, probes, _Asker(connection, catalog, size_limit, time.monotonic() + budget), budget)
        except psycopg.Error as lost:
            raise ConnectionLost(environment.name, "while its rows were asked", one_line(lost)) from None


def _read(
    connection: Connection,
    probes: Sequence[Probe],
    tables: Collection[Table],
    types: Collection[str],
    functions: Collection[str],
) -> Catalog:
    asked = {probe.table for probe in probes} | {
        probe.look_for.parent for probe in probes if isinstance(probe.look_for, Orphans)
    }
    asked |= {table for probe in probes for table, _ in probe.after}
    called = {path[-1] for probe in probes for path in probe.functions}
    return read_catalog(connection, asked | set(tables), called | set(functions), types)


def _ask(connection: Connection, probes: Sequence[Probe], asker: "_Asker", budget: float) -> Seen:
    catalog = asker.catalog
    if not probes:
        connection.close()  # which ends the transaction, and takes no answer
        return Seen((), _facts(catalog), catalog.oldest, catalog.replication)
    connection.execute(_settings(catalog.path, budget))
    answers = tuple(filter(None, map(asker.answer, probes)))
    connection.execute("ROLLBACK")
    return Seen(answers, _facts(catalog), catalog.oldest, catalog.replication)


def _facts(catalog: Catalog) -> Facts:
    return Facts(
        {written: _fact(known) for written, known in catalog.tables.items()},
        asked=catalog.asked,
        home=catalog.home,
        version=catalog.version // 10_000,
        strict=catalog.strict,
        volatile=catalog.volatile,
    )


def _fact(known: Known) -> Fact:
    return Fact(
        schema=known.schema,
        name=known.name,
        heap=known.size,
        whole=known.whole,
        rows=known.rows if known.rows >= 0 else None,
        dependents=tuple(known.dependents),
        never_null=known.never_null,
        kind=known.kind,
        partition_of=known.partition_of or "",
        columns={name: _column(one) for name, one in known.columns.items()},
        indexes={name: tuple(one["columns"]) for name, one in known.indexes.items()},
        constraints=frozenset(known.constraints),
        needs=tuple(Need(*need) for need in known.needs),
        tied=known.tied,
        changing=tuple(known.changing),
    )


def _column(one: dict[str, Any]) -> Column:
    return Column(one["type"], one["base"], one["category"], one["required"], one["domain"], one["generated"])


def _settings(path: str, budget: float) -> sql.Composed:
    """The role's own search_path, because its expressions mean that; and no rows that it may not see go unnoticed."""
    return sql.SQL(
        "SET LOCAL search_path = {}; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = '100ms';"
        " SET LOCAL row_security = off; SET LOCAL max_parallel_workers_per_gather = 0"
    ).format(sql.SQL(path or "''"), sql.Literal(f"{1000 * min(PATIENCE, budget):.0f}ms"))


@dataclass(frozen=True, slots=True)
class _Scope:
    """Which rows are read. `source`: what stands after FROM."""

    source: sql.Composable
    how: str
    complete: bool = True


@dataclass(frozen=True, slots=True)
class _Asker:
    connection: Connection
    catalog: Catalog
    size_limit: int
    until: float

    def answer(self, probe: Probe) -> Answer | None:
        known = self.catalog.table(probe.table)
        why = self._why_not(probe, known)
        if why:
            return _said(probe, Outcome.UNCHECKED, why)
        if known is None:
            return None if probe.optional else _missing(probe)
        self.connection.execute("SAVEPOINT probe")
        try:
            return self._find(probe, known)
        except errors.QueryCanceled:
            return _said(probe, Outcome.UNCHECKED, "the check took too long and was stopped")
        except errors.LockNotAvailable:
            return _said(probe, Outcome.UNCHECKED, f"another session has {shown(known.name)} locked")
        except psycopg.Error as wrong:
            if self.connection.broken:
                raise
            return _refused(probe, wrong)
        finally:
            if not self.connection.broken:
                self.connection.execute("ROLLBACK TO SAVEPOINT probe")  # gives back the locks, too

    def _why_not(self, probe: Probe, known: Known | None) -> str:
        if probe.why_not:
            return probe.why_not
        if known is None and probe.unsure:
            return f"{probe.table.words} is not there yet"
        if known is not None and known.kind not in "rp":
            return f"{probe.table.words} is no table of this database"
        reaching = next((one for one in probe.after if self._spreads(one[0])), None)
        if reaching and not isinstance(probe.look_for, Affected):
            table, place = reaching
            return (
                f"{place} writes to {table.words}, whose triggers or foreign keys may change {probe.table.words} first"
            )
        volatile = next((path[-1] for path in probe.functions if path[-1] in self.catalog.volatile), None)
        if volatile:
            return f"it calls {shown(volatile)}(), which is volatile and may do anything"
        return "the time for all checks ran out" if time.monotonic() > self.until else ""

    def _spreads(self, table: Table) -> bool:
        known = self.catalog.table(table)
        return known is not None and known.spreads

    def _find(self, probe: Probe, known: Known) -> Answer | None:  # one way for each kind
        match probe.look_for:
            case Nulls(column):
                return self._nulls(probe, known, column)
            case Duplicates() as wanted:
                return self._duplicates(probe, known, wanted)
            case Violators(expression):
                return self._violators(probe, known, expression)
            case Orphans() as wanted:
                return self._orphans(probe, known, wanted)
            case Unfit() as wanted:
                return self._unfit(probe, known, wanted)
            case AnyRow() as wanted:
                return self._any_row(probe, known, wanted)
            case Validated(constraint):
                return self._validated(probe, known, constraint)
            case Affected(statement):
                return self._affected(probe, known, statement)
            case Unknown():
                return _said(probe, Outcome.UNCHECKED, "only the statement itself can tell")

    # --- one method per kind ---

    def _nulls(self, probe: Probe, known: Known, column: str) -> Answer | None:
        if column not in known.columns:
            return _no_column(probe, known, column)
        if known.columns[column]["required"]:
            return _said(probe, Outcome.PASSES, f"{shown(column)} of {known.name} is NOT NULL already")
        name = sql.Identifier(column)
        scope = self._by_index(probe, known, column) or self._scope(probe, known)
        advice = f"Give them one first, in batches, and {shown(column)} a DEFAULT for rows to come."
        return self._rows(
            probe, known, scope, sql.SQL("{} IS NULL").format(name), f"no value in {shown(column)}", advice
        )

    def _violators(self, probe: Probe, known: Known, expression: str) -> Answer:
        broken = sql.SQL("({}) IS FALSE").format(_text(expression))
        advice = "Change those rows first, or add the constraint NOT VALID and clean up before VALIDATE."
        return self._rows(probe, known, self._scope(probe, known), broken, f"{_bracketed(expression)} false", advice)

    def _orphans(self, probe: Probe, known: Known, wanted: Orphans) -> Answer:
        parent = self.catalog.table(wanted.parent)
        if parent is None:
            return _missing(replace(probe, table=wanted.parent))
        others = wanted.others or parent.key
        missing = [column for column in wanted.columns if column not in known.columns]
        if missing:
            return _no_column(probe, known, missing[0])
        if len(others) != len(wanted.columns):
            return _said(probe, Outcome.UNCHECKED, f"the key of {wanted.parent.words} is not known")
        pairs = [
            sql.SQL("found.{} = {}.{}").format(sql.Identifier(other), known.identifier, sql.Identifier(column))
            for column, other in zip(wanted.columns, others, strict=True)
        ]
        given = [sql.SQL("{} IS NOT NULL").format(sql.Identifier(column)) for column in wanted.columns]
        lost = sql.SQL("({} AND NOT EXISTS (SELECT FROM {} AS found WHERE {}))").format(
            sql.SQL(" AND ").join(given), parent.identifier, sql.SQL(" AND ").join(pairs)
        )
        if wanted.full and len(given) > 1:
            nulls = sql.SQL(", ").join(map(sql.Identifier, wanted.columns))
            lost = sql.SQL("({} OR num_nulls({}) BETWEEN 1 AND {})").format(lost, nulls, sql.Literal(len(given) - 1))
        if parent.size > self.size_limit:  # a large parent is asked by its key, row by row
            self.connection.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
        what = f"{with_article(listed([shown(c) for c in wanted.columns]))} that is not in {wanted.parent.words}"
        advice = "Correct or remove those rows first, or add the constraint NOT VALID and VALIDATE it later."
        return self._rows(probe, known, self._scope(probe, known), lost, what, advice)

    def _unfit(self, probe: Probe, known: Known, wanted: Unfit) -> Answer | None:
        about = known.columns.get(wanted.column)
        if about is None:
            return _no_column(probe, known, wanted.column)
        row = self.connection.execute(
            "SELECT t.oid::pg_catalog.int8, b.typname, b.typcategory, pg_catalog.format_type(t.oid, NULL)"
            "  FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_type AS b"
            "    ON b.oid = CASE WHEN t.typbasetype = 0 THEN t.oid ELSE t.typbasetype END"
            " WHERE t.oid = pg_catalog.to_regtype(%s)",
            (wanted.type.partition("(")[0] + wanted.type.partition(")")[2],),
        ).fetchone()
        if row is None:
            return _said(probe, Outcome.UNCHECKED, f"type {wanted.type} is not there yet")
        if not wanted.cast and not self._casts(about["oid"], row[0]):
            what = f"{shown(wanted.column)} of {known.name} is {about['type']}"
            what += f", which does not become {wanted.type} by itself"
            return _said(probe, Outcome.FAILS, what, advice=f"Add USING {shown(wanted.column)}::{wanted.type}.")
        condition = _misfit(wanted, about["base"], row[1], self.catalog.version)
        if condition is None:
            if about["oid"] == row[0] and "(" not in wanted.type:
                return None
            return _said(probe, Outcome.UNCHECKED, f"whether each {about['type']} becomes {wanted.type} was not tried")
        if isinstance(condition, str):
            return _said(probe, Outcome.PASSES, condition) if condition else None
        what = f"{with_article(shown(wanted.column))} that does not fit {wanted.type}"
        advice = "Change those rows first, or choose a type that holds them."
        return self._rows(probe, known, self._scope(probe, known), condition, what, advice)

    def _casts(self, source: int, target: int) -> bool:
        """Whether an assignment would do it."""
        row = self.connection.execute(
            "SELECT %(s)s = %(t)s OR EXISTS (SELECT FROM pg_catalog.pg_cast AS c"
            "        WHERE c.castsource = %(s)s::oid AND c.casttarget = %(t)s::oid AND c.castcontext IN ('a', 'i'))"
            "    OR EXISTS (SELECT FROM pg_catalog.pg_type AS t WHERE t.oid = %(t)s::oid"
            "        AND (t.typcategory = 'S' OR t.typbasetype <> 0))"
            "    OR EXISTS (SELECT FROM pg_catalog.pg_type AS t WHERE t.oid = %(s)s::oid AND t.typbasetype <> 0)",
            {"s": source, "t": target},
        ).fetchone()
        return bool(row and row[0])

    def _any_row(self, probe: Probe, known: Known, wanted: AnyRow) -> Answer | None:
        if wanted.column in known.columns:
            return None
        query = sql.SQL("SELECT count(*) FROM (SELECT 1 FROM {} LIMIT {}) AS few").format(
            self._from(probe, known), sql.Literal(MOST + 1)
        )
        number = self._number(query)
        if number <= wanted.most:
            return _said(
                probe,
                Outcome.PASSES,
                f"{known.name} has {'no row' if number == 0 else counted(number, 'row')}",
                "looked for rows",
            )
        what = f"{known.name} has {counted(number, 'row')}, and the new column {shown(wanted.column)} {wanted.why}"
        advice = "Add it with a DEFAULT, or nullable, fill it in batches, and SET NOT NULL then."
        return replace(_said(probe, Outcome.FAILS, what, "looked for rows", advice), count=number)

    def _validated(self, probe: Probe, known: Known, constraint: str) -> Answer | None:
        about = known.constraints.get(constraint)
        if about is None:
            if probe.unsure:
                return _said(probe, Outcome.UNCHECKED, f"constraint {shown(constraint)} is not there yet")
            what = f"{known.name} has no constraint {shown(constraint)} here"
            return _said(probe, Outcome.FAILS, what, advice="Correct its name, or add it first.")
        if about["valid"]:
            return _said(probe, Outcome.PASSES, f"{shown(constraint)} is valid already")
        match about["type"]:
            case "c":
                return self._violators(probe, known, about["expression"])
            case "n":
                return self._nulls(probe, known, about["columns"][0])
            case "f":
                parent = Table(about["schema"], about["parent"])
                if parent.name in probe.changed:
                    return _said(probe, Outcome.UNCHECKED, f"an earlier statement changes {parent.words} first")
                with_parent = self
                if self.catalog.table(parent) is None:
                    tables = self.catalog.tables | read_more(self.connection, [parent])
                    self.connection.execute(_settings(self.catalog.path, max(0.1, self.until - time.monotonic())))
                    with_parent = replace(self, catalog=replace(self.catalog, tables=tables))
                wanted = Orphans(tuple(about["columns"]), parent, tuple(about["others"]), about["full"])
                return with_parent._orphans(probe, known, wanted)  # noqa: SLF001  # itself
            case _:
                return _said(probe, Outcome.UNCHECKED, "only the statement itself can tell")

    def _affected(self, probe: Probe, known: Known, statement: str) -> Answer:
        explain = sql.SQL("EXPLAIN (FORMAT JSON) {}").format(_text(statement))
        row = self.connection.execute(explain.as_bytes(self.connection)).fetchone()
        plan = row[0][0]["Plan"] if row else {}
        inner = plan.get("Plans", [plan])[0]
        rows, all_rows = int(inner.get("Plan Rows", 0)), max(known.rows, 0)
        verb = "deletes" if statement.lstrip()[:6].upper() == "DELETE" else "changes"
        of = f" of about {all_rows:,}" if all_rows else ""
        what = f"{verb} about {rows:,}{of} rows of {known.name}"
        return replace(_said(probe, Outcome.COUNTED, what, "the planner's estimate"), count=rows)

    def _duplicates(self, probe: Probe, known: Known, wanted: Duplicates) -> Answer | None:
        missing = [key.column for key in wanted.keys if key.column and key.column not in known.columns]
        if missing:
            return _no_column(probe, known, missing[0])
        if wanted.index and wanted.index in known.indexes:
            if wanted.unless_there and known.indexes[wanted.index]["valid"]:
                return _said(probe, Outcome.PASSES, f"index {shown(wanted.index)} is there already")
            what = f"index {shown(wanted.index)} is there already"
            invalid = "" if known.indexes[wanted.index]["valid"] else ", and INVALID"
            return _said(probe, Outcome.FAILS, what + invalid, advice=f"Drop index {shown(wanted.index)} first.")
        scope = self._scope(probe, known)
        keys = sql.SQL(", ").join(_key(key) for key in wanted.keys)
        where = _where(wanted)
        query = sql.SQL(
            "SELECT count(*) FROM (SELECT 1 FROM {} WHERE {} GROUP BY {} HAVING count(*) > 1 LIMIT {}) AS few"
        ).format(scope.source, where, keys, sql.Literal(MOST + 1))
        number = self._number(query)
        words = ", ".join(key.words for key in wanted.keys)
        if not number:
            return _free(probe, scope, f"no two rows of {known.name} have the same {words}")
        examples = self._examples_of_duplicates(known, scope, where, keys) if scope.complete else ()
        occur = "occurs" if number == 1 else "occur"
        what = f"{counted(number, 'value')} of {words} {occur} more than once in {known.name}"
        advice = "Decide which of those rows stay, and merge or remove the others in a file before this one."
        said = _said(probe, Outcome.FAILS, f"{what}{named(examples, number * 2)}", scope.how, advice)
        return replace(said, count=number, keys=examples)

    def _examples_of_duplicates(
        self, known: Known, scope: _Scope, where: Condition, keys: sql.Composable
    ) -> tuple[str, ...]:
        if not known.key:
            return ()
        inner = sql.SQL("SELECT {}, count(*) OVER (PARTITION BY {}) AS rung_times FROM {} WHERE {}").format(
            _primary(known), keys, scope.source, where
        )
        names = sql.SQL(", ").join(sql.Identifier(f"rung_key_{place}") for place in range(len(known.key)))
        query = sql.SQL("SELECT {} FROM ({}) AS twice WHERE rung_times > 1 LIMIT {}").format(
            names, inner, sql.Literal(KEYS)
        )
        return _keys(known, self.connection.execute(query).fetchall())

    # --- reading rows ---

    def _rows(self, probe: Probe, known: Known, scope: _Scope, wrong: Condition, what: str, advice: str) -> Answer:
        query = sql.SQL("SELECT {} FROM {} WHERE {} LIMIT {}").format(
            _primary(known), scope.source, wrong, sql.Literal(MOST + 1)
        )
        rows = self.connection.execute(query).fetchall()
        if not rows:
            return _free(probe, scope, f"no row of {known.name} has {what}")
        keys = _keys(known, rows[:KEYS])
        number = len(rows)
        has = "has" if number == 1 else "have"
        said = f"{counted(number, 'row')} of {known.name} {has} {what}{named(keys, number)}"
        return replace(_said(probe, Outcome.FAILS, said, scope.how, advice), count=number, keys=keys)

    def _number(self, query: sql.Composed) -> int:
        row = self.connection.execute(query).fetchone()
        return int(row[0]) if row else 0

    def _from(self, probe: Probe, known: Known) -> sql.Composable:
        return sql.SQL("ONLY {}" if probe.table.only else "{}").format(known.identifier)

    def _scope(self, probe: Probe, known: Known) -> _Scope:
        source = self._from(probe, known)
        if known.size <= self.size_limit:
            return _Scope(source, f"read in full ({amount(known.size)})")
        share = max(0.0001, min(100.0, 100 * min(_SAMPLE, self.size_limit) / known.size))
        sampled = sql.SQL("{} TABLESAMPLE SYSTEM ({})").format(source, sql.Literal(share))
        return _Scope(sampled, f"a sample of {_percent(share)} of {amount(known.size)}", complete=False)

    def _by_index(self, probe: Probe, known: Known, column: str) -> _Scope | None:
        """A large table has an index that finds the rows at once."""
        fits = [name for name, one in known.indexes.items() if one["usable"] and one["columns"][0] == column]
        if not fits or known.size <= self.size_limit:
            return None
        self.connection.execute("SET LOCAL enable_seqscan = off")
        return _Scope(self._from(probe, known), f"asked index {shown(fits[0])}")


# --- pieces of SQL ---


def _text(text: str) -> sql.SQL:
    """What the parser wrote down again from its own tree, or one statement that it has cut."""
    return sql.SQL(text)  # no literal, see above


def _key(key: Key) -> sql.Composable:
    return sql.Identifier(key.column) if key.column else sql.SQL("({})").format(_text(key.expression))


def _where(wanted: Duplicates) -> sql.Composable:
    conditions: list[sql.Composable] = [sql.SQL("true")]
    if wanted.condition:
        conditions.append(sql.SQL("({})").format(_text(wanted.condition)))
    if not wanted.nulls_equal:
        conditions += [sql.SQL("{} IS NOT NULL").format(_key(key)) for key in wanted.keys]
    return sql.SQL(" AND ").join(conditions)


def _primary(known: Known) -> sql.Composable:
    """The primary key as texts."""
    if not known.key:
        return sql.SQL("NULL")
    texts = (
        sql.SQL("left({}::text, {}) AS {}").format(
            sql.Identifier(column), sql.Literal(_KEY_LENGTH), sql.Identifier(f"rung_key_{place}")
        )
        for place, column in enumerate(known.key)
    )
    return sql.SQL(", ").join(texts)


def _keys(known: Known, rows: Sequence[Sequence[Any]]) -> tuple[str, ...]:
    if not known.key:
        return ()
    return tuple(
        ", ".join(f"{shown(column)} = {value}" for column, value in zip(known.key, row, strict=True)) for row in rows
    )


_RANGES = {"int2": (-(2**15), 2**15 - 1), "int4": (-(2**31), 2**31 - 1), "int8": (-(2**63), 2**63 - 1)}
_WIDTH = {"int2": 2, "int4": 4, "int8": 8}
_NUMBERS = frozenset({*_RANGES, "numeric", "float4", "float8"})


def _misfit(wanted: Unfit, source: str, target: str, version: int) -> Condition | str | None:
    """SQL that is true for a row that does not fit; a sentence where all do; None where it cannot be said."""
    column = sql.Identifier(wanted.column)
    modifiers = [
        int(one) for one in wanted.type.partition("(")[2].partition(")")[0].split(",") if one.strip().isdigit()
    ]
    if target in ("varchar", "bpchar"):
        if not modifiers or wanted.cast:  # a cast that the author wrote cuts off
            return "" if not modifiers else "the cast cuts off what is too long"
        return sql.SQL("length(rtrim({}::text, ' ')) > {}").format(column, sql.Literal(modifiers[0]))
    if target == "text":
        return ""
    if target in _RANGES and source in _NUMBERS:
        if _WIDTH.get(source, 99) <= _WIDTH[target]:
            return ""
        low, high = _RANGES[target]
        inside = (
            sql.SQL("round({}::numeric) BETWEEN {} AND {}") if source == "numeric" else sql.SQL("{} BETWEEN {} AND {}")
        )
        return sql.SQL("NOT ({})").format(inside.format(column, sql.Literal(low), sql.Literal(high)))
    if target == "numeric" and source in _NUMBERS:
        if not modifiers:
            return ""
        precision, scale = modifiers[0], modifiers[1] if len(modifiers) > 1 else 0
        return sql.SQL("abs(round({}::numeric, {})) >= {}::numeric").format(
            column, sql.Literal(scale), sql.Literal(f"1e{precision - scale}")
        )
    if source in _TEXTS and version >= _VALID_SINCE:
        return sql.SQL("NOT pg_catalog.pg_input_is_valid({}::text, {})").format(column, sql.Literal(wanted.type))
    return None


# --- answers ---


def _bracketed(expression: str) -> str:
    """With one pair of brackets around it; what the catalog gives has one already."""
    depth, whole = 0, expression.startswith("(") and expression.endswith(")")
    for character in expression[:-1]:
        depth += {"(": 1, ")": -1}.get(character, 0)
        whole = whole and depth > 0
    return expression if whole else f"({expression})"


def _percent(share: float) -> str:
    return f"{share:.0f} %" if share >= 1 else f"{share:.1g} %"


def _said(probe: Probe, outcome: Outcome, what: str, how: str = "", advice: str = "") -> Answer:
    return Answer(probe.filename, probe.line, probe.statement, outcome, what, how, advice=advice)


def _free(probe: Probe, scope: _Scope, what: str) -> Answer:
    if scope.complete:
        return _said(probe, Outcome.PASSES, what, scope.how)
    return _said(
        probe, Outcome.UNCHECKED, f"the table is too large to be read in full; in {scope.how}, {what}", scope.how
    )


def _missing(probe: Probe) -> Answer:
    what = f"table {probe.table.words} does not exist here"
    return _said(probe, Outcome.FAILS, what, advice="Correct its name, or make it in a file before this one.")


def _no_column(probe: Probe, known: Known, column: str) -> Answer:
    what = f"{known.name} has no column {shown(column)} here"
    return _said(probe, Outcome.FAILS, what, advice="Correct its name, or add it in a file before this one.")


def _refused(probe: Probe, wrong: psycopg.Error) -> Answer:
    """The server's own text may hold what stands in a row, unless it speaks of names."""
    code = wrong.sqlstate or ""
    if code.startswith("22"):
        what = f"on some row the server stops with error {code}"
        return _said(probe, Outcome.FAILS, what, advice="Find out which rows those are, and change them first.")
    if code == "42501":
        return _said(probe, Outcome.UNCHECKED, "the role may not read it")
    if code.startswith("42") and not probe.unsure:
        return _said(probe, Outcome.FAILS, f"the server says: {one_line(wrong)}", advice="Correct the statement.")
    return _said(probe, Outcome.UNCHECKED, f"the server refused the question (SQLSTATE {code})")
