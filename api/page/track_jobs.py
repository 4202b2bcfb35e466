"""Jobs with several tracks: one transcript of them, and a mix of their sound for the player.

The answer is kept while the tracks are mixed: a server that ends meanwhile repeats the mix alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from starlette.concurrency import run_in_threadpool

from api.page import kept_answer
from api.page.ffmpeg import MediaFailed
from api.page.media import MAX_COPY_BYTES, PEAKS
from api.page.records import Record
from api.page.settings import PageSettings
from api.page.threads import until_stopped
from api.page.tracks import clocks_of, write_mix
from api.transcriber import Answer, Job, Listener

SPEAKER_OPTIONS = ("diarize", "num_speakers", "min_speakers", "max_speakers", "speakers", "channels")
"""Options that are not passed with tracks, which say who speaks."""

_ASKS_FOR_NOTHING: tuple[object, ...] = (None, False, "mix", {})
"""Values of these options that change nothing."""


async def run_tracks(
    record: Record,
    job: Job,
    transcribe: Callable[[], Awaitable[Answer]],
    listener: Listener,
    settings: PageSettings,
    *,
    is_last: bool,
) -> Answer:
    """Return the answer of a job with tracks, which are mixed then; a warning says if there is no mix.

    Args:
        record: of the transcript.
        job: with tracks.
        transcribe: runs the job; not called if the server ended while the tracks were mixed.
        listener: receives the progress of the mix.
        settings: of the page.
        is_last: no other attempt follows: tracks whose mix was interrupted before are not mixed again.
    """
    folder = settings.media_folder / record.id
    kept = await run_in_threadpool(kept_answer.find, folder)
    answer = await transcribe() if kept is None else kept
    if "error" in answer:
        return answer
    noted = _with_warnings(answer, _unused_speaker_options(record.options))
    if kept is None:
        await run_in_threadpool(kept_answer.keep, folder, answer)
    elif is_last:
        return _with_warnings(noted, [_without_mix(folder, "the server ended each time while it made it")])
    return await _with_mix(noted, job, folder, settings, listener)


async def _with_mix(answer: Answer, job: Job, folder: Path, settings: PageSettings, listener: Listener) -> Answer:
    """Mix a job's tracks to the recording of its transcript; return the answer, with a warning if that fails.

    An earlier mix then stays: it has the same tracks, but perhaps at other times.
    """
    loop, stop = asyncio.get_running_loop(), Event()
    files = {track.name: track.recording for track in job.tracks if isinstance(track.recording, Path)}
    if len(files) < len(job.tracks):
        return _with_warnings(answer, ["the tracks cannot be played, as not all of them are on this server"])

    def report(fraction: float) -> None:
        loop.call_soon_threadsafe(listener.on_progress, "mixing", fraction)

    def mix() -> None:
        write_mix(
            files,
            clocks_of(answer, len(job.tracks)),
            folder / "recording",
            stop,
            max(0, min(settings.room(), MAX_COPY_BYTES)),
            report,
        )
        (folder / PEAKS).unlink(missing_ok=True)  # of an earlier mix

    try:
        await until_stopped(run_in_threadpool(mix), stop)
    except (MediaFailed, OSError) as error:
        reason = str(error) if isinstance(error, MediaFailed) else "the server could not write it"
        return _with_warnings(answer, [_without_mix(folder, reason)])
    return answer


def _with_warnings(answer: Answer, sentences: Sequence[str]) -> Answer:
    metadata = answer.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    warnings = metadata.get("warnings")
    return {
        **answer,
        "metadata": {**metadata, "warnings": [*sentences, *(warnings if isinstance(warnings, list) else [])]},
    }


def _without_mix(folder: Path, reason: str) -> str:
    if (folder / "recording").exists():
        return f"what is played is the tracks' earlier mix, whose times may be others, as there is no new one: {reason}"
    return f"the tracks cannot be played, as there is no mix of them: {reason}"


def _unused_speaker_options(options: Mapping[str, Any]) -> list[str]:
    """A sentence for each option that asks who speaks on tracks."""
    asked = [name for name in SPEAKER_OPTIONS if options.get(name) not in _ASKS_FOR_NOTHING]
    return [f"{name} has no effect: the tracks say who speaks" for name in asked]
