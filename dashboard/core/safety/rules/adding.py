"""Adding columns: most need their lock only for a moment, these read or write the whole table under it."""

from collections.abc import Iterator
from dataclasses import replace

from dashboard.core.safety.altering import added, column_name, commands, table
from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.names import path_of, relation_name, shown
from dashboard.core.safety.rule import Claim, Judge, Remark, Rule
from dashboard.core.safety.there import widens
from dashboard.core.tree import Node, find

_VOLATILE = frozenset(
    {"random", "random_normal", "gen_random_uuid", "uuidv4", "uuidv7", "clock_timestamp", "timeofday", "nextval"}
    | {"setval", "uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v4", "gen_random_bytes", "lastval", "currval"}
)
_SERIAL = frozenset({"serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"})
_MEANWHILE = "nobody can read or write it meanwhile"
_STEPS = "\nThen fill the old rows in batches, in a later file, and add what is missing behind that."


def _volatile(alter: Node, batch: Batch) -> Iterator[Remark]:
    for _, column, has in added(alter, batch):
        default = has.get("CONSTR_DEFAULT")
        calls = find(default.raw_expr, "FuncCall") if default else ()
        names = _VOLATILE | batch.there.volatile
        name = next((call.funcname[-1] for call in calls if call.funcname[-1] in names), None)
        if name:
            of = relation_name(alter.relation)
            what = f"writes {of} anew to give each row its own {name}() in {shown(column.colname)}; {_MEANWHILE}"
            type_name = shown(*(part for part in column.type_name.names if part != "pg_catalog"))
            safer = (
                f"{table(alter)} ADD COLUMN {shown(column.colname)} {type_name};\n"
                f"{table(alter)} ALTER COLUMN {shown(column.colname)} SET DEFAULT …;{_STEPS}"
            )
            yield Remark(what, safer)


def _serial(alter: Node, batch: Batch) -> Iterator[Remark]:
    for _, column, _has in added(alter, batch):
        if column.type_name.names[-1] in _SERIAL:
            yield _rewrites(alter, column, "to number its rows")


def _with(kind: str, why: str) -> Judge:
    """A judge of ADD COLUMN with such a constraint, which makes the server write every row."""

    def judge(alter: Node, batch: Batch) -> Iterator[Remark]:
        for _, column, has in added(alter, batch):
            if kind in has and not (kind == "CONSTR_GENERATED" and has[kind].generated_kind != "s"):
                yield _rewrites(alter, column, why)

    return judge


def _rewrites(alter: Node, column: Node, why: str) -> Remark:
    of = relation_name(alter.relation)
    return Remark(f"writes {of} anew {why} in {shown(column.colname)}; {_MEANWHILE}")


def _reads(kind: str, what: str) -> Judge:
    """A judge of ADD COLUMN with a constraint for which the server reads every row."""

    def judge(alter: Node, batch: Batch) -> Iterator[Remark]:
        for _, column, has in added(alter, batch):
            if kind in has:
                yield Remark(f"{what} {column_name(alter, column.colname)}; {_MEANWHILE}")

    return judge


def _foreign_key(alter: Node, batch: Batch) -> Iterator[Remark]:
    for _, column, has in added(alter, batch):
        default = has.get("CONSTR_DEFAULT")
        if "CONSTR_FOREIGN" in has and default is not None and _is_set(default.raw_expr):
            other = relation_name(has["CONSTR_FOREIGN"].pktable)
            what = f"looks up every row of {relation_name(alter.relation)} in {other} for {shown(column.colname)}"
            yield Remark(f"{what}; {_MEANWHILE}")


def _is_set(default: Node) -> bool:
    while default.type == "TypeCast":
        default = default.arg
    return not (default.type == "A_Const" and default.constant is None)


def _required(alter: Node, batch: Batch) -> Iterator[Remark]:
    filled = ("CONSTR_DEFAULT", "CONSTR_IDENTITY", "CONSTR_GENERATED")
    for _, column, has in added(alter, batch):
        is_serial = column.type_name.names[-1] in _SERIAL
        must = "CONSTR_NOTNULL" in has or "CONSTR_PRIMARY" in has
        if must and not is_serial and not any(one in has for one in filled):
            of, name = relation_name(alter.relation), shown(column.colname)
            what = f"adds required column {name} to {of} without a value: it fails as soon as {of} has a row"
            yield Remark(what, f"{table(alter)} ADD COLUMN {name} … NOT NULL DEFAULT …;", certain=False)


def _set_not_null(alter: Node, batch: Batch) -> Iterator[Remark]:
    for command in commands(alter, batch, "AT_SetNotNull"):
        of, column = relation_name(alter.relation), command.name
        check = shown(f"{alter.relation.relname}_{column}_not_null"[:63])
        what = f"looks for NULLs in every row of {of}, unless a valid CHECK rules them out; {_MEANWHILE}"
        safer = (
            f"{table(alter)} ADD CONSTRAINT {check} CHECK ({shown(column)} IS NOT NULL) NOT VALID;\n"
            f"{table(alter)} VALIDATE CONSTRAINT {check};\n"
            f"{table(alter)} ALTER COLUMN {shown(column)} SET NOT NULL;\n"
            f"{table(alter)} DROP CONSTRAINT {check};\n"
            "The first two each in a file of its own; with the CHECK in place the third reads nothing."
        )
        if not batch.has_new_column(alter.relation, column):
            yield Remark(what, safer)


