"""Clips of a recording: nothing outside them is read, and speech in them keeps its position."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import whisper
from hypothesis import given
from hypothesis import strategies as st

from src.audio import vad
from src.audio.clips import clip_regions, clip_warnings, seek_points
from src.audio.pcm import SAMPLE_RATE
from src.audio.vad import VadOptions
from src.errors import InvalidInput
from src.models.weights import load_weights
from src.request.options import Options
from src.request.validation import parse_input
from src.transcription.windows import find_windows
from tests.support.clips import ROOT
from tests.test_vad import SPEECH, clip, overlap, total

seconds = st.floats(0, 1000) | st.integers(0, 100).map(float)


@st.composite
def some_spans(draw: st.DrawFn) -> list[tuple[float, float | None]]:
    """Spans as `Options` lets them through."""
    edges = sorted(draw(st.sets(seconds, min_size=2, max_size=12)))
    spans: list[tuple[float, float | None]] = list(zip(edges[::2], edges[1::2], strict=False))
    return [*spans[:-1], (spans[-1][0], draw(st.sampled_from([None, spans[-1][1]])))]


def options(clips: object) -> Options:
    return parse_input({"audio": "https://example.com/a.mp3", "options": {"clip_timestamps": clips}}).options


# The option


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([[0, 30], [60.5, 90]], [(0, 30), (60.5, 90)]),
        ([[0, 30], [30, 60]], [(0, 30), (30, 60)]),
        ([[5, None]], [(5, None)]),
        ([0, 30, 60.5], [(0, 30), (60.5, None)]),
        ("0, 30,60.5,90", [(0, 30), (60.5, 90)]),
        ("12", [(12, None)]),
        (12, [(12, None)]),
        ([["0", "1.5"]], [(0, 1.5)]),
        (["0", "30"], [(0, 30)]),
        ([["1:15", "1:02:03.5"]], [(75, 3723.5)]),
        (["00:00:10,250", "90:00"], [(10.25, 5400)]),
        ("0:10,0:20,1:00", [(10, 20), (60, None)]),
        ([["5", ""]], [(5, None)]),
        ([], []),
        (None, None),
    ],
)
def test_clips_are_pairs_a_flat_list_or_a_string(given, expected):
    assert options(given).clip_timestamps == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[30, 0]], "in order"),
        ([[5, 5]], "in order"),
        ([[0, 30], [29, 60]], "in order"),
        ([[60, 90], [0, 30]], "in order"),
        ([[0, None], [60, 90]], "only the last part"),
        ("0,x", "clip_timestamps: should be a number"),
        ("0:60,0:70", "should be times in seconds"),
        ([["1:2:3:4", 5]], "should be times in seconds"),
        ([[-1, 5]], "clip_timestamps"),
        ([[0, 1, 2]], "clip_timestamps"),
        ([["", 1]], "should be a number"),
        ([[True, 5]], "should be a number"),
        ([[0, 1]] * 2000, "clip_timestamps"),
        ({"start": 0}, "clip_timestamps"),
    ],
)
def test_invalid_clips_are_refused(given, message):
    with pytest.raises(InvalidInput, match=message):
        options(given)


# Regions


@given(some_spans(), st.integers(0, 200 * SAMPLE_RATE))
def test_clips_are_ordered_and_within_the_recording(spans, samples):
    clips = clip_regions(spans, samples)
    assert all(0 <= start < end <= samples for start, end in clips)
    assert all(before.end <= after.start for before, after in pairwise(clips))


def test_clips_are_cut_off_at_the_recordings_end():
    samples = 50 * SAMPLE_RATE + 7
    assert clip_regions([(10, 20.5), (45, 60), (70, 80)], samples) == [(160_000, 328_000), (720_000, samples)]
    assert clip_regions([(45, None)], samples) == clip_regions([(45, 1e308)], samples) == [(720_000, samples)]


@pytest.mark.parametrize("spans", [None, []])
def test_without_clips_the_whole_recording_is_transcribed(spans):
    assert clip_regions(spans, 1000) == [(0, 1000)]
    assert clip_warnings(spans, 1000) == []


def test_clips_beyond_the_end_are_a_warning():
    samples = 50 * SAMPLE_RATE
    assert clip_warnings([(0, 10), (45, 51)], samples) == []
    assert clip_warnings([(0, 90)], samples) == []  # at most the first 90 s
    assert clip_warnings([(0, 10), (45, 60)], samples) == [
        "1 of 2 parts in clip_timestamps end after the recording's end, 50.0 s: cut off there"
    ]
    assert clip_warnings([(0, 10), (45, None), (50, 60)], samples) == [
        "1 of 3 parts in clip_timestamps begin after the recording's end, 50.0 s: left out"
    ]
    assert clip_warnings([(0, 10), (50, 60), (70, None)], samples) == [
        "2 of 3 parts in clip_timestamps begin after the recording's end, 50.0 s: left out"
    ]
    assert clip_regions([(50, 60), (70, None)], samples) == []
    assert clip_warnings([(50, 60), (70, None)], samples)[0].startswith("2 of 2 ")


# Windows


@pytest.mark.process
def test_speech_in_a_clip_is_found_at_its_position():
    pcm, spans = clip("long.ogg"), [(15.7, 24.7), (53.2, 62.0)]  # the edges are in pauses
    expected = [
        (start, end)
        for start, end in SPEECH["long.ogg"]
        if any(clip_start <= start and end <= clip_end for clip_start, clip_end in spans)
    ]
    assert len(expected) == 4
    found = [
        (positioned.start / SAMPLE_RATE + start, positioned.start / SAMPLE_RATE + end)
        for positioned in find_windows(pcm, clip_regions(spans, len(pcm)), VadOptions())
        for start, end in positioned.window.speech
    ]
    assert overlap(found, spans) == pytest.approx(total(found))
    # Neither has the padding; the found speech lacks the silence at the start and end of flite's sentences.
    assert [time for span in found for time in span] == pytest.approx(
        [time for span in expected for time in span], abs=0.4
    )


@given(some_spans())
def test_windows_are_within_the_clips_and_cover_them(spans):
    pcm = np.arange(100 * SAMPLE_RATE).astype(np.int16)
    clips = clip_regions(spans, len(pcm))
    windows = list(find_windows(pcm, clips, vad=None))
    assert all((window.window.audio == pcm[window.start : window.end]).all() for window in windows)
    assert all(any(start <= window.start and window.end <= end for start, end in clips) for window in windows)
    assert sum(window.end - window.start for window in windows) == sum(end - start for start, end in clips)


def test_only_the_clips_are_searched_for_speech(monkeypatch):
    searched = []
    speech_probabilities = vad.speech_probabilities
    monkeypatch.setattr(
        vad, "speech_probabilities", lambda pcm, *rest: searched.append(len(pcm)) or speech_probabilities(pcm, *rest)
    )
    pcm = np.zeros(3600 * SAMPLE_RATE, np.int16)
    clips = clip_regions([(60, 62), (3599, None)], len(pcm))
    assert list(find_windows(pcm, clips, VadOptions())) == []
    assert searched == [2 * SAMPLE_RATE, SAMPLE_RATE]


# openai-whisper's own


@given(some_spans(), st.integers(0, 200 * SAMPLE_RATE))
def test_seek_points_are_whole_frames_of_the_recording(spans, samples):
    clips = clip_regions(spans, samples)
    points = seek_points(clips)
    frames = [round(100 * point) for point in points]  # as `whisper.transcribe` does
    assert len(frames) == 2 * len(clips)
    assert frames == sorted(frames)
    assert all(frame <= samples // 160 for frame in frames)
    assert all(
        edge - 160 * frame < 160 for edge, frame in zip((edge for clip in clips for edge in clip), frames, strict=True)
    )


@pytest.mark.model
@pytest.mark.process
def test_openai_whisper_transcribes_the_clips_and_returns():
    model = load_weights(ROOT / "models" / "tiny.en").float()
    pcm = clip("long.ogg")[: 24 * SAMPLE_RATE + 159]  # the last frame of 160 is incomplete
    points = seek_points(clip_regions([(3.4, 7.6), (21.3, 100)], len(pcm)))
    transcribe = partial(whisper.transcribe, model, pcm.astype(np.float32) / 32768, fp16=False, temperature=0.0)
    segments = transcribe(clip_timestamps=points)["segments"]
    text = "".join(segment["text"] for segment in segments).lower()
    assert "tour" in text
    assert "horses" not in text
    assert "museum" not in text
    assert all(3.4 <= segment["start"] < 7.6 or 21.3 <= segment["start"] <= 24.1 for segment in segments)
