"""Requests of programs that use the HTTP API, byte for byte, and how these programs read its answers.

Each function names the program's file and version that it was written from. The bytes are those of the program's own
HTTP library, recorded with axios 1.21.1 and form-data 4.0.6 (n8n, LibreChat), aiohttp 3.14.5 (Open WebUI), requests
2.34.2 (Bazarr) and openai 3.57.0 (wyoming_openai), and for .NET (Subtitle Edit) read in its source.
"""

from __future__ import annotations

import base64
import json
import socket
from dataclasses import dataclass, field
from http.client import HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import urlencode

KEY = "sk-local"
TRANSCRIPTIONS = "/v1/audio/transcriptions"


class Answer(NamedTuple):
    """An HTTP answer, with its body whole."""

    status: int
    media_type: str
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


def send(request: bytes, address: tuple[str, int], timeout: float = 60) -> Answer:
    """Sends the bytes of a request over a connection of its own, and reads the answer.

    Args:
        request: As on the wire, with its head.
        address: Of the server.
        timeout: Seconds without any byte from the server.
    """
    with socket.create_connection(address, timeout=timeout) as connection:
        connection.sendall(request)
        response = HTTPResponse(connection)
        response.begin()
        return Answer(response.status, response.headers.get_content_type(), response.read())


# -- Subtitle Edit -----------------------------------------------------------------------------------------------------


def subtitle_edit(
    audio: bytes, name: str = "chunk.mp3", *, language: str = "en", stream: bool = False, file_first: bool = False
) -> bytes:
    """Subtitle Edit 5, `OpenAiSttService.cs` (August 2026; `file_first`: that of May 2026), sent by .NET's HttpClient.

    .NET quotes names only where it has to, gives each field a content type, and a file's name twice:
    https://github.com/dotnet/runtime, MultipartFormDataContent.cs and ContentDispositionHeaderValue.cs.
    """
    text = "Content-Type: text/plain; charset=utf-8"
    fields = [("model", "whisper-1"), ("language", language)]
    if stream:
        fields += [("response_format", "json"), ("stream", "true")]
    else:
        fields += [("response_format", "verbose_json")]
        fields += [('"timestamp_granularities[]"', granularity) for granularity in ("segment", "word")]
    parts = [_Part([text, f"Content-Disposition: form-data; name={key}"], value.encode()) for key, value in fields]
    file = _Part(
        [
            "Content-Type: audio/wav" if file_first else "Content-Type: audio/mpeg",
            f"Content-Disposition: form-data; name=file; filename={name}; filename*=utf-8''{name}",
        ],
        audio,
    )
    boundary = "5f0a9c1e-3b57-4d0e-9a59-0c6a4b9f7d21"
    body = _multipart([file, *parts] if file_first else [*parts, file], boundary)
    head = [
        f"POST {TRANSCRIPTIONS} HTTP/1.1",
        "Host: 127.0.0.1:8000",
        f"Authorization: Bearer {KEY}",
        f'Content-Type: multipart/form-data; boundary="{boundary}"',
        f"Content-Length: {len(body)}",
    ]
    return _request(head, body)


def subtitle_edit_openrouter(audio: bytes, audio_format: str = "mp3") -> bytes:
    """Subtitle Edit's engine "OpenRouter", `OpenRouterSttService.cs` (commit 08c28d3): audio as base64 in JSON."""
    body = {
        "model": "openai/whisper-1",
        "input_audio": {"data": base64.b64encode(audio).decode(), "format": audio_format},
        "response_format": "verbose_json",
        "timestamp_granularities": ["segment", "word"],
        "language": "en",
    }
    encoded = json.dumps(body, separators=(",", ":")).encode()
    head = [
        f"POST {TRANSCRIPTIONS} HTTP/1.1",
        "Host: 127.0.0.1:8000",
        f"Authorization: Bearer {KEY}",
        "HTTP-Referer: https://www.nikse.dk/subtitleedit",
        "X-Title: Subtitle Edit",
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(encoded)}",
    ]
    return _request(head, encoded)


@dataclass
class SubtitleEditResult:
    """What Subtitle Edit has read from a stream."""

    text: str = ""
    segments: list[dict[str, Any]] = field(default_factory=list)


def subtitle_edit_reads(stream: bytes) -> SubtitleEditResult:
    """Reads a stream of events as `ParseSseStreamAsync` does.

    An event without an `event:` line is ignored, also a segment that is not nested in `segment`; `segments` of the last
    event count if there were no others, and without both the whole text becomes one segment from 0 to 0.
    """
    result = SubtitleEditResult()
    event, data = "", ""
    for line in [*stream.decode().splitlines(), ""]:
        if not line.strip():
            if event and data:
                _subtitle_edit_event(result, event, data)
            event, data = "", ""
        elif line.startswith("event:"):
            event = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            data += line.removeprefix("data:").strip()
    result.text = result.text.strip()
    return result


