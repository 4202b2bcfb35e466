"""The scripts that talk to the server, and those that put things into words."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Request, Route, expect

from tests.support.speaker_names import REFUSED, TAKEN
from tests.ui.browser import Visitor, Watch
from tests.ui.scripted import ScriptedHome, wait_until

MIB = 1 << 20

UPLOAD = """
async ({size, pieceBytes}) => {
  const {upload} = await import("./page/static/scripts/server/uploads.js");
  const bytes = new Uint8Array(size).map((_, index) => index % 251);
  const file = new File([bytes], "talk.wav", {lastModified: 1});
  const told = [];
  const signal = new AbortController().signal;
  const id = await upload(file, {pieceBytes, signal, onProgress: (sent) => told.push(sent)});
  return {id, told};
}
"""


@pytest.fixture
def tab(page: Page, scripted: ScriptedHome) -> Page:
    page.goto(scripted.url)
    expect(page.get_by_role("heading", name="New transcript")).to_be_visible()
    return page


def sent_bytes(size: int) -> bytes:
    return bytes(index % 251 for index in range(251)) * (size // 251) + bytes(range(size % 251))


def assert_arrived(visitor: Visitor, scripted: ScriptedHome, upload: str, size: int) -> None:
    visitor.ask("POST", "transcripts", {"upload": upload, "options": {}, "title": "talk"})
    wait_until(lambda: scripted.transcriber.jobs)
    kept = scripted.transcriber.jobs[-1].upload
    assert kept
    assert hashlib.sha256(kept.read_bytes()).digest() == hashlib.sha256(sent_bytes(size)).digest()


# Uploads


def test_a_file_is_sent_in_pieces(tab: Page, visitor: Visitor, scripted: ScriptedHome) -> None:
    sent = tab.evaluate(UPLOAD, {"size": 3 * MIB + 7, "pieceBytes": MIB})
    assert [one["received"] for one in sent["told"]] == [0, MIB, 2 * MIB, 3 * MIB, 3 * MIB + 7]
    assert_arrived(visitor, scripted, sent["id"], 3 * MIB + 7)


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_pieces_go_on_after_a_cut_connection(
    tab: Page, visitor: Visitor, scripted: ScriptedHome, watch: Watch, lost: str
) -> None:
    watch.allowed.append("net::ERR_FAILED")
    offsets: list[int] = []

    def cut(route: Route) -> None:
        if route.request.method != "PUT":
            return route.continue_()
        offsets.append(int(route.request.url.rpartition("=")[2]))
        if len(offsets) != 2:
            return route.continue_()
        if lost == "answer":
            route.fetch()
        return route.abort()

    tab.route("**/page/api/uploads/*", cut)
    sent = tab.evaluate(UPLOAD, {"size": 3 * MIB, "pieceBytes": MIB})
    assert offsets[:3] == [0, MIB, MIB if lost == "request" else 2 * MIB]
    assert any(one["isWaiting"] for one in sent["told"])
    assert_arrived(visitor, scripted, sent["id"], 3 * MIB)


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_busy_server_is_waited_for(tab: Page, watch: Watch, status: int) -> None:
    watch.allowed.append(f"status of {status}")
    seen: list[str] = []

    def refuse_once(route: Route) -> None:
        seen.append(route.request.method)
        if len(seen) == 1:
            return route.fulfill(status=status, json={"error": {"message": "busy", "code": None}})
        return route.continue_()

    tab.route("**/page/api/uploads**", refuse_once)
    assert tab.evaluate(UPLOAD, {"size": 10, "pieceBytes": MIB})["told"][-1]["received"] == 10


@pytest.mark.parametrize(("status", "code"), [(507, "no_space"), (429, "too_many_uploads"), (413, "too_large")])
def test_a_refused_file_is_not_sent_again(tab: Page, watch: Watch, status: int, code: str) -> None:
    watch.allowed.append(f"status of {status}")
    seen: list[Request] = []

    def refuse(route: Route) -> None:
        seen.append(route.request)
        route.fulfill(status=status, json={"error": {"message": "no", "code": code}})

    tab.route("**/page/api/uploads**", refuse)
    error = f"({UPLOAD})({{size: 10, pieceBytes: 10}}).catch(({{status, code}}) => [status, code])"
    assert tab.evaluate(error) == [status, code]
    assert len(seen) == 1


def test_the_same_file_goes_on_in_another_tab(
    tab: Page, context: BrowserContext, visitor: Visitor, scripted: ScriptedHome
) -> None:
    tab.route("**/page/api/uploads/*", lambda route: route.continue_() if "offset=0" in route.request.url else None)
    tab.evaluate(f"void ({UPLOAD})({{size: {2 * MIB}, pieceBytes: {MIB}}}).catch(() => 0)")
    with tab.expect_request(lambda request: request.url.endswith(f"offset={MIB}")):
        pass
    other = context.new_page()
    other.goto(scripted.url)
    sent = other.evaluate(UPLOAD, {"size": 2 * MIB, "pieceBytes": MIB})
    assert sent["told"][0]["received"] == MIB
    assert_arrived(visitor, scripted, sent["id"], 2 * MIB)


def test_the_fingerprint_fits_whatever_the_name(tab: Page) -> None:
    length = """async () => {
      const {fingerprintOf} = await import("./page/static/scripts/server/uploads.js");
      return fingerprintOf(new File(["x"], "ß".repeat(255), {lastModified: 8.64e15})).length;
    }"""
    assert tab.evaluate(length) <= 128


# Events


@pytest.fixture
def connections(context: BrowserContext) -> list[str]:
    """Addresses of the connections for events that any tab opened."""
    opened: list[str] = []
    context.on(
        "request", lambda request: opened.append(request.url) if request.url.endswith("/page/api/events") else None
    )
    return opened


def open_tabs(context: BrowserContext, scripted: ScriptedHome, number: int) -> list[Page]:
    tabs = [context.new_page() for _ in range(number)]
    for one in tabs:
        one.goto(scripted.url)
        expect(one.get_by_role("heading", name="New transcript")).to_be_visible()
    return tabs


def test_all_tabs_share_one_connection_for_events(
    context: BrowserContext, connections: list[str], scripted: ScriptedHome, visitor: Visitor
) -> None:
    tabs = open_tabs(context, scripted, 3)
    visitor.transcribe(title="First talk")
    for one in tabs:
        expect(one.get_by_role("link", name="First talk")).to_be_visible()
    assert len(connections) == 1
    tabs[0].close()
    wait_until(lambda: tabs[1].evaluate("1") and len(connections) == 2)  # asking a tab brings the events of all
    visitor.transcribe(title="Second talk")
    for one in tabs[1:]:
        expect(one.get_by_role("link", name="Second talk")).to_be_visible()
    assert len(connections) == 2


def test_without_locks_each_tab_listens_for_itself(
    context: BrowserContext, connections: list[str], scripted: ScriptedHome, visitor: Visitor
) -> None:
    context.add_init_script("Object.defineProperty(navigator, 'locks', {value: undefined})")
    tabs = open_tabs(context, scripted, 2)
    visitor.transcribe(title="First talk")
    for one in tabs:
        expect(one.get_by_role("link", name="First talk")).to_be_visible()
    assert len(connections) == 2


def test_what_an_event_has_overtaken_changes_nothing(tab: Page) -> None:
    state = """async () => {
      const {records} = await import("./page/static/scripts/server/records.js");
      const record = {id: "x", created: 1, title: "x", source: {kind: "file"}, media: null, speakers: {}};
      records.put({...record, state: "done", preview: "", updated: 3});
      records.put({...record, state: "waiting", updated: 2});
      return records.get("x").state;
    }"""
    assert tab.evaluate(state) == "done"


def test_an_answer_that_is_no_json_is_an_error_too(tab: Page, watch: Watch) -> None:
    watch.allowed.append("status of 502")
    tab.route("**/page/api/transcripts/x", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    caught = """async () => {
      const {get} = await import("./page/static/scripts/server/transcripts.js");
      const {ServerError} = await import("./page/static/scripts/server/client.js");
      return get("x").catch((error) => [error instanceof ServerError, error.status]);
    }"""
    assert tab.evaluate(caught) == [True, 502]


# Words


def call(tab: Page, module: str, name: str, *values: Any) -> Any:
    """What a function of a module returns."""
    expression = f"""async (values) => {{
      const module = await import("./page/static/scripts/{module}.js");
      return module.{name}(...values);
    }}"""
    return tab.evaluate(expression, list(values))


@pytest.mark.parametrize(
    ("seconds", "clock"),
    [
        (0, "0:00"),
        (5.9, "0:05"),
        (754, "12:34"),
        (3600, "1:00:00"),
        (3723.4, "1:02:03"),
        (36000, "10:00:00"),
        (-1, "0:00"),
    ],
)
def test_clocks_are_written(modules: Page, seconds: float, clock: str) -> None:
    assert call(modules, "text/clock", "formatClock", seconds) == clock


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90), ("1:30", 90), (" 1:02:03 ", 3723), ("1:02:03.5", 3723.5), ("0:01,25", 1.25), ("10:00:00", 36000),
        ("1:60", None), ("1:60:00", None), ("", None), ("soon", None), ("1:2:3:4", None), ("-1", None), ("1e3", None),
    ],
)  # fmt: skip
def test_clocks_are_read(modules: Page, text: str, seconds: float | None) -> None:
    assert call(modules, "text/clock", "parseClock", text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1 s"), (25.4, "25 s"), (59.6, "1 min"), (61, "1 min"), (3599, "1 h"), (7800, "2 h 10 min")],
)
def test_durations_are_put_into_words(modules: Page, seconds: float, text: str) -> None:
    assert call(modules, "text/clock", "formatDuration", seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (17_190, "17 kB"), (1_250_000, "1.3 MB"), (2**40, "1.1 TB")]
)
def test_sizes_are_put_into_words(modules: Page, size: int, text: str) -> None:
    assert call(modules, "text/clock", "formatSize", size) == text


@pytest.mark.parametrize(
    ("typed", "codes"),
    [
        ("de", ["de"]), ("deut", ["de"]), ("GERMAN", ["de"]), ("espanol", ["es"]), ("español", ["es"]),
        ("日本", ["ja"]),        ("norw", ["no", "nn"]), ("maori", ["mi"]), ("klingon", []),
    ],
)  # fmt: skip
def test_languages_are_found_by_all_their_names(modules: Page, typed: str, codes: list[str]) -> None:
    found = [language["code"] for language in call(modules, "text/languages", "findLanguages", typed)]
    assert found[: max(len(codes), 1)] == codes


def test_the_languages_are_whispers(modules: Page) -> None:
    # Read rather than imported: whisper imports torch, which takes longer than all of these tests.
    whisper = importlib.util.find_spec("whisper")
    assert whisper
    assert whisper.origin
    tokenizer = ast.parse(Path(whisper.origin).with_name("tokenizer.py").read_text())
    tables = [
        node for node in tokenizer.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LANGUAGES"
    ]
    languages = ast.literal_eval(tables[0].value)
    listed = modules.evaluate(
        "async () => (await import('./page/static/scripts/text/languages.js')).LANGUAGES.map(({code}) => code)"
    )
    assert sorted(listed) == sorted(languages)


ERRORS = [
    {"type": error_type, "message": message}
    for error_type in (
        "UnsupportedMedia", "DownloadFailed", "TooLarge", "OutOfMemory", "OutOfResources", "CaptionsFailed",
        "InvalidInput", "Internal", "Unheard",
    )
    for message in ("options.beam_size: should be 5", "audio.base64: x", "KeyError: '/srv/x'", "")
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{error['type']}-{error['message'][:8]}")
def test_no_error_shows_what_only_programs_know(modules: Page, error: dict[str, str]) -> None:
    problem = call(modules, "text/problems", "describeProblem", error)
    for sentence in (problem["title"], problem["remedy"]):
        assert re.fullmatch(r"[A-Z“].*[.!?]", sentence)
        assert not re.search(r"base64|beam_size|KeyError|/srv|options\.", sentence)


WARNINGS = [
    ('channels "split" has no effect: the recording is mono', "“By channel” has no effect: the recording is mono."),
    ("the model knows English only", "The model knows English only."),
    ("captions: there is no font", "Captions: there is no font."),
    ("diarize has no effect: the tracks say who speaks", "“Speakers” has no effect: the tracks say who speaks."),
    ("num_speakers was ignored", "“How many speakers” was ignored."),
]


@pytest.mark.parametrize(("warning", "sentence"), WARNINGS)
def test_warnings_are_sentences(modules: Page, warning: str, sentence: str) -> None:
    assert call(modules, "text/problems", "describeWarning", warning) == sentence


FAILURES = [
    ("Ben: the file is not a recording: it is empty", "Ben: The recording is empty."),
    ("audio.1 (Ben): the file has no audio track", "Ben: The file has no sound."),
    ("the recording is longer than the limit", "The recording is too long for this server."),
]


@pytest.mark.parametrize(("message", "title"), FAILURES)
def test_a_failure_names_the_track_that_is_to_blame(modules: Page, message: str, title: str) -> None:
    source = {"tracks": [{"name": "Ada"}, {"name": "Ben"}]}
    record = {"error": {"type": "UnsupportedMedia", "message": message}, "source": source}
    assert call(modules, "text/problems", "describeFailure", record)["title"] == title


NAMES = [
    (["2026-05-01 talk_ada.wav", "2026-05-01 talk_ben.wav"], ["ada", "ben"]),
    (["1-ada.flac", "2-ben.flac"], ["ada", "ben"]),
    (["Ada Lovelace.m4a", "Ada Byron.m4a"], ["Lovelace", "Byron"]),
    (["Zoé - take 2.wav", "Ćaslav - take 2.wav"], ["Zoé", "Ćaslav"]),
    (["1.wav", "2.wav"], ["1", "2"]),
    (["SPEAKER_00.wav", "---.wav"], ["SPEAKER", "Speaker 2"]),
    (["Ada Lovelace.m4a"], ["Ada Lovelace"]),
    ([], []),
]


@pytest.mark.parametrize(("files", "names"), NAMES)
def test_speakers_are_named_by_what_is_different_in_the_names_of_their_files(
    modules: Page, files: list[str], names: list[str]
) -> None:
    assert call(modules, "text/track_names", "namesOfTracks", files) == names


WRONG_NAMES = [
    (["Ada", "Ben"], ""),
    (["Ada", "Ada"], "“Ada” is the name of two tracks. Give each its own."),
    (["Ada", ""], "Give each track the name of its speaker."),
    (["Ada", "SPEAKER_00"], "“SPEAKER_00” cannot be a speaker’s name. Use letters, digits, spaces and . ' ’ · -"),
    (["<b>", "Ada"], "“<b>” cannot be a speaker’s name. Use letters, digits, spaces and . ' ’ · -"),
]


def test_the_form_takes_the_names_that_the_server_takes(modules: Page) -> None:
    names = [name for name in [*TAKEN, *REFUSED] if name != "\ud800"]  # half a character is no text of a browser
    taken = [name for name in names if not call(modules, "text/track_names", "problemOfNames", [name])]
    assert taken == TAKEN


@pytest.mark.parametrize(("names", "problem"), WRONG_NAMES)
def test_names_of_speakers_are_checked_before_anything_is_sent(modules: Page, names: list[str], problem: str) -> None:
    assert call(modules, "text/track_names", "problemOfNames", names) == problem


TABS = [
    ({}, "Transcripts - Whisper", "idle"),
    (
        {"recording": True, "running": {"state": "working", "fraction": 0.4, "title": "a"}},
        "Recording - Whisper", "recording",
    ),
    ({"running": {"state": "working", "fraction": 0.429, "title": "episode-12"}}, "42% - episode-12", "working"),
    ({"running": {"state": "waiting", "fraction": 0, "title": "episode-12"}}, "Waiting - episode-12", "working"),
    ({"upload": {"fraction": 0.3, "title": "a"}}, "Uploading 30% - a", "working"),
    ({"finished": {"state": "done", "title": "a"}}, "Done - a", "done"),
    ({"finished": {"state": "failed", "title": "a"}}, "Failed - a", "failed"),
    ({"current": {"state": "failed", "title": "a"}}, "Failed - a", "failed"),
    (
        {"current": {"state": "done", "title": "a"}, "running": {"state": "working", "fraction": 0, "title": "b"}},
        "Transcripts - Whisper", "idle",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("state", "title", "kind"), TABS)
def test_the_tab_tells_the_state(modules: Page, state: dict[str, Any], title: str, kind: str) -> None:
    nothing = {"title": "Transcripts", "current": None, "running": None, "upload": None, "finished": None}
    shown = call(modules, "tab", "describeTab", {**nothing, **state})
    assert (shown["title"], shown["kind"]) == (title, kind)
