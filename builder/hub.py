"""The listings for RunPod's Hub: what is generated of the queue's, and all of that for load balancing.

The Hub asks for the variables when somebody deploys the worker. The format: https://docs.runpod.io/hub/publishing-guide
"""

from __future__ import annotations

import json
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from dockerfile_parse import DockerfileParser
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from builder import repository
from src.models.store import repository_of
from src.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
HUB = ROOT / ".runpod" / "hub.json"
ICON = ROOT / ".runpod" / "icon.png"
LOAD_BALANCING = ROOT / "deploy" / "load-balancing"
LOAD_BALANCING_HUB = LOAD_BALANCING / ".runpod" / "hub.json"

_BASIC = {"whisper_model", "whisper_models", "compute_type", "streaming"}
"""Variables that the Hub shows at once; it hides the others under "advanced"."""

_OF_THE_QUEUE = {"STREAMING", "MAX_RESULT_BYTES"}
"""Variables that load balancing is better off without: it has no queue's streams, and its own limit for answers."""

_REPOSITORIES = {"whisper_model"}
"""Variables that the Hub fills by its search in Hugging Face's models: they hold repositories, `org/name`."""

_TYPES = {str: "string", Path: "string", SecretStr: "string", int: "number", float: "number", bool: "boolean"}


def with_environment(hub: str) -> str:
    """Return the text of `hub.json` with `iconUrl` in this repository, and `config.env` from the current settings."""
    listing = json.loads(hub)
    listing["iconUrl"] = repository.raw_url(ICON.relative_to(ROOT).as_posix())
    listing["config"]["env"] = environment()
    return json.dumps(listing, indent=2) + "\n"


def load_balancing_listing(hub: str) -> str:
    """Return the text of `hub.json` for load balancing, made from that of the queue.

    What the Dockerfile for load balancing sets is set for the endpoint too, since RunPod's load balancer reads the
    ports there; the Hub asks for the other variables.
    """
    listing = json.loads(hub)
    fixed = dict(DockerfileParser(str(LOAD_BALANCING)).envs)
    listing["title"] += " (OpenAI API)"
    listing["description"] = (
        "OpenAI's audio API on a load-balancing endpoint or a Pod: /v1/audio/transcriptions and translations for any "
        "program that speaks whisper-1. SRT, VTT, word times, speakers."
    )
    config = listing["config"]
    config["env"] = [{"key": key, "value": value} for key, value in fixed.items()] + [
        variable for variable in environment() if variable["key"] not in fixed.keys() | _OF_THE_QUEUE
    ]
    listing["config"] = {"runsOn": config.pop("runsOn"), "endpointType": "LB", **config}
    return json.dumps(listing, indent=2) + "\n"


def environment() -> list[dict[str, Any]]:
    """Return the Hub's entry for each variable. Defaults are the image's where the Dockerfile sets one."""
    image = DockerfileParser(str(ROOT)).envs
    return [
        {"key": name.upper(), "input": _input(name, field, image.get(name.upper(), field.default))}
        for name, field in Settings.model_fields.items()
    ]


def _input(name: str, field: FieldInfo, default: Any) -> dict[str, Any]:
    value_type = _without_none(field.annotation)
    is_choice = get_origin(value_type) is Literal
    is_repository = name in _REPOSITORIES
    if is_repository:
        default = repository_of(default)
    entry: dict[str, Any] = {
        "name": name.replace("_", " ").capitalize(),
        "type": "huggingface" if is_repository else "string" if is_choice else _TYPES[value_type],
        "description": (field.description or "").replace("`", ""),
        "advanced": name not in _BASIC,
    }
    if is_choice:
        entry["options"] = [{"label": choice, "value": choice} for choice in get_args(value_type)]
    if value_type is bool:
        entry |= {"trueValue": "true", "falseValue": "false"}
    entry |= _limits(field)
    if default is not None:
        entry["default"] = default
    return entry


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) is UnionType:
        return next(member for member in get_args(annotation) if member is not NoneType)
    return annotation


def _limits(field: FieldInfo) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for limit in field.metadata:
        if isinstance(limit, Gt):
            limits["min"] = limit.gt + 1  # type: ignore[operator]
        elif isinstance(limit, Ge):
            limits["min"] = limit.ge
        elif isinstance(limit, Le):
            limits["max"] = limit.le
    return limits
