"""Going from view to view: nothing waits for what is slow, nothing is lost, nothing stays behind."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.ui.browser import Visitor, Watch
from tests.ui.scripted import ScriptedHome, wait_until


@pytest.fixture
def transcript(page: Page, scripted: ScriptedHome, visitor: Visitor) -> str:
    """A transcript that is open in the tab, which came from the list."""
    made = visitor.transcribe(title="A talk")
    page.goto(scripted.url)
    open_transcript(page)
    return made


def open_transcript(page: Page) -> None:
    page.get_by_role("link", name="A talk").click()
    expect(page.locator(".line")).to_have_count(12)


def expect_list(page: Page) -> None:
    expect(page.get_by_role("heading", name="Transcripts")).to_be_visible()


class Held:
    """Requests from now on, which wait until they are let go."""

    def __init__(self, page: Page, address: str) -> None:
        self._page = page
        self._waiting: list[Route] | None = []
        page.route(address, self._take)

    def _take(self, route: Route) -> None:
        if self._waiting is None:
            route.continue_()
        else:
            self._waiting.append(route)

    def wait(self) -> None:
        """Until there is one."""
        while not self._waiting:
            self._page.wait_for_timeout(20)

    def let_go(self) -> None:
        waiting, self._waiting = self._waiting or [], None
        for route in waiting:
            route.continue_()


def test_a_view_that_does_not_come_is_left(page: Page, scripted: ScriptedHome, visitor: Visitor, watch: Watch) -> None:
    watch.allowed.append("ERR_")
    visitor.transcribe(title="A talk")
    page.goto(scripted.url)
    held = Held(page, "**/document")
    page.get_by_role("link", name="A talk").click()
    held.wait()
    page.go_back()
    expect_list(page)
    held.let_go()
    page.wait_for_timeout(300)
    expect_list(page)
    expect(page.locator(".editor")).to_have_count(0)


def test_a_job_that_ends_while_its_view_is_loading_is_shown_as_done(
    page: Page, scripted: ScriptedHome, visitor: Visitor
) -> None:
    scripted.use(held=True)
    made = visitor.begin()
    page.goto(scripted.url)
    held = Held(page, "**/document")
    page.goto(f"{scripted.url}#/t/{made}")
    held.wait()
    scripted.use()
    visitor.wait_for(made, ["done"])
    page.wait_for_timeout(300)
    held.let_go()
    expect(page.get_by_label("Title")).to_be_visible()
    expect(page.locator(".line")).to_have_count(12)


def type_title(page: Page) -> None:
    page.get_by_label("Title").fill("Another talk")


def type_speaker(page: Page) -> None:
    page.get_by_role("button", name="Speakers", exact=True).click()
    page.get_by_label("Name of Speaker 1").fill("Anna")


def type_line(page: Page) -> None:
    page.locator(".word").get_by_text("both.", exact=True).dblclick()
    page.keyboard.type("all.")


def type_cue(page: Page) -> None:
    page.get_by_role("button", name="Subtitles").click()
    page.get_by_role("button", name=re.compile("Edit: .*both")).click()
    page.get_by_label(re.compile("Text at")).fill("Thank you all.")


@pytest.mark.parametrize("typing", [type_title, type_speaker, type_line, type_cue])
@pytest.mark.parametrize("leave", [Page.go_back, Page.close, Page.reload])
def test_what_is_being_typed_is_kept_when_one_leaves(
    page: Page,
    transcript: str,
    visitor: Visitor,
    typing: Callable[[Page], None],
    leave: Callable[[Page], object],
) -> None:
    typing(page)
    leave(page)
    texts: dict[Callable[[Page], None], str] = {type_title: "Another talk", type_speaker: "Anna"}
    typed = texts.get(typing, "all.")
    paths = [f"transcripts/{transcript}", f"transcripts/{transcript}/document"]
    wait_until(lambda: any(typed in str(visitor.ask("GET", path)) for path in paths))


def test_nothing_of_a_view_stays_open(page: Page, transcript: str) -> None:
    page.locator(".line").first.focus()
    page.keyboard.press("Delete")
    expect(page.get_by_role("button", name="Undo").last).to_be_visible()
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Transcribe again").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    expect_list(page)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_text("Line deleted")).to_have_count(0)  # nothing is left that could undo it


def test_views_leave_nothing_behind(page: Page, transcript: str) -> None:
    """As the browser counts: elements, listeners and memory."""
    browser = page.context.new_cdp_session(page)

    def visit(times: int) -> dict[str, float]:
        for _ in range(times):
            page.get_by_role("button", name="Subtitles").click()
            expect(page.locator(".cue").first).to_be_visible()
            page.get_by_role("link", name="All transcripts").click()
            expect_list(page)
            open_transcript(page)
        browser.send("HeapProfiler.enable")
        browser.send("HeapProfiler.collectGarbage")
        browser.send("HeapProfiler.collectGarbage")
        counters: dict[str, float] = browser.send("Memory.getDOMCounters")
        return counters

    before, after = visit(3), visit(6)
    assert after["jsEventListeners"] <= before["jsEventListeners"] * 1.05
    assert after["nodes"] <= before["nodes"] * 1.05
