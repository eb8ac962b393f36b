"""Files and plans from a real folder on a real database: edited, renamed, gone, huge, many, odd, hostile."""

import os
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.core.environment import Environment, Policies, Policy
from dashboard.core.migration import SIZE_LIMIT
from dashboard.core.run import Outcome, Problem, Result
from dashboard.folder import read_folder
from dashboard.services.apply import apply
from tests.conftest import Write
from tests.oracle import LOG, ORDER, ask, assert_consistent, ledger, noted

NAMES = ["001_log.sql", "002_middle.sql", "003_end.sql"]


@pytest.fixture
def three(folder_path: Path, write: Write) -> Path:
    """A folder of three files that leave traces."""
    for name in NAMES:
        write(folder_path, name, (LOG if name == NAMES[0] else "") + noted(name))
    return folder_path


def run(environment: Environment, path: Path, size_limit: int = SIZE_LIMIT, **order: object) -> Result:
    return apply(environment, lambda: read_folder(path, size_limit), replace(ORDER, **order))  # type: ignore[arg-type]  # fields of Order


def problem_of(result: Result) -> Problem:
    assert result.problem, result
    return result.problem


def shown(environment: Environment, path: Path) -> str:
    """The digest of the plan that somebody looked at."""
    plan = run(environment, path, expected_digest="0" * 64).plan
    assert plan
    return plan.digest


# --- edited, renamed, gone ---


@pytest.mark.fault(61)
def test_an_edited_file_is_named_with_when_it_was_applied_and_by_whom(environment: Environment, three: Path) -> None:
    run(environment, three)
    (when,) = ask(
        environment,
        "SELECT to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') FROM _migrations_applied LIMIT 1",
    )[0]
    with (three / NAMES[1]).open("a") as file:
        file.write(" ")
    (three / "004_more.sql").write_text(noted("004_more.sql"))
    strict = replace(environment, policies=Policies(edited=Policy.REFUSE))
    refused = run(strict, three)
    assert refused.outcome is Outcome.REFUSED
    named = f"002_middle.sql was edited after it was applied on local ({when} UTC, by somebody)"
    assert named in problem_of(refused).message
    warned = run(environment, three)
    assert warned.applied == ("004_more.sql",)
    assert any(f"002_middle.sql was edited after it was applied ({when} UTC, by somebody)" in n for n in warned.notes)


@pytest.mark.fault(62)
@pytest.mark.fault(63)
@pytest.mark.parametrize("change", [lambda data: data.replace(b"\n", b"\r\n"), lambda data: b"\xef\xbb\xbf" + data])
def test_other_line_ends_or_a_mark_on_an_applied_file_are_no_edit(
    environment: Environment, three: Path, change: Callable[[bytes], bytes]
) -> None:
    run(environment, three)
    for name in NAMES:
        path = three / name
        path.write_bytes(change(path.read_bytes()))
    result = run(replace(environment, policies=Policies(edited=Policy.REFUSE)), three)
    assert (result.outcome, result.notes) == (Outcome.NOTHING, ())
    assert result.plan
    assert {entry.note for entry in result.plan.entries} == {"only line endings changed since it was applied"}


@pytest.mark.fault(62)
@pytest.mark.fault(63)
def test_line_ends_of_windows_and_a_mark_do_not_keep_a_file_from_running(environment: Environment, three: Path) -> None:
    for name in NAMES:
        path = three / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert run(environment, three).outcome is Outcome.APPLIED
    assert_consistent(environment, NAMES)


@pytest.mark.fault(64)
@pytest.mark.fault(66)
@pytest.mark.parametrize(
    "change",
    [
        lambda path: (path / NAMES[1]).write_text("SELECT 1/0;"),
        lambda path: (path / NAMES[1]).unlink(),
        lambda path: (path / NAMES[1]).rename(path / "002_centre.sql"),
        lambda path: (path / "000_early.sql").write_text("SELECT 1;"),
        lambda path: (path / NAMES[1]).write_bytes(b"\0"),
    ],
    ids=["edited", "removed", "renamed", "added", "made unreadable"],
)
def test_a_folder_that_is_not_what_was_shown_runs_nothing(
    environment: Environment, three: Path, change: Callable[[Path], object]
) -> None:
    digest = shown(environment, three)
    change(three)
    result = run(environment, three, expected_digest=digest)
    assert result.outcome in (Outcome.CHANGED, Outcome.REFUSED)
    assert ask(environment, "SELECT to_regclass('_migrations_applied'), to_regnamespace('rung')") == [(None, None)]


@pytest.mark.fault(66)
def test_an_applied_file_that_was_renamed_is_recorded_under_both_names_and_not_run(
    environment: Environment, three: Path
) -> None:
    run(environment, three)
    (three / NAMES[1]).rename(three / "002_centre.sql")
    result = run(environment, three)
    assert result.applied == ("002_centre.sql",)
    assert any("002_centre.sql is applied here as 002_middle.sql" in note for note in result.notes)
    assert len(ask(environment, "SELECT entry FROM log")) == 3
    assert run(environment, three).outcome is Outcome.NOTHING


@pytest.mark.fault(67)
def test_an_applied_file_that_is_gone_is_named_and_stops_nothing(environment: Environment, three: Path) -> None:
    run(environment, three)
    (three / NAMES[1]).unlink()
    (three / "004_more.sql").write_text(noted("004_more.sql"))
    result = run(environment, three)
    assert (result.outcome, result.applied) == (Outcome.APPLIED, ("004_more.sql",))
    assert any("002_middle.sql is applied here and missing from the folder" in note for note in result.notes)


