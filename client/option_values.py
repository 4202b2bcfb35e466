"""Converts the texts of flags to the worker's options, and checks them before anything is sent.

Options that are lists or objects take their flag more than once, commas, JSON, or `@FILE` with JSON or lines.
"""

from __future__ import annotations

import base64
import difflib
import functools
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fastjsonschema

from client.errors import BadRecording, WrongUsage
from client.files import describe_no_file
from client.given_text import read_given_text
from client.media.audio import compress
from client.media.clips import parse_clips
from client.output import SUFFIXES
from client.recognition import encodable_path
from client.remote_audio import is_remote, remote_audio

Schema = dict[str, Any]

SCHEMA_FILE = Path(__file__).with_name("job_input.schema.json")

FORMATS = ("all", *SUFFIXES)
_FORMAT_ALIASES = {
    **{"txt": "text", "plain": "text", "subrip": "srt", "webvtt": "vtt", "verbose.json": "verbose_json"},
    **{"ebu_tt_d": "ttml", "ebuttd": "ttml", "ebu_stl": "stl"},
}

MAX_SAMPLE_S = 60.0
MAX_SAMPLE_BYTES = 20 << 20
"""Limits of a sample of a known voice, the worker's."""

SAMPLE_KEYS = frozenset({"url", "base64", "volume", "headers"})
EMBEDDING_KEYS = frozenset({"embedding", "embedding_model"})
"""Of a voice as the worker takes it; a test compares both with the schema."""

_JSON_STARTS = ("[", "{")
_SMALL_SAMPLE_BYTES = 256_000  # as large as a sample of 60 s in Opus


@functools.cache
def option_schemas() -> dict[str, Schema]:
    """Return the JSON Schema of each of the worker's options, by name."""
    options: dict[str, Schema] = _job_schema()["$defs"]["Options"]["properties"]
    return options


def alternatives(schema: Schema) -> list[Schema]:
    """Return the types of an option apart from null."""
    return [item for item in schema.get("anyOf", [schema]) if item.get("type") != "null"]


def parse_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the worker's options for the values of the flags, without those that are not set or blank.

    Raises:
        WrongUsage: naming the flag and the correct form.
    """
    parsed = {name: parse_option(name, value) for name, value in values.items()}
    options = {name: value for name, value in parsed.items() if value is not None}
    for name, value in options.items():
        _check(name, value, _flag(name))
    return options


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as a job has them, without those that are None.

    Samples of speakers, and a text to align, may also be paths of files.

    Raises:
        WrongUsage: an option is unknown, or its value is wrong.
    """
    if not isinstance(options, Mapping):
        raise WrongUsage(
            f'options: give a dict such as {{"language": "en"}}, not an object of type {type(options).__name__}'
        )
    checked = {name: value for name, value in options.items() if value is not None}
    for name, value in checked.items():
        if name not in option_schemas():
            similar = difflib.get_close_matches(str(name), option_schemas(), 1)
            hint = f": did you mean {similar[0]}?" if similar else ""
            raise WrongUsage(f"options: there is no {name!r:.60}{hint}")
        if name == "speakers" and isinstance(value, dict):
            samples = {speaker: _sample(f"options.speakers.{speaker:.60}", sample) for speaker, sample in value.items()}
            checked[name] = samples
        if name == "align" and isinstance(value, os.PathLike):
            checked[name] = read_given_text("options.align", value)
        _check(name, checked[name], f"options.{name}")
    return checked


def parse_option(name: str, given: Any) -> Any:
    """Return an option from the value of its flag: a list of texts, unless it is a single word, number or switch.

    Returns:
        The option; None if the texts are blank.
    """
    if name == "align" and isinstance(given, str):
        return read_given_text(_flag(name), given)
    if not isinstance(given, list):
        return given
    texts = [line for text in given for line in _to_lines(_read_file(name, text))]
    if not texts:
        return None
    parse: Callable[[str, Sequence[str]], Any] = _PARSERS.get(name, _parse_list)
    return parse(name, texts)


