"""A video and what is said in it -> the same video with captions: in a track of their own, or drawn into its picture.

Whatever is not said here stays as it is: a track of captions leaves every other track's bytes alone, and captions that
are drawn cost the picture one encoding, while its times, its sound, its chapters and other tracks are copied.

ffmpeg runs in a folder of our own, where subtitles and fonts have names of our own: nothing that a caller sends gets
into a command or a filter.
"""

from __future__ import annotations

import functools
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import ffmpeg

from src.audio.ffmpeg_process import compile_command, parse_clock, read_log_lines, recording, running
from src.captions.containers import (
    CONTAINERS_BY_FAMILY,
    MKV,
    MOV,
    MP4,
    Container,
    kept_tracks,
    language_tag,
    lost_picture_warnings,
    lost_track_warnings,
)
from src.captions.fonts import SYSTEM_FONTS, lettering_for
from src.captions.probe import Video
from src.errors import CaptionsFailed, TooLarge
from src.formats.cues import Cue
from src.formats.drawn import Style, to_ass_overlay, to_timed_text
from src.formats.srt_vtt_tsv import to_srt, to_vtt
from src.job_control import JobControl

MOST_PIXELS = 4096 * 2304
"""Of a picture that is drawn into: 4K."""

_STALL_SECONDS = 60.0  # without any progress
_SLOWEST = 600.0, 20.0  # seconds that drawing may take, and those for each second of the video

_QUALITY: dict[str, dict[str, Any]] = {
    "h264_nvenc": {"preset:v:{}": "p5", "rc:v:{}": "vbr", "cq:v:{}": 21, "b:v:{}": 0},
    "libx264": {"preset:v:{}": "veryfast", "crf:v:{}": 20},
}


@dataclass(frozen=True)
class Captions:
    """What is to be read, in one language."""

    cues: Sequence[Cue]
    language: str
    """Whisper's code of it."""
    highlight: bool = False
    """Whether the word that is being spoken is marked."""


@dataclass(frozen=True)
class CaptionedVideo:
    path: Path
    container: str
    encoder: str | None
    """What drew the captions in; None: they have a track of their own, and nothing was encoded."""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Limits:
    """What a captioned video may take."""

    seconds: float
    bytes: int


def check_drawable(video: Video, limits: Limits) -> None:
    """
    Raises:
        TooLarge: captions cannot be drawn into that much of a picture.
    """
    film = video.film
    if film.width * film.height > MOST_PIXELS:
        raise TooLarge(
            f"the picture is {film.width} x {film.height}, and captions are drawn into at most 4096 x 2304: "
            'ask for captions "mux"'
        )
    if video.seconds > limits.seconds:
        raise TooLarge(
            f"the video is {video.seconds:.0f} s long, and captions are drawn into at most {limits.seconds:.0f} s"
        )


def mux(video: Video, tracks: Sequence[Captions], folder: Path, limits: Limits, control: JobControl) -> CaptionedVideo:
    """The video with a track for each of `tracks`; nothing is encoded.

    Raises:
        CaptionsFailed: it cannot be wrapped up again.
        TooLarge: it would be more than `limits` allow.
    """
    log = _Log()
    for container in dict.fromkeys([CONTAINERS_BY_FAMILY.get(video.family, MKV), MKV]):
        output = folder / f"captioned.{container.name}"
        texts = [_write_track(captions, container, folder, n) for n, captions in enumerate(tracks)]
        command = compile_command(_with_tracks(video, container, tracks, texts, output))
        log = _run(command, folder, video, _SLOWEST[0] + video.seconds, control)
        if log.status == 0:
            _refuse_larger(output, limits)
            return CaptionedVideo(output, container.name, None, lost_track_warnings(video, container))
        output.unlink(missing_ok=True)
    raise CaptionsFailed(f"the video cannot be wrapped up with its captions{log.told}")


