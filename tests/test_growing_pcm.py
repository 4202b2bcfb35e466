"""Recordings that are read while ffmpeg writes them: samples, windows, errors and warnings are those of the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from benchmarks.recordings import load_pcm
from src.audio.decode import decode_recording
from src.audio.decoding_run import AudioOptions
from src.audio.pcm import SAMPLE_RATE, GrowingPcm, Pcm, known_length
from src.audio.running_decoding import RunningDecoding, start_decoding
from src.audio.vad import VadOptions
from src.errors import Cancelled, TooLarge, UnsupportedMedia
from src.job_control import JobControl
from src.settings import get_settings
from src.transcription.windows import find_windows
from src.whisper_processor import WhisperProcessor
from tests.support.clips import CLIPS
from tests.support.media import encode, main_frequency, sine, write_wav
from tests.support.mp4 import RATE, SCALE, Mp4Track, mp4

pytestmark = pytest.mark.process

SECONDS = 20
NO_OPTIONS = AudioOptions()


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes ffmpeg read its input at 20 times real time."""
    program = tmp_path / "ffmpeg"
    program.write_text(f'#!/bin/sh\nexec {imageio_ffmpeg.get_ffmpeg_exe()} -readrate 20 "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr("media.sandbox.ffmpeg_executable", lambda: str(program))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for the decoder."""
    path = tmp_path / "job"
    path.mkdir()
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A recording with one channel."""
    noise = np.random.default_rng(0).normal(0, 3000, (SECONDS * SAMPLE_RATE, 1)).astype(np.int16)
    return write_wav(tmp_path / "noise.wav", noise)


def start(
    source: Path,
    folder: Path,
    max_seconds: float = 3600.0,
    control: JobControl | None = None,
    options: AudioOptions = NO_OPTIONS,
) -> AbstractContextManager[RunningDecoding]:
    return start_decoding(
        source, folder, options, max_seconds=max_seconds, max_bytes=1 << 30, control=control or JobControl()
    )


def readable(decoding: RunningDecoding) -> GrowingPcm:
    growing = decoding.readable()
    assert growing is not None
    return growing


def decoded(source: Path, folder: Path) -> Pcm:
    after = folder / "after"
    after.mkdir()
    return decode_recording(source, after, AudioOptions(), max_seconds=3600.0, max_bytes=1 << 30).channels[0]


# The decoder


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3", "ogg"])
def test_samples_are_read_before_the_end_and_are_those_of_the_result(slow, source, folder, extension):
    encoded = folder.parent / f"noise.{extension}"
    if not encoded.exists():
        encode("-i", str(source), *(["-c:a", "libopus"] if extension == "ogg" else []), str(encoded))
    with start(encoded, folder) as decoding:
        growing = readable(decoding)
        early = growing[SAMPLE_RATE : 2 * SAMPLE_RATE].copy()
        assert known_length(growing) is None
        rest = growing[2 * SAMPLE_RATE :]
        assert known_length(growing) == len(growing) == SAMPLE_RATE * 2 + len(rest)
        whole = decoding.result().channels[0]
        assert np.array_equal(whole, decoded(encoded, folder))
        assert np.array_equal(whole[SAMPLE_RATE:], np.concatenate([early, rest]))
        assert np.array_equal(growing[3:9], whole[3:9])


@pytest.mark.slow
def test_channels_that_are_mixed_are_read_after_the_end(folder):
    stereo = write_wav(folder.parent / "stereo.wav", np.stack([sine(300, 2.0), sine(500, 2.0)], axis=1))
    with start(stereo, folder) as decoding:
        assert decoding.readable() is None
        assert len(decoding.result().channels[0]) == 2 * SAMPLE_RATE


@pytest.mark.slow
def test_the_samples_are_those_of_the_chosen_track(slow, folder):
    tracks = folder.parent / "tracks.mka"
    inputs = [part for frequency in (300, 1000) for part in ("-f", "lavfi", "-i", f"sine={frequency}:duration=10")]
    encode(*inputs, "-map", "0", "-map", "1", "-metadata:s:a:1", "language=ger", "-c:a", "flac", str(tracks))
    with start(tracks, folder, options=AudioOptions(track="de")) as decoding:
        growing = readable(decoding)
        assert main_frequency(growing[: 2 * SAMPLE_RATE]) == pytest.approx(1000, abs=1)
        assert known_length(growing) is None
        assert main_frequency(growing[:]) == pytest.approx(1000, abs=1)


@pytest.mark.slow
def test_sound_that_begins_late_is_read_after_the_end(folder):
    late = folder.parent / "late.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=3"]
    encode(
        *picture, "-itsoffset", "2", "-f", "lavfi", "-i", "sine=440:duration=1", "-ac", "1", "-c:a", "aac", str(late)
    )
    with start(late, folder) as decoding:
        assert decoding.readable() is None
        assert len(decoding.result().channels[0]) == pytest.approx(3 * SAMPLE_RATE, abs=2000)


@pytest.mark.slow
def test_samples_around_a_gap_are_those_of_the_result(folder):
    gapped = folder.parent / "gap.mp4"
    gapped.write_bytes(mp4(sine(440, 10.0).tobytes(), Mp4Track([(1, 110 * SCALE), (1, 10 * SCALE)], 20 * RATE)))
    with start(gapped, folder) as decoding:
        growing = readable(decoding)
        read = np.concatenate([growing[at : at + SAMPLE_RATE] for at in range(0, 120 * SAMPLE_RATE, SAMPLE_RATE)])
        whole = decoding.result().channels[0]
    assert len(whole) == 120 * SAMPLE_RATE
    assert np.array_equal(read, whole)
    assert main_frequency(whole[-10 * SAMPLE_RATE :]) == pytest.approx(440, abs=1)
    assert not whole[10 * SAMPLE_RATE : -10 * SAMPLE_RATE].any()


def test_a_recording_over_the_limit_is_refused_when_its_end_is_reached(slow, source, folder):
    with start(source, folder, 8.0) as decoding:
        growing = readable(decoding)
        assert len(growing[:SAMPLE_RATE]) == SAMPLE_RATE
        for read in (lambda: growing[: SECONDS * SAMPLE_RATE], lambda: len(growing), decoding.result):
            with pytest.raises(TooLarge, match="longer than the limit of 8 seconds"):
                read()
    assert list(folder.iterdir()) == []


def test_a_file_that_cannot_be_decoded_is_refused_as_ever(folder):
    garbage = folder.parent / "garbage"
    garbage.write_bytes(b"no recording")
    with start(garbage, folder) as decoding:
        assert decoding.readable() is None
        with pytest.raises(UnsupportedMedia, match="not audio or video"):
            decoding.result()


def test_a_recording_that_is_cut_off_has_its_warning_at_the_end(source, folder):
    cut = folder.parent / "cut.wav"
    cut.write_bytes(source.read_bytes()[: 10 * SAMPLE_RATE])
    with start(cut, folder) as decoding:
        assert len(readable(decoding)) == pytest.approx(5 * SAMPLE_RATE, abs=100)
        (warning,) = decoding.result().warnings
    assert "the recording is cut off" in warning
    with (
        start(cut, folder, options=AudioOptions(strict=True)) as decoding,
        pytest.raises(UnsupportedMedia, match="cut off"),
    ):
        decoding.result()


def test_the_end_of_the_block_stops_ffmpeg(slow, source, folder):
    with start(source, folder) as decoding:
        readable(decoding)[:100]
    with pytest.raises(Cancelled):
        decoding.result()
    assert list(folder.iterdir()) == []


def test_a_cancelled_job_waits_for_no_samples(slow, source, folder):
    control = JobControl()

    def read_to_the_end() -> None:
        with start(source, folder, control=control) as decoding:
            growing = readable(decoding)
            control.cancel("enough")
            len(growing)

    with pytest.raises(Cancelled, match="enough"):
        read_to_the_end()
    assert list(folder.iterdir()) == []


# Windows


@pytest.fixture
def written_slowly(tmp_path: Path) -> Iterator[Callable[[Pcm, int], GrowingPcm]]:
    """Writes a recording in pieces, on another thread."""
    with ThreadPoolExecutor(1) as thread:

        def grow(pcm: Pcm, piece: int, ends: threading.Event | None = None) -> GrowingPcm:
            path = tmp_path / "growing.pcm"
            whole: Future[Pcm] = Future()

            def write() -> None:
                with path.open("wb", buffering=0) as file:
                    for at in range(0, len(pcm), piece):
                        file.write(pcm[at : at + piece].tobytes())
                        time.sleep(0.02)
                if ends:
                    ends.wait(60)
                whole.set_result(pcm)

            thread.submit(write)
            return GrowingPcm(path, whole)

        yield grow


@pytest.mark.slow
@pytest.mark.parametrize("vad", [VadOptions(), None], ids=["vad", "no vad"])
@pytest.mark.parametrize("piece", [99_999, 10_000_000])
def test_windows_of_a_growing_recording_are_those_of_the_whole_one(written_slowly, piece, vad):
    pcm = np.tile(load_pcm(CLIPS / "long.ogg"), 2)[: 130 * SAMPLE_RATE]
    found = list(find_windows(written_slowly(pcm, piece), None, vad))
    expected = list(find_windows(pcm, None, vad))
    assert [position[:1] + position[2:] for position in found] == [position[:1] + position[2:] for position in expected]
    for growing, whole in zip(found, expected, strict=True):
        assert np.array_equal(growing.window.audio, whole.window.audio)
        assert growing.window.speech == whole.window.speech


def test_the_first_window_is_found_before_the_end_is_written(written_slowly):
    pcm = np.tile(load_pcm(CLIPS / "long.ogg"), 5)
    ends = threading.Event()
    growing = written_slowly(pcm, 16 * SAMPLE_RATE, ends)
    next(find_windows(growing, None, VadOptions()))
    assert known_length(growing) is None
    ends.set()


# Jobs


@pytest.fixture(scope="module")
def tiny() -> Iterator[WhisperProcessor]:
    processor = WhisperProcessor("tiny.en")
    yield processor
    processor.close()


@pytest.mark.model
def test_a_job_that_reads_along_has_the_result_of_one_that_waits(tiny, slow):
    # `strict` is not wanted of a recording that may yet turn out to be cut off, so that it waits.
    along, waited = (tiny.transcribe(CLIPS / "demo.ogg", {"strict": strict}) for strict in (False, True))
    assert [segment.to_dict() for segment in along.segments] == [segment.to_dict() for segment in waited.segments]
    assert along.duration == waited.duration == pytest.approx(6.72, abs=0.01)
    assert along.timings["decode_audio"] < waited.timings["decode_audio"]


@pytest.mark.slow
@pytest.mark.model
def test_a_job_over_the_limit_fails_although_its_first_windows_were_transcribed(tiny, slow, monkeypatch):
    monkeypatch.setenv("MAX_AUDIO_SECONDS", "60")
    get_settings.cache_clear()
    try:
        with pytest.raises(TooLarge, match="longer than the limit of 60 seconds"):
            tiny.transcribe(CLIPS / "long.ogg", {"language": "en"})
    finally:
        get_settings.cache_clear()
