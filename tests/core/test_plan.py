import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.core.environment import Environment, Policies, Policy
from dashboard.core.facts import sharpened
from dashboard.core.migration import HASH_VERSION, Folder, Migration, Refusal, read_migration
from dashboard.core.picture import AppliedFile, FailedFile, LedgerRow, Picture, UnfinishedFile
from dashboard.core.plan import Action, Entry, Plan, State, make_plan
from dashboard.core.safety.finding import Finding, Reviewed, RiskClass
from dashboard.core.safety.review import review
from dashboard.core.safety.there import Facts

WHEN = datetime(2024, 5, 17, 12, 0, tzinfo=UTC)


def file(name: str, sql: str | bytes = "SELECT 1;") -> Migration:
    migration = read_migration(name, sql if isinstance(sql, bytes) else sql.encode())
    assert isinstance(migration, Migration), migration
    return migration


def folder(*files: Migration | Refusal) -> Folder:
    usable = [one for one in files if isinstance(one, Migration)]
    return Folder(
        tuple(sorted(usable, key=lambda one: (one.number, one.filename))),
        tuple(one for one in files if isinstance(one, Refusal)),
    )


def environment(**policies: object) -> Environment:
    return Environment("staging", 1, None, policies=Policies(**policies))  # type: ignore[arg-type]


def applied(migration: Migration, *, name: str | None = None, renamed_from: str | None = None) -> AppliedFile:
    return AppliedFile(
        name or migration.filename,
        migration.raw_hash,
        migration.normalised_hash,
        HASH_VERSION,
        renamed_from=renamed_from,
    )


def picture(*recorded: str | AppliedFile, **fields: object) -> Picture:
    """A database whose ledger has these files: by name only as another tool leaves them, or as Rung applied them."""
    names = [one if isinstance(one, str) else one.filename for one in recorded]
    return Picture(
        environment="staging",
        taken_at=WHEN,
        server_version="18.1",
        ledger=tuple(LedgerRow(name, WHEN) for name in names),
        applied={one.filename: one for one in recorded if isinstance(one, AppliedFile)},
        **fields,  # type: ignore[arg-type]
    )


def plan(files: Folder, seen: Picture, **policies: object) -> Plan:
    return make_plan(environment(**policies), files, seen, review)


def states(made: Plan) -> dict[str, State]:
    return {entry.filename: entry.state for entry in made.entries}


def entry(made: Plan, name: str) -> Entry:
    return next(one for one in made.entries if one.filename == name)


def to_run(made: Plan) -> list[tuple[str, Action]]:
    return [(step.migration.filename, step.action) for step in made.steps]


A, B, C = file("001_a.sql"), file("002_b.sql", "SELECT 2;"), file("003_c.sql", "SELECT 3;")


# --- pending and applied ---


def test_an_empty_database_runs_every_file_in_order() -> None:
    made = plan(folder(C, A, file("10_d.sql"), B), picture(ledger_exists=False))
    assert [name for name, _ in to_run(made)] == ["001_a.sql", "002_b.sql", "003_c.sql", "10_d.sql"]
    assert set(states(made).values()) == {State.PENDING}
    assert made.stops == made.notices == ()


def test_nothing_pending_asks_no_review_and_has_no_step() -> None:
    def never(batch: Sequence[Migration]) -> tuple[Reviewed, ...]:
        raise AssertionError(batch)

    made = make_plan(environment(), folder(A, B), picture(applied(A), applied(B)), never)
    assert made.steps == ()
    assert set(states(made).values()) == {State.APPLIED}


def test_the_review_sees_the_pending_files_once_and_in_order() -> None:
    seen: list[list[str]] = []

    def watching(batch: Sequence[Migration]) -> tuple[Reviewed, ...]:
        seen.append([migration.filename for migration in batch])
        return review(batch)

    make_plan(environment(), folder(C, B, A), picture(applied(A)), watching)
    assert seen == [["002_b.sql", "003_c.sql"]]


