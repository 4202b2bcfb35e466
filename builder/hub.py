"""The variables of a worker as RunPod's Hub asks for them: what `.runpod/hub.json` has under `config.env`.

The format: https://docs.runpod.io/hub/publishing-guide
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

_SHOWN = {"whisper_model", "whisper_models", "compute_type", "streaming"}
"""What most people choose; the Hub folds the others away as advanced."""

_TYPES = {str: "string", Path: "string", SecretStr: "string", int: "number", float: "number", bool: "boolean"}


def with_environment(hub: str) -> str:
    """`hub.json` with the variables that the settings have."""
    listing = json.loads(hub)
    listing["config"]["env"] = environment()
    return json.dumps(listing, indent=2) + "\n"


def environment() -> list[dict[str, Any]]:
    """Each variable with the default that it has in the image."""
    image = DockerfileParser(str(ROOT)).envs
    return [
        {"key": name.upper(), "input": _input(name, field, image.get(name.upper(), field.default))}
        for name, field in Settings.model_fields.items()
    ]


def _input(name: str, field: FieldInfo, default: Any) -> dict[str, Any]:
    kind = _without_none(field.annotation)
    asked: dict[str, Any] = {
        "name": name.replace("_", " ").capitalize(),
        "type": "string" if get_origin(kind) is Literal else _TYPES[kind],
        "description": (field.description or "").replace("`", ""),
        "advanced": name not in _SHOWN,
    }
    if get_origin(kind) is Literal:
        asked["options"] = [{"label": one, "value": one} for one in get_args(kind)]
    if kind is bool:
        asked |= {"trueValue": "true", "falseValue": "false"}
    asked |= _limits(field)
    if default is not None:
        asked["default"] = default
    return asked


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) is UnionType:
        return next(one for one in get_args(annotation) if one is not NoneType)
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
