"""Finds out whether a recording is whole: what its headers declare against what is there and was decoded.

Four signs show that its end is missing, none of which an intact file has (tried with ffmpeg 5.1 and 9.0):

    mov/mp4         a packet of the audio track is beyond the end of the file
    matroska/webm   the file ends inside an element
    wav, avi        the RIFF header declares more bytes than the file has
    one track only  a header declares a duration (flac, mp3 with Xing, wv…) that the audio does not reach

Raw streams (ogg, aac, mp3 without Xing…) have no such sign.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from media.log import FfmpegLog
from src.errors import UnsupportedMedia
from src.job_control import JobControl

# Demuxers whose duration was written by the encoder; others estimate it from the size of the file.
_DECLARING = {"aiff", "ape", "au", "flac", "matroska,webm", "mp3", "rm", "tta", "wav", "wv"}

# RIFF sizes from here up are placeholders of programs that write to a pipe and cannot know the length.
_RIFF_PLACEHOLDER = 0x7FFF_0000

_PLAUSIBLE_CUT = 20
"""A file with less than this part of the bytes that it declares is not cut off: the length was made up."""

_MANY_DAMAGED_PACKETS = 5
"""From here up words may be missing; fewer packets of some 20 ms, or rubbish at the end, cost none."""

_MAX_CHUNKS = 1000
_MAX_BOXES = 100_000

_SEARCH_BYTES = 1 << 24
_MAX_HEADER_BYTES = 1 << 20
_MAX_HEAD_BYTES = 64  # more than any pattern below matches

_ANOTHER_RECORDING = "the file contains another recording after the first one, which was not transcribed: send it apart"

_INITIAL_BLOCK = re.escape(bytes(flags for flags in range(256) if flags & 8))  # in WavPack's flags

# Head of a file, by the demuxer, where demuxers stop before a second file or drop it.
_HEADS = {
    "aiff": rb"FORM.{4}AIF[CF]",
    "asf": re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")),
    "caf": rb"caff\x00\x01\x00\x00desc",
    "flv": rb"FLV\x01[\x00-\x05]\x00{3}\x09\x00{4}",
    "tta": rb"TTA1[\x01-\x03]\x00.\x00.\x00",
    "voc": rb"Creative Voice File\x1a",
    "w64": re.escape(bytes.fromhex("726966662e91cf11a5d628db04c10000")),
    "wv": rb"wvpk.{12}\x00{4}.{5}[" + _INITIAL_BLOCK + rb"]",
}


@dataclass(frozen=True)
class RiffLength:
    """The length that the header of a WAV or AVI declares, and what the file has."""

    declared: int = 0
    """Bytes; 0 if the header declares none, or the file is of another kind."""
    size: int = 0
    """Bytes of the file."""
    goes_on: bool = False
    """True if samples of the same format follow after the declared end of a WAV."""

    @property
    def is_short(self) -> bool:
        """True if bytes are missing; a small difference comes from a sloppy encoder, not from a cut."""
        return self.declared - self.size > 4096 + self.declared // 200

    @property
    def is_made_up(self) -> bool:
        """True if the declared length is no length of this recording."""
        return self.declared > _PLAUSIBLE_CUT * self.size


def read_riff_length(source: Path) -> RiffLength:
    """Read the header of a WAV or AVI, which ffmpeg corrects silently.

    Raises:
        UnsupportedMedia: the file is empty.
    """
    size = source.stat().st_size
    if size == 0:
        raise UnsupportedMedia("the file is empty")
    with source.open("rb") as file:
        head = file.read(12)
        declared = len(head[:8]) + int.from_bytes(head[4:8], "little")
        if not head.startswith(b"RIFF") or declared >= _RIFF_PLACEHOLDER:
            return RiffLength(0, size)
        goes_on = head.endswith(b"WAVE") and size - declared > 4096 + size // 200 and _goes_on(file)
    return RiffLength(declared, size, goes_on)


def refuse_undecodable(source: Path, log: FfmpegLog, samples: int) -> None:
    """Raise UnsupportedMedia unless something was decoded."""
    if log.lacks_index:
        raise UnsupportedMedia("the recording is cut off: its index is missing; upload it again in full")
    if not log.container and not _is_header_of_matroska(source):
        raise UnsupportedMedia("the file is not audio or video in a format that can be decoded")
    if log.container and not any(stream.kind == "Audio" for stream in log.streams):
        raise UnsupportedMedia("the file has no audio track")
    if samples == 0 and log.ended_early:
        raise UnsupportedMedia("the recording is cut off before its sound begins: upload it again in full")
    if not log.container or (samples == 0 and log.status == 0 and log.damaged_packets == 0):
        raise UnsupportedMedia("the recording is empty: it has a header but no sound")
    if log.status != 0 or samples == 0:
        raise UnsupportedMedia("the file's audio cannot be decoded: it is damaged or in an unknown codec")


def _is_header_of_matroska(source: Path) -> bool:
    """True for a Matroska or WebM that ends before its first cluster, which ffmpeg does not open."""
    if source.stat().st_size > _MAX_HEADER_BYTES:
        return False
    content = source.read_bytes()
    return content.startswith(b"\x1a\x45\xdf\xa3") and b"\x1f\x43\xb6\x75" not in content


def find_losses(
    source: Path, riff: RiffLength, log: FfmpegLog, seconds: float, control: JobControl, *, strict: bool
) -> list[str]:
    """Return a sentence for the caller on each part of a recording that is missing, or could not be decoded.

    Args:
        source: the recording.
        riff: from `read_riff_length`.
        log: of its decoding.
        seconds: length of what was decoded.
        control: stops the search with the job.
        strict: raise an error for a recording that is cut off.

    Raises:
        UnsupportedMedia: it is cut off, and `strict` is true.
        Cancelled: the job was stopped.
    """
    cut = _describe_cut(riff, log, seconds)
    if cut and strict:
        raise UnsupportedMedia(f"the recording is cut off: {cut}; upload it again in full, or leave strict out")
    losses = [f"the recording is cut off: {cut}; what is there was transcribed"] if cut else []
    if riff.is_short and riff.is_made_up:
        losses.append(
            f"the header declares {riff.declared} bytes and the file has {riff.size}: the declared length seems to be "
            "made up, and all that is there was transcribed"
        )
    if log.damaged_packets >= _MANY_DAMAGED_PACKETS:
        losses.append(
            f"{log.damaged_packets} packets of the audio are damaged and could not be decoded: words may be missing"
        )
    if _has_another_recording(source, riff, log, control):
        losses.append(_ANOTHER_RECORDING)
    return losses


def _describe_cut(riff: RiffLength, log: FfmpegLog, seconds: float) -> str | None:
    """Return how much of a recording is there, if its end is missing."""
    if riff.is_short and not riff.is_made_up:
        whole = seconds * riff.declared / riff.size
        return (
            f"it declares {whole:.1f} s ({riff.declared} bytes) but only {seconds:.1f} s ({riff.size} bytes) are there"
        )
    # The declared duration may count from zero, while ffmpeg's clock starts with the first packet.
    declared = log.duration - max(0.0, log.start)
    if not riff.is_short and _declares_duration_of_audio(log) and _falls_short(declared, log.position):
        return f"it declares {declared:.1f} s but only {log.position:.1f} s could be decoded"
    if log.ended_early:
        return f"the file ends in the middle of its audio, after {seconds:.1f} s"
    return None


def _declares_duration_of_audio(log: FfmpegLog) -> bool:
    """True if the declared duration is exact and of a single track: audio may be shorter than the video beside it."""
    tracks = [stream for stream in log.streams if "(attached pic)" not in stream.description]
    return len(tracks) == 1 and not log.is_duration_estimated and log.container in _DECLARING


def _falls_short(declared: float, decoded: float) -> bool:
    """True if more seconds are missing than a few damaged packets explain."""
    return declared - decoded > 1.0 + 0.002 * declared


class _WavLayout(NamedTuple):
    """Where the parts of a WAV are, in bytes of the file."""

    form: bytes
    """The chunk `fmt `."""
    data_end: int
    riff_end: int


def _read_wav_layout(file: IO[bytes], start: int) -> _WavLayout | None:
    """Return the layout of the WAV at `start`; None if it is none, or declares no length of its samples."""
    file.seek(start)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    form = b""
    for _ in range(_MAX_CHUNKS):
        chunk = file.read(8)
        size = int.from_bytes(chunk[4:], "little")
        if len(chunk) < 8:
            return None
        if chunk[:4] == b"data":
            return (
                _WavLayout(form, file.tell() + size, start + 8 + int.from_bytes(head[4:8], "little")) if size else None
            )
        body = file.tell()
        form = file.read(min(size, 64)) if chunk[:4] == b"fmt " else form
        file.seek(body + size + size % 2)
    return None


def _goes_on(file: IO[bytes]) -> bool:
    """True if a WAV has more samples after its declared end: its header is out of date, or another WAV is appended.

    Anything else after the samples, such as a tag with a picture, would be decoded to noise.
    """
    first = _read_wav_layout(file, 0)
    if first is None or first.riff_end - first.data_end not in (0, 1):
        return False
    second = _read_wav_layout(file, first.riff_end)
    if second is not None:
        return second.form == first.form
    file.seek(first.riff_end)
    name = file.read(4)
    return not (name.isascii() and name.decode("ascii").isprintable())


def _has_another_recording(source: Path, riff: RiffLength, log: FfmpegLog, control: JobControl) -> bool:
    """True if another file follows inside `source`, which ffmpeg does not read: programs that append to a file."""
    if log.container == "wav":
        return not riff.goes_on and 0 < riff.declared < riff.size and _has_riff_at(source, riff.declared)
    if log.container.startswith("mov,"):
        return _count_boxes(source, b"moov") > 1
    if head := _HEADS.get(log.container):
        with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _contains(content, re.compile(head, re.DOTALL), control)
    return False


def _contains(content: mmap.mmap, pattern: re.Pattern[bytes], control: JobControl) -> bool:
    """True if a file has the pattern after its first byte; a search holds up all threads, so it is done in pieces."""
    for start in range(1, len(content), _SEARCH_BYTES):
        control.check()
        if pattern.search(content, start, start + _SEARCH_BYTES + _MAX_HEAD_BYTES):
            return True
    return False


def _has_riff_at(source: Path, start: int) -> bool:
    with source.open("rb") as file:
        file.seek(start)
        return file.read(4) == b"RIFF"


def _count_boxes(source: Path, name: bytes) -> int:
    """Return the number of boxes of that name at the top level of an MP4."""
    count, at, end = 0, 0, source.stat().st_size
    with source.open("rb") as file:
        for _ in range(_MAX_BOXES):
            file.seek(at)
            head = file.read(16)
            size = int.from_bytes(head[:4], "big")
            if size == 1:
                size = int.from_bytes(head[8:], "big")
            if len(head) < 16 or size < 8 or at + size > end:
                return count
            count += head[4:8] == name
            at += size
    return count
