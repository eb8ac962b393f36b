from pathlib import Path

import pytest

from dashboard.core.migration import Migration, read_migration
from dashboard.core.safety.review import review
from dashboard.core.safety.rule import Rule
from dashboard.core.safety.rules import RULES

EXAMPLES = Path(__file__).parents[2] / "examples"


def names_found(example: Path) -> set[str]:
    migration = read_migration("001_example.sql", example.read_bytes())
    assert isinstance(migration, Migration)
    (reviewed,) = review([migration])
    assert reviewed.refusal is None
    return {finding.rule for finding in reviewed.findings}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_bad_example_of_a_rule_yields_exactly_that_rule(rule: Rule) -> None:
    assert names_found(EXAMPLES / rule.name / "bad.sql") == {rule.name}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_good_example_of_a_rule_yields_nothing(rule: Rule) -> None:
    assert names_found(EXAMPLES / rule.name / "good.sql") == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_what_it_looks_for_and_what_is_safer(rule: Rule) -> None:
    assert rule.about.endswith((".", ";"))
    assert rule.safer
    assert rule.blocks  # until there are rules of the other classes


def test_every_rule_has_a_name_of_its_own_and_every_example_a_rule() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert {folder.name for folder in EXAMPLES.iterdir()} == set(names)


def test_the_sample_app_has_no_finding_but_the_one_it_is_meant_to_have() -> None:
    folder = Path(__file__).parents[3] / "migrations"
    files = [read_migration(path.name, path.read_bytes()) for path in sorted(folder.glob("*.sql"))]
    alone = [review([file])[0] for file in files if isinstance(file, Migration)]
    assert {(r.migration.filename, f.rule) for r in alone for f in r.findings} == {
        ("016_drop_is_admin.sql", "drop-column")
    }
