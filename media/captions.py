"""Captions in a video: the files and the outputs of ffmpeg that add them as tracks, or draw them into the picture.

Everything else stays as it is. Muxing leaves the bytes of all other tracks alone. Burning encodes the picture once,
with the same timestamps; sound, chapters and other tracks are copied.

ffmpeg runs in a folder of its own, where subtitles and fonts have fixed names: nothing that a caller sends gets into a
command or a filter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ffmpeg

from media.containers import CONTAINERS_BY_FAMILY, MKV, MOV, MP4, Container, language_tag, select_tracks
from media.fonts import FontFallback, choose_fonts
from media.sandbox import sandboxed_input
from media.video import MAX_PIXELS, Video
from transcript.checks import Check, never
from transcript.formats.ass import Style, to_ass_overlay, to_timed_text
from transcript.formats.cues import Cue
from transcript.formats.layout import Layout
from transcript.formats.srt_vtt_tsv import to_srt, to_vtt

BURN_MEMORY = 4 << 30
"""Bytes. 4K of HEVC or AV1 with 10 bits a colour takes 2.4 GB, a third more with the most reference frames."""

_THREADS = 8
"""Of the decoder and of x264 each; more of them would take 0.1 GB each for 4K, on a host with many cores."""

_QUALITY: dict[str, dict[str, Any]] = {
    "h264_nvenc": {"preset:v:{}": "p5", "rc:v:{}": "vbr", "cq:v:{}": 21, "b:v:{}": 0},
    "libx264": {"preset:v:{}": "veryfast", "crf:v:{}": 20, "threads:v:{}": _THREADS},
}
"""Options of each encoder; `{}` is the number of the video track."""


@dataclass(frozen=True)
class Captions:
    """Captions in one language."""

    cues: Sequence[Cue]
    language: str
    """Whisper's code."""
    highlight: bool = False
    """If true, the word that is being spoken is highlighted."""


def cut_at(seconds: float, cues: Sequence[Cue]) -> list[Cue]:
    """Return the cues up to the end of the video, which later ones would lengthen."""
    end = int(1000 * seconds)
    return [cue._replace(end=min(cue.end, end)) for cue in cues if cue.start < end]


def fit_to_picture(layout: Layout, max_columns: int) -> Layout:
    """Return the layout with lines no wider than the picture."""
    width = layout.max_line_width
    return layout if width is None else replace(layout, max_line_width=min(width, max_columns))


def mux_containers(video: Video) -> list[Container]:
    """Return the containers in the order in which they are tried: the video's own, then Matroska."""
    return list(dict.fromkeys([CONTAINERS_BY_FAMILY.get(video.family, MKV), MKV]))


def burn_attempts(video: Video, encoders: Sequence[str]) -> list[tuple[Container, str]]:
    """Return containers and encoders in the order in which they are tried: Matroska last, since it holds anything."""
    container = {"mp4": MP4, "mov": MOV}.get(video.family, MKV)  # WebM cannot hold H.264
    attempts = [(container, encoder) for encoder in encoders]
    return attempts if container is MKV else [*attempts, (MKV, "libx264")]


def fonts_for(captions: Captions, font: str | None, font_folders: tuple[Path, ...]) -> FontFallback:
    """Choose the fonts that draw captions.

    Args:
        captions: with the letters to draw.
        font: a family; None: fonts that have all letters.
        font_folders: where fonts are looked for.

    Raises:
        NoFont: no font has some letter.
    """
    text = "".join(f"{cue.voice}{cue.text}" for cue in captions.cues)
    return choose_fonts(f"{text}:", font, captions.language, font_folders)


def write_overlay(
    video: Video, captions: Captions, style: Style, fonts: FontFallback, folder: Path, check: Check = never
) -> None:
    """Write the overlay that libass draws, and link the fonts that it needs.

    Args:
        video: whose picture it covers.
        captions: the text.
        style: its look.
        fonts: that draw it.
        folder: in which ffmpeg will run.
        check: ends the work by an exception.
    """
    (folder / "fonts").mkdir()
    for number, face in enumerate(fonts.faces):
        (folder / "fonts" / f"{number}{face.file.suffix}").symlink_to(face.file)
    overlay = to_ass_overlay(
        captions.cues,
        style,
        video.display_size,
        fonts.split_by_font,
        captions.language,
        captions.highlight,
        check,
    )
    (folder / "captions.ass").write_text(overlay, encoding="utf-8", errors="replace")


