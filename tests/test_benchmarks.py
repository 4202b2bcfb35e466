"""The parts of the benchmarks that compute: errors, tables, whisper.cpp's file, matching of words."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from whisper.model import ModelDimensions, Whisper

from benchmarks import denoise
from benchmarks.ggml import MAGIC, header, write_ggml
from benchmarks.recordings import Recording, find_recordings
from benchmarks.report import table, table_of_files
from benchmarks.results import Run, summarise
from benchmarks.scoring import Errors, edit_distance, errors, in_sum
from benchmarks.systems import SYSTEMS, System, select
from benchmarks.words import Word, distances
from tests.support.clips import CLIPS

TINY = ModelDimensions(
    n_mels=80,
    n_audio_ctx=4,
    n_audio_state=8,
    n_audio_head=2,
    n_audio_layer=1,
    n_vocab=51865,
    n_text_ctx=3,
    n_text_state=8,
    n_text_head=2,
    n_text_layer=1,
)


# --- Errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("", "", 0),
        ("abc", "", 3),
        ("", "abc", 3),
        ("kitten", "sitting", 3),
        ("abcdef", "bcdefg", 2),
        ("flaw", "lawn", 2),
        ("aaaa", "aabaa", 1),
    ],
)
def test_edit_distance(one, other, distance):
    assert edit_distance(one, other) == distance


def by_definition(one: str, other: str) -> int:
    if not one or not other:
        return len(one) + len(other)
    return min(
        by_definition(one[1:], other) + 1,
        by_definition(one, other[1:]) + 1,
        by_definition(one[1:], other[1:]) + (one[0] != other[0]),
    )


@given(st.text("ab", max_size=5), st.text("abc", max_size=5))
def test_edit_distance_is_the_definition(one, other):
    assert edit_distance(one, other) == by_definition(one, other)


def test_case_punctuation_and_spelling_are_no_errors():
    assert errors("Twelve colours, it's said.", "12 colors it is said", "en") == Errors(0, 5)


def test_words_of_other_languages_keep_their_letters():
    assert errors("Über die Straße", "Uber die Straße.", "de") == Errors(1, 3)


def test_chinese_counts_letters():
    assert errors("甚至出现交易", "甚至出线交易", "zh") == Errors(1, 6)


def test_in_a_sum_each_word_weighs_the_same():
    assert in_sum([Errors(1, 2), Errors(0, 8)]).rate == 0.1
    assert in_sum([]).rate is None


# --- Recordings and systems -----------------------------------------------------------------------------------------


@pytest.mark.process
def test_a_clip_knows_its_text():
    (clip,) = find_recordings([CLIPS / "demo.ogg"])
    assert clip.seconds == pytest.approx(6.72, abs=0.1)
    assert clip.language == "en"
    assert clip.text == json.loads((CLIPS / "clips.json").read_text())["demo.ogg"]["text"]


def test_systems_have_names_of_their_own():
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)
    assert [system.name for system in select(["ours*"])] == ["ours", "ours beam 5"]


def test_an_unknown_system_names_those_there_are():
    with pytest.raises(SystemExit, match=r"whisper\.cpp beam 5"):
        select(["whisperx"])


# --- Results --------------------------------------------------------------------------------------------------------

RECORDINGS = [
    Recording(Path("talk.wav"), 60.0, "good morning dear guests", "en"),
    Recording(Path("rede.wav"), 20.0, "ja und nein", "de"),
    Recording(Path("dog.wav"), 10.0, ""),
]


def runs_of(system: str, seconds: list[float], *texts: str) -> list[Run]:
    return [
        Run(system, recording.name, round_, took / len(RECORDINGS), text)
        for round_, took in enumerate(seconds)
        for recording, text in zip(RECORDINGS, texts, strict=True)
    ]


def test_rows_of_a_comparison():
    systems = [System("ours"), System("whisper.cpp"), System("openai-whisper")]
    runs = runs_of("ours", [3.0, 6.0, 3.0], "good morning dear guests", "ja und nein", "")
    runs += runs_of("whisper.cpp", [9.0, 9.0, 9.0], "good morning guests", "ja nein", "bah bah")
    ours, theirs = summarise(systems, RECORDINGS, runs, {"ours": 500.0, "whisper.cpp": 250.0})
    assert (ours.seconds, ours.speed) == (pytest.approx(3.0), pytest.approx(30.0))
    assert theirs.ratios == pytest.approx([3.0, 1.5, 3.0])
    assert theirs.groups == {"English": Errors(3, 12), "other languages": Errors(3, 9)}
    assert theirs.invented == 2

    lines = table([theirs, ours]).splitlines()
    assert lines[2] == "| ours | 3.00 | 30.0 | 1.00 (1.00..1.00) | 0.0% | 0.0% | 0 | 500 |"
    assert lines[3] == "| whisper.cpp | 9.00 | 10.0 | 3.00 (1.50..3.00) | 25.0% | 33.3% | 2 | 250 |"
    assert table_of_files([theirs], RECORDINGS).splitlines() == [
        "| errors | talk.wav (en) | rede.wav (de) |",
        "| --- | --- | --- |",
        "| whisper.cpp | 25.0% | 33.3% |",
    ]


def test_without_ours_there_is_no_ratio():
    runs = runs_of("whisper.cpp", [9.0], "", "", "")
    (row,) = summarise([System("whisper.cpp")], RECORDINGS, runs, {"whisper.cpp": 1.0})
    assert row.ratios == []


# --- whisper.cpp's file ---------------------------------------------------------------------------------------------


def test_ggml_header():
    assert struct.unpack("<12i", header(TINY)) == (MAGIC, 51865, 4, 8, 2, 1, 3, 8, 2, 1, 80, 1)
    assert header(TINY).startswith(b"lmgg")


def test_ggml_file_holds_the_model(tmp_path):
    model = Whisper(TINY).requires_grad_(False)
    for weight in model.parameters():  # `Whisper` leaves some as the memory was, NaN at times
        torch.nn.init.normal_(weight)
    write_ggml(model, tmp_path / "ggml.bin")
    data = (tmp_path / "ggml.bin").read_bytes()
    at = 12 * 4

    def integers(count: int) -> tuple[int, ...]:
        nonlocal at
        at += 4 * count
        return struct.unpack_from(f"<{count}i", data, at - 4 * count)

    assert integers(2) == (80, 201)
    at += 80 * 201 * 4
    (words,) = integers(1)
    assert words == 50257
    for _ in range(words):
        (length,) = integers(1)
        at += length
    left = model.state_dict()
    while at < len(data):
        rank, length, half = integers(3)
        shape = integers(rank)[::-1]
        expected = left.pop(data[at : at + length].decode())
        at += length
        dtype = torch.float16 if half else torch.float32
        size = expected.numel() * dtype.itemsize
        values = torch.frombuffer(bytearray(data[at : at + size]), dtype=dtype).view(shape)
        at += size
        torch.testing.assert_close(values.float().view_as(expected), expected.to(dtype).float(), rtol=0, atol=0)
    assert not left
    assert [file.name for file in tmp_path.iterdir()] == ["ggml.bin"]


# --- Words ----------------------------------------------------------------------------------------------------------


def test_words_are_matched_by_their_letters():
    ours = [Word(" The", 0.0), Word(" fox,", 0.5), Word(" jumped", 1.0), Word(" over", 1.5)]
    theirs = [Word(" the", 0.1), Word(" fox", 0.5), Word(" jumps", 1.0), Word(" over", 1.2)]
    found = distances(ours, theirs)
    assert found.seconds == pytest.approx([0.1, 0.0, 0.3])
    assert found.words == 4


# --- Noise ----------------------------------------------------------------------------------------------------------

SPEECH = np.rint(8000 * np.sin(np.arange(32_000) / 20)).astype(np.int16)
OTHERS = [np.roll(SPEECH, 1000) // 3, SPEECH[:7000]]


def noise(kind: str, seed: int = 0) -> np.ndarray:
    return denoise.NOISES[kind](len(SPEECH), np.random.default_rng(seed), OTHERS)


@pytest.mark.parametrize("kind", denoise.NOISES)
@pytest.mark.parametrize("ratio", [10.0, 0.0, -10.0])
def test_noise_is_as_loud_as_asked(kind, ratio):
    mixture = denoise.mixed(SPEECH, noise(kind), ratio).astype(float)
    # Both parts by projection: the mixture may have been made softer, so that it does not clip.
    weights, *_ = np.linalg.lstsq(np.stack([SPEECH, noise(kind)], axis=1), mixture, rcond=None)
    speech, rest = weights[0] * SPEECH.astype(float), weights[1] * noise(kind)
    assert 10 * np.log10(np.square(speech).mean() / np.square(rest).mean()) == pytest.approx(ratio, abs=0.05)
    assert np.abs(mixture - speech - rest).max() < 1
    assert np.abs(mixture).max() <= 32_767


def test_noise_is_the_same_with_every_run():
    for kind in denoise.NOISES:
        assert (noise(kind) == noise(kind)).all()
        assert not (noise(kind) == noise(kind, seed=1)).all()


@pytest.mark.parametrize(("kind", "octave"), [("white", 0.0), ("pink", -3.0)])
def test_colours_fall_as_they_should(kind, octave):
    power = np.square(np.abs(np.fft.rfft(noise(kind))))
    low, high = (power[start : 2 * start].mean() for start in (1000, 4000))
    assert 10 * np.log10(high / low) == pytest.approx(2 * octave, abs=1)


def test_the_beginning_of_a_text_is_told_by_a_transcript_of_it():
    text = "Good morning, dear guests! Welcome to the museum."
    assert denoise.until(text, " Good mourning dear", "en") == "good morning dear"
    assert denoise.until(text, text, "en") == "good morning dear guests welcome to the museum"
    assert denoise.until("甚至出现交易", "甚至出", "zh") == "甚至出"
