"""Transcribes a folder tree of recordings into an equal tree of transcripts; the next run repeats only what failed.

python -m client.batch ./audio ./transcripts --max-workers 3 --format json,srt
"""

from __future__ import annotations

import functools
import json
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from client.command_help import CONNECTION, EXIT_CODES, GENERAL, OUTPUT, GroupedCommand
from client.console import BatchProgress, ProgressBar, exit_on_client_error, printable
from client.errors import (
    ClientError,
    EndpointUnusable,
    Incomplete,
    OptionRefused,
    OutputFailed,
    Stopped,
    WrongUsage,
)
from client.files import check_writable, write_atomically
from client.folder import BatchItem, find_recordings
from client.given_text import MAX_PATH_CHARACTERS, find_given_text
from client.job_request import RUN_LIMIT_BYTES, RunSettings
from client.known_voices import KnownVoices, describe_known_voices
from client.media.video import check_video, save_video, video_paths
from client.option_values import check_options
from client.options import (
    ParallelFlag,
    PayloadLimitFlag,
    QuietFlag,
    TimeoutFlag,
    with_connection,
    with_known_voices,
    with_options,
)
from client.output import base_path, check_targets, expand_formats, write_files
from client.recording import transcribe_recording
from client.settings import EndpointSettings
from client.transport.endpoint import Endpoint
from client.transport.fanout import ProgressListener
from client.transport.journal import file_sha256, make_key

_FATAL_ERRORS = (EndpointUnusable, OptionRefused, OutputFailed)
"""Errors that every file would meet: of the endpoint, the options, and the disk."""

_EXAMPLES = """\b
Examples:
  {command} ./audio ./texts
      writes txt, srt, vtt, tsv and json
  {command} ./audio ./texts -f srt --language de
      subtitles; the speech is German
  {command} ./calls ./texts -f txt --diarize
      who says what
  {command} ./audio ./subtitles -f srt --align ./audio
      times for known texts: that of talk.mp3 is talk.txt beside it
  {command} ./audio ./texts --price 0.00031
      shows the cost as well"""

RECORD_FILE = ".worker-whisper.json"
"""In the folder of transcripts: the content and options that each recording's files were made from."""


@dataclass
class BatchResult:
    """Results of a run: numbers of files, failures, and total times."""

    done: int = 0
    skipped: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """Reasons by file name."""
    fatal: ClientError | None = None
    """An error that every file would meet: the rest was not tried."""
    audio_seconds: float = 0.0
    worker_seconds: float = 0.0


class CompletionRecord:
    """The completed files, saved to disk after each one. Thread-safe.

    Args:
        folder: of the transcripts.
        options: the worker's, for all files of this run.

    Methods take the `text` of a recording where each has one of its own.

    Raises:
        WrongUsage: the file of an earlier run is damaged, or nothing can be written there.
    """

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self._path = folder / RECORD_FILE
        check_writable(self._path)
        self._options = options
        self._lock = threading.Lock()
        self._entries: dict[str, dict[str, Any]] = {}
        if self._path.exists():
            try:
                saved = json.loads(self._path.read_text(encoding="utf-8"))
                self._entries = {str(name): dict(entry) for name, entry in dict(saved).items()}
            except (ValueError, TypeError):
                raise WrongUsage(f"{self._path} is damaged: remove it to transcribe all files again") from None

    def is_done(self, item: BatchItem, content_hash: str, text: str | None = None) -> bool:
        """True if this content was transcribed with these options, and its files still exist."""
        entry = self._entries.get(item.name, {})
        is_same = entry.get("content") == content_hash and entry.get("options") == self._options_key(text)
        video = entry.get("video")
        paths = [*item.targets.values(), *([base_path(item.targets).with_name(str(video))] if video else [])]
        return is_same and all(path.exists() for path in paths)

    def check_owner(self, item: BatchItem, content_hash: str, paths: Iterable[Path]) -> None:
        """Check that files are absent, or were made from this recording in an earlier run.

        Raises:
            WrongUsage: one of them is another recording's, or somebody's own.
        """
        entry = self._entries.get(item.name, {})
        if entry.get("content") == content_hash or entry.get("source") == _source_key(item):
            return
        if existing := next((path for path in paths if path.exists()), None):
            raise WrongUsage(f"{existing} was not made from this recording: use --overwrite to replace it")

    def begin(self, item: BatchItem, content_hash: str) -> None:
        """Record that the files of a recording are being written: from now on they are its own."""
        self._save(item.name, {"content": content_hash, "source": _source_key(item)})

    def add(self, item: BatchItem, content_hash: str, video: Path | None, text: str | None = None) -> None:
        """Record that a recording is done, and the captioned video that was made of it."""
        entry = {"content": content_hash, "source": _source_key(item), "options": self._options_key(text)}
        self._save(item.name, entry | ({"video": video.name} if video else {}))

    def _options_key(self, text: str | None) -> str:
        return make_key(self._options if text is None else {**self._options, "align": text})

    def _save(self, name: str, entry: dict[str, Any]) -> None:
        with self._lock:
            self._entries[name] = entry
            write_atomically(self._path, json.dumps(self._entries, indent=1, sort_keys=True) + "\n")


