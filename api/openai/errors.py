"""Errors in the form of OpenAI's API: `{"error": {"message", "type", "param", "code"}}`, with their HTTP status.

The SDKs of OpenAI retry 408, 409, 429 and 5xx twice unless the header `x-should-retry` is `false`.
"""

from __future__ import annotations

import re
from typing import Any

from api.transcriber import Answer


class ApiError(Exception):
    """A request that is answered with an error.

    Args:
        status: of HTTP.
        message: one sentence for the caller.
        type: such as `invalid_request_error` or `server_error`.
        param: the name of the wrong field.
        code: such as `model_not_found`.
        should_retry: False if the same request fails again: sent as the header `x-should-retry`.
        retry_after: seconds after which the caller should try again, if known: sent as the header `retry-after`.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        should_retry: bool = False,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.param = param
        self.code = code
        self.should_retry = should_retry
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {"error": {"message": str(self), "type": self.type, "param": self.param, "code": self.code}}


SERVER_STOPS = ApiError(503, "the server stops: send the request again", type="server_error", should_retry=True)

RETRY_SECONDS = 5
"""After which a request is tried again that a worker had no resources for."""

_STATUSES = {
    "InvalidInput": 400,
    "UnsupportedMedia": 400,
    "DownloadFailed": 400,  # the caller's URL; the worker has retried it
    "CaptionsFailed": 400,
    "TooLarge": 413,
    "Cancelled": 499,  # nginx's "client closed request"; 408 would be retried by every client but OpenAI's own
    "OutOfMemory": 500,  # of the device, which the same request exhausts again
    "OutOfResources": 503,
    "EndpointUnreachable": 503,  # this and the following: of the bridge, whose own retries were in vain
    "EndpointRefused": 502,
    "EndpointFailed": 502,
}
"""By `error_type`; any other is 500."""

ERROR_TYPES = frozenset({*_STATUSES, "Internal"})
"""The worker's, as in docs/output.md, and the bridge's."""

_ABOUT_THE_FILE = ("UnsupportedMedia", "DownloadFailed", "TooLarge")

_FIELDS = {
    "initial_prompt": "prompt",
    "language_candidates": "languages",
    "custom_vocabulary": "keywords",
    "speakers": "known_speaker_references",
    "output_format": "response_format",
    "audio": "file",
    "audio.url": "url",
    "audio.base64": "input_audio",
}
"""Options, and keys of a job, whose fields have other names."""

_NAMES_IN_SENTENCES = re.compile(r"\b(initial_prompt|language_candidates|custom_vocabulary)\b")
"""Those of them that are no words of English."""


def too_busy(message: str, retry_after: int = RETRY_SECONDS) -> ApiError:
    """The error for a request that the server has no room for at the moment."""
    return ApiError(
        429, message, type="rate_limit_error", code="rate_limit_exceeded", should_retry=True, retry_after=retry_after
    )


def to_error(answer: Answer) -> ApiError:
    """The error for a job's answer that has `error` and `error_type`."""
    kind = str(answer.get("error_type"))
    message = str(answer["error"])
    if answer.get("refresh_worker"):  # the device failed, and a fresh worker starts
        return ApiError(503, message, type="server_error", should_retry=True, retry_after=RETRY_SECONDS)
    status = _STATUSES.get(kind, 500)
    if status == 503:
        return ApiError(status, message, type="server_error", should_retry=True, retry_after=RETRY_SECONDS)
    if status in (500, 502):
        return ApiError(status, message, type="server_error")
    message = re.sub(r"(^|; )(?:options: |(?:options\.)?([\w.]+)(?=: ))", _name_field, message)
    message = _NAMES_IN_SENTENCES.sub(lambda found: _FIELDS[found[0]], message)
    found = re.match(r"(\w+)[\w.]*: ", message)
    param = found[1] if kind == "InvalidInput" and found else "file" if kind in _ABOUT_THE_FILE else None
    if param == "model":
        return ApiError(404, message, param=param, code="model_not_found")
    return ApiError(status, message, param=param)


def _name_field(found: re.Match[str]) -> str:
    """The place of an error as the caller has written it; an error about all options has none."""
    before, place = found.groups()
    head, dot, rest = (place or "").partition(".")
    return before + (_FIELDS.get(place) or _FIELDS.get(head, head) + dot + rest)
