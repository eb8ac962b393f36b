"""Orders and results go to home as JSON and come back the same."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from dashboard.core.progress import order_from_json, order_to_json, result_from_json, result_to_json
from dashboard.core.run import Actor, LockHolder, Order, Problem, Result

MOMENTS = st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1))  # noqa: DTZ001  # hypothesis wants them so
HOLDERS = st.builds(LockHolder, since=st.none() | MOMENTS)
RESULTS = st.builds(
    Result, plan=st.none(), holder=st.none() | HOLDERS, problem=st.none() | st.builds(Problem),
    seconds=st.floats(0, 1e6),
)  # fmt: skip
ORDERS = st.builds(Order, actor=st.builds(Actor), lock_wait=st.floats(0, 1e6))


@given(ORDERS)
def test_an_order_comes_back_the_same(order: Order) -> None:
    assert order_from_json(json.loads(json.dumps(order_to_json(order)))) == order


@given(RESULTS)
def test_a_result_comes_back_the_same(result: Result) -> None:
    assert result_from_json(json.loads(json.dumps(result_to_json(result)))) == result
