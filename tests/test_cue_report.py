"""The report on cues that are over the limits of their layout."""

from __future__ import annotations

from transcript.formats.cue_report import MAX_LISTED, report_cues
from transcript.formats.cues import Cue
from transcript.formats.layout import PRESETS, Layout
from transcript.formats.render import render
from transcript.formats.timed_words import TimedWord
from transcript.transcript import Segment, Transcript, Word

BROADCAST = PRESETS["broadcast"]


def cue(start: int, end: int, *lines: str, voice: str = "") -> Cue:
    return Cue(start, end, [[TimedWord(line, start, end)] for line in lines], voice)


def test_cues_within_the_limits_are_counted_alone() -> None:
    cues = [cue(0, 2000, "Within the limits"), cue(2080, 4000, "and so is this")]
    assert report_cues(cues, BROADCAST) == {"cues": 2, "over_limits": {}}
    assert report_cues([], BROADCAST) == {"cues": 0, "over_limits": {}}


def test_each_limit_is_reported_with_count_worst_value_and_first_times() -> None:
    cues = [
        cue(0, 1000, "x" * 21),
        cue(1040, 1240, "y"),
        cue(2000, 9100, "z" * 43, voice="A"),
        cue(20_000, 21_000, "x" * 40),
        cue(30_000, 32_000, "a", "b", "c"),
    ]
    assert report_cues(cues, BROADCAST) == {
        "cues": 5,
        "over_limits": {
            "max_chars_per_second": {"limit": 20.0, "count": 2, "worst": 40.0, "first": [0.0, 20.0]},
            "min_cue_gap": {"limit": 0.08, "count": 1, "worst": 0.04, "first": [0.0]},
            "min_cue_duration": {"limit": 0.83, "count": 1, "worst": 0.2, "first": [1.04]},
            "max_line_width": {"limit": 42, "count": 1, "worst": 46, "first": [2.0]},
            "max_cue_duration": {"limit": 7.0, "count": 1, "worst": 7.1, "first": [2.0]},
            "max_line_count": {"limit": 2, "count": 1, "worst": 3, "first": [30.0]},
        },
    }


def test_limits_that_are_not_given_are_not_checked_and_the_list_is_short() -> None:
    cues = [cue(1000 * at, 1000 * at + 100, "x" * 50, "y") for at in range(MAX_LISTED + 5)]
    assert report_cues(cues, Layout(max_words_per_line=5)) == {"cues": MAX_LISTED + 5, "over_limits": {}}
    over = report_cues(cues, Layout(max_line_width=42))["over_limits"]["max_line_width"]
    assert over["count"] == MAX_LISTED + 5
    assert over["first"] == [float(at) for at in range(MAX_LISTED)]


def test_a_full_width_letter_counts_as_two() -> None:
    assert report_cues([cue(0, 1000, "字" * 11)], BROADCAST)["over_limits"]["max_chars_per_second"]["worst"] == 22.0


def spoken_fast() -> Transcript:
    words = [Word(f" word{at:02}", at / 10, (at + 1) / 10, 0.9) for at in range(30)]
    text = "".join(word.word for word in words)
    return Transcript("en", 1.0, 3.0, [Segment(0, 0, 0.0, 3.0, text, [], 0.0, -0.1, 1.0, 0.0, words)])


def test_a_job_has_the_report_of_subtitles_that_have_limits() -> None:
    report = render(spoken_fast(), ["srt"], BROADCAST)["cue_report"]
    assert report["cues"] > 0
    assert report["over_limits"]["max_chars_per_second"]["worst"] > 60
    assert "cue_report" in render(spoken_fast(), ["ttml"])
    assert "cue_report" not in render(spoken_fast(), ["srt"])
    assert "cue_report" not in render(spoken_fast(), ["srt"], Layout(highlight_words=True))
    assert "cue_report" not in render(spoken_fast(), ["text", "json"], BROADCAST)
