"""Files of one conversation, a speaker on each: chosen, named, sent, transcribed as one, and played as one."""

from __future__ import annotations

import shutil
import wave
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.ui.browser import CLIPS, Visitor, axe, picture
from tests.ui.scripted import ScriptedHome, wait_until

QUESTION = "These are one conversation, a track for each speaker"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two tracks, of which the second one is sent in several pieces."""
    ada, ben = tmp_path / "2026-05-01 talk_ada.ogg", tmp_path / "2026-05-01 talk_ben.wav"
    shutil.copy(CLIPS / "demo.ogg", ada)
    with wave.open(str(ben), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(5 << 20))
    return [ada, ben]


def test_files_of_one_conversation_become_one_transcript(
    page: Page, scripted: ScriptedHome, visitor: Visitor, files: list[Path]
) -> None:
    page.goto(scripted.url)
    row = page.get_by_role("list", name="Transcripts").get_by_role("listitem").filter(has_text="Ada, Ben")
    choose = page.get_by_label("Choose files", exact=True)
    choose.set_input_files(files[:1])
    expect(page.get_by_label(QUESTION)).to_be_hidden()
    choose.set_input_files(files[1:])
    start = page.get_by_role("button", name="Transcribe 2 recordings")
    expect(start).to_be_visible()
    speakers = page.get_by_label("Speakers", exact=True)
    speakers.select_option("By voice")
    page.get_by_label(QUESTION).check()
    expect(speakers).to_be_disabled()
    expect(page.get_by_label("How many speakers")).to_be_hidden()
    ada, ben = (page.get_by_label(f"Speaker of {file.name}") for file in files)
    expect(ada).to_have_value("ada")
    expect(ben).to_have_value("ben")
    start_of_ben = page.get_by_label(f"Start of {files[1].name}, in seconds")
    start_of_ben.fill("soon")
    axe(page, ".new")
    for width in (1280, 390):
        for colours in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=colours)
            picture(page, f"tracks_chosen_{width}_{colours}")
    page.set_viewport_size({"width": 1280, "height": 800})
    ada.fill("Ada")
    ben.fill("Ada")
    page.get_by_role("button", name="Transcribe", exact=True).click()
    expect(page.get_by_text("“Ada” is the name of two tracks. Give each its own.")).to_be_visible()
    ben.fill("Ben")
    page.get_by_role("button", name="Transcribe", exact=True).click()
    expect(
        page.get_by_text("The start of “Ben” should be in seconds, such as 2.5, and at most 12 hours.")
    ).to_be_visible()
    start_of_ben.fill("1,5")

    # A reload in the second file, after which both are chosen again.
    sent: list[str] = []

    def hold(route: Route) -> None:
        sent.append(route.request.url)
        if route.request.method != "PUT" or len(set(sent)) < 3:
            route.continue_()

    page.route("**/page/api/uploads/*", hold)
    page.get_by_role("button", name="Transcribe", exact=True).click()
    expect(row).to_contain_text("Uploading: 2")
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(row).to_contain_text("Choose the same files again (Ada, Ben) to continue there.")
    page.unroute_all(behavior="ignoreErrors")
    scripted.use(answer={"error": "audio.1 (Ben): the file has no audio track", "error_type": "UnsupportedMedia"})
    with page.expect_file_chooser() as chooser:
        row.get_by_role("button", name="Choose the files").click()
    chooser.value.set_files(files)
    expect(row).to_contain_text("Ben: The file has no sound.")

    [job] = scripted.transcriber.jobs
    assert [(track.name, Path(track.recording).read_bytes(), track.offset) for track in job.tracks] == [
        ("Ada", files[0].read_bytes(), None),
        ("Ben", files[1].read_bytes(), 1.5),
    ]
    assert "diarize" not in job.input["options"]
    [record] = visitor.ask("GET", "transcripts")["transcripts"]
    scripted.use()
    visitor.ask("POST", f"transcripts/{record['id']}/retry", {})
    visitor.wait_for(record["id"], ("done",), 300)
    expect(row).to_contain_text("Good morning, and welcome back")
    row.get_by_role("link").click()
    page.get_by_role("button", name="Play", exact=True).click()
    wait_until(lambda: page.evaluate("document.querySelector('audio').currentTime > 0.2"))
    assert page.evaluate("document.querySelector('audio').duration") == pytest.approx((5 << 20) / 32_000, abs=0.1)


def test_addresses_can_be_tracks_of_a_conversation(page: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    page.goto(scripted.url)
    page.get_by_role("tab", name="Address").click()
    addresses = [f"https://example.org/talk%20{name}.mp3" for name in ("ada", "ben")]
    page.get_by_label("Addresses of recordings").fill("\n".join([*addresses, addresses[0]]))
    expect(page.get_by_role("button", name="Transcribe 2 recordings")).to_be_visible()
    page.get_by_label(QUESTION).check()
    expect(page.get_by_label("Speaker of talk ada.mp3")).to_have_value("ada")
    page.get_by_label("Speaker of talk ben.mp3").fill("O’Brien")
    page.get_by_label("Start of talk ben.mp3, in seconds").fill("2")
    picture(page, "tracks_by_address")
    page.get_by_role("button", name="Transcribe", exact=True).click()
    row = page.get_by_role("list", name="Transcripts").get_by_role("listitem").filter(has_text="ada, O’Brien")
    expect(row).to_contain_text("Good morning, and welcome back")
    [job] = scripted.transcriber.jobs
    assert [(track.name, track.recording, track.offset) for track in job.tracks] == [
        ("ada", addresses[0], None),
        ("O’Brien", addresses[1], 2.0),
    ]
