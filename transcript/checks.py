"""A look at whether to go on, in work that takes long and knows nothing of jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

Check = Callable[[], None]
"""Called every 0.1 s or so; its exceptions end the work."""

_ITEMS_PER_CHECK = 64
"""Segments, cues and the like, which take at most a millisecond each."""


def never() -> None:
    """Check nothing: the default of work that nobody stops."""


def checked(items: Iterable[T], check: Check) -> Iterator[T]:
    """Yield `items`, with a check before every 64th."""
    for number, item in enumerate(items):
        if number % _ITEMS_PER_CHECK == 0:
            check()
        yield item
