"""Answers of `/v1/audio/transcriptions` and `/v1/audio/translations`, made from a job's output."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

from api.json_text import to_json
from api.openai.errors import ApiError
from api.openai.request import SpeechRequest
from api.transcriber import Answer, find_seconds

Json = dict[str, Any]

TEXT_TYPES = {"tsv": "text/tab-separated-values", "ass": "text/x-ssa", "ttml": "application/ttml+xml"}
"""Of formats that OpenAI lacks; it sends its own as plain text."""

BINARY_TYPES = {"stl": "application/octet-stream"}
"""Of formats that are bytes, which a job's output has in base64."""

_SEGMENT_KEYS = (
    *("id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio"),
    *("no_speech_prob", "language", "channel", "speaker"),
)
"""OpenAI's, and the worker's `language`, `channel` and `speaker`, if the job has asked for them."""

_SPEAKER_KEYS = ("speakers", "speaker_turns")
"""The worker's, if the job has asked for speakers."""


class Body(NamedTuple):
    """The body of an answer, and its content type."""

    content: str
    media_type: str
    is_base64: bool = False
    """True if the body is what `content` stands for in base64."""

    def to_bytes(self) -> bytes:
        """Return the body as it is sent."""
        return base64.b64decode(self.content) if self.is_base64 else self.content.encode(errors="replace")


class DiarizedSegment(NamedTuple):
    """A segment of one speaker, under the label of OpenAI's API; times in seconds."""

    id: str
    start: float
    end: float
    text: str
    speaker: str
    words: list[Json] | None = None
    """With labels of OpenAI's API too; None unless they were asked for."""

    def to_json(self) -> Json:
        """Return the segment as in an answer, which is also its event in a stream."""
        fields = {key: value for key, value in self._asdict().items() if value is not None}
        return {"type": "transcript.text.segment", **fields}


def to_body(answer: Answer, request: SpeechRequest) -> Body:
    """The body in the request's `response_format`, for a job's answer that is no error.

    Raises:
        ApiError: 413, the text is too large for an answer, and was delivered as files.
    """
    content = to_content(answer, request)
    if isinstance(content, str) and request.response_format in BINARY_TYPES:
        return Body(content, BINARY_TYPES[request.response_format], is_base64=True)
    if isinstance(content, str):
        return Body(content, f"{TEXT_TYPES.get(request.response_format, 'text/plain')}; charset=utf-8")
    return Body(to_json(content), "application/json")


def to_content(answer: Answer, request: SpeechRequest) -> Json | str:
    """What `to_body` writes: an object of JSON, or a text, which is base64 for formats that are bytes.

    Raises:
        ApiError: 413, the text is too large for an answer, and was delivered as files.
    """
    make = {"json": _to_json, "verbose_json": _to_verbose_json, "diarized_json": _to_diarized_json}.get(
        request.response_format
    )
    if make is None:
        return str(find_rendered(answer, request.response_format))
    content = make(answer, request)
    return {**content, **find_extras(answer)}


def find_extras(answer: Answer) -> Json:
    """What the answer tells besides OpenAI's keys: warnings, what was redacted, and how a given text differs."""
    extras = ("given_text", "redacted", "warnings")
    return {key: answer["metadata"][key] for key in extras if answer["metadata"].get(key)}


def find_rendered(answer: Answer, key: str) -> Any:
    """A part of the worker's `transcription`.

    Raises:
        ApiError: 413, it was delivered as a file; 502, a broken endpoint has not sent it.
    """
    transcription = answer.get("transcription") or {}
    if key not in transcription and "files" not in answer:
        raise _incomplete(key)
    if key not in transcription:
        raise ApiError(
            413,
            "the text is too large for this answer, and was delivered as files: send a job to /run for their "
            "addresses, ask for another response_format, or for parts of the recording",
            code="answer_too_large",
        )
    return transcription[key]


def find_usage(answer: Answer) -> Json:
    """What OpenAI counts: seconds of the recording, rounded up."""
    return {"type": "duration", "seconds": ceil(find_duration(answer))}


def find_duration(answer: Answer) -> float:
    """The recording's length in seconds; 0 if it is not known, as with parts of which one is not."""
    return find_seconds(answer, "audio_duration")


def find_languages(answer: Answer) -> list[Json]:
    """The recording's language; none if nothing could be detected."""
    metadata = answer["metadata"]
    known = metadata.get("language") and metadata.get("language_probability") is not None
    return [{"code": metadata["language"]}] if known else []


