"""Outgoing: one request over HTTP to an address of the configuration: no redirects, no proxies, an end in any case."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from dashboard import __version__
from dashboard.core.environment import Secret

LONGEST = 10.0  # seconds for all of it
MOST = 256 * 1024  # bytes of an answer that is read
_NO_ADDRESS = "its address cannot be used"
_REDIRECTS = range(300, 400)
_FINE = range(200, 300)
_OURS = {"User-Agent": f"Rung/{__version__}", "Connection": "close"}
_JSON = {"Content-Type": "application/json; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `body`: at most `MOST` bytes of it, and none where nobody wanted it."""

    status: int
    body: bytes

    @property
    def fault(self) -> str | None:
        """Why this is not what was asked for, in a few words; None where it is."""
        if self.status in _FINE:
            return None
        return f"it answered {self.status}" + (", and redirects are not followed" if self.status in _REDIRECTS else "")


def post(url: Secret, body: bytes, headers: Mapping[str, str], longest: float = LONGEST) -> str | None:
    """Why it did not arrive, in a few words without the address; None where the receiver said that it did."""
    answer = ask("POST", url, body, {**headers, **_JSON}, longest=longest, most=0)
    return answer.fault if isinstance(answer, Reply) else answer


def ask(
    method: str,
    url: Secret,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    longest: float = LONGEST,
    most: int = MOST,
) -> Reply | str:
    """The answer; or why there is none, in a few words without the address.

    longest: seconds for all of it. most: bytes of the answer; a longer one counts as none.
    """
    try:
        parts = urlsplit(url.reveal())
        connection = _connection(parts.scheme, parts.hostname or "", parts.port, longest)
    except (ValueError, http.client.HTTPException):
        return _NO_ADDRESS
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    late = threading.Event()
    ending = threading.Timer(longest, lambda: _cut(connection, late))
    ending.start()
    try:
        connection.request(method, path, body, {**headers, **_OURS})
        answer = connection.getresponse()
        read = answer.read(most + 1) if most else b""
    except UnicodeError:
        return _NO_ADDRESS
    except (OSError, http.client.HTTPException) as wrong:
        return _too_late(longest) if late.is_set() else _why(wrong, longest)
    else:
        if late.is_set():
            return _too_late(longest)
        return Reply(answer.status, read) if len(read) <= most else "its answer is too long"
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
