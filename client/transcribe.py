"""Transcribes a recording with the worker on an endpoint.

As a command:

    python -m client.transcribe talk.mp3 --format srt --language de

As a function:

    from client.transcribe import transcribe_audio
    transcribe_audio(audio_file_path="talk.mp3", options={"output_format": "srt"})["transcription"]["srt"]
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from client.command_help import CONNECTION, EXIT_CODES, OUTPUT, GroupedCommand
from client.console import ProgressBar, SegmentPrinter, exit_on_client_error
from client.errors import WrongUsage
from client.job_request import RUN_LIMIT_BYTES, RunSettings
from client.known_voices import KnownVoices, describe_known_voices
from client.media.video import check_video, save_video, video_paths
from client.options import (
    ParallelFlag,
    PayloadLimitFlag,
    QuietFlag,
    TimeoutFlag,
    with_connection,
    with_headers,
    with_known_voices,
    with_options,
    with_tracks,
)
from client.output import base_path, check_targets, choose_targets, expand_formats, print_texts, write_files
from client.recording import find_recording, transcribe_recording
from client.segment_order import SegmentOrder
from client.settings import EndpointSettings, find_settings
from client.tracks import Track, conversation_path
from client.transport.endpoint import Endpoint
from client.transport.fanout import ProgressListener

Output = dict[str, Any]

_SOURCE_HELP = (
    "A recording: a media file, or what the worker fetches itself: an http(s) URL, s3://BUCKET/KEY, or volume:PATH on "
    "its network volume."
)

_EXAMPLES = """\b
Examples:
  {command} talk.mp3
      writes talk.txt, talk.srt, talk.vtt, ...
  {command} talk.mp3 -f srt --language de
      writes talk.srt; the speech is German
  {command} call.wav -f txt --diarize -o -
      prints who says what
  {command} --track Ada=ada.wav --track Ben=ben.wav -f srt
      writes conversation.srt, from a recording of each speaker
  {command} talk.mp3 -f srt --subtitle-preset broadcast
      short lines, as in television
  {command} film.mp4 --captions burn
      writes film.captioned.mp4 as well"""


def transcribe_audio(
    audio_file_path: str | Path | None = None,
    audio_url: str | None = None,
    options: dict[str, Any] | None = None,
    *,
    endpoint_id: str | None = None,
    api_key: str | None = None,
    base_url: str | None = None,
    settings: RunSettings | None = None,
    listener: ProgressListener | None = None,
    stop: threading.Event | None = None,
) -> Output:
    """Return the job's output: `transcription`, with the requested formats, and `metadata`.

    Args:
        audio_file_path: a local recording of any size.
        audio_url: a recording that the worker fetches (see `find_recording`), in place of `audio_file_path`.
        options: the worker's, by name.
        endpoint_id: for this and the next two, see `client/settings.py`.
        api_key: of RunPod.
        base_url: address of the API.
        settings: number of parallel jobs, time limit and so on.
        listener: receives the progress.
        stop: cancels the jobs when another thread sets it.

    Raises:
        ClientError: one of its subclasses in `client/errors.py`; `JobFailed` has the worker's message.
    """
    if (audio_file_path is None) == (audio_url is None):
        raise WrongUsage("give either audio_file_path or audio_url")
    return transcribe_recording(
        Endpoint(find_settings(endpoint_id, api_key, base_url)),
        Path(audio_file_path) if audio_file_path is not None else str(audio_url),
        options or {},
        settings or RunSettings(),
        stop=stop or threading.Event(),
        listener=listener or ProgressListener(),
    )


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(cls=GroupedCommand, epilog=f"{_EXAMPLES}\n\n{EXIT_CODES}")
@exit_on_client_error
@with_tracks
@with_headers
@with_known_voices
@with_options
@with_connection
def main(
    connection: EndpointSettings,
    options: dict[str, Any],
    known_voices: KnownVoices,
    tracks: list[Track],
    headers: dict[str, str],
    source: Annotated[str | None, typer.Argument(metavar="FILE|URL", help=_SOURCE_HELP)] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            rich_help_panel=OUTPUT,
            help="A file, a folder (also a new one, with a slash at its end), or - for stdout; default: next to the "
            "recording.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", rich_help_panel=OUTPUT, help="Replace existing files.")
    ] = False,
    stream: Annotated[
        bool, typer.Option("--stream", rich_help_panel=OUTPUT, help="Print segments as they arrive.")
    ] = False,
    parallel: ParallelFlag = 4,
    timeout: TimeoutFlag = None,
    webhook: Annotated[
        str | None,
        typer.Option(metavar="URL", rich_help_panel=CONNECTION, help="URL that the worker notifies when the job ends."),
    ] = None,
    payload_limit: PayloadLimitFlag = RUN_LIMIT_BYTES,
    quiet: QuietFlag = False,
) -> None:
    """Transcribe a recording.

    RUNPOD_ENDPOINT_ID and RUNPOD_API_KEY, or the flags under Connection, say where the worker is.
    """
    job_options = known_voices.add_to(options)
    if (source is None) == (not tracks):
        raise WrongUsage("give either a recording, or --track NAME=FILE for each speaker")
    recording = find_recording(source) if source is not None else conversation_path(tracks)
    files_in = [recording] if source is not None else [find_recording(track.recording) for track in tracks]
    formats = expand_formats(options.get("output_format") or ["all"])
    to_stdout = output == "-"
    if (to_stdout or stream) and sys.__stdout__ is None:
        raise WrongUsage("stdout is closed: write to files, without --stream and -o -")
    targets = choose_targets(recording, None if to_stdout else output, formats)
    video_base = base_path(targets)  # a captioned video is always a file
    targets = {} if to_stdout else targets
    files = [*targets.values(), *(video_paths(video_base) if "captions" in options else [])]
    for file in files_in:
        check_targets(files, file)
    existing = [path for path in files if path.exists()]
    if not overwrite and existing:
        raise WrongUsage(f"{existing[0]} already exists: --overwrite replaces it, --output gives another name")
    written: list[Path | None] = []

    def deliver(result: Output) -> None:
        if to_stdout:
            print_texts(result, formats)
        written.extend(write_files(result, targets))
        written.append(save_video(result, video_base))

    printer = SegmentPrinter() if stream else None
    name = ", ".join(track.name for track in tracks) or Path(str(source)).name
    settings = RunSettings(parallel, timeout, webhook, payload_limit, headers)
    with ProgressBar(Console(stderr=True), name, quiet=quiet) as bar:
        if note := describe_known_voices(options, job_options):
            bar.print(note)
        endpoint, listener = Endpoint(connection, on_retry=bar.print), _listener(bar, printer)
        shared: dict[str, Any] = {"stop": threading.Event(), "listener": listener, "deliver": deliver}
        if tracks:
            from client.conversation import transcribe_conversation  # numpy, for few recordings

            result = transcribe_conversation(endpoint, tracks, job_options, settings, **shared)
        else:
            result = transcribe_recording(endpoint, recording, job_options, settings, **shared)
    for warning in result["metadata"].get("warnings", []):
        bar.print(f"Note: {warning}")
    if not result.get("transcription", {}).get("text", "in the bucket").strip():
        bar.print("Note: no speech was found")
    if printer and not printer.has_segments:
        bar.print("Note: no segments arrived; an endpoint streams them if it has STREAMING=true")
    for path in filter(None, written):
        bar.print(f"Wrote {path}")
    check_video(result)


def _listener(bar: ProgressBar, printer: SegmentPrinter | None) -> ProgressListener:
    if printer is None:
        return ProgressListener(bar.update)
    order = SegmentOrder(printer.print)
    return ProgressListener(bar.update, order.on_segments, order.on_job_done, order.on_start)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
