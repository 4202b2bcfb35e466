"""Several recordings as one conversation, a speaker on each: in one request, compressed, and in parts."""

from __future__ import annotations

import base64
import re
import subprocess
import threading
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest

from client import tracks as client_tracks
from client.conversation import transcribe_conversation
from client.errors import BadRecording, ClientError, WrongUsage
from client.job_request import RunSettings
from client.library import Client
from client.remote_audio import check_headers, parse_headers
from client.tracks import Track, check_tracks, parse_tracks
from client.transport.endpoint import Endpoint
from client.transport.fanout import ProgressListener
from media.track_clock import SAMPLE_RATE, Pcm, TrackClock
from tests.client.conftest import CLIPS, run_command, settings_of
from tests.client.scripted_worker import Answer, ScriptedWorker, make_answer
from tests.platform.emulator import Platform
from tests.support.conversations import conversation

URL = "https://example.org/ben.wav"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: parse_tracks(["ada.wav"], []), "--track: give each track a flag of its own, such as Ada=ada.wav"),
        (lambda: parse_tracks(["Ada=a.wav", "Ada=b.wav"], []), "Ada is the name of 2 tracks: give each its own"),
        (lambda: parse_tracks(["Ada=a.wav"], ["Ben=1"]), "--track-offset: there is no track Ben"),
        (lambda: parse_tracks(["Ada=a.wav"], ["Ada=late"]), "--track-offset Ada: give seconds, such as 2.5"),
        (lambda: parse_tracks(["SPEAKER_00=a.wav"], []), "but not like SPEAKER_00"),
        (lambda: check_tracks([]), "give 1 to 16 tracks, not 0"),
        (lambda: check_tracks([Track("Ada", "a.wav", -1.0)]), "Ada: the offset should be 0 to 43200 s"),
        (lambda: parse_headers(["secret"]), "--header: give each header a flag of its own"),
        (lambda: check_headers({"A": "secret"}, [Path("a.wav")]), "headers go with an http:// or https:// URL"),
        (lambda: check_headers({"A": "secret"}, [URL, "https://example.com/a"]), "headers go to one host only"),
    ],
)
def test_wrong_tracks_and_headers_are_refused_with_one_sentence(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(WrongUsage) as refused:
        call()
    assert sentence in str(refused.value)
    assert "secret" not in str(refused.value)


def test_flags_name_tracks_their_offsets_and_headers(tmp_path: Path) -> None:
    assert parse_tracks(["Ada=a=1.wav", f"Ben={URL}"], ["Ben=2.5"]) == [
        Track("Ada", "a=1.wav"),
        Track("Ben", URL, 2.5),
    ]
    (tmp_path / "headers").write_text("Authorization: Bearer a:b\n\nX-Id: 7\n")
    assert parse_headers([f"@{tmp_path / 'headers'}"]) == {"Authorization": "Bearer a:b", "X-Id": "7"}


def answer_by_speaker(job: Answer) -> Answer:
    """Answer with a segment of each track, at 1 s, in which its speaker says `Hello.`."""
    names = [track["name"] for track in job["input"]["audio"]]
    answer = make_answer("", seconds=20.0)
    answer["output"]["transcription"] |= {
        "segments": [
            {"id": number, "start": 1.0, "end": 2.0, "text": " Hello.", "speaker": name, "channel": number}
            for number, name in enumerate(names)
        ],
        "speakers": [{"speaker": name, "seconds": 1.0, "turns": 1, "start": 1.0} for name in names],
        "speaker_turns": [{"start": 1.0, "end": 2.0, "speaker": name} for name in names],
    }
    del answer["output"]["transcription"]["srt"]
    return answer


@pytest.mark.process
def test_files_and_urls_are_one_job_with_names_offsets_and_headers(platform: Platform, folder: Path) -> None:
    (folder / "ada.ogg").write_bytes((CLIPS / "demo.ogg").read_bytes())
    with ScriptedWorker(platform, answer_by_speaker) as worker:
        flags = ["--track", "Ada=ada.ogg", "--track", f"Ben={URL}", "--track-offset", "Ben=2.5"]
        header = ["--header", "Authorization: Bearer opensesame"]
        done = run_command("transcribe", *flags, *header, "-f", "json,text", where=platform, folder=folder)
    assert worker.jobs[0]["input"]["audio"] == [
        {"base64": base64.b64encode((folder / "ada.ogg").read_bytes()).decode(), "name": "Ada"},
        {"url": URL, "headers": {"Authorization": "Bearer opensesame"}, "name": "Ben", "offset": 2.5},
    ]
    assert (folder / "conversation.txt").read_text() == "\n"
    assert "Ada" in (folder / "conversation.json").read_text()
    assert "opensesame" not in done.stdout + done.stderr
    cached = (path for path in (folder.parent / "cache").rglob("*") if path.is_file())
    assert not any(b"opensesame" in path.read_bytes() for path in cached)


def noise(path: Path, seconds: float) -> Path:
    source = f"anoisesrc=d={seconds}:c=pink:a=0.1:r=16000"
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, str(path)], check=True)
    return path


