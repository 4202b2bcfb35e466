"""The command and the function with real workers, on the platform and behind the local API."""

from __future__ import annotations

import difflib
import json
import re
import shutil
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from client.errors import JobFailed, WrongUsage
from client.job_request import RunSettings
from client.transcribe import transcribe_audio
from tests.client.conftest import CLIPS, ROOT, LocalWorker, environment, run_command, start_command, wait_until
from tests.client.scripted_worker import ScriptedWorker, make_answer
from tests.platform.emulator import Platform

pytestmark = pytest.mark.process

SMALL = 160_000
"""Bytes of a request that holds about 20 s of audio."""


def to_words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def count_differences(before: list[str], after: list[str]) -> int:
    """Number of words that are inserted, deleted or replaced."""
    steps = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return sum(max(step[2] - step[1], step[4] - step[3]) for step in steps if step[0] != "equal")


@pytest.fixture
def connected(streaming_platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment variables that lead to the streaming worker."""
    for name, value in environment(streaming_platform, tmp_path).items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("connected")
def test_the_function_returns_the_jobs_output(recording: Path) -> None:
    output = transcribe_audio(audio_file_path=str(recording), options={"output_format": "srt", "language": "en"})
    assert "brown fox" in output["transcription"]["text"]
    assert output["transcription"]["srt"].startswith("1\n00:00:0")
    assert output["metadata"]["audio_duration"] == pytest.approx(6.72, abs=0.1)


@pytest.mark.usefixtures("connected")
def test_a_refusal_raises_the_workers_message_and_is_not_retried(streaming_platform: Platform, recording: Path) -> None:
    before = len(streaming_platform.jobs)
    with pytest.raises(JobFailed, match=r'^options\.langage: unknown key, did you mean "language"') as refused:
        transcribe_audio(recording, options={"langage": "en"})
    assert refused.value.error_type == "InvalidInput"
    assert len(streaming_platform.jobs) - before == 1
    with pytest.raises(WrongUsage, match="either audio_file_path or audio_url"):
        transcribe_audio()


@pytest.mark.usefixtures("connected")
def test_a_large_recording_is_sent_in_parts_and_merged(long_recording: Path) -> None:
    output = transcribe_audio(
        long_recording, settings=RunSettings(request_limit=SMALL), options={"word_timestamps": True}
    )
    text, segments, metadata = (*map(output["transcription"].get, ("text", "segments")), output["metadata"])
    assert len(metadata["parts"]) == 4
    # tiny.en gets one or two of these 190 words wrong, whether whole or in four parts.
    assert count_differences(to_words(long_recording.with_suffix(".txt").read_text()), to_words(text)) <= 4
    assert metadata["audio_duration"] == pytest.approx(78.4, abs=0.1)
    assert [segment["id"] for segment in segments] == list(range(len(segments)))
    assert all(before["end"] <= after["start"] + 0.5 for before, after in pairwise(segments))
    assert segments[-1]["words"][-1]["end"] == pytest.approx(78.0, abs=1.0)
    assert output["transcription"]["srt"].count("-->") == len(segments)


@pytest.mark.slow
@pytest.mark.usefixtures("connected")
def test_only_the_clips_of_a_large_recording_are_sent(streaming_platform: Platform, long_recording: Path) -> None:
    before = len(streaming_platform.jobs)
    clips: list[tuple[float, float | None]] = [(15.0, 22.0), (60.0, None)]
    options = {"clip_timestamps": clips, "output_format": ["json", "srt"]}
    output = transcribe_audio(long_recording, settings=RunSettings(request_limit=SMALL), options=options)
    text, segments = (output["transcription"][key] for key in ("text", "segments"))
    assert len(streaming_platform.jobs) - before == len(output["metadata"]["parts"]) < 5
    assert output["metadata"]["audio_duration"] < 45
    for segment in segments:
        assert any(start <= segment["start"] and segment["end"] <= (end or 79) for start, end in clips)
    single_job = transcribe_audio(long_recording, options=options)["transcription"]
    assert count_differences(to_words(single_job["text"]), to_words(text)) <= 4
    assert output["transcription"]["srt"].count("-->") == len(segments)


def test_files_are_written_next_to_the_recording(streaming_platform: Platform, folder: Path, recording: Path) -> None:
    done = run_command("transcribe", recording, "--format", "text,json", where=streaming_platform, folder=folder)
    assert "Wrote" in done.stderr
    assert "brown fox" in (folder / "talk.txt").read_text()
    saved = json.loads((folder / "talk.json").read_text())
    assert set(saved["transcription"]) == {"text", "language", "segments"}
    assert saved["metadata"]["model"] == "tiny.en"
    refused = run_command("transcribe", recording, "--format", "text", where=streaming_platform, folder=folder, code=2)
    assert "--overwrite" in refused.stderr


@pytest.mark.slow
def test_segments_are_printed_as_they_arrive_and_in_order(
    streaming_platform: Platform, folder: Path, long_recording: Path
) -> None:
    arguments = ["--stream", "--payload-limit", SMALL, "--parallel", 2, "--format", "srt", "--output", "out.srt"]
    printed = run_command(
        "transcribe", long_recording, *arguments, where=streaming_platform, folder=folder
    ).stdout.splitlines()
    subtitles = (folder / "out.srt").read_text()
    starts = [line[1:13] for line in printed]
    assert starts == sorted(starts)
    assert starts == [time.replace(",", ".") for time in re.findall(r"([\d:,]+) -->", subtitles)]


def test_flags_have_the_names_and_types_of_the_workers_options(
    streaming_platform: Platform, folder: Path, recording: Path
) -> None:
    (folder / "terms.json").write_text('{"vixen": ["fox"]}')
    flags = ["--beam-size", 2, "--no-vad", "--temperature", "0,0.4", "--suppress-tokens=-1", "--word-timestamps"]
    vocabulary = ["--custom-vocabulary", "@terms.json", "--output", "-", "--format", "text"]
    assert (
        "brown vixen"
        in run_command("transcribe", recording, *flags, *vocabulary, where=streaming_platform, folder=folder).stdout
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nowhere.mp3"], 2, "there is no file nowhere.mp3"),
        ([""], 2, "the name of the recording is empty"),
        (["/dev/zero"], 2, "/dev/zero is not a regular file"),
        (["ftp://example.com/a.mp3"], 2, "which begins with http:// or https://"),
        (["talk.ogg", "--format", "txt", "--output", "talk.ogg", "--overwrite"], 2, "-o names the transcript"),
        (["speech.txt", "--format", "txt", "--overwrite"], 2, "speech.txt is the recording itself"),
        (["empty.mp3"], 3, "empty.mp3 is not a recording: it is empty"),
        (["cut.mp4"], 3, "cut.mp4 has no audio that can be decoded: it is damaged, cut off or without sound"),
        (["cover.jpg"], 3, "cover.jpg is not a recording: it is image/png"),
        (["."], 2, "is a folder: use `python -m client.batch`"),
        (["talk.ogg", "--endpoint", "other"], 5, "there is no such endpoint: check --endpoint"),
        (["talk.ogg", "--task", "sing"], 2, "--task"),
        (["talk.ogg", "--beam-size", "99"], 2, "--beam-size"),
        (["talk.ogg", "--format", "docx"], 2, "--format: docx is not a format"),
        (["talk.ogg", "--temperature", "warm"], 2, "--temperature: give numbers"),
        (["talk.ogg", "--custom-vocabulary", "{"], 2, "--custom-vocabulary: not JSON"),
        (["talk.ogg", "--language", "klingon"], 2, "options.language: not a language that Whisper knows"),
        (["http://127.0.0.1:1/a.mp3"], 4, "public address"),
        (["talk.ogg", "--api-key", "wrong"], 5, "the API key is wrong"),
    ],
)
@pytest.mark.usefixtures("recording")
def test_errors_have_exit_codes_and_sentences(
    streaming_platform: Platform, folder: Path, arguments: list[str], code: int, sentence: str
) -> None:
    (folder / "empty.mp3").touch()
    shutil.copy(folder / "talk.ogg", folder / "speech.txt")
    (folder / "cut.mp4").write_bytes((CLIPS / "video.mp4").read_bytes()[:3000])
    shutil.copy(ROOT / "docs" / "page-editor.png", folder / "cover.jpg")
    assert sentence in run_command("transcribe", *arguments, where=streaming_platform, folder=folder, code=code).stderr


@pytest.mark.slow
@pytest.mark.usefixtures("recording")
def test_a_captioned_video_that_could_not_be_made_is_an_exit_code(platform: Platform, folder: Path) -> None:
    answer = make_answer("hello")
    answer["output"]["captioned_video"] = {"error": "no font has the letters", "error_type": "CaptionsFailed"}
    with ScriptedWorker(platform, lambda _: answer):
        flags = ["talk.ogg", "--format", "SRT", "--captions", "Burn"]
        done = run_command("transcribe", *flags, where=platform, folder=folder, code=6)
    assert done.stderr.splitlines()[-1].endswith("but the captioned video could not be made: no font has the letters")
    assert (folder / "talk.srt").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("recording")
def test_a_recording_without_speech_is_said_to_have_none(platform: Platform, folder: Path) -> None:
    texts = iter(["", "hello"])
    with ScriptedWorker(platform, lambda _: make_answer(next(texts))):
        for name, is_silent in (("srt", True), ("text", False)):
            done = run_command("transcribe", "talk.ogg", "-f", name, "-o", "-", where=platform, folder=folder)
            assert ("Note: no speech was found" in done.stderr) == is_silent


@pytest.mark.slow
@pytest.mark.usefixtures("recording")
def test_ctrl_c_has_the_exit_code_of_shells(platform: Platform, folder: Path) -> None:
    waiting = start_command("transcribe", "talk.ogg", where=platform, folder=folder)
    wait_until(lambda: platform.jobs)
    waiting.send_signal(signal.SIGINT)
    assert "run the same command again to continue; finished parts are kept" in waiting.communicate(timeout=20)[1]
    assert waiting.returncode == 130


def test_a_local_api_transcribes_a_recording_in_parts(
    local_worker: LocalWorker, folder: Path, long_recording: Path
) -> None:
    limits = ["--payload-limit", 200_000, "--parallel", 2, "--format", "json,vtt", "--output", "out"]
    before = local_worker.jobs_started
    run_command("transcribe", long_recording, *limits, where=local_worker.url, folder=folder)
    saved = json.loads((folder / "out.json").read_text())
    assert len(saved["metadata"]["parts"]) == local_worker.jobs_started - before == 3
    assert to_words(saved["transcription"]["text"]).count("museum") == 2


def test_a_local_api_runs_each_job_once(local_worker: LocalWorker, folder: Path, recording: Path) -> None:
    before = local_worker.jobs_started
    printed = run_command("transcribe", recording, "--stream", "--format", "srt", where=local_worker.url, folder=folder)
    assert (folder / "talk.srt").read_text().count("-->") == 2
    assert printed.stdout.count("-->") == (2 if local_worker.streams else 0)
    assert ("STREAMING=true" in printed.stderr) == (not local_worker.streams)
    wrong = [recording, "--stream", "--language", "klingon", "--output", "bad"]
    refused = run_command("transcribe", *wrong, where=local_worker.url, folder=folder, code=2)
    assert "not a language that Whisper knows" in refused.stderr
    assert local_worker.jobs_started - before == 2


@pytest.mark.slow
def test_options_not_possible_in_parts_are_refused_before_anything_is_sent(
    platform: Platform, folder: Path, long_recording: Path
) -> None:
    limit = ["--payload-limit", SMALL, "--output", "out"]
    for flags, sentence in (
        (["--webhook", "https://example.com/hook"], "too large for one request"),
        (["--clip-timestamps", "100,130"], "begin after the recording's end, 78.4 s"),
        (["--align", "The text."], "its sound is too large for one request: give its URL instead"),
        (["--clip-timestamps", "30,20"], "each with a start before its end"),
    ):
        refused = run_command("transcribe", long_recording, *limit, *flags, where=platform, folder=folder, code=2)
        assert sentence in refused.stderr
    assert platform.jobs == {}


@pytest.mark.slow
def test_webhook_policy_and_url_are_sent_with_the_job(platform: Platform, folder: Path) -> None:
    with ScriptedWorker(platform, lambda _: make_answer("hello")) as worker:
        flags = ["--webhook", "https://example.com/hook", "--timeout", 100, "--format", "srt"]
        run_command("transcribe", "https://example.com/my%20talk.mp3?key=1", *flags, where=platform, folder=folder)
    (job,) = platform.jobs.values()
    assert worker.jobs[0]["input"] == {
        "audio": {"url": "https://example.com/my%20talk.mp3?key=1"},
        "options": {"output_format": ["srt"]},
        "webhook": {"url": "https://example.com/hook"},
    }
    assert job.request["policy"] == {"executionTimeout": 100_000, "ttl": 86_500_000}
    assert (folder / "my talk.srt").read_text() == "1\n00:00:01,000 --> 00:00:02,000\nhello\n"
