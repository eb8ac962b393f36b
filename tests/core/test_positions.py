from dashboard.core.migration import Migration, Refusal, read_migration
from dashboard.core.script import parse


def refusal_of(text: str) -> Refusal:
    migration = read_migration("001_a.sql", text.encode())
    assert isinstance(migration, Migration)
    refused = parse(migration)
    assert isinstance(refused, Refusal)
    return refused


def test_a_syntax_error_behind_wide_characters_is_found_at_its_place() -> None:
    refused = refusal_of("SELECT 'ééé 🪜';\nselec 2")
    assert (refused.code, refused.line, refused.column) == ("syntax-error", 2, 1)
    assert refused.byte == len("SELECT 'ééé 🪜';\n".encode())


def test_a_psql_command_behind_wide_characters_is_called_by_its_name() -> None:
    refused = refusal_of("SELECT 'ééé';\n\\i other.sql\n")
    assert (refused.code, refused.line, refused.column) == ("psql-command", 2, 1)
