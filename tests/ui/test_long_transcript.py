"""A transcript of ten hours: only what is seen is in the DOM, and everything in it can be reached."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.ui import transcripts
from tests.ui.browser import ARTEFACTS, Look, Visitor, on_desk_and_phone
from tests.ui.scripted import ScriptedHome

LINES = 10_000
MOST_ROWS = 80
MOST_ELEMENTS = 3000

SCROLL = """async () => {
    const list = document.querySelector('.lines-scroller');
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    const times = [];
    let rows = 0, elements = 0, gaps = 0;
    for (let step = 0, last = performance.now(); step < 180; step += 1) {
        list.scrollTop += step % 45 === 44 ? 60_000 : 120;
        await frame();
        const now = performance.now();
        times.push(now - last);
        last = now;
        rows = Math.max(rows, list.querySelectorAll('.line').length);
        elements = Math.max(elements, document.querySelectorAll('*').length);
    }
    await frame();
    const {top, bottom, left} = list.getBoundingClientRect();
    for (let y = top + 20; y < bottom - 20; y += 10) {
        gaps += document.elementFromPoint(left + list.clientWidth / 2, y).closest('.line') === null;
    }
    times.sort((one, other) => one - other);
    return {rows, elements, gaps, median: times[90], most: times.at(-1)};
}"""


@pytest.fixture
def long(page: Page, scripted: ScriptedHome, visitor: Visitor) -> str:
    """The transcript, opened in the tab."""
    scripted.use(answer=transcripts.ten_hours())
    transcript = visitor.transcribe()
    page.goto(f"{scripted.url}#/t/{transcript}")
    expect(page.get_by_role("listitem").first).to_be_visible()
    return transcript


@on_desk_and_phone
def test_only_what_is_seen_is_in_the_dom_while_scrolling(page: Page, long: str, look: Look) -> None:
    found: dict[str, Any] = page.evaluate(SCROLL)
    ARTEFACTS.mkdir(exist_ok=True)
    (ARTEFACTS / f"scrolling-{look.width}.json").write_text(json.dumps(found))
    print(f"{look.width} px: frames of {found['median']:.1f} ms in the median, {found['most']:.1f} ms at most")
    assert 5 < found["rows"] <= MOST_ROWS
    assert found["elements"] <= MOST_ELEMENTS
    assert found["gaps"] == 0


def test_screen_readers_hear_where_a_line_is_among_all(page: Page, long: str) -> None:
    first = page.get_by_role("listitem").first
    expect(first).to_have_attribute("aria-posinset", "1")
    expect(first).to_have_attribute("aria-setsize", str(LINES))


def test_the_last_line_and_the_first_are_a_key_away(page: Page, long: str) -> None:
    page.locator(".line").first.focus()
    page.keyboard.press("End")
    expect(page.locator(".line:focus")).to_contain_text(f"Line {LINES - 1} has")
    expect(page.locator(".line:focus")).to_be_in_viewport(ratio=1)
    page.keyboard.press("PageUp")
    expect(page.locator(".line:focus")).to_contain_text(re.compile(r"Line 99[4-9]\d has"))
    page.keyboard.press("Home")
    expect(page.locator(".line:focus")).to_contain_text("Line 0 has")


def test_a_link_leads_to_a_line_far_down(page: Page, long: str, scripted: ScriptedHome) -> None:
    page.goto(f"{scripted.url}#/t/{long}/00007000")
    expect(page.locator(".line:focus")).to_contain_text("Line 7000 has")
    expect(page.locator(".line:focus")).to_be_in_viewport(ratio=1)


def test_lines_in_sight_stay_where_they_are_when_those_above_change(page: Page, long: str, visitor: Visitor) -> None:
    page.locator(".lines-scroller").evaluate("(list) => { list.scrollTop = 100_000 }")
    seen = page.locator(".line").filter(has_text=re.compile(r"Line \d+ has")).nth(25)
    text = seen.inner_text()
    row = page.locator(".line", has_text=re.search(r"Line \d+ has", text)[0])  # type: ignore[index]
    before = row.bounding_box()
    line = visitor.ask("GET", f"transcripts/{long}/document")["lines"][3]
    line["words"] = [[" word", line["start"], line["end"], None]] * 300
    edits = {"editor": "another", "lines": [{**line, "based_on": line["revision"]}], "title": "Changed"}
    visitor.ask("PATCH", f"transcripts/{long}", edits)
    expect(page.get_by_label("Title")).to_have_value("Changed")
    after = row.bounding_box()
    assert before
    assert after
    assert abs(before["y"] - after["y"]) <= 1


def test_a_name_changes_in_ten_thousand_lines_at_once(page: Page, long: str, visitor: Visitor) -> None:
    page.get_by_role("button", name="Speakers").click()
    page.get_by_role("button", name="Merge Speaker 3").click()
    page.get_by_role("menuitem", name="Same person as Speaker 1").click()
    expect(page.get_by_label("Name of Speaker 3")).to_have_count(0)
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    lines = visitor.ask("GET", f"transcripts/{long}/document")["lines"]
    assert {line["speaker"] for line in lines} == {"SPEAKER_00", "SPEAKER_01"}