# --- numbers and names ---


@pytest.mark.fault(68)
@pytest.mark.parametrize("pair", [("003_a.sql", "3_b.sql"), ("3_users.sql", "3_Users.sql")])
def test_two_files_with_one_number_run_nothing_and_are_both_named(
    environment: Environment, folder_path: Path, write: Write, pair: tuple[str, str]
) -> None:
    for name in pair:
        write(folder_path, name, "SELECT 1;")
    told = problem_of(run(environment, folder_path)).message
    assert all(name in told for name in pair)
    assert ledger(environment) == []


@pytest.mark.fault(70)
def test_numbers_of_any_size_run_in_their_order(environment: Environment, folder_path: Path, write: Write) -> None:
    names = [
        "0_zero.sql",
        "007_seven.sql",
        "8_eight.v1.2.sql",
        "20260101120000_stamp.sql",
        "18446744073709551616_more_than_64_bits.sql",
        f"{'9' * 100}_a_hundred_digits.sql",
    ]
    for name in reversed(names):
        write(folder_path, name, (LOG if name == names[0] else "") + noted(name))
    assert run(environment, folder_path).applied == tuple(names)
    assert_consistent(environment, names)


@pytest.mark.fault(76)
def test_hostile_names_are_refused_on_lines_that_harm_nothing(environment: Environment, three: Path) -> None:
    names = ["9_'; DROP TABLE log; --.sql", "9_<img src=x onerror=alert(1)>.sql", "9_a\nb.sql", "9_\x1b[2J.sql"]
    names += ["9_\u202elqs.exe.sql", "9_%s%n{0}{}.sql", "9_" + "x" * 248 + " .sql", "9_$(id)`id`.sql", "9_\u2028.sql"]
    for name in names:
        (three / name).touch()
    Path(os.fsdecode(os.fsencode(three) + b"/9_\xff\xfe.sql")).touch()
    result = run(environment, three)
    told = problem_of(result).message
    assert result.outcome is Outcome.REFUSED
    assert told.count("its name is not <number>_<slug>.sql") == len(names) + 1
    assert all(line.isprintable() for line in told.split("\n"))
    assert told.count("\n") == len(names)
    told.encode()
    assert ledger(environment) == []


# --- what is no file, what is huge, what is many ---


@pytest.mark.fault(75)
def test_whatever_lies_in_the_folder_is_named_and_nothing_hangs(environment: Environment, three: Path) -> None:
    os.mkfifo(three / "011_pipe.sql")
    (three / "012_folder.sql").mkdir()
    (three / "013_loop.sql").symlink_to("013_loop.sql")
    (three / "014_round.sql").symlink_to("015_round.sql")
    (three / "015_round.sql").symlink_to("014_round.sql")
    (three / "016_device.sql").symlink_to("/dev/zero")
    (three / "017_outside.sql").symlink_to("/etc/hosts")
    (three / "018_nowhere.sql").symlink_to("nowhere.sql")
    began = time.monotonic()
    result = run(environment, three)
    assert time.monotonic() - began < 5
    assert result.outcome is Outcome.REFUSED
    for number in range(11, 19):
        assert f"{number:03}_" in problem_of(result).message
    assert ledger(environment) == []


def memory() -> int:
    """The most that this process ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.slow
@pytest.mark.fault(73)
def test_a_file_over_the_limit_is_refused_without_its_bytes_in_memory(environment: Environment, three: Path) -> None:
    before = memory()
    with (three / "004_huge.sql").open("wb") as file:
        for _ in range(1100):
            file.write(b"-- " + b"x" * (1 << 20) + b"\n")
    told = problem_of(run(environment, three)).message
    assert "004_huge.sql: it has 1,15" in told
    assert memory() - before < 50 * 2**20
    assert ledger(environment) == []


@pytest.mark.slow
@pytest.mark.fault(73)
def test_a_hundred_megabytes_run_where_the_limit_allows_it(environment: Environment, three: Path) -> None:
    rows = ",\n".join(f"({number}, '{'x' * 1000}')" for number in range(1000))
    with (three / NAMES[1]).open("a") as file:
        file.write("CREATE TABLE big (id int, text text);\n")
        for _ in range(100):
            file.write(f"INSERT INTO big VALUES {rows};\n")
    assert problem_of(run(environment, three)).message.count("the limit is") == 1
    result = run(environment, three, size_limit=200 * 2**20)
    assert result.outcome is Outcome.APPLIED, result.problem
    assert ask(environment, "SELECT count(*), sum(length(text)) FROM big") == [(100_000, 100_000_000)]
    assert_consistent(environment, NAMES)


@pytest.mark.slow
@pytest.mark.fault(74)
def test_ten_thousand_files_run_and_each_takes_no_longer_than_one_of_a_thousand(
    environments: tuple[Environment, ...], folder_path: Path, write: Write
) -> None:
    names = [f"{number:05}_x.sql" for number in range(10_000)]
    took = []
    for environment, count in zip(environments, (1_000, 10_000), strict=False):
        for name in names[:count]:
            write(folder_path, name, (LOG if name == names[0] else "") + noted(name))
        began = time.monotonic()
        assert len(run(environment, folder_path).applied) == count
        took.append((time.monotonic() - began) / count)
    assert took[1] < took[0] * 2, took
    assert ask(environments[1], "SELECT count(*), count(DISTINCT entry) FROM log") == [(10_000, 10_000)]
