"""Turns in a stream: by tables of probabilities, and in sound with the real network."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from api.live.recognizer import TurnDetection
from src.audio.pcm import SAMPLE_RATE
from src.audio.vad import FRAME, load_vad
from src.live.detector import OPENING, SpeechBegan, SpeechEnded, StreamingVad, TurnFinder
from tests.support.live_stream import decoded

FRAMES_OF_SILENCE = 16  # 0.512 s: the first number of frames that is at least 500 ms


def find(finder: TurnFinder, text: str) -> list[tuple[str, float]]:
    """Push frames, `#` speech, `-` between the thresholds and `.` silence; return the turns in frames."""
    probabilities = np.array([{"#": 0.9, "-": 0.4, ".": 0.1}[mark] for mark in text])
    return [(type(turn).__name__[6:], turn.position / FRAME) for turn in finder.push(probabilities)]


@pytest.mark.parametrize(
    ("frames", "turns"),
    [
        ("." * 40, []),
        ("..####" + "." * 16, [("Began", 2), ("Ended", 6)]),
        ("..####" + "." * 15, [("Began", 2)]),
        ("..###" + "." * 30, []),  # 96 ms: a click
        ("..##-#" + "." * 16, [("Began", 2), ("Ended", 6)]),
        ("..----" + "." * 16, []),
        ("..####--" + "." * 16, [("Began", 2), ("Ended", 8)]),
        ("####" + "." * 15 + "#" + "." * 16, [("Began", 0), ("Ended", 20)]),
        ("####" + "." * 16 + "####" + "." * 16, [("Began", 0), ("Ended", 4), ("Began", 20), ("Ended", 24)]),
        ("#." * 2 + "." * 13 + "####", [("Began", 0)]),  # a click, and speech soon after it: it belongs to the speech
    ],
)
def test_turns_begin_with_speech_and_end_with_silence(frames: str, turns: list[Any]) -> None:
    assert find(TurnFinder(), frames) == turns
    one_by_one, finder = [], TurnFinder()
    for frame in frames:
        one_by_one += find(finder, frame)
    assert one_by_one == turns


def test_the_limits_can_be_changed_between_frames() -> None:
    finder = TurnFinder()
    assert find(finder, "####....") == [("Began", 0)]
    finder.listen_for(TurnDetection(threshold=0.95, silence_duration_ms=200))
    assert find(finder, "...") == [("Ended", 4)]
    assert find(finder, "########") == []


def test_after_forgetting_speech_that_goes_on_is_another_turn() -> None:
    finder = TurnFinder()
    assert find(finder, "######") == [("Began", 0)]
    finder.forget()
    assert find(finder, "######") == [("Began", 6)]


def detect(blocks: list[Any]) -> list[float]:
    async def run() -> list[float]:
        vad = StreamingVad(load_vad())
        return [probability for block in blocks for probability in (await vad.detect(block)).tolist()]

    return asyncio.run(run())


@pytest.mark.process
@pytest.mark.parametrize("size", [FRAME, 4 * FRAME, 30 * FRAME])
def test_the_network_hears_the_same_in_blocks_of_any_size(size: int) -> None:
    pcm = decoded("demo.ogg")
    pcm = pcm[: len(pcm) // FRAME * FRAME]
    opening, rest = pcm[:OPENING], pcm[OPENING:]
    in_blocks = detect([opening, *(rest[first : first + size] for first in range(0, len(rest), size))])
    assert in_blocks == pytest.approx(detect([opening, rest]), abs=1e-4)


@pytest.mark.process
def test_a_voice_at_the_very_start_is_heard() -> None:
    pcm = decoded("demo.ogg")[round(0.3 * SAMPLE_RATE) :]  # it begins with the first word
    turns = list(TurnFinder().push(np.array(detect([pcm[:OPENING], pcm[OPENING : len(pcm) // FRAME * FRAME]]))))
    assert isinstance(turns[0], SpeechBegan)
    assert turns[0].position < 0.3 * SAMPLE_RATE
    assert isinstance(turns[1], SpeechEnded)
