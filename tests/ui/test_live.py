"""Live captions: words while they are spoken, and the transcript that they become."""

from __future__ import annotations

import itertools
import json
import math
import re
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.support.live import SENTENCES
from tests.ui.browser import Visitor, Watch, axe, in_all_looks, picture
from tests.ui.modules import run_module
from tests.ui.scripted import ScriptedHome, wait_until

LIVE = re.compile(r"/page/api/live/")


@pytest.fixture
def live(page: Page, scripted: ScriptedHome) -> Page:
    """The view before it begins."""
    page.goto(f"{scripted.url}#/live")
    expect(page.get_by_role("button", name="Start captions")).to_be_visible()
    return page


def start(page: Page) -> None:
    page.get_by_role("button", name="Start captions").click()
    expect(page.get_by_role("button", name="Pause")).to_be_focused()


def final(page: Page) -> list[str]:
    """The final captions so far."""
    return page.get_by_role("log").locator("p").all_inner_texts()


def stop(page: Page) -> str:
    """End the captions; returns the transcript's id when it is open."""
    page.get_by_role("button", name="Stop").click()
    return opened(page)


def opened(page: Page) -> str:
    """The id of the transcript that opens."""
    expect(page.locator(".editor")).to_be_visible()
    return page.url.rpartition("/")[2]


@in_all_looks
def test_words_are_shown_while_they_are_spoken_and_become_a_transcript(
    live: Page, visitor: Visitor, scripted: ScriptedHome
) -> None:
    axe(live)
    live.get_by_role("button", name="Start captions").press("Enter")
    expect(live.locator(".caption.is-running")).to_be_visible()
    expect(live.get_by_role("log").get_by_text(SENTENCES[2]).first).to_be_visible()
    assert final(live)[:3] == list(SENTENCES)
    expect(live).to_have_title(re.compile("^Recording"))
    axe(live)
    transcript = stop(live)
    for sentence in SENTENCES:
        expect(live.locator(".line-text").get_by_text(sentence).first).to_be_visible()
    record = visitor.ask("GET", f"transcripts/{transcript}")
    heard = bytes(scripted.live.streams[0].received)
    assert (record["state"], record["duration"]) == ("done", pytest.approx(len(heard) / 32000, abs=0.001))
    assert visitor.fetch("GET", f"transcripts/{transcript}/media").body()[44:] == heard
    assert any(heard)


def test_only_final_captions_are_read_out(live: Page) -> None:
    start(live)
    expect(live.locator(".caption.is-running")).to_be_visible()
    assert live.locator("[aria-live] .is-running").count() == 0
    expect(live.get_by_role("log")).to_have_attribute("aria-live", "polite")


def test_what_is_asked_for_reaches_the_server_and_are_kept_for_the_next_time(
    live: Page, scripted: ScriptedHome
) -> None:
    live.get_by_role("combobox", name="Language").fill("German")
    live.get_by_role("combobox", name="Language").press("Enter")
    live.get_by_label("Identify speakers").check()
    live.get_by_label("Hide personal data").check()
    picture(live, "live-form")
    start(live)
    expect(live.get_by_role("log").get_by_text("Speaker 2").first).to_be_visible()
    options = scripted.live.streams[0].first_options
    assert (options.languages, options.diarize) == (("de",), True)
    assert options.redact == ("card", "iban", "email", "phone", "ip")
    stop(live)
    live.goto(f"{scripted.url}#/live")
    expect(live.get_by_role("combobox", name="Language")).to_have_value("German (Deutsch)")
    expect(live.get_by_label("Identify speakers")).to_be_checked()
    expect(live.get_by_label("Hide personal data")).to_be_checked()


def test_during_a_pause_nothing_is_heard(live: Page, scripted: ScriptedHome) -> None:
    start(live)
    expect(live.get_by_role("meter")).not_to_have_attribute("aria-valuenow", "0")
    live.get_by_role("button", name="Pause").press("Space")
    expect(live.get_by_text("Paused")).to_be_visible()
    stream = scripted.live.streams[0]
    wait_until(lambda: "commit" in stream.calls)
    size = len(stream.received)
    expect(live.get_by_role("meter")).to_have_attribute("aria-valuenow", "0")
    live.get_by_role("button", name="Continue").press("Space")
    wait_until(lambda: len(stream.received) > size)
    expect(live.get_by_text("Paused")).to_be_hidden()


