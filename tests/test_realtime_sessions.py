"""Who may open a live session, how many there may be, and how a caller comes back to one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from websockets.exceptions import InvalidStatus

from api.http import realtime
from api.http.door import DoorSettings
from api.live import log, sessions
from api.live.session import Session
from api.openai.models import ModelChoice
from tests.support.http_api import Api, api_on_loopback, wait_until
from tests.support.live import SENTENCES, Caller, ScriptedLiveRecognizer

SECOND = bytes(48_000)
COMPLETED = "conversation.item.input_audio_transcription.completed"
KEY = "a-key"


@pytest.fixture
def recognizer() -> ScriptedLiveRecognizer:
    return ScriptedLiveRecognizer()


@pytest.fixture
def api(recognizer: ScriptedLiveRecognizer) -> Iterator[Api]:
    with api_on_loopback(live=recognizer) as api:
        yield api


@pytest.fixture
def locked(recognizer: ScriptedLiveRecognizer) -> Iterator[Api]:
    with api_on_loopback(settings=DoorSettings(api_keys=frozenset({KEY, "another"})), live=recognizer) as api:
        yield api


def refusal(api: Api, *args: Any, **options: Any) -> tuple[int, str | None]:
    """Status and code of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as caught:
        Caller(api.port, *args, **options)
    response = caught.value.response
    assert response.headers["x-request-id"]
    return response.status_code, json.loads(response.body)["error"]["code"]


@pytest.mark.parametrize(
    ("query", "headers", "answer"),
    [
        ("", {}, (400, None)),
        ("intent=conversation&model=whisper-1", {}, (400, None)),
        ("model=gpt-realtime", {}, (404, "model_not_found")),
        ("intent=transcription&model=llama", {}, (404, "model_not_found")),
        ("session_id=sess_0", {}, (404, "no_such_session")),
        ("session_id=", {}, (404, "no_such_session")),
        ("intent=transcription", {"Origin": "https://example.org"}, (403, "origin")),
        ("intent=transcription", {"Origin": "null"}, (403, "origin")),
    ],
)
def test_a_handshake_is_refused_with_a_sentence(api: Api, query: str, headers: Any, answer: tuple[int, str]) -> None:
    assert refusal(api, query, additional_headers=headers) == answer


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"x-api-key": "wrong"}])
def test_a_key_is_needed_where_keys_are_set(locked: Api, headers: dict[str, str]) -> None:
    assert refusal(locked, additional_headers=headers) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "options",
    [
        {"additional_headers": {"Authorization": f"Bearer {KEY}"}},
        {"additional_headers": {"x-api-key": KEY}},
        {"subprotocols": ["realtime", f"openai-insecure-api-key.{KEY}"], "origin": "https://example.org"},
    ],
)
def test_a_key_is_taken_from_each_place_that_clients_put_it(locked: Api, options: Any) -> None:
    with Caller(locked.port, **options) as caller:
        assert caller.next()["type"] == "session.created"
        assert caller.socket.subprotocol == ("realtime" if "subprotocols" in options else None)


