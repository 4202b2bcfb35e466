"""The page in each of its homes, with a real worker, as a person uses it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Error, Page, Response, expect

from tests.ui.browser import CLIPS, Visitor, Watch
from tests.ui.homes import KEY, Home, ffmpeg

pytestmark = [pytest.mark.model, pytest.mark.slow]

HOMES = ("whisper", "bridge", "bridge_to_one_worker")
SERVER_AWAY = r"ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE"
"""What the browser's console says about requests to a server that is being started again."""


@pytest.fixture
def home(request: pytest.FixtureRequest) -> Home:
    found: Home = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def minutes_of_speech(tmp_path: Path) -> Path:
    """A recording that takes the worker some seconds."""
    path = tmp_path / "minutes.ogg"
    ffmpeg("-stream_loop", "1", "-i", CLIPS / "long.ogg", "-c", "copy", path)
    return path


def transcribe(page: Page, recording: Path) -> None:
    """Choose a file, and start."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files").click()
    chooser.value.set_files(recording)
    page.get_by_role("button", name="Transcribe", exact=True).click()


def text_of(page: Page) -> str:
    """The transcript that is open."""
    return " ".join(page.get_by_role("list", name="Transcript").locator("p").all_inner_texts())


@pytest.mark.parametrize("home", HOMES, indirect=True)
def test_a_person_transcribes_corrects_and_downloads(page: Page, home: Home) -> None:
    page.goto(home.url)
    transcribe(page, CLIPS / "demo.ogg")
    page.get_by_role("link", name="demo").click(timeout=60_000)
    expect(page.get_by_role("list", name="Transcript")).to_contain_text("quick brown fox", timeout=60_000)
    page.get_by_role("button", name="Edit 0:00").click()
    field = page.get_by_role("textbox", name="Text at 0:00")
    field.fill(field.input_value().replace("quick brown", "slow white"))
    field.press("Enter")
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_role("list", name="Transcript")).to_contain_text("slow white fox")
    page.get_by_role("button", name="Download", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name=re.compile("^Text")).click()
    assert "slow white fox" in Path(download.value.path()).read_text()


@pytest.mark.parametrize("home", ["whisper", "bridge"], indirect=True)
def test_a_job_survives_a_restart_of_the_server(
    page: Page, context: BrowserContext, home: Home, watch: Watch, minutes_of_speech: Path
) -> None:
    watch.allowed.append(SERVER_AWAY)
    page.goto(home.url)
    visitor = Visitor(context, home.url)
    transcript = visitor.begin(minutes_of_speech, "Minutes")
    visitor.wait_for(transcript, ["working"])
    home.restart()
    assert visitor.ask("GET", f"transcripts/{transcript}")["state"] in ("waiting", "working")
    page.get_by_role("link", name="Minutes").click()
    expect(page.get_by_role("button", name="Download", exact=True)).to_be_visible(timeout=240_000)
    assert visitor.wait_for(transcript, ["done"])["duration"] > 150
    assert len(text_of(page)) > 200


def test_the_endpoints_key_is_nowhere_in_what_the_browser_receives(
    page: Page, context: BrowserContext, bridge: Home, watch: Watch
) -> None:
    watch.allowed.append(r"favicon\.ico")  # Chromium asks for one beside the API's own answers
    transcript = Visitor(context, bridge.url).transcribe(CLIPS / "demo.ogg")
    responses: list[Response] = []
    page.on("response", lambda response: responses.append(response))
    page.goto(f"{bridge.url}#/t/{transcript}")
    expect(page.get_by_role("list", name="Transcript")).to_contain_text("quick brown fox")
    seen = [page.content(), *received(responses)]
    for path in ("docs", "openapi.json", "health", "metrics", "v1/models"):
        responses.clear()
        page.goto(f"{bridge.url}{path}")
        seen += [page.content(), *received(responses)]
    assert any('"lines"' in text and "brown" in text for text in seen)
    kept = [json.dumps(context.storage_state()), "".join(bridge.log)]
    assert not [text for text in [*seen, *kept] if KEY in text]


def received(responses: Sequence[Response]) -> Iterator[str]:
    """Heads of answers, and the bodies of those that are texts and end."""
    for response in responses:
        yield f"{response.url} {json.dumps(response.headers)}"
        if re.match("text/(?!event-stream)|application/json", response.headers.get("content-type", "")):
            with suppress(Error):  # of a redirection
                yield response.text()
