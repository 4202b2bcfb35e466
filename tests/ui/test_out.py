"""What leaves the page: downloads, copies, links to lines, and print."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from docx import Document
from playwright.sync_api import Locator, Page, Route, expect
from pypdf import PdfReader

from tests.ui import transcripts
from tests.ui.browser import CLIPS, Look, Visitor, axe, in_all_looks, on_desk_and_phone, picture
from tests.ui.modules import run_module
from tests.ui.scripted import ScriptedHome

FIRST = "Good morning, and welcome back to the programme."
SECOND = "With me today are Ada Lovelace and Charles Babbage."
LAST = "Thank you, and good morning."
CORRECTED = "Good evening, and welcome back to the programme."

FORMATS = {
    "Word (.docx)": "docx", "Text (.txt)": "txt", "SubRip (.srt)": "srt", "WebVTT (.vtt)": "vtt",
    "SubStation (.ass)": "ass", "EBU-TT-D (.ttml)": "ttml", "EBU STL (.stl)": "stl", "Lyrics (.lrc)": "lrc",
    "Table (.tsv)": "tsv", "JSON (.json)": "json", "RTTM (.rttm)": "rttm",
}  # fmt: skip


AN_HOUR = transcripts.answer(
    [transcripts.Turn(f"SPEAKER_0{at // 7 % 3}", f"Line {at} is one of a thousand.") for at in range(1000)],
    seconds=3600,
)


def open_transcript(page: Page, home: ScriptedHome, transcript: str, line: str = "") -> None:
    page.goto(f"{home.url}#/t/{transcript}{line and f'/{line}'}")
    expect(page.get_by_role("list", name="Transcript")).to_be_visible()


@pytest.fixture
def talk(page: Page, scripted: ScriptedHome, visitor: Visitor) -> str:
    """A transcript that is open: its id."""
    transcript = visitor.transcribe()
    open_transcript(page, scripted, transcript)
    return transcript


def item(page: Page, menu: str, name: str) -> Locator:
    """An item of a menu, which is opened."""
    page.get_by_role("button", name=menu, exact=True).click()
    return page.get_by_role("menuitem", name=re.compile(f"^{re.escape(name)}"))


def download(page: Page, name: str) -> tuple[str, bytes]:
    """A file's name and content."""
    with page.expect_download() as started:
        item(page, "Download", name).click()
    return started.value.suggested_filename, Path(started.value.path()).read_bytes()


def correct(page: Page) -> None:
    """Change the first line, without waiting until it is saved."""
    line = page.get_by_role("list", name="Transcript").get_by_role("listitem").first
    line.get_by_role("button", name="Edit").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(CORRECTED)
    page.keyboard.press("Enter")


READERS: dict[str, Callable[[bytes], str]] = {
    "docx": lambda content: "\n".join(paragraph.text for paragraph in Document(io.BytesIO(content)).paragraphs),
    "stl": lambda content: re.sub(r"[\x8a\x8f]+", " ", content.decode("iso-8859-1")),  # line breaks and filling
    "json": lambda content: " ".join(segment["text"] for segment in json.loads(content)["segments"]),
}


@pytest.mark.parametrize(("name", "suffix"), FORMATS.items(), ids=FORMATS.values())
def test_each_file_has_the_corrected_text(page: Page, talk: str, name: str, suffix: str) -> None:
    correct(page)
    file_name, content = download(page, name)
    text = READERS.get(suffix, bytes.decode)(content)
    assert file_name == f"A talk.{suffix}"
    if suffix == "rttm":
        assert len(text.splitlines()) == len(transcripts.TALK)
        return
    spoken = re.sub(r"\{.*?\}|<.*?>", "", text)  # times of words
    assert "Good evening, and welcome" in spoken
    assert "Good morning, and welcome" not in spoken
    assert LAST in spoken


def test_a_word_document_marks_the_words_that_the_editor_marks(page: Page, talk: str) -> None:
    _, content = download(page, "Word with marks (.docx)")
    runs = [run for paragraph in Document(io.BytesIO(content)).paragraphs for run in paragraph.runs]
    assert [run.text for run in runs if run.underline] == ["Marked words", "having", "mill", "wheels.", "government"]


