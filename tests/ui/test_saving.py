"""Work is never lost: over reloads, lost connections, other tabs, and a server that is started again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import APIResponse, BrowserContext, Dialog, Locator, Page, Request, Route, expect

from tests.ui.browser import Visitor, Watch, axe, picture
from tests.ui.scripted import ScriptedHome, wait_until

EDITS, CHANGES = "**/page/api/transcripts/*", re.compile(r"/changes\?since=")


@pytest.fixture
def transcript(page: Page, scripted: ScriptedHome, visitor: Visitor) -> str:
    """A transcript that is open in the tab."""
    made = visitor.transcribe()
    page.goto(f"{scripted.url}#/t/{made}")
    expect(page.locator(".line")).to_have_count(12)
    return made


@pytest.fixture
def other(context: BrowserContext, page: Page, transcript: str) -> Iterator[Page]:
    """A second tab with the same transcript."""
    tab = context.new_page()
    tab.goto(page.url)
    expect(tab.locator(".line")).to_have_count(12)
    yield tab
    tab.close()


def change(page: Page, old: str, new: str) -> None:
    page.locator(".word").get_by_text(old, exact=True).first.dblclick()
    page.keyboard.type(new)
    page.keyboard.press("Enter")
    expect(page.locator(".lines")).to_contain_text(new)


def texts(visitor: Visitor, transcript: str) -> list[str]:
    lines: list[dict[str, Any]] = visitor.ask("GET", f"transcripts/{transcript}/document")["lines"]
    return ["".join(word[0] for word in line["words"]).strip() for line in lines]


def status(page: Page) -> Locator:
    return page.locator(".save-status > span")


def expect_saved(page: Page) -> None:
    expect(status(page)).to_have_text("Saved")


def test_only_what_changed_is_sent_after_a_pause(page: Page, transcript: str) -> None:
    sent: list[Any] = []

    def note(request: Request) -> None:
        if request.method == "PATCH":
            sent.append(request.post_data_json)

    page.on("request", note)
    page.locator(".word").get_by_text("both.", exact=True).dblclick()
    page.keyboard.type("all of you.", delay=60)
    expect_saved(page)
    assert [[line["id"] for line in edits["lines"]] for edits in sent] == [["00000010"]] * len(sent)
    assert 1 <= len(sent) <= 3
    assert set(sent[0]) == {"editor", "lines"}


def test_what_was_typed_is_there_after_a_reload_and_can_be_undone(
    page: Page, transcript: str, visitor: Visitor
) -> None:
    change(page, "both.", "all.")
    page.get_by_label("Title").fill("Another talk")
    page.get_by_label("Title").press("Enter")
    page.reload()  # before the pause is over
    expect(page.locator(".lines")).to_contain_text("Thank you all.")
    expect(page.get_by_label("Title")).to_have_value("Another talk")
    expect_saved(page)
    assert "Thank you all." in texts(visitor, transcript)
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    expect(page.locator(".lines")).to_contain_text("Thank you both.")
    expect_saved(page)
    assert "Thank you both." in texts(visitor, transcript)


def test_a_line_that_is_being_typed_is_saved_when_the_tab_is_closed(
    page: Page, transcript: str, visitor: Visitor
) -> None:
    page.locator(".word").get_by_text("both.", exact=True).dblclick()
    page.keyboard.type("all.")
    expect(page.get_by_role("textbox", name=re.compile("Text at"))).to_have_value("Thank you all.")
    page.close(run_before_unload=False)
    wait_until(lambda: "Thank you all." in texts(visitor, transcript))


def test_leaving_the_view_saves(page: Page, transcript: str, visitor: Visitor) -> None:
    page.locator(".word").get_by_text("both.", exact=True).dblclick()
    page.keyboard.type("all.")
    page.get_by_role("link", name="All transcripts").click()
    wait_until(lambda: "Thank you all." in texts(visitor, transcript))


def test_offline_work_goes_on_and_is_saved_later(
    page: Page, context: BrowserContext, transcript: str, visitor: Visitor, watch: Watch
) -> None:
    watch.allowed.append("ERR_INTERNET_DISCONNECTED|ERR_CONNECTION")
    context.set_offline(True)
    change(page, "both.", "all.")
    expect(status(page)).to_have_text("Not saved. The server cannot be reached. Trying again.")
    change(page, "pays.", "agrees.")
    axe(page)
    picture(page, "editor-offline")
    context.set_offline(False)
    expect_saved(page)
    assert {"Thank you all.", "Next year, if the government agrees."} <= set(texts(visitor, transcript))


def test_the_browser_asks_before_unsaved_work_is_closed(page: Page, transcript: str, watch: Watch) -> None:
    watch.allowed.append("status of 503")
    page.route(EDITS, lambda route: _refuse_edits(route, 503))
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", stay)
    change(page, "both.", "all.")
    expect(status(page)).to_have_text("Not saved. The server is too busy. Trying again.")
    page.reload()
    assert asked == ["beforeunload"]
    # What could not be saved is still there.
    expect(page.locator(".lines")).to_contain_text("Thank you all.")
    page.unroute(EDITS)
    expect_saved(page)
    page.reload()
    assert asked == ["beforeunload"]


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (429, "Not saved. The server is too busy. Trying again."),
        (500, "Not saved. Something went wrong on the server. Trying again."),
        (507, "Not saved. The server has no room left. Trying again."),
    ],
)
def test_what_keeps_the_server_from_saving_is_said(
    page: Page, transcript: str, watch: Watch, refusal: int, said: str
) -> None:
    watch.allowed.append(f"status of {refusal}")
    page.route(EDITS, lambda route: _refuse_edits(route, refusal))
    change(page, "both.", "all.")
    expect(status(page)).to_have_text(said)
    page.unroute(EDITS)
    expect_saved(page)


def test_unsaved_work_outlives_the_view_and_the_tab(
    page: Page, context: BrowserContext, transcript: str, visitor: Visitor, watch: Watch
) -> None:
    watch.allowed.append("ERR_|status of 503")
    context.route(EDITS, lambda route: _refuse_edits(route, 503))
    change(page, "both.", "all.")
    page.get_by_label("Title").fill("Another talk")
    page.get_by_role("link", name="All transcripts").click()
    expect(page.get_by_text("Your last corrections are not saved yet.")).to_be_visible()
    expect(page.get_by_text("Some corrections are not saved yet.")).to_be_visible()
    page.close(run_before_unload=True)
    assert "Thank you both." in texts(visitor, transcript)
    tab = context.new_page()
    tab.goto(f"{page.url}t/{transcript}")
    expect(tab.locator(".lines")).to_contain_text("Thank you all.")
    expect(tab.get_by_label("Title")).to_have_value("Another talk")
    context.unroute(EDITS)
    expect_saved(tab)
    assert "Thank you all." in texts(visitor, transcript)
    assert tab.evaluate("Object.keys(localStorage).filter((name) => name.startsWith('unsaved'))") == []


def test_unsaved_work_is_saved_without_its_view_when_the_server_is_back(
    page: Page, context: BrowserContext, transcript: str, visitor: Visitor, watch: Watch
) -> None:
    watch.allowed.append("ERR_|status of 503")
    context.route(EDITS, lambda route: _refuse_edits(route, 503))
    change(page, "both.", "all.")
    page.get_by_role("link", name="All transcripts").click()
    expect(page.get_by_text("Some corrections are not saved yet.")).to_be_visible()
    picture(page, "list-unsaved")
    axe(page)
    context.unroute(EDITS)
    page.reload()
    wait_until(lambda: "Thank you all." in texts(visitor, transcript))
    expect(page.get_by_text("Some corrections are not saved yet.")).to_have_count(0)


def test_what_two_closed_tabs_could_not_save_is_all_kept(
    page: Page, other: Page, context: BrowserContext, transcript: str, visitor: Visitor, watch: Watch
) -> None:
    watch.allowed.append("ERR_|status of 503")
    context.route(EDITS, lambda route: _refuse_edits(route, 503))
    change(page, "both.", "all.")
    change(other, "pays.", "agrees.")
    for tab in (page, other):
        expect(status(tab)).to_contain_text("Not saved.")
        tab.get_by_role("link", name="All transcripts").click()
        expect(tab.get_by_text("Some corrections are not saved yet.")).to_be_visible()
    other.goto(f"{other.url}t/{transcript}")
    expect(other.locator(".lines")).to_contain_text("Thank you all.")
    expect(other.locator(".lines")).to_contain_text("Next year, if the government agrees.")
    context.unroute(EDITS)
    expect_saved(other)
    assert {"Thank you all.", "Next year, if the government agrees."} <= set(texts(visitor, transcript))


def test_a_server_that_does_not_answer_keeps_nobody_in_the_editor(
    page: Page, context: BrowserContext, transcript: str, watch: Watch
) -> None:
    watch.allowed.append("ERR_")
    page.route(EDITS, lambda route: None if route.request.method == "PATCH" else route.fallback())
    change(page, "both.", "all.")
    page.get_by_role("link", name="All transcripts").click()
    expect(page.get_by_text("Your last corrections are not saved yet.")).to_be_visible(timeout=6000)
    expect(page.get_by_role("heading", name="Transcripts")).to_be_visible()


def test_a_server_that_is_started_again_has_everything(
    page: Page, transcript: str, scripted: ScriptedHome, visitor: Visitor, watch: Watch
) -> None:
    watch.allowed.append("ERR_|status of 50")
    change(page, "both.", "all.")
    scripted.stop()
    try:
        change(page, "pays.", "agrees.")
        expect(status(page)).to_have_text("Not saved. The server cannot be reached. Trying again.")
    finally:
        scripted.start()
    expect_saved(page)
    assert {"Thank you all.", "Next year, if the government agrees."} <= set(texts(visitor, transcript))


def test_what_the_server_refuses_is_said_and_tried_again_on_demand(
    page: Page, transcript: str, visitor: Visitor, watch: Watch
) -> None:
    watch.allowed.append("status of 400")
    page.route(EDITS, lambda route: _refuse_edits(route, 400))
    change(page, "both.", "all.")
    expect(status(page)).to_have_text(
        "Not saved. Something went wrong on the server. Try again. If it happens again, tell whoever runs the server."
    )
    page.unroute(EDITS)
    page.get_by_role("button", name="Try again").click()
    expect_saved(page)
    assert "Thank you all." in texts(visitor, transcript)


def test_two_tabs_show_each_others_changes(page: Page, other: Page, transcript: str) -> None:
    change(page, "both.", "all.")
    expect(other.locator(".lines")).to_contain_text("Thank you all.")
    other.get_by_role("button", name="Speakers").click()
    other.get_by_label("Name of Speaker 1").fill("Anna")
    other.get_by_label("Name of Speaker 1").press("Enter")
    expect(page.locator(".lines")).to_contain_text("Anna")
    page.locator(".line").first.focus()
    page.keyboard.press("m")
    expect(other.locator(".line")).to_have_count(11)
    expect(other.get_by_role("button", name="Undo").first).to_be_enabled()  # its own naming


@pytest.mark.parametrize(
    ("choice", "kept"),
    [("Keep mine", "Thank you all."), ("Use the other", "Thank you three.")],
)
def test_a_line_that_both_tabs_changed_is_settled_by_the_person(
    page: Page, other: Page, transcript: str, visitor: Visitor, watch: Watch, choice: str, kept: str
) -> None:
    watch.allowed.append("status of 503")
    page.route(EDITS, lambda route: _refuse_edits(route, 503))
    change(page, "both.", "all.")
    change(other, "both.", "three.")
    expect_saved(other)
    page.unroute(EDITS)
    expect(page.get_by_text("This line was also changed in another tab:")).to_be_visible()
    expect(page.locator(".theirs")).to_have_text("Thank you three.")
    axe(page)
    picture(page, "editor-conflict")
    page.get_by_role("button", name=choice).click()
    expect_saved(page)
    expect(page.get_by_text("This line was also changed in another tab:")).to_have_count(0)
    wait_until(lambda: kept in texts(visitor, transcript))
    expect(other.locator(".lines")).to_contain_text(kept)


@pytest.mark.parametrize(("choice", "is_kept"), [("Keep mine", True), ("Delete it", False)])
def test_a_line_that_the_other_tab_deleted_is_settled_by_the_person(
    page: Page, other: Page, transcript: str, visitor: Visitor, watch: Watch, choice: str, is_kept: bool
) -> None:
    watch.allowed.append("status of 503")
    page.route(EDITS, lambda route: _refuse_edits(route, 503))
    change(page, "both.", "all.")
    other.locator(".line").nth(10).focus()
    other.keyboard.press("Delete")
    wait_until(lambda: len(texts(visitor, transcript)) == 11)
    page.unroute(EDITS)
    expect(page.get_by_text("This line was deleted in another tab.")).to_be_visible()
    page.get_by_role("button", name=choice, exact=True).click()
    expect_saved(page)
    expect(other.locator(".line")).to_have_count(12 if is_kept else 11)
    assert ("Thank you all." in texts(visitor, transcript)) == is_kept


def test_a_change_that_is_on_its_way_is_not_lost_to_what_the_other_tab_deleted(
    page: Page, other: Page, watch: Watch
) -> None:
    watch.allowed.append("status of 503")
    edits, questions = list[Route](), list[Route]()
    page.route(EDITS, lambda route: edits.append(route) if route.request.method == "PATCH" else route.fallback())
    page.route(CHANGES, lambda route: questions.append(route))
    with page.expect_request(CHANGES):
        other.locator(".line").nth(10).focus()
        other.keyboard.press("Delete")
    with page.expect_request(lambda request: request.method == "PATCH"):
        change(page, "both.", "all.")
    with page.expect_response(CHANGES):
        questions[0].continue_()
    page.unroute(CHANGES)
    _refuse_edits(edits[0], 503)
    page.unroute(EDITS)
    expect(page.get_by_text("This line was deleted in another tab.")).to_be_visible()
    expect(page.locator(".lines")).to_contain_text("Thank you all.")


def test_an_answer_that_is_older_than_the_last_save_changes_nothing(page: Page, other: Page) -> None:
    held: list[tuple[Route, APIResponse]] = []
    page.route(CHANGES, lambda route: route.fallback() if held else held.append((route, route.fetch())))
    with page.expect_request(CHANGES):
        change(other, "both.", "three.")
    change(page, "both.", "all.")
    keep_mine = page.get_by_role("button", name="Keep mine")
    expect(keep_mine).to_be_visible()
    with page.expect_response(lambda response: response.request.method == "PATCH"):
        keep_mine.click()
    expect_saved(page)
    route, answer = held[0]
    with page.expect_response(CHANGES):
        route.fulfill(response=answer)
    page.evaluate("() => fetch(location.href).then((later) => later.text())")  # by then the page has read the answer
    expect(page.locator(".lines")).to_contain_text("Thank you all.")
    expect(other.locator(".lines")).to_contain_text("Thank you all.")


def test_a_deleted_transcript_is_left(page: Page, transcript: str, visitor: Visitor, watch: Watch) -> None:
    watch.allowed.append("status of 404")  # the page may just be asking for changes
    visitor.fetch("DELETE", f"transcripts/{transcript}")
    expect(page).to_have_url(re.compile(r"#/$"))


def _refuse_edits(route: Route, status: int) -> None:
    if route.request.method != "PATCH":
        route.fallback()
        return
    route.fulfill(status=status, json={"error": {"message": "no", "type": "x", "code": None, "param": None}})


def test_the_servers_link_brings_the_transcripts_back_to_a_browser_that_lost_its_cookies(
    page: Page, context: BrowserContext, tmp_path: Path, watch: Watch
) -> None:
    watch.allowed += ["status of 403", "status of 404"]
    home = ScriptedHome(tmp_path)
    home.start()
    page.goto(home.owners_link)
    expect(page.get_by_text("Your transcripts will appear here")).to_be_visible()
    assert page.url == f"{home.url}#/"
    made = Visitor(context, home.url).transcribe(title="Kept")
    expect(page.get_by_role("link", name="Kept")).to_be_visible()
    used = home.owners_link
    home.restart()
    context.clear_cookies()
    page.goto(f"{home.url}#/t/{made}")
    page.reload()
    expect(page.get_by_role("heading", name="This transcript does not exist.")).to_be_visible()
    page.goto("about:blank")
    page.goto(home.owners_link)
    expect(page.get_by_role("link", name="Kept")).to_be_visible()
    page.goto("about:blank")
    page.goto(used)
    expect(page.get_by_text("This link has been used already.")).to_be_visible()
    expect(page.get_by_role("link", name="Kept")).to_be_visible()
    page.close()
    home.stop()
