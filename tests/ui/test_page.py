"""The page in a browser: from the upload of a file to the download of a corrected transcript."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from docx import Document
from playwright.sync_api import Locator, Page, expect

from tests.ui.actor import HOSTILE, SUBTITLES
from tests.ui.conftest import CLIPS, KEY, TIMEOUT_S, Server

pytestmark = pytest.mark.process

PHONE = {"width": 390, "height": 844}


def open_page(page: Page, server: Server) -> Page:
    page.goto(server.address)
    expect(button(page, "Transcribe")).to_be_disabled()
    expect(page.locator("#hint")).to_have_text("Drop a file above, or choose one.")
    return page


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def job_status(page: Page) -> Locator:
    """The page's message about the job; Gradio has a status element of its own."""
    return page.locator("#job-status").get_by_role("status")


def upload(page: Page, clip: str | Path) -> None:
    path = CLIPS / clip
    page.locator("#upload input[type=file]").set_input_files(path)
    expect(page.locator("#upload")).to_contain_text(path.stem)


def transcribe(page: Page, clip: str | Path = "demo.ogg", **options: object) -> Locator:
    """The lines of the complete transcript."""
    upload(page, clip)
    set_options(page, **options)
    button(page, "Transcribe").click()
    expect(page.locator("#files")).to_be_visible()
    return page.locator("#lines .line")


def set_options(page: Page, **options: object) -> None:
    if options:
        open_more_options(page)
        page.get_by_label("Other options (JSON)").fill(json.dumps(options))


def choose(page: Page, field: str, choice: str) -> None:
    page.get_by_label(field, exact=True).click()
    page.get_by_role("option", name=choice).click()


def open_more_options(page: Page) -> None:
    page.get_by_role("button", name="More options").click()


def text_of(line: Locator) -> Locator:
    return line.locator(".text")


def download(page: Page, suffix: str) -> bytes:
    with page.expect_download() as started:
        button(page, f"↓ {suffix}").click()
    assert started.value.suggested_filename == f"demo.{suffix}"
    return Path(started.value.path()).read_bytes()


def wait_until(page: Page, condition: str) -> None:
    page.wait_for_function(condition, timeout=TIMEOUT_S * 1000)


PLAYER = "document.getElementById('player')"
SPOKEN = "[...(CSS.highlights.get('spoken-word') ?? [])].map(String).join()"


def test_a_file_becomes_a_transcript_whose_spoken_word_is_highlighted(page: Page, whisper: Server) -> None:
    open_page(page, whisper)
    upload(page, "long.ogg")
    button(page, "Transcribe").click()
    expect(job_status(page).get_by_role("progressbar")).to_be_visible()
    expect(page.locator("#files")).to_be_visible()
    expect(job_status(page)).to_contain_text("Done: 78 s of audio")
    lines = page.locator("#lines .line")
    expect(lines.filter(has_text="water froze")).to_have_count(1)

    line = lines.filter(has_text="water froze")
    text_of(line).click(position={"x": 5, "y": 8})
    wait_until(page, f"!{PLAYER}.paused && {PLAYER}.currentTime > {line.get_attribute('data-start')}")
    expect(line).to_have_attribute("aria-current", "true")
    wait_until(page, f"{SPOKEN} == 'winter,' || {SPOKEN} == 'water'")


def test_a_local_worker_needs_no_key(page: Page, serve: Server) -> None:
    lines = transcribe(open_page(page, serve))
    expect(lines.first).to_contain_text("quick brown fox")


def test_a_video_plays_next_to_its_transcript(page: Page, whisper: Server) -> None:
    lines = transcribe(open_page(page, whisper), "video.mp4")
    expect(lines).to_have_text([re.compile("moving test pattern")])
    wait_until(page, f"{PLAYER}.tagName == 'VIDEO' && {PLAYER}.videoWidth > 0")


