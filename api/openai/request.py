"""Requests of `/v1/audio/transcriptions` and `/v1/audio/translations`, as options of a job.

Each field of OpenAI's API is read strictly, with an error that names it. The worker's own options are further fields,
whose values the worker itself checks. What other servers have besides is ignored, and said to be.

A form and a JSON body are the same request: `key[]`, `key` more than once and `key[sub]` of a form become lists and
objects first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from api.openai.errors import ApiError
from api.transcriber import Schema

Task = Literal["transcribe", "translate"]

OPENAI_FORMATS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
OUR_FORMATS = ("tsv", "ass", "lrc")
RESPONSE_FORMATS = (*OPENAI_FORMATS, *OUR_FORMATS)

MAX_FIELDS = 5000
"""Of a form, of which each keyword is one."""

MAX_NAME_CHARACTERS = 60
"""Of a field; also of an ignored one as it is named in the answer."""

MAX_IGNORED = 20
"""Names of ignored fields that are named in the answer."""

MAX_DEPTH = 5
"""Of lists and objects in a body or a field; none needs more than four."""

MAX_VALUES = 20_000
"""Of a field with JSON, or with commas: of 12 MB of them Python makes 250 MB of lists, and takes seconds."""

MAX_KNOWN_SPEAKERS = 4
"""As at OpenAI."""

_STREAMED_FORMATS = ("json", "text", "verbose_json", "diarized_json")
"""Subtitles cannot be sent as pieces of a text: there, `stream` has no effect, as with OpenAI's whisper-1."""

_URLS = ("url", "file_url", "audio_url")

_WITHOUT_PLACE = {
    "translate": "a translation has its own route, /v1/audio/translations",
    "captions": "this route answers with text: send a job to /run for a captioned video",
    "speaker_embeddings": "this route answers with text: send a job to /run for embeddings",
}
"""Options of the worker whose result has no place in OpenAI's answers."""


@dataclass(frozen=True)
class SpeechRequest:
    """A request for a text.

    Attributes:
        model: as named by the caller, or empty; see `api.openai.models.choose_model`.
        options: of the job, without `model`; `output_format` holds what `response_format` is made from.
        response_format: one of `RESPONSE_FORMATS`.
        granularities: of `verbose_json`: some of `segment` and `word`.
        logprobs: true if the log-probabilities of tokens are wanted.
        stream: true if events are wanted (`api.openai.events`).
        audio: the job's `audio`, of a request with a URL or in JSON; None: the recording is the form's `file`.
        ignored: names of fields that have no effect here, fit for a header.
    """

    model: str
    options: Mapping[str, Any]
    response_format: str
    granularities: frozenset[str]
    logprobs: bool
    stream: bool
    audio: Mapping[str, Any] | None
    ignored: tuple[str, ...]


def parse_form(fields: Sequence[tuple[str, str]], task: Task, option_schemas: Mapping[str, Schema]) -> SpeechRequest:
    """Parse the fields of a multipart form, without the file.

    Args:
        fields: names and values in order; names may come more than once, as in `keywords[]`.
        task: by the route.
        option_schemas: of the worker's own options, which are accepted as further fields.

    Raises:
        ApiError: naming the wrong field and the correct form.
    """
    if len(fields) > MAX_FIELDS:
        raise ApiError(400, f"a form should have at most {MAX_FIELDS} fields")
    return _parse(_Values(_gather(fields)), task, option_schemas)


