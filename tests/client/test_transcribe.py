"""The command and the function, with real workers: on the platform, and behind a worker's own API."""

from __future__ import annotations

import difflib
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from client.errors import JobFailed, WrongUsage
from client.recording import Terms
from client.transcribe import transcribe_audio
from tests.client.conftest import LocalWorker, command, environment
from tests.client.played import PlayedWorker, said
from tests.platform.emulator import Platform

pytestmark = pytest.mark.process

SMALL = 160_000
"""Bytes of a request that hold some 20 s of sound."""


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def changes(before: list[str], after: list[str]) -> int:
    """Words that one of the texts does not have in that place."""
    steps = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return sum(max(step[2] - step[1], step[4] - step[3]) for step in steps if step[0] != "equal")


@pytest.fixture
def at(served: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The streaming worker, as the environment has it."""
    for name, value in environment(served, tmp_path).items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("at")
def test_the_function_gives_the_jobs_output(recording: Path) -> None:
    output = transcribe_audio(audio_file_path=str(recording), options={"output_format": "srt", "language": "en"})
    assert "brown fox" in output["transcription"]["text"]
    assert output["transcription"]["srt"].startswith("1\n00:00:0")
    assert output["metadata"]["audio_duration"] == pytest.approx(6.72, abs=0.1)


@pytest.mark.usefixtures("at")
def test_the_workers_refusal_is_an_exception_with_its_sentence_and_no_second_job(
    served: Platform, recording: Path
) -> None:
    before = len(served.jobs)
    with pytest.raises(JobFailed, match=r'^options\.langage: unknown key, did you mean "language"') as refused:
        transcribe_audio(recording, options={"langage": "en"})
    assert refused.value.error_type == "InvalidInput"
    assert len(served.jobs) - before == 1
    with pytest.raises(WrongUsage, match="either audio_file_path or audio_url"):
        transcribe_audio()


@pytest.mark.usefixtures("at")
def test_a_large_recording_goes_in_parts_and_comes_back_whole(long: Path) -> None:
    output = transcribe_audio(long, terms=Terms(limit=SMALL), options={"word_timestamps": True})
    text, segments, metadata = (*map(output["transcription"].get, ("text", "segments")), output["metadata"])
    assert len(metadata["parts"]) == 4
    # tiny.en mistakes a word or two of these 190, in one piece or in four.
    assert changes(words(long.with_suffix(".txt").read_text()), words(text)) <= 4
    assert metadata["audio_duration"] == pytest.approx(78.4, abs=0.1)
    assert [segment["id"] for segment in segments] == list(range(len(segments)))
    assert all(before["end"] <= after["start"] + 0.5 for before, after in pairwise(segments))
    assert segments[-1]["words"][-1]["end"] == pytest.approx(78.0, abs=1.0)
    assert output["transcription"]["srt"].count("-->") == len(segments)


@pytest.mark.usefixtures("at")
def test_clips_of_a_large_recording_are_all_that_is_sent(served: Platform, long: Path) -> None:
    before = len(served.jobs)
    clips: list[list[Any]] = [[15.0, 22.0], [60.0, None]]
    options = {"clip_timestamps": clips, "output_format": ["json", "srt"]}
    output = transcribe_audio(long, terms=Terms(limit=SMALL), options=options)
    text, segments = (output["transcription"][key] for key in ("text", "segments"))
    assert len(served.jobs) - before == len(output["metadata"]["parts"]) < 5
    assert output["metadata"]["audio_duration"] < 45
    assert all(any(start <= one["start"] and one["end"] <= (end or 79) for start, end in clips) for one in segments)
    alone = transcribe_audio(long, options=options)["transcription"]
    assert changes(words(alone["text"]), words(text)) <= 4
    assert output["transcription"]["srt"].count("-->") == len(segments)


def test_files_are_written_beside_the_recording(served: Platform, folder: Path, recording: Path) -> None:
    done = command("transcribe", recording, "--format", "text,json", where=served, folder=folder)
    assert "Wrote" in done.stderr
    assert "brown fox" in (folder / "talk.txt").read_text()
    saved = json.loads((folder / "talk.json").read_text())
    assert set(saved["transcription"]) == {"text", "language", "segments"}
    assert saved["metadata"]["model"] == "tiny.en"
    refused = command("transcribe", recording, "--format", "text", where=served, folder=folder, code=2)
    assert "--overwrite" in refused.stderr


def test_segments_are_printed_as_they_come_and_in_order(served: Platform, folder: Path, long: Path) -> None:
    arguments = ["--stream", "--payload-limit", SMALL, "--parallel", 2, "--format", "srt", "--output", "out.srt"]
    printed = command("transcribe", long, *arguments, where=served, folder=folder).stdout.splitlines()
    subtitles = (folder / "out.srt").read_text()
    starts = [line[1:13] for line in printed]
    assert starts == sorted(starts)
    assert starts == [time.replace(",", ".") for time in re.findall(r"([\d:,]+) -->", subtitles)]


def test_options_have_the_workers_names_and_types(served: Platform, folder: Path, recording: Path) -> None:
    (folder / "terms.json").write_text('{"vixen": ["fox"]}')
    flags = ["--beam-size", 2, "--no-vad", "--temperature", "0,0.4", "--suppress-tokens=-1", "--word-timestamps"]
    vocabulary = ["--custom-vocabulary", "@terms.json", "--output", "-", "--format", "text"]
    assert "brown vixen" in command("transcribe", recording, *flags, *vocabulary, where=served, folder=folder).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nowhere.mp3"], 3, "there is no file nowhere.mp3"),
        (["."], 2, "is a folder: client.batch does those"),
        (["talk.ogg", "--endpoint", "other"], 5, "there is no such endpoint: check --endpoint"),
        (["talk.ogg", "--task", "sing"], 2, "--task"),
        (["talk.ogg", "--beam-size", "99"], 2, "--beam-size"),
        (["talk.ogg", "--temperature", "warm"], 2, "--temperature: give numbers"),
        (["talk.ogg", "--custom-vocabulary", "{"], 2, "--custom-vocabulary: not JSON"),
        (["talk.ogg", "--language", "klingon"], 4, "options.language: no language that Whisper knows"),
        (["http://127.0.0.1:1/a.mp3"], 4, "public address"),
        (["talk.ogg", "--api-key", "wrong"], 5, "the API key is wrong"),
    ],
)
@pytest.mark.usefixtures("recording")
def test_exit_codes_tell_what_went_wrong(
    served: Platform, folder: Path, arguments: list[str], code: int, sentence: str
) -> None:
    assert sentence in command("transcribe", *arguments, where=served, folder=folder, code=code).stderr


def test_a_workers_own_api_does_the_same(local_worker: LocalWorker, folder: Path, long: Path) -> None:
    limits = ["--payload-limit", 200_000, "--parallel", 2, "--format", "json,vtt", "--output", "out"]
    before = local_worker.begun
    command("transcribe", long, *limits, where=local_worker.url, folder=folder)
    saved = json.loads((folder / "out.json").read_text())
    assert len(saved["metadata"]["parts"]) == local_worker.begun - before == 3
    assert words(saved["transcription"]["text"]).count("museum") == 2


def test_a_workers_own_api_does_each_job_once(local_worker: LocalWorker, folder: Path, recording: Path) -> None:
    before = local_worker.begun
    printed = command("transcribe", recording, "--stream", "--format", "srt", where=local_worker.url, folder=folder)
    assert (folder / "talk.srt").read_text().count("-->") == 2
    assert printed.stdout.count("-->") == (2 if local_worker.streams else 0)
    assert ("STREAMING=true" in printed.stderr) == (not local_worker.streams)
    wrong = [recording, "--stream", "--language", "klingon", "--output", "bad"]
    refused = command("transcribe", *wrong, where=local_worker.url, folder=folder, code=4)
    assert "no language that Whisper knows" in refused.stderr
    assert local_worker.begun - before == 2


def test_what_does_not_go_in_parts_is_refused_before_anything_is_sent(
    platform: Platform, folder: Path, long: Path
) -> None:
    limit = ["--payload-limit", SMALL, "--output", "out"]
    for flags, sentence in (
        (["--webhook", "https://example.com/hook"], "too large for one request"),
        (["--clip-timestamps", "100,130"], "begin after the recording's end, 78.4 s"),
        (["--clip-timestamps", "30,20"], "each with a start before its end"),
    ):
        refused = command("transcribe", long, *limit, *flags, where=platform, folder=folder, code=2)
        assert sentence in refused.stderr
    assert platform.jobs == {}


def test_webhook_policy_and_url_go_with_the_job(platform: Platform, folder: Path) -> None:
    with PlayedWorker(platform, lambda _: said("hello")) as worker:
        flags = ["--webhook", "https://example.com/hook", "--timeout", 100, "--format", "srt"]
        command("transcribe", "https://example.com/my%20talk.mp3?key=1", *flags, where=platform, folder=folder)
    (job,) = platform.jobs.values()
    assert worker.jobs[0]["input"] == {
        "audio": {"url": "https://example.com/my%20talk.mp3?key=1"},
        "options": {"output_format": ["srt"]},
        "webhook": {"url": "https://example.com/hook"},
    }
    assert job.request["policy"] == {"executionTimeout": 100_000, "ttl": 86_500_000}
    assert (folder / "my talk.srt").read_text() == "1\n00:00:01,000 --> 00:00:02,000\nhello\n"
