"""Everything that can go wrong, on one page: docstring = message, typed attributes, advice = what to do next.

An expected "no" (refused, busy, nothing to do) is a value: see `run.py` and `picture.py`. What stands here stops a
command. The faces map these classes to exit codes and HTTP statuses.
"""

import inspect
from dataclasses import dataclass


class RungError(Exception):
    """Rung could not do this."""

    advice: str = ""

    def __str__(self) -> str:
        return inspect.cleandoc(type(self).__doc__ or "").replace("\n", " ").format(**vars(self))


# --- configuration: nothing was asked of any database yet ---


class ConfigurationError(RungError):
    """The configuration does not say what Rung needs."""


@dataclass(eq=False)
class UnreadableConfiguration(ConfigurationError):
    """{path} cannot be used: {reason}."""

    path: str
    reason: str
    advice = "docs/configuration.md shows a whole one to start from."


@dataclass(eq=False)
class UnknownKey(ConfigurationError):
    """{where} has a key {key!r} that Rung does not know{nearest}."""

    where: str
    key: str
    nearest: str
    advice = "See docs/configuration.md for all keys."


@dataclass(eq=False)
class BadValue(ConfigurationError):
    """{where}: {key} cannot be {value}; it takes {expected}."""

    where: str
    key: str
    value: str
    expected: str


@dataclass(eq=False)
class MissingVariable(ConfigurationError):
    """Environment {environment} takes its address from ${variable}, and {variable} is not set."""

    environment: str
    variable: str
    advice = "Set it in the shell, or in a file called .env beside rung.toml."


@dataclass(eq=False)
class BadDatabaseUrl(ConfigurationError):
    """The address of environment {environment} cannot be read: {reason}."""

    environment: str
    reason: str
    advice = (
        "It looks like postgresql://user:password@host:5432/database, with special characters percent-encoded. "
        "It is not repeated here because it may hold a password."
    )


@dataclass(eq=False)
class UnknownEnvironment(ConfigurationError):
    """There is no environment called {name!r}; this configuration has {known}."""

    name: str
    known: str


@dataclass(eq=False)
class NoEnvironments(ConfigurationError):
    """No environment is configured: there is no rung.toml in this folder or above it, and DATABASE_URL is not set."""

    advice = "Set DATABASE_URL, write a rung.toml, or look around first with `rung demo`."


@dataclass(eq=False)
class NoHome(ConfigurationError):
    """Rung's own database is not configured, and {verb} needs it."""

    verb: str
    advice = 'Add home = "$RUNG_HOME_URL" to rung.toml and set RUNG_HOME_URL.'


@dataclass(eq=False)
class UnsafeConfiguration(ConfigurationError):
    """{what}."""

    what: str
    advice: str


# --- the folder ---


class FolderError(RungError):
    """The migrations folder cannot be used."""


@dataclass(eq=False)
class NoFolder(FolderError):
    """There is no migrations folder at {path}."""

    path: str
    advice = 'Make the first file with `rung new "what it does"`, or name the folder with --dir or in rung.toml.'


@dataclass(eq=False)
class UnusableFolder(FolderError):
    """The migrations folder {path} cannot be {verb}: {reason}."""

    path: str
    verb: str
    reason: str
    advice = "Give the user that runs Rung the right to, or name another folder with --dir or in rung.toml."


@dataclass(eq=False)
class BadName(FolderError):
    """{name!r} leaves nothing to name a file by."""

    name: str
    advice = 'Say what the migration does, for example `rung new "add user preferences"`.'


@dataclass(eq=False)
class BadPattern(FolderError):
    """{text!r} cannot be used: {expected}."""

    text: str
    expected: str


# --- an environment ---


class EnvironmentFault(RungError):
    """An environment's database does not let Rung work."""


@dataclass(eq=False)
class Unreachable(EnvironmentFault):
    """{environment} cannot be reached: {reason}."""

    environment: str
    reason: str
    advice: str


class HomeUnreachable(Unreachable):
    """Rung's own database cannot be reached: {reason}."""


@dataclass(eq=False)
class Unusable(EnvironmentFault):
    """{environment} cannot take migrations: {reason}."""

    environment: str
    reason: str
    advice: str


@dataclass(eq=False)
class ForeignLedger(EnvironmentFault):
    """{environment} has a table {table} that is not a ledger: its columns are {columns}."""

    environment: str
    table: str
    columns: str
    advice = (
        "It must have filename and applied_at. Another tool may own it: point ledger_schema in rung.toml at another "
        "schema, or rename that table."
    )


@dataclass(eq=False)
class ConnectionLost(EnvironmentFault):
    """The connection to {environment} was lost {when}: {reason}."""

    environment: str
    when: str
    reason: str
    advice = "Run the same command again: it reads the ledger first and continues where the database really is."


@dataclass(eq=False)
class HomeNotReady(RungError):
    """Rung's own database cannot be used: {reason}."""

    reason: str
    advice = "`rung serve` and `rung worker` prepare it when they start; its role must be allowed to create schemas."


@dataclass(eq=False)
class AuditShut(HomeNotReady):
    """Rung's own audit cannot be written, so nothing is done: {reason}."""

    advice = "Give the role that Rung uses in home INSERT on home.audit, and take away whatever stops rows there."


@dataclass(eq=False)
class EmbeddedServerFault(RungError):
    """The embedded PostgreSQL cannot be {verb}: {reason}."""

    verb: str
    reason: str
    advice = "Its log lies in its folder. To use another server's programs, set RUNG_POSTGRES_BIN to their folder."


@dataclass(eq=False)
class CannotRehearse(RungError):
    """No copy of {environment}'s schema can be made: {reason}."""

    environment: str
    reason: str
    advice = "The role needs SELECT on the catalog and USAGE on the schemas; the server here must not be older."


@dataclass(eq=False)
class DemoFault(RungError):
    """The demo cannot start: {reason}."""

    reason: str
    advice = "Stop the one that runs with Ctrl-C, or start over with `rung demo --reset`."


# --- accounts and pages ---


class AccessError(RungError):
    """Somebody asked for what is not theirs."""


@dataclass(eq=False)
class NotAllowed(AccessError):
    """{who} may not {what}."""

    who: str
    what: str
    advice = "Ask an admin for the role."


@dataclass(eq=False)
class IssuerFault(RungError):
    """{issuer} cannot be used at the moment: {reason}."""

    issuer: str
    reason: str
    advice = "Try again in a moment. Whoever runs Rung finds its address under [oidc] in rung.toml."


@dataclass(eq=False)
class NotLetIn(AccessError):
    """{issuer} opens no account here: {reason}."""

    issuer: str
    reason: str
    advice: str = "Nothing was changed. Start again on the sign-in page."


@dataclass(eq=False)
class BadAccount(RungError):
    """There can be no such account: {reason}."""

    reason: str


@dataclass(eq=False)
class ByIssuer(RungError):
    """{email} signs in by OpenID Connect, so no password and no link opens the account."""

    email: str
    advice = "`rung user disconnect` with the address makes links open it again."


@dataclass(eq=False)
class BadToken(RungError):
    """There can be no such token: {reason}."""

    reason: str
    advice = "A scope is `read`, `audit`, or `plan:`, `apply:` or `force:` with an environment's name, or * for all."


@dataclass(eq=False)
class NotFound(RungError):
    """There is no {what} called {name!r}."""

    what: str
    name: str
