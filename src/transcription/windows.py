"""A recording's windows, by its speech or of a fixed length, as the job's options have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from src.audio.clips import clip_regions
from src.audio.pcm import SAMPLE_RATE, Region
from src.audio.vad import VadOptions, speech_regions
from src.audio.windowing import WINDOW_SECONDS, SpeechWindow, join_regions
from src.engine.coverage import Span
from src.engine.window import Window
from src.request.options import Options


class PositionedWindow(NamedTuple):
    """A window and its place in the recording."""

    start: int
    """Position of its first sample."""
    window: Window
    speech: float = 0.0
    """Seconds that were taken as speech, with their padding."""

    @property
    def end(self) -> int:
        return self.start + len(self.window.audio)


def find_windows(
    pcm: npt.NDArray[np.int16], options: Options, first_seconds: float = WINDOW_SECONDS
) -> Iterator[PositionedWindow]:
    """The windows one by one as they are found, so that the first may be decoded before the last is known.

    Args:
        first_seconds: length at most of the first one.
    """
    for clip in clip_regions(options.clip_timestamps, len(pcm)):
        for placed in _windows_of(pcm[clip.start : clip.end], options, first_seconds):
            yield placed._replace(start=clip.start + placed.start)


def _windows_of(pcm: npt.NDArray[np.int16], options: Options, first_seconds: float) -> Iterator[PositionedWindow]:
    """The windows of one clip, or of the whole recording: none reaches from one clip into the next."""
    if not options.vad:
        for window in join_regions([Region(0, len(pcm))], pcm, first_seconds=first_seconds):
            yield PositionedWindow(window.start, Window(pcm[window.start : window.end]))
        return
    regions = speech_regions(pcm, detection(options))
    for window in join_regions(regions, pcm, first_seconds=first_seconds):
        heard = _heard(window, options.speech_pad_ms / 1000)
        speech = sum(region.end - region.start for region in window.speech) / SAMPLE_RATE
        yield PositionedWindow(window.start, Window(pcm[window.start : window.end], heard), speech)


def detection(options: Options) -> VadOptions:
    return VadOptions(options.vad_threshold, options.min_speech_ms, options.min_silence_ms, options.speech_pad_ms)


def seconds_heard(pcm: npt.NDArray[np.int16], options: Options) -> float:
    """Seconds of speech, without padding."""
    bare = VadOptions(options.vad_threshold, options.min_speech_ms, options.min_silence_ms, speech_pad_ms=0)
    return sum(region.end - region.start for region in speech_regions(pcm, bare)) / SAMPLE_RATE


def _heard(window: SpeechWindow, padding: float) -> list[Span]:
    """The speech of a window in seconds from its start, without the padding, in which nothing need be said."""
    spans = [
        ((one.start - window.start) / SAMPLE_RATE, (one.end - window.start) / SAMPLE_RATE) for one in window.speech
    ]
    return [(start + padding, end - padding) for start, end in spans if end - start > 2 * padding]
