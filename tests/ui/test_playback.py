"""The recording, when its server cannot be reached."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.ui.browser import Visitor, Watch
from tests.ui.scripted import ScriptedHome, wait_until

MEDIA = "document.querySelector('video, audio')"


def test_a_recording_that_could_not_be_loaded_is_loaded_when_the_server_is_back(
    page: Page, scripted: ScriptedHome, visitor: Visitor, watch: Watch
) -> None:
    watch.allowed.append("ERR_")
    made = visitor.transcribe()
    page.goto(scripted.url)
    addresses = ("**/media", "**/media?copy=playable", f"**/page/api/transcripts/{made}")
    for address in addresses:
        page.route(address, lambda route: route.abort())
    page.get_by_role("link", name="A talk").click()
    expect(page.locator(".line")).to_have_count(12)
    page.wait_for_timeout(1000)
    expect(page.get_by_text("This browser cannot play the recording.")).to_be_hidden()
    for address in addresses:
        page.unroute(address)
    wait_until(lambda: page.evaluate(MEDIA + ".readyState > 0"))
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    wait_until(lambda: page.evaluate(MEDIA + ".currentTime > 0.2"))
