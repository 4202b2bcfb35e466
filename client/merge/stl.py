"""EBU STL of parts: joined, and with new labels of speakers. Pure.

The files are in base64, as in an answer. They are read and written again, since each part may have another table of
characters, and the whole has one.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone

from transcript.formats.stl import StlFile, Subtitle, read_stl, write_stl

Warn = Callable[[str], None]
"""Takes a sentence on what the file cannot hold."""


def merge_stl(parts: Sequence[str], offsets: Sequence[int], warn: Warn) -> str:
    """Return one file of the parts, whose offsets are in milliseconds."""
    files = [_read(part) for part in parts]
    subtitles = [
        subtitle._replace(start=subtitle.start + frames, end=subtitle.end + frames)
        for file, offset in zip(files, offsets, strict=True)
        for frames in [round(offset * file.frame_rate / 1000)]
        for subtitle in file.subtitles
    ]
    return _write(files[0]._replace(subtitles=subtitles), warn)


def relabel_stl(content: str, labels: Mapping[str, str], warn: Warn) -> str:
    """Replace the label at the start of each subtitle by its new one."""
    file = _read(content)
    return _write(file._replace(subtitles=[_relabel(subtitle, labels) for subtitle in file.subtitles]), warn)


def _relabel(subtitle: Subtitle, labels: Mapping[str, str]) -> Subtitle:
    first, *others = subtitle.lines
    label, mark, text = first.partition(": ")
    return subtitle._replace(lines=[f"{labels.get(label, label)}{mark}{text}", *others])


def _read(content: str) -> StlFile:
    return read_stl(base64.b64decode(content))


def _write(file: StlFile, warn: Warn) -> str:
    written = write_stl(file, datetime.now(timezone.utc).date())
    for warning in written.warnings:
        warn(warning)
    return base64.b64encode(written.content).decode()
