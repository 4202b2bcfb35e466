"""Checks of answers against the types of the installed `openai` package."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel


def assert_is(model: type[BaseModel], content: Any, *, without: Collection[str] = ()) -> None:
    """Asserts that an object of JSON has the type, and each of its fields, also in objects inside.

    Args:
        model: A type of the `openai` package.
        content: The object.
        without: Fields that it is right to lack, as in "logprobs".
    """
    missing = sorted(_missing(model.model_validate(content, strict=True)) - {*without})
    assert not missing, f"{model.__name__} lacks {', '.join(missing)}"
    assert not {*without} & content.keys()


def _missing(value: Any) -> set[str]:
    if isinstance(value, list):
        return {name for item in value for name in _missing(item)}
    if not isinstance(value, BaseModel):
        return set()
    inner = {f"{name}.{part}" for name in type(value).model_fields for part in _missing(getattr(value, name))}
    return inner | (type(value).model_fields.keys() - value.model_fields_set)
