"""The result of a transcription, shared by all stages of the worker.

Times are seconds from the start of the recording. Segments have openai-whisper's keys, with its meanings
(`whisper/transcribe.py`), so that programs that read its JSON can read ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal, NamedTuple, TypeAlias

from transcript.token_logprobs import TokenLogprob

PersonalData: TypeAlias = Literal["card", "iban", "email", "phone", "ip"]
"""What a job can have redacted."""


@dataclass(slots=True)
class Word:
    """One word, with the space and punctuation that Whisper attaches to it."""

    word: str
    start: float
    end: float
    probability: float
    speaker: str | None = None
    """None unless the job asked for speakers."""
    said: bool = True
    """False for a word of a given text that is not in the recording; its times are where the text goes on."""
    other_speakers: tuple[str, ...] = ()
    """Those who speak at the same time, for at least half of the word."""

    def to_dict(self) -> dict[str, Any]:
        """Return the word in its JSON form."""
        word: dict[str, Any] = {
            "word": self.word,
            "start": self.start,
            "end": self.end,
            "probability": self.probability,
        }
        if self.speaker is not None:
            word["speaker"] = self.speaker
        if self.other_speakers:
            word["other_speakers"] = list(self.other_speakers)
        return word if self.said else {**word, "not_said": True}


@dataclass(slots=True)
class Segment:
    """The text between two timestamps of the decoder."""

    id: int
    seek: int
    """Start of the segment's window, in log-mel frames of 10 ms."""
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: list[Word] | None = None
    """None unless the job asked for word timestamps."""
    language: str | None = None
    """None unless the language of each window was detected."""
    channel: int | None = None
    """Number of the channel, from 0; None unless channels were transcribed separately."""
    speaker: str | None = None
    """None unless the job asked for speakers."""
    logprobs: list[TokenLogprob] | None = None
    """Of the tokens that Whisper wrote, also if their text was corrected; None unless the job asked for them."""

    @property
    def said(self) -> bool:
        """False if none of its words was said."""
        return not self.words or any(word.said for word in self.words)

    @property
    def voice(self) -> str:
        """Label of the speaker or channel in texts and subtitles; empty unless the job asked for either."""
        if self.speaker is not None:
            return self.speaker
        return "" if self.channel is None else f"CHANNEL_{self.channel}"

    def to_dict(self) -> dict[str, Any]:
        """Return the segment in its JSON form."""
        fields: dict[str, Any] = {
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
            fields["words"] = [word.to_dict() for word in self.words]
        if self.logprobs is not None:
            fields["logprobs"] = [token.to_dict() for token in self.logprobs]
        if self.language is not None:
            fields["language"] = self.language
        if self.channel is not None:
            fields["channel"] = self.channel
        if self.speaker is not None:
            fields["speaker"] = self.speaker
        return fields


class Turn(NamedTuple):
    """An interval in which one speaker speaks, in seconds."""

    start: float
    end: float
    speaker: str


@dataclass(frozen=True)
class Speaker:
    """One speaker of a recording."""

    label: str
    seconds: float
    """Total length of the speaker's turns."""
    turns: int
    start: float
    """Start of the first turn, in seconds."""
    embedding: Sequence[float]
    """The speaker embedding: 192 numbers, of length 1."""


@dataclass(frozen=True)
class Diarization:
    """The turns in order of time, and their speakers in order of first speech."""

    turns: list[Turn] = field(default_factory=list)
    speakers: list[Speaker] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class TimedText(NamedTuple):
    """A passage with its start and end, in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class GivenText:
    """How a recording differs from the text that was given for it."""

    words: int
    """Of the text; characters in scripts that do not separate words."""
    not_said: list[TimedText] = field(default_factory=list)
    """Passages of the text that are not in the recording; their times are where the text goes on."""
    said_besides: list[TimedText] = field(default_factory=list)
    """What was recognised in the recording and is not in the text."""


class DoubtfulSpeech(NamedTuple):
    """A stretch of speech that the detector was not certain of, in seconds."""

    start: float
    end: float
    transcribed: bool
    """Whisper was sure of some text in it; otherwise what it wrote was dropped."""


class Redacted(NamedTuple):
    """What was redacted, in seconds; never the value."""

    start: float
    end: float
    kind: str
    channel: int | None
    """None unless channels were transcribed separately."""

    def to_dict(self) -> dict[str, Any]:
        """Return it in its JSON form."""
        fields = {"kind": self.kind, "start": self.start, "end": self.end}
        return fields if self.channel is None else {**fields, "channel": self.channel}


class TrackTime(NamedTuple):
    """Where a track of a conversation is on the common clock."""

    speaker: str
    offset: float
    """Seconds of the common clock at its start."""
    drift: float
    """Seconds that its clock loses in each second."""
    by_ear: bool
    """By sound that it shares with other tracks; otherwise as given, or with the earliest one."""

    def to_dict(self) -> dict[str, Any]:
        """Return it in its JSON form."""
        return {
            "name": self.speaker,
            "offset": round(self.offset, 3),
            "drift_ppm": round(self.drift * 1e6, 1),
            "by_ear": self.by_ear,
        }


@dataclass(slots=True)
class Transcript:
    """The transcript of a recording, with how it was produced."""

    language: str
    """ISO 639-1 code, as in `whisper.tokenizer.LANGUAGES`."""
    language_probability: float | None
    """1.0 if the caller gave the language; None if nothing was measured, without speech or by an English-only model."""
    duration: float
    """Length of the recording in seconds."""
    segments: list[Segment] = field(default_factory=list)
    task: str = "transcribe"
    """`transcribe` for a text in the spoken language, `translate` for an English one."""
    languages: dict[str, float] = field(default_factory=dict)
    """The most likely languages and their probabilities; empty if the caller gave the language."""
    translation: Transcript | None = None
    """The English translation, if the job asked for one as well."""
    speech: float | None = None
    """Seconds of detected speech, padding included; None if the VAD did not run."""
    uncovered: list[tuple[float, float]] = field(default_factory=list)
    """Start and end of speech that no segment covers, even after decoding it again."""
    doubtful_speech: list[DoubtfulSpeech] = field(default_factory=list)
    """Speech that the VAD found at a second look only, or was never certain of."""
    repaired: float = 0.0
    """Seconds of speech that were transcribed only when decoded again."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Number of removed hallucinations by reason: see `transcript/hallucinations.py`."""
    vocabulary: dict[str, int] = field(default_factory=dict)
    """Number of replacements by each term of the custom vocabulary."""
    redacted: list[Redacted] = field(default_factory=list)
    """In order of time."""
    diarization: Diarization | None = None
    """Speakers and their turns, if the job asked for them."""
    tracks: list[TrackTime] = field(default_factory=list)
    """Of a conversation."""
    given_text: GivenText | None = None
    """If the job gave the text."""
    model: str = ""
    """Name of the model that was used."""
    device: str = ""
    """Names of the model's devices, separated by commas."""
    compute_type: str = ""
    """The model's number format."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds spent in each stage."""
    warnings: list[str] = field(default_factory=list)
    """Sentences for the caller."""

    @property
    def text_language(self) -> str:
        """Code of the language that the text is in."""
        return "en" if self.task == "translate" else self.language

    @property
    def text(self) -> str:
        """The whole text; with speakers or channels, a line for each turn."""
        by_voice = groupby(self.segments, key=lambda segment: segment.voice)
        turns = [(voice, "".join(segment.text for segment in turn).strip()) for voice, turn in by_voice]
        return "\n".join(f"{voice}: {text}" if voice else text for voice, text in turns)