def _source_key(item: BatchItem) -> str:
    """Return what identifies the place of a recording, without telling it."""
    return make_key({"path": str(item.source.resolve())})


def transcribe_all(
    endpoint: Endpoint,
    items: Sequence[BatchItem],
    record: CompletionRecord,
    options: dict[str, Any],
    settings: RunSettings,
    *,
    max_workers: int,
    overwrite: bool = False,
    texts: Path | None = None,
    bar: ProgressBar,
) -> BatchResult:
    """Transcribe all files that are not done yet, several at once; with `texts`, a folder, time the text of each.

    Failures of single files, and the worker's warnings, are reported as they happen. An error that every file would
    meet ends the run: after it no file is begun, and those that are running are completed.
    """
    result, stop, has_fatal_error = BatchResult(), threading.Event(), threading.Event()
    progress = BatchProgress(bar, {item.name: _size(item.source) for item in items})

    def transcribe(item: BatchItem) -> dict[str, Any] | None:
        """Return the output's metadata; None if the file was already done."""
        if has_fatal_error.is_set():
            raise Stopped("not tried")
        text = None if texts is None else check_options({"align": find_given_text(texts, Path(item.name))})["align"]
        content_hash = file_sha256(item.source)
        if record.is_done(item, content_hash, text):
            return None
        paths = [*item.targets.values(), *(video_paths(base_path(item.targets)) if "captions" in options else [])]
        if not overwrite:
            record.check_owner(item, content_hash, paths)
        check_targets(paths, item.source)
        progress.update(item.name, 0.0, "sending")

        def deliver(output: dict[str, Any]) -> None:
            record.begin(item, content_hash)
            write_files(output, item.targets)
            video = save_video(output, base_path(item.targets))
            check_video(output)
            record.add(item, content_hash, video, text)

        try:
            output = transcribe_recording(
                endpoint,
                item.source,
                options if text is None else {**options, "align": text},
                settings,
                stop=stop,
                listener=ProgressListener(functools.partial(progress.update, item.name)),
                deliver=deliver,
            )
        except _FATAL_ERRORS:
            has_fatal_error.set()
            raise
        metadata: dict[str, Any] = output["metadata"]
        return metadata

    with ThreadPoolExecutor(max_workers) as pool:
        futures = {pool.submit(transcribe, item): item for item in items}
        try:
            for future in as_completed(futures):
                name = futures[future].name
                _add_result(result, name, future)
                _report(bar, progress, result, name, future)
        except KeyboardInterrupt:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return result


