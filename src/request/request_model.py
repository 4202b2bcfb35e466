"""The base of a job's parsed objects: reads JSON's values as people and tools write them.

Tools without code, and forms, send numbers and switches as text, and null or "" for what is not set. One mechanism
reads them in all fields, by the field's type.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo

MAX_KEYS = 200
"""Of an object: each unknown key is an error of its own, which takes time and memory."""


MAX_ITEMS = 5000
"""Of a list or an object in an object: no field takes more."""


class RequestModel(BaseModel):
    """An object of a job's input.

    - Numbers and switches may be text ("5", "true", "off"), and a whole number 5.0: this is pydantic's lax mode.
    - true and false are no numbers, which they are in lax mode.
    - The choices of a `Literal` may be in upper case.
    - null and "" stand for the default, unless null has a meaning of its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _drop_unset(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        if len(raw) > MAX_KEYS:
            raise ValueError(f"should have at most {MAX_KEYS} keys, not {len(raw)}")
        fields = cls.model_fields
        return {key: value for key, value in raw.items() if key not in fields or not _is_unset(value, fields[key])}

    @field_validator("*", mode="before")
    @classmethod
    def _read_by_type(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, (list, dict)) and len(value) > MAX_ITEMS:
            raise ValueError(f"should have at most {MAX_ITEMS} items")
        types = _field_types(cls.model_fields[str(info.field_name)])
        if isinstance(value, str) and (bool in types or any(isinstance(choice, str) for choice in types)):
            return value.strip().lower()
        return value if {bool, Any} & types else _hide_switches(value)


def is_blank(value: Any) -> bool:
    """True for null, and for text that is empty or blank."""
    return value is None or (isinstance(value, str) and (not value or value.isspace()))


def _is_unset(value: Any, field: FieldInfo) -> bool:
    """True for a blank value; not for a null that is accepted and differs from the default, such as no threshold."""
    null_has_a_meaning = type(None) in _field_types(field) and field.default is not None
    return is_blank(value) and not (value is None and null_has_a_meaning)


def _field_types(field: FieldInfo) -> frozenset[Any]:
    annotation: Any = field.annotation
    return _types(annotation)


@cache
def _types(annotation: Any) -> frozenset[Any]:
    """The types, and the choices of literals, that an annotation is made of."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return frozenset(inner)
    if origin is Annotated:
        return _types(inner[0])
    return frozenset().union(*map(_types, inner)) if inner else frozenset([annotation])


_SWITCH = object()
"""What stands for true and false where no switch is meant: an object of no type that pydantic accepts."""


def _hide_switches(value: Any, depth: int = 2) -> Any:
    """Replace true and false, in a value or in lists up to a depth, since pydantic would read them as 1 and 0."""
    if isinstance(value, bool):
        return _SWITCH
    return [_hide_switches(item, depth - 1) for item in value] if isinstance(value, list) and depth else value
