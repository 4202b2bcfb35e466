"""What the page needs of recordings: facts, peaks and a copy that browsers play; and the threads that make files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from api.openai.errors import ApiError
from api.page import ffmpeg
from api.page.ffmpeg import MediaFailed, Stopped
from api.page.made_files import MadeFiles, Making
from api.page.media import MediaFacts, look_at, read_header, write_peaks, write_playable
from tests.support.http_api import wait_until
from tests.support.media import encode, sine, write_wav

pytestmark = pytest.mark.process

DATA = Path(__file__).parent / "data"
TONE = ("-f", "lavfi", "-i", "sine=frequency=300:duration=1")
PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=5:duration=1")


@pytest.mark.parametrize(
    ("name", "arguments", "facts"),
    [
        ("a.mp3", (*TONE,), MediaFacts("audio", True)),
        ("a.wav", (*TONE,), MediaFacts("audio", True)),
        ("a.flac", (*TONE,), MediaFacts("audio", True)),
        ("a.m4a", (*TONE,), MediaFacts("audio", True)),
        ("a.opus", (*TONE,), MediaFacts("audio", True)),
        ("a.webm", (*TONE,), MediaFacts("audio", True)),
        ("a.mp4", (*PICTURE, *TONE, "-pix_fmt", "yuv420p"), MediaFacts("video", True)),
        ("a.webm", (*PICTURE, *TONE, "-pix_fmt", "yuv420p"), MediaFacts("video", True)),
        ("10-bit.mp4", (*PICTURE, *TONE, "-c:v", "libx264", "-pix_fmt", "yuv420p10le"), MediaFacts("video", False)),
        ("hevc.mp4", (*PICTURE, *TONE, "-c:v", "libx265", "-pix_fmt", "yuv420p"), MediaFacts("video", False)),
        ("a.mkv", (*PICTURE, *TONE, "-pix_fmt", "yuv420p"), MediaFacts("video", False)),
        ("a.avi", (*PICTURE, *TONE), MediaFacts("video", False)),
        ("a.wma", (*TONE,), MediaFacts("audio", False)),
        ("a.amr", (*TONE, "-ar", "8000", "-c:a", "libopencore_amrnb"), MediaFacts("audio", False)),
        ("alaw.wav", (*TONE, "-c:a", "pcm_alaw"), MediaFacts("audio", False)),
        ("alac.m4a", (*TONE, "-c:a", "alac"), MediaFacts("audio", False)),
    ],
)
def test_what_browsers_play_is_known(name: str, arguments: tuple[str, ...], facts: MediaFacts, tmp_path: Path) -> None:
    encode(*arguments, str(tmp_path / name))
    assert look_at(tmp_path / name) == facts


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    encode(
        *TONE, *PICTURE, "-frames:v", "1", "-c:v", "mjpeg", "-disposition:v", "attached_pic", str(tmp_path / "a.mp3")
    )
    assert look_at(tmp_path / "a.mp3") == MediaFacts("audio", True)


@pytest.mark.parametrize("content", [b"", b"no recording", b"#EXTM3U\nfile:///etc/passwd\n", b"ffconcat version 1.0\n"])
def test_what_is_no_recording_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(content)
    for call in (look_at, lambda source: write_peaks(source, tmp_path / "peaks", Making())):
        with pytest.raises(MediaFailed, match="not audio or video"):
            call(tmp_path / "a.mp3")


def peaks_of(source: Path, folder: Path) -> list[int]:
    write_peaks(source, folder / "peaks", Making())
    return list((folder / "peaks").read_bytes())


def test_peaks_follow_the_loudness(tmp_path: Path) -> None:
    loud = sine(300, 1.0, amplitude=32_000.0)
    source = write_wav(tmp_path / "a.wav", np.concatenate([loud, 0 * loud, loud // 10])[:, None])
    peaks = peaks_of(source, tmp_path)
    assert len(peaks) == 60
    assert all(peak > 240 for peak in peaks[1:19])
    assert all(peak == 0 for peak in peaks[22:38])
    assert all(23 <= peak <= 28 for peak in peaks[42:58])


def test_a_peak_is_at_its_time_where_the_sound_begins_later_than_the_picture(tmp_path: Path) -> None:
    source = tmp_path / "late.mkv"
    encode(*PICTURE, "-itsoffset", "0.5", *TONE, "-c:v", "mpeg4", "-c:a", "flac", str(source))
    peaks = peaks_of(source, tmp_path)
    assert len(peaks) == pytest.approx(30, abs=1)
    assert max(peaks[:9]) == 0
    assert min(peaks[11:29]) > 20


def test_peaks_of_a_gap_are_silent(tmp_path: Path) -> None:
    source = tmp_path / "gap.mkv"
    encode(*TONE, "-af", "aselect='not(between(t,0.3,0.7))'", "-c:a", "pcm_s16le", str(source))
    peaks = peaks_of(source, tmp_path)
    assert len(peaks) == pytest.approx(20, abs=1)
    assert max(peaks[8:12]) == 0


def test_peaks_of_damaged_sound_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"\xff\xfb\x90\x64" + b"\0" * 20)
    with pytest.raises(MediaFailed, match=r"not audio or video|cannot be decoded"):
        peaks_of(tmp_path / "a.mp3", tmp_path)


@pytest.mark.parametrize(
    ("name", "arguments", "codecs"),
    [
        ("a.amr", (*TONE, "-ar", "8000", "-c:a", "libopencore_amrnb"), {"Audio": "aac"}),
        ("a.wma", (*TONE,), {"Audio": "aac"}),
        ("surround.mkv", (*TONE, "-ac", "6", "-c:a", "flac"), {"Audio": "aac"}),
        ("a.avi", (*PICTURE, *TONE), {"Audio": "mp3", "Video": "h264"}),
        ("a.mkv", (*PICTURE, *TONE, "-pix_fmt", "yuv420p", "-c:a", "flac"), {"Audio": "aac", "Video": "h264"}),
        ("hevc.mp4", (*PICTURE, *TONE, "-c:v", "libx265"), {"Audio": "aac", "Video": "h264"}),
        ("odd.mkv", ("-f", "lavfi", "-i", "testsrc2=size=65x47:duration=1", *TONE), {"Audio": "aac", "Video": "h264"}),
    ],
)
def test_a_copy_plays_in_browsers(
    name: str, arguments: tuple[str, ...], codecs: dict[str, str], tmp_path: Path
) -> None:
    encode(*arguments, str(tmp_path / name))
    assert not look_at(tmp_path / name).playable
    copy = tmp_path / "playable.mp4"
    write_playable(tmp_path / name, copy, Making(), 1 << 30)
    assert look_at(copy).playable
    log = read_header(copy)
    assert {stream.kind: stream.codec for stream in log.streams} == codecs
    assert log.duration == pytest.approx(1.0, abs=0.21)


def test_a_large_picture_becomes_smaller(tmp_path: Path) -> None:
    source = tmp_path / "a.mkv"
    encode("-f", "lavfi", "-i", "testsrc2=size=2560x1440:rate=2:duration=1", *TONE, "-c:v", "mpeg4", str(source))
    write_playable(source, tmp_path / "playable.mp4", Making(), 1 << 30)
    picture = next(stream for stream in read_header(tmp_path / "playable.mp4").streams if stream.kind == "Video")
    assert ", 1280x720" in picture.description


def test_a_copy_is_bounded(tmp_path: Path) -> None:
    encode("-f", "lavfi", "-i", "anoisesrc=duration=20", str(tmp_path / "a.wma"))
    with pytest.raises(MediaFailed, match="larger than this server keeps"):
        write_playable(tmp_path / "a.wma", tmp_path / "playable.mp4", Making(), 20_000)
    assert (tmp_path / "playable.mp4").stat().st_size <= 20_000 + 512


@pytest.fixture
def sleeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ffmpeg that reads the header, and then never ends; it writes its process id."""
    program, pid = tmp_path / "ffmpeg", tmp_path / "pid"
    program.write_text(
        f"""#!/bin/sh
echo 'Input #0, wav, from file:' >&2
echo '  Stream #0:0: Audio: pcm_s16le, 16000 Hz' >&2
case "$*" in *"-c copy"*) exit 0;; esac
echo $$ >{pid}
exec /bin/sleep 60
"""
    )
    program.chmod(0o755)
    monkeypatch.setattr("media.sandbox.ffmpeg_executable", lambda: str(program))
    return pid


