"""Writes a job's output to files: `talk.mp3` gives `talk.txt`, `talk.srt` and so on."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import requests

from client.errors import BadAnswer, EndpointFailed, WrongUsage
from client.files import add_suffix, check_writable, write_atomically
from client.media.video import strip_video
from client.recognition import RECORDING_SUFFIXES, other_kind
from client.remote_audio import remote_stem
from client.transport.answers import check_output, clean_text, parse_json

Output = dict[str, Any]

SUFFIXES = {
    "text": ".txt",
    "srt": ".srt",
    "vtt": ".vtt",
    "tsv": ".tsv",
    "lrc": ".lrc",
    "ass": ".ass",
    "ttml": ".ttml",
    "stl": ".stl",
    "rttm": ".rttm",
    "json": ".json",
    "verbose_json": ".verbose.json",
}
"""File name endings by format."""

_BINARY_FORMATS = ("stl",)
"""Formats that are bytes: an answer has them in base64."""

_UNSAFE_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_SLASHES = tuple(filter(None, ("/", os.sep, os.altsep)))
_DEVICES = (Path("/dev"), Path("/dev/fd"))

_ALL_FORMATS = ("text", "srt", "vtt", "tsv", "json")  # as in openai-whisper
_JSON_KEYS = ("text", "language", "segments", "speakers", "speaker_turns", "cue_report")
"""Keys of a transcription that belong to the format `json`."""


def expand_formats(formats: Sequence[str]) -> list[str]:
    """Replace `all` by the formats that it stands for, and remove duplicates."""
    expanded = [single for name in formats for single in (_ALL_FORMATS if name == "all" else (name,))]
    return list(dict.fromkeys(expanded))


def target_paths(base: Path, formats: Sequence[str]) -> dict[str, Path]:
    """Return the file of each format; `base` has no suffix."""
    return {name: add_suffix(base, SUFFIXES[name]) for name in expand_formats(formats)}


def choose_targets(recording: Path | str, output: str | None, formats: Sequence[str]) -> dict[str, Path]:
    """Return the file of each format for a single recording.

    Args:
        recording: a file, or what the worker fetches itself.
        output: a file; or a folder, if it is one or ends with a slash; None: the recording's folder.
        formats: of the transcript, expanded.

    Raises:
        WrongUsage: `output` is a name for something other than a transcript.
    """
    if isinstance(recording, str):
        folder, stem = Path(), _UNSAFE_IN_NAMES.sub("_", remote_stem(recording))
    else:
        folder, stem = recording.parent, recording.name if _has_twin(recording) else recording.stem
    stem = stem or "transcript"
    if output is None:
        return target_paths(folder / stem, formats)
    if output.endswith(_SLASHES) or _is_folder(Path(output)):
        return target_paths(Path(output) / stem, formats)
    _check_name(Path(output))
    if len(formats) == 1:
        return {formats[0]: Path(output)}
    return target_paths(Path(output).with_suffix(""), formats)


def _check_name(output: Path) -> None:
    if output.suffix.lower() in RECORDING_SUFFIXES:
        raise WrongUsage("-o names the transcript: give it a suffix such as .txt, or a folder")
    if output.parent in _DEVICES:
        raise WrongUsage(f"{output} is not a file that can be replaced: use -o - to write to the screen")


def _has_twin(recording: Path) -> bool:
    """True if another recording in the folder differs only in the suffix, and would have files of the same names."""
    try:
        siblings = [path for path in recording.parent.iterdir() if path.name != recording.name]
    except OSError:  # the folder does not exist, or may not be listed
        return False
    return any(path.stem.casefold() == recording.stem.casefold() and _is_recording(path) for path in siblings)


def _is_recording(path: Path) -> bool:
    try:
        return path.is_file() and other_kind(path) is None
    except OSError:  # nobody can transcribe it
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # its name is too long
        return False


def check_targets(targets: Iterable[Path], recording: Path | str | None = None) -> None:
    """Check that the files can be written, before a job is paid for.

    Args:
        targets: the files.
        recording: a file or URL; none of the files may replace it.

    Raises:
        WrongUsage: one of them cannot.
    """
    for path in targets:
        check_writable(path)
        if isinstance(recording, Path) and recording.exists() and path.exists() and path.samefile(recording):
            raise WrongUsage(f"{path} is the recording itself: --output gives the transcript another name")


def base_path(targets: dict[str, Path]) -> Path:
    """Return the common path of a recording's files, without the suffixes."""
    name, path = next(iter(targets.items()))
    stem = path.name.removesuffix(SUFFIXES[name])
    return path.with_name(stem if stem != path.name else path.stem)


