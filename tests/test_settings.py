import re
from pathlib import Path

import pytest

from dashboard.core.environment import Policy, Secret
from dashboard.core.errors import (
    BadValue,
    ConfigurationError,
    NoEnvironments,
    UnknownEnvironment,
    UnknownKey,
    UnreadableConfiguration,
    UnsafeConfiguration,
)
from dashboard.core.migration import SIZE_LIMIT
from dashboard.core.run import Outcome
from dashboard.settings import Settings, find, load

CANARY = "c4n4ry"
WHOLE = """
migrations = "db"
home = "$RUNG_HOME_URL"
secret_key = "$RUNG_SECRET_KEY"
public_url = "https://rung.example.com/"
max_file_size = 1000

[environments.staging]
url = "$STAGING_DATABASE_URL"
out_of_order = "refuse"
edited = "refuse"
duplicate_numbers = "warn"
ledger_schema = "app"

[environments.local]
url = "postgresql://localhost/app"

[environments.production]
url = "${PRODUCTION_DATABASE_URL}"
protected = true
"""


def read(tmp_path: Path, text: str, **variables: str) -> Settings:
    (tmp_path / "rung.toml").write_text(text)
    return load(variables, start=tmp_path)


def one(tmp_path: Path, line: str, **variables: str) -> Settings:
    """A configuration with this line in its only environment."""
    return read(tmp_path, f'[environments.staging]\nurl = "$STAGING_DATABASE_URL"\n{line}', **variables)


