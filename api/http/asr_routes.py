"""Routes of whisper-asr-webservice: `/asr` and `/detect-language`, with a recording as the form's `audio_file`."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api.asr_webservice import AsrRequest, parse_asr, parse_detection, to_asr_body, to_detected_language
from api.form_values import nameable
from api.http.door import Door
from api.http.headers import answer_headers
from api.http.uploads import receive_form
from api.openai.errors import ApiError, to_error
from api.transcriber import Answer, Job

FILE_FIELD = "audio_file"

_ENGINE = "worker-whisper"
_WAV_HEADER = struct.Struct("<4sL4s4sLHHLLHH4sL")
_SAMPLE_RATE, _SAMPLE_BYTES = 16_000, 2
_UNKNOWN_SIZE = 0xFFFFFFFF
"""In a WAV header: until the end of the file."""


async def transcribe(request: Request) -> Response:
    """`/asr`: the text in the format of the parameter `output`."""
    door: Door = request.app.state.door
    asr = parse_asr(request.query_params, door.transcriber.option_schemas())
    answer, ignored = await _answer(request, asr)
    body = await run_in_threadpool(to_asr_body, answer, asr)
    headers = {
        "asr-engine": _ENGINE,
        # As for a caller who names the file like the field, which most do.
        "content-disposition": f'attachment; filename="{FILE_FIELD}.{asr.output}"',
        **answer_headers(ignored, answer["metadata"]),
    }
    return Response(body.to_bytes(), headers=headers, media_type=body.media_type)


async def detect_language(request: Request) -> Response:
    """`/detect-language`: the most likely language of the recording's beginning."""
    asr = parse_detection(request.query_params)
    answer, ignored = await _answer(request, asr)
    return JSONResponse(to_detected_language(answer), headers=answer_headers(ignored, answer["metadata"]))


ROUTES = [
    Route("/asr", transcribe, methods=["POST"]),
    Route("/detect-language", detect_language, methods=["POST"]),
]


async def _answer(request: Request, asr: AsrRequest) -> tuple[Answer, tuple[str, ...]]:
    """The job's answer, and the names of what had no effect: unknown parameters, and fields of the form."""
    door: Door = request.app.state.door
    async with _receive_recording(request, asr) as (recording, fields):
        answer = await door.run(request, Job({"options": asr.options}, recording))
    if "error" in answer:
        raise to_error(answer)
    return answer, nameable([*asr.ignored, *fields])


@asynccontextmanager
async def _receive_recording(request: Request, asr: AsrRequest) -> AsyncIterator[tuple[Path, list[str]]]:
    """The upload, which is deleted at the end of the block, and the names of the form's fields.

    Samples alone get the header of a WAV file.
    """
    async with receive_form(request, FILE_FIELD, reserved_bytes=_WAV_HEADER.size if asr.is_raw else 0) as form:
        if form.file is None:
            raise ApiError(400, f"{FILE_FIELD}: should be the recording, as a file of the form", param=FILE_FIELD)
        if asr.is_raw:
            await run_in_threadpool(write_wav_header, form.file)
        yield form.file, [name for name, _ in form.fields]


def write_wav_header(path: Path) -> None:
    """Write a header into the 44 bytes before samples of 16 bits at 16 kHz, mono; half a sample at the end is cut."""
    size = path.stat().st_size - _WAV_HEADER.size
    size -= size % _SAMPLE_BYTES
    rate, width = _SAMPLE_RATE, _SAMPLE_BYTES
    riff_size = min(size + _WAV_HEADER.size - 8, _UNKNOWN_SIZE)
    header = _WAV_HEADER.pack(
        *(b"RIFF", riff_size, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * width, width, 8 * width),
        *(b"data", min(size, _UNKNOWN_SIZE)),
    )
    with path.open("r+b") as file:
        file.write(header)
        file.truncate(_WAV_HEADER.size + size)