def length_of(track: dict[str, Any], folder: Path) -> float:
    """Seconds of the sound that was sent, by its decoded samples."""
    (folder / "sent").write_bytes(base64.b64decode(track["base64"]))
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(folder / "sent"), "-ac", "1", "-ar", "16000"]
    done = subprocess.run([*command, "-f", "s16le", "-"], check=True, capture_output=True)
    return len(done.stdout) / 32000


@pytest.mark.process
def test_large_tracks_are_cut_at_the_same_times_of_their_common_clock(platform: Platform, tmp_path: Path) -> None:
    """Ada speaks for 60 s; Ben comes after 10 s and leaves after 30 s more."""
    tracks = [Track("Ada", noise(tmp_path / "ada.wav", 60)), Track("Ben", noise(tmp_path / "ben.wav", 30), 10.0)]
    stages: list[str] = []
    with ScriptedWorker(platform, answer_by_speaker) as worker:
        output = transcribe_conversation(
            Endpoint(settings_of(platform)),
            tracks,
            {"output_format": "json"},
            RunSettings(parallel=1, request_limit=220_000),
            stop=threading.Event(),
            listener=ProgressListener(lambda _fraction, stage: stages.append(stage)),
            cache=tmp_path / "cache",
        )
    starts = [start for start, _ in output["metadata"]["parts"]]
    ends = [end for _, end in output["metadata"]["parts"]]
    assert len(starts) > 2
    assert starts[1:] == pytest.approx(ends[:-1], abs=0.03)
    assert ends[-1] == pytest.approx(60, abs=0.1)
    for job, start, end in zip(worker.jobs, starts, ends, strict=True):
        sent = {track["name"]: track for track in job["input"]["audio"]}
        assert length_of(sent["Ada"], tmp_path) == pytest.approx(end - start, abs=0.05)
        overlap = min(end, 40) - max(start, 10)
        assert ("Ben" in sent) == (overlap > 0)
        if "Ben" in sent:
            assert length_of(sent["Ben"], tmp_path) == pytest.approx(overlap, abs=0.05)
            assert sent["Ben"]["offset"] == pytest.approx(max(10 - start, 0), abs=0.03)
    said = [(one["speaker"], one["channel"], one["start"]) for one in output["transcription"]["segments"]]
    with_ben = [start for start, job in zip(starts, worker.jobs, strict=True) if len(job["input"]["audio"]) == 2]
    assert {row for row in said if row[0] == "Ada"} == {("Ada", 0, round(start + 1, 3)) for start in starts}
    assert {row for row in said if row[0] == "Ben"} == {("Ben", 1, round(start + 1, 3)) for start in with_ben}
    assert [speaker["turns"] for speaker in output["transcription"]["speakers"]] == [len(starts), len(with_ben)]
    assert [stage for stage in stages if "," not in stage][:2] == ["compressing Ada", "compressing Ben"]


