"""RunPod's HTTP API of one endpoint: jobs are submitted, asked about, listened to and cancelled.

What fails for a while is tried again: 429, 5xx, broken connections. But a job is never sent twice. Of a submission that
got no clear answer three cases are safe, since nothing was accepted: no connection came about, it broke before the
request was whole, or the platform said no. In any other the job may be there, under an id that nobody knows:
`Uncertain` says so, and the caller decides.

The SDK's local API (`handler.py --rp_serve_api`) takes POST alone, has no /cancel, and does the job within /status, or
once more within /stream, and then forgets it: it is asked once, for the status.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from client.errors import EndpointFailed, Uncertain, WrongUsage
from client.settings import Settings

Answer = dict[str, Any]

DONE = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"})
"""The final ones of a job's states; the others are IN_QUEUE and IN_PROGRESS."""

PATIENCE = 300.0
"""Seconds for which a failing request is tried again: a sixth of what RunPod keeps a result for."""

FIRST_PATIENCE = 20.0
"""The same for an endpoint that has never answered: its address may be wrong."""

_CONNECT, _READ = 10.0, 60.0  # seconds
_MAYBE_ACCEPTED = {504, 520, 524}  # a proxy (Cloudflare's, before RunPod) gave up waiting for an answer
_WORDS = {
    401: "the API key is wrong: check --api-key or RUNPOD_API_KEY; RunPod's console makes new ones under Settings",
    403: "the API key may not use this endpoint: RunPod's console shows under Settings what it may",
    404: "there is no such endpoint: check --endpoint or RUNPOD_ENDPOINT_ID, the id in its page's address",
    413: "the request is larger than the platform takes",
}


class Endpoint:
    """May be used by several threads at once; each has its own connection.

    Args:
        patience: seconds for which a failing request is tried again.
    """

    def __init__(self, settings: Settings, *, patience: float = PATIENCE) -> None:
        self.settings = settings
        self.patience = patience
        self._own = threading.local()
        self._post_only = False
        self._answered = False

    @property
    def is_local_api(self) -> bool:
        """Whether it is the SDK's local API, as far as its answers to questions about jobs have shown."""
        return self._post_only

    def submit(self, job_input: Answer, **fields: Any) -> str:
        """Puts a job into the queue and returns its id; `fields` stand beside `input`: policy, webhook, s3Config.

        Raises:
            Uncertain: whether it is in the queue is not known.
            EndpointFailed: it is not.
        """
        body = json.dumps({"input": job_input, **fields}).encode()
        answer = self._insist("POST", "run", body)
        if not isinstance(answer.get("id"), str):
            raise Uncertain("the endpoint took the job without telling its id: it is not sent a second time")
        return str(answer["id"])

    def status(self, job_id: str) -> Answer:
        """`status`, and `output` (progress while it runs) or `error`.

        Raises:
            EndpointFailed: the endpoint does not answer, or does not know the job (any more).
        """
        return self._about("status", job_id)

    def stream(self, job_id: str) -> Answer:
        """`status`, and under `stream` what came since the last call, `{"output": ...}` each."""
        return self._about("stream", job_id)

    def cancel(self, job_id: str) -> None:
        """Ends a job, at whatever point it is; at an endpoint that cannot, nothing happens."""
        try:
            self._insist("POST", f"cancel/{job_id}")
        except NoSuchJob:
            return

    def health(self) -> Answer:
        """How many jobs and workers there are, by their states."""
        return self._insist("GET", "health")

    def _about(self, verb: str, job_id: str) -> Answer:
        if not self._post_only:
            try:
                return self._insist("GET", f"{verb}/{job_id}")
            except _OnlyPost:
                self._post_only = True
        # Asked again, it would do the job again.
        return self._once("POST", f"{verb}/{job_id}", None)

    def _insist(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """The answer, after as many tries as it takes."""
        tries = Retrying(
            retry=retry_if_exception_type(_Again),
            wait=_pause,
            stop=stop_after_delay(self.patience if self._answered else min(self.patience, FIRST_PATIENCE)),
            reraise=True,
        )
        answer: Answer = tries(self._once, method, path, body)
        return answer

    def _once(self, method: str, path: str, body: bytes | None) -> Answer:
        upload = None if body is None else _Upload(body)
        # The local API does the whole job within the answer to a POST.
        patience = _READ if path == "run" or not self._post_only else None
        try:
            response = self._session.request(
                method,
                f"{self.settings.url}/{path}",
                data=upload,
                headers={"Content-Type": "application/json"},
                timeout=(_CONNECT, patience),
                allow_redirects=False,
            )
            content = response.content
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader) as error:
            raise WrongUsage(f"the endpoint's address or key is malformed: {error}") from None
        except requests.RequestException as error:
            if upload is None or not upload.whole or isinstance(error, requests.ConnectTimeout):
                raise _Again(f"{self._unreachable} ({_reason(error)})") from None
            raise Uncertain(
                f"the connection broke before the endpoint answered ({_reason(error)}): the job may be in its queue, "
                "and is not sent a second time"
            ) from None
        self._answered = True
        return _understood(response, content, path)

    @property
    def _unreachable(self) -> str:
        host = urlsplit(self.settings.url).netloc.rpartition("@")[2]
        first = "start the worker (`make serve`)" if self.settings.is_single_worker else "check the network"
        return f"{host} cannot be reached: {first}, then the address in --base-url or RUNPOD_BASE_URL"

    @property
    def _session(self) -> requests.Session:
        if not hasattr(self._own, "session"):
            self._own.session = requests.Session()
            # As an object, since headers of the session give way to what ~/.netrc says about the host.
            self._own.session.auth = self._authorize
        session: requests.Session = self._own.session
        return session

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.settings.api_key:
            request.headers["Authorization"] = f"Bearer {self.settings.api_key}"
        return request


