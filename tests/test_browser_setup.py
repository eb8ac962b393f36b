import os
import stat
from pathlib import Path

import pytest

from tests import browser_setup

CHROMIUM = "#!/bin/sh\necho Chromium 1.0\n"
STUB = "#!/bin/sh\necho this command asks you to install another package >&2\nexit 1\n"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


@pytest.fixture
def bare(programs: Path, tmp_path: Path) -> dict[str, str]:
    """The variables of a machine without Chromium, without apt-get and without network."""
    return {
        "PATH": str(programs),
        "HOME": str(tmp_path),
        "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path / "downloads"),
        "PLAYWRIGHT_DOWNLOAD_HOST": "http://127.0.0.1:9",
    }


def put(folder: Path, name: str, text: str) -> Path:
    program = folder / name
    program.write_text(text)
    program.chmod(0o755)
    return program


@pytest.mark.slow
def test_nothing_found_and_every_way_failed_is_none_with_reasons(bare: dict[str, str]) -> None:
    said: list[str] = []
    assert browser_setup.setup(bare, said.append) is None
    assert "No Chromium here; trying Debian's package …" in said
    assert "No Chromium here; trying Playwright's download …" in said
    assert said[-1].startswith("  failed:")


def test_a_stub_that_asks_for_another_package_is_not_a_browser(bare: dict[str, str], programs: Path) -> None:
    put(programs, "chromium-browser", STUB)
    assert browser_setup.find(bare) is None


def test_the_system_s_chromium_is_taken(bare: dict[str, str], programs: Path) -> None:
    put(programs, "chromium", STUB)
    right = put(programs, "google-chrome", CHROMIUM)
    assert browser_setup.setup(bare, pytest.fail) == str(right)


def test_the_one_that_was_named_comes_first(bare: dict[str, str], programs: Path, tmp_path: Path) -> None:
    put(programs, "chromium", CHROMIUM)
    named = put(tmp_path, "mine", CHROMIUM)
    assert browser_setup.find(bare | {"RUNG_CHROMIUM": str(named)}) == str(named)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may install packages")
def test_root_gets_debian_s_package(bare: dict[str, str], programs: Path) -> None:
    put(programs, "store", CHROMIUM)
    put(
        programs, "apt-get", f'#!/bin/sh\ncase "$*" in *install*) /bin/cp {programs}/store {programs}/chromium;; esac\n'
    )
    assert browser_setup.setup(bare, lambda _: None) == str(programs / "chromium")


@pytest.mark.skipif(os.geteuid() == 0, reason="root would ask apt-get")
def test_a_plain_user_never_asks_apt_get(bare: dict[str, str], programs: Path, tmp_path: Path) -> None:
    put(programs, "apt-get", f"#!/bin/sh\n/usr/bin/touch {tmp_path}/asked\n")
    assert browser_setup.setup(bare, lambda _: None) is None
    assert not (tmp_path / "asked").exists()


def test_the_browser_of_this_machine_starts() -> None:
    found = browser_setup.find(os.environ)
    if found is None:
        pytest.skip("no Chromium on this machine")
    assert Path(found).stat().st_mode & stat.S_IXUSR
