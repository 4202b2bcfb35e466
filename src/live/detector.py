"""Finds the turns of a stream: where speech begins, and where it has been followed by enough silence.

The network and its hysteresis are those of `src/audio/vad.py`, which looks for the same in whole recordings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from api.live.recognizer import TurnDetection
from src.audio.pcm import SAMPLE_RATE, Pcm, Samples, to_float
from src.audio.vad import CONTEXT, FRAME, Detector, Probabilities, State, VadOptions

OPENING = SAMPLE_RATE // FRAME * FRAME
"""Samples at a stream's start that are processed together, 1 s: at first the network takes speech for silence."""

BELOW = 0.15
"""Below the threshold by this much a frame is silence; between the two it is what the frame before it was."""
MIN_SPEECH = VadOptions().min_speech_ms * SAMPLE_RATE // 1000
"""Samples of speech that begin no turn: a click or a cough."""


@dataclass(frozen=True)
class SpeechBegan:
    """Speech began at this sample of the stream."""

    position: int


@dataclass(frozen=True)
class SpeechEnded:
    """Speech ended at this sample of the stream, and silence has followed."""

    position: int


class StreamingVad:
    """The detector's network, with the state of one stream."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._context: Samples = np.zeros(CONTEXT, np.float32)
        self._state: State | None = None

    async def detect(self, pcm: Pcm) -> Probabilities:
        """Return the probabilities of speech of the stream's next frames."""
        return await asyncio.wrap_future(self._detector.executor.submit(self._detect, pcm))

    def _detect(self, pcm: Pcm) -> Probabilities:
        samples = to_float(pcm)
        if self._state is None:
            # As for a recording's opening: after its mirror image the network detects speech from the first frame on.
            mirrored = np.concatenate((self._context, samples[::-1]))
            _, self._state = self._run(mirrored)
            self._context = mirrored[-CONTEXT:]
        probabilities, self._state = self._run(np.concatenate((self._context, samples)))
        self._context = samples[-CONTEXT:]
        return probabilities

    def _run(self, samples: Samples) -> tuple[Probabilities, State]:
        probabilities, state = self._detector.network(torch.from_numpy(samples), self._state)
        return probabilities.double().numpy(), state


class TurnFinder:
    """Finds the turns in the probabilities of a stream's frames.

    Attributes:
        silence: samples of silence that end a turn.
        last_speech: position after the last frame of speech.
    """

    def __init__(self) -> None:
        self.listen_for(TurnDetection())
        self.last_speech = 0
        self._position = 0
        self._start: int | None = None
        self._quiet_since: int | None = None
        self._in_turn = False

    def listen_for(self, detection: TurnDetection) -> None:
        """Take other limits from here on."""
        self._threshold = detection.threshold
        self._exit_threshold = max(detection.threshold - BELOW, 0.01)
        self.silence = detection.silence_duration_ms * SAMPLE_RATE // 1000

    def push(self, probabilities: Probabilities) -> Iterator[SpeechBegan | SpeechEnded]:
        """Take the next frames, and yield what they show."""
        for probability in probabilities.tolist():
            yield from self._take(probability)

    def forget(self) -> None:
        """End the turn here, without an event; speech that goes on begins another."""
        self._start = self._quiet_since = None
        self._in_turn = False

    def _take(self, probability: float) -> Iterator[SpeechBegan | SpeechEnded]:
        first = self._position
        self._position += FRAME
        if probability >= self._threshold:
            self._start = first if self._start is None else self._start
            self._quiet_since = None
        elif probability < self._exit_threshold and self._start is not None and self._quiet_since is None:
            self._quiet_since = first
        if self._start is None:
            return
        speech_end = self._position if self._quiet_since is None else self._quiet_since
        if self._in_turn or speech_end - self._start > MIN_SPEECH:
            self.last_speech = speech_end
            if not self._in_turn:
                self._in_turn = True
                yield SpeechBegan(self._start)
        if self._position - speech_end >= self.silence:
            was_turn = self._in_turn
            self.forget()
            if was_turn:
                yield SpeechEnded(speech_end)