def test_what_was_said_just_before_a_pause_and_the_end_is_heard(live: Page) -> None:
    """The worklet passes sound on in messages of 2048 samples: the last one of each stretch is a shorter rest.

    A rest of nothing is one in 48; hence several stretches.
    """
    expression = """(async () => {
        const sound = await module.Sound.start();
        const stretches = [];
        sound.addEventListener("sound", ({ detail }) => stretches.at(-1).push(detail.length));
        for (const wait of given) {
            stretches.push([]);
            await sound.setPaused(false);
            await new Promise((resolve) => setTimeout(resolve, wait));
            await sound.setPaused(true);
        }
        await sound.setPaused(false);
        stretches.push([]);
        await new Promise((resolve) => setTimeout(resolve, given[0]));
        await sound.stop();
        return stretches;
    })()"""
    *paused, ended = run_module(live, "live/sound.js", expression, [300, 350, 410])
    assert any(lengths[-1] < 2000 for lengths in paused)
    assert 0 < ended[-1] < 2000


def test_nobody_is_asked_to_speak_who_has_spoken(page: Page, scripted: ScriptedHome) -> None:
    hint = page.get_by_text("Start speaking.")
    routes: list[WebSocketRoute] = []

    def begin(route: WebSocketRoute) -> None:
        routes.append(route)
        route.send(json.dumps({"type": "ready", "received": 0, "lines": [], "running": []}))

    page.route_web_socket(LIVE, begin)
    page.goto(f"{scripted.url}#/live")
    start(page)
    expect(hint).to_be_visible()
    routes[0].send(json.dumps({"type": "speech", "speaks": True}))
    expect(page.get_by_text("Hearing speech")).to_be_visible()
    expect(hint).to_be_hidden()


class Lossy:
    """A network between a page and its server, which may swallow sound and break off.

    Args:
        page: whose WebSockets go through it.
    """

    def __init__(self, page: Page) -> None:
        self.sent: list[bytes] = []
        """By the page, on its first connection."""
        self.swallows = False
        self.connections: list[WebSocketRoute] = []
        page.route_web_socket(LIVE, self._connect)

    def break_off(self) -> None:
        self.connections[0].close(code=1011)

    def _connect(self, route: WebSocketRoute) -> None:
        server = route.connect_to_server()
        self.connections.append(route)
        is_first = len(self.connections) == 1

        def pass_on(message: Any) -> None:
            if is_first and isinstance(message, bytes):
                self.sent.append(message)
                if self.swallows:
                    return
            server.send(message)

        route.on_message(pass_on)
        server.on_message(route.send)


def test_after_a_lost_connection_all_sound_and_text_arrives(page: Page, scripted: ScriptedHome) -> None:
    network = Lossy(page)
    page.goto(f"{scripted.url}#/live")
    start(page)
    expect(page.get_by_role("log").get_by_text(SENTENCES[0]).first).to_be_visible()
    network.swallows = True
    passed = len(network.sent)
    while len(network.sent) < passed + 2:
        page.wait_for_timeout(50)
    network.break_off()
    expect(page.get_by_text("Connection lost. Reconnecting…")).to_be_visible()
    expect(page.get_by_role("log").get_by_text(SENTENCES[2]).first).to_be_visible()
    stop(page)
    heard = bytes(scripted.live.streams[0].received)
    assert heard.startswith(b"".join(network.sent))
    assert len(heard) > len(b"".join(network.sent))
    assert len(scripted.live.streams) == 1


