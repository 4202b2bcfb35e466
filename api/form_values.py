"""Values of a request's fields, which a form has as text: read strictly, with errors that name the field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api import json_text
from api.openai.errors import ApiError
from api.transcriber import Schema

MAX_NAME_CHARACTERS = 60
"""Of a field; also of an ignored one as it is named in the answer."""

MAX_IGNORED = 20
"""Names of ignored fields that are named in the answer."""

MAX_DEPTH = 5
"""Of lists and objects in a body or a field; none needs more than four."""

MAX_VALUES = 20_000
"""Of a field with JSON, or with commas: of 12 MB of them Python makes 250 MB of lists, and takes seconds."""


class Values:
    """The fields of a request by name, each taken once; those that are left over have no effect."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {name: value for name, value in values.items() if value is None or not is_blank(value)}

    @property
    def names(self) -> list[str]:
        """Of the fields that were not taken, and are not null."""
        return [name for name, value in self._values.items() if value is not None]

    def take(self, name: str) -> Any:
        """The value of a field; None if there is none."""
        return self._values.pop(name, None)

    def take_text(self, name: str) -> str | None:
        """The text of a field.

        Raises:
            ApiError: it is something else.
        """
        value = _single(name, self.take(name))
        if value is None or isinstance(value, str):
            return value
        raise wrong(name, "should be a text")

    def take_list(self, name: str) -> list[Any]:
        """The values of a field; a single one is a list of it."""
        value = self.take(name)
        items = value if isinstance(value, list) else [value]
        return [item for item in items if not is_blank(item)]

    def take_switch(self, name: str) -> bool | None:
        """True or false, as `read_switch` reads it."""
        value = _single(name, self.take(name))
        return None if value is None else read_switch(name, value)

    def take_options(self, schemas: Mapping[str, Schema]) -> dict[str, Any]:
        """The values of the worker's own options; null is one where it differs from the default."""
        return {name: self._values.pop(name) for name in schemas if name in self._values}


@dataclass
class OptionsDraft:
    """A job's options as they come together, and the names of fields without an effect."""

    options: dict[str, Any] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    _fields: dict[str, str] = field(default_factory=dict)
    """The field that has set each option."""

    def set(self, option: str, value: Any, name: str) -> None:
        """Set an option.

        Raises:
            ApiError: another field has set it to another value.
        """
        if option in self.options and not _is_same(self.options[option], value):
            raise wrong(name, f"contradicts {self._fields[option]}: leave one of them out")
        self.options[option] = value
        self._fields.setdefault(option, name)


def gather(fields: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The fields of a form; `key[]` or `key` more than once is a list, and `key[sub]` an object."""
    items: dict[str, list[Any]] = {}
    objects: dict[str, dict[str, str]] = {}
    single: set[str] = set()
    for written, value in fields:
        match = re.fullmatch(r"([^\[\]]+)(?:\[([^\[\]]*)\])?", written)
        name, inner = match.groups() if match else (written, None)
        if not inner:
            items.setdefault(name, []).append(value)
            single |= {name} if inner is None else set()
        elif name in objects:
            objects[name][inner] = value
        else:
            objects[name] = {inner: value}
            items.setdefault(name, []).append(objects[name])
            single.add(name)
    return {name: values[0] if name in single and len(values) == 1 else values for name, values in items.items()}


def read_option(name: str, value: Any, schema: Schema) -> Any:
    """The value of one of the worker's options from a field; its text may be JSON where it is a list or an object.

    Args:
        name: of the field, for errors.
        value: as given.
        schema: of the option.

    Raises:
        ApiError: it is neither true nor false although the option is a switch, or it is not valid JSON.
    """
    types = _types(schema)
    if "boolean" in types:
        return read_switch(name, _single(name, value))
    return from_json(name, value) if types & {"array", "object"} else _single(name, value)


def read_switch(name: str, value: Any) -> bool:
    """True or false from its spellings in forms.

    Raises:
        ApiError: it is neither.
    """
    text = value.strip().lower() if isinstance(value, str) and len(value) < 20 else value
    if isinstance(text, (str, bool, int)) and text in ("true", "1", "yes", "on", True):
        return True
    if isinstance(text, (str, bool, int)) and text in ("false", "0", "no", "off", False):
        return False
    raise wrong(name, "should be true or false")


def read_number(name: str, value: Any, smallest: float, largest: float) -> float:
    """A number, which a form has as text.

    Raises:
        ApiError: the value is not a number, or out of bounds.
    """
    try:
        if isinstance(value, bool) or (isinstance(value, str) and len(value) > 40):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not smallest <= number <= largest:
        raise wrong(name, f"should be a number from {smallest:g} to {largest:g}")
    return number


def from_json(name: str, value: Any) -> Any:
    """The list or object that a text spells; any other value as it is.

    Raises:
        ApiError: it begins like one, but is not valid JSON; or it is too large or too deep.
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    check_size(name, value, "[{,")
    try:
        read = json_text.from_json(value)
    except ValueError:
        raise wrong(name, "should be valid JSON") from None
    if is_deeper(read, MAX_DEPTH):
        raise wrong(name, f"should have at most {MAX_DEPTH} levels")
    return read


def check_size(name: str, text: str, marks: str, most: int = MAX_VALUES) -> None:
    """Refuse a text that would be split at these marks into more than `most` values.

    Raises:
        ApiError: it has too many.
    """
    if sum(text.count(mark) for mark in marks) > most:
        raise wrong(name, f"should have at most {most} values")


def nameable(names: Sequence[str]) -> tuple[str, ...]:
    """Names of the caller's as an error, or a header with a list, can hold them."""
    short = (re.sub(r"[^ -+\--~]", "?", name[:MAX_NAME_CHARACTERS]) for name in names[:MAX_IGNORED])
    return tuple(dict.fromkeys(short))


def one_of(choices: Sequence[str]) -> str:
    """The choices as an error names them."""
    return "one of " + ", ".join(f'"{choice}"' for choice in choices) if len(choices) > 1 else f'"{choices[0]}"'


def wrong(name: str, what: str) -> ApiError:
    """The error for a field."""
    name = nameable([name])[0]
    return ApiError(400, f"{name}: {what}", param=name)


def is_deeper(value: Any, levels: int) -> bool:
    """True if lists and objects are nested in more levels."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is not None and (levels == 0 or any(is_deeper(item, levels - 1) for item in inner))


def is_blank(value: Any) -> bool:
    """True for null, for white space and for an empty list: in a form, fields that were left empty."""
    return value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, list) and not value)


def _types(schema: Schema) -> set[str]:
    """The JSON types that a schema accepts."""
    inner = [type_ for choice in schema.get("anyOf", []) for type_ in _types(choice)]
    return {schema["type"], *inner} if "type" in schema else set(inner)


def _single(name: str, value: Any) -> Any:
    """The one value of a field that a form may give more than once."""
    if not isinstance(value, list):
        return value
    if len(value) != 1 and any(not _is_same(item, value[0]) for item in value):
        raise wrong(name, "should be given once")
    return value[0] if value else None


def _is_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
