"""Voice activity detection and windowing, on the repository's clips and on generated regions."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib.metadata import distribution
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from src.audio import vad
from src.audio.pcm import SAMPLE_RATE, Pcm, Region
from src.audio.speech import SpeechRegion, find_speech
from src.audio.vad import BLOCK, FRAME, OPENING, RunFinder, VadOptions, load_vad, speech_probabilities, speech_regions
from src.audio.windowing import SpeechWindow, join_regions
from src.transcription.silences import find_silences

CLIPS = Path(__file__).parent / "data"
SPEECH: dict[str, list[tuple[float, float]]] = {
    clip: facts["speech"] for clip, facts in json.loads((CLIPS / "clips.json").read_text()).items()
}


@cache
def clip(name: str) -> Pcm:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", CLIPS / name]
    pcm = subprocess.run([*command, "-ar", "16000", "-ac", "1", "-f", "s16le", "-"], capture_output=True, check=True)
    return np.frombuffer(pcm.stdout, dtype=np.int16)


def all_probabilities(pcm: Pcm) -> list[float]:
    return [probability for block in speech_probabilities(pcm) for probability in block.tolist()]


@cache
def probabilities_of(name: str) -> tuple[float, ...]:
    return tuple(all_probabilities(clip(name)))


def noise(seconds: float, loudness: float = 3000) -> Pcm:
    return np.random.default_rng(0).normal(0, loudness, int(seconds * SAMPLE_RATE)).astype(np.int16)


def seconds(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in spans]


def overlap(spans: Iterable[tuple[float, float]], reference: Iterable[tuple[float, float]]) -> float:
    return sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for b in list(reference) for a in spans)


def total(spans: Iterable[tuple[float, float]]) -> float:
    return sum(end - start for start, end in spans)


def recording_with(monkeypatch: pytest.MonkeyPatch, probabilities: list[float]) -> Pcm:
    """Returns a recording for which the network gives these probabilities."""
    monkeypatch.setattr(vad, "speech_probabilities", lambda *_: iter([np.array(probabilities)]))
    return np.zeros(len(probabilities) * FRAME, dtype=np.int16)


# The network


def frame_by_frame(*parts: Pcm) -> list[float]:
    """Returns silero-vad's probabilities for the last part, after the others: from its own model, frame by frame."""
    model = torch.jit.load(str(distribution("silero-vad").locate_file("silero_vad/data/silero_vad.jit")))
    with torch.inference_mode(), cast(Any, torch.jit).optimized_execution(False):
        for pcm in parts:
            frames = torch.from_numpy(np.pad(pcm, (0, -len(pcm) % FRAME)).astype(np.float32) / 32768)
            probabilities = [model(frame, SAMPLE_RATE).item() for frame in frames.view(-1, 1, FRAME)]
    return probabilities


@pytest.mark.process
@pytest.mark.parametrize("name", ["demo.ogg", "long.ogg", "noise.ogg"])
def test_probabilities_are_silero_vads_own_after_the_opening_was_heard(name):
    pcm = clip(name)[: 2 * BLOCK + 1000]
    opening = pcm[:OPENING]
    run = load_vad().executor.submit
    forward = run(frame_by_frame, opening, pcm).result()
    mirrored = run(frame_by_frame, opening[::-1], opening).result()
    expected = [*map(max, forward, mirrored), *forward[len(mirrored) :]]
    assert all_probabilities(pcm) == pytest.approx(expected, abs=1e-3)