def test_a_ledger_of_another_tool_is_believed_and_only_the_missing_files_run() -> None:
    made = plan(folder(A, B, C), picture("001_a.sql", "002_b.sql"))
    assert to_run(made) == [("003_c.sql", Action.RUN)]
    assert entry(made, "001_a.sql").note == "applied by another tool"


def test_an_empty_folder_and_an_empty_ledger_are_an_empty_plan() -> None:
    made = plan(folder(), picture())
    assert (made.entries, made.steps, made.stops, made.notices) == ((), (), (), ())


# --- edited ---


@pytest.mark.fault(61)
def test_a_file_that_changed_after_it_was_applied_is_edited_and_does_not_run() -> None:
    made = plan(folder(file("001_a.sql", "SELECT 100;"), B), picture(applied(A)))
    assert states(made) == {"001_a.sql": State.EDITED, "002_b.sql": State.PENDING}
    assert to_run(made) == [("002_b.sql", Action.RUN)]
    assert made.stops == ()
    assert "001_a.sql was edited" in made.notices[0]


@pytest.mark.fault(61)
def test_an_edited_file_stops_everything_where_the_policy_refuses() -> None:
    made = plan(folder(file("001_a.sql", "SELECT 100;"), B), picture(applied(A)), edited=Policy.REFUSE)
    assert "001_a.sql was edited after it was applied on staging" in made.stops[0]
    assert made.runnable(force=True, until_blocked=True) == ()


@pytest.mark.fault(62)
@pytest.mark.fault(63)
@pytest.mark.parametrize("policy", Policy)
def test_line_ends_and_a_byte_order_mark_are_no_edit(policy: Policy) -> None:
    unix, windows = b"SELECT 1,\n2;\n", b"\xef\xbb\xbfSELECT 1,\r\n2;\r\n"
    made = plan(folder(file("001_a.sql", windows)), picture(applied(file("001_a.sql", unix))), edited=policy)
    assert states(made) == {"001_a.sql": State.APPLIED}
    assert entry(made, "001_a.sql").note == "only line endings changed since it was applied"
    assert made.stops == made.notices == ()


@pytest.mark.fault(61)
def test_one_more_space_is_an_edit() -> None:
    made = plan(folder(file("001_a.sql", "SELECT 1; ")), picture(applied(A)))
    assert states(made) == {"001_a.sql": State.EDITED}


def test_a_hash_of_another_formula_never_looks_like_an_edit() -> None:
    old = replace(applied(A), raw_hash="x", normalised_hash="y", hash_version=HASH_VERSION + 1)
    assert states(plan(folder(A), picture(old))) == {"001_a.sql": State.APPLIED}


def test_an_adopted_file_without_a_hash_is_applied() -> None:
    adopted = AppliedFile("001_a.sql", None, None, HASH_VERSION)
    assert states(plan(folder(A), picture(adopted))) == {"001_a.sql": State.APPLIED}


# --- missing and renamed ---


@pytest.mark.fault(67)
def test_a_file_that_is_applied_and_gone_is_missing_and_said_so() -> None:
    made = plan(folder(B), picture(applied(A), applied(B)))
    assert states(made) == {"001_a.sql": State.MISSING_FILE, "002_b.sql": State.APPLIED}
    assert made.notices == ("001_a.sql is applied here and missing from the folder: pull, or find its branch.",)
    assert made.steps == made.stops == ()


def test_names_that_are_not_ours_may_stand_in_the_ledger() -> None:
    odd = ["README", "", "x\ty\n001_a.sql", "💥.sql", "v1.2.3__flyway.sql"]
    made = plan(folder(A), picture(*odd))
    assert {name for name, state in states(made).items() if state is State.MISSING_FILE} == set(odd)
    assert to_run(made) == [("001_a.sql", Action.RUN)]


