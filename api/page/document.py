"""A transcript as it is saved, and as the subtitle writers take it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from api.page.lines import Line, Word, speakers_of
from transcript import transcript


@dataclass(frozen=True)
class Document:
    """A transcript as it is saved.

    Attributes:
        title: of the visitor's.
        lines: in order.
        speakers: names by key, in order of first speech; empty: not named.
        language: code of the text's language; None: unknown.
        duration: of the recording in seconds; None: unknown.
    """

    title: str
    lines: Sequence[Line]
    speakers: Mapping[str, str]
    language: str | None = None
    duration: float | None = None

    @property
    def voices(self) -> dict[str, str]:
        """The name of each speaker as the page shows it: `Speaker 1` for the first one if it has none."""
        keys = dict.fromkeys([*self.speakers, *speakers_of(self.lines)])
        return {
            key: " ".join(self.speakers.get(key, "").split()) or f"Speaker {number}"
            for number, key in enumerate(keys, start=1)
        }

    @property
    def spoken(self) -> Document:
        """The document without lines of which nothing was said."""
        return replace(self, lines=[line for line in self.lines if line.said])

    def to_transcript(self, *, names: bool = True) -> transcript.Transcript:
        """The transcript as the subtitle writers take it; without `names`, it has no speakers."""
        voices = self.voices if names else {}
        segments = [_to_segment(number, line, voices) for number, line in enumerate(self.lines)]
        length = max([self.duration or 0.0, *(line.end for line in self.lines)])
        return transcript.Transcript(self.language or "", None, length, segments)


def _to_segment(number: int, line: Line, voices: Mapping[str, str]) -> transcript.Segment:
    voice = voices.get(line.speaker or "")
    return transcript.Segment(
        id=number,
        seek=0,
        start=line.start,
        end=line.end,
        text="".join(word.text for word in line.words),
        tokens=[],
        temperature=0.0,
        avg_logprob=0.0,
        compression_ratio=1.0,
        no_speech_prob=0.0,
        words=[_to_word(word, voice, voices) for word in line.words],
        speaker=voice,
    )


def _to_word(word: Word, voice: str | None, voices: Mapping[str, str]) -> transcript.Word:
    others = tuple(voices[key] for key in word.other_speakers if key in voices)
    probability = 1.0 if word.probability is None else word.probability
    return transcript.Word(word.text, word.start, word.end, probability, voice, said=word.said, other_speakers=others)
