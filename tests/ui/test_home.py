"""The first view of the page, as a person uses it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Dialog, Page, Route, expect

from tests.ui import transcripts
from tests.ui.browser import CLIPS, Look, Visitor, Watch, on_desk_and_phone, picture
from tests.ui.scripted import ScriptedHome, wait_until

PIECE = 1 << 20


@pytest.fixture
def home(page: Page, scripted: ScriptedHome) -> Page:
    page.goto(scripted.url)
    expect(page.get_by_role("heading", name="Transcripts", exact=True)).to_be_visible()
    return page


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    """Larger than several pieces."""
    path = tmp_path / "episode-12.wav"
    path.write_bytes(bytes(range(256)) * (5 * PIECE // 256))
    return path


def row(page: Page, title: str) -> Any:
    return page.get_by_role("list", name="Transcripts").get_by_role("listitem").filter(has_text=title)


def choose(page: Page, *paths: Path) -> None:
    page.get_by_label("Choose files", exact=True).set_input_files(paths)


def transcribe(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Transcribe")).click()


def options_of(scripted: ScriptedHome) -> dict[str, Any]:
    wait_until(lambda: scripted.transcriber.jobs)
    return dict(scripted.transcriber.jobs[-1].input["options"])


def drop(page: Page, *paths: Path) -> None:
    """Drop files and folders on the middle of the page, as the system does."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        if kind == "drop":
            picture(page, "dragging_files")
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 400, "data": data})


# In


@on_desk_and_phone
def test_many_files_at_once_become_transcripts(home: Page, scripted: ScriptedHome, look: Look) -> None:
    choose(home, CLIPS / "demo.ogg", CLIPS / "numbers.mp3")
    expect(home.get_by_role("list", name="Chosen recordings").get_by_role("listitem")).to_have_count(2)
    home.get_by_role("button", name="Transcribe 2 recordings").click()
    for title in ("demo", "numbers"):
        expect(row(home, title)).to_contain_text("Good morning, and welcome back")
        expect(row(home, title)).to_contain_text("1:18 · English · 3 speakers")
    expect(home.get_by_role("list", name="Chosen recordings")).to_be_hidden()
    row(home, "demo").get_by_role("link").click()
    expect(home).to_have_url(re.compile("#/t/"))


def test_a_chosen_file_is_removed_again(home: Page) -> None:
    choose(home, CLIPS / "demo.ogg", CLIPS / "numbers.mp3")
    home.get_by_role("button", name="Remove demo.ogg").click()
    expect(home.get_by_role("list", name="Chosen recordings")).to_have_text(re.compile("numbers"))
    expect(home.get_by_role("button", name="Transcribe", exact=True)).to_be_visible()


def test_the_same_file_counts_once(home: Page) -> None:
    choose(home, CLIPS / "demo.ogg")
    choose(home, CLIPS / "demo.ogg")
    expect(home.get_by_role("list", name="Chosen recordings").get_by_role("listitem")).to_have_count(1)


def test_nothing_chosen_is_said(home: Page) -> None:
    transcribe(home)
    expect(home.get_by_text("Choose a recording first.")).to_be_visible()


@pytest.fixture
def season(tmp_path: Path) -> Path:
    """A folder as a Mac leaves it, with a folder inside."""
    folder = tmp_path / "season"
    (folder / "extras").mkdir(parents=True)
    for name in ("one.mp3", "extras/two.MP4", "._one.mp3", ".DS_Store", "cover.jpg"):
        (folder / name).write_bytes(b"bytes of " + name.encode())
    return folder


def test_the_recordings_of_a_folder_are_chosen(home: Page, season: Path) -> None:
    home.get_by_label("Choose a folder", exact=True).set_input_files(season)
    expect(home.get_by_role("list", name="Chosen recordings").get_by_role("listitem")).to_have_count(2)
    expect(home.get_by_text("Skipped 1 file that is not audio or video.")).to_be_visible()


