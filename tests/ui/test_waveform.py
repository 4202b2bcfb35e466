"""The waveform: peaks, and moving about by it."""

from __future__ import annotations

import io
import random
import re
from itertools import pairwise
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from tests.ui.browser import Look, Visitor, Watch, axe, in_all_looks, on_desk_and_phone, picture
from tests.ui.modules import run_module
from tests.ui.scripted import ScriptedHome


@pytest.mark.parametrize(
    ("count", "first", "last", "columns"),
    [
        (0, 0, 10, 4),
        (3, 0, 1, 10),
        (1000, 0, 50, 100),
        (1000, 7.3, 9.1, 500),
        (5000, -10, 300, 37),
        (4096, 0, 204.8, 1),
    ],
)
def test_a_column_is_the_loudest_of_its_stretch(
    modules: Page, count: int, first: float, last: float, columns: int
) -> None:
    values = [random.Random(at).randrange(256) for at in range(count)]
    expression = "[...new module.Peaks(Uint8Array.from(given[0]), 20).columns(given[1], given[2], given[3])]"
    step = (last - first) * 20 / columns
    edges = [int((first * 20 + column * step) // 1) for column in range(columns + 1)]
    expected = [max(values[max(0, start) : max(0, start + 1, end)], default=0) for start, end in pairwise(edges)]
    assert run_module(modules, "editor/peaks.js", expression, [values, first, last, columns]) == expected


def test_a_picture_of_ten_hours_reads_few_of_their_peaks(modules: Page) -> None:
    expression = """(() => {
        const peaks = new module.Peaks(new Uint8Array(720_000).fill(9), 20);
        let reads = 0;
        const counting = { get: (values, name) => { reads += /^\\d+$/.test(name); return values[name]; } };
        peaks.levels = peaks.levels.map((values) => new Proxy(values, counting));
        peaks.columns(0, 36_000, 2400);
        return reads;
    })()"""
    assert run_module(modules, "editor/peaks.js", expression) < 720_000 / 10


@pytest.fixture
def slider(page: Page, scripted: ScriptedHome, visitor: Visitor) -> Locator:
    """The waveform of an open transcript of 78 s, fully there."""
    return open_waveform(page, scripted, visitor.transcribe())


def open_waveform(page: Page, home: ScriptedHome, transcript: str) -> Locator:
    page.goto(f"{home.url}#/t/{transcript}")
    expect(page.locator(".waveform-status")).to_be_empty()
    slider = page.get_by_role("slider", name="Position in the recording")
    expect(slider).to_have_attribute("aria-valuetext", "0:00 of 1:18")
    return slider


def wait_until_drawn(page: Page) -> None:
    page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")


def press(slider: Locator, *keys: str) -> str | None:
    """The position that is read out after keys."""
    slider.focus()
    for key in keys:
        slider.press(key)
    wait_until_drawn(slider.page)
    return slider.get_attribute("aria-valuetext")


def test_keys_move_the_position(slider: Locator) -> None:
    assert press(slider, "ArrowRight", "ArrowUp") == "0:10 of 1:18"
    assert press(slider, "ArrowLeft") == "0:05 of 1:18"
    assert press(slider, "PageUp") == "1:05 of 1:18"
    assert press(slider, "PageDown", "PageDown") == "0:00 of 1:18"
    assert press(slider, "End") == "1:18 of 1:18"
    assert press(slider, "Home") == "0:00 of 1:18"
    assert slider.get_attribute("aria-valuemax") == "78"


@on_desk_and_phone
def test_click_and_drag_seek(page: Page, slider: Locator) -> None:
    box = slider.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.click(box["x"] + box["width"] / 2, middle)
    expect(slider).to_have_attribute("aria-valuetext", "0:39 of 1:18")
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, middle, steps=5)
    expect(slider).to_have_attribute("aria-valuetext", "0:19 of 1:18")
    page.mouse.move(box["x"] - 50, middle, steps=5)
    page.mouse.up()
    expect(slider).to_have_attribute("aria-valuetext", "0:00 of 1:18")


def test_pointing_tells_time_and_speaker(page: Page, slider: Locator) -> None:
    width = slider.bounding_box()["width"]
    slider.hover(position={"x": width * 16 / 78, "y": 20})
    expect(page.locator(".waveform-pointed")).to_have_text(re.compile(r"0:1[56] Speaker 2"))


def test_zooming_shows_a_part_and_seeks_in_it(page: Page, slider: Locator) -> None:
    press(slider, "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")
    for _ in range(3):
        page.get_by_role("button", name="Zoom in").click()
    slider.click(position={"x": 1, "y": 20})
    wait_until_drawn(page)
    first = int((slider.get_attribute("aria-valuenow")) or -1)
    slider.click(position={"x": slider.bounding_box()["width"] - 1, "y": 20})
    wait_until_drawn(page)
    last = int(slider.get_attribute("aria-valuenow") or -1)
    assert 8 <= last - first <= 11  # an eighth of 78 s
    assert first < 20 < last
    for _ in range(3):
        page.get_by_role("button", name="Zoom out").click()
    expect(page.get_by_role("button", name="Zoom out")).to_be_disabled()


def colours(picture: Locator) -> set[Any]:
    """The colours of a picture that take more than a thousandth of it."""
    image = Image.open(io.BytesIO(picture.screenshot())).convert("RGB")
    counted = image.getcolors(1 << 24) or []
    return {colour for count, colour in counted if count > image.width * image.height / 1000}


def test_what_is_played_and_who_speaks_have_colours(page: Page, slider: Locator) -> None:
    shown = colours(slider)
    speakers = [page.evaluate(SPEAKER_COLOUR, number) for number in range(3)]
    assert all(tuple(colour) in shown for colour in speakers)
    press(slider, "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")
    assert colours(slider) - shown


def test_the_part_that_is_repeated_has_edges(page: Page, slider: Locator) -> None:
    def edge() -> Any:
        image = Image.open(io.BytesIO(slider.screenshot())).convert("RGB")
        return image.getpixel((round(image.width * 5.85 / 78), 1))  # where the first line ends

    before = edge()
    page.get_by_role("list", name="Transcript").get_by_role("listitem").first.focus()
    page.keyboard.press("r")
    wait_until_drawn(page)
    looped = edge()
    page.keyboard.press("r")
    wait_until_drawn(page)
    assert looped != before == edge()


SPEAKER_COLOUR = """(number) => {
    const probe = document.createElement("i");
    probe.style.setProperty("color", `var(--speaker-${number})`);
    document.body.append(probe);
    const colour = getComputedStyle(probe).color.match(/[\\d.]+/g).map(Number);
    probe.remove();
    return colour;
}"""


def test_nothing_is_drawn_while_nothing_changes(page: Page, slider: Locator) -> None:
    page.evaluate("""() => {
        window.drawn = 0;
        const draw = CanvasRenderingContext2D.prototype.clearRect;
        CanvasRenderingContext2D.prototype.clearRect = function (...place) { window.drawn++; draw.apply(this, place); };
    }""")
    page.wait_for_timeout(300)
    assert page.evaluate("drawn") == 0
    press(slider, "ArrowRight")
    assert 1 <= page.evaluate("drawn") <= 6  # once for each picture, and for each event of a seek


def test_a_theme_repaints(page: Page, slider: Locator) -> None:
    before = colours(slider)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    wait_until_drawn(page)
    assert not before & colours(slider)


def test_it_is_crisp_on_fine_screens(page: Page, slider: Locator) -> None:
    sizes = "(canvas) => [canvas.width, canvas.clientWidth * devicePixelRatio]"
    width, expected = page.locator(".waveform-canvas").evaluate(sizes)
    assert width == round(expected)


@pytest.fixture
def peaks(page: Page) -> dict[str, Any]:
    """What the server answers about peaks; empty: what it does."""
    answer: dict[str, Any] = {}

    def respond(route: Route) -> None:
        route.fulfill(**answer) if answer else route.continue_()

    page.route("**/peaks", respond)
    return answer


def test_peaks_that_are_being_made_shift_nothing(
    page: Page, scripted: ScriptedHome, visitor: Visitor, peaks: dict[str, Any]
) -> None:
    peaks.update(status=202, json={"fraction": 0.4})
    page.goto(f"{scripted.url}#/t/{visitor.transcribe()}")
    expect(page.locator(".waveform-status")).to_have_text("Preparing the waveform… 40%")
    before = page.locator(".waveform").bounding_box()
    peaks.clear()
    expect(page.locator(".waveform-status")).to_be_empty()
    assert page.locator(".waveform").bounding_box() == before


def test_a_recording_without_peaks_can_be_walked_through(
    page: Page, scripted: ScriptedHome, visitor: Visitor, peaks: dict[str, Any], watch: Watch
) -> None:
    watch.allowed.append("status of 404")
    peaks.update(status=404, json={"error": {"message": "there is no recording", "code": "no_media"}})
    page.goto(f"{scripted.url}#/t/{visitor.transcribe()}")
    expect(page.locator(".waveform-status")).to_have_text("No waveform for this recording.")
    slider = page.get_by_role("slider", name="Position in the recording")
    expect(slider).to_have_attribute("aria-valuetext", "0:00 of 1:18")
    assert press(slider, "ArrowRight") == "0:05 of 1:18"


@in_all_looks
def test_the_waveform_is_accessible(page: Page, slider: Locator, look: Look) -> None:
    press(slider, "ArrowRight", "ArrowRight", "ArrowRight")
    axe(page)
    picture(page, f"waveform-{look.width}-{look.colours}")
