"""A TCP proxy that puts a server further away: every chunk arrives a fixed time later; chunks overlap on the way."""

import argparse
import contextlib
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 256 * 1024


@contextlib.contextmanager
def far_away(port: int, round_trip: float) -> Iterator[int]:
    """The local port of a proxy before `port`, a process of its own. `round_trip`: seconds it adds, half each way."""
    command = [sys.executable, "-m", "bench.proxy", str(port), str(round_trip / 2)]
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline()) if process.stdout else 0
        finally:
            process.terminate()


def serve(port: int, delay: float) -> None:
    """Print the port we listen on, then carry every connection to `port`, until the process is ended."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", port))
            for source, sink in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _carry(source, sink, delay)


def _carry(source: socket.socket, sink: socket.socket, delay: float) -> None:
    """One direction: a thread that notes when each chunk came, and one that passes it on when its time has come."""
    # Threads, because time.sleep is exact to a tenth of a millisecond and an event loop's timer to a whole one.
    on_the_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(source, on_the_way, delay), daemon=True).start()
    threading.Thread(target=_deliver, args=(sink, on_the_way), daemon=True).start()


def _receive(source: socket.socket, on_the_way: "queue.SimpleQueue[tuple[float, bytes]]", delay: float) -> None:
    data = b"at least once"
    while data:
        try:
            data = source.recv(_CHUNK)
        except OSError:
            data = b""
        on_the_way.put((time.monotonic() + delay, data))


def _deliver(sink: socket.socket, on_the_way: "queue.SimpleQueue[tuple[float, bytes]]") -> None:
    with contextlib.suppress(OSError):  # the other side is gone; nobody is left to tell
        while True:
            due, data = on_the_way.get()
            time.sleep(max(0.0, due - time.monotonic()))
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            sink.sendall(data)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("port", type=int)
    arguments.add_argument("delay", type=float)
    chosen = arguments.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        serve(chosen.port, chosen.delay)
