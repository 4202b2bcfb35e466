"""A recording's windows, by its speech or of a fixed length, as the job's options have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from src.audio import vad
from src.audio.clips import clips_of
from src.engine.coverage import Span
from src.engine.window import RATE, Window
from src.request.options import Options


class Placed(NamedTuple):
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
    pcm: npt.NDArray[np.int16], options: Options, first_seconds: float = vad.LONGEST_SECONDS
) -> Iterator[Placed]:
    """The windows one by one as they are found, so that the first may be decoded before the last is known.

    Args:
        first_seconds: length at most of the first one.
    """
    for clip in clips_of(options.clip_timestamps, len(pcm)):
        for placed in _windows_of(pcm[clip.start : clip.end], options, first_seconds):
            yield placed._replace(start=clip.start + placed.start)


def _windows_of(pcm: npt.NDArray[np.int16], options: Options, first_seconds: float) -> Iterator[Placed]:
    """The windows of one clip, or of the whole recording: none reaches from one clip into the next."""
    if not options.vad:
        for window in vad.windows([vad.Region(0, len(pcm))], pcm, first_seconds=first_seconds):
            yield Placed(window.start, Window(pcm[window.start : window.end]))
        return
    regions = vad.speech_regions(pcm, detection(options))
    for window in vad.windows(regions, pcm, first_seconds=first_seconds):
        heard = _heard(window, options.speech_pad_ms / 1000)
        speech = sum(region.end - region.start for region in window.speech) / RATE
        yield Placed(window.start, Window(pcm[window.start : window.end], heard), speech)


def detection(options: Options) -> vad.VadOptions:
    return vad.VadOptions(options.vad_threshold, options.min_speech_ms, options.min_silence_ms, options.speech_pad_ms)


def seconds_heard(pcm: npt.NDArray[np.int16], options: Options) -> float:
    """Seconds of speech, without padding."""
    bare = vad.VadOptions(options.vad_threshold, options.min_speech_ms, options.min_silence_ms, speech_pad_ms=0)
    return sum(region.end - region.start for region in vad.speech_regions(pcm, bare)) / RATE


def _heard(window: vad.Window, padding: float) -> list[Span]:
    """The speech of a window in seconds from its start, without the padding, in which nothing need be said."""
    spans = [((one.start - window.start) / RATE, (one.end - window.start) / RATE) for one in window.speech]
    return [(start + padding, end - padding) for start, end in spans if end - start > 2 * padding]
