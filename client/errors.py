"""The client's error tree, with the exit code of a command for each leaf.

    ClientError
    ├── WrongUsage                 2      arguments, settings, configuration, or a file that does not exist
    │   └── CacheFailed            2      this machine has no room for the files that the work needs
    ├── BadRecording               3      the local file has no audio, or ffmpeg cannot read it
    ├── JobFailed                  4      the worker or the platform ended the job without a transcript
    │   └── OptionRefused          2      the worker refuses an option, for any recording
    ├── EndpointFailed             5      the endpoint cannot be reached, refuses, or has lost the job
    │   ├── BadAnswer              5      what it answers is not what a worker sends
    │   ├── EndpointUnusable       5      it takes no job: wrong address or key
    │   │   └── EndpointUnreachable 5     there is no connection to it, or only errors since the first request
    │   └── SubmissionUncertain    5      the job may or may not be queued: it is not sent twice
    ├── Incomplete                 6      files of a batch failed, or the captioned video could not be made
    ├── OutputFailed               7      files cannot be written; what was transcribed is kept
    └── Stopped                    130    Ctrl-C, as in shells

0 is success, 1 a bug in the client. Messages follow Python's own style: one sentence for
the user, in lower case and without a full stop.
"""

from __future__ import annotations

WORKER_ERROR_TYPES = (
    "InvalidInput", "DownloadFailed", "UnsupportedMedia", "TooLarge", "OutOfMemory", "OutOfResources",
    "CaptionsFailed", "Cancelled", "Internal",
)  # fmt: skip
"""Values of `error_type`, the same as in `src/errors.py` (a test compares them)."""


class ClientError(Exception):
    """Base of every error whose message is shown to the user."""

    exit_code = 1


class WrongUsage(ClientError):
    """Wrong arguments, settings or configuration."""

    exit_code = 2


class CacheFailed(WrongUsage):
    """The files that the work needs cannot be written on this machine, such as on a full disk."""


class BadRecording(ClientError):
    """The local file has no audio, or cannot be read."""

    exit_code = 3


class JobFailed(ClientError):
    """The job ended without a transcript.

    Attributes:
        error_type: the worker's `error_type` if it sent one, else the job's final status.
    """

    exit_code = 4

    def __init__(self, message: str, error_type: str) -> None:
        super().__init__(message)
        self.error_type = error_type

    @property
    def is_retryable(self) -> bool:
        """True if another worker may succeed; invalid input fails everywhere."""
        return self.error_type in ("Internal", "OutOfMemory", "OutOfResources", "DownloadFailed", "FAILED")


class OptionRefused(JobFailed):
    """The worker refuses an option, which it would for any other recording too."""

    exit_code = 2


class EndpointFailed(ClientError):
    """The endpoint cannot be reached, refuses the request, or has lost the job."""

    exit_code = 5


class BadAnswer(EndpointFailed):
    """The endpoint's answer is not what a worker sends; asking again does not help."""


class EndpointUnusable(EndpointFailed):
    """The endpoint takes no job at all: its address or the key is wrong, or it cannot be reached."""


class EndpointUnreachable(EndpointUnusable):
    """There is no connection to the endpoint, or it has answered every request with an error so far."""


class SubmissionUncertain(EndpointFailed):
    """The connection broke after a job was sent and before its id came back."""


class Incomplete(ClientError):
    """A part of the work is done: files of a batch failed, or the captioned video could not be made."""

    exit_code = 6


class OutputFailed(ClientError):
    """Files cannot be written on this machine; the message says where the transcript is kept, if there is one."""

    exit_code = 7


class Stopped(ClientError):
    """The user stopped waiting; running jobs are cancelled on the endpoint."""

    exit_code = 130