def _subtitle_edit_event(result: SubtitleEditResult, event: str, data: str) -> None:
    message = json.loads(data)
    if event == "transcript.text.delta":
        result.text += message["delta"]
    elif event == "transcript.text.segment" and "segment" in message:
        result.segments.append(message["segment"])
    elif event == "transcript.text.done" and not result.segments:
        whole = {"id": 0, "start": 0, "end": 0, "text": result.text.strip()}
        result.segments = message.get("segments") or ([whole] if result.text else [])


# -- Open WebUI --------------------------------------------------------------------------------------------------------


_OPEN_WEBUI = [
    f"POST {TRANSCRIPTIONS} HTTP/1.1",
    "Host: 127.0.0.1:8000",
    f"Authorization: Bearer {KEY}",
    "Accept: */*",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "User-Agent: Python/3.11 aiohttp/3.14.5",
]


def open_webui(audio: bytes, name: str = "0b2c8a51.mp3", language: str | None = "en") -> bytes:
    """Open WebUI 0.9, `_transcribe_openai` of `routers/audio.py` (2026), sent by aiohttp."""
    boundary = "8537c02655694e2097541ff3089ef774"
    fields = [("model", "whisper-1")] + ([("language", language)] if language else [])
    text = "Content-Type: text/plain; charset=utf-8"
    parts = [_Part([text, f'Content-Disposition: form-data; name="{key}"'], value.encode()) for key, value in fields]
    file = f'Content-Disposition: form-data; name="file"; filename="{name}"'
    parts.append(_Part(["Content-Type: audio/mpeg", file], audio))
    body = _multipart(parts, boundary)
    head = [*_OPEN_WEBUI, f"Content-Length: {len(body)}", f"Content-Type: multipart/form-data; boundary={boundary}"]
    return _request(head, body)


def open_webui_json(audio: bytes, audio_format: str = "mp3") -> bytes:
    """The same with `AUDIO_STT_OPENAI_API_REQUEST_FORMAT=json`: OpenRouter's dialect."""
    body = json.dumps(
        {
            "model": "whisper-1",
            "input_audio": {"data": base64.b64encode(audio).decode(), "format": audio_format},
        }
    ).encode()
    head = [*_OPEN_WEBUI[:3], "Content-Type: application/json", *_OPEN_WEBUI[3:], f"Content-Length: {len(body)}"]
    return _request(head, body)


def open_webui_reads(answer: Answer) -> str:
    """The text, or the error that the user sees."""
    if answer.status == 200:
        return str(answer.json["text"])
    return f"External: {answer.json['error'].get('message', '')}"


# -- n8n ---------------------------------------------------------------------------------------------------------------


def n8n(audio: bytes, name: str = "memo.ogg", media_type: str = "audio/ogg", language: str = "en") -> bytes:
    """n8n's OpenAI node 2, `transcribe.operation.ts` (commit 8bd7c56), sent by axios with form-data's fields."""
    parts = [
        _Part(['Content-Disposition: form-data; name="model"'], b"whisper-1"),
        _Part(['Content-Disposition: form-data; name="language"'], language.encode()),
        _Part(['Content-Disposition: form-data; name="temperature"'], b"0.2"),
        _Part(
            [f'Content-Disposition: form-data; name="file"; filename="{name}"', f"Content-Type: {media_type}"], audio
        ),
    ]
    boundary = "--------------------------792d21a238b0ddf75f759c0d"
    body = _multipart(parts, boundary)
    head = [
        f"POST {TRANSCRIPTIONS} HTTP/1.1",
        "Accept: application/json",
        f"Content-Type: multipart/form-data; boundary={boundary}",
        f"Authorization: Bearer {KEY}",
        f"content-length: {len(body)}",
        "User-Agent: axios/1.21.1",
        "Accept-Encoding: gzip, compress, deflate, br",
        "Host: 127.0.0.1:8000",
        "Connection: keep-alive",
    ]
    return _request(head, body)


# -- LibreChat ---------------------------------------------------------------------------------------------------------


def librechat(audio: bytes, name: str = "audio.webm", media_type: str = "video/webm", language: str = "en") -> bytes:
    """LibreChat, `STTService.js` (commit 00b3bc3): axios makes the form from an object with a stream of unknown length.

    The file's type is the one that axios guesses from its name. Each piece of the form is a chunk.
    """
    boundary = "----------------------------f44ece8519f2668a8e9c83fb"
    pieces: list[str | bytes] = [
        f'{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: {media_type}\r\n\r\n",
        audio,
        "\r\n",
        f'{boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\n',
        "whisper-1",
        "\r\n",
        f'{boundary}\r\nContent-Disposition: form-data; name="language"\r\n\r\n',
        language,
        f"\r\n{boundary}--\r\n",
    ]
    head = [
        f"POST {TRANSCRIPTIONS} HTTP/1.1",
        "Accept: application/json, text/plain, */*",
        f"Content-Type: multipart/form-data; boundary={boundary[2:]}",
        f"Authorization: Bearer {KEY}",
        "User-Agent: axios/1.21.1",
        "Accept-Encoding: gzip, compress, deflate, br",
        "Host: 127.0.0.1:8000",
        "Connection: keep-alive",
        "Transfer-Encoding: chunked",
    ]
    return _request(head, _chunked([piece.encode() if isinstance(piece, str) else piece for piece in pieces]))


