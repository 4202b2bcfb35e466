"""RunPod's HTTP API for one endpoint: submit, query, stream and cancel jobs.

Transient failures are retried: 429, 5xx, broken connections. But a job is never submitted twice. When a submission gets
no clear answer, a retry is safe in three cases, since nothing was accepted: the connection was never made, it broke
before the whole request was sent, or the platform refused. In any other case the job may be queued under an unknown id:
`SubmissionUncertain` reports that, and the caller decides.

The SDK's local API (`handler.py --rp_serve_api`) accepts only POST and has no /cancel. It runs the job within /status,
or a second time within /stream, and then forgets it. Its /status is therefore called exactly once.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_random_exponential

from client.errors import EndpointFailed, EndpointUnreachable, EndpointUnusable, SubmissionUncertain, WrongUsage
from client.settings import EndpointSettings
from client.transport.answers import JsonObject, clean_line, parse_json

FINAL_STATES = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"})
"""States of a finished job; the others are IN_QUEUE and IN_PROGRESS."""

RETRY_TIMEOUT_S = 300.0
"""How long a failing request is retried: a sixth of the time for which RunPod keeps a result."""

FIRST_CONTACT_TIMEOUT_S = 10.0
"""The same for an endpoint that has never answered: its address may be wrong."""

_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S = 10.0, 60.0

MAX_ANSWER_BYTES = 300 << 20
"""RunPod answers 20 MB at most, a worker in HTTP mode 256 MiB."""

ANSWER_TIMEOUT_S = 600.0
"""Time limit of an answer from its first byte."""

_MAX_RETRY_AFTER_S = 60.0
_PROXY_TIMEOUTS = {504, 520, 524}
"""A proxy (Cloudflare, in front of RunPod) stopped waiting for the answer; the job may have been accepted."""

_STATUS_MESSAGES = {
    401: "the API key is wrong: check --api-key or RUNPOD_API_KEY; RunPod's console creates new ones under Settings",
    403: "the API key may not use this endpoint: RunPod's console shows its permissions under Settings",
    413: "the request is larger than the platform accepts",
}


class Endpoint:
    """Thread-safe client of one endpoint; each thread has its own connection.

    Args:
        settings: address and credentials.
        retry_timeout_s: how long a failing request is retried.
        on_retry: receives the reason when requests begin to fail and are retried.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        *,
        retry_timeout_s: float = RETRY_TIMEOUT_S,
        on_retry: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self.settings = settings
        self.retry_timeout_s = retry_timeout_s
        self._on_retry = on_retry
        self._is_failing = False
        self._thread_local = threading.local()
        self._post_only = False
        self._has_answered = False
        self._has_succeeded = False

    @property
    def is_local_api(self) -> bool:
        """True once a status query has shown that this is the SDK's local API."""
        return self._post_only

    def submit(self, job_input: JsonObject, **fields: Any) -> str:
        """Queue a job.

        Args:
            job_input: the job's `input`.
            **fields: sent next to `input`: policy, webhook, s3Config.

        Returns:
            The job's id.

        Raises:
            SubmissionUncertain: the job may or may not be queued.
            EndpointFailed: the job is not queued.
        """
        body = json.dumps({"input": job_input, **fields}).encode()
        response = self._request("POST", "run", body)
        if not isinstance(response.get("id"), str):
            raise SubmissionUncertain("the endpoint accepted the job without giving its id: it is not sent again")
        return str(response["id"])

    def status(self, job_id: str) -> JsonObject:
        """Return `status`, and `output` (progress while the job runs) or `error`.

        Raises:
            EndpointFailed: the endpoint does not answer.
            NoSuchJob: the endpoint does not know the job (any more).
        """
        return self._query("status", job_id)

    def stream(self, job_id: str) -> JsonObject:
        """Return `status` and `stream`, a list of `{"output": ...}` that arrived since the last call."""
        return self._query("stream", job_id)

    def cancel(self, job_id: str) -> None:
        """Cancel a queued or running job; do nothing if the endpoint has no /cancel or does not know the job."""
        try:
            self._request("POST", f"cancel/{quote(job_id, safe='')}")
        except NoSuchJob:
            return

    def health(self) -> JsonObject:
        """Return the numbers of jobs and workers by state."""
        return self._request("GET", "health")

    def _query(self, verb: str, job_id: str) -> JsonObject:
        path = f"{verb}/{quote(job_id, safe='')}"
        if not self._post_only:
            try:
                return self._request("GET", path)
            except _MethodNotAllowed:
                self._post_only = True
        # No retries: each request to the local API runs the job again.
        return self._request_once("POST", path, None)

    def _request(self, method: str, path: str, body: bytes | None = None) -> JsonObject:
        """Send a request, with retries."""
        timeout_s = self.retry_timeout_s if self._has_answered else min(self.retry_timeout_s, FIRST_CONTACT_TIMEOUT_S)
        retrying = Retrying(
            retry=retry_if_exception_type(_TransientFailure),
            wait=_seconds_before_retry,
            stop=stop_before_delay(timeout_s),
            before_sleep=self._report_failure,
            reraise=True,
        )
        try:
            response: JsonObject = retrying(self._request_once, method, path, body)
        except _TransientFailure as failure:
            if isinstance(failure, _Unreachable) or not self._has_succeeded:
                raise EndpointUnreachable(str(failure)) from None
            raise
        self._has_succeeded, self._is_failing = True, False
        return response

    def _report_failure(self, state: RetryCallState) -> None:
        if not self._is_failing and state.outcome:
            self._is_failing = True
            self._on_retry(f"{state.outcome.exception()}; trying again")

    def _request_once(self, method: str, path: str, body: bytes | None) -> JsonObject:
        upload = None if body is None else _TrackedBody(body)
        # The local API runs the whole job before it answers a POST.
        read_timeout_s = _READ_TIMEOUT_S if path == "run" or not self._post_only else None
        try:
            response = self._session.request(
                method,
                f"{self.settings.url}/{path}",
                data=upload,
                headers={"Content-Type": "application/json"},
                timeout=(_CONNECT_TIMEOUT_S, read_timeout_s),
                allow_redirects=False,
                stream=True,
            )
            with response:
                content = _read(response)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader) as error:
            raise WrongUsage(f"the endpoint's address or key is malformed: {error}") from None
        except requests.RequestException as error:
            if upload is None or not upload.was_read or isinstance(error, requests.ConnectTimeout):
                was_sent = upload is not None and upload.was_begun
                failure = _TransientFailure if was_sent else _Unreachable
                raise failure(f"{self._unreachable_message} ({_reason(error)})") from None
            raise SubmissionUncertain(
                f"the connection broke before the endpoint answered ({_reason(error)}): the job may be in its queue, "
                "and is not sent again"
            ) from None
        self._has_answered = True
        if len(content) > MAX_ANSWER_BYTES and path != "run":
            raise EndpointFailed(f"the endpoint's answer is larger than {MAX_ANSWER_BYTES} bytes")
        return _parse(response, content, path, self._not_found_message)

    @property
    def _not_found_message(self) -> str:
        """What an unknown address means, by the form of the base URL."""
        if self.settings.is_single_worker:
            return (
                "there is no worker's local API at this address: check --base-url or RUNPOD_BASE_URL; a platform's "
                "has a path, such as /v2"
            )
        hint = "" if self.settings.base_url.rstrip("/").endswith("/v2") else ", and the base URL, which ends in /v2"
        return f"there is no such endpoint: check --endpoint or RUNPOD_ENDPOINT_ID, the id in its page's address{hint}"

    @property
    def host(self) -> str:
        """The endpoint's host and port, by which messages name it."""
        return urlsplit(self.settings.url).netloc.rpartition("@")[2]

    @property
    def _unreachable_message(self) -> str:
        first_step = "start the worker (`make serve`)" if self.settings.is_single_worker else "check the network"
        return f"{self.host} cannot be reached: {first_step}, then check the address in --base-url or RUNPOD_BASE_URL"

    @property
    def _session(self) -> requests.Session:
        if not hasattr(self._thread_local, "session"):
            self._thread_local.session = requests.Session()
            # An auth object, since ~/.netrc would override a session header.
            self._thread_local.session.auth = self._authorize
        session: requests.Session = self._thread_local.session
        return session

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.settings.api_key:
            request.headers["Authorization"] = f"Bearer {self.settings.api_key}"
        return request


