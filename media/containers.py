"""Containers for captioned videos: the codecs and subtitle tracks that each can hold."""

from __future__ import annotations

import re
from typing import NamedTuple

from media.video import Track, Video


class Container(NamedTuple):
    """A file format for captioned videos."""

    name: str
    muxer: str
    caption_codec: str
    """Codec of the captions that are added."""
    subtitle_codecs: frozenset[str]
    """Codecs of existing subtitles that can stay."""


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

CONTAINERS_BY_FAMILY = {"mp4": MP4, "mov": MOV, "webm": WEBM}
"""The container that keeps a video's own format; any other format becomes Matroska."""

_QUICKTIME_LANGUAGES = {"cs": "ces", "fr": "fra", "ro": "ron", "sk": "slk", "sv": "sve"}
"""Codes that ffmpeg maps to QuickTime's language numbers, where they differ from the bibliographic ones."""


def language_tag(language: str, container: Container) -> str:
    """Return the ISO 639-2 code: bibliographic in Matroska and QuickTime (`ger`), terminological in MP4 (`deu`)."""
    if container is MOV and language in _QUICKTIME_LANGUAGES:
        return _QUICKTIME_LANGUAGES[language]
    import langcodes  # 0.4 s of tables

    found = langcodes.get(language)
    return found.to_alpha3() if container is MP4 else found.to_alpha3(variant="B")


def select_tracks(video: Video, container: Container) -> list[Track]:
    """Select the tracks that the container can hold, in their order."""

    def fits(track: Track) -> bool:
        if track.kind == "Subtitle":
            return track.codec in container.subtitle_codecs
        if track.kind == "Video":  # Matroska stores covers as attachments; ffmpeg would write them as video tracks
            return track.is_moving_picture or container in (MP4, MOV)
        return track.kind == "Audio" or (track.kind == "Attachment" and container is MKV)

    return [track for track in video.tracks if fits(track)]


def lost_track_warnings(video: Video, container: Container) -> list[str]:
    """Return warnings about a changed container and about tracks that it cannot hold."""
    warnings = []
    if video.family != container.name:
        warnings.append(
            f"the captioned video is a .{container.name} file, since its own kind cannot hold what it needs"
        )
    kept = select_tracks(video, container)
    # ffmpeg writes timecodes and chapter titles anew, so their tracks are not lost.
    lost = [
        track for track in video.tracks if track not in kept and not re.search(r"\((text|tmcd) ", track.description)
    ]
    if lost:
        kinds = ["cover" if track.kind == "Video" else track.kind.lower() for track in lost]
        names = ", ".join(sorted({f"{kind} ({track.codec})" for kind, track in zip(kinds, lost, strict=True)}))
        warnings.append(f"the captioned video lacks tracks that its file cannot hold: {names}")
    return warnings


def lost_picture_warnings(track: Track) -> list[str]:
    """Return a warning if the picture is HDR, since 8 bits per colour cannot show it."""
    if re.search(r"smpte2084|arib-std-b67", track.description):
        return ["the video is HDR, and its captioned picture has 8 bits a colour: bands may show"]
    return []
