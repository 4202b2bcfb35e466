"""Live captions of the page on the server: what is told while a microphone is heard, and what is kept of it."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from api.http import page_live
from api.http.app import create_app
from api.http.door import DoorSettings
from api.live.recognizer import Completed, Failed, LiveEvent, LiveOptions, LiveRefused, Warned
from api.page import live_session
from api.page.live_recording import LiveRecording, complete
from api.page.records import Record, Source
from api.page.services import PageServices
from api.page.settings import PageSettings
from api.page.store import Store
from tests.support.http_api import ScriptedTranscriber, served, wait_until
from tests.support.live import SENTENCES, ScriptedLiveRecognizer
from tests.support.page_api import Browser

TOKEN = "t" * 43
ANNA = sha256(TOKEN.encode()).hexdigest()
LIVE, TRANSCRIPTS = "/page/api/live", "/page/api/transcripts"
SECOND = bytes(range(250)) * 128  # one sentence
HALF = SECOND[: len(SECOND) // 2]


class Server:
    """A page with live captions, and a visitor of it.

    Args:
        port: of the server.
        live: what hears.
        page: the page's services.
    """

    def __init__(self, port: int, live: ScriptedLiveRecognizer, page: PageServices) -> None:
        self.port, self.live, self.page = port, live, page
        self.browser = Browser(port, f"worker-whisper-visitor-{port}={TOKEN}")

    def begin(self, **options: Any) -> str:
        response = self.browser.post(LIVE, {"options": options})
        assert response.status == 201, response.body
        transcript_id: str = response.json["id"]
        return transcript_id

    @contextmanager
    def tab(self, transcript_id: str, after: str = "", **headers: str) -> Iterator[Tab]:
        own = {"cookie": self.browser.cookie, **headers}
        origin = Origin(own.pop("origin", f"http://127.0.0.1:{self.port}"))
        address = f"ws://127.0.0.1:{self.port}{LIVE}/{transcript_id}?after={after}"
        with connect(address, origin=origin, additional_headers=own, open_timeout=20) as socket:
            yield Tab(socket)

    def record(self, transcript_id: str) -> Any:
        return self.browser.get(f"{TRANSCRIPTS}/{transcript_id}").json

    def texts(self, transcript_id: str) -> list[str]:
        return texts(self.browser.get(f"{TRANSCRIPTS}/{transcript_id}/document").json["lines"])

    def recording(self, transcript_id: str) -> bytes:
        """The sound, as a player reads it."""
        media = self.browser.get(f"{TRANSCRIPTS}/{transcript_id}/media").body
        with wave.open(BytesIO(media)) as sound:
            assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (16000, 1, 2)
            return sound.readframes(sound.getnframes())


class Tab:
    """A tab that sends sound.

    Args:
        socket: its connection.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.ready = self.next("ready")

    def next(self, kind: str) -> Any:
        """The next message of a type; those before are passed over."""
        while True:
            message = json.loads(self.socket.recv(timeout=20))
            if message["type"] == kind:
                return message

    def until_ended(self) -> list[Any]:
        """All messages until the server ends the connection."""
        messages = []
        try:
            while True:
                messages.append(json.loads(self.socket.recv(timeout=20)))
        except ConnectionClosed:
            return messages

    def say(self, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.socket.send(SECOND)

    def command(self, kind: str) -> None:
        self.socket.send(json.dumps({"type": kind}))

    def stop(self) -> list[Any]:
        self.command("stop")
        return self.until_ended()


def texts(lines: Sequence[Any]) -> list[str]:
    return ["".join(word[0] for word in line["words"]).strip() for line in lines]


@contextmanager
def serving(
    folder: Path, live: ScriptedLiveRecognizer | None, settings: DoorSettings | None = None
) -> Iterator[Server]:
    page = PageSettings(folder, "worker", reserve_bytes=0)
    app = create_app(ScriptedTranscriber(), settings or DoorSettings(), page=page, live=live)
    with served(app) as port:
        yield Server(port, live or ScriptedLiveRecognizer(), app.state.page)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, ScriptedLiveRecognizer()) as server:
        yield server