def test_what_a_file_cannot_hold_is_told(page: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    scripted.use(answer=transcripts.japanese())
    open_transcript(page, scripted, visitor.transcribe())
    download(page, "EBU STL (.stl)")
    told = page.get_by_role("status").filter(has_text=re.compile("^Stl has no letters for \\d+ characters of the text"))
    expect(told).to_be_in_viewport(ratio=1)
    expect(told).to_contain_text("ttml has all")


def test_all_files_come_as_one(page: Page, talk: str) -> None:
    correct(page)
    file_name, content = download(page, "All files (.zip)")
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert file_name == "A talk.zip"
    assert {Path(name).suffix[1:] for name in archive.namelist()} == set(FORMATS.values())
    assert CORRECTED in archive.read("A talk.txt").decode()


def test_subtitles_come_in_the_style_of_the_view(page: Page, talk: str) -> None:
    page.get_by_role("button", name="Subtitles").click()
    page.get_by_label("Layout").select_option("Broadcast")
    page.get_by_label("Colour speakers").check()
    _, coloured = download(page, "SubRip (.srt)")
    assert b'<font color="#FFFF00">Speaker 2: ' in coloured
    page.get_by_label("Colour speakers").uncheck()
    start = page.get_by_label("Start of the recording in .stl")
    start.fill("10:00:00:25")
    expect(page.get_by_text("such as 10:00:00:00, up to 23:59:59:24")).to_be_visible()
    page.get_by_label("Frames per second of .stl").select_option("30 frames/s")
    expect(page.get_by_text("such as 10:00:00:00, up to")).to_be_hidden()
    picture(page, "subtitle-style")
    _, stl = download(page, "EBU STL (.stl)")
    assert (stl[3:11], stl[256:264]) == (b"STL30.01", b"10000025")
    _, content = download(page, "SubRip (.srt)")
    lines = [line for line in content.decode().splitlines() if line]
    assert all(len(line) <= 42 for line in lines)
    assert "Speaker 1: Good morning, and welcome back" in content.decode()


def test_without_speakers_there_are_no_speaker_times(page: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    scripted.use(answer=transcripts.unnamed())
    open_transcript(page, scripted, visitor.transcribe())
    expect(item(page, "Download", "RTTM")).to_be_disabled()


@pytest.mark.parametrize(("kind", "suffix"), [("With a subtitle track", "mp4"), ("With burned-in subtitles", "mp4")])
def test_a_video_comes_with_its_subtitles(
    page: Page, scripted: ScriptedHome, visitor: Visitor, kind: str, suffix: str
) -> None:
    open_transcript(page, scripted, visitor.transcribe(CLIPS / "video.mp4"))
    file_name, content = download(page, kind)
    assert file_name.startswith("A talk")
    assert Path(file_name).suffix[1:] in (suffix, "mkv")
    assert len(content) > 10_000


@pytest.fixture
def video_answer(page: Page, scripted: ScriptedHome, visitor: Visitor) -> dict[str, object]:
    """What the server says of the captioned video of the transcript that is open."""
    transcript = visitor.transcribe(CLIPS / "video.mp4")
    record = visitor.ask("GET", f"transcripts/{transcript}")
    said: dict[str, object] = {}

    def answer(route: Route) -> None:
        video = {"captions": "burn", "revision": 1, **said} if route.request.method == "POST" else None
        route.fulfill(status=202, json={**record, "video": video})

    page.route("**/video", answer)
    open_transcript(page, scripted, transcript)
    return said


@on_desk_and_phone
def test_a_video_that_is_being_made_can_be_cancelled(page: Page, video_answer: dict[str, object]) -> None:
    video_answer.update(state="working", fraction=0.4)
    lines = page.get_by_role("list", name="Transcript")
    place = lines.bounding_box()
    item(page, "Download", "With burned-in subtitles").click()
    expect(page.get_by_text("Making the video… 40%")).to_be_in_viewport(ratio=1)
    assert lines.bounding_box() == place  # what is read does not move
    page.get_by_role("button", name="Cancel the video").click()
    expect(page.get_by_text("Making the video")).to_be_hidden()


def test_a_video_that_fails_is_told(page: Page, video_answer: dict[str, object]) -> None:
    video_answer.update(state="failed", error="the disk is full")
    item(page, "Download", "With burned-in subtitles").click()
    expect(page.get_by_role("status").filter(has_text="The video could not be made. The disk is full.")).to_be_visible()


def test_what_a_video_has_lost_is_told(page: Page, video_answer: dict[str, object]) -> None:
    video_answer.update(state="done", fraction=1, suffix=".mkv", warnings=["the captioned video is a .mkv file"])
    with page.expect_download():
        item(page, "Download", "With burned-in subtitles").click()
    expect(page.get_by_role("status").filter(has_text="The captioned video is a .mkv file.")).to_be_visible()


def test_sound_has_no_captioned_video(page: Page, talk: str) -> None:
    page.get_by_role("button", name="Download", exact=True).click()
    expect(page.get_by_role("menuitem", name="All files")).to_be_visible()
    expect(page.get_by_role("menuitem", name=re.compile("^With a subtitle track"))).to_have_count(0)


COPIES = {
    "Text": f"{FIRST}\n{SECOND}\n",
    "Text with times": f"0:00  {FIRST}\n0:06  {SECOND}\n",
    "Text with speakers": f"Speaker 1: {FIRST} {SECOND}\n\nSpeaker 2: Good",
    "Text with speakers and times": f"0:00  Speaker 1: {FIRST} {SECOND}\n\n0:13  Speaker 2: Good",
}


@pytest.mark.parametrize(("name", "beginning"), COPIES.items(), ids=COPIES)
def test_the_text_is_copied(page: Page, talk: str, name: str, beginning: str) -> None:
    page.get_by_role("button", name="Copy", exact=True).click()
    page.get_by_role("menuitem", name=name, exact=True).click()
    expect(page.get_by_role("status").filter(has_text=f"{name} copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(beginning)
    assert copied.endswith(LAST)


def test_text_is_copied_where_the_clipboard_is_not_offered(page: Page, talk: str) -> None:
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.get_by_role("button", name="Copy", exact=True).click()
    page.get_by_role("menuitem", name="Text", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="Text copied")).to_be_visible()
    page.evaluate("delete navigator.clipboard")
    pasted = page.context.new_page()
    pasted.goto("data:text/html,<textarea autofocus></textarea>")
    pasted.locator("textarea").focus()
    pasted.keyboard.press("ControlOrMeta+v")
    assert pasted.locator("textarea").input_value().startswith(FIRST)
    pasted.close()


def test_japanese_turns_are_copied_without_spaces(modules: Page) -> None:
    lines = [
        {
            "id": str(at),
            "start": at,
            "end": at + 1,
            "speaker": "SPEAKER_00",
            "revision": 0,
            "words": [[text, at, at + 1, 1]],
        }
        for at, text in enumerate(["おはよう。", "ございます。"])
    ]
    script = """module.plainText((await import(new URL("page/static/scripts/model/document.js", document.baseURI)))
        .Document.fromJson({lines: given, speakers: {SPEAKER_00: "アダ"}, language: "ja"}), {speakers: true})"""
    assert run_module(modules, "editor/transcript_text.js", script, lines) == "アダ: おはよう。ございます。"


def test_a_link_leads_to_its_line(page: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    scripted.use(answer=AN_HOUR)
    transcript = visitor.transcribe()
    open_transcript(page, scripted, transcript, "00000700")
    line = page.get_by_role("listitem").filter(has_text="Line 700 is")
    expect(line).to_be_in_viewport()
    expect(line).to_be_focused()
    line.get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Copy a link to the line").click()
    expect(page.get_by_role("status").filter(has_text="Link copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == f"{scripted.url}#/t/{transcript}/00000700"


def test_print_has_the_whole_transcript_and_nothing_else(page: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    scripted.use(answer=AN_HOUR)
    open_transcript(page, scripted, visitor.transcribe(title="An hour"))
    sheets = [sheet.extract_text() for sheet in PdfReader(io.BytesIO(page.pdf(format="A4"))).pages]
    text = " ".join(" ".join(sheets).split())
    assert text.startswith("An hour 1:00:00 0:00 Speaker 1: Line 0 is one of a thousand. Line 1 is one")
    assert text.endswith("Line 999 is one of a thousand.")
    assert text.count("one of a thousand") == 1000
    assert "Download" not in text
    expect(page.locator(".print-sheet")).to_have_count(0)


@in_all_looks
def test_the_menus_of_what_goes_out_are_accessible(page: Page, talk: str, look: Look) -> None:
    for name in ("Download", "Copy"):
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.get_by_role("menu")).to_be_visible()
        axe(page)
        picture(page, f"menu-{name}-{look.width}-{look.colours}")
        page.keyboard.press("Escape")


@in_all_looks
def test_the_sheet_of_keys(page: Page, talk: str, look: Look) -> None:
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(sheet).to_contain_text("Find and replaceCtrlF")
    axe(page)
    picture(page, f"keys-{look.width}-{look.colours}")
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)


def test_keys_have_the_names_of_the_platform(page: Page, scripted: ScriptedHome) -> None:
    page.add_init_script("Object.defineProperty(navigator, 'userAgentData', {value: {platform: 'macOS'}})")
    page.goto(scripted.url)
    names = run_module(page, "editor/keys_sheet.js", "given.map(module.keyNames)", ["Mod+Shift+Z", "+", " ", "Escape"])
    assert names == [["⌘", "⇧", "Z"], ["+"], ["Space"], ["Esc"]]