@pytest.mark.parametrize("path", ["/v1/realtime", "/realtime"])
def test_a_request_that_is_no_websocket_is_told_so(api: Api, path: str) -> None:
    answer = requests.get(f"{api.url}{path}?intent=transcription", timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (426, "upgrade_required")


def test_a_server_without_live_transcription_says_what_it_needs() -> None:
    with api_on_loopback() as api:
        assert refusal(api) == (404, "no_live_transcription")
        answer = requests.get(f"{api.url}/v1/realtime", timeout=10)
    assert "worker in HTTP mode" in answer.json()["error"]["message"]


def test_sessions_beyond_the_limit_are_refused_until_one_is_left(api: Api, recognizer: ScriptedLiveRecognizer) -> None:
    recognizer.max_sessions = 2
    with Caller(api.port) as lost, Caller(api.port) as left:
        for caller in (lost, left):
            caller.append(SECOND)
            caller.next("input_audio_buffer.speech_started")
        assert refusal(api) == (429, "rate_limit_exceeded")
        lost.lose()
        assert refusal(api) == (429, "rate_limit_exceeded")  # its caller may come back
        left.socket.close()
        wait_until(lambda: _opens(api))
    assert recognizer.streams[1].calls == ["close"]
    assert recognizer.streams[0].calls == []


def test_a_finished_session_makes_room_while_its_connection_is_still_open(
    api: Api, recognizer: ScriptedLiveRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def close_never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(realtime, "_close", close_never)
    recognizer.max_sessions = 1
    with Caller(api.port) as first:
        first.append(SECOND)
        first.send("session.finish")
        first.next("session.finished")
        assert _opens(api)


def _opens(api: Api) -> bool:
    try:
        with Caller(api.port) as caller:
            return caller.next()["type"] == "session.created"
    except InvalidStatus:
        return False


def test_a_session_without_sound_ends_with_its_connection(api: Api) -> None:
    with Caller(api.port) as caller:
        caller.next()
    assert api.door.live is not None
    wait_until(lambda: api.door.live and not api.door.live.used_slots)


def test_a_caller_who_comes_back_misses_nothing(api: Api, recognizer: ScriptedLiveRecognizer) -> None:
    with Caller(api.port) as caller:
        session = caller.next()["session"]["id"]
        caller.append(SECOND)
        last = caller.next("input_audio_buffer.speech_started")["event_id"]
        caller.lose()
    with Caller(api.port, f"session_id={session}&after={last}") as caller:
        resumed = caller.next()
        assert (resumed["type"], resumed["after"]) == ("session.resumed", int(last.removeprefix("event_")))
        assert (resumed["event_id"], resumed["received_audio_bytes"]) == (last, 48_000)
        caller.append(SECOND)
        caller.send("session.finish")
        events = caller.until("session.finished")
    numbers = [int(event["event_id"].removeprefix("event_")) for event in events]
    assert numbers == [*range(resumed["after"] + 1, numbers[-1] + 1)]
    texts = [event["transcript"] for event in events if event["type"] == COMPLETED]
    assert texts[:2] == [*SENTENCES[:2]]
    assert len(recognizer.streams) == 1
    assert len(recognizer.streams[0].received) == 64_000


def test_all_events_come_again_if_none_is_named(api: Api) -> None:
    with Caller(api.port) as caller:
        first = caller.next()
        caller.append(SECOND * 2)
        before = [first, *caller.until(COMPLETED)]
        caller.lose()
    with Caller(api.port, f"session_id={first['session']['id']}") as caller:
        assert caller.next()["type"] == "session.resumed"
        assert caller.until(COMPLETED) == before


def test_sound_that_is_being_heard_when_the_connection_is_lost_is_heard_once(
    api: Api, recognizer: ScriptedLiveRecognizer
) -> None:
    recognizer.held = True
    with Caller(api.port) as caller:
        session = caller.next()["session"]["id"]
        for _ in range(5):
            caller.append(SECOND)
        wait_until(lambda: recognizer.streams and recognizer.streams[0].received)
        caller.lose()
    with Caller(api.port, f"session_id={session}") as caller:
        received = caller.next()["received_audio_bytes"]
        assert received == 48_000
        for _ in range(4):
            caller.append(SECOND)
        recognizer.held = False
        caller.send("session.finish")
        assert caller.until("session.finished")[-1]["received_audio_bytes"] == 5 * 48_000
    assert len(recognizer.streams[0].received) == 5 * 32_000


def test_another_connection_takes_a_session_over(api: Api) -> None:
    with Caller(api.port) as first:
        session = first.next()["session"]["id"]
        first.append(SECOND)
        first.next("input_audio_buffer.speech_started")
        with Caller(api.port, f"session_id={session}") as second:
            assert second.next()["type"] == "session.resumed"
            assert first.close_code() == 4000
            second.append(SECOND)
            second.next(COMPLETED)


def test_a_message_of_a_connection_that_was_replaced_is_not_taken(recognizer: ScriptedLiveRecognizer) -> None:
    async def choose(_: str) -> ModelChoice:
        return ModelChoice(None, None)

    async def take_over() -> list[int]:
        session = Session(recognizer, choose, lambda _: None, "ga", "")
        old, new = log.Reader(0), log.Reader(0)
        session.begin(old)
        session.resume(new)
        received = []
        for reader in (old, new):
            await session.handle(bytes(100), reader)
            received.append(session.received_bytes)
        await session.end()
        return received

    assert asyncio.run(take_over()) == [0, 100]


@pytest.mark.parametrize("after", ["event_99", "event_-1", "event_", "1", "event_1e3", "event_" + "9" * 400, "event_²"])
def test_an_event_that_the_session_never_had_is_refused(api: Api, after: str) -> None:
    with Caller(api.port) as caller:
        session = caller.next()["session"]["id"]
        assert refusal(api, f"session_id={session}&after={after}") == (400, None)
        assert caller.update()["type"] == "session.updated"


def test_only_the_same_key_comes_back(locked: Api) -> None:
    def header(key: str) -> dict[str, Any]:
        return {"additional_headers": {"Authorization": f"Bearer {key}"}}

    with Caller(locked.port, **header(KEY)) as caller:
        session = caller.next()["session"]["id"]
        assert refusal(locked, f"session_id={session}", **header("another")) == (404, "no_such_session")
        with Caller(locked.port, f"session_id={session}", **header(KEY)) as back:
            assert back.next()["type"] == "session.resumed"


def test_a_session_is_kept_for_a_while(
    api: Api, recognizer: ScriptedLiveRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "KEPT_SECONDS", 0.05)
    with Caller(api.port) as caller:
        session = caller.next()["session"]["id"]
        caller.append(SECOND)
        caller.next("input_audio_buffer.speech_started")
        caller.lose()
    wait_until(lambda: recognizer.streams[0].calls == ["close"])
    assert refusal(api, f"session_id={session}") == (404, "no_such_session")
    assert api.door.live is not None
    assert api.door.live.used_slots == 0


def test_events_that_are_no_longer_kept_are_said_to_be_lost(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    with Caller(api.port) as caller:
        session = caller.next()["session"]["id"]
        caller.append(SECOND * 4)
        for _ in range(3):
            newest = caller.next(COMPLETED)
        monkeypatch.setattr(log, "MAX_EVENTS", 3)
        caller.update()
        caller.lose()
    with Caller(api.port, f"session_id={session}&after=event_1") as caller:
        resumed, lost = caller.next(), caller.next()
        following = caller.next()
    assert (lost["type"], lost["error"]["code"]) == ("error", "events_lost")
    first = int(following["event_id"].removeprefix("event_"))
    assert lost["event_id"] == resumed["event_id"] == f"event_{first - 1}"
    assert f"events 2 to {first - 1} " in lost["error"]["message"]
    assert first > int(newest["event_id"].removeprefix("event_")) - 3


def test_live_sessions_are_counted(api: Api) -> None:
    with Caller(api.port) as caller:
        caller.append(SECOND + SECOND[:4800])
        caller.next(COMPLETED)
        during = requests.get(f"{api.url}/metrics", timeout=10).text
    assert "whisper_live_sessions 1.0" in during
    assert 'whisper_live_utterances_total{result="completed"} 1.0' in during
    assert 'whisper_requests_total{route="/v1/realtime",status="1xx"} 1.0' in during


def test_a_server_that_stops_ends_the_sessions_whose_callers_are_away(recognizer: ScriptedLiveRecognizer) -> None:
    with api_on_loopback(live=recognizer) as api:
        caller = Caller(api.port)
        caller.append(SECOND)
        caller.next("input_audio_buffer.speech_started")
        caller.lose()
    assert recognizer.streams[0].calls == ["close"]
