"""Files that are made of a recording when a page asks for them, on a few threads."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event, Lock

from api.openai.errors import too_busy
from api.page.ffmpeg import MediaFailed, Stopped

MAX_WAITING = 100
"""Files that are being made or wait for it, of all visitors."""

QUICK_AT_ONCE = 2
"""Files that are made at the same time; pictures are encoded one after the other."""

_FORGET_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Making:
    """A file that is being made, or that could not be made.

    Attributes:
        stop: set: it is not wanted any more.
        fraction: that is done, 0 to 1.
        error: a sentence for people; empty: it has not failed.
    """

    def __init__(self) -> None:
        self.stop = Event()
        self.fraction = 0.0
        self.error = ""

    def check(self) -> None:
        """Go on if the file is still wanted.

        Raises:
            Stopped: it is not.
        """
        if self.stop.is_set():
            raise Stopped

    def follow(self, total: float) -> Callable[[float], None]:
        """A function that takes how far the work is, of `total` (0: unknown)."""

        def advance(done: float) -> None:
            self.fraction = min(1.0, done / total) if total > 0 else 0.0

        return advance


Make = Callable[[Path, Making], None]
"""Writes the file at a path; raises MediaFailed or Stopped."""


class MadeFiles:
    """The files that are being made, by the transcript and the file's name; its methods may be called on any thread.

    A file is whole as soon as it is there. One that could not be made is tried again with the server's next start, or
    when `begin` is called for it.
    """

    def __init__(self) -> None:
        self._quick = ThreadPoolExecutor(QUICK_AT_ONCE, "page-files")
        self._slow = ThreadPoolExecutor(1, "page-videos")
        self._lock = Lock()
        self._makings: dict[tuple[str, str], tuple[Making, Future[None]]] = {}

    def find(self, transcript_id: str, name: str) -> Making | None:
        """The file if it is being made or could not be made."""
        with self._lock:
            found = self._makings.get((transcript_id, name))
            return found and found[0]

    def begin(self, transcript_id: str, path: Path, make: Make, *, is_slow: bool = False) -> Making:
        """Make a file, unless it is being made already.

        Args:
            transcript_id: whose file it is.
            path: of the file, in a folder that exists.
            make: writes it; called with another path in the same folder.
            is_slow: it encodes a picture.

        Raises:
            ApiError: too many files wait.
        """
        key = transcript_id, path.name
        with self._lock:
            if (known := self._makings.get(key)) and not known[0].error:
                return known[0]
            if sum(not making.error for making, _ in self._makings.values()) >= MAX_WAITING:
                raise too_busy("too many files are being made at the moment: try again later")
            making = Making()
            executor = self._slow if is_slow else self._quick
            # The thread needs the lock before it can end.
            self._makings[key] = making, executor.submit(self._make, key, path, make, making)
            return making

    def cancel(self, transcript_id: str, name: str) -> None:
        """Stop making a file, and forget its error."""
        self._forget([(transcript_id, name)])

    def forget(self, transcript_id: str) -> None:
        """Stop making all files of a transcript, and wait until nothing writes into its folder."""
        with self._lock:
            keys = [key for key in self._makings if key[0] == transcript_id]
        self._forget(keys)

    def close(self) -> None:
        """Stop all work."""
        with self._lock:
            keys = list(self._makings)
        self._forget(keys)
        for executor in (self._quick, self._slow):
            executor.shutdown(wait=True, cancel_futures=True)

    def _forget(self, keys: list[tuple[str, str]]) -> None:
        with self._lock:
            dropped = [self._makings.pop(key) for key in keys if key in self._makings]
        for making, future in dropped:
            making.stop.set()
            future.cancel()
        wait([future for _, future in dropped], _FORGET_SECONDS)

    def _make(self, key: tuple[str, str], path: Path, make: Make, making: Making) -> None:
        part = path.with_name(f"{path.stem}.part{path.suffix}")
        try:
            make(part, making)
            part.replace(path)
        except Stopped:
            pass
        except MediaFailed as error:
            making.error = str(error)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            making.error = "the server's disk is full: delete transcripts" if full else "the server could not write it"
        except Exception:
            _log.exception("a file of the page could not be made")
            making.error = "the file could not be made: the server's log has the reason"
        finally:
            part.unlink(missing_ok=True)
            with self._lock:
                if not making.error and self._makings.get(key, (None,))[0] is making:
                    del self._makings[key]
