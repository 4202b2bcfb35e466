"""RunPod's API for a queue (`/run`, `/status/{id}`, ...), served by this machine alone.

Routes, fields and answers are those of https://docs.runpod.io/serverless/endpoints/operation-reference; what a pod has
no platform for is refused. They are served under `/v2/{endpoint}` too, so that a client needs another base URL only.
Errors have RunPod's form, `{"error": "<one sentence>"}`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api.form_values import nameable
from api.http.door import Door
from api.http.headers import answer_headers
from api.http.job_store import JobStore, NoSuchJob, StoredJob, StoreFull
from api.http.metrics import ENDPOINT_PREFIX, route_template
from api.http.uploads import held_bytes, receive_json
from api.openai.errors import ApiError, too_busy
from api.transcriber import Answer, Job, Listener

DEFAULT_WAIT_MS, MAX_WAIT_MS = 90_000, 300_000
"""For which `/runsync` waits."""

DAY_S = 24 * 3600.0
MAX_TTL_S = 7 * DAY_S

MODELS_ROUTE = "/v1/models"
"""Of a job that asks for the models, as the bridge does, which cannot know that there is no queue behind its URL."""

_JOB_FIELDS = ("policy", "s3Config")
_RETRY_AFTER_S = 10

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Submission:
    """The body of `/run`.

    Attributes:
        job: to run.
        ttl_s: seconds after which it is ended.
        ignored: names of fields that have no effect here, fit for a header.
    """

    job: Job
    ttl_s: float
    ignored: tuple[str, ...]


def parse_submission(body: Any) -> Submission:
    """Parse the body of `/run` and `/runsync`.

    Raises:
        ApiError: naming the wrong field and the correct form.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("input"), Mapping):
        _refuse('the body should be a JSON object with the job\'s fields in "input": {"input": {"audio": ...}}')
    if body.get("webhook") is not None:
        _refuse('"webhook" beside "input" is RunPod\'s own, which this server does not have: put it inside "input"')
    if body["input"].get("openai_route") not in (None, MODELS_ROUTE):
        _refuse('"openai_route" is for the queue of an endpoint: send the request to that route of this server')
    fields = {name: body[name] for name in _JOB_FIELDS if body.get(name) is not None}
    for name, value in fields.items():
        if not isinstance(value, Mapping):
            _refuse(f'"{name}" should be an object')
    ignored = [name for name in body if name not in ("input", "webhook", *_JOB_FIELDS)]
    ignored += [f"policy.{name}" for name in fields.get("policy", {}) if name not in ("executionTimeout", "ttl")]
    return Submission(Job(body["input"], fields=fields), _parse_ttl(fields.get("policy", {})), nameable(ignored))


def refuse_in_runpods_form(handler: Handler) -> Handler:
    """Answer an `ApiError` as RunPod does, with its status."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ApiError as error:
            headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
            return JSONResponse({"error": str(error)}, error.status, headers)

    return answer


@refuse_in_runpods_form
async def run(request: Request) -> Response:
    """`/run`: queue a job and answer with its id."""
    submission = parse_submission(await receive_json(request))
    job = _submit(request, submission, is_sync=False)
    return JSONResponse({"id": job.id, "status": "IN_QUEUE"}, headers=answer_headers(submission.ignored, {}))


@refuse_in_runpods_form
async def runsync(request: Request) -> Response:
    """`/runsync`: wait for the job for a while, then answer with its status; the job goes on."""
    wait_s = _parse_wait(request)
    submission = parse_submission(await receive_json(request))
    job = _submit(request, submission, is_sync=True)
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(job.over.wait(), wait_s)
    return _json(job.to_status(), answer_headers(submission.ignored, {}))


@refuse_in_runpods_form
async def status(request: Request) -> Response:
    """`/status/{id}`: the job's state, with its latest progress or its result."""
    return _json(_find(request).to_status())