class NoSuchJob(EndpointFailed):
    """The endpoint does not know the job (any more)."""


class _Again(EndpointFailed):
    """A failure that may pass; `after` is how many seconds the platform asks to wait."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


class _OnlyPost(EndpointFailed):
    pass


class _Upload:
    """A request's body that knows whether all of it was handed to the connection."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
        """By this requests knows a stream; it goes by `read` all the same."""
        return iter(lambda: self.read(1 << 16), b"")

    def read(self, size: int = -1) -> bytes:
        start, self._at = self._at, len(self._body) if size < 0 else min(self._at + size, len(self._body))
        return self._body[start : self._at]

    @property
    def whole(self) -> bool:
        """Whether the endpoint may have got the request: one whose body is short of its length is no request."""
        return self._at == len(self._body)


def _understood(response: requests.Response, content: bytes, path: str) -> Answer:
    """The answer's JSON, or what it means that there is none."""
    status, submits, about_a_job = response.status_code, path == "run", "/" in path
    if status == 405 and response.request.method == "GET":
        raise _OnlyPost("the endpoint takes POST alone")
    if submits and status in _MAYBE_ACCEPTED:
        raise Uncertain(f"the endpoint answered {status}: the job may be in its queue, and is not sent a second time")
    if status == 429 or status >= 500:
        raise _Again(f"the endpoint answers {status}{_told(content)}", _retry_after(response))
    if status == 404 and about_a_job:
        raise NoSuchJob("the endpoint does not know the job; results are kept for 30 minutes")
    if status != 200:
        raise EndpointFailed(_WORDS.get(status) or f"the endpoint answers {status}{_told(content)}")
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        return answer
    if submits:
        raise Uncertain("the endpoint's answer is broken: the job may be in its queue, and is not sent a second time")
    raise _Again("the endpoint's answer is broken")


def _told(content: bytes) -> str:
    """What the platform itself says about a refusal."""
    try:
        said = json.loads(content)["error"]
    except (ValueError, TypeError, KeyError):
        return ""
    return f": {str(said)[:300]}"


def _retry_after(response: requests.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return min(float(value), 60.0) if value.isdigit() else 0.0


_backoff = wait_random_exponential(multiplier=0.5, max=15)


def _pause(state: RetryCallState) -> float:
    """Seconds before the next try: longer each time, and at least what the platform asks for."""
    failure = state.outcome.exception() if state.outcome else None
    asked: float = getattr(failure, "after", 0.0)
    return max(float(_backoff(state)), asked)


def _reason(error: requests.RequestException) -> str:
    """Without address and key, which the texts of requests' errors hold."""
    return type(error).__name__
