"""gunicorn's worker, which does not let a slow sender keep a thread, and answers in our words."""

import contextlib
import socket
import time
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from dashboard.web.security import HEADERS

LIMIT = 15.0  # seconds in which head and body of a request have to be here
_PLAIN = HEADERS | {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store", "Connection": "close"}


class Reader(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Who sends a request byte by byte is no longer listened to; an answer that takes long still goes out."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._begun: dict[Any, float] = {}

    def handle(self, conn: Any) -> Any:
        """In a thread of the pool: read one request and answer it."""
        self._begun[conn] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            del self._begun[conn]

    def murder_pending(self) -> None:
        """Gunicorn calls it every second, to end connections that say nothing."""
        super().murder_pending()
        late = time.monotonic() - LIMIT
        for conn, begun in list(self._begun.items()):
            if begun < late:
                with contextlib.suppress(OSError):  # it has ended at this moment
                    conn.sock.shutdown(socket.SHUT_RD)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Any) -> None:
        """What is no request at all does not reach the pages."""
        super().handle_error(req, _InOurWords(client), addr, exc)


class _InOurWords:
    """A socket that sends gunicorn's status alone: its page has none of our headers, and repeats what came in."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def sendall(self, answer: bytes) -> None:
        status = answer.decode("latin-1").partition("\r\n")[0]
        body = f"{status.partition(' ')[2]}\n"
        headers = _PLAIN | {"Content-Length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._client.sendall(f"{status}\r\n{head}\r\n{body}".encode("latin-1"))
