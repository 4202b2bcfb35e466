"""HTTP requests to hosts that a job names: public addresses only, pinned to the validated address.

Two public names of the SDK's `rp_ssrf` do the work: `resolve_and_validate` lets only public addresses pass, and
`PinnedIPAdapter` connects to the validated one. The SDK's own `safe_get` drives the adapter with a `requests.Session`,
which reads the whole body of a redirect into memory even with redirects disabled. Here there is no session, hence no
cookies, no netrc, and no proxy from the environment, through which the pinning would have no effect.

Exceptions of the libraries quote the URL with its signature, and resolved addresses. A `NetworkError` holds neither;
callers put it into their own words.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from http.client import HTTPException
from urllib.parse import urlsplit

import requests
from runpod.serverless.utils.rp_ssrf import PinnedIPAdapter, SSRFError, resolve_and_validate
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as SocketTimeout

from src.errors import InvalidInput

MALFORMED = "the URL is malformed: it must be http:// or https:// and name a host"

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
    BROKEN = auto()  # any other failure of the connection

    @property
    def is_transient(self) -> bool:
        """True if another attempt may succeed."""
        return self in (Failure.UNRESOLVED, Failure.SILENT, Failure.BROKEN)


class NetworkError(Exception):
    """A failed request; holds no URL and no address."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.name)
        self.failure = failure


@dataclass(frozen=True)
class RetryPolicy:
    """Timing of the attempts at one request, in seconds."""

    pauses: tuple[float, ...]
    """Before the second and each further attempt; one more attempt than pauses is made."""
    timeouts: tuple[float, float]
    """To connect to one address, and to wait for the next bytes."""
    sleep: Callable[[float], None] = time.sleep

    @property
    def attempts(self) -> int:
        """Number of attempts."""
        return len(self.pauses) + 1


def is_http_url(url: str) -> bool:
    """True if `url` is an absolute http or https URL with a host."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:  # an unclosed IPv6 bracket, a port that is not a number
        return False


def check_url(url: str) -> None:
    """Raise unless `url` is an absolute http or https URL.

    Raises:
        InvalidInput: it is not.
    """
    if not is_http_url(url):
        raise InvalidInput(MALFORMED)


def public_addresses(url: str) -> list[str]:
    """Resolve the host of `url`.

    Raises:
        SSRFError: it does not resolve, or not all of its addresses are public.
        UnicodeError: its host cannot be a name.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses: list[str] = resolve_and_validate(parts.hostname or "", port)
    return addresses


def send(
    url: str, request: Callable[[], requests.PreparedRequest], *, timeouts: tuple[float, float], deadline: float
) -> requests.Response:
    """Send a request to `url` and return the response, which may be a redirect.

    The body is unread; closing the response closes the connection. If an address cannot be connected to, the host's
    next one is tried.

    Args:
        url: whose host is resolved.
        request: makes the request; called for each address, right before connecting to it.
        timeouts: seconds to connect, and to wait for the next bytes; both also end at `deadline`.
        deadline: on the monotonic clock.

    Raises:
        NetworkError: no address gave a response.
        ValueError: `url` is malformed. Exceptions of `request` are passed on.
    """
    with network_errors():
        failure: Exception = NetworkError(Failure.REFUSED)
        for address in public_addresses(url):
            left = deadline - time.monotonic()
            if left <= 0:
                raise NetworkError(Failure.SILENT)
            try:
                return _send_to(address, request(), (min(left, timeouts[0]), min(left, timeouts[1])))
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
    except (requests.RequestException, HTTPError, HTTPException, OSError):
        raise NetworkError(Failure.BROKEN) from None


def _send_to(address: str, request: requests.PreparedRequest, timeouts: tuple[float, float]) -> requests.Response:
    # Of the environment only REQUESTS_CA_BUNDLE counts.
    verify = requests.Session().merge_environment_settings(request.url or "", {}, True, None, None)["verify"]
    adapter = PinnedIPAdapter(address)
    try:
        response: requests.Response = adapter.send(request, stream=True, timeout=timeouts, verify=verify)
        return response
    finally:
        adapter.close()  # leaves the connection of `response` open
