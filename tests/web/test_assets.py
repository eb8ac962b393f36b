"""Static files, and what the pages are made of."""

import dataclasses
import gzip
import hashlib
import re
from pathlib import Path

import jinja2
import pytest
from flask import Flask
from jinja2 import meta

from dashboard.core.plan import State
from dashboard.core.record import Happening
from dashboard.core.run import Outcome
from dashboard.web import assets, pages
from dashboard.web.signs import HAPPENINGS, NOT_HERE, NOT_KNOWN, NOT_REACHABLE, OUTCOMES, QUEUED, RUNNING, STATES
from tests.cast import Cast

WEB = Path(assets.__file__).parent
TEMPLATES = sorted((WEB / "templates").glob("*.html"))
CSS = "".join(path.read_text() for path in sorted((WEB / "static" / "css").glob("*.css")))
NIGHT = (WEB / "static" / "dark.css").read_text()
HUES = ("good", "waiting", "working", "danger", "changed", "unknown")


def addresses(page: str) -> list[str]:
    return re.findall(r'(?:href|src)="(/static/[^"]+)"', page)


# --- how they are served ---


def test_every_asset_is_named_by_its_content_and_kept_for_ever(bare: Flask) -> None:
    client = bare.test_client()
    found = addresses(client.get("/sign-in").text)
    assert len(found) == 4
    for address in found:
        assert re.fullmatch(r"/static/[a-z-]+\.[0-9a-f]{12}\.(css|js|svg)", address)
        answer = client.get(address)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_an_asset_comes_packed_for_who_can_unpack_it(bare: Flask) -> None:
    client = bare.test_client()
    address = addresses(client.get("/sign-in").text)[1]
    plain, packed = client.get(address), client.get(address, headers={"Accept-Encoding": "br, gzip"})
    assert plain.content_encoding is None
    assert packed.content_encoding == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert "Accept-Encoding" in packed.headers["Vary"]


@pytest.mark.parametrize("name", assets.read_assets())
def test_each_asset_has_the_hash_of_its_content_in_its_name_and_comes_smaller_where_packed(
    bare: Flask, name: str
) -> None:
    asset, client = assets.read_assets()[name], bare.test_client()
    plain, packed = (client.get(f"/static/{asset.name}", headers={"Accept-Encoding": ways}) for ways in ("", "gzip"))
    assert plain.data == asset.body
    assert hashlib.sha256(plain.data).hexdigest()[:12] == asset.name.split(".")[1]
    assert gzip.decompress(packed.data) == plain.data
    assert len(packed.data) < len(plain.data)
    for answer in (plain, packed):
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Content-Type"] == asset.type
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert "Set-Cookie" not in answer.headers, "a shared cache keeps it"


def test_what_changes_gets_another_address_and_the_old_one_is_gone(tmp_path: Path) -> None:
    (tmp_path / "css").mkdir()
    (tmp_path / "css" / "1-a.css").write_text("a { color: red }")
    before = assets.read_assets(tmp_path)["rung.css"].name
    (tmp_path / "css" / "1-a.css").write_text("a { color: blue }")
    assert assets.read_assets(tmp_path)["rung.css"].name != before


def test_no_page_names_a_static_file_past_its_hash() -> None:
    for path in (*TEMPLATES, *(WEB / "static").rglob("*.*")):
        assert "/static/" not in path.read_text(), path
        assert not re.search(r"url\((?!#)", path.read_text()), path


PAGES = ("/", "/environments/staging", "/history", "/fragments/ladder", "/migrations/001_create_users.sql")


@pytest.mark.parametrize("path", PAGES)
def test_every_page_of_some_size_comes_packed_and_no_cache_keeps_it(
    three: tuple[str, ...], cast: Cast, path: str
) -> None:
    plain, packed = (cast.viewer.get(path, headers={"Accept-Encoding": ways}) for ways in ("", "gzip"))
    assert (plain.status_code, packed.status_code) == (200, 200)
    assert len(plain.data) > assets.WORTH_PACKING
    assert (plain.content_encoding, packed.content_encoding) == (None, "gzip")
    assert len(packed.data) < len(plain.data) / 2
    for answer in (plain, packed):
        assert "no-store" in answer.headers["Cache-Control"]
        assert "Accept-Encoding" in answer.headers["Vary"]


