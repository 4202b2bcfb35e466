"""Compression of local recordings, and cutting into parts."""

from __future__ import annotations

import math
import os
import re
import struct
import subprocess
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ffmpeg
import pytest

from client.errors import BadRecording, WrongUsage
from client.media.audio import AudioPart, compress, cut
from client.media.ffmpeg_process import run_ffmpeg
from client.media.tracks import read_tracks
from media.sandbox import MAX_MEMORY, ffmpeg_executable
from tests.client.conftest import CLIPS
from tests.support.mp4 import RATE, SCALE, Mp4Track, mp4
from tests.support.peak_memory import peak_of_programs

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


def test_the_compression_tells_how_far_it_is(
    tmp_path: Path, long_recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.media.ffmpeg_process._STOP_INTERVAL_S", 0.001)
    told: list[float] = []
    track = compress(long_recording, tmp_path, on_seconds=told.append)
    assert told == sorted(told)
    assert 0 < told[-1] <= track.seconds


def seconds(part: AudioPart) -> float:
    """Length of a part after decoding."""
    command = [ffmpeg_executable(), "-loglevel", "error", "-i", str(part.path), "-f", "s16le", "-ar", "16000", "-"]
    return len(subprocess.run(command, capture_output=True, check=True).stdout) / 32_000


@pytest.mark.slow
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
    with pytest.raises(BadRecording, match=rf"notes\.mp3 {sentence}") as refused:
        compress(path, tmp_path)
    assert "@ 0x" not in str(refused.value)  # ffmpeg's own address of the part that reports the error


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


@pytest.mark.slow
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


# Files that are not what they seem


@pytest.fixture
def memo(tmp_path: Path) -> Path:
    """Somebody's private recording, in another folder."""
    (tmp_path / "home").mkdir()
    return make(tmp_path / "home" / "memo.ts", "-f", "lavfi", "-i", "sine=440:duration=2", "-c:a", "mp2")


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT3S">'
    '<Period><AdaptationSet mimeType="audio/mp2t"><Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>"
)
SCRIPTS = [HLS, "ffconcat version 1.0\nfile '{}'\n", DASH, '<ASX version="3.0"><entry><ref href="{}"/></entry></ASX>']


@pytest.mark.slow
@pytest.mark.parametrize("name", ["talk.mp3", "talk.m3u8", "talk"])
@pytest.mark.parametrize("place", ["{}", "file:{}", "file://{}", "../home/memo.ts", "neighbour.ts"])
@pytest.mark.parametrize("script", SCRIPTS, ids=["hls", "concat", "dash", "asx"])
def test_a_recording_that_names_another_is_refused(
    tmp_path: Path, memo: Path, script: str, place: str, name: str
) -> None:
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "neighbour.ts").write_bytes(memo.read_bytes())
    source = tmp_path / "sent" / name
    source.write_text(script.format(place.format(memo)))
    with pytest.raises(BadRecording, match="cannot be decoded"):
        compress(source, tmp_path)


def test_ffmpeg_has_no_environment_and_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, seen = tmp_path / "ffmpeg", tmp_path / "seen"
    os.mkfifo(seen)
    program.write_text(f"#!/bin/sh\n/bin/cat /proc/self/limits /proc/self/oom_score_adj /proc/$$/environ >{seen}\n")
    program.chmod(0o755)
    monkeypatch.setattr("media.sandbox.ffmpeg_executable", lambda: str(program))
    with ThreadPoolExecutor(1) as thread:
        read = thread.submit(seen.read_text)
        assert read_tracks(tmp_path / "talk.mp3") == []
    *limits, last = read.result().splitlines()
    assert any(re.match(rf"Max data size +{1 << 30} ", line) for line in limits)
    assert any(re.match(r"Max file size +0 ", line) for line in limits)
    assert last == "1000"


@pytest.mark.slow
def test_a_forged_index_takes_no_gigabytes(tmp_path: Path) -> None:
    forged = Mp4Track([(20_000_000, 1)], 1, is_video=True, is_joined=True)
    source = tmp_path / "forged.mp4"
    source.write_bytes(mp4(bytes(2 * RATE), Mp4Track([(1, SCALE)], 2 * RATE), *[forged] * 6))
    peak, error = peak_of_programs(compress, source, tmp_path)
    assert peak < 1.2 * MAX_MEMORY
    assert error in (None, "BadRecording")  # the sound may be whole all the same


def test_an_ffmpeg_that_does_not_get_on_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nwhile :; do echo some log >&2; done\n")
    program.chmod(0o755)
    monkeypatch.setattr("media.sandbox.ffmpeg_executable", lambda: str(program))
    output = ffmpeg.output(ffmpeg.input("x"), "y")
    run = run_ffmpeg(output, file_bytes=0, stall_seconds=0.5)
    assert run.stalled
    assert len(run.log) < 100_000


@pytest.mark.slow
def test_an_ffmpeg_that_gets_on_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nfor at in 1 2 3 4 5 6; do echo $at; /bin/sleep 0.3; done\n")
    program.chmod(0o755)
    monkeypatch.setattr("media.sandbox.ffmpeg_executable", lambda: str(program))
    run = run_ffmpeg(ffmpeg.output(ffmpeg.input("x"), "y"), file_bytes=0, stall_seconds=1.0)
    assert (run.stalled, len(run.lines)) == (False, 6)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    (tmp_path / "sound.ogg").symlink_to("/dev/full")
    source = make(tmp_path / "noise.wav", "-f", "lavfi", "-i", "anoisesrc=duration=5")
    with pytest.raises(WrongUsage, match="the disk is full"):
        compress(source, tmp_path)


# Gaps


def gapped(path: Path, gap: float) -> Path:
    """A second of sound, a gap in seconds, and a second of sound."""
    tone = struct.pack(f"<{RATE}h", *(round(8000 * math.sin(time / 6)) for time in range(RATE)))
    path.write_bytes(mp4(tone, Mp4Track([(1, SCALE + round(gap * SCALE)), (1, SCALE)], 2 * RATE)))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("gap", [5, 300])
def test_a_gap_keeps_its_length(tmp_path: Path, gap: float) -> None:
    track = compress(gapped(tmp_path / "gap.mp4", gap), tmp_path)
    assert track.seconds == pytest.approx(gap + 2, abs=0.1)
    assert track.warnings == []
    assert max(track.levels[:20]) > -20 < max(track.levels[-20:])
    assert max(track.levels[30:-30]) < -100


@pytest.mark.slow
@pytest.mark.parametrize("hours", [3, 11, 31, 300])
def test_a_gap_that_cannot_be_filled_is_named(tmp_path: Path, hours: float) -> None:
    source = gapped(tmp_path / "gap.mp4", 3600 * hours)
    with pytest.raises(
        BadRecording, match=rf"gap\.mp4 has a gap of {hours}\.0 hours after 1 s, .*: give its URL, or cut"
    ):
        compress(source, tmp_path)