# --- what stands in the way ---


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ('migration = "db"', "migration", "migrations"),
        ('hom = "$HOME_URL"', "hom", "home"),
        ("[environments.a]\nprotect = true", "protect", "protected"),
        ('[environments.a]\nledger-schema = "x"', "ledger-schema", "ledger_schema"),
        ("nothing_like_any = 1", "nothing_like_any", None),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(
    tmp_path: Path, text: str, key: str, nearest: str | None
) -> None:
    with pytest.raises(UnknownKey) as caught:
        read(tmp_path, text)
    assert f"'{key}'" in str(caught.value)
    assert ("did you mean" in str(caught.value)) == (nearest is not None)
    assert (nearest or "") in str(caught.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("migrations = 3", ("migrations", "3", "a text")),
        ('max_file_size = "20 MB"', ("max_file_size", "'20 MB'", "bytes")),
        ("max_file_size = true", ("max_file_size", "True")),
        ("max_file_size = 0", ("max_file_size", "0")),
        ('public_url = "rung.example.com"', ("public_url", "'rung.example.com'", "https://")),
        ('public_url = "https://rung.example.com/below"', ("public_url", "below")),
        ("environments = 3", ("environments", "a number", "[environments.local]")),
        ("home = 3", ("home", "a number", "$RUNG_HOME_URL")),
        ("[environments.staging]", ("staging", "url", "$STAGING_DATABASE_URL")),
        ('[environments]\nstaging = "$STAGING_DATABASE_URL"', ("staging", "[environments.staging]")),
        ('[environments.Production]\nurl = "$X"', ("Production", "lower-case")),
        ('[environments.all]\nurl = "$X"', ("all",)),
        ('[environments.eu-west]\nurl = "EU_WEST_DATABASE_URL"', ("url", "$EU_WEST_DATABASE_URL")),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    with pytest.raises(BadValue) as caught:
        read(tmp_path, text)
    assert all(name in str(caught.value) for name in ("rung.toml", *names)), str(caught.value)


@pytest.mark.parametrize("key", ["out_of_order", "edited", "duplicate_numbers"])
@pytest.mark.parametrize("value", ['"ignore"', "true", "3", "[]"])
def test_a_policy_is_warn_or_refuse(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(BadValue, match=f'{key} cannot be .*; it takes "warn" or "refuse"'):
        one(tmp_path, f"{key} = {value}")


@pytest.mark.parametrize("key", ["stuck_sessions", "stuck_seconds"])
@pytest.mark.parametrize("value", ['"3"', "true", "-1", "inf", "nan", "[]"])
def test_a_limit_on_those_who_wait_is_a_number(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(BadValue, match=f"{key} cannot be .*; it takes a .*number"):
        one(tmp_path, f"{key} = {value}")


@pytest.mark.parametrize("value", ['"yes"', "1"])
def test_protected_is_true_or_false(tmp_path: Path, value: str) -> None:
    with pytest.raises(BadValue, match=r"protected cannot be .+ true or false"):
        one(tmp_path, f"protected = {value}")


@pytest.mark.parametrize(
    "text",
    [
        f'[environments.staging]\nurl = "postgresql://app:{CANARY}@db/app"',
        f'[environments.staging]\nurl = "postgresql://app:{CANARY}/x@db/app"',
        f'[environments.staging]\nurl = "postgresql://app@db/app?password={CANARY}"',
        f'[environments.staging]\nurl = "postgresql://app@db/app?sslpassword={CANARY}"',
        f'[environments.staging]\nurl = "host=db user=app PASSWORD = {CANARY}"',
        f'[environments.staging]\nurl = "postgresql://app:${CANARY}@db/app"',
        f'home = "postgresql://app:{CANARY}@db/home"',
        f'secret_key = "{CANARY}"',
    ],
)
def test_a_secret_in_the_committed_file_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnsafeConfiguration) as caught:
        read(tmp_path, text)
    assert CANARY not in str(caught.value) + caught.value.advice
    assert "$" in caught.value.advice


@pytest.mark.parametrize(
    "text",
    [
        f'[environments.staging]\nurl = ["postgresql://app:{CANARY}@db/app"]',
        f'[environments]\nstaging = "postgresql://app:{CANARY}@db/app"',
        f'environments = "postgresql://app:{CANARY}@db/app"',
        f'home = {{ url = "postgresql://app:{CANARY}@db/app" }}',
        f'public_url = "https://app:{CANARY}@rung.example.com"',
        f'[environments.staging]\nurl = "postgresql://app:{CANARY}@db/app',
        f"[environments.staging]\nurl = postgresql://app:{CANARY}@db/app",
        f'[environments.staging]\nurl = "{CANARY}"',
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text)
    assert CANARY not in str(caught.value) + caught.value.advice + repr(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db/app",
        "postgresql://app@db:5432/app",
        "postgresql://db:5432/app?application_name=a@b",
        "postgresql://[::1]:5432/app",
        "host=db user=app",
    ],
)
def test_an_address_without_a_password_may_stand_in_the_file(tmp_path: Path, url: str) -> None:
    environment = read(tmp_path, f'[environments.local]\nurl = "{url}"').environment("local")
    assert environment.url == Secret(url)
    assert environment.variable is None


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"a = = b", "TOML.*line 1"), (b"a = 1\na = 2", "TOML"), (b"a = '\xff'", "UTF-8")],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "rung.toml").write_bytes(content)
    with pytest.raises(UnreadableConfiguration, match=said) as caught:
        load({}, start=tmp_path)
    assert str(tmp_path / "rung.toml") in str(caught.value)


def test_a_config_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnreadableConfiguration, match="No such file"):
        load({}, start=tmp_path, config=tmp_path / "other.toml")


def test_a_file_without_environments_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(BadValue, match="environments cannot be left out"):
        read(tmp_path, 'migrations = "db"', DATABASE_URL="postgresql://localhost/app")


def test_an_unknown_environment_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownEnvironment, match=r"'prod'.* staging, local, production"):
        read(tmp_path, WHOLE).environment("prod")


# --- what is read ---