class NoSuchJob(EndpointFailed):
    """The endpoint does not know the job (any more)."""


class _TransientFailure(EndpointFailed):
    """A failure worth a retry; `retry_after_s` is the delay that the platform asks for."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class _Unreachable(_TransientFailure):
    """There is no connection to the endpoint, whatever is sent."""


class _MethodNotAllowed(EndpointFailed):
    pass


class _TrackedBody:
    """A request body that knows whether all of it was handed to the connection."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._position = 0

    def __len__(self) -> int:
        return len(self._body)

    def __iter__(self) -> Iterator[bytes]:
        """Mark the body as a stream for requests, which then calls `read`."""
        return iter(lambda: self.read(1 << 16), b"")

    def read(self, size: int = -1) -> bytes:
        start = self._position
        self._position = len(self._body) if size < 0 else min(start + size, len(self._body))
        return self._body[start : self._position]

    @property
    def was_begun(self) -> bool:
        """True if there was a connection to send it by."""
        return self._position > 0

    @property
    def was_read(self) -> bool:
        """True if the endpoint may have the whole request: a body shorter than its declared length is rejected."""
        return self._position == len(self._body)


def _read(response: requests.Response) -> bytes:
    """The content of a response, or of a larger one than `MAX_ANSWER_BYTES` a part that is larger.

    Raises:
        requests.ReadTimeout: it takes too long.
    """
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    content = bytearray()
    for chunk in response.iter_content(1 << 16):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            break
        if time.monotonic() > deadline:
            raise requests.ReadTimeout
    return bytes(content)