def find_logprobs(segments: Sequence[Mapping[str, Any]]) -> list[Json]:
    """The log-probabilities of the segments' tokens, each with its `token`, `logprob` and `bytes`."""
    return [logprob for segment in segments for logprob in segment.get("logprobs", [])]


def diarize(
    segments: Sequence[Mapping[str, Any]], known: Sequence[str], *, words: bool = False
) -> list[DiarizedSegment]:
    """The segments of a diarized text, with speakers' labels as at OpenAI.

    Args:
        segments: the worker's.
        known: names of the request's known speakers; the others are called A, B and so on in order of first speech.
        words: if true, segments have their words, with the worker's keys.
    """
    letters = (letter for letter in _letters() if letter not in known)
    labels = {name: name for name in known}

    def label(speaker: Any) -> str:
        name = str(speaker)  # None is one more: speech in no turn
        if name not in labels:
            labels[name] = next(letters)
        return labels[name]

    speakers = [label(segment.get("speaker")) for segment in segments]
    return [
        DiarizedSegment(
            f"seg_{number:03d}",
            segment["start"],
            segment["end"],
            segment["text"].strip(),
            speaker,
            [_diarized_word(word, label) for word in segment.get("words", [])] if words else None,
        )
        for number, (segment, speaker) in enumerate(zip(segments, speakers, strict=True), start=1)
    ]


def _diarized_word(word: Mapping[str, Any], label: Callable[[Any], str]) -> Json:
    others = word.get("other_speakers")
    return {
        **word,
        "word": word["word"].strip(),
        "speaker": label(word.get("speaker")),
        **({"other_speakers": [label(other) for other in others]} if isinstance(others, list) else {}),
    }


def with_labels(segments: Sequence[DiarizedSegment]) -> Iterator[tuple[DiarizedSegment, str]]:
    """Each segment with its part of the text, which has a line such as `A: Good morning.` for each turn."""
    previous = None
    for segment in segments:
        line = "" if previous is None else "\n"
        yield segment, f" {segment.text}" if segment.speaker == previous else f"{line}{segment.speaker}: {segment.text}"
        previous = segment.speaker


def diarized_answer(answer: Answer, request: SpeechRequest) -> list[DiarizedSegment]:
    """The segments of a job's answer with their speakers.

    Raises:
        ApiError: 413, they were delivered as a file.
    """
    known = list(request.options.get("speakers") or {})
    return diarize(find_rendered(answer, "segments"), known, words="word" in request.granularities)


def verbose_segments(segments: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Segments of `verbose_json`; they have `tokens` even where the worker has none, such as parts of a segment."""
    return [{"tokens": [], **{key: segment[key] for key in _SEGMENT_KEYS if key in segment}} for segment in segments]


def _to_json(answer: Answer, request: SpeechRequest) -> Json:
    content = {"text": find_rendered(answer, "text"), "usage": find_usage(answer)}
    if request.options.get("task") != "translate":
        content["languages"] = find_languages(answer)
    if request.logprobs:
        content["logprobs"] = find_logprobs(find_rendered(answer, "segments"))
    return content


def _to_verbose_json(answer: Answer, request: SpeechRequest) -> Json:
    verbose = find_rendered(answer, "verbose_json")
    keys = ("task", "language", "duration", "text")
    if not verbose.keys() >= {*keys, "segments"}:
        raise _incomplete("verbose_json")
    content = {key: verbose[key] for key in keys}
    if "segment" in request.granularities:
        content["segments"] = verbose_segments(verbose["segments"])
    if "word" in request.granularities:
        content["words"] = verbose.get("words", [])
    speakers = {key: answer["transcription"][key] for key in _SPEAKER_KEYS if key in answer["transcription"]}
    return {**content, "usage": find_usage(answer), **speakers}


def _to_diarized_json(answer: Answer, request: SpeechRequest) -> Json:
    segments = diarized_answer(answer, request)
    return {
        "task": "transcribe",
        "duration": find_duration(answer),
        "text": "".join(text for _, text in with_labels(segments)),
        "segments": [segment.to_json() for segment in segments],
        "usage": find_usage(answer),
    }


def _incomplete(key: str) -> ApiError:
    return ApiError(502, f"the endpoint's answer has no {key}: update its worker", type="server_error")


def _letters() -> Iterator[str]:
    """A to Z, then AA, AB and so on, as columns of a table are named."""
    number = 0
    while True:
        name, rest = "", number
        while rest >= 0:
            name = chr(ord("A") + rest % 26) + name
            rest = rest // 26 - 1
        yield name
        number += 1