def librechat_reads(answer: Answer) -> str:
    """The text; LibreChat takes an empty one for a failure of the server.

    Raises:
        ValueError: as `sttRequest` throws.
    """
    if answer.status != 200:
        raise ValueError(f"Request failed with status code {answer.status}")
    if not answer.json.get("text"):
        raise ValueError("Missing data in response from the STT API")
    return str(answer.json["text"]).strip()


# -- Home Assistant ----------------------------------------------------------------------------------------------------


def wyoming_openai(audio: bytes, *, stream: bool) -> bytes:
    """wyoming_openai, `handler.py` (commit 071fdc4): a WAV of what Home Assistant has heard, without the language.

    The `openai` SDK sends it, with `stream=false` too.
    """
    fields = [("model", "whisper-1"), ("response_format", "json"), ("stream", "true" if stream else "false")]
    parts = [_Part([f'Content-Disposition: form-data; name="{name}"'], value.encode()) for name, value in fields]
    parts.append(
        _Part(
            ['Content-Disposition: form-data; name="file"; filename="recording.wav"', "Content-Type: audio/x-wav"],
            audio,
        )
    )
    boundary = "457abb08c2c52f3bc77ab89d184e5dec"
    body = _multipart(parts, boundary)
    head = [
        f"POST {TRANSCRIPTIONS} HTTP/1.1",
        "Host: 127.0.0.1:8000",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Connection: keep-alive",
        f"authorization: Bearer {KEY}",
        "accept: application/json",
        "user-agent: AsyncOpenAI/Python 3.57.0",
        "x-stainless-lang: python",
        "x-stainless-package-version: 3.57.0",
        "x-stainless-os: Linux",
        "x-stainless-arch: x64",
        "x-stainless-runtime: CPython",
        "x-stainless-runtime-version: 3.11.7",
        "x-stainless-async: async:asyncio",
        "x-stainless-retry-count: 0",
        "x-stainless-read-timeout: 600",
        f"Content-Length: {len(body)}",
        f"Content-Type: multipart/form-data; boundary={boundary}",
    ]
    return _request(head, body)


def wyoming_openai_reads(answer: Answer) -> str:
    """The text that Home Assistant gets: the deltas put together, or that of the JSON."""
    if answer.media_type != "text/event-stream":
        return str(answer.json["text"])
    events = [
        json.loads(line.removeprefix("data:")) for line in answer.body.decode().splitlines() if line.startswith("data:")
    ]
    return "".join(event["delta"] for event in events if event["type"] == "transcript.text.delta")


# -- Bazarr ------------------------------------------------------------------------------------------------------------


def bazarr_detect_language(pcm: bytes, video_file: str | None = None) -> bytes:
    """Bazarr, `detect_language` of `whisperai.py` (commit fe40438): s16le, 16 kHz, mono, no header; and no key."""
    return _bazarr("/detect-language", {"encode": "false"}, video_file, pcm)


def bazarr_subtitles(
    pcm: bytes, task: str = "transcribe", language: str = "en", video_file: str | None = None
) -> bytes:
    """Bazarr, `download_subtitle` of `whisperai.py` (commit fe40438)."""
    query = {"task": task, "language": language, "output": "srt", "encode": "false"}
    return _bazarr("/asr", query, video_file, pcm)


def _bazarr(path: str, query: dict[str, str], video_file: str | None, pcm: bytes) -> bytes:
    if video_file is not None:
        query = query | {"video_file": video_file}
    boundary = "696c1e383ac87572ec5720f805d66818"
    body = _multipart(
        [_Part(['Content-Disposition: form-data; name="audio_file"; filename="audio_file"'], pcm)], boundary
    )
    head = [
        f"POST {path}?{urlencode(query)} HTTP/1.1",
        "Host: 127.0.0.1:9000",
        "User-Agent: Subliminal/2.3",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept: */*",
        "Connection: keep-alive",
        f"Content-Length: {len(body)}",
        f"Content-Type: multipart/form-data; boundary={boundary}",
    ]
    return _request(head, body)


# -- Wire format -------------------------------------------------------------------------------------------------------


class _Part(NamedTuple):
    headers: list[str]
    content: bytes


def _multipart(parts: list[_Part], boundary: str) -> bytes:
    body = b""
    for headers, content in parts:
        body += "\r\n".join([f"--{boundary}", *headers, "", ""]).encode() + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def _chunked(chunks: list[bytes]) -> bytes:
    return b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in [*chunks, b""])


def _request(head: list[str], body: bytes) -> bytes:
    return "\r\n".join([*head, "", ""]).encode() + body
