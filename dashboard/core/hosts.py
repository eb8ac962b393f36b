"""Where a host stands: on this machine, in a private network, or anywhere."""

import ipaddress

_SHARED = ipaddress.ip_network("100.64.0.0/10")  # of carriers, and of private networks laid over others
_PRIVATE = (".internal", ".local", ".lan", ".cluster.local", ".svc")


def is_here(host: str) -> bool:
    """Whether it is this machine: a socket's folder, nothing at all, or a loopback address.

    >>> [is_here(host) for host in ("", "/run/postgresql", "localhost", "127.0.0.1", "::1", "db", "db.example.com")]
    [True, True, True, True, True, False, False]
    """
    name = host.strip("[]").rstrip(".").lower()
    if name in ("", "localhost") or name.startswith(("/", "@")) or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and address.is_loopback


def is_private(host: str) -> bool:
    """Whether it is this machine, or in a network that strangers are not on, by its address or by its name.

    A name without a dot, as Render, Docker and Kubernetes give them inside, is known nowhere else.

    >>> [is_private(host) for host in ("dpg-a1-a", "10.0.0.4", "fd00::1", "db.internal", "8.8.8.8", "db.example.com")]
    [True, True, True, True, False, False]
    """
    name = host.strip("[]").rstrip(".").lower()
    if is_here(host):
        return True
    address = _address(name)
    if address is not None:
        return address.is_private or address.is_link_local or address in _SHARED
    return "." not in name or name.endswith(_PRIVATE)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
