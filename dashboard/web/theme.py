"""Light, dark, or as the system has it: kept in a cookie, chosen by a button that is a form."""

from dataclasses import dataclass

from flask import Blueprint, Flask, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from dashboard.web import current
from dashboard.web.security import Site, own, safe_next

views = Blueprint("theme", __name__)

KEPT = 365 * 24 * 3600  # seconds


@dataclass(frozen=True, slots=True)
class Theme:
    """`scheme`: as browsers call it. `dark_for`: the media for which the style sheet of the dark counts."""

    name: str
    scheme: str
    dark_for: str
    next: str

    @property
    def sign(self) -> str:
        return f"theme-{self.name}"


# On paper it is never dark.
THEMES = {
    "system": Theme("system", "light dark", "screen and (prefers-color-scheme: dark)", "light"),
    "light": Theme("light", "light", "not all", "dark"),
    "dark": Theme("dark", "dark", "screen", "system"),
}


@views.post("/theme")
@own
def choose() -> AnyResponse:
    """Keep the choice in this browser, and show the page again."""
    answer = redirect(safe_next(request.form.get("back")), 303)
    chosen = THEMES.get(request.form.get("theme", ""), THEMES["system"])
    site = current.site()
    answer.set_cookie(
        _cookie(site), chosen.name, max_age=KEPT, secure=site.https, httponly=True, samesite="Lax", path="/"
    )
    return answer


def know_themes(app: Flask, site: Site) -> None:
    """Give the templates `theme()` and, for the way back, `here()`."""
    app.jinja_env.globals["theme"] = lambda: THEMES.get(request.cookies.get(_cookie(site), ""), THEMES["system"])
    app.jinja_env.globals["here"] = lambda: request.full_path.rstrip("?") if request.method == "GET" else "/"


def _cookie(site: Site) -> str:
    return "__Host-rung-theme" if site.https else "rung-theme"