@pytest.mark.process
def test_a_part_without_the_first_track_keeps_the_other_ones_number(platform: Platform, tmp_path: Path) -> None:
    tracks = [Track("Ada", noise(tmp_path / "ada.wav", 5)), Track("Ben", noise(tmp_path / "ben.wav", 60))]
    with ScriptedWorker(platform, answer_by_speaker) as worker:
        output = transcribe_conversation(
            Endpoint(settings_of(platform)),
            tracks,
            {"output_format": "json"},
            RunSettings(request_limit=160_000),
            stop=threading.Event(),
            listener=ProgressListener(),
            cache=tmp_path / "cache",
        )
    assert [[one["name"] for one in job["input"]["audio"]] for job in worker.jobs].count(["Ben"]) > 0
    assert {(one["speaker"], one["channel"]) for one in output["transcription"]["segments"]} == {("Ada", 0), ("Ben", 1)}


def write(path: Path, pcm: Pcm) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm.tobytes())
    return path


@pytest.mark.process
def test_tracks_without_offsets_are_aligned_before_they_are_cut(platform: Platform, tmp_path: Path) -> None:
    late, early = conversation(240, TrackClock(7.3, 100e-6))[::-1]
    tracks = [Track("Ada", write(tmp_path / "ada.wav", late)), Track("Ben", write(tmp_path / "ben.wav", early))]
    with ScriptedWorker(platform, answer_by_speaker) as worker:
        output = transcribe_conversation(
            Endpoint(settings_of(platform)),
            tracks,
            {"output_format": "json"},
            RunSettings(parallel=1, request_limit=1_280_000),
            stop=threading.Event(),
            listener=ProgressListener(),
            cache=tmp_path / "cache",
        )
    assert len(worker.jobs) > 1
    offsets = [[track["offset"] for track in job["input"]["audio"]] for job in worker.jobs]
    assert offsets[0] == [pytest.approx(7.3, abs=0.03), 0.0]
    assert all(offset == pytest.approx(0, abs=0.03) for later in offsets[1:] for offset in later)
    ada, ben = output["metadata"]["warnings"]
    assert ada.startswith("Ada: the track was taken to begin 7.3")
    assert re.match(r"Ben: the track was taken to run 1\d\d ppm too fast, by the sound", ben)
    assert output["metadata"]["tracks"] == [
        {"name": "Ada", "offset": pytest.approx(7.3, abs=0.03), "drift_ppm": 0.0, "by_ear": True},
        {"name": "Ben", "offset": 0.0, "drift_ppm": pytest.approx(-100, abs=30), "by_ear": True},
    ]


@pytest.mark.parametrize(
    ("tracks", "error", "sentence"),
    [
        ([Track("Ada", "nowhere.wav")], WrongUsage, "Ada: there is no file nowhere.wav"),
        ([Track("Ada", "empty.wav")], BadRecording, "Ada: empty.wav is not a recording: it is empty"),
        pytest.param(
            [Track("Ada", "big.ogg"), Track("Ben", URL)],
            WrongUsage,
            "the files are too large for one request, and tracks",
            marks=pytest.mark.process,
        ),
        (["ada.wav"], WrongUsage, 'give the tracks of a conversation as [Track("Ada", "ada.wav"), ...]'),
    ],
)
def test_a_track_that_cannot_be_sent_is_named(
    platform: Platform,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    tracks: list[Any],
    error: type[ClientError],
    sentence: str,
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    Path("empty.wav").touch()
    Path("big.ogg").write_bytes((CLIPS / "long.ogg").read_bytes())
    where = settings_of(platform)
    client = Client(where.endpoint_id, where.api_key, where.base_url)
    client._settings = RunSettings(request_limit=60_000)
    with pytest.raises(error) as refused:
        client.transcribe(tracks)
    assert sentence in str(refused.value)
    assert platform.jobs == {}


def test_the_limits_are_the_workers() -> None:
    worker = (Path(__file__).parents[2] / "src/request/tracks.py").read_text()
    assert f"MAX_TRACKS = {client_tracks.MAX_TRACKS}\n" in worker
    assert "MAX_OFFSET_S = 12 * 3600.0\n" in worker
    assert client_tracks.MAX_OFFSET_S == 12 * 3600
