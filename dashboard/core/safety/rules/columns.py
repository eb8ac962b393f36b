"""Changing columns and tables so that values or their safety are lost."""

from collections.abc import Iterator
from typing import Any

from dashboard.core.safety.batch import Batch
from dashboard.core.safety.finding import RiskClass
from dashboard.core.safety.names import relation_name, shown
from dashboard.core.safety.rule import Remark, Rule
from dashboard.core.tree import Node

_FRACTIONS = "fractions are rounded away"
_DIGITS = "digits that do not fit are rounded away"
_SECONDS = "fractions of a second are rounded away"

_ALWAYS = {  # lossy by themselves, whatever the old type is
    "int2": _FRACTIONS,
    "int4": _FRACTIONS,
    "float4": _DIGITS,
    "float8": _DIGITS,
    "money": _FRACTIONS,
    "date": "the time of day is cut off",
    "time": "the date is cut off",
    "timetz": "the date is cut off",
    "cidr": "the bits of the host are cleared",
    "name": "texts are cut to 63 bytes",
    "char": "texts are cut to one byte",
}
_WITH_SIZE = {"numeric": _DIGITS, "timestamp": _SECONDS, "timestamptz": _SECONDS, "interval": _SECONDS}
_WHEN_CAST = {  # an explicit cast does in silence what PostgreSQL refuses otherwise
    "varchar": "texts that are too long are cut",
    "bpchar": "texts that are too long are cut",
    "bit": "bits that do not fit are cut",
    "varbit": "bits that do not fit are cut",
    "bool": "numbers other than 0 and 1 become true",
}
_WRITTEN = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "bpchar": "char",
}
_KEEPING = frozenset({"timezone", "to_json", "to_jsonb", "to_timestamp", "string_to_array"})


def _change_type(alter: Node, batch: Batch) -> Iterator[Remark]:
    for command in alter.cmds:
        if command.subtype != "AT_AlterColumnType" or alter.objtype not in ("OBJECT_TABLE", "OBJECT_TYPE"):
            continue
        definition = command.get("def")
        loss = _loss(command.name, definition.type_name, definition.raw_default)
        if loss and not batch.has_new_column(alter.relation, command.name):
            what = f"changes column {shown(command.name)} of {relation_name(alter.relation)}"
            yield Remark(f"{what} to {_type_text(definition.type_name)}: {loss}")


def _loss(column: str, target: Node, using: Any) -> str | None:
    name, sized = target.names[-1], bool(target.typmods)
    if using is not None:
        computed = _computed(column, using)
        if computed or name in _WHEN_CAST:
            return computed or (_WHEN_CAST[name] if sized or name == "bool" else None)
    if name in _ALWAYS:
        return _ALWAYS[name]
    return _WITH_SIZE.get(name) if sized else None


def _computed(column: str, using: Any) -> str | None:
    """What a USING loses that is more than the column itself, cast; None where it keeps everything."""
    while using.type == "TypeCast":
        loss = _loss(column, using.type_name, None) or _cut(using.type_name)
        if loss:
            return loss
        using = using.arg
    if using.type == "ColumnRef" and using.fields[-1] == column:
        return None
    inner: tuple[Any, ...] = using.elements if using.type == "A_ArrayExpr" else ()
    if using.type == "FuncCall" and using.funcname[-1] in _KEEPING:
        inner = tuple(argument for argument in using.args if argument.type != "A_Const")
    if len(inner) == 1:
        return _computed(column, inner[0])
    return "the new values are computed, and the old ones are not kept"


def _cut(target: Node) -> str | None:
    return _WHEN_CAST.get(target.names[-1]) if target.typmods else None


def _type_text(target: Node) -> str:
    sizes = [str(size.constant) for size in target.typmods if size.type == "A_Const"]
    size = f"({','.join(sizes)})" if sizes and target.names[-1] != "interval" else ""
    name = _WRITTEN.get(target.names[-1]) or shown(*(part for part in target.names if part != "pg_catalog"))
    return f"{name}{size}{'[]' * len(target.array_bounds)}"


def _set_unlogged(alter: Node, batch: Batch) -> Iterator[Remark]:
    if any(command.subtype == "AT_SetUnLogged" for command in alter.cmds) and not batch.has_new_table(alter.relation):
        yield Remark(f"makes {relation_name(alter.relation)} unlogged: a crash empties it, and standbys do not have it")


RULES = (
    Rule(
        "alter-column-type-lossy",
        RiskClass.DESTRUCTIVE,
        ("AT_AlterColumnType",),
        _change_type,
        about=(
            "ALTER COLUMN … TYPE where values may change without an error. The text does not tell the old type, so the "
            "new one decides. Always reported: smallint, integer, real, double precision, money, date, time, cidr, "
            'name, "char", and numeric, timestamp and interval with a precision. Not reported, because they widen or '
            "because PostgreSQL raises an error rather than lose something: bigint, text, varchar(n) and char(n) "
            "without USING, numeric without precision, timestamp and timestamptz without precision, "
            "uuid, json, jsonb (which "
            "drops duplicate keys), and types of your own. A USING that is more than the column, cast to such a type, "
            "is reported, but for AT TIME ZONE, to_timestamp, to_json(b) and string_to_array. "
            "Columns that this batch added may change."
        ),
        safer=(
            "Add a column of the new type, copy, compare the counts of what differs, and swap the names; "
            "drop the old one in a later release."
        ),
    ),
    Rule(
        "set-unlogged",
        RiskClass.DESTRUCTIVE,
        ("AT_SetUnLogged",),
        _set_unlogged,
        about="ALTER TABLE … SET UNLOGGED: the rows no longer survive a crash. Tables that this batch made may.",
        safer="Keep it logged; make a separate unlogged table for what may be lost.",
    ),
)
