"""Errors of the limits that hold for a recording from any source."""

from src.errors import TooLarge

TIMED_OUT = "the download took longer than its time limit"


def too_large(max_bytes: int) -> TooLarge:
    """The error for a file of more than `max_bytes`."""
    return TooLarge(f"the file is larger than the limit of {max_bytes / 2**20:.4g} MiB")
