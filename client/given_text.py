"""The text of `--align`: from a file of text or subtitles, or as it is given; in a batch, one beside each recording."""

from __future__ import annotations

import os
import re
from pathlib import Path

from client.errors import WrongUsage
from client.files import describe_no_file

MAX_FILE_BYTES = 8 << 20
"""Of a file of text or subtitles: more than the worker's million characters take."""

MAX_PATH_CHARACTERS = 1000
_SUFFIXES = (".txt", ".srt", ".vtt", ".lrc", ".md")
_LETTER = re.compile(r"[^\W_]")

_TIME = r"(?:\d{1,3}:)?\d{1,2}:\d{2}[.,]\d{1,3}"
_CUE_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|<[\d:.]+>|\{\\[^{}]*\}")
_LRC_TIME = re.compile(r"\s*(?:\[\d{1,3}:\d{2}(?:[.:]\d{1,3})?\]\s*)+")
_LRC_TAG = re.compile(r"\s*\[[a-z#]+:.*\]\s*")
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&nbsp;": " ", "&lrm;": "\u200e", "&rlm;": "\u200f", "&amp;": "&"}


def read_given_text(place: str, given: str | os.PathLike[str]) -> str:
    """Return the text to align, one line for each cue of subtitles.

    Args:
        place: the flag or the option, for messages.
        given: a path of a text, of SubRip, WebVTT or LRC; `@` and a path; or the text itself.

    Raises:
        WrongUsage: there is no such file, or it has no text.
    """
    path = _to_path(given)
    if path is None:
        return str(given)
    if not path.is_file():
        raise WrongUsage(f"{place}: {describe_no_file(path)}")
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise WrongUsage(f"{place}: {path} has {size / 2**20:.0f} MiB, more than {MAX_FILE_BYTES >> 20}: no text")
        content = path.read_text(encoding="utf-16" if _is_utf16(path) else "utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is neither UTF-8 nor UTF-16"
        raise WrongUsage(f"{place}: {path} cannot be read: {reason}") from None
    text = strip_times(content)
    if not _LETTER.search(text):
        raise WrongUsage(f"{place}: {path} has no text")
    return text


def find_given_text(folder: Path, recording: Path) -> Path:
    """Return the file with the text of a recording of a batch.

    Args:
        folder: of the texts.
        recording: its path in the tree. `deep/talk.mp3` has its text in `deep/talk.mp3.txt` or `deep/talk.txt`, or in
            subtitles of such a name.

    Raises:
        WrongUsage: there is no text, or more than one.
    """
    for base in (folder / recording, (folder / recording).with_suffix("")):
        found = [path for suffix in _SUFFIXES if (path := base.with_name(base.name + suffix)).is_file()]
        if len(found) > 1:
            raise WrongUsage(f"--align: {folder} has several texts of it: {', '.join(path.name for path in found)}")
        if found:
            return found[0]
    raise WrongUsage(f"--align: {folder} has no text of it: {recording.with_suffix('.txt').as_posix()} is missing")


def _to_path(given: str | os.PathLike[str]) -> Path | None:
    """Return the path that is given, or None for a text."""
    if not isinstance(given, str):
        return Path(given)
    if given.startswith("@"):
        return Path(given[1:]).expanduser()
    if "\n" in given or "\0" in given or len(given) > MAX_PATH_CHARACTERS:
        return None
    path = Path(given).expanduser()
    try:
        is_file = path.is_file()
    except OSError:  # a name that is too long for the file system
        return None
    return path if is_file or given.lower().endswith(_SUFFIXES) else None


def _is_utf16(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in (b"\xff\xfe", b"\xfe\xff")


def strip_times(content: str) -> str:
    """Return the text of subtitles without numbers, times and markup, one line for each cue; other text as it is."""
    lines = content.splitlines()
    if any(_CUE_TIMES.fullmatch(line) for line in lines):
        return "\n".join(_cue_texts(lines))
    if any(_LRC_TIME.match(line) for line in lines):
        return "\n".join(_LRC_TIME.sub("", line) for line in lines if not _LRC_TAG.fullmatch(line))
    return content


def _cue_texts(lines: list[str]) -> list[str]:
    """The text of each cue: the lines from its times to the next blank line."""
    cues: list[str] = []
    cue: list[str] | None = None
    for line in [*lines, ""]:
        if _CUE_TIMES.fullmatch(line):
            cue = []
        elif not line.strip():
            cues += [" ".join(cue)] if cue else []
            cue = None
        elif cue is not None and (text := _plain(line)):
            cue.append(text)
    return cues


def _plain(line: str) -> str:
    text = _MARKUP.sub("", line)
    for entity, character in _ENTITIES.items():
        text = text.replace(entity, character)
    return text.strip()
