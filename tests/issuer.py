"""Issuers of the tests: a real one in a process of its own, what a browser does there, and one that forges."""

import contextlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from joserfc import jwk, jwt

from dashboard.cli.serve import free_port
from dashboard.core.environment import Secret
from dashboard.core.oidc import Issuer

CALLBACK = "http://localhost/sign-in/oidc/callback"
CLIENT_SECRET = "known-to-the-issuer-and-to-Rung"  # nothing to quote: the library that issues does not decode it
PASSWORD = "knows where the towel is"
LABEL = "Acme"


@contextlib.contextmanager
def running(callback: str = CALLBACK, port: int | None = None) -> Iterator[Issuer]:
    """The real one; it knows ann and bob, whose addresses it does not verify."""
    port = port or free_port("127.0.0.1")
    command = [sys.executable, str(Path(__file__).with_name("issuer_process.py")), str(port), callback]
    shell = {**os.environ, "ISSUER_CLIENT_SECRET": CLIENT_SECRET}
    with subprocess.Popen(command, env=shell, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield Issuer(
                f"http://localhost:{port}",
                "rung",
                Secret(CLIENT_SECRET),
                LABEL,
                domains=("example.com",),
                trust_emails=True,
            )
        finally:
            process.terminate()


class _UntilRung(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request: Any, body: Any, code: int, phrase: str, headers: Any, address: str) -> Any:
        if urlsplit(address).path.startswith("/sign-in/oidc/"):
            return None
        return super().redirect_request(request, body, code, phrase, headers, address)


class AtIssuer:
    """Somebody's browser at the issuer. `asked`: how often it asked for the password."""

    def __init__(self, name: str) -> None:
        self.name, self.asked = name, 0
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(), _UntilRung())

    def back_from(self, address: str) -> str:
        """Where the issuer sends the browser in the end, as a path of Rung's."""
        where, page = self._get(address)
        for _ in range(4):
            if page is None:
                return where[where.index("/sign-in/") :]
            where, page = self._get(where, self._filled(page))
        raise AssertionError(page)

    def _filled(self, page: str) -> dict[str, str]:
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        assert token, page
        if 'name="login"' in page:
            return {"csrf_token": token[1], "login": self.name}
        assert 'name="password"' in page, page
        self.asked += 1
        return {"csrf_token": token[1], "password": PASSWORD}

    def _get(self, address: str, form: dict[str, str] | None = None) -> tuple[str, str | None]:
        try:
            with self._opener.open(address, urlencode(form).encode() if form else None, timeout=10) as answer:
                return answer.url, answer.read().decode()
        except urllib.error.HTTPError as redirected:
            if "Location" not in redirected.headers:
                raise
            return str(redirected.headers["Location"]), None


# --- one that says what it is told to ---


@dataclass
class Forger:
    """An issuer whose tokens hold what a test wants. `forge`: claims -> token; `nonce`: of the last way out."""

    address: str = ""
    nonce: str = ""
    key: jwk.RSAKey = field(default_factory=lambda: jwk.RSAKey.generate_key(2048, auto_kid=True))
    forge: Callable[["Forger", dict[str, Any]], str] = lambda forger, claims: forger.signed(claims)
    userinfo: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    token_status: int = 200
    asked: list[str] = field(default_factory=list)

    def claims(self, **other: Any) -> dict[str, Any]:
        now = int(time.time())
        usual = {"iss": self.address, "sub": "ann", "aud": "rung", "nonce": self.nonce, "iat": now, "exp": now + 60}
        usual |= {"email": "ann@example.com", "email_verified": True}
        return {name: value for name, value in (usual | other).items() if value is not None}

    def signed(self, claims: dict[str, Any], algorithm: str = "RS256", key: Any = None) -> str:
        header = {"alg": algorithm, "kid": self.key.kid}
        return jwt.encode(header, claims, key or self.key, algorithms=[algorithm])

    def says(self, path: str) -> tuple[int, dict[str, Any]]:
        self.asked.append(path)
        match path:
            case "/.well-known/openid-configuration":
                endpoints = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
                named = {name: f"{self.address}{where}" for name, where in endpoints.items()}
                return 200, {
                    "issuer": self.address,
                    **named,
                    "userinfo_endpoint": f"{self.address}/who",
                    **self.metadata,
                }
            case "/keys":
                other = {"kty": "XYZ", "kid": "of a kind that nobody knows"}
                return 200, {"keys": [other, self.key.as_dict(private=False)]}
            case "/token":
                return self.token_status, {"access_token": "a", "id_token": self.forge(self, self.claims())}
            case _:
                return 200, self.userinfo

    def issuer(self, **how: Any) -> Issuer:
        return Issuer(self.address, "rung", Secret(CLIENT_SECRET), LABEL, **how)


@contextlib.contextmanager
def forging() -> Iterator[Forger]:
    forger = Forger()

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = forger.says(urlsplit(self.path).path)
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  # the name that the library asks for

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        forger.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield forger
        server.shutdown()
        thread.join()
