"""TLS: every way in which it can fail has a sentence of its own, and none falls back to plain text."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dashboard.core.environment import Environment, Secret
from dashboard.core.errors import Unreachable
from dashboard.postgres import embedded
from dashboard.postgres.connect import dial
from tests.conftest import FAST

pytestmark = [
    pytest.mark.slow,
    pytest.mark.fault(57),
    pytest.mark.skipif(not embedded.debian_programs(), reason="no server with TLS: apt-get install postgresql"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl: apt-get install openssl"),
]

HOST = "db.example.test"
AUTHORITY = """\
[ca]
default_ca = ours
[ours]
dir = {folder}
database = {folder}/index.txt
new_certs_dir = {folder}
serial = {folder}/serial
default_md = sha256
policy = anything
unique_subject = no
x509_extensions = server
[anything]
commonName = supplied
[server]
subjectAltName = DNS:{host}
[req]
distinguished_name = name
[name]
"""


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@dataclass
class Authority:
    """A certificate authority of our own."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.crt"

    def make(self) -> "Authority":
        self.folder.mkdir()
        (self.folder / "index.txt").touch()
        (self.folder / "serial").write_text("01\n")
        (self.folder / "conf").write_text(AUTHORITY.format(folder=self.folder, host=HOST))
        key, days = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(self.folder / "ca.key")], ["-days", "3650"]
        openssl("req", "-x509", *key, *days, "-subj", "/CN=ours", "-out", str(self.certificate))
        return self

    def issue(self, name: str, until: str) -> tuple[bytes, bytes]:
        """Key and certificate of a server; `until` as YYYYMMDD."""
        key, request, made = (str(self.folder / f"{name}.{end}") for end in ("key", "csr", "crt"))
        openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", f"/CN={HOST}", "-out", request)
        ours = ["-config", str(self.folder / "conf"), "-keyfile", str(self.folder / "ca.key"), "-cert"]
        dates = ["-startdate", "20200101000000Z", "-enddate", f"{until}000000Z"]
        openssl("ca", "-batch", "-notext", *ours, str(self.certificate), *dates, "-in", request, "-out", made)
        return Path(key).read_bytes(), Path(made).read_bytes()


Start = Callable[..., str]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ca").make()


@pytest.fixture(scope="module")
def start(cluster_place: Callable[[str], Path], authority: Authority) -> Iterator[Start]:
    """`start("20990101")` -> the address of a server whose certificate holds until then; `hba`: who may come in."""
    folder = cluster_place("tls")
    embedded.start(folder, settings=FAST, programs=embedded.debian_programs()[0])
    owner = (folder / "data").stat()
    usual = (folder / "data" / "pg_hba.conf").read_text()

    def run(until: str, hba: str = "") -> str:
        embedded.stop(folder)
        for name, content in zip(("server.key", "server.crt"), authority.issue(f"server{until}", until), strict=True):
            path = folder / "data" / name
            path.write_bytes(content)
            path.chmod(0o600)
            os.chown(path, owner.st_uid, owner.st_gid)
        ca = folder / "data" / "ca.crt"
        ca.write_bytes(authority.certificate.read_bytes())
        ca.chmod(0o644)
        (folder / "data" / "pg_hba.conf").write_text(hba or usual)
        tls = {"ssl": "on", "ssl_ca_file": "ca.crt"}
        running = embedded.start(folder, settings=FAST | tls, programs=embedded.debian_programs()[0])
        at = urlsplit(running.url("postgres").reveal())
        return f"postgresql://postgres:{at.password}@{HOST}:{at.port}/postgres?hostaddr=127.0.0.1"

    yield run
    embedded.remove(folder)


def failure(url: str) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        dial(Environment("staging", 1, Secret(url)), purpose="test")
    said = str(caught.value) + caught.value.advice
    password = urlsplit(url).password
    assert password
    assert password not in said
    assert urlsplit(url).hostname in said or "127.0.0.1" in said
    return caught.value


def test_a_certificate_that_is_right_is_used(start: Start, authority: Authority) -> None:
    url = f"{start('20990101')}&sslmode=verify-full&sslrootcert={authority.certificate}"
    with dial(Environment("staging", 1, Secret(url)), purpose="test") as connection:
        assert connection.pgconn.ssl_in_use


def test_a_certificate_for_another_host_is_named(start: Start, authority: Authority) -> None:
    url = f"{start('20990101')}&sslmode=verify-full&sslrootcert={authority.certificate}"
    said = failure(url.replace(HOST, "other.example.test"))
    assert "the certificate of other.example.test" in said.reason
    assert "is for another host name" in said.reason


def test_a_certificate_that_has_expired_is_named(start: Start, authority: Authority) -> None:
    said = failure(f"{start('20200201')}&sslmode=verify-full&sslrootcert={authority.certificate}")
    assert "has expired" in said.reason
    assert "Renew" in said.advice


def test_a_certificate_of_an_unknown_authority_is_named(start: Start, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other").make()
    said = failure(f"{start('20990101')}&sslmode=verify-full&sslrootcert={other.certificate}")
    assert "is not signed by an authority that this machine trusts" in said.reason
    assert "sslrootcert" in said.advice


@pytest.mark.parametrize("wrong", ["host", "authority"])
def test_who_shows_the_wrong_certificate_hears_neither_name_nor_password(
    authority: Authority, tmp_path: Path, wrong: str
) -> None:
    """A server of our own with TLS, which keeps what it is told once the channel stands."""
    key, certificate = authority.issue("impostor", "20990101")
    (tmp_path / "both.pem").write_bytes(key + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    trusted = authority if wrong == "host" else Authority(tmp_path / "other").make()
    host, heard = "other.example.test" if wrong == "host" else HOST, []

    def serve(door: socket.socket) -> None:
        caller, _ = door.accept()
        with caller, suppress(OSError):
            caller.settimeout(10)
            heard.append(caller.recv(8))  # may we have TLS?
            caller.sendall(b"S")
            with context.wrap_socket(caller, server_side=True) as safe:
                heard.append(safe.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=serve, args=(door,))
        thread.start()
        address = f"postgresql://app:a-p4ssword@{host}:{door.getsockname()[1]}/shop?hostaddr=127.0.0.1"
        failure(f"{address}&sslmode=verify-full&sslrootcert={trusted.certificate}")
        thread.join(20)
    assert heard[0] == b"\0\0\0\x08\x04\xd2\x16\x2f"
    assert b"".join(heard[1:]) == b""


def test_a_missing_file_of_the_authority_is_named(start: Start) -> None:
    said = failure(f"{start('20990101')}&sslmode=verify-full&sslrootcert=/nowhere/ca.crt")
    assert "a certificate file" in said.reason
    assert "sslrootcert" in said.advice


def test_a_server_that_wants_tls_says_so(start: Start) -> None:
    said = failure(f"{start('20990101', 'hostssl all all 127.0.0.1/32 scram-sha-256')}&sslmode=disable")
    assert "without TLS" in said.reason
    assert "sslmode=require" in said.advice


def test_a_server_that_wants_a_certificate_of_ours_says_so(start: Start) -> None:
    hba = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca"
    said = failure(f"{start('20990101', hba)}&sslmode=require")
    assert "certificate of the client" in said.reason
    assert "sslcert" in said.advice