def test_a_whole_file_becomes_settings(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        WHOLE,
        RUNG_HOME_URL="postgresql://home",
        RUNG_SECRET_KEY="key",
        STAGING_DATABASE_URL="postgresql://staging",
    )
    assert settings.root == tmp_path
    assert settings.migrations == tmp_path / "db"
    assert settings.home == Secret("postgresql://home")
    assert settings.home_variable == "RUNG_HOME_URL"
    assert settings.secret_key == Secret("key")
    assert settings.public_url == "https://rung.example.com"
    assert settings.size_limit == 1000
    staging, local, production = settings.environments
    assert (staging.name, staging.position, staging.url) == ("staging", 0, Secret("postgresql://staging"))
    assert (local.position, local.variable) == (1, None)
    assert staging.ledger_schema == "app"
    assert (staging.policies.out_of_order, staging.policies.edited) == (Policy.REFUSE, Policy.REFUSE)
    assert staging.policies.duplicate_numbers is Policy.WARN
    assert production.policies.protected
    assert not staging.policies.protected


def test_a_missing_variable_is_no_error_before_the_environment_is_used(tmp_path: Path) -> None:
    for settings in (read(tmp_path, WHOLE), read(tmp_path, WHOLE, PRODUCTION_DATABASE_URL="", RUNG_HOME_URL="")):
        assert settings.environment("production").url is None
        assert settings.environment("production").variable == "PRODUCTION_DATABASE_URL"
        assert settings.home is None
        assert settings.home_variable == "RUNG_HOME_URL"


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    settings = one(tmp_path, "")
    assert settings.migrations == tmp_path / "migrations"
    assert (settings.home, settings.home_variable, settings.secret_key, settings.public_url) == (None,) * 4
    assert settings.size_limit == SIZE_LIMIT
    staging = settings.environment("staging")
    assert staging.ledger_schema == "public"
    assert staging.policies.duplicate_numbers is Policy.REFUSE
    assert staging.policies.out_of_order is staging.policies.edited is Policy.WARN


def test_the_default_environment_is_local_or_else_the_first(tmp_path: Path) -> None:
    assert read(tmp_path, WHOLE).default.name == "local"
    assert one(tmp_path, "").default.name == "staging"


def test_the_file_is_found_upwards(tmp_path: Path) -> None:
    (tmp_path / "rung.toml").write_text(WHOLE)
    below = tmp_path / "server" / "src"
    below.mkdir(parents=True)
    assert find(below) == tmp_path / "rung.toml"
    assert load({}, start=below).migrations == tmp_path / "db"
    (tmp_path / "server" / "rung.toml").write_text('[environments.near]\nurl = "$NEAR"')
    assert load({}, start=below).environments[0].name == "near"


def test_a_folder_called_rung_toml_is_not_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "rung.toml").mkdir()
    (tmp_path / "a").mkdir()
    assert find(tmp_path / "a") is None


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "rung.toml").write_bytes(b"\xef\xbb\xbf" + WHOLE.encode())
    assert load({}, start=tmp_path).environments[0].name == "staging"


def test_config_names_another_file_and_everything_is_relative_to_it(tmp_path: Path) -> None:
    other = tmp_path / "other" / "prod.toml"
    other.parent.mkdir()
    other.write_text(WHOLE)
    settings = load({}, start=tmp_path, config=other)
    assert settings.root == other.parent
    assert settings.migrations == other.parent / "db"


def test_the_folder_on_the_command_line_comes_before_the_variable_and_that_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "rung.toml").write_text(WHOLE)
    below = tmp_path / "below"
    below.mkdir()
    assert load({"RUNG_MIGRATIONS": "sql"}, start=below).migrations == below / "sql"
    assert load({"RUNG_MIGRATIONS": "sql"}, start=below, directory=Path("mine")).migrations == below / "mine"


# --- without a file ---


def test_without_a_file_database_url_is_local(tmp_path: Path) -> None:
    variables = {
        "DATABASE_URL": "postgresql://u:p@db/app",
        "RUNG_HOME_URL": "postgresql://home",
        "RUNG_SECRET_KEY": "k",
    }
    settings = load(variables, start=tmp_path)
    (local,) = settings.environments
    assert (local.name, local.url, local.variable) == ("local", Secret("postgresql://u:p@db/app"), "DATABASE_URL")
    assert settings.migrations == tmp_path / "migrations"
    assert settings.home == Secret("postgresql://home")
    assert settings.secret_key == Secret("k")


