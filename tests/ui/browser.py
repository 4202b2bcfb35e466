"""What tests of the page share: how it is looked at, what nobody may see in it, and what its server is asked for."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import APIResponse, BrowserContext, ConsoleMessage, Page, Request

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / "tests" / "data"
ARTEFACTS = Path(__file__).parent / "artefacts"

STANDARDS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
"""Rules of axe: WCAG 2.2 AA, and those that have no number there (https://www.deque.com/axe/core-documentation/)."""


class Look(NamedTuple):
    """How wide the window is, in pixels, and its colours."""

    width: int = 1280
    colours: Literal["light", "dark"] = "light"


LOOKS = [Look(width, colours) for width in (1280, 390) for colours in ("light", "dark")]

in_all_looks = pytest.mark.parametrize("look", LOOKS, ids=lambda look: f"{look.width}-{look.colours}")
"""Runs a test of `page` at both widths, in light and dark."""

on_desk_and_phone = pytest.mark.parametrize("look", [Look(1280), Look(390)], ids=["desk", "phone"])
"""Runs a test of `page` at both widths."""


@dataclass
class Watch:
    """What goes wrong in a browser's tabs.

    Attributes:
        allowed: regular expressions of messages in the console that a test expects, such as `status of 409`.
    """

    allowed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        """Watch all tabs of a context."""
        context.on("request", self._check_address)
        context.on("console", self._check_message)
        context.on("weberror", lambda error: self.errors.append(f"uncaught: {error.error}"))

    def check(self) -> None:
        """Fail if there was an error, a violation of the policy, or a request to another machine."""
        errors = [error for error in self.errors if not any(re.search(pattern, error) for pattern in self.allowed)]
        requests = [f"asked another machine for {address}" for address in self.elsewhere]
        assert not errors + requests, "\n".join(errors + requests)

    def _check_address(self, request: Request) -> None:
        if not re.match(r"(http://(127\.0\.0\.1|localhost)[:/]|data:|blob:)", request.url):
            self.elsewhere.append(request.url)

    def _check_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "assert") or "Content Security Policy" in message.text:
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")


def axe(page: Page, context: str | None = None) -> None:
    """Fail with what axe finds against the standards.

    Args:
        page: to look at.
        context: selector of the part to look at; None: all of it.
    """
    options = {"runOnly": list(STANDARDS), "resultTypes": ["violations"]}
    found = Axe().run(page, context, options).response["violations"]
    sentences = [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {node['html'][:200]}\n{node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]
    assert not sentences, "\n\n".join(sentences)


def picture(page: Page, name: str) -> Path:
    """Save what can be seen of a page; returns the file."""
    ARTEFACTS.mkdir(exist_ok=True)
    path = ARTEFACTS / (re.sub(r"[^\w.-]+", "_", name).strip("_") + ".png")
    page.screenshot(path=path)
    return path


class Visitor:
    """Asks the server for what a tab would, with the tab's cookies: quicker than by hand where the page is not tested.

    Args:
        context: of the browser, whose tabs then see the transcripts.
        url: of the page, with a slash at the end.
    """

    def __init__(self, context: BrowserContext, url: str) -> None:
        self._context = context
        self._url = f"{url}page/api/"

    def fetch(self, method: str, path: str, **rest: Any) -> APIResponse:
        """Send a request to a path below `page/api/`."""
        headers = {"x-requested-by": "page", **rest.pop("headers", {})}
        return self._context.request.fetch(f"{self._url}{path}", method=method, headers=headers, **rest)

    def ask(self, method: str, path: str, data: Any = None, **rest: Any) -> Any:
        """The JSON that a request is answered with."""
        response = self.fetch(method, path, data=data, **rest)
        assert response.ok, f"{method} {path}: {response.status} {response.text()}"
        return response.json()

    def upload(self, recording: Path) -> str:
        """Upload a recording; returns the upload's id."""
        self.ask("GET", "session")
        content = recording.read_bytes()
        wanted = {"name": recording.name, "size": len(content), "fingerprint": f"{time.monotonic_ns():064x}"}
        upload = self.ask("POST", "uploads", wanted)["id"]
        kind = {"content-type": "application/octet-stream"}
        self.ask("PUT", f"uploads/{upload}?offset=0", content, headers=kind)
        return str(upload)

    def begin(self, recording: Path = CLIPS / "long.ogg", title: str = "A talk", **options: Any) -> str:
        """Start a transcription; returns the transcript's id."""
        wanted = {"upload": self.upload(recording), "options": options, "title": title}
        return str(self.ask("POST", "transcripts", wanted)["id"])

    def transcribe(self, recording: Path = CLIPS / "long.ogg", title: str = "A talk", **options: Any) -> str:
        """Transcribe a recording; returns the transcript's id."""
        transcript = self.begin(recording, title, **options)
        record = self.wait_for(transcript, ("done", "failed", "cancelled"))
        assert record["state"] == "done", record["error"]
        return transcript

    def wait_for(self, transcript: str, states: Sequence[str], seconds: float = 60.0) -> dict[str, Any]:
        """The record of a transcript once it has one of the states."""
        end = time.monotonic() + seconds
        while True:
            record: dict[str, Any] = self.ask("GET", f"transcripts/{transcript}")
            if record["state"] in states:
                return record
            assert time.monotonic() < end, f"still {record['state']} after {seconds:.0f} s"
            time.sleep(0.05)
