"""gunicorn's worker, which does not let a slow sender keep a thread."""

import contextlib
import socket
import time
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

LIMIT = 15.0  # seconds in which head and body of a request have to be here


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