def _write_track(captions: Captions, container: Container, folder: Path, number: int, check: Check) -> Path:
    """Write the file from which ffmpeg makes the track, in the format that it changes least."""
    formats: dict[str, tuple[str, Callable[[Sequence[Cue], bool, Check], str]]] = {
        "mov_text": (".ass", to_timed_text),
        "subrip": (".srt", to_srt),
        "webvtt": (".vtt", to_vtt),
    }
    suffix, write = formats[container.caption_codec]
    path = folder / f"captions-{number}{suffix}"
    path.write_text(write(captions.cues, captions.highlight, check), encoding="utf-8", errors="replace")
    return path


def mux_output(
    video: Video,
    container: Container,
    tracks: Sequence[Captions],
    folder: Path,
    path: Path,
    check: Check = never,
) -> ffmpeg.nodes.OutputStream:
    """Return the output of a video with tracks of captions, for which it writes files; nothing is encoded.

    Args:
        video: that gets the tracks.
        container: of the captioned video.
        tracks: the captions.
        folder: for the files with the captions.
        path: of the captioned video.
        check: ends the work by an exception.
    """
    texts = [_write_track(captions, container, folder, number, check) for number, captions in enumerate(tracks)]
    kept = select_tracks(video, container)
    first = sum(track.kind == "Subtitle" for track in kept)
    options: dict[str, Any] = {"c": "copy"}
    for number, captions in enumerate(tracks, start=first):
        options[f"c:s:{number}"] = container.caption_codec if container.caption_codec == "mov_text" else "copy"
        options[f"metadata:s:s:{number}"] = f"language={language_tag(captions.language, container)}"
    if first == 0:
        options["disposition:s:0"] = "default"
    media = sandboxed_input(video.source, fflags="+genpts")  # AVI has no timestamps
    demuxers = {".ass": "ass", ".srt": "srt", ".vtt": "webvtt"}
    added = [ffmpeg.input(f"file:{text}", f=demuxers[text.suffix], protocol_whitelist="file")["s:0"] for text in texts]
    return _output([*(media[str(track.index)] for track in kept), *added], container, path, options)


def burn_output(
    video: Video, container: Container, encoder: str, max_seconds: float, path: Path
) -> ffmpeg.nodes.OutputStream:
    """Return the output of a video with the overlay in its picture; ffmpeg has to run where the overlay is."""
    kept, picture = select_tracks(video, container), video.picture_track
    number = [track for track in kept if track.kind == "Video"].index(picture)
    width, height = video.display_size
    filters = [
        f"ass=filename=captions.ass:fontsdir=fonts:original_size={width}x{height}",
        "pad=ceil(iw/2)*2:ceil(ih/2)*2",  # H.264 stores colours for two by two pixels
        "format=yuv420p",
    ]
    options: dict[str, Any] = {f"c:{index}": "copy" for index, track in enumerate(kept) if track is not picture}
    options |= {
        f"c:v:{number}": encoder,
        f"filter:v:{number}": ",".join(filters),
        f"fps_mode:v:{number}": "passthrough",
        **{name.format(number): value for name, value in _QUALITY[encoder].items()},
        "t": max_seconds,
    }
    if picture.ticks_per_second:
        options[f"enc_time_base:v:{number}"] = f"1:{picture.ticks_per_second}"
    media = sandboxed_input(video.source, max_pixels=MAX_PIXELS, threads=_THREADS)
    return _output([media[str(track.index)] for track in kept], container, path, options)


def _output(
    streams: Sequence[ffmpeg.nodes.FilterableStream], container: Container, path: Path, options: dict[str, Any]
) -> ffmpeg.nodes.OutputStream:
    if container.muxer in ("mp4", "mov"):
        options["movflags"] = "+faststart"
    return ffmpeg.output(*streams, f"file:{path}", format=container.muxer, map_metadata=0, map_chapters=0, **options)
