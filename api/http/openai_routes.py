"""Routes of OpenAI's audio API: `/v1/audio/transcriptions`, `/v1/audio/translations` and `/v1/models`.

Each exists without `/v1` too, since clients differ in whether an address includes it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.form_values import nameable
from api.http.door import Door, unless_disconnected
from api.http.headers import answer_headers
from api.http.middleware import to_api_error
from api.http.uploads import content_type_of, receive_form, receive_json
from api.openai.answers import to_body
from api.openai.errors import SERVER_STOPS, ApiError, to_error
from api.openai.events import encode_error, encode_event, final_events, segment_events
from api.openai.models import ModelChoice, choose_model, get_model, list_models
from api.openai.request import SpeechRequest, Task, parse_form, parse_json
from api.transcriber import Job, Listener

HEARTBEAT_SECONDS = 15.0
"""A stream without news for so long gets a comment, since proxies close silent connections."""

_HEARTBEAT = b": at work\n\n"
_STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class SpeechRoute:
    """A route that answers a recording with its text."""

    def __init__(self, task: Task) -> None:
        self._task = task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; its upload is kept until the answer is sent.

        Raises:
            ApiError: the request is wrong, or its job failed before the answer began.
            ClientDisconnect: the caller has hung up.
        """
        request = Request(scope, receive, send)
        door: Door = request.app.state.door
        async with _receive_speech(request, self._task) as (speech, upload):
            models = await unless_disconnected(request, door.transcriber.models(speech.model))
            choice = choose_model(speech.model, models.result())
            job = Job(_job_input(speech, choice), upload)
            if speech.stream:
                await _send_stream(request, speech, choice, job)
            else:
                response = await _whole_answer(request, speech, choice, job)
                await response(scope, receive, send)


async def show_models(request: Request) -> Response:
    """`/v1/models`."""
    door: Door = request.app.state.door
    return JSONResponse(list_models(await door.transcriber.models()))


async def show_model(request: Request) -> Response:
    """`/v1/models/NAME`."""
    door: Door = request.app.state.door
    return JSONResponse(get_model(request.path_params["name"], await door.transcriber.models()))


ROUTES = [
    route
    for prefix in ("/v1", "")
    for route in (
        Route(f"{prefix}/audio/transcriptions", SpeechRoute("transcribe"), methods=["POST"]),
        Route(f"{prefix}/audio/translations", SpeechRoute("translate"), methods=["POST"]),
        Route(f"{prefix}/models", show_models),
        Route(f"{prefix}/models/{{name:path}}", show_model),
    )
]


@asynccontextmanager
async def _receive_speech(request: Request, task: Task) -> AsyncIterator[tuple[SpeechRequest, Path | None]]:
    """The request, and its upload if it has one, which is deleted at the end of the block."""
    schemas = request.app.state.door.transcriber.option_schemas()
    if content_type_of(request) == "application/json":
        yield parse_json(await receive_json(request), task, schemas), None
        return
    async with receive_form(request) as form:
        speech = parse_form(form.fields, task, schemas)
        if form.file is None and speech.audio is None:
            message = "file: missing: send the recording as a file of the form, or give its address as `url`"
            raise ApiError(400, message, param="file")
        if form.file is not None and speech.audio is not None:
            raise ApiError(400, "url: is a second recording beside the file: leave one of them out", param="url")
        if form.file is not None and await run_in_threadpool(_is_address, form.file):
            raise ApiError(400, "file: is an address: give it as `url`", param="file")
        yield speech, form.file


def _is_address(upload: Path) -> bool:
    with upload.open("rb") as file:
        return file.read(8).lower().startswith((b"http://", b"https://"))


def _job_input(speech: SpeechRequest, choice: ModelChoice) -> dict[str, Any]:
    model = {} if choice.option is None else {"model": choice.option}
    audio = {} if speech.audio is None else {"audio": speech.audio}
    return {"options": {**speech.options, **model}, **audio}


async def _whole_answer(request: Request, speech: SpeechRequest, choice: ModelChoice, job: Job) -> Response:
    door: Door = request.app.state.door
    started = time.perf_counter()
    answer = await door.run(request, job)
    if "error" in answer:
        raise to_error(answer)
    milliseconds = (time.perf_counter() - started) * 1000
    body = await run_in_threadpool(to_body, answer, speech)
    headers = {**_headers(request, speech, choice, answer["metadata"]), "openai-processing-ms": f"{milliseconds:.0f}"}
    return Response(body.to_bytes(), headers=headers, media_type=body.media_type)


async def _send_stream(request: Request, speech: SpeechRequest, choice: ModelChoice, job: Job) -> None:
    async with aclosing(_events(request, speech, job)) as events:
        first = await anext(events)  # an error before is an ordinary answer
        headers = {**_headers(request, speech, choice, {}), **_STREAM_HEADERS}
        response = StreamingResponse(_with_errors(first, events), headers=headers, media_type="text/event-stream")
        await response(request.scope, request.receive, request._send)


async def _events(request: Request, speech: SpeechRequest, job: Job) -> AsyncGenerator[bytes, None]:
    """The events of a job as they are sent, and comments while there are none."""
    news: asyncio.Queue[bytes] = asyncio.Queue()
    sent = ""

    def on_segments(segments: list[dict[str, Any]]) -> None:
        nonlocal sent
        for event in segment_events(segments, speech, sent):
            sent += event["delta"]
            news.put_nowait(encode_event(event))

    door: Door = request.app.state.door
    running = asyncio.create_task(door.run(request, job, Listener(on_segments)))
    running.add_done_callback(lambda _: news.put_nowait(b""))
    try:
        while event := await _next(news):
            yield event
        answer = running.result()
        if "error" in answer:
            raise to_error(answer)
        for last in await run_in_threadpool(lambda: [*map(encode_event, final_events(answer, speech, sent))]):
            yield last
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _next(news: asyncio.Queue[bytes]) -> bytes:
    try:
        return await asyncio.wait_for(news.get(), HEARTBEAT_SECONDS)
    except asyncio.TimeoutError:
        return _HEARTBEAT


async def _with_errors(first: bytes, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events, and an error as the last one."""
    yield first
    try:
        async for event in events:
            yield event
    except ClientDisconnect:
        return
    except asyncio.CancelledError:  # by the server, which ends; or the caller is gone, who does not read this
        yield encode_error(SERVER_STOPS)
        raise
    except Exception as error:
        yield encode_error(to_api_error(error))


def _headers(
    request: Request, speech: SpeechRequest, choice: ModelChoice, metadata: Mapping[str, Any]
) -> dict[str, str]:
    ignored = nameable([*speech.ignored, *request.query_params])  # fields stand in the body
    known = {"model": choice.option, **metadata}
    return answer_headers(ignored, known, [] if choice.note is None else [choice.note])
