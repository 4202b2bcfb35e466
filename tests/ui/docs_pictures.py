"""Takes the pictures of the page in `docs/`, from the scripted server.

`.venv/bin/python -m tests.ui.docs_pictures`
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.ui import transcripts
from tests.ui.browser import CLIPS, ROOT, Visitor
from tests.ui.scripted import ScriptedHome

DOCS = ROOT / "docs"
NAMES = {"SPEAKER_00": "Mary", "SPEAKER_01": "Ada", "SPEAKER_02": "Charles"}


def main() -> None:
    """Write `docs/page-home.png`, `page-editor.png` and `page-phone.png`."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = ScriptedHome(Path(folder))
        home.start()
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        desk = browser.new_context(viewport={"width": 1280, "height": 720})
        talk = fill(home, desk)
        take_home(desk, home)
        take_editor(desk, home, talk)
        take_phone(browser, desk, home, talk)
        browser.close()
        home.stop()


def fill(home: ScriptedHome, context: BrowserContext) -> str:
    """Some transcripts, one with names, one that failed and one at work; the id of the first."""
    visitor = Visitor(context, home.url)
    home.use(answer=transcripts.failure("UnsupportedMedia", "the file is a PDF, not a recording"))
    failed = visitor.begin(CLIPS / "demo.ogg", "Minutes of the board")
    visitor.wait_for(failed, ["failed"])
    home.use(answer=transcripts.unnamed())
    visitor.transcribe(title="A visit to the mill")
    home.use()
    talk = visitor.transcribe(title="Talking machines, episode 12")
    visitor.ask("PATCH", f"transcripts/{talk}", {"editor": "pictures", "speakers": NAMES})
    home.use(held=True, fraction=0.36)
    visitor.wait_for(visitor.begin(title="Talking machines, episode 13"), ["working"])
    return talk


def take_home(context: BrowserContext, home: ScriptedHome) -> None:
    page = context.new_page()
    page.goto(home.url)
    page.get_by_text("36").first.wait_for()
    save(page, "page-home")


def take_editor(context: BrowserContext, home: ScriptedHome, talk: str) -> None:
    page = context.new_page()
    open_editor(page, home, talk)
    position = page.get_by_role("slider", name="Position in the recording")
    position.press("ArrowRight")
    position.blur()
    save(page, "page-editor")


def take_phone(browser: Browser, desk: BrowserContext, home: ScriptedHome, talk: str) -> None:
    phone = browser.new_context(
        viewport={"width": 390, "height": 760},
        color_scheme="dark",
        has_touch=True,
        is_mobile=True,
        storage_state=desk.storage_state(),
    )
    page = phone.new_page()
    open_editor(page, home, talk)
    save(page, "page-phone")


def open_editor(page: Page, home: ScriptedHome, talk: str) -> None:
    page.goto(f"{home.url}#/t/{talk}")
    page.get_by_role("list", name="Transcript").wait_for()
    page.wait_for_timeout(3000)  # the waveform is made on demand


def save(page: Page, name: str) -> None:
    page.screenshot(path=DOCS / f"{name}.png", animations="disabled", caret="hide")


if __name__ == "__main__":
    main()
