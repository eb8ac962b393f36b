"""What strangers may send to the pages as `rung serve` starts them: real gunicorn, real sockets, no home behind it."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.web.security import HEADERS

_SERVE = (
    "import os, sys; from dashboard.cli.serve import Door, free_port, supervise\n"
    "door = Door('127.0.0.1', free_port('127.0.0.1'), 4)\n"
    "sys.exit(supervise(door, os.environ, lambda: print(door.port, flush=True), worker=False))"
)
SECRET_KEY = "a key of the tests, long enough to be used"
FORM = "application/x-www-form-urlencoded"
MORE = 50 * 1024 * 1024  # bytes of memory that no request may cost


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[tuple[int, int]]":
    """Port and process of the supervisor."""
    nowhere = "postgresql://rung@127.0.0.1:1/nowhere"
    shell = {"DATABASE_URL": nowhere, "RUNG_HOME_URL": nowhere}
    shell["RUNG_SECRET_KEY"] = SECRET_KEY
    folder = tmp_path_factory.mktemp("limits")
    with subprocess.Popen(
        (sys.executable, "-c", _SERVE), cwd=folder, env=os.environ | shell, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        yield port, process.pid
        process.terminate()
        process.wait(30)


def send(port: int, *parts: bytes, patience: float = 10) -> bytes:
    """Everything that is answered until the other side closes, or stays silent."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), patience) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionError:  # it hung up while we were still sending
            pass
    return answer


def post(port: int, body: bytes, kind: str, path: str = "/sign-in") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {kind}\r\n"
    return send(port, f"{head}Content-Length: {len(body)}\r\n\r\n".encode(), body)


def code(answer: bytes) -> int:
    """Of the first answer; 0 where there is none."""
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.") else 0


