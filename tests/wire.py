"""A wire between Rung and its server that a test can cut, stall, and count on."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from dashboard.core.environment import Secret

_VERSION_3 = (3 << 16).to_bytes(4)  # how a session begins; a wish for TLS has another number there
Decide = Callable[["Chunk"], None]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece on its way to the server. `number`: 1-based over all connections; `link`: 1-based connection."""

    number: int
    link: int
    data: bytes


class Cut(Exception):
    """Raised by whoever decides: the connection ends here. Before a piece: it does not arrive."""


class Deafen(Exception):
    """Raised after a piece: it arrives, the client hears nothing any more, and the server does not notice."""


@dataclass
class Wire:
    """Forwards everything. `before` and `after` are called around every piece that goes to the server.

    Attributes
    ----------
    sent: pieces so far, over all connections; what libpq sends in one go is one piece.

    """

    url: Secret
    before: Decide = lambda chunk: None
    after: Decide = lambda chunk: None
    sent: int = 0
    links: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _near: list[socket.socket] = field(default_factory=list)
    _far: list[socket.socket] = field(default_factory=list)
    _mute: set[int] = field(default_factory=set)

    def mute(self, link: int) -> None:
        """The client of that connection hears nothing any more, and waits."""
        self._mute.add(link)

    def answer(self, near: socket.socket, far: socket.socket, link: int) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(1 << 20):
                if link not in self._mute:
                    with contextlib.suppress(OSError):  # a deaf client: the server must not notice
                        near.sendall(data)
        _hang_up(near, far)

    def deafen_all(self) -> None:
        """Every client hears nothing any more; new connections may be made."""
        _hang_up(*self._near)

    def carry(self, near: socket.socket, far: socket.socket, link: int) -> None:
        try:
            while data := near.recv(1 << 20):
                with self._lock:
                    self.sent += 1
                    chunk = Chunk(self.sent, link, data)
                self.before(chunk)
                far.sendall(data)
                self.after(chunk)
        except Deafen:
            _hang_up(near)
        except (OSError, Cut):
            _hang_up(near, far)
        else:
            _hang_up(near, far)


@contextlib.contextmanager
def wire_to(target: Secret) -> Iterator[Wire]:
    """A wire before a server; `wire.url` leads through it."""
    parts = urlsplit(target.reveal())
    address = (parts.hostname or "127.0.0.1", parts.port or 5432)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = parts.netloc.rpartition("@")[0] + f"@127.0.0.1:{listener.getsockname()[1]}"
        wire = Wire(Secret(urlunsplit(parts._replace(netloc=place))))
        threading.Thread(target=_accept, args=(listener, address, wire), daemon=True).start()
        yield wire
        listener.shutdown(socket.SHUT_RDWR)
        _hang_up(*wire._near, *wire._far)


def _accept(listener: socket.socket, address: tuple[str, int], wire: Wire) -> None:
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        wire.links += 1
        far = socket.create_connection(address)
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire._near.append(near)
        wire._far.append(far)
        threading.Thread(target=wire.carry, args=(near, far, wire.links), daemon=True).start()
        threading.Thread(target=wire.answer, args=(near, far, wire.links), daemon=True).start()


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@dataclass
class Spoken:
    """What clients have told the server, message by message: use it as `before` or `after` of a wire.

    Attributes
    ----------
    messages: link, type and body of each, in order; what came before a session began has no type, and is left out.

    """

    messages: list[tuple[int, str, bytes]] = field(default_factory=list)
    _rest: dict[int, bytes] = field(default_factory=dict)
    _began: set[int] = field(default_factory=set)

    def __call__(self, chunk: Chunk) -> None:
        data = self._rest.pop(chunk.link, b"") + chunk.data
        while len(data) >= (head := 1 if chunk.link in self._began else 0) + 4:
            end = head + int.from_bytes(data[head : head + 4])
            if len(data) < end:
                break
            if head:
                self.messages.append((chunk.link, chr(data[0]), data[5:end]))
            elif data[4:8] == _VERSION_3:
                self._began.add(chunk.link)
            data = data[end:]
        self._rest[chunk.link] = data

    def transactions(self) -> list[bytes]:
        """What stood between each BEGIN and its COMMIT, where one was sent."""
        found: list[bytes] = []
        open_on: dict[int, bytes] = {}
        for link, kind, body in self.messages:
            text = body.partition(b"\0")[2] if kind == "P" else b""
            if text.startswith(b"BEGIN"):
                open_on[link] = b""
            elif text.startswith(b"COMMIT\0"):
                found.append(open_on.pop(link, b"no BEGIN before it"))
            elif link in open_on:
                open_on[link] += body
        return found