def _change_type(alter: Node, batch: Batch) -> Iterator[Remark]:
    for command in commands(alter, batch, "AT_AlterColumnType"):
        if _is_stored_alike(alter, command, batch):
            continue
        what = f"writes {relation_name(alter.relation)} anew to change the type of {shown(command.name)}"
        yield Remark(f"{what}, unless both types are stored alike; {_MEANWHILE}")


def _is_stored_alike(alter: Node, command: Node, batch: Batch) -> bool:
    """Whether the catalog tells that the rows stay as they are, and nothing has to look at them again."""
    fact, old = batch.fact(path_of(alter.relation)), batch.column(alter.relation, command.name)
    definition = command.get("def")
    plain = definition.raw_default is None and definition.coll_clause is None and not definition.type_name.array_bounds
    if fact is None or fact.kind != "r" or old is None or old.domain or not plain or command.name in fact.tied:
        return False
    sizes = [size.constant for size in definition.type_name.typmods]
    return widens(old, definition.type_name.names[-1], [size for size in sizes if isinstance(size, int)])


def _storage(subtype: str, what: str) -> Judge:
    def judge(alter: Node, batch: Batch) -> Iterator[Remark]:
        for command in commands(alter, batch, subtype):
            where = what.format(name=shown(command.name))
            yield Remark(f"writes {relation_name(alter.relation)} anew {where}; {_MEANWHILE}")

    return judge


def _lock_table(lock: Node, batch: Batch) -> Iterator[Remark]:
    for relation in lock.relations if lock.mode >= _SHARE else ():
        if not batch.has_new_table(relation):
            yield Remark(f"holds a lock on {relation_name(relation)} until the file ends, and others wait", at=relation)


_into_tablespace = _storage("AT_SetTableSpace", "in tablespace {name}")


def _move_all(move: Node, _: Batch) -> Iterator[Remark]:
    old, new = shown(move.orig_tablespacename), shown(move.new_tablespacename)
    yield Remark(f"copies all that lies in tablespace {old} to {new}; {_MEANWHILE}")


def _tablespace(node: Node, batch: Batch) -> Iterator[Remark]:
    yield from (_move_all if node.type == "AlterTableMoveAllStmt" else _into_tablespace)(node, batch)


def _lock_rows(select: Node, batch: Batch) -> Iterator[Remark]:
    if not select.locking_clause or select.where_clause is not None or select.limit_count is not None:
        return
    for table_ in select.from_clause:
        if table_.type == "RangeVar" and not batch.has_new_table(table_):
            name = relation_name(table_)
            yield Remark(f"locks every row of {name} until the file ends; nobody can change one meanwhile", at=table_)


_SHARE = 5  # the number of the weakest lock that stops writers
_IN_STEPS = "Add the column without it, fill the rows in batches, and add it in a later file."
_STRONG = "AccessExclusiveLock"
_ON = {
    "lock-table": ("LockStmt",),
    "select-for-update-all": ("SelectStmt",),
    "set-tablespace": ("AT_SetTableSpace", "AlterTableMoveAllStmt"),
    "set-not-null": ("AT_SetNotNull",),
    "alter-column-type": ("AT_AlterColumnType",),
    "set-logged": ("AT_SetLogged",),
    "set-access-method": ("AT_SetAccessMethod",),
    "set-expression": ("AT_SetExpression",),
}


def _rule(
    name: str, judge: Judge, about: str, safer: str, claim: Claim | None, risk: RiskClass = RiskClass.BLOCKING
) -> Rule:
    return Rule(name, risk, _ON.get(name, ("AT_AddColumn",)), judge, about=about, safer=safer, claim=claim)


_REWRITE, _SCAN = Claim(lock=_STRONG, scans=True, rewrites=True), Claim(lock=_STRONG, scans=True)

