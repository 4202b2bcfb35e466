"""The handler: a job in, a plain dict out. Reads as the way of one job.

It can be called without RunPod: `handler({"input": {...}})`. What comes back is either `transcription` (or the files
that stand for it) and `metadata`, or `error` and `error_type`; no exception leaves it, since the SDK would send its
traceback. A job in the form of RunPod's worker-faster_whisper is answered in the shape of that one.
"""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from src import __version__, logs
from src.captions.captioning import caption, find_video
from src.captions.embed import CaptionedVideo
from src.captions.probe import Video
from src.delivery.answer import BUCKET_REMEDY, attach_video, deliver, max_video_bytes, require_bucket
from src.delivery.chunks import MAX_CHUNK_BYTES
from src.delivery.s3 import find_bucket
from src.delivery.webhooks import ProgressNotifier, notify
from src.download import fetch, fetch_samples
from src.engine.scheduler import EngineLost
from src.errors import CaptionsFailed, OutOfMemory, TooLarge, WorkerError
from src.formats.render import render
from src.job_control import JobControl
from src.request.options import Options
from src.request.schema import Webhook
from src.request.validation import find_webhook, parse_input
from src.request.worker_faster_whisper import is_faster_whisper_job, to_answer, to_input
from src.settings import get_settings
from src.startup import get_processor
from src.transcript.transcript import Transcript

Job = dict[str, Any]
Answer = dict[str, Any]


def handler(job: Job, control: JobControl | None = None) -> Answer:
    """Transcribes the recording of one job.

    Args:
        job: as RunPod hands it over. `input` is read, and `id`, `policy` and `s3Config`; nothing of them but the id is
            ever logged.
        control: tells of the job's progress, and ends it early.
    """
    started = time.perf_counter()
    control = control or JobControl()
    with logs.job_scope(_job_id(job)):
        logs.event("job.started")
        webhook = find_webhook(job.get("input"))
        with _progress_told(webhook, job, control):
            answer = _answer(job, control)
        _tell(webhook, job, answer)
        _log_end(answer, time.perf_counter() - started)
    return to_answer(answer, job["input"]) if _is_flat(job) else answer


def _answer(job: Job, control: JobControl) -> Answer:
    try:
        with control.deadline(_time_limit(job), "the job took longer than the executionTimeout of its policy"):
            return transcribe_job(job, control)
    except WorkerError as error:
        return _refusal(str(error), error.error_type)
    except EngineLost:
        answer = _refusal("the worker's device failed; a fresh worker is on its way: send the job again", "Internal")
        return answer | {"refresh_worker": True}
    except (torch.OutOfMemoryError, MemoryError):
        return _refusal("the worker has no memory left for this job: ask for fewer beams", OutOfMemory.error_type)
    except Exception as error:
        answer = _refusal(
            f"the worker failed on this job ({type(error).__name__}): please report it with its traceback", "Internal"
        )
        return answer | {"traceback": traceback.format_exc().encode("utf-8", "replace").decode()}


def transcribe_job(job: Job, control: JobControl) -> Answer:
    """The steps of a job that goes well.

    Raises:
        WorkerError: what the caller or the recording did wrong, in a sentence for the caller; or the job was stopped.
    """
    started = time.perf_counter()
    settings = get_settings()
    job_input = parse_input(to_input(job["input"]) if _is_flat(job) else job.get("input"))
    bucket = find_bucket(job.get("s3Config"), settings)
    require_bucket(job_input.upload, bucket)
    processor = get_processor()
    delivery: dict[str, Any] = {"job_id": _job_id(job) or "job", "bucket": bucket, "upload": job_input.upload}
    inline = MAX_CHUNK_BYTES if settings.streaming else settings.max_result_bytes
    room = max_video_bytes(inline, settings.max_audio_bytes, bucket)
    with tempfile.TemporaryDirectory(prefix="job-") as folder:
        with processor.reserve(job_input.options, control):
            control.progress("downloading")
            samples = fetch_samples(job_input.options.speakers or {}, Path(folder), control)
            recording = fetch(
                job_input.audio,
                Path(folder),
                max_bytes=settings.max_audio_bytes,
                timeout=settings.download_timeout,
                control=control,
            )
            fetched = time.perf_counter()
            video = find_video(recording, job_input.options, room, BUCKET_REMEDY, control)
            transcript = processor.transcribe(recording, job_input.options, control, samples)
        captioned = _captioned(video, transcript, job_input.options, Path(folder), room, control)
        written = _written(transcript, job_input.options)
        finished = time.perf_counter()
        metadata = _metadata(transcript, job_input.options, download=fetched - started, total=finished - started)
        answer = {**written, "metadata": metadata}
        attach_video(answer, captioned, max_bytes=inline, **delivery)
    return deliver(answer, max_bytes=settings.max_result_bytes, **delivery)


