"""The matrix page in a real browser: how long until something can be read, with an empty cache."""

import os
from typing import TYPE_CHECKING, Any

from bench.files import sample_files, write_files
from bench.ground import Ground
from bench.measure import Bound, Group, Line
from bench.rows.page import databases, session_of
from bench.rows.watchers import serving
from tests import browser_setup

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NOTES = (
    "Chromium tells the times (Paint Timing), from the start of the navigation. Each view has a browser profile of its",
    "own, so that styles, script and icons are fetched anew. Pages come from `rung serve`; the browser, the pages, a",
    "worker and PostgreSQL share this machine's processors.",
)
_TIMES = """() => {
    const [visit] = performance.getEntriesByType("navigation");
    const paint = Object.fromEntries(performance.getEntriesByType("paint").map((one) => [one.name, one.startTime]));
    return [visit.responseStart, paint["first-paint"] ?? null, paint["first-contentful-paint"] ?? null];
}"""
_PAINTED = '() => performance.getEntriesByName("first-contentful-paint").length > 0'


def measure(ground: Ground) -> Group:
    """No lines where there is no Chromium."""
    program = browser_setup.find(os.environ)
    title = f"First paint of the matrix page, 3 environments with {ground.sizes.page_files:,} files"
    if program is None:
        return Group("paint", title, (), ("There is no Chromium here: see tests/browser_setup.py.",))
    folder = ground.folder / "paint"
    write_files(folder / "migrations", sample_files(ground.sizes.page_files))
    with databases(ground, folder) as variables, serving(folder, variables) as (port, services):
        seen = _views(program, port, session_of(services), ground.sizes.paints)
    answered, first, content = zip(*seen, strict=True)
    return Group(
        "paint",
        title,
        (
            Line("the answer begins", answered, "ms"),
            Line("first paint", first, "ms", bound=Bound(500)),
            Line("first text or picture", content, "ms", bound=Bound(500)),
        ),
        NOTES,
    )


def _views(program: str, port: int, session: str, number: int) -> list[tuple[float, float, float]]:
    """The first view, which finds nothing warm, does not count."""
    from playwright.sync_api import sync_playwright

    root = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses its sandbox to root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*root, "--disable-dev-shm-usage"])
        seen = [_view(browser, f"http://127.0.0.1:{port}/", session) for _ in range(number + 1)]
        browser.close()
    return seen[1:]


def _view(browser: "Browser", address: str, session: str) -> tuple[float, float, float]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_cookies([{"name": "rung", "value": session, "url": address}])
    page = context.new_page()
    answer = page.goto(address)
    assert answer is not None
    assert answer.status == 200, answer.status
    assert page.locator("table").count(), "this is not the matrix page"
    page.wait_for_function(_PAINTED)
    times: list[Any] = page.evaluate(_TIMES)
    context.close()
    return (times[0], times[1], times[2])