def test_without_a_file_the_folder_has_two_other_ways_to_be_named(tmp_path: Path) -> None:
    variables = {"DATABASE_URL": "postgresql://db/app", "RUNG_MIGRATIONS": "sql"}
    assert load(variables, start=tmp_path).migrations == tmp_path / "sql"
    assert load(variables, start=tmp_path, directory=Path("mine")).migrations == tmp_path / "mine"


def test_with_nothing_at_all_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoEnvironments) as caught:
        load({"DATABASE_URL": ""}, start=tmp_path)
    assert "rung demo" in caught.value.advice


def test_settings_never_show_a_secret(tmp_path: Path) -> None:
    variables = dict.fromkeys(
        ("RUNG_HOME_URL", "RUNG_SECRET_KEY", "STAGING_DATABASE_URL"), f"postgresql://u:{CANARY}@h/d"
    )
    shown = repr(read(tmp_path, WHOLE, **variables))
    assert CANARY not in shown
    assert "staging" in shown


# --- the page that explains it ---


def test_every_key_and_variable_is_in_the_documentation() -> None:
    from dashboard import settings

    page = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text()
    for key in (*settings._TOP, *settings._OF_ENVIRONMENT):
        assert f"`{key}`" in page, key
    for key in settings._OF_WEBHOOK:
        assert f"| `{key}` |" in (Path(__file__).parents[1] / "docs" / "webhooks.md").read_text(), key
    for key in settings._OF_OIDC:
        assert f"| `{key}` |" in (Path(__file__).parents[1] / "docs" / "people.md").read_text(), key
    sources = Path(settings.__file__).parent.rglob("*.py")
    code = "".join(path.read_text() for path in sources if path.parent.name in ("cli", "dashboard"))
    for variable in set(re.findall(r"\bRUNG_[A-Z_]+\b", code)):
        assert f"`{variable}`" in page, variable


def test_the_example_in_the_documentation_can_be_used(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert [environment.name for environment in read(tmp_path, example).environments] == [
        "local",
        "staging",
        "production",
    ]


def test_on_render_the_service_s_own_address_is_the_public_one(tmp_path: Path) -> None:
    shell = {"DATABASE_URL": "postgresql://h/d", "RENDER_EXTERNAL_URL": "https://rung.onrender.com"}
    assert load(shell, start=tmp_path).public_url == "https://rung.onrender.com"
    said = load(shell | {"RUNG_PUBLIC_URL": "https://rung.example.com/"}, start=tmp_path)
    assert said.public_url == "https://rung.example.com"


# --- webhooks ---

HOOKED = '[environments.staging]\nurl = "$S"\n[environments.production]\nurl = "$P"\n[[webhooks]]\n'


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('secret = "$K"', "url cannot be left out"),
        (f'url = "https://{CANARY}.example.com/"', "the name of a variable, such as"),
        (f'url = "$HOOK"\nsecret = "{CANARY}"', "$WEBHOOK_SECRET"),
        ('url = "$HOOK"\nsecret = "$SHORT"', "24 characters or more"),
        ('url = "$HOOK"\nenvironment = ["staging"]', "did you mean 'environments'"),
        ('url = "$HOOK"\nenvironments = ["stagin"]', "some of: staging, production"),
        ('url = "$HOOK"\noutcomes = ["success"]', "applied, nothing to do, refused"),
        ('url = "$HOOK"\noutcomes = []', "some of"),
        ('url = "$HOOK"\n[[webhooks]]\nurl = "$HOOK"', "two with the url $HOOK"),
        ('url = "$PLAIN"', "http:// only inside a private network"),
        ('url = "$NAMED"', "without a user's name"),
        ('url = "$OTHER"', "https://"),
        ('url = "$BROKEN"', "https://"),
    ],
)
def test_a_webhook_that_cannot_be_meant_is_refused_without_its_address(tmp_path: Path, lines: str, said: str) -> None:
    shell = {
        "HOOK": f"https://hooks.example.com/{CANARY}",
        "SHORT": CANARY,
        "PLAIN": f"http://hooks.example.com/{CANARY}",
        "NAMED": f"https://me:{CANARY}@hooks.example.com/",
        "OTHER": f"file:///{CANARY}",
        "BROKEN": f"https://hooks.example.com/{CANARY}\r\nX: y",
    }
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, HOOKED + lines, **shell)
    assert said in str(refused.value)
    assert CANARY not in str(refused.value)