@pytest.mark.fault(66)
def test_a_missing_file_and_a_pending_one_with_the_same_content_are_a_rename() -> None:
    renamed = file("004_a_better_name.sql", "SELECT 1;")
    made = plan(folder(renamed, B), picture(applied(A), applied(B)))
    assert states(made) == {
        "001_a.sql": State.RENAMED,
        "002_b.sql": State.APPLIED,
        "004_a_better_name.sql": State.RENAMED,
    }
    assert to_run(made) == [("004_a_better_name.sql", Action.ADOPT)]
    assert made.steps[0].renamed_from == "001_a.sql"
    assert entry(made, "001_a.sql").note == "now called 004_a_better_name.sql"
    assert "nothing runs again" in made.notices[0]


def test_a_rename_with_other_line_ends_is_still_one() -> None:
    old, new = file("001_a.sql", "SELECT 1,\n2;"), file("002_a.sql", "SELECT 1,\r\n2;")
    assert to_run(plan(folder(new), picture(applied(old)))) == [("002_a.sql", Action.ADOPT)]


def test_a_rename_is_no_matter_of_order() -> None:
    renamed = file("002_now_earlier.sql", "SELECT 3;")
    made = plan(folder(renamed, A), picture(applied(A), applied(C)), out_of_order=Policy.REFUSE)
    assert to_run(made) == [("002_now_earlier.sql", Action.ADOPT)]
    assert made.stops == ()


def test_a_copy_of_a_file_that_is_still_there_runs() -> None:
    made = plan(folder(A, file("002_again.sql", "SELECT 1;")), picture(applied(A)))
    assert to_run(made) == [("002_again.sql", Action.RUN)]


def test_two_copies_of_one_missing_file_are_one_rename_and_one_new_file() -> None:
    made = plan(folder(file("002_x.sql"), file("003_y.sql")), picture(applied(A)))
    assert to_run(made) == [("002_x.sql", Action.ADOPT), ("003_y.sql", Action.RUN)]


def test_two_missing_files_with_one_content_are_two_renames() -> None:
    other = file("002_a.sql")
    made = plan(folder(file("003_x.sql"), file("004_y.sql")), picture(applied(A), applied(other)))
    assert [(s.migration.filename, s.renamed_from) for s in made.steps] == [
        ("003_x.sql", "001_a.sql"),
        ("004_y.sql", "002_a.sql"),
    ]


def test_a_rename_that_is_recorded_is_not_used_again_for_a_new_copy() -> None:
    renamed = file("002_x.sql")
    recorded = (applied(A), applied(renamed, renamed_from="001_a.sql"))
    made = plan(folder(renamed, file("003_copy.sql")), picture(*recorded))
    assert to_run(made) == [("003_copy.sql", Action.RUN)]
    assert states(made)["001_a.sql"] is State.RENAMED


def test_a_file_that_is_renamed_twice_is_adopted_from_its_last_name() -> None:
    second = file("002_x.sql")
    made = plan(folder(file("003_y.sql")), picture(applied(A), applied(second, renamed_from="001_a.sql")))
    assert [(s.migration.filename, s.renamed_from) for s in made.steps] == [("003_y.sql", "002_x.sql")]


@pytest.mark.parametrize("content", ["", "  \n"])
def test_empty_files_are_never_taken_for_renamed_ones(content: str) -> None:
    made = plan(folder(file("002_x.sql", content)), picture(applied(file("001_a.sql", content))))
    assert to_run(made) == [("002_x.sql", Action.RUN)]


def test_a_missing_file_of_another_tool_is_never_taken_for_a_renamed_one() -> None:
    assert to_run(plan(folder(file("002_x.sql")), picture("001_a.sql"))) == [("002_x.sql", Action.RUN)]


# --- out of order, duplicates, unusable files ---


@pytest.mark.fault(69)
def test_a_file_with_a_lower_number_than_the_newest_applied_runs_with_a_notice() -> None:
    made = plan(folder(A, B, C), picture(applied(A), applied(C)))
    assert states(made)["002_b.sql"] is State.OUT_OF_ORDER
    assert to_run(made) == [("002_b.sql", Action.RUN)]
    assert made.notices == ("002_b.sql is out of order: newer files up to number 3 are applied. It runs all the same.",)