@pytest.mark.process
@pytest.mark.parametrize("frames", [1, 7, 10_000])
def test_probabilities_do_not_depend_on_the_size_of_a_block(monkeypatch, frames):
    expected = all_probabilities(clip("demo.ogg"))
    monkeypatch.setattr(vad, "BLOCK", frames * FRAME)
    assert all_probabilities(clip("demo.ogg")) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("samples", [0, 1, FRAME - 1, FRAME, FRAME + 1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_each_frame_has_a_probability_even_an_incomplete_one(samples):
    assert len(all_probabilities(noise(20)[:samples])) == -(-samples // FRAME)


@pytest.mark.process
def test_threads_may_share_the_network():
    expected = all_probabilities(clip("long.ogg")), all_probabilities(clip("demo.ogg"))
    vad._detector.cache_clear()
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda name: all_probabilities(clip(name)), ["long.ogg", "demo.ogg"] * 4)
    for index, probabilities in enumerate(found):
        assert probabilities == pytest.approx(expected[index % 2], abs=1e-4)


@pytest.mark.process
def test_only_the_detectors_threads_are_limited_to_one_core_each():
    check = """
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
import torch
torch.set_num_threads(3)
from src.audio.vad import MAX_CORES, load_vad
detector = load_vad()
together = Barrier(min(MAX_CORES, len(os.sched_getaffinity(0))))
counts = [detector.executor.submit(lambda: (together.wait(), torch.get_num_threads())) for _ in range(together.parties)]
assert [count.result()[1] for count in counts] == [1] * together.parties
assert torch.get_num_threads() == 3
assert ThreadPoolExecutor(1).submit(torch.get_num_threads).result() == 3
"""
    subprocess.run([sys.executable, "-c", check], check=True, cwd=CLIPS.parents[1])


@pytest.mark.process
def test_threads_that_limit_themselves_at_the_same_time_do_not_limit_others():
    check = """
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
import torch
torch.set_num_threads(3)
from src.audio.vad import single_threaded_executor
from src.engine.placement import leave_one_core_free
counts = []
entered, left = Event(), Event()
def load_model():
    with leave_one_core_free():
        entered.set()
        left.wait()
    counts.append(torch.get_num_threads())
loading = Thread(target=load_model)
loading.start()
entered.wait()
detector = single_threaded_executor("a", 2)   # while the number of the process is 2
left.set()
loading.join()
ThreadPoolExecutor(1).submit(torch.set_num_threads, 1).result()
again = Thread(target=load_model)             # while it is 1
again.start()
again.join()
assert counts == [3, 3], counts
assert torch.get_num_threads() == 3
assert ThreadPoolExecutor(1).submit(torch.get_num_threads).result() == 3
"""
    subprocess.run([sys.executable, "-c", check], check=True, cwd=CLIPS.parents[1])


# Regions


@pytest.mark.process
@pytest.mark.parametrize("name", [name for name, speech in SPEECH.items() if speech])
def test_speech_is_found(name):
    found = seconds(speech_regions(clip(name)))
    assert overlap(found, SPEECH[name]) > 0.995 * total(SPEECH[name])


@pytest.mark.process
def test_long_pauses_are_left_out():
    speech = SPEECH["long.ogg"]
    pauses = [(end + 0.5, start - 0.5) for (_, end), (start, _) in pairwise(speech) if start - end > 1]
    assert overlap(seconds(speech_regions(clip("long.ogg"))), pauses) < 0.05 * total(pauses)


@pytest.mark.parametrize(
    "pcm",
    [
        np.zeros(0, dtype=np.int16),
        np.zeros(60 * SAMPLE_RATE, dtype=np.int16),
        noise(30),
        noise(30, loudness=30),
        (8000 * np.sin(np.arange(30 * SAMPLE_RATE) * 2 * np.pi * 50 / SAMPLE_RATE)).astype(np.int16),
        clip("silence.flac"),
        clip("noise.ogg"),
    ],
    ids=["nothing", "zeros", "white noise", "hiss", "hum", "silence.flac", "noise.ogg"],
)
def test_no_speech_gives_no_windows(pcm):
    assert list(join_regions(find_speech(pcm, VadOptions()), pcm)) == []


@pytest.mark.process
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("min_silence_ms", [100, 400])
@pytest.mark.parametrize("min_speech_ms", [0, 250])
def test_regions_are_silero_vads_own(monkeypatch, threshold, min_silence_ms, min_speech_ms):
    threads = torch.get_num_threads()
    from silero_vad.utils_vad import get_speech_timestamps_from_probs

    torch.set_num_threads(threads)  # importing silero_vad sets one
    pcm, probabilities = clip("long.ogg"), probabilities_of("long.ogg")
    monkeypatch.setattr(vad, "speech_probabilities", lambda *_: iter([np.array(probabilities)]))
    expected = get_speech_timestamps_from_probs(
        list(probabilities),
        sampling_rate=SAMPLE_RATE,
        threshold=threshold,
        min_speech_duration_ms=min_speech_ms,
        min_silence_duration_ms=min_silence_ms,
        speech_pad_ms=400,
        audio_length_samples=len(pcm),
    )
    found = speech_regions(pcm, VadOptions(threshold, min_speech_ms, min_silence_ms, speech_pad_ms=400))
    assert [region._asdict() for region in found] == expected


@given(
    probabilities=st.lists(st.sampled_from([0.0, 0.4, 1.0]) | st.floats(0, 1), max_size=200),
    tail=st.integers(0, FRAME - 1),
    options=st.builds(
        VadOptions,
        threshold=st.floats(0, 1),
        min_speech_ms=st.integers(0, 500),
        min_silence_ms=st.integers(0, 1000),
        speech_pad_ms=st.integers(0, 1000),
    ),
)
def test_regions_are_in_order_within_the_recording(probabilities, tail, options):
    with pytest.MonkeyPatch.context() as monkeypatch:
        pcm = recording_with(monkeypatch, probabilities)
        pcm = pcm[: max(0, len(pcm) - tail)]
        regions = list(speech_regions(pcm, options))
    assert all(0 <= start < end <= len(pcm) for start, end in regions)
    assert all(before.end <= after.start for before, after in pairwise(regions))


@given(
    probabilities=st.lists(st.sampled_from([0.0, 0.4, 1.0]), min_size=1, max_size=100),
    cuts=st.lists(st.integers(1, 99), max_size=5),
    min_silence_ms=st.integers(0, 500),
)
def test_runs_do_not_depend_on_the_size_of_a_block(probabilities, cuts, min_silence_ms):
    options = VadOptions(min_silence_ms=min_silence_ms)

    def runs(blocks: list[list[float]]) -> list[tuple[Region, int]]:
        finder, found, position = RunFinder(options), [], 0
        for block in blocks:
            found += [(run, position + end) for run, end in finder.push(np.array(block))]
            position += len(block)
        return found

    edges = sorted({0, *(cut for cut in cuts if cut < len(probabilities)), len(probabilities)})
    blocks = [probabilities[start:end] for start, end in pairwise(edges)]
    assert runs([probabilities]) == runs(blocks) == runs([[probability] for probability in probabilities])


@pytest.mark.process
def test_results_of_work_ahead_are_in_order():
    detector = load_vad()
    results = detector.work_ahead(
        partial(lambda number: time.sleep(0.01 * (number % 3)) or number, n) for n in range(9)
    )
    assert list(results) == list(range(9))


def test_a_region_lasts_until_a_frame_is_well_below_the_threshold(monkeypatch):
    pcm = recording_with(monkeypatch, [0.1] * 10 + [0.6] * 10 + [0.4] * 30 + [0.34] + [0.1] * 50)
    assert list(speech_regions(pcm, VadOptions(speech_pad_ms=0))) == [(10 * FRAME, 50 * FRAME)]


def test_isolated_speech_up_to_min_speech_is_dropped(monkeypatch):
    pcm = recording_with(monkeypatch, [0.0] * 50 + [1.0] * 3 + [0.0] * 50 + [1.0] + [0.0] * 10 + [1.0] * 9 + [0.0] * 50)
    word = (103 * FRAME, 123 * FRAME)
    assert list(speech_regions(pcm, VadOptions(speech_pad_ms=0))) == [word]
    assert list(speech_regions(pcm, VadOptions(speech_pad_ms=0, min_speech_ms=0))) == [(50 * FRAME, 53 * FRAME), word]


def test_padding_ends_with_the_recording_and_halfway_to_the_neighbour(monkeypatch):
    pcm = recording_with(monkeypatch, [0.0] * 2 + [1.0] * 10 + [0.0] * 20 + [1.0] * 10 + [0.0] * 100 + [1.0] * 10)
    assert list(speech_regions(pcm)) == [
        (0, 22 * FRAME),
        (22 * FRAME, 42 * FRAME + 6400),
        (142 * FRAME - 6400, len(pcm)),
    ]


@pytest.mark.slow
def test_a_long_recording_is_never_copied_whole(tmp_path):
    pcm = np.memmap(tmp_path / "pcm", dtype=np.int16, mode="w+", shape=1200 * SAMPLE_RATE)  # 38 MB
    load_vad()
    tracemalloc.start()
    assert list(join_regions(find_speech(pcm, VadOptions()), pcm)) == []
    assert len(list(join_regions([SpeechRegion(0, len(pcm))], pcm))) > 10
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * BLOCK * 4  # bytes; a copy as float32 has 73 BLOCKs of 4


@pytest.mark.process
def test_the_first_windows_are_found_before_the_end_is_searched(monkeypatch):
    pcm = np.concatenate([clip("long.ogg")] * 5)
    searched = 0
    probabilities = speech_probabilities(pcm)

    def count(pcm, check):
        nonlocal searched
        for block in probabilities:
            searched += len(block) * FRAME
            yield block

    monkeypatch.setattr(vad, "speech_probabilities", count)
    next(join_regions(find_speech(pcm, VadOptions()), pcm))
    assert searched <= 5 * BLOCK < len(pcm) // 2


# Windows


MAX_LENGTH, MAX_SILENCE = 2 * SAMPLE_RATE, SAMPLE_RATE
NOISE = noise(120)

some_regions = st.lists(
    st.tuples(
        st.just(0) | st.integers(0, 2 * SAMPLE_RATE), st.integers(1, SAMPLE_RATE) | st.integers(1, MAX_LENGTH * 3)
    ),
    max_size=12,
).map(
    lambda steps: [
        SpeechRegion(end - length, end)
        for end, length in zip(np.cumsum(steps).tolist()[1::2], [n for _, n in steps], strict=True)
    ]
)


def short_windows(regions: list[SpeechRegion]) -> list[SpeechWindow]:
    return list(join_regions(regions, NOISE, max_seconds=2, max_silence_seconds=1))


def join_adjacent(spans: Iterable[SpeechRegion]) -> list[SpeechRegion]:
    """Returns the spans, adjacent ones joined."""
    merged: list[SpeechRegion] = []
    for span in spans:
        if merged and merged[-1].end == span.start:
            span = SpeechRegion(merged.pop().start, span.end)
        merged.append(span)
    return merged


@given(some_regions)
def test_windows_cover_all_speech_once_and_in_order(regions):
    found = short_windows(regions)
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert join_adjacent(span for window in found for span in window.speech) == join_adjacent(regions)
    for window in found:
        assert (window.start, window.end) == (window.speech[0].start, window.speech[-1].end)


@given(some_regions)
def test_windows_exceed_neither_their_length_nor_the_silence_in_them(regions):
    for window in short_windows(regions):
        assert 0 < window.end - window.start <= MAX_LENGTH
        assert all(after.start - before.end <= MAX_SILENCE for before, after in pairwise(window.speech))


@given(some_regions)
def test_windows_cut_no_region_that_fits(regions):
    edges = {edge for window in short_windows(regions) for edge in (window.start, window.end)}
    for start, end, _ in regions:
        cuts = [edge for edge in edges if start < edge < end]
        assert not cuts or end - start > MAX_LENGTH


@given(some_regions)
def test_a_window_ends_only_if_the_next_region_does_not_fit(regions):
    for before, after in pairwise(short_windows(regions)):
        assert after.speech[0].end - before.start > MAX_LENGTH or after.start - before.end > MAX_SILENCE


@given(st.integers(1, len(NOISE)))
@example(MAX_LENGTH)
@example(MAX_LENGTH + 1)
def test_pieces_of_a_long_region_are_no_shorter_than_a_third_of_a_window(length):
    pieces = [span for window in short_windows([SpeechRegion(0, length)]) for span in window.speech]
    assert all(end - start >= min(length, MAX_LENGTH // 3) for start, end, _ in pieces)


@pytest.mark.parametrize("quiet_at", [20.4, 23.0, 29.5])
def test_a_long_region_is_cut_where_it_is_quietest(quiet_at):
    pcm = noise(50)
    middle = int(quiet_at * SAMPLE_RATE)
    pcm[middle - 1600 : middle + 1600] //= 10
    first, second = join_regions([SpeechRegion(0, len(pcm))], pcm)
    assert first.end == second.start == pytest.approx(middle, abs=1600)


@pytest.mark.process
def test_windows_of_a_clip_start_and_end_in_its_pauses():
    pcm = clip("long.ogg")
    found = list(join_regions(find_speech(pcm, VadOptions()), pcm))
    assert len(found) == 3
    for edge in (edge for window in found for edge in (window.start, window.end)):
        assert not any(start < edge / SAMPLE_RATE < end - 0.1 for start, end in SPEECH["long.ogg"])


@pytest.mark.parametrize("samples", [1, 480_000, 480_001, 100 * SAMPLE_RATE])
def test_one_region_over_everything_makes_windows_over_everything(samples):
    found = list(join_regions([SpeechRegion(0, samples)], noise(101)[:samples]))
    assert join_adjacent(SpeechRegion(window.start, window.end) for window in found) == [SpeechRegion(0, samples)]
    assert all(0 < window.end - window.start <= 480_000 for window in found)


@pytest.mark.process
def test_silences_are_what_is_between_speech() -> None:
    silences = find_silences(clip("long.ogg"), VadOptions())
    for (_, end), (start, _) in pairwise(SPEECH["long.ogg"]):
        assert any(abs(silence.start - end) < 0.3 and abs(silence.end - start) < 0.3 for silence in silences)
    assert find_silences(np.zeros(SAMPLE_RATE, np.int16), VadOptions()) == []
