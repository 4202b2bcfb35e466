"""A job's output -> files: `talk.mp3` gives `talk.txt`, `talk.srt` and so on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from client.errors import EndpointFailed
from client.journal import write_whole
from client.video import without_video

Output = dict[str, Any]

SUFFIXES = {
    "text": ".txt",
    "srt": ".srt",
    "vtt": ".vtt",
    "tsv": ".tsv",
    "lrc": ".lrc",
    "ass": ".ass",
    "rttm": ".rttm",
    "json": ".json",
    "verbose_json": ".verbose.json",
}
_ALL = ("text", "srt", "vtt", "tsv", "json")  # openai-whisper's
_OF_JSON = ("text", "language", "segments", "speakers", "speaker_turns")


def single_formats(formats: Sequence[str]) -> list[str]:
    """The formats with `all` spelled out."""
    return list(dict.fromkeys(one for name in formats for one in (_ALL if name == "all" else (name,))))


def paths(target: Path, formats: Sequence[str]) -> dict[str, Path]:
    """Where each format goes; `target` has no suffix of its own."""
    return {one: target.with_name(f"{target.name}{SUFFIXES[one]}") for one in single_formats(formats)}


def base_of(targets: dict[str, Path]) -> Path:
    """What stands before the suffixes of a recording's files."""
    name, path = next(iter(targets.items()))
    given = path.name.removesuffix(SUFFIXES[name])
    return path.with_name(given if given != path.name else path.stem)


def write(output: Output, targets: dict[str, Path]) -> list[Path]:
    """Writes each format, whole or not at all; a translation beside it, as `talk.translation.srt`."""
    written = []
    for name, path in targets.items():
        write_whole(path, text_of(output, name))
        written.append(path)
        if "translation" in output and name != "json":
            beside = path.with_name(f"{path.name.removesuffix(SUFFIXES[name])}.translation{SUFFIXES[name]}")
            write_whole(beside, text_of(output, name, "translation"))
            written.append(beside)
    return written


def text_of(output: Output, name: str, key: str = "transcription") -> str:
    """One format as it stands in a file."""
    said: Output = output.get(key, {})
    if name == "json":
        known = {one: {form: output[one][form] for form in _OF_JSON if form in output[one]} for one in _said(output)}
        return _json({**without_video(output), **known})
    if name in said:
        return _json(said[name]) if isinstance(said[name], dict) else _line(said[name])
    return fetched(output, "txt" if name == "text" else name)


def _said(output: Output) -> list[str]:
    return [key for key in ("transcription", "translation") if key in output]


def fetched(output: Output, name: str) -> str:
    """What was too large for the answer, out of the bucket."""
    link = output.get("files", {}).get(name)
    if link is None:
        raise EndpointFailed(f"the answer has no {name}")
    try:
        answer = requests.get(link, timeout=60)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise EndpointFailed(f"the {name} cannot be fetched from the bucket ({type(error).__name__})") from None
    return answer.content.decode("utf-8", "replace")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _line(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