@pytest.mark.fault(69)
def test_out_of_order_stops_everything_where_the_policy_refuses() -> None:
    made = plan(folder(A, B, C, file("004_d.sql")), picture(applied(A), applied(C)), out_of_order=Policy.REFUSE)
    assert made.stops == (
        "002_b.sql is out of order: newer files up to number 3 are applied. Give it the next free number.",
    )
    assert made.notices == ()
    assert made.runnable(force=True, until_blocked=True) == ()


@pytest.mark.parametrize("policy", Policy)
def test_a_late_file_that_is_blocked_or_failed_is_still_out_of_order(policy: Policy) -> None:
    late = folder(A, file("002_b.sql", "DROP TABLE t"), file("0025_c.sql"), C)
    failed = FailedFile("0025_c.sql", WHEN, "no such thing")
    made = plan(late, picture(applied(A), applied(C), failed=(failed,)), out_of_order=policy)
    assert states(made)["002_b.sql"] is State.BLOCKED
    assert [text.split(" ")[0] for text in made.stops + made.notices] == ["002_b.sql"]
    assert "newer files up to number 3 are applied" in (made.stops + made.notices)[0]


@pytest.mark.fault(69)
def test_a_gap_is_fine() -> None:
    made = plan(folder(A, file("100_z.sql")), picture(applied(A)), out_of_order=Policy.REFUSE)
    assert (made.stops, made.notices) == ((), ())


@pytest.mark.fault(68)
def test_two_files_with_one_number_are_refused_naming_both() -> None:
    made = plan(folder(file("3_x.sql"), file("003_y.sql"), A), picture())
    assert made.stops[0].startswith("003_y.sql and 3_x.sql have the same number 3.")
    assert made.runnable(force=True, until_blocked=True) == ()


def test_two_files_with_one_number_run_by_name_where_the_policy_allows() -> None:
    made = plan(folder(file("3_x.sql"), file("003_y.sql")), picture(), duplicate_numbers=Policy.WARN)
    assert made.stops == ()
    assert made.notices == ("003_y.sql and 3_x.sql have the same number 3; they run by name.",)
    assert [name for name, _ in to_run(made)] == ["003_y.sql", "3_x.sql"]


def test_an_unusable_file_stops_everything_and_is_shown_as_blocked() -> None:
    unusable = read_migration("002_b.sql", b"SELECT \x00")
    assert isinstance(unusable, Refusal)
    made = plan(folder(A, unusable), picture())
    assert made.stops[0].startswith("002_b.sql: it holds a NUL byte")
    assert states(made) == {"001_a.sql": State.PENDING, "002_b.sql": State.BLOCKED}
    assert made.runnable(force=True, until_blocked=True) == ()


def test_an_applied_file_that_became_unusable_is_edited_not_missing() -> None:
    unusable = read_migration("001_a.sql", b"\xff")
    assert isinstance(unusable, Refusal)
    assert states(plan(folder(unusable), picture(applied(A)))) == {"001_a.sql": State.EDITED}


def test_an_unusable_name_is_no_matter_of_order() -> None:
    unusable = read_migration("notes.sql", b"SELECT 1")
    assert isinstance(unusable, Refusal)
    made = plan(folder(unusable, A), picture(applied(A)), out_of_order=Policy.REFUSE)
    assert len(made.stops) == 1


def test_a_syntax_error_lets_nothing_run_whatever_the_force() -> None:
    made = plan(folder(A, file("002_b.sql", "oops")), picture())
    assert states(made)["002_b.sql"] is State.BLOCKED
    assert entry(made, "002_b.sql").note == 'syntax error at or near "oops"'
    assert made.runnable(force=True, until_blocked=False) == ()
    assert made.runnable(force=True, until_blocked=True) == ()
    assert made.first_obstacle(force=True) is made.steps[1]


def test_an_applied_file_is_not_read_as_sql_again() -> None:
    assert states(plan(folder(file("001_a.sql", "oops")), picture("001_a.sql"))) == {"001_a.sql": State.APPLIED}


# --- the gate ---


