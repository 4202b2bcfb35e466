"""A paid transcript reaches its files, or stays where the message says."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from client import files
from client.errors import BadAnswer, OutputFailed, WrongUsage
from client.files import MAX_NAME_BYTES, add_suffix, check_writable, write_atomically
from client.job_request import RunSettings
from client.output import check_targets, choose_targets, print_texts, target_paths, write_files
from client.recording import transcribe_recording
from client.transport.endpoint import Endpoint
from client.transport.fanout import ProgressListener
from client.transport.journal import Journal
from tests.client.conftest import environment, run_command, start_command, wait_until
from tests.client.scripted_worker import ScriptedWorker, make_answer
from tests.platform.emulator import Platform

LONGEST_NAME = "あ" * 83 + ".wav"
"""Of 253 bytes."""


@pytest.fixture
def worker(platform: Platform) -> Iterator[ScriptedWorker]:
    with ScriptedWorker(platform, lambda _: make_answer("hello")) as worker:
        yield worker


# --- names


@pytest.mark.parametrize(
    ("output", "names"),
    [
        (None, ["audio/talk.srt", "audio/talk.vtt"]),
        ("there", ["there/talk.srt", "there/talk.vtt"]),
        ("new/", ["new/talk.srt", "new/talk.vtt"]),
        (f"new/deep{os.sep}", ["new/deep/talk.srt", "new/deep/talk.vtt"]),
        ("other", ["other.srt", "other.vtt"]),
        ("new/other.srt", ["new/other.srt", "new/other.vtt"]),
    ],
)
def test_the_output_is_a_file_or_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str | None, names: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert list(choose_targets(Path("audio/talk.mp3"), output, ["srt", "vtt"]).values()) == list(map(Path, names))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.com/my%20talk.mp3?key=1", "my talk.srt"),
        ("https://example.com/", "transcript.srt"),
        ("https://example.com/a%00b%0a%1b%5cc.mp3", "a_b___c.srt"),
        (f"https://example.com/{'x' * 5000}.mp3", None),
        ("s3://bucket/2026/my talk?#%20.mp3", "my talk_#%20.srt"),
        ("S3://bucket/", "transcript.srt"),
        ("volume:in/talk.mp4", "talk.srt"),
        ("volume:talk", "talk.srt"),
    ],
)
def test_a_file_is_named_after_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = choose_targets(url, None, ["srt"])["srt"]
    assert name is None or path == Path(name)
    write_atomically(path, "text")


@pytest.mark.parametrize("stem", ["あ" * 83, "あ" * 84, "é" * 127, "e\u0301" * 85, "a" * 255, "a" * 2000, "talk"])
@pytest.mark.parametrize("suffix", [".srt", ".translation.verbose.json", ".captioned.webm"])
def test_a_name_with_its_suffix_is_legal(tmp_path: Path, stem: str, suffix: str) -> None:
    path = add_suffix(tmp_path / stem, suffix)
    size = len(os.fsencode(path.name))
    assert size <= MAX_NAME_BYTES
    assert path.name.endswith(suffix)
    if len(os.fsencode(stem + suffix)) <= MAX_NAME_BYTES:
        assert path.name == stem + suffix
    else:
        assert size > MAX_NAME_BYTES - 6
        assert path.name[: path.name.index("~")] in (stem[:length] for length in range(len(stem)))
        assert add_suffix(tmp_path / f"{stem[:-1]}b", suffix) != path
    write_atomically(path, "text")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ("talk.mp3", "talk.ogg.srt"),
        ("TALK.MP4", "talk.ogg.srt"),
        ("talk.webp", "talk.srt"),
        ("talk.json", "talk.srt"),
        ("talk2.mp3", "talk.srt"),
        ("talk.captioned.mp4", "talk.srt"),
        ("talk", "talk.srt"),
    ],
)
def test_recordings_that_differ_only_in_the_suffix_have_files_of_their_own(
    recording: Path, other: str, name: str
) -> None:
    heads = {
        "mp3": b"ID3\x03\0\0",
        "mp4": b"\0\0\0\x18ftypisom\0\0\2\0isommp41",
        "webp": b"RIFF\x10\0\0\0WEBPVP8 ",
    }
    recording.with_name(other).write_bytes(heads.get(other.lower().rpartition(".")[2], b"{}"))
    assert choose_targets(recording, None, ["srt"]) == {"srt": recording.with_name(name)}
    assert choose_targets(recording, "new/", ["srt"]) == {"srt": Path("new", name)}


# --- found before anything is sent


def make_obstacle(folder: Path, kind: str) -> Path:
    """Return a target that cannot be written."""
    target = folder / "talk.srt"
    if kind == "folder in its place":
        target.mkdir()
    elif kind == "file for a folder":
        (folder / "file").touch()
        return folder / "file" / "deep" / "talk.srt"
    elif kind == "name too long":
        return folder / ("x" * 252 + ".srt")
    elif kind == "folder's name too long":
        return folder / "new" / ("x" * 256) / "talk.srt"
    elif kind == "device":
        return Path(os.devnull)
    else:
        return Path("/proc/new/talk.srt")
    return target


OBSTACLES = [
    "folder in its place",
    "file for a folder",
    "name too long",
    "folder's name too long",
    "device",
    pytest.param("folder of the system", marks=pytest.mark.skipif(not Path("/proc").is_dir(), reason="Linux alone")),
]


@pytest.mark.parametrize("kind", OBSTACLES)
def test_a_target_that_cannot_be_written_is_named_with_a_remedy(tmp_path: Path, kind: str) -> None:
    target = make_obstacle(tmp_path, kind)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WrongUsage, match="choose another") as refused:
        check_writable(target)
    assert str(target) in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("film.mp4", "-o names the transcript: give it a suffix such as .txt, or a folder"),
        ("new/talk.FLAC", "-o names the transcript"),
        ("/dev/null", "use -o - to write to the screen"),
        ("/dev/stdout", "use -o - to write to the screen"),
        ("/dev/fd/1", "use -o - to write to the screen"),
    ],
)
@pytest.mark.parametrize("formats", [["text"], ["text", "srt"]])
def test_a_name_of_something_else_than_a_transcript_is_refused(output: str, sentence: str, formats: list[str]) -> None:
    with pytest.raises(WrongUsage, match=sentence):
        choose_targets(Path("talk.mp3"), output, formats)


def test_no_file_replaces_the_recording(tmp_path: Path) -> None:
    recording = tmp_path / "talk.txt"
    recording.touch()
    link = tmp_path / "link.txt"
    link.symlink_to(recording)
    for target in (recording, link):
        with pytest.raises(WrongUsage, match="is the recording itself"):
            check_targets([tmp_path / "talk.srt", target], recording)
    check_targets([tmp_path / "talk.srt"], recording)
    check_targets([recording], "https://example.com/talk.txt")


def test_a_check_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep" / "talk.srt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
@pytest.mark.parametrize("kind", ["file for a folder", "name too long", "device"])
def test_nothing_is_sent_if_a_target_cannot_be_written(
    platform: Platform, folder: Path, recording: Path, kind: str
) -> None:
    target = make_obstacle(folder, kind)
    flags = ["--format", "srt", "--overwrite", "--output", target]
    assert str(target) in run_command("transcribe", recording, *flags, where=platform, folder=folder, code=2).stderr
    assert platform.jobs == {}


# --- found afterwards


@pytest.mark.slow
@pytest.mark.process
def test_two_runs_of_a_recording_at_once_are_one_job(
    platform: Platform, folder: Path, recording: Path, worker: ScriptedWorker
) -> None:
    worker.held_after = 0
    flags = ["--format", "srt", "--output"]
    first = start_command("transcribe", recording, *flags, "a.srt", where=platform, folder=folder)
    wait_until(lambda: len(platform.jobs) == 1)
    second = start_command("transcribe", recording, *flags, "b.srt", where=platform, folder=folder)
    wait_until(lambda: list((folder.parent / "cache").rglob("*.waiting")))
    worker.release()
    for process in (first, second):
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
    assert (folder / "a.srt").read_text() == (folder / "b.srt").read_text() != ""
    assert len(platform.jobs) == 1
    assert list((folder.parent / "cache" / "worker-whisper").iterdir()) == []


@pytest.mark.slow
@pytest.mark.process
def test_two_threads_with_a_recording_at_once_are_one_job(
    platform: Platform, endpoint: Endpoint, recording: Path, tmp_path: Path, worker: ScriptedWorker
) -> None:
    worker.held_after = 0
    waiting = threading.Event()

    def report(_fraction: float, stage: str) -> None:
        if stage == "waiting for another run of the same recording":
            waiting.set()

    def transcribe() -> dict[str, Any]:
        return transcribe_recording(
            endpoint,
            recording,
            {},
            RunSettings(),
            stop=threading.Event(),
            listener=ProgressListener(report),
            cache=tmp_path / "cache",
        )

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(transcribe) for _ in range(2)]
        assert waiting.wait(20)
        worker.release()
        outputs = [future.result(20) for future in futures]
    assert outputs[0] == outputs[1]
    assert len(platform.jobs) == 1


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.usefixtures("worker")
def test_the_longest_legal_name_is_written_and_not_paid_for_twice(
    platform: Platform, folder: Path, recording: Path
) -> None:
    source = recording.rename(folder / LONGEST_NAME)
    run_command("transcribe", source, "--format", "srt", where=platform, folder=folder)
    assert (folder / f"{source.stem}.srt").read_text().endswith("hello\n")
    for _ in range(2):
        run_command("batch", ".", "out", "--format", "srt", where=platform, folder=folder)
    assert [path.name for path in (folder / "out").glob("[!.]*")] == [f"{source.stem}.srt"]
    assert len(platform.jobs) == 2


@pytest.mark.slow
@pytest.mark.process
def test_an_output_that_could_not_be_written_is_fetched_again_without_a_job(
    platform: Platform, endpoint: Endpoint, recording: Path, tmp_path: Path, worker: ScriptedWorker
) -> None:
    def transcribe(error: int | None) -> dict[str, Any]:
        def deliver(_: dict[str, Any]) -> None:
            if error is not None:
                raise OSError(error, os.strerror(error))

        return transcribe_recording(
            endpoint,
            recording,
            {},
            RunSettings(),
            stop=threading.Event(),
            listener=ProgressListener(),
            deliver=deliver,
            cache=tmp_path / "cache",
        )

    for error in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ENOENT):
        with pytest.raises(OutputFailed, match="the same command writes it without another job"):
            transcribe(error)
    assert transcribe(None)["transcription"]["text"] == "hello"
    assert len(worker.jobs) == 1
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.slow
@pytest.mark.process
def test_an_output_that_fits_nowhere_else_is_a_temporary_file(
    platform: Platform,
    endpoint: Endpoint,
    recording: Path,
    tmp_path: Path,
    worker: ScriptedWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(Journal, "_write", fail)
    with pytest.raises(OutputFailed, match="no space left on device: the transcript is in") as failure:
        transcribe_recording(
            endpoint,
            recording,
            {},
            RunSettings(),
            stop=threading.Event(),
            listener=ProgressListener(),
            deliver=fail,
            cache=tmp_path / "cache",
        )
    (kept,) = tmp_path.glob("transcript-*.json")
    assert str(kept) in str(failure.value)
    assert json.loads(kept.read_text())["transcription"]["text"] == "hello"
    assert len(worker.jobs) == 1


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.usefixtures("worker")
def test_an_output_that_could_not_be_printed_is_printed_by_the_next_run(
    platform: Platform, folder: Path, recording: Path, unbuffered: str
) -> None:
    flags = ["--format", "text", "--output", "-"]
    command = [sys.executable, "-m", "client.transcribe", str(recording), *flags]
    with Path("/dev/full").open("wb") as full:
        failed = subprocess.run(
            command,
            cwd=folder,
            env=environment(platform, folder.parent) | {"PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert failed.returncode == OutputFailed.exit_code
    assert failed.stderr.splitlines() == [
        "Error: no space left on device: the transcript is kept for a week, and the same command writes it without "
        "another job"
    ]
    assert run_command("transcribe", recording, *flags, where=platform, folder=folder).stdout == "hello\n"
    assert len(platform.jobs) == 1


def test_files_that_are_there_are_written_if_another_is_missing(tmp_path: Path) -> None:
    output = {**make_answer("hello")["output"]}
    with pytest.raises(BadAnswer, match="no ass"):
        write_files(output, target_paths(tmp_path / "talk", ["ass", "srt"]))
    assert [path.name for path in tmp_path.iterdir()] == ["talk.srt"]


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "talk.srt"
    path.write_text("old")

    def fail() -> None:
        with files.atomic_file(path) as file:
            file.write(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="Windows allows no such names")
@pytest.mark.usefixtures("worker")
def test_the_names_of_files_do_not_steer_the_terminal(platform: Platform, folder: Path, recording: Path) -> None:
    source = recording.rename(folder / os.fsdecode(b"\x1b[2J\xff.ogg"))
    printed = run_command("transcribe", source, "--format", "srt", where=platform, folder=folder)
    assert "/\ufffd[2J\ufffd.srt" in printed.stderr
    assert "\x1b" not in printed.stderr
    assert source.with_suffix(".srt").exists()


# --- translations


def test_translations_are_written_and_printed(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    output = make_answer("hallo")["output"]
    output["translation"] = make_answer("hello")["output"]["transcription"]
    written = write_files(output, target_paths(tmp_path / "talk", ["text", "srt"]))
    assert [path.name for path in written] == [
        *("talk.txt", "talk.translation.txt"),
        *("talk.srt", "talk.translation.srt"),
    ]
    print_texts(output, ["text"])
    assert capsysbinary.readouterr().out == b"hallo\nhello\n"
