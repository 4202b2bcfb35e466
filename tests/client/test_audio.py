"""Compression of local recordings, and cutting into parts."""

from __future__ import annotations

import math
import struct
import subprocess
import wave
from pathlib import Path

import pytest

from client.errors import BadRecording, WrongUsage
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
    index_first = ["-movflags", "+faststart"] if suffix == "mp4" else []
    make(whole, "-i", str(long_recording), *index_first)
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


def make(path: Path, *arguments: str) -> Path:
    subprocess.run([ffmpeg_executable(), "-loglevel", "error", "-y", *arguments, str(path)], check=True)
    return path


TWO_TRACKS = [
    "-f",
    "lavfi",
    "-i",
    "sine=300:duration=1",
    "-f",
    "lavfi",
    "-i",
    "sine=300:duration=2",
    "-map",
    "0",
    "-map",
    "1",
]
NAMES = ["-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng", "-metadata:s:a:1", "title=Director"]


@pytest.mark.parametrize(
    ("wanted", "length"), [(None, 2), (1, 1), ("2", 2), ("ger", 1), ("eng", 2), ("director", 2), ("Direct", 2)]
)
def test_the_track_is_chosen_as_the_worker_does(tmp_path: Path, wanted: str | int | None, length: float) -> None:
    second_is_default = ["-disposition:a:0", "0", "-disposition:a:1", "default"]
    source = make(tmp_path / "two.mka", *TWO_TRACKS, *NAMES, *second_is_default)
    track = compress(source, tmp_path, audio_track=wanted)
    assert track.seconds == pytest.approx(length, abs=0.1)
    expected = 'only track 2 (eng, "Director") was transcribed; there are also track 1 (ger)'
    assert any(expected in warning for warning in track.warnings) == (wanted is None)


def test_a_missing_track_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    source = make(tmp_path / "two.mka", *TWO_TRACKS, *NAMES)
    with pytest.raises(WrongUsage, match=r"only track 1 \(ger\), track 2 \(eng, "):
        compress(source, tmp_path, audio_track="fre")


@pytest.mark.parametrize(
    ("channels", "signs"),
    [(2, (1, -1)), (3, (0, 0, 1)), *((n, (0,) * (n - 1) + (1,)) for n in (9, 10, 12, 16, 32, 60))],
)
def test_no_channel_is_lost_when_a_recording_is_compressed(
    tmp_path: Path, channels: int, signs: tuple[int, ...]
) -> None:
    tone = [round(8000 * math.sin(2 * math.pi * 300 * time / 16_000)) for time in range(16_000)]
    with wave.open(str(tmp_path / "channels.wav"), "wb") as file:
        file.setparams((channels, 2, 16_000, 0, "NONE", ""))
        file.writeframes(struct.pack(f"<{len(tone) * channels}h", *(sign * value for value in tone for sign in signs)))
    track = compress(tmp_path / "channels.wav", tmp_path)
    plain = ["-loglevel", "error", "-i", str(track.path), "-af", "pan=mono|c0=c0", "-f", "s16le", "-"]
    samples = subprocess.run([ffmpeg_executable(), *plain], capture_output=True, check=True).stdout
    assert max(struct.unpack(f"<{len(samples) // 2}h", samples)) > 6000  # of 8000
