"""Requests of `/v1/audio/transcriptions` and `/v1/audio/translations`, as options of a job.

Each field of OpenAI's API is read strictly, with an error that names it. The worker's own options are further fields,
whose values the worker itself checks. What other servers have besides is ignored, and said to be.

A form and a JSON body are the same request: a form's lists and objects are put together first (`gather`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from api.form_values import (
    MAX_DEPTH,
    OptionsDraft,
    Values,
    check_size,
    from_json,
    gather,
    is_blank,
    is_deeper,
    nameable,
    one_of,
    read_number,
    read_option,
    read_switch,
    wrong,
)
from api.openai.errors import ApiError
from api.transcriber import Schema

Task = Literal["transcribe", "translate"]

OPENAI_FORMATS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
OUR_FORMATS = ("tsv", "ass", "lrc", "ttml", "stl")
RESPONSE_FORMATS = (*OPENAI_FORMATS, *OUR_FORMATS)

MAX_FIELDS = 5000
"""Of a form, of which each keyword is one."""

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
        granularities: of `verbose_json` and `diarized_json`: some of `segment` and `word`.
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
    return _parse(Values(gather(fields)), task, option_schemas)


def parse_json(body: Any, task: Task, option_schemas: Mapping[str, Schema]) -> SpeechRequest:
    """Parse a request in JSON, in OpenRouter's dialect: `input_audio` with `data` and `format`, or a URL.

    Raises:
        ApiError: naming the wrong field and the correct form.
    """
    if not isinstance(body, dict) or not all(isinstance(name, str) for name in body):
        raise ApiError(400, 'the body should be an object such as {"model": "whisper-1", "url": "https://..."}')
    if len(body) > MAX_FIELDS:
        raise ApiError(400, f"the body should have at most {MAX_FIELDS} keys")
    if is_deeper(body, MAX_DEPTH + 1):
        raise ApiError(400, f"the body should have at most {MAX_DEPTH + 1} levels")
    values = Values({name.removesuffix("[]"): value for name, value in body.items()})
    audio = _read_input_audio(values.take("input_audio"))
    request = _parse(values, task, option_schemas, audio)
    if request.audio is None:
        raise wrong(
            "input_audio", 'missing: give {"data": "<base64>", "format": "mp3"}, or the address of a recording as "url"'
        )
    return request


def _parse(
    values: Values, task: Task, option_schemas: Mapping[str, Schema], audio: Mapping[str, Any] | None = None
) -> SpeechRequest:
    draft = OptionsDraft()
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


def _read_url(values: Values, audio: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The recording, unless it is the form's file."""
    for name in _URLS:
        url = values.take_text(name)
        if url is not None and audio is not None:
            raise wrong(name, "is a second recording: give one")
        audio = audio if url is None else {"url": url}
    return audio


def _read_input_audio(value: Any) -> Mapping[str, Any] | None:
    """OpenRouter's recording; its format is found from its bytes."""
    if value is None:
        return None
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, str) or not data:
        raise wrong("input_audio", 'should be an object such as {"data": "<base64>", "format": "mp3"}')
    return {"base64": data}


def _read_task(values: Values, draft: OptionsDraft, task: Task) -> None:
    given = values.take_text("task")
    if given is not None and given.strip().lower() != task:
        raise wrong("task", "is chosen by the route: /v1/audio/transcriptions or /v1/audio/translations")
    if task == "translate":
        draft.set("task", task, "task")


def _read_format(values: Values, draft: OptionsDraft, task: Task) -> str:
    """The format of the answer, which may have the name of the worker's option."""
    formats = [name for name in RESPONSE_FORMATS if name != "diarized_json" or task == "transcribe"]
    given: dict[str, str] = {}
    for name in ("response_format", "output_format"):
        text = (values.take_text(name) or "").strip().lower()
        if text and text not in formats:
            raise wrong(name, f"should be {one_of(formats)}")
        given |= {name: text} if text else {}
    if len({*given.values()}) > 1:
        raise wrong("output_format", "contradicts response_format: leave one of them out")
    chosen = next(iter(given.values()), "json")
    if chosen == "diarized_json":
        draft.set("diarize", True, "response_format")
    return chosen


def _read_texts(values: Values, draft: OptionsDraft) -> None:
    for name, option in (("language", "language"), ("prompt", "initial_prompt")):
        if (text := values.take_text(name)) is not None:
            draft.set(option, text, name)
    for name, option in (("languages", "language_candidates"), ("keywords", "custom_vocabulary")):
        items = values.take_list(name)
        if not all(isinstance(item, str) for item in items):
            raise wrong(name, "should be a list of texts")
        if items:
            draft.set(option, items, name)


def _read_temperature(values: Values, draft: OptionsDraft) -> None:
    """0 stands for the temperatures of the fallback, which are the worker's default, as at OpenAI."""
    value = from_json("temperature", values.take("temperature"))
    if value is None:
        return
    temperature = value if isinstance(value, list) else read_number("temperature", value, 0, 1)
    if temperature != 0:
        draft.set("temperature", temperature, "temperature")


