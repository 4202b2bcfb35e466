"""What browsers need of a recording: its kind, the peaks of its waveform, and a copy that they play."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Literal

import ffmpeg

from api.page.ffmpeg import Bounds, MediaFailed, run_ffmpeg
from api.page.made_files import Making
from media.log import FfmpegLog, LoggedStream
from media.sandbox import sandboxed_input
from media.video import Track, Video, video_of

PEAKS_PER_SECOND = 20

PEAKS, PLAYABLE = "peaks", "playable.mp4"
"""Names of files that are made of a recording, beside it."""

MAX_COPY_BYTES = 16 << 30
"""Of a playable copy, a mix or a captioned video: twelve hours at 3 Mbit/s."""

MAX_SECONDS = 100 * 3600.0
"""The longest recording of which peaks or a copy are made."""

_RATE = 8000
"""Samples a second of which peaks are taken: speech has little above half of it."""

_HEADER_SECONDS = 60.0
_BASE_SECONDS = 600.0
"""That a run may take, and in addition as long as the recording plays."""

_MEMORY = 4 << 30
"""Bytes to decode and encode a picture; 4K with 10 bits a colour takes 2.4 GB."""

_MAX_PIXELS = 8192 * 4608
_THREADS = 4
AUDIO_BITS = 128_000
_PICTURE_SIDE = 1280

_PLAYED_AUDIO = {
    "mp3": {"mp3"},
    "wav": {"pcm_s16le", "pcm_u8", "pcm_s24le", "pcm_f32le"},
    "flac": {"flac"},
    "ogg": {"vorbis", "opus", "flac"},
    "aac": {"aac"},
    "mp4": {"aac", "mp3", "opus", "flac"},
    "webm": {"vorbis", "opus"},
}
"""Codecs of sound that Chrome, Firefox and Safari all play, by container.

