"""Removing or overwriting rows without saying which."""

from collections.abc import Iterator

from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.folding import keeps_every_row
from dashboard.core.safety.names import listed, relation_name, shown
from dashboard.core.safety.rule import Claim, Remark, Rule
from dashboard.core.tree import Node


def _truncate(truncate: Node, batch: Batch) -> Iterator[Remark]:
    if truncate.behavior == "DROP_CASCADE":
        return
    for relation in truncate.relations:
        if not batch.has_new_table(relation):
            restart = ", and starts its sequences over" if truncate.restart_seqs else ""
            yield Remark(f"removes every row of {relation_name(relation)}{restart}", at=relation)


def _truncate_cascade(truncate: Node, _: Batch) -> Iterator[Remark]:
    if truncate.behavior != "DROP_CASCADE":
        return
    for relation in truncate.relations:
        name = relation_name(relation)
        yield Remark(f"removes every row of {name}, and of every table that refers to it, and so on", at=relation)


def _delete(delete: Node, batch: Batch) -> Iterator[Remark]:
    if keeps_every_row(delete.where_clause) and not batch.has_new_table(delete.relation):
        yield Remark(f"deletes every row of {relation_name(delete.relation)}{_of_join(delete.using_clause)}")


def _update(update: Node, batch: Batch) -> Iterator[Remark]:
    columns = [target.name for target in update.target_list]
    old = [shown(name) for name in columns if not batch.has_new_column(update.relation, name)]
    if old and keeps_every_row(update.where_clause):
        name = relation_name(update.relation)
        yield Remark(f"overwrites {listed(old)} in every row of {name}{_of_join(update.from_clause)}")


def _of_join(joined: tuple[Node, ...]) -> str:
    return " that the join reaches" if joined else ""


def _merge_delete(merge: Node, batch: Batch) -> Iterator[Remark]:
    if not batch.has_new_table(merge.relation):
        for clause in _unbounded(merge, "CMD_DELETE"):
            yield Remark(f"deletes every row of {relation_name(merge.relation)}{_reach(clause)}")


def _merge_update(merge: Node, batch: Batch) -> Iterator[Remark]:
    for clause in _unbounded(merge, "CMD_UPDATE"):
        columns = [target.name for target in clause.target_list]
        old = [shown(name) for name in columns if not batch.has_new_column(merge.relation, name)]
        if old:
            yield Remark(f"overwrites {listed(old)} in every row of {relation_name(merge.relation)}{_reach(clause)}")


def _unbounded(merge: Node, command: str) -> Iterator[Node]:
    """The clauses of a MERGE that reach rows without saying which: by a join that is always true, or by its absence."""
    everything = keeps_every_row(merge.join_condition)
    for clause in merge.merge_when_clauses:
        reaches = clause.match_kind == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE" or everything
        if clause.command_type == command and reaches and keeps_every_row(clause.condition):
            yield clause


def _reach(clause: Node) -> str:
    by_source = clause.match_kind == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE"
    return " that the source does not have" if by_source else ": its join is always true"


def _under_lock(change: Node, batch: Batch) -> Iterator[Remark]:
    held = batch.holds()
    if held and _reaches_many(change) and not batch.has_new_table(change.relation):
        tables = listed([shown(*key) if key[0] != "public" else shown(key[1]) for key in held])
        what = f"writes rows of {relation_name(change.relation)} while this file holds its lock on {tables}"
        yield Remark(f"{what}; who wants to write there waits until all is committed")


def _reaches_many(change: Node) -> bool:
    """Whether it may reach more than the rows that it names: all but VALUES, and WHERE key = 'constant'."""
    if change.type == "InsertStmt":
        return change.select_stmt is not None and bool(change.select_stmt.from_clause)
    where = change.get("where_clause")
    if where is None or where.type != "A_Expr" or where.name != ("=",):
        return True
    sides = (where.lexpr, where.rexpr)
    return not any(side is not None and side.type == "A_Const" for side in sides)


RULES = (
    Rule(
        "truncate",
        RiskClass.DESTRUCTIVE,
        ("TruncateStmt",),
        _truncate,
        about="TRUNCATE; one remark per table. Tables that this batch made, and temporary ones, may be emptied.",
        safer="Rename the table away and make an empty one, or DELETE in batches by a range of keys.",
    ),
    Rule(
        "truncate-cascade",
        RiskClass.DESTRUCTIVE,
        ("TruncateStmt",),
        _truncate_cascade,
        about=(
            "TRUNCATE … CASCADE empties every table with a foreign key to it, recursively. A new table is no excuse: "
            "an old one may refer to it by now."
        ),
        safer="Leave CASCADE out, and name each table.",
    ),
    Rule(
        "delete-without-where",
        RiskClass.DESTRUCTIVE,
        ("DeleteStmt",),
        _delete,
        about=(
            "DELETE without WHERE, or with one that is always true (true, 1 = 1, a OR true, id = id). A join in USING "
            "is no WHERE. Looked for in CTEs, EXPLAIN ANALYZE, PREPARE, COPY, DO blocks and functions that are called."
        ),
        safer="Say which rows: DELETE … WHERE a range of keys, in batches.",
    ),
    Rule(
        "update-without-where",
        RiskClass.DESTRUCTIVE,
        ("UpdateStmt",),
        _update,
        about=(
            "UPDATE without WHERE, or with one that is always true: the old values are gone. Filling columns that this "
            "batch added loses nothing and passes."
        ),
        safer="Say which rows (WHERE … IS NULL, a range of keys), or keep the old values in another column first.",
    ),
    Rule(
        "merge-delete",
        RiskClass.DESTRUCTIVE,
        ("MergeStmt",),
        _merge_delete,
        about=(
            "MERGE … THEN DELETE where nothing bounds it: the join is always true, or WHEN NOT MATCHED BY SOURCE has "
            "no condition, which deletes whatever the source does not have."
        ),
        safer="Bound it: WHEN NOT MATCHED BY SOURCE AND … THEN DELETE.",
    ),
    Rule(
        "merge-update",
        RiskClass.DESTRUCTIVE,
        ("MergeStmt",),
        _merge_update,
        about="MERGE … THEN UPDATE where nothing bounds it, as in merge-delete; new columns may be filled.",
        safer="Bound it: WHEN NOT MATCHED BY SOURCE AND … THEN UPDATE.",
    ),
    Rule(
        "ddl-and-bulk-dml",
        RiskClass.BLOCKING,
        ("UpdateStmt", "DeleteStmt", "MergeStmt", "InsertStmt"),
        _under_lock,
        about=(
            "UPDATE, DELETE, MERGE or INSERT … SELECT behind an ALTER TABLE, CREATE INDEX or LOCK TABLE of the same "
            "transaction: its brief lock is held for as long as the rows take. Filling a new column in the file that "
            "adds it is the usual case. Single rows (VALUES, WHERE key = 'constant') are left alone."
        ),
        safer="Change the table in one file and its rows in the next, in batches where they are many.",
        claim=Claim(lock="AccessExclusiveLock", scans=True),
    ),
)
