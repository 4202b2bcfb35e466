"""Runs diarization and transcription of a recording in parallel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from src.audio.pcm import Pcm, Region
from src.errors import Cancelled
from src.job_control import JobControl
from src.speakers.assignment import assign_speakers
from src.speakers.clustering import SpeakerCounts
from src.speakers.diarization import diarize
from src.speakers.enrollment import enroll, to_embedding
from transcript.transcript import Diarization, Transcript


def transcribe_and_diarize(
    transcribe: Callable[[], Transcript],
    pcm: Pcm,
    counts: SpeakerCounts,
    clips: Iterable[Region],
    samples: Mapping[str, Path],
    embeddings: Mapping[str, Sequence[float]],
    control: JobControl,
) -> Transcript:
    """Return the result of `transcribe`, with speakers assigned to it.

    Args:
        transcribe: transcribes the recording; called on this thread.
        pcm: the recording.
        counts: the expected number of speakers.
        clips: the parts to diarize.
        samples: files with the voices of known speakers, by their names; that nobody has one of these is a warning.
        embeddings: those of more known speakers, of whom most may be absent.
        control: stops the job.

    Raises:
        InvalidInput: a sample has no speech.
        Cancelled: the job was stopped.
    """
    over = threading.Event()

    def check() -> None:
        control.check()
        if over.is_set():
            raise Cancelled("the job ended before its diarization")

    def timed_diarize() -> tuple[Diarization, float]:
        started = time.perf_counter()
        return diarize(pcm, counts, known, clips, check, expected=samples), time.perf_counter() - started

    known = enroll(samples, control) | {name: to_embedding(numbers) for name, numbers in embeddings.items()}
    with ThreadPoolExecutor(1, "diarization") as thread:
        pending = thread.submit(timed_diarize)
        try:
            transcript = transcribe()
            control.progress("telling speakers apart", transcript.duration, transcript.duration)
            diarization, transcript.timings["diarization"] = pending.result()
        finally:
            over.set()
    assign_speakers(transcript, diarization, control.check)
    return transcript