def test_files_and_folders_are_dropped_anywhere(home: Page, season: Path) -> None:
    drop(home, CLIPS / "demo.ogg", season)
    chosen = home.get_by_role("list", name="Chosen recordings")
    expect(chosen.get_by_role("listitem")).to_have_count(3)
    for name in ("demo.ogg", "one.mp3", "two.MP4"):
        expect(chosen).to_contain_text(name)
    expect(home.get_by_text("Drop to add")).to_be_hidden()


def test_files_dropped_on_a_transcript_lead_to_the_form(home: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    transcript = visitor.transcribe()
    home.goto(f"{scripted.url}#/t/{transcript}")
    expect(home.get_by_text("The mill is nearly finished")).to_be_visible()
    drop(home, CLIPS / "demo.ogg")
    expect(home.get_by_role("list", name="Chosen recordings")).to_contain_text("demo.ogg")


def test_several_addresses_become_transcripts(home: Page, scripted: ScriptedHome) -> None:
    home.get_by_role("tab", name="Address").click()
    home.get_by_label("Addresses of recordings").fill(
        "https://example.com/episode%2012.mp3\n\nhttps://example.com/a/b.wav "
    )
    home.get_by_role("button", name="Transcribe 2 recordings").click()
    expect(row(home, "episode 12")).to_contain_text("Good morning")
    expect(row(home, "b")).to_have_count(2)
    wait_until(lambda: len(scripted.transcriber.jobs) == 2)
    assert scripted.transcriber.jobs[0].input["audio"]["url"] == "https://example.com/episode%2012.mp3"


@pytest.mark.parametrize("address", ["example.com/a.mp3", "file:///etc/passwd", "javascript:alert(1)", "https://"])
def test_what_is_no_web_address_is_said(home: Page, address: str) -> None:
    home.get_by_role("tab", name="Address").click()
    home.get_by_label("Addresses of recordings").fill(address)
    transcribe(home)
    expect(
        home.get_by_text(f"“{address}” is not a web address. It should start with https:// or http://.")
    ).to_be_visible()


def test_an_empty_file_is_refused_at_once(home: Page, scripted: ScriptedHome, tmp_path: Path) -> None:
    (tmp_path / "nothing.mp3").touch()
    choose(home, tmp_path / "nothing.mp3")
    transcribe(home)
    expect(row(home, "nothing")).to_contain_text("The recording is empty. Check that it plays on your computer")
    row(home, "nothing").get_by_role("button", name="Remove").click()
    expect(row(home, "nothing")).to_have_count(0)
    assert not scripted.transcriber.jobs


def test_names_of_files_are_text(home: Page, tmp_path: Path) -> None:
    path = tmp_path / "<img src=x onerror=document.title='hacked'>.mp3"
    path.write_bytes(b"sound")
    choose(home, path)
    transcribe(home)
    expect(row(home, "<img src=x onerror=document.title='hacked'>")).to_contain_text("Good morning")
    assert "hacked" not in home.title().replace("onerror=document.title='hacked'", "")


# Microphone


@on_desk_and_phone
def test_the_microphone_is_recorded_with_a_level_and_pauses(home: Page, scripted: ScriptedHome, look: Look) -> None:
    home.get_by_role("tab", name="Microphone").click()
    home.get_by_role("button", name="Record").click()
    expect(home.get_by_role("meter")).to_have_attribute("aria-valuenow", re.compile(r"[2-9]\d"))
    picture(home, f"recording_{look.width}")
    expect(home.get_by_role("timer")).not_to_have_text("0:00")
    home.get_by_role("button", name="Pause").click()
    recorded = home.get_by_role("timer").inner_text()
    home.wait_for_timeout(1200)
    assert home.get_by_role("timer").inner_text() == recorded
    assert home.get_by_role("meter").get_attribute("aria-valuenow") == "0"
    home.get_by_role("button", name="Continue").click()
    home.wait_for_timeout(500)
    home.get_by_role("button", name="Stop").click()
    transcribe(home)
    expect(row(home, "Recording 20")).to_contain_text("Good morning")
    record = Visitor(home.context, scripted.url).ask("GET", "transcripts")["transcripts"][0]
    assert record["source"]["kind"] == "microphone"
    home.reload()
    expect(home.get_by_text("Not transcribed yet")).to_have_count(0)


def test_a_recording_survives_a_reload_in_the_middle(home: Page, scripted: ScriptedHome) -> None:
    home.get_by_role("tab", name="Microphone").click()
    home.get_by_role("button", name="Record").click()
    expect(home.get_by_role("timer")).to_have_text("0:03")
    home.once("dialog", lambda dialog: dialog.accept())
    home.reload()
    left = row(home, "Not transcribed yet")
    expect(left).to_have_count(1)
    picture(home, "recording_left_over")
    left.get_by_role("button", name="Transcribe").click()
    expect(row(home, "Recording 20")).to_contain_text("Good morning")
    wait_until(lambda: scripted.transcriber.jobs)
    size = Visitor(home.context, scripted.url).ask("GET", "transcripts")["transcripts"][0]["source"]["size"]
    assert size > 10_000, "two seconds of sound or more"
    home.reload()
    expect(row(home, "Not transcribed yet")).to_have_count(0)


def test_a_recording_ends_with_the_view_and_is_kept(home: Page, visitor: Visitor) -> None:
    visitor.transcribe()
    home.get_by_role("tab", name="Microphone").click()
    home.get_by_role("button", name="Record").click()
    expect(home.get_by_role("timer")).to_have_text("0:01")
    expect(home).to_have_title("Recording - Whisper")
    home.get_by_role("link", name="A talk").click()
    expect(home.get_by_text("The recording has ended, and is kept in your list of transcripts.")).to_be_visible()
    expect(home).to_have_title("A talk - Whisper")
    home.get_by_role("link", name="All transcripts").click()
    expect(row(home, "Not transcribed yet")).to_have_count(1)


def test_a_recording_that_was_put_aside_is_saved_or_deleted(home: Page) -> None:
    home.get_by_role("tab", name="Microphone").click()
    home.get_by_role("button", name="Record").click()
    expect(home.get_by_role("timer")).to_have_text("0:01")
    home.get_by_role("button", name="Stop").click()
    home.get_by_role("button", name=re.compile("^Remove Recording")).click()
    left = row(home, "Not transcribed yet")
    with home.expect_download() as download:
        left.get_by_role("button", name="Save as a file").click()
    assert download.value.suggested_filename.endswith(".webm")
    left.get_by_role("button", name="Delete").click()
    home.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(left).to_have_count(0)


def test_a_recording_whose_upload_is_cancelled_is_kept(home: Page) -> None:
    hold_pieces_after(home, 0)
    home.get_by_role("tab", name="Microphone").click()
    home.get_by_role("button", name="Record").click()
    expect(home.get_by_role("timer")).to_have_text("0:01")
    home.get_by_role("button", name="Stop").click()
    transcribe(home)
    row(home, "Uploading").get_by_role("button", name="Cancel").click()
    expect(row(home, "Not transcribed yet")).to_have_count(1)
    expect(row(home, "Recording 20")).to_have_count(1)


# Options and presets


def test_options_are_chosen_in_plain_words(home: Page, scripted: ScriptedHome) -> None:
    choose(home, CLIPS / "demo.ogg")
    language = home.get_by_role("combobox", name="Language")
    language.fill("deut")
    home.get_by_role("option", name="German (Deutsch)").click()
    home.get_by_label("Task").select_option("Translate to English")
    home.get_by_label("Speakers", exact=True).select_option("By voice")
    home.get_by_label("How many speakers").fill("2")
    home.get_by_label("Model").select_option("turbo")
    home.get_by_text("More options").click()
    home.get_by_label("Names and unusual words").fill("Zoltán, Aix-en-Provence\nRunPod")
    home.get_by_label("Hide personal data").check()
    home.get_by_label("Words to mask").fill("damn, heck")
    home.get_by_label("Style").select_option("Broadcast-style")
    home.get_by_label("Characters per line").fill("37")
    home.get_by_label("Only a part, from").fill("0:10")
    home.get_by_label("Only a part, to").fill("1:02:03.5")
    home.get_by_label("Audio track").fill(" 2 ")
    home.get_by_label("Reduce background noise").check()
    home.get_by_label("Other options, as JSON").fill('{"beam_size": 5}')
    transcribe(home)
    expect(row(home, "demo")).to_contain_text("Good morning")
    chosen = {
        "language": "de", "task": "translate", "diarize": True, "num_speakers": 2, "model": "turbo",
        "custom_vocabulary": ["Zoltán", "Aix-en-Provence", "RunPod"],
        "redact": ["card", "iban", "email", "phone", "ip"], "mask": ["damn", "heck"],
        "clip_timestamps": [[10, 3723.5]], "audio_track": "2", "denoise": True, "beam_size": 5,
    }  # fmt: skip
    assert {name: options_of(scripted).get(name) for name in chosen} == chosen
    # The page itself lays out subtitles, of the corrected text.
    record = Visitor(home.context, scripted.url).ask("GET", "transcripts")["transcripts"][0]
    assert (record["options"]["subtitle_preset"], record["options"]["max_line_width"]) == ("broadcast", 37)


def test_a_text_that_is_known_is_sent_once_and_what_was_not_said_is_struck_out(
    home: Page, scripted: ScriptedHome, tmp_path: Path
) -> None:
    answer = transcripts.talk()
    answer["transcription"]["segments"][2]["words"][1] |= {"probability": 0.0, "not_said": True}
    scripted.use(answer=answer)
    script = tmp_path / "script.srt"
    script.write_text("1\n00:00:01,000 --> 00:00:02,000\n<i>Good</i>\nmorning,\n\n", encoding="utf-16")
    choose(home, CLIPS / "demo.ogg", CLIPS / "numbers.mp3")
    home.get_by_text("More options").click()
    text = home.get_by_label("What is said", exact=True)
    home.get_by_label("Choose a file of text", exact=True).set_input_files(CLIPS / "demo.ogg")
    expect(home.get_by_text("demo.ogg cannot be read: it is neither UTF-8 nor UTF-16 text.")).to_be_visible()
    home.get_by_label("Choose a file of text", exact=True).set_input_files(script)
    expect(text).to_have_value("Good morning,")
    transcribe(home)
    expect(home.get_by_text("A text belongs to one recording")).to_be_visible()
    home.get_by_role("button", name="Remove numbers.mp3").click()
    text.fill("[ar:Ada]\n[00:01.00] Good morning.\n[00:05.50] Thank you &amp; all.")
    transcribe(home)
    expect(row(home, "demo")).to_contain_text("Good morning")
    assert options_of(scripted)["align"] == "Good morning.\nThank you &amp; all."
    expect(text).to_have_value("")
    row(home, "demo").get_by_role("link").click()
    expect(home.locator(".word.not-said")).to_have_text(["morning."])
    expect(home.locator(".word.not-said")).to_have_attribute("title", "Not said in the recording")


def test_nothing_is_asked_for_that_nobody_chose(home: Page, scripted: ScriptedHome) -> None:
    choose(home, CLIPS / "demo.ogg")
    transcribe(home)
    expect(row(home, "demo")).to_contain_text("Good morning")
    record = Visitor(home.context, scripted.url).ask("GET", "transcripts")["transcripts"][0]
    assert record["options"] == {}


def test_only_options_that_the_server_knows_are_shown(page: Page, scripted: ScriptedHome) -> None:
    def answer(route: Route) -> None:
        route.fulfill(
            json={"models": ["base"], "schemas": {"language": {"type": "string"}, "channels": {"type": "string"}}}
        )

    page.route("**/page/api/options", answer)
    page.goto(scripted.url)
    expect(page.get_by_role("combobox", name="Language")).to_be_visible()
    expect(page.get_by_label("Speakers", exact=True)).to_be_visible()
    for label in ("Model", "Task", "Names and unusual words", "Reduce background noise"):
        expect(page.get_by_label(label)).to_have_count(0)


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ("beam_size: 5", "This is not JSON."),
        ("[1]", "Use names and values in braces"),
        ('{"beam": 5}', "There is no option called beam."),
        ('{"beam_size": "many"}', "beam_size should be a whole number from 1 to 20."),
        ('{"beam_size": 21}', "beam_size should be a whole number from 1 to 20."),
        ('{"chunking": "x"}', 'chunking should be "vad", "sequential".'),
        ('{"language": "de"}', "language has a field above (“Language”): use that."),
        ('{"output_format": "srt"}', "The page sets output_format itself: remove it."),
    ],
)
def test_other_options_are_checked(home: Page, scripted: ScriptedHome, typed: str, error: str) -> None:
    choose(home, CLIPS / "demo.ogg")
    home.get_by_text("More options").click()
    home.get_by_label("Other options, as JSON").fill(typed)
    transcribe(home)
    expect(home.get_by_text(error)).to_be_visible()
    expect(home.get_by_label("Other options, as JSON")).to_be_focused()
    assert not scripted.transcriber.jobs


