"""The worker's exceptions, one tree, and the `error_type` that a caller sees for each.

    WorkerError
    ├── InvalidInput
    ├── DownloadFailed
    ├── UnsupportedMedia
    ├── TooLarge
    ├── OutOfMemory
    ├── OutOfResources
    ├── CaptionsFailed
    ├── Cancelled
    └── ModelUnavailable

A message is one sentence for the caller, in lower case and without a full stop like Python's own. It says what is wrong
and what would be right, and never contains a path, a key or a signed URL of the machine. The `error_type` of any other
exception is `Internal`.
"""

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import SequenceMatcher, get_close_matches

_MAX_COMPARED_CHARACTERS = 60
"""Of an unknown name: the time of a comparison grows with the square of its length."""

_NEARLY_AS_CLOSE = 0.05


def suggest(name: str, known: Iterable[str], otherwise: str = "", min_likeness: float = 0.6) -> str:
    """The end of a message about an unknown name: the closest of the known names, at most three.

    Args:
        name: the unknown name.
        known: the known names.
        otherwise: the result if none is close.
        min_likeness: of a name to be suggested, as difflib's ratio, 0 to 1.
    """
    if len(name) > _MAX_COMPARED_CHARACTERS:
        return otherwise
    close = get_close_matches(name, list(known), n=3, cutoff=min_likeness)
    if not close:
        return otherwise
    best = SequenceMatcher(None, close[0], name).ratio()
    close = get_close_matches(name, close, n=3, cutoff=max(0.0, best - _NEARLY_AS_CLOSE))
    return f", did you mean {' or '.join(map(quote, close))}?"


def quote(name: str) -> str:
    """`name` in double quotes, as in JSON."""
    return f'"{name}"'


class WorkerError(Exception):
    """Base of the exceptions whose message is shown to the caller."""

    error_type: str = "Internal"


class InvalidInput(WorkerError):
    """The job's input does not fit the schema."""

    error_type = "InvalidInput"


class DownloadFailed(WorkerError):
    """The URL did not give a file."""

    error_type = "DownloadFailed"


class UnsupportedMedia(WorkerError):
    """The file has no audio that can be decoded."""

    error_type = "UnsupportedMedia"


class TooLarge(WorkerError):
    """A limit of size or duration is exceeded."""

    error_type = "TooLarge"


class OutOfMemory(WorkerError):
    """The device has too little memory for the job, or for a model."""

    error_type = "OutOfMemory"


class OutOfResources(WorkerError):
    """The worker has no disk space, memory, file descriptors or processes left; another worker, or a retry, may do."""

    error_type = "OutOfResources"


class CaptionsFailed(WorkerError):
    """The captions cannot be put into the video; the transcript is not lost."""

    error_type = "CaptionsFailed"


class Cancelled(WorkerError):
    """The caller or the platform cancelled the job."""

    error_type = "Cancelled"


class ModelUnavailable(WorkerError):
    """The weights are missing, damaged or not allowed; at start-up the message may name files."""

    error_type = "Internal"


_RESOURCES = {
    errno.ENOSPC: "the worker's disk is full",
    errno.EDQUOT: "the worker's disk is full",
    errno.EFBIG: "the worker may not write a file of this size",
    errno.EMFILE: "the worker has too many files open",
    errno.ENFILE: "the worker has too many files open",
    errno.ENOMEM: "the worker has no memory left",
    errno.EAGAIN: "the worker cannot start another process",
}


_RESOURCES_BY_MESSAGE = {
    "DefaultCPUAllocator": "the worker has no memory left",  # torch's
    "can't start new thread": "the worker cannot start another thread",  # Python's
}
"""By a part of the message of a `RuntimeError`, which has no number."""


def explain_exhaustion(error: BaseException) -> OutOfResources | None:
    """The exhausted resource behind an exception; None if it has another reason."""
    if isinstance(error, MemoryError):
        return OutOfResources("the worker has no memory left: send the job again later")
    if isinstance(error, OSError):
        return explain_os_error(error)
    reasons = [reason for part, reason in _RESOURCES_BY_MESSAGE.items() if part in str(error)]
    return OutOfResources(f"{reasons[0]}: send the job again later") if reasons else None


def explain_os_error(error: OSError) -> OutOfResources | None:
    """The exhausted resource that a system call failed for; None if it failed for another reason."""
    reason = _RESOURCES.get(error.errno or 0)
    return OutOfResources(f"{reason}: send the job again later") if reason else None


@contextmanager
def prefix_errors(option: str) -> Iterator[None]:
    """Put the option that an error is about in front of its message, as in `options.speakers.Ada: ...`."""
    try:
        yield
    except Cancelled:
        raise
    except WorkerError as error:
        raise type(error)(f"{option}: {error}") from None