@pytest.mark.parametrize("choice", ["Subtitle track", "Burned in"])
def test_a_captioned_video_can_be_downloaded_and_burned_in_captions_are_shown(
    page: Page, whisper: Server, choice: str
) -> None:
    open_page(page, whisper)
    upload(page, "video.mp4")
    choose(page, "Captions", choice)
    button(page, "Transcribe").click()
    expect(page.locator("#files")).to_be_visible()
    with page.expect_download() as started:
        page.get_by_role("link", name="↓ video").or_(button(page, "↓ video")).first.click()
    assert started.value.suggested_filename == "video.captioned.mp4"
    film = Path(started.value.path()).read_bytes()
    assert film[4:8] == b"ftyp"
    assert (b"moving test pattern" in film) == (choice == "Subtitle track")
    expect(page.locator("#player")).to_have_attribute(
        "src", re.compile(r"video\.mp4$" if choice == "Subtitle track" else r"video\.captioned\.mp4$")
    )
    wait_until(page, f"{PLAYER}.videoWidth > 0")


def test_a_stereo_call_has_a_speaker_per_channel(page: Page, whisper: Server, call: Path) -> None:
    open_page(page, whisper)
    upload(page, call)
    choose(page, "Speakers", "One per channel")
    button(page, "Transcribe").click()
    expect(page.locator("#files")).to_be_visible()
    for channel, name in ((1, "Anna"), (2, "Ben")):
        page.get_by_label(f"Name of Channel {channel}").fill(name)
    line = page.locator("#lines .line").filter(has_text="lazy dog")
    expect(line.locator(".speaker")).to_have_text("Ben")
    expect(page.locator("#lines .line").last.locator(".speaker")).to_have_text("Anna")
    text_of(line).click(position={"x": 5, "y": 8})
    wait_until(page, f"{SPOKEN} == 'brown'")


def test_speakers_are_identified_and_can_be_named(page: Page, whisper: Server) -> None:
    open_page(page, whisper)
    upload(page, "dialogue.ogg")
    choose(page, "Speakers", "Identify by voice")
    button(page, "Transcribe").click()
    expect(page.locator("#files")).to_be_visible()
    speakers = page.locator("#lines .line .speaker")
    shown = dict.fromkeys(speakers.all_inner_texts())
    assert len([name for name in shown if name]) == 3  # awb, slt and kal16: see dialogue.rttm
    page.get_by_label("Name of Speaker 1").fill("Ada")
    expect(speakers.first).to_have_text("Ada")


def test_the_microphone_is_transcribed(page: Page, whisper: Server) -> None:
    open_page(page, whisper)
    page.get_by_role("tab", name="Microphone").click()
    page.get_by_role("button", name="Record").click()
    wait_until(page, "document.querySelector('#microphone').innerText.match(/0:0[4-9]/)")
    expect(page.locator("#hint")).to_have_text("Press Stop to finish and upload the recording.")
    expect(button(page, "Transcribe")).to_be_disabled()
    page.get_by_role("button", name="Stop").click()
    button(page, "Transcribe").click()  # waits until the button is enabled
    expect(page.locator("#lines")).to_contain_text(re.compile("months|year|week"))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1/a.mp3", "public"),
        ("javascript:alert(1)", "A URL starts with http:// or https://."),
    ],
)
def test_a_url_that_cannot_be_downloaded_is_reported(page: Page, whisper: Server, url: str, sentence: str) -> None:
    open_page(page, whisper)
    page.get_by_role("tab", name="URL").click()
    page.get_by_label("Media URL").fill(url)
    button(page, "Transcribe").click()
    expect(page.get_by_role("alert")).to_contain_text(sentence)