def parse_json(body: Any, task: Task, option_schemas: Mapping[str, Schema]) -> SpeechRequest:
    """Parse a request in JSON, in OpenRouter's dialect: `input_audio` with `data` and `format`, or a URL.

    Raises:
        ApiError: naming the wrong field and the correct form.
    """
    if not isinstance(body, dict) or not all(isinstance(name, str) for name in body):
        raise ApiError(400, 'the body should be an object such as {"model": "whisper-1", "url": "https://..."}')
    if len(body) > MAX_FIELDS:
        raise ApiError(400, f"the body should have at most {MAX_FIELDS} keys")
    if _is_deeper(body, MAX_DEPTH + 1):
        raise ApiError(400, f"the body should have at most {MAX_DEPTH + 1} levels")
    values = _Values({name.removesuffix("[]"): value for name, value in body.items()})
    audio = _read_input_audio(values.take("input_audio"))
    request = _parse(values, task, option_schemas, audio)
    if request.audio is None:
        raise _wrong(
            "input_audio", 'missing: give {"data": "<base64>", "format": "mp3"}, or the address of a recording as "url"'
        )
    return request


class _Values:
    """The fields of a request by name, each taken once; those that are left over have no effect."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {name: value for name, value in values.items() if value is None or not _is_blank(value)}

    @property
    def names(self) -> list[str]:
        """Of the fields that were not taken, and are not null."""
        return [name for name, value in self._values.items() if value is not None]

    def take(self, name: str) -> Any:
        """The value of a field; None if there is none."""
        return self._values.pop(name, None)

    def take_text(self, name: str) -> str | None:
        value = _single(name, self.take(name))
        if value is None or isinstance(value, str):
            return value
        raise _wrong(name, "should be a text")

    def take_list(self, name: str) -> list[Any]:
        """The values of a field; a single one is a list of it."""
        value = self.take(name)
        items = value if isinstance(value, list) else [value]
        return [item for item in items if not _is_blank(item)]

    def take_switch(self, name: str) -> bool | None:
        value = _single(name, self.take(name))
        return None if value is None else read_switch(name, value)

    def take_options(self, schemas: Mapping[str, Schema]) -> dict[str, Any]:
        """The values of the worker's own options; null is one where it differs from the default."""
        return {name: self._values.pop(name) for name in schemas if name in self._values}


@dataclass
class _Draft:
    """A job's options as they come together, and the names of fields without an effect."""

    options: dict[str, Any] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    _fields: dict[str, str] = field(default_factory=dict)
    """The field that has set each option."""

    def set(self, option: str, value: Any, name: str) -> None:
        """Set an option.

        Raises:
            ApiError: another field has set it to another value.
        """
        if option in self.options and not _is_same(self.options[option], value):
            raise _wrong(name, f"contradicts {self._fields[option]}: leave one of them out")
        self.options[option] = value
        self._fields.setdefault(option, name)


def _parse(
    values: _Values, task: Task, option_schemas: Mapping[str, Schema], audio: Mapping[str, Any] | None = None
) -> SpeechRequest:
    draft = _Draft()
    audio = _read_url(values, audio)
    model = (values.take_text("model") or "").strip()
    _read_task(values, draft, task)
    response_format = _read_format(values, draft, task)
    _read_texts(values, draft)
    _read_temperature(values, draft)
    _read_chunking(values, draft)
    _read_known_speakers(values, draft)
    granularities = _read_granularities(values, draft, response_format)
    logprobs = _read_logprobs(values, draft, response_format)
    stream = _read_stream(values, draft, response_format)
    _read_extras(values, draft)
    _read_own_options(values, draft, option_schemas)
    draft.options["output_format"] = _output_formats(response_format, with_segments=stream or logprobs)
    return SpeechRequest(
        model=model,
        options=draft.options,
        response_format=response_format,
        granularities=granularities,
        logprobs=logprobs,
        stream=stream,
        audio=audio,
        ignored=nameable([*draft.ignored, *values.names]),
    )


