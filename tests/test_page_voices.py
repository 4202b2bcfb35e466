"""Voices of a transcript's speakers, kept by the page of the user's own machine: over HTTP, and where they speak."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from api.page.lines import Line
from api.page.settings import PageSettings
from api.page.voices import find_spans
from client.known_voices import VoiceFolder
from client.page_voices import PageVoices
from src.audio.pcm import SAMPLE_RATE
from tests.support.http_api import ANSWER, Api, ScriptedTranscriber, api_on_loopback, wait_until
from tests.support.media import encode, main_frequency, sine, write_wav
from tests.support.page_api import Browser

TRANSCRIPTS = "/page/api/transcripts"
URL = "https://example.org/talk.mp3"
VOICE = [1.0, *[0.0] * 191]
SPEAKERS = [{"speaker": "SPEAKER_00", "seconds": 12.0, "turns": 1, "start": 0.0, "embedding": VOICE}]


def answer(speakers: Any = SPEAKERS) -> dict[str, Any]:
    return {**ANSWER, "transcription": {**ANSWER["transcription"], "speakers": speakers}}


@pytest.fixture
def transcriber() -> ScriptedTranscriber:
    return ScriptedTranscriber(answer=answer())


@pytest.fixture
def voices(tmp_path: Path) -> VoiceFolder:
    return VoiceFolder(tmp_path / "voices")


@pytest.fixture
def api(transcriber: ScriptedTranscriber, tmp_path: Path, voices: VoiceFolder) -> Iterator[Api]:
    known = PageVoices(voices, print)
    settings = PageSettings(tmp_path / "page", "bridge", reserve_bytes=0, known_voices=known)
    with api_on_loopback(transcriber, page=settings) as api:
        yield api


@pytest.fixture
def browser(api: Api) -> Browser:
    return Browser(api.port)


def finished(browser: Browser, **body: Any) -> str:
    """The path of a new transcript whose job has ended."""
    response = browser.post(TRANSCRIPTS, {"options": {"diarize": True}, **body})
    assert response.status == 201, response.body
    path = f"{TRANSCRIPTS}/{response.json['id']}"
    wait_until(lambda: browser.get(path).json["state"] == "done")
    return path


def keep(browser: Browser, path: str, speaker: str, name: str) -> dict[str, str]:
    """Keep a voice, and wait for what becomes of it."""
    begun = browser.post(f"{path}/voices", {"speaker": speaker, "name": name})
    assert begun.status == 202, begun.body
    wait_until(lambda: browser.get(f"{path}/voices").json["kept"][speaker]["state"] != "working")
    kept: dict[str, str] = browser.get(f"{path}/voices").json["kept"][speaker]
    return kept


@pytest.mark.process
def test_a_voice_that_is_kept_is_named_in_the_next_transcript(
    browser: Browser, transcriber: ScriptedTranscriber, voices: VoiceFolder, tmp_path: Path
) -> None:
    """Of a recording on this machine only what the speaker says is sent, with no word on other speakers."""
    tones = np.concatenate([sine(frequency, 2.0) for frequency in (300.0, 1000.0, 300.0)])
    recording = write_wav(tmp_path / "talk.wav", tones[:, None])
    path = finished(browser, upload=browser.upload(recording.read_bytes(), "talk.wav"))
    assert browser.get(f"{path}/voices").json == {"possible": True, "kept": {}}
    assert keep(browser, path, "SPEAKER_00", " प्रिया ") == {
        "name": "प्रिया",
        "state": "done",
        "message": "Kept the voice of प्रिया: 12 s of speech.",
    }
    job = transcriber.jobs[-1]
    assert job.input == {"options": {"diarize": True, "speaker_embeddings": True, "output_format": "json"}}
    sent = decode(transcriber.uploads[-1] or b"", tmp_path)
    assert len(sent) / SAMPLE_RATE == pytest.approx(3.0, abs=0.01)  # two lines of 1.5 s
    assert {round(main_frequency(line)) for line in np.array_split(sent, 2)} == {300}
    assert job.upload is not None
    assert not job.upload.exists()
    assert [voice.name for voice in voices.load_all()] == ["प्रिया"]
    finished(browser, url=URL)
    assert transcriber.jobs[-1].input["options"]["speakers"] == {"प्रिया": {"embedding": VOICE}}


def test_voices_are_listed_and_forgotten_like_those_of_the_command_line(browser: Browser, voices: VoiceFolder) -> None:
    path = finished(browser, url=URL)
    keep(browser, path, "SPEAKER_00", "Conan O’Brien")
    voices.save(replace(voices.get("Conan O’Brien"), name="Ada"))
    day = voices.get("Ada").samples[0].added
    known = {"samples": 1, "seconds": 12.0, "added": day}
    assert browser.get("/page/api/voices").json == {
        "voices": [{"name": name, **known} for name in ("Ada", "Conan O’Brien")]
    }
    assert browser.ask("DELETE", f"/page/api/voices/{quote('conan O’Brien')}").status == 204
    assert [voice.name for voice in voices.load_all()] == ["Ada"]
    assert browser.get(f"{path}/voices").json["kept"] == {}
    again = browser.ask("DELETE", f"/page/api/voices/{quote('Conan O’Brien')}")
    assert (again.status, again.code) == (409, "voices_failed")
    next((voices.path).glob("*.json")).write_text("{")
    assert browser.get("/page/api/voices").code == "voices_failed"
    browser.cookie = ""
    assert browser.get("/page/api/voices").status == 401


def test_of_a_recording_elsewhere_the_worker_fetches_what_the_speaker_says(
    browser: Browser, transcriber: ScriptedTranscriber, voices: VoiceFolder
) -> None:
    path = finished(browser, url=URL, options={"diarize": True, "audio_track": 2, "language": "en"})
    assert keep(browser, path, "SPEAKER_00", "Ada")["state"] == "done"
    options = transcriber.jobs[-1].input["options"]
    assert transcriber.jobs[-1].input["audio"] == {"url": URL}
    assert options.pop("clip_timestamps") == [[0.0, 1.5], [4.0, 5.5]]
    assert options == {"diarize": True, "speaker_embeddings": True, "output_format": "json", "audio_track": 2}
    assert keep(browser, path, "SPEAKER_00", "Bob")["message"] == (
        "Kept the voice of Bob: 12 s of speech. This sounds like Ada, who is known already."
    )


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (answer([]), "The voice is not kept: nobody speaks in the recording: give one in which the person speaks "),
        (answer([{**SPEAKERS[0], "embedding": None}]), "The voice is not kept: the answer has no embedding of 192"),
        ({"error": "the endpoint has no workers", "error_type": "x"}, "The voice is not kept: the endpoint has no "),
        (RuntimeError("secret"), "The voice is not kept: the server failed: try again."),
    ],
)
def test_a_failure_is_a_sentence(
    browser: Browser, transcriber: ScriptedTranscriber, voices: VoiceFolder, failure: Any, sentence: str
) -> None:
    path = finished(browser, url=URL)
    transcriber.answer = failure
    kept = keep(browser, path, "SPEAKER_00", "Ada")
    assert kept["state"] == "failed"
    assert kept["message"].startswith(sentence)
    assert voices.load_all() == []


def test_what_cannot_be_kept_is_refused_at_once(browser: Browser, transcriber: ScriptedTranscriber) -> None:
    path = finished(browser, url=URL)
    for name, sentence in (
        ("<b>", "name: a name should be 1 to 60 letters"),
        ("", "name: a name should be 1 to 60 letters"),
        (None, "name: should be a text"),
    ):
        refused = browser.post(f"{path}/voices", {"speaker": "SPEAKER_00", "name": name})
        assert refused.status == 400
        assert refused.json["error"]["message"].startswith(sentence)
    assert "this speaker says nothing" in keep(browser, path, "SPEAKER_07", "Ada")["message"]
    assert Browser(browser.port).post(f"{path}/voices", {"speaker": "SPEAKER_00", "name": "Ada"}).status == 404
    assert len(transcriber.jobs) == 1


def test_a_server_without_known_voices_says_so(tmp_path: Path) -> None:
    settings = PageSettings(tmp_path / "page", "worker", reserve_bytes=0)
    with api_on_loopback(ScriptedTranscriber(), page=settings) as api:
        browser = Browser(api.port)
        path = finished(browser, url=URL)
        assert browser.get(f"{path}/voices").json == {"possible": False, "kept": {}}
        assert browser.post(f"{path}/voices", {"speaker": "SPEAKER_00", "name": "Ada"}).code == "no_voices"


def line(start: float, end: float, speaker: str | None) -> Line:
    return Line(f"{start}", start, end, speaker, ())


@pytest.mark.parametrize(
    ("lines", "spans"),
    [
        ([line(0, 4, "a"), line(4, 6, "b"), line(6, 9, "a")], [(0, 4), (6, 9)]),
        ([line(0, 4, "a"), line(3, 5, "b"), line(6, 9, "a")], [(6, 9)]),
        ([line(0, 4, "a"), line(3, 5, "b")], [(0, 4)]),
        ([line(0, 0.3, "a"), line(3, 5, "b")], []),
        ([line(0, 100, "a")], [(0, 60)]),
        ([line(0, 20, "a"), line(30, 80, "a"), line(90, 120, "b")], [(0, 10), (30, 80)]),
        ([line(9 * i, 9 * i + 1 + i / 9, "a") for i in range(20)], [(9 * i, 9 * i + 1 + i / 9) for i in range(4, 20)]),
    ],
)  # fmt: skip
def test_the_longest_lines_of_a_speaker_alone_are_taken(lines: list[Line], spans: list[tuple[float, float]]) -> None:
    assert find_spans(lines, "a") == spans


def decode(flac: bytes, folder: Path) -> Any:
    """The samples of a file."""
    (folder / "sent.flac").write_bytes(flac)
    encode("-i", str(folder / "sent.flac"), "-f", "s16le", str(folder / "sent.pcm"))
    return np.frombuffer((folder / "sent.pcm").read_bytes(), "<i2")
