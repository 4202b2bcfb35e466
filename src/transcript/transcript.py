"""What a recording became: the one result type that every stage of the worker shares.

Times are seconds from the start of the recording. Segments carry openai-whisper's keys, with its meanings
(`whisper/transcribe.py`), so that whatever reads its JSON reads ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple


@dataclass(slots=True)
class Word:
    """One word with the space or punctuation that Whisper put to it."""

    word: str
    start: float
    end: float
    probability: float
    speaker: str | None = None
    """None unless speakers were asked for."""

    def to_dict(self) -> dict[str, Any]:
        plain = {"word": self.word, "start": self.start, "end": self.end, "probability": self.probability}
        return plain if self.speaker is None else {**plain, "speaker": self.speaker}


@dataclass(slots=True)
class Segment:
    """A phrase between two timestamps, as the decoder put it."""

    id: int
    seek: int
    """Start of the window it was decoded in, in log-mel frames of 10 ms."""
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: list[Word] | None = None
    """None unless word timestamps were asked for."""
    language: str | None = None
    """None unless each window's language was detected."""
    channel: int | None = None
    """Number of the channel, from 0; None unless each was transcribed by itself."""
    speaker: str | None = None
    """None unless speakers were asked for."""

    @property
    def voice(self) -> str:
        """Who speaks, as texts and subtitles name them; empty where nobody looked."""
        if self.speaker is not None:
            return self.speaker
        return "" if self.channel is None else f"CHANNEL_{self.channel}"

    def to_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = {
            "id": self.id,
            "seek": self.seek,
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "tokens": self.tokens,
            "temperature": self.temperature,
            "avg_logprob": self.avg_logprob,
            "compression_ratio": self.compression_ratio,
            "no_speech_prob": self.no_speech_prob,
        }
        if self.words is not None:
            plain["words"] = [word.to_dict() for word in self.words]
        if self.language is not None:
            plain["language"] = self.language
        if self.channel is not None:
            plain["channel"] = self.channel
        if self.speaker is not None:
            plain["speaker"] = self.speaker
        return plain


@dataclass(slots=True)
class Transcript:
    """All that was understood of a recording, and how it was come by."""

    language: str
    """ISO 639-1 code, as in `whisper.tokenizer.LANGUAGES`."""
    language_probability: float
    """1.0 where the caller named the language."""
    duration: float
    """Length of the recording in seconds."""
    segments: list[Segment] = field(default_factory=list)
    task: str = "transcribe"
    """What the text is: what was said, or with `translate` its English translation."""
    languages: dict[str, float] = field(default_factory=dict)
    """The likeliest languages and their probabilities; empty where the caller named one."""
    translation: Transcript | None = None
    """The same in English, if it was asked for besides."""
    speech: float | None = None
    """Seconds that were taken as speech, padding included; None where nobody looked."""
    uncovered: list[tuple[float, float]] = field(default_factory=list)
    """Speech, start and end, that no segment stands for although it was tried again."""
    repaired: float = 0.0
    """Seconds of speech that only a second attempt understood."""
    dropped: Counter[str] = field(default_factory=Counter)
    """How often something was left out, by the reason: see `src/transcript/hallucinations.py`."""
    vocabulary: dict[str, int] = field(default_factory=dict)
    """How often each term of the custom vocabulary was put in."""
    diarization: Diarization | None = None
    """Who speaks when, if that was asked for."""
    model: str = ""
    """Name of the model that understood it."""
    device: str = ""
    """Names of the model's devices, with commas between them."""
    compute_type: str = ""
    """The model's number format."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds spent in each stage."""
    warnings: list[str] = field(default_factory=list)
    """What the caller should know of how this came about, a sentence each."""

    @property
    def written(self) -> str:
        """Code of the language that the text is in."""
        return "en" if self.task == "translate" else self.language

    @property
    def text(self) -> str:
        """All of it in one piece; where voices are told apart, a line for each turn."""
        turns = [(voice, "".join(one.text for one in turn).strip()) for voice, turn in groupby(self.segments, _voice)]
        return "\n".join(f"{voice}: {text}" if voice else text for voice, text in turns)


def _voice(segment: Segment) -> str:
    return segment.voice


class Turn(NamedTuple):
    """Seconds in which one speaker speaks."""

    start: float
    end: float
    speaker: str


@dataclass(frozen=True)
class Speaker:
    """What is known of one."""

    label: str
    seconds: float
    turns: int
    start: float
    """When the first turn begins, in seconds."""
    embedding: Sequence[float]


@dataclass(frozen=True)
class Diarization:
    """Turns in order, and their speakers in order of first speech."""

    turns: list[Turn] = field(default_factory=list)
    speakers: list[Speaker] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