def test_what_a_server_that_restarts_has_heard_is_opened(live: Page, scripted: ScriptedHome, watch: Watch) -> None:
    watch.allowed += ["WebSocket connection", "ERR_", "status of 409"]
    start(live)
    expect(live.get_by_role("log").get_by_text(SENTENCES[0]).first).to_be_visible()
    scripted.restart()
    opened(live)
    expect(live.locator(".line-text").get_by_text(SENTENCES[0]).first).to_be_visible()


def test_a_lost_connection_is_told_once(live: Page, scripted: ScriptedHome, watch: Watch) -> None:
    watch.allowed += ["WebSocket connection", "ERR_", "status of 409"]
    start(live)
    expect(live.get_by_role("log").get_by_text(SENTENCES[0]).first).to_be_visible()
    scripted.stop()
    notice = live.locator("#notices").get_by_text("Connection lost. Reconnecting…")
    expect(notice).to_be_attached()
    expect(notice).to_be_hidden()
    expect(live.locator(".live-status")).to_have_text("Connection lost. Reconnecting…")
    scripted.start()
    opened(live)


def test_leaving_the_view_ends_the_captions_and_keeps_them(live: Page, visitor: Visitor) -> None:
    start(live)
    expect(live.get_by_role("log").get_by_text(SENTENCES[0]).first).to_be_visible()
    live.get_by_role("link", name="All transcripts").click()
    expect(live.get_by_text("The live captions have ended")).to_be_visible()
    expect(live.get_by_role("link", name=re.compile("^Live captions"))).to_be_visible()
    (record,) = visitor.ask("GET", "transcripts")["transcripts"]
    assert visitor.wait_for(record["id"], ("done",))["preview"].startswith(SENTENCES[0])


def test_they_can_be_read_and_ended_in_another_tab(live: Page, visitor: Visitor, scripted: ScriptedHome) -> None:
    start(live)
    (record,) = visitor.ask("GET", "transcripts")["transcripts"]
    other = live.context.new_page()
    other.goto(f"{scripted.url}#/t/{record['id']}")
    expect(other.locator(".line-text").get_by_text(SENTENCES[0]).first).to_be_visible()
    other.get_by_role("button", name="Stop").click()
    opened(other)
    assert opened(live) == record["id"]


def test_a_live_transcript_is_listed_with_a_button_that_ends_it(
    live: Page, visitor: Visitor, scripted: ScriptedHome
) -> None:
    start(live)
    expect(live.get_by_role("log").get_by_text(SENTENCES[0]).first).to_be_visible()
    other = live.context.new_page()
    other.goto(scripted.url)
    expect(other.get_by_text("Live: the microphone is being heard")).to_be_visible()
    other.get_by_role("button", name=re.compile("^Stop")).click()
    expect(other.get_by_text(SENTENCES[0]).first).to_be_visible()
    opened(live)


def test_the_microphone_leads_to_live_captions(page: Page, scripted: ScriptedHome) -> None:
    page.goto(scripted.url)
    page.get_by_role("tab", name="Microphone").click()
    page.get_by_role("link", name="Live captions").click()
    expect(page.get_by_role("heading", name="Live captions")).to_be_visible()


def test_a_server_without_live_captions_offers_none(page: Page, scripted: ScriptedHome) -> None:
    def answer(route: Any) -> None:
        response = route.fetch()
        route.fulfill(response=response, json={**response.json(), "live": False})

    page.route("**/page/api/options", answer)
    page.goto(scripted.url)
    page.get_by_role("tab", name="Microphone").click()
    expect(page.get_by_role("button", name="Record")).to_be_visible()
    expect(page.get_by_role("link", name="Live captions")).to_have_count(0)
    page.goto(f"{scripted.url}#/live")
    expect(page.get_by_text("This server has no live captions.")).to_be_visible()


@pytest.mark.parametrize(
    ("error", "says"),
    [("NotAllowedError", "does not allow the microphone"), ("NotFoundError", "No microphone was found")],
)
def test_a_microphone_that_cannot_be_used_is_explained(
    error: str, says: str, page: Page, scripted: ScriptedHome
) -> None:
    page.add_init_script(
        f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('', '{error}') }}"
    )
    page.goto(f"{scripted.url}#/live")
    page.get_by_role("button", name="Start captions").click()
    expect(page.get_by_role("alert")).to_contain_text(says)
    expect(page.get_by_role("button", name="Start captions")).to_be_enabled()
    assert scripted.live.streams == []


