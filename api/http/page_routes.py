"""The page's transcripts: made, listed, read, changed and removed by the visitor who owns them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import json_text
from api.http.door import Door
from api.http.page_access import owner_of, page_of
from api.http.page_requests import JOBS_ROUTE, answer, answer_text, existing, find, with_lines
from api.http.page_uploads import refusing
from api.http.uploads import receive_json
from api.openai.errors import ApiError
from api.page import edits, lines, values
from api.page.records import UNFINISHED, Record, Source
from api.page.services import PRIVATE_FOLDER, PageServices
from api.page.store import NotEditable, NotWritten, StoreFull
from api.page.tracks import parse_tracks
from api.page.uploads import Upload

MAX_BODY_BYTES = 8 * 1024**2
MAX_EDIT_VALUES = 500_000
"""Of an edit: 500 lines of 100 words, which have five each, and as much again."""

MAX_OPTIONS_CHARACTERS = 2_000_000
"""Of their JSON: a text to align has up to a million."""

_MAX_REVISION_DIGITS = len(str(values.MAX_REVISION))


async def create(request: Request) -> Response:
    """`POST transcripts`: begin the transcript of an upload or a URL."""
    owner = owner_of(request)
    page = page_of(request)
    body = await receive_json(request, MAX_BODY_BYTES)
    if not isinstance(body, Mapping) or sum(form in body for form in ("upload", "url", "tracks")) != 1:
        raise ApiError(400, "the body should be a JSON object with either upload, url or tracks")
    options = _parse_options(body.get("options", {}))
    title = edits.parse_title(body.get("title", ""))
    _check_room(page)
    transcript_id = secrets.token_urlsafe(12)
    uploads, source = _parse_source(page, owner, body)
    record = Record(transcript_id, owner, title or _title_of(source), source, options)
    try:
        # Before an upload is taken: a server that is killed in between has the upload, or a transcript with it.
        await run_in_threadpool(page.store.add, record)
    except StoreFull as error:
        raise _too_many(error) from None
    if uploads:
        await _take_uploads(page, uploads, record)
    else:
        await run_in_threadpool(page.folder_of(transcript_id).mkdir, PRIVATE_FOLDER)
    if uploads and not source.tracks:  # tracks are mixed at the end of the job
        media = await page.look_at(transcript_id)
        with suppress(NotWritten):  # the job is to run in any case
            record = existing(await page.jobs.change(transcript_id, media=media))
    page.jobs.start(record)
    page.jobs.publish(record)
    return await answer(request, page.jobs.to_json(record), 201)


async def list_all(request: Request) -> Response:
    """`GET transcripts`: those of the visitor, the newest first."""
    owner = owner_of(request)
    page = page_of(request)
    found = await run_in_threadpool(page.store.records_of, owner)
    return await answer(request, {"transcripts": [page.jobs.to_json(record) for record in found]})


async def show(request: Request) -> Response:
    """`GET transcripts/{id}`: one of them."""
    return await answer(request, page_of(request).jobs.to_json(await find(request)))


async def remove(request: Request) -> Response:
    """`DELETE transcripts/{id}`: end its job, and remove all of it."""
    await page_of(request).remove(await find(request))
    return Response(status_code=204)


async def cancel(request: Request) -> Response:
    """`POST transcripts/{id}/cancel`: end its job, if it runs, or its live captions, of which all is kept."""
    page = page_of(request)
    found = await find(request)
    await page.live.end(found.id)
    record = await page.jobs.cancel(found)
    return await answer(request, page.jobs.to_json(existing(record)))


async def retry(request: Request) -> Response:
    """`POST transcripts/{id}/retry`: transcribe the same recording again."""
    record = await find(request)
    page = page_of(request)
    body = await receive_json(request, MAX_BODY_BYTES)
    if not isinstance(body, Mapping):
        raise ApiError(400, "the body should be a JSON object")
    options = None if body.get("options") is None else _parse_options(body["options"])
    if record.state in (*UNFINISHED, "live"):
        raise ApiError(409, "the recording is still being transcribed: cancel that first", code="not_ended")
    if page.voices is not None:
        page.voices.forget(record.id)  # its speakers will be others
    return await answer(request, page.jobs.to_json(existing(await page.jobs.retry(record, options))))


async def document(request: Request) -> Response:
    """`GET transcripts/{id}/document`: its lines; of a running job those so far."""
    record = await find(request)
    page = page_of(request)
    running = page.jobs.lines_of(record.id)
    if running is None:
        lines_json = await run_in_threadpool(page.store.lines_as_json, record.id)
    else:
        so_far = list(running)
        lines_json = await run_in_threadpool(lambda: json_text.to_json([lines.to_json(line) for line in so_far]))
    known = {"revision": record.revision, "speakers": record.speakers, "language": record.outcome.language}
    return await answer_text(request, with_lines(known, lines_json))


async def changes(request: Request) -> Response:
    """`GET transcripts/{id}/changes`: what changed after a revision."""
    record = await find(request)
    since = request.query_params.get("since", "")
    if not (since.isascii() and since.isdigit() and len(since) < _MAX_REVISION_DIGITS):
        raise ApiError(400, "since: should be a revision, a number from 0", param="since")
    found = existing(await run_in_threadpool(page_of(request).store.changes, record.id, int(since)))
    record = found.record
    known = {
        "revision": record.revision,
        "deleted": found.deleted,
        "speakers": record.speakers,
        "title": record.title,
    }
    return await answer_text(request, with_lines(known, found.lines_json))


async def edit(request: Request) -> Response:
    """`PATCH transcripts/{id}`: write changes, except for lines that have changed since."""
    record = await find(request)
    page = page_of(request)
    change = await run_in_threadpool(edits.parse_edit, await receive_json(request, MAX_BODY_BYTES, MAX_EDIT_VALUES))
    _check_room(page)
    try:
        edited = existing(await run_in_threadpool(page.store.edit, record.id, change))
    except NotEditable:
        raise ApiError(409, "the transcript can be edited once it is done", code="not_done") from None
    except StoreFull as error:
        raise _too_many(error) from None
    notice = {"id": record.id, "revision": edited.record.revision, "editor": change.editor}
    page.events.publish(record.owner, "edited", notice)
    page.jobs.publish(edited.record)
    conflicts = [lines.to_json(line) for line in edited.conflicts]
    deleted = [{"id": line_id, "revision": revision, "deleted": True} for line_id, revision in edited.deleted.items()]
    return await answer(request, {"revision": edited.record.revision, "conflicts": [*conflicts, *deleted]})


async def options(request: Request) -> Response:
    """`GET options`: the known models, each option's JSON Schema, and whether there are live captions and voices."""
    owner_of(request)
    door: Door = request.app.state.door
    models = await door.transcriber.models()
    schemas = dict(door.transcriber.option_schemas())
    page = page_of(request)
    possible = {"live": page.live.are_possible, "voices": page.voices is not None}
    return await answer(request, {"models": models, "schemas": schemas, **possible})


