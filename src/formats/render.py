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

from src.formats.ass import to_ass
from src.formats.cues import Cue, lay_out, plain_cues
from src.formats.layout import Layout
from src.formats.lrc import to_lrc
from src.formats.srt_vtt_tsv import to_srt, to_tsv, to_vtt
from src.transcript.transcript import Diarization, Speaker, Transcript

PLAIN = Layout()
"""Subtitles as the segments are."""

_KEYS: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "srt": ("text", "srt"),
    "vtt": ("text", "vtt"),
    "tsv": ("text", "tsv"),
    "lrc": ("text", "lrc"),
    "ass": ("text", "ass"),
    "rttm": ("text", "rttm"),
    "json": ("text", "language", "segments"),
    "verbose_json": ("text", "verbose_json"),
    "all": ("text", "language", "segments", "srt", "vtt", "tsv"),
}

OUTPUT_FORMATS: tuple[str, ...] = tuple(_KEYS)
"""The names that a job may ask for; the schema and the README take them from here."""


_WHO = ("speakers", "speaker_turns")
"""Further keys where speakers were told apart; the second one is for whoever wants segments."""


def render(
    transcript: Transcript, output_formats: Sequence[str], layout: Layout = PLAIN, *, voiceprints: bool = False
) -> dict[str, Any]:
    """The `transcription` part of a job's output; the formats are some of `OUTPUT_FORMATS`.

    Args:
        voiceprints: whether speakers come with their `embedding`.
    """
    forms = _Forms(transcript, layout, voiceprints)
    keys = [key for one in output_formats for key in _KEYS[one]]
    if transcript.diarization is not None:
        keys += _WHO if "segments" in keys else _WHO[:1]
    return {key: getattr(forms, key) for key in dict.fromkeys(keys)}


class _Forms:
    """One transcript under each key of the output; the cues are made once for all of them."""

    def __init__(self, transcript: Transcript, layout: Layout, voiceprints: bool) -> None:
        self._transcript, self._layout, self._voiceprints = transcript, layout, voiceprints
        self._who = transcript.diarization or Diarization()
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
    def speakers(self) -> list[dict[str, Any]]:
        """In order of first speech."""
        return [_plain(one, voiceprint=self._voiceprints) for one in self._who.speakers]

    @property
    def speaker_turns(self) -> list[dict[str, Any]]:
        return [
            {"start": round(one.start, 3), "end": round(one.end, 3), "speaker": one.speaker} for one in self._who.turns
        ]

    @property
    def rttm(self) -> str:
        """NIST's Rich Transcription Time Marked: a line for each turn, with blanks between fields and in none."""
        named = [(one, one.speaker.replace(" ", "_")) for one in self._who.turns]
        return "".join(
            f"SPEAKER audio 1 {one.start:.3f} {one.end - one.start:.3f} <NA> <NA> {name} <NA> <NA>\n"
            for one, name in named
        )

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


def _plain(speaker: Speaker, *, voiceprint: bool) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "speaker": speaker.label,
        "seconds": round(speaker.seconds, 3),
        "turns": speaker.turns,
        "start": round(speaker.start, 3),
    }
    return {**plain, "embedding": [round(one, 4) for one in speaker.embedding]} if voiceprint else plain