@refuse_in_runpods_form
async def stream(request: Request) -> Response:
    """`/stream/{id}`: what the job has added since the last call."""
    return _json(_find(request).take_stream())


@refuse_in_runpods_form
async def cancel(request: Request) -> Response:
    """`/cancel/{id}`: end the job, unless it has ended."""
    job = _find(request)
    _jobs(request).cancel(job)
    return JSONResponse({"id": job.id, "status": job.status})


async def health(request: Request) -> Response:
    """`/health`: numbers of jobs and workers, of which this server is one; and what the transcriber adds."""
    door: Door = request.app.state.door
    jobs = _jobs(request)
    running = jobs.count("IN_PROGRESS")
    return JSONResponse(
        {
            **(door.health() if door.health else {}),
            "jobs": {
                "completed": jobs.count("COMPLETED"),
                "failed": jobs.count("FAILED", "TIMED_OUT"),
                "inProgress": running,
                "inQueue": jobs.count("IN_QUEUE"),
                "retried": 0,
            },
            "workers": {
                "idle": int(not running),
                "initializing": 0,
                "ready": int(not running),
                "running": int(bool(running)),
                "throttled": 0,
                "unhealthy": 0,
            },
        }
    )


_HANDLERS: list[tuple[str, Handler, list[str]]] = [
    ("/run", run, ["POST"]),
    ("/runsync", runsync, ["POST"]),
    ("/status/{id}", status, ["GET", "POST"]),
    ("/stream/{id}", stream, ["GET", "POST"]),
    ("/cancel/{id}", cancel, ["POST"]),
    ("/health", health, ["GET"]),
]

ROUTES = [
    Route(f"{prefix}{path}", handler, methods=methods)
    for prefix in ("", ENDPOINT_PREFIX)
    for path, handler, methods in _HANDLERS
]


def _jobs(request: Request) -> JobStore:
    jobs: JobStore = request.app.state.jobs
    return jobs


def _find(request: Request) -> StoredJob:
    try:
        return _jobs(request).get(request.path_params["id"])
    except NoSuchJob:
        raise ApiError(404, "there is no such job, or its result is no longer kept") from None


def _submit(request: Request, submission: Submission, *, is_sync: bool) -> StoredJob:
    door: Door = request.app.state.door
    jobs = _jobs(request)
    if jobs.count("IN_QUEUE", "IN_PROGRESS") >= door.settings.max_requests:
        raise _too_many()

    async def run_job(listener: Listener) -> Answer:
        return await door.run_job(route_template(request.scope), submission.job, listener)

    try:
        return jobs.submit(
            run_job,
            input_bytes=held_bytes(request),
            is_sync=is_sync,
            ttl_s=submission.ttl_s,
            outlives_server=any(submission.job.input.get(name) for name in ("webhook", "upload")),
        )
    except StoreFull:
        raise _too_many() from None


def _too_many() -> ApiError:
    return too_busy("the server holds as many jobs as it can: send this one again later", _RETRY_AFTER_S)


def _parse_ttl(policy: Mapping[str, Any]) -> float:
    """`ttl` in seconds; `executionTimeout` is the worker's to read."""
    ttl = policy.get("ttl")
    if ttl is None:
        return DAY_S
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= 1000 * MAX_TTL_S:
        _refuse(f'"policy.ttl" should be milliseconds, at most {1000 * MAX_TTL_S:.0f}')
    return float(ttl) / 1000


def _parse_wait(request: Request) -> float:
    """`wait` in seconds."""
    text = request.query_params.get("wait", str(DEFAULT_WAIT_MS))
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= len(str(MAX_WAIT_MS))) or int(text) > MAX_WAIT_MS:
        _refuse(f'"wait" should be milliseconds, at most {MAX_WAIT_MS}')
    return int(text) / 1000


def _refuse(sentence: str) -> NoReturn:
    raise ApiError(400, sentence)


def _json(content: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(content, media_type="application/json", headers=headers)
