"""What the kernel allows ffmpeg, in each place where it is started, and what becomes of a job beyond that."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import ffmpeg
import pytest

from media.captions import Captions
from media.log import FfmpegLog
from media.sandbox import MAX_MEMORY, ProcessLimits
from media.video import Video
from src.audio.decode import decode_audio
from src.audio.ffmpeg_process import compile_command, refuse_exhausted, start_ffmpeg
from src.captions import embed
from src.captions.embed import EmbedJob, VideoLimits, burn, find_encoders, mux
from src.captions.probe import probe_video
from src.errors import OutOfResources, TooLarge, UnsupportedMedia, WorkerError
from src.job_control import JobControl
from tests.support.media import encode, sine, write_wav
from tests.support.mp4 import Mp4Track, mp4
from tests.support.peak_memory import peak_of_programs
from transcript.formats.ass import Style
from transcript.formats.cues import Cue
from transcript.formats.timed_words import TimedWord

pytestmark = pytest.mark.process

HELLO = Captions([Cue(0, 900, [[TimedWord("hello", 0, 900)]])], "en")
AMPLE = VideoLimits(seconds=3600, bytes=1 << 30)
SECOND_OF_SOUND = Mp4Track([(1, 1000)], 32_000)


def decode(source: Path, folder: Path) -> None:
    decode_audio(source, folder, max_seconds=3600, max_bytes=1 << 30)


def probe(source: Path, folder: Path) -> None:
    probe_video(source, JobControl())


def job(video: Video, folder: Path, limits: VideoLimits = AMPLE) -> EmbedJob:
    return EmbedJob(video, folder, limits, JobControl())


@pytest.fixture
def film(tmp_path: Path) -> Path:
    source = tmp_path / "film.mkv"
    picture = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10:duration=2"]
    encode(*picture, "-f", "lavfi", "-i", "sine=duration=2", "-c:v", "mpeg4", "-c:a", "flac", str(source))
    return source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


STARTS: dict[str, tuple[Callable[[Video, Path], object], int]] = {
    "decode": (lambda video, folder: decode(video.source, folder), MAX_MEMORY),
    "probe": (lambda video, folder: probe(video.source, folder), MAX_MEMORY),
    "mux": (lambda video, folder: mux(job(video, folder), [HELLO]), MAX_MEMORY),
    "burn": (lambda video, folder: burn(job(video, folder), HELLO, Style(), encoders=["libx264"]), 4 << 30),
    "trial of an encoder": (lambda video, folder: find_encoders.__wrapped__(), 4 << 30),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", STARTS)
def test_each_start_of_ffmpeg_is_bounded(kind: str, film: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start, memory = STARTS[kind]
    video = probe_video(film, JobControl())
    program, seen = folder / "ffmpeg", folder / "seen"
    os.mkfifo(seen)  # a file may be over its limit of size
    program.write_text(f"#!/bin/sh\n/bin/cat /proc/self/limits /proc/self/oom_score_adj /proc/$$/environ >{seen}\n")
    program.chmod(0o755)
    monkeypatch.setattr("media.sandbox.ffmpeg_executable", lambda: str(program))
    with ThreadPoolExecutor(1) as thread, suppress(WorkerError):
        read = thread.submit(seen.read_text)
        start(video, folder)
    lines = read.result().splitlines()
    limits = {line[:26].strip(): line[26:].split()[:2] for line in lines}
    assert limits["Max data size"] == [str(memory)] * 2
    assert limits["Max core file size"] == ["0", "0"]
    assert int(limits["Max file size"][1]) <= 2 << 30
    assert 0 < int(limits["Max cpu time"][0]) < int(limits["Max cpu time"][1]) < 100_000 * embed._CORES
    assert lines[-1] == "1000"  # and no environment after it


def run(arguments: dict[str, object], target: str, folder: Path, limits: ProcessLimits) -> FfmpegLog:
    log = FfmpegLog()
    output = ffmpeg.output(ffmpeg.input("anoisesrc", f="lavfi"), target, **arguments)
    with start_ffmpeg(compile_command(output, limits), log, JobControl(), folder) as process:
        process.wait(60)
    return log


@pytest.mark.slow
def test_cpu_time_is_bounded(folder: Path) -> None:
    log = run({"format": "null"}, "-", folder, ProcessLimits(cpu_seconds=1, file_bytes=0))
    assert log.lacks_cpu_time
    with pytest.raises(UnsupportedMedia, match="more CPU time than an intact one"):
        refuse_exhausted(log)


def test_a_file_is_bounded(folder: Path) -> None:
    log = run({}, "noise.wav", folder, ProcessLimits(cpu_seconds=60, file_bytes=100_000))
    assert log.status == -signal.SIGXFSZ
    assert (folder / "noise.wav").stat().st_size <= 100_000 + 512


@pytest.mark.parametrize(
    ("status", "log", "error"),
    [
        (0, "av_interleaved_write_frame(): No space left on device\n", None),
        (1, "[x] Invalid data found\n", None),
        (1, "av_interleaved_write_frame(): No space left on device\n", OutOfResources("the worker's disk is full")),
        (1, "av_interleaved_write_frame(): Disk quota exceeded\n", OutOfResources("the worker's disk is full")),
        (1, "x: Too many open files\n", OutOfResources("the worker has too many files open")),
        (-signal.SIGKILL, "", OutOfResources("the worker has no memory left")),
        (1, "Error opening input: Cannot allocate memory\n", UnsupportedMedia("the file takes more memory")),
        (255, "Exiting normally, received signal 24.\n", UnsupportedMedia("the file takes more CPU time")),
    ],
)
def test_a_failure_names_what_was_missing(status: int, log: str, error: WorkerError | None) -> None:
    read = FfmpegLog(status=status)
    for line in log.splitlines(keepends=True):
        read._keep_error(line)
    if error is None:
        refuse_exhausted(read)
    else:
        with pytest.raises(type(error), match=f"^{error}"):
            refuse_exhausted(read)


@pytest.mark.slow
@pytest.mark.parametrize("call", [decode, probe])
def test_a_small_file_that_declares_gigabytes_of_index_takes_little(
    call: Callable[[Path, Path], None], folder: Path
) -> None:
    """One second of sound, and tracks of 20 million pictures of one byte, each of which takes 465 MB."""
    forged = Mp4Track([(20_000_000, 1)], 1, is_video=True, is_joined=True)
    source = folder.parent / "forged.mp4"
    source.write_bytes(mp4(bytes(32_000), SECOND_OF_SOUND, *[forged] * 6))
    peak, error = peak_of_programs(call, source, folder)
    assert peak < 1.2 * MAX_MEMORY
    assert error in (None, "UnsupportedMedia")  # the sound may be whole all the same


@pytest.mark.slow
@pytest.mark.parametrize("call", [decode, probe])
def test_more_tracks_than_anybody_needs_are_refused(call: Callable[[Path, Path], None], folder: Path) -> None:
    source = folder.parent / "many.mp4"
    source.write_bytes(mp4(bytes(32_000), *[SECOND_OF_SOUND] * 101))
    with pytest.raises(UnsupportedMedia, match="the file has more than 100 tracks: leave some out"):
        call(source, folder)


@pytest.mark.slow
def test_a_track_that_repeats_its_data_fills_no_disk(folder: Path) -> None:
    """A video of 1.4 MB whose 100,000 pictures are the same megabyte."""
    source = folder.parent / "repeated.mp4"
    source.write_bytes(mp4(bytes(1_000_000), SECOND_OF_SOUND, Mp4Track([(100_000, 40)], 1_000_000, is_video=True)))
    limits = VideoLimits(seconds=3600, bytes=5_000_000)
    with pytest.raises(TooLarge, match=r"larger than the limit of 5\.0 MB"):
        mux(job(probe_video(source, JobControl()), folder, limits), [HELLO])
    assert sum(file.stat().st_size for file in folder.iterdir()) < 10_000


def on_a_full_disk(path: Path) -> None:
    path.symlink_to("/dev/full")


@pytest.mark.parametrize("rate", [16_000, 8_000])
def test_a_full_disk_is_the_workers_trouble_and_not_the_recordings(rate: int, folder: Path) -> None:
    on_a_full_disk(folder / "audio.pcm")
    with pytest.raises(OutOfResources, match="the worker's disk is full: send the job again later"):
        decode(write_wav(folder.parent / "a.wav", sine(300, 20.0)[:, None], rate), folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["mux", "burn"])
def test_a_full_disk_is_named_in_captioning(kind: str, film: Path, folder: Path) -> None:
    on_a_full_disk(folder / "captioned.mkv")
    with pytest.raises(OutOfResources, match="the worker's disk is full"):
        STARTS[kind][0](probe_video(film, JobControl()), folder)
    shutil.rmtree(folder)
