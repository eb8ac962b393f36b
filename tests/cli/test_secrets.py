"""No word of a password comes out, whatever goes wrong."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import click
import pytest

from dashboard.cli.main import group
from tests.cli.conftest import CANARY, Checkout

HALVES = ("c4n4ry", "p4ssw0rd")  # of the canary; what follows breaks an address between them
NONE_OF_IT = {half[at : at + 4] for half in HALVES for at in range(len(half) - 3)}

# Addresses as people write them: forgotten percent-encoding, cut off, of something else, options misspelt.
MALFORMED = {
    "space": "postgresql://app:c4n4ry p4ssw0rd@127.0.0.1:1/app",
    "line": "postgresql://app:c4n4ry\np4ssw0rd@127.0.0.1:1/app",
    "percent": "postgresql://app:c4n4ry%p4ssw0rd@127.0.0.1:1/app",
    "percent-nul": "postgresql://app:c4n4ry%00p4ssw0rd@127.0.0.1:1/app",
    "at": "postgresql://app:c4n4ry@p4ssw0rd@127.0.0.1:1/app",
    "slash": "postgresql://app:c4n4ry/p4ssw0rd@127.0.0.1:1/app",
    "digits-slash": "postgresql://app:12/c4n4ry-p4ssw0rd@127.0.0.1:1/app",
    "hash": "postgresql://app:c4n4ry#p4ssw0rd@127.0.0.1:1/app",
    "question": "postgresql://app:c4n4ry?p4ssw0rd@127.0.0.1:1/app",
    "colon": "postgresql://app:c4n4ry:p4ssw0rd@127.0.0.1:1/app",
    "bracket": "postgresql://app:[c4n4ry-p4ssw0rd]@127.0.0.1:1/app",
    "open-bracket": "postgresql://app:c4n4ry-p4ssw0rd@[::1:1/app",
    "no-at": "postgresql://app:c4n4ry-p4ssw0rd",
    "one-slash": "postgresql:/app:c4n4ry-p4ssw0rd@127.0.0.1/app",
    "other-scheme": "mysql://app:c4n4ry-p4ssw0rd@127.0.0.1/app",
    "no-scheme": "app:c4n4ry-p4ssw0rd@127.0.0.1/app",
    "alone": "c4n4ry-p4ssw0rd",
    "port": "postgresql://app:c4n4ry-p4ssw0rd@127.0.0.1:999999/app",
    "port-text": "postgresql://app@127.0.0.1:c4n4ry-p4ssw0rd/app",
    "option": "postgresql://app@127.0.0.1:1/app?c4n4ry-p4ssw0rd",
    "option-name": "postgresql://app@127.0.0.1:1/app?c4n4ry=p4ssw0rd",
    "option-value": "postgresql://app@127.0.0.1:1/app?sslmode=c4n4ry-p4ssw0rd",
    "option-number": "postgresql://app@127.0.0.1:1/app?connect_timeout=c4n4ry-p4ssw0rd",
    "option-password": "postgresql://app@127.0.0.1:1/app?password=c4n4ry-p4ssw0rd&password",
    "words": "host=127.0.0.1 port=1 password=c4n4ry p4ssw0rd",
    "quote": "host=127.0.0.1 port=1 password='c4n4ry-p4ssw0rd",
    "name-in-name": "dbname='host=127.0.0.1 port=1 password=c4n4ry-p4ssw0rd'",
    "surrogate": "postgresql://app:c4n4ry\udcffp4ssw0rd@127.0.0.1:1/app",
}


@pytest.fixture
def many(checkout: Checkout) -> Checkout:
    """An environment for every malformed address."""
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint);")
    tables = [f'[environments.{name}]\nurl = "${variable(name)}"\n' for name in MALFORMED]
    (checkout.folder / "rung.toml").write_text("\n".join(tables))
    checkout.variables |= {variable(name): address for name, address in MALFORMED.items()}
    return checkout


def variable(name: str) -> str:
    return f"{name.upper().replace('-', '_')}_URL"


def nothing_of_it_in(said: str) -> None:
    found = {part for part in NONE_OF_IT if part in said}
    assert not found, said


def test_all_malformed_addresses_at_once_are_columns_with_a_reason(many: Checkout) -> None:
    for words in (("status",), ("status", "--json"), ("check", "--env", "all"), ("check", "--env", "all", "--json")):
        said = many.rung(*words)
        nothing_of_it_in(said.out + said.err)
        assert all(name in said.out + said.err for name in MALFORMED)


@pytest.mark.fault(58)
@pytest.mark.parametrize("name", ["at", "slash", "percent", "alone", "option", "name-in-name", "surrogate"])
def test_a_malformed_address_is_refused_in_our_own_words(many: Checkout, name: str) -> None:
    said = many.rung("migrate", "--env", name)
    nothing_of_it_in(said.out + said.err)
    assert said.code in (2, 4)
    assert "What to do: " in said.err


@pytest.mark.fault(56)
@pytest.mark.parametrize(
    "words",
    [
        ("migrate",),
        ("migrate", "--json"),
        ("start", "--", "true"),
        ("check",),
        ("check", "--json"),
        ("history",),
        ("history", "--verify", "--json"),
        ("status",),
        ("status", "--json"),
    ],
)
def test_a_wrong_password_is_not_repeated(checkout: Checkout, words: tuple[str, ...]) -> None:
    checkout.write("001_a.sql", "CREATE TABLE a (id bigint);")
    right = urlsplit(checkout.variables["LOCAL_URL"])
    wrong = f"postgresql://{right.username}:{CANARY}@{right.hostname}:{right.port}{right.path}"
    said = checkout.rung(*words, LOCAL_URL=wrong, code=0 if words[0] == "status" else 4)
    nothing_of_it_in(said.out + said.err)
    assert "does not accept the password of user" in said.out + said.err


@pytest.mark.parametrize("name", ["at", "surrogate"])
@pytest.mark.parametrize("words", [("prepare",), ("user", "list", "--json"), ("serve", "--port", "0"), ("worker",)])
def test_a_malformed_home_is_refused_in_our_own_words(checkout: Checkout, words: tuple[str, ...], name: str) -> None:
    said = checkout.rung(*words, RUNG_HOME_URL=MALFORMED[name])
    nothing_of_it_in(said.out + said.err)
    assert said.code in (1, 2, 4)


def test_an_env_file_that_is_cut_off_is_not_repeated(checkout: Checkout) -> None:
    (checkout.folder / ".env").write_text(f"LOCAL_URL='postgresql://app:{CANARY}@127.0.0.1/app\n{CANARY}\n= {CANARY}\n")
    del checkout.variables["LOCAL_URL"]
    nothing_of_it_in(checkout.rung("migrate", code=2).err)


# --- arguments, which everybody on the machine can read ---

WORDS = ("password", "secret", "passphrase", "credential", "token", "key", "url", "dsn", "proof")
HARMLESS = {("token revoke", "token_id"), ("new", "foreign_keys")}  # a token's name, and what a table refers to


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found
            yield from commands(found, *path, name)
    else:
        yield " ".join(path), command


def test_no_command_takes_a_secret_as_an_argument() -> None:
    taken = {
        (name, parameter.name)
        for name, command in commands(group)
        for parameter in command.params
        for word in WORDS
        if word in str(parameter.name) and not getattr(parameter, "is_flag", False)
    }
    assert taken == HARMLESS


@pytest.mark.parametrize(
    "words", [("--password", CANARY), (f"--password={CANARY}",), (CANARY,), ("--password-stdin", CANARY)]
)
def test_a_password_as_an_argument_is_refused_and_not_repeated(checkout: Checkout, words: tuple[str, ...]) -> None:
    said = checkout.rung("user", "add", "lead@example.com", *words, code=2)
    nothing_of_it_in(said.out + said.err)
