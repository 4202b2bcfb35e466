"""Settings of the page."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from api.transcriber import Answer

Home = Literal["worker", "bridge"]


class VoicesFailed(Exception):
    """Voices cannot be kept, listed or forgotten; with a sentence."""


@dataclass(frozen=True)
class KeptVoice:
    """A voice that is kept.

    Attributes:
        name: of the person.
        samples: how many there are of it.
        seconds: of speech in all samples.
        added: the day of the last sample, as `2026-11-30`.
    """

    name: str
    samples: int
    seconds: float
    added: str


class KnownVoices(Protocol):
    """The voices that the user of this machine keeps."""

    def for_job(self) -> Mapping[str, Any]:
        """Return the voices as the option `speakers` takes them; empty if there are none, or they cannot be read."""

    def keep(self, name: str, answer: Answer) -> list[str]:
        """Keep a voice, beside earlier samples of it, and return sentences that say so, and what seems wrong with it.

        Args:
            name: of the person, as `clean_speaker_name` returns it.
            answer: of a job with `speaker_embeddings`, whose recording has this person's speech.

        Raises:
            VoicesFailed: nobody speaks, or the answer has no embedding, or the voice cannot be written.
        """

    def list_all(self) -> list[KeptVoice]:
        """Return the voices, by name.

        Raises:
            VoicesFailed: they cannot be read.
        """

    def forget(self, name: str) -> None:
        """Remove a voice.

        Raises:
            VoicesFailed: there is none, or it cannot be removed.
        """


@dataclass(frozen=True)
class PageSettings:
    """Settings of the page.

    Attributes:
        folder: for transcripts and recordings; only one server at a time can use it.
        home: what transcribes: models of this process, or an endpoint.
        reserve_bytes: of the folder's disk that the page leaves free.
        known_voices: those of this machine's user, which all visitors' transcripts with speakers name, and to which
            each visitor can add, and which each can forget; None: there are none.
    """

    folder: Path
    home: Home
    reserve_bytes: int = 1 << 30
    known_voices: KnownVoices | None = None

    @property
    def media_folder(self) -> Path:
        """The folder with a folder for each transcript, named by its id."""
        return self.folder / "media"

    def room(self) -> int:
        """Free bytes on the folder's disk beyond the reserve, of which a negative number are missing."""
        return shutil.disk_usage(self.folder).free - self.reserve_bytes
