"""The editor, as a person uses it: with the mouse, with the keyboard alone, by touch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect

from client.known_voices import VoiceFolder
from client.page_voices import PageVoices
from tests.ui import transcripts
from tests.ui.browser import Look, Visitor, Watch, axe, in_all_looks, on_desk_and_phone, picture
from tests.ui.scripted import ScriptedHome, wait_until

on_phone = pytest.mark.parametrize("look", [Look(390)], ids=["phone"])

Open = Callable[..., str]


@pytest.fixture
def open_transcript(page: Page, scripted: ScriptedHome, visitor: Visitor) -> Open:
    """Transcribes a recording with a given answer, and opens the transcript."""

    def opened(answer: Any = None, line: str = "") -> str:
        scripted.use(answer=answer or transcripts.talk())
        transcript = visitor.transcribe()
        page.goto(f"{scripted.url}#/t/{transcript}/{line}")
        expect(page.get_by_label("Title")).to_be_visible()
        return transcript

    return opened


@pytest.fixture
def saved(page: Page, visitor: Visitor) -> Callable[[str], list[dict[str, Any]]]:
    """Waits until all is saved, and gives the transcript's lines as the server has them."""

    def lines_of(transcript: str) -> list[dict[str, Any]]:
        expect(page.get_by_text("Saved", exact=True)).to_be_visible()
        found: list[dict[str, Any]] = visitor.ask("GET", f"transcripts/{transcript}/document")["lines"]
        return found

    return lines_of


Saved = Callable[[str], list[dict[str, Any]]]


def row(page: Page, number: int) -> Locator:
    return page.locator(f'.line[aria-posinset="{number}"]')


def word(page: Page, text: str) -> Locator:
    return page.locator(".word").get_by_text(text, exact=True).first


def text_of(line: dict[str, Any]) -> str:
    return "".join(word[0] for word in line["words"]).strip()


def position(page: Page) -> float:
    return float(page.evaluate("document.querySelector('audio, video').currentTime"))


def is_playing(page: Page) -> bool:
    return bool(page.evaluate("!document.querySelector('audio, video').paused"))


# Playing


def test_a_word_is_played_from_there_and_marked_as_it_is_spoken(page: Page, open_transcript: Open) -> None:
    open_transcript()
    word(page, "algebraic").click()
    expect(page.locator(".word.spoken")).to_have_text(re.compile("algebraic|patterns|just"))
    assert position(page) >= 39.9
    page.get_by_role("button", name="Pause").click()
    assert not is_playing(page)
    assert page.locator(".word.spoken").count() == 1


def test_speed_skipping_and_repeating(page: Page, open_transcript: Open) -> None:
    open_transcript()
    page.get_by_role("button", name="Ahead 5 seconds").click()
    page.get_by_role("button", name="Ahead 5 seconds").click()
    page.get_by_role("button", name="Back 5 seconds").click()
    assert position(page) == pytest.approx(5, abs=0.01)
    page.get_by_role("button", name="Speed: 1×").click()
    page.get_by_role("menuitemradio", name="3×").click()
    media = page.evaluate(
        "(({playbackRate, preservesPitch}) => [playbackRate, preservesPitch])(document.querySelector('audio, video'))"
    )
    assert media == [3, True]
    word(page, "Thank").click()
    page.get_by_role("button", name="Repeat the line").click()
    expect(page.get_by_role("button", name="Repeat the line")).to_have_attribute("aria-pressed", "true")
    wait_until(lambda: position(page) > 15)
    wait_until(lambda: position(page) < 15)  # it began again
    assert 13 <= position(page) <= 18.9
    page.get_by_role("button", name="Repeat the line").click()
    page.reload()
    expect(page.get_by_role("button", name="Speed: 3×")).to_be_visible()


