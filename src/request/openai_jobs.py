"""Jobs in the form of OpenAI's audio API: a route and its body in JSON, as a queue endpoint can carry them.

RunPod's gateway makes `openai_route` and `openai_input` of requests to `/openai/v1/...`; any caller of `/run` can send
them too. The handler converts the job to our format; on the queue, the answer becomes the route's body. An error, and
an answer in files, stay the worker's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeGuard

from api.openai.answers import to_content
from api.openai.errors import ApiError
from api.openai.models import choose_model, list_models
from api.openai.request import SpeechRequest, parse_json
from api.transcriber import Schema
from src.errors import InvalidInput, quote
from src.request.options import Options

_TASKS: dict[str, Literal["transcribe", "translate"]] = {
    "/v1/audio/transcriptions": "transcribe",
    "/v1/audio/translations": "translate",
}

_MODELS_ROUTE = "/v1/models"

_BESIDE = ("webhook", "upload", "reference")
"""Keys of a job of ours that may be beside the two."""


def is_openai_input(raw: Any) -> TypeGuard[dict[str, Any]]:
    """True if a job's input has the form of OpenAI's API."""
    return isinstance(raw, dict) and "openai_route" in raw


def asks_for_models(raw: Any) -> bool:
    """True if a job's input asks for the list of models, which needs no recording."""
    return is_openai_input(raw) and raw["openai_route"] == _MODELS_ROUTE


def models_answer(models: Sequence[str]) -> dict[str, Any]:
    """The list of models.

    Args:
        models: their names, the default first.
    """
    return list_models(models)


def to_input(raw: dict[str, Any], models: Sequence[str]) -> dict[str, Any]:
    """Convert such an input to ours.

    Args:
        raw: the input.
        models: names of the worker's models, the default first.

    Raises:
        InvalidInput: naming the wrong key and its correct form.
    """
    if unknown := sorted(raw.keys() - {"openai_route", "openai_input", *_BESIDE}):
        known = ", ".join(map(quote, ("openai_route", "openai_input", *_BESIDE)))
        raise InvalidInput(f"{unknown[0][:60]}: unknown key beside openai_route, known ones are {known}")
    try:
        request = _parse(raw)
        model = choose_model(request.model, models).option
    except ApiError as error:
        raise InvalidInput(f"openai_input.{error}" if error.param else f"openai_input: {error}") from None
    options = {**request.options, **({"model": model} if model else {})}
    return {"audio": request.audio, "options": options, **{key: raw[key] for key in _BESIDE if key in raw}}


def to_answer(answer: dict[str, Any], raw: dict[str, Any], models: Sequence[str]) -> dict[str, Any] | str:
    """Convert our answer to the route's body: an object, or a text in the formats that are texts."""
    if "error" in answer or "files" in answer:
        return answer
    request = _parse(raw)
    note = choose_model(request.model, models).note
    ignored = [f"{name} has no effect here" for name in request.ignored]
    metadata = answer["metadata"]
    warnings = [*([note] if note else []), *ignored, *metadata.get("warnings", [])]
    return to_content({**answer, "metadata": {**metadata, "warnings": warnings}}, request)


def _parse(raw: dict[str, Any]) -> SpeechRequest:
    task = _TASKS.get(raw["openai_route"]) if isinstance(raw["openai_route"], str) else None
    if task is None:
        raise InvalidInput(f"openai_route: should be one of {', '.join(map(quote, [*_TASKS, _MODELS_ROUTE]))}")
    return parse_json(raw.get("openai_input"), task, option_schemas())


@cache
def option_schemas() -> dict[str, Schema]:
    """The JSON Schema of each option of a job, by its name, without references."""
    schema = Options.model_json_schema()
    options: dict[str, Schema] = _resolved(schema["properties"], schema["$defs"])
    return options


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """A schema with its references replaced by what they refer to."""
    if isinstance(schema, list):
        return [_resolved(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _resolved(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    return {key: _resolved(value, definitions) for key, value in schema.items()}