def test_words_are_told_while_they_are_said_and_then_the_final_lines(server: Server) -> None:
    with server.tab(server.begin()) as tab:
        tab.say(1)
        assert [tab.next("running")["text"] for _ in range(3)] == ["Good", "Good morning", SENTENCES[0]]
        final = tab.next("lines")
        assert (final["utterance"], texts(final["lines"])) == (0, [SENTENCES[0]])
        assert (final["lines"][0]["start"], final["lines"][0]["end"]) == (0.0, 1.0)


def test_it_is_told_whether_somebody_speaks(server: Server) -> None:
    with server.tab(server.begin()) as tab:
        tab.say(2)
        assert [tab.next("speech")["speaks"] for _ in range(3)] == [True, False, True]


def test_what_has_been_heard_is_acknowledged(server: Server) -> None:
    with server.tab(server.begin()) as tab:
        tab.say(2)
        assert [tab.next("received")["bytes"] for _ in range(2)] == [len(SECOND), 2 * len(SECOND)]


def test_final_lines_are_in_the_document_at_once(server: Server) -> None:
    transcript_id = server.begin()
    with server.tab(transcript_id) as tab:
        tab.say(1)
        tab.next("lines")
        assert server.texts(transcript_id) == [SENTENCES[0]]
        record = server.record(transcript_id)
        assert (record["state"], record["preview"], record["source"]["kind"]) == ("live", SENTENCES[0], "microphone")


def test_after_the_end_it_is_a_transcript_like_any_other(server: Server) -> None:
    transcript_id = server.begin(language="en", diarize=True)
    with server.tab(transcript_id) as tab:
        tab.say(3)
        messages = tab.stop()
    assert messages[-1] == {"type": "ended", "warning": None}
    record = server.record(transcript_id)
    assert record["state"] == "done"
    assert record["media"] == {"kind": "audio", "playable": True}
    assert (record["duration"], record["language"], record["warnings"]) == (3.0, "en", [])
    assert record["speakers"] == {"SPEAKER_00": "", "SPEAKER_01": ""}
    assert server.texts(transcript_id) == list(SENTENCES)
    assert server.recording(transcript_id) == 3 * SECOND
    assert server.live.streams[0].calls[-1] == "close"
    srt = server.browser.get(f"{TRANSCRIPTS}/{transcript_id}/export/srt").body.decode()
    assert "It is noon." in srt
    lines = server.browser.get(f"{TRANSCRIPTS}/{transcript_id}/document").json["lines"]
    edit = {"lines": [{**lines[0], "based_on": lines[0]["revision"], "words": [["Hello", 0.0, 1.0, None]]}]}
    assert (
        server.browser.ask("PATCH", f"{TRANSCRIPTS}/{transcript_id}", json.dumps(edit).encode()).json["conflicts"] == []
    )
    assert server.texts(transcript_id)[0] == "Hello"


@pytest.mark.parametrize(
    ("asked", "reaching"),
    [
        ({}, ((), False, ())),
        ({"language": "de"}, (("de",), False, ())),
        ({"language": "en", "diarize": True, "redact": ["card", "ip"]}, (("en",), True, ("card", "ip"))),
    ],
)
def test_options_reach_the_stream(asked: dict[str, Any], reaching: tuple[Any, ...], server: Server) -> None:
    server.begin(**asked)
    options = server.live.streams[0].first_options
    assert (options.languages, options.diarize, options.redact) == reaching
    assert options.word_timestamps


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "the body should be"),
        ({"options": []}, "options: should be an object"),
        ({"options": {"task": "translate"}}, "options: should be an object with language, diarize, redact"),
        ({"options": {"diarize": 1}}, "options.diarize: should be true or false"),
        ({"options": {"redact": ["card", 1]}}, "options.redact: should be a list of kinds"),
        ({"options": {"language": 1}}, "options.language: should be a text"),
        ({"options": {"language": "x" * 21}}, "options.language: should be a text of at most 20"),
        ({"title": 1}, "title: should be a text"),
    ],
)
def test_wrong_options_are_refused(body: Any, says: str, server: Server) -> None:
    response = server.browser.post(LIVE, body)
    assert response.status == 400
    assert says in response.json["error"]["message"]
    assert server.browser.get(TRANSCRIPTS).json["transcripts"] == []