def test_a_recording_that_the_browser_cannot_play_leaves_no_dead_player(
    page: Page, open_transcript: Open, watch: Watch
) -> None:
    watch.allowed.append("media")
    page.route(re.compile("/media"), lambda route: route.fulfill(status=404, body="{}"))
    open_transcript()
    expect(page.get_by_text("This browser cannot play the recording. You can still edit the text.")).to_be_visible()
    expect(page.get_by_role("button", name="Play", exact=True)).to_have_count(0)


def test_a_copy_is_played_where_the_recording_itself_cannot_be(page: Page, open_transcript: Open, watch: Watch) -> None:
    asked: list[str] = []
    watch.allowed.append("media")

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if "copy=playable" not in route.request.url:
            route.fulfill(status=200, body="nothing that plays", content_type="audio/mpeg")
        elif len(asked) < 4:
            route.fulfill(status=202, json={"fraction": 0.4})
        else:
            route.continue_(url=route.request.url.removesuffix("?copy=playable"))

    page.route(re.compile("/media"), answer)
    open_transcript()
    expect(page.get_by_text("Preparing the recording for this browser… 40%")).to_be_visible()
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


# Editing lines


def test_a_double_click_edits_a_word_whose_line_keeps_its_times(
    page: Page, open_transcript: Open, saved: Saved, visitor: Visitor
) -> None:
    transcript = open_transcript()
    before = saved(transcript)[1]
    word(page, "Ada").dblclick()
    assert not is_playing(page)
    page.keyboard.type("Augusta")
    page.keyboard.press("Enter")
    expect(row(page, 2)).to_contain_text("With me today are Augusta Lovelace and Charles Babbage.")
    after = saved(transcript)[1]
    assert [word[1:3] for word in after["words"]] == [word[1:3] for word in before["words"]]
    assert after["words"][4][0] == " Augusta"
    assert after["words"][4][3] is None
    assert after["words"][5] == before["words"][5]


def test_escape_takes_back_what_was_typed(page: Page, open_transcript: Open, saved: Saved) -> None:
    transcript = open_transcript()
    before = saved(transcript)
    word(page, "Ada").dblclick()
    page.keyboard.type("Augusta")
    expect(page.get_by_role("button", name="Undo")).to_be_enabled()  # it is in the document
    page.keyboard.press("Escape")
    expect(row(page, 2)).to_contain_text("today are Ada Lovelace")
    expect(row(page, 2)).to_be_focused()
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    assert [text_of(line) for line in saved(transcript)] == [text_of(line) for line in before]


def test_a_line_is_split_at_the_cursor_and_joined_again(page: Page, open_transcript: Open, saved: Saved) -> None:
    transcript = open_transcript()
    before = saved(transcript)
    row(page, 6).focus()
    page.keyboard.press("F2")
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("Control+ArrowRight")
    page.keyboard.press("Control+Enter")
    expect(row(page, 6)).to_contain_text("The mill is nearly finished,")
    expect(page.get_by_role("textbox", name=re.compile("Text at"))).to_have_value(
        "but the store still needs a thousand wheels."
    )
    page.keyboard.press("Enter")
    first, second = saved(transcript)[5:7]
    assert first["words"] + second["words"] == before[5]["words"]
    assert first["end"] <= second["start"] == before[5]["words"][5][1]
    assert second["id"].startswith(first["id"] + ".")
    expect(row(page, 7)).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Home")
    page.keyboard.press("Backspace")
    expect(page.get_by_role("textbox", name=re.compile("Text at"))).to_have_value(text_of(before[5]))
    page.keyboard.press("Enter")
    assert [line["words"] for line in saved(transcript)] == [line["words"] for line in before]


def test_an_emptied_line_goes_and_comes_back(page: Page, open_transcript: Open, saved: Saved) -> None:
    transcript = open_transcript()
    word(page, "both.").dblclick()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Line deleted")).to_be_visible()
    assert len(saved(transcript)) == 11
    page.get_by_role("status").get_by_role("button", name="Undo").click()
    expect(row(page, 11)).to_contain_text("Thank you both.")
    assert len(saved(transcript)) == 12


