"""What every command is asked with: the shell's variables, the configuration, who asks, and the options for them."""

import functools
import getpass
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dashboard.bootstrap import Services, build
from dashboard.cli.codes import code_of
from dashboard.cli.shown import error_json, say_json
from dashboard.core.environment import Environment
from dashboard.core.errors import BadValue, MissingVariable, RungError, UnreadableConfiguration
from dashboard.core.record import read_hash
from dashboard.core.run import Actor, ActorKind, Door
from dashboard.settings import FILE, Settings, find, load

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def options(*, env: str | None = None, json: bool = True) -> Decorator:
    """`--config`, `--dir`, and where the command has them `--env` (with this help) and `--json`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        if json:
            command = _also_errors(command)
            command = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")(
                command
            )
        command = click.option("--dir", "directory", type=click.Path(path_type=Path), help="The migrations folder.")(
            command
        )
        command = click.option(
            "--config", type=click.Path(path_type=Path), envvar="RUNG_CONFIG", help=f"The {FILE} to use."
        )(command)
        if env is not None:
            command = click.option("--env", "name", metavar="NAME", help=env)(command)
        return command

    return decorate


def _also_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """With `--json`, what stops the command is a document too."""

    @functools.wraps(command)
    def told(*given: Any, as_json: bool, **named: Any) -> Any:
        try:
            return command(*given, as_json=as_json, **named)
        except RungError as wrong:
            if as_json:
                say_json(error_json(wrong, code_of(wrong)))
            raise

    return told


def a_hash(_context: click.Context, _option: click.Parameter, given: str | None) -> str | None:
    """The value of an option that takes a row's hash."""
    found = read_hash(given) if given is not None else None
    if given is not None and found is None:
        raise click.BadParameter("a hash has 64 digits from 0 to 9 and a to f")
    return found


def variables(config: Path | None) -> Mapping[str, str]:
    """The shell's variables, and below them those of the `.env` beside the configuration."""
    found = config or find(Path.cwd())
    file = (found.parent if found else Path.cwd()) / ".env"
    if not file.is_file():
        return os.environ
    from dotenv import dotenv_values

    try:
        said = dotenv_values(file)
    except UnicodeDecodeError:
        raise UnreadableConfiguration(str(file), "it is not UTF-8") from None
    except OSError as wrong:
        raise UnreadableConfiguration(str(file), wrong.strerror or "it cannot be read") from None
    return {name: value for name, value in said.items() if value is not None} | dict(os.environ)


def settings_of(config: Path | None, directory: Path | None) -> Settings:
    """The configuration of this command. Raises ConfigurationError."""
    if config is not None and not config.is_file():
        raise click.BadParameter(f"there is no file {config}.", param_hint="--config")
    return load(variables(config), start=Path.cwd(), config=config, directory=directory)


def services_of(settings: Settings) -> Services:
    """The verbs for a command that asks the environments themselves: home may be missing, or not made yet."""
    return build(replace(settings, home=None))


def person() -> Actor:
    """Who runs a command: $RUNG_ACTOR, or the system user; $RUNG_ACTOR_KIND says which kind, a person by default."""
    kind = os.environ.get("RUNG_ACTOR_KIND") or ActorKind.PERSON
    try:
        return Actor(ActorKind(kind), os.environ.get("RUNG_ACTOR") or _user(), Door.CLI)
    except ValueError:
        raise BadValue("the shell", "RUNG_ACTOR_KIND", repr(kind), "person, deploy, schedule or agent") from None


def deploy() -> Actor:
    """Who starts an application."""
    named = (os.environ.get(name) for name in ("RUNG_ACTOR", "RENDER_SERVICE_NAME"))
    return Actor(ActorKind.DEPLOY, next(filter(None, named), socket.gethostname()), Door.DEPLOY)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return f"user {os.getuid()}"


def chosen(settings: Settings, name: str | None) -> Environment:
    """The environment that is meant. Raises UnknownEnvironment, MissingVariable."""
    environment = settings.default if name is None else settings.environment(name)
    if environment.url is None:
        raise MissingVariable(environment.name, environment.variable or "?")
    return environment
