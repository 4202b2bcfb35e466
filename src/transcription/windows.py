"""Splits a recording into windows for the engine: at pauses in its speech, or of a fixed length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from src.audio.levelling import level_voices
from src.audio.pcm import SAMPLE_RATE, Pcm, Recording, Region
from src.audio.speech import SpeechRegion, find_speech
from src.audio.vad import VadOptions
from src.audio.windowing import WINDOW_SECONDS, SpeechWindow, join_regions
from src.engine.coverage import Span
from src.engine.window import Window
from transcript.checks import Check, never


class PositionedWindow(NamedTuple):
    """A window and its position in the recording."""

    start: int
    """Position of the first sample."""
    window: Window
    speech: float = 0.0
    """Seconds of detected speech, padding included."""
    doubtful: Sequence[Span] = ()
    """The doubtful speech, in seconds from the window's start, padding included."""
    levelled: bool = False
    """Quiet voices were amplified."""

    @property
    def end(self) -> int:
        """Position after the last sample."""
        return self.start + len(self.window.audio)


def find_windows(
    pcm: Recording,
    clips: Iterable[Region] | None,
    vad: VadOptions | None,
    first_seconds: float = WINDOW_SECONDS,
    check: Check = never,
) -> Iterator[PositionedWindow]:
    """Yield windows as soon as they are known, so that decoding can begin before the whole recording is searched.

    Args:
        pcm: the recording; read block by block, so it may be mapped from disk.
        clips: the parts to transcribe; no window spans two of them. None: all of it.
        vad: None gives consecutive windows over everything.
        first_seconds: maximum length of the first window of each clip.
        check: called while speech is looked for; its exceptions end the search.
    """
    if clips is None:
        yield from _windows_of_clip(pcm, vad, first_seconds, check)
        return
    for clip in clips:
        for positioned in _windows_of_clip(pcm[clip.start : clip.end], vad, first_seconds, check):
            yield positioned._replace(start=clip.start + positioned.start)


def _windows_of_clip(
    pcm: Recording, vad: VadOptions | None, first_seconds: float, check: Check
) -> Iterator[PositionedWindow]:
    if vad is None:
        for window in join_regions([SpeechRegion(0, len(pcm))], pcm, first_seconds=first_seconds):
            yield PositionedWindow(window.start, Window(pcm[window.start : window.end]))
        return
    for window in join_regions(find_speech(pcm, vad, check), pcm, first_seconds=first_seconds):
        yield _to_positioned(window, pcm[window.start : window.end], vad.speech_pad_ms / 1000)


def _to_positioned(window: SpeechWindow, audio: Pcm, padding: float) -> PositionedWindow:
    spans = [_to_span(region, window) for region in window.speech]
    # The padding need not contain any words.
    unpadded = [(start + padding, end - padding) for start, end in spans if end - start > 2 * padding]
    voices = [Region(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end in unpadded]
    levelled = level_voices(audio, voices)
    return PositionedWindow(
        window.start,
        Window(levelled, unpadded, doubtful=window.doubtful),
        speech=sum(end - start for start, end in spans),
        doubtful=[_to_span(region, window) for region in window.speech if region.doubtful],
        levelled=levelled is not audio,
    )


def _to_span(region: SpeechRegion, window: SpeechWindow) -> Span:
    """Return a region's start and end in seconds from the window's start."""
    return (region.start - window.start) / SAMPLE_RATE, (region.end - window.start) / SAMPLE_RATE