def test_the_gate_stops_before_its_file_and_force_lifts_it() -> None:
    made = plan(folder(A, file("002_b.sql", "DROP TABLE t;"), C), picture())
    assert states(made)["002_b.sql"] is State.BLOCKED
    assert entry(made, "002_b.sql").note == "drops table t with all its rows"
    assert [s.migration.filename for s in made.gated] == ["002_b.sql"]
    assert made.runnable(force=False, until_blocked=False) == ()
    assert [s.migration.filename for s in made.runnable(force=False, until_blocked=True)] == ["001_a.sql"]
    assert len(made.runnable(force=True, until_blocked=False)) == 3
    assert made.first_obstacle(force=False) is made.steps[1]
    assert made.first_obstacle(force=True) is None


def test_a_finding_that_does_not_block_stops_nothing() -> None:
    def mild(batch: Sequence[Migration]) -> tuple[Reviewed, ...]:
        remark = Finding("x", RiskClass.HYGIENE, 1, "", "is odd", "", blocks=False)
        return tuple(replace(one, findings=(remark,)) for one in review(batch))

    made = make_plan(environment(), folder(A), picture(), mild)
    assert (states(made), made.gated) == ({"001_a.sql": State.PENDING}, ())
    assert len(made.runnable(force=False, until_blocked=False)) == 1


def test_what_an_applied_file_made_is_not_new_any_more() -> None:
    first, second = file("001_a.sql", "CREATE TABLE t (a int)"), file("002_b.sql", "DROP TABLE t")
    assert plan(folder(first, second), picture()).gated == ()
    assert len(plan(folder(first, second), picture(applied(first))).gated) == 1


# --- failed and unfinished ---

ALONE = file("002_i.sql", "CREATE INDEX CONCURRENTLY i ON t (a);\nCREATE INDEX CONCURRENTLY j ON t (a);")


def unfinished(migration: Migration, done: int, interrupted: int | None, *evidence: str) -> UnfinishedFile:
    return UnfinishedFile(migration.filename, WHEN, done, interrupted, migration.normalised_hash, evidence)


def test_a_failed_file_is_shown_as_failed_and_runs_again() -> None:
    made = plan(folder(A, B), picture(applied(A), failed=(FailedFile("002_b.sql", WHEN, "boom", "42P01"),)))
    assert (entry(made, "002_b.sql").state, entry(made, "002_b.sql").note) == (State.FAILED, "boom")
    assert to_run(made) == [("002_b.sql", Action.RUN)]


@pytest.mark.parametrize(("code", "state"), [("57014", State.PENDING), (None, State.PENDING), ("P0001", State.FAILED)])
def test_a_file_that_somebody_stopped_is_pending_and_says_who(code: str | None, state: State) -> None:
    stopped = FailedFile("002_b.sql", WHEN, "cancelled by lead@example.com", code)
    entry = plan(folder(A, B), picture(applied(A), failed=(stopped,))).entries[1]
    assert (entry.state, entry.note) == (state, "cancelled by lead@example.com")


def test_a_file_that_failed_and_is_applied_now_is_applied() -> None:
    made = plan(folder(A), picture(applied(A), failed=(FailedFile("001_a.sql", WHEN, "boom"),)))
    assert states(made) == {"001_a.sql": State.APPLIED}


def test_a_file_that_stopped_between_two_statements_goes_on_from_there() -> None:
    made = plan(folder(A, ALONE), picture(applied(A), unfinished=(unfinished(ALONE, 1, None),)))
    (step,) = made.steps
    assert (step.action, step.resume_after, step.unusable) == (Action.RESUME, 1, False)
    assert entry(made, "002_i.sql").state is State.UNFINISHED
    assert "goes on from there" in entry(made, "002_i.sql").note
    assert made.runnable(force=False, until_blocked=False) == (step,)


def test_a_file_whose_statement_was_interrupted_never_runs_blindly() -> None:
    left = unfinished(ALONE, 0, 1, "Index i is INVALID.")
    made = plan(folder(A, ALONE), picture(applied(A), unfinished=(left,)))
    (step,) = made.steps
    assert step.unusable
    assert step.unfinished == left
    assert made.runnable(force=True, until_blocked=True) == ()
    assert entry(made, "002_i.sql").note == "statement 1 was started, and its end is not known. Index i is INVALID."