_TRANSCRIPT = f"{JOBS_ROUTE}/{{id}}"

ROUTES = [
    Route(JOBS_ROUTE, create, methods=["POST"]),
    Route(JOBS_ROUTE, list_all),
    Route(_TRANSCRIPT, show),
    Route(_TRANSCRIPT, edit, methods=["PATCH"]),
    Route(_TRANSCRIPT, remove, methods=["DELETE"]),
    Route(f"{_TRANSCRIPT}/cancel", cancel, methods=["POST"]),
    Route(f"{_TRANSCRIPT}/retry", retry, methods=["POST"]),
    Route(f"{_TRANSCRIPT}/document", document),
    Route(f"{_TRANSCRIPT}/changes", changes),
    Route("/page/api/options", options),
]


def _check_room(page: PageServices) -> None:
    """Refuse to fill the disk.

    Raises:
        ApiError: its reserve is used up.
    """
    with refusing():
        page.room()


def _too_many(error: StoreFull) -> ApiError:
    return ApiError(409, str(error), code="too_many")


def _parse_options(value: Any) -> dict[str, Any]:
    """Options of a job, which says itself what is wrong with one.

    Raises:
        ApiError: they are not an object, or too large.
    """
    if not isinstance(value, Mapping) or len(json_text.to_json(value)) > MAX_OPTIONS_CHARACTERS:
        raise ApiError(
            400, f"options: should be an object of at most {MAX_OPTIONS_CHARACTERS} characters", param="options"
        )
    return dict(value)


def _parse_source(page: PageServices, owner: str, body: Mapping[str, Any]) -> tuple[list[Upload], Source]:
    """The finished uploads of a new transcript, and its source.

    Raises:
        ApiError: naming the wrong field, or an upload that is not finished.
    """
    if "url" in body:
        return [], _parse_url(body["url"])
    if "upload" in body:
        upload = _find_upload(page, owner, body["upload"])
        kind: Literal["microphone", "file"] = "microphone" if body.get("kind") == "microphone" else "file"
        return [upload], Source(kind, upload.about.name, upload.about.size)
    given = parse_tracks(body["tracks"])
    uploads = [_find_upload(page, owner, each.upload) for each in given if each.upload is not None]
    tracks = [each.track for each in given]
    size = sum(upload.about.size for upload in uploads) if len(uploads) == len(tracks) else None
    name = ", ".join(track.name for track in tracks)[: edits.MAX_TITLE_CHARACTERS]
    return uploads, Source("tracks", name, size, tracks=tracks)


def _parse_url(value: Any) -> Source:
    url = values.parse_url(value, "url")
    parts = urlsplit(url)
    name = lines.clean_text(unquote(parts.path.rstrip("/").rpartition("/")[2])) or str(parts.hostname)
    return Source("url", name[: edits.MAX_TITLE_CHARACTERS], url=url)


def _find_upload(page: PageServices, owner: str, upload_id: Any) -> Upload:
    """A finished upload.

    Raises:
        ApiError: there is no such upload, or it is not finished.
    """
    with refusing():
        return page.uploads.find_complete(owner, values.parse_text(upload_id, "upload", edits.MAX_TITLE_CHARACTERS))


async def _take_uploads(page: PageServices, uploads: Sequence[Upload], record: Record) -> None:
    """Make finished uploads the files of a transcript, which is removed again if that cannot be.

    Raises:
        ApiError: one has been taken or removed meanwhile, or the disk is full.
    """
    try:
        with refusing():
            for upload, file in zip(uploads, page.files_of(record), strict=True):
                await run_in_threadpool(page.uploads.take, upload, file)
    except BaseException:
        await run_in_threadpool(page.store.remove, record.id)
        await run_in_threadpool(page.remove_folder, record.id)
        raise


def _title_of(source: Source) -> str:
    stem = "" if source.tracks else source.name.rpartition(".")[0]
    return (stem or source.name)[: edits.MAX_TITLE_CHARACTERS]
