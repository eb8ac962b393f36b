"""A server that is not ours gets no password: what it was sent is looked at on its own side."""

import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.errors import Unreachable
from dashboard.postgres.connect import dial

PASSWORD = "a-p4ssword-for-the-real-one"
TLS_WANTED, START, PASSWORD_SENT = 80877103, 196608, b"p"
CLEAR, MD5, SCRAM = struct.pack("!I", 3), struct.pack("!I", 5) + b"salt", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"
ASKED = {"cleartext": CLEAR, "MD5": MD5, "SCRAM": SCRAM}


class Impostor:
    """Listens where a server should; refuses TLS, asks for a password in its own way, and keeps all that comes."""

    def __init__(self, asks: bytes) -> None:
        self.heard, self._asks = b"", asks
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._door.accept()
            except OSError:  # closed
                return
            with caller:
                caller.settimeout(5)
                self._talk(caller)

    def _talk(self, caller: socket.socket) -> None:
        while (packet := self._hear(caller)) and not packet.startswith(PASSWORD_SENT):
            kind = struct.unpack("!I", packet[4:8])[0] if len(packet) >= 8 else 0
            if kind == START:
                caller.sendall(b"R" + struct.pack("!I", len(self._asks) + 4) + self._asks)
            else:
                caller.sendall(b"N" if kind == TLS_WANTED else b"")

    def _hear(self, caller: socket.socket) -> bytes:
        try:
            packet = caller.recv(65536)
        except OSError:
            return b""
        self.heard += packet
        return packet

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self._thread.join(10)


@pytest.fixture
def impostor() -> Iterator[Callable[[str], Impostor]]:
    opened: list[Impostor] = []

    def begin(asks: str) -> Impostor:
        opened.append(Impostor(ASKED[asks]))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


def refused(impostor: Impostor, options: str) -> Unreachable:
    url = f"postgresql://app:{PASSWORD}@127.0.0.1:{impostor.port}/shop?{options}"
    with pytest.raises(Unreachable) as caught:
        dial(Environment("staging", 1, Secret(url)), purpose="test")
    assert PASSWORD not in str(caught.value) + caught.value.advice
    return caught.value


@pytest.mark.parametrize("asks", ["cleartext", "MD5"])
@pytest.mark.parametrize("options", ["require_auth=scram-sha-256&sslmode=disable", "channel_binding=require"])
def test_who_asks_for_the_password_itself_does_not_get_it_where_the_address_says_so(
    impostor: Callable[[str], Impostor], asks: str, options: str
) -> None:
    server = impostor(asks)
    refused(server, options)
    assert b"shop" in server.heard, "it came as far as to be asked"
    assert PASSWORD.encode() not in server.heard
    assert hashlib.md5(f"{PASSWORD}app".encode(), usedforsecurity=False).hexdigest().encode() not in server.heard
    assert PASSWORD_SENT + b"\0\0" not in server.heard


def test_who_cannot_prove_its_channel_gets_no_proof_of_ours(impostor: Callable[[str], Impostor]) -> None:
    server = impostor("SCRAM")
    refused(server, "channel_binding=require")
    assert b"n=" not in server.heard
    assert PASSWORD_SENT + b"\0\0" not in server.heard


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_who_has_no_tls_hears_neither_name_nor_password(impostor: Callable[[str], Impostor], mode: str) -> None:
    server = impostor("cleartext")
    refused(server, f"sslmode={mode}")
    assert PASSWORD.encode() not in server.heard
    assert b"shop" not in server.heard


def test_an_address_that_demands_nothing_tells_the_impostor_all_of_it(impostor: Callable[[str], Impostor]) -> None:
    """So that the tests above look where a password would be."""
    server = impostor("cleartext")
    refused(server, "sslmode=disable")
    assert PASSWORD.encode() in server.heard
