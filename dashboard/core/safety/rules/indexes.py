"""Building, dropping and reordering indexes and tables while others wait."""

from collections.abc import Iterator
from typing import Any

from dashboard.core.commands import switched_on
from dashboard.core.parser import write
from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.names import path_of, relation_name, shown
from dashboard.core.safety.rule import Claim, Remark, Rule
from dashboard.core.tree import Node


def _concurrent(message: Any) -> None:
    message.concurrent = True


def _create_index(index: Node, batch: Batch) -> Iterator[Remark]:
    if index.concurrent or batch.has_new_table(index.relation):
        return
    name, table = shown(index.idxname) or "an index", relation_name(index.relation)
    what = f"builds {name} on {table}; until it is built and the file is committed, nobody can write to {table}"
    yield Remark(what, f"{write(index, _concurrent)}\nIn a file of its own: it cannot run in a transaction.")


def _drop_index(drop: Node, batch: Batch) -> Iterator[Remark]:
    if drop.remove_type != "OBJECT_INDEX" or drop.concurrent:
        return
    for path in map(path_of, drop.objects):
        if not batch.has_new("index", path):
            what = f"drops index {shown(*path)}; nobody can read or write its table until the file is committed"
            exists = "IF EXISTS " if drop.missing_ok else ""
            safer = f"DROP INDEX CONCURRENTLY {exists}{shown(*path)};\nIn a file of its own, and without CASCADE."
            yield Remark(what, safer)


def _reindex(reindex: Node, batch: Batch) -> Iterator[Remark]:
    if switched_on(reindex.params, "concurrently") or (reindex.relation and batch.has_new_table(reindex.relation)):
        return
    kind = reindex.kind.removeprefix("REINDEX_OBJECT_")
    name = relation_name(reindex.relation) if reindex.relation else shown(reindex.name)
    what = f"builds {kind.lower()} {name} anew; nobody can write to the table, nor read through the index".replace(
        "  ", " "
    )
    yield Remark(what, f"REINDEX {kind} CONCURRENTLY {name};" if kind != "SYSTEM" else None)


def _cluster(cluster: Node, batch: Batch) -> Iterator[Remark]:
    if cluster.relation is None:
        yield Remark("sorts every table that was clustered before, and nobody can read or write them meanwhile")
    elif not batch.has_new_table(cluster.relation):
        name = relation_name(cluster.relation)
        yield Remark(f"writes {name} anew in the order of an index; nobody can read or write it meanwhile")


def _vacuum_full(vacuum: Node, batch: Batch) -> Iterator[Remark]:
    if not switched_on(vacuum.options, "full"):
        return
    relations = [one.relation for one in vacuum.rels]
    names = [relation_name(one) for one in relations if not batch.has_new_table(one)]
    for name in names if relations else ["every table of the database"]:
        safer = f"VACUUM {name};" if relations else None
        yield Remark(f"writes {name} anew, and nobody can read or write meanwhile", safer)


def _refresh(refresh: Node, batch: Batch) -> Iterator[Remark]:
    if refresh.concurrent or batch.has_new_table(refresh.relation):
        return
    name = relation_name(refresh.relation)
    if refresh.skip_data:
        yield Remark(f"empties {name}, and every read of it fails until it is refreshed")
    else:
        what = f"computes {name} anew; nobody can read it meanwhile"
        yield Remark(what, f"REFRESH MATERIALIZED VIEW CONCURRENTLY {name};\nIt needs a unique index on plain columns.")


RULES = (
    Rule(
        "create-index",
        RiskClass.BLOCKING,
        ("IndexStmt",),
        _create_index,
        about=(
            "CREATE INDEX without CONCURRENTLY lets nobody write to the table while it is built, and the rest of the "
            "file runs under the same lock. Tables that this batch made are left alone. A partitioned table cannot be "
            "indexed concurrently: create the index ON ONLY the parent, concurrently on each partition, and attach "
            "each with ALTER INDEX … ATTACH PARTITION."
        ),
        safer="CREATE INDEX CONCURRENTLY, in a file of its own.",
        claim=Claim(lock="ShareLock", scans=True),
    ),
    Rule(
        "drop-index",
        RiskClass.BLOCKING,
        ("DropStmt",),
        _drop_index,
        about=(
            "DROP INDEX takes ACCESS EXCLUSIVE on the index and on its table, and holds it until the commit. "
            "It is quick once it has the lock, but every query that comes after it waits behind it. "
            "An index that this batch made may go."
        ),
        safer="DROP INDEX CONCURRENTLY, one index in a file of its own.",
        claim=Claim(lock="AccessExclusiveLock"),
    ),
    Rule(
        "reindex",
        RiskClass.BLOCKING,
        ("ReindexStmt",),
        _reindex,
        about="REINDEX without CONCURRENTLY: SHARE on the table and ACCESS EXCLUSIVE on each index while it is built.",
        safer="REINDEX … CONCURRENTLY. When it fails it leaves an INVALID index whose name ends in _ccnew: drop that.",
        claim=Claim(lock="ShareLock", scans=True),
    ),
    Rule(
        "cluster",
        RiskClass.BLOCKING,
        ("ClusterStmt",),
        _cluster,
        about="CLUSTER writes the whole table and its indexes anew under ACCESS EXCLUSIVE.",
        safer="Leave it to pg_repack, or to a maintenance window.",
        claim=Claim(lock="AccessExclusiveLock", scans=True, rewrites=True),
    ),
    Rule(
        "vacuum-full",
        RiskClass.BLOCKING,
        ("VacuumStmt",),
        _vacuum_full,
        about="VACUUM FULL writes the whole table and its indexes anew under ACCESS EXCLUSIVE. FULL false is not.",
        safer="Plain VACUUM, which lets everybody go on; pg_repack where the space has to come back.",
    ),
    Rule(
        "refresh-matview",
        RiskClass.BLOCKING,
        ("RefreshMatViewStmt",),
        _refresh,
        about="REFRESH MATERIALIZED VIEW without CONCURRENTLY: nobody can read the view while it is computed.",
        safer="REFRESH MATERIALIZED VIEW CONCURRENTLY; it needs a unique index, and may run in a transaction.",
        claim=Claim(lock="AccessExclusiveLock", rewrites=True, scans=True),
    ),
)
