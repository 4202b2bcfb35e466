"""The clips of a recording that a job asks for with `clip_timestamps`.

    spans in seconds -> clip_regions                  batched: each clip is searched for speech by itself
                                     -> seek_points   sequential: openai-whisper's own `clip_timestamps`

Nothing outside the clips is read, so that a short clip of a long recording costs as little as a short recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from src.audio.pcm import SAMPLE_RATE, Region

Spans = Sequence[tuple[float, float | None]]
"""Starts and ends in seconds, in order; None stands for the recording's end."""

_TOLERANCE_S = 1.0
"""Players round a recording's length up."""

_MEL_FRAME = SAMPLE_RATE // 100
"""Samples per frame of openai-whisper's log-mel spectrogram, its unit of position."""


def clip_regions(spans: Spans | None, samples: int) -> list[Region]:
    """Return the clips of a recording of `samples` samples, cut off at its end.

    Returns:
        The whole recording if there are no spans; an empty list if all of them begin after its end.
    """
    edges = [(_position(start, samples), _position(end, samples)) for start, end in spans or [(0.0, None)]]
    return [Region(start, end) for start, end in edges if start < end]


def _position(seconds: float | None, samples: int) -> int:
    return samples if seconds is None or seconds * SAMPLE_RATE >= samples else round(seconds * SAMPLE_RATE)


def clip_warnings(spans: Spans | None, samples: int) -> list[str]:
    """Return sentences for the caller if some clips begin or end after the recording's end.

    A clip from 0 may end anywhere: it asks for at most so many seconds.
    """
    spans, seconds = spans or [], samples / SAMPLE_RATE
    beyond = sum(start >= seconds for start, _ in spans)
    cut = sum(0 < start < seconds and end is not None and end > seconds + _TOLERANCE_S for start, end in spans)
    counts = {"begin": (beyond, "left out"), "end": (cut, "cut off there")}
    return [
        f"{count} of {len(spans)} parts in clip_timestamps {verb} after the recording's end, {seconds:.1f} s: {outcome}"
        for verb, (count, outcome) in counts.items()
        if count
    ]


def seek_points(clips: Iterable[Region]) -> list[float]:
    """Return the clips as `whisper.transcribe` takes them: start, end, start, ... in seconds, on whole frames.

    Incomplete frames are left out, as in openai-whisper's spectrogram: it would loop forever on one at the end.
    """
    return [edge // _MEL_FRAME / 100 for clip in clips for edge in clip]