def test_a_pause_makes_what_was_said_final(server: Server) -> None:
    with server.tab(server.begin()) as tab:
        tab.socket.send(HALF)
        tab.command("pause")
        final = tab.next("lines")["lines"]
        assert (texts(final), final[0]["end"]) == ([SENTENCES[0]], 0.5)


def test_a_tab_that_comes_back_is_told_what_it_missed(server: Server) -> None:
    transcript_id = server.begin()
    with server.tab(transcript_id) as tab:
        assert tab.ready == {"type": "ready", "received": 0, "lines": [], "running": []}
        tab.say(3)
        tab.socket.send(HALF)
        first = tab.next("lines")["lines"][0]["id"]
        for _ in range(2):
            tab.next("lines")
        for _ in range(2):
            tab.next("running")
    with server.tab(transcript_id, first) as tab:
        assert tab.ready["received"] == len(3 * SECOND + HALF)
        assert texts(tab.ready["lines"]) == list(SENTENCES[1:])
        assert tab.ready["running"] == [{"utterance": 3, "text": "Good morning"}]
        tab.socket.send(HALF)
        tab.stop()
    assert server.recording(transcript_id) == 3 * SECOND + 2 * HALF
    assert bytes(server.live.streams[0].received) == 3 * SECOND + 2 * HALF


def test_another_tab_takes_over(server: Server) -> None:
    transcript_id = server.begin()
    with server.tab(transcript_id) as first:
        first.say(1)
        first.next("received")
        with server.tab(transcript_id) as second:
            first.until_ended()
            assert second.ready["received"] == len(SECOND)
            second.say(1)
            assert second.next("received")["bytes"] == 2 * len(SECOND)
            second.stop()