def test_a_webhook_has_its_environments_and_outcomes_and_lacks_what_is_not_set(tmp_path: Path) -> None:
    lines = HOOKED + 'url = "$HOOK"\nsecret = "$K"\n[[webhooks]]\nurl = "$LOCAL"\nenvironments = ["production"]\n'
    usual, second = read(tmp_path, lines, LOCAL="http://127.0.0.1:9/x").webhooks
    assert (usual.name, usual.lacks, usual.environments) == ("HOOK", "HOOK", ("staging", "production"))
    assert [str(one) for one in Outcome if one not in usual.outcomes] == ["nothing to do"]
    assert (second.environments, second.lacks, second.secret) == (("production",), None, None)
    shell = {"HOOK": "https://h.example.com", "LOCAL": "http://127.0.0.1:9/x"}
    assert read(tmp_path, lines, **shell).webhooks[0].lacks == "K", "what is to be signed is not sent without"
    assert read(tmp_path, lines, **shell, K="k" * 24).webhooks[0].lacks is None


# --- OpenID Connect ---

SIGNED = '[environments.staging]\nurl = "$S"\n[oidc]\n'
USUAL_ISSUER = 'issuer = "https://accounts.example.com"\nclient_id = "rung"\n'


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('client_id = "rung"', "issuer cannot be ''"),
        ('issuer = "https://accounts.example.com"', "client_id cannot be left out"),
        ('issuer = "http://accounts.example.com"\nclient_id = "rung"', "http:// only inside a private network"),
        (f'issuer = "https://me:{CANARY}@accounts.example.com"\nclient_id = "rung"', "what stands there"),
        ('issuer = "https://accounts.example.com?x=1"\nclient_id = "rung"', "as the issuer writes it"),
        (f'{USUAL_ISSUER}client_secret = "{CANARY}"', "$RUNG_OIDC_SECRET"),
        (f'{USUAL_ISSUER}label = ""', "for the button"),
        (f'{USUAL_ISSUER}domains = "example.com"', '["example.com"]'),
        (f'{USUAL_ISSUER}domains = ["@example.com"]', '["example.com"]'),
        (f'{USUAL_ISSUER}trust_emails = "yes"', "true or false"),
        (f'{USUAL_ISSUER}domain = ["example.com"]', "did you mean 'domains'"),
    ],
)
def test_an_issuer_that_cannot_be_meant_is_refused(tmp_path: Path, lines: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, SIGNED + lines)
    assert said in str(refused.value)
    assert CANARY not in str(refused.value)


def test_an_issuer_has_its_secret_from_a_variable_and_lacks_it_where_that_is_not_set(tmp_path: Path) -> None:
    assert read(tmp_path, SIGNED.replace("[oidc]\n", "")).oidc is None
    public = read(tmp_path, SIGNED + USUAL_ISSUER).oidc
    assert public
    assert (public.label, public.client_secret, public.lacks, public.domains) == ("single sign-on", None, None, ())
    lines = f'{SIGNED}{USUAL_ISSUER}client_secret = "$K"\nlabel = "Acme"\ndomains = ["Example.com"]\n'
    without = read(tmp_path, lines).oidc
    assert without
    assert (without.lacks, without.domains) == ("K", ("example.com",))
    whole = read(tmp_path, lines, K=CANARY).oidc
    assert whole
    assert whole.lacks is None
    assert CANARY not in repr(whole)