def _gather(fields: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The fields of a form with lists and objects where the names spell them."""
    items: dict[str, list[Any]] = {}
    objects: dict[str, dict[str, str]] = {}
    single: set[str] = set()
    for written, value in fields:
        match = re.fullmatch(r"([^\[\]]+)(?:\[([^\[\]]*)\])?", written)
        name, inner = match.groups() if match else (written, None)
        if not inner:
            items.setdefault(name, []).append(value)
            single |= {name} if inner is None else set()
        elif name in objects:
            objects[name][inner] = value
        else:
            objects[name] = {inner: value}
            items.setdefault(name, []).append(objects[name])
            single.add(name)
    return {name: values[0] if name in single and len(values) == 1 else values for name, values in items.items()}


def _read_url(values: _Values, audio: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The recording, unless it is the form's file."""
    for name in _URLS:
        url = values.take_text(name)
        if url is not None and audio is not None:
            raise _wrong(name, "is a second recording: give one")
        audio = audio if url is None else {"url": url}
    return audio


def _read_input_audio(value: Any) -> Mapping[str, Any] | None:
    """OpenRouter's recording; its format is found from its bytes."""
    if value is None:
        return None
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, str) or not data:
        raise _wrong("input_audio", 'should be an object such as {"data": "<base64>", "format": "mp3"}')
    return {"base64": data}


def _read_task(values: _Values, draft: _Draft, task: Task) -> None:
    given = values.take_text("task")
    if given is not None and given.strip().lower() != task:
        raise _wrong("task", "is chosen by the route: /v1/audio/transcriptions or /v1/audio/translations")
    if task == "translate":
        draft.set("task", task, "task")


def _read_format(values: _Values, draft: _Draft, task: Task) -> str:
    """The format of the answer, which may have the name of the worker's option."""
    formats = [name for name in RESPONSE_FORMATS if name != "diarized_json" or task == "transcribe"]
    given: dict[str, str] = {}
    for name in ("response_format", "output_format"):
        text = (values.take_text(name) or "").strip().lower()
        if text and text not in formats:
            raise _wrong(name, f"should be {_one_of(formats)}")
        given |= {name: text} if text else {}
    if len({*given.values()}) > 1:
        raise _wrong("output_format", "contradicts response_format: leave one of them out")
    chosen = next(iter(given.values()), "json")
    if chosen == "diarized_json":
        draft.set("diarize", True, "response_format")
    return chosen


def _read_texts(values: _Values, draft: _Draft) -> None:
    for name, option in (("language", "language"), ("prompt", "initial_prompt")):
        if (text := values.take_text(name)) is not None:
            draft.set(option, text, name)
    for name, option in (("languages", "language_candidates"), ("keywords", "custom_vocabulary")):
        items = values.take_list(name)
        if not all(isinstance(item, str) for item in items):
            raise _wrong(name, "should be a list of texts")
        if items:
            draft.set(option, items, name)


def _read_temperature(values: _Values, draft: _Draft) -> None:
    """0 stands for the temperatures of the fallback, which are the worker's default, as at OpenAI."""
    value = _from_json("temperature", values.take("temperature"))
    if value is None:
        return
    temperature = value if isinstance(value, list) else _read_number("temperature", value, 0, 1)
    if temperature != 0:
        draft.set("temperature", temperature, "temperature")


def _read_granularities(values: _Values, draft: _Draft, response_format: str) -> frozenset[str]:
    """OpenAI's default is `segment`; the worker's own option asks for words too."""
    granularities = _read_choices(values, "timestamp_granularities", ("segment", "word"))
    if response_format != "verbose_json":
        draft.ignored += ["timestamp_granularities"] if granularities else []
        return frozenset()
    words = values.take_switch("word_timestamps")
    if words is not None:
        draft.set("word_timestamps", words, "word_timestamps")
    if "word" in granularities:
        draft.set("word_timestamps", True, "timestamp_granularities")
    return granularities or frozenset(["segment", "word"] if words else ["segment"])


def _read_logprobs(values: _Values, draft: _Draft, response_format: str) -> bool:
    wanted = bool(_read_choices(values, "include", ("logprobs",)))
    if wanted and response_format != "json":
        draft.ignored.append("include")
        return False
    if wanted:
        draft.set("token_logprobs", True, "include")
    return wanted


