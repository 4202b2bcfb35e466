"""A job's input: validated before anything is downloaded or decoded.

Everything that is wrong is told at once, in one sentence, with the place and what would be right there;
values are not repeated, since they may be megabytes or secrets.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from src.errors import InvalidInput, suggest
from src.request.audio_source import AudioSource
from src.request.options import Options
from src.request.schema import JobInput, UploadRequest, Webhook

Model = TypeVar("Model", bound=BaseModel)

KNOWN = ", known ones are "

MOST_TOLD = 10
"""Faults named in one answer: a job with a thousand unknown keys gets no book."""


def parse_input(raw: Any) -> JobInput:
    """The `input` of a RunPod job as types.

    Raises:
        InvalidInput: naming each field that is wrong and what would be right.
    """
    if not isinstance(raw, dict):
        raise InvalidInput('the job needs an "input" object such as {"audio": {"url": "https://..."}}')
    return validated(JobInput, raw)


def validated(model: type[Model], raw: dict[str, Any]) -> Model:
    """An object from JSON as a model.

    Raises:
        InvalidInput: naming each field that is wrong and what would be right.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        faults = list(dict.fromkeys(_fault(one, model) for one in errors))
        told = _with_names_once("; ".join(faults[:MOST_TOLD]))
        more = f"; and {len(faults) - MOST_TOLD} more" if len(faults) > MOST_TOLD else ""
        raise InvalidInput(f"{told}{more}") from None


def find_webhook(raw: Any) -> Webhook | None:
    """The webhook of a job's `input`, whatever else is wrong with it: who asked to be told is told of errors too."""
    try:
        return Webhook.model_validate(raw["webhook"])
    except (TypeError, KeyError, ValidationError):
        return None


def _fault(error: ErrorDetails, whole: type[BaseModel]) -> str:
    place = _place(error["loc"])
    if error["type"] == "extra_forbidden":
        key = str(error["loc"][-1])
        return f"{place}: unknown key{_nearest(key, error['loc'], whole)}"
    if error["type"] == "missing":
        return f'{place}: missing, give {{"url": "https://..."}} or {{"base64": "..."}}'
    message = error["msg"].removeprefix("Value error, ")
    return f"{place}: {message[:1].lower()}{message[1:]}"


def _with_names_once(faults: str) -> str:
    """Without the lists of known keys, of several dozen each, that were told before."""
    lists = re.findall(rf"{KNOWN}[\w, ]+", faults)
    for names in dict.fromkeys(lists):
        first, _, rest = faults.partition(names)
        faults = first + names + rest.replace(names, "")
    return faults


def _place(location: tuple[int | str, ...]) -> str:
    """The keys on the way to a value, cut short and on one line: they are the caller's."""
    return ".".join(_printable(str(part)[:60]) for part in location) or "input"


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "\ufffd" for one in text)


def _nearest(key: str, location: tuple[int | str, ...], whole: type[BaseModel]) -> str:
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
    return suggest(key.lower(), names, otherwise=f"{KNOWN}{', '.join(names)}")