@pytest.mark.parametrize(
    ("label", "typed", "error"),
    [
        ("Only a part, from", "soon", "Enter times such as 1:30 or 1:02:03."),
        ("Only a part, to", "0", "The end has to come after the start."),
        ("Characters per line", "1.5", "Enter a whole number from 10 to 200."),
        ("Characters per line", "5", "Enter a whole number from 10 to 200."),
    ],
)
def test_a_wrong_field_is_shown_and_said(
    home: Page, scripted: ScriptedHome, label: str, typed: str, error: str
) -> None:
    choose(home, CLIPS / "demo.ogg")
    home.get_by_text("More options").click()
    home.get_by_label(label).fill(typed)
    home.get_by_text("More options").click()
    transcribe(home)
    expect(home.get_by_text(error)).to_be_visible()
    assert not scripted.transcriber.jobs


def test_the_language_is_chosen_by_keyboard(home: Page) -> None:
    language = home.get_by_role("combobox", name="Language")
    language.focus()
    home.keyboard.type("españ")
    home.keyboard.press("Enter")
    expect(language).to_have_value("Spanish (español)")
    home.keyboard.press("ArrowDown")
    home.keyboard.press("ArrowDown")
    home.keyboard.press("Escape")
    expect(language).to_have_value("Spanish (español)")
    home.keyboard.type("klingon")
    expect(home.get_by_text("No such language")).to_be_visible()
    home.keyboard.press("Tab")
    expect(language).to_have_value("Spanish (español)")
    language.fill("auto")
    home.keyboard.press("Enter")
    expect(language).to_have_value("Auto-detect")


