"""How long a statement may take: a rough range from sizes, and a nearer one where statements ran before."""

import pytest

from dashboard.core.estimate import ROUGH, Estimate, Size, Speed, estimate, speed_of
from dashboard.core.rehearsal import StatementTrace

READS = StatementTrace(1, 1, "ALTER TABLE t …", "ALTER TABLE", scanned=("public.t",))
SIZES = {"public.t": Size(heap=6_000_000_000)}


def expected(speed: Speed = ROUGH) -> Estimate:
    found = estimate(READS, SIZES, speed)
    assert found
    return found


def test_a_statement_that_touches_no_row_has_no_estimate() -> None:
    assert estimate(StatementTrace(1, 1, "SELECT 1", "SELECT"), SIZES) is None


def test_without_anything_learned_the_range_is_rough() -> None:
    assert (expected().least, expected().most) == (10, 30)


def test_two_statements_are_too_few_to_learn_from() -> None:
    assert expected(speed_of([(expected(), 5.0)] * 2)) == expected()


def test_what_ran_there_moves_the_range_and_is_named_as_its_basis() -> None:
    slow = speed_of([(expected(), seconds) for seconds in (100.0, 110.0, 120.0)])
    near = expected(slow)
    assert near.least == pytest.approx(100 / 1.5)
    assert near.most == pytest.approx(120 * 1.5)
    assert near.basis.endswith("at the speed of 3 statements that ran there")


def test_a_statement_on_an_empty_table_teaches_nothing() -> None:
    assert speed_of([(Estimate(0, 0, ""), 0.1)] * 5) == ROUGH
