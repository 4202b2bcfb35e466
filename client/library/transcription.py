"""The result of a transcription."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from client.errors import BadAnswer, OutputFailed, WrongUsage
from client.files import describe, write_atomically
from client.output import SUFFIXES, fetch_transcription, file_content, file_text

_FORMATS = {suffix: name for name, suffix in SUFFIXES.items()}


@dataclass(frozen=True)
class Transcription:
    """A job's output: the text, with the formats that were requested."""

    output: dict[str, Any] = field(repr=False)
    """All that the worker answered, as docs/output.md describes it."""

    @property
    def text(self) -> str:
        """The text."""
        return str(self._transcription["text"])

    @property
    def language(self) -> str:
        """The code of the language, such as `en`."""
        return str(self.metadata["language"])

    @property
    def segments(self) -> list[dict[str, Any]]:
        """Segments with `start` and `end` in seconds, and `text`; empty unless `json` was among the formats."""
        segments: list[dict[str, Any]] = self._transcription.get("segments", [])
        return segments

    @property
    def metadata(self) -> dict[str, Any]:
        """Model, durations, warnings and so on."""
        metadata: dict[str, Any] = self.output["metadata"]
        return metadata

    @property
    def files(self) -> dict[str, str]:
        """Links to files in the endpoint's bucket, by name; empty if the answer has all of it."""
        files: dict[str, str] = self.output.get("files", {})
        return files

    def format(self, name: str) -> str:
        """Return a format, such as `srt`, as the text of a file; `stl`, which is binary, in base64.

        Raises:
            WrongUsage: there is no such format.
            BadAnswer: it was not requested.
            EndpointFailed: it is in the bucket, and cannot be downloaded.
        """
        if name not in SUFFIXES:
            raise WrongUsage(f"{name!r:.40} is not a format; known ones are {', '.join(SUFFIXES)}")
        with _requested(name):
            return file_text(self.output, name)

    def save(self, path: str | Path) -> None:
        """Write a file in the format that its suffix names, such as `talk.srt`, in place of an earlier one.

        Raises:
            WrongUsage: the suffix is not a format's.
            BadAnswer: the format was not requested.
            EndpointFailed: it is in the bucket, and cannot be downloaded.
            OutputFailed: the file cannot be written.
        """
        path = Path(path)
        name = _FORMATS.get("".join(path.suffixes[-2:]).lower()) or _FORMATS.get(path.suffix.lower())
        if name is None:
            raise WrongUsage(f"{path.name} has no suffix of a format; known ones are {', '.join(_FORMATS)}")
        with _requested(name):
            content = file_content(self.output, name)
        try:
            write_atomically(path, content)
        except OSError as error:
            raise OutputFailed(f"{path} cannot be written: {describe(error)}") from None

    @cached_property
    def _transcription(self) -> dict[str, Any]:
        """The transcription, from the bucket if it was too large for an answer."""
        transcription: dict[str, Any] = self.output.get("transcription") or fetch_transcription(self.output)
        return transcription


@contextmanager
def _requested(name: str) -> Iterator[None]:
    """Say how a format is requested that an answer lacks."""
    try:
        yield
    except BadAnswer:
        raise BadAnswer(f'the answer has no {name}: request it, as by {{"output_format": ["{name}"]}}') from None
