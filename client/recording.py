"""Transcribes one recording, a local file of any size or a URL, with as many jobs as it needs.

A URL, or a file that fits into a request as it is, is one job. For a larger file only the audio is sent, in as many
parts as the request limit and the number of parallel jobs call for, and the outputs are merged.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from client.errors import BadRecording, WrongUsage
from client.files import describe, describe_no_file
from client.invocation import command_line
from client.job_request import (
    SIZE_MARGIN,
    Options,
    RunSettings,
    build_request,
    check_no_webhook,
    encode_base64,
    max_audio_bytes,
    requested_formats,
)
from client.journaled_run import run_in_journal, save_warnings, saved_warnings, with_warnings
from client.media.audio import FRAME_S, AudioPart, OpusTrack, compress, cut
from client.media.clips import add_cuts_around_clips, clips_in_span, parse_clips
from client.media.splitter import cut_points
from client.merge.outputs import PartOutput, formats_for_parts, majority_language
from client.merge.speakers import options_for_parts
from client.merged_parts import merge_parts
from client.recognition import check_recording, encodable_path
from client.remote_audio import check_headers, is_remote, remote_audio
from client.transport.answers import JsonObject
from client.transport.endpoint import Endpoint
from client.transport.fanout import JobSpec, ProgressListener, format_clock, run_jobs
from client.transport.journal import Journal, file_sha256, make_key


def find_recording(source: str | Path) -> Path | str:
    """Return a file's path; or as it is what the worker fetches itself: http(s)://, s3:// and volume:.

    Raises:
        WrongUsage: it is empty, a URL of another kind, or no path at all, such as an open file.
    """
    if isinstance(source, Path):
        return source
    if not isinstance(source, str):
        raise WrongUsage(f"give a file's path or a URL as the recording, not an object of type {type(source).__name__}")
    if not source.strip():
        raise WrongUsage("the name of the recording is empty: give a file or a URL")
    if is_remote(source):
        return source
    if re.match(r"[a-z][a-z\d+.-]*://", source.lower()):
        raise WrongUsage("give a file's path, or a URL, which begins with http:// or https://, or s3://bucket/key")
    return Path(source)


def transcribe_recording(
    endpoint: Endpoint,
    source: Path | str,
    options: Options,
    settings: RunSettings,
    *,
    stop: threading.Event,
    listener: ProgressListener,
    deliver: Callable[[JsonObject], object] = lambda _output: None,
    cache: Path | None = None,
) -> JsonObject:
    """Return the output for a recording: `transcription` (or `files`) and `metadata`.

    Results of an earlier, interrupted call are taken from its journal. A call for the same work that another thread or
    process is at waits for it, and gets the same result.

    Args:
        endpoint: where the jobs run.
        source: a file, or what the worker fetches itself: see `find_recording`.
        options: the worker's, by name.
        settings: how the jobs are run.
        stop: when set, ends the compression and cancels the running jobs.
        listener: receives the progress.
        deliver: receives the output, such as to write its files. If it fails, the output stays in the journal, and the
            next call delivers it without another job.
        cache: folder of the journals; by default in the user's cache.

    Raises:
        ClientError: see `client/errors.py`.
    """
    check_headers(settings.headers, [source])
    if isinstance(source, Path):
        check_file(source)
    journal = Journal(_journal_key(endpoint, source, options, settings), cache)
    return run_in_journal(
        journal,
        lambda: _transcribe(endpoint, source, options, settings, journal, stop, listener),
        stop=stop,
        listener=listener,
        deliver=deliver,
    )


def check_file(path: Path) -> None:
    """Refuse what is no recording, before it is sent.

    Raises:
        WrongUsage: there is no such file.
        BadRecording: it has no audio.
    """
    if path.is_dir():
        raise WrongUsage(f"{path} is a folder: use `{command_line('batch')}`")
    if not path.is_file():
        raise WrongUsage(describe_no_file(path))
    check_recording(path)


def _transcribe(
    endpoint: Endpoint,
    source: Path | str,
    options: Options,
    settings: RunSettings,
    journal: Journal,
    stop: threading.Event,
    listener: ProgressListener,
) -> JsonObject:
    warnings: list[str] = []
    if isinstance(source, str):
        jobs = [JobSpec("url", lambda: build_request(remote_audio(source, settings.headers), options, settings))]
    elif source.stat().st_size <= max_audio_bytes(options, settings):
        jobs = [JobSpec("file", lambda: build_request(encode_base64(source), options, settings))]
    else:
        _check_no_captions(source, options)
        parts = journal.parts() or _cut_recording(source, options, settings, journal, stop, listener)
        warnings = saved_warnings(journal)
        options = {name: value for name, value in options.items() if name != "audio_track"}  # the only one that is sent
        if len(parts) > 1 or parts[0].start > 0:
            output = _transcribe_parts(endpoint, parts, options, settings, journal, stop, listener)
            return with_warnings(output, warnings)
        jobs = [_part_job(parts[0], options, settings)]
    return with_warnings(run_jobs(endpoint, jobs, journal, parallel=1, stop=stop, listener=listener)[0], warnings)


def _transcribe_parts(
    endpoint: Endpoint,
    parts: Sequence[AudioPart],
    options: Options,
    settings: RunSettings,
    journal: Journal,
    stop: threading.Event,
    listener: ProgressListener,
) -> JsonObject:
    check_no_webhook(settings)
    formats = requested_formats(options)
    part_options = {**options, "output_format": formats_for_parts(formats)}
    if options.get("diarize"):
        part_options, listener = options_for_parts(part_options), _hide_speakers(listener)
    jobs = [_part_job(part, part_options, settings) for part in parts]
    outputs = run_jobs(endpoint, jobs, journal, parallel=settings.parallel, stop=stop, listener=listener)
    part_outputs = [PartOutput(part.start, part.end, output) for part, output in zip(parts, outputs, strict=True)]
    if not options.get("language") and not options.get("multilingual"):
        part_outputs = _unify_language(endpoint, parts, part_outputs, part_options, settings, journal, stop)
    return merge_parts(part_outputs, options, formats)


def _hide_speakers(listener: ProgressListener) -> ProgressListener:
    """Remove speakers from streamed segments: until all parts are done, labels are valid only within a part."""
    on_segments = listener.on_segments
    if on_segments is None:
        return listener

    def without_speakers(job: JobSpec, segments: list[dict[str, Any]]) -> None:
        on_segments(job, [{key: value for key, value in item.items() if key != "speaker"} for item in segments])

    return replace(listener, on_segments=without_speakers)


def _unify_language(
    endpoint: Endpoint,
    parts: Sequence[AudioPart],
    part_outputs: Sequence[PartOutput],
    options: Options,
    settings: RunSettings,
    journal: Journal,
    stop: threading.Event,
) -> list[PartOutput]:
    """Repeat parts whose detected language differs from the majority's; a single job has one language as well."""
    language = majority_language(part_outputs)
    outliers = [index for index, part in enumerate(part_outputs) if part.output["metadata"]["language"] != language]
    if not outliers:
        return list(part_outputs)
    language_options = {**options, "language": language}
    jobs = [_part_job(parts[index], language_options, settings, f"-{language}") for index in outliers]
    outputs = run_jobs(endpoint, jobs, journal, parallel=settings.parallel, stop=stop, listener=ProgressListener())
    repeated = dict(zip(outliers, outputs, strict=True))
    return [replace(part, output=repeated.get(index, part.output)) for index, part in enumerate(part_outputs)]


