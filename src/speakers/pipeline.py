"""Diarization beside transcription: both listen to the same sound at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from src.audio.clips import clip_regions
from src.audio.pcm import Pcm
from src.errors import Cancelled
from src.job_control import JobControl
from src.request.options import Options
from src.speakers.assignment import assign_speakers
from src.speakers.clustering import Counts
from src.speakers.diarization import diarize
from src.speakers.enrollment import enroll
from src.transcript.transcript import Diarization, Transcript


def transcribe_and_diarize(
    transcribe: Callable[[], Transcript],
    pcm: Pcm,
    options: Options,
    samples: Mapping[str, Path],
    control: JobControl,
) -> Transcript:
    """What `transcribe` gives, with its speakers if the job wants them.

    Raises:
        InvalidInput: a sample of a known voice is wrong.
        Cancelled: the job was stopped.
    """
    if not options.diarize:
        return transcribe()
    over = threading.Event()

    def check() -> None:
        control.check()
        if over.is_set():
            raise Cancelled("nobody waits for the speakers any more")

    def find() -> tuple[Diarization, float]:
        started = time.perf_counter()
        counts = Counts(*options.speaker_counts)
        clips = clip_regions(options.clip_timestamps, len(pcm))
        return diarize(pcm, counts, known, clips, check), time.perf_counter() - started

    known = enroll(samples, control)
    with ThreadPoolExecutor(1, "diarization") as thread:
        finding = thread.submit(find)
        try:
            transcript = transcribe()
            control.progress("telling speakers apart", transcript.duration, transcript.duration)
            found, transcript.timings["diarization"] = finding.result()
        finally:
            over.set()
    assign_speakers(transcript, found)
    return transcript
