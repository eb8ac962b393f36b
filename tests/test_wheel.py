import hashlib
import os
import re
import secrets
import signal
import subprocess
import sys
import sysconfig
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import dashboard
from dashboard.postgres import embedded
from dashboard.services import demo
from tests.conftest import MakeDatabase

ROOT = Path(dashboard.__file__).parents[1]
PATIENCE = 60


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("not a checkout, so there is nothing to build from")
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def rung(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """`rung` of a new virtual environment that has the wheel, and borrows this one's other packages."""
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    # Lines of a .pth file join the path, but .pth files found there do not count: the checkout itself stays unseen.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "--isolated", "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    return str(folder / "bin" / "rung")


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """A shell with nothing of ours set, whose data folder is the test's."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return kept | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    """An application's own folder."""
    folder = tmp_path / "application"
    folder.mkdir()
    return folder


@pytest.fixture
def demo_folder(variables: dict[str, str]) -> Iterator[Path]:
    folder = Path(variables["XDG_DATA_HOME"]) / "rung" / "demo"
    yield folder
    embedded.remove(demo.cluster_of(folder))


def run(command: list[str], variables: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def until_it_says(pattern: str, process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        found = re.search(pattern, line)
        if found:
            return found.group()
    pytest.fail(f"it never said {pattern}:\n" + "".join(said))


def a_page_comes_and_the_end_is_clean(
    command: list[str], pattern: str, path: str, variables: dict[str, str], cwd: Path
) -> None:
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables, cwd=cwd
    ) as process:
        too_long = threading.Timer(PATIENCE, process.terminate)
        too_long.start()
        try:
            address = until_it_says(pattern, process)
            with urllib.request.urlopen(address + path) as page:  # noqa: S310  # our own
                assert b"Rung" in page.read()
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, said
        finally:
            too_long.cancel()
            process.terminate()


def test_the_wheel_carries_pages_styles_schema_and_the_sample(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        r"web/templates/\w+\.html",
        r"web/static/\S+\.css",
        r"web/static/\S+\.js",
        r"postgres/home/schema/\w+\.sql",
        r"postgres/demo_rows\.sql",
        r"sample/017_add_user_preferences\.sql",
    ):
        assert any(re.fullmatch(f"dashboard/{wanted}", name) for name in names), wanted
    assert not [name for name in names if "__pycache__" in name or not name.startswith(("dashboard/", "rung-"))]


def committed(folder: str) -> set[str]:
    """Every committed file below a folder of the checkout; what is a link there counts with all that it leads to."""
    listed = subprocess.run(["git", "ls-files", "-z", folder], cwd=ROOT, check=True, capture_output=True, text=True)
    found = set()
    for name in filter(None, listed.stdout.split("\0")):
        target = (ROOT / name).resolve().relative_to(ROOT.resolve()).as_posix()
        is_link = (ROOT / name).is_symlink()
        found |= {name + path.removeprefix(target) for path in committed(target)} if is_link else {name}
    return found


def test_the_wheel_holds_exactly_the_committed_files_of_the_product(wheel: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so nothing says which files are committed")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("dashboard/")}
    assert packed == committed("dashboard")
    assert not [name for name in packed if re.search(r"(^|/)(tests?|fixtures?|conftest\.py|\.git)(/|$)", name)]


@pytest.mark.parametrize("altered", [False, True], ids=["the right hash", "one figure changed"])
def test_a_package_is_installed_by_its_hash_only(wheel: Path, tmp_path: Path, altered: bool) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if altered:
        digest = ("1" if digest[0] != "1" else "2") + digest[1:]
    lock = tmp_path / "lock.txt"
    lock.write_text(f"rung=={wheel.name.split('-')[1]} --hash=sha256:{digest}\n")
    pip = [sys.executable, "-m", "pip", "--isolated", "install", "--no-deps", "--no-index", "--find-links"]
    where = [str(wheel.parent), "--target", str(tmp_path / "empty"), "--require-hashes", "-r", str(lock)]
    done = subprocess.run([*pip, *where], check=False, capture_output=True, text=True)
    assert (done.returncode != 0) is altered, done.stderr
    assert ("DO NOT MATCH THE HASHES" in done.stderr) is altered
    assert (tmp_path / "empty" / "dashboard").exists() is not altered


def test_the_installed_rung_is_the_one_of_the_wheel(rung: str, variables: dict[str, str], cwd: Path) -> None:
    python = str(Path(rung).with_name("python"))
    where = run([python, "-c", "import dashboard; print(dashboard.__file__)"], variables, cwd)
    assert where.startswith(str(Path(rung).parents[1]))
    assert "migrate" in run([rung, "--help"], variables, cwd)


@pytest.mark.slow  # its files are looked for in the wheel, and a journey goes through the demo of the checkout
def test_it_runs_the_demo(rung: str, variables: dict[str, str], cwd: Path, demo_folder: Path) -> None:
    command = [rung, "demo", "--port", "0", "--no-browser"]
    a_page_comes_and_the_end_is_clean(command, r"http://\S+/sign-in/link/\S+", "", variables, cwd)
    assert (demo_folder / "migrations" / "017_add_user_preferences.sql").exists()
    assert list(cwd.iterdir()) == []


def test_it_serves_an_application_s_own_folder(
    rung: str, variables: dict[str, str], cwd: Path, make_database: MakeDatabase
) -> None:
    shell = variables | {"DATABASE_URL": make_database().reveal(), "RUNG_HOME_URL": make_database().reveal()}
    shell["RUNG_SECRET_KEY"] = secrets.token_urlsafe(32)
    run([rung, "new", "add user preferences"], shell, cwd)
    (written,) = (cwd / "migrations").glob("*.sql")
    written.write_text("CREATE TABLE user_preferences (id SERIAL PRIMARY KEY);")
    assert "1 behind" in run([rung, "status"], shell, cwd)
    assert written.name in run([rung, "migrate"], shell, cwd)
    assert "up to date" in run([rung, "status"], shell, cwd)
    assert written.name in run([rung, "history"], shell, cwd)
    a_page_comes_and_the_end_is_clean([rung, "serve", "--port", "0"], r"http://\S+", "/sign-in", shell, cwd)
