"""What a test that measures time needs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def garbage_collector_off() -> Iterator[None]:
    """Collect no garbage in the block: a collection looks at all objects of the test process, for half a second."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
