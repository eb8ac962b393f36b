"""A crowd in a process of its own: many watch one run as the page does, one reader opens another page now and then."""

import argparse
import asyncio
import gzip
import json
import re
import time
from dataclasses import asdict, dataclass, field

PACE = 0.7  # seconds between two questions of a page that watches a run
_PAUSE = 0.05  # of the reader
_WARM = 1.5  # seconds in which everybody arrives
_VERSION = re.compile(rb'data-version="([^"]+)"')


@dataclass
class Told:
    """Seconds of each answer, and what went wrong."""

    watched: list[float] = field(default_factory=list)
    read: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Crowd:
    port: int
    cookie: str
    told: Told
    host: str = "127.0.0.1"

    async def watch(self, piece: str, delay: float, over: asyncio.Event) -> None:
        await asyncio.sleep(delay)
        seen, pace = "", PACE
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        while not over.is_set():
            began = time.perf_counter()
            try:
                status, body, pace = await self._ask(reader, writer, f"{piece}?seen={seen}")
                if status == 200:
                    seen = _version(body)
                elif status != 204:
                    self.told.errors.append(f"{piece}: {status}")
            except (OSError, asyncio.IncompleteReadError) as wrong:
                self.told.errors.append(f"{piece}: {wrong!r}")
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            self.told.watched.append(time.perf_counter() - began)
            await asyncio.sleep(max(PACE, pace))
        writer.close()

    async def read(self, page: str, seconds: float) -> None:
        await asyncio.sleep(_WARM)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.perf_counter()
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            status, *_ = await self._ask(reader, writer, page)
            writer.close()
            self.told.read.append(time.perf_counter() - began)
            if status != 200:
                self.told.errors.append(f"{page}: {status}")
            await asyncio.sleep(_PAUSE)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str
    ) -> tuple[int, bytes, float]:
        lines = (
            f"GET {path} HTTP/1.1",
            f"Host: {self.host}",
            f"Cookie: {self.cookie}",
            "Accept-Encoding: gzip",
            "",
            "",
        )
        writer.write("\r\n".join(lines).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        pace = re.search(rb"(?i)rung-pace: (\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        return int(head.split()[1]), body, int(pace[1]) / 1000 if pace else 0.0


def _version(body: bytes) -> str:
    found = _VERSION.search(gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)
    return found[1].decode() if found else ""


async def gather(crowd: Crowd, piece: str, page: str, watchers: int, seconds: float) -> None:
    over = asyncio.Event()
    watching = [asyncio.create_task(crowd.watch(piece, PACE * n / watchers, over)) for n in range(watchers)]
    await crowd.read(page, seconds)
    over.set()
    await asyncio.gather(*watching)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.crowd")
    parser.add_argument("port", type=int)
    parser.add_argument("cookie")
    parser.add_argument("piece")
    parser.add_argument("--page", default="/")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--watchers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    asked = parser.parse_args()
    told = Told()
    crowd = Crowd(asked.port, asked.cookie, told, asked.host)
    asyncio.run(gather(crowd, asked.piece, asked.page, asked.watchers, asked.seconds))
    print(json.dumps(asdict(told)))


if __name__ == "__main__":
    main()
