"""The subtitles view: cues over the picture, their limits, and edits of them."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.ui.modules import run_module
from tests.ui.scripted import ScriptedHome
from transcript.formats.layout import PRESETS
from transcript.formats.line_breaks import display_width

WIDTHS = {
    "hello": 5, "日本語": 6, "ｶﾀｶﾅ": 4, "한국어": 6, "e\u0301a": 2, "ＡＢ": 4, "👩\u200d🔬": 2, "🇩🇪": 2, "❤️": 2,
    "ภาษาไทยน้ำ": 9, "\u200fשלום": 4, "“…”—": 4, "、。": 4, "a\u00adb": 3, "①→": 2,
}  # fmt: skip


@pytest.fixture
def opened(page: Page, scripted: ScriptedHome) -> Page:
    page.goto(scripted.url)
    return page


def test_widths_are_the_layouts(opened: Page) -> None:
    found = run_module(opened, "editor/cue_limits.js", "given.map(module.displayWidth)", list(WIDTHS))
    assert found == list(WIDTHS.values()) == [display_width(text) for text in WIDTHS]


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("one two three", None, ["one two three"]),
        ("  one \n two ", 42, ["one two"]),
        ("incomprehensible", 8, ["incompre", "hensible"]),
        ("日本語日本語", 8, ["日本語日", "本語"]),
        ("", 42, [""]),
    ],
)
def test_a_preview_breaks_lines(opened: Page, text: str, width: int | None, lines: list[str]) -> None:
    assert run_module(opened, "editor/cue_limits.js", "module.wrap(given[0], given[1])", [text, width]) == lines


LIMITS = {
    "max_line_width": 10, "max_line_count": 2, "max_chars_per_second": 10, "min_cue_duration": 1, "max_cue_duration": 5,
    "min_cue_gap": 0.1,
}  # fmt: skip
FINE = {"start": 1.0, "end": 3.0, "lines": ["ten column", "ten more"], "voice": ""}


@pytest.mark.parametrize(
    ("change", "next_start", "broken"),
    [
        ({}, 3.1, []),
        ({}, None, []),
        ({"lines": ["eleven cols"]}, None, ["widths"]),
        ({"lines": ["ten column"], "voice": "Ada"}, None, ["widths"]),
        ({"lines": ["日本語日本語"]}, None, ["widths"]),
        ({"lines": ["a", "b", "c"]}, None, ["lines"]),
        ({"end": 2.5}, None, ["speed"]),
        ({"lines": ["a"], "end": 1.9}, None, ["duration"]),
        ({"end": 6.1}, None, ["duration"]),
        ({}, 3.09, ["gap"]),
        ({}, 2.5, ["gap"]),
    ],
)
def test_each_limit_is_marked_when_it_is_broken(
    opened: Page, change: dict[str, Any], next_start: float | None, broken: list[str]
) -> None:
    expression = "module.measureCue(given[0], given[1], given[2])"
    measures = run_module(opened, "editor/cue_limits.js", expression, [{**FINE, **change}, next_start, LIMITS])
    assert broken == [
        name
        for name, measure in measures.items()
        if any(each["isOver"] for each in (measure if isinstance(measure, list) else [measure]) if each)
    ]


def test_without_limits_nothing_is_marked(opened: Page) -> None:
    cue = {"start": 0.0, "end": 0.01, "lines": ["x" * 500] * 9, "voice": ""}
    expression = "module.isOverAny(module.measureCue(given, 0, {}))"
    assert run_module(opened, "editor/cue_limits.js", expression, cue) is False


def test_broadcast_limits_are_the_layouts(opened: Page) -> None:
    preset = PRESETS["broadcast"]
    limits = run_module(opened, "editor/subtitle_style.js", "module.limitsOf({kind: 'broadcast', custom: {}})")
    assert limits == {name: getattr(preset, name) for name in limits}
    assert {name for name, value in vars(preset).items() if value} == set(limits)


TEXTS = {"a": "Good morning, and welcome back to the programme.", "b": "With me today", "c": "今日は Whisper です。"}


@pytest.mark.parametrize(
    ("cue", "after", "changed"),
    [
        (["a: Good morning,"], "Good evening,", {"a": "Good evening, and welcome back to the programme."}),
        (["a: and welcome\nback"], "and welcome\nback here", {"a": "Good morning, and welcome back here to the programme."}),
        (["a: and welcome\nback"], "and welcome back", {}),
        (["a: and welcome\nback"], "and welcomeback", {"a": "Good morning, and welcomeback to the programme."}),
        (["a: and welcome\nback"], "", {"a": "Good morning, to the programme."}),
        (["a: the programme.", "b: With me"], "the show.\nWith me", {"a": TEXTS["a"].replace("programme", "show")}),
        (["a: the programme.", "b: With me"], "the programme.\nWith us", {"b": "With us today"}),
        (["a: the programme.", "b: With me"], "the programme.\nAnd With me", {"b": "And With me today"}),
        (["a: the programme.", "b: With me"], "the programme. Yes.\nWith me", {"a": TEXTS["a"] + " Yes."}),
        (["a: the programme.", "b: With me"], "the end me", {"a": TEXTS["a"].replace("programme.", "end"), "b": "me today"}),
        (["b: With me today"], "", {"b": ""}),
        (["c: 今日は\nWhisper です。"], "今日は\nWhisper だ。", {"c": "今日は Whisper だ。"}),
        (["c: 今\n日は"], "今日は", {}),
        (["c: 今\n日は"], "昨\n日は", {"c": "昨日は Whisper です。"}),
    ],
)  # fmt: skip
def test_an_edit_of_a_cue_changes_only_its_part_of_the_lines(
    opened: Page, cue: list[str], after: str, changed: dict[str, str]
) -> None:
    parts = [
        (piece[0], piece[3:].replace("\n", "" if piece[0] == "c" and "日は\n" not in piece else " ")) for piece in cue
    ]
    spans = [
        {"id": id_, "from": TEXTS[id_].index(text), "to": TEXTS[id_].index(text) + len(text)} for id_, text in parts
    ]
    before = "\n".join(piece[3:] for piece in cue)
    expression = "[...module.editLines(given[0], (id) => given[1][id], given[2], given[3])]"
    assert dict(run_module(opened, "editor/cue_parts.js", expression, [spans, TEXTS, before, after])) == changed


def test_an_edit_of_a_text_that_has_changed_is_refused(opened: Page) -> None:
    expression = "module.editLines([{id: 'a', from: 0, to: 3}], () => 'new text', 'old', 'older')"
    assert run_module(opened, "editor/cue_parts.js", expression) is None


def test_cues_are_found_in_their_lines(opened: Page) -> None:
    cues = [
        {"lines": ["Good morning,", "and welcome back"], "line_ids": ["a"]},
        {"lines": ["to the programme. With"], "line_ids": ["a", "b"]},
        {"lines": ["me today"], "line_ids": ["b"]},
        {"lines": ["\u200f今日は", "Whisper です。"], "line_ids": ["c"]},
    ]
    parts = run_module(
        opened, "editor/cue_parts.js", "module.partsOfCues(given[0], (id) => given[1][id])", [cues, TEXTS]
    )
    shown = [[TEXTS[part["id"]][part["from"] : part["to"]] for part in cue] for cue in parts]
    assert shown == [
        ["Good morning, and welcome back"], ["to the programme.", "With"], ["me today"], ["今日は Whisper です。"],
    ]  # fmt: skip