def burn(
    video: Video,
    captions: Captions,
    style: Style,
    font: str | None,
    folder: Path,
    limits: Limits,
    control: JobControl,
    font_folders: tuple[Path, ...] = SYSTEM_FONTS,
) -> CaptionedVideo:
    """The video with the captions drawn into its picture: H.264, by the GPU where that encodes.

    Args:
        font: name of a family; None: one that fits.

    Raises:
        CaptionsFailed: no font draws them, or the picture cannot be decoded.
        TooLarge: the outcome would be more than `limits` allow.
    """
    cues, whole = captions.cues, "".join(f"{cue.voice}{cue.text}" for cue in captions.cues)
    lettering = lettering_for(f"{whole}:", font, captions.language, font_folders)
    fonts = folder / "fonts"
    fonts.mkdir()
    for number, face in enumerate(lettering.faces):
        (fonts / f"{number}{face.file.suffix}").symlink_to(face.file)
    drawn = to_ass_overlay(cues, style, video.shown, lettering.runs, captions.language, captions.highlight)
    (folder / "captions.ass").write_text(drawn, encoding="utf-8", errors="replace")
    log = _Log()
    natural = {"mp4": MP4, "mov": MOV}.get(video.family, MKV)  # WebM holds no H.264
    for container, encoder in [(natural, one) for one in _encoders()] + [(MKV, "libx264")][: natural is not MKV]:
        output = folder / f"captioned.{container.name}"
        command = compile_command(_with_picture(video, container, encoder, limits, output))
        log = _run(command, folder, video, _SLOWEST[0] + _SLOWEST[1] * video.seconds, control)
        if log.status == 0:
            _refuse_larger(output, limits)
            return CaptionedVideo(
                output,
                container.name,
                encoder,
                [*lost_track_warnings(video, container), *lost_picture_warnings(video.film)],
            )
        output.unlink(missing_ok=True)
    raise CaptionsFailed(f"captions cannot be drawn into the picture{log.told}")


def _write_track(captions: Captions, container: Container, folder: Path, number: int) -> Path:
    """A file from which ffmpeg makes a track, in the form that it changes least."""
    forms: dict[str, tuple[str, Callable[[], str]]] = {
        "mov_text": (".ass", lambda: to_timed_text(captions.cues, captions.highlight)),
        "subrip": (".srt", lambda: to_srt(captions.cues, captions.highlight)),
        "webvtt": (".vtt", lambda: to_vtt(captions.cues, captions.highlight)),
    }
    suffix, text = forms[container.captions]
    path = folder / f"captions-{number}{suffix}"
    path.write_text(text(), encoding="utf-8", errors="replace")
    return path


def _with_tracks(
    video: Video, container: Container, tracks: Sequence[Captions], texts: Sequence[Path], output: Path
) -> ffmpeg.nodes.OutputStream:
    kept = kept_tracks(video, container)
    first = sum(track.kind == "Subtitle" for track in kept)
    options: dict[str, Any] = {"c": "copy"}
    for number, captions in enumerate(tracks, start=first):
        options[f"c:s:{number}"] = container.captions if container.captions == "mov_text" else "copy"
        options[f"metadata:s:s:{number}"] = f"language={language_tag(captions.language, container)}"
    if first == 0:
        options["disposition:s:0"] = "default"
    media = recording(video.source, fflags="+genpts")  # AVI tells no times
    formats = {".ass": "ass", ".srt": "srt", ".vtt": "webvtt"}
    added = [ffmpeg.input(f"file:{text}", f=formats[text.suffix], protocol_whitelist="file")["s:0"] for text in texts]
    return _output([*(media[str(track.number)] for track in kept), *added], container, output, options)


