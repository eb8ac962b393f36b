from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dashboard.core.environment import Environment
from dashboard.core.matrix import Look, Matrix, make_matrix
from dashboard.core.migration import HASH_VERSION, Folder, Migration, Refusal, read_migration
from dashboard.core.picture import AppliedFile, LedgerRow, NotReachable, Picture
from dashboard.core.plan import State, make_plan
from dashboard.core.safety.review import review

WHEN = datetime(2024, 5, 17, 12, 0, tzinfo=UTC)
DOWN = NotReachable("staging", "connection refused", "Is it running?", since=WHEN)


def file(name: str, sql: str = "SELECT 1;") -> Migration:
    migration = read_migration(name, sql.encode())
    assert isinstance(migration, Migration)
    return migration


FILES = tuple(file(f"{number:03}_f.sql", f"SELECT {number};") for number in range(1, 6))


def look(name: str, position: int, done: int | tuple[AppliedFile, ...], files: tuple[Migration, ...] = FILES) -> Look:
    """An environment that has the first files, or exactly these."""
    recorded = done if isinstance(done, tuple) else tuple(applied(one) for one in files[:done])
    environment = Environment(name, position, None)
    picture = Picture(
        environment=name,
        taken_at=WHEN,
        server_version="18.1",
        ledger=tuple(LedgerRow(one.filename, WHEN + timedelta(hours=n)) for n, one in enumerate(recorded)),
        applied={one.filename: one for one in recorded},
    )
    return Look(environment, picture, make_plan(environment, Folder(files), picture, review))


def applied(migration: Migration, **fields: str) -> AppliedFile:
    made = AppliedFile(migration.filename, migration.raw_hash, migration.normalised_hash, HASH_VERSION)
    return replace(made, **fields)


def never_asked(name: str, position: int) -> Look:
    return Look(Environment(name, position, None), None, None)


def differing(matrix: Matrix) -> list[str]:
    return [row.filename for row in matrix.rows if row.differs]


def test_rows_are_newest_first_and_columns_in_the_given_order() -> None:
    matrix = make_matrix([look("local", 0, 5), look("staging", 1, 3)])
    assert [row.filename for row in matrix.rows] == [f"{number:03}_f.sql" for number in (5, 4, 3, 2, 1)]
    assert [column.environment.name for column in matrix.columns] == ["local", "staging"]
    assert [cell.state for cell in matrix.rows[0].cells if cell] == [State.APPLIED, State.PENDING]


def test_rows_are_in_the_order_of_numbers_not_of_letters() -> None:
    files = (file("9_a.sql"), file("10_b.sql", "SELECT 2;"), file("100_c.sql", "SELECT 3;"))
    assert [row.filename for row in make_matrix([look("local", 0, 0, files)]).rows] == [
        "100_c.sql",
        "10_b.sql",
        "9_a.sql",
    ]


def test_a_column_says_how_far_behind_it_is_and_when_something_was_last_applied() -> None:
    (column,) = make_matrix([look("staging", 0, 3)]).columns
    assert (column.headline, column.behind, column.applied) == ("2 behind", 2, 3)
    assert column.last_applied == WHEN + timedelta(hours=2)
    assert column.server_version == "18.1"


def test_a_column_with_everything_is_up_to_date() -> None:
    (column,) = make_matrix([look("local", 0, 5)]).columns
    assert (column.headline, column.behind) == ("up to date", 0)


def test_an_environment_that_does_not_answer_keeps_its_last_known_cells() -> None:
    (column,) = (matrix := make_matrix([replace(look("staging", 0, 3), not_reachable=DOWN)])).columns
    assert (column.headline, column.not_reachable) == ("not reachable", DOWN)
    assert [cell.state for row in matrix.rows for cell in row.cells if cell].count(State.APPLIED) == 3


def test_an_environment_that_was_never_reached_has_empty_cells_and_makes_no_difference() -> None:
    unknown = replace(never_asked("production", 1), not_reachable=DOWN)
    matrix = make_matrix([look("local", 0, 5), unknown])
    assert all(row.cells[1] is None for row in matrix.rows)
    assert differing(matrix) == []
    assert matrix.columns[1].last_applied is None


def test_an_environment_that_was_not_asked_yet_says_so() -> None:
    assert make_matrix([never_asked("local", 0)]).columns[0].headline == "not asked yet"


def test_rows_differ_where_the_environments_disagree() -> None:
    assert differing(make_matrix([look("local", 0, 5), look("staging", 1, 3)])) == ["005_f.sql", "004_f.sql"]


def test_a_file_that_nobody_has_yet_is_a_difference_to_the_folder() -> None:
    assert differing(make_matrix([look("local", 0, 4), look("staging", 1, 4)])) == ["005_f.sql"]


def test_a_file_that_only_a_ledger_knows_has_no_cell_elsewhere_and_differs() -> None:
    lone = AppliedFile("0005_hotfix.sql", None, None, HASH_VERSION)
    everything = tuple(applied(one) for one in FILES)
    matrix = make_matrix([look("local", 0, 5), look("production", 1, (*everything, lone))])
    row = next(row for row in matrix.rows if row.filename == "0005_hotfix.sql")
    assert row.cells[0] is None
    assert row.cells[1] is not None
    assert row.cells[1].state is State.MISSING_FILE
    assert differing(matrix) == ["0005_hotfix.sql"]


def test_an_edited_file_differs_and_is_counted_but_is_not_behind() -> None:
    changed = (*FILES[:4], file("005_f.sql", "SELECT 55;"))
    (column,) = (matrix := make_matrix([look("local", 0, tuple(applied(one) for one in FILES), changed)])).columns
    assert (column.edited, column.behind) == (1, 0)
    assert differing(matrix) == ["005_f.sql"]


def test_a_blocked_file_is_behind_and_counted_as_blocked() -> None:
    files = (*FILES, file("006_drop.sql", "DROP TABLE t;"))
    (column,) = make_matrix([look("local", 0, 5, files)]).columns
    assert (column.headline, column.blocked) == ("1 behind", 1)


def test_a_file_that_cannot_be_read_is_behind() -> None:
    refused = read_migration("006_x.sql", b"\xff")
    assert isinstance(refused, Refusal)
    seen = look("local", 0, 5)
    assert seen.picture is not None
    broken = make_plan(seen.environment, Folder(FILES, (refused,)), seen.picture, review)
    (column,) = make_matrix([replace(seen, plan=broken)]).columns
    assert (column.headline, column.blocked) == ("1 behind", 1)


def test_a_rename_that_waits_is_behind_and_one_that_is_recorded_is_settled() -> None:
    files = (*FILES[:4], file("006_new_name.sql", "SELECT 5;"))
    old = tuple(applied(one) for one in FILES)
    waiting = make_matrix([look("local", 0, old, files)])
    assert waiting.columns[0].headline == "1 behind"
    assert differing(waiting) == ["006_new_name.sql"]
    recorded = (*old, applied(files[4], renamed_from="005_f.sql"))
    settled = make_matrix([look("local", 0, recorded, files)])
    assert settled.columns[0].headline == "up to date"
    assert differing(settled) == []


def test_no_environments_and_no_files_are_an_empty_matrix() -> None:
    assert make_matrix([]) == Matrix((), ())
    assert make_matrix([look("local", 0, 0, ())]).rows == ()
