"""The worker's errors: one tree, and the `error_type` that a caller sees for each leaf.

    WorkerError
    ├── InvalidInput       the job's input does not fit the schema
    ├── DownloadFailed     the URL did not give a file
    ├── UnsupportedMedia   the file holds no audio that can be decoded
    ├── TooLarge           over a limit of size or duration
    ├── OutOfMemory        the device has no room for the job
    ├── CaptionsFailed     a transcript that cannot be put into its video; it is not lost
    ├── Cancelled          the caller or the platform ended the job
    └── ModelUnavailable   weights that are missing, damaged or not allowed

The message is one sentence for the caller, begun small and without a full stop as Python's own: it says
what is wrong and what would be right, and never names a path, key or signed address of the machine.
Whatever is not a `WorkerError` is `Internal`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches


def suggest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """The end of an error about an unknown name: the nearest known name, or `otherwise` if none is near."""
    close = get_close_matches(name, list(known), n=1)
    return f', did you mean "{close[0]}"?' if close else otherwise


class WorkerError(Exception):
    """Base of every error that is told to the caller in its own words."""

    error_type: str = "Internal"


class InvalidInput(WorkerError):
    error_type = "InvalidInput"


class DownloadFailed(WorkerError):
    error_type = "DownloadFailed"


class UnsupportedMedia(WorkerError):
    error_type = "UnsupportedMedia"


class TooLarge(WorkerError):
    error_type = "TooLarge"


class OutOfMemory(WorkerError):
    error_type = "OutOfMemory"


class CaptionsFailed(WorkerError):
    error_type = "CaptionsFailed"


class Cancelled(WorkerError):
    error_type = "Cancelled"


class ModelUnavailable(WorkerError):
    """Weights that cannot be found, fetched or read; at start-up its message may name files."""

    error_type = "Internal"


@contextmanager
def prefix_errors(option: str) -> Iterator[None]:
    """Puts the option that an error is about in front of its message, as in `options.speakers.Ada: ...`."""
    try:
        yield
    except Cancelled:
        raise
    except WorkerError as error:
        raise type(error)(f"{option}: {error}") from None