def write_files(output: Output, targets: dict[str, Path]) -> list[Path]:
    """Write each format, whole or not at all; translations go to `talk.translation.srt` and so on.

    Returns:
        The files written.

    Raises:
        BadAnswer: the output lacks a format; all others are written.
    """
    written: list[Path] = []
    missing: BadAnswer | None = None
    for name, path in targets.items():
        try:
            write_atomically(path, file_content(output, name))
            written.append(path)
            if _has_translation(output, name):
                translation = add_suffix(base_path({name: path}), f".translation{SUFFIXES[name]}")
                write_atomically(translation, file_content(output, name, "translation"))
                written.append(translation)
        except BadAnswer as error:
            missing = missing or error
    if missing:
        raise missing
    return written


def _has_translation(output: Output, name: str) -> bool:
    if name == "json":  # holds both
        return False
    return "translation" in output or f"translation.{_file_name(name)}" in output.get("files", {})


def print_texts(output: Output, formats: Sequence[str]) -> None:
    """Print each format to stdout, followed by its translation if there is one."""
    encoding = sys.stdout.encoding or "utf-8"  # a terminal's own may lack characters
    contents = []
    for name in formats:
        contents.append(file_content(output, name, encoding=encoding))
        if _has_translation(output, name):
            contents.append(file_content(output, name, "translation", encoding))
    sys.stdout.buffer.write(b"".join(contents))
    sys.stdout.buffer.flush()


def file_content(output: Output, name: str, key: str = "transcription", encoding: str = "utf-8") -> bytes:
    """Return the bytes of a file.

    Args:
        output: of a job.
        name: the format.
        key: `transcription` or `translation`; `json` holds both.
        encoding: of texts, where what it lacks becomes a question mark.

    Raises:
        BadAnswer: the output lacks the format, or it is damaged.
        EndpointFailed: it is in the bucket, and cannot be downloaded.
    """
    if name not in _BINARY_FORMATS:
        return file_text(output, name, key).encode(encoding, "replace")
    if name not in output.get(key, {}):
        return _download(output, _linked_file(name, key))
    try:
        return base64.b64decode(output[key][name], validate=True)
    except (TypeError, binascii.Error):
        raise BadAnswer(f"the answer's {name} is not base64") from None


def file_text(output: Output, name: str, key: str = "transcription") -> str:
    """Return the text of a file; of a binary one, the base64 that an answer has.

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
    if name in _BINARY_FORMATS:
        return base64.b64encode(_download(output, _linked_file(name, key))).decode()
    return download_text(output, _linked_file(name, key))


def _linked_file(name: str, key: str) -> str:
    """Return the name of a format's file in the bucket."""
    return f"translation.{_file_name(name)}" if key == "translation" else _file_name(name)


def _file_name(name: str) -> str:
    """Return a format's name in the bucket."""
    return "txt" if name == "text" else name


def download_text(output: Output, name: str) -> str:
    """Download a file from the bucket, where texts too large for the response are stored.

    Raises:
        BadAnswer: there is no such file.
        EndpointFailed: it cannot be downloaded.
    """
    return clean_text(_download(output, name).decode("utf-8", "replace"))


def _download(output: Output, name: str) -> bytes:
    link = output.get("files", {}).get(name)
    if link is None:
        raise BadAnswer(f"the answer has no {name}")
    try:
        response = requests.get(link, timeout=60)
        response.raise_for_status()
    except requests.RequestException as error:
        raise EndpointFailed(f"the {name} cannot be downloaded from the bucket ({type(error).__name__})") from None
    return response.content


def fetch_transcription(output: Output) -> Output:
    """Return the transcription of an answer that was too large, with all formats, from the bucket.

    Raises:
        BadAnswer: there is none, or it is malformed.
        EndpointFailed: it cannot be downloaded.
    """
    try:
        transcription: Output = check_output({"transcription": parse_json(download_text(output, "json"))})[
            "transcription"
        ]
    except ValueError:
        raise BadAnswer("the transcript in the bucket is not JSON") from None
    return {"segments": [], **transcription}


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _end_line(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