def test_a_server_that_hears_as_many_as_it_can_says_so(live: Page, scripted: ScriptedHome, watch: Watch) -> None:
    watch.allowed.append("status of 429")
    scripted.live.max_sessions = 0
    live.get_by_role("button", name="Start captions").click()
    expect(live.get_by_role("alert")).to_contain_text("busy")


@pytest.mark.parametrize(
    ("dropped", "position", "most", "held"),
    [
        (0, 0, 9, [1, 2, 3, 4, 5, 6]),
        (1, 1, 9, [2, 3, 4, 5, 6]),
        (2, 2, 9, [3, 4, 5, 6]),
        (4, 4, 9, [5, 6]),
        (0, 5, 9, [6]),
        (6, 6, 9, []),
        (0, 0, 1, [1]),
        (0, 1, 3, [2, 3, 4]),
        (3, 3, 2, [4, 5]),
    ],
)
def test_held_sound_is_what_the_server_does_not_have(
    dropped: int, position: int, most: int, held: list[int], modules: Page
) -> None:
    expression = """(() => {
        const sound = new module.HeldSound();
        for (const bytes of [[1, 2], [3, 4, 5], [6]]) sound.add(Uint8Array.from(bytes));
        sound.drop(given[0]);
        return [...sound.from(given[1], given[2])];
    })()"""
    assert run_module(modules, "live/held_sound.js", expression, [dropped, position, most]) == held


SINE = """Float32Array.from(
    { length: given.rate }, (_, at) => 0.5 * Math.sin((2 * Math.PI * given.pitch * at) / given.rate))"""


@pytest.mark.parametrize(
    ("rate", "pitch", "passes"),
    [
        (48000, 440, True), (48000, 6000, True), (48000, 9500, False), (48000, 15000, False),
        (44100, 440, True), (44100, 6000, True), (44100, 9500, False), (44100, 15560, False),
        (16000, 440, True), (8000, 440, True), (96000, 6000, True), (96000, 20000, False),
    ],
)  # fmt: skip
def test_sound_of_any_rate_becomes_16_khz_without_pitches_that_it_cannot_hold(
    rate: int, pitch: int, passes: bool, modules: Page
) -> None:
    """A pitch of 9.5 kHz would be heard as 6.5 kHz."""
    expression = f"[...new module.Resampler(given.rate, 16000).take({SINE})]"
    made = run_module(modules, "live/resampler.js", expression, {"rate": rate, "pitch": pitch})
    assert len(made) == pytest.approx(16000, abs=18 * max(1, 16000 / rate))  # the filter waits for 17 samples more
    steady = made[2000:-2000]
    loudness = math.sqrt(sum(sample**2 for sample in steady) / len(steady)) / 32767
    assert loudness == pytest.approx(0.5 / math.sqrt(2) if passes else 0.0, abs=0.01)
    if passes:
        rises = sum(one < 0 <= other for one, other in itertools.pairwise(steady))
        assert rises == pytest.approx(pitch * len(steady) / 16000, abs=1)


@pytest.mark.parametrize("piece", [1, 7, 128, 5645])
def test_sound_may_come_in_pieces_of_any_length(piece: int, modules: Page) -> None:
    expression = f"""(() => {{
        const sound = {SINE};
        const whole = new module.Resampler(given.rate, 16000).take(sound);
        const resampler = new module.Resampler(given.rate, 16000);
        const made = [];
        for (let at = 0; at < sound.length; at += given.piece)
            made.push(...resampler.take(sound.subarray(at, at + given.piece)));
        return made.length === whole.length && made.every((sample, at) => Math.abs(sample - whole[at]) <= 1);
    }})()"""
    assert run_module(modules, "live/resampler.js", expression, {"rate": 44100, "pitch": 440, "piece": piece})