def test_presets_are_kept_renamed_and_deleted(home: Page) -> None:
    home.get_by_label("Task").select_option("Translate to English")
    home.get_by_role("button", name="Presets").click()
    home.get_by_role("menuitem", name="Save as preset…").click()
    home.get_by_label("Name", exact=True).fill("Interviews")
    home.keyboard.press("Enter")
    home.get_by_label("Preset", exact=True).select_option("None")
    expect(home.get_by_label("Task")).to_have_value("")
    home.get_by_label("Preset", exact=True).select_option("Interviews")
    home.reload()
    expect(home.get_by_label("Preset", exact=True)).to_have_value("Interviews")
    expect(home.get_by_label("Task")).to_have_value("translate")
    home.get_by_role("button", name="Presets").click()
    home.get_by_role("menuitem", name="Rename…").click()
    home.get_by_label("Name", exact=True).fill("Talks")
    home.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(home.get_by_label("Preset", exact=True)).to_have_value("Talks")
    home.get_by_role("button", name="Presets").click()
    home.get_by_role("menuitem", name="Delete").click()
    expect(home.get_by_label("Preset", exact=True)).to_have_value("")
    home.get_by_role("button", name="Undo").click()
    expect(home.get_by_label("Preset", exact=True)).to_have_value("Talks")
    expect(home.get_by_label("Task")).to_have_value("translate")


