"""The job handler: the steps of one job, top to bottom, from a dict to a dict.

It can be called without RunPod: `handler({"input": {...}})`. The answer has either `transcription` (or links to files)
and `metadata`, or `error` and `error_type`. The handler raises nothing, since the SDK would send the traceback. A job
in the format of RunPod's worker-faster_whisper is answered in that worker's format; one of OpenAI's API is taken here,
and its answer is converted by `src.serving.async_handler`, since it may be a bare text.
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

from media.video import Video
from src import logs
from src.buckets import BUCKET_REMEDY, find_bucket
from src.captions.captioning import CaptionRequest, caption, find_video, shown_layout
from src.captions.embed import CaptionedVideo
from src.delivery.answer import attach_video, deliver, max_video_bytes, require_bucket
from src.delivery.chunks import MAX_CHUNK_BYTES
from src.delivery.webhooks import ProgressNotifier, notify
from src.download import Stores, check_stores, fetch_samples, fetch_tracks
from src.engine.scheduler import EngineLost
from src.engine.work import OutOfMemory as EngineOutOfMemory
from src.errors import (
    CaptionsFailed,
    OutOfMemory,
    OutOfResources,
    TooLarge,
    UnsupportedMedia,
    WorkerError,
    explain_exhaustion,
)
from src.job_control import MAX_DEADLINE_S, JobControl
from src.request import openai_jobs, worker_faster_whisper
from src.request.ineffective import ineffective_options
from src.request.known_voices import EMBEDDING_MODEL
from src.request.options import Options
from src.request.schema import Webhook
from src.request.tracks import to_track_files
from src.request.validation import find_reference, find_webhook, parse_input
from src.settings import Settings, get_settings
from src.sources.volume import Volume
from src.startup import get_processor
from src.version import __version__
from transcript.formats.layout import Layout
from transcript.formats.render import render
from transcript.transcript import GivenText, Transcript

Job = dict[str, Any]
Answer = dict[str, Any]


def handler(job: Job, control: JobControl | None = None) -> Answer:
    """Transcribe the recording of one job.

    Args:
        job: as received from RunPod. `input`, `id`, `policy` and `s3Config` are read; only the id is ever logged.
        control: for progress reports and cancellation.

    Returns:
        The answer.
    """
    started = time.perf_counter()
    control = control or JobControl()
    with logs.job_scope(_job_id(job)):
        logs.event("job.started")
        webhook = find_webhook(job.get("input"))
        with _progress_sent(webhook, job, control):
            answer = _transcribe_or_report(job, control)
        _send_outcome(webhook, job, answer)
        _log_end(answer, time.perf_counter() - started)
    return worker_faster_whisper.to_answer(answer, job["input"]) if _is_for_faster_whisper(job) else answer


def _transcribe_or_report(job: Job, control: JobControl) -> Answer:
    try:
        with control.deadline(_time_limit(job), "the job took longer than the executionTimeout of its policy"):
            return transcribe_job(job, control)
    except WorkerError as error:
        return _error_answer(str(error), error.error_type)
    except EngineLost:
        answer = _error_answer("the worker's device failed; a fresh worker is starting: send the job again", "Internal")
        return answer | {"refresh_worker": True}
    except (torch.OutOfMemoryError, EngineOutOfMemory):
        return _error_answer("the worker has no memory left for this job: ask for fewer beams", OutOfMemory.error_type)
    except Exception as error:
        if exhausted := explain_exhaustion(error):
            return _error_answer(str(exhausted), exhausted.error_type)
        answer = _error_answer(
            f"the worker failed on this job ({type(error).__name__}): please report it with its traceback", "Internal"
        )
        return answer | {"traceback": traceback.format_exc().encode("utf-8", "replace").decode()}


def transcribe_job(job: Job, control: JobControl) -> Answer:
    """Run the steps of a job.

    Raises:
        WorkerError: the job is invalid, its recording cannot be transcribed, or it was cancelled.
    """
    started = time.perf_counter()
    settings = get_settings()
    job_input = parse_input(_to_our_input(job))
    bucket = find_bucket(job.get("s3Config"), settings, control.on_cancel)
    require_bucket(job_input.upload, bucket)
    stores = Stores(bucket, _find_volume(settings))
    voices = job_input.options.voice_samples
    check_stores(job_input.audio, voices, stores)
    processor = get_processor()
    destination: dict[str, Any] = {"job_id": _job_id(job) or "job", "bucket": bucket, "upload": job_input.upload}
    destination |= {"check": control.check, "on_cancel": control.on_cancel}
    inline = MAX_CHUNK_BYTES if settings.streaming else settings.max_result_bytes
    max_video = max_video_bytes(inline, settings.max_audio_bytes, bucket)
    with tempfile.TemporaryDirectory(prefix="job-") as folder:
        with processor.reserve(job_input.options, control):
            control.progress("downloading")
            samples = fetch_samples(voices, Path(folder), control, stores)
            recordings = fetch_tracks(
                job_input.audio,
                Path(folder),
                max_bytes=settings.max_audio_bytes,
                timeout=settings.download_timeout,
                stores=stores,
                control=control,
            )
            fetched = time.perf_counter()
            captions = _caption_request(job_input.options)
            video = find_video(recordings[0], captions, max_video, BUCKET_REMEDY, control) if captions else None
            if job_input.has_tracks:
                tracks = to_track_files(job_input.audio, recordings)
                transcript = processor.transcribe_tracks(tracks, job_input.options, control)
            else:
                transcript = processor.transcribe(recordings[0], job_input.options, control, samples)
        captioned = _try_captioning(video, transcript, captions, Path(folder), max_video, control)
        layout = shown_layout(video, captions) if video and captions else job_input.options.layout
        texts = _render_texts(transcript, job_input.options, layout, control)
        finished = time.perf_counter()
        metadata = _metadata(transcript, job_input.options, download=fetched - started, total=finished - started)
        metadata["warnings"] = [*job_input.warnings, *metadata["warnings"]]
        answer = {**texts, "metadata": metadata}
        attach_video(answer, captioned, max_bytes=inline, **destination)
    return deliver(answer, max_bytes=settings.max_result_bytes, **destination)


def _find_volume(settings: Settings) -> Volume | None:
    """The mounted volume, without the page's folder: its recordings are its visitors' own."""
    if settings.volume is None:
        return None
    from src.page_folder import find_page_folder  # a worker without a volume needs nothing of the page

    return Volume(settings.volume, find_page_folder(settings))


def _caption_request(options: Options) -> CaptionRequest | None:
    if options.captions is None:
        return None
    language = "en" if options.task == "translate" else options.language
    return CaptionRequest(
        options.captions, options.caption_layout, options.caption_style, options.caption_font, language
    )


def _try_captioning(
    video: Video | None,
    transcript: Transcript,
    request: CaptionRequest | None,
    folder: Path,
    max_bytes: int,
    control: JobControl,
) -> CaptionedVideo | WorkerError | None:
    """Caption the video; an error is returned, since the transcript is useful without it.

    Raises:
        Cancelled: the job was cancelled.
    """
    if video is None or request is None:
        return None
    try:
        return caption(video, transcript, request, folder, max_bytes, control)
    except (CaptionsFailed, OutOfResources, TooLarge, UnsupportedMedia) as error:
        return error


def _render_texts(transcript: Transcript, options: Options, layout: Layout, control: JobControl) -> Answer:
    """Render the transcript, and its translation, in the requested formats; subtitles as in the captioned video."""
    texts = {"transcription": transcript, "translation": transcript.translation}
    return {
        key: render(
            text,
            options.output_format,
            layout,
            embedding_model=EMBEDDING_MODEL if options.speaker_embeddings else None,
            words=options.gives_words,
            stl=options.stl,
            warn=transcript.warnings.append,
            paragraphs=options.paragraphs,
            speaker_colors=options.speaker_colors,
            check=control.check,
        )
        for key, text in texts.items()
        if text
    }


def _to_our_input(job: Job) -> Any:
    raw = job.get("input")
    if openai_jobs.is_openai_input(raw):
        return openai_jobs.to_input(raw, get_processor().model_names)
    return worker_faster_whisper.to_input(job["input"]) if _is_for_faster_whisper(job) else raw


def _is_for_faster_whisper(job: Job) -> bool:
    bare = get_settings().faster_whisper_jobs
    return worker_faster_whisper.is_worker_faster_whisper_input(job.get("input"), bare)


def _job_id(job: Job) -> str | None:
    return str(job["id"]) if "id" in job else None


def _time_limit(job: Job) -> float | None:
    """The job's `policy.executionTimeout` (ms) in seconds: when the platform stops waiting, so does the engine."""
    policy = job.get("policy")
    limit = policy.get("executionTimeout") if isinstance(policy, dict) else None
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit > 0:
        return None
    return min(limit, 1000 * MAX_DEADLINE_S) / 1000  # an integer may be too large for a float