def _read_granularities(values: Values, draft: OptionsDraft, response_format: str) -> frozenset[str]:
    """OpenAI's default is `segment`; the worker's own option asks for words too."""
    granularities = _read_choices(values, "timestamp_granularities", ("segment", "word"))
    if response_format not in ("verbose_json", "diarized_json"):
        draft.ignored += ["timestamp_granularities"] if granularities else []
        return frozenset()
    words = values.take_switch("word_timestamps")
    if words is not None:
        draft.set("word_timestamps", words, "word_timestamps")
    if "word" in granularities:
        draft.set("word_timestamps", True, "timestamp_granularities")
    return granularities or frozenset(["segment", "word"] if words else ["segment"])


def _read_logprobs(values: Values, draft: OptionsDraft, response_format: str) -> bool:
    wanted = bool(_read_choices(values, "include", ("logprobs",)))
    if wanted and response_format != "json":
        draft.ignored.append("include")
        return False
    if wanted:
        draft.set("token_logprobs", True, "include")
    return wanted


def _read_stream(values: Values, draft: OptionsDraft, response_format: str) -> bool:
    wanted = bool(values.take_switch("stream"))
    if wanted and response_format not in _STREAMED_FORMATS:
        draft.ignored.append("stream")
        return False
    return wanted


def _read_choices(values: Values, name: str, choices: Sequence[str]) -> frozenset[str]:
    """Some of the choices, from a list or from text with commas."""
    items = values.take_list(name)
    chosen = [part.strip() for item in items if isinstance(item, str) for part in item.split(",", len(choices))]
    if not {*chosen} <= {*choices} or len(chosen) < len(items):
        raise wrong(name, f"should be {one_of(choices)}, or a list of them")
    return frozenset(chosen)


_VAD_FIELDS: Mapping[str, tuple[str, float]] = {
    "threshold": ("vad_threshold", 1),
    "prefix_padding_ms": ("speech_pad_ms", 5_000),
    "silence_duration_ms": ("min_silence_ms", 10_000),
}
"""Of `chunking_strategy`: the worker's option, and its largest value."""


def _read_chunking(values: Values, draft: OptionsDraft) -> None:
    name = "chunking_strategy"
    strategy = from_json(name, values.take(name))
    if strategy is None or strategy == "auto":
        return
    if not isinstance(strategy, dict) or strategy.get("type", "server_vad") != "server_vad":
        raise wrong(name, 'should be "auto", or an object such as {"type": "server_vad", "threshold": 0.5}')
    draft.ignored += [f"{name}[{inner}]" for inner in strategy if inner not in ("type", *_VAD_FIELDS)]
    for inner, (option, largest) in _VAD_FIELDS.items():
        value = strategy.get(inner)
        if not is_blank(value):
            number = read_number(f"{name}[{inner}]", value, 0, largest)
            draft.set(option, number if inner == "threshold" else round(number), f"{name}[{inner}]")


_SAMPLE = re.compile(r"data:[^,]*;base64,|https?://", re.IGNORECASE)
"""The beginning of a voice's sample."""


def _read_known_speakers(values: Values, draft: OptionsDraft) -> None:
    names = values.take_list("known_speaker_names")
    samples = values.take_list("known_speaker_references")
    if not names and not samples:
        return
    if len(names) != len(samples):
        raise wrong("known_speaker_references", "should be as many as known_speaker_names")
    if len(names) > MAX_KNOWN_SPEAKERS:
        raise wrong("known_speaker_names", f"should be at most {MAX_KNOWN_SPEAKERS}")
    names = [unicodedata.normalize("NFC", name) if isinstance(name, str) else name for name in names]  # as in answers
    if not all(isinstance(name, str) for name in names) or len({*names}) < len(names):
        raise wrong("known_speaker_names", "should be different texts")
    if not all(isinstance(sample, str) and _SAMPLE.match(sample) for sample in samples):
        raise wrong("known_speaker_references", 'should be data URLs such as "data:audio/wav;base64,..."')
    draft.set("speakers", dict(zip(names, samples, strict=True)), "known_speaker_names")
    draft.set("diarize", True, "known_speaker_names")


def _hotwords(value: Any) -> Any:
    """faster-whisper's are one text."""
    if not isinstance(value, str):
        return value
    check_size("hotwords", value, ",")
    return [term.strip() for term in value.split(",") if term.strip()]


_EXTRAS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "hotwords": ("custom_vocabulary", _hotwords),
    "vad_filter": ("vad", lambda value: read_switch("vad_filter", value)),
}
"""Fields of other servers (Speaches, vLLM) with an equivalent: the option, and what makes its value."""


def _read_extras(values: Values, draft: OptionsDraft) -> None:
    for name, (option, convert) in _EXTRAS.items():
        value = values.take(name)
        if value is not None:
            draft.set(option, convert(value), name)


def _read_own_options(values: Values, draft: OptionsDraft, option_schemas: Mapping[str, Schema]) -> None:
    for name, value in values.take_options(option_schemas).items():
        if value is None and name in draft.options:
            continue
        read = None if value is None else read_option(name, value, option_schemas[name])
        if name not in _WITHOUT_PLACE:
            draft.set(name, read, name)
        elif read:
            raise wrong(name, _WITHOUT_PLACE[name])


def _output_formats(response_format: str, *, with_segments: bool) -> list[str]:
    """The worker's formats that an answer is made from."""
    own = {"diarized_json": "json", "json": "json" if with_segments else "text"}.get(response_format, response_format)
    return list(dict.fromkeys([own, *(["json"] if with_segments else [])]))