def _size(path: Path) -> int:
    """Return the size of a file; 0 if it cannot be read, which its transcription then reports."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _add_result(result: BatchResult, name: str, future: Future[dict[str, Any] | None]) -> None:
    error = future.exception()
    if isinstance(error, Stopped):
        return
    if isinstance(error, _FATAL_ERRORS):
        result.fatal = error
    elif isinstance(error, (ClientError, OSError)):
        result.failed[name] = str(error)
    elif error is not None:
        raise error
    elif (metadata := future.result()) is None:
        result.skipped += 1
    else:
        result.done += 1
        result.audio_seconds += metadata["audio_duration"]
        result.worker_seconds += metadata["processing_time"]


def _report(
    bar: ProgressBar, progress: BatchProgress, result: BatchResult, name: str, future: Future[dict[str, Any] | None]
) -> None:
    """Show that a file is finished, with its failure or its warnings."""
    error = future.exception()
    if isinstance(error, Stopped):  # it was not tried
        return
    metadata = None if error else future.result()
    progress.finish(name, skipped=error is None and metadata is None)
    if name in result.failed:
        bar.print(f"Failed: {name}: {result.failed[name]}")
    for warning in (metadata or {}).get("warnings", []):
        bar.print(f"Note: {name}: {warning}")


def report_tables(result: BatchResult, seconds: float, price: float | None) -> Iterator[Table]:
    """Yield the tables of the final report.

    Args:
        result: of the run.
        seconds: wall-clock time of the run.
        price: of a worker, in $ per second; None: the cost is not shown.
    """
    totals = Table("done", "skipped", "failed", "audio hours", "speed", *(["estimated cost"] if price else []))
    speed = f"{result.audio_seconds / seconds:.1f} x" if result.done else "-"
    counts = (result.done, result.skipped, len(result.failed))
    cost = [f"${result.worker_seconds * price:.4f}"] if price else []
    totals.add_row(*map(str, counts), f"{result.audio_seconds / 3600:.3f}", speed, *cost)
    yield totals
    if result.failed:
        failures = Table("failed", "reason")
        for name, reason in sorted(result.failed.items()):
            failures.add_row(printable(name), printable(reason))
        yield failures


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(cls=GroupedCommand, epilog=f"{_EXAMPLES}\n\n{EXIT_CODES}")
@exit_on_client_error
@with_known_voices
@with_options
@with_connection
def main(
    source: Annotated[
        Path,
        typer.Argument(exists=True, file_okay=False, metavar="RECORDINGS", help="Folder of recordings, at any depth."),
    ],
    target: Annotated[
        Path, typer.Argument(file_okay=False, metavar="TRANSCRIPTS", help="Folder for the transcripts; need not exist.")
    ],
    connection: EndpointSettings,
    options: dict[str, Any],
    known_voices: KnownVoices,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", rich_help_panel=OUTPUT, help="Replace existing files that were not made from the recordings."
        ),
    ] = False,
    max_workers: Annotated[
        int, typer.Option(min=1, metavar="N", rich_help_panel=CONNECTION, help="Maximum number of files at once.")
    ] = 3,
    parallel: ParallelFlag = 1,
    price: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="DOLLARS",
            rich_help_panel=GENERAL,
            help="Show the estimated cost at this price of a worker per second, such as 0.00031: "
            "RunPod's pricing page lists them under Serverless.",
        ),
    ] = None,
    timeout: TimeoutFlag = None,
    payload_limit: PayloadLimitFlag = RUN_LIMIT_BYTES,
    quiet: QuietFlag = False,
) -> None:
    """Transcribe all recordings of a folder tree into an equal tree.

    Recordings are found by their content, whatever they are called. Files that were transcribed before with the same
    options are skipped. A file that fails does not stop the others; the next run repeats it.

    RUNPOD_ENDPOINT_ID and RUNPOD_API_KEY, or the flags under Connection, say where the worker is.
    """
    if target.exists() and source.samefile(target):
        raise WrongUsage(
            f"{source} would mix transcripts into the recordings: give another folder, such as {source / 'transcripts'}"
        )
    texts = _folder_of_texts(options.pop("align", None))
    job_options = known_voices.add_to(options)
    console = Console(stderr=True)
    started = time.monotonic()
    with ProgressBar(console, str(source), quiet=quiet) as bar:
        bar.update(0.0, "looking for recordings")
        items, left_out = find_recordings(source, target, expand_formats(options.get("output_format") or ["all"]))
        if left_out.names:
            bar.print(f"Left out: {left_out}")
        if not items:
            raise WrongUsage(f"there are no recordings in {source}")
        if note := describe_known_voices(options, job_options):
            bar.print(note)
        result = transcribe_all(
            Endpoint(connection, on_retry=bar.print),
            items,
            # Without the known voices: one more of them is no reason to pay for all recordings again.
            CompletionRecord(target, options),
            job_options,
            RunSettings(parallel, timeout, request_limit=payload_limit),
            max_workers=max_workers,
            overwrite=overwrite,
            texts=texts,
            bar=bar,
        )
    not_tried = len(items) - result.done - result.skipped - len(result.failed)
    if result.done or not result.fatal:
        for table in report_tables(result, time.monotonic() - started, price):
            Console().print(table, markup=False)
    if result.fatal:
        console.print(f"{not_tried} of {len(items)} files are left: each would meet this error.")
        raise result.fatal
    if result.failed:
        raise Incomplete(
            f"{len(result.failed)} of {len(items)} files failed; run the same command again to repeat them"
        )


def _folder_of_texts(given: str | None) -> Path | None:
    """Return the folder that `--align` names."""
    if given is None:
        return None
    folder = Path(given).expanduser()
    if "\n" in given or len(given) > MAX_PATH_CHARACTERS or not folder.is_dir():
        raise WrongUsage("--align: give a folder of texts, which may be that of the recordings: talk.txt for talk.mp3")
    return folder


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