# The list


@on_desk_and_phone
def test_progress_and_time_left_are_shown_and_the_tab_tells_them(
    home: Page, scripted: ScriptedHome, look: Look
) -> None:
    scripted.use(held=True, fraction=0.1)
    choose(home, CLIPS / "demo.ogg")
    transcribe(home)
    expect(row(home, "demo")).to_contain_text("Transcribing: 10%")
    home.wait_for_timeout(1500)
    scripted.transcriber.fraction = 0.42
    expect(row(home, "demo")).to_contain_text(re.compile(r"Transcribing: 42%, about \d+ s left"))
    expect(row(home, "demo").get_by_role("progressbar")).to_have_js_property("value", 0.42)
    expect(home).to_have_title("42% - demo")
    assert "data:image/svg" in str(home.locator("link[rel=icon]").get_attribute("href"))
    scripted.transcriber.held = False
    expect(row(home, "demo")).to_contain_text("Good morning")
    expect(home).to_have_title("Transcripts - Whisper")


def test_a_tab_in_the_background_tells_the_end(home: Page, scripted: ScriptedHome) -> None:
    scripted.use(held=True)
    choose(home, CLIPS / "demo.ogg")
    transcribe(home)
    expect(home).to_have_title(re.compile("% - demo"))
    hide(home, True)
    scripted.transcriber.held = False
    expect(home).to_have_title("Done - demo")
    hide(home, False)
    expect(home).to_have_title("Transcripts - Whisper")


