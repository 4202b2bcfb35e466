"""Events of `/v1/realtime`, in both layouts of OpenAI's, with a scripted recognizer behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from api.live.recognizer import LiveOptions, LiveRefused, TurnDetection
from tests.support.http_api import Api, api_on_loopback
from tests.support.live import SENTENCES, Caller, ScriptedLiveRecognizer

SECOND = bytes(48_000)
TRANSCRIPTION = "conversation.item.input_audio_transcription"
COMPLETED = f"{TRANSCRIPTION}.completed"
BETA = {"additional_headers": {"OpenAI-Beta": "realtime=v1"}}


@pytest.fixture(scope="module")
def recognizer() -> ScriptedLiveRecognizer:
    return ScriptedLiveRecognizer()


@pytest.fixture(scope="module")
def api(recognizer: ScriptedLiveRecognizer) -> Iterator[Api]:
    with api_on_loopback(live=recognizer) as api:
        yield api


@pytest.fixture
def caller(api: Api) -> Iterator[Caller]:
    with Caller(api.port) as caller:
        assert caller.next()["type"] == "session.created"
        yield caller


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("input_audio_buffer.").replace(TRANSCRIPTION, "") for event in events]


BEFORE = ["speech_started", ".delta", ".delta", ".delta", "speech_stopped", "committed"]


@pytest.mark.parametrize(
    ("options", "created", "items"),
    [
        ({}, "session.created", ["conversation.item.added", "conversation.item.done"]),
        (BETA, "transcription_session.created", ["conversation.item.created"]),
        (
            {"subprotocols": ["realtime", "openai-beta.realtime-v1"]},
            "transcription_session.created",
            ["conversation.item.created"],
        ),
    ],
)
def test_an_utterance_is_told_in_openais_order(api: Api, options: Any, created: str, items: list[str]) -> None:
    with Caller(api.port, **options) as caller:
        assert caller.next()["type"] == created
        caller.append(SECOND + SECOND[:4800])
        events = caller.until(COMPLETED)
    assert types(events) == [*BEFORE, *items, ".completed"]
    ids = {event.get("item_id") or event["item"]["id"] for event in events}
    assert len(ids) == 1
    assert "".join(event["delta"] for event in events if "delta" in event) == events[-1]["transcript"] == SENTENCES[0]


@pytest.mark.parametrize("update", ["session.update", "transcription_session.update"])
def test_settings_of_the_beta_change_the_layout(api: Api, caller: Caller, update: str) -> None:
    caller.send(update, session={"input_audio_format": "g711_ulaw", "turn_detection": None})
    updated = caller.next()
    assert updated["type"] == f"{update}d"
    assert updated["session"]["input_audio_format"] == "g711_ulaw"
    caller.append(bytes(8000))
    caller.send("input_audio_buffer.commit")
    assert "conversation.item.created" in types(caller.until(COMPLETED))


def test_an_item_names_the_one_before(caller: Caller) -> None:
    caller.append(SECOND * 3)
    items = [caller.next("conversation.item.added") for _ in range(2)]
    assert [item["previous_item_id"] for item in items] == [None, items[0]["item"]["id"]]


def test_extras_of_a_text_are_those_that_were_asked_for(caller: Caller) -> None:
    plain = _utterance(caller)
    assert {"words", "logprobs"}.isdisjoint(plain)
    assert "speaker" not in plain["segments"][0]
    caller.send(
        "session.update",
        session={
            "type": "transcription",
            "audio": {"input": {"transcription": {"diarize": True, "word_timestamps": True}}},
            "include": ["item.input_audio_transcription.logprobs"],
        },
    )
    caller.append(SECOND)
    segment = caller.next(f"{TRANSCRIPTION}.segment")
    full = caller.next(COMPLETED)
    assert (segment["speaker"], segment["text"]) == (full["segments"][0]["speaker"], full["transcript"])
    assert [word["word"] for word in full["words"]] == [f" {word}" for word in full["transcript"].split()]
    assert full["logprobs"][0]["token"] == full["transcript"]
    assert (full["language"], full["languages"]) == ("en", [{"code": "en"}])
    assert full["usage"] == {"type": "duration", "seconds": pytest.approx(1, abs=0.05)}


def _utterance(caller: Caller) -> dict[str, Any]:
    caller.append(SECOND + SECOND[:4800])
    return caller.next(COMPLETED)


VAD = {"type": "server_vad"}
VOICES = {f"Voice {number}": {"embedding": [0.0] * 191 + [1.0]} for number in range(200)}
DEFAULT = LiveOptions()


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({}, DEFAULT),
        ({"transcription": {"model": "whisper-1", "language": "de"}}, LiveOptions(languages=("de",))),
        ({"transcription": {"model": "base"}}, LiveOptions(model="base")),
        ({"transcription": {"language": ""}}, DEFAULT),
        ({"transcription": {"languages": ["de", "en", "de"]}}, LiveOptions(languages=("de", "en"))),
        ({"transcription": {"language": None, "languages": ["de", "en"]}}, LiveOptions(languages=("de", "en"))),
        ({"transcription": {"language": "de", "languages": None}}, LiveOptions(languages=("de",))),
        ({"transcription": {"prompt": "Dr. Ng", "keywords": ["Ng"]}}, LiveOptions(prompt="Dr. Ng", keywords=("Ng",))),
        ({"transcription": {"keywords": []}}, DEFAULT),
        ({"transcription": None}, DEFAULT),
        ({"transcription": {"delay": "minimal"}}, LiveOptions(draft_seconds=0.3)),
        ({"transcription": {"delay": "xhigh"}}, LiveOptions(draft_seconds=None)),
        ({"transcription": {"diarize": True}}, LiveOptions(diarize=True)),
        ({"transcription": {"speakers": VOICES}}, LiveOptions(speakers=VOICES)),
        ({"transcription": {"redact": ["card", "iban"]}}, LiveOptions(redact=("card", "iban"))),
        (
            {"transcription": {"mask": ["damn"], "mask_style": "stars"}},
            LiveOptions(mask=("damn",), mask_style="stars"),
        ),
        ({"transcription": {"model": "gpt-realtime-whisper"}}, LiveOptions(turn_detection=None)),
        ({"transcription": {"model": "gpt-live-transcribe"}, "turn_detection": VAD}, DEFAULT),
        ({"turn_detection": None}, LiveOptions(turn_detection=None)),
        ({"turn_detection": VAD}, DEFAULT),
        (
            {"turn_detection": {**VAD, "threshold": 0.2, "prefix_padding_ms": 600, "silence_duration_ms": 350}},
            LiveOptions(turn_detection=TurnDetection(0.2, 600, 350)),
        ),
        ({"turn_detection": {"type": "semantic_vad"}}, LiveOptions(turn_detection=TurnDetection(0.5, 300, 700))),
        (
            {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}},
            LiveOptions(turn_detection=TurnDetection(0.5, 300, 1000)),
        ),
        ({"noise_reduction": {"type": "far_field"}}, LiveOptions(noise_reduction=True)),
        ({"noise_reduction": None}, DEFAULT),
    ],
)
def test_settings_become_options(
    recognizer: ScriptedLiveRecognizer, caller: Caller, fields: Any, options: LiveOptions
) -> None:
    assert caller.update(**fields)["type"] == "session.updated"
    assert recognizer.streams[-1].options[-1] == options


def test_what_an_update_leaves_out_stays(recognizer: ScriptedLiveRecognizer, caller: Caller) -> None:
    caller.update(transcription={"language": "de", "prompt": "Guten Tag."}, turn_detection=None)
    session = caller.update(transcription={"keywords": ["Zug"]})["session"]
    expected = LiveOptions(languages=("de",), prompt="Guten Tag.", keywords=("Zug",), turn_detection=None)
    assert recognizer.streams[-1].options[-1] == expected
    described = session["audio"]["input"]
    assert (described["transcription"]["language"], described["turn_detection"]) == ("de", None)


@pytest.mark.parametrize(
    ("session", "param"),
    [
        (None, "session"),
        ([], "session"),
        ({"type": "realtime"}, "session.type"),
        ({"audio": 1}, "session.audio"),
        ({"audio": {"input": []}}, "session.audio.input"),
        ({"audio": {"input": {"format": "pcm16"}}}, "session.audio.input.format"),
        ({"audio": {"input": {"format": {"type": "audio/mp3"}}}}, "session.audio.input.format.type"),
        ({"audio": {"input": {"format": {"type": ["audio/pcm"]}}}}, "session.audio.input.format.type"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 44100}}}}, "session.audio.input.format.rate"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": True}}}}, "session.audio.input.format.rate"),
        ({"audio": {"input": {"format": {"type": "audio/pcmu", "rate": 1}}}}, "session.audio.input.format.rate"),
        ({"input_audio_format": "mp3"}, "session.input_audio_format"),
        ({"input_audio_format": {}}, "session.input_audio_format"),
        ({"input_audio_transcription": {"language": 1}}, "session.input_audio_transcription.language"),
        ({"audio": {"input": {"transcription": {"model": {}}}}}, "session.audio.input.transcription.model"),
        ({"audio": {"input": {"transcription": {"model": "llama"}}}}, "model"),
        ({"audio": {"input": {"transcription": {"keywords": "a"}}}}, "session.audio.input.transcription.keywords"),
        ({"audio": {"input": {"transcription": {"keywords": [1]}}}}, "session.audio.input.transcription.keywords"),
        ({"audio": {"input": {"transcription": {"prompt": "a" * 20_001}}}}, "session.audio.input.transcription.prompt"),
        ({"audio": {"input": {"transcription": {"delay": "none"}}}}, "session.audio.input.transcription.delay"),
        (
            {"audio": {"input": {"transcription": {"language": "de", "languages": ["de", "en"]}}}},
            "session.audio.input.transcription.languages",
        ),
        ({"audio": {"input": {"transcription": {"redact": "card"}}}}, "session.audio.input.transcription.redact"),
        ({"audio": {"input": {"transcription": {"diarize": "x"}}}}, "session.audio.input.transcription.diarize"),
        (
            {"audio": {"input": {"transcription": {"speakers": {"Ada": {"url": "https://a"}}}}}},
            "session.audio.input.transcription.speakers",
        ),
        ({"audio": {"input": {"turn_detection": "vad"}}}, "session.audio.input.turn_detection"),
        ({"audio": {"input": {"turn_detection": {"type": "x"}}}}, "session.audio.input.turn_detection.type"),
        (
            {"audio": {"input": {"turn_detection": {"threshold": 1.5}}}},
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {"audio": {"input": {"turn_detection": {"silence_duration_ms": 1e300}}}},
            "session.audio.input.turn_detection.silence_duration_ms",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": []}}}},
            "session.audio.input.turn_detection.eagerness",
        ),
        ({"audio": {"input": {"noise_reduction": {"type": "all"}}}}, "session.audio.input.noise_reduction.type"),
        ({"include": "logprobs"}, "session.include"),
    ],
)
def test_a_wrong_setting_is_named_and_changes_nothing(caller: Caller, session: Any, param: str) -> None:
    before = caller.update()["session"]
    caller.send("session.update", event_id="mine", session=session)
    error = caller.next()
    assert error["type"] == "error"
    assert (error["error"]["param"], error["error"]["event_id"]) == (param, "mine")
    assert error["error"]["type"] == "invalid_request_error"
    assert caller.update()["session"] == before


def test_what_has_no_effect_is_told_once(caller: Caller) -> None:
    unknown = {"type": "transcription", "audio": {"output": {"voice": "alloy"}, "input": {"x": 1}}, "tools": []}
    for session in (unknown, {**unknown, "tracing": "auto"}, unknown):
        caller.send("session.update", session=session)
    caller.send("session.finish")
    told = [event["message"] for event in caller.until("session.finished") if event["type"] == "session.warning"]
    names = "session.audio.output, session.audio.input.x, session.tools"
    assert [message.partition(": ")[2] for message in told] == [names, "session.tracing"]


def test_another_model_that_answers_is_told(caller: Caller) -> None:
    caller.update(transcription={"model": "Systran/faster-whisper-small"})
    assert "small is not loaded here: turbo" in caller.next("session.warning")["message"]


def test_a_model_of_the_address_is_that_of_the_session(api: Api, recognizer: ScriptedLiveRecognizer) -> None:
    with Caller(api.port, "model=base") as caller:
        session = caller.next()["session"]
        caller.append(SECOND)
        caller.next("input_audio_buffer.speech_started")
    assert session["audio"]["input"]["transcription"]["model"] == "base"
    assert recognizer.streams[-1].options == [LiveOptions(model="base")]


@pytest.mark.parametrize(
    ("message", "param", "says"),
    [
        ("", None, "JSON"),
        ("{", None, "JSON"),
        ("NaN", None, "JSON"),
        ('{"type": NaN}', None, "JSON"),
        ("[]", None, "object"),
        ("1" * 5000, None, "JSON"),
        ("null", None, "object"),
        ("{}", "type", "missing"),
        ('{"type": 1}', "type", "missing"),
        ('{"type": ["session.update"]}', "type", "missing"),
        ('{"type": "response.create"}', "type", '"response.create" is no event here'),
        ('{"type": "x\\ud800\\n<b>"}', "type", "is no event here"),
        ('{"type": "input_audio_buffer.append"}', "audio", "base64"),
        ('{"type": "input_audio_buffer.append", "audio": 1}', "audio", "base64"),
        ('{"type": "input_audio_buffer.append", "audio": "AAA"}', "audio", "padding"),
        ('{"type": "input_audio_buffer.append", "audio": "AA AA"}', "audio", "valid"),
        ('{"type": "input_audio_buffer.append", "audio": "AA=A"}', "audio", "valid"),
        ('{"type": "input_audio_buffer.append", "audio": "\\ud800AAA"}', "audio", "valid"),
        ('{"type": "input_audio_buffer.commit"}', None, "100 ms"),
        ("[" * 100_000, "event", "values"),
        ('{"type": "session.update", "session": ' + "[" * 5000 + "]" * 5000 + "}", None, "JSON"),
        ('{"type": "session.update", "session": ' + "[" * 50 + "]" * 50 + "}", None, "levels"),
    ],
    ids=range(22),
)
def test_a_wrong_event_is_an_error_and_the_session_goes_on(
    caller: Caller, message: str, param: str | None, says: str
) -> None:
    caller.socket.send(message)
    error = caller.next()
    assert error["type"] == "error"
    assert error["error"]["param"] == param
    assert says in error["error"]["message"]
    assert "\n" not in error["error"]["message"]
    assert caller.update()["type"] == "session.updated"


@pytest.mark.parametrize("event_id", [1, None, "é\ud800" + "x" * 100_000, ["deep"], {}])
def test_any_id_of_an_event_can_be_told(caller: Caller, event_id: Any) -> None:
    caller.socket.send(json.dumps({"type": "no", "event_id": event_id}))
    told = caller.next()["error"]["event_id"]
    assert told is None or (isinstance(event_id, str) and len(told) <= 60)


def test_a_commit_needs_a_tenth_of_a_second_of_sound_that_was_not_committed(caller: Caller) -> None:
    caller.update(turn_detection=None)
    caller.append(bytes(4700))
    caller.send("input_audio_buffer.commit", event_id="first")
    assert caller.next("error")["error"] | {"message": ""} == {
        "type": "invalid_request_error",
        "code": "input_audio_buffer_commit_empty",
        "param": None,
        "message": "",
        "event_id": "first",
    }
    caller.append(bytes(300))
    caller.send("input_audio_buffer.commit")
    assert caller.next(COMPLETED)["transcript"] == SENTENCES[0]
    caller.send("input_audio_buffer.commit")
    assert caller.next("error")["error"]["code"] == "input_audio_buffer_commit_empty"


def test_sound_that_is_cleared_is_forgotten(recognizer: ScriptedLiveRecognizer, caller: Caller) -> None:
    caller.send("input_audio_buffer.clear")
    assert caller.next()["type"] == "input_audio_buffer.cleared"
    caller.append(SECOND[:24_000])
    caller.send("input_audio_buffer.clear")
    caller.next("input_audio_buffer.cleared")
    caller.send("session.finish")
    assert types(caller.until("session.finished")) == ["session.finished"]
    assert recognizer.streams[-1].calls[:2] == ["clear", "finish"]


def test_finishing_tells_all_text_and_closes(caller: Caller) -> None:
    caller.append(SECOND[:24_000])
    caller.send("session.finish")
    caller.append(SECOND)
    events = caller.until("session.finished")
    assert types(events)[-2:] == [".completed", "session.finished"]
    assert events[-1]["received_audio_bytes"] == 24_000
    with pytest.raises(Exception, match="1000"):
        caller.next()


def test_options_that_a_stream_cannot_have_are_refused(
    recognizer: ScriptedLiveRecognizer, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = LiveRefused("custom_vocabulary: 'x' has no letters", "invalid_value")
    monkeypatch.setattr(recognizer, "refused", refusal)
    error = caller.update(transcription={"keywords": ["x"]})["error"]
    assert (error["message"], error["code"]) == ("keywords: 'x' has no letters", "invalid_value")
    monkeypatch.setattr(recognizer, "refused", None)
    assert "keywords" not in caller.update()["session"]["audio"]["input"]["transcription"]


def test_a_bug_behind_an_event_is_told_without_what_it_says(
    recognizer: ScriptedLiveRecognizer, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognizer, "refused", ZeroDivisionError("a secret"))
    error = caller.update()["error"]
    assert (error["type"], error["message"]) == ("server_error", "the server failed at this event")
    monkeypatch.setattr(recognizer, "refused", None)
    assert caller.update()["type"] == "session.updated"