def _with_picture(
    video: Video, container: Container, encoder: str, limits: Limits, output: Path
) -> ffmpeg.nodes.OutputStream:
    kept, film = kept_tracks(video, container), video.film
    place = [track for track in kept if track.kind == "Video"].index(film)
    width, height = video.shown
    filters = [
        f"ass=filename=captions.ass:fontsdir=fonts:original_size={width}x{height}",
        "pad=ceil(iw/2)*2:ceil(ih/2)*2",  # H.264 has colours for two by two pixels
        "format=yuv420p",
    ]
    options: dict[str, Any] = {f"c:{n}": "copy" for n, track in enumerate(kept) if track is not film}
    options |= {
        f"c:v:{place}": encoder,
        f"filter:v:{place}": ",".join(filters),
        f"fps_mode:v:{place}": "passthrough",
        **{name.format(place): value for name, value in _QUALITY[encoder].items()},
        "fs": limits.bytes + 1,
        "t": limits.seconds,
    }
    if film.clock:
        options[f"enc_time_base:v:{place}"] = f"1:{film.clock}"
    media = recording(video.source, max_pixels=MOST_PIXELS)
    return _output([media[str(track.number)] for track in kept], container, output, options)


def _output(
    streams: Sequence[ffmpeg.nodes.FilterableStream], container: Container, output: Path, options: dict[str, Any]
) -> ffmpeg.nodes.OutputStream:
    if container.muxer in ("mp4", "mov"):
        options["movflags"] = "+faststart"
    return ffmpeg.output(*streams, f"file:{output}", format=container.muxer, map_metadata=0, map_chapters=0, **options)


def _refuse_larger(output: Path, limits: Limits) -> None:
    if output.stat().st_size > limits.bytes:
        raise TooLarge(f"the captioned video is larger than the limit of {limits.bytes / 1e6:.1f} MB")


@functools.cache
def _encoders() -> list[str]:
    """The GPU's, if it encodes a picture, and x264."""
    gray = ffmpeg.input("color=gray:size=256x144:rate=5", f="lavfi")
    trial = ffmpeg.output(gray, "-", format="null", vcodec="h264_nvenc", t=1)
    try:
        done = subprocess.run(compile_command(trial), stdin=subprocess.DEVNULL, capture_output=True, env={}, timeout=30)
    except subprocess.TimeoutExpired:
        return ["libx264"]
    return ["h264_nvenc", "libx264"] if done.returncode == 0 else ["libx264"]


def _run(command: list[str], folder: Path, video: Video, longest: float, control: JobControl) -> _Log:
    """ffmpeg to its end, as long as it gets on.

    Raises:
        CaptionsFailed: it stalls, or takes too long.
    """
    log = _Log()
    started = moved = time.monotonic()
    reached = 0.0
    with running(command, log.read, control, folder) as process:
        while True:
            control.progress("captioning", min(log.reached, video.seconds), video.seconds)
            try:
                process.wait(0.5)
                break
            except subprocess.TimeoutExpired:
                now = time.monotonic()
            if log.reached > reached:
                reached, moved = log.reached, now
            if now - moved > _STALL_SECONDS:
                raise CaptionsFailed("captioning the video stalled: it is damaged; re-encode it")
            if now - started > longest:
                raise CaptionsFailed(f"captioning the video took longer than {longest:.0f} s: send it in parts")
    log.status = process.returncode
    return log


@dataclass
class _Log:
    """The few facts of ffmpeg's log that matter."""

    status: int = -1
    reached: float = 0.0
    """Seconds of the video that are done."""
    fault: str = ""

    @property
    def told(self) -> str:
        """What ffmpeg says of its failure, as far as we know what it means."""
        known = {
            "No space left": "the disk is full",
            "Invalid data found": "it is damaged; re-encode it",
            "not currently supported in container": "a codec of it fits into no container here; re-encode it",
        }
        return next((f": {words}" for sign, words in known.items() if sign in self.fault), ": re-encode it")

    def read(self, log: IO[str]) -> None:
        """Takes in the log up to its end."""
        for line in read_log_lines(log):
            if found := re.search(r"\btime=(\d+):(\d\d):(\d\d\.\d+)", line):
                self.reached = max(self.reached, parse_clock(found))
            elif "rror" in line or "Invalid" in line or "No space" in line or "not currently supported" in line:
                self.fault = f"{line[:300]}{self.fault}"[:3000]