@pytest.mark.parametrize("changed", ["CREATE INDEX CONCURRENTLY k ON t (a);", "CREATE INDEX i ON t (a);"])
def test_an_unfinished_file_whose_text_was_changed_never_runs_blindly(changed: str) -> None:
    made = plan(folder(A, file("002_i.sql", changed)), picture(applied(A), unfinished=(unfinished(ALONE, 1, None),)))
    assert made.steps[0].unusable
    assert entry(made, "002_i.sql").note == "stopped after 1 finished statement, and its text was changed since"


def test_line_ends_are_no_change_for_an_unfinished_file() -> None:
    windows = file("002_i.sql", ALONE.text.replace("\n", "\r\n"))
    made = plan(folder(A, windows), picture(applied(A), unfinished=(unfinished(ALONE, 1, None),)))
    assert made.steps[0].action is Action.RESUME


def test_an_unfinished_file_that_is_gone_is_shown_and_stops_nothing() -> None:
    made = plan(folder(A), picture(applied(A), unfinished=(unfinished(ALONE, 1, None),)))
    assert states(made)["002_i.sql"] is State.UNFINISHED
    assert made.notices == ("002_i.sql was begun here and is missing from the folder.",)
    assert made.steps == ()


def test_an_unfinished_file_that_is_in_the_ledger_is_applied() -> None:
    made = plan(folder(ALONE), picture(applied(ALONE), unfinished=(unfinished(ALONE, 1, None),)))
    assert states(made) == {"002_i.sql": State.APPLIED}


# --- the digest ---


def test_the_digest_does_not_depend_on_when_who_or_how_long() -> None:
    seen = picture(applied(A))
    later = replace(
        seen,
        taken_at=datetime(2030, 1, 1, tzinfo=UTC),
        server_version="17.2",
        history_id=99,
        ledger=tuple(LedgerRow(row.filename, None) for row in seen.ledger),
        applied={A.filename: replace(applied(A), seconds=3.5, actor="somebody")},
    )
    files = folder(A, B)
    assert plan(files, seen).digest == plan(files, later).digest == plan(folder(B, A), seen).digest


_BASE = (folder(A, B), picture(applied(A)))
_CHANGES: dict[str, Callable[[], Plan]] = {
    "a file was added": lambda: plan(folder(A, B, C), _BASE[1]),
    "a file was removed": lambda: plan(folder(A), _BASE[1]),
    "a pending file was edited": lambda: plan(folder(A, file("002_b.sql", "SELECT 22;")), _BASE[1]),
    "only its line ends were": lambda: plan(folder(A, file("002_b.sql", "SELECT 2;\r\n")), _BASE[1]),
    "an applied file was edited": lambda: plan(folder(file("001_a.sql", "SELECT 11;"), B), _BASE[1]),
    "a pending file was renamed": lambda: plan(folder(A, file("002_c.sql", "SELECT 2;")), _BASE[1]),
    "somebody applied it": lambda: plan(_BASE[0], picture(applied(A), applied(B))),
    "somebody else's tool applied it": lambda: plan(_BASE[0], picture(applied(A), "002_b.sql")),
    "the ledger was emptied": lambda: plan(_BASE[0], picture()),
    "the ledger has one name more": lambda: plan(_BASE[0], picture(applied(A), "0_x.sql")),
    "it failed meanwhile": lambda: plan(_BASE[0], picture(applied(A), failed=(FailedFile("002_b.sql", WHEN, "x"),))),
    "another environment": lambda: make_plan(Environment("production", 2, None), _BASE[0], _BASE[1], review),
    "other findings": lambda: make_plan(
        environment(), _BASE[0], _BASE[1], lambda batch: review([file("002_b.sql", "DROP TABLE t")] * len(batch))
    ),
}


@pytest.mark.fault(64)
@pytest.mark.parametrize("what", _CHANGES)
def test_the_digest_changes_when(what: str) -> None:
    assert _CHANGES[what]().digest != plan(*_BASE).digest


