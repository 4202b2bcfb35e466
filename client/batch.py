"""Transcribes a folder tree of recordings into an equal tree of transcripts; the next run repeats only what failed.

python -m client.batch ./audio ./transcripts --max-workers 3 --format json,srt
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from client.console import ProgressBar, exit_on_client_error
from client.errors import EXIT_SOME_FILES_FAILED, ClientError, Stopped, WrongUsage
from client.files import write_atomically
from client.media.video import save_video
from client.options import PayloadLimitFlag, QuietFlag, TimeoutFlag, with_connection, with_options
from client.output import base_path, check_targets, expand_formats, target_paths, write_files
from client.recording import RUN_LIMIT_BYTES, RunSettings, transcribe_recording
from client.settings import EndpointSettings
from client.transport.endpoint import Endpoint
from client.transport.fanout import ProgressListener
from client.transport.journal import file_sha256, make_key

RECORD_FILE = ".worker-whisper.json"
"""In the folder of transcripts: the content and options that each recording's files were made from."""

MEDIA_SUFFIXES = (
    *(".aac", ".ac3", ".aif", ".aiff", ".amr", ".ape", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka", ".mp2", ".mp3"),
    *(".oga", ".ogg", ".opus", ".ra", ".spx", ".tta", ".wav", ".weba", ".wma", ".wv"),
    *(".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".rm", ".ts", ".vob"),
    *(".webm", ".wmv"),
)
"""Suffixes of files that count as recordings: audio, then video."""


@dataclass(frozen=True)
class BatchItem:
    """A recording of the tree."""

    name: str
    """Its path relative to the tree."""
    source: Path
    targets: dict[str, Path]
    """The file of each format."""


@dataclass
class BatchResult:
    """Results of a run: numbers of files, failures, and total times."""

    done: int = 0
    skipped: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """Reasons by file name."""
    audio_seconds: float = 0.0
    worker_seconds: float = 0.0


class CompletionRecord:
    """The completed files, saved to disk after each one. Thread-safe.

    Args:
        folder: of the transcripts.
        options: the worker's, for all files of this run.

    Raises:
        WrongUsage: the file of an earlier run is damaged.
    """

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self._path = folder / RECORD_FILE
        self._options_key = make_key(options)
        self._lock = threading.Lock()
        self._entries: dict[str, dict[str, Any]] = {}
        if self._path.exists():
            try:
                self._entries = json.loads(self._path.read_text(encoding="utf-8"))
            except ValueError:
                raise WrongUsage(f"{self._path} is damaged: remove it to transcribe all files again") from None

    def is_done(self, item: BatchItem, content_hash: str) -> bool:
        """True if this content was transcribed with these options, and its files still exist."""
        entry = self._entries.get(item.name, {})
        is_same = entry.get("content") == content_hash and entry.get("options") == self._options_key
        return is_same and all(path.exists() for path in item.targets.values())

    def add(self, item: BatchItem, content_hash: str) -> None:
        """Record that a file is done."""
        with self._lock:
            self._entries[item.name] = {"content": content_hash, "options": self._options_key}
            write_atomically(self._path, json.dumps(self._entries, indent=1, sort_keys=True) + "\n")


def find_recordings(source: Path, target: Path, formats: Sequence[str]) -> list[BatchItem]:
    """Return all audio and video files under `source`.

    Args:
        source: folder of the recordings.
        target: folder of the transcripts. They have the recordings' names without suffix, unless two recordings differ
            only in the suffix.
        formats: of the transcripts.
    """
    files = sorted(path for path in source.rglob("*") if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file())
    stems = Counter(path.with_suffix("") for path in files)
    items = []
    for path in files:
        relative = path.relative_to(source)
        base = relative if stems[path.with_suffix("")] > 1 else relative.with_suffix("")
        items.append(BatchItem(relative.as_posix(), path, target_paths(target / base, formats)))
    return items


def transcribe_all(
    endpoint: Endpoint,
    items: Sequence[BatchItem],
    record: CompletionRecord,
    options: dict[str, Any],
    settings: RunSettings,
    *,
    max_workers: int,
    bar: ProgressBar,
) -> BatchResult:
    """Transcribe all files that are not done yet, several at once, and continue after failures."""
    result, stop = BatchResult(), threading.Event()

    def transcribe(item: BatchItem) -> dict[str, Any] | None:
        """Return the output's metadata; None if the file was already done."""
        content_hash = file_sha256(item.source)
        if record.is_done(item, content_hash):
            return None
        check_targets(item.targets.values())

        def deliver(output: dict[str, Any]) -> None:
            write_files(output, item.targets)
            save_video(output, base_path(item.targets))
            record.add(item, content_hash)

        output = transcribe_recording(
            endpoint, item.source, options, settings, stop=stop, listener=ProgressListener(), deliver=deliver
        )
        metadata: dict[str, Any] = output["metadata"]
        return metadata

    with ThreadPoolExecutor(max_workers) as pool:
        futures = {pool.submit(transcribe, item): item for item in items}
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                _add_result(result, futures[future], future)
                bar.update(number / len(items), f"{number} of {len(items)} files")
        except KeyboardInterrupt:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return result


def _add_result(result: BatchResult, item: BatchItem, future: Future[dict[str, Any] | None]) -> None:
    error = future.exception()
    if isinstance(error, Stopped):
        return
    if isinstance(error, (ClientError, OSError)):
        result.failed[item.name] = str(error)
    elif error is not None:
        raise error
    elif (metadata := future.result()) is None:
        result.skipped += 1
    else:
        result.done += 1
        result.audio_seconds += metadata["audio_duration"]
        result.worker_seconds += metadata["processing_time"]


def report_tables(result: BatchResult, seconds: float, price: float | None) -> Iterator[Table]:
    """Yield the tables of the final report.

    Args:
        result: of the run.
        seconds: wall-clock time of the run.
        price: of a worker, per second.
    """
    totals = Table("done", "skipped", "failed", "audio hours", "speed", "estimated cost")
    cost = "?" if price is None else f"{result.worker_seconds * price:.4f}"
    speed = f"{result.audio_seconds / seconds:.1f} x" if result.done else "-"
    counts = (result.done, result.skipped, len(result.failed))
    totals.add_row(*map(str, counts), f"{result.audio_seconds / 3600:.3f}", speed, cost)
    yield totals
    if result.failed:
        failures = Table("failed", "reason")
        for name, reason in sorted(result.failed.items()):
            failures.add_row(name, reason)
        yield failures


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
@exit_on_client_error
@with_options
@with_connection
def main(
    source: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of recordings, at any depth.")],
    target: Annotated[Path, typer.Argument(file_okay=False, help="Folder for the transcripts.")],
    connection: EndpointSettings,
    options: dict[str, Any],
    max_workers: Annotated[int, typer.Option(min=1, help="Maximum number of files at once.")] = 3,
    parallel: Annotated[int, typer.Option(min=1, help="Maximum number of jobs at once for a large file.")] = 1,
    price: Annotated[float | None, typer.Option(min=0, help="Price of a worker per second, for the estimate.")] = None,
    timeout: TimeoutFlag = None,
    payload_limit: PayloadLimitFlag = RUN_LIMIT_BYTES,
    quiet: QuietFlag = False,
) -> None:
    """Transcribe all audio and video files of a folder.

    Files whose content was transcribed before with the same options are skipped. Exit codes: 0 all done; 6 some failed;
    others as for client.transcribe.
    """
    items = find_recordings(source, target, expand_formats(options.get("output_format") or ["all"]))
    if not items:
        raise WrongUsage(f"there are no audio or video files in {source}")
    started = time.monotonic()
    with ProgressBar(Console(stderr=True), str(source), quiet=quiet) as bar:
        result = transcribe_all(
            Endpoint(connection),
            items,
            CompletionRecord(target, options),
            options,
            RunSettings(parallel, timeout, request_limit=payload_limit),
            max_workers=max_workers,
            bar=bar,
        )
    console = Console()
    for table in report_tables(result, time.monotonic() - started, price):
        console.print(table, markup=False)
    if result.failed:
        sys.exit(EXIT_SOME_FILES_FAILED)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
