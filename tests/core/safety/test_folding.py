import pytest

from dashboard.core.safety.folding import keeps_every_row
from dashboard.core.statement import parse_fragment


def where(condition: str) -> object:
    (statement,) = parse_fragment(f"SELECT 1 FROM t WHERE {condition}")
    return statement.tree.where_clause


@pytest.mark.parametrize(
    "condition",
    [
        "true",
        "TRUE AND true",
        "1 = 1",
        "1 <> 2",
        "1 != 2",
        "2 > 1",
        "1 <= 1.0",
        "'a' = 'a'",
        "'1' = 1",
        "not false",
        "NOT (1 = 2)",
        "a OR true",
        "a = 1 OR (b AND 2 = 2) OR 1 = 1",
        "'t'",
        "'yes'",
        "'true'::boolean",
        "bool 'on'",
        "1::boolean",
        "cast('t' AS bool)",
        "true::text = 'true'::text OR true",
        "id = id",
        "t.id >= t.id",
        "id IS NULL OR id IS NOT NULL",
        "1 IN (3, 2, 1)",
        "1 NOT IN (2, 3)",
        "5 BETWEEN 1 AND 9",
        "null IS NULL",
        "1 IS NOT NULL",
        "true IS TRUE",
        "false IS NOT TRUE",
        "null IS UNKNOWN",
        "exists (SELECT 1)",
        "(SELECT true)",
        "(SELECT 1) = 1",
        "coalesce(null, true)",
        "not (false or not true)",
    ],
)
def test_a_condition_that_is_always_true_is_none(condition: str) -> None:
    assert keeps_every_row(where(condition))


@pytest.mark.parametrize(
    "condition",
    [
        "false",
        "null",
        "1 = 2",
        "null = null",
        "null OR false",
        "a",
        "a AND true",
        "not a",
        "id = 1",
        "id = other_id",
        "id <> id",
        "id > id",
        "id IS NOT NULL",
        "id IS NULL OR other IS NOT NULL",
        "id IN (1, 2)",
        "1 IN (2, id)",
        "null IN (1)",
        "1 NOT IN (2, null)",
        "5 BETWEEN 1 AND id",
        "null BETWEEN 1 AND 2",
        "exists (SELECT 1 FROM u)",
        "exists (SELECT 1 WHERE false)",
        "exists (SELECT 1 LIMIT 0)",
        "(SELECT false)",
        "(SELECT a FROM u)",
        "a = ANY (SELECT 1)",
        "exists (SELECT 1 EXCEPT SELECT 1)",
        "coalesce(a, true)",
        "random() < 2",
        "'maybe'",
        "'x' = 1",
        "'a' LIKE 'b'",
        "$1",
        "a IS TRUE",
        "case when true then true end",
        "'2024-01-01'::date = '2024-01-01'",
    ],
)
def test_a_condition_that_may_be_false_is_a_filter(condition: str) -> None:
    assert not keeps_every_row(where(condition))


def test_no_condition_keeps_every_row() -> None:
    assert keeps_every_row(None)