def is_running(pid: Path) -> bool:
    return Path(f"/proc/{pid.read_text().strip()}").exists()


def test_a_run_ends_when_it_is_stopped(sleeping: Path, tmp_path: Path) -> None:
    making = Making()
    threading.Timer(0.3, making.stop.set).start()
    with pytest.raises(Stopped):
        write_playable(tmp_path / "a.wav", tmp_path / "playable.mp4", making, 1 << 20)
    assert not is_running(sleeping)


def test_a_run_that_stalls_ends(sleeping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "STALL_SECONDS", 0.3)
    with pytest.raises(MediaFailed, match="longer than an intact one would"):
        write_playable(tmp_path / "a.wav", tmp_path / "playable.mp4", Making(), 1 << 20)
    assert not is_running(sleeping)


@pytest.fixture
def made() -> Iterator[MadeFiles]:
    files = MadeFiles()
    yield files
    files.close()


def write_hello(path: Path, making: Making) -> None:
    path.write_text("hello")


def fail(path: Path, making: Making) -> None:
    path.write_text("half")
    raise MediaFailed("it is damaged")


def wait_until_stopped(path: Path, making: Making) -> None:
    path.write_text("half")
    making.stop.wait(10)
    raise Stopped


def test_a_made_file_appears_whole(made: MadeFiles, tmp_path: Path) -> None:
    made.begin("id", tmp_path / "a.txt", write_hello)
    wait_until(lambda: made.find("id", "a.txt") is None)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "hello")]