def hide(page: Page, hidden: bool) -> None:
    """What a tab sees when another one is chosen: headless Chromium has all of them in front."""
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


@pytest.mark.parametrize("asked", [True, False], ids=["asked", "not asked"])
def test_a_notification_comes_only_if_asked_for(
    context: BrowserContext, page: Page, scripted: ScriptedHome, asked: bool
) -> None:
    context.add_init_script(
        "window.shown = []; window.Notification = class {"
        " constructor(title, {body}) { shown.push(`${title}: ${body}`); }"
        " static permission = 'granted'; static requestPermission = async () => 'granted'; };"
    )
    page.goto(scripted.url)
    scripted.use(held=True)
    if asked:
        page.get_by_role("button", name="Notify me").click()
        expect(page.get_by_role("button", name="Notify me")).to_have_attribute("aria-pressed", "true")
    choose(page, CLIPS / "demo.ogg")
    transcribe(page)
    expect(page).to_have_title(re.compile("% - demo"))
    hide(page, True)
    scripted.transcriber.held = False
    expect(page).to_have_title("Done - demo")
    assert page.evaluate("shown") == (["Transcript ready: demo"] if asked else [])


def test_a_job_is_cancelled_and_tried_again(home: Page, scripted: ScriptedHome) -> None:
    scripted.use(held=True)
    choose(home, CLIPS / "demo.ogg")
    transcribe(home)
    expect(row(home, "demo")).to_contain_text("Transcribing")
    row(home, "demo").get_by_role("button", name="Cancel").click()
    expect(row(home, "demo")).to_contain_text("Cancelled")
    wait_until(lambda: scripted.transcriber.cancelled == 1)
    scripted.transcriber.held = False
    row(home, "demo").get_by_role("button", name="Try again").click()
    expect(row(home, "demo")).to_contain_text("Good morning")


def test_a_job_that_failed_by_its_options_is_tried_with_others(home: Page, scripted: ScriptedHome) -> None:
    scripted.use(
        answer=transcripts.failure("InvalidInput", "the model tiny.en knows English only: for German use base")
    )
    choose(home, CLIPS / "demo.ogg")
    transcribe(home)
    expect(row(home, "demo")).to_contain_text("Choose another model or another language")
    scripted.use()
    home.get_by_label("Model").select_option("turbo")
    row(home, "demo").get_by_role("button", name="Use the form's options").click()
    expect(row(home, "demo")).to_contain_text("Good morning")
    assert options_of(scripted)["model"] == "turbo"


@pytest.mark.parametrize(
    ("error_type", "message", "shown"),
    [
        ("UnsupportedMedia", "the file is a PDF", "This is not a recording that can be read. Choose an"),
        ("InvalidInput", "audio.base64: string should have at least 1 character", "The recording is empty."),
        ("InvalidInput", "options.language: no language that Whisper knows",
         "“Language”: no language that Whisper knows. Change"),
        ("DownloadFailed", "the URL answers with HTTP status 404", "The recording at that address is not available."),
        ("OutOfMemory", "CUDA out of memory", "The server ran out of memory. Try again later"),
        ("Internal", "KeyError: 'x'", "Something went wrong on the server."),
    ],
)  # fmt: skip
def test_errors_say_what_to_do(home: Page, scripted: ScriptedHome, error_type: str, message: str, shown: str) -> None:
    scripted.use(answer=transcripts.failure(error_type, message))
    choose(home, CLIPS / "demo.ogg")
    transcribe(home)
    expect(row(home, "demo")).to_contain_text(shown)
    for internal in ("base64", "options.", "KeyError", "CUDA"):
        expect(row(home, "demo")).not_to_contain_text(internal)


