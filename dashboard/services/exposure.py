"""Exposure: what of a configuration must not meet the world, all of it at once, before anything listens."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from dashboard.core.environment import Environment
from dashboard.core.errors import NoHome, UnsafeConfiguration
from dashboard.core.hosts import is_here
from dashboard.postgres.transport import is_of_demo, plain_hosts
from dashboard.settings import Settings

SHORTEST_KEY = 32  # characters
_FEWEST_DIFFERENT = 10  # of them; "changeme" written four times has eight
_MAKE_ONE = 'Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"'


def refuse_unsafe(settings: Settings, *, pages: bool) -> None:
    """Raise UnsafeConfiguration that names everything that is unsafe, and how to put it right; NoHome without a home.

    pages: the process serves pages, and so signs with the key.
    """
    if settings.home is None:
        raise NoHome("the dashboard")  # noqa: TRY003  # the one who needs it
    of_pages = (*_of_the_key(settings), *_of_the_issuer(settings)) if pages else ()
    found = [*of_pages, *_of_the_address(settings), *_of_connections(settings)]
    if found:
        what = f"this must not be served: {'; '.join(what for what, _ in found)}"
        raise UnsafeConfiguration(what, " ".join(dict.fromkeys(advice for _, advice in found)))


def _of_the_key(settings: Settings) -> Iterator[tuple[str, str]]:
    key = settings.secret_key.reveal() if settings.secret_key else ""
    if not key:
        yield "RUNG_SECRET_KEY (secret_key in rung.toml) is not set, and the pages sign with it", _MAKE_ONE
    elif len(key) < SHORTEST_KEY:
        yield f"RUNG_SECRET_KEY has fewer than {SHORTEST_KEY} characters, and can be guessed", _MAKE_ONE
    elif len(set(key)) < _FEWEST_DIFFERENT:
        yield f"RUNG_SECRET_KEY has fewer than {_FEWEST_DIFFERENT} different characters, and can be guessed", _MAKE_ONE


def _of_the_issuer(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.oidc is not None and settings.oidc.lacks is not None:
        yield (
            f"${settings.oidc.lacks} ([oidc] client_secret in rung.toml) is not set, and nobody could sign in with it",
            f"Set {settings.oidc.lacks}, or take the table [oidc] out of rung.toml.",
        )
    if settings.oidc is not None and settings.public_url is None:
        yield (
            "[oidc] needs to know the address that people open, and there is none",
            "Set public_url in rung.toml, or RUNG_PUBLIC_URL.",
        )


def _of_the_address(settings: Settings) -> Iterator[tuple[str, str]]:
    parts = urlsplit(settings.public_url or "")
    if parts.scheme == "http" and not is_here(parts.hostname or ""):
        yield (
            f"public_url is {settings.public_url}, so that passwords and sessions would travel in plain",
            "Put https in front, and write https:// in public_url (or RUNG_PUBLIC_URL).",
        )


def _of_connections(settings: Settings) -> Iterator[tuple[str, str]]:
    home = Environment("home", 0, settings.home, settings.home_variable)
    if not is_here(urlsplit(settings.public_url or "").hostname or "") and is_of_demo(home):
        yield (
            "Rung's own database is on the demo's server, which `rung demo --reset` deletes",
            f"Give {settings.home_variable or 'home'} the address of a server that is backed up.",
        )
    if not settings.allow_plain_home:
        yield from _of_connection(home, "Rung's own database", "allow_plain_home")
    for environment in settings.environments:
        if not environment.policies.allow_plain:
            yield from _of_connection(environment, environment.name, f"[environments.{environment.name}] allow_plain")


def _of_connection(environment: Environment, called: str, key: str) -> Iterator[tuple[str, str]]:
    hosts = ", ".join(plain_hosts(environment))
    if hosts:
        variable = f" (${environment.variable})" if environment.variable else ""
        encrypt = "Add ?sslmode=verify-full to it (or require, where the server's certificate cannot be checked)"
        yield (
            f"the address of {called}{variable} lets the connection to {hosts} go unencrypted",
            f"{encrypt}, or say {key} = true in rung.toml if the network between is trusted.",
        )
