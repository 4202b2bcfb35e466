"""The journal under two runs of the same recording at once, a full disk, and the eyes of other users."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from client.errors import Stopped, WrongUsage
from client.transport import journal as module
from client.transport.journal import Journal
from tests.client.conftest import ROOT

OUTPUT = {"text": "b" * 50_000}

RUNS = """
import sys, threading
from pathlib import Path
from client.transport.journal import Journal
for _ in range(int(sys.argv[2])):
    journal = Journal("key", Path(sys.argv[1]))
    with journal.claimed(threading.Event()):
        journal.save_job_id("file", "id")
        journal.save_output("file", {"text": "b" * 50_000})
        assert journal.output("file") == {"text": "b" * 50_000}
        journal.delete()
"""


def run_once(root: Path) -> None:
    journal = Journal("key", root)
    with journal.claimed(threading.Event()):
        journal.save_job_id("file", "id")
        journal.save_output("file", OUTPUT)
        assert journal.output("file") == OUTPUT
        journal.delete()


def modes(root: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*")}


@pytest.mark.slow
def test_threads_with_the_same_work_do_not_disturb_each_other(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run_once, [tmp_path] * 400))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_processes_with_the_same_work_do_not_disturb_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUNS, str(tmp_path), "200"]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate(timeout=60)[1] for process in processes] == [b"", b""]
    assert [process.returncode for process in processes] == [0, 0]
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_waits_takes_the_outputs_of_the_one_before(tmp_path: Path) -> None:
    waited = threading.Event()

    def wait() -> object:
        journal = Journal("key", tmp_path)
        with journal.claimed(threading.Event(), waited.set):
            output = journal.output("file")
            journal.delete()
        return output

    with ThreadPoolExecutor(1) as pool:
        first = Journal("key", tmp_path)
        with first.claimed(threading.Event()):
            second = pool.submit(wait)
            assert waited.wait(10)
            first.save_output("file", OUTPUT)
            first.delete()
        assert second.result(10) == OUTPUT
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_killed_while_it_waited_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal("key", tmp_path)
    with journal.claimed(threading.Event()):
        mark = journal.folder / "0123.waiting"
        mark.touch()
        os.utime(mark, (time.time() - 60,) * 2)
        journal.delete()
    assert list(tmp_path.iterdir()) == []


def test_the_wait_ends_when_it_is_stopped(tmp_path: Path) -> None:
    stop = threading.Event()

    def wait() -> None:
        with Journal("key", tmp_path).claimed(stop, stop.set):
            pass

    with Journal("key", tmp_path).claimed(threading.Event()), ThreadPoolExecutor(1) as pool, pytest.raises(Stopped):
        pool.submit(wait).result(10)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_other_users_cannot_read_the_journal(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    old = root / "key"
    old.mkdir(parents=True)  # as an earlier version made it
    journal = Journal("key", root)
    with journal.claimed(threading.Event()):
        journal.save_output("file", OUTPUT)
        journal.save_job_id("file", "id")
        assert modes(root) == {"key": 0o700, "key.lock": 0o600, "file.json": 0o600, "file.job": 0o600}
    journal = Journal("new", tmp_path / "other")
    with journal.claimed(threading.Event()):
        assert modes(tmp_path)["other"] == 0o700


def test_a_cache_that_cannot_be_written_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(WrongUsage, match="set XDG_CACHE_HOME"),
        Journal("key", tmp_path / "file").claimed(threading.Event()),
    ):
        pass


def test_journals_and_locks_are_deleted_after_a_week(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with Journal(name, tmp_path).claimed(threading.Event()):
            Journal(name, tmp_path).save_job_id("file", "id")
    for path in (tmp_path / "old", tmp_path / "old.lock"):
        os.utime(path, (time.time() - module.MAX_AGE_S - 60,) * 2)
    with Journal("new", tmp_path).claimed(threading.Event()):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "new.lock"]
