"""Finds a job's options: beside `audio` instead of inside `options`, and under the names that others have for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from src.errors import InvalidInput
from src.request.options import Options
from src.request.other_names import OTHER_NAMES, WITHOUT_EFFECT, ignored, read_plainly
from src.request.request_model import MAX_KEYS, is_blank
from src.request.schema import JobInput

OPTION_NAMES = frozenset((*Options.model_fields, *OTHER_NAMES, *WITHOUT_EFFECT))
"""All names that an option may be given under."""


@dataclass(frozen=True)
class NamedInput:
    """A job's input with its options inside `options`, under their own names.

    Args:
        raw: the input.
        places: where each option was written, as in `options.response_format`, if not under its own name there.
        warnings: what was read otherwise than it is written, or ignored.
    """

    raw: dict[str, Any]
    places: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def name_options(raw: dict[str, Any]) -> NamedInput:
    """Put all options of a job's input into its `options`, under their own names.

    Raises:
        InvalidInput: an option is given twice, with different values.
    """
    inside = {} if is_blank(raw.get("options")) else raw["options"]
    beside = [key for key in raw if key in OPTION_NAMES and key not in JobInput.model_fields]
    if not isinstance(inside, dict) or len(raw) + len(inside) > MAX_KEYS:
        return NamedInput(raw)  # refused by the schema
    named = NamedInput({key: value for key, value in raw.items() if key not in beside} | {"options": {}})
    for key, value in inside.items():
        _add(named, key, value, f"options.{key}")
    for key in beside:
        _add(named, key, raw[key], key)
    if beside:
        named.warnings.append(f'options belong inside the object "options", not beside "audio": {", ".join(beside)}')
    return named


def _add(named: NamedInput, key: str, value: Any, place: str) -> None:
    if key in WITHOUT_EFFECT:
        warning = ignored(key, value)
        named.warnings.extend([warning] if warning else [])
    elif key not in OTHER_NAMES:
        _add_option(named, key, value, place)
    elif not is_blank(value):
        _translate(named, key, value, place)


def _translate(named: NamedInput, key: str, value: Any, place: str) -> None:
    try:
        meant = OTHER_NAMES[key](value)
    except ValueError as error:
        raise InvalidInput(f"{place}: {error}") from None
    for option, converted in meant.items():
        _add_option(named, option, converted, place)
    read = f"{key} was read as {', '.join(meant)}" if meant else f"{key} has no effect here"
    has_more = meant and isinstance(value, dict) and len(value) > len(meant)
    named.warnings.append(f"{read}; the rest of it has no effect here" if has_more else read)


def _add_option(named: NamedInput, option: str, value: Any, place: str) -> None:
    options: dict[str, Any] = named.raw["options"]
    if is_blank(value) and option in options:
        return
    if not is_blank(options.get(option)) and read_plainly(options[option]) != read_plainly(value):
        other = named.places.get(option, f"options.{option}")
        raise InvalidInput(f"{place}: has another value than {other}: leave one of them out")
    options[option] = value
    if place != f"options.{option}":
        named.places[option] = place
