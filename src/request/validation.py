"""Validates the input of a job, before anything is downloaded or decoded.

One sentence reports all errors, each with its place and the correct form. It repeats no values: they may be megabytes,
or secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from src.errors import InvalidInput, quote, suggest
from src.request.audio_source import FORMS, AudioSource
from src.request.known_voices import VoiceEmbedding
from src.request.option_names import name_options
from src.request.options import Options
from src.request.other_names import OTHER_NAMES
from src.request.request_model import RequestModel
from src.request.schema import MAX_REFERENCE_CHARACTERS, JobInput, UploadRequest, Webhook
from src.request.tracks import TrackSource

Model = TypeVar("Model", bound=RequestModel)

MAX_REPORTED_ERRORS = 10

MAX_KEY_CHARACTERS = 60
"""Of a key in a sentence."""

_KEY_ITSELF = "[key]"
"""pydantic's last part of a place, if not the value is wrong but its key."""

_EXAMPLES: Mapping[str, str] = {
    "options": 'should be an object such as {"language": "de"}',
    "headers": 'should be an object such as {"Authorization": "..."}',
    "upload": 'should be an object such as {"prefix": "transcripts"}',
    "speakers": 'should be an object such as {"Ada": {"url": "https://..."}}',
}
"""Correct forms of the objects by their keys."""

_ELSEWHERE: Mapping[str, str] = {"audio_base64": "audio.base64", "transcription": "options.output_format"}
"""Keys of worker-faster_whisper's jobs, which are no keys of ours, and what they are here."""

_FORMS: Mapping[str, str] = {
    "string_type": "should be a string",
    "string_unicode": "should be without half of a surrogate pair, which is no character",
    "string_too_short": "should not be empty",
    "string_too_long": "should have at most {max_length} characters",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_parsing_size": "should be a whole number of fewer digits",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "finite_number": "should be a finite number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "greater_than": "should be more than {gt:g}",
    "greater_than_equal": "should be at least {ge:g}",
    "less_than": "should be less than {lt:g}",
    "less_than_equal": "should be at most {le:g}",
    "too_short": "should not be empty",
    "too_long": "should have at most {max_length} items",
}
"""Correct forms by the type of pydantic's error."""


def parse_input(raw: Any) -> JobInput:
    """Parse the `input` of a RunPod job.

    Raises:
        InvalidInput: naming each wrong field and its correct form.
    """
    if not isinstance(raw, dict):
        raise InvalidInput('the job needs an "input" object such as {"audio": {"url": "https://..."}}')
    named = name_options(raw)
    return validate(JobInput, named.raw, named.places).with_warnings(named.warnings)


def validate(model: type[Model], raw: dict[str, Any], places: Mapping[str, str] | None = None) -> Model:
    """Parse a JSON object as `model`.

    Args:
        model: the class of the result.
        raw: the object.
        places: where the caller has written options that `raw` has in another place.

    Raises:
        InvalidInput: naming each wrong field and its correct form.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InvalidInput(_describe_all(error, model, raw, places or {})) from None


def find_webhook(raw: Any) -> Webhook | None:
    """The webhook of a job's `input`, even if the rest is invalid: errors are sent to it too; None if it has none."""
    try:
        return Webhook.model_validate(raw["webhook"])
    except (TypeError, KeyError, ValidationError):
        return None


def find_reference(raw: Any) -> str | None:
    """The reference of a job's `input`, even if the rest is invalid; None if it has none, or no valid one."""
    reference = raw.get("reference") if isinstance(raw, dict) else None
    return reference if isinstance(reference, str) and len(reference) <= MAX_REFERENCE_CHARACTERS else None


def _describe_all(
    error: ValidationError, model: type[RequestModel], raw: dict[str, Any], places: Mapping[str, str]
) -> str:
    """The first errors in one sentence, and the number of all others: their number is the caller's choice."""
    sentences: dict[str, None] = {}
    errors = iter(error.errors(include_url=False, include_input=False))
    while len(sentences) < MAX_REPORTED_ERRORS and (details := next(errors, None)):
        place = _find_place(details["loc"], raw, places)
        sentences[f"{place}: {_describe(details, model)}"] = None
    left_out = sum(1 for _ in errors)
    return "; ".join([*sentences, *([f"and {left_out} more"] if left_out else [])])


def _describe(error: ErrorDetails, model: type[RequestModel]) -> str:
    kind, key, context = error["type"], str(error["loc"][-1]) if error["loc"] else "", error.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key{_suggest_key(key, error['loc'], model)}"
    if kind == "missing":
        return FORMS if key == "audio" else "missing"
    if kind in ("model_type", "dict_type"):
        return _EXAMPLES.get(key, "should be an object")
    if kind == "literal_error":
        return f"should be {context['expected'].replace(chr(39), chr(34))}"
    if kind == "value_error":
        return str(context["error"])
    return _FORMS.get(kind, "has a wrong form").format(**context)


def _find_place(location: tuple[int | str, ...], raw: Any, places: Mapping[str, str]) -> str:
    """The path of keys to a value as the caller has written it, shortened and on one line: the keys are the caller's.

    It leaves out indexes of a list that the caller has written as a single value.
    """
    path: list[str] = []
    for part in location:
        if part == _KEY_ITSELF:
            break
        if isinstance(part, str) or isinstance(raw, list):
            path.append(_printable(str(part)[:MAX_KEY_CHARACTERS]))
        raw = _look_up(raw, part)
    if path[:1] == ["options"] and len(path) > 1:
        path[:2] = [places.get(path[1], f"options.{path[1]}")]
    return ".".join(path) or "input"


def _look_up(raw: Any, part: int | str) -> Any:
    try:
        return raw[part]
    except (TypeError, LookupError):
        return None


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _suggest_key(key: str, location: tuple[int | str, ...], model: type[RequestModel]) -> str:
    inner: dict[int | str, type[RequestModel]] = {"options": Options, "webhook": Webhook, "upload": UploadRequest}
    if len(location) > 1:
        model = AudioSource if location[:2] == ("options", "speakers") else inner.get(location[0], TrackSource)
    if model is JobInput and key in _ELSEWHERE:
        return f': give it as "{_ELSEWHERE[key]}"'
    names = list(model.model_fields)
    if location[:2] == ("options", "speakers"):
        names += VoiceEmbedding.model_fields
    known = f", known ones are {', '.join(map(quote, names))}"
    if model is Options:
        known = suggest(key.lower(), OTHER_NAMES, ", docs/options.md lists the known ones")
    if model is JobInput:
        names += Options.model_fields
    return suggest(key.lower(), names, known)
