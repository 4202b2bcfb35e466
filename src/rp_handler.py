"""The handler: a job in, a plain dict out. Reads as the way of one job.

It can be called without RunPod: `handler({"input": {...}})`. What comes back is either `transcription` and
`metadata`, or `error` and `error_type`; no exception leaves it, since the SDK would send its traceback.
"""

from __future__ import annotations

import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from src import __version__
from src.delivery import seal
from src.download import decode_base64, download
from src.errors import OutOfMemory, WorkerError
from src.formats import render
from src.rp_schema import AudioSource, parse_input
from src.settings import get_settings
from src.transcript import Transcript
from src.whisper_processor import WhisperProcessor

processor = WhisperProcessor()


def handler(job: dict[str, Any]) -> dict[str, Any]:
    """Transcribes the recording of one job.

    Args:
        job: as RunPod hands it over; only `input` is read, and nothing of it is ever logged.
    """
    try:
        return seal(transcribe_job(job), get_settings().max_result_bytes)
    except WorkerError as error:
        return _refusal(str(error), error.error_type)
    except (torch.cuda.OutOfMemoryError, MemoryError):
        return _refusal("the worker has no memory left for this job: ask for fewer beams", OutOfMemory.error_type)
    except Exception as error:
        answer = _refusal(
            f"the worker failed on this job ({type(error).__name__}): please report it with its traceback", "Internal"
        )
        return answer | {"traceback": traceback.format_exc().encode("utf-8", "replace").decode()}


def transcribe_job(job: dict[str, Any]) -> dict[str, Any]:
    """The steps of a job that goes well.

    Raises:
        WorkerError: what the caller or the recording did wrong, in a sentence for the caller.
    """
    started = time.perf_counter()
    job_input = parse_input(job.get("input"))
    options = job_input.options
    processor.check(options)
    with tempfile.TemporaryDirectory(prefix="job-") as folder:
        recording = _fetch(job_input.audio, Path(folder))
        fetched = time.perf_counter()
        transcript = processor.transcribe(recording, options)
    transcription = render(transcript, options.output_format)
    finished = time.perf_counter()
    return {
        "transcription": transcription,
        "metadata": _metadata(transcript, download=fetched - started, total=finished - started),
    }


def _fetch(audio: AudioSource, folder: Path) -> Path:
    settings = get_settings()
    if audio.url is not None:
        return download(audio.url, folder, max_bytes=settings.max_audio_bytes, timeout=settings.download_timeout)
    return decode_base64(audio.base64 or "", folder, max_bytes=settings.max_audio_bytes)


def _metadata(transcript: Transcript, *, download: float, total: float) -> dict[str, Any]:
    return {
        "model": processor.model_name,
        "processing_time": round(total, 3),
        "audio_duration": round(transcript.duration, 3),
        "real_time_factor": round(total / transcript.duration, 4),
        "language": transcript.language,
        "language_probability": round(transcript.language_probability, 4),
        "device": str(processor.placement.device),
        "compute_type": processor.placement.compute_type,
        "speech_duration": None if transcript.speech is None else round(transcript.speech, 3),
        "uncovered_speech": [[round(start, 3), round(end, 3)] for start, end in transcript.uncovered],
        "repaired_speech": round(transcript.repaired, 3),
        "timings": {
            stage: round(seconds, 3) for stage, seconds in {"download": download, **transcript.timings}.items()
        },
        "worker_version": __version__,
        "warnings": transcript.warnings,
    }


def _refusal(sentence: str, error_type: str) -> dict[str, Any]:
    """An error as the platform understands it: `error` is a string, not empty, of valid Unicode."""
    return {"error": sentence.encode("utf-8", "replace").decode() or error_type, "error_type": error_type}