def test_pages_come_packed_too(three: tuple[str, ...], cast: Cast) -> None:
    plain, packed = cast.viewer.get("/"), cast.viewer.get("/", headers={"Accept-Encoding": "gzip"})
    assert packed.content_encoding == "gzip"
    assert b"<!doctype html>" in gzip.decompress(packed.data)
    assert len(packed.data) < len(plain.data) / 2


@pytest.mark.parametrize("name", ["nope.css", "rung.css", "..%2f__init__.py", "%2e%2e/__init__.py", "css/2-base.css"])
def test_nothing_else_is_served(bare: Flask, name: str) -> None:
    assert bare.test_client().get(f"/static/{name}").status_code == 404


# --- what the templates may do ---


def test_every_page_model_is_frozen() -> None:
    models = [thing for thing in vars(pages).values() if dataclasses.is_dataclass(thing)]
    assert len(models) > 20
    assert all(thing.__dataclass_params__.frozen for thing in models)  # type: ignore[attr-defined]  # dataclasses have them


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_knows_its_page_and_nothing_else(path: Path) -> None:
    tree = jinja2.Environment(autoescape=True).parse(path.read_text())
    imported = {
        name.strip()
        for line in re.findall(r"import ([\w, ]+?) with context", path.read_text())
        for name in line.split(",")
    }
    assert meta.find_undeclared_variables(tree) - imported <= {
        "page",
        "asset",
        "url_for",
        "rows",
        "with_file",
        "theme",
        "here",
    }


def test_nothing_is_ever_marked_as_safe() -> None:
    sources = [*TEMPLATES, *WEB.glob("*.py"), *(WEB / "static").glob("*.js")]
    for path in sources:
        text = path.read_text()
        for forbidden in (
            "|safe",
            "| safe",
            "Markup(",
            "autoescape false",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
        ):
            assert forbidden not in text, (path.name, forbidden)


def test_every_sign_is_drawn() -> None:
    drawn = set(re.findall(r'<symbol id="([^"]+)"', (WEB / "templates" / "sprite.svg").read_text()))
    used = {sign.name for table in (STATES, OUTCOMES, HAPPENINGS) for sign in table.values()}  # type: ignore[attr-defined]  # tables of signs
    used |= {sign.name for sign in (NOT_HERE, NOT_KNOWN, NOT_REACHABLE, QUEUED, RUNNING)}
    for path in TEMPLATES:
        used |= set(re.findall(r'sign\("([a-z-]+)"', path.read_text()))
    assert used <= drawn


def test_every_state_outcome_and_happening_has_a_sign() -> None:
    assert STATES.keys() == set(State)
    assert OUTCOMES.keys() == set(Outcome)
    assert HAPPENINGS.keys() == set(Happening)


def test_no_two_states_share_a_sign() -> None:
    signs = [sign.name for sign in STATES.values()]
    assert len(signs) == len(set(signs))


# --- colours ---


def palettes() -> dict[str, dict[str, str]]:
    """Role -> colour, by day and by night."""
    read = lambda text: dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", text))  # noqa: E731  # two uses, one line
    return {"light": read(CSS), "dark": read(CSS) | read(NIGHT)}


def contrast(one: str, other: str) -> float:
    """By WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_and_sign_can_be_read_on_every_ground(scheme: str) -> None:
    colour = palettes()[scheme]
    for ground in ("ground", "surface", "sunken"):
        for text in ("text", "muted", "accent", *HUES):
            assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)
    for hue in HUES:
        for text in ("text", hue):
            assert contrast(colour[text], colour[f"{hue}-tint"]) >= 4.5, (text, hue)
    assert contrast(colour["on-accent"], colour["accent"]) >= 4.5
    assert contrast(colour["focus"], colour["ground"]) >= 3
    for code in ("keyword", "string", "number", "name", "comment"):
        assert contrast(colour[f"code-{code}"], colour["surface"]) >= 4.5, code


def test_both_schemes_know_the_same_roles() -> None:
    names = [set(re.findall(r"--([a-z-]+): #", text)) for text in (CSS, NIGHT)]
    assert names[0] == names[1]


def test_colours_stand_in_one_file() -> None:
    for path in (WEB / "static" / "css").glob("*.css"):
        if not path.name.startswith("1-"):
            assert not re.findall(
                r"#[0-9a-f]{3,8}\b(?![^{]*\{)|rgba?\(|hsla?\(", path.read_text().replace("#rail", "")
            ), path.name
