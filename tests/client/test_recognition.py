"""Recordings are recognised by their content, whatever they are called."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from client.errors import BadRecording
from client.media.audio import compress
from client.recognition import check_recording, encodable_path, other_kind
from media.sandbox import ffmpeg_executable
from tests.client.conftest import CLIPS

CONTAINERS = {
    "wav": "pcm_s16le", "w64": "pcm_s16le", "aiff": "pcm_s16be", "au": "pcm_s16be", "caf": "pcm_s16le",
    "flac": "flac", "mp3": "libmp3lame", "adts": "aac", "ipod": "aac", "mov": "aac", "mp4": "aac",
    "3gp": "aac", "ogg": "libopus", "webm": "libopus", "matroska": "libopus", "avi": "pcm_s16le",
    "asf": "wmav2", "flv": "aac", "mpegts": "aac", "mpeg": "mp2", "wv": "wavpack", "tta": "tta", "ac3": "ac3",
}  # fmt: skip
"""Codecs by the names that ffmpeg has for containers."""


@pytest.mark.process
@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_need_no_suffix(tmp_path: Path, container: str) -> None:
    file = tmp_path / "recording"
    codec = CONTAINERS[container]
    source = ["-f", "lavfi", "-i", "sine=440:duration=2"]
    command = [ffmpeg_executable(), "-v", "error", *source, "-c:a", codec, "-f", container, f"file:{file}"]
    subprocess.run(command, check=True)
    assert other_kind(file) is None
    check_recording(file)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nhello\n", "text"),
        ('{"text": "süß"}'.encode(), "text"),
        (("ü" * 5000).encode(), "text"),
        ("hello".encode("utf-16"), "text"),
        (b"<!doctype html><html>", "text"),
        (b"%PDF-1.7\n\x80", "application/pdf"),
        (b"PK\x03\x04" + bytes(100), "application/zip"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "image/png"),
        (b"MThd\x00\x00\x00\x06" + bytes(100), "audio/midi"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, kind: str) -> None:
    file = tmp_path / "talk.mp3"
    file.write_bytes(content)
    assert other_kind(file) == kind
    with pytest.raises(BadRecording, match=rf"^talk\.mp3 is not a recording: it is {kind}$"):
        check_recording(file)


@pytest.mark.process
def test_files_without_audio_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "talk.mp4"
    for content in (bytes(5000), b"\x00\x05\x16\x07" + bytes(4092), "Übertragung".encode("cp1252")):
        file.write_bytes(content)
        assert other_kind(file) == "of an unknown type"
    file.write_bytes((CLIPS / "video.mp4").read_bytes()[:2000])
    silent = tmp_path / "silent.mp4"
    command = [ffmpeg_executable(), "-v", "error", "-i", str(CLIPS / "video.mp4"), "-an", "-c", "copy", str(silent)]
    subprocess.run(command, check=True)
    for broken in (file, silent):
        with pytest.raises(BadRecording, match="has no audio that can be decoded: it is damaged, cut off or without"):
            check_recording(broken)


@pytest.mark.process
def test_a_name_that_is_not_utf_8_can_be_read(tmp_path: Path) -> None:
    file = Path(shutil.copy(CLIPS / "demo.ogg", tmp_path / os.fsdecode(b"\xff.\xff")))
    check_recording(file)
    with encodable_path(file) as readable:
        assert compress(readable, tmp_path).seconds == pytest.approx(6.72, abs=0.1)
    assert sorted(os.fsencode(path.name) for path in tmp_path.iterdir()) == [b"sound.ogg", b"\xff.\xff"]
