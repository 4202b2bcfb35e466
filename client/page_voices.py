"""The known voices of this machine's user, for the web page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from api.page.settings import KeptVoice, VoicesFailed
from api.transcriber import Answer
from client.errors import ClientError
from client.known_voices import VoiceFolder, add_known_voices
from client.voice_samples import keep_voice


class PageVoices:
    """The voices of a folder; see `api.page.settings.KnownVoices`.

    Args:
        folder: of known voices.
        on_problem: receives a sentence if they cannot be read.
    """

    def __init__(self, folder: VoiceFolder, on_problem: Callable[[str], None]) -> None:
        self._folder = folder
        self._on_problem = on_problem

    def for_job(self) -> Mapping[str, Any]:
        """Return the voices as the option `speakers` takes them; none, with a note, if they cannot be read."""
        try:
            return add_known_voices({}, self._folder.load_all()).get("speakers") or {}
        except ClientError as error:
            self._on_problem(f"No known voices: {error}")
            return {}

    def keep(self, name: str, answer: Answer) -> list[str]:
        """Keep the voice that speaks most in an answer, and return what is to be said about it.

        Raises:
            VoicesFailed: it cannot be.
        """
        try:
            kept = keep_voice(self._folder, name, answer.get("transcription") or {})
        except ClientError as error:
            raise VoicesFailed(str(error)) from None
        return [kept.message, *kept.notes]

    def list_all(self) -> list[KeptVoice]:
        """Return the voices, by name.

        Raises:
            VoicesFailed: they cannot be read.
        """
        try:
            voices = self._folder.load_all()
        except ClientError as error:
            raise VoicesFailed(str(error)) from None
        return [
            KeptVoice(voice.name, len(voice.samples), voice.seconds, max(sample.added for sample in voice.samples))
            for voice in voices
        ]

    def forget(self, name: str) -> None:
        """Remove a voice.

        Raises:
            VoicesFailed: there is none, or it cannot be removed.
        """
        try:
            with self._folder.locked():
                self._folder.remove(name)
        except ClientError as error:
            raise VoicesFailed(str(error)) from None
