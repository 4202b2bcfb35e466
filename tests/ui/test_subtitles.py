"""The subtitles view: cues over the picture, their limits, and edits of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.ui import transcripts
from tests.ui.browser import CLIPS, Look, Visitor, axe, in_all_looks, on_desk_and_phone, picture
from tests.ui.modules import run_module
from tests.ui.scripted import ScriptedHome
from transcript.formats.layout import PRESETS
from transcript.formats.line_breaks import display_width

WIDTHS = {
    "hello": 5, "日本語": 6, "ｶﾀｶﾅ": 4, "한국어": 6, "e\u0301a": 2, "ＡＢ": 4, "👩\u200d🔬": 2, "🇩🇪": 2, "❤️": 2,
    "ภาษาไทยน้ำ": 9, "\u200f\u202bשלום\u202c": 4, "“…”—": 4, "、。": 4, "a\u00adb": 3, "①→": 2,
}  # fmt: skip


def test_widths_are_the_layouts(modules: Page) -> None:
    found = run_module(modules, "editor/cue_limits.js", "given.map(module.displayWidth)", list(WIDTHS))
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
def test_a_preview_breaks_lines(modules: Page, text: str, width: int | None, lines: list[str]) -> None:
    assert run_module(modules, "editor/cue_limits.js", "module.wrap(given[0], given[1])", [text, width]) == lines


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
    modules: Page, change: dict[str, Any], next_start: float | None, broken: list[str]
) -> None:
    expression = "module.measureCue(given[0], given[1], given[2])"
    measures = run_module(modules, "editor/cue_limits.js", expression, [{**FINE, **change}, next_start, LIMITS])
    assert broken == [
        name
        for name, measure in measures.items()
        if any(each["isOver"] for each in (measure if isinstance(measure, list) else [measure]) if each)
    ]


@pytest.mark.parametrize(
    ("voice", "width", "room"),
    [
        ("", 42, 42),
        ("Ada", None, None),
        ("Ada", 42, 37),
        ("田中", 42, 36),
        ("Professor Ada Lovelace", 42, 21),
        ("Ada", 9, 4),
        ("Ada", 1, 1),
    ],
)
def test_a_name_takes_at_most_half_of_each_line(modules: Page, voice: str, width: int | None, room: int | None) -> None:
    given = [{"voice": voice}, {"max_line_width": width}]
    assert run_module(modules, "editor/cue_limits.js", "module.roomOf(given[0], given[1])", given) == room


def test_without_limits_nothing_is_marked(modules: Page) -> None:
    cue = {"start": 0.0, "end": 0.01, "lines": ["x" * 500] * 9, "voice": ""}
    expression = "module.isOverAny(module.measureCue(given, 0, {}))"
    assert run_module(modules, "editor/cue_limits.js", expression, cue) is False


def test_broadcast_limits_are_the_layouts(modules: Page) -> None:
    preset = PRESETS["broadcast"]
    limits = run_module(modules, "editor/subtitle_style.js", "module.limitsOf({kind: 'broadcast', custom: {}})")
    assert limits == {name: getattr(preset, name) for name in limits}
    assert {name for name, value in vars(preset).items() if value} == set(limits)


TEXTS = {"a": "Good morning, and welcome back to the programme.", "b": "With me today", "c": "今日は Whisper です。"}


@pytest.mark.parametrize(
    ("cue", "after", "changed"),
    [
        (["a: Good morning,"], "Good evening,", {"a": "Good evening, and welcome back to the programme."}),
        (["a: and welcome\nback"], "and welcome\nback here", {"a": TEXTS["a"].replace("back", "back here")}),
        (["a: and welcome\nback"], "and welcome back", {}),
        (["a: and welcome\nback"], "and welcomeback", {"a": "Good morning, and welcomeback to the programme."}),
        (["a: and welcome\nback"], "", {"a": "Good morning, to the programme."}),
        (["a: the programme.", "b: With me"], "the show.\nWith me", {"a": TEXTS["a"].replace("programme", "show")}),
        (["a: the programme.", "b: With me"], "the programme.\nWith us", {"b": "With us today"}),
        (["a: the programme.", "b: With me"], "the programme.\nAnd With me", {"b": "And With me today"}),
        (["a: the programme.", "b: With me"], "the programme. Yes.\nWith me", {"a": TEXTS["a"] + " Yes."}),
        (["a: the programme.", "b: With me"], "the end me", {"a": TEXTS["a"][:-10] + "end", "b": "me today"}),
        (["b: With me today"], "", {"b": ""}),
        (["c: 今日は\nWhisper です。"], "今日は\nWhisper だ。", {"c": "今日は Whisper だ。"}),
        (["c: 今\n日は"], "今日は", {}),
        (["c: 今\n日は"], "昨\n日は", {"c": "昨日は Whisper です。"}),
    ],
)  # fmt: skip
def test_an_edit_of_a_cue_changes_only_its_part_of_the_lines(
    modules: Page, cue: list[str], after: str, changed: dict[str, str]
) -> None:
    spans = []
    for line, text in (piece.split(": ") for piece in cue):
        shown = re.search(re.escape(text).replace("\\\n", " ?"), TEXTS[line])
        assert shown
        spans.append({"id": line, "from": shown.start(), "to": shown.end()})
    before = "\n".join(piece.split(": ")[1] for piece in cue)
    expression = "[...module.editLines(given[0], (id) => given[1][id], given[2], given[3])]"
    assert dict(run_module(modules, "editor/cue_parts.js", expression, [spans, TEXTS, before, after])) == changed


def test_an_edit_of_a_text_that_has_changed_is_refused(modules: Page) -> None:
    expression = "module.editLines([{id: 'a', from: 0, to: 3}], () => 'new text', 'old', 'older')"
    assert run_module(modules, "editor/cue_parts.js", expression) is None


def test_cues_are_found_in_their_lines(modules: Page) -> None:
    cues = [
        {"lines": ["Good morning,", "and welcome back"], "line_ids": ["a"]},
        {"lines": ["to the programme. With"], "line_ids": ["a", "b"]},
        {"lines": ["me today"], "line_ids": ["b"]},
        {"lines": ["\u200f\u202b今日は\u202c", "Whisper です。"], "line_ids": ["c"]},
    ]
    parts = run_module(
        modules, "editor/cue_parts.js", "module.partsOfCues(given[0], (id) => given[1][id])", [cues, TEXTS]
    )
    shown = [[TEXTS[part["id"]][part["from"] : part["to"]] for part in cue] for cue in parts]
    assert shown == [
        ["Good morning, and welcome back"], ["to the programme.", "With"], ["me today"], ["今日は Whisper です。"],
    ]  # fmt: skip


@pytest.fixture
def subtitles(page: Page, scripted: ScriptedHome, visitor: Visitor) -> Page:
    """The subtitles view of the talk."""
    return open_subtitles(page, scripted, visitor.transcribe())


def open_subtitles(page: Page, home: ScriptedHome, transcript: str) -> Page:
    page.goto(f"{home.url}#/t/{transcript}")
    page.get_by_role("button", name="Subtitles").click()
    expect(cue(page, 0)).to_be_visible()
    return page


def cue(page: Page, index: int) -> Locator:
    return page.locator(".cue-item").nth(index)


def choose(page: Page, style: str) -> None:
    if not page.get_by_label("Layout").is_visible():  # folded on a phone
        page.get_by_text("Subtitle style").click()
    with page.expect_response("**/cues*"):
        page.get_by_label("Layout").select_option(style)


def type_over(page: Page, index: int, text: str) -> None:
    cue(page, index).get_by_role("button", name="Edit").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(text)


def screen(page: Page) -> Locator:
    """The text over the picture."""
    return page.locator(".stage-text")


def seek(page: Page, times: int) -> None:
    slider = page.get_by_role("slider", name="Position in the recording")
    slider.focus()
    slider.press("Home")
    for _ in range(times):
        slider.press("ArrowRight")


def test_the_picture_has_the_cue_of_the_moment(subtitles: Page) -> None:
    expect(screen(subtitles)).to_have_text("Speaker 1: Good morning, and welcome back to the programme.")
    seek(subtitles, 3)
    expect(screen(subtitles)).to_have_text("Speaker 2: Good morning. Thank you for having me.")
    cue(subtitles, 5).get_by_role("button", name="Play from 0:32").click()
    expect(screen(subtitles)).to_contain_text("The mill is nearly finished")
    expect(cue(subtitles, 5).locator(".cue")).to_have_class(re.compile("cue-current"))


def test_cues_are_laid_out_as_broadcasters_want_them(subtitles: Page) -> None:
    expect(subtitles.get_by_text("12 subtitles", exact=True)).to_be_visible()
    choose(subtitles, "Broadcast")
    expect(cue(subtitles, 0)).to_contain_text("2 lines")
    expect(subtitles.get_by_text(re.compile(r"\d+ subtitles, none outside the limits"))).to_be_visible()
    texts = subtitles.locator(".stage-line").all_inner_texts()
    assert texts == ["Speaker 1: Good morning, and welcome back", "to the programme."]


def test_own_numbers_are_kept(subtitles: Page) -> None:
    choose(subtitles, "Custom")
    with subtitles.expect_response("**/cues*max_line_width=20*"):
        subtitles.get_by_label("Characters per line").fill("20")
    subtitles.reload()
    subtitles.get_by_role("button", name="Subtitles").click()
    expect(subtitles.get_by_label("Layout")).to_have_value("custom")
    expect(subtitles.get_by_label("Characters per line")).to_have_value("20")


@in_all_looks
def test_the_picture_does_not_cover_the_style(subtitles: Page) -> None:
    choose(subtitles, "Custom")
    stage, form = (subtitles.locator(name).bounding_box() for name in (".stage", ".style-form"))
    assert stage
    assert form
    assert stage["y"] + stage["height"] <= form["y"]


def test_a_wrong_number_is_marked_and_not_asked_for(subtitles: Page) -> None:
    choose(subtitles, "Custom")
    field = subtitles.get_by_label("Characters per line")
    field.fill("0")
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill("30")
    expect(field).to_have_attribute("aria-invalid", "false")


def test_names_can_be_left_out(subtitles: Page) -> None:
    with subtitles.expect_response("**/cues*names=false*"):
        subtitles.get_by_label("Show who is speaking").uncheck()
    expect(screen(subtitles)).to_have_text("Good morning, and welcome back to the programme.")


def test_limits_are_shown_as_one_types(subtitles: Page) -> None:
    choose(subtitles, "Broadcast")
    expect(cue(subtitles, 0)).to_contain_text("2 lines")
    type_over(subtitles, 0, "Good evening to you all, " * 6)
    expect(cue(subtitles, 0)).to_contain_text("lines, at most 2")
    expect(cue(subtitles, 0)).to_contain_text("characters per second, at most 20")
    expect(screen(subtitles)).to_contain_text("Good evening to you all")
    subtitles.keyboard.press("Escape")
    expect(cue(subtitles, 0)).not_to_contain_text("at most")
    expect(screen(subtitles)).to_contain_text("Good morning, and welcome back")


def test_an_edit_is_the_transcripts_and_can_be_undone(subtitles: Page) -> None:
    choose(subtitles, "Broadcast")
    expect(cue(subtitles, 0)).to_contain_text("2 lines")
    with subtitles.expect_response("**/cues*"):
        type_over(subtitles, 0, "Good evening, and welcome back\nto the show.")
        subtitles.keyboard.press("Enter")
    expect(screen(subtitles)).to_contain_text("to the show.")
    subtitles.get_by_role("button", name="Subtitles").click()
    line = subtitles.get_by_role("list", name="Transcript").get_by_role("listitem").first
    expect(line).to_contain_text("Good evening, and welcome back to the show.")
    subtitles.get_by_role("button", name="Undo").click()
    expect(line).to_contain_text("Good morning, and welcome back to the programme.")


def test_after_an_edit_only_what_is_around_it_is_laid_out(page: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    turns = [transcripts.Turn("SPEAKER_00", f"Line {at} is one of a thousand.") for at in range(1000)]
    scripted.use(answer=transcripts.answer(turns, seconds=3600.0))
    open_subtitles(page, scripted, visitor.transcribe())
    page.locator(".cue-list").evaluate("(list) => { list.scrollTop = list.scrollHeight / 2; }")
    row = page.locator(".cue-item").filter(has_text="Line 500 is")
    row.get_by_role("button", name="Edit").click()
    with page.expect_response(re.compile(r"/cues\?from=1740&to=1863")):
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.insert_text("Changed.")
        page.keyboard.press("Enter")
    expect(page.locator(".cue-item").filter(has_text="Changed.")).to_be_visible()
    expect(page.get_by_text("1,000 subtitles")).to_be_visible()
    expect(page.locator(".cue-item").filter(has_text="Line 501 is")).to_have_count(1)


def test_an_edit_is_kept_when_the_field_is_left(subtitles: Page) -> None:
    type_over(subtitles, 0, "Left.")
    with subtitles.expect_response("**/cues*"):
        cue(subtitles, 1).get_by_role("button", name="Play").click()
    expect(cue(subtitles, 0)).to_contain_text("Left.")


def test_problems_are_walked_through(subtitles: Page) -> None:
    choose(subtitles, "Custom")
    with subtitles.expect_response("**/cues*max_chars_per_second=8*"):
        subtitles.get_by_label("Characters per second").fill("8")
    subtitles.get_by_role("button", name="Next problem").click()
    problem = subtitles.locator(".cue-over .cue-text:focus")
    expect(problem).to_be_visible()
    first = problem.inner_text()
    subtitles.get_by_role("button", name="Next problem").click()
    expect(problem).not_to_have_text(first)


def test_a_video_plays_under_its_subtitles(page: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    open_subtitles(page, scripted, visitor.transcribe(CLIPS / "video.mp4"))
    expect(page.locator(".stage video")).to_be_visible()
    page.get_by_role("button", name="Subtitles").click()
    expect(page.locator("video")).to_be_visible()


def test_of_ten_hours_only_what_is_seen_is_in_the_page(page: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    cues = [
        {"start": at * 3.6, "end": at * 3.6 + 3, "lines": [f"Cue {at}"], "voice": "", "line_ids": ["00000000"]}
        for at in range(10_000)
    ]
    page.route("**/cues*", lambda route: route.fulfill(json={"cues": cues}))
    open_subtitles(page, scripted, visitor.transcribe())
    rows = page.get_by_role("list", name="Subtitles", exact=True)
    rows.evaluate("(list) => { list.parentElement.scrollTop = list.offsetHeight / 2; }")
    expect(cue(page, 5)).to_contain_text(re.compile(r"Cue [45]\d\d\d"))
    assert page.locator(".cue-item").count() < 40


def test_markup_is_shown_as_text(page: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    scripted.use(answer=transcripts.hostile())
    open_subtitles(page, scripted, visitor.transcribe())
    expect(screen(page)).to_contain_text(transcripts.MARKUP)
    expect(cue(page, 0)).to_contain_text(transcripts.MARKUP)


@in_all_looks
def test_the_view_is_accessible(subtitles: Page, look: Look) -> None:
    choose(subtitles, "Broadcast")
    expect(cue(subtitles, 0)).to_contain_text("2 lines")
    picture(subtitles, f"subtitles-{look.width}-{look.colours}")
    type_over(subtitles, 0, "Good evening to you all, " * 6)
    axe(subtitles)
    picture(subtitles, f"subtitles-typed-{look.width}-{look.colours}")


@on_desk_and_phone
def test_panels_are_beside_the_lines_again(subtitles: Page) -> None:
    view = subtitles.get_by_role("button", name="Subtitles", exact=True)
    find = subtitles.get_by_role("button", name="Find", exact=True)
    find.click()
    expect(subtitles.get_by_role("textbox", name="Find")).to_be_focused()
    expect(view).to_have_attribute("aria-pressed", "false")
    view.click()
    expect(cue(subtitles, 0)).to_be_visible()
    expect(find).to_have_attribute("aria-expanded", "false")
    subtitles.keyboard.press("Control+f")
    expect(subtitles.get_by_role("textbox", name="Find")).to_be_focused()