def parse_formats(name: str, texts: Sequence[str]) -> list[str]:
    """Return the names of formats as the worker spells them, from names or endings of files in any case.

    Raises:
        WrongUsage: there is no such format.
    """
    formats = []
    for given in map(str, _split(name, texts)):
        known = given.lower().lstrip(".").replace("-", "_")
        known = _FORMAT_ALIASES.get(known, known)
        if known not in FORMATS:
            raise WrongUsage(f"{_flag(name)}: {given:.40} is not a format; known ones are {', '.join(FORMATS)}")
        formats.append(known)
    return formats


def _parse_list(name: str, texts: Sequence[str]) -> list[Any]:
    item_type = alternatives(option_schemas()[name])[0].get("items", {}).get("type", "string")
    convert: Callable[[Any], Any] = {"number": float, "integer": int}.get(item_type, str)
    try:
        return [convert(item) for item in _split(name, texts)]
    except (TypeError, ValueError):
        raise WrongUsage(f"{_flag(name)}: give numbers with commas between them") from None


def _parse_clip_times(name: str, texts: Sequence[str]) -> list[list[float | None]]:
    given = _as_json(name, texts)
    clips = parse_clips({name: ",".join(texts) if given is None else given}) or []
    return [[start, None if math.isinf(end) else end] for start, end in clips]


def _parse_vocabulary(name: str, texts: Sequence[str]) -> Any:
    """Return corrections, `{term: [heard as, ...]}`, or a list of terms for the prompt."""
    given = _as_json(name, texts)
    if isinstance(given, dict):
        return {term: [heard] if isinstance(heard, str) else heard for term, heard in given.items()}
    if given is not None:
        return given
    corrections = [text.partition("=") for text in texts if "=" in text]
    if not corrections:
        return _split(name, texts)
    if len(corrections) < len(texts):
        raise WrongUsage(f"{_flag(name)}: give either corrections, each as TERM=HEARD, or terms without =, not both")
    vocabulary: dict[str, list[str]] = {}
    for term, _, heard in corrections:
        if "=" in heard or not term.strip() or not heard.strip():
            raise WrongUsage(f'{_flag(name)}: give each correction a flag of its own, such as "Vixen=fix in"')
        vocabulary.setdefault(term.strip(), []).extend(_split(name, [heard]))
    return vocabulary


