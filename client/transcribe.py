"""A recording -> its transcript, by the worker on an endpoint.

python -m client.transcribe talk.mp3 --format srt --language de

from client.transcribe import transcribe_audio
transcribe_audio(audio_file_path="talk.mp3", options={"output_format": "srt"})["transcription"]["srt"]
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import typer
from rich.console import Console

from client.console import Bar, Printer, told
from client.endpoint import Endpoint
from client.errors import WrongUsage
from client.fanout import Observer
from client.options import with_options
from client.output import base_of, paths, single_formats, text_of, write
from client.recording import RUN_LIMIT, Terms, transcribed
from client.settings import find_settings
from client.video import save, saved_before

Output = dict[str, Any]


def transcribe_audio(
    audio_file_path: str | Path | None = None,
    audio_url: str | None = None,
    options: dict[str, Any] | None = None,
    *,
    endpoint_id: str | None = None,
    api_key: str | None = None,
    base_url: str | None = None,
    terms: Terms | None = None,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
) -> Output:
    """The job's output: `transcription`, with the forms that were asked for, and `metadata`.

    Args:
        audio_file_path: a local recording of any size; or else
        audio_url: one that the worker downloads.
        options: the worker's, by their names.
        endpoint_id: for this and the next two, see `client/settings.py`.
        terms: how many jobs at once, how long they may take.
        observer: is told of the progress.
        stop: ends the work when it is set, from another thread.

    Raises:
        ClientError: one of the leaves in `client/errors.py`; `JobFailed` has the worker's own words.
    """
    if (audio_file_path is None) == (audio_url is None):
        raise WrongUsage("give either audio_file_path or audio_url")
    return transcribed(
        Endpoint(find_settings(endpoint_id, api_key, base_url)),
        Path(audio_file_path) if audio_file_path is not None else str(audio_url),
        options or {},
        terms or Terms(),
        stop=stop or threading.Event(),
        observer=observer or Observer(),
    )


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
@told
@with_options
def main(
    source: Annotated[str, typer.Argument(metavar="FILE|URL", help="A recording: any file, or an http(s) address.")],
    options: dict[str, Any],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A file, a folder, or - for the screen; by default beside the recording."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replaces files that are there.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Prints segments as they come.")] = False,
    parallel: Annotated[int, typer.Option(min=1, help="Jobs at once for a large file.")] = 4,
    timeout: Annotated[float | None, typer.Option(min=5, help="Seconds that one job may run.")] = None,
    webhook: Annotated[str | None, typer.Option(help="URL that the worker tells of the outcome.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Its id; else RUNPOD_ENDPOINT_ID.")] = None,
    api_key: Annotated[str | None, typer.Option(help="Better in RUNPOD_API_KEY: others may see arguments.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Else RUNPOD_BASE_URL, else RunPod's own.")] = None,
    config: Annotated[Path | None, typer.Option(help="Else ~/.config/worker-whisper.toml.")] = None,
    payload_limit: Annotated[int, typer.Option(min=50_000, help="Bytes of one request.")] = RUN_LIMIT,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Transcribes a recording.

    Exit codes: 0 done; 2 wrong usage; 3 the file is no recording; 4 the job failed; 5 the endpoint failed; 130 Ctrl-C,
    after which the same command goes on where it was.
    """
    settings = find_settings(endpoint, api_key, base_url, config=config)
    recording: Path | str = source if _is_url(source) else Path(source)
    formats = single_formats(options.get("output_format") or ["all"])
    to_screen = str(output) == "-"
    targets = _targets(recording, None if to_screen else output, formats)
    place = base_of(targets)  # of a captioned video, which no screen takes
    targets = {} if to_screen else targets
    there = [path for path in targets.values() if path.exists()]
    there += saved_before(place) if "captions" in options else []
    if not overwrite and there:
        raise WrongUsage(f"{there[0]} is there already: --overwrite replaces it")
    console = Console(stderr=True)
    printer = Printer() if stream else None
    with Bar(console, Path(source).name, quiet=quiet) as bar:
        result = transcribed(
            Endpoint(settings),
            recording,
            options,
            Terms(parallel, timeout, webhook, payload_limit),
            stop=threading.Event(),
            observer=Observer(bar.progress, printer.segments, printer.done, printer.begun)
            if printer
            else Observer(bar.progress),
        )
    for warning in result["metadata"].get("warnings", []):
        console.print(f"Note: {warning}", markup=False, highlight=False)
    if printer and not printer.has_segments:
        console.print("Note: no segments came; an endpoint streams them with STREAMING=true")
    if to_screen:
        sys.stdout.write("".join(text_of(result, name) for name in formats))
    for path in write(result, targets):
        console.print(f"Wrote {path}", markup=False, highlight=False, soft_wrap=True)
    if video := save(result, place):
        console.print(f"Wrote {video}", markup=False, highlight=False, soft_wrap=True)


def _observer(bar: Bar, printer: Printer | None) -> Observer:
    if printer is None:
        return Observer(bar.progress)
    return Observer(bar.progress, printer.segments, printer.done, printer.begun)


def _is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _targets(recording: Path | str, output: Path | None, formats: list[str]) -> dict[str, Path]:
    """Where each format goes."""
    name = recording.stem if isinstance(recording, Path) else Path(unquote(urlsplit(recording).path)).stem
    beside = recording.parent if isinstance(recording, Path) else Path()
    if output is None:
        return paths(beside / (name or "transcript"), formats)
    if output.is_dir():
        return paths(output / (name or "transcript"), formats)
    if len(formats) == 1:
        return {formats[0]: output}
    return paths(output.with_suffix(""), formats)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