def test_the_button_is_disabled_without_a_recording(page: Page, actor: Server) -> None:
    open_page(page, actor)
    upload(page, "demo.ogg")
    expect(button(page, "Transcribe")).to_be_enabled()
    expect(page.locator("#hint")).to_have_text("")
    page.get_by_role("tab", name="URL").click()
    expect(page.locator("#hint")).to_have_text("Paste the URL of an audio or video file.")
    expect(button(page, "Transcribe")).to_be_disabled()
    page.get_by_label("Media URL").fill("https://example.com/a.mp3")
    expect(button(page, "Transcribe")).to_be_enabled()
    page.get_by_label("Media URL").fill(" ")
    expect(button(page, "Transcribe")).to_be_disabled()
    page.get_by_role("tab", name="File").click()
    expect(button(page, "Transcribe")).to_be_enabled()


def test_a_file_that_is_not_a_recording_causes_an_error_and_the_page_stays_usable(page: Page, whisper: Server) -> None:
    open_page(page, whisper)
    upload(page, "long.txt")
    button(page, "Transcribe").click()
    expect(page.get_by_role("alert")).to_have_text("long.txt is not a recording: it is text.")
    expect(button(page, "Stop")).to_be_hidden()
    page.get_by_label("Remove this file").or_(page.get_by_label("Clear")).first.click()
    lines = transcribe(page)
    expect(lines.first).to_contain_text("quick brown fox")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_an_unknown_option_is_reported(page: Page, whisper: Server) -> None:
    open_page(page, whisper)
    upload(page, "demo.ogg")
    set_options(page, beam_sise=5)
    button(page, "Transcribe").click()
    expect(page.get_by_role("alert")).to_contain_text("beam_size")


def test_options_reach_the_worker(page: Page, actor: Server) -> None:
    open_page(page, actor)
    upload(page, "demo.ogg")
    page.get_by_label("Language").click()
    page.get_by_role("option", name="German").click()
    set_options(page, script="options", beam_size=5)
    page.get_by_label("Names and terms to expect").fill("Zoltán")
    page.get_by_label("Reduce background noise").check()
    page.get_by_label("Broadcast-style subtitles").check()
    button(page, "Transcribe").click()
    expect(page.locator("#files")).to_be_visible()
    assert json.loads(page.locator("#lines .text").inner_text()) == {
        "language": "de",
        "initial_prompt": "Zoltán",
        "denoise": True,
        "subtitle_preset": "broadcast",
        "script": "options",
        "beam_size": 5,
        "output_format": ["json", "srt", "vtt"],
        "word_timestamps": True,
    }


def test_segments_are_shown_before_the_job_ends(page: Page, actor: Server, tmp_path: Path) -> None:
    open_page(page, actor)
    upload(page, "demo.ogg")
    set_options(page, script="talk", wait_for=str(tmp_path / "finish"))
    button(page, "Transcribe").click()
    lines = page.locator("#lines .line")
    expect(lines).to_have_count(1)
    expect(page.locator("#lines")).to_have_attribute("aria-busy", "true")
    expect(page.locator("#files")).to_be_hidden()
    (tmp_path / "finish").touch()
    expect(lines).to_have_count(3)
    expect(page.locator("#lines")).to_have_attribute("aria-busy", "false")


def test_stop_ends_the_job(page: Page, actor: Server, tmp_path: Path) -> None:
    open_page(page, actor)
    upload(page, "demo.ogg")
    set_options(page, script="talk", wait_for=str(tmp_path / "finish"))
    button(page, "Transcribe").click()
    expect(page.locator("#lines .line")).to_have_count(1)
    button(page, "Stop").click()
    expect(job_status(page)).to_have_text("Stopped.")
    expect(button(page, "Transcribe")).to_be_enabled()


