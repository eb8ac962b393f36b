"""The pages about commands and configuration say everything there is, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dashboard.cli import codes
from dashboard.cli.main import group

ROOT = Path(__file__).parents[1]
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
README = (ROOT / "README.md").read_text()


def walk(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from walk(found, f"{name} {below}")


TREE = dict(walk(group, "rung"))


def options(command: click.Command) -> set[str]:
    return {flag for option in command.params if isinstance(option, click.Option) for flag in option.opts}


@pytest.mark.parametrize("name", TREE)
def test_every_command_and_option_is_described(name: str) -> None:
    assert f"`{name}" in COMMANDS
    for option in options(TREE[name]):
        assert f"`{option}" in COMMANDS, option


@pytest.mark.parametrize("name", TREE)
def test_every_command_and_option_helps(name: str) -> None:
    command = TREE[name]
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name


def test_no_option_is_described_that_is_not_there() -> None:
    known = set().union(*map(options, TREE.values())) | {"--help", "-h"}
    for text in (COMMANDS, README):
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= known


@pytest.mark.parametrize("option", ["--config", "--dir", "--json", "--env", "--lock-wait", "--until-blocked"])
def test_the_commands_that_share_an_option_are_named(option: str) -> None:
    (named,) = re.findall(rf"^\| `{option}[^|]*\| ([^|]*) \|", COMMANDS, re.MULTILINE)
    have = {name for name, command in TREE.items() if option in options(command)}
    if named.startswith("all but "):
        without = set(re.findall(r"`([a-z ]+)`", named))
        leaves = {name for name, command in TREE.items() if not isinstance(command, click.Group)}
        assert leaves - have == {f"rung {name}" for name in without}
    else:
        assert have == {f"rung {name}" for name in re.findall(r"`([a-z ]+)`", named)}


def test_every_exit_code_is_described() -> None:
    described = {int(code) for code in re.findall(r"^\| (\d) \|", COMMANDS, re.MULTILINE)}
    assert described == {codes.DONE, codes.FAILED, codes.USAGE, codes.REFUSED, codes.NOT_REACHABLE, codes.BUSY}


def test_the_npm_scripts_are_the_same_on_both_pages() -> None:
    scripts = [re.findall(r"```json\n(.*?)```", text, re.DOTALL) for text in (COMMANDS, README)]
    assert scripts[0] == scripts[1]


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_no_link_leads_nowhere(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / "docs" / target).exists(), target