def _captioned(
    video: Video | None, transcript: Transcript, options: Options, folder: Path, room: int, control: JobControl
) -> CaptionedVideo | WorkerError | None:
    """The captioned video, or why there is none although it was asked for: the transcript is worth having all the same.

    Raises:
        Cancelled: the job was stopped.
    """
    if video is None:
        return None
    try:
        return caption(video, transcript, options, folder, room, control)
    except (CaptionsFailed, TooLarge) as error:
        return error


def _written(transcript: Transcript, options: Options) -> Answer:
    """The transcript in the forms that were asked for, and its translation in the same ones."""
    texts = {"transcription": transcript, "translation": transcript.translation}
    written = {
        key: render(text, options.output_format, options.layout, voiceprints=options.speaker_embeddings)
        for key, text in texts.items()
        if text
    }
    if not options.word_timestamps:  # subtitles or speakers may have needed them
        for segment in (one for text in written.values() for one in text.get("segments", [])):
            segment.pop("words", None)
    return written


def _is_flat(job: Job) -> bool:
    return is_faster_whisper_job(job.get("input"), bare=get_settings().faster_whisper_jobs)


def _job_id(job: Job) -> str | None:
    return str(job["id"]) if "id" in job else None


def _time_limit(job: Job) -> float | None:
    """Seconds by the job's `policy.executionTimeout` (ms): the platform stops waiting then, and so does the engine."""
    policy = job.get("policy")
    limit = policy.get("executionTimeout") if isinstance(policy, dict) else None
    return limit / 1000 if isinstance(limit, (int, float)) and limit > 0 else None


@contextmanager
def _progress_told(webhook: Webhook | None, job: Job, control: JobControl) -> Iterator[None]:
    """Sends the job's progress to its webhook, if it asked for that, and none after this block."""
    if webhook is None or not webhook.progress:
        yield
        return
    notifier = ProgressNotifier(webhook, job_id=_job_id(job) or "job", secret=get_settings().webhook_secret)
    control.listen(notifier.report)
    try:
        yield
    finally:
        notifier.close()


def _tell(webhook: Webhook | None, job: Job, answer: Answer) -> None:
    """Sends the outcome to the job's webhook; that it could not be sent is a warning, never a failed job."""
    if webhook is None:
        return
    event = "transcription.failed" if "error" in answer else "transcription.completed"
    data: Answer = {key: answer[key] for key in ("error", "error_type") if key in answer} or answer
    warning = notify(webhook, event, data, job_id=_job_id(job) or "job", secret=get_settings().webhook_secret)
    if warning is None:
        return
    logs.event("webhook.failed")
    if "metadata" in answer:
        answer["metadata"]["warnings"].append(warning)


def _log_end(answer: Answer, seconds: float) -> None:
    if "error" in answer:
        logs.event("job.failed", error_type=answer["error_type"], seconds=round(seconds, 3))
        return
    told = {key: answer["metadata"][key] for key in ("audio_duration", "real_time_factor", "language", "model")}
    logs.event("job.finished", seconds=round(seconds, 3), uploaded="files" in answer, **told)


def _metadata(transcript: Transcript, options: Options, *, download: float, total: float) -> dict[str, Any]:
    return {
        "model": transcript.model,
        "processing_time": round(total, 3),
        "audio_duration": round(transcript.duration, 3),
        "real_time_factor": round(total / transcript.duration, 4),
        "language": transcript.language,
        "language_probability": round(transcript.language_probability, 4),
        "languages": {code: round(share, 4) for code, share in transcript.languages.items()},
        "device": transcript.device,
        "compute_type": transcript.compute_type,
        "speech_duration": None if transcript.speech is None else round(transcript.speech, 3),
        "uncovered_speech": [[round(start, 3), round(end, 3)] for start, end in transcript.uncovered],
        "repaired_speech": round(transcript.repaired, 3),
        "dropped": dict(+transcript.dropped),
        "vocabulary": {"put_in": transcript.vocabulary, "prompted": options.hints},
        "timings": {
            stage: round(seconds, 3) for stage, seconds in {"download": download, **transcript.timings}.items()
        },
        "worker_version": __version__,
        "warnings": transcript.warnings,
    }


def _refusal(sentence: str, error_type: str) -> dict[str, Any]:
    """An error as the platform understands it: `error` is a string, not empty, of valid Unicode."""
    return {"error": sentence.encode("utf-8", "replace").decode() or error_type, "error_type": error_type}