def test_a_recording_without_speech_is_said(home: Page, scripted: ScriptedHome) -> None:
    scripted.use(answer=transcripts.no_words())
    choose(home, CLIPS / "silence.flac")
    transcribe(home)
    expect(row(home, "silence")).to_contain_text("No speech was found in this recording.")


def test_deleting_asks_first(home: Page, visitor: Visitor) -> None:
    visitor.transcribe(title="A talk")
    row(home, "A talk").get_by_role("button", name="Delete").click()
    dialog = home.get_by_role("dialog")
    expect(dialog).to_contain_text("Delete “A talk”?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(row(home, "A talk")).to_have_count(1)
    row(home, "A talk").get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(row(home, "A talk")).to_have_count(0)
    assert visitor.ask("GET", "transcripts")["transcripts"] == []


def test_titles_are_searched(home: Page, visitor: Visitor) -> None:
    for title in ("Ada on engines", "Charles on mills"):
        visitor.transcribe(title=title)
    expect(row(home, "on")).to_have_count(2)
    home.get_by_label("Search titles").fill("ADA")
    expect(row(home, "on")).to_have_count(1)
    home.get_by_label("Search titles").fill("nobody")
    expect(home.get_by_text("No title contains “nobody”.")).to_be_visible()


def test_all_tabs_show_the_same_list(
    home: Page, context: BrowserContext, scripted: ScriptedHome, visitor: Visitor
) -> None:
    other = context.new_page()
    other.goto(scripted.url)
    transcript = visitor.transcribe(title="A talk")
    for tab in (home, other):
        expect(row(tab, "A talk")).to_contain_text("Good morning")
    visitor.fetch("DELETE", f"transcripts/{transcript}")
    for tab in (home, other):
        expect(row(tab, "A talk")).to_have_count(0)


def test_the_list_is_there_after_a_reload_and_a_restart(home: Page, scripted: ScriptedHome, watch: Watch) -> None:
    watch.allowed.append("Failed to load resource|net::ERR")
    scripted.use(held=True)
    choose(home, CLIPS / "demo.ogg")
    transcribe(home)
    expect(row(home, "demo")).to_contain_text("Transcribing")
    scripted.stop()
    expect(home.get_by_text("Connection lost. Reconnecting…")).to_be_visible()
    picture(home, "connection_lost")
    scripted.start()
    expect(home.get_by_text("Connection lost")).to_be_hidden()
    scripted.transcriber.held = False
    expect(row(home, "demo")).to_contain_text("Good morning")
    home.reload()
    expect(row(home, "demo")).to_contain_text("Good morning")


@pytest.mark.parametrize("look", [Look(390)], ids=["phone"])
def test_on_a_phone_the_form_folds_away_when_a_job_starts(home: Page, look: Look) -> None:
    choose(home, CLIPS / "demo.ogg")
    transcribe(home)
    expect(row(home, "demo")).to_contain_text("Good morning")
    expect(home.get_by_role("button", name=re.compile("^Transcribe"))).to_be_hidden()
    expect(row(home, "demo")).to_be_in_viewport()
    home.get_by_text("New transcript").click()
    expect(home.get_by_role("button", name=re.compile("^Transcribe"))).to_be_visible()


# Uploads


def hold_pieces_after(page: Page, count: int) -> list[str]:
    """Let some pieces of the first upload through, and none after them; returns the addresses of those that came."""
    seen: list[str] = []

    def pass_some(route: Route) -> None:
        if route.request.method == "PUT" and path_of(route.request.url) == path_of((seen or [route.request.url])[0]):
            seen.append(route.request.url)
            if len(seen) > count:
                return
        route.continue_()

    def path_of(url: str) -> str:
        return url.partition("?")[0]

    page.route("**/page/api/uploads/*", pass_some)
    return seen


def test_an_upload_goes_on_where_a_reload_stopped_it(home: Page, scripted: ScriptedHome, big_file: Path) -> None:
    seen = hold_pieces_after(home, 1)
    choose(home, big_file)
    transcribe(home)
    expect(row(home, "episode-12")).to_contain_text("Uploading: 20%")
    expect(home).to_have_title("Uploading 20% - episode-12")
    asked: list[str] = []

    def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    home.once("dialog", leave)
    home.reload()
    assert asked == ["beforeunload"]
    expect(row(home, "episode-12")).to_contain_text("Stopped at 20%")
    picture(home, "upload_interrupted")
    home.unroute_all(behavior="ignoreErrors")
    seen = hold_pieces_after(home, 100)
    with home.expect_file_chooser() as chooser:
        row(home, "episode-12").get_by_role("button", name="Choose the file").click()
    chooser.value.set_files(big_file)
    expect(row(home, "episode-12")).to_contain_text("Good morning")
    assert seen[0].endswith(f"offset={PIECE}")
    kept = scripted.transcriber.jobs[-1].upload
    assert kept
    assert kept.read_bytes() == big_file.read_bytes()


def test_an_interrupted_upload_is_discarded(home: Page, big_file: Path) -> None:
    hold_pieces_after(home, 1)
    choose(home, big_file)
    transcribe(home)
    expect(row(home, "episode-12")).to_contain_text("Uploading: 20%")
    home.once("dialog", lambda dialog: dialog.accept())
    home.reload()
    row(home, "episode-12").get_by_role("button", name="Discard").click()
    expect(row(home, "episode-12")).to_have_count(0)
    home.reload()
    expect(home.get_by_text("Your transcripts will appear here")).to_be_visible()


def test_an_upload_is_cancelled(home: Page, big_file: Path, scripted: ScriptedHome) -> None:
    hold_pieces_after(home, 1)
    choose(home, big_file, CLIPS / "demo.ogg")
    transcribe(home)
    expect(row(home, "episode-12")).to_contain_text("Uploading: 20%")
    expect(row(home, "demo")).to_contain_text("Waiting to be uploaded")
    row(home, "episode-12").get_by_role("button", name="Cancel").click()
    expect(row(home, "episode-12")).to_have_count(0)
    expect(row(home, "demo")).to_contain_text("Good morning")
    assert len(scripted.transcriber.jobs) == 1


# The page itself


def test_the_password_is_asked_for_and_forgotten_again(locked: ScriptedHome, page: Page) -> None:
    page.goto(locked.url)
    page.get_by_label("Password").fill("guess")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Wrong password.")).to_be_visible()
    picture(page, "log_in")
    page.get_by_label("Password").fill("open sesame")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="New transcript")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="New transcript")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Password")).to_be_visible()