def _parse(response: requests.Response, content: bytes, path: str, not_found_message: str) -> JsonObject:
    """Return the response's JSON object, or raise the error that its status stands for."""
    status, is_submission, names_job = response.status_code, path == "run", "/" in path
    if status == 405 and response.request.method == "GET":
        raise _MethodNotAllowed("the endpoint accepts only POST")
    if is_submission and status in _PROXY_TIMEOUTS:
        raise SubmissionUncertain(f"the endpoint answered {status}: the job may be in its queue, and is not sent again")
    if status == 429 or status >= 500:
        raise _TransientFailure(f"the endpoint answers {status}{_platform_message(content)}", _retry_after(response))
    if status == 404 and names_job:
        raise NoSuchJob("the endpoint does not know the job; results are kept for 30 minutes")
    if 300 <= status < 400:
        raise EndpointUnusable("the endpoint's address redirects to another one: check --base-url or RUNPOD_BASE_URL")
    if status == 404:
        raise EndpointUnusable(not_found_message)
    if status != 200:
        refusal = EndpointUnusable if status in (401, 403) else EndpointFailed
        raise refusal(_STATUS_MESSAGES.get(status) or f"the endpoint answers {status}{_platform_message(content)}")
    try:
        parsed = parse_json(content)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        return parsed
    if is_submission:
        raise SubmissionUncertain("the endpoint's answer is broken: the job may be in its queue, and is not sent again")
    raise _TransientFailure("the endpoint's answer is broken")


def _platform_message(content: bytes) -> str:
    """The platform's explanation of a refusal, if it gives one; `error` may have it as `message`, as at OpenAI."""
    try:
        error = parse_json(content)["error"]
        message = error["message"] if isinstance(error, dict) else error
    except (ValueError, TypeError, KeyError):
        return ""
    return f": {clean_line(str(message), 300)}"


def _retry_after(response: requests.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return min(float(value), _MAX_RETRY_AFTER_S) if value.isascii() and value.isdigit() else 0.0


_backoff = wait_random_exponential(multiplier=0.5, max=15)


def _seconds_before_retry(state: RetryCallState) -> float:
    """Exponential backoff, or the platform's Retry-After if that is longer."""
    failure = state.outcome.exception() if state.outcome else None
    retry_after_s: float = getattr(failure, "retry_after_s", 0.0)
    return max(float(_backoff(state)), retry_after_s)


def _reason(error: requests.RequestException) -> str:
    """The type of the error, or of its cause, alone: messages of requests contain the address and the key."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return type(cause or error).__name__
