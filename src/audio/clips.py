"""The parts of a recording that are to be transcribed, where a job asks for some: `clip_timestamps`.

    spans in seconds -> clip_regions                     batched: each clip is looked at alone, times are put back
                                 -> seek_points      sequential: openai-whisper's own `clip_timestamps`

Nothing outside of the clips is looked at, so that a short clip of a long recording costs what a short recording does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from src.audio.pcm import SAMPLE_RATE, Region

Spans = Sequence[tuple[float, float | None]]
"""Starts and ends in seconds, in order; None: the recording's end."""

_FRAME = SAMPLE_RATE // 100
"""Samples of one frame of openai-whisper's spectrogram, in which it counts positions."""


def clip_regions(spans: Spans | None, samples: int) -> list[Region]:
    """The clips in samples, as far as the recording goes: none if all lie beyond its end; all of it without spans."""
    edges = [(_position(start, samples), _position(end, samples)) for start, end in spans or [(0.0, None)]]
    return [Region(start, end) for start, end in edges if start < end]


def _position(seconds: float | None, samples: int) -> int:
    return samples if seconds is None or seconds * SAMPLE_RATE >= samples else round(seconds * SAMPLE_RATE)


def clip_warnings(spans: Spans | None, samples: int) -> list[str]:
    """What the caller should know: a sentence about clips of which the recording has nothing, if there are any."""
    spans = spans or []
    beyond = sum(start * SAMPLE_RATE >= samples for start, _ in spans)
    if not beyond:
        return []
    end = samples / SAMPLE_RATE
    return [f"{beyond} of {len(spans)} parts in clip_timestamps begin after the recording's end, {end:.1f} s: left out"]


def seek_points(clips: Iterable[Region]) -> list[float]:
    """The clips as `whisper.transcribe` takes them: start, end, start, ... in seconds, on whole frames.

    A frame begun is left out, as its spectrogram does: it would wait for ever for the rest of one at the end.
    """
    return [edge // _FRAME / 100 for clip in clips for edge in clip]
