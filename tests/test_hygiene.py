import re
import subprocess
from pathlib import Path

import psycopg
import pytest
from click import Context

import dashboard
from dashboard.cli.main import group
from dashboard.core.environment import Secret
from dashboard.core.migration import Migration, read_migration
from dashboard.core.script import Script, parse
from dashboard.postgres.embedded import EmbeddedServer

ROOT = Path(dashboard.__file__).parents[1]
SAMPLE = Path(dashboard.__file__).parent / "sample"

# Put together here, so that this file does not find itself.
MACHINE_PATHS = re.compile("(?<![A-Za-z0-9.:_-])/" + r"(?:work|root|workspace|home/[a-z]\w*|Users/\w+)/")
REGISTRIES = re.compile("py" + r"pi\.org|python" + r"hosted\.org|index" + r"-url\s*=|find" + r"-links\s*=")

TRUST = re.compile(
    r"\|\s*safe\b|autoescape\s+false|Markup\s*\(|shell\s*=\s*True|\bpickle\b|verify\s*=\s*False|debug\s*=\s*True"
)

FILES = sorted(SAMPLE.glob("*.sql"))


def committed() -> list[tuple[str, str]]:
    """Name and text of every committed text file."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout, so nothing says which files are committed")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    texts = [(path, path.read_bytes()) for path in paths if path.is_file()]
    return [(str(path.relative_to(ROOT)), data.decode()) for path, data in texts if b"\0" not in data]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in committed()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_committed_file_names_a_path_of_somebody_s_machine() -> None:
    assert lines_with(MACHINE_PATHS) == []


def test_no_template_and_no_module_trusts_a_text_as_markup() -> None:
    assert [line for line in lines_with(TRUST) if line.startswith("dashboard/")] == []


def test_no_committed_file_names_a_package_registry() -> None:
    assert lines_with(REGISTRIES) == []


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_every_locked_package_has_a_version_and_hashes_and_no_address(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    assert "://" not in text
    assert " @ " not in text
    packages = text.replace("\\\n", " ").strip().splitlines()
    assert len(packages) > 10
    for package in packages:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+ ", package), package
        assert "--hash=sha256:" in package, package


def test_what_the_package_says_it_needs_is_what_is_locked() -> None:
    wanted = {line.split("[")[0] for line in (ROOT / "requirements" / "runtime.in").read_text().split() if line}
    locked = set(re.findall(r"^([\w.-]+)", (ROOT / "requirements" / "runtime.txt").read_text(), re.MULTILINE))
    assert wanted <= locked


def test_the_blueprint_starts_programs_that_exist_and_needs_no_shell_before_a_deploy() -> None:
    text = (ROOT / "render.yaml").read_text()
    commands = re.findall(r"^ +(preDeployCommand|startCommand): (.+)$", text, re.MULTILINE)
    assert sorted(kind for kind, _ in commands) == ["preDeployCommand", "startCommand", "startCommand"]
    for _, command in commands:
        assert not re.search(r"[;&|<>$`]", command)
        program, name, *words = command.split()
        assert program == ".venv/bin/rung"
        started = group.get_command(Context(group), name)
        assert started is not None
        known = {word for parameter in started.params for word in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known


def test_no_address_of_a_database_stands_in_the_blueprint_or_the_configuration() -> None:
    text = (ROOT / "render.yaml").read_text() + (ROOT / "rung.toml").read_text()
    assert "postgresql://" not in text
    named = re.findall(r'^url = "\$(\w+)"$', text, re.MULTILINE)
    assert set(named) - set(re.findall(r"- key: (\w+)\n        sync: false", text)) == {"DATABASE_URL"}  # local


def test_the_sample_is_a_small_app_with_one_of_everything_people_write() -> None:
    texts = [path.read_text() for path in FILES]
    assert len(FILES) == 20
    assert sum(text.lstrip().startswith("BEGIN;") for text in texts) > len(texts) / 2
    for once in ("CONCURRENTLY", "DO $$", "LANGUAGE plpgsql", "ADD VALUE", "UPDATE users\nSET", "DROP COLUMN"):
        assert sum(once in text for text in texts) == 1, once


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_sample_file_can_be_read_and_cut_into_statements(path: Path) -> None:
    migration = read_migration(path.name, path.read_bytes())
    assert isinstance(migration, Migration)
    script = parse(migration)
    assert isinstance(script, Script)
    assert script.transactional == (path.name != "011_index_messages_by_channel.sql")


def run_the_sample(url: Secret) -> None:
    """As a person with psql would, without any of our own code."""
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        for path in FILES:
            connection.execute(path.read_bytes())
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert row == (13,)


def test_the_sample_runs_on_the_embedded_server(database: Secret) -> None:
    run_the_sample(database)


def test_the_sample_runs_on_the_server_of_debian(debian_server: EmbeddedServer) -> None:
    debian_server.create_database("sample")
    run_the_sample(debian_server.url("sample"))
    debian_server.drop_database("sample")
