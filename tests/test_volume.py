"""Recordings on the worker's volume: real files, and what must not be one."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from src import page_folder
from src import settings as settings_module
from src.download import Stores, check_stores, fetch
from src.errors import (
    Cancelled,
    DownloadFailed,
    InvalidInput,
    OutOfResources,
    TooLarge,
    UnsupportedMedia,
    WorkerError,
)
from src.job_control import JobControl
from src.request.audio_source import AudioSource
from src.request.validation import parse_input
from src.settings import Settings
from src.sources.volume import Volume

CONTENT = os.urandom(3_000_000)
OUTSIDE = b"ID3 outside" * 100


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """A volume with one recording, and beside it a folder that is not on it."""
    mount = tmp_path / "mount"
    (mount / "in").mkdir(parents=True)
    (mount / "in" / "talk.mp4").write_bytes(CONTENT)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.mp4").write_bytes(OUTSIDE)
    return mount


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    return folder


def load(mount: Path, folder: Path, path: str = "in/talk.mp4", *, private: Path | None = None, **options: Any) -> bytes:
    [source] = parse_input({"audio": {"volume": path}}).audio
    options = {"max_bytes": 10_000_000, "timeout": 20.0, **options}
    return fetch(source, folder, stores=Stores(volume=Volume(mount, private)), **options).read_bytes()


def refusal(error: type[WorkerError], mount: Path, folder: Path, path: str = "in/talk.mp4", **options: Any) -> str:
    """The message of an error that names no path and leaves no file."""
    with pytest.raises(error) as caught:
        load(mount, folder, path, **options)
    message = str(caught.value)
    assert not [word for word in (str(mount), "outside", "secret", "talk", "\n") if word in message]
    assert list(folder.iterdir()) == []
    return message


@pytest.mark.parametrize("path", ["in/talk.mp4", "./in/talk.mp4", "in//talk.mp4", "in/./talk.mp4", "in/talk.mp4/"])
def test_a_file_is_copied_and_stays_as_it_is(path: str, mount: Path, folder: Path) -> None:
    recording = mount / "in" / "talk.mp4"
    recording.chmod(0o444)
    before = recording.stat()
    assert load(mount, folder, path) == CONTENT
    after = recording.stat()
    assert recording.read_bytes() == CONTENT
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns, after.st_nlink, after.st_mode) == (
        *(before.st_ino, before.st_mtime_ns, before.st_ctime_ns, before.st_nlink, before.st_mode),
    )
    assert sorted(str(found.relative_to(mount)) for found in mount.rglob("*")) == ["in", "in/talk.mp4"]


@pytest.mark.parametrize(
    "name", ["日本 talk.mp4", "a\nb.mp4", " a ", "..a", "a..", "-", "*", "a\\b", "n" * 255, "é" * 127]
)
def test_any_name_of_a_file_is_taken(name: str, mount: Path, folder: Path) -> None:
    (mount / "in" / name).write_bytes(CONTENT[:1000])
    assert load(mount, folder, f"in/{name}") == CONTENT[:1000]


def test_a_speakers_sample_may_be_on_the_volume() -> None:
    speakers = {"Ada": {"volume": "in/ada.wav"}}
    job = parse_input({"audio": {"volume": "in/talk.mp4"}, "options": {"diarize": True, "speakers": speakers}})
    assert job.options.voice_samples["Ada"].volume == "in/ada.wav"


# Out of the volume


@pytest.mark.parametrize(
    "path",
    [
        *(
            "..",
            "../outside/secret.mp4",
            "in/../../outside/secret.mp4",
            "in/..",
            "in/../in/talk.mp4",
            "../mount/in/talk.mp4",
        ),
        *("/", "/etc/passwd", "//etc/passwd", "/../etc/passwd", "/runpod-volume/in/talk.mp4", "/proc/self/environ"),
        *(".", "./", "./.", "//", "in/talk.mp4\0", "\0", "in\0/../../outside/secret.mp4", "in/talk.mp4\0.txt"),
        *("n" * 256, f"in/{'é' * 128}", "a/" * 2100 + "a", "/".join(["n" * 255] * 17), "n" * 5000),
    ],
)
def test_a_path_out_of_the_volume_is_refused(path: str, mount: Path) -> None:
    for job in (
        {"audio": {"volume": path}},
        {"audio": "https://a.example/a", "options": {"diarize": True, "speakers": {"Ada": {"volume": path}}}},
    ):
        with pytest.raises(InvalidInput, match="should be a path from the top of the volume") as caught:
            parse_input(job)
        assert "outside" not in str(caught.value)
        assert "passwd" not in str(caught.value)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("path", ["in/\ud800", "in/\udcff.mp4"])
def test_half_a_character_is_no_name(path: str) -> None:
    with pytest.raises(InvalidInput, match="surrogate"):
        parse_input({"audio": {"volume": path}})


@pytest.mark.parametrize("value", [7, True, ["in/talk.mp4"], {"path": "in/talk.mp4"}])
def test_a_path_is_a_string(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"audio\.volume: should be a string"):
        parse_input({"audio": {"volume": value}})


@pytest.mark.parametrize("more", [{"url": "https://a.example/a"}, {"base64": "AAAA"}])
def test_a_second_recording_is_refused(more: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match='exactly one of "url", "base64" and "volume"'):
        parse_input({"audio": {"volume": "in/talk.mp4", **more}})


def test_headers_do_not_go_with_it() -> None:
    with pytest.raises(InvalidInput, match='"headers" go with'):
        parse_input({"audio": {"volume": "in/talk.mp4", "headers": {"A": "b"}}})


@pytest.mark.parametrize(
    "target", ["../outside/secret.mp4", "{outside}/secret.mp4", "in/talk.mp4", "/etc/passwd", "a", "."]
)
def test_a_symbolic_link_is_not_followed(target: str, mount: Path, folder: Path) -> None:
    link = mount / "a"
    link.symlink_to(target.format(outside=mount.parent / "outside"))
    assert "symbolic link" in refusal(DownloadFailed, mount, folder, "a")


@pytest.mark.parametrize("target", ["../outside", "in", "/", "..", "/proc/self/root"])
def test_a_folder_that_is_a_symbolic_link_is_not_followed(target: str, mount: Path, folder: Path) -> None:
    (mount / "a").symlink_to(target)
    for path in ("a/secret.mp4", "a/talk.mp4", "a/etc/passwd", "a/in/talk.mp4"):
        assert "symbolic link" in refusal(DownloadFailed, mount, folder, path)


def test_the_volume_itself_may_be_a_link(mount: Path, folder: Path) -> None:
    """It is the owner's setting, not the job's."""
    (mount.parent / "link").symlink_to(mount)
    assert load(mount.parent / "link", folder) == CONTENT


@pytest.mark.parametrize("what", ["the file", "its folder"])
def test_what_becomes_a_link_at_the_last_moment_is_not_followed(
    what: str, mount: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program replaces it between the look at it and its opening."""
    look = os.stat

    def stat_and_replace(name: Any, **options: Any) -> os.stat_result:
        found = look(name, **options)
        if what == "the file" and name == "talk.mp4":
            (mount / "in" / "talk.mp4").unlink()
            (mount / "in" / "talk.mp4").symlink_to("../../outside/secret.mp4")
        if what == "its folder" and name == "in":
            (mount / "in").rename(mount / "was")
            (mount / "in").symlink_to("../outside")
        return found

    monkeypatch.setattr(os, "stat", stat_and_replace)
    path = "in/talk.mp4" if what == "the file" else "in/secret.mp4"
    assert refusal(DownloadFailed, mount, folder, path)


