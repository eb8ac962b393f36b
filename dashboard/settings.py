"""`rung.toml` and a mapping of variables become Settings; every wrong key and value is named."""

import difflib
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dashboard.core.environment import Environment, Policies, Policy, Secret
from dashboard.core.errors import (
    BadValue,
    NoEnvironments,
    UnknownEnvironment,
    UnknownKey,
    UnreadableConfiguration,
    UnsafeConfiguration,
)
from dashboard.core.hosts import is_private
from dashboard.core.migration import SIZE_LIMIT
from dashboard.core.oidc import USUAL_LABEL, Issuer
from dashboard.core.run import Outcome
from dashboard.core.webhook import USUAL, Webhook

FILE = "rung.toml"
PROBE_LIMIT = 1_000_000_000

_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_NAME = re.compile(r"(?!all$)[a-z][a-z0-9_-]{0,62}")  # `--env all` means every one of them
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_PASSWORD = re.compile(r"://[^/@]*:(?!\d+/)[^@]*[^@:]@|password\s*=", re.IGNORECASE)  # of a server, a key, a service
_POLICIES = ("out_of_order", "edited", "duplicate_numbers", "moved", "superuser")
_TOP = (
    *("migrations", "home", "allow_plain_home", "public_url", "secret_key", "max_file_size", "probe_limit"),
    "environments",
    "webhooks",
    "oidc",
)
_OF_WEBHOOK = ("url", "secret", "environments", "outcomes")
_OF_OIDC = ("issuer", "client_id", "client_secret", "label", "domains", "trust_emails")
_LONGEST_LABEL = 40  # characters; it stands on a button
_SHORTEST_TOKEN = 20
_MOST_PROXIES = 5
_SHORTEST_BOOTSTRAP = 16
_SHORTEST_SECRET = 24
_LIMITS = ("stuck_sessions", "stuck_seconds")
_SWITCHES = ("protected", "allow_plain")
_OF_ENVIRONMENT = ("url", "ledger_schema", *_SWITCHES, *_POLICIES, *_LIMITS)


@dataclass(frozen=True, slots=True)
class Settings:
    """What this checkout knows.

    Attributes
    ----------
    root: the folder of `rung.toml`; without one, the folder the search began in.
    migrations: the folder of SQL files, absolute.
    environments: in their fixed order; never empty.
    home: address of Rung's own database; None where it is not configured, or its variable is not set.
    home_variable: the name of that variable, without the $.
    allow_plain_home: home may be reached through an open network without encryption.
    public_url: the address people open, without a slash at the end; None: whatever address they came by.
    size_limit: bytes of one migration.
    probe_limit: bytes of the largest table that is read in full before anything runs.
    trusted_proxies: how many proxies stand in front, each of which adds the address it was called from.
    metrics_token: what opens `/metrics`; None: nothing does.
    webhooks: who is told how runs ended.
    oidc: who else signs people in; None: only passwords and links do.
    bootstrap_secret: with it the first admin's account is made in the browser; None: only `rung user add` makes it.

    """

    root: Path
    migrations: Path
    environments: tuple[Environment, ...]
    home: Secret | None = field(default=None, repr=False)
    home_variable: str | None = None
    allow_plain_home: bool = False
    public_url: str | None = None
    secret_key: Secret | None = field(default=None, repr=False)
    size_limit: int = SIZE_LIMIT
    probe_limit: int = PROBE_LIMIT
    trusted_proxies: int = 0
    metrics_token: Secret | None = field(default=None, repr=False)
    bootstrap_secret: Secret | None = field(default=None, repr=False)
    webhooks: tuple[Webhook, ...] = ()
    oidc: Issuer | None = None

    def environment(self, name: str) -> Environment:
        """The environment of that name. Raises UnknownEnvironment."""
        for environment in self.environments:
            if environment.name == name:
                return environment
        raise UnknownEnvironment(name, ", ".join(known.name for known in self.environments))

    @property
    def default(self) -> Environment:
        """The environment that is meant where none is named: `local`, or else the first."""
        return next((known for known in self.environments if known.name == "local"), self.environments[0])


def find(start: Path) -> Path | None:
    """The `rung.toml` in this folder, or the nearest one above it."""
    start = start.absolute()
    paths = (folder / FILE for folder in (start, *start.parents))
    return next((path for path in paths if os.path.isfile(path)), None)  # noqa: PTH113  # a folder may be closed to us