def _cut_recording(
    source: Path,
    options: Options,
    settings: RunSettings,
    journal: Journal,
    stop: threading.Event,
    listener: ProgressListener,
) -> list[AudioPart]:
    stage = "compressing the recording"
    listener.on_progress(0.0, stage)
    with encodable_path(source) as readable:
        track = compress(
            readable,
            journal.folder,
            mono=options.get("channels") != "split",
            audio_track=options.get("audio_track"),
            strict=bool(options.get("strict")),
            stop=stop,
            on_seconds=lambda seconds: listener.on_progress(0.0, f"{stage}, {format_clock(seconds)}"),
        )
    cut_times = _choose_cut_points(track, options, settings)
    parts = _parts_with_clips(cut(track, cut_times, journal.folder, stop=stop), options)
    save_warnings(journal, track.warnings)
    if len(parts) > 1:
        check_no_webhook(settings)
        track.path.unlink()
    journal.save_parts(parts)
    return parts


def _parts_with_clips(parts: list[AudioPart], options: Options) -> list[AudioPart]:
    """Return the parts that contain requested clips."""
    clips = parse_clips(options)
    if clips is None:
        return parts
    selected = [part for part in parts if clips_in_span(clips, part.start, part.end)]
    if not selected:
        raise WrongUsage(f"clip_timestamps begin after the recording's end, {parts[-1].end:.1f} s")
    return selected


def _choose_cut_points(track: OpusTrack, options: Options, settings: RunSettings) -> list[float]:
    max_part_s = max_audio_bytes(options, settings) / track.bytes_per_second / SIZE_MARGIN
    if options.get("align") and max_part_s < track.seconds:
        raise WrongUsage(
            "align takes the whole recording, and its sound is too large for one request: give its URL instead"
        )
    wanted = settings.parallel if max_part_s < track.seconds else 1
    times = cut_points(track.levels, FRAME_S, max_part_s, wanted=wanted)
    clips = parse_clips(options)
    return times if clips is None else add_cuts_around_clips(clips, times, track.seconds)


def _check_no_captions(source: Path, options: Options) -> None:
    """Refuse captions for a file of which only the audio would be sent."""
    if options.get("captions"):
        raise WrongUsage(
            f"captions need the video itself, and {source.name} is too large for one request: give its URL instead, or "
            "leave captions out, request subtitles with --format srt, and add them on this machine: "
            "ffmpeg -i VIDEO -i VIDEO.srt -map 0 -map 1 -c copy -c:s mov_text CAPTIONED.mp4"
        )


def _part_job(part: AudioPart, options: Options, settings: RunSettings, suffix: str = "") -> JobSpec:
    seconds = part.end - part.start
    if clips := parse_clips(options):
        options = {**options, "clip_timestamps": clips_in_span(clips, part.start, part.end)}

    def build() -> JsonObject:
        return build_request(encode_base64(part.path), options, settings, seconds)

    return JobSpec(f"{part.path.stem}{suffix}", build, seconds, part.start)


def _journal_key(endpoint: Endpoint, source: Path | str, options: Options, settings: RunSettings) -> str:
    """Identify the work: a run with the same recording, options and endpoint resumes it."""
    try:
        origin = source if isinstance(source, str) else [str(source.resolve()), file_sha256(source)]
    except OSError as error:
        raise BadRecording(f"{source} cannot be read: {describe(error)}") from None
    return make_key(origin, options, endpoint.settings.url, settings.request_limit)
