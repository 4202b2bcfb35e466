"""Writes a job's output to files: `talk.mp3` gives `talk.txt`, `talk.srt` and so on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from client.errors import EndpointFailed
from client.media.video import strip_video
from client.transport.journal import write_atomically

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
"""File name endings by format."""

_ALL_FORMATS = ("text", "srt", "vtt", "tsv", "json")  # as in openai-whisper
_JSON_KEYS = ("text", "language", "segments", "speakers", "speaker_turns")
"""Keys of a transcription that belong to the format `json`."""


def expand_formats(formats: Sequence[str]) -> list[str]:
    """Replace `all` by the formats that it stands for, and remove duplicates."""
    expanded = [single for name in formats for single in (_ALL_FORMATS if name == "all" else (name,))]
    return list(dict.fromkeys(expanded))


def target_paths(base: Path, formats: Sequence[str]) -> dict[str, Path]:
    """Return the file of each format; `base` has no suffix."""
    return {name: base.with_name(f"{base.name}{SUFFIXES[name]}") for name in expand_formats(formats)}


def base_path(targets: dict[str, Path]) -> Path:
    """Return the common path of a recording's files, without the suffixes."""
    name, path = next(iter(targets.items()))
    stem = path.name.removesuffix(SUFFIXES[name])
    return path.with_name(stem if stem != path.name else path.stem)


def write_files(output: Output, targets: dict[str, Path]) -> list[Path]:
    """Write each format, whole or not at all; translations go to `talk.translation.srt` and so on.

    Returns:
        The files written.
    """
    written = []
    for name, path in targets.items():
        write_atomically(path, file_text(output, name))
        written.append(path)
        if "translation" in output and name != "json":
            translation = path.with_name(f"{path.name.removesuffix(SUFFIXES[name])}.translation{SUFFIXES[name]}")
            write_atomically(translation, file_text(output, name, "translation"))
            written.append(translation)
    return written


def file_text(output: Output, name: str, key: str = "transcription") -> str:
    """Return the content of a file.

    Args:
        output: of a job.
        name: the format.
        key: `transcription` or `translation`; `json` holds both.
    """
    texts: Output = output.get(key, {})
    if name == "json":
        selected = {
            text_key: {part: output[text_key][part] for part in _JSON_KEYS if part in output[text_key]}
            for text_key in ("transcription", "translation")
            if text_key in output
        }
        return _to_json({**strip_video(output), **selected})
    if name in texts:
        return _to_json(texts[name]) if isinstance(texts[name], dict) else _end_line(texts[name])
    return download_text(output, "txt" if name == "text" else name)


def download_text(output: Output, name: str) -> str:
    """Download a file from the bucket, where texts too large for the response are stored.

    Raises:
        EndpointFailed: there is no such file, or it cannot be downloaded.
    """
    link = output.get("files", {}).get(name)
    if link is None:
        raise EndpointFailed(f"the answer has no {name}")
    try:
        response = requests.get(link, timeout=60)
        response.raise_for_status()
    except requests.RequestException as error:
        raise EndpointFailed(f"the {name} cannot be downloaded from the bucket ({type(error).__name__})") from None
    return response.content.decode("utf-8", "replace")


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _end_line(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
