"""Serves an application that takes long to load: listens at once, and says by its health path how far it is.

RunPod's load balancer reads 204 as initialising and 200 as ready
(https://docs.runpod.io/serverless/load-balancing/overview).
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_BACKLOG = 2048
_DESCRIPTORS = 4096

UNREAD_SECONDS = 60.0
"""A connection whose other end reads nothing for so long, or is gone, is ended by the system."""

_REASONS = {
    errno.EADDRINUSE: "another program listens there, choose another port",
    errno.EACCES: "this user may not, choose a port from 1024 on",
    errno.EADDRNOTAVAIL: "this machine does not have the address",
}


def serve(
    load: Callable[[], ASGIApp],
    *,
    host: str,
    ports: Sequence[int],
    health_path: str = "/ping",
    name: str = "the server",
) -> None:
    """Serve an application until SIGTERM or SIGINT; a second signal ends what still runs.

    Requests wait until the application is loaded, except for the health path: 204 before, 200 afterwards.

    Args:
        load: makes the application, with its imports; called on a thread of its own.
        host: the address to listen at.
        ports: one, or several with the same application.
        health_path: answers to everyone.
        name: the program's, for messages.

    Raises:
        SystemExit: the server cannot listen, with a sentence; or `load` raised it.
        Exception: `load` raised it.
    """
    _raise_descriptor_limit()
    sockets = [listen(host, port, name) for port in dict.fromkeys(ports)]
    # Imported only now, when connections are already accepted: with its imports this takes a tenth of a second.
    from api.http.loading_server import LoadingServer

    LoadingServer(load, health_path).run_until_signal(sockets)


def _raise_descriptor_limit() -> None:
    """Allow more descriptors than the usual 1024, if the system does: 500 uploads need 1000 and more."""
    if sys.platform != "win32":
        import resource

        limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, _DESCRIPTORS)
        if limit < wanted:
            with suppress(ValueError, OSError):  # macOS: more than its kernel allows
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def listen(host: str, port: int, name: str) -> socket.socket:
    """Listen at an address.

    Raises:
        SystemExit: with a sentence.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = _REASONS.get(getattr(error, "errno", None) or 0, "it is no address of this machine")
        raise SystemExit(f"{name} cannot listen at port {port} of {host}: {reason}") from None
    _set_up_connections(listening)
    return listening


def _set_up_connections(listening: socket.socket) -> None:
    """Set options that connections inherit.

    Answers are sent at once (asyncio sets `TCP_NODELAY` only where it has made the socket). The system ends connections
    whose other end is gone without a word, or reads nothing.
    """
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    unread_ms = int(UNREAD_SECONDS * 1000)
    keep_alive = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": unread_ms}
    for option, value in {"TCP_NODELAY": 1, **keep_alive}.items():
        if hasattr(socket, option):  # not on every system
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