https://developer.mozilla.org/en-US/docs/Web/Media/Guides/Formats/Containers
"""

_PLAYED_VIDEO = {"mp4": {"h264", "av1", "vp9"}, "webm": {"vp8", "vp9", "av1"}}
"""The same for pictures."""

_COPIED_AUDIO = {"aac", "mp3"}
"""Codecs that go from any container into MP4 as they are."""


@dataclass(frozen=True)
class MediaFacts:
    """What a page must know of a recording.

    Attributes:
        kind: `video` if it has a moving picture.
        playable: whether browsers play the file as it is.
    """

    kind: Literal["audio", "video"]
    playable: bool


def look_at(source: Path) -> MediaFacts:
    """Read the header of a recording.

    Raises:
        MediaFailed: the file is not a recording, or has no sound.
    """
    log = read_header(source)
    sound, video = find_sound(log), video_of(source, log)
    picture, container = _picture(video), _container(video)
    playable = sound.codec in _PLAYED_AUDIO.get(container, ()) and (
        picture is None or (picture.codec in _PLAYED_VIDEO.get(container, ()) and _is_played_picture(picture))
    )
    return MediaFacts("video" if picture else "audio", playable)


def read_header(source: Path) -> FfmpegLog:
    """Read what ffmpeg says of a file's tracks.

    Raises:
        MediaFailed: the file is not a recording.
    """
    # Nothing is decoded. The null output may refuse a track, but by then the header is in the log.
    output = ffmpeg.output(sandboxed_input(source), "-", format="null", map="0", c="copy", t=0)
    log = run_ffmpeg(output, Bounds(_HEADER_SECONDS, file_bytes=0), Event())
    if not log.container:
        raise MediaFailed("the file is not audio or video in a format that can be read")
    return log


def write_peaks(source: Path, target: Path, making: Making) -> None:
    """Write the loudest sample of each 1/20 s of the first sound track: a byte, 255 for full scale.

    ffmpeg computes them, so that an hour takes 5 s of one core, and memory for no more than the peaks.

    Raises:
        MediaFailed: the sound cannot be decoded.
        Stopped: the peaks are not wanted any more.
    """
    log = read_header(source)
    find_sound(log)
    peaks = array("B")

    def read(line: str) -> None:
        if found := _PEAK.match(line):
            peaks.append(min(255, round(255 * 10 ** (float(found[1]) / 20))))

    sound = (
        # Sound that begins late or has a gap is preceded by silence, so that a peak's place is its time.
        sandboxed_input(source)["a:0"]
        .filter("aresample", _RATE, **{"async": 1, "first_pts": 0})
        .filter("aformat", channel_layouts="mono")
        .filter("asetnsamples", n=_RATE // PEAKS_PER_SECOND)
        .filter("astats", metadata=1, reset=1, measure_perchannel="none", measure_overall="Peak_level")
        .filter("ametadata", mode="print", key="lavfi.astats.Overall.Peak_level", file="pipe:1")
    )
    output = ffmpeg.output(sound, "-", format="null", t=MAX_SECONDS)
    done = run_ffmpeg(output, _bounds(log, 0), making.stop, on_line=read, on_position=making.follow(log.duration))
    if not peaks:
        raise MediaFailed(f"the sound cannot be decoded: {_remedy(done)}")
    target.write_bytes(peaks.tobytes())


_PEAK = re.compile(r"lavfi\.astats\.Overall\.Peak_level=(-?\d[\d.]*|-inf)")


def write_playable(source: Path, target: Path, making: Making, max_bytes: int) -> None:
    """Write a copy as MP4: AAC, and H.264 if there is a picture; tracks that browsers play are copied.

    Raises:
        MediaFailed: the recording cannot be decoded, or the copy has more than `max_bytes`.
        Stopped: the copy is not wanted any more.
    """
    log = read_header(source)
    sound, picture = find_sound(log), _picture(video_of(source, log))
    media = sandboxed_input(source, threads=_THREADS, max_pixels=_MAX_PIXELS)
    options: dict[str, Any] = {"format": "mp4", "movflags": "+faststart", "map_metadata": -1, "map_chapters": -1}
    options |= {"c:a": "copy"} if sound.codec in _COPIED_AUDIO else _encoded_audio()
    streams = [media["a:0"]]
    if picture is not None:
        options |= {"c:v": "copy"} if picture.codec == "h264" and _is_played_picture(picture) else _encoded_picture()
        streams.append(media[str(picture.index)])
    output = ffmpeg.output(*streams, f"file:{target}", t=MAX_SECONDS, **options)
    follow = making.follow(log.duration)
    done = run_ffmpeg(output, _bounds(log, max_bytes, picture is not None), making.stop, on_position=follow)
    if done.status != 0:
        raise MediaFailed(f"the recording cannot be converted: {_remedy(done)}")


def _encoded_audio() -> dict[str, Any]:
    return {
        "c:a": "aac",
        "b:a": AUDIO_BITS,
        "filter:a": "aresample=async=1:first_pts=0,aformat=channel_layouts=mono|stereo:sample_rates=48000|44100|16000",
    }


def _encoded_picture() -> dict[str, Any]:
    shrink = f"scale='min({_PICTURE_SIDE},iw)':'min({_PICTURE_SIDE},ih)':force_original_aspect_ratio=decrease"
    return {
        "c:v": "libx264",
        "preset:v": "veryfast",
        "crf:v": 23,
        "threads:v": _THREADS,
        "filter:v": f"{shrink}:force_divisible_by=2,format=yuv420p",
    }


def _bounds(log: FfmpegLog, file_bytes: int, has_picture: bool = False) -> Bounds:
    """The bounds of a run over a whole recording."""
    seconds = min(log.duration, MAX_SECONDS)
    if has_picture:
        return Bounds(_BASE_SECONDS + 4 * seconds, file_bytes, _MEMORY)
    return bounds_of(seconds, file_bytes)


def bounds_of(seconds: float, file_bytes: int) -> Bounds:
    """The bounds of a run over some seconds of sound, whose number may be forged."""
    return Bounds(_BASE_SECONDS + min(seconds, MAX_SECONDS), file_bytes)


def find_sound(log: FfmpegLog) -> LoggedStream:
    """The first sound track.

    Raises:
        MediaFailed: there is none.
    """
    sound = next((stream for stream in log.streams if stream.kind == "Audio"), None)
    if sound is None:
        raise MediaFailed("the file has no sound")
    return sound


def _picture(video: Video) -> Track | None:
    """The first moving picture, which a cover is not; None: there is none."""
    return video.picture_track if video.has_picture else None


def _is_played_picture(picture: Track) -> bool:
    """True for 8 bits a colour, and colours at half the resolution, as browsers decode in any case."""
    return re.search(r"\byuvj?420p\b", picture.description) is not None


def _container(video: Video) -> str:
    """The container by a short name; QuickTime's is MP4's to browsers."""
    name = video.family or video.container.partition(",")[0]
    return "mp4" if name == "mov" else name


def _remedy(log: FfmpegLog) -> str:
    return "it is damaged; convert it" if "Invalid data" in log.errors else "convert it to a common format"
