"""The client's errors: one tree, and the exit code of a command for each leaf.

    ClientError
    ├── WrongUsage       2      arguments, settings or configuration
    ├── BadRecording     3      the local file holds no sound, or ffmpeg cannot read it
    ├── JobFailed        4      the worker, or the platform, ended the job without a transcript
    ├── EndpointFailed   5      the endpoint cannot be reached, refuses, or has lost the job
    │   └── Uncertain    5      a job may be there or not: it is not sent twice
    └── Stopped          130    Ctrl-C, as shells have it

0 is success, 1 a fault of the client itself, 6 a batch with failed files. The message is one sentence for the user,
begun small and without a full stop as Python's own.
"""

from __future__ import annotations

FAILED_FILES = 6

WORKERS_TYPES = (
    "InvalidInput", "DownloadFailed", "UnsupportedMedia", "TooLarge", "OutOfMemory", "Cancelled", "Internal",
)  # fmt: skip
"""Values of `error_type`, as the README has them."""


class ClientError(Exception):
    """Base of every error that is told to the user in its own words."""

    exit_code = 1


class WrongUsage(ClientError):
    exit_code = 2


class BadRecording(ClientError):
    exit_code = 3


class JobFailed(ClientError):
    """The job ended without a transcript. `error_type` is the worker's own, or else the job's final status."""

    exit_code = 4

    def __init__(self, message: str, error_type: str) -> None:
        super().__init__(message)
        self.error_type = error_type

    @property
    def worth_a_retry(self) -> bool:
        """Whether another worker may do better: what is wrong with the input stays wrong."""
        return self.error_type in ("Internal", "OutOfMemory", "DownloadFailed", "FAILED")


class EndpointFailed(ClientError):
    exit_code = 5


class Uncertain(EndpointFailed):
    """The connection broke after a job was sent and before its id came back."""


class Stopped(ClientError):
    """The user did not want to wait any longer; what was running is cancelled on the endpoint."""

    exit_code = 130
