"""HTTP requests to hosts that a job names: the worker's one way out to the network.

Only public addresses are connected to, except for servers that the endpoint's owner has configured. The SDK's
`resolve_and_validate` judges the addresses, and `is_public` judges them again; the SDK's `PinnedIPAdapter` connects to
the address that was judged. Its `safe_get` is not used, since it drives the adapter with a `requests.Session`, which
reads the whole body of a redirect into memory even with redirects disabled. Here there is no session, hence no netrc,
and no proxy from the environment, through which the pinning would have no effect.

A request belongs to an `OpenSocket`, with which another thread can end it at any time, except while the host's name is
being resolved: nothing can interrupt `getaddrinfo`. So at most `_MAX_LOOKUPS` threads are in it at once.

Exceptions of the libraries quote the URL with its signature, and resolved addresses. A `NetworkError` holds neither;
callers put it into their own words.
"""

from __future__ import annotations

import logging
import math
import os
import re
import socket
import string
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from http.client import HTTPException
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from threading import BoundedSemaphore, Event, Lock
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from runpod.serverless.utils.rp_ssrf import PinnedIPAdapter, SSRFError, resolve_and_validate
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as SocketTimeout

from src.deadline import DeadlineExceeded
from src.errors import InvalidInput, explain_os_error
from src.version import __version__

T = TypeVar("T")

MALFORMED = "the URL is malformed: it must be http:// or https:// and name a host"

USER_AGENT = f"worker-whisper/{__version__}"
"""Some hosts refuse the name of the library."""

ALLOW_PRIVATE = "RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS"
"""The SDK's variable that lifts the restriction to public addresses."""

_MAX_LOOKUPS = 64
_INVISIBLE = string.whitespace + "\x85\xa0\u2028\u2029\u3000" + "\ufeff\u200b\u200c\u200d\u2060"

# urllib3 logs whole URLs: of each request at DEBUG, and of a response with a faulty header at WARNING. Where `src.logs`
# is not set up, the handler that the SDK gives the root logger on import would print them.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class Failure(Enum):
    """Kinds of network failures."""

    UNRESOLVED = auto()  # no address for the host name
    REFUSED = auto()  # not a public address
    MALFORMED = auto()  # not a valid URL
    INSECURE = auto()  # no TLS, or a certificate that is not the host's
    SILENT = auto()  # no response, or no further bytes, in time
    CLOSED = auto()  # nothing listens at the port
    BROKEN = auto()  # any other failure of the connection

    @property
    def is_transient(self) -> bool:
        """True if another attempt may succeed."""
        return self in (Failure.UNRESOLVED, Failure.SILENT, Failure.CLOSED, Failure.BROKEN)