def test_without_a_tab_it_ends_and_all_is_kept(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    transcript_id = server.begin()
    with server.tab(transcript_id) as tab:
        monkeypatch.setattr(live_session, "DETACHED_S", 0.2)
        tab.say(1)
        tab.next("lines")
        tab.socket.send(HALF)
        tab.next("running")
    wait_until(lambda: server.record(transcript_id)["state"] == "done")
    assert "connection lost" in server.record(transcript_id)["warnings"][0]
    assert server.texts(transcript_id) == list(SENTENCES[:2])
    assert server.recording(transcript_id) == SECOND + HALF


def test_what_heard_nothing_is_not_kept(server: Server) -> None:
    transcript_id = server.begin()
    with server.tab(transcript_id) as tab:
        tab.stop()
    assert server.browser.get(TRANSCRIPTS).json["transcripts"] == []
    assert not list(server.page.settings.media_folder.iterdir())


def test_it_can_be_ended_from_another_tab(server: Server) -> None:
    transcript_id = server.begin()
    with server.tab(transcript_id) as tab:
        tab.socket.send(HALF)
        tab.next("received")
        assert server.browser.post(f"{TRANSCRIPTS}/{transcript_id}/cancel", {}).json["state"] == "done"
        assert tab.until_ended()[-1]["type"] == "ended"
    assert server.texts(transcript_id) == [SENTENCES[0]]


def test_a_removed_one_ends_without_a_trace(server: Server) -> None:
    transcript_id = server.begin()
    with server.tab(transcript_id) as tab:
        tab.say(1)
        tab.next("received")
        assert server.browser.ask("DELETE", f"{TRANSCRIPTS}/{transcript_id}").status == 204
        tab.until_ended()
    assert server.browser.get(TRANSCRIPTS).json["transcripts"] == []
    assert not list(server.page.settings.media_folder.iterdir())
    assert server.live.streams[0].calls[-1] == "close"


@pytest.mark.parametrize("path", ["retry", "document"])
def test_its_text_can_be_read_meanwhile_but_not_made_anew(path: str, server: Server) -> None:
    transcript_id = server.begin()
    if path == "retry":
        assert server.browser.post(f"{TRANSCRIPTS}/{transcript_id}/retry", {}).code == "not_ended"
    else:
        assert server.browser.get(f"{TRANSCRIPTS}/{transcript_id}/document").json["lines"] == []


def test_a_server_that_stops_keeps_what_was_heard(tmp_path: Path) -> None:
    with serving(tmp_path, ScriptedLiveRecognizer()) as server:
        transcript_id = server.begin()
        with server.tab(transcript_id) as tab:
            tab.socket.send(HALF)
            tab.next("received")
    with serving(tmp_path, ScriptedLiveRecognizer()) as server:
        record = server.record(transcript_id)
        assert (record["state"], record["duration"]) == ("done", 0.5)
        assert record["warnings"] == ["the server stopped: the recording ends there"]
        assert server.texts(transcript_id) == [SENTENCES[0]]
        assert server.recording(transcript_id) == HALF


def test_what_a_killed_server_had_heard_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name, sound in (("heard", SECOND + b"\1"), ("silent", b"")):
        store.add(Record(name, ANNA, "Talk", Source("microphone", "Talk"), {}, state="live"))
        folder = tmp_path / "media" / name
        folder.mkdir(parents=True)
        LiveRecording(folder / "recording").close()
        with (folder / "recording").open("ab") as file:  # whose header says nothing of it yet
            file.write(sound)
    store.close()
    with serving(tmp_path, None) as server:
        assert [record["id"] for record in server.browser.get(TRANSCRIPTS).json["transcripts"]] == ["heard"]
        record = server.record("heard")
        assert (record["state"], record["duration"]) == ("done", 1.0)
        assert "ended unexpectedly" in record["warnings"][0]
        assert server.recording("heard") == SECOND


@pytest.mark.parametrize("cut", [0, 10, 44, 45, 46])
def test_a_recording_that_is_cut_off_anywhere_is_completed(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "recording"
    recording = LiveRecording(path)
    recording.append(SECOND)
    recording.close()
    path.write_bytes(path.read_bytes()[:cut])
    assert complete(path) == max(cut - 44, 0) // 2 / 16000
    with wave.open(str(path)) as sound:
        assert sound.getnframes() == max(cut - 44, 0) // 2


def test_on_a_full_disk_it_ends_and_says_so(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    transcript_id = server.begin()
    with server.tab(transcript_id) as tab:
        tab.say(1)
        tab.next("received")

        def fail(*_: Any) -> None:
            raise OSError

        monkeypatch.setattr(LiveRecording, "append", fail)
        tab.say(1)
        assert "disk is full" in tab.until_ended()[-1]["warning"]
    assert server.record(transcript_id)["duration"] == 1.0
    assert server.texts(transcript_id) == [SENTENCES[0]]


def test_it_ends_after_its_longest_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_session, "MAX_S", 2.0)
    transcript_id = server.begin()
    with server.tab(transcript_id) as tab:
        tab.say(3)
        assert "live captions end after" in tab.until_ended()[-1]["warning"]
    assert server.recording(transcript_id) == 2 * SECOND


def test_there_are_only_so_many_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, ScriptedLiveRecognizer(max_sessions=1)) as server:
        transcript_id = server.begin()
        refused = server.browser.post(LIVE, {})
        assert refused.status == 429
        with server.tab(transcript_id) as tab:
            tab.stop()
        server.begin()


@pytest.mark.parametrize("live", [None, ScriptedLiveRecognizer()])
def test_the_page_is_told_whether_there_are_any(live: ScriptedLiveRecognizer | None, tmp_path: Path) -> None:
    with serving(tmp_path, live) as server:
        assert server.browser.get("/page/api/options").json["live"] is (live is not None)
        if live is None:
            assert server.browser.post(LIVE, {}).code == "no_live"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://elsewhere.example"}, 403),
        ({"origin": ""}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"cookie": ""}, 401),
        ({"cookie": "another"}, 409),
    ],
)
def test_nobody_else_may_listen(headers: dict[str, str], status: int, server: Server) -> None:
    transcript_id = server.begin()
    if headers.get("cookie"):
        headers = {"cookie": f"worker-whisper-visitor-{server.port}={'u' * 43}"}
    with pytest.raises(InvalidStatus) as refused, server.tab(transcript_id, **headers):
        pass
    assert refused.value.response.status_code == status


