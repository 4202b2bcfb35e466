"""The computing parts of the benchmarks: errors, tables, word matching, and noise at a signal-to-noise ratio.

Each of them decides on a published figure without any sign when it is wrong. ggml files have no test: whisper.cpp
refuses a malformed one, and wrong weights show as errors of nearly 100%.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks import denoise, report
from benchmarks.accuracy import Transcribed, error_rate, overlap, rate_difference
from benchmarks.accuracy import report as accuracy_report
from benchmarks.recordings import Recording, find_recordings, merge_spans, read_references
from benchmarks.report import comparison_table, recordings_table
from benchmarks.scoring import Edits, Errors, count_edits, count_errors, sum_errors
from benchmarks.summary import Run, summarise
from benchmarks.systems import SYSTEMS, System, select
from benchmarks.word_timestamps import Word, match_words
from tests.support.clips import CLIPS

# --- Errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "transcript", "edits"),
    [
        ("", "", Edits(0, 0, 0, 0)),
        ("a b c", "", Edits(0, 3, 0, 3)),
        ("", "a b c", Edits(0, 0, 3, 0)),
        ("a b c", "a x c", Edits(1, 0, 0, 3)),
        ("a b c d", "a c d e", Edits(0, 1, 1, 4)),
        ("a b c", "a b b b c", Edits(0, 0, 2, 3)),
    ],
)
def test_errors_are_counted_by_kind(reference, transcript, edits):
    assert count_edits(reference, transcript, "de") == edits


def test_case_punctuation_and_spelling_are_not_errors():
    assert count_errors("Twelve colours, it's said.", "12 colors it is said", "en") == Errors(0, 5)


def test_words_of_other_languages_keep_their_letters():
    assert count_errors("Über die Straße", "Uber die Straße.", "de") == Errors(1, 3)


def test_chinese_is_scored_by_characters():
    assert count_errors("甚至出现交易", "甚至出线交易", "zh") == Errors(1, 6)


def test_in_a_sum_each_word_has_the_same_weight():
    assert sum_errors([Errors(1, 2), Errors(0, 8)]).rate == 0.1
    assert sum_errors([]).rate is None


# --- Recordings and systems -----------------------------------------------------------------------------------------


@pytest.mark.process
def test_a_clip_has_its_reference_text():
    (clip,) = find_recordings([CLIPS / "demo.ogg"])
    assert clip.seconds == pytest.approx(6.72, abs=0.1)
    assert clip.language == "en"
    assert clip.text == json.loads((CLIPS / "clips.json").read_text())["demo.ogg"]["text"]


def test_system_names_are_unique():
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)
    assert [system.name for system in select(["ours*"])] == ["ours", "ours beam 5"]


def test_an_unknown_system_raises_an_error_with_all_names():
    with pytest.raises(SystemExit, match=r"whisper\.cpp beam 5"):
        select(["whisperx"])


# --- Results --------------------------------------------------------------------------------------------------------

RECORDINGS = [
    Recording(Path("talk.wav"), 60.0, "good morning dear guests", "en"),
    Recording(Path("rede.wav"), 20.0, "ja und nein", "de"),
    Recording(Path("dog.wav"), 10.0, ""),
]


def make_runs(system: str, seconds: list[float], *texts: str) -> list[Run]:
    return [
        Run(system, recording.name, round_, round_seconds / len(RECORDINGS), text)
        for round_, round_seconds in enumerate(seconds)
        for recording, text in zip(RECORDINGS, texts, strict=True)
    ]


def test_rows_of_a_comparison():
    systems = [System("ours"), System("whisper.cpp"), System("openai-whisper")]
    runs = make_runs("ours", [3.0, 6.0, 3.0], "good morning dear guests", "ja und nein", "")
    runs += make_runs("whisper.cpp", [9.0, 9.0, 9.0], "good morning guests", "ja nein", "bah bah")
    ours, theirs = summarise(systems, RECORDINGS, runs, {"ours": 500.0, "whisper.cpp": 250.0})
    assert (ours.seconds, ours.speed) == (pytest.approx(3.0), pytest.approx(30.0))
    assert theirs.ratios == pytest.approx([3.0, 1.5, 3.0])
    assert theirs.groups == {"English": Errors(3, 12), "other languages": Errors(3, 9)}
    assert theirs.hallucinated == 2

    lines = comparison_table([theirs, ours]).splitlines()
    assert lines[2] == "| ours | 3.00 | 30.0 | 1.00 (1.00..1.00) | 0.0% | 0.0% | 0 | 500 |"
    assert lines[3] == "| whisper.cpp | 9.00 | 10.0 | 3.00 (1.50..3.00) | 25.0% | 33.3% | 2 | 250 |"
    assert recordings_table([theirs], RECORDINGS).splitlines() == [
        "| errors | talk.wav (en) | rede.wav (de) |",
        "| --- | --- | --- |",
        "| whisper.cpp | 25.0% | 33.3% |",
    ]


def test_without_ours_there_is_no_ratio():
    runs = make_runs("whisper.cpp", [9.0], "", "", "")
    (row,) = summarise([System("whisper.cpp")], RECORDINGS, runs, {"whisper.cpp": 1.0})
    assert row.ratios == []


@pytest.mark.process
def test_the_facts_of_a_run_are_its_date_machine_commit_and_command():
    assert re.fullmatch(r"\d{4}-\d\d-\d\d; .+ CPUs, Python 3\.[\d.]+; commit \S+; `.+`", report.describe_run())


def test_without_git_the_commit_is_unknown(monkeypatch):
    def run_without_git(*_: object, **__: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", run_without_git)
    assert report.run_facts()["commit"] == "commit unknown"


# --- Accuracy -------------------------------------------------------------------------------------------------------


def test_an_interval_holds_the_rate_and_shrinks_with_more_recordings():
    few = [Edits(errors, 0, 0, 100) for errors in (2, 10, 6)]
    rate, low, high = error_rate(few)
    assert (rate, low, high) == (6.0, 2.0, 10.0)
    rate, narrow_low, narrow_high = error_rate(few * 30)
    assert rate == pytest.approx(6.0)
    assert low < narrow_low < 6.0 < narrow_high < high


def test_a_paired_difference_is_sure_where_two_rates_alone_are_not():
    baseline = [Edits(errors, 0, 0, 100) for errors in (1, 5, 20, 40) * 5]
    better = [Edits(edit.substitutions - 1, 0, 0, 100) for edit in baseline]
    difference, low, high = rate_difference(better, baseline)
    assert [difference, low, high] == pytest.approx([-1.0, -1.0, -1.0])
    assert error_rate(better)[2] > error_rate(baseline)[1]


def test_spans_that_overlap_count_once():
    assert merge_spans([(4.0, 5.0), (0.0, 2.0), (1.0, 3.0)]) == [(0.0, 3.0), (4.0, 5.0)]
    assert overlap([(1.0, 2.0), (6.0, 8.0)], [(0.0, 1.5), (1.2, 1.8), (7.0, 9.0)]) == pytest.approx(1.8)


def test_a_report_has_rates_differences_phantom_words_and_recall(tmp_path):
    entries = [
        {"file": "a.wav", "language": "en", "kind": "read", "duration_s": 4.0, "text": "red foxes jump high"},
        {"file": "b.wav", "language": "und", "kind": "music", "duration_s": 2.0, "text": ""},
    ]
    (tmp_path / "a.rttm").write_text("SPEAKER a 1 1.0 2.0 <NA> <NA> A <NA> <NA>\n")
    (tmp_path / "manifest.json").write_text(json.dumps([{**entries[0], "rttm": "a.rttm"}, entries[1]]))
    transcribed = [
        Transcribed("ours", "a.wav", "red foxes jump high", [(0.5, 3.5)], 1.0),
        Transcribed("ours", "b.wav", "", [], 0.5),
        Transcribed("peer", "a.wav", "red boxes high", [(1.0, 2.0)], 2.0),
        Transcribed("peer", "b.wav", "Thank you.", [(0.0, 1.0)], 1.0),
    ]
    text = accuracy_report(read_references(tmp_path), transcribed)
    assert "| English | 1 | 4 | 0.0 (0.0 to 0.0) | 50.0 (50.0 to 50.0) |" in text
    assert "| English | +50.0 (+50.0 to +50.0) |" in text
    assert "| peer | English | 25.0 | 25.0 | 0.0 |" in text
    assert "| peer | 2 | 1 of 1 |" in text
    assert "| ours | 100.0% | 4.0 |" in text
    assert "| peer | 50.0% | 2.0 |" in text


# --- Words ----------------------------------------------------------------------------------------------------------


def test_words_are_matched_by_their_letters():
    ours = [Word(" The", 0.0), Word(" fox,", 0.5), Word(" jumped", 1.0), Word(" over", 1.5)]
    theirs = [Word(" the", 0.1), Word(" fox", 0.5), Word(" jumps", 1.0), Word(" over", 1.2)]
    distances = match_words(ours, theirs)
    assert distances.seconds == pytest.approx([0.1, 0.0, 0.3])
    assert distances.words == 4


# --- Noise ----------------------------------------------------------------------------------------------------------

SPEECH = np.rint(8000 * np.sin(np.arange(32_000) / 20)).astype(np.int16)
OTHER_SPEECH = [np.roll(SPEECH, 1000) // 3, SPEECH[:7000]]


def make_noise(kind: str, seed: int = 0) -> np.ndarray:
    return denoise.NOISES[kind](len(SPEECH), np.random.default_rng(seed), OTHER_SPEECH)


@pytest.mark.parametrize("kind", denoise.NOISES)
@pytest.mark.parametrize("snr_db", [10.0, 0.0, -10.0])
def test_noise_has_the_requested_ratio(kind, snr_db):
    mixture = denoise.mix(SPEECH, make_noise(kind), snr_db).astype(float)
    # Least squares recover both parts, because the mixture may have been scaled down to prevent clipping.
    weights, *_ = np.linalg.lstsq(np.stack([SPEECH, make_noise(kind)], axis=1), mixture, rcond=None)
    speech, noise = weights[0] * SPEECH.astype(float), weights[1] * make_noise(kind)
    assert 10 * np.log10(np.square(speech).mean() / np.square(noise).mean()) == pytest.approx(snr_db, abs=0.05)
    assert np.abs(mixture - speech - noise).max() < 1
    assert np.abs(mixture).max() <= 32_767


def test_noise_is_the_same_in_every_run():
    for kind in denoise.NOISES:
        assert (make_noise(kind) == make_noise(kind)).all()
        assert not (make_noise(kind) == make_noise(kind, seed=1)).all()


def test_a_reference_text_is_cut_where_the_transcript_ends():
    text = "Good morning, dear guests! Welcome to the museum."
    assert denoise.matching_beginning(text, " Good mourning dear", "en") == "good morning dear"
    assert denoise.matching_beginning(text, text, "en") == "good morning dear guests welcome to the museum"
    assert denoise.matching_beginning("甚至出现交易", "甚至出", "zh") == "甚至出"
