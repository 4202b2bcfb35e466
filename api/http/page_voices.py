"""`/page/api/transcripts/{id}/voices`: the voices of a transcript's speakers are kept, to be named in later ones.

`/page/api/voices`: those that are kept; `DELETE /page/api/voices/{name}` forgets one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.http.page_access import API_PREFIX, owner_of, page_of
from api.http.page_requests import JOBS_ROUTE, answer, find
from api.http.uploads import receive_small_json
from api.openai.errors import ApiError
from api.page.edits import MAX_NAME_CHARACTERS
from api.page.lines import MAX_SPEAKER_CHARACTERS
from api.page.settings import VoicesFailed
from api.page.values import parse_text
from api.page.voices import VoiceKeeper
from transcript.speaker_names import clean_speaker_name

_MAX_BODY_BYTES = 4096


async def show(request: Request) -> Response:
    """`GET transcripts/{id}/voices`: whether voices can be kept here, and what became of those that were asked for."""
    return await _answer(request, (await find(request)).id)


async def keep(request: Request) -> Response:
    """`POST transcripts/{id}/voices`: keep the voice of a speaker by a name; what became of it can be asked."""
    record = await find(request)
    page = page_of(request)
    keeper = _keeper_for(request)
    body = await receive_small_json(request, _MAX_BODY_BYTES)
    if not isinstance(body, Mapping):
        raise ApiError(400, 'the body should be {"speaker": "...", "name": "..."}')
    speaker = parse_text(body.get("speaker"), "speaker", MAX_SPEAKER_CHARACTERS)
    name = _parse_name(body.get("name"))
    if record.state != "done":
        raise ApiError(409, "voices can be kept once the transcript is done", code="not_done")
    recording = page.media_path(record)
    if recording is None and record.source.url is None:
        raise ApiError(409, "the recording is not on this machine any more", code="no_recording")
    if keeper.begin(record.id, speaker, name):
        lines = await run_in_threadpool(page.store.lines_of, record.id)
        page.follow(keeper.keep(record, speaker, lines, recording))
    return await _answer(request, record.id, 202)


async def list_all(request: Request) -> Response:
    """`GET voices`: those that are kept, of any transcript."""
    try:
        voices = await _keeper_for(request).list_all()
    except VoicesFailed as error:
        raise ApiError(409, str(error), code="voices_failed") from None
    return await answer(request, {"voices": [asdict(voice) for voice in voices]})


async def forget(request: Request) -> Response:
    """`DELETE voices/{name}`: forget one."""
    try:
        await _keeper_for(request).forget_voice(_parse_name(request.path_params["name"]))
    except VoicesFailed as error:
        raise ApiError(409, str(error), code="voices_failed") from None
    return Response(status_code=204)


def _keeper_for(request: Request) -> VoiceKeeper:
    """The keeper of voices, for a visitor.

    Raises:
        ApiError: there is none, or the request is no visitor's.
    """
    owner_of(request)
    keeper = page_of(request).voices
    if keeper is None:
        raise ApiError(404, "this server keeps no voices: open the page on your own machine", code="no_voices")
    return keeper


async def _answer(request: Request, transcript_id: str, status: int = 200) -> Response:
    keeper = page_of(request).voices
    kept = {} if keeper is None else keeper.kept(transcript_id)
    content = {"possible": keeper is not None, "kept": {speaker: asdict(each) for speaker, each in kept.items()}}
    return await answer(request, content, status)


def _parse_name(value: object) -> str:
    try:
        return clean_speaker_name(" ".join(parse_text(value, "name", MAX_NAME_CHARACTERS).split()))
    except ValueError as error:
        raise ApiError(400, f"name: {error}", param="name") from None


_PATH = f"{JOBS_ROUTE}/{{id}}/voices"

ROUTES = [
    Route(_PATH, show),
    Route(_PATH, keep, methods=["POST"]),
    Route(f"{API_PREFIX}voices", list_all),
    Route(f"{API_PREFIX}voices/{{name}}", forget, methods=["DELETE"]),
]