def load(
    variables: Mapping[str, str], *, start: Path, config: Path | None = None, directory: Path | None = None
) -> Settings:
    """Read the configuration. Raises ConfigurationError.

    `variables` are those of the shell and of `.env`. The search for `rung.toml` begins at `start`, unless `config`
    names the file. `directory` takes the place of the configured migrations folder.
    """
    path = config or find(start)
    if path is None:
        return _without_file(variables, start.absolute(), directory)
    table = _read(path)
    _know(table, _TOP, str(path.name))
    home, home_variable = _secret(table, "home", variables, path.name)
    root = path.absolute().parent
    return Settings(
        root=root,
        migrations=_folder(directory, variables, start, root / _text(table, "migrations", path.name, "migrations")),
        home=home,
        home_variable=home_variable,
        allow_plain_home=_switch(table, "allow_plain_home", path.name),
        public_url=_public_url(table, variables, path.name),
        secret_key=_secret({"secret_key": "$RUNG_SECRET_KEY"} | table, "secret_key", variables, path.name)[0],
        size_limit=_whole(table, "max_file_size", path.name, SIZE_LIMIT),
        probe_limit=_whole(table, "probe_limit", path.name, PROBE_LIMIT),
        environments=_environments(table, variables, path.name),
        trusted_proxies=_proxies(variables),
        metrics_token=_metrics_token(variables),
        bootstrap_secret=_bootstrap_secret(variables),
        webhooks=_webhooks(table, list(table["environments"]), variables, path.name),
        oidc=_oidc(table["oidc"], variables, path.name) if "oidc" in table else None,
    )


def _without_file(variables: Mapping[str, str], start: Path, directory: Path | None) -> Settings:
    if not variables.get("DATABASE_URL"):
        raise NoEnvironments
    local = Environment("local", 0, Secret(variables["DATABASE_URL"]), "DATABASE_URL")
    home, key = variables.get("RUNG_HOME_URL"), variables.get("RUNG_SECRET_KEY")
    return Settings(
        root=start,
        migrations=_folder(directory, variables, start, start / "migrations"),
        environments=(local,),
        home=Secret(home) if home else None,
        home_variable="RUNG_HOME_URL",
        public_url=_public_url({}, variables, "the shell"),
        secret_key=Secret(key) if key else None,
        trusted_proxies=_proxies(variables),
        metrics_token=_metrics_token(variables),
        bootstrap_secret=_bootstrap_secret(variables),
    )


def _bootstrap_secret(variables: Mapping[str, str]) -> Secret | None:
    secret = variables.get("RUNG_BOOTSTRAP_SECRET") or ""
    if secret and len(secret) < _SHORTEST_BOOTSTRAP:
        short = f"fewer than {_SHORTEST_BOOTSTRAP} characters"
        what = f"RUNG_BOOTSTRAP_SECRET has {short}, and whoever guesses it becomes the first admin"
        raise UnsafeConfiguration(what, 'Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"')
    return Secret(secret) if secret else None


def _proxies(variables: Mapping[str, str]) -> int:
    text = variables.get("RUNG_TRUSTED_PROXIES") or "0"
    if not text.isdecimal() or int(text) > _MOST_PROXIES:
        where, expected = "the shell", f"a number from 0 to {_MOST_PROXIES}"
        raise BadValue(where, "RUNG_TRUSTED_PROXIES", repr(text), expected)
    return int(text)


def _metrics_token(variables: Mapping[str, str]) -> Secret | None:
    token = variables.get("RUNG_METRICS_TOKEN") or ""
    if token and len(token) < _SHORTEST_TOKEN:
        what = f"RUNG_METRICS_TOKEN has fewer than {_SHORTEST_TOKEN} characters, and opens the figures of the service"
        raise UnsafeConfiguration(what, 'Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"')
    return Secret(token) if token else None


def _folder(directory: Path | None, variables: Mapping[str, str], start: Path, configured: Path) -> Path:
    if directory is not None:
        return (start / directory).absolute()
    named = variables.get("RUNG_MIGRATIONS")
    return (start / named).absolute() if named else configured.absolute()


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as wrong:
        raise UnreadableConfiguration(str(path), f"it is not valid TOML: {wrong}") from None
    except UnicodeDecodeError:
        raise UnreadableConfiguration(str(path), "it is not UTF-8") from None
    except OSError as wrong:
        raise UnreadableConfiguration(str(path), wrong.strerror or "it cannot be read") from None


