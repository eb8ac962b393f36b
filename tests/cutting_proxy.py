"""A server's front that counts what clients send, and does something at the n-th piece."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from enum import StrEnum


class When(StrEnum):
    """Whether the n-th piece still reaches the server."""

    BEFORE = "before it is forwarded"
    AFTER = "after it was forwarded"


class CuttingProxy:
    """Forwards between clients and a server on this machine; `act` is called once, at the n-th piece clients send."""

    def __init__(self, server_port: int, at: int, when: When, act: Callable[[], None]) -> None:
        self.pieces = 0
        self._server_port, self._at, self._when, self._act = server_port, at, when, act
        self._counting = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
                threading.Thread(target=_to_client, args=(server, client), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError), _hung_up(client, server):
            while piece := client.recv(1 << 16):
                reached = self._count()
                if reached and self._when is When.BEFORE:
                    self._act()
                    return
                server.sendall(piece)
                if reached:
                    self._act()
                    return

    def _count(self) -> bool:
        with self._counting:
            self.pieces += 1
            return self.pieces == self._at


@contextlib.contextmanager
def _hung_up(*lines: socket.socket) -> Iterator[None]:
    """Ends both lines with the block; closing alone says nothing while another thread waits on one of them."""
    try:
        yield
    finally:
        for line in lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()


def _to_client(server: socket.socket, client: socket.socket) -> None:
    with contextlib.suppress(OSError), _hung_up(client, server):
        while piece := server.recv(1 << 16):
            client.sendall(piece)


@contextlib.contextmanager
def cutting_proxy(server_port: int, at: int, when: When, act: Callable[[], None]) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(server_port, at, when, act)
    try:
        yield proxy
    finally:
        proxy.close()
