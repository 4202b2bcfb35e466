"""Addresses at which a server listens."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """True for an address to which only this machine can connect."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def origin_of(host: str, port: int) -> str:
    """What a browser on this machine calls a server that listens there, without a slash at the end."""
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{name}:{port}"
