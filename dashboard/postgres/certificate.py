"""Certificates: why a server's one was not accepted, where libpq only says that it was not."""

import contextlib
import socket
import ssl
from collections.abc import Mapping
from typing import Any

_ASK_FOR_TLS = (8).to_bytes(4) + (80877103).to_bytes(4)  # PostgreSQL's SSLRequest
_EXPIRED = 10  # OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED


def has_expired(address: Mapping[str, Any], patience: float) -> bool:
    """Ask the server for its certificate once more, without sending it anything else."""
    trusted = address.get("sslrootcert")
    place = (address.get("hostaddr") or address.get("host") or "localhost", int(address.get("port") or 5432))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # another question, with an answer of its own
    with contextlib.suppress(OSError, ValueError):
        if trusted and trusted != "system":
            context.load_verify_locations(trusted)
        else:
            context.load_default_certs()
        with socket.create_connection(place, timeout=patience) as plain:
            plain.sendall(_ASK_FOR_TLS)
            if plain.recv(1) == b"S":
                try:
                    context.wrap_socket(plain).close()
                except ssl.SSLCertVerificationError as wrong:
                    return wrong.verify_code == _EXPIRED
    return False
