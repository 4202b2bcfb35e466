"""HTTP to hosts that a job names: public addresses only, dialled as they were validated, nothing read unasked.

Two public names of the SDK's `rp_ssrf` do the work: `resolve_and_validate` lets public addresses pass only, and
`PinnedIPAdapter` dials what was validated. The SDK's own `safe_get` drives the adapter with a `requests.Session`, which
reads the body of a redirect to its end, into memory, even when told not to follow it; here there is none. So there are
no cookies either, no netrc, and no proxy of the environment, where the pin would hold nothing.

What libraries say of a failure holds the URL, and with it signatures and resolved addresses: a `NetworkError` says none
of it, and callers put it in their own words.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from http.client import HTTPException
from urllib.parse import urlsplit

import requests
from runpod.serverless.utils.rp_ssrf import PinnedIPAdapter, SSRFError, resolve_and_validate
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as SocketTimeout

from src.errors import InvalidInput

MALFORMED = "the URL is malformed: it must be http:// or https:// and name a host"

# It logs whole URLs: for each request at DEBUG, and for an answer with a faulty header at WARNING. Where `src.logs` is
# not set up, a handler that the SDK gives the root logger at its import would print them.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class Failure(Enum):
    """What can go wrong on the network."""

    UNRESOLVED = auto()  # no address for the host's name
    REFUSED = auto()  # an address that is not public
    MALFORMED = auto()  # a URL that cannot be one
    INSECURE = auto()  # no TLS, or not the host's certificate
    SILENT = auto()  # no answer, or no further bytes, in time
    BROKEN = auto()  # any other failure of the connection

    @property
    def passing(self) -> bool:
        """Whether another attempt may do better."""
        return self in (Failure.UNRESOLVED, Failure.SILENT, Failure.BROKEN)


class NetworkError(Exception):
    """A request that failed; holds no URL and no address."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.name)
        self.failure = failure


def check_url(url: str) -> None:
    """Raise InvalidInput unless `url` is an absolute http or https URL."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed IPv6 bracket, a port that is no number
        sound = False
    if not sound or not url.isprintable():
        raise InvalidInput(MALFORMED)


def send(
    url: str, request: Callable[[], requests.PreparedRequest], *, timeouts: tuple[float, float], deadline: float
) -> requests.Response:
    """The first answer of `url`'s addresses, redirects included; its body is unread, and closing it hangs up.

    `request` is called for each address, right before it is dialled. `timeouts` are the seconds to connect, and to wait
    for the next bytes; both end at `deadline`, on the monotonic clock. Raises NetworkError, ValueError for a `url` that
    is malformed, and what `request` raises.
    """
    with network_errors():
        failure: Exception = NetworkError(Failure.REFUSED)
        for address in _public_addresses(url):
            left = deadline - time.monotonic()
            if left <= 0:
                raise NetworkError(Failure.SILENT)
            try:
                return _send_to(address, request(), (min(left, timeouts[0]), min(left, timeouts[1])))
            except requests.ConnectionError as error:  # as the SDK: the first may be IPv6 where there is no route
                failure = error
        raise failure


@contextmanager
def network_errors() -> Iterator[None]:
    """Raise NetworkError for what libraries raise in the block when the network fails, such as a body's next read."""
    try:
        yield
    except SSRFError as error:
        resolved = not isinstance(error.__cause__, socket.gaierror)
        raise NetworkError(Failure.REFUSED if resolved else Failure.UNRESOLVED) from None
    except requests.exceptions.SSLError:
        raise NetworkError(Failure.INSECURE) from None
    except (requests.exceptions.InvalidURL, UnicodeError):  # the resolver's, for a name that cannot be one
        raise NetworkError(Failure.MALFORMED) from None
    except (requests.Timeout, SocketTimeout):
        raise NetworkError(Failure.SILENT) from None
    except (requests.RequestException, HTTPError, HTTPException, OSError):
        raise NetworkError(Failure.BROKEN) from None


def _public_addresses(url: str) -> list[str]:
    """The addresses of the host of `url`. Raises SSRFError unless all of them are public."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses: list[str] = resolve_and_validate(parts.hostname or "", port)
    return addresses


def _send_to(address: str, request: requests.PreparedRequest, timeouts: tuple[float, float]) -> requests.Response:
    # The one thing of the environment that counts: REQUESTS_CA_BUNDLE.
    verify = requests.Session().merge_environment_settings(request.url or "", {}, True, None, None)["verify"]
    adapter = PinnedIPAdapter(address)
    try:
        response: requests.Response = adapter.send(request, stream=True, timeout=timeouts, verify=verify)
        return response
    finally:
        adapter.close()  # which leaves the connection of `response` open
