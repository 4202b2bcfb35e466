"""The environment variables of `.runpod/hub.json`, generated from the settings.

RunPod's Hub asks for them when somebody deploys the worker. The format (`config.env`):
https://docs.runpod.io/hub/publishing-guide
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
"""Variables that the Hub shows at once; it hides the others under "advanced"."""

_TYPES = {str: "string", Path: "string", SecretStr: "string", int: "number", float: "number", bool: "boolean"}


def with_environment(hub: str) -> str:
    """Return the text of `hub.json` with `config.env` replaced by the current settings."""
    listing = json.loads(hub)
    listing["config"]["env"] = environment()
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
    entry: dict[str, Any] = {
        "name": name.replace("_", " ").capitalize(),
        "type": "string" if is_choice else _TYPES[value_type],
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
