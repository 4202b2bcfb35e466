"""Flags of the commands: the endpoint's settings, the worker's options, and flags that commands share.

The worker's options take their names, types, ranges and help from `job_input.schema.json`, which
`builder/write_tables.py` generates from the worker's own classes, so that nothing of `src/` is imported.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from client.errors import WrongUsage
from client.settings import EndpointSettings, find_settings

Schema = dict[str, Any]
Command = Callable[..., None]

SCHEMA_FILE = Path(__file__).with_name("job_input.schema.json")
_SHORT_NAMES = {"output_format": ["--format"]}

TimeoutFlag = Annotated[float | None, typer.Option(min=5, help="Time limit of a job, in seconds.")]
PayloadLimitFlag = Annotated[int, typer.Option(min=50_000, help="Maximum size of a request, in bytes.")]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="Hide the progress bar.")]

_CONNECTION_FLAGS = {
    "endpoint": Annotated[str | None, typer.Option(help="Endpoint id; default: RUNPOD_ENDPOINT_ID.")],
    "api_key": Annotated[
        str | None, typer.Option(help="API key; better set RUNPOD_API_KEY, since other users may see arguments.")
    ],
    "base_url": Annotated[str | None, typer.Option(help="API address; default: RUNPOD_BASE_URL, else RunPod's.")],
    "config": Annotated[Path | None, typer.Option(help="Configuration file; default: ~/.config/worker-whisper.toml.")],
}


@functools.cache
def option_schemas() -> dict[str, Schema]:
    """Return the JSON Schema of each of the worker's options, by name."""
    schema: Schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    options: dict[str, Schema] = schema["$defs"]["Options"]["properties"]
    return options


def with_options(command: Command) -> Command:
    """Give a command a flag for each of the worker's options; those set arrive as its parameter `options`."""
    flags = [_option_flag(name, schema) for name, schema in option_schemas().items()]
    return _with_flags(command, "options", flags, _parse_options)


def with_connection(command: Command) -> Command:
    """Give a command the flags that select an endpoint; they arrive as its parameter `connection`."""
    flags = [_keyword(name, annotation) for name, annotation in _CONNECTION_FLAGS.items()]
    return _with_flags(command, "connection", flags, _find_connection)


def _with_flags(
    command: Command, name: str, flags: Sequence[inspect.Parameter], parse: Callable[[dict[str, Any]], Any]
) -> Command:
    """Replace the parameter `name` of a command by flags; `parse` converts their values to its argument."""
    existing = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [*(parameter for parameter in existing if parameter.name != name), *flags]

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        values = {flag.name: arguments.pop(flag.name) for flag in flags}
        command(**arguments, **{name: parse(values)})

    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


def _keyword(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _find_connection(values: dict[str, Any]) -> EndpointSettings:
    return find_settings(values["endpoint"], values["api_key"], values["base_url"], config=values["config"])


def _option_flag(name: str, schema: Schema) -> inspect.Parameter:
    kebab = name.replace("_", "-")
    value_schema = _non_null(schema)
    names = [f"--{kebab}", *_SHORT_NAMES.get(name, [])]
    if value_schema.get("type") == "boolean":
        names[0] += f"/--no-{kebab}"
    default = "" if schema["default"] is None else f" Default: {json.dumps(schema['default'])}."
    info = typer.Option(
        *names,
        help=f"{schema['description']}{default}",
        show_default=False,
        min=value_schema.get("minimum"),
        max=value_schema.get("maximum"),
    )
    return _keyword(name, Annotated[_flag_type(value_schema) | None, info])


def _non_null(schema: Schema) -> Schema:
    """Return the first alternative that is not null."""
    alternatives = [schema for schema in schema.get("anyOf", [schema]) if schema.get("type") != "null"]
    first: Schema = alternatives[0]
    return first


def _flag_type(schema: Schema) -> Any:
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return Literal[tuple(values)]
    return {"boolean": bool, "integer": int, "number": float}.get(schema.get("type", ""), str)


def _parse_options(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _parse_value(name, value) for name, value in values.items() if value is not None}


def _parse_value(name: str, given: Any) -> Any:
    """Convert a flag's text to the option's type: JSON, `@FILE` with JSON, or a comma-separated list."""
    schema = _non_null(option_schemas()[name])
    if not isinstance(given, str) or schema.get("type") == "string":
        return given
    if given.startswith("@"):
        given = _read_file(name, Path(given[1:]))
    if given.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(given)
        except ValueError as error:
            raise WrongUsage(f"--{name.replace('_', '-')}: not JSON: {error}") from None
    item_type = schema.get("items", {}).get("type", "string")
    if item_type == "array":
        return given  # "0,30,60,90": parsed by the worker
    try:
        return [{"number": float, "integer": int}.get(item_type, str)(item.strip()) for item in given.split(",")]
    except ValueError:
        raise WrongUsage(f"--{name.replace('_', '-')}: give numbers with commas between them") from None


def _read_file(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise WrongUsage(f"--{name.replace('_', '-')}: {path} cannot be read: {error.strerror}") from None
