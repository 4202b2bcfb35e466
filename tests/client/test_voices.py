"""The command `voices`: with a real worker, and what it says of recordings that are not good."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.known_voices import VoiceFolder
from media.sandbox import ffmpeg_executable
from tests.client.conftest import CLIPS, run_command
from tests.client.scripted_worker import ScriptedWorker, make_answer
from tests.platform.emulator import Platform

pytestmark = pytest.mark.process

DIALOGUE = CLIPS / "dialogue.ogg"
ADA, BOB = (34.7, 41.6), (0.4, 7.9)
"""Where two of its three speakers speak alone, in seconds."""


def cut(source: Path, span: tuple[float, float], target: Path) -> Path:
    start, end = map(str, span)
    command = [ffmpeg_executable(), "-v", "error", "-y", "-i", str(source), "-ss", start, "-to", end, str(target)]
    subprocess.run(command, check=True)
    return target


@pytest.fixture
def voices(folder: Path) -> VoiceFolder:
    """The folder of the user who runs the commands."""
    return VoiceFolder(folder.parent / "data" / "worker-whisper" / "voices")


# --- With a real worker ----------------------------------------------------------------------------------------------


def test_kept_voices_are_named_in_later_transcripts(
    streaming_platform: Platform, folder: Path, voices: VoiceFolder
) -> None:
    def run(command: str, *arguments: Any) -> str:
        done = run_command(command, *arguments, where=streaming_platform, folder=folder)
        return done.stdout + done.stderr

    def speakers(*flags: Any) -> list[str]:
        run("transcribe", DIALOGUE, "-f", "json", "-o", "out.json", "--overwrite", "--diarize", *flags)
        transcription = json.loads((folder / "out.json").read_text())["transcription"]
        assert {segment["speaker"] for segment in transcription["segments"]} == {
            speaker["speaker"] for speaker in transcription["speakers"]
        }
        assert not any("embedding" in speaker for speaker in transcription["speakers"])
        return [speaker["speaker"] for speaker in transcription["speakers"]]

    for name, span in (("Ada", ADA), ("Bob", BOB)):
        shown = run("voices", "add", name, cut(DIALOGUE, span, folder / f"{name}.wav"))
        assert f"Kept the voice of {name}: " in shown
        assert "Note: " not in shown
    assert [(voice.name, voice.model) for voice in voices.load_all()] == [
        ("Ada", "campplus_cn_en_common"),
        ("Bob", "campplus_cn_en_common"),
    ]
    assert speakers() == ["Bob", "Ada", "SPEAKER_02"]
    assert speakers("--payload-limit", 60_000, "--known-voices") == ["Bob", "Ada", "SPEAKER_02"]
    assert speakers("--no-known-voices") == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"]
    run("voices", "rename", "bob", "Bob Smith")
    run("voices", "remove", "Ada")
    assert "Bob Smith" in run("voices", "list")
    assert speakers() == ["Bob Smith", "SPEAKER_01", "SPEAKER_02"]


# --- With what a worker may answer -----------------------------------------------------------------------------------


def axis(number: int) -> list[float]:
    return [float(index == number) for index in range(192)]


def mixed(*numbers: int) -> list[float]:
    return [round(sum(values) / math.sqrt(len(numbers)), 4) for values in zip(*map(axis, numbers), strict=True)]


def make_speaker(embedding: list[float] | None = None, seconds: object = 12.0, **fields: Any) -> dict[str, Any]:
    return {
        "speaker": "SPEAKER_00",
        "seconds": seconds,
        "turns": 1,
        "start": 0.0,
        "embedding": embedding or axis(0),
        "embedding_model": "campplus",
        **fields,
    }


@pytest.fixture
def add(platform: Platform, folder: Path, recording: Path) -> Callable[..., str]:
    """Runs `voices add` for a worker that answers with some speakers, and returns what it prints."""

    def run(*arguments: Any, speakers: list[dict[str, Any]] | None, code: int = 0, jobs: int = 1) -> str:
        answer = make_answer("hello")
        if speakers is not None:
            answer["output"]["transcription"]["speakers"] = speakers
        with ScriptedWorker(platform, lambda _job: answer) as worker:
            done = run_command("voices", "add", *arguments, where=platform, folder=folder, code=code)
        assert len(worker.jobs) == jobs
        for job in worker.jobs:
            assert job["input"]["options"] == {
                "diarize": True,
                "speaker_embeddings": True,
                "output_format": ["json"],
            }
        return done.stdout + done.stderr

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("speakers", "notes"),
    [
        ([make_speaker()], []),
        ([make_speaker(seconds=2.6)], ["Note: 2.6 s of speech are little to know a voice by: 10 s or more are better"]),
        (
            [make_speaker(axis(1), 3.0), make_speaker(axis(0), 12.0), make_speaker(axis(2), 1.0)],
            ["Note: there seem to be 3 voices: the one that speaks most, 12 s, is kept, and the others, 4 s, are not"],
        ),
    ],
)
def test_a_poor_recording_is_kept_with_a_note(
    add: Callable[..., str], voices: VoiceFolder, speakers: list[dict[str, Any]], notes: list[str]
) -> None:
    shown = add("Ada", "talk.ogg", speakers=speakers)
    assert shown.count("Note: ") == len(notes)
    assert all(note in shown for note in notes)
    assert voices.get("Ada").embedding == axis(0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("speakers", "code", "sentence"),
    [
        ([], 3, "nobody speaks in the recording: give one in which the person speaks for some seconds"),
        (None, 5, "the answer has no speakers: check that the endpoint runs this version of worker-whisper"),
        ([make_speaker(seconds="x")], 5, "the answer has no speakers"),
        ([make_speaker(embedding=[0.5] * 10)], 5, "the answer has no embedding of 192 numbers"),
        ([make_speaker(embedding=[0.5] * 192)], 5, "the answer has no embedding of 192 numbers"),
    ],
)
def test_an_answer_without_a_voice_is_one_sentence(
    add: Callable[..., str], voices: VoiceFolder, speakers: Any, code: int, sentence: str
) -> None:
    assert sentence in add("Ada", "talk.ogg", speakers=speakers, code=code)
    assert voices.load_all() == []


def test_a_name_that_is_known_gets_one_more_sample(add: Callable[..., str], voices: VoiceFolder, folder: Path) -> None:
    add("Ada", "talk.ogg", speakers=[make_speaker(axis(0))])
    assert "with 2 samples" in add("ada", "talk.ogg", speakers=[make_speaker(mixed(0, 1))])
    assert [(voice.name, len(voice.samples)) for voice in voices.load_all()] == [("ada", 2)]
    shown = add("Ada", "talk.ogg", speakers=[make_speaker(axis(7))])
    assert "Note: this does not sound like the earlier samples of ada" in shown
    assert "Note: this sounds like Ada, who is known already" in add(
        "Eve", "talk.ogg", speakers=[make_speaker(mixed(0, 1))]
    )
    shown = add("Ada", "talk.ogg", speakers=[make_speaker(axis(3), embedding_model="other")])
    assert "Note: the earlier samples of Ada are forgotten: they were made with another model" in shown
    assert (voices.get("Ada").model, len(voices.get("Ada").samples)) == ("other", 1)
    add("Ada", "talk.ogg", "--replace", speakers=[make_speaker(axis(4))])
    assert voices.get("Ada").embedding == axis(4)


@pytest.mark.parametrize("name", ["../Ada", "", "SPEAKER_00", "<b>", "x" * 61])
def test_a_wrong_name_costs_no_job(add: Callable[..., str], voices: VoiceFolder, name: str) -> None:
    assert "cannot be a speaker's name" in add(name, "talk.ogg", speakers=[], code=2, jobs=0)
    assert not voices.path.exists()


@pytest.mark.slow
def test_a_damaged_voice_costs_no_job(
    add: Callable[..., str], voices: VoiceFolder, platform: Platform, folder: Path
) -> None:
    add("Ada", "talk.ogg", speakers=[make_speaker()])
    (file,) = (path for path in voices.path.iterdir() if path.suffix == ".json")
    file.write_text("{")
    damaged = f"Error: the known voice {file} is damaged: remove the file, and add the voice again"
    assert damaged in add("Bob", "talk.ogg", speakers=[], code=2, jobs=0)
    arguments = ("talk.ogg", "--diarize", "-f", "txt")
    assert damaged in run_command("transcribe", *arguments, where=platform, folder=folder, code=2).stderr
    assert damaged in run_command("voices", "list", where=platform, folder=folder, code=2).stderr
    run_command("voices", "remove", "Ada", where=platform, folder=folder)
    assert "There are no voices in" in run_command("voices", "list", where=platform, folder=folder).stderr


def test_another_folder_may_be_named(add: Callable[..., str], voices: VoiceFolder, folder: Path) -> None:
    add("Ada", "talk.ogg", "--voices", "team", speakers=[make_speaker()])
    assert [voice.name for voice in VoiceFolder(folder / "team").load_all()] == ["Ada"]
    assert voices.load_all() == []


@pytest.mark.slow
def test_a_batch_names_known_voices_and_does_nothing_again_for_one_more(
    add: Callable[..., str], platform: Platform, folder: Path
) -> None:
    add("Ada", "talk.ogg", speakers=[make_speaker(axis(0))])
    arguments = ("batch", ".", "texts", "-f", "txt", "--diarize")
    with ScriptedWorker(platform, lambda _job: make_answer("hello")) as worker:
        done = run_command(*arguments, where=platform, folder=folder)
    assert "Note: speakers are compared with the known voice; --no-known-voices leaves that out" in done.stderr
    (job,) = worker.jobs
    assert job["input"]["options"]["speakers"] == {"Ada": {"embedding": axis(0), "embedding_model": "campplus"}}
    add("Bob", "talk.ogg", speakers=[make_speaker(axis(1))])
    with ScriptedWorker(platform, lambda _job: make_answer("hello")) as worker:
        run_command(*arguments, where=platform, folder=folder)
    assert worker.jobs == []


@pytest.mark.slow
def test_no_embedding_is_shown(add: Callable[..., str], platform: Platform, folder: Path) -> None:
    embedding = mixed(0, 1, 2)
    shown = add("Ada", "talk.ogg", speakers=[make_speaker(embedding)])
    shown += run_command("voices", "list", where=platform, folder=folder).stdout
    with ScriptedWorker(platform, lambda _job: make_answer("hello")):
        done = run_command("transcribe", "talk.ogg", "--diarize", "-f", "txt", where=platform, folder=folder)
    assert str(embedding[0]) not in shown + done.stdout + done.stderr