def test_all_scripts_are_fetched_in_one_round_trip(home: Page) -> None:
    loaded = "performance.getEntriesByType('resource').map(({name}) => name).filter((name) => name.endsWith('.js'))"
    preloaded = "[...document.querySelectorAll('link[rel=modulepreload], script')].map(({href, src}) => href ?? src)"
    assert sorted(set(home.evaluate(loaded))) == sorted(home.evaluate(preloaded))


def test_the_theme_is_chosen_and_kept(home: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = home.evaluate(background)
    home.get_by_role("button", name="Theme").click()
    home.get_by_role("menuitemradio", name="Dark").click()
    assert home.evaluate(background) != light
    home.reload()
    assert home.evaluate(background) != light
    home.get_by_role("button", name="Theme").click()
    home.get_by_role("menuitemradio", name="System").click()
    assert home.evaluate(background) == light


def test_an_unknown_transcript_is_said_and_leads_home(page: Page, scripted: ScriptedHome, watch: Watch) -> None:
    watch.allowed.append("status of 404")
    page.goto(f"{scripted.url}#/t/nothing")
    expect(page.get_by_role("heading", name="This transcript does not exist.")).to_be_visible()
    page.get_by_role("link", name="All transcripts").click()
    expect(page.get_by_role("heading", name="New transcript")).to_be_visible()
