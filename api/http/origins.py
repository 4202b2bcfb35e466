"""Which pages of a browser are this server's own."""

from __future__ import annotations

import re

_IP_ADDRESS = re.compile(r"(\d{1,3}\.){3}\d{1,3}|\[[0-9a-f:.]+\]", re.ASCII)


def is_own_page(origin: str, host: str) -> bool:
    """True for a page of this server, under a name that nobody else can let point here (DNS rebinding).

    Args:
        origin: of the page, as in the header.
        host: the header.
    """
    return is_same_address(origin, host) and is_local(host)


def is_same_address(origin: str, host: str) -> bool:
    """True if a page of the origin was loaded from the host, by any scheme: a proxy in front may have ended TLS."""
    return origin.partition("://")[2] == host


def is_local(host: str) -> bool:
    """True for an IP address, and for a name that is not looked up in the public DNS.

    Args:
        host: the header, with or without a port.
    """
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return "." not in name or name.endswith((".localhost", ".local")) or bool(_IP_ADDRESS.fullmatch(name))
