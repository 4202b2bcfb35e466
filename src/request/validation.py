"""Validates the input of a job, before anything is downloaded or decoded.

One sentence reports all errors, each with its place and the correct form. It repeats no values: they may be megabytes,
or secrets.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from src.errors import InvalidInput, suggest
from src.request.audio_source import AudioSource
from src.request.options import Options
from src.request.schema import MAX_REFERENCE_CHARACTERS, JobInput, UploadRequest, Webhook

Model = TypeVar("Model", bound=BaseModel)

MAX_REPORTED_ERRORS = 10

_KNOWN_KEYS = ", known ones are "


def parse_input(raw: Any) -> JobInput:
    """Parse the `input` of a RunPod job.

    Raises:
        InvalidInput: naming each wrong field and its correct form.
    """
    if not isinstance(raw, dict):
        raise InvalidInput('the job needs an "input" object such as {"audio": {"url": "https://..."}}')
    return validate(JobInput, raw)


def validate(model: type[Model], raw: dict[str, Any]) -> Model:
    """Parse a JSON object as `model`.

    Raises:
        InvalidInput: naming each wrong field and its correct form.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        sentences = list(dict.fromkeys(_describe(details, model) for details in errors))
        reported = _list_known_keys_once("; ".join(sentences[:MAX_REPORTED_ERRORS]))
        left_out = len(sentences) - MAX_REPORTED_ERRORS
        raise InvalidInput(f"{reported}; and {left_out} more" if left_out > 0 else reported) from None


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


def _describe(error: ErrorDetails, whole: type[BaseModel]) -> str:
    place = _place(error["loc"])
    if error["type"] == "extra_forbidden":
        key = str(error["loc"][-1])
        return f"{place}: unknown key{_suggest_key(key, error['loc'], whole)}"
    if error["type"] == "missing":
        return f'{place}: missing, give {{"url": "https://..."}} or {{"base64": "..."}}'
    message = error["msg"].removeprefix("Value error, ")
    return f"{place}: {message[:1].lower()}{message[1:]}"


def _list_known_keys_once(sentences: str) -> str:
    """Keep only the first of equal lists of known keys: each has several dozen."""
    lists = re.findall(rf"{_KNOWN_KEYS}[\w, ]+", sentences)
    for names in dict.fromkeys(lists):
        first, _, rest = sentences.partition(names)
        sentences = first + names + rest.replace(names, "")
    return sentences


def _place(location: tuple[int | str, ...]) -> str:
    """The path of keys to a value, shortened and on one line: the keys are the caller's."""
    return ".".join(_printable(str(part)[:60]) for part in location) or "input"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _suggest_key(key: str, location: tuple[int | str, ...], whole: type[BaseModel]) -> str:
    models: dict[str | int, type[BaseModel]] = {
        "audio": AudioSource,
        "options": Options,
        "webhook": Webhook,
        "upload": UploadRequest,
    }
    model = models[location[0]] if len(location) > 1 else whole
    if location[:2] == ("options", "speakers"):
        model = AudioSource
    names = list(model.model_fields)
    return suggest(key.lower(), names, otherwise=f"{_KNOWN_KEYS}{', '.join(names)}")