def test_the_pages_folder_is_as_if_it_were_not_there(mount: Path, folder: Path) -> None:
    private = mount / "worker-whisper"
    (private / "recordings").mkdir(parents=True)
    (private / "recordings" / "a.mp4").write_bytes(CONTENT)
    for path in ("worker-whisper/recordings/a.mp4", "worker-whisper/./recordings/a.mp4", "worker-whisper/none"):
        assert "no such file" in refusal(DownloadFailed, mount, folder, path, private=private)
    assert load(mount, folder, private=private) == CONTENT
    (folder / "media").unlink()
    other_name = mount.parent / "other name"
    other_name.symlink_to(private)
    path = "worker-whisper/recordings/a.mp4"
    assert "no such file" in refusal(DownloadFailed, mount, folder, path, private=other_name)


# What is no recording


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (Path.mkdir, UnsupportedMedia, "is a folder"),
        (make_fifo, UnsupportedMedia, "no regular file"),
        (make_socket, UnsupportedMedia, "no regular file"),
        (Path.touch, DownloadFailed, "is empty"),
        (lambda path: path.write_bytes(b"%PDF-1.7\n"), UnsupportedMedia, "the file is a PDF document"),
        (lambda path: None, DownloadFailed, "no such file"),
    ],
    ids=["folder", "fifo", "socket", "empty", "pdf", "nothing"],
)
def test_what_is_no_recording_is_named(
    make: Callable[[Path], object], error: type[WorkerError], sentence: str, mount: Path, folder: Path
) -> None:
    make(mount / "a")
    assert sentence in refusal(error, mount, folder, "a")


