"""Names of models in OpenAI's API: `/v1/models`, and the names that stand for what is loaded.

Programs have OpenAI's names built in, often without a way to change them, so each of these means the default. A name
of another Whisper asks for what is not here, but for something alike: the default answers, with a note.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from api.openai.errors import ApiError

MAX_NAMED_MODELS = 20
"""In the error for an unknown model."""

_LISTED_ALIAS = "whisper-1"
"""In the list besides the endpoint's own: programs look there for the name that they have built in."""

_CREATED = 1_677_532_384
"""OpenAI's date of whisper-1; a loaded model has none that a caller could use."""

_OPENAI = re.compile(
    r"(openai/)?(whisper-1|gpt-realtime-whisper|gpt-(4o-|4o-mini-|live-)?transcribe(-diarize)?(-latest)?)"
    r"(-\d{4}-\d{2}-\d{2})?"
)
"""OpenRouter names the owner too."""

_OWNERS = ("openai", "systran", "guillaumekln", "distil-whisper", "mobiuslabsgmbh", "deepdml")
"""Of repositories that have OpenAI's and the distilled weights unchanged, in the form of some library."""

_SIZE = r"(?:tiny|base|small|medium)(?:\.en)?|large(?:-v(?:1|2|3|3\.5))?(?:-turbo)?|turbo"

_WHISPER = re.compile(rf"(?:faster-)?(distil-)?(?:whisper-)?({_SIZE})(?:-ct2)?")

_SAME = {"large": "large-v3", "large-v3-turbo": "turbo", "large-turbo": "turbo"}


def means_default(name: str) -> bool:
    """True for OpenAI's names, and none: the default, whatever models there are."""
    return not name.strip() or _OPENAI.fullmatch(name.strip().lower()) is not None


class ModelChoice(NamedTuple):
    """The model for a request.

    Attributes:
        option: the job's option `model`; None: the default.
        note: a warning if another model answers than the one named, else None.
    """

    option: str | None
    note: str | None


def choose_model(name: str, models: Sequence[str]) -> ModelChoice:
    """The model that a request means.

    Args:
        name: as in the request; empty: the default.
        models: those of the endpoint, the default first.

    Raises:
        ApiError: 404 `model_not_found`, naming the choices.
    """
    written = name.strip()
    if written in models:
        return ModelChoice(written, None)
    if means_default(written):
        return ModelChoice(None, None)
    wanted = _canonical(written.lower())
    for model in models:
        if wanted is not None and wanted == _canonical(model.lower()):
            return ModelChoice(model, None)
    if wanted is None or not models:
        raise _not_found(models)
    return ModelChoice(None, f"the model {wanted} is not loaded here: {models[0]} has answered")


def list_models(models: Sequence[str]) -> dict[str, Any]:
    """The answer of `/v1/models`."""
    names = dict.fromkeys([*models, _LISTED_ALIAS])
    return {"object": "list", "data": [_describe(name) for name in names]}


def get_model(name: str, models: Sequence[str]) -> dict[str, Any]:
    """The answer of `/v1/models/NAME`, for each name that a request may have.

    Raises:
        ApiError: 404 `model_not_found`.
    """
    if not name.strip():
        raise _not_found(models)
    choose_model(name, models)
    return _describe(name.strip())


def _describe(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "openai", "shutdown_date": None}


def _canonical(name: str) -> str | None:
    """openai-whisper's name of one of its models, or a distilled one; None for any other."""
    owner, _, repository = name.removesuffix("@main").rpartition("/")
    found = _WHISPER.fullmatch(repository)
    if found is None or (owner and owner not in _OWNERS):
        return None
    distilled, size = found.groups(default="")
    return f"{distilled}{_SAME.get(size, size)}"


def _not_found(models: Sequence[str]) -> ApiError:
    choices = ", ".join(f'"{model}"' for model in list(dict.fromkeys([*models, _LISTED_ALIAS]))[:MAX_NAMED_MODELS])
    return ApiError(
        404, f"model: there is no such model here, give one of {choices}", param="model", code="model_not_found"
    )