def _read_stream(values: _Values, draft: _Draft, response_format: str) -> bool:
    wanted = bool(values.take_switch("stream"))
    if wanted and response_format not in _STREAMED_FORMATS:
        draft.ignored.append("stream")
        return False
    return wanted


def _read_choices(values: _Values, name: str, choices: Sequence[str]) -> frozenset[str]:
    """Some of the choices, from a list or from text with commas."""
    items = values.take_list(name)
    chosen = [part.strip() for item in items if isinstance(item, str) for part in item.split(",", len(choices))]
    if not {*chosen} <= {*choices} or len(chosen) < len(items):
        raise _wrong(name, f"should be {_one_of(choices)}, or a list of them")
    return frozenset(chosen)


_VAD_FIELDS: Mapping[str, tuple[str, float]] = {
    "threshold": ("vad_threshold", 1),
    "prefix_padding_ms": ("speech_pad_ms", 5_000),
    "silence_duration_ms": ("min_silence_ms", 10_000),
}
"""Of `chunking_strategy`: the worker's option, and its largest value."""


def _read_chunking(values: _Values, draft: _Draft) -> None:
    name = "chunking_strategy"
    strategy = _from_json(name, values.take(name))
    if strategy is None or strategy == "auto":
        return
    if not isinstance(strategy, dict) or strategy.get("type", "server_vad") != "server_vad":
        raise _wrong(name, 'should be "auto", or an object such as {"type": "server_vad", "threshold": 0.5}')
    draft.ignored += [f"{name}[{inner}]" for inner in strategy if inner not in ("type", *_VAD_FIELDS)]
    for inner, (option, largest) in _VAD_FIELDS.items():
        value = strategy.get(inner)
        if not _is_blank(value):
            number = _read_number(f"{name}[{inner}]", value, 0, largest)
            draft.set(option, number if inner == "threshold" else round(number), f"{name}[{inner}]")


_SAMPLE = re.compile(r"data:[^,]*;base64,|https?://", re.IGNORECASE)
"""The beginning of a voice's sample."""


def _read_known_speakers(values: _Values, draft: _Draft) -> None:
    names = values.take_list("known_speaker_names")
    samples = values.take_list("known_speaker_references")
    if not names and not samples:
        return
    if len(names) != len(samples):
        raise _wrong("known_speaker_references", "should be as many as known_speaker_names")
    if len(names) > MAX_KNOWN_SPEAKERS:
        raise _wrong("known_speaker_names", f"should be at most {MAX_KNOWN_SPEAKERS}")
    if not all(isinstance(name, str) for name in names) or len({*names}) < len(names):
        raise _wrong("known_speaker_names", "should be different texts")
    if not all(isinstance(sample, str) and _SAMPLE.match(sample) for sample in samples):
        raise _wrong("known_speaker_references", 'should be data URLs such as "data:audio/wav;base64,..."')
    draft.set("speakers", dict(zip(names, samples, strict=True)), "known_speaker_names")
    draft.set("diarize", True, "known_speaker_names")


def _hotwords(value: Any) -> Any:
    """faster-whisper's are one text."""
    if not isinstance(value, str):
        return value
    _check_size("hotwords", value, ",")
    return [term.strip() for term in value.split(",") if term.strip()]


_EXTRAS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "hotwords": ("custom_vocabulary", _hotwords),
    "vad_filter": ("vad", lambda value: read_switch("vad_filter", value)),
}
"""Fields of other servers (Speaches, vLLM) with an equivalent: the option, and what makes its value."""


def _read_extras(values: _Values, draft: _Draft) -> None:
    for name, (option, convert) in _EXTRAS.items():
        value = values.take(name)
        if value is not None:
            draft.set(option, convert(value), name)


