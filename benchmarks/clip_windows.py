"""Windows of the repository's longest clip, for benchmarks of the engine alone: without decoding or voice detection."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from benchmarks.recordings import REPOSITORY_CLIPS, load_pcm
from src.audio.pcm import Region
from src.audio.vad import VadOptions
from src.engine.decoding_options import DecodingOptions
from src.engine.window import Window
from src.models.store import fetch_model, find_model
from src.settings import get_settings
from src.transcription.windows import find_windows

CLIP = REPOSITORY_CLIPS / "long.ogg"
GREEDY = DecodingOptions(language="en", temperatures=(0.0,), beam_size=1)
"""One pass over each window: no fallback, and no beam search where the text is unsure."""


def clip_windows(count: int | None = None) -> list[Window]:
    """Return the windows of the clip, cut at pauses; with `count`, that many of them, over and over."""
    pcm = load_pcm(CLIP)
    windows = [Window(positioned.window.audio) for positioned in find_windows(pcm, [Region(0, len(pcm))], VadOptions())]
    return windows if count is None else list(islice(cycle(windows), count))


def total_seconds(windows: Sequence[Window]) -> float:
    """Return the length of all windows together."""
    return sum(window.seconds for window in windows)


def find_weights(model: str) -> Path:
    """Return the weights of a model, fetched if they are missing."""
    settings = get_settings()
    return find_model(model, settings.model_folders) or fetch_model(model, settings.model_store)
