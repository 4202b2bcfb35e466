"""Sends a job's events to the caller's webhook, signed.

Payload, headers, the definition of "delivered" and the refusal of redirects follow Standard Webhooks 1.0.0
(https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md). A webhook never fails a job: its
failure is one sentence, without URL and address like those of `src.download`.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from threading import Lock, Thread, Timer
from typing import Any

import requests
from pydantic import SecretStr
from requests.structures import CaseInsensitiveDict

from src.deadline import DeadlineExceeded, run_within
from src.public_http import (
    USER_AGENT,
    Failure,
    NetworkError,
    OpenSocket,
    RetryPolicy,
    TransientFailure,
    attempt_repeatedly,
    send,
)
from src.request.schema import Webhook

COMPLETED = "transcription.completed"
FAILED = "transcription.failed"
PROGRESS = "transcription.progress"

MAX_BYTES = 1_000_000
"""Of the JSON payload; the transcription is left out of a larger one."""

RETRY_POLICY = RetryPolicy(pauses=(0.5, 1.0, 2.0, 4.0), timeouts=(5.0, 15.0))

_PROGRESS_BUDGET_S = 3.0
_MIN_PROGRESS_INTERVAL_S = 1.0
_JOIN_TIMEOUT_S = 1.0
"""Maximum wait at the end of a job for the progress event in flight."""

_MESSAGES = {
    Failure.UNRESOLVED: "the host name of its URL cannot be resolved",
    Failure.REFUSED: "its URL is refused: it must be http(s) at a public address",
    Failure.MALFORMED: "its URL is malformed",
    Failure.INSECURE: "no secure connection to its host: check its TLS certificate",
    Failure.SILENT: "its host does not answer, or stopped sending",
    Failure.CLOSED: "its host refuses connections",
    Failure.BROKEN: "the connection to its host failed",
}


def check_secret(secret: SecretStr | None) -> None:
    """Check that `secret` is a Standard Webhooks key: `whsec_` and the base64 of 24 to 64 bytes.

    The signing package accepts anything, and drops characters outside base64: receivers could not verify with the same
    key.

    Raises:
        ValueError: it is not.
    """
    if secret is None:
        return
    prefix, _, encoded = secret.get_secret_value().partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except ValueError:
        key = b""
    if prefix != "whsec" or not 24 <= len(key) <= 64 or base64.b64encode(key).decode() != encoded:
        raise ValueError(
            "WEBHOOK_SECRET is not a key: it must be whsec_ and the base64 of 24 to 64 bytes, "
            'as printed by echo "whsec_$(openssl rand -base64 32)"'
        )


def notify(
    webhook: Webhook,
    event: str,
    data: dict[str, Any],
    *,
    job_id: str,
    secret: SecretStr | None,
    reference: str | None = None,
    budget: float = 20.0,
    policy: RetryPolicy = RETRY_POLICY,
) -> str | None:
    """Send `event`, in several attempts if need be; never raises.

    Args:
        webhook: where to.
        event: the payload's `type`.
        data: the payload's `data`, to which the job's id and reference are added.
        job_id: also for the message's id, which is the same in all attempts.
        secret: key for the signature; None: no signature header.
        reference: the caller's name for the job.
        budget: seconds for everything, pauses included.
        policy: timing of the attempts.

    Returns:
        None if it was delivered, else a sentence for the caller.
    """
    message = f"the webhook {event} was not delivered"
    try:
        _deliver(
            _Message(webhook, event, _of_job(data, job_id, reference), f"{job_id}_{event}", secret), budget, policy
        )
    except (_Failed, TransientFailure) as failure:
        return f"{message}: {failure}"
    except DeadlineExceeded:
        return f"{message}: it took longer than {budget:g} s"
    except Exception as error:  # the job is done: a webhook must not undo that
        return f"{message}: the worker failed on it ({type(error).__name__})"
    return None


def _of_job(data: dict[str, Any], job_id: str, reference: str | None) -> dict[str, Any]:
    return {"id": job_id, **({} if reference is None else {"reference": reference}), **data}


class ProgressNotifier:
    """Sends `transcription.progress` without delaying the job.

    `report` is a listener of the job's `JobControl`. At most one event is in flight, so that none overtakes another;
    reports in the meantime are dropped, and a failed event is not repeated.

    Args:
        min_interval: seconds between two events.
        join_timeout: seconds that `close` waits for the event in flight.
    """

    def __init__(
        self,
        webhook: Webhook,
        *,
        job_id: str,
        secret: SecretStr | None,
        reference: str | None = None,
        min_interval: float = _MIN_PROGRESS_INTERVAL_S,
        join_timeout: float = _JOIN_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._webhook = webhook
        self._job_id = job_id
        self._secret = secret
        self._reference = reference
        self._min_interval = min_interval
        self._join_timeout = join_timeout
        self._clock = clock
        self._number = 0
        self._latest = -math.inf
        self._in_flight: tuple[Thread, OpenSocket] | None = None
        self._closed = False
        self._lock = Lock()

    def report(self, stage: str, done: float, total: float) -> None:
        """Send the stage and the percentage, unless an event was sent shortly before or is in flight.

        `done` and `total` are seconds of the recording; a total of 0 is unknown.
        """
        with self._lock:
            now = self._clock()
            busy = self._in_flight is not None and self._in_flight[0].is_alive()
            if self._closed or busy or now - self._latest < self._min_interval:
                return
            self._latest = now
            self._number += 1
            data = {"stage": stage, "percent": round(100 * done / total) if total else 0}
            message_id = f"{self._job_id}_{PROGRESS}_{self._number}"  # unique: receivers drop repeated ids
            payload = _of_job(data, self._job_id, self._reference)
            message = _Message(self._webhook, PROGRESS, payload, message_id, self._secret)
            open_socket = OpenSocket()
            thread = Thread(target=_try_once, args=(message, open_socket), name="webhook", daemon=True)
            with suppress(RuntimeError):  # the process can start no thread: the event is dropped like others
                thread.start()
                self._in_flight = thread, open_socket

    def close(self) -> None:
        """Wait a moment for the event in flight, then end it; none is sent after this."""
        with self._lock:
            self._closed = True
        if self._in_flight is not None:
            thread, open_socket = self._in_flight
            thread.join(self._join_timeout)
            open_socket.end()
            thread.join(self._join_timeout)


class _Failed(Exception):
    """A message was not delivered, and another attempt would not help; the reason is fit for the caller."""


class _Message:
    """One event for one webhook; attempts differ only in their time, hence in their signature."""

    def __init__(
        self, webhook: Webhook, event: str, data: dict[str, Any], message_id: str, secret: SecretStr | None
    ) -> None:
        self.url = webhook.url
        self._own_headers = webhook.headers or {}
        self._id = "msg_" + re.sub(r"[^\w-]", "_", message_id, flags=re.ASCII)  # full stops delimit the signed parts
        self._text = to_payload(event, data)
        self._secret = secret

    def request(self) -> requests.PreparedRequest:
        """Prepare the request of one attempt, timestamped now."""
        body = io.BytesIO(self._text.encode())  # sent in blocks: a socket's timeout applies to each
        return requests.Request("POST", self.url, headers=self._headers(), data=body).prepare()

    def _headers(self) -> dict[str, str]:
        now = datetime.now(timezone.utc)
        headers = CaseInsensitiveDict({"User-Agent": USER_AGENT})
        headers.update(self._own_headers)
        headers["Content-Type"] = "application/json"
        headers["webhook-id"] = self._id
        headers["webhook-timestamp"] = str(int(now.timestamp()))
        if self._secret is not None:
            from standardwebhooks import Webhook as Signer

            headers["webhook-signature"] = Signer(self._secret.get_secret_value()).sign(self._id, now, self._text)
        return dict(headers)


def to_payload(event: str, data: dict[str, Any]) -> str:
    """The request's JSON.

    Raises:
        TypeError, ValueError: `data` has no JSON form.
    """
    timestamp = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
    text = _json({"type": event, "timestamp": timestamp, "data": data})
    if len(text.encode()) <= MAX_BYTES or "transcription" not in data:
        return text
    rest = {key: value for key, value in data.items() if key != "transcription"}
    if "captioned_video" in rest:
        rest["captioned_video"] = {key: value for key, value in rest["captioned_video"].items() if key != "base64"}
    return _json({"type": event, "timestamp": timestamp, "data": rest | {"transcription_omitted": True}})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _deliver(message: _Message, budget: float, policy: RetryPolicy) -> None:
    """Send `message` within `budget` seconds, in several attempts if need be.

    Raises:
        _Failed, TransientFailure, DeadlineExceeded: it was not delivered.
    """
    open_socket = OpenSocket()
    deadline = time.monotonic() + budget

    def attempt() -> None:
        _attempt(message, deadline, policy, open_socket)

    run_within(
        budget,
        lambda: attempt_repeatedly(attempt, policy, deadline, open_socket.ended),
        name="webhook",
        interrupt=open_socket.end,
    )


def _try_once(message: _Message, open_socket: OpenSocket) -> None:
    """Send `message` once, in a short time, or not at all."""
    timer = Timer(_PROGRESS_BUDGET_S, open_socket.end)
    timer.daemon = True
    with suppress(Exception):  # uncaught, the exception would be printed, with the URL
        timer.start()
        _attempt(message, time.monotonic() + _PROGRESS_BUDGET_S, RETRY_POLICY, open_socket)
    timer.cancel()
    open_socket.end()


def _attempt(message: _Message, deadline: float, policy: RetryPolicy, open_socket: OpenSocket) -> None:
    """Send `message` once; the body of the response is not read.

    Raises:
        _Failed: it was not delivered, and another attempt would not help.
        TransientFailure: it was not delivered.
    """
    try:
        with send(
            message.url, message.request, timeouts=policy.timeouts, deadline=deadline, open_socket=open_socket
        ) as response:
            status, retry_after = response.status_code, response.headers.get("Retry-After", "")
    except NetworkError as error:
        reason = _MESSAGES[error.failure]
        raise (TransientFailure(reason) if error.failure.is_transient else _Failed(reason)) from None
    if 200 <= status < 300:
        return
    if status in (408, 425, 429) or status >= 500:
        seconds = re.fullmatch("[0-9]{1,9}", retry_after)  # its other form, a date, is ignored
        raise TransientFailure(f"its URL answers with HTTP status {status}", float(seconds[0]) if seconds else 0.0)
    hint = "; redirects are not followed" if 300 <= status < 400 else ""
    raise _Failed(f"its URL answers with HTTP status {status}{hint}")