@contextmanager
def _progress_sent(webhook: Webhook | None, job: Job, control: JobControl) -> Iterator[None]:
    """Send the job's progress to its webhook while the block runs, if requested; none is sent afterwards."""
    if webhook is None or not webhook.progress:
        yield
        return
    notifier = ProgressNotifier(webhook, **_sender(job))
    control.listen(notifier.report)
    try:
        yield
    finally:
        notifier.close()


def _sender(job: Job) -> dict[str, Any]:
    """What each event says of the job, and the key that signs it."""
    reference = find_reference(job.get("input"))
    return {"job_id": _job_id(job) or "job", "reference": reference, "secret": get_settings().webhook_secret}


def _send_outcome(webhook: Webhook | None, job: Job, answer: Answer) -> None:
    """Send the outcome to the job's webhook; a failure to do so is a warning, never a failed job."""
    if webhook is None:
        return
    event = "transcription.failed" if "error" in answer else "transcription.completed"
    data: Answer = {key: answer[key] for key in ("error", "error_type") if key in answer} or answer
    warning = notify(webhook, event, data, **_sender(job))
    if warning is None:
        return
    logs.event("webhook.failed")
    if "metadata" in answer:
        answer["metadata"]["warnings"].append(warning)


def _log_end(answer: Answer, seconds: float) -> None:
    if "error" in answer:
        logs.event("job.failed", error_type=answer["error_type"], seconds=round(seconds, 3))
        return
    facts = {key: answer["metadata"][key] for key in ("audio_duration", "real_time_factor", "language", "model")}
    logs.event("job.finished", seconds=round(seconds, 3), uploaded="files" in answer, **facts)