def test_keys_that_change_a_line_do_nothing_on_a_button_elsewhere(page: Page, open_transcript: Open) -> None:
    open_transcript()
    row(page, 2).focus()
    texts = page.locator(".lines").inner_text()
    page.get_by_role("button", name="Copy", exact=True).focus()
    page.keyboard.press("Delete")
    page.keyboard.press("3")
    expect(page.get_by_role("button", name="Undo", exact=True)).to_be_disabled()
    assert page.locator(".lines").inner_text() == texts
    row(page, 2).focus()
    page.keyboard.press("Delete")
    expect(page.get_by_text("Line deleted")).to_be_visible()


def test_a_lines_menu_joins_restores_and_deletes(page: Page, open_transcript: Open, saved: Saved) -> None:
    transcript = open_transcript()

    def choose(number: int, item: str) -> None:
        row(page, number).hover()
        row(page, number).get_by_role("button", name="More").click()
        page.get_by_role("menuitem", name=item).click()

    word(page, "both.").dblclick()
    page.keyboard.type("all.")
    page.keyboard.press("Enter")
    expect(row(page, 11)).to_contain_text("Thank you all.")
    choose(11, "Restore the line")
    expect(row(page, 11)).to_contain_text("Thank you both.")
    choose(11, "Join with next")
    expect(row(page, 11)).to_contain_text("Thank you both. Thank you, and good morning.")
    choose(4, "Delete")
    assert len(saved(transcript)) == 10
    choose(2, "Copy a link to the line")
    page.goto(page.evaluate("navigator.clipboard.readText()"))
    expect(row(page, 2)).to_be_focused()


def test_everything_is_undone_and_redone_by_keys_and_buttons(page: Page, open_transcript: Open) -> None:
    open_transcript()
    texts = page.locator(".lines").inner_text()
    page.get_by_label("Title").fill("Another talk")
    page.get_by_label("Title").press("Enter")
    row(page, 1).focus()
    page.keyboard.press("m")
    page.keyboard.press("2")
    expect(row(page, 1)).to_contain_text("Speaker 2")
    for _ in range(3):
        page.keyboard.press("Control+z")
    expect(page.get_by_label("Title")).to_have_value("A talk")
    assert page.locator(".lines").inner_text() == texts
    page.keyboard.press("Control+Shift+z")
    page.get_by_role("button", name="Redo").click()
    page.keyboard.press("Control+y")
    expect(page.get_by_label("Title")).to_have_value("Another talk")
    expect(row(page, 1)).to_contain_text("Charles Babbage.")
    expect(row(page, 1)).to_contain_text("Speaker 2")


# Speakers


@on_desk_and_phone
def test_speakers_are_named_merged_added_and_given_lines(page: Page, open_transcript: Open, saved: Saved) -> None:
    transcript = open_transcript()
    page.get_by_role("button", name="Speakers").click()
    expect(page.get_by_role("heading", name="Speakers")).to_be_visible()
    page.get_by_label("Name of Speaker 1").fill("Anna")
    page.get_by_label("Name of Speaker 1").press("Enter")
    expect(row(page, 1)).to_contain_text("Anna")
    page.get_by_role("button", name="Merge Speaker 3").click()
    page.get_by_role("menuitem", name="Same person as Anna").click()
    expect(row(page, 4)).to_contain_text("Anna")
    page.get_by_role("button", name="Add speaker").click()
    expect(page.get_by_label("Name of Speaker 3")).to_be_focused()
    page.keyboard.type("Charles")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Close panel").click()
    row(page, 4).get_by_role("button", name="Speaker: Anna").click()
    page.get_by_role("menuitemradio", name="Charles").click()
    expect(row(page, 4)).to_contain_text("Charles")
    lines = saved(transcript)
    assert lines[3]["speaker"] not in {"SPEAKER_00", "SPEAKER_01"}
    assert {line["speaker"] for line in lines} == {"SPEAKER_00", "SPEAKER_01", lines[3]["speaker"]}


