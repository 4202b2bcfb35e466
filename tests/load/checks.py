"""Checks of each job of a soak, and of the worker's log."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from standardwebhooks import Webhook

from src.delivery.webhooks import COMPLETED, FAILED, PROGRESS
from tests.load.mix import BUCKET_SECRET, Plan
from tests.load.recordings import Recording, fault_in_words
from tests.load.site import SIGNING_KEY, URL_SECRET, Hook
from tests.platform.records import Job
from tests.support.clips import words

_QUOTED = 4  # words in a row in the log: fewer may be the log's own


def outcome(plan: Plan, job: Job) -> str:
    """The outcome of a job, as the table names it."""
    if job.status in ("CANCELLED", "TIMED_OUT") or (plan.may_end_early and _error_type(job) == "Cancelled"):
        return "ended early"
    return {"COMPLETED": "transcribed", "FAILED": "refused"}.get(job.status, "open")


def faults_of(plan: Plan, job: Job, others: Sequence[Recording], hooks: Sequence[Hook], streaming: bool) -> list[str]:
    """Everything that is wrong with a job, its answers and its webhooks; `others` are its neighbours' recordings."""
    return [*_of_results(plan, job), *_of_outcome(plan, job, others, streaming), *_of_webhooks(plan, job, hooks)]


def faults_of_log(log: str, recordings: Sequence[Recording]) -> Iterator[str]:
    """Secrets, recordings and spoken words in a worker's log, and what looks like a crash."""
    for secret in (URL_SECRET, BUCKET_SECRET, SIGNING_KEY, SIGNING_KEY.removeprefix("whsec_")):
        if secret in log:
            yield f"the log has the secret {secret}"
    for recording in recordings:
        half = len(recording.base64) // 2
        if any(part in log for part in (recording.base64[:40], recording.base64[half : half + 40])):
            yield f"the log has base64 of {recording.name}"
    said = _plain(log)
    for recording in recordings:
        spoken = _plain(recording.text).split()
        for start in range(len(spoken) - _QUOTED + 1):
            quote = " ".join(spoken[start : start + _QUOTED])
            if quote in said:
                yield f"the log has words of {recording.name}: {quote!r}"
                break
    if "Traceback" in log:
        place = log.index("Traceback")
        yield f"the log has {log.count('Traceback')} tracebacks; the first: {log[place : place + 600]!r}"


def _of_results(plan: Plan, job: Job) -> Iterator[str]:
    """Exactly one accepted result, unless the job was ended on purpose; nothing twice, refused or late."""
    if not job.done:
        yield f"has no result: {job.status}"
    in_time = [result for result in job.results if result.accepted and not result.late]
    ended = job.status in ("CANCELLED", "TIMED_OUT")
    if ended and not plan.may_end_early:
        yield f"is {job.status}, which nobody asked for"
    if job.done and len(in_time) != (0 if ended else 1):
        yield f"is {job.status} with {len(in_time)} results"
    if job.answered_twice:
        yield f"was answered {len(job.results)} times"
    if job.refused:
        yield f"had a post refused: {job.refused[0]}"
    # A job that is ended from outside may have a report on its way at that moment; one with a result may not.
    if in_time and any(post.late for post in job.progress):
        yield "shows progress after its result"
    if in_time and any(chunk.late for chunk in job.chunks):
        yield "streams after its result"


def _of_outcome(plan: Plan, job: Job, others: Sequence[Recording], streaming: bool) -> Iterator[str]:
    if job.status == "FAILED":
        yield from _of_refusal(plan, job, streaming)
    elif job.status == "COMPLETED":
        yield from _of_transcript(plan, job, others, streaming)


def _of_refusal(plan: Plan, job: Job, streaming: bool) -> Iterator[str]:
    right = plan.error_types | ({"Cancelled"} if plan.may_end_early else set())
    # Of an error in a stream, the SDK hands on the sentence only.
    if not right or (not streaming and _error_type(job) not in right):
        yield f"failed with {_error_type(job)}: {str(job.error)[:300]}"
    elif job.error is None or "Traceback" in job.error or "/tmp" in job.error:
        yield f"has a wrong sentence for an error: {str(job.error)[:300]}"


def _of_transcript(plan: Plan, job: Job, others: Sequence[Recording], streaming: bool) -> Iterator[str]:
    if plan.recording is None:
        yield f"was transcribed, where one of {sorted(plan.error_types)} was due"
        return
    try:
        answer = job.output[-1] if streaming else job.output
        heard = words(answer["transcription"]["text"])
    except (TypeError, KeyError, IndexError):
        yield f"has an answer without a transcription: {str(job.output)[:200]}"
        return
    if fault := fault_in_words(heard, plan.recording, others):
        yield fault
    if warnings := answer["metadata"]["warnings"]:
        yield f"has warnings: {warnings}"
    if streaming and "segments" in answer["transcription"]:
        streamed = [segment for part in job.output[:-1] for segment in part["segments"]]
        if streamed != answer["transcription"]["segments"]:
            yield f"streamed {len(streamed)} segments that are not those of its answer"


def _of_webhooks(plan: Plan, job: Job, hooks: Sequence[Hook]) -> Iterator[str]:
    """One outcome told, signed, and no progress after it."""
    outcomes = [hook for hook in hooks if hook.taken and hook.type != PROGRESS]
    if len(outcomes) > 1 or (plan.has_webhook and not outcomes and not plan.may_end_early):
        yield f"told its outcome to its webhook {len(outcomes)} times"
    told = [hook.type for hook in hooks]
    if PROGRESS in told and any(kind != PROGRESS for kind in told[: len(told) - told[::-1].index(PROGRESS)]):
        yield "told its webhook of progress after the outcome"
    due = {"COMPLETED": COMPLETED, "FAILED": FAILED}.get(job.status)
    if outcomes and due and outcomes[0].type != due:
        yield f"is {job.status} and told its webhook {outcomes[0].type}"
    for hook in hooks:
        try:
            Webhook(SIGNING_KEY).verify(hook.body, hook.headers)
        except Exception as error:
            # Stale ones are all right: they are verified at the end of the run, the clock of the signature is minutes.
            if "too old" not in str(error):
                yield f"has a webhook whose signature is wrong: {error}"


def _error_type(job: Job) -> Any:
    return job.output.get("error_type") if isinstance(job.output, dict) else None


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^a-z]+", " ", text.lower()).split())
