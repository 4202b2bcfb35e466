"""Renders a transcript as text, JSON and subtitles: the `transcription` part of a job's output.

Everything here is pure. The forms are those of openai-whisper's writers (`whisper/utils.py`), with three repairs: a
segment's text always stays on one line, so that no blank line can end a cue early; a segment without text makes no cue;
and markup in the text is escaped in WebVTT. `verbose_json` is the form of OpenAI's API.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from math import ceil
from typing import Any

from transcript.checks import Check, checked, never
from transcript.formats.ass import to_ass
from transcript.formats.cue_report import report_cues
from transcript.formats.cues import Cue, cue_per_segment, lay_out, to_subtitles
from transcript.formats.layout import PRESETS, Layout
from transcript.formats.lrc import to_lrc
from transcript.formats.srt_vtt_tsv import to_srt, to_tsv, to_vtt
from transcript.formats.stl import to_stl
from transcript.formats.ttml import to_ttml
from transcript.paragraphs import Piece, join_paragraphs
from transcript.transcript import Diarization, Speaker, Transcript

PLAIN = Layout()
"""One cue per segment, with its own text and times."""

_KEYS: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "srt": ("text", "srt"),
    "vtt": ("text", "vtt"),
    "tsv": ("text", "tsv"),
    "lrc": ("text", "lrc"),
    "ass": ("text", "ass"),
    "ttml": ("text", "ttml"),
    "stl": ("text", "stl"),
    "rttm": ("text", "rttm"),
    "json": ("text", "language", "segments"),
    "verbose_json": ("text", "verbose_json"),
    "all": ("text", "language", "segments", "srt", "vtt", "tsv"),
}
"""The output keys of each format; each key is a property of `_Renderer`."""

OUTPUT_FORMATS: tuple[str, ...] = tuple(_KEYS)
"""The formats that a job may ask for; the schema and the documentation take them from here."""

_SUBTITLES = frozenset(["srt", "vtt", "ass", "ttml", "stl"])
"""The keys that keep to a layout, and are reported on; LRC has no ends of cues, and a row of TSV is a segment."""


@dataclass(frozen=True)
class StlOptions:
    """What a file of EBU STL needs to know in addition to the layout."""

    frame_rate: int = 25
    """Frames per second: 25 or 30."""
    start: str = "00:00:00:00"
    """Timecode of the recording's start, `HH:MM:SS:FF`."""


def _ignore(warning: str) -> None:
    """Drop a warning."""


def render(
    transcript: Transcript,
    output_formats: Sequence[str],
    layout: Layout = PLAIN,
    *,
    embedding_model: str | None = None,
    words: bool = True,
    stl: StlOptions = StlOptions(),
    warn: Callable[[str], None] = _ignore,
    paragraphs: bool = False,
    speaker_colors: bool = False,
    check: Check = never,
) -> dict[str, Any]:
    """Return the `transcription` part of a job's output.

    Args:
        transcript: if it has a diarization, the output has `speakers`, and with segments also `speaker_turns`.
        output_formats: some of `OUTPUT_FORMATS`.
        layout: the shape of subtitles.
        embedding_model: name of the network of the speakers' embeddings; if given, each speaker has its `embedding`.
        words: if false, those of the transcript are for subtitles only, and JSON has none.
        stl: the frame rate and the start of EBU STL.
        warn: takes sentences on what a format cannot hold.
        paragraphs: if true, the text has a blank line between paragraphs.
        speaker_colors: if true, SRT and ASS have a colour for each speaker.
        check: ends the work by an exception.
    """
    renderer = _Renderer(transcript, layout, embedding_model, words, stl, warn, paragraphs, speaker_colors, check)
    keys = [key for output_format in output_formats for key in _KEYS[output_format]]
    if not {"ttml", "stl"}.isdisjoint(keys) or (renderer.has_layout and not _SUBTITLES.isdisjoint(keys)):
        keys.append("cue_report")
    if transcript.diarization is not None:
        keys += ["speakers", "speaker_turns"] if {"segments", "verbose_json"} & {*keys} else ["speakers"]
    return {key: getattr(renderer, key) for key in checked(dict.fromkeys(keys), check)}


