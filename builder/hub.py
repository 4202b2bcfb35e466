"""The worker's environment variables for RunPod's Hub: `config.env` in `.runpod/hub.json`.

Format: https://docs.runpod.io/hub/publishing-guide
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

from src.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
HUB = ROOT / ".runpod" / "hub.json"

_BASIC = {"whisper_model", "whisper_models", "compute_type", "streaming"}
"""Variables that most users set; the Hub shows all others under "advanced"."""

_TYPES = {str: "string", Path: "string", SecretStr: "string", int: "number", float: "number", bool: "boolean"}


def with_environment(hub: str) -> str:
    """Returns the text of `hub.json` with the variables of `Settings`."""
    listing = json.loads(hub)
    listing["config"]["env"] = environment()
    return json.dumps(listing, indent=2) + "\n"


def environment() -> list[dict[str, Any]]:
    """Returns all variables, with their defaults in the image."""
    image = DockerfileParser(str(ROOT)).envs
    return [
        {"key": name.upper(), "input": _make_input(name, field, image.get(name.upper(), field.default))}
        for name, field in Settings.model_fields.items()
    ]


def _make_input(name: str, field: FieldInfo, default: Any) -> dict[str, Any]:
    kind = _without_none(field.annotation)
    hub_input: dict[str, Any] = {
        "name": name.replace("_", " ").capitalize(),
        "type": "string" if get_origin(kind) is Literal else _TYPES[kind],
        "description": (field.description or "").replace("`", ""),
        "advanced": name not in _BASIC,
    }
    if get_origin(kind) is Literal:
        hub_input["options"] = [{"label": choice, "value": choice} for choice in get_args(kind)]
    if kind is bool:
        hub_input |= {"trueValue": "true", "falseValue": "false"}
    hub_input |= _limits(field)
    if default is not None:
        hub_input["default"] = default
    return hub_input


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
