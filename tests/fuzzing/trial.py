"""One input for the handler, and everything that has to be true afterwards."""

from __future__ import annotations

import io
import json
import math
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.errors import Cancelled, DownloadFailed, InvalidInput, OutOfMemory, TooLarge, UnsupportedMedia

HOSTILE = "hostile"
"""Name of the threads of hostile servers."""

Handler = Callable[[dict[str, Any]], Any]

SECONDS = 60.0
"""An input may take at most."""

MAX_CHILD_BYTES = 4_500_000_000
"""Memory of an ffmpeg: its limit for drawing captions, and some."""

MAX_GROWTH_BYTES = 600_000_000
"""Memory that the worker may take in addition for an input."""

MAX_SCRATCH_BYTES = 200_000_000
"""On disk, while an input is worked on; a recording may have 64 MiB here."""

MAX_NEW_DESCRIPTORS = 4
"""Libraries keep one open now and then."""

KNOWN = {
    error.error_type for error in (Cancelled, DownloadFailed, InvalidInput, OutOfMemory, TooLarge, UnsupportedMedia)
}
TRANSCRIBED = "transcribed"

_PATHS = re.compile(r"/tmp|/work|/root|/home|\.venv|site-packages|\.py\b")
_SETTLING = 15.0
"""Seconds that threads have to end after an answer; an interrupted one still reads what its socket has received."""


@dataclass
class Trial:
    """The outcome of an input (its `error_type`, or "transcribed") and its faults."""

    outcome: str
    seconds: float
    faults: list[str] = field(default_factory=list)


class Bench:
    """Runs inputs, one after another, in a process that is otherwise quiet.

    Args:
        scratch: the folder that TMPDIR names.
    """

    def __init__(self, handler: Handler, scratch: Path) -> None:
        self._handler = handler
        self._scratch = scratch
        self._thread = ThreadPoolExecutor(1, "fuzz")
        self._thread.submit(int).result()
        self.checks: list[Callable[[], Iterator[str]]] = []
        """Further ones, after each input."""
        self._peaks = _Peaks(scratch)
        self._crashes: list[str] = []
        threading.excepthook = lambda crash: self._crashes.append(f"{crash.exc_type.__name__}: {crash.exc_value}")

    def try_out(self, job: dict[str, Any], limit: float = SECONDS) -> Trial:
        """Runs an input through the handler and checks the answer and the process; it may take `limit` seconds.

        Raises:
            Hanging: there is no answer; what still runs cannot be ended, and no other input can be tried.
        """
        threads, descriptors = set(threading.enumerate()), _descriptors()
        self._peaks.reset()
        started = time.monotonic()
        with _captured_log() as log:
            answer, crash = self._answer(job, limit)
        seconds = time.monotonic() - started
        outcome = _outcome(answer)
        faults = [crash] if crash else list(_of_answer(answer))
        if seconds > limit:
            faults.append(f"took {seconds:.0f} s")
        faults += _of_log(log.getvalue())
        faults += self._of_process(threads)
        if (more := _descriptors() - descriptors) > MAX_NEW_DESCRIPTORS:
            faults.append(f"left {more} descriptors open")
        faults += self._peaks.faults()
        faults += [fault for check in self.checks for fault in check()]
        return Trial(outcome, seconds, faults)

    def _answer(self, job: dict[str, Any], limit: float) -> tuple[Any, str | None]:
        running = self._thread.submit(self._handler, job)
        try:
            return running.result(limit + 30), None
        except FutureTimeout:
            raise Hanging(f"no answer after {limit + 30:g} s") from None
        except BaseException:
            return None, f"raised an exception: {traceback.format_exc()[-1500:]}"

    def _of_process(self, threads: set[threading.Thread]) -> Iterator[str]:
        """The files, threads and processes that an input left behind."""
        end = time.monotonic() + _SETTLING
        while (left := _of_the_worker(threading.enumerate()) - threads) and time.monotonic() < end:
            time.sleep(0.01)
        if left:
            yield f"left threads: {', '.join(sorted(thread.name for thread in left))}"
        if files := [str(path.relative_to(self._scratch)) for path in self._scratch.rglob("*")]:
            yield f"left files: {', '.join(files)}"
        if pids := children():
            yield f"left processes: {', '.join(map(str, pids))}"
        crashes, self._crashes = self._crashes, []
        for crash in crashes:
            yield f"a thread crashed: {crash}"


