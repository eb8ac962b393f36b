"""Passwords in SQL are found by their place, and nothing else is touched."""

import pytest

from dashboard.core.masking import masked, secrets_of, without
from dashboard.core.migration import Migration, read_migration
from dashboard.core.script import Script, parse

SECRET = "s3cr3t-cänary"


@pytest.mark.parametrize(
    "text",
    [
        f"ALTER ROLE é PASSWORD '{SECRET}';",
        f"create role x with login encrypted password\n\t'{SECRET}' valid until 'infinity';",
        f"ALTER USER x PASSWORD E'{SECRET}\\'{SECRET}';",
        f"ALTER USER x PASSWORD '{SECRET}''{SECRET}';",
        f"ALTER USER x PASSWORD U&'{SECRET}';",
        f"ALTER USER x PASSWORD $p${SECRET}$p$;",
        f"ALTER USER x PASSWORD /* why */ -- not\n'{SECRET}';",
        f"ALTER USER x PASSWORD '{SECRET[:4]}'\n  '{SECRET}';",
        f"CREATE USER MAPPING FOR x SERVER y OPTIONS (user 'u', password '{SECRET}', \"password\" '{SECRET}');",
        f"ALTER USER MAPPING FOR x SERVER y OPTIONS (SET password '{SECRET}');",
        f"CREATE SERVER y FOREIGN DATA WRAPPER z OPTIONS (host 'h', passwd '{SECRET}');",
        f"CREATE SUBSCRIPTION s CONNECTION 'host=h password={SECRET} dbname=d' PUBLICATION p;",
        f"CREATE SUBSCRIPTION s CONNECTION 'password = ''{SECRET} {SECRET}''' PUBLICATION p;",
        f"ALTER SUBSCRIPTION s CONNECTION $$host=h password={SECRET}$$;",
        f"CREATE SUBSCRIPTION s CONNECTION 'postgresql://u:{SECRET}@h/d' PUBLICATION p;",
        f"SELECT dblink_connect('host=h sslpassword={SECRET}');",
        f"DO $x$ BEGIN ALTER ROLE x PASSWORD '{SECRET}'; EXECUTE 'ALTER ROLE x PASSWORD ''{SECRET}'''; END $x$;",
        f"CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'ALTER ROLE x PASSWORD ''{SECRET}''''{SECRET}''';",
        f"-- ALTER ROLE x PASSWORD '{SECRET}'\nSELECT 1; /* PASSWORD '{SECRET}' */",
        f"ALTER ROLE x PASSWORD '{SECRET}'; SELECT 'no end",
        f"ALTER ROLE x PASSWORD '{SECRET}",
    ],
)
def test_a_password_is_stars_and_all_else_stays_in_its_place(text: str) -> None:
    shown = masked(text)
    for part in (SECRET, SECRET[:6], SECRET[-6:]):
        assert part not in shown
    assert len(shown) == len(text)
    assert [place for place, sign in enumerate(shown) if sign == "\n"] == [
        place for place, sign in enumerate(text) if sign == "\n"
    ]
    assert shown.split()[:2] == text.split()[:2]
    assert masked(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "ALTER ROLE x PASSWORD NULL;",
        "CREATE TABLE t (password text DEFAULT 'abcd', pwd text);",
        "COMMENT ON COLUMN users.password IS 'a hash';",
        "INSERT INTO words (word) VALUES ('password'), ('of a kind');",
        "SET password_encryption = 'scram-sha-256';",
        "UPDATE pages SET link = 'https://example.com/password' WHERE id = 1;",
        "CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN IF new.password = old.password THEN RETURN NULL; END IF; END $$;",
    ],
)
def test_what_is_no_password_stays(text: str) -> None:
    assert masked(text) == text


def test_a_text_without_such_a_word_is_not_even_read() -> None:
    assert masked("SELECT 'no end") == "SELECT 'no end"


def test_what_a_server_says_of_a_text_is_without_its_passwords() -> None:
    secrets = secrets_of(
        f"ALTER ROLE x PASSWORD '{SECRET}'; ALTER ROLE y PASSWORD 'it''s me'; ALTER ROLE z PASSWORD 'abc'"
    )
    said = f'missing "=" after "{SECRET}", it\'s me; SQL statement "ALTER ROLE a PASSWORD \'another\'"; abc'
    heard = without(said, secrets)
    assert not any(one in heard for one in (SECRET, "it's me", "another"))
    assert heard.endswith("; abc")  # too short to be looked for: it would be found in anything


def file(text: str) -> Migration:
    read = read_migration("001_a.sql", text.encode())
    assert isinstance(read, Migration)
    return read


def test_a_statement_in_brief_and_a_refusal_show_none() -> None:
    script = parse(file(f"ALTER ROLE x PASSWORD '{SECRET}';"))
    assert isinstance(script, Script)
    assert script.statements[0].in_brief == f"ALTER ROLE x PASSWORD '{'*' * len(SECRET)}'"
    assert SECRET in script.statements[0].text  # what is sent
    for wrong in (f"ALTER ROLE x PASSWORD '{SECRET}' NONSENSE;", f"SELECT 1;\nALTER ROLE x PASSWORD '{SECRET};"):
        refusal = parse(file(wrong))
        assert not isinstance(refusal, Script)
        assert SECRET[:5] not in str(refusal)
        assert "ALTER ROLE" in refusal.excerpt
