"""Where programs of this machine listen: ports that are free, and hosts by which they are reached."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from ipaddress import ip_address


def is_free(host: str, port: int) -> bool:
    """Whether no other program listens there; what else is wrong with a host, the listener says."""
    with suppress(socket.gaierror):
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(address)
                except OSError as exc:
                    if exc.errno == errno.EADDRINUSE:
                        return False
    return True


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_loopback(host: str) -> bool:
    """Whether a name or address means the machine that it is said on."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reachable(host: str) -> str:
    """Return the host of a URL by which this machine reaches what listens on an address."""
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host