def _metadata(transcript: Transcript, options: Options, *, download: float, total: float) -> dict[str, Any]:
    return {
        "model": transcript.model,
        "processing_time": round(total, 3),
        "audio_duration": round(transcript.duration, 3),
        "real_time_factor": round(total / transcript.duration, 4),
        "language": transcript.language,
        "language_probability": _rounded(transcript.language_probability, 4),
        "languages": {code: round(share, 4) for code, share in transcript.languages.items()},
        "device": transcript.device,
        "compute_type": transcript.compute_type,
        "speech_duration": _rounded(transcript.speech, 3),
        "uncovered_speech": [[round(start, 3), round(end, 3)] for start, end in transcript.uncovered],
        "doubtful_speech": [
            {"start": round(look.start, 3), "end": round(look.end, 3), "transcribed": look.transcribed}
            for look in transcript.doubtful_speech
        ],
        "repaired_speech": round(transcript.repaired, 3),
        "dropped": dict(+transcript.dropped),
        **_given_text(transcript.given_text),
        **({"tracks": [track.to_dict() for track in transcript.tracks]} if transcript.tracks else {}),
        "vocabulary": _vocabulary(transcript, options),
        "redacted": [found.to_dict() for found in transcript.redacted],
        "timings": {
            stage: round(seconds, 3) for stage, seconds in {"download": download, **transcript.timings}.items()
        },
        "worker_version": __version__,
        "warnings": [*transcript.warnings, *ineffective_options(options), *_without_speakers(transcript, options)],
    }


def _without_speakers(transcript: Transcript, options: Options) -> list[str]:
    """The warning that there is nobody to colour, which only the transcript shows: tracks have speakers, too."""
    if not options.speaker_colors or options.diarize or any(segment.voice for segment in transcript.segments):
        return []
    return ['speaker_colors has no effect: without diarize, channels "split" or tracks there are no speakers']


def _given_text(given: GivenText | None) -> dict[str, Any]:
    """How the recording differs from the text of `align`; nothing if there was none."""
    if given is None:
        return {}
    differences = {"not_said": given.not_said, "said_besides": given.said_besides}
    return {
        "given_text": {
            "words": given.words,
            **{
                name: [
                    {"start": round(passage.start, 3), "end": round(passage.end, 3), "text": passage.text}
                    for passage in passages
                ]
                for name, passages in differences.items()
            },
        }
    }


def _vocabulary(transcript: Transcript, options: Options) -> dict[str, Any]:
    hide = options.text_changes.hide_in
    return {
        "put_in": {hide(term, transcript): count for term, count in transcript.vocabulary.items()},
        "prompted": [hide(term, transcript) for term in options.hints],
    }


def _rounded(number: float | None, digits: int) -> float | None:
    return None if number is None else round(number, digits)


def _error_answer(sentence: str, error_type: str) -> dict[str, Any]:
    """An answer that the platform recognizes as an error: `error` is a non-empty string of valid Unicode."""
    return {"error": sentence.encode("utf-8", "replace").decode() or error_type, "error_type": error_type}
