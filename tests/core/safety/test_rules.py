from pathlib import Path

import pytest

from dashboard.core.migration import Migration, read_migration
from dashboard.core.safety.review import review
from dashboard.core.safety.rule import Rule
from dashboard.core.safety.rules import RULES
from tests import rule_pages
from tests.rules_left_out import CATALOGUE, LEFT_OUT, OTHERWISE

EXAMPLES = Path(__file__).parents[2] / "examples"
BY_TEXT = [rule for rule in RULES if not rule.catalog]  # for the others see test_there.py


def names_found(example: Path, *, stopping: bool = False) -> set[str]:
    """The rules that speak of an example; only those that stop a run, where asked."""
    migration = read_migration("001_example.sql", example.read_bytes())
    assert isinstance(migration, Migration)
    (reviewed,) = review([migration])
    assert reviewed.refusal is None
    version = "12.22" if example.parent.name == "needs-newer-server" else "18.1"
    return {finding.rule for finding in reviewed.on_server(version) if finding.blocks or not stopping}


@pytest.mark.parametrize("rule", BY_TEXT, ids=lambda rule: rule.name)
def test_the_bad_example_of_a_rule_yields_that_rule_and_no_other_that_stops(rule: Rule) -> None:
    bad = EXAMPLES / rule.name / "bad.sql"
    assert rule.name in names_found(bad)
    assert names_found(bad, stopping=True) <= {rule.name}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_good_example_of_a_rule_yields_nothing_of_its_kind_and_nothing_that_stops(rule: Rule) -> None:
    good = EXAMPLES / rule.name / "good.sql"
    assert rule.name not in names_found(good)
    assert names_found(good, stopping=True) == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_what_it_looks_for_and_what_is_safer(rule: Rule) -> None:
    assert rule.about.endswith((".", ";"))
    assert rule.safer


def test_every_rule_has_a_name_of_its_own_and_every_example_a_rule() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert {folder.name for folder in EXAMPLES.iterdir() if folder.is_dir()} == set(names)


def test_every_risk_of_the_catalogue_has_a_rule_or_a_reason_why_it_has_none() -> None:
    known = {rule.name for rule in RULES} | LEFT_OUT.keys()
    assert {OTHERWISE.get(name, name) for name in CATALOGUE} - known == set()
    assert not {rule.name for rule in RULES} & LEFT_OUT.keys()
    assert set(OTHERWISE) <= CATALOGUE


def sample() -> list[Migration]:
    folder = Path(__file__).parents[3] / "migrations"
    files = [read_migration(path.name, path.read_bytes()) for path in sorted(folder.glob("*.sql"))]
    return [file for file in files if isinstance(file, Migration)]


def test_the_sample_app_on_an_empty_database_has_no_finding_at_all() -> None:
    assert [found for file in review(sample()) for found in file.findings] == []


def test_a_file_of_the_sample_app_alone_has_a_finding_only_where_it_touches_older_rows() -> None:
    alone = [review([file])[0] for file in sample()]
    assert [(r.migration.number, f.rule, f.blocks) for r in alone for f in r.findings] == [
        (6, "add-foreign-key", False),
        (6, "create-index", False),
        (12, "create-index", False),
        (16, "drop-column", True),
    ]


def test_the_pages_of_the_rules_are_those_of_the_rules() -> None:
    written = {path.name: path.read_text() for path in rule_pages.FOLDER.glob("*.md")}
    assert written == rule_pages.pages(), "run `make rules`"
