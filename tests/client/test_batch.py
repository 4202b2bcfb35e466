"""Batches: a folder tree is mirrored, finished files are skipped, and the next run repeats failed ones."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.batch import RECORD_FILE
from tests.client.conftest import CLIPS, run_command, start_command, wait_until
from tests.client.scripted_worker import ScriptedWorker, make_answer
from tests.platform.emulator import Platform

pytestmark = pytest.mark.process

FORMATS = ["--format", "json,srt"]


@pytest.fixture
def worker(platform: Platform) -> Iterator[ScriptedWorker]:
    """A worker that fails jobs whose audio is too short to be audio."""
    refusal = {"error": "not a recording", "output": {"error_type": "UnsupportedMedia"}}
    with ScriptedWorker(
        platform, lambda job: refusal if len(job["input"]["audio"]["base64"]) < 100 else make_answer("hello", 3600.0)
    ) as worker:
        yield worker


@pytest.fixture
def tree(folder: Path) -> Path:
    """Two recordings that differ only in the suffix, one in a subfolder, a damaged one, and a text file."""
    root = folder / "audio"
    (root / "deep" / "er").mkdir(parents=True)
    shutil.copy(CLIPS / "demo.ogg", root / "talk.ogg")
    shutil.copy(CLIPS / "video.mp4", root / "talk.MP4")
    shutil.copy(CLIPS / "numbers.mp3", root / "deep" / "er" / "numbers.mp3")
    (root / "deep" / "bad.wav").write_bytes(b"nothing")
    (root / "notes.txt").write_text("not to be sent")
    return root


def list_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.usefixtures("tree")
def test_a_tree_is_mirrored_and_a_second_run_repeats_only_failures(
    platform: Platform, folder: Path, worker: ScriptedWorker
) -> None:
    first = run_command("batch", "audio", "out", *FORMATS, "--price", 0.1, where=platform, folder=folder, code=6)
    done = ["deep/er/numbers.json", "deep/er/numbers.srt"]
    done += ["talk.MP4.json", "talk.MP4.srt", "talk.ogg.json", "talk.ogg.srt"]
    assert list_files(folder / "out") == [RECORD_FILE, *done]
    assert "deep/bad.wav" in first.stdout
    assert "not a recording" in first.stdout
    row = next(line for line in first.stdout.splitlines() if "3.000" in line)
    assert row.split()[1:6:2] == ["3", "0", "1"]
    assert "0.3000" in row
    assert len(worker.jobs) == 3

    run_command("batch", "audio", "out", *FORMATS, where=platform, folder=folder, code=6)
    assert len(worker.jobs) == 3

    shutil.copy(CLIPS / "demo.ogg", folder / "audio" / "deep" / "bad.wav")
    run_command("batch", "audio", "out", *FORMATS, where=platform, folder=folder)
    assert len(worker.jobs) == 4


def test_a_file_is_repeated_if_its_content_options_or_transcript_changed(
    platform: Platform, folder: Path, worker: ScriptedWorker, tree: Path
) -> None:
    shutil.rmtree(tree / "deep")
    (tree / "talk.MP4").unlink()

    def count_jobs(*flags: str) -> int:
        before = len(worker.jobs)
        run_command("batch", "audio", "out", *flags, where=platform, folder=folder)
        return len(worker.jobs) - before

    assert count_jobs(*FORMATS) == 1
    (tree / "talk.ogg").touch()
    assert count_jobs(*FORMATS) == 0
    shutil.copy(CLIPS / "long.ogg", tree / "talk.ogg")
    assert count_jobs(*FORMATS) == 1
    assert count_jobs(*FORMATS, "--language", "de") == 1
    (folder / "out" / "talk.srt").unlink()
    assert count_jobs(*FORMATS, "--language", "de") == 1


@pytest.mark.usefixtures("tree")
def test_ctrl_c_cancels_the_jobs_and_leaves_no_partial_files(
    platform: Platform, folder: Path, worker: ScriptedWorker
) -> None:
    worker.held_after = 0
    stopped = start_command("batch", "audio", "out", *FORMATS, where=platform, folder=folder)
    wait_until(lambda: len(platform.jobs) == 3)
    stopped.send_signal(signal.SIGINT)
    stopped.communicate(timeout=20)
    assert stopped.returncode == 130
    assert {job.status for job in platform.jobs.values()} == {"CANCELLED"}
    assert not (folder / "out").exists()


def test_a_folder_without_recordings_is_wrong_usage(platform: Platform, folder: Path) -> None:
    refused = run_command("batch", folder, "out", where=platform, folder=folder, code=2)
    assert "there are no recordings" in refused.stderr
