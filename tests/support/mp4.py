"""Builds MP4 files with any sample table: forged lengths, gaps of hours, one piece of data used often."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

SCALE = 1000
"""Ticks per second of each track's clock."""

RATE = 16_000
"""Of the sound, 16-bit PCM with one channel."""

_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


@dataclass(frozen=True)
class Mp4Track:
    """A track; each of its samples is the beginning of the data, and a chunk of its own unless they are joined."""

    durations: Sequence[tuple[int, int]]
    """Numbers of samples, each with its length in ticks."""
    sample_bytes: int
    is_video: bool = False
    is_joined: bool = False
    """One chunk holds all samples."""


def mp4(data: bytes, *tracks: Mp4Track) -> bytes:
    """Returns a file with `data`, which all tracks share."""
    ftyp = _box("ftyp", b"isom", struct.pack(">I", 512), b"isommp41")
    seconds = max(sum(count * ticks for count, ticks in track.durations) for track in tracks) / SCALE
    head = struct.pack(">5I", 0, 0, SCALE, int(seconds * SCALE), 0x10000)
    mvhd = _full("mvhd", head, struct.pack(">H", 0x100), bytes(10), _MATRIX, bytes(24), struct.pack(">I", 99))
    traks = [_trak(number, track, len(ftyp) + 8) for number, track in enumerate(tracks, start=1)]
    return ftyp + _box("mdat", data) + _box("moov", mvhd, *traks)


def _box(kind: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind.encode() + body


def _full(kind: str, *parts: bytes, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", flags), *parts)


def _trak(number: int, track: Mp4Track, offset: int) -> bytes:
    length = sum(count * ticks for count, ticks in track.durations)
    samples = sum(count for count, _ in track.durations)
    chunks = 1 if track.is_joined else samples
    tkhd = _full(
        "tkhd",
        struct.pack(">5I", 0, 0, number, 0, length),
        bytes(8),
        struct.pack(">4H", 0, 0, 0x100, 0),
        _MATRIX,
        struct.pack(">2I", 64 << 16, 64 << 16),
        flags=3,
    )
    mdhd = _full("mdhd", struct.pack(">4I2H", 0, 0, SCALE, length, 0x55C4, 0))
    hdlr = _full("hdlr", bytes(4), b"vide" if track.is_video else b"soun", bytes(12), b"x\0")
    kind = _full("vmhd", bytes(8), flags=1) if track.is_video else _full("smhd", bytes(4))
    dinf = _box("dinf", _full("dref", struct.pack(">I", 1), _full("url ", flags=1)))
    times = b"".join(struct.pack(">2I", *pair) for pair in track.durations)
    stbl = _box(
        "stbl",
        _full("stsd", struct.pack(">I", 1), _picture_entry() if track.is_video else _sound_entry()),
        _full("stts", struct.pack(">I", len(track.durations)), times),
        _full("stsc", struct.pack(">4I", 1, 1, samples // chunks, 1)),
        _full("stsz", struct.pack(">2I", track.sample_bytes, samples)),
        _full("stco", struct.pack(">I", chunks), struct.pack(">I", offset) * chunks),
    )
    return _box("trak", tkhd, _box("mdia", mdhd, hdlr, _box("minf", kind, dinf, stbl)))


def _sound_entry() -> bytes:
    return _box(
        "sowt", bytes(6), struct.pack(">H", 1), bytes(8), struct.pack(">2H", 1, 16), struct.pack(">2I", 0, RATE << 16)
    )


def _picture_entry() -> bytes:
    size = struct.pack(">2H2I", 64, 64, 0x480000, 0x480000)
    return _box(
        "jpeg", bytes(6), struct.pack(">H", 1), bytes(16), size, struct.pack(">IH", 0, 1), bytes(32), b"\0\x18\xff\xff"
    )
