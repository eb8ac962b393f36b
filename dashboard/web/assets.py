"""Static files: read once, named by their content, kept by browsers for ever."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, Response, abort, request, url_for

from dashboard.web.security import open_to_all

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
WORTH_PACKING = 1400  # bytes; less fits into one packet anyway
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    name: str
    body: bytes
    packed: bytes
    type: str


def read_assets(folder: Path = FOLDER) -> dict[str, Asset]:
    """Plain name -> asset; the style sheets of `css/` become one `rung.css`, in the order of their names."""
    bodies = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in TYPES}
    bodies["rung.css"] = b"\n".join(path.read_bytes() for path in sorted((folder / "css").glob("*.css")))
    return {name: _asset(name, body) for name, body in bodies.items()}


def _asset(name: str, body: bytes) -> Asset:
    stem, ending = name.rsplit(".", 1)
    fingerprint = hashlib.sha256(body).hexdigest()[:12]
    return Asset(f"{stem}.{fingerprint}.{ending}", body, gzip.compress(body, mtime=0), TYPES[f".{ending}"])


def pack_page(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=1, mtime=0)


def pack_pages(app: Flask) -> None:
    """Pages of some size go out compressed, at the level that costs next to nothing."""

    @app.after_request
    def pack(answer: Response) -> Response:
        big = answer.mimetype == "text/html" and (answer.content_length or 0) > WORTH_PACKING
        if big and not answer.content_encoding and request.accept_encodings["gzip"] > 0:
            answer.set_data(pack_page(answer.get_data()))
            answer.content_encoding = "gzip"
        answer.vary.add("Accept-Encoding")
        return answer


def serve_assets(app: Flask) -> None:
    """Add `/static/…` and the templates' `asset(name)`."""
    assets = read_assets()
    by_name = {asset.name: asset for asset in assets.values()}

    @app.get("/static/<name>", endpoint="static")
    @open_to_all
    def send(name: str) -> Response:
        asset = by_name.get(name) or abort(404)
        small = request.accept_encodings["gzip"] > 0
        answer = Response(asset.packed if small else asset.body, content_type=asset.type)
        if small:
            answer.content_encoding = "gzip"
        answer.headers["Cache-Control"] = FOR_EVER
        return answer

    with app.test_request_context():
        addresses = {name: url_for("static", name=asset.name) for name, asset in assets.items()}
    app.jinja_env.globals["asset"] = addresses.__getitem__
