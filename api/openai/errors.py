"""Errors in the form of OpenAI's API: `{"error": {"message", "type", "param", "code"}}`, with their HTTP status.

The SDKs of OpenAI retry 408, 409, 429 and 5xx twice unless the header `x-should-retry` is `false`.
"""

from __future__ import annotations

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


def to_error(answer: Answer) -> ApiError:
    """The error for a job's answer that has `error` and `error_type`."""
    raise NotImplementedError