def test_every_download_contains_a_correction(page: Page, actor: Server) -> None:
    lines = transcribe(open_page(page, actor), script="talk")
    assert download(page, "srt").decode() == SUBTITLES
    text_of(lines.nth(1)).hover()
    lines.nth(1).get_by_role("button", name="Edit").click()
    lines.nth(1).get_by_role("textbox").fill("Of course, have some tea.")
    assert "Of course, have some tea.\n" in download(page, "srt").decode()
    assert "Of course, have some tea.\n" in download(page, "vtt").decode()
    assert "Speaker 2: Of course, have some tea.\n" in download(page, "txt").decode()
    segment = json.loads(download(page, "json"))["segments"][1]
    assert (segment["text"], [word["word"] for word in segment["words"]][-1]) == (" Of course, have some tea.", " tea.")
    document = Document(io.BytesIO(download(page, "docx")))
    assert "0:03  Speaker 2: Of course, have some tea." in [paragraph.text for paragraph in document.paragraphs]


def test_speakers_have_colours_and_can_be_named(page: Page, actor: Server) -> None:
    lines = transcribe(open_page(page, actor), script="talk")
    names = lines.locator(".speaker")
    expect(names).to_have_text(["Speaker 1", "Speaker 2", "Speaker 1"])
    colours = names.evaluate_all("all => all.map(name => getComputedStyle(name).color)")
    assert colours[0] == colours[2] != colours[1]
    page.get_by_label("Name of Speaker 1").fill("Anna <3")
    expect(names).to_have_text(["Anna <3", "Speaker 2", "Anna <3"])
    assert "Anna <3: Thank you very much." in download(page, "srt").decode()


def test_the_page_works_with_the_keyboard_alone(page: Page, actor: Server) -> None:
    lines = transcribe(open_page(page, actor), script="talk")
    button(page, "Transcribe").focus()
    for _ in range(30):
        if page.evaluate("document.activeElement.matches('#lines .time')"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    wait_until(page, f"{PLAYER}.currentTime >= 3")
    page.keyboard.press("F2")
    page.keyboard.press("End")
    page.keyboard.type(" Please.")
    page.keyboard.press("Enter")
    expect(text_of(lines.nth(1))).to_have_text("Of course, have a seat. Please.")
    page.keyboard.press("F2")
    page.keyboard.type(" Never")
    page.keyboard.press("Escape")
    expect(text_of(lines.nth(1))).to_have_text("Of course, have a seat. Please.")


def test_markup_and_scripts_in_texts_are_shown_as_text(page: Page, actor: Server) -> None:
    lines = transcribe(open_page(page, actor), script="hostile")
    expect(text_of(lines)).to_have_text(HOSTILE)
    expect(lines.locator(".speaker")).to_have_text("<b>SPEAKER</b>")
    text_of(lines).click()
    wait_until(page, f"{PLAYER}.currentTime > 0")
    assert page.evaluate("window.hacked") is None
    lines.get_by_role("button", name="Edit").click()
    lines.get_by_role("textbox").fill(HOSTILE.replace("end", "<script>window.hacked = 5</script>"))
    page.keyboard.press("Enter")
    assert "&lt;script&gt;window.hacked = 5" in download(page, "vtt").decode()
    assert page.evaluate("window.hacked") is None


def test_a_long_transcript_scrolls_to_the_current_line(page: Page, actor: Server) -> None:
    lines = transcribe(open_page(page, actor), "long.ogg", script="long")
    expect(lines).to_have_count(3000)
    page.evaluate(f"{PLAYER}.currentTime = 75")
    expect(lines.nth(25)).to_have_attribute("aria-current", "true")
    expect(lines.nth(25)).to_be_in_viewport()


def test_the_key_stays_on_the_server(page: Page, actor: Server) -> None:
    transcribe(open_page(page, actor), script="talk")
    assert KEY not in page.content() + page.request.get(f"{actor.address}/config").text()


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_a_phone_needs_no_horizontal_scrolling(page: Page, actor: Server) -> None:
    lines = transcribe(open_page(page, actor), script="talk")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    text_of(lines.last).click()
    wait_until(page, f"{PLAYER}.currentTime > 5.9")
    lines.last.scroll_into_view_if_needed()