@pytest.mark.parametrize("device", ["null", "zero", "random", "tty", "shm", "fd/0", "stdin"])
def test_a_device_is_not_opened(device: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The volume is /dev here: making a device takes a right that tests need not have."""
    opened = []

    def watched(name: Any, *flags: Any, **options: Any) -> int:
        opened.append(name)
        return OPEN(name, *flags, **options)

    monkeypatch.setattr(os, "open", watched)
    refusal((UnsupportedMedia, DownloadFailed), Path("/dev"), folder, device)  # type: ignore[arg-type]
    assert not {"null", "zero", "random", "tty", "0", "stdin"} & {*opened}


OPEN = os.open


@pytest.mark.parametrize("path", ["in/talk.mp4/a", "in/none/talk.mp4", "IN/talk.mp4", "in/talk"])
def test_a_wrong_path_is_answered_with_the_remedy(path: str, mount: Path, folder: Path) -> None:
    assert "no such file: check the path" in refusal(DownloadFailed, mount, folder, path)


def test_a_volume_that_is_not_mounted(mount: Path, folder: Path) -> None:
    assert "not mounted" in refusal(DownloadFailed, mount.parent / "nowhere", folder)


@pytest.mark.parametrize(
    ("number", "error", "sentence"),
    [
        (errno.EACCES, DownloadFailed, "may not read the file on the volume"),
        (errno.EIO, DownloadFailed, r"does not give the file \(EIO\)"),
        (errno.ESTALE, DownloadFailed, r"does not give the file \(ESTALE\)"),
        (errno.EMFILE, OutOfResources, "too many files open"),
    ],
)
@pytest.mark.parametrize("call", ["open", "read"])
def test_a_failing_volume_is_a_sentence(
    call: str, number: int, error: type[WorkerError], sentence: str, mount: Path, folder: Path, monkeypatch: Any
) -> None:
    real = getattr(os, call)

    def fail(*arguments: Any, **options: Any) -> Any:
        if call == "read" or arguments[0] == "talk.mp4":
            raise OSError(number, os.strerror(number), "/runpod-volume/in/talk.mp4")
        return real(*arguments, **options)

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(error, match=sentence) as caught:
        load(mount, folder)
    assert "/" not in str(caught.value)


# Limits, and files that change


def test_the_limit_of_size_is_inclusive(mount: Path, folder: Path) -> None:
    assert load(mount, folder, max_bytes=len(CONTENT)) == CONTENT
    (folder / "media").unlink()
    assert "larger than the limit" in refusal(TooLarge, mount, folder, max_bytes=len(CONTENT) - 1)


def test_a_file_whose_size_is_a_lie_is_not_read_without_end(folder: Path) -> None:
    """A file of /proc has no size, and one may grow."""
    assert "is empty" in refusal(DownloadFailed, Path("/proc"), folder, f"{os.getpid()}/maps")


def append(recording: Path) -> None:
    with recording.open("ab") as file:
        file.write(b"more")


def overwrite(recording: Path) -> None:
    with recording.open("r+b") as file:
        file.write(b"other")
    os.utime(recording, ns=(0, recording.stat().st_mtime_ns + 1))  # clocks of file systems may stand still for ms


def replace(recording: Path) -> None:
    other = recording.with_name("other")
    other.write_bytes(OUTSIDE)
    other.replace(recording)


@pytest.mark.parametrize("change", [append, overwrite, lambda recording: os.truncate(recording, 1_500_000)])
def test_a_file_that_changes_while_it_is_read_is_refused(
    change: Callable[[Path], object], mount: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_while_reading(change, mount, monkeypatch)
    assert "changed while it was read" in refusal(DownloadFailed, mount, folder)


@pytest.mark.parametrize("change", [replace, Path.unlink])
def test_a_file_that_is_replaced_while_it_is_read_is_the_old_one(
    change: Callable[[Path], object], mount: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_while_reading(change, mount, monkeypatch)
    assert load(mount, folder) == CONTENT


def change_while_reading(change: Callable[[Path], object], mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = [change]

    def read(file: int, size: int) -> bytes:
        chunk = READ(file, size)
        if changes:
            changes.pop()(mount / "in" / "talk.mp4")
        return chunk

    monkeypatch.setattr(os, "read", read)


READ = os.read


def test_a_file_that_grows_without_end_ends(mount: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []

    def read(file: int, size: int) -> bytes:
        reads.append(size)
        append(mount / "in" / "talk.mp4")
        return bytes(size)

    monkeypatch.setattr(os, "read", read)
    assert "changed while it was read" in refusal(DownloadFailed, mount, folder)
    assert len(reads) < 10


@pytest.mark.parametrize("ending", ["the time limit", "a cancelled job"])
def test_a_volume_that_hangs_ends_with_the_job(
    ending: str, mount: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control, released = JobControl(), threading.Event()

    def read(file: int, size: int) -> bytes:
        if ending == "a cancelled job":
            control.cancel("cancelled")
        released.wait(30)
        return READ(file, size)

    monkeypatch.setattr(os, "read", read)
    timeout = 0.3 if ending == "the time limit" else 20.0
    expected = DownloadFailed if ending == "the time limit" else Cancelled
    try:
        refusal(expected, mount, folder, timeout=timeout, control=control)
    finally:
        released.set()
        for thread in threading.enumerate():
            if thread.name == "copy":
                thread.join(10)
    assert not [thread for thread in threading.enumerate() if thread.name == "copy"]
    assert list(folder.iterdir()) == []


def test_no_descriptor_is_left(mount: Path, folder: Path) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    (mount / "in" / "link").symlink_to("talk.mp4")
    for path in ("in/talk.mp4", "in/none", "in", "in/link", "in/talk.mp4/a"):
        with nullcontext() if path == "in/talk.mp4" else pytest.raises(WorkerError):
            load(mount, folder, path)
    assert len([*Path("/proc/self/fd").iterdir()]) == before


# Where the volume is


@pytest.mark.parametrize(
    ("setting", "is_pod", "folders", "expected"),
    [
        ("auto", False, ["runpod-volume"], "runpod-volume"),
        ("auto", True, ["runpod-volume", "workspace"], "runpod-volume"),
        ("auto", True, ["workspace"], "workspace"),
        ("auto", False, ["workspace"], None),
        ("auto", True, [], None),
        ("none", True, ["runpod-volume", "workspace"], None),
        ("/data", True, ["runpod-volume"], "/data"),
    ],
)
def test_where_the_volume_is(
    setting: str,
    is_pod: bool,
    folders: list[str],
    expected: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings_module, "NETWORK_VOLUME", tmp_path / "runpod-volume")
    monkeypatch.setattr(settings_module, "POD_VOLUME", tmp_path / "workspace")
    monkeypatch.delenv("RUNPOD_POD_ID", raising=False)
    if is_pod:
        monkeypatch.setenv("RUNPOD_POD_ID", "abc")
    for name in folders:
        (tmp_path / name).mkdir()
    assert Settings(audio_volume=setting).volume == (tmp_path / expected if expected else None)


def test_a_setting_that_is_no_folder_is_refused() -> None:
    with pytest.raises(ValueError, match="audio_volume"):
        Settings(audio_volume="data")


def test_without_a_volume_the_setting_is_named() -> None:
    source = AudioSource(volume="in/talk.mp4")
    with pytest.raises(InvalidInput, match=r"^audio: there is no volume to read from: .*AUDIO_VOLUME"):
        check_stores([source], {}, Stores())
    check_stores([source], {}, Stores(volume=Volume(Path("/nowhere"))))


def test_the_pages_folder_is_the_one_of_http_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_folder, "POD_VOLUME", tmp_path)
    assert page_folder.find_page_folder(Settings()) == tmp_path / "worker-whisper"