@pytest.fixture
def voices(tmp_path: Path) -> VoiceFolder:
    return VoiceFolder(tmp_path / "voices")


@pytest.fixture
def own_machine(page: Page, tmp_path: Path, voices: VoiceFolder) -> Iterator[ScriptedHome]:
    """The page of the machine's own user, with a folder of known voices."""
    home = ScriptedHome(tmp_path / "page", home="bridge", known_voices=PageVoices(voices, print))
    home.start()
    yield home
    page.close()  # it would ask on for what is not ready yet
    home.stop()


@on_desk_and_phone
def test_a_voice_that_is_kept_names_the_next_transcript(
    page: Page, context: BrowserContext, own_machine: ScriptedHome, voices: VoiceFolder, look: Look, watch: Watch
) -> None:
    watch.allowed.append("status of 400")
    visitor = Visitor(context, own_machine.url)
    answer = transcripts.talk()
    heard = {"speaker": "SPEAKER_00", "seconds": 12.0, "turns": 1, "start": 0.0, "embedding": [1.0, *[0.0] * 191]}
    own_machine.use(answer={**answer, "transcription": {**answer["transcription"], "speakers": [heard]}})
    page.goto(f"{own_machine.url}#/t/{visitor.transcribe(diarize=True)}/")
    page.get_by_role("button", name="Speakers").click()
    expect(page.get_by_text("Ask the person first: a voice identifies them.")).to_be_visible()
    page.get_by_role("button", name="Keep the voice of Speaker 1: type a name first").click()
    page.keyboard.type("<b>")
    page.get_by_role("button", name="Keep the voice of Speaker 1").click()  # at once: the name was just typed
    expect(page.locator(".speaker-voice").first).to_contain_text("A name should be 1 to 60 letters")
    page.get_by_label("Name of Speaker 1").fill("प्रिया")
    page.get_by_role("button", name="Keep the voice of <b>").click()
    expect(page.get_by_role("button", name="The voice of प्रिया is kept")).to_have_attribute("aria-disabled", "true")
    expect(page.locator(".speaker-voice").first).to_have_text("Kept the voice of प्रिया: 12 s of speech.")
    axe(page)
    picture(page, f"editor-voices-{look.width}")
    voices.save(replace(voices.get("प्रिया"), name="Conan O’Brien"))
    page.get_by_role("button", name="Known voices").click()
    axe(page)
    picture(page, f"known-voices-{look.width}")
    page.get_by_role("button", name="Forget the voice of Conan O’Brien").click()
    page.get_by_role("button", name="Forget", exact=True).last.click()
    expect(page.get_by_role("list", name="Known voices").get_by_role("listitem")).to_have_count(1)
    page.get_by_role("button", name="Done").click()
    assert [voice.name for voice in voices.load_all()] == ["प्रिया"]
    spoken = json.loads(json.dumps(answer).replace('"SPEAKER_00"', '"प्रिया"'))
    own_machine.use(answer=spoken)
    own_machine.transcriber.jobs.clear()
    page.goto(f"{own_machine.url}#/t/{visitor.transcribe(diarize=True)}/")
    expect(row(page, 1)).to_contain_text("प्रिया")
    assert [*own_machine.transcriber.jobs[0].input["options"]["speakers"]] == ["प्रिया"]


def test_a_page_for_others_keeps_no_voices(page: Page, open_transcript: Open) -> None:
    open_transcript()
    with page.expect_response("**/voices"):
        page.get_by_role("button", name="Speakers").click()
    page.get_by_label("Name of Speaker 1").fill("Ada")
    page.get_by_label("Name of Speaker 1").press("Enter")
    expect(row(page, 1)).to_contain_text("Ada")
    expect(page.get_by_role("button", name="Keep the voice")).to_have_count(0)
    expect(page.get_by_text("a voice identifies them")).to_be_hidden()


