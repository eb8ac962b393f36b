"""Constants in conditions: whether a WHERE clause can be anything but true."""

import operator
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from dashboard.core.tree import Node


class _Unknown:
    """Depends on the rows."""


UNKNOWN: Final = _Unknown()
_TRUE = frozenset({"t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"})
_FALSE = frozenset({"f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"})
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_REFLEXIVE = ("=", "<=", ">=")


def keeps_every_row(where: Node | None) -> bool:
    """Whether a WHERE clause is missing or constantly true: `true`, `1 = 1`, `not false`, `a or true`, `id = id`."""
    return where is None or truth(where) is True


def truth(node: Any) -> Any:  # True, False, None (NULL) or UNKNOWN
    """The truth value of a condition, where it does not depend on the rows."""
    return _as_bool(value(node))


def value(node: Any) -> Any:  # a plain value, None for NULL, or UNKNOWN
    """The value of an expression, where it does not depend on the rows."""
    fold = _FOLDS.get(node.type) if isinstance(node, Node) else None
    return fold(node) if fold else UNKNOWN


def _as_bool(known: Any) -> Any:
    if isinstance(known, bool) or known is None:
        return known
    if isinstance(known, str):
        word = known.strip().lower()
        return True if word in _TRUE else False if word in _FALSE else UNKNOWN
    return UNKNOWN


def _constant(node: Node) -> Any:
    return node.constant


def _cast(node: Node) -> Any:
    inner = value(node.arg)
    if inner is UNKNOWN or inner is None:
        return inner
    name = node.type_name.names[-1]
    if name == "bool":
        return bool(inner) if isinstance(inner, int) else _as_bool(inner)
    if name in ("text", "varchar", "int2", "int4", "int8", "numeric"):
        return inner
    return UNKNOWN


def _boolean(node: Node) -> Any:
    values = [truth(argument) for argument in node.args]
    match node.boolop:
        case "NOT_EXPR":
            return values[0] if values[0] is None or values[0] is UNKNOWN else not values[0]
        case "OR_EXPR":
            return True if _complementary(node.args) else _first(values, (True, UNKNOWN, None, False))
        case _:
            return _first(values, (False, UNKNOWN, None, True))


def _first(values: Iterable[Any], order: tuple[Any, ...]) -> Any:
    found = list(values)
    return next(candidate for candidate in order if any(one is candidate for one in found))


def _complementary(arguments: tuple[Any, ...]) -> bool:
    """`a IS NULL OR a IS NOT NULL`."""
    tests = [one for one in arguments if isinstance(one, Node) and one.type == "NullTest"]
    return any(
        one.nulltesttype != other.nulltesttype and _same_column(one.arg, other.arg) for one in tests for other in tests
    )


def _same_column(one: Any, other: Any) -> bool:
    columns = all(isinstance(node, Node) and node.type == "ColumnRef" for node in (one, other))
    return columns and one.fields == other.fields and all(isinstance(part, str) for part in one.fields)


def _expression(node: Node) -> Any:
    sign = node.name[-1] if node.name else ""
    match node.kind:
        case "AEXPR_OP" if sign in _REFLEXIVE and _same_column(node.lexpr, node.rexpr):
            return True  # but for NULL, which nobody means to spare
        case "AEXPR_OP" if sign in _COMPARE:
            return _compare(sign, value(node.lexpr), value(node.rexpr))
        case "AEXPR_IN" if isinstance(node.rexpr, tuple):
            found = [_compare("=", value(node.lexpr), value(one)) for one in node.rexpr]
            inside = _first(found, (True, UNKNOWN, None, False))
            return (not inside) if sign == "<>" and isinstance(inside, bool) else inside
        case "AEXPR_BETWEEN" if isinstance(node.rexpr, tuple):
            low, high = (value(one) for one in node.rexpr)
            tested = value(node.lexpr)
            return _first((_compare(">=", tested, low), _compare("<=", tested, high)), (False, UNKNOWN, None, True))
        case _:
            return UNKNOWN


def _compare(sign: str, left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    if left is UNKNOWN or right is UNKNOWN:
        return UNKNOWN
    if isinstance(left, str) != isinstance(right, str) or _is_number(left) or _is_number(right):
        left, right = _number(left), _number(right)
    if left is UNKNOWN or right is UNKNOWN:
        return UNKNOWN
    return _COMPARE[sign](left, right)


def _is_number(known: Any) -> bool:
    return isinstance(known, int) and not isinstance(known, bool)


def _number(known: Any) -> Any:
    try:
        return Decimal(str(int(known) if isinstance(known, bool) else known))
    except InvalidOperation:
        return UNKNOWN


def _null_test(node: Node) -> Any:
    tested = value(node.arg)
    return UNKNOWN if tested is UNKNOWN else (tested is None) == (node.nulltesttype == "IS_NULL")


def _boolean_test(node: Node) -> Any:
    tested = truth(node.arg)
    if tested is UNKNOWN:
        return UNKNOWN
    wanted = {"TRUE": True, "FALSE": False, "UNKNOWN": None}[node.booltesttype.split("_")[-1]]
    return (tested is wanted) != ("_NOT_" in node.booltesttype)


def _sub_link(node: Node) -> Any:
    """`EXISTS (SELECT 1)` has always a row, and `(SELECT true)` always that one."""
    select = node.subselect
    if (
        not isinstance(select, Node)
        or select.type != "SelectStmt"
        or select.from_clause
        or select.where_clause
        or select.having_clause
        or select.group_clause
    ):
        return UNKNOWN
    if select.limit_count or select.limit_offset or select.op != "SETOP_NONE" or select.with_clause:
        return UNKNOWN
    if node.sub_link_type == "EXPR_SUBLINK" and len(select.target_list) == 1:
        return value(select.target_list[0].val)
    return True if node.sub_link_type == "EXISTS_SUBLINK" else UNKNOWN


def _coalesce(node: Node) -> Any:
    values = [value(argument) for argument in node.args]
    return next((one for one in values if one is not None), None)


_FOLDS: dict[str, Callable[[Node], Any]] = {
    "A_Const": _constant,
    "A_Expr": _expression,
    "BoolExpr": _boolean,
    "BooleanTest": _boolean_test,
    "CoalesceExpr": _coalesce,
    "NullTest": _null_test,
    "SubLink": _sub_link,
    "TypeCast": _cast,
}
