"""The worker's options as flags of a command: name, type, range and help are those of `job_input.schema.json`.

That file is written by `builder/write_tables.py` from the worker's own classes, so that nothing of `src/` is imported.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from client.errors import WrongUsage

Schema = dict[str, Any]

SCHEMA = Path(__file__).with_name("job_input.schema.json")
_ALSO = {"output_format": ["--format"]}  # shorter names


@functools.cache
def option_schemas() -> dict[str, Schema]:
    """Of each option, by its name."""
    schema: Schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    options: dict[str, Schema] = schema["$defs"]["Options"]["properties"]
    return options


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with a flag for each option; what is given comes as its parameter `options`."""
    own = [parameter for name, parameter in inspect.signature(command, eval_str=True).parameters.items()]
    flags = [_flag(name, schema) for name, schema in option_schemas().items()]

    @functools.wraps(command)
    def whole(**given: Any) -> None:
        schemas = option_schemas()
        options = {name: _value(name, given.pop(name)) for name in schemas if given[name] is not None}
        command(**{name: value for name, value in given.items() if name not in schemas}, options=options)

    parameters = [parameter for parameter in own if parameter.name != "options"] + flags
    whole.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    whole.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return whole


def _flag(name: str, schema: Schema) -> inspect.Parameter:
    kebab = name.replace("_", "-")
    one = _shape(schema)
    names = [f"--{kebab}", *_ALSO.get(name, [])]
    if one.get("type") == "boolean":
        names[0] += f"/--no-{kebab}"
    default = "" if schema["default"] is None else f" Default: {json.dumps(schema['default'])}."
    info = typer.Option(
        *names,
        help=f"{schema['description']}{default}",
        show_default=False,
        min=one.get("minimum"),
        max=one.get("maximum"),
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[_type(one) | None, info]
    )


def _shape(schema: Schema) -> Schema:
    """The one form of an option that is not null."""
    forms = [form for form in schema.get("anyOf", [schema]) if form.get("type") != "null"]
    shape: Schema = forms[0]
    return shape


def _type(schema: Schema) -> Any:
    if names := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return Literal[tuple(names)]
    return {"boolean": bool, "integer": int, "number": float}.get(schema.get("type", ""), str)


def _value(name: str, given: Any) -> Any:
    """A flag's text as the option has it: JSON, or `@FILE` with it, or a list with commas."""
    shape = _shape(option_schemas()[name])
    if not isinstance(given, str) or shape.get("type") == "string":
        return given
    if given.startswith("@"):
        given = _read(name, Path(given[1:]))
    if given.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(given)
        except ValueError as error:
            raise WrongUsage(f"--{name.replace('_', '-')}: not JSON: {error}") from None
    kind = shape.get("items", {}).get("type", "string")
    if kind == "array":
        return given  # "0,30,60,90": the worker reads that itself
    try:
        return [{"number": float, "integer": int}.get(kind, str)(one.strip()) for one in given.split(",")]
    except ValueError:
        raise WrongUsage(f"--{name.replace('_', '-')}: give numbers with commas between them") from None


def _read(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise WrongUsage(f"--{name.replace('_', '-')}: {path} cannot be read: {error.strerror}") from None
