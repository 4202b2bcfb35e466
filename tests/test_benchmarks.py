"""The computing parts of the benchmarks: errors, tables, word matching, and noise at a signal-to-noise ratio.

Each of them decides on a published figure without any sign when it is wrong. ggml files have no test: whisper.cpp
refuses a malformed one, and wrong weights show as errors of nearly 100%.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import capacity, denoise, report
from benchmarks.accuracy import make_variant, merge_runs, name_runs
from benchmarks.accuracy_report import (
    Transcribed,
    collect_results,
    overlap,
    time_recall,
    word_recall,
    write_report,
)
from benchmarks.clip_windows import find_weights
from benchmarks.endpoint import Endpoint, Job, simulate
from benchmarks.given_text import to_turns
from benchmarks.gpu.correctness import compare_tokens
from benchmarks.gpu.report import Report, Row, Section, format_cell, rows_table
from benchmarks.gpu.setup import SIZES, Setup, within
from benchmarks.gpu.steps import make_batch, measure_encoder, measure_steps
from benchmarks.intervals import Rate, error_rate, rate_difference
from benchmarks.recordings import (
    Recording,
    Reference,
    TimedWord,
    find_recordings,
    find_solo_spans,
    merge_spans,
    read_references,
)
from benchmarks.report import comparison_table, recordings_table
from benchmarks.scoring import Edits, Errors, count_edits, count_errors, count_words, sum_edits, sum_errors
from benchmarks.summary import Run, summarise
from benchmarks.system_process import SystemFailed, SystemProcess
from benchmarks.systems import ACCURACY_SYSTEMS, Span, System, select
from benchmarks.word_timestamps import Aligned, distance_table, distances, fault_table
from src.engine.placement import make_placement
from tests.support.clips import CLIPS
from transcript.transcript import Turn

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


@pytest.mark.parametrize(
    ("language", "reference", "transcript", "errors"),
    [
        ("zh", "甚至出现交易", "甚至出线交易", Errors(1, 6)),
        ("ja", "日本語が好き。", "日本語、が すき", Errors(1, 6)),
        ("ko", "안녕하세요 여러분", "안녕 하세오 여러분!", Errors(1, 8)),
        ("th", "ดีมาก", "ดี มา", Errors(1, 4)),  # Whisper's normaliser removes the vowel sign
        ("de", "ja und nein", "ja undnein", Errors(2, 3)),
    ],
)
def test_languages_without_reliable_spaces_are_scored_by_characters(language, reference, transcript, errors):
    assert count_errors(reference, transcript, language) == errors


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        (" ... ♪ - ", 0),
        ("Thank you.", 2),
        ("(Applause) [BLANK] um, hmm", 4),
        ("It's 3 o'clock", 3),
        ("ご視聴ありがとう", 8),
        ("字幕 by Amara", 4),
        ("ดีมาก", 4),
        ("감사합니다 여러분", 2),
        ("हिन्दी में", 2),
    ],
)
def test_all_words_of_a_text_are_counted(text, words):
    assert count_words(text) == words


def test_edits_are_added_kind_by_kind():
    assert sum_edits([Edits(1, 2, 3, 10), Edits(0, 1, 0, 5)]) == Edits(1, 3, 3, 15)
    assert sum_edits([]) == Edits(0, 0, 0, 0)


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


@pytest.mark.parametrize(
    ("turns", "solo"),
    [
        ([], []),
        ([(0.0, 2.0, "A"), (3.0, 4.0, "B")], [(0.0, 2.0), (3.0, 4.0)]),
        ([(0.0, 2.0, "A"), (2.0, 4.0, "B")], [(0.0, 4.0)]),
        ([(0.0, 3.0, "A"), (2.0, 5.0, "B")], [(0.0, 2.0), (3.0, 5.0)]),
        ([(0.0, 9.0, "A"), (2.0, 3.0, "B"), (3.0, 4.0, "C")], [(0.0, 2.0), (4.0, 9.0)]),
        ([(0.0, 9.0, "A"), (2.0, 5.0, "B"), (3.0, 7.0, "C")], [(0.0, 2.0), (7.0, 9.0)]),
        ([(0.0, 3.0, "A"), (2.0, 5.0, "A")], [(0.0, 5.0)]),
        ([(0.0, 3.0, "A"), (0.0, 3.0, "B")], []),
    ],
)
def test_solo_speech_is_that_of_one_speaker_at_a_time(turns, solo):
    assert find_solo_spans([Turn(*turn) for turn in turns]) == solo


@pytest.mark.parametrize(
    ("words", "turns"),
    [
        ([("a", 0, 1), ("b", 1.4, 2), ("c", 2.6, 3)], ["a b", "c"]),
        ([("a", 0, 1, "A"), ("x", 0.5, 2, "B"), ("b", 1, 2, "A"), ("y", 2, 3, "B")], ["a b", "x y"]),
        ([("b", 3, 4, "A"), ("a", 0, 1, "A")], ["a", "b"]),
    ],
)
def test_a_given_text_has_a_line_for_each_turn_also_where_they_overlap(words, turns):
    found = to_turns([TimedWord(*word) for word in words])
    assert [" ".join(word.text for word in turn) for turn in found] == turns


def test_a_reference_has_its_turns_up_to_the_end_and_its_words(tmp_path):
    entry = {"file": "a.wav", "language": "und", "kind": "meeting", "duration_s": 4.0, "text": "yes no"}
    files = {"rttm": "a.rttm", "words": "a.words.json"}
    (tmp_path / "manifest.json").write_text(json.dumps([entry | files, entry | {"words": "a.words.json"}, entry]))
    (tmp_path / "a.rttm").write_text(
        "SPEAKER a 1 1.0 2.0 <NA> <NA> A <NA> <NA>\nSPEAKER a 1 2.5 9.0 <NA> <NA> B <NA> <NA>\n"
    )
    words = [{"word": "Yes,", "start": 1.0, "end": 1.5}, {"word": "no", "start": 1.25, "end": 2.0}]
    (tmp_path / "a.words.json").write_text(json.dumps(words))
    with_both, with_words, bare = read_references(tmp_path)
    assert with_both.language is None
    assert with_both.words == [TimedWord("Yes,", 1.0, 1.5), TimedWord("no", 1.25, 2.0)]
    assert (with_both.speech, with_both.solo_speech) == ([(1.0, 4.0)], [(1.0, 2.5), (3.0, 4.0)])
    assert (with_words.speech, with_words.solo_speech) == ([(1.0, 2.0)], [])
    assert (bare.speech, bare.word_spans) == ([], [])


def test_system_names_are_unique():
    assert len({system.name for system in ACCURACY_SYSTEMS}) == len(ACCURACY_SYSTEMS)
    assert [system.name for system in select(["ours*"])] == ["ours", "ours beam 5"]
    assert [system.name for system in select(["ours no*", "whisperx*t8"], ACCURACY_SYSTEMS)] == [
        "ours no vad",
        "ours no vad beam 5",
        "whisperx batched 8 int8",
    ]


def test_an_unknown_system_raises_an_error_with_all_names():
    with pytest.raises(SystemExit, match=r"whisper\.cpp beam 5"):
        select(["whisper.cpq"])


def test_options_make_a_variant_of_ours():
    variant = make_variant("pad 800", '{"speech_pad_ms": 800, "beam_size": 5}')
    assert (variant.name, variant.options) == ("ours pad 800", {"speech_pad_ms": 800, "beam_size": 5})


@pytest.mark.parametrize("options", ["{", "[]", '{"beams": 5}', '{"beam_size": 0}'])
def test_wrong_options_of_a_variant_are_refused(options):
    with pytest.raises(ValueError, match=r"."):
        make_variant("wrong", options)


def test_without_its_environment_whisperx_fails_with_a_hint(monkeypatch, tmp_path):
    monkeypatch.setenv("WHISPERX_PYTHON", str(tmp_path / "python"))
    with pytest.raises(SystemFailed, match=r"docs/benchmarks\.md"), SystemProcess(System("whisperx"), "base"):
        pass


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
    few = [Edits(errors, 0, 0, 100) for errors in (1, 3, 6, 9, 11)]
    rate, more = error_rate(few), error_rate(few * 30)
    assert rate.value == more.value == 6.0
    assert rate.interval is not None
    assert more.interval is not None
    assert 1.0 < rate.interval[0] < more.interval[0] < 6.0 < more.interval[1] < rate.interval[1] < 11.0


def test_few_recordings_have_no_interval():
    assert error_rate([Edits(1, 1, 0, 8)] * 4) == Rate(25.0, None)
    assert error_rate([Edits(1, 1, 0, 8)] * 5) == Rate(25.0, (25.0, 25.0))
    assert rate_difference([Edits(1, 0, 0, 4)], [Edits(2, 0, 0, 4)]) == Rate(-25.0, None)


def test_a_paired_difference_is_sure_where_two_rates_alone_are_not():
    baseline = [Edits(errors, 0, 0, 100) for errors in (1, 5, 20, 40) * 5]
    better = [Edits(edit.substitutions - 1, 0, 0, 100) for edit in baseline]
    difference = rate_difference(better, baseline)
    assert [difference.value, *(difference.interval or ())] == pytest.approx([-1.0, -1.0, -1.0])
    intervals = error_rate(better).interval, error_rate(baseline).interval
    assert intervals[0] is not None
    assert intervals[1] is not None
    assert intervals[0][1] > intervals[1][0]


@pytest.mark.parametrize(
    ("interval", "excludes_zero"),
    [((0.5, 2.0), True), ((-2.0, -0.5), True), ((-0.5, 2.0), False), ((0.0, 2.0), False), (None, False)],
)
def test_a_difference_is_marked_if_its_interval_excludes_zero(interval, excludes_zero):
    assert Rate(1.0, interval).excludes_zero is excludes_zero


def test_spans_that_overlap_count_once():
    assert merge_spans([(4.0, 5.0), (0.0, 2.0), (1.0, 3.0)]) == [(0.0, 3.0), (4.0, 5.0)]
    assert overlap([(1.0, 2.0), (6.0, 8.0)], [(0.0, 1.5), (1.2, 1.8), (7.0, 9.0)]) == pytest.approx(1.8)


def test_recall_of_time_and_of_words():
    assert time_recall([[(0.0, 2.0)], [(1.0, 3.0)]], [[(0.5, 9.0)], []]) == pytest.approx(1.5 / 4)
    assert time_recall([[]], [[(0.0, 1.0)]]) is None
    assert word_recall([Edits(5, 1, 7, 8), Edits(0, 0, 0, 2)]) == pytest.approx(0.9)
    assert word_recall([]) is None


def transcribed(system: str, file: str, text: str, seconds: float = 1.0, spans: tuple[Span, ...] = ()) -> Transcribed:
    return Transcribed(system, file, text, spans, seconds)


def test_a_report_answers_each_question_with_a_table():
    turns, words = [Turn(1.0, 3.0, "A"), Turn(2.0, 3.0, "B")], [TimedWord("red", 1.0, 1.5)]
    references = [
        Reference(Path("a.wav"), "en", "read", 4.0, "red foxes jump high", turns, words),
        Reference(Path("b.wav"), None, "noise", 2.0, None),
        Reference(Path("c.wav"), None, "music", 2.0, None),
        Reference(Path("d.wav"), None, "music", 2.0, ""),
        Reference(Path("e.wav"), "de", "read", 2.0, "nur ein System"),
    ]
    results = [
        transcribed("ours", "a.wav", "red foxes jump high", 2.5, ((0.5, 3.5),)),
        *(transcribed("ours", file, "", 0.5) for file in ("b.wav", "c.wav", "d.wav", "e.wav")),
        transcribed("peer", "a.wav", "red boxes high", 2.0, ((1.0, 1.75),)),
        transcribed("peer", "b.wav", "Thank\n you | all."),
        transcribed("peer", "c.wav", "La la"),
        transcribed("peer", "d.wav", "Oh!"),
    ]
    text = write_report(collect_results(references, results), "ours")
    rows = [
        "| English | 1 | 4 | 0.0 | 50.0 |",
        "| en read | 1 | 4 | 0.0 | 50.0 |",
        "| English | +50.0 |",
        "| English | peer | 25.0 | 25.0 | 0.0 |",
        "| ours | 0 | 0 of 2 |",
        "| peer | 4 | 2 of 2 |",
        "| b.wav | noise | peer | 3 | Thank you \\| all. |",
        "| c.wav | music (may be sung, not counted) | peer | 2 | La la |",
        "| d.wav | music | peer | 1 | Oh! |",
        "| ours | 100.0 | 100.0 | 100.0 | 100.0 |",
        "| peer | 75.0 | 37.5 | 100.0 | 75.0 |",
        "| ours | 2.5 |",
        "| peer | 2.0 |",
    ]
    assert [row for row in rows if row not in text.splitlines()] == []
    assert "e.wav" not in text
    assert "de read" not in text


@pytest.mark.parametrize(("baseline", "difference"), [("ours", "+10.0"), ("peer", "-10.0")])
def test_differences_are_from_the_chosen_baseline(baseline, difference):
    files = [f"{number}.wav" for number in range(5)]
    references = [Reference(Path(file), "de", "read", 4.0, "a b c d e f g h i j") for file in files]
    ours = [transcribed("ours", file, "a b c d e f g h i j") for file in files]
    peer = [transcribed("peer", file, "a b c d e f g h i") for file in files]
    text = write_report(collect_results(references, ours + peer), baseline)
    assert f"## Difference from {baseline} in points" in text
    assert f"| other languages | {difference} ({difference} to {difference}) * |" in text


def test_results_without_a_common_recording_are_refused():
    references = [Reference(Path(file), "en", "read", 1.0, "yes") for file in ("a.wav", "b.wav")]
    with pytest.raises(SystemExit, match="no recording"):
        collect_results(references, [transcribed("ours", "a.wav", "yes"), transcribed("peer", "b.wav", "yes")])


def test_a_text_without_words_is_not_scored():
    references = [Reference(Path("a.wav"), "en", "read", 1.0, "[laughter]")]
    assert collect_results(references, [transcribed("ours", "a.wav", "yes")]).spoken == []


def test_a_repeated_system_is_named_by_its_run_too():
    ours, peer = transcribed("ours", "a.wav", "yes"), transcribed("peer", "a.wav", "no")
    peer_on_other = transcribed("peer", "b.wav", "no")
    merged = merge_runs({"old": [ours, peer], "new": [ours, peer_on_other]})
    assert [item.system for item in merged] == ["ours (old)", "peer", "ours (new)", "peer"]


def test_runs_are_named_by_their_folders():
    files = [Path("/x/old/accuracy.json"), Path("/x/new/accuracy.json"), Path("/y/new/accuracy.json")]
    assert list(name_runs(files[:2])) == ["old", "new"]
    assert list(name_runs(files)) == [str(file) for file in files]


# --- Words ----------------------------------------------------------------------------------------------------------


def make_words(*words: tuple[str, float, float]) -> list[TimedWord]:
    return [TimedWord(*word) for word in words]


def test_words_are_matched_by_their_letters():
    ours = make_words((" The", 0.0, 0.1), (" fox,", 0.5, 0.6), (" jumped", 1.0, 1.1), (" over", 1.5, 1.6))
    theirs = make_words((" the", 0.1, 0.2), (" fox", 0.5, 0.6), (" jumps", 1.0, 1.1), (" over", 1.2, 1.3))
    assert distances(ours, theirs) == pytest.approx([0.1, 0.0, 0.3])
    assert distances(ours, []) == []


def test_word_times_are_measured_against_people_where_there_are_any():
    human = Recording(Path("a.wav"), 2.0, words=make_words(("yes", 0.0, 0.5), ("no", 1.0, 1.5)))
    bare = Recording(Path("b.wav"), 2.0)
    ours = make_words((" Yes", 0.2, 0.2), (" no.", 1.4, 2.01))
    openai = make_words((" Yes", 0.1, 0.3), (" nay", 1.4, 2.5))
    aligned = [Aligned(human, ours, openai), Aligned(bare, ours, openai)]
    assert distance_table(aligned).splitlines()[2:] == [
        "| ours | human | 1 | 2 | 100.0% | 0.300 | 0.380 |",
        "| openai-whisper | human | 1 | 2 | 50.0% | 0.100 | 0.100 |",
        "| ours | openai-whisper | 1 | 2 | 50.0% | 0.100 | 0.100 |",
    ]
    assert fault_table(aligned).splitlines()[2:] == ["| ours | 4 | 2 | 0 |", "| openai-whisper | 4 | 0 | 2 |"]
    assert distance_table([Aligned(bare, [], [])]).splitlines()[2:] == ["| ours | openai-whisper | 1 | 0 | - | - | - |"]


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


# --- An endpoint on paper -------------------------------------------------------------------------------------------

SMALL = Endpoint((10.0,), concurrency=1, overhead_s=1.0, cold_start_s=20.0, max_workers=2, flex_price=1.0)


@pytest.mark.parametrize(
    ("settings", "jobs", "taken", "finished", "cost"),
    [
        # waits for 4 s until a worker starts, which is paid for 20 s of start, 1 + 10 s of work, and 5 s of idleness
        ({}, [(0, 100)], [24], [35], 36),
        ({}, [(0, 100), (0, 100)], [24, 24], [35, 35], 72),
        ({"max_workers": 1}, [(0, 100), (0, 100)], [24, 35], [35, 46], 47),
        # the second request finds the worker idle, or stopped
        ({}, [(0, 100), (38, 100)], [24, 38], [35, 49], 50),
        ({}, [(0, 100), (41, 100)], [24, 65], [35, 76], 72),
        ({"idle_timeout_s": 6.5}, [(0, 100), (41, 100)], [24, 41], [35, 52], 55),
        # two at a time share a worker's speed, which may be higher for both together
        ({"concurrency": 2}, [(0, 100), (0, 100)], [24, 24], [45, 45], 46),
        ({"concurrency": 2, "speeds": (10, 16)}, [(0, 100), (0, 100)], [24, 24], [37.5, 37.5], 39),
        ({"concurrency": 2, "min_workers": 1, "active_price": 2}, [(0, 100), (5, 25)], [0, 5], [13.5, 11], 28),
        # a worker that starts has room for both
        ({"concurrency": 2}, [(0, 100), (3, 100)], [24, 24], [45, 45], 46),
        # by the number of requests: no delay, and no idle timeout
        ({"scaling": "requests", "scaling_value": 1}, [(0, 100)], [20], [31], 31),
        ({"scaling": "requests", "scaling_value": 1}, [(0, 100), (0, 50)], [20, 20], [31, 26], 57),
        ({"scaling": "requests", "scaling_value": 2}, [(0, 100), (0, 50)], [20, 31], [31, 37], 37),
        # only the request that overflows an active worker starts a flex worker
        ({"min_workers": 1, "active_price": 2}, [(0, 900), (0, 100)], [0, 24], [91, 35], 218),
    ],
)
def test_an_endpoint_by_hand(settings, jobs, taken, finished, cost):
    simulated = simulate(replace(SMALL, **settings), [Job(*job) for job in jobs])
    assert [job.taken for job in simulated.jobs] == pytest.approx(taken)
    assert [job.finished for job in simulated.jobs] == pytest.approx(finished)
    assert simulated.cost == pytest.approx(cost)


def test_paid_time_is_work_starts_and_idleness():
    simulated = simulate(SMALL, [Job(0, 90), Job(100, 190)])
    assert [worker.paid_s for worker in simulated.workers] == [35, 45]
    assert (simulated.busy_share, simulated.starting_share) == pytest.approx((30 / 80, 40 / 80))
    assert (simulated.audio_hours, simulated.cost_per_10_000_hours) == pytest.approx((280 / 3600, 80 / 280 * 3600e4))


def poisson_jobs(per_second, mean_s, count, *, exponential):
    rng, time, jobs = random.Random(1), 0.0, []
    for _ in range(count):
        time += rng.expovariate(per_second)
        jobs.append(Job(time, rng.expovariate(1 / mean_s) if exponential else mean_s))
    return jobs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("servers", "per_second", "exponential", "mean_wait"),
    [
        (1, 0.5, True, 1.0),  # M/M/1: rho / (mu - lambda)
        (1, 0.5, False, 0.5),  # M/D/1: half of that
        (3, 1.5, True, 3 / 19),  # M/M/3: Erlang's C is 9/38, over 3 mu - lambda
    ],
)
def test_waits_are_those_of_queueing_theory(servers, per_second, exponential, mean_wait):
    endpoint = Endpoint((1.0,), concurrency=1, overhead_s=0, min_workers=servers, max_workers=servers)
    simulated = simulate(endpoint, poisson_jobs(per_second, 1.0, 20_000, exponential=exponential))
    assert fmean(job.wait for job in simulated.jobs) == pytest.approx(mean_wait, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("exponential", [True, False])
def test_times_on_a_shared_worker_are_those_of_queueing_theory(exponential):
    endpoint = Endpoint((1.0,), concurrency=1000, overhead_s=0, min_workers=1, max_workers=1)
    simulated = simulate(endpoint, poisson_jobs(0.5, 1.0, 20_000, exponential=exponential))
    # M/G/1 with processor sharing: 1 / (mu - lambda), whatever the lengths are
    assert fmean(job.turnaround for job in simulated.jobs) == pytest.approx(2.0, rel=0.1)


@given(
    jobs=st.lists(st.tuples(st.floats(0, 300), st.floats(0.1, 600)), min_size=1, max_size=30),
    concurrency=st.integers(1, 4),
    min_workers=st.integers(0, 2),
    scaling=st.sampled_from(["delay", "requests"]),
    scaling_value=st.floats(0.5, 10),
)
def test_each_request_is_served_once_and_in_turn(jobs, concurrency, min_workers, scaling, scaling_value):
    settings = {"min_workers": min_workers, "max_workers": 3, "scaling": scaling, "scaling_value": scaling_value}
    endpoint = Endpoint((20.0,), concurrency, overhead_s=0, **settings)
    simulated = simulate(endpoint, [Job(*job) for job in sorted(jobs)])
    taken = [job.taken for job in simulated.jobs]
    assert taken == sorted(taken)
    assert all(job.arrived <= job.taken < job.finished <= simulated.seconds for job in simulated.jobs)
    assert capacity.most_workers(simulated) <= 3
    assert sum(worker.busy_s for worker in simulated.workers) == pytest.approx(sum(length for _, length in jobs) / 20)
    assert all(
        worker.num_jobs == 0 and worker.started <= worker.ready <= worker.stopped for worker in simulated.workers
    )


def test_requests_follow_the_profile_of_the_day():
    arrivals = capacity.Arrivals(3600, (1.0,) * 12 + (3.0,) * 12)
    times = arrivals.times(capacity.DAY_S, random.Random(1))
    morning = sum(time < capacity.DAY_S / 2 for time in times)
    assert len(times) == pytest.approx(86_400, rel=0.02)
    assert morning / len(times) == pytest.approx(0.25, abs=0.01)
    assert times == sorted(times)


def test_a_burst_comes_at_once():
    times = capacity.Arrivals(burst_size=50, bursts_per_day=4, at_start=7).times(capacity.DAY_S * 10, random.Random(1))
    assert times[:7] == [0.0] * 7
    assert {times.count(time) for time in set(times[7:])} == {50}


def test_a_setting_is_varied_by_its_values():
    varied = dict(capacity.varied(capacity.DEFAULT, ["speeds", "20", "20,30"]))
    assert [endpoint.speeds for endpoint in varied.values()] == [[20.0], [20.0, 30.0]]
    assert list(varied) == [", speeds 20", ", speeds 20,30"]
    assert list(capacity.varied(capacity.DEFAULT, [])) == [("", capacity.DEFAULT)]
    with pytest.raises(ValueError, match="delay, requests"):
        list(capacity.varied(capacity.DEFAULT, ["scaling", "magic"]))


def test_the_table_of_an_endpoint():
    simulated = simulate(SMALL, [Job(0, 3600), Job(0, 3600)])
    assert capacity.summary_row("two hours", simulated) == [
        *("two hours", "2", "2", "$772.00", "$3860000", "24.0", "24.0", "24.0", "385.0", "385.0", "1.98", "2"),
        *("5%", "1%"),
    ]
    hours = capacity.hours_table(simulated).splitlines()
    assert hours[2] == "| 0 | 2 | 1.98 | 24.0 | 24.0 |"


# --- The check of a GPU ---------------------------------------------------------------------------------------------

CPU_SETUP = Setup(make_placement((torch.device("cpu"),), torch.float32), is_small=True, model="", weights=Path())


def one_row() -> list[Row]:
    return [{"model": "tiny", "ms": 1.25}]


def one_row_and_a_fault():
    yield from one_row()
    raise torch.OutOfMemoryError("no memory is left")


@pytest.mark.process
def test_a_report_resumes_with_what_is_missing_or_failed(tmp_path):
    steps, jobs = Section("steps", "Steps", one_row), Section("jobs", "Jobs, base", one_row_and_a_fault)
    report = Report.open(tmp_path)
    report.measure(steps)
    report.measure(jobs)
    resumed = Report.open(tmp_path)
    assert resumed.sections == report.sections
    assert [resumed.has(section) for section in (steps, jobs, Section("encoder", "", one_row))] == [True, False, False]
    assert resumed.failed == ["jobs"]
    resumed.measure(replace(jobs, measure=one_row))
    assert Report.open(tmp_path).failed == []
    assert Report.open(tmp_path).has(jobs)
    assert not Report.open(tmp_path).has(replace(jobs, title="Jobs, turbo"))


@pytest.mark.process
def test_a_report_has_the_rows_before_a_fault_and_its_reason(tmp_path):
    report = Report.open(tmp_path / "new" / "folder")
    report.measure(Section("jobs", "Whole jobs", one_row_and_a_fault))
    text = (tmp_path / "new" / "folder" / "report.md").read_text()
    assert "## Whole jobs" in text
    assert "| tiny | 1.25 |" in text
    assert "FAILED: OutOfMemoryError: no memory is left" in text
    saved = json.loads((tmp_path / "new" / "folder" / "report.json").read_text())
    assert saved["jobs"]["rows"] == one_row()


def test_rows_with_different_headings_share_a_table():
    rows: list[Row] = [
        {"model": "tiny", "ms": 0.12345},
        {"model": "base", "us": 1234.5},
        {"model": "big", "ms": "none"},
    ]
    assert rows_table(rows).splitlines() == [
        "| model | ms | us |",
        "| --- | --- | --- |",
        "| tiny | 0.123 |  |",
        "| base |  | 1234 |",
        "| big | none |  |",
    ]


@pytest.mark.parametrize(
    ("value", "cell"),
    [(0, "0"), (1_234_567, "1234567"), (1234567.8, "1234568"), (99.94, "99.9"), (0.000012, "1.2e-05")],
)
def test_figures_have_three_digits(value, cell):
    assert format_cell(value) == cell


def test_what_does_not_fit_into_the_time_is_left_out():
    assert list(within(60.0, range(3))) == [0, 1, 2]
    assert list(within(-1.0, range(3))) == []


@pytest.mark.parametrize("size", SIZES)
def test_random_models_have_whispers_heads(size):
    dims = Setup(CPU_SETUP.placement, is_small=False, model="", weights=Path()).dims(size)
    assert dims.n_audio_state == 64 * dims.n_audio_head == 64 * dims.n_text_head == dims.n_text_state
    assert (dims.n_audio_ctx, dims.n_text_ctx) == (1500, 448)
    assert CPU_SETUP.dims(size).n_vocab == dims.n_vocab


@pytest.mark.model
def test_the_check_of_a_gpu_runs_through_on_a_cpu():
    steps, passes = list(measure_steps(CPU_SETUP, 60.0)), list(measure_encoder(CPU_SETUP, 60.0))
    assert [(row["model"], row["windows"], row["steps"]) for row in steps] == [
        *(("tiny", count, "eager") for count in (1, 2)),
        *(("large-v3", count, "eager") for count in (1, 2)),
    ]
    assert all(float(row["ms a step"]) > 0 for row in steps)
    assert [row["model"] for row in passes] == ["tiny", "large-v3"]


@pytest.mark.model
def test_texts_of_random_models_do_not_end():
    model = CPU_SETUP.random_model("tiny", with_encoder=False)
    batch, requests = make_batch(CPU_SETUP, model, 2), CPU_SETUP.endless_requests(model, 2)
    batch.admit(requests)
    assert all(batch.step() == [] for _ in range(60))
    assert batch.running == requests


class SpoiledRecorder:
    """Replays a step faithfully, but for one token of each text."""

    def __call__(self, run):
        def replay():
            run()
            run.func.__self__._tokens[:, :, 5] = 400

        return replay


@pytest.mark.model
@pytest.mark.process
def test_recorded_steps_that_choose_other_tokens_are_told():
    placement = replace(CPU_SETUP.placement, replays=True, make_recorder=SpoiledRecorder)
    setup = replace(CPU_SETUP, weights=find_weights("tiny.en"), placement=placement)
    eager, replayed = islice(compare_tokens(setup), 2)
    assert (eager["steps"], eager["differ from a CPU's"]) == ("eager", f"0 of {eager['tokens']}")
    assert (replayed["steps"], replayed["differ from eager"]) == ("replayed", 1)
