"""The routes of the HTTP API as a table, from which `/openapi.json` and `/docs` are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from api.asr_webservice import OUTPUTS
from api.http.job_routes import DEFAULT_WAIT_MS, MAX_WAIT_MS
from api.openai.answers import BINARY_TYPES, TEXT_TYPES
from api.openai.request import MAX_KNOWN_SPEAKERS, RESPONSE_FORMATS
from api.transcriber import Schema

Method = Literal["GET", "POST"]
Group = Literal["OpenAI's audio API", "whisper-asr-webservice's API", "RunPod's API", "The server"]

TEXT: Schema = {"type": "string"}
FILE: Schema = {"type": "string", "format": "binary"}
SWITCH: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}


@dataclass(frozen=True)
class Field:
    """A field of a form, a parameter of a query or a key of a JSON body.

    Attributes:
        name: as sent.
        schema: its JSON Schema.
        text: what it does; in backticks what is code.
        required: true if a request needs it.
    """

    name: str
    schema: Schema
    text: str
    required: bool = False


@dataclass(frozen=True)
class RouteReference:
    """A route.

    Attributes:
        path: its template.
        methods: that it takes.
        group: under which it is listed.
        summary: one sentence.
        query: parameters.
        form: fields of a multipart form.
        body: keys of a JSON body; a route with a form too takes either.
        takes_options: where the transcriber's options are accepted besides.
        answers: content types of an answer.
        needs_key: true if a key is needed where keys are set.
    """

    path: str
    methods: tuple[Method, ...]
    group: Group
    summary: str
    query: tuple[Field, ...] = ()
    form: tuple[Field, ...] = ()
    body: tuple[Field, ...] = ()
    takes_options: Literal["form", "query", "no"] = "no"
    answers: tuple[str, ...] = ("application/json",)
    needs_key: bool = True


_RECORDING = "The recording, audio or video in any format; its name does not matter."
_SPOKEN = "The language spoken, such as `en`, `en-US` or `English`; none: it is detected."
_PROMPT = "Vocabulary or style to follow."
_SPEECH_ANSWERS = ("application/json", "text/plain", *TEXT_TYPES.values(), *BINARY_TYPES.values(), "text/event-stream")
_STREAM_TEXT = "Server-sent events as the text comes, unless it is subtitles."


def _list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _choice(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


_SPEECH = (
    Field("file", FILE, _RECORDING, required=True),
    Field("model", TEXT, "One of `/v1/models`; OpenAI's own names, such as `whisper-1`, mean the default."),
    Field("prompt", TEXT, _PROMPT),
    Field("temperature", {"type": "number", "minimum": 0, "maximum": 1}, "0 or none: as low as gives a sound text."),
    Field("stream", SWITCH, _STREAM_TEXT),
)
_INPUT_AUDIO: Schema = {"type": "object", "properties": {"data": TEXT, "format": TEXT}, "required": ["data"]}
_SPEECH_BODY = (
    Field("input_audio", _INPUT_AUDIO, "The recording: `data` in base64; `format` does not matter."),
    Field("url", TEXT, "The recording's address, instead."),
)
_TRANSCRIPTION = (
    *_SPEECH,
    Field("response_format", _choice(*RESPONSE_FORMATS), "`json` if none is given."),
    Field("language", TEXT, _SPOKEN),
    Field("languages[]", _list_of(TEXT), "Languages that detection chooses from."),
    Field("keywords[]", _list_of(TEXT), "Names and terms that may occur."),
    Field(
        "timestamp_granularities[]",
        _list_of(_choice("segment", "word")),
        "Of `verbose_json`: `segment` if none is given. Of `diarized_json`: `word` adds words to the segments.",
    ),
    Field("include[]", _list_of(_choice("logprobs")), "Of `json`: log-probabilities of tokens."),
    Field(
        "chunking_strategy",
        {"anyOf": [_choice("auto"), OBJECT]},
        "`auto`, or `server_vad` with `threshold`, `prefix_padding_ms` and `silence_duration_ms`.",
    ),
    Field("known_speaker_names[]", _list_of(TEXT), f"At most {MAX_KNOWN_SPEAKERS} speakers to recognize."),
    Field("known_speaker_references[]", _list_of(TEXT), "As many data URLs with a sample of each voice."),
)
_TRANSLATION = (
    *_SPEECH,
    Field(
        "response_format",
        _choice(*(name for name in RESPONSE_FORMATS if name != "diarized_json")),
        "`json` if none is given.",
    ),
    Field("language", TEXT, _SPOKEN),
)

_AUDIO_FILE = Field("audio_file", FILE, _RECORDING, required=True)
_ENCODE = Field("encode", SWITCH, "`false`: `audio_file` is samples alone, 16 bits little-endian at 16 kHz, mono.")

_SUBMISSION = (
    Field(
        "input",
        OBJECT,
        "The job: `audio` with `url`, `base64` or `volume`, `options`, `webhook`, `upload`, `reference`.",
        required=True,
    ),
    Field("policy", OBJECT, "`executionTimeout` and `ttl` in milliseconds."),
    Field("s3Config", OBJECT, "The bucket for `upload`."),
)

REFERENCE: tuple[RouteReference, ...] = (
    RouteReference(
        "/v1/audio/transcriptions",
        ("POST",),
        "OpenAI's audio API",
        "The text of a recording, as subtitles, with times, words or speakers.",
        form=_TRANSCRIPTION,
        body=_SPEECH_BODY,
        takes_options="form",
        answers=_SPEECH_ANSWERS,
    ),
    RouteReference(
        "/v1/audio/translations",
        ("POST",),
        "OpenAI's audio API",
        "The text of a recording in English.",
        form=_TRANSLATION,
        body=_SPEECH_BODY,
        takes_options="form",
        answers=_SPEECH_ANSWERS,
    ),
    RouteReference(
        "/v1/realtime",
        ("GET",),
        "OpenAI's audio API",
        "Text while it is spoken: a WebSocket with OpenAI's Realtime transcription events.",
        query=(
            Field("intent", _choice("transcription"), "Needed, unless `model` is given."),
            Field("model", TEXT, "One of `/v1/models`, or OpenAI's names."),
            Field("session_id", TEXT, "A session whose connection was lost within the last minute."),
            Field("after", TEXT, "Of it: the `event_id` of the last event that arrived."),
        ),
    ),
    RouteReference("/v1/models", ("GET",), "OpenAI's audio API", "The models."),
    RouteReference("/v1/models/{name}", ("GET",), "OpenAI's audio API", "One of the models."),
    RouteReference(
        "/asr",
        ("POST",),
        "whisper-asr-webservice's API",
        "The text of a recording; Bazarr uses it.",
        query=(
            Field("output", _choice(*OUTPUTS), "`txt` if none is given."),
            _ENCODE,
            Field("task", _choice("transcribe", "translate"), "`translate`: into English."),
            Field("language", TEXT, _SPOKEN),
            Field("initial_prompt", TEXT, _PROMPT),
        ),
        form=(_AUDIO_FILE,),
        takes_options="query",
        answers=("text/plain", "application/json"),
    ),
    RouteReference(
        "/detect-language",
        ("POST",),
        "whisper-asr-webservice's API",
        "The language of a recording's beginning.",
        query=(_ENCODE,),
        form=(_AUDIO_FILE,),
    ),
    RouteReference(
        "/run",
        ("POST",),
        "RunPod's API",
        "Queues a job and answers with its `id`; the job goes on without its caller.",
        body=_SUBMISSION,
    ),
    RouteReference(
        "/runsync",
        ("POST",),
        "RunPod's API",
        "Queues a job and waits for its result; after that time it answers as `/status/{id}` does.",
        query=(
            Field(
                "wait",
                {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_MS, "default": DEFAULT_WAIT_MS},
                "Milliseconds.",
            ),
        ),
        body=_SUBMISSION,
    ),
    RouteReference(
        "/status/{id}",
        ("GET", "POST"),
        "RunPod's API",
        "The job's `status`, and as `output` its progress, then its result.",
    ),
    RouteReference(
        "/stream/{id}",
        ("GET", "POST"),
        "RunPod's API",
        "Segments that became final since the last call, and the result as the last piece.",
    ),
    RouteReference("/cancel/{id}", ("POST",), "RunPod's API", "Ends the job."),
    RouteReference("/health", ("GET",), "The server", "Numbers of jobs and workers.", needs_key=False),
    RouteReference("/metrics", ("GET",), "The server", "Metrics for Prometheus.", answers=("text/plain",)),
    RouteReference(
        "/docs", ("GET",), "The server", "This page; `/` leads to it.", answers=("text/html",), needs_key=False
    ),
    RouteReference("/openapi.json", ("GET",), "The server", "This API as OpenAPI 3.1.", needs_key=False),
)

FORMATS: Mapping[str, str] = {
    "json": "The text, the languages and the recording's length.",
    "text": "The text alone.",
    "verbose_json": "Segments with times, or words: see `timestamp_granularities[]`. With speakers if asked for.",
    "diarized_json": "Segments with their speakers.",
    "srt": "Subtitles; options such as `max_line_width` lay them out.",
    "vtt": "Subtitles for the web.",
    "tsv": "A table: start and end in milliseconds, text.",
    "ass": "Subtitles with styles.",
    "lrc": "Lyrics.",
    "ttml": "Subtitles of broadcasters: EBU-TT-D.",
    "stl": "Subtitles of broadcasters: EBU STL, which is binary.",
}
"""Values of `response_format`."""

HEADERS: Mapping[str, str] = {
    "x-request-id": "The request's id, the caller's if one was sent; the server's log has it.",
    "x-model": "The model that answered.",
    "x-ignored-fields": "Fields that had no effect.",
    "x-warnings": "What else the caller should know, as a list in JSON.",
    "openai-processing-ms": "Milliseconds from the end of the upload to the answer.",
    "x-should-retry": "Of errors: `false` if the same request would fail again.",
}

ERRORS: Mapping[str, str] = {
    "400": "The request or the recording is wrong; the message names the field and what would be right.",
    "401": "The key is missing or wrong.",
    "404": "There is no such path, model or job.",
    "405": "The path takes another method, which the message names.",
    "408": "The upload took too long.",
    "413": "The upload or the answer is too large.",
    "415": "The body is neither a form nor JSON, or it is compressed.",
    "429": "The server has as many requests as it takes; `retry-after` says when to come back.",
    "500": "The server failed on this request, and would again.",
    "502": "The endpoint behind this server refused or failed.",
    "503": "The server has no resources for it now; `retry-after` says when to come back.",
}
"""By HTTP status."""

_ANSWERED_ELSEWHERE = frozenset({
    *("output_format", "model", "language", "temperature", "task", "initial_prompt"),  # fields have their place
    *("translate", "captions", "speaker_embeddings"),  # only in a job's output
})  # fmt: skip


def own_options(option_schemas: Mapping[str, Schema]) -> tuple[Field, ...]:
    """The transcriber's options that a request may have besides its route's own fields."""
    return tuple(
        Field(name, drop_references(schema), str(schema.get("description", "")))
        for name, schema in option_schemas.items()
        if name not in _ANSWERED_ELSEWHERE and not name.startswith("caption_")
    )


def drop_references(schema: Any) -> Any:
    """A schema without references, which lead to definitions of another document: anything may be in their places."""
    if isinstance(schema, list):
        return [drop_references(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        return {}
    return {key: drop_references(value) for key, value in schema.items()}
