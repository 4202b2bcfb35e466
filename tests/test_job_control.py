"""Control of a running job: cancellation and deadlines, and the stages in Python that end by them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from src.delivery.answer import deliver
from src.errors import Cancelled
from src.job_control import JobControl
from src.speakers.assignment import assign_speakers
from src.speakers.clustering import SpeakerCounts, cluster
from tests.support.work import MAX_LINES_UNCHECKED, counted_lines
from transcript.formats.cues import lay_out
from transcript.formats.layout import PRESETS, Layout
from transcript.formats.render import render
from transcript.hallucinations import remove_hallucinations
from transcript.transcript import Diarization, Segment, Transcript, Turn, Word
from transcript.vocabulary import Corrector


def test_a_cancelled_job_ends_the_current_block_and_later_ones() -> None:
    control = JobControl()
    ended = threading.Event()
    ran: list[str] = []

    def work(name: str) -> None:
        with control.on_cancel(ended.set):
            ran.append(name)
            assert ended.wait(20)
            raise OSError("broken by the cancellation")

    threading.Timer(0.05, control.cancel, ["too late"]).start()
    for name in ("first", "second"):
        with pytest.raises(Cancelled, match="too late"):
            work(name)
    assert ran == ["first"]


def test_other_errors_pass_through() -> None:
    with pytest.raises(KeyError), JobControl().on_cancel(lambda: None):
        raise KeyError


def test_the_first_reason_counts() -> None:
    control = JobControl()
    control.cancel("first")
    control.cancel("second")
    with pytest.raises(Cancelled, match="first"):
        control.check()


def test_a_deadline_cancels_the_job_only_within_its_block() -> None:
    late, early = JobControl(), JobControl()
    ended = threading.Event()
    with late.deadline(0.01, "late"), pytest.raises(Cancelled, match="late"), late.on_cancel(ended.set):
        assert ended.wait(20)
    with early.deadline(0.05, "late"):
        pass
    assert not threading.Event().wait(0.1)
    early.check()


def test_a_deadline_may_exceed_the_range_of_clocks() -> None:
    control = JobControl()
    with control.deadline(1e300, "too long"):
        (timer,) = (thread for thread in threading.enumerate() if isinstance(thread, threading.Timer))
        timer.join(0.2)
        assert timer.is_alive()  # and has not failed
    control.check()


WORDS = 5_000
"""Words of half an hour of speech."""


@cache
def long_transcript() -> Transcript:
    words = [Word(f" word{number % 97}", number * 0.4, number * 0.4 + 0.3, 0.9) for number in range(WORDS)]
    segments: list[Segment] = []
    for first in range(0, WORDS, 12):
        part = words[first : first + 12]
        text = "".join(word.word for word in part)
        segments.append(Segment(len(segments), 0, part[0].start, part[-1].end, text, [], 0.0, -0.2, 1.2, 0.0, part))
    return Transcript("en", 1.0, WORDS * 0.4, segments)


def correct_with_a_large_vocabulary(check: Callable[[], None]) -> None:
    made = random.Random(1)
    corrections = {f"Term {n}": ["".join(made.choices("abcdeé  ", k=200)) for _ in range(2)] for n in range(1666)}
    Corrector(corrections).correct(long_transcript(), check)


def look_for_hallucinations(check: Callable[[], None]) -> None:
    def count_speech(start: float, end: float) -> float:
        check()
        return 1.0

    segments = long_transcript().segments * 5
    remove_hallucinations(segments, count_speech, lambda _: True, compression_ratio_threshold=2.4, speech_only=True)


def cluster_voices(check: Callable[[], None]) -> None:
    voices = np.random.default_rng(1).normal(size=(6000, 192)).astype(np.float32)
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    cluster(voices, np.ones(6000), SpeakerCounts(2), check)


def name_speakers(check: Callable[[], None]) -> None:
    turns = [Turn(second, second + 1.0, str(second % 2)) for second in range(int(WORDS * 0.4))]
    made = long_transcript()
    for _ in range(5):
        assign_speakers(Transcript("en", 1.0, made.duration, made.segments), Diarization(turns), check)


def deliver_all(check: Callable[[], None]) -> None:
    answer: dict[str, Any] = {"transcription": render(long_transcript(), ["json"]), "metadata": {"warnings": []}}
    deliver(answer, job_id="job", max_bytes=10**9, bucket=None, upload=None, check=check)


WIDE = Layout(1000, 100, max_cue_duration=600.0)
MARKED = Layout(60, 3, highlight_words=True)

STAGES: dict[str, Callable[[Callable[[], None]], object]] = {
    "correcting": correct_with_a_large_vocabulary,
    "looking for hallucinations": look_for_hallucinations,
    "clustering": cluster_voices,
    "naming speakers": name_speakers,
    "laying out": lambda check: lay_out(long_transcript().segments, PRESETS["broadcast"], "en", check),
    "laying out wide cues": lambda check: lay_out(long_transcript().segments, WIDE, "en", check),
    "rendering": lambda check: render(long_transcript(), ["all", "ass", "lrc"], MARKED, check=check),
    "delivering": deliver_all,
}
"""Stages in Python that take long."""

LOOKS = 10
"""At least, of each stage."""


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_in_python_ends_at_the_look_that_finds_it_cancelled(stage: str) -> None:
    control = JobControl()
    looks: list[int] = []

    def look() -> None:
        looks.append(lines.run)
        if len(looks) == LOOKS // 2:
            control.cancel("the job was cancelled")
        control.check()

    with counted_lines() as lines, pytest.raises(Cancelled, match="the job was cancelled"):
        STAGES[stage](look)
    assert len(looks) == LOOKS // 2
    assert lines.run - looks[-1] < 1_000


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_in_python_looks_often(stage: str) -> None:
    looks: list[int] = []
    with counted_lines() as lines:
        STAGES[stage](lambda: looks.append(lines.run))
    assert len(looks) > LOOKS
    assert max(after - before for before, after in pairwise([*looks, lines.run])) < MAX_LINES_UNCHECKED
