"""A tree of recordings -> the same tree of transcripts. What is done stays done; what failed is done by the next run.

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
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from client.console import Bar, told
from client.endpoint import Endpoint
from client.errors import FAILED_FILES, ClientError, Stopped, WrongUsage
from client.fanout import Observer
from client.journal import content_of, key_of, write_whole
from client.options import with_options
from client.output import base_of, paths, single_formats, write
from client.recording import RUN_LIMIT, Terms, transcribed
from client.settings import find_settings
from client.video import save

RECORD = ".worker-whisper.json"
"""In the folder of transcripts: of each recording, the content and options that its files were made of."""

SUFFIXES = (
    *(".aac", ".ac3", ".aif", ".aiff", ".amr", ".ape", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka", ".mp2", ".mp3"),
    *(".oga", ".ogg", ".opus", ".ra", ".spx", ".tta", ".wav", ".weba", ".wma", ".wv"),
    *(".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".rm", ".ts", ".vob"),
    *(".webm", ".wmv"),
)
"""Of files that are taken for recordings: audio, then video."""


@dataclass(frozen=True)
class Recording:
    """One file of the tree."""

    name: str
    """Its path in the tree."""
    source: Path
    targets: dict[str, Path]
    """Where each format goes."""


@dataclass
class Outcome:
    """What became of the files."""

    done: int = 0
    skipped: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """Names, with the reason."""
    audio_seconds: float = 0.0
    worker_seconds: float = 0.0


class Record:
    """Which files are done, on disk after each of them; used by several threads."""

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self._path = folder / RECORD
        self._options = key_of(options)
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, Any]] = {}
        if self._path.exists():
            try:
                self._known = json.loads(self._path.read_text(encoding="utf-8"))
            except ValueError:
                raise WrongUsage(f"{self._path} is damaged: remove it, and all files are done again") from None

    def has(self, recording: Recording, content: str) -> bool:
        """Whether just this content was done with just these options, and the files are still there."""
        known = self._known.get(recording.name, {})
        same = known.get("content") == content and known.get("options") == self._options
        return same and all(path.exists() for path in recording.targets.values())

    def note(self, recording: Recording, content: str) -> None:
        with self._lock:
            self._known[recording.name] = {"content": content, "options": self._options}
            write_whole(self._path, json.dumps(self._known, indent=1, sort_keys=True) + "\n")


def recordings(source: Path, target: Path, formats: Sequence[str]) -> list[Recording]:
    """All audio and video files under `source`. Two that differ in the suffix alone keep it in their transcripts."""
    files = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    stems = Counter(path.with_suffix("") for path in files)
    found = []
    for path in files:
        relative = path.relative_to(source)
        plain = relative if stems[path.with_suffix("")] > 1 else relative.with_suffix("")
        found.append(Recording(relative.as_posix(), path, paths(target / plain, formats)))
    return found


def transcribe_all(
    endpoint: Endpoint,
    todo: Sequence[Recording],
    record: Record,
    options: dict[str, Any],
    terms: Terms,
    *,
    max_workers: int,
    bar: Bar,
) -> Outcome:
    """Does what is not done yet, several files at once, and keeps going past failures."""
    outcome, stop = Outcome(), threading.Event()

    def one(recording: Recording) -> dict[str, Any] | None:
        """The output's metadata; None if it was done already."""
        content = content_of(recording.source)
        if record.has(recording, content):
            return None
        output = transcribed(endpoint, recording.source, options, terms, stop=stop, observer=Observer())
        write(output, recording.targets)
        save(output, base_of(recording.targets))
        record.note(recording, content)
        metadata: dict[str, Any] = output["metadata"]
        return metadata

    with ThreadPoolExecutor(max_workers) as pool:
        running = {pool.submit(one, recording): recording for recording in todo}
        try:
            for number, future in enumerate(as_completed(running), start=1):
                _count(outcome, running[future], future.exception(), future)
                bar.progress(number / len(todo), f"{number} of {len(todo)} files")
        except KeyboardInterrupt:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return outcome


def _count(outcome: Outcome, recording: Recording, error: BaseException | None, future: Any) -> None:
    if isinstance(error, Stopped):
        return
    if isinstance(error, (ClientError, OSError)):
        outcome.failed[recording.name] = str(error)
    elif error is not None:
        raise error
    elif (metadata := future.result()) is None:
        outcome.skipped += 1
    else:
        outcome.done += 1
        outcome.audio_seconds += metadata["audio_duration"]
        outcome.worker_seconds += metadata["processing_time"]


def report(outcome: Outcome, seconds: float, price: float | None) -> Iterator[Table]:
    """The tables at the end; `price` is that of a second of a worker."""
    sums = Table("done", "skipped", "failed", "audio hours", "speed", "estimated cost")
    cost = "?" if price is None else f"{outcome.worker_seconds * price:.4f}"
    speed = f"{outcome.audio_seconds / seconds:.1f} x" if outcome.done else "-"
    counts = (outcome.done, outcome.skipped, len(outcome.failed))
    sums.add_row(*map(str, counts), f"{outcome.audio_seconds / 3600:.3f}", speed, cost)
    yield sums
    if outcome.failed:
        failures = Table("failed", "why")
        for name, reason in sorted(outcome.failed.items()):
            failures.add_row(name, reason)
        yield failures


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
@told
@with_options
def main(
    source: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of recordings, at any depth.")],
    target: Annotated[Path, typer.Argument(file_okay=False, help="Folder of transcripts.")],
    options: dict[str, Any],
    max_workers: Annotated[int, typer.Option(min=1, help="Files at once.")] = 3,
    parallel: Annotated[int, typer.Option(min=1, help="Jobs at once for a large file.")] = 1,
    price: Annotated[float | None, typer.Option(min=0, help="Of a second of a worker, for the estimate.")] = None,
    timeout: Annotated[float | None, typer.Option(min=5, help="Seconds that one job may run.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Its id; else RUNPOD_ENDPOINT_ID.")] = None,
    api_key: Annotated[str | None, typer.Option(help="Better in RUNPOD_API_KEY: others may see arguments.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Else RUNPOD_BASE_URL, else RunPod's own.")] = None,
    config: Annotated[Path | None, typer.Option(help="Else ~/.config/worker-whisper.toml.")] = None,
    payload_limit: Annotated[int, typer.Option(min=50_000, help="Bytes of one request.")] = RUN_LIMIT,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Transcribes all audio and video files of a folder.

    Files whose content was done before with the same options are skipped. Exit codes: 0 all done; 6 some failed; others
    as those of client.transcribe.
    """
    settings = find_settings(endpoint, api_key, base_url, config=config)
    todo = recordings(source, target, single_formats(options.get("output_format") or ["all"]))
    if not todo:
        raise WrongUsage(f"there are no audio or video files in {source}")
    started = time.monotonic()
    with Bar(Console(stderr=True), str(source), quiet=quiet) as bar:
        outcome = transcribe_all(
            Endpoint(settings),
            todo,
            Record(target, options),
            options,
            Terms(parallel, timeout, limit=payload_limit),
            max_workers=max_workers,
            bar=bar,
        )
    console = Console()
    for table in report(outcome, time.monotonic() - started, price):
        console.print(table, markup=False)
    if outcome.failed:
        sys.exit(FAILED_FILES)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
