"""A file at a URL, requested through `src.public_http`, and so is each redirect.

Every host must have public addresses only, and the body of a redirect is not read. Share links of known file hosts are
replaced by the direct download. A caller's headers are sent to the URL's own origin only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from urllib.parse import urljoin, urlsplit

import requests
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from requests.utils import get_auth_from_url, get_environ_proxies, select_proxy, urldefragauth

from src.errors import DownloadFailed, InvalidInput
from src.public_http import (
    ALLOW_PRIVATE,
    MALFORMED,
    USER_AGENT,
    Failure,
    NetworkError,
    OpenSocket,
    RetryPolicy,
    TransientFailure,
    clean_url,
    send,
)
from src.share_links import to_direct_link
from src.sources.transfer import is_transient

_MAX_REDIRECTS = 5

_MESSAGES = {
    Failure.REFUSED: "the URL, or a redirect of it, does not lead to a public address: use a public URL, "
    f"or on a worker of your own set {ALLOW_PRIVATE}=true",
    Failure.INSECURE: "no secure connection to the URL's host: check its TLS certificate",
    Failure.SILENT: "the URL's host does not answer, or stopped sending",
    Failure.CLOSED: "the URL's host refuses connections: check its port, and that its server runs",
    Failure.BROKEN: "the connection to the URL's host failed",
}


class WebFile:
    """A file at a URL.

    Args:
        url: http(s), as `clean_audio_url` gives it.
        headers: the caller's, valid ones; for the URL's own origin until a redirect leaves it.
    """

    name = "the URL"
    host = "the URL's host"

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._headers = headers

    def request(
        self, headers: Mapping[str, str], policy: RetryPolicy, deadline: float, open_socket: OpenSocket
    ) -> requests.Response:
        """Request the URL, following redirects; cookies are kept for this chain and each for its host.

        Raises:
            DownloadFailed: it is refused, there are too many redirects, or one of them leads where none is followed.
            TransientFailure: another attempt may succeed.
        """
        url = to_direct_link(self._url)
        jars: dict[str, RequestsCookieJar] = {}
        is_home = True
        for _ in range(_MAX_REDIRECTS + 1):
            # As the SDK does: a request that must go through a proxy is not sent past it.
            if select_proxy(url, get_environ_proxies(url)):
                raise DownloadFailed("the URL is refused: the worker would need a proxy for it, and uses none")
            cookies = jars.setdefault(urlsplit(url).hostname or "", RequestsCookieJar())
            is_home = is_home and _origin(url) == _origin(self._url)  # another origin may choose no path for headers
            try:
                response = send(
                    url,
                    partial(_prepare, url, cookies, self._headers if is_home else {}, headers),
                    timeouts=policy.timeouts,
                    deadline=deadline,
                    open_socket=open_socket,
                )
            except NetworkError as error:
                raise _to_exception(error.failure, url if is_home else "") from None  # a redirect's host is not named
            except ValueError:  # of requests, for a URL that its own parser refuses
                raise InvalidInput(MALFORMED) from None
            if response.status_code not in (301, 302, 303, 307, 308):
                return _checked(response)
            response.close()
            cookies.update(response.cookies)
            url = to_direct_link(_redirect_target(url, response.headers.get("Location")))
        raise DownloadFailed(f"the URL is redirected more than {_MAX_REDIRECTS} times: use the file's direct link")

    def condition(self, validator: str) -> dict[str, str]:
        """The condition on which a server without the same file sends all of the other one."""
        return {"If-Range": validator}

    def explain(self, error: NetworkError) -> Exception:
        """A sentence without URLs and addresses."""
        return _to_exception(error.failure, "")


def _prepare(
    url: str, cookies: RequestsCookieJar, callers: Mapping[str, str], transfers: Mapping[str, str]
) -> requests.PreparedRequest:
    headers = CaseInsensitiveDict({"User-Agent": USER_AGENT, "Accept": "*/*", **callers})
    # Compressed bodies are declined: a few kilobytes of gzip can unpack to gigabytes.
    headers.update({"Accept-Encoding": "identity", **transfers})
    user = get_auth_from_url(url)  # http.cookiejar would take it for a part of the host
    auth = user if any(user) else None
    return requests.Request("GET", urldefragauth(url), headers=dict(headers), auth=auth, cookies=cookies).prepare()


def _checked(response: requests.Response) -> requests.Response:
    """The response, unless it refuses the file."""
    status = response.status_code
    if status in (200, 206) or is_transient(status):
        return response
    response.close()
    expired = "; if the link is signed, it may have expired" if status in (401, 403, 404, 410) else ""
    login = ", and if the host wants a login, give headers beside the url" if status in (401, 403) else ""
    raise DownloadFailed(f"the URL answers with HTTP status {status}{expired}{login}")


def _redirect_target(url: str, location: str | None) -> str:
    """The URL that `url` redirects to; a user and password in `url` are kept for paths of the same host only.

    Raises:
        DownloadFailed: it is not http(s).
    """
    try:
        location = (location or "").encode("latin-1").decode("utf-8")  # http.client decodes headers as Latin-1
        if not location.isprintable() or "\\" in location:  # urljoin would drop some of it
            raise ValueError
        return clean_url(urljoin(url, location) if location else "")
    except (ValueError, InvalidInput):  # ValueError also: an unclosed IPv6 bracket, or a text that is not UTF-8
        raise DownloadFailed("the URL is redirected to what is no http:// or https:// URL") from None


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _to_exception(failure: Failure, url: str) -> Exception:
    if failure is Failure.MALFORMED:
        return InvalidInput(MALFORMED)
    if failure is Failure.UNRESOLVED:
        name = re.fullmatch(r"[0-9a-z.-]{1,100}", urlsplit(url).hostname or "")
        return TransientFailure(f"the URL's host {name[0] + ' ' if name else ''}cannot be resolved: check its spelling")
    return TransientFailure(_MESSAGES[failure]) if failure.is_transient else DownloadFailed(_MESSAGES[failure])
