"""Containers for captioned videos: the codecs and subtitle tracks that each takes."""

from __future__ import annotations

import re
from typing import NamedTuple

from src.captions.probe import Track, Video


class Container(NamedTuple):
    """What a captioned video may be wrapped in."""

    name: str
    muxer: str
    captions: str
    """Codec of a track of captions."""
    subtitles: frozenset[str]
    """Codecs of subtitles that may be there already."""


MP4 = Container("mp4", "mp4", "mov_text", frozenset(["mov_text", "dvd_subtitle"]))


MOV = Container("mov", "mov", "mov_text", frozenset(["mov_text"]))


WEBM = Container("webm", "webm", "webvtt", frozenset(["webvtt"]))


MKV = Container(
    "mkv",
    "matroska",
    "subrip",
    frozenset(["subrip", "ass", "ssa", "webvtt", "text"])
    | {"dvd_subtitle", "dvb_subtitle", "hdmv_pgs_subtitle", "hdmv_text_subtitle"},
)


_QUICKTIME = {"cs": "ces", "fr": "fra", "ro": "ron", "sk": "slk", "sv": "sve"}
"""Codes that ffmpeg takes for QuickTime's own numbers, where they are not the bibliographic ones."""


CONTAINERS_BY_FAMILY = {"mp4": MP4, "mov": MOV, "webm": WEBM}


def language_tag(language: str, container: Container) -> str:
    """ISO 639-2: in Matroska and QuickTime the bibliographic codes (`ger`), in MP4 the others (`deu`)."""
    if container is MOV and language in _QUICKTIME:
        return _QUICKTIME[language]
    import langcodes  # 0.4 s of tables

    found = langcodes.get(language)
    return found.to_alpha3() if container is MP4 else found.to_alpha3(variant="B")


def kept_tracks(video: Video, container: Container) -> list[Track]:
    """The tracks that go on, in their order."""

    def fits(track: Track) -> bool:
        if track.kind == "Subtitle":
            return track.codec in container.subtitles
        if track.kind == "Video":  # Matroska has covers as attachments, of which ffmpeg would make films
            return track.moves or container in (MP4, MOV)
        return track.kind == "Audio" or (track.kind == "Attachment" and container is MKV)

    return [track for track in video.tracks if fits(track)]


def lost_track_warnings(video: Video, container: Container) -> list[str]:
    """What could not stay as it was."""
    warnings = []
    if video.family != container.name:
        warnings.append(
            f"the captioned video is a .{container.name} file, since its own kind cannot hold what it needs"
        )
    # Timecodes and titles of chapters are no tracks of their own for ffmpeg: it writes them anew.
    lost = [
        t
        for t in video.tracks
        if t not in kept_tracks(video, container) and not re.search(r"\((text|tmcd) ", t.described)
    ]
    if lost:
        kinds = ["cover" if track.kind == "Video" else track.kind.lower() for track in lost]
        names = ", ".join(sorted({f"{kind} ({track.codec})" for kind, track in zip(kinds, lost, strict=True)}))
        warnings.append(f"the captioned video lacks tracks that its file cannot hold: {names}")
    return warnings


def lost_picture_warnings(film: Track) -> list[str]:
    """What a picture of 8 bits cannot show."""
    if re.search(r"smpte2084|arib-std-b67", film.described):
        return ["the video is HDR, and its captioned picture has 8 bits a colour: bands may show"]
    return []