def _know(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise UnknownKey(where, key, f" (did you mean {near[0]!r}?)" if near else "")


def _environments(table: Mapping[str, Any], variables: Mapping[str, str], where: str) -> tuple[Environment, ...]:
    named = table.get("environments", {})
    if not isinstance(named, dict) or not named:
        what = _kind(named) if named else "left out"
        raise BadValue(where, "environments", what, "at least one table such as [environments.local] with a url")
    return tuple(_environment(name, place, named[name], variables, where) for place, name in enumerate(named))


def _environment(name: str, place: int, table: object, variables: Mapping[str, str], file: str) -> Environment:
    where = f"{file} [environments.{name}]"
    if not _NAME.fullmatch(name):
        expected = "a name of lower-case letters, digits, dashes and underscores, and not the word all"
        raise BadValue(file, "environments", name, expected)
    if not isinstance(table, dict):
        raise BadValue(
            file, f"environments.{name}", _kind(table), f"a table: [environments.{name}] and below it its url"
        )
    _know(table, _OF_ENVIRONMENT, where)
    url, variable = _secret(table, "url", variables, where)
    if url is None and variable is None:
        raise BadValue(where, "url", "left out", f'the name of a variable, such as "{_example("url", where)}"')
    policies: dict[str, Any] = {key: _policy(table, key, where) for key in _POLICIES if key in table}
    policies |= {key: _limit(table, key, where) for key in _LIMITS if key in table}
    policies |= {key: _switch(table, key, where) for key in _SWITCHES}
    return Environment(
        name,
        place,
        url,
        variable,
        _text(table, "ledger_schema", where, "public"),
        Policies(**policies),
    )


def _webhooks(
    table: Mapping[str, Any], environments: list[str], variables: Mapping[str, str], file: str
) -> tuple[Webhook, ...]:
    named = table.get("webhooks", [])
    if not isinstance(named, list) or not all(isinstance(one, dict) for one in named):
        raise BadValue(file, "webhooks", _kind(named), "tables, each under a line [[webhooks]]")
    made = tuple(_webhook(one, environments, variables, f"{file} [[webhooks]] {n}") for n, one in enumerate(named, 1))
    names = [one.name for one in made]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadValue(file, "webhooks", f"two with the url ${twice}", "one table for each variable")
    return made


def _webhook(table: Mapping[str, Any], environments: list[str], variables: Mapping[str, str], where: str) -> Webhook:
    _know(table, _OF_WEBHOOK, where)
    name, url = _of_variable(table, "url", variables, where)
    if name is None:
        raise BadValue(where, "url", "left out", 'the name of a variable, such as "$SLACK_WEBHOOK_URL"')
    key, secret = _of_variable(table, "secret", variables, where)
    if url and not _can_be_told(url):
        expected = "https://… without a user's name or a password in it; http:// only inside a private network"
        raise BadValue(where, f"${name}", "what stands there", expected)
    if secret and len(secret) < _SHORTEST_SECRET:
        raise BadValue(where, f"${key}", "what stands there", f"a random text of {_SHORTEST_SECRET} characters or more")
    return Webhook(
        name,
        Secret(url) if url else None,
        _some_of(table, "environments", environments, environments, where),
        tuple(map(Outcome, _some_of(table, "outcomes", list(Outcome), list(USUAL), where))),
        Secret(secret) if secret else None,
        name if not url else key if not secret else None,
    )


def _oidc(table: object, variables: Mapping[str, str], file: str) -> Issuer:
    if not isinstance(table, dict):
        raise BadValue(file, "oidc", _kind(table), "a table: [oidc] and below it issuer and client_id")
    where = f"{file} [oidc]"
    _know(table, _OF_OIDC, where)
    issuer, client_id = (_text(table, key, where, "") for key in ("issuer", "client_id"))
    if not _can_be_told(issuer) or "?" in issuer or "#" in issuer:
        expected = "https://… as the issuer writes it in its tokens; http:// only inside a private network"
        raise BadValue(where, "issuer", repr(issuer) if "@" not in issuer else "what stands there", expected)
    if not client_id:
        raise BadValue(where, "client_id", "left out", "the name that the issuer knows Rung by")
    variable, secret = _of_variable(table, "client_secret", variables, where)
    return Issuer(
        issuer,
        client_id,
        Secret(secret) if secret else None,
        _label(table, where),
        _domains(table, where),
        _switch(table, "trust_emails", where),
        variable if not secret else None,
    )


def _label(table: Mapping[str, Any], where: str) -> str:
    label = _text(table, "label", where, USUAL_LABEL)
    if not label.strip() or len(label) > _LONGEST_LABEL or not label.isprintable():
        raise BadValue(where, "label", repr(label), f"a name of at most {_LONGEST_LABEL} characters, for the button")
    return label.strip()


def _domains(table: Mapping[str, Any], where: str) -> tuple[str, ...]:
    named = table.get("domains", [])
    if not isinstance(named, list) or not all(isinstance(one, str) and _DOMAIN.fullmatch(one) for one in named):
        raise BadValue(where, "domains", repr(named), 'a list such as ["example.com"]')
    return tuple(one.lower() for one in named)


def _of_variable(
    table: Mapping[str, Any], key: str, variables: Mapping[str, str], where: str
) -> tuple[str | None, str | None]:
    """A variable's name and its value: whoever knows the address may write to the channel."""
    text = table.get(key)
    if text is None:
        return None, None
    variable = _VARIABLE.fullmatch(text) if isinstance(text, str) else None
    if variable is None:
        examples = {"url": "$SLACK_WEBHOOK_URL", "client_secret": "$RUNG_OIDC_SECRET"}
        example = examples.get(key, "$WEBHOOK_SECRET")
        raise BadValue(where, key, "what stands there", f'the name of a variable, such as "{example}"')
    return variable[1], variables.get(variable[1]) or None


def _can_be_told(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, user, _port = parts.hostname or "", parts.username, parts.port
    except ValueError:
        return False
    plain = parts.scheme == "http" and is_private(host)
    return bool((parts.scheme == "https" or plain) and host and user is None and re.fullmatch(r"[!-~]+", url))


def _some_of(table: Mapping[str, Any], key: str, known: list[str], usual: list[str], where: str) -> tuple[str, ...]:
    named = table.get(key, usual)
    if not isinstance(named, list) or not named or not all(one in known for one in named):
        raise BadValue(where, key, repr(named), f"a list of some of: {', '.join(known)}")
    return tuple(named)


def _policy(table: Mapping[str, Any], key: str, where: str) -> Policy:
    try:
        return Policy(table[key])
    except ValueError:
        raise BadValue(where, key, repr(table[key]), '"warn" or "refuse"') from None


def _switch(table: Mapping[str, Any], key: str, where: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise BadValue(where, key, repr(value), "true or false")
    return value


def _limit(table: Mapping[str, Any], key: str, where: str) -> Any:
    """A number of sessions is whole, one of seconds need not be."""
    value, whole = table[key], key == "stuck_sessions"
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not 0 <= value < math.inf:
        raise BadValue(where, key, repr(value), f"a {'whole number' if whole else 'number of seconds'}, 0 or more")
    return value


def _secret(
    table: Mapping[str, Any], key: str, variables: Mapping[str, str], where: str
) -> tuple[Secret | None, str | None]:
    """A value that may be secret, and the variable it comes from. A password in the file itself is refused.

    No message repeats the value: whoever wrote a secret here by mistake does not want it in a log as well.
    """
    text = table.get(key, "")
    if not isinstance(text, str):
        raise BadValue(where, key, _kind(text), f'the name of a variable in quotes, such as "{_example(key, where)}"')
    if not text:
        return None, None
    variable = _VARIABLE.fullmatch(text)
    if variable is not None:
        value = variables.get(variable[1])
        return (Secret(value) if value else None), variable[1]
    if key == "secret_key" or _PASSWORD.search(text):
        what = f"{where}: {key} holds a secret, and this file is committed"
        advice = f'Write {key} = "{_example(key, where)}" there, and put the value into the shell or into .env.'
        raise UnsafeConfiguration(what, advice)
    if "://" not in text and "=" not in text:
        expected = f'an address, or the name of a variable with a $ before it, such as "{_example(key, where)}"'
        raise BadValue(where, key, "what stands there", expected)
    return Secret(text), None


def _example(key: str, where: str) -> str:
    """The name people would give the variable: `$STAGING_DATABASE_URL`."""
    named = re.search(r"environments\.([\w-]+)", where)
    if named is None:
        return "$RUNG_SECRET_KEY" if key == "secret_key" else "$RUNG_HOME_URL"
    return f"${named[1].upper().replace('-', '_')}_DATABASE_URL"


def _kind(value: object) -> str:
    """What stands there, without saying it."""
    kinds = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table"}
    return kinds.get(type(value), "a date or time")


def _public_url(table: Mapping[str, Any], variables: Mapping[str, str], where: str) -> str | None:
    text = _text(table, "public_url", where, "")
    variable = _VARIABLE.fullmatch(text)
    text = (variables.get(variable[1], "") if variable else text) or _public_address(variables)
    if text and not re.fullmatch(r"https?://[^/\s?#@]+/?", text):
        raise BadValue(
            where,
            "public_url",
            "what stands there" if "@" in text else repr(text),
            "an address such as https://rung.example.com",
        )
    return text.rstrip("/") or None


def _public_address(variables: Mapping[str, str]) -> str:
    """Said by a person, or by Render, which gives every web service its own address."""
    return variables.get("RUNG_PUBLIC_URL") or variables.get("RENDER_EXTERNAL_URL") or ""


def _text(table: Mapping[str, Any], key: str, where: str, default: str) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise BadValue(where, key, repr(value), "a text in quotes")
    return value


def _whole(table: Mapping[str, Any], key: str, where: str, default: int) -> int:
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadValue(where, key, repr(value), "a whole number of bytes above 0")
    return value