def test_the_digest_of_an_unfinished_file_changes_with_what_is_done() -> None:
    digests = {
        plan(folder(ALONE), picture(unfinished=left)).digest
        for left in ((), (unfinished(ALONE, 1, None),), (unfinished(ALONE, 2, None),), (unfinished(ALONE, 0, 1),))
    }
    assert len(digests) == 4


def test_no_name_in_the_ledger_can_pass_for_two() -> None:
    apart, together = picture("a", "b"), picture('a", null, true, "missing file"], ["b')
    assert plan(folder(), apart).digest != plan(folder(), together).digest


def test_a_name_that_is_not_unicode_does_not_break_the_plan() -> None:
    refused = read_migration("002_\udcff.sql", b"SELECT 1")
    assert isinstance(refused, Refusal)
    assert len(plan(folder(A, refused), picture()).digest) == 64


_NAMES = st.sampled_from([f"{number:03}_f.sql" for number in range(1, 7)])
_TEXTS = st.sampled_from(["SELECT 1;", "SELECT 2;", "", "DROP TABLE t;", "oops", "VACUUM;"])


@given(
    st.dictionaries(_NAMES, _TEXTS),
    st.dictionaries(_NAMES, st.tuples(_TEXTS, st.booleans())),
    st.sampled_from(Policy),
)
def test_every_plan_keeps_its_promises(
    texts: dict[str, str], recorded: dict[str, tuple[str, bool]], policy: Policy
) -> None:
    files = folder(*(file(name, text) for name, text in texts.items()))
    seen = picture(*(applied(file(name, text)) if ours else name for name, (text, ours) in sorted(recorded.items())))
    made = plan(files, seen, out_of_order=policy, edited=policy)
    assert [e.filename for e in made.entries] == sorted(texts.keys() | recorded.keys())
    assert [s.migration.filename for s in made.steps] == sorted(texts.keys() - recorded.keys())
    runs = made.runnable(force=False, until_blocked=True)
    assert runs == made.steps[: len(runs)]
    assert not any(step.gated or step.unusable for step in runs)
    assert made == plan(files, seen, out_of_order=policy, edited=policy)
    if not made.stops and made.first_obstacle(force=False) is None:
        assert made.runnable(force=False, until_blocked=False) == made.steps


# --- how fast ---


@pytest.mark.fault(74)
@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("pending", ["none", "all"])
def test_planning_takes_as_much_longer_as_there_are_more_files(pending: str, policy: Policy) -> None:
    # Ten times the files are about ten times the work; something quadratic would take a hundred times as long.
    few = min(_planning(400, pending, policy) for _ in range(3))
    assert _planning(4_000, pending, policy) < 50 * few


def _planning(files: int, pending: str, policy: Policy) -> float:
    """Seconds of this process."""
    made = [file(f"{n:05}_f.sql", f"ALTER TABLE t{n} ADD COLUMN IF NOT EXISTS a text;") for n in range(files)]
    done = [applied(one) for one in made] if pending == "none" else []
    ready, seen = folder(*made), picture(*done, "99999_gone.sql")
    gc.disable()  # how long a collection takes depends on the tests before
    begun = time.process_time()
    planned = plan(ready, seen, out_of_order=policy, edited=policy)
    taken = time.process_time() - begun
    gc.enable()
    assert len(planned.steps) == files - len(done)
    return taken


# --- the server's version ---


@pytest.mark.parametrize(("version", "stops"), [("14.19", True), ("15.1", False), ("16beta1", False), ("", False)])
def test_a_file_that_the_server_is_too_old_for_fails_there_and_cannot_be_forced(version: str, stops: bool) -> None:
    sql = "SELECT 1;\nMERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DO NOTHING;"
    made = plan(folder(file("001_a.sql", sql)), replace(picture(), server_version=version))
    (step,) = sharpened(made, Facts()).steps
    assert [(one.rule, one.line) for one in step.failing] == ([("needs-newer-server", 2)] if stops else [])
    assert bool(made.runnable(force=True, until_blocked=False)) is not stops