class _Peaks:
    """The most memory and disk that an input took, sampled by a thread."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._lock = threading.Lock()
        self.reset()
        threading.Thread(target=self._sample, name="peaks", daemon=True).start()

    def reset(self) -> None:
        with self._lock:
            self._before, self._own, self._child, self._disk = _resident("self"), 0, 0, 0

    def faults(self) -> Iterator[str]:
        with self._lock:
            if self._child > MAX_CHILD_BYTES:
                yield f"took {self._child / 1e6:.0f} MB in a child"
            if self._own - self._before > MAX_GROWTH_BYTES:
                yield f"took {(self._own - self._before) / 1e6:.0f} MB more in the worker"
            if self._disk > MAX_SCRATCH_BYTES:
                yield f"wrote {self._disk / 1e6:.0f} MB to disk"

    def _sample(self) -> None:
        while True:
            own = _resident("self")
            child = max((_resident(str(pid)) for pid in children()), default=0)
            disk = _size(self._scratch)
            with self._lock:
                self._own, self._child = max(self._own, own), max(self._child, child)
                self._disk = max(self._disk, disk)
            time.sleep(0.02)


def _resident(process: str) -> int:
    """Bytes of memory that a process has; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _size(folder: Path) -> int:
    """Bytes that the files of a folder take, but for those that are deleted meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(place, name).stat().st_blocks * 512
    return total


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _of_the_worker(threads: list[threading.Thread]) -> set[threading.Thread]:
    """Without those of hostile servers: the kernel lets one send for a minute to a socket that was closed."""
    return {thread for thread in threads if thread.name != HOSTILE}


class Hanging(Exception):
    """An input to which no answer comes."""


def children() -> list[int]:
    """This process's."""
    found: list[int] = []
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        try:
            found += map(int, (task / "children").read_text().split())
        except OSError:  # the thread has ended
            continue
    return found


@contextmanager
def _captured_log() -> Iterator[io.StringIO]:
    before, sys.stderr = sys.stderr, io.StringIO()
    try:
        yield sys.stderr
    finally:
        sys.stderr = before


def _outcome(answer: Any) -> str:
    if not isinstance(answer, dict):
        return f"no answer ({type(answer).__name__})"
    return str(answer.get("error_type", "error without a type")) if "error" in answer else TRANSCRIBED


def _of_answer(answer: Any) -> Iterator[str]:
    if not isinstance(answer, dict):
        yield f"answered with a {type(answer).__name__}"
        return
    try:  # as the SDK does
        json.dumps(answer, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (ValueError, TypeError, RecursionError) as error:
        yield f"answered what is no JSON: {type(error).__name__}: {error}"
    yield from _of_error(answer) if "error" in answer else _of_transcript(answer)


def _of_error(answer: dict[str, Any]) -> Iterator[str]:
    sentence, kind = answer["error"], answer.get("error_type")
    if kind not in KNOWN:
        yield f"failed with {kind}: {sentence}\n{answer.get('traceback', '')[-1500:]}"
    if not isinstance(sentence, str) or not sentence.strip():
        yield f"has no sentence as an error but {sentence!r}"
        return
    if found := _PATHS.search(sentence):
        yield f"tells a path of the machine ({found[0]}): {sentence}"
    if "Traceback" in sentence or "\n" in sentence:
        yield f"tells more than a sentence: {sentence}"
    if len(sentence) > 5000:
        yield f"tells a book of {len(sentence)} characters: {sentence[:200]}"


def _of_transcript(answer: dict[str, Any]) -> Iterator[str]:
    known = {"transcription", "metadata", "captioned_video", "files"}
    if set(answer) - known or not all(isinstance(part, dict) for part in answer.values()):
        yield f"answered with {sorted(answer)}"
        return
    if not {"transcription", "metadata"} <= set(answer):
        yield f"answered with {sorted(answer)} only"
        return
    if not isinstance(answer["transcription"].get("text"), str):
        yield "has no text"
    previous = 0.0
    for segment in answer["transcription"].get("segments", []):
        start, end = segment["start"], segment["end"]
        if not (math.isfinite(start) and math.isfinite(end) and previous <= start <= end):
            yield f"has a segment from {start} to {end} after {previous}"
        previous = start


def _of_log(log: str) -> Iterator[str]:
    """A line of JSON for each event, the first of which and the last of which are told for every job."""
    events = []
    for line in log.splitlines():
        try:
            events.append(json.loads(line)["event"])
        except (ValueError, KeyError, TypeError):
            yield f"logged {line[:300]!r}"
    if events[:1] != ["job.started"] or events[-1:] not in (["job.finished"], ["job.failed"]):
        yield f"logged the events {events}"