class NetworkError(Exception):
    """A failed request; holds no URL and no address."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.name)
        self.failure = failure


class TransientFailure(Exception):
    """A failed attempt that may be repeated; the message is fit for the caller.

    Args:
        wait: minimum of seconds before another attempt.
    """

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class OpenSocket:
    """The one socket that an exchange has open at a time, which any thread can shut down.

    A duplicate of the socket is kept: TLS detaches the original.
    """

    def __init__(self) -> None:
        self.ended = Event()
        self._socket: socket.socket | None = None
        self._lock = Lock()

    def replace(self, successor: socket.socket) -> None:
        """Shut the socket down, and keep `successor` in its place.

        Raises:
            ConnectionAbortedError: the exchange has been ended.
        """
        with self._lock:
            if self.ended.is_set():
                raise ConnectionAbortedError
            self._shut_down()
            self._socket = successor.dup()

    def end(self) -> None:
        """Shut the socket down and allow no other: whoever reads from it or writes to it gets an error at once."""
        with self._lock:
            self.ended.set()
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # not connected
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None


@dataclass(frozen=True)
class RetryPolicy:
    """Timing of the attempts at one request, in seconds."""

    pauses: tuple[float, ...]
    """Before the second and each further attempt; one more attempt than pauses is made."""
    timeouts: tuple[float, float]
    """To connect to one address, and to wait for the next bytes."""
    pause: Callable[[Event, float], object] = Event.wait
    """Waits for the seconds, or until the event is set."""


def attempt_repeatedly(attempt: Callable[[], T], policy: RetryPolicy, deadline: float, ended: Event) -> T:
    """Call `attempt` until it raises no `TransientFailure`, and return its result.

    Args:
        attempt: other exceptions of it are passed on.
        policy: number of attempts, and pauses between them.
        deadline: on the monotonic clock; no pause goes beyond it.
        ended: ends a pause.

    Raises:
        TransientFailure: of the last attempt; says how often it was tried.
        DeadlineExceeded: an attempt took until `deadline`.
    """
    for number, planned in enumerate((*policy.pauses, math.inf), 1):
        try:
            return attempt()
        except TransientFailure as failure:
            now, pause = time.monotonic(), max(planned, failure.wait)
            if now >= deadline or ended.is_set():
                raise DeadlineExceeded from None
            if now + pause > deadline:
                tries = f" (tried {number} times)" if number > 1 else ""
                raise TransientFailure(f"{failure}{tries}") from None
        policy.pause(ended, pause)
    raise AssertionError("the last pause is infinite")


def clean_url(url: str) -> str:
    """An http or https URL without what copying leaves around it, and with blanks in its path quoted.

    Raises:
        InvalidInput: it is not absolute or not http(s), or holds a backslash or a control character: libraries differ
            on where the host of such a URL ends.
    """
    cleaned = strip_invisible(url)
    scheme, mark, rest = cleaned.partition("://")
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    cleaned = scheme + mark + host + rest[len(host) :].replace(" ", "%20")
    if not is_http_url(cleaned):
        raise InvalidInput(MALFORMED)
    return cleaned


def strip_invisible(text: str) -> str:
    """`text` without white space and characters without width around it."""
    return text.strip(_INVISIBLE)


def is_http_url(url: str) -> bool:
    """True if `url` is an absolute http or https URL with a host, free of blanks, backslashes, control characters."""
    try:
        parts = urlsplit(url)
        is_absolute = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        return is_absolute and url.isprintable() and " " not in url and "\\" not in url
    except ValueError:  # an unclosed IPv6 bracket, a port that is not a number
        return False


_NOT_PUBLIC = [
    ip_network(network)
    for network in (
        # IPv4: RFC 6890 and its successors, as the registry of special-purpose addresses lists them
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # Azure's WireServer
        # IPv6: what is special within 2000::/3, outside of which nothing is public
        *("2001::/23", "2001:db8::/32", "3fff::/20"),
    )
]
_GLOBAL_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """True for a unicast address of the public internet.

    An IPv6 address that carries IPv4 addresses (mapped, 6to4, Teredo, NAT64) is judged by them.
    """
    try:
        parsed = ip_address(address)
    except ValueError:  # with a zone, such as fe80::1%eth0
        return False
    if isinstance(parsed, IPv6Address) and (carried := _carried_addresses(parsed)):
        return all(is_public(str(inner)) for inner in carried)
    if isinstance(parsed, IPv6Address) and parsed not in _GLOBAL_UNICAST:
        return False
    return not any(parsed in network for network in _NOT_PUBLIC)


def _carried_addresses(address: IPv6Address) -> tuple[IPv4Address, ...]:
    if address.teredo:
        return address.teredo
    if address in _NAT64:
        return (IPv4Address(address.packed[-4:]),)
    carried = address.ipv4_mapped or address.sixtofour
    return (carried,) if carried else ()


def resolve(url: str, deadline: float, *, trusted: bool = False) -> list[str]:
    """The addresses of the host of `url`: public ones, unless `ALLOW_PRIVATE` is set.

    Nothing can interrupt this, also not `deadline`, on the monotonic clock: it ends the wait for other lookups only.

    Raises:
        SSRFError: it does not resolve, or not all of its addresses are public.
        NetworkError: too many other lookups do not end.
        UnicodeError: its host cannot be a name.
    """
    if not _lookups.acquire(timeout=max(0.0, deadline - time.monotonic())):
        raise NetworkError(Failure.UNRESOLVED)
    try:
        return _any_addresses(url) if trusted else _public_addresses(url)
    finally:
        _lookups.release()


_lookups = BoundedSemaphore(_MAX_LOOKUPS)


def _public_addresses(url: str) -> list[str]:
    addresses: list[str] = resolve_and_validate(*_host_and_port(url))
    allows_private = os.environ.get(ALLOW_PRIVATE, "").strip().lower() in ("1", "true", "yes")  # as the SDK reads it
    if not allows_private and not all(is_public(address) for address in addresses):
        raise SSRFError("not a public address")
    return addresses


def _any_addresses(url: str) -> list[str]:
    host, port = _host_and_port(url)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise SSRFError("the host name cannot be resolved") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def send(
    url: str,
    request: Callable[[], requests.PreparedRequest],
    *,
    timeouts: tuple[float, float],
    deadline: float,
    open_socket: OpenSocket,
    trusted: bool = False,
) -> requests.Response:
    """Send a request to `url` and return the response, which may be a redirect.

    The body is unread; closing the response closes the connection. If an address cannot be connected to, the host's
    next one is tried.

    Args:
        url: whose host is resolved.
        request: makes the request; called for each address, right before connecting to it.
        timeouts: seconds to connect, and to wait for the next bytes; both also end at `deadline`.
        deadline: on the monotonic clock.
        open_socket: ends the request; may be used for further requests, one after the other.
        trusted: the host was configured by the endpoint's owner, and may have a private address.

    Raises:
        NetworkError: no address gave a response.
        OutOfResources: the worker has no socket left.
        ValueError: `url` is malformed. Exceptions of `request` are passed on.
    """
    with network_errors():
        failure: Exception = NetworkError(Failure.REFUSED)
        for address in resolve(url, deadline, trusted=trusted):
            left = deadline - time.monotonic()
            if left <= 0:
                raise NetworkError(Failure.SILENT)
            try:
                return _send_to(address, request(), (min(left, timeouts[0]), min(left, timeouts[1])), open_socket)
            except requests.ConnectionError as error:  # as in the SDK: the first may be IPv6 where there is no route
                failure = error
        raise failure


@contextmanager
def network_errors() -> Iterator[None]:
    """Turn the libraries' network exceptions into NetworkError; also for reads of a body.

    Raises:
        NetworkError: in place of an exception of requests, urllib3, http.client or the SDK, or an OSError.
    """
    try:
        yield
    except SSRFError as error:
        resolved = not isinstance(error.__cause__, socket.gaierror)
        raise NetworkError(Failure.REFUSED if resolved else Failure.UNRESOLVED) from None
    except requests.exceptions.SSLError:
        raise NetworkError(Failure.INSECURE) from None
    except (requests.exceptions.InvalidURL, UnicodeError):  # UnicodeError: the resolver's, for an impossible host name
        raise NetworkError(Failure.MALFORMED) from None
    except (requests.Timeout, SocketTimeout):
        raise NetworkError(Failure.SILENT) from None
    except (requests.RequestException, HTTPError, HTTPException, OSError) as error:
        raise NetworkError(Failure.CLOSED if _is_closed_port(error) else Failure.BROKEN) from None


def _is_closed_port(error: Exception) -> bool:
    """True if requests raised `error` since the connection was refused."""
    reason = getattr(error.args[0], "reason", None) if error.args else None  # urllib3's MaxRetryError has one
    return isinstance(reason, NewConnectionError) and isinstance(reason.__cause__, ConnectionRefusedError)


def _send_to(
    address: str, request: requests.PreparedRequest, timeouts: tuple[float, float], open_socket: OpenSocket
) -> requests.Response:
    # Of the environment only REQUESTS_CA_BUNDLE counts.
    verify = requests.Session().merge_environment_settings(request.url or "", {}, True, None, None)["verify"]
    adapter = _Adapter(address, open_socket)
    try:
        response: requests.Response = adapter.send(request, stream=True, timeout=timeouts, verify=verify)
        return response
    finally:
        adapter.close()  # leaves the connection of `response` open


class _Adapter(PinnedIPAdapter):  # type: ignore[misc]
    """The SDK's adapter, whose connections can be ended from another thread, also while they are being made."""

    def __init__(self, address: str, open_socket: OpenSocket) -> None:
        super().__init__(address)
        self._open_socket = open_socket

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **options)
        base = HTTPSConnection if pool.scheme == "https" else HTTPConnection
        pool.ConnectionCls = type("Connection", (_EndableConnection, base), {"open_socket": self._open_socket})
        return pool


class _EndableConnection(HTTPConnection):
    open_socket: OpenSocket

    def _new_conn(self) -> socket.socket:
        connection = None
        try:
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            connection = socket.socket(family, socket.SOCK_STREAM)
            self.open_socket.replace(connection)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(self.timeout)
            connection.connect((self.host, self.port))
        except OSError as error:
            if connection is not None:
                connection.close()
            if isinstance(error, TimeoutError):
                raise ConnectTimeoutError(self, "no connection in time") from error
            raise explain_os_error(error) or NewConnectionError(self, "no connection") from error
        return connection
