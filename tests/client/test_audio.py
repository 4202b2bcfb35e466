"""Compression of local recordings, and cutting into parts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from client.errors import BadRecording
from client.media.audio import AudioPart, compress, cut, ffmpeg_executable
from tests.client.conftest import CLIPS

pytestmark = pytest.mark.process


def test_the_audio_of_a_video_is_extracted_with_its_loudness(tmp_path: Path) -> None:
    track = compress(CLIPS / "video.mp4", tmp_path)
    assert track.seconds == pytest.approx(4.0, abs=0.1)
    assert max(track.levels) > -30
    assert min(track.levels) < -60
    assert track.bytes_per_second < 6000


def test_parts_cover_the_whole_track_and_have_exact_times(tmp_path: Path, long_recording: Path) -> None:
    track = compress(long_recording, tmp_path)
    parts = cut(track, [20.0, 50.013], tmp_path)
    assert [part.start for part in parts] == [0.0, pytest.approx(20.0), pytest.approx(50.02)]
    assert [part.end for part in parts[:-1]] == [part.start for part in parts[1:]]
    assert parts[-1].end == pytest.approx(track.seconds, abs=0.05)
    assert [seconds(part) for part in parts] == pytest.approx([part.end - part.start for part in parts], abs=0.03)


def seconds(part: AudioPart) -> float:
    """Length of a part after decoding."""
    command = [ffmpeg_executable(), "-loglevel", "error", "-i", str(part.path), "-f", "s16le", "-ar", "16000", "-"]
    return len(subprocess.run(command, capture_output=True, check=True).stdout) / 32_000


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp4", "mkv"])
def test_truncated_files_are_compressed_with_a_warning_unless_strict(
    tmp_path: Path, long_recording: Path, suffix: str
) -> None:
    whole = tmp_path / f"whole.{suffix}"
    subprocess.run([ffmpeg_executable(), "-loglevel", "error", "-i", str(long_recording), str(whole)], check=True)
    assert compress(whole, tmp_path).warnings == []
    half = tmp_path / f"half.{suffix}"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    track = compress(half, tmp_path)
    assert track.seconds > 5
    (warning,) = track.warnings
    assert "is cut off" in warning
    with pytest.raises(BadRecording, match="is cut off"):
        compress(half, tmp_path, strict=True)


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"", "cannot be decoded"), (b"not a recording", "cannot be decoded")]
)
def test_files_that_are_not_recordings_are_named_in_the_error(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "notes.mp3"
    path.write_bytes(content)
    with pytest.raises(BadRecording, match=rf"notes\.mp3 {sentence}"):
        compress(path, tmp_path)
