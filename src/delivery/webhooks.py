"""A job's events → a URL of its caller's, signed.

After Standard Webhooks 1.0.0 (https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md): the
payload, the headers, what counts as delivered, and that redirects are not followed. A webhook never fails a job: what
goes wrong with it is one sentence, which like those of `src.download` holds no URL and no address.
"""

from __future__ import annotations

import base64
import concurrent.futures
import io
import json
import math
import re
import time
from contextlib import suppress
from datetime import datetime, timezone
from threading import Lock, Thread
from typing import Any

import requests
from pydantic import SecretStr

from src import __version__
from src.public_http import Failure, NetworkError, send
from src.request.schema import Webhook

COMPLETED = "transcription.completed"
FAILED = "transcription.failed"
PROGRESS = "transcription.progress"

MAX_BYTES = 1_000_000
"""Largest payload, in bytes of JSON; one that is larger leaves out the transcription."""

_PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds before each further attempt
_TIMEOUTS = (5.0, 15.0)  # seconds to connect to one address, and to wait for the answer
_PROGRESS_BUDGET = 3.0  # seconds
_APART = 1.0  # seconds at least between two progress events
_PATIENCE = 1.0  # seconds that the end of a job waits for a progress event on its way

_WORDS = {
    Failure.UNRESOLVED: "the host name of its URL cannot be resolved",
    Failure.REFUSED: "its URL is refused: it must be http(s) at a public address",
    Failure.MALFORMED: "its URL is malformed",
    Failure.INSECURE: "no secure connection to its host: check its TLS certificate",
    Failure.SILENT: "its host does not answer, or fell silent",
    Failure.BROKEN: "the connection to its host failed",
}


def check_secret(secret: SecretStr | None) -> None:
    """Raise ValueError unless `secret` is a key by Standard Webhooks: `whsec_` and the base64 of 24 to 64 bytes.

    The package that signs takes anything, and drops what is not base64: nobody could verify with the same key.
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
            "WEBHOOK_SECRET is no key: it must be whsec_ and the base64 of 24 to 64 bytes, "
            'such as echo "whsec_$(openssl rand -base64 32)" gives'
        )


def notify(
    webhook: Webhook,
    event: str,
    data: dict[str, Any],
    *,
    job_id: str,
    secret: SecretStr | None,
    budget: float = 20.0,
) -> str | None:
    """Send `event` in a few attempts; None when it was delivered, otherwise a sentence for the caller. Raises nothing.

    `budget` is the time for everything in seconds, pauses included. Without a `secret` there is no signature header.
    """
    try:
        _deliver_within(budget, _Message(webhook.url, event, data, f"{job_id}_{event}", secret))
    except _Failed as failure:
        return f"the webhook {event} was not delivered: {failure}"
    except Exception as error:  # the job is done: nothing here may undo that
        return f"the webhook {event} was not delivered: the worker failed on it ({type(error).__name__})"
    return None


class ProgressNotifier:
    """Sends `transcription.progress`, as far as that is possible without holding up the job.

    `report` is a listener of the job's `JobControl`. One event is on its way at most, so that none overtakes another;
    what is reported meanwhile is dropped, and what fails is not tried again.
    """

    def __init__(self, webhook: Webhook, *, job_id: str, secret: SecretStr | None) -> None:
        self._webhook = webhook
        self._job_id = job_id
        self._secret = secret
        self._number = 0
        self._latest = -math.inf
        self._on_its_way: tuple[Thread, _Message] | None = None
        self._closed = False
        self._lock = Lock()

    def report(self, stage: str, done: float, total: float) -> None:
        """Send the stage and the percent, if it is time for it; `done` and `total` are seconds of the recording."""
        with self._lock:
            now = time.monotonic()
            busy = self._on_its_way is not None and self._on_its_way[0].is_alive()
            if self._closed or busy or now - self._latest < _APART:
                return
            self._latest = now
            self._number += 1
            data = {"stage": stage, "percent": round(100 * done / total) if total else 0}
            message_id = f"{self._job_id}_{PROGRESS}_{self._number}"  # each is an event of its own
            message = _Message(self._webhook.url, PROGRESS, data, message_id, self._secret)
            thread = Thread(target=_try_once, args=(message,), name="webhook", daemon=True)
            self._on_its_way = thread, message
            thread.start()

    def close(self) -> None:
        """End it: wait a moment for the event on its way, then call it off. None is sent after this."""
        with self._lock:
            self._closed = True
        if self._on_its_way is not None:
            thread, message = self._on_its_way
            thread.join(_PATIENCE)
            message.call_off()


class _Failed(Exception):
    """Why a message did not get through, fit for the caller.

    `wait` is how many seconds to wait at least before another attempt, None when that would do no better.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _Message:
    """One event for one URL, the same in every attempt but for its time and with it the signature."""

    def __init__(self, url: str, event: str, data: dict[str, Any], message_id: str, secret: SecretStr | None) -> None:
        self.url = url
        self._id = "msg_" + re.sub(r"[^\w-]", "_", message_id, flags=re.ASCII)  # full stops delimit what is signed
        self._text = _payload(event, data)
        self._body = io.BytesIO(self._text.encode())
        self._secret = secret

    def request(self) -> requests.PreparedRequest:
        """The request of one attempt, to be made now. Raises ValueError once the message is called off."""
        self._body.seek(0)
        return requests.Request("POST", self.url, headers=self._headers(), data=self._body).prepare()

    def call_off(self) -> None:
        """From any thread: what has not been sent by now never is, not even by an attempt that is connecting."""
        self._body.close()

    def _headers(self) -> dict[str, str]:
        now = datetime.now(timezone.utc)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"worker-whisper/{__version__}",
            "webhook-id": self._id,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if self._secret is not None:
            from standardwebhooks import Webhook as Signer

            headers["webhook-signature"] = Signer(self._secret.get_secret_value()).sign(self._id, now, self._text)
        return headers


