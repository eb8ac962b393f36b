"""Render's ways on this machine: what `render.yaml` says is done in Render's order, with processes of our own."""

import os
import secrets
import select
import shlex
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import yaml

ROOT = Path(__file__).parents[2]
BLUEPRINT: dict[str, Any] = yaml.safe_load((ROOT / "render.yaml").read_text())
(WEB,) = [service for service in BLUEPRINT["services"] if service["type"] == "web"]
(WORKER,) = [service for service in BLUEPRINT["services"] if service["type"] == "worker"]
HOST = "rung.example.com"
LIMIT = 30.0  # seconds between SIGTERM and SIGKILL where a service says nothing; ours must not need what it says
_LOOK = 0.05


@dataclass
class Instance:
    """One process of a service."""

    process: "subprocess.Popen[bytes]"
    log: Path
    port: int = 0

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def retire(self) -> float:
        """SIGTERM, then SIGKILL after the limit; how long it took. Killed means failed."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(LIMIT)
        assert code == 0, self.said
        return time.monotonic() - begun

    def kill(self) -> None:
        """The pages have children, and end them when they are asked; a worker might first finish what it does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM if self.port else signal.SIGKILL)
            self.process.wait(LIMIT)


@dataclass(frozen=True)
class Deploy:
    """How a deploy ended: `live`, or the step at which it was given up, and what was said there."""

    ended: str
    said: str = ""


class Front(socketserver.ThreadingTCPServer):
    """The address people open: carries each connection to the instance that serves at that moment."""

    daemon_threads, allow_reuse_address, request_queue_size = True, True, 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Carrier)
        self.serving = 0
        threading.Thread(target=self.serve_forever, args=(_LOOK,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Carrier(socketserver.BaseRequestHandler):
    server: Front

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.serving)) as inner:
            other = {self.request: inner, inner: self.request}
            while True:
                for ready in select.select(list(other), [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    other[ready].sendall(data)


@dataclass
class Render:
    """A web service and a worker of one Blueprint, in a workspace of their own.

    Attributes
    ----------
    home: the address of home. given: what a person filled in for the variables that are not synchronised.

    """

    folder: Path
    home: str
    given: Mapping[str, str]
    front: Front = field(default_factory=Front)
    web: Instance | None = None
    worker: Instance | None = None
    _key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _all: list[Instance] = field(default_factory=list)
    _boots: int = 0

    def checkout(self, name: str, files: Mapping[str, str]) -> Path:
        """What a build leaves: this repository's configuration, these migrations, and `.venv`."""
        folder = self.folder / name
        (folder / "migrations").mkdir(parents=True)
        shutil.copy(ROOT / "rung.toml", folder)
        for filename, sql in files.items():
            (folder / "migrations" / filename).write_text(sql)
        (folder / ".venv").symlink_to(sys.prefix)
        return folder

    def variables(self, service: Mapping[str, Any]) -> dict[str, str]:
        """What the Blueprint hands to a service, and what Render itself adds."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        render = {"RENDER": "true", "HOME": str(self.folder)}
        if service["type"] == "web":
            render["RENDER_EXTERNAL_URL"] = f"https://{HOST}"
        named = {one["key"]: self._value(one) for one in service["envVars"]}
        return kept | render | {name: value for name, value in named.items() if value is not None}

    def _value(self, one: Mapping[str, Any]) -> str | None:
        if "fromDatabase" in one:
            return self.home
        if one.get("generateValue"):
            return self._key
        if "fromService" in one:
            assert one["fromService"]["name"] == WEB["name"]
            (origin,) = [own for own in WEB["envVars"] if own["key"] == one["fromService"]["envVarKey"]]
            return self._value(origin)
        return self.given.get(one["key"]) if one.get("sync") is False else str(one["value"])

    def deploy(
        self,
        checkout: Path,
        *,
        changed: Mapping[str, str] | None = None,
        meanwhile: Callable[[Instance, Instance], object] | None = None,
        patience: float = 30,
    ) -> Deploy:
        """Pre-deploy in a process of its own, new instance beside the old, health gate, switch, SIGTERM to the old.

        changed: variables of this deploy alone. meanwhile: done with (old, new) while both answer.
        """
        before = self.run(WEB["preDeployCommand"], checkout, changed)
        if before.returncode:
            return Deploy("pre-deploy", before.stdout)
        new = self.boot(WEB, checkout, changed)
        if not self.is_healthy(new, patience):
            new.kill()
            return Deploy("health", new.said)
        old, self.web, self.front.serving = self.web, new, new.port
        if old is not None:
            if meanwhile is not None:
                meanwhile(old, new)
            assert old.retire() < LIMIT
        return Deploy("live")

    def deploy_worker(self, checkout: Path) -> None:
        """A worker has no health gate: the new one starts, the old one is told to end."""
        old, self.worker = self.worker, self.boot(WORKER, checkout)
        if old is not None:
            old.retire()

    def run(
        self, command: str, checkout: Path, changed: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """One command to its end, without a shell."""
        return subprocess.run(
            self._words(command, checkout),
            cwd=checkout,
            env=self.variables(WEB) | dict(changed or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
        )

    def boot(self, service: Mapping[str, Any], checkout: Path, changed: Mapping[str, str] | None = None) -> Instance:
        self._boots += 1
        port = free_port() if service["type"] == "web" else 0
        log = self.folder / f"{service['name']}-{self._boots}.log"
        variables = self.variables(service) | ({"PORT": str(port)} if port else {}) | dict(changed or {})
        with log.open("wb") as output:
            made = Instance(self._start(service["startCommand"], checkout, variables, output), log, port)
        self._all.append(made)
        return made

    def _start(
        self, command: str, checkout: Path, variables: Mapping[str, str], output: IO[bytes]
    ) -> "subprocess.Popen[bytes]":
        words = self._words(command, checkout)
        return subprocess.Popen(words, cwd=checkout, env=dict(variables), stdout=output, stderr=output)

    def _words(self, command: str, checkout: Path) -> list[str]:
        first, *others = shlex.split(command)
        assert not {"&&", "|", ";", ">"} & set(others), "Render runs one program, without a shell"
        return [str(checkout / first) if "/" in first else first, *others]

    def is_healthy(self, instance: Instance, patience: float) -> bool:
        until = time.monotonic() + patience
        while time.monotonic() < until and instance.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", instance.port), 2) as asking:
                    asking.sendall(f"GET {WEB['healthCheckPath']} HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
                    if asking.makefile("rb").readline().split()[1:2] == [b"200"]:
                        return True
            except OSError:
                pass
            time.sleep(_LOOK)
        return False

    def close(self) -> None:
        for instance in self._all:
            instance.kill()
        self.front.shutdown()
        self.front.server_close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
