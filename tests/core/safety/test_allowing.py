"""A finding that the file's author accepts, by name and with a reason."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dashboard.core.environment import Environment
from dashboard.core.migration import Folder, Migration, Refusal, read_migration
from dashboard.core.picture import Picture
from dashboard.core.plan import Plan, Reviewer, State, make_plan
from dashboard.core.safety.finding import Finding, Reviewed, RiskClass
from dashboard.core.safety.review import review
from dashboard.core.words import obstacle

PICTURE = Picture("local", datetime(2026, 1, 1, tzinfo=UTC), "18.0")
WHY = 'because "nobody reads it since March"'


def migration(text: str) -> Migration:
    read = read_migration("001_f.sql", text.encode())
    assert isinstance(read, Migration)
    return read


def findings(text: str) -> tuple[Finding, ...]:
    (reviewed,) = review([migration(text)])
    assert reviewed.refusal is None, reviewed.refusal
    return reviewed.findings


def refusal(text: str) -> Refusal:
    (reviewed,) = review([migration(text)])
    assert reviewed.refusal, reviewed.findings
    return reviewed.refusal


def plan_of(text: str, reviewer: Reviewer = review) -> Plan:
    return make_plan(Environment("local", 0, None), Folder((migration(text),)), PICTURE, reviewer)


@pytest.mark.parametrize(
    "above",
    [
        f"-- rung: allow drop-table {WHY}",
        f"  --rung: ALLOW drop-table {WHY}  ",
        f"-- rung: allow drop-table {WHY}\n-- and a word more about it",
        f"SELECT 1;\n\n-- rung: allow drop-table {WHY}",
        f"BEGIN;\n-- rung: allow drop-table {WHY}\r",
        "-- rung: allow drop-table because “nobody reads it since March”",
    ],
)
def test_what_is_allowed_right_above_the_statement_stops_nothing_and_stays_visible(above: str) -> None:
    end = ";\nCOMMIT;" if above.startswith("BEGIN") else ";"
    (found,) = findings(f"{above}\nDROP TABLE legacy{end}")
    assert (found.rule, found.blocks, found.acknowledged) == ("drop-table", False, "nobody reads it since March")


def test_it_is_kept_in_the_history_as_a_note_of_the_file() -> None:
    (step,) = plan_of(f"SELECT 1;\n-- rung: allow drop-table {WHY}\nDROP TABLE legacy;").steps
    assert step.script
    assert step.script.notes == ("drop-table on line 3 was allowed, because nobody reads it since March",)
    assert not step.gated


def test_only_the_statement_below_is_meant_and_only_that_rule() -> None:
    first, second, _, third = findings(
        f"-- rung: allow drop-table {WHY}\nDROP TABLE a;\nDROP TABLE b;\n-- rung: allow truncate {WHY}\nDROP TABLE c;"
    )
    assert [found.blocks for found in (first, second, third)] == [False, True, True]


def test_several_rules_may_be_allowed_for_one_statement() -> None:
    text = f"-- rung: allow drop-column {WHY}\n-- rung: allow set-not-null {WHY}\nALTER TABLE t DROP a, ALTER b SET NOT NULL;"
    assert {found.rule for found in findings(text) if found.acknowledged} == {"drop-column", "set-not-null"}


def test_what_happens_in_a_body_is_allowed_above_the_statement_that_runs_it() -> None:
    text = f"-- rung: allow drop-table {WHY}\nDO $$ BEGIN\n  DROP TABLE legacy;\nEND $$;"
    assert [found.acknowledged for found in findings(text)] == ["nobody reads it since March"]


def test_a_line_in_a_literal_allows_nothing() -> None:
    text = f"SELECT '\n-- rung: allow drop-table {WHY}\n'; DROP TABLE legacy;"
    assert [found.blocks for found in findings(text)] == [True]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-- rung: allow drop-table", "without naming a rule and a reason"),
        ('-- rung: allow drop-table because ""', "without naming a rule and a reason"),
        ('-- rung: allow drop-table because "  "', "without naming a rule and a reason"),
        ("-- rung: allow drop-table because I say so", "without naming a rule and a reason"),
        ("-- rung: allow", "without naming a rule and a reason"),
        (f"-- rung: allow drop-tables {WHY}", "'drop-tables', which is no rule of Rung's"),
        (f"-- rung: allow analyser-failed {WHY}", "which is no rule of Rung's"),
        (f"-- rung: allow alter-enum-add-in-tx {WHY}", "which is no rule of Rung's"),
        (f"-- rung: allow drop-table {WHY}\n", "no statement follows"),
    ],
)
def test_what_cannot_be_meant_so_refuses_the_file_with_its_line(line: str, said: str) -> None:
    refused = refusal(f"SELECT 1;\n{line}\nDROP TABLE legacy;")
    assert said in refused.message
    assert refused.line == 2
    assert line.split("\n", maxsplit=1)[0] in refused.excerpt


def test_the_nearest_name_is_suggested() -> None:
    assert "Did you mean 'drop-table'?" in refusal(f"-- rung: allow drop-tabel {WHY}\nDROP TABLE t;").advice


def test_below_the_last_statement_it_is_about_nothing() -> None:
    assert "no statement follows" in refusal(f"SELECT 1;\n-- rung: allow drop-table {WHY}").message


def test_a_line_that_allows_what_is_not_found_below_is_reported_where_it_stands() -> None:
    text = f"SELECT 1;\n-- rung: allow truncate {WHY}\n-- rung: allow drop-table {WHY}\nDROP TABLE legacy;"
    idle, used = findings(text)
    assert (idle.rule, idle.line, idle.blocks) == ("unused-allowance", 2, False)
    assert idle.what == "allows truncate, which the statement below does not need"
    assert used.acknowledged


def test_what_would_fail_all_the_same_cannot_be_allowed() -> None:
    said = refusal(f"-- rung: allow add-required-column {WHY}\nALTER TABLE t ADD a int NOT NULL;")
    assert "the statement would fail all the same" in said.message


def test_what_would_fail_all_the_same_cannot_be_forced() -> None:
    def certain(batch: Sequence[Migration]) -> tuple[Reviewed, ...]:
        failing = [replace(finding, risk=RiskClass.WILL_FAIL) for finding in findings("DROP TABLE t")]
        return tuple(replace(one, findings=tuple(failing)) for one in review(batch))

    plan = plan_of("DROP TABLE t;", certain)
    stopped = plan.first_obstacle(force=True)
    assert stopped
    assert plan.runnable(force=True, until_blocked=False) == ()
    assert (stopped.gated, len(stopped.failing)) == ((), 1)
    assert obstacle(stopped).startswith("it would fail: it drops table t")
    assert [entry.state for entry in plan.entries] == [State.BLOCKED]