def _payload(event: str, data: dict[str, Any]) -> str:
    """The JSON that is sent. Raises TypeError or ValueError for data that has no JSON form."""
    timestamp = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
    text = _json({"type": event, "timestamp": timestamp, "data": data})
    if len(text.encode()) <= MAX_BYTES or "transcription" not in data:
        return text
    rest = {key: value for key, value in data.items() if key != "transcription"}
    if "captioned_video" in rest:
        rest["captioned_video"] = {key: one for key, one in rest["captioned_video"].items() if key != "base64"}
    return _json({"type": event, "timestamp": timestamp, "data": rest | {"transcription_omitted": True}})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _deliver_within(budget: float, message: _Message) -> None:
    """Run `_deliver`, and stop waiting for it after `budget` seconds. Raises _Failed.

    A thread for the same reason as in `src.download`: a server that drips its headers is not silent to the socket.
    """
    outcome: concurrent.futures.Future[None] = concurrent.futures.Future()
    deadline = time.monotonic() + budget

    def run() -> None:
        try:
            _deliver(message, deadline)
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(None)

    Thread(target=run, name="webhook", daemon=True).start()
    try:
        outcome.result(budget)
    except concurrent.futures.TimeoutError:
        raise _Failed(f"it took longer than {budget:g} s") from None
    finally:
        message.call_off()


def _deliver(message: _Message, deadline: float) -> None:
    """Send `message` in a few attempts; `deadline` is on the monotonic clock. Raises _Failed."""
    for attempt, pause in enumerate((*_PAUSES, math.inf), 1):
        try:
            return _attempt(message, deadline)
        except _Failed as failure:
            if failure.wait is None:
                raise
            pause = max(pause, failure.wait)
            if time.monotonic() + pause > deadline:
                raise _Failed(f"{failure} (attempt {attempt} of {len(_PAUSES) + 1})") from None
        time.sleep(pause)
    return None


def _try_once(message: _Message) -> None:
    with suppress(Exception):  # left alone, it would be printed, with the URL
        _attempt(message, time.monotonic() + _PROGRESS_BUDGET)


def _attempt(message: _Message, deadline: float) -> None:
    """Send `message` once. Raises _Failed."""
    try:
        status, retry_after = _post(message, deadline)
    except NetworkError as error:
        raise _Failed(_WORDS[error.failure], wait=0.0 if error.failure.passing else None) from None
    if 200 <= status < 300:
        return
    if status in (408, 425, 429) or status >= 500:
        seconds = re.fullmatch("[0-9]{1,9}", retry_after)  # its other form, a date, is left to the pauses here
        raise _Failed(f"its URL answers with HTTP status {status}", wait=float(seconds[0]) if seconds else 0.0)
    hint = "; redirects are not followed" if 300 <= status < 400 else ""
    raise _Failed(f"its URL answers with HTTP status {status}{hint}")


def _post(message: _Message, deadline: float) -> tuple[int, str]:
    """The HTTP status and the Retry-After header; the body is not read. Raises NetworkError."""
    with send(message.url, message.request, timeouts=_TIMEOUTS, deadline=deadline) as response:
        return response.status_code, response.headers.get("Retry-After", "")
