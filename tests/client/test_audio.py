"""A local recording becomes its sound alone, whole or not at all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from client.audio import Part, compress, cut, ffmpeg_executable
from client.errors import BadRecording
from tests.client.conftest import CLIPS

pytestmark = pytest.mark.process


def test_the_sound_of_a_video_is_taken_out_with_its_loudness(tmp_path: Path) -> None:
    sound = compress(CLIPS / "video.mp4", tmp_path)
    assert sound.seconds == pytest.approx(4.0, abs=0.1)
    assert max(sound.levels) > -30
    assert min(sound.levels) < -60
    assert sound.bytes_per_second < 6000


def test_parts_are_all_of_the_sound_and_tell_where_they_are(tmp_path: Path, long: Path) -> None:
    sound = compress(long, tmp_path)
    parts = cut(sound, [20.0, 50.013], tmp_path)
    assert [part.start for part in parts] == [0.0, pytest.approx(20.0), pytest.approx(50.02)]
    assert [part.end for part in parts[:-1]] == [part.start for part in parts[1:]]
    assert parts[-1].end == pytest.approx(sound.seconds, abs=0.05)
    assert [seconds(part) for part in parts] == pytest.approx([part.end - part.start for part in parts], abs=0.03)


def seconds(part: Part) -> float:
    """How long a part is when it is decoded."""
    command = [ffmpeg_executable(), "-loglevel", "error", "-i", str(part.path), "-f", "s16le", "-ar", "16000", "-"]
    return len(subprocess.run(command, capture_output=True, check=True).stdout) / 32_000


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp4", "mkv"])
def test_what_is_cut_off_is_refused(tmp_path: Path, long: Path, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    subprocess.run([ffmpeg_executable(), "-loglevel", "error", "-i", str(long), str(whole)], check=True)
    compress(whole, tmp_path)
    half = tmp_path / f"half.{suffix}"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(BadRecording, match="is cut off"):
        compress(half, tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"", "cannot be decoded"), (b"not a recording", "cannot be decoded")]
)
def test_what_is_no_recording_is_told_by_its_name(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "notes.mp3"
    path.write_bytes(content)
    with pytest.raises(BadRecording, match=rf"notes\.mp3 {sentence}"):
        compress(path, tmp_path)
