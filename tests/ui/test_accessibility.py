"""Everybody can use the first view: axe finds nothing in any state, and fingers and the keyboard reach all of it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.ui import transcripts
from tests.ui.browser import CLIPS, Look, Visitor, axe, in_all_looks, picture
from tests.ui.scripted import ScriptedHome


@pytest.fixture
def home(page: Page, scripted: ScriptedHome) -> Page:
    page.goto(scripted.url)
    expect(page.get_by_role("heading", name="New transcript")).to_be_visible()
    return page


def name_of(state: str, look: Look) -> str:
    return f"home_{state}_{look.width}_{look.colours}"


@in_all_looks
def test_the_form_has_no_violations(home: Page, look: Look) -> None:
    picture(home, name_of("empty", look))
    axe(home)
    home.get_by_label("Choose files", exact=True).set_input_files([CLIPS / "demo.ogg", CLIPS / "numbers.mp3"])
    home.get_by_label("Speakers", exact=True).select_option("By voice")
    home.get_by_text("More options").click()
    home.get_by_label("Only a part, from").fill("soon")
    home.get_by_role("button", name=re.compile("^Transcribe")).click()
    expect(home.get_by_text("Enter times such as")).to_be_visible()
    picture(home, name_of("options", look))
    axe(home)
    home.get_by_role("combobox", name="Language").click()
    axe(home)


@in_all_looks
def test_other_sources_have_no_violations(home: Page, look: Look) -> None:
    home.get_by_role("tab", name="Address").click()
    axe(home)
    home.get_by_role("tab", name="Microphone").click()
    axe(home)
    home.get_by_role("button", name="Record").click()
    expect(home.get_by_role("timer")).to_have_text("0:01")
    picture(home, name_of("microphone", look))
    axe(home)
    home.get_by_role("button", name="Stop").click()


@in_all_looks
def test_the_list_has_no_violations(home: Page, scripted: ScriptedHome, visitor: Visitor, look: Look) -> None:
    visitor.transcribe(title="Good morning")
    visitor.transcribe(
        CLIPS / "video.mp4", title="A video with a very long title that cannot fit into any row of the list"
    )
    scripted.use(answer=transcripts.failure("UnsupportedMedia", "the file is a PDF"))
    visitor.wait_for(visitor.begin(title="No recording"), ("failed",))
    scripted.use(held=True, fraction=0.42)
    visitor.ask("POST", f"transcripts/{visitor.begin(title='Cancelled')}/cancel")
    visitor.wait_for(visitor.begin(title="At work"), ("working",))
    for text in ("No recording", "Cancelled", "At work", "Good morning, and welcome"):
        expect(home.get_by_role("list", name="Transcripts")).to_contain_text(text)
    expect(home.get_by_text("Transcribing: 42%")).to_be_visible()
    picture(home, name_of("list", look))
    axe(home)
    home.get_by_role("button", name="Delete: Good morning").click()
    expect(home.get_by_role("dialog")).to_be_visible()
    picture(home, name_of("dialog", look))
    axe(home)
    home.keyboard.press("Escape")
    expect(home.get_by_role("button", name="Delete: Good morning")).to_be_focused()


@in_all_looks
def test_menus_and_messages_have_no_violations(home: Page, look: Look) -> None:
    home.get_by_role("button", name="Presets").click()
    axe(home)
    home.get_by_role("menuitem", name="Save as preset…").click()
    axe(home)
    home.get_by_label("Name", exact=True).fill("Interviews")
    home.keyboard.press("Enter")
    expect(home.get_by_text("Preset “Interviews” saved.")).to_be_visible()
    picture(home, name_of("message", look))
    axe(home)


@in_all_looks
def test_the_log_in_has_no_violations(locked: ScriptedHome, page: Page, look: Look) -> None:
    page.goto(locked.url)
    page.get_by_label("Password").fill("guess")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Wrong password.")).to_be_visible()
    picture(page, name_of("log_in", look))
    axe(page)


SMALL = """() => [...document.querySelectorAll("button, a, input, select, textarea, summary")]
  .filter((one) => one.checkVisibility({visibilityProperty: true}) && !one.matches(".skip-link, [type=checkbox]"))
  .map((one) => [one.getAttribute("aria-label") ?? one.textContent, one.getBoundingClientRect()])
  .filter(([, box]) => box.width > 0 && (box.height < 43.5 || box.width < 43.5))
  .map(([name, box]) => `${name}: ${box.width} x ${box.height}`)"""
"""What is smaller than a finger's tip: 44 pixels (WCAG 2.5.5)."""


@pytest.mark.parametrize("look", [Look(390)], ids=["phone"])
def test_on_a_phone_fingers_hit_what_they_aim_at(home: Page, visitor: Visitor, look: Look) -> None:
    visitor.transcribe(title="A talk")
    expect(home.get_by_role("link", name="A talk")).to_be_visible()
    home.get_by_text("More options").click()
    # The link of a row reaches over the whole row.
    small = [one for one in home.evaluate(SMALL) if not one.startswith("A talk")]
    assert small == []


@in_all_looks
def test_nothing_is_wider_than_the_window(home: Page, visitor: Visitor, look: Look) -> None:
    visitor.transcribe(title="word" * 40)
    expect(home.get_by_role("list", name="Transcripts")).to_contain_text("Good morning")
    assert home.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def focused(page: Page) -> str:
    name = "(({ariaLabel, labels, textContent}) => ariaLabel || labels?.[0]?.textContent || textContent)"
    return str(page.evaluate(f"{name}(document.activeElement)"))


def test_the_keyboard_reaches_everything_in_order(home: Page, visitor: Visitor) -> None:
    visitor.transcribe(title="A talk")
    expect(home.get_by_role("link", name="A talk")).to_be_visible()
    reached = []
    for _ in range(40):
        home.keyboard.press("Tab")
        reached.append(focused(home))
        outline = home.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"{reached[-1]} does not show the focus"
        if reached[-1] == "Delete: A talk":
            break
    wanted = [
        "New transcript", "Files", "Choose files", "Choose a folder", "Preset", "Presets", "Language", "Task",
        "Transcribe", "Search titles", "A talk", "Delete: A talk",
    ]  # fmt: skip
    assert [one for one in reached if one in wanted] == wanted


def test_moving_nothing_for_those_who_want_it_so(home: Page, page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    durations = home.evaluate(
        "[...document.querySelectorAll('*')].map((one) => parseFloat(getComputedStyle(one).transitionDuration))"
    )
    assert max(durations) < 0.001


def test_there_is_one_main_heading(home: Page) -> None:
    expect(home.get_by_role("heading", level=1)).to_have_text(["Transcripts"])


def test_jobs_that_run_move_nothing(home: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    """No layout shift while a job goes from waiting to done (https://web.dev/articles/cls)."""
    visitor.transcribe(title="Below")
    expect(home.get_by_text("Good morning, and welcome")).to_be_visible()
    scripted.use(held=True, fraction=0.42)
    transcript = visitor.begin(title="Above")
    expect(home.get_by_text("Transcribing: 42%")).to_be_visible()
    top = "document.querySelectorAll('.item')[1].getBoundingClientRect().top"
    before = home.evaluate(top)
    scripted.transcriber.held = False
    visitor.wait_for(transcript, ("done",))
    expect(home.get_by_text("Good morning, and welcome")).to_have_count(2)
    assert home.evaluate(top) == before
