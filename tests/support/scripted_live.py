"""A recognizer whose streams hear a word in each part of a second, whatever the sound is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from api.live.recognizer import (
    Committed,
    Completed,
    Delta,
    LiveEvent,
    LiveOptions,
    LiveRefused,
    SpeechStarted,
    SpeechStopped,
)

BYTES_PER_SECOND = 32000
SENTENCES = ("Good morning to all of you.", "What is it?", "It is noon.")


@dataclass
class ScriptedLive:
    """Opens streams that hear these sentences, over and over.

    Attributes:
        sentences: an utterance each.
        word_s: seconds of sound for each word.
        max_sessions: limit of streams at once.
        held: while true, no utterance is completed.
        streams: those that were opened.
    """

    sentences: Sequence[str] = SENTENCES
    word_s: float = 0.25
    max_sessions: int = 32
    held: bool = False
    streams: list[ScriptedStream] = field(default_factory=list)

    async def open(self, options: LiveOptions, on_event: Callable[[LiveEvent], None]) -> ScriptedStream:
        if "xx" in options.languages:
            raise LiveRefused("language: there is no language xx", "invalid_value")
        self.streams.append(ScriptedStream(self, options, on_event))
        return self.streams[-1]


@dataclass
class ScriptedStream:
    """A stream.

    Attributes:
        heard: all of its sound.
        is_closed: whether it was closed.
    """

    script: ScriptedLive
    options: LiveOptions
    on_event: Callable[[LiveEvent], None]
    heard: bytearray = field(default_factory=bytearray)
    is_closed: bool = False
    _utterance: int = 0
    _said: list[tuple[str, float]] = field(default_factory=list)
    """Words of the utterance so far, and when they end."""
    _completed: list[Completed] = field(default_factory=list)
    """Held ones."""

    async def hear(self, pcm: bytes) -> None:
        before = self._words_at(len(self.heard))
        self.heard += pcm
        for number in range(before + 1, self._words_at(len(self.heard)) + 1):
            self._say(number * self.script.word_s)

    async def commit(self) -> bool:
        if not self._said:
            return False
        self._complete()
        return True

    async def clear(self) -> None:
        self._said.clear()

    async def update(self, options: LiveOptions) -> None:
        self.options = options

    async def finish(self) -> None:
        await self.commit()
        self.release()

    async def close(self) -> None:
        self.is_closed = True

    def release(self) -> None:
        """Tell of the utterances that were held."""
        for completed in self._completed:
            self.on_event(completed)
        self._completed.clear()

    def _words_at(self, size: int) -> int:
        return int(size / BYTES_PER_SECOND / self.script.word_s)

    def _sentence(self) -> list[str]:
        return self.script.sentences[self._utterance % len(self.script.sentences)].split()

    def _say(self, end: float) -> None:
        sentence = self._sentence()
        if not self._said:
            self.on_event(SpeechStarted(self._utterance, self._ms(end - self.script.word_s)))
        word = sentence[len(self._said)]
        self.on_event(Delta(self._utterance, word if not self._said else f" {word}"))
        self._said.append((word, end))
        if len(self._said) == len(sentence):
            self._complete()

    def _complete(self) -> None:
        said, self._said = self._said, []
        start, end = said[0][1] - self.script.word_s, said[-1][1]
        text = " ".join(word for word, _ in said)
        words = [
            {"word": f" {word}", "start": at - self.script.word_s, "end": at, "probability": 0.9} for word, at in said
        ]
        segment = {"id": self._utterance, "start": start, "end": end, "text": f" {text}", "words": words}
        if self.options.diarize:
            segment["speaker"] = f"SPEAKER_0{self._utterance % 2}"
        self.on_event(SpeechStopped(self._utterance, self._ms(end)))
        self.on_event(Committed(self._utterance, self._ms(start), self._ms(end)))
        self._completed.append(
            Completed(self._utterance, [segment], text, "en", end - start, self._ms(start), self._ms(end), None, [])
        )
        self._utterance += 1
        if not self.script.held:
            self.release()

    @staticmethod
    def _ms(seconds: float) -> int:
        return round(seconds * 1000)