def memory(supervisor: int) -> int:
    """Bytes of everything below the supervisor."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    resident = int(Path(f"/proc/{supervisor}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resident + sum(memory(int(child)) for child in children)


def test_a_request_as_it_should_be_is_answered(pages: tuple[int, int]) -> None:
    assert code(send(pages[0], b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")) == 200


def family(process: int) -> "Iterator[int]":
    yield process
    for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        yield from family(int(child))


def test_the_list_of_processes_shows_no_secret(pages: tuple[int, int]) -> None:
    lines = [Path(f"/proc/{one}/cmdline").read_bytes() for one in family(pages[1])]
    assert sum(b"gunicorn" in line for line in lines) > 1  # the one that watches, and the one that answers
    assert not [line for line in lines if SECRET_KEY.encode() in line or b"postgresql:" in line]


def test_a_password_of_a_megabyte_is_refused_at_once(pages: tuple[int, int]) -> None:
    begun = time.monotonic()
    assert code(post(pages[0], b"email=a%40example.com&password=" + b"x" * 1_000_000, FORM)) in (0, 413)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("body", "kind", "path"),
    [
        pytest.param(b"[" * 10_000_000, "application/json", "/api/v1/environments/local/apply", id="10 MB of JSON"),
        pytest.param(json.dumps({"a": 1}).encode() * 2_000_000, "application/json", "/sign-in", id="JSON on a page"),
        pytest.param(b"a=1&" * 2_000_000, FORM, "/sign-in", id="two million fields"),
        pytest.param(
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 1000 + b"--x--\r\n",
            "multipart/form-data; boundary=x",
            "/sign-in",
            id="a thousand parts",
        ),
    ],
)
def test_a_body_that_is_too_large_is_refused_and_costs_no_memory(
    pages: tuple[int, int], body: bytes, kind: str, path: str
) -> None:
    port, supervisor = pages
    before = memory(supervisor)
    assert code(post(port, body, kind, path)) in (0, 400, 401, 413)
    assert memory(supervisor) - before < MORE


def test_a_body_of_unknown_length_is_not_read_beyond_the_limit(pages: tuple[int, int]) -> None:
    port, supervisor = pages
    before = memory(supervisor)
    head = f"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = send(port, head.encode(), *[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 160, b"0\r\n\r\n")
    assert code(answer) in (0, 413)
    assert memory(supervisor) - before < MORE


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"".join(b"X-%d: 1\r\n" % number for number in range(10_000)), id="10,000 headers"),
        pytest.param(b"X-Long: " + b"x" * 100_000 + b"\r\n", id="a header of 100 kB"),
        pytest.param(b"X-Folded: a\r\n b\r\n", id="a folded header"),
        pytest.param(b"X-Space : a\r\n", id="a space before the colon"),
        pytest.param(b"Content-Length: 1\r\nContent-Length: 2\r\n", id="two lengths"),
        pytest.param(b"Content-Length: -1\r\n", id="a negative length"),
        pytest.param(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", id="length and chunks"),
        pytest.param(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", id="chunks and not"),
        pytest.param(b"Transfer-Encoding: xchunked\r\n", id="an unknown transfer"),
    ],
)
def test_a_head_that_two_servers_could_read_differently_is_refused_and_the_connection_closed(
    pages: tuple[int, int], head: bytes
) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = send(pages[0], b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n0\r\n\r\n" + hidden)
    assert code(answer) in (0, 400, 431, 501)
    assert b"200 OK" not in answer


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"<b>nonsense</b>\r\n\r\n", b"400 Bad Request", id="no request"),
        pytest.param(b"GET / HTTP/9.9-nonsense\r\n\r\n", b"400 Bad Request", id="no version"),
        pytest.param(b"GET / HTTP/1.1\r\nnonsense<b>: 1\r\n\r\n", b"400 Bad Request", id="no header"),
        pytest.param(b"GET /nonsense" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n", b"414 ", id="an address without end"),
        pytest.param(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: nonsense\r\n\r\n", b"501 ", id="a transfer that is unknown"
        ),
    ],
)
def test_what_is_no_request_is_refused_with_our_headers_and_not_repeated(
    pages: tuple[int, int], sent: bytes, status: bytes
) -> None:
    head, _, body = send(pages[0], sent).partition(b"\r\n\r\n")
    first, *lines = head.decode().splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    assert first.encode().startswith(b"HTTP/1.1 " + status)
    assert HEADERS.items() <= headers.items()
    assert (headers["Content-Type"], headers["Cache-Control"]) == ("text/plain; charset=utf-8", "no-store")
    assert int(headers["Content-Length"]) == len(body)
    assert b"nonsense" not in body
    assert b"<" not in body


def test_an_address_of_100_kb_is_refused(pages: tuple[int, int]) -> None:
    assert code(send(pages[0], b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")) in (0, 400, 414)


@pytest.mark.parametrize("chunk", [b"zz\r\nabc\r\n", b"-1\r\nabc\r\n", b"3\r\nabcdef\r\n", b"0x3\r\nabc\r\n"])
def test_a_bad_chunk_ends_the_connection(pages: tuple[int, int], chunk: bytes) -> None:
    head = f"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = send(pages[0], head.encode() + chunk + b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert code(answer) in (0, 400, 403)
    assert b"200 OK" not in answer


@pytest.mark.slow  # it waits until the pages have had enough
@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\nHo", b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\n"])
def test_slow_senders_do_not_keep_the_threads(pages: tuple[int, int], said: bytes) -> None:
    """More of them than there are threads: the others are served again as soon as their time is over."""
    said += f"Content-Type: {FORM}\r\nContent-Length: 1000\r\n\r\na".encode() if said.startswith(b"POST") else b""
    slow = [socket.create_connection(("127.0.0.1", pages[0])) for _ in range(6)]
    try:
        for one in slow:
            one.sendall(said)
        time.sleep(1)  # until all of them have a thread, or wait for one
        health = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert code(send(pages[0], health, patience=40)) == 200
    finally:
        for one in slow:
            one.close()
