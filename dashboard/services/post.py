"""One message over HTTP to an address of the configuration: no redirects, no proxies, and an end in any case."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from dashboard import __version__
from dashboard.core.environment import Secret

LONGEST = 10.0  # seconds for all of it
_REDIRECTS = range(300, 400)
_FINE = range(200, 300)
_OURS = {
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": f"Rung/{__version__}",
    "Connection": "close",
}


def post(url: Secret, body: bytes, headers: Mapping[str, str], longest: float = LONGEST) -> str | None:
    """Why it did not arrive, in a few words without the address; None where the receiver said that it did."""
    parts = urlsplit(url.reveal())
    connection = _connection(parts.scheme, parts.hostname or "", parts.port, longest)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    late = threading.Event()
    ending = threading.Timer(longest, lambda: _cut(connection, late))
    ending.start()
    try:
        connection.request("POST", path, body, {**headers, **_OURS})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as wrong:
        return _too_late(longest) if late.is_set() else _why(wrong, longest)
    else:
        return _too_late(longest) if late.is_set() else _said(status)
    finally:
        ending.cancel()
        connection.close()


def _cut(connection: http.client.HTTPConnection, late: threading.Event) -> None:
    """A receiver that answers byte by byte keeps within every timeout of the socket."""
    late.set()
    with contextlib.suppress(OSError):
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)


def _too_late(longest: float) -> str:
    return f"it did not answer within {longest:g} s"


def _why(wrong: Exception, longest: float) -> str:
    if isinstance(wrong, TimeoutError):
        return _too_late(longest)
    if isinstance(wrong, ssl.SSLError):
        return f"no safe connection ({getattr(wrong, 'verify_message', '') or wrong.reason or 'TLS failed'})"
    if isinstance(wrong, http.client.HTTPException):
        return "it broke off, or did not answer in HTTP"
    return f"it cannot be reached ({getattr(wrong, 'strerror', None) or 'no connection'})"


def _connection(scheme: str, host: str, port: int | None, longest: float) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=longest, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=longest)


def _said(status: int) -> str | None:
    if status in _FINE:
        return None
    return f"it answered {status}" + (", and redirects are not followed" if status in _REDIRECTS else "")