def _read_own_options(values: _Values, draft: _Draft, option_schemas: Mapping[str, Schema]) -> None:
    for name, value in values.take_options(option_schemas).items():
        if value is None and name in draft.options:
            continue
        read = None if value is None else read_option(name, value, option_schemas[name])
        if name not in _WITHOUT_PLACE:
            draft.set(name, read, name)
        elif read:
            raise _wrong(name, _WITHOUT_PLACE[name])


def read_option(name: str, value: Any, schema: Schema) -> Any:
    """The value of one of the worker's options from a field; its text may be JSON where it is a list or an object.

    Args:
        name: of the field, for errors.
        value: as given.
        schema: of the option.

    Raises:
        ApiError: it is no switch although the option is one, or broken JSON.
    """
    types = _types(schema)
    if "boolean" in types:
        return read_switch(name, _single(name, value))
    return _from_json(name, value) if types & {"array", "object"} else _single(name, value)


def read_switch(name: str, value: Any) -> bool:
    """True or false from its spellings in forms.

    Raises:
        ApiError: it is neither.
    """
    text = value.strip().lower() if isinstance(value, str) and len(value) < 20 else value
    if isinstance(text, (str, bool, int)) and text in ("true", "1", "yes", "on", True):
        return True
    if isinstance(text, (str, bool, int)) and text in ("false", "0", "no", "off", False):
        return False
    raise _wrong(name, "should be true or false")


def _output_formats(response_format: str, *, with_segments: bool) -> list[str]:
    """The worker's formats that an answer is made from."""
    own = {"diarized_json": "json", "json": "json" if with_segments else "text"}.get(response_format, response_format)
    return list(dict.fromkeys([own, *(["json"] if with_segments else [])]))


def _read_number(name: str, value: Any, smallest: float, largest: float) -> float:
    try:
        if isinstance(value, bool) or (isinstance(value, str) and len(value) > 40):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not smallest <= number <= largest:
        raise _wrong(name, f"should be a number from {smallest:g} to {largest:g}")
    return number


def _from_json(name: str, value: Any) -> Any:
    """The list or object that a text spells; any other value as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    _check_size(name, value, "[{,")
    try:
        read = json.loads(value, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise _wrong(name, "should be valid JSON") from None
    if _is_deeper(read, MAX_DEPTH):
        raise _wrong(name, f"should have at most {MAX_DEPTH} levels")
    return read


def _check_size(name: str, text: str, marks: str) -> None:
    if sum(text.count(mark) for mark in marks) > MAX_VALUES:
        raise _wrong(name, f"should have at most {MAX_VALUES} values")


def _refuse_constant(_: str) -> Any:
    raise ValueError("not JSON")


def _types(schema: Schema) -> set[str]:
    """The JSON types that a schema accepts."""
    inner = [type_ for choice in schema.get("anyOf", []) for type_ in _types(choice)]
    return {schema["type"], *inner} if "type" in schema else set(inner)


def _single(name: str, value: Any) -> Any:
    """The one value of a field that a form may give more than once."""
    if not isinstance(value, list):
        return value
    if len(value) != 1 and any(not _is_same(item, value[0]) for item in value):
        raise _wrong(name, "should be given once")
    return value[0] if value else None


def _is_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _is_deeper(value: Any, levels: int) -> bool:
    """True if lists and objects are nested in more levels."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is not None and (levels == 0 or any(_is_deeper(item, levels - 1) for item in inner))


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, list) and not value)


def nameable(names: Sequence[str]) -> tuple[str, ...]:
    """Names of the caller's as an error, or a header with a list, can hold them."""
    short = (re.sub(r"[^ -+\--~]", "?", name[:MAX_NAME_CHARACTERS]) for name in names[:MAX_IGNORED])
    return tuple(dict.fromkeys(short))


def _one_of(choices: Sequence[str]) -> str:
    return "one of " + ", ".join(f'"{choice}"' for choice in choices) if len(choices) > 1 else f'"{choices[0]}"'


def _wrong(name: str, what: str) -> ApiError:
    name = nameable([name])[0]
    return ApiError(400, f"{name}: {what}", param=name)