def test_with_keys_the_password_is_needed(tmp_path: Path) -> None:
    with serving(tmp_path, ScriptedLiveRecognizer(), DoorSettings(api_keys=frozenset({"secret"}))) as server:
        assert server.browser.post(LIVE, {}).code == "password_needed"
        with pytest.raises(InvalidStatus) as refused, server.tab("any"):
            pass
        assert refused.value.response.status_code == 401
        server.browser.log_in("secret")
        with server.tab(server.begin()) as tab:
            tab.stop()


@pytest.mark.parametrize(
    "message",
    [b"\0", bytes(page_live.MAX_MESSAGE_BYTES + 2), "", "[]", "{", '{"type": "sing"}', "[" * 4000, "[" * 100_000],
    ids=range(8),
)
def test_a_wrong_message_ends_the_connection_but_not_the_transcript(message: bytes | str, server: Server) -> None:
    transcript_id = server.begin()
    with server.tab(transcript_id) as tab:
        tab.socket.send(message)
        tab.until_ended()
        assert tab.socket.close_code == page_live.WRONG_MESSAGE
    with server.tab(transcript_id) as tab:
        assert tab.ready["received"] == 0


def test_a_tab_that_cannot_be_told_what_it_missed_comes_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    transcript_id = server.begin()
    with monkeypatch.context() as broken:
        broken.setattr(Store, "lines_of", lambda *_: 1 / 0)
        with pytest.raises(ConnectionClosed), server.tab(transcript_id):
            pass
    with server.tab(transcript_id) as tab:
        assert tab.ready["received"] == 0
        tab.say(1)
        tab.stop()
    assert server.record(transcript_id)["warnings"] == []


def test_options_that_the_recognizer_refuses_leave_nothing(tmp_path: Path) -> None:
    live = ScriptedLiveRecognizer(max_sessions=1, refused=LiveRefused("there is no language xx", "invalid_value"))
    with serving(tmp_path, live) as server:
        refused = server.browser.post(LIVE, {"options": {"language": "xx"}})
        assert (refused.status, refused.json["error"]["message"]) == (400, "there is no language xx")
        assert server.browser.get(TRANSCRIPTS).json["transcripts"] == []
        live.refused = None
        server.begin()


class Deaf(ScriptedLiveRecognizer):
    """Fails at the end of each utterance, and warns."""

    async def open(self, options: LiveOptions, on_event: Callable[[LiveEvent], None]) -> Any:
        def tell(event: LiveEvent) -> None:
            if isinstance(event, Completed):
                on_event(Failed(event.utterance, "the model failed", "Internal"))
                on_event(Warned("noise reduction has no effect"))
            else:
                on_event(event)

        return await super().open(options, tell)


def test_what_could_not_be_transcribed_is_told_and_its_sound_kept(tmp_path: Path) -> None:
    with serving(tmp_path, Deaf()) as server:
        transcript_id = server.begin()
        with server.tab(transcript_id) as tab:
            tab.say(2)
            assert tab.next("lines")["lines"] == []
            assert "a part could not be transcribed" in tab.next("warning")["message"]
            tab.stop()
        record = server.record(transcript_id)
        assert record["warnings"] == [
            "a part could not be transcribed: the model failed",
            "noise reduction has no effect",
        ]
        assert server.recording(transcript_id) == 2 * SECOND