RULES = (
    _rule(
        "add-column-volatile-default",
        _volatile,
        "ADD COLUMN with a default that differs from row to row, such as random() or gen_random_uuid(), writes the "
        "whole table. Constants, now() and current_user do not. Of functions of your own the text does not tell, only "
        "the environment's catalog.",
        "Add the column, SET DEFAULT in a second statement, and fill the old rows in batches.",
        replace(_REWRITE, since=13),  # gen_random_uuid()
    ),
    _rule(
        "add-column-serial",
        _serial,
        "ADD COLUMN with a serial type writes the whole table, because each row gets a number.",
        "Add an integer column, give it a sequence with SET DEFAULT nextval(…), and fill the old rows in batches.",
        _REWRITE,
    ),
    _rule(
        "add-column-identity",
        _with("CONSTR_IDENTITY", "to number its rows"),
        "ADD COLUMN … GENERATED AS IDENTITY writes the whole table. ALTER COLUMN … ADD GENERATED does not.",
        "Add an integer column, fill the old rows in batches, make it NOT NULL, then ALTER COLUMN … ADD GENERATED.",
        _REWRITE,
    ),
    _rule(
        "add-column-stored-generated",
        _with("CONSTR_GENERATED", "to compute each row's value"),
        "ADD COLUMN … GENERATED ALWAYS AS (…) STORED writes the whole table. VIRTUAL (PostgreSQL 18) does not.",
        "A plain column with a trigger, filled in batches; or VIRTUAL on PostgreSQL 18.",
        _REWRITE,
    ),
    _rule(
        "add-column-check",
        _reads("CONSTR_CHECK", "reads every row to check"),
        "ADD COLUMN … CHECK (…) reads the whole table under ACCESS EXCLUSIVE, although each row is NULL there.",
        "Add the column alone, then ADD CONSTRAINT … CHECK … NOT VALID, and VALIDATE it in a later file.",
        _SCAN,
    ),
    _rule(
        "add-column-unique",
        _reads("CONSTR_UNIQUE", "builds an index on"),
        "ADD COLUMN … UNIQUE builds its index under ACCESS EXCLUSIVE.",
        "Add the column alone, CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … UNIQUE USING INDEX.",
        _SCAN,
    ),
    _rule(
        "add-column-foreign-key-default",
        _foreign_key,
        "ADD COLUMN … REFERENCES with a default other than NULL looks up every row. Without one it reads nothing.",
        "Add the column with its default alone, then ADD CONSTRAINT … FOREIGN KEY … NOT VALID, and VALIDATE it later.",
        _SCAN,
    ),
    _rule(
        "add-required-column",
        _required,
        "ADD COLUMN … NOT NULL without a default fails on a table that has rows, and code that does not know the "
        "column cannot insert any more. Whether there are rows the text does not tell, so it stops nothing.",
        _IN_STEPS,
        Claim(fails="23502"),
        RiskClass.WILL_FAIL,
    ),
    _rule(
        "set-not-null",
        _set_not_null,
        "SET NOT NULL reads the whole table under ACCESS EXCLUSIVE, unless a valid CHECK says IS NOT NULL of it. "
        "The text alone does not tell whether there is one.",
        "Add a CHECK (… IS NOT NULL) NOT VALID, VALIDATE it in a later file, then SET NOT NULL, and drop the CHECK.",
        _SCAN,
    ),
    _rule(
        "alter-column-type",
        _change_type,
        "ALTER COLUMN … TYPE writes the table and its indexes anew, unless both types are stored alike: a longer "
        "varchar, varchar to text, a numeric with more digits. The text does not tell the old type; where the "
        "environment's catalog does, such a change is no finding, unless a CHECK, a foreign key or an index of "
        "expressions hangs on it.",
        "Add a column of the new type, write both, copy in batches, and swap the names in a later release.",
        _REWRITE,
    ),
    _rule(
        "set-logged",
        _storage("AT_SetLogged", "into the server's log"),
        "ALTER TABLE … SET LOGGED writes the whole table, and its log, under ACCESS EXCLUSIVE.",
        "Fill a logged table in batches, and swap the names.",
        _REWRITE,
    ),
    _rule(
        "set-tablespace",
        _tablespace,
        "ALTER TABLE … SET TABLESPACE copies the whole table under ACCESS EXCLUSIVE; ALL IN TABLESPACE every table.",
        "Leave it to pg_repack, or to a maintenance window.",
        None,
    ),
    _rule(
        "set-access-method",
        _storage("AT_SetAccessMethod", "in access method {name}"),
        "ALTER TABLE … SET ACCESS METHOD (PostgreSQL 15) writes the whole table under ACCESS EXCLUSIVE, unless it has "
        "that method already.",
        "Fill a table of the new method in batches, and swap the names.",
        None,
    ),
    _rule(
        "set-expression",
        _storage("AT_SetExpression", "to compute {name} again"),
        "ALTER COLUMN … SET EXPRESSION (PostgreSQL 17) writes the whole table when the column is stored. For a virtual "
        "one (PostgreSQL 18) it does not; the text does not tell which it is.",
        "Add a second generated column, let the code read that, and drop the first one a release later.",
        Claim(lock=_STRONG, scans=True, rewrites=True, since=17),
    ),
    _rule(
        "select-for-update-all",
        _lock_rows,
        "SELECT … FOR UPDATE or FOR SHARE without WHERE and LIMIT, on a table that was there before.",
        "Lock only the rows that the file changes, or none: UPDATE takes the locks it needs.",
        Claim(lock="RowShareLock", scans=True),
    ),
    _rule(
        "lock-table",
        _lock_table,
        "LOCK TABLE in a mode that stops writers holds them up until the file ends.",
        "Leave it out: each statement takes the lock it needs.",
        Claim(lock=_STRONG),
    ),
)