def test_speakers_can_be_told_apart_by_hand(page: Page, open_transcript: Open) -> None:
    open_transcript(transcripts.unnamed())
    expect(row(page, 1).get_by_role("button", name="Speaker")).to_have_count(0)
    page.get_by_role("button", name="Speakers").click()
    page.get_by_role("button", name="Add speaker").click()
    page.keyboard.type("Anna")
    page.keyboard.press("Enter")
    row(page, 2).focus()
    page.keyboard.press("1")
    expect(row(page, 2)).to_contain_text("Anna")
    expect(row(page, 3)).to_contain_text("No speaker")


# Unsure words


def test_unsure_words_are_walked_through_edited_and_confirmed(page: Page, open_transcript: Open, saved: Saved) -> None:
    transcript = open_transcript()
    expect(page.locator(".word.unsure")).to_have_text(["having", "mill", "wheels.", "government"])
    page.locator(".lines-scroller").focus()
    page.keyboard.press("u")
    expect(page.get_by_text("4 unsure words")).to_be_visible()
    expect(word(page, "having")).to_be_focused()
    page.keyboard.press("Tab")
    expect(word(page, "mill")).to_be_focused()
    assert position(page) == pytest.approx(32.9, abs=0.5)
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.keyboard.type("wheel")
    page.keyboard.press("Tab")
    expect(row(page, 6)).to_contain_text("The wheel is nearly")
    expect(word(page, "wheels.")).to_be_focused()
    page.keyboard.press("y")
    expect(word(page, "government")).to_be_focused()
    expect(page.get_by_text("2 unsure words")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Unsure words")).to_have_count(0)
    expect(row(page, 9)).to_be_focused()
    assert saved(transcript)[5]["words"][-1][3] is None


def test_unsure_words_are_told_to_screen_readers_but_neither_shown_nor_copied(
    page: Page, open_transcript: Open
) -> None:
    open_transcript()
    expect(word(page, "government")).to_have_attribute("title", "Unsure: 21%")
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    read = [node["name"]["value"] for node in tree if node["role"]["value"] == "StaticText"]
    assert read[read.index("government") + 1] == ", unsure, 21%,"
    assert row(page, 9).locator(".line-text").inner_text() == "Next year, if the government pays."


def test_what_is_marked_is_chosen_and_kept(page: Page, open_transcript: Open) -> None:
    open_transcript()
    page.get_by_role("button", name="Unsure words").click()
    page.get_by_label("Mark them in the text").uncheck()
    expect(page.locator(".word.unsure")).to_have_count(0)
    expect(page.get_by_text("4 unsure words")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(word(page, "mill")).to_be_focused()
    page.get_by_label("Unsure below").fill("10")
    expect(page.get_by_text("No unsure words")).to_be_visible()
    page.get_by_label("Mark them in the text").check()
    page.reload()
    expect(row(page, 1)).to_be_visible()
    expect(page.locator(".word.unsure")).to_have_count(0)
    page.get_by_role("button", name="Unsure words").click()
    page.get_by_label("Unsure below").fill("25")
    expect(page.locator(".word.unsure")).to_have_count(4)


# Finding


@on_desk_and_phone
def test_what_is_found_is_shown_and_replaced_as_chosen(page: Page, open_transcript: Open, saved: Saved) -> None:
    transcript = open_transcript()
    page.keyboard.press("Control+f")
    page.keyboard.type("good morning")
    page.get_by_label("Replace with").fill("Hello")
    expect(page.get_by_text("4 matches, 4 chosen")).to_be_visible()
    expect(page.locator(".match ins").first).to_have_text("Hello")
    page.get_by_label("Match case").check()
    expect(page.get_by_text("1 match, 1 chosen")).to_be_visible()
    page.get_by_label("Match case").uncheck()
    page.get_by_label("Replace Good morning at 0:19").uncheck()
    page.get_by_role("button", name="Replace 3").click()
    expect(page.get_by_text("3 replacements in 3 lines").first).to_be_visible()
    lines = saved(transcript)
    assert [text_of(lines[number]) for number in (0, 2, 3, 11)] == [
        "Hello, and welcome back to the programme.",
        "Hello. Thank you for having me.",
        "Good morning.",
        "Thank you, and Hello.",
    ]
    page.get_by_role("status").get_by_role("button", name="Undo").click()
    assert text_of(saved(transcript)[0]) == "Good morning, and welcome back to the programme."
    expect(page.get_by_role("button", name="Undo").first).to_be_disabled()


def test_the_message_about_a_change_goes_with_the_next_change(page: Page, open_transcript: Open, saved: Saved) -> None:
    """Its Undo would take back the newer change."""
    open_transcript()
    page.keyboard.press("Control+f")
    page.get_by_label("Find", exact=True).fill("Good morning")
    page.get_by_label("Replace with").fill("Hello")
    expect(page.locator(".match").first).to_have_text(re.compile("Good morning Hello"))
    page.get_by_role("button", name="Replace 4").click()
    expect(page.locator(".toast")).to_contain_text("4 replacements in 4 lines")
    page.get_by_role("button", name="Undo", exact=True).first.click()
    expect(page.locator(".toast")).to_have_count(0)


def test_a_match_leads_to_its_line(page: Page, open_transcript: Open) -> None:
    open_transcript()
    page.keyboard.press("Control+f")
    page.keyboard.type("loom")
    expect(page.locator(".match")).to_have_count(1)
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(row(page, 7)).to_be_focused()


def test_regular_expressions_replace_by_groups_and_never_hang(page: Page, open_transcript: Open) -> None:
    open_transcript()
    page.keyboard.press("Control+f")
    page.get_by_label("Regular expression").check()
    page.get_by_label("Find", exact=True).fill(r"(\w+) Lovelace")
    page.get_by_label("Replace with").fill("Lady $1")
    page.get_by_role("button", name="Replace 1").click()
    expect(row(page, 2)).to_contain_text("today are Lady Ada and")
    page.get_by_label("Find", exact=True).fill("(")
    expect(page.get_by_text("This is not a complete regular expression.")).to_be_visible()
    page.get_by_label("Find", exact=True).fill(r"((\w+\s?)+)+!")
    expect(page.get_by_text("This expression takes too long. Try a simpler one.")).to_be_visible()
    page.get_by_label("Find", exact=True).fill("engine")
    expect(page.get_by_text("1 match, 1 chosen")).to_be_visible()


# The keyboard


def test_a_whole_correction_by_the_keyboard_alone(page: Page, open_transcript: Open, saved: Saved) -> None:
    transcript = open_transcript()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.line')"):
            break
    expect(row(page, 1)).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    page.keyboard.type(" Really.")
    page.keyboard.press("F8")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("F8")
    page.keyboard.press("Enter")
    expect(row(page, 2)).to_be_focused()
    page.keyboard.press("3")
    page.keyboard.press("Control+s")
    line = saved(transcript)[1]
    assert (text_of(line), line["speaker"]) == (
        "With me today are Ada Lovelace and Charles Babbage. Really.",
        "SPEAKER_02",
    )
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(row(page, 2).get_by_role("button", name="Play from 0:06")).to_be_focused()


def test_keys_mean_letters_while_somebody_types(page: Page, open_transcript: Open) -> None:
    open_transcript()
    title = page.get_by_label("Title")
    title.fill("")
    title.press_sequentially("k j l m p u ? 1 - +")
    page.keyboard.press("Control+z")
    assert not is_playing(page)
    title.press("Enter")
    expect(page.locator(".line")).to_have_count(12)
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize(
    ("event", "playing"),
    [
        ({"key": "л", "code": "KeyK"}, True),
        ({"key": "k", "code": "KeyN"}, True),
        ({"key": "n", "code": "KeyK"}, False),
        ({"key": "K", "code": "KeyK", "shiftKey": True}, False),
        ({"key": "k", "code": "KeyK", "ctrlKey": True}, False),
        ({"key": "k", "code": "KeyK", "isComposing": True}, False),
    ],
    ids=["cyrillic", "dvorak", "by what is written", "shift", "ctrl", "composing"],
)
def test_keys_go_by_what_the_layout_writes(
    page: Page, open_transcript: Open, event: dict[str, Any], playing: bool
) -> None:
    open_transcript()
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    page.evaluate(
        "(event) => document.body.dispatchEvent(new KeyboardEvent('keydown', {...event, bubbles: true}))",
        event,
    )
    assert is_playing(page) == playing


def test_one_key_shortcuts_can_be_turned_off(page: Page, open_transcript: Open) -> None:
    open_transcript()
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Turn off one-key shortcuts").click()
    row(page, 1).focus()
    page.keyboard.press("k")
    page.keyboard.press("2")
    assert not is_playing(page)
    expect(row(page, 1)).to_contain_text("Speaker 1")
    page.keyboard.press("Space")
    assert is_playing(page)


# Touch


@on_phone
def test_a_line_is_corrected_by_touch(page: Page, open_transcript: Open, saved: Saved, look: Look) -> None:
    transcript = open_transcript()
    player = page.get_by_role("group", name="Player").bounding_box()
    assert player
    assert player["y"] > 700  # at the bottom, whatever is shown above
    row(page, 2).get_by_role("button", name="Edit").tap()
    field = page.get_by_role("textbox", name=re.compile("Text at"))
    expect(field).to_be_focused()
    field.evaluate("(field) => field.setSelectionRange(13, 13)")
    page.get_by_role("button", name="Split at the cursor").tap()
    page.get_by_role("button", name="Done").tap()
    assert [text_of(line) for line in saved(transcript)[1:3]] == [
        "With me today",
        "are Ada Lovelace and Charles Babbage.",
    ]
    word(page, "finished,").tap()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_role("button", name="Pause").tap()
    page.get_by_role("button", name="Unsure words").tap()
    page.get_by_role("button", name="Next", exact=True).tap()
    page.get_by_role("button", name="Word is right").tap()
    expect(page.get_by_text("3 unsure words")).to_be_visible()
    picture(page, "editor-phone-review")
    assert page.evaluate("document.documentElement.scrollWidth") <= look.width


# States


def test_a_running_job_shows_its_lines_and_can_be_cancelled(
    page: Page, scripted: ScriptedHome, visitor: Visitor
) -> None:
    scripted.use(held=True, fraction=0.36, streamed=2)
    transcript = visitor.begin()
    page.goto(f"{scripted.url}#/t/{transcript}")
    expect(page.locator(".line")).to_have_count(2)
    expect(page.get_by_text(re.compile("36"))).to_be_visible()
    scripted.transcriber.streamed = 5
    expect(page.locator(".line")).to_have_count(5)
    expect(page.get_by_role("button", name="Edit")).to_have_count(0)
    picture(page, "editor-running")
    axe(page)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("This transcription was cancelled.")).to_be_visible()
    scripted.use()
    page.get_by_role("button", name="Transcribe").click()
    expect(page.get_by_label("Title")).to_have_value("A talk")
    expect(page.locator(".line")).to_have_count(12)


def test_a_job_that_ends_becomes_the_editor(page: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    scripted.use(held=True, streamed=3)
    transcript = visitor.begin()
    page.goto(f"{scripted.url}#/t/{transcript}")
    expect(page.locator(".line")).to_have_count(3)
    scripted.transcriber.held = False
    expect(page.get_by_label("Title")).to_have_value("A talk")
    expect(page.locator(".line")).to_have_count(12)


def test_a_failed_job_says_what_to_do_and_is_tried_again(page: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    scripted.use(answer=transcripts.failure("DownloadFailed", "the URL answers with HTTP status 404"))
    transcript = visitor.begin()
    visitor.wait_for(transcript, ("failed",))
    page.goto(f"{scripted.url}#/t/{transcript}")
    expect(page.get_by_text("The recording at that address is not available.")).to_be_visible()
    expect(page.locator("audio, video, .line")).to_have_count(0)
    axe(page)
    picture(page, "editor-failed")
    scripted.use()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".line")).to_have_count(12)


def test_a_file_that_is_no_recording_is_not_tried_again(page: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    scripted.use(answer=transcripts.failure("UnsupportedMedia", "the file is not audio or video"))
    transcript = visitor.begin(title="Minutes")
    visitor.wait_for(transcript, ("failed",))
    page.goto(f"{scripted.url}#/t/{transcript}")
    expect(page.get_by_text("This is not a recording that can be read.")).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    page.get_by_role("link", name="All transcripts").click()
    expect(page.get_by_role("button", name="Delete: Minutes")).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)


def test_a_recording_without_speech_says_so(page: Page, open_transcript: Open) -> None:
    open_transcript(transcripts.no_words())
    expect(page.get_by_role("heading", name="No speech was found")).to_be_visible()
    axe(page)
    picture(page, "editor-empty")


def test_transcribing_again_asks_before_corrections_are_replaced(page: Page, open_transcript: Open) -> None:
    open_transcript()
    word(page, "both.").dblclick()
    page.keyboard.type("all.")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    for answer, text in (("Cancel", "Thank you all."), ("Transcribe again", "Thank you both.")):
        page.get_by_role("button", name="More", exact=True).click()
        page.get_by_role("menuitem", name="Transcribe again").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("will replace this one and all your corrections")
        dialog.get_by_role("button", name=answer, exact=True).click()
        expect(row(page, 11)).to_contain_text(text)
        expect(dialog).to_have_count(0)


def test_warnings_of_the_job_are_shown(page: Page, open_transcript: Open) -> None:
    answer = transcripts.talk()
    answer["metadata"]["warnings"] = ["the recording is very quiet"]
    open_transcript(answer)
    page.get_by_text("1 note about this transcript").click()
    expect(page.get_by_text("The recording is very quiet.")).to_be_visible()


@pytest.mark.parametrize("kind", ["hostile", "right_to_left", "japanese"])
def test_any_text_is_text(page: Page, open_transcript: Open, saved: Saved, kind: str) -> None:
    transcript = open_transcript(transcripts.KINDS[kind]())
    spoken = [text_of(line) for line in saved(transcript)]
    for number, text in enumerate(spoken, 1):
        expect(row(page, number).locator(".line-text")).to_have_text(text)
    assert page.evaluate("document.querySelectorAll('.lines img, .lines script').length") == 0
    page.get_by_role("button", name="Speakers").click()
    page.get_by_label("Name of Speaker 1").fill(transcripts.MARKUP)
    page.get_by_label("Name of Speaker 1").press("Enter")
    expect(row(page, 1)).to_contain_text(transcripts.MARKUP)
    assert "hacked" not in page.title()


@in_all_looks
def test_the_editor_has_no_barrier(page: Page, open_transcript: Open, look: Look) -> None:
    open_transcript()
    expect(row(page, 1)).to_be_visible()
    axe(page)
    picture(page, f"editor-{look.width}-{look.colours}")
    for panel in ("Speakers", "Find", "Unsure words"):
        page.get_by_role("button", name=panel, exact=True).click()
        page.get_by_role("button", name="Close panel").wait_for()
        if panel == "Find":
            page.keyboard.type("good")
            page.get_by_label("Replace with").fill("fine")
            page.locator(".match ins").first.wait_for()
        axe(page)
        picture(page, f"editor-{panel}-{look.width}-{look.colours}")
        page.get_by_role("button", name="Close panel").click()
    word(page, "Ada").dblclick()
    axe(page)
    picture(page, f"editor-editing-{look.width}-{look.colours}")