class _Renderer:
    """One transcript, with a property for each key of the output; all formats share the same cues."""

    def __init__(
        self,
        transcript: Transcript,
        layout: Layout,
        embedding_model: str | None,
        words: bool,
        stl: StlOptions,
        warn: Callable[[str], None],
        paragraphs: bool,
        speaker_colors: bool,
        check: Check,
    ) -> None:
        self._check, self._words, self._stl, self._warn = check, words, stl, warn
        self._paragraphs, self._speaker_colors = paragraphs, speaker_colors
        self._transcript, self._layout, self._embedding_model = transcript, layout, embedding_model
        self._diarization = transcript.diarization or Diarization()
        self._text_language = transcript.text_language
        self._said = [segment for segment in transcript.segments if segment.said]
        self._has_words = any(segment.words for segment in transcript.segments)

    @property
    def text(self) -> str:
        """The whole text as one string, like openai-whisper's key `text`; if asked for, in paragraphs."""
        if not self._paragraphs:
            return self._transcript.text
        segments = checked(self._transcript.segments, self._check)
        return join_paragraphs(Piece(segment.start, segment.end, segment.text, segment.voice) for segment in segments)

    @property
    def language(self) -> str:
        return self._transcript.language

    @property
    def segments(self) -> list[dict[str, Any]]:
        segments = [segment.to_dict() for segment in checked(self._transcript.segments, self._check)]
        return segments if self._words else [_without(segment, "words") for segment in segments]

    @property
    def speakers(self) -> list[dict[str, Any]]:
        """In order of first speech."""
        return [_speaker_to_dict(speaker, self._embedding_model) for speaker in self._diarization.speakers]

    @property
    def speaker_turns(self) -> list[dict[str, Any]]:
        return [
            {"start": round(turn.start, 3), "end": round(turn.end, 3), "speaker": turn.speaker}
            for turn in self._diarization.turns
        ]

    @property
    def rttm(self) -> str:
        """NIST's Rich Transcription Time Marked: a line for each turn, its fields separated by spaces."""
        named = [(turn, "_".join(turn.speaker.split())) for turn in self._diarization.turns]
        return "".join(
            f"SPEAKER audio 1 {turn.start:.3f} {turn.end - turn.start:.3f} <NA> <NA> {name} <NA> <NA>\n"
            for turn, name in named
        )

    @property
    def verbose_json(self) -> dict[str, Any]:
        """OpenAI's `TranscriptionVerbose`: the language by its name, and words apart from the segments.

        Words have OpenAI's keys alone, unless the job asked for what these cannot say: speakers, or a given text.
        """
        from whisper.tokenizer import LANGUAGES  # only here, since the client has no openai-whisper

        segments = self.segments
        words = [word for segment in segments for word in segment.get("words", [])]
        verbose = {
            "task": self._transcript.task,
            "language": LANGUAGES[self._text_language],
            "duration": self._transcript.duration,
            "text": self.text,
            "segments": [_without(segment, "words", "logprobs") for segment in segments],
            # OpenAI rounds up: 8.47 s of audio are 9 s in its documentation's example.
            "usage": {"type": "duration", "seconds": ceil(round(self._transcript.duration, 3))},
        }
        if self._words:
            more = self._has_more_to_say
            verbose["words"] = [{**(word if more else {}), **_to_openai_word(word)} for word in words]
        return verbose

    @property
    def _has_more_to_say(self) -> bool:
        """True if words have a speaker, or may not be said."""
        return self._transcript.given_text is not None or any(
            segment.speaker is not None for segment in self._transcript.segments
        )

    @property
    def srt(self) -> str:
        cues = self._subtitles
        return to_srt(cues, self._layout.highlight_words, self._check, speaker_colors=self._speaker_colors)

    @property
    def vtt(self) -> str:
        return to_vtt(self._subtitles, self._layout.highlight_words, self._check)

    @property
    def tsv(self) -> str:
        """One row per segment whatever the layout, as in openai-whisper."""
        return to_tsv(cue_per_segment(self._said, self._check), self._check)

    @property
    def lrc(self) -> str:
        return to_lrc(self._laid_out, self._transcript.duration, karaoke=self._has_words, check=self._check)

    @property
    def ass(self) -> str:
        return to_ass(
            self._laid_out,
            self._text_language,
            karaoke=self._has_words,
            check=self._check,
            speaker_colors=self._speaker_colors,
        )

    @property
    def ttml(self) -> str:
        return to_ttml(self._for_broadcast, self._text_language, self._check)

    @property
    def stl(self) -> str:
        """The bytes of the file in base64, since JSON has no bytes."""
        today = datetime.now(timezone.utc).date()
        stl = to_stl(
            self._for_broadcast, self._text_language, self._stl.frame_rate, self._stl.start, today, self._check
        )
        for warning in stl.warnings:
            self._warn(warning)
        return base64.b64encode(stl.content).decode()

    @property
    def cue_report(self) -> dict[str, Any]:
        return report_cues(self._for_broadcast, self._layout if self.has_layout else PRESETS["broadcast"])

    @property
    def has_layout(self) -> bool:
        """True if the layout limits cues."""
        return self._layout != Layout(highlight_words=self._layout.highlight_words)

    @cached_property
    def _for_broadcast(self) -> list[Cue]:
        """The cues of TTML and STL: laid out as `broadcast` unless there is a layout: no screen holds a segment."""
        if self.has_layout:
            return self._laid_out
        return lay_out(self._said, PRESETS["broadcast"], self._text_language, self._check)

    @cached_property
    def _subtitles(self) -> list[Cue]:
        if self._layout != PLAIN:
            return self._laid_out  # which LRC and ASS share
        return to_subtitles(self._said, self._layout, self._text_language, self._check)

    @cached_property
    def _laid_out(self) -> list[Cue]:
        return lay_out(self._said, self._layout, self._text_language, self._check)


def _to_openai_word(word: dict[str, Any]) -> dict[str, Any]:
    return {"word": word["word"].strip(), "start": word["start"], "end": word["end"]}


def _without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def _speaker_to_dict(speaker: Speaker, embedding_model: str | None) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "speaker": speaker.label,
        "seconds": round(speaker.seconds, 3),
        "turns": speaker.turns,
        "start": round(speaker.start, 3),
    }
    if embedding_model is None:
        return fields
    embedding = [round(value, 4) for value in speaker.embedding]
    return {**fields, "embedding": embedding, "embedding_model": embedding_model}
