"""A transcript as text, JSON and subtitles: the part of a job's output that carries it.

Everything here is pure. The forms are those of openai-whisper's writers (`whisper/utils.py`), with three
repairs: a segment's text always stays on one line, so that no blank line can end a cue early; a segment
without text makes no cue; and what would be markup in WebVTT is escaped. `verbose_json` is OpenAI's API's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from whisper.tokenizer import LANGUAGES

from src.subtitles.cues import Cue, lay_out, plain_cues
from src.subtitles.karaoke import to_ass, to_lrc
from src.subtitles.layout import Layout
from src.subtitles.writers import to_srt, to_tsv, to_vtt
from src.transcript import Transcript

PLAIN = Layout()
"""Subtitles as the segments are."""

_KEYS: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "srt": ("text", "srt"),
    "vtt": ("text", "vtt"),
    "tsv": ("text", "tsv"),
    "lrc": ("text", "lrc"),
    "ass": ("text", "ass"),
    "json": ("text", "language", "segments"),
    "verbose_json": ("text", "verbose_json"),
    "all": ("text", "language", "segments", "srt", "vtt", "tsv"),
}

OUTPUT_FORMATS: tuple[str, ...] = tuple(_KEYS)
"""The names that a job may ask for; the schema and the README take them from here."""


def render(transcript: Transcript, output_formats: Sequence[str], layout: Layout = PLAIN) -> dict[str, Any]:
    """The `transcription` part of a job's output; the formats are some of `OUTPUT_FORMATS`."""
    forms = _Forms(transcript, layout)
    keys = [key for one in output_formats for key in _KEYS[one]]
    return {key: getattr(forms, key) for key in dict.fromkeys(keys)}


class _Forms:
    """One transcript under each key of the output; the cues are made once for all of them."""

    def __init__(self, transcript: Transcript, layout: Layout) -> None:
        self._transcript, self._layout = transcript, layout
        self._written = transcript.written
        self._has_words = any(segment.words for segment in transcript.segments)

    @property
    def text(self) -> str:
        """The whole text in one piece, as openai-whisper's `text` key has it."""
        return self._transcript.text

    @property
    def language(self) -> str:
        return self._transcript.language

    @property
    def segments(self) -> list[dict[str, Any]]:
        return [segment.to_dict() for segment in self._transcript.segments]

    @property
    def verbose_json(self) -> dict[str, Any]:
        """What OpenAI's API calls so (`TranscriptionVerbose`): the language by name, words apart from the segments."""
        segments = self.segments
        words = [word for segment in segments for word in segment.pop("words", [])]
        return {
            "task": self._transcript.task,
            "language": LANGUAGES[self._written],
            "duration": self._transcript.duration,
            "text": self.text,
            "segments": segments,
            "words": [{"word": word["word"].strip(), "start": word["start"], "end": word["end"]} for word in words],
        }

    @property
    def srt(self) -> str:
        return to_srt(self._subtitles, self._layout.highlight_words)

    @property
    def vtt(self) -> str:
        return to_vtt(self._subtitles, self._layout.highlight_words)

    @property
    def tsv(self) -> str:
        """By segment whatever the layout, as with openai-whisper."""
        return to_tsv(plain_cues(self._transcript.segments))

    @property
    def lrc(self) -> str:
        return to_lrc(self._timed, self._transcript.duration, karaoke=self._has_words)

    @property
    def ass(self) -> str:
        return to_ass(self._timed, self._written, karaoke=self._has_words)

    @property
    def _subtitles(self) -> list[Cue]:
        return plain_cues(self._transcript.segments) if self._layout == PLAIN else self._timed

    @cached_property
    def _timed(self) -> list[Cue]:
        return lay_out(self._transcript.segments, self._layout, self._written)
