"""What a browser calls itself, in two words. A claim: good for remembering, not for deciding."""

_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def browser_of(agent: str) -> str:
    """`Firefox on Linux`; the first found counts, because browsers also claim to be the older ones."""
    name, system = _first(agent, _BROWSERS), _first(agent, _SYSTEMS)
    if name and system:
        return f"{name} on {system}"
    return name or system or "Unknown browser"


def _first(agent: str, known: tuple[tuple[str, str], ...]) -> str:
    return next((word for mark, word in known if mark in agent), "")