def test_a_failure_is_told_until_it_is_tried_again(made: MadeFiles, tmp_path: Path) -> None:
    making = made.begin("id", tmp_path / "a.txt", fail)
    wait_until(lambda: making.error)
    assert made.find("id", "a.txt").error == "it is damaged"
    assert list(tmp_path.iterdir()) == []
    made.begin("id", tmp_path / "a.txt", write_hello)
    wait_until(lambda: made.find("id", "a.txt") is None)


def test_a_file_is_made_once_for_all_who_ask(made: MadeFiles, tmp_path: Path) -> None:
    first = made.begin("id", tmp_path / "a.txt", wait_until_stopped)
    assert made.begin("id", tmp_path / "a.txt", write_hello) is first
    assert made.begin("other", tmp_path / "a.txt", write_hello) is not first


@pytest.mark.parametrize("end", ["forget", "cancel", "close"])
def test_work_that_is_not_wanted_ends_and_leaves_nothing(end: str, made: MadeFiles, tmp_path: Path) -> None:
    making = made.begin("id", tmp_path / "a.txt", wait_until_stopped)
    wait_until(lambda: list(tmp_path.iterdir()))
    {"forget": lambda: made.forget("id"), "cancel": lambda: made.cancel("id", "a.txt"), "close": made.close}[end]()
    assert making.stop.is_set()
    assert list(tmp_path.iterdir()) == []
    assert made.find("id", "a.txt") is None


def test_few_files_are_made_at_once_and_few_wait(made: MadeFiles, tmp_path: Path) -> None:
    for number in range(100):
        made.begin(str(number), tmp_path / f"{number}.txt", wait_until_stopped)
    with pytest.raises(ApiError) as refused:
        made.begin("one more", tmp_path / "a.txt", write_hello)
    assert refused.value.status == 429
    assert len(list(tmp_path.iterdir())) <= 2
