"""Every page and state in a real Chromium, light and dark: axe finds nothing, WCAG 2.2 AA and target sizes included."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from dashboard.bootstrap import Services, build
from dashboard.core.access import Role
from dashboard.core.errors import HomeUnreachable
from dashboard.core.run import Actor, ActorKind, Door, Order
from dashboard.settings import Settings
from dashboard.web import create_app
from tests.cast import EMAILS, Cast
from tests.conftest import Write
from tests.web.conftest import NOWHERE, Applied, serving

pytestmark = pytest.mark.browser

ORDER = Order(Actor(ActorKind.PERSON, EMAILS[Role.OPERATOR], Door.WEB))
OPTIONS = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
THEMES = ("light", "dark")

Enter = Callable[[Role], None]


@pytest.fixture
def enter(page: Page, address: str, cast: Cast) -> Enter:
    def sign_in(role: Role) -> None:
        page.context.clear_cookies()
        page.goto(f"{address}/sign-in/link/{cast.services.accounts.make_link(EMAILS[role])}")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{address}/")

    return sign_in


def found(page: Page, address: str, *paths: str) -> list[str]:
    """What axe has to say about these pages, a line for each place."""
    return [
        f"{theme} {path}: {one}" for path in paths for theme in THEMES for one in _on(page, f"{address}{path}", theme)
    ]


def _on(page: Page, url: str, theme: str) -> Iterator[str]:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.goto(url)
    page.evaluate("document.querySelectorAll('details').forEach(folded => { folded.open = true; })")
    for violation in Axe().run(page, options=OPTIONS).response["violations"]:
        for node in violation["nodes"]:
            yield f"{violation['id']} at {node['target']}: {node['html'][:120]}"


def broken() -> None:
    raise ZeroDivisionError


def away() -> None:
    raise HomeUnreachable("home", "nothing listens there", "Start it.")


def test_axe_would_say_so(page: Page) -> None:
    """Pale words, a button without a name, and links too small to be hit."""
    link = '<a href="/" style="display:block;width:9px;height:9px;overflow:hidden">x</a>'
    page.set_content(f'<main><p style="color:#bbb;background:#fff">pale</p><button></button>{link}{link}</main>')
    said = {violation["id"] for violation in Axe().run(page, options=OPTIONS).response["violations"]}
    assert {"color-contrast", "button-name", "target-size"} <= said


def test_axe_finds_nothing_where_one_looks_and_decides(
    page: Page, address: str, enter: Enter, three: tuple[str, ...], services: Services
) -> None:
    enter(Role.ADMIN)
    queued = services.runs.ask("staging", ORDER).run_id
    pages = ("/", "/environments/production", f"/runs/{queued}", "/migrations/004_drop_is_admin.sql", "/history")
    assert found(page, address, *pages, "/audit") == []


@pytest.mark.usefixtures("signed_in")
def test_axe_finds_nothing_where_people_and_oneself_are_managed(
    page: Page, address: str, enter: Enter, three: tuple[str, ...], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(Role.ADMIN)
    plan = services.compare.look("staging").plan
    assert plan
    rehearsed = services.rehearsals.ask("staging", plan.digest, EMAILS[Role.ADMIN])
    looked = found(page, address, "/account", "/people", f"/rehearsals/{rehearsed}")
    page.goto(f"{address}/people")
    page.get_by_label("E-mail").first.fill("new@example.com")
    page.get_by_role("button", name="Invite").click()
    expect(page.get_by_role("status")).to_contain_text("Give new@example.com this address")
    invited = Axe().run(page, options=OPTIONS).response["violations"]
    for fault in (broken, away):
        monkeypatch.setattr(services.compare, "last_known", fault)
        looked += found(page, address, "/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Rung's own database does not answer")
    assert looked + invited == []


def test_axe_finds_nothing_before_one_is_in(page: Page, address: str, cast: Cast) -> None:
    link = f"/sign-in/link/{cast.services.accounts.make_link(EMAILS[Role.VIEWER])}"
    assert found(page, address, "/sign-in", link, "/sign-in/link/used-up") == []


@pytest.mark.slow
def test_axe_finds_nothing_where_things_went_wrong(
    page: Page, address: str, enter: Enter, applied: Applied, write: Write, folder_path: Path, services: Services
) -> None:
    write(folder_path, "001_a.sql", "CREATE TABLE a AS SELECT 1 AS id FROM generate_series(1, 2);\n")
    write(folder_path, "002_b.sql", "CREATE UNIQUE INDEX CONCURRENTLY b ON a (id);\n")
    applied("staging")
    failed = services.runs.ask("staging", ORDER).run_id
    services.runs.execute(failed)
    write(folder_path, "001_a.sql", "CREATE TABLE a AS SELECT 2 AS id;\n-- another remark\n")
    write(folder_path, "003_broken.sql", "CREATE TABEL c (id int);\n")
    services.compare.live()
    enter(Role.ADMIN)
    pages = ("/environments/staging", f"/runs/{failed}", f"/runs/{failed}/print", "/migrations/003_broken.sql")
    assert (
        found(
            page,
            address,
            *pages,
            "/?only=differences",
            "/history?outcome=failed",
            "/audit?who=no-one",
            "/audit?kind=odd",
            "/nowhere",
        )
        == []
    )


@pytest.mark.slow
def test_axe_finds_nothing_on_pages_with_nothing_on_them(
    page: Page, address: str, enter: Enter, services: Services, folder_path: Path
) -> None:
    enter(Role.VIEWER)
    before = found(page, address, "/", "/environments/local")
    services.compare.live()
    assert before + found(page, address, "/", "/environments/local", "/history", "/?q=nothing") == []


@pytest.mark.slow
def test_axe_finds_nothing_for_whoever_may_only_look(
    page: Page, address: str, enter: Enter, three: tuple[str, ...], services: Services
) -> None:
    enter(Role.VIEWER)
    assert found(page, address, "/environments/staging", "/?q=no-such-file", "/history?environment=nowhere") == []


@pytest.mark.slow
def test_axe_finds_nothing_where_a_database_is_silent(page: Page, settings: Settings, three: tuple[str, ...]) -> None:
    silent = replace(settings.environments[1], url=NOWHERE)
    away = build(replace(settings, environments=(settings.environments[0], silent, settings.environments[2])))
    away.compare.live()
    away.accounts.add("lead@example.com", None, Role.ADMIN)
    with serving(create_app(away)) as address:
        page.goto(f"{address}/sign-in/link/{away.accounts.make_link('lead@example.com')}")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{address}/")
        assert found(page, address, "/", "/environments/staging", "/migrations/005_create_tasks.sql") == []
    away.close()
