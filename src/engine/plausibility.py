"""Judges a decoded text: is it plausible, is the window silent, is another way of decoding worth its time.

The criteria are openai-whisper's (`decode_with_fallback` and the no-speech rule of `whisper/transcribe.py`), with those
additions that the docstrings name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from whisper.audio import SAMPLE_RATE
from whisper.tokenizer import Tokenizer
from whisper.utils import compression_ratio

from src.engine.decoding_options import DecodingOptions
from src.engine.repetition import is_said_repeatedly
from src.engine.segments import to_segments
from src.engine.work import DecodeResult

UNSURE_LOGPROB = -0.4
"""A greedy text of a lower mean log-probability is worth a beam search."""

MIN_SECOND_LENGTH = 0.9
"""Shortest second text, relative to a plausible first one: a beam search tends to skip what it does not understand."""

MAX_DOUBTFUL_NO_SPEECH = 0.6
MIN_DOUBTFUL_LOGPROB = -0.7
"""A doubtful window's text is kept up to this no-speech probability, and from this mean log-probability.

Measured: "Oh" and "Okay" for 10 coughs, sighs and yawns, 0.36 to 0.60 and -0.79 to -1.29; a voice at -45 to -55 dB,
0.42 to 0.58 and -0.41 to -0.47.
"""


@dataclass(frozen=True)
class Plausibility:
    """The judgement of texts of one window.

    Attributes:
        audio: the window's sound, 16 kHz.
        options: the thresholds.
        tokenizer: of the model.
    """

    audio: NDArray[np.int16]
    options: DecodingOptions
    tokenizer: Tokenizer

    def is_plausible(self, result: DecodeResult) -> bool:
        """True if a text neither repeats itself nor is improbable, or if that is because the window is silent."""
        improbable, threshold = self._is_improbable(result), self.options.no_speech_threshold
        if improbable and threshold is not None and result.no_speech_prob > threshold:
            return True
        return not improbable and not self.is_repetitive(result)

    def is_unsure(self, result: DecodeResult) -> bool:
        """True if a beam search is likely to find a better text than greedy decoding did, and there is one to find."""
        return result.temperature == 0 and result.avg_logprob < UNSURE_LOGPROB and not self.is_silence(result)

    def is_better(self, second: DecodeResult, first: DecodeResult) -> bool:
        """True if a second text is more probable, and not because it leaves out a clause of the first."""
        if second.avg_logprob <= first.avg_logprob:
            return False
        lengths = [sum(token < self.tokenizer.eot for token in result.tokens) for result in (second, first)]
        return lengths[0] >= MIN_SECOND_LENGTH * lengths[1] or not self.is_plausible(first)

    def is_certain(self, result: DecodeResult) -> bool:
        """True if there is hardly a doubt that somebody speaks, and says this: the criterion of doubtful windows."""
        is_speech = result.no_speech_prob <= MAX_DOUBTFUL_NO_SPEECH
        return is_speech and result.avg_logprob >= MIN_DOUBTFUL_LOGPROB and not self.is_repetitive(result)

    def is_silence(self, result: DecodeResult) -> bool:
        """True if the model predicts no speech, and its text is improbable or a loop.

        In openai-whisper a loop, which is probable, is not silence.
        """
        no_speech, logprob = self.options.no_speech_threshold, self.options.logprob_threshold
        if no_speech is None or result.no_speech_prob <= no_speech:
            return False
        return logprob is None or result.avg_logprob <= logprob or self.is_repetitive(result)

    def is_repetitive(self, result: DecodeResult) -> bool:
        """True if a text repeats itself, and the sound does not."""
        threshold = self.options.compression_ratio_threshold
        if threshold is None or compression_ratio(self.tokenizer.decode(result.tokens).strip()) <= threshold:
            return False
        segments = to_segments(result, self.tokenizer, len(self.audio) / SAMPLE_RATE)
        return not is_said_repeatedly(segments, self.audio)

    def _is_improbable(self, result: DecodeResult) -> bool:
        return self.options.logprob_threshold is not None and result.avg_logprob < self.options.logprob_threshold
