"""The contract with what recognizes live speech: streams take audio and report its text as events.

Audio is passed as bytes: signed 16 bit little-endian samples, mono at 16 kHz. All calls and callbacks are on the event
loop. An utterance is what the turn detector, or a commit, ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

SAMPLE_RATE = 16000
"""Of a stream's audio, in samples per second."""


class LiveRefused(Exception):
    """A stream cannot have these options, or cannot be opened; the message is for the caller.

    Args:
        message: one sentence.
        code: OpenAI's, such as `model_not_found`.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.message, self.code = message, code


@dataclass(frozen=True)
class TurnDetection:
    """How the ends of utterances are found.

    Attributes:
        threshold: probability of speech, 0 to 1, from which sound counts as speech.
        prefix_padding_ms: sound before the detected speech that belongs to its utterance.
        silence_duration_ms: of silence that end an utterance.
    """

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500


@dataclass(frozen=True)
class LiveOptions:
    """Options of a stream.

    Attributes:
        model: to use; None: the default.
        languages: one: that of the speech; several: candidates; none: detected for each utterance.
        prompt: a text that the speech continues.
        keywords: terms that the speech may contain.
        turn_detection: None: utterances end by `commit` alone.
        draft_seconds: new sound between two drafts of an utterance; None: its text comes at its end alone.
        noise_reduction: true: requested; a recognizer without it warns.
        word_timestamps: true: segments have words with times.
        diarize: true: segments name their speaker.
        speakers: known voices by their embeddings, as the option `speakers` of a job has them; they are named.
        logprobs: true: texts come with the log probabilities of their tokens.
        redact: kinds of personal data to replace, as in a job.
        mask: words to mask.
        mask_style: how they are masked; None: the default.
    """

    model: str | None = None
    languages: tuple[str, ...] = ()
    prompt: str | None = None
    keywords: tuple[str, ...] = ()
    turn_detection: TurnDetection | None = TurnDetection()
    draft_seconds: float | None = 0.5
    noise_reduction: bool = False
    word_timestamps: bool = False
    diarize: bool = False
    speakers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    logprobs: bool = False
    redact: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    mask_style: str | None = None


@dataclass(frozen=True)
class SpeechStarted:
    """Speech has begun.

    Attributes:
        utterance: its number in the stream, from 0.
        at_ms: milliseconds of the stream's sound.
    """

    utterance: int
    at_ms: int


@dataclass(frozen=True)
class SpeechStopped:
    """Speech has ended.

    Attributes:
        utterance: its number in the stream, from 0.
        at_ms: milliseconds of the stream's sound.
    """

    utterance: int
    at_ms: int


@dataclass(frozen=True)
class Committed:
    """The sound of an utterance is complete.

    Attributes:
        utterance: its number in the stream, from 0.
        start_ms: its beginning, in milliseconds of the stream's sound.
        end_ms: its end.
    """

    utterance: int
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Delta:
    """Text that follows the deltas of an utterance before; it is never withdrawn.

    Attributes:
        utterance: its number in the stream, from 0.
        text: to append.
    """

    utterance: int
    text: str


@dataclass(frozen=True)
class Completed:
    """The final text of an utterance.

    Attributes:
        utterance: its number in the stream, from 0.
        segments: as in a job's answer, with times in seconds of the stream, and `speaker` with `diarize`.
        text: of all segments; it may differ from the utterance's deltas.
        language: code of the language; None: there was no speech.
        seconds: of sound in the utterance.
        start_ms: its beginning, in milliseconds of the stream's sound.
        end_ms: its end.
        logprobs: `token`, `logprob` and `bytes` of each token; None: not requested.
        warnings: what was lost, ignored or changed.
    """

    utterance: int
    segments: list[dict[str, Any]]
    text: str
    language: str | None
    seconds: float
    start_ms: int
    end_ms: int
    logprobs: list[dict[str, Any]] | None
    warnings: list[str]


@dataclass(frozen=True)
class Failed:
    """An utterance has no text.

    Attributes:
        utterance: its number in the stream, from 0.
        message: why, one sentence for the caller.
        error_type: as in a job's answer.
    """

    utterance: int
    message: str
    error_type: str


@dataclass(frozen=True)
class Warned:
    """Something of the stream was lost, ignored or changed.

    Attributes:
        message: one sentence for the caller.
    """

    message: str


LiveEvent = SpeechStarted | SpeechStopped | Committed | Delta | Completed | Failed | Warned


class LiveStream(Protocol):
    """Takes audio, and reports its text as events."""

    async def append(self, pcm: bytes) -> None:
        """Take sound, whole samples; waits while too much of it is unprocessed."""

    async def commit(self) -> bool:
        """End the utterance here; False: there was not enough sound for one."""

    async def clear(self) -> None:
        """Forget the sound that belongs to no committed utterance yet."""

    async def update(self, options: LiveOptions) -> None:
        """Take other options, which apply from the next utterance on.

        Raises:
            LiveRefused: a stream cannot have them; those before stay.
        """

    async def finish(self) -> None:
        """Take no more sound; return when each utterance is completed or has failed."""

    async def close(self) -> None:
        """Cancel everything; a second call does nothing."""


class LiveRecognizer(Protocol):
    """Opens streams.

    Attributes:
        max_sessions: limit of streams at once.
    """

    max_sessions: int

    async def open(self, options: LiveOptions, on_event: Callable[[LiveEvent], None]) -> LiveStream:
        """Open a stream.

        Args:
            options: of the stream.
            on_event: receives the stream's events, in order.

        Raises:
            LiveRefused: a stream cannot have these options.
        """