def _parse_speakers(name: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return the samples by speaker; those in local files as base64."""
    given = _as_json(name, texts)
    if given is None:
        pairs = [text.partition("=") for text in texts]
        if any(not (speaker.strip() and source.strip()) for speaker, _, source in pairs):
            raise WrongUsage(
                f"{_flag(name)}: give each speaker a flag of its own, such as Ada=ada.wav or Ada=https://..."
            )
        given = _to_object(name, [(speaker.strip(), source.strip()) for speaker, _, source in pairs])
    if not isinstance(given, dict):
        raise WrongUsage(f'{_flag(name)}: give an object such as {{"Ada": {{"url": "https://..."}}}}, or Ada=ada.wav')
    return {speaker: _sample(f"{_flag(name)} {speaker:.60}", source) for speaker, source in given.items()}


def _sample(place: str, source: Any) -> dict[str, Any]:
    """Return a known voice as the worker takes it; a large file is compressed."""
    if isinstance(source, dict) and source.keys() & {"url", "base64", "volume", "embedding"}:
        keys = EMBEDDING_KEYS if "embedding" in source else SAMPLE_KEYS
        if unknown := sorted(source.keys() - keys):  # the schema would only say that it is neither kind of voice
            raise WrongUsage(f"{place}: must not contain {unknown[0]:.60}: known keys are {', '.join(sorted(keys))}")
        return source
    if not isinstance(source, str):
        raise WrongUsage(f'{place}: give a file, {{"url": "https://..."}} or {{"base64": "..."}}')
    if is_remote(source):
        return remote_audio(source)
    path = Path(source).expanduser()
    if not path.is_file():
        raise WrongUsage(f"{place}: {describe_no_file(path)}")
    size = path.stat().st_size
    if size > MAX_SAMPLE_BYTES:
        raise WrongUsage(f"{place}: the sample has {size / 2**20:.0f} MiB, more than {MAX_SAMPLE_BYTES >> 20}; cut it")
    with tempfile.TemporaryDirectory() as folder, encodable_path(path) as readable:
        try:
            track = compress(readable, Path(folder))
        except BadRecording as error:
            raise WrongUsage(f"{place}: {error}") from None
        if track.seconds > MAX_SAMPLE_S + 1:
            raise WrongUsage(f"{place}: the sample lasts {track.seconds:.0f} s, more than {MAX_SAMPLE_S:.0f}; cut it")
        content = (path if size <= _SMALL_SAMPLE_BYTES else track.path).read_bytes()
    return {"base64": base64.b64encode(content).decode()}


_PARSERS: dict[str, Callable[[str, Sequence[str]], Any]] = {
    "output_format": parse_formats,
    "clip_timestamps": _parse_clip_times,
    "custom_vocabulary": _parse_vocabulary,
    "speakers": _parse_speakers,
}


def _split(name: str, texts: Sequence[str]) -> list[Any]:
    """Return the items of a list: JSON, or texts with commas between them."""
    given = _as_json(name, texts)
    if given is not None:
        return given if isinstance(given, list) else [given]
    return [item.strip() for text in texts for item in text.split(",") if item.strip()]


def _as_json(name: str, texts: Sequence[str]) -> Any:
    """Return the value of a flag that is JSON; None if it is not."""
    if not texts[0].startswith(_JSON_STARTS):
        return None
    if len(texts) > 1:
        raise WrongUsage(f"{_flag(name)}: give JSON only once")
    try:
        return json.loads(texts[0], object_pairs_hook=functools.partial(_to_object, name))
    except ValueError as error:
        raise WrongUsage(f"{_flag(name)}: not JSON: {error}") from None


def _to_object(name: str, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return pairs as a dict; a key that is there twice would lose its first value."""
    for key, times in Counter(key for key, _ in pairs).items():
        if times > 1:
            raise WrongUsage(f"{_flag(name)}: {key:.60} is given {times} times, and can have one value only")
    return dict(pairs)


def _to_lines(text: str) -> list[str]:
    """Return the lines of a text that are not blank; JSON is one."""
    text = text.strip()
    return [text] if text.startswith(_JSON_STARTS) else [line.strip() for line in text.splitlines() if line.strip()]


def _read_file(name: str, text: str) -> str:
    """Return the content of `@FILE`; other texts are unchanged."""
    if not text.startswith("@"):
        return text
    path = Path(text[1:]).expanduser()
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise WrongUsage(f"{_flag(name)}: {path} cannot be read: {reason}") from None
    if not content.strip():
        raise WrongUsage(f"{_flag(name)}: {path} is empty")
    return content


def _check(name: str, value: Any, label: str) -> None:
    """Compare an option with the worker's schema.

    Args:
        name: of the option.
        value: of it.
        label: its name in messages.

    Raises:
        WrongUsage: it does not fit.
    """
    choices = alternatives(option_schemas()[name])
    json_type = "object" if isinstance(value, dict) else "array" if isinstance(value, list) else None
    schema = next((item for item in choices if item.get("type") == json_type), choices[0])
    try:
        fastjsonschema.compile({**schema, "$defs": _job_schema()["$defs"]}, use_default=False)(value)
    except fastjsonschema.JsonSchemaValueException as error:
        place = error.name.removeprefix("data").lstrip(".")[:60]
        place = "" if place == "[0]" and len(value) == 1 else place
        rule = error.message.removeprefix(error.name).strip()[:300]
        raise WrongUsage(f"{label}: {place} {rule}" if place else f"{label} {rule}") from None


def _flag(name: str) -> str:
    return "--format" if name == "output_format" else f"--{name.replace('_', '-')}"


@functools.cache
def _job_schema() -> Schema:
    schema: Schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return schema
