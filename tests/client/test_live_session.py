"""A live session over connections that break: each word is heard once, at its own time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from client.errors import EndpointFailed, EndpointUnreachable, EndpointUnusable, WrongUsage
from client.realtime.backlog import Backlog
from client.realtime.session import Listener, LiveSession, Timeouts
from client.realtime.utterances import Utterance
from client.settings import EndpointSettings
from tests.client.hearing_server import UNIT_BYTES, HearingServer, sound

QUICK = Timeouts(first_pause=0.01, longest_pause=0.02)
SHORT = Timeouts(first_contact=0.2, failures=0.5, answer=0.3, first_pause=0.01, longest_pause=0.02)

SPEECH = sound(0, 1, 2, 3, 0, 0, 0, 0, 4, 5, 0, 0, 0, 6, 0, 0, 0, 0)
HEARD = [(0.1, 0.4, "1 2 3"), (0.8, 1.0, "4 5"), (1.3, 1.4, "6")]


class Hearing:
    """A session that hears some sound, and what it tells."""

    def __init__(
        self, pcm: bytes = SPEECH, *, settings: dict[str, Any] | None = None, timeouts: Timeouts = QUICK
    ) -> None:
        self.pcm, self.settings, self.timeouts = pcm, settings or {"type": "transcription"}, timeouts
        self.backlog = Backlog()
        self.utterances: list[Utterance] = []
        self.notes: list[str] = []
        self.retries: list[str] = []
        self.states: list[str] = []
        self.drafts: set[str] = set()
        self.forgotten_when_broken = 0

    def run(self, server: HearingServer | EndpointSettings) -> Hearing:
        asyncio.run(self._run(server.settings if isinstance(server, HearingServer) else server))
        return self

    @property
    def heard(self) -> list[tuple[float, float, str]]:
        segments = [segment for utterance in self.utterances for segment in utterance.segments]
        return [(segment["start"], segment["end"], segment["text"].strip()) for segment in segments]

    async def _run(self, server: EndpointSettings) -> None:
        self.backlog.append(self.pcm)
        self.backlog.complete()

        def keep_drafts() -> None:
            self.drafts |= {utterance.words.strip() for utterance in session.utterances.unfinished}

        def retry(reason: str) -> None:
            self.retries.append(reason)
            self.backlog.forget(self.forgotten_when_broken)

        listener = Listener(self.states.append, keep_drafts, self.utterances.append, self.notes.append, retry)
        session = LiveSession(server, self.settings, self.backlog, listener, self.timeouts)
        await session.run()


def test_words_come_as_they_are_spoken_and_then_as_final_text() -> None:
    with HearingServer() as server:
        hearing = Hearing(settings={"type": "transcription", "audio": {"input": {}}}).run(server)
        assert server.sessions[0].settings == {"type": "transcription", "audio": {"input": {}}}
        assert server.headers["Authorization"] == "Bearer key"
    assert hearing.heard == HEARD
    assert {"1", "1 2", "1 2 3", "4"} <= hearing.drafts
    assert hearing.notes == []


BREAKS = [
    [UNIT_BYTES],
    [2 * UNIT_BYTES],
    [5 * UNIT_BYTES],
    [8 * UNIT_BYTES],
    [10 * UNIT_BYTES],
    [len(SPEECH)],
    [2 * UNIT_BYTES, 3 * UNIT_BYTES, 9 * UNIT_BYTES, 14 * UNIT_BYTES],
]


@pytest.mark.parametrize("breaks", BREAKS, ids=str)
def test_a_session_goes_on_where_its_connection_broke(breaks: Sequence[int]) -> None:
    with HearingServer(breaks) as server:
        hearing = Hearing().run(server)
        assert server.connections == len(breaks) + 1
        assert [session.received for session in server.sessions] == [len(SPEECH)]
    assert hearing.heard == HEARD
    assert (hearing.retries, hearing.notes) == (["the connection was closed; trying again"], [])


@pytest.mark.parametrize("breaks", [breaks for breaks in BREAKS if len(breaks) == 1], ids=str)
def test_a_session_that_the_server_has_lost_begins_again_at_the_first_sound_without_text(breaks: Sequence[int]) -> None:
    with HearingServer(breaks, forgets=True) as server:
        hearing = Hearing().run(server)
        assert len(server.sessions) == 2
    assert hearing.heard == HEARD
    assert hearing.notes == ["the server has lost the session: the sound that has no text yet is sent again"]


def test_a_server_that_stops_is_left_for_the_next_one() -> None:
    with HearingServer(stops=[3 * UNIT_BYTES]) as server:
        hearing = Hearing().run(server)
        assert len(server.sessions) == 2
    assert hearing.heard == [(0.1, 0.3, "1 2"), (0.3, 0.4, "3"), *HEARD[1:]]


def test_words_are_lost_only_if_they_are_older_than_the_sound_that_is_kept_and_this_is_said() -> None:
    hearing = Hearing()
    hearing.forgotten_when_broken = 3 * UNIT_BYTES
    with HearingServer([6 * UNIT_BYTES], tells_first=True, forgets=True) as server:
        hearing.run(server)
    assert hearing.heard == [(0.3, 0.4, "3"), *HEARD[1:]]
    assert hearing.notes == ["the server has lost the session, and with it words of 0.3 s"]


def test_a_connection_that_breaks_before_the_options_are_taken_begins_anew() -> None:
    with HearingServer([0]) as server:
        hearing = Hearing(settings={"type": "transcription", "n": 1}).run(server)
        assert [session.settings["n"] for session in server.sessions] == [1, 1]
    assert hearing.heard == HEARD


def test_a_server_that_is_starting_or_full_is_asked_again() -> None:
    refusals = [(503, {"error": {"message": "the worker is starting"}}), (429, {}), (502, {})]
    with HearingServer(refusals=refusals) as server:
        hearing = Hearing().run(server)
        host = server.url.removeprefix("http://")
    assert hearing.heard == HEARD
    assert hearing.retries == [f"{host} answers 503: the worker is starting; trying again"]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, {"error": {"message": "Incorrect API key"}}, "the API key is wrong or missing: check --api-key or"),
        (403, {"error": {"message": "not from this site"}}, "the server refuses: not from this site"),
        (403, {}, "the server refuses: the API key may not use it"),
        (404, {}, r"has no live transcription: it needs a worker in HTTP mode \(`make http`"),
        (404, {"error": "live is off: set LIVE_SESSIONS"}, "answers 404: live is off: set LIVE_SESSIONS"),
        (200, {}, "has no live transcription"),
        (418, {"error": {"message": "a \x1b[31mteapot\nindeed"}}, r"answers 418: a \[31mteapot indeed$"),
    ],
)
def test_a_refusal_is_final_and_says_what_to_do(status: int, body: dict[str, Any], message: str) -> None:
    with HearingServer(refusals=[(status, body)]) as server:
        with pytest.raises(EndpointUnusable, match=message):
            Hearing().run(server)
        assert server.connections == 1


def test_a_refused_option_is_the_users_mistake() -> None:
    with HearingServer() as server:
        server.option_error = "language: Klingon is not a language that Whisper knows"
        with pytest.raises(WrongUsage, match=r"^language: Klingon is not a language"):
            Hearing().run(server)


def test_an_address_where_nobody_listens_is_given_up_soon() -> None:
    with HearingServer() as server:
        pass
    with pytest.raises(EndpointUnreachable, match=r"cannot be reached: start a worker in HTTP mode \(`make http`\)"):
        Hearing(timeouts=SHORT).run(server)


def test_a_server_that_breaks_each_connection_is_given_up() -> None:
    with HearingServer([UNIT_BYTES] * 1000, forgets=True) as server:
        with pytest.raises(EndpointUnreachable, match="the connection was closed"):
            Hearing(timeouts=SHORT).run(server)
        assert server.connections > 3


def test_a_server_that_never_sends_the_last_text_is_given_up() -> None:
    with HearingServer() as server:
        server.is_mute = True
        with pytest.raises(EndpointFailed, match="has sent nothing for"):
            Hearing(timeouts=SHORT).run(server)


@pytest.mark.parametrize("key", ["k\r\nx-other: 1", "clé"])
def test_a_malformed_key_is_not_sent(key: str) -> None:
    with HearingServer() as server:
        with pytest.raises(WrongUsage, match="the API key is malformed") as refused:
            Hearing().run(EndpointSettings(server.url, None, key))
        assert server.connections == 0
    assert key not in str(refused.value)
