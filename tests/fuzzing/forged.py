"""Small recordings that declare great sizes: sample tables, tracks, gaps, pictures and chunks that lie.

Random damage seldom hits on these: each is a valid file around one false number, of a few kilobytes, that a demuxer
would unroll into gigabytes of memory or of output, or that names another file.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

MAX_FORGED_S = 120.0
"""A video that never gives a picture is given up after a minute, in addition to the time of its transcript."""

Forgery = tuple[str, bytes, dict[str, Any]]
"""A description, the file, and the options of its job."""

_RATE = 16_000
_FILE_TYPE = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"isom", 512, b"isom", b"mp41")
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_DATA_AT = len(_FILE_TYPE) + 8


class Forger:
    """Draws forgeries; the same seed and number give the same one.

    Args:
        seed: of all.
        secret: path of a recording that no job may read.
    """

    def __init__(self, seed: int, secret: str) -> None:
        self._seed, self._secret = seed, secret
        self._ways: list[Callable[[random.Random], Forgery]] = [
            _sample_tables,
            _many_samples_of_one_chunk,
            _compressed_headers,
            _gap,
            _many_tracks,
            _wav_header,
            _picture_size,
            self._leads_elsewhere,
        ]

    def draw(self, number: int) -> Forgery:
        """The ways take turns."""
        return self._ways[number % len(self._ways)](random.Random(f"{self._seed}/forged/{number}"))

    def _leads_elsewhere(self, dice: random.Random) -> Forgery:
        """A list or a script that names another file; padding hides its kind from a look at the first bytes."""
        name = dice.choice([self._secret, f"file://{self._secret}", f"file:{self._secret}", "/etc/passwd"])
        texts = {
            "HLS": f"#EXTM3U\n{'#x' * dice.choice([0, 5000])}\n#EXTINF:3,\n{name}\n#EXT-X-ENDLIST\n",
            "HLS with ranges": f'#EXTM3U\n#EXT-X-MAP:URI="{name}"\n#EXTINF:3,\n#EXT-X-BYTERANGE:9@0\n{name}\n',
            "ffconcat": f"ffconcat version 1.0\noption safe 0\nfile '{name}'\n",
            "DASH": f'<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>{name}</BaseURL>'
            "</Representation></AdaptationSet></Period></MPD>",
            "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
            "SVG": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{name}"/></svg>',
            "cue sheet": f'FILE "{name}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
            "an alias in MP4": "",
        }
        kind = dice.choice(sorted(texts))
        if kind != "an alias in MP4":
            return f"leads elsewhere: {kind}", texts[kind].encode(), {}
        reference = _full(b"url ", 0, 0, name.encode() + b"\0")
        tables = _tables(_RATE, per_chunk=_RATE, size=2, chunks=[2**31 - 1])  # its own sound would be after its end
        track = _track(1, b"soun", _sound_entry(), tables, scale=_RATE, duration=_RATE, reference=reference)
        return f"leads elsewhere: {kind}", _movie(b"", [track]), {}


def _sample_tables(dice: random.Random) -> Forgery:
    """Some 350 bytes a track unroll into half a gigabyte of index."""
    tracks, samples = dice.choice([1, 4, 8, 16, 60]), dice.choice([1_000_000, 20_000_000, 2**31])
    tables = _tables(samples, per_chunk=samples, size=1, chunks=[_DATA_AT])
    index = [_picture(number, tables) for number in range(2, 2 + tracks)]
    options: dict[str, Any] = dice.choice([{}, {"captions": "mux"}, {"captions": "burn"}])
    return f"{tracks} tracks of {samples} samples", _movie(bytes(2 * _RATE), [_sound(), *index]), options


def _many_samples_of_one_chunk(dice: random.Random) -> Forgery:
    """All samples are the same bytes: copied to an output, a small file becomes gigabytes."""
    samples, size = dice.choice([1000, 30_000, 100_000]), dice.choice([100_000, 1_000_000])
    tables = _tables(samples, per_chunk=1, size=size, chunks=[_DATA_AT] * samples)
    movie = _movie(bytes(size), [_sound(), _picture(2, tables)])
    return (
        f"{samples} samples in the same {size} bytes",
        movie,
        {"captions": dice.choice(["mux", "mux", "mux", "burn"])},
    )


def _compressed_headers(dice: random.Random) -> Forgery:
    depth, megabytes = dice.choice([1, 2, 3]), dice.choice([1, 32, 64])
    data = bytes(2 * _RATE)
    return (
        f"{depth} compressed headers of {megabytes} MB",
        _FILE_TYPE + _box(b"mdat", data) + _compressed(depth, megabytes),
        {},
    )


@cache
def _compressed(depth: int, megabytes: int) -> bytes:
    inner = _header(1000) + _sound()
    header = _box(b"moov", inner)
    for _ in range(depth):
        plain = _box(b"moov", _box(b"free", bytes(megabytes << 20)), header)
        body = struct.pack(">I", len(plain)) + zlib.compress(plain, 9)
        header = _box(b"moov", _box(b"cmov", _box(b"dcom", b"zlib"), _box(b"cmvd", body)))
    return header


def _gap(dice: random.Random) -> Forgery:
    """A second of sound, a gap of up to centuries, and another second."""
    gap, scale = dice.choice([60_000, 3_600_000, 100_000_000, 2**31 - 1, 2**32 - 1]), dice.choice([1, 1000, 2**31 - 1])
    tables = [
        _full(b"stts", 0, 0, struct.pack(">5I", 2, 1, gap, 1, 1000)),
        _full(b"stsc", 0, 0, struct.pack(">4I", 1, 1, 1, 1)),
        _full(b"stsz", 0, 0, struct.pack(">2I", 2 * _RATE, 2)),
        _full(b"stco", 0, 0, struct.pack(">3I", 2, _DATA_AT, _DATA_AT)),
    ]
    track = _track(1, b"soun", _sound_entry(), tables, scale=scale, duration=min(gap + 1000, 2**32 - 1))
    return f"a gap of {gap / scale:g} s", _movie(bytes(2 * _RATE), [track]), {}


def _many_tracks(dice: random.Random) -> Forgery:
    count = dice.choice([99, 101, 1000, 3000])
    tracks = [_sound(number) for number in range(1, 1 + count)]
    options: dict[str, Any] = dice.choice([{}, {"captions": "mux"}, {"audio_track": count}, {"channels": "split"}])
    return f"{count} tracks", _movie(bytes(2 * _RATE), tracks), options


def _wav_header(dice: random.Random) -> Forgery:
    channels = dice.choice([0, 1, 2, 255, 65_535])
    rate = dice.choice([0, 1, 16_000, 768_000, 2**31 - 1, 2**32 - 1])
    bits = dice.choice([0, 1, 8, 16, 24, 32, 64, 65_535])
    size = dice.choice([0, 1, 2**31 - 1, 2**32 - 1, 50_000])
    shape = struct.pack(
        "<HHIIHH", dice.choice([1, 3, 6, 0xFFFE]), channels, rate, size, dice.choice([0, 2, 65_535]), bits
    )
    head = struct.pack("<4sI4s4sI", b"RIFF", size, b"WAVE", b"fmt ", len(shape)) + shape
    data = struct.pack("<4sI", b"data", size) + dice.randbytes(dice.choice([0, 100, 50_000]))
    return f"WAV: {channels} channels, {rate} Hz, {bits} bits, {size} bytes", head + data, {}


def _picture_size(dice: random.Random) -> Forgery:
    width, height = dice.choice([(65_535, 65_535), (16_384, 16_384), (4096, 2304), (1, 1), (0, 0)])
    tables = _tables(1, per_chunk=1, size=1000, chunks=[_DATA_AT])
    codec = dice.choice([b"jpeg", b"png ", b"mp4v", b"raw "])
    track = _track(2, b"vide", _picture_entry(codec, width, height), tables)
    return f"a picture of {width} x {height}", _movie(bytes(2 * _RATE), [_sound(), track]), {"captions": "burn"}


# --- the boxes of MP4 (ISO/IEC 14496-12)


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


def _movie(data: bytes, tracks: list[bytes]) -> bytes:
    return _FILE_TYPE + _box(b"mdat", data) + _box(b"moov", _header(1000), *tracks)


def _header(duration: int) -> bytes:
    fixed = struct.pack(">4I", 0, 0, 1000, duration) + struct.pack(">IH", 0x10000, 0x100) + bytes(10)
    return _full(b"mvhd", 0, 0, fixed, _MATRIX, bytes(24), struct.pack(">I", 9999))


def _sound(number: int = 1) -> bytes:
    """A second of PCM."""
    tables = _tables(_RATE, per_chunk=_RATE, size=2, chunks=[_DATA_AT])
    return _track(number, b"soun", _sound_entry(), tables, scale=_RATE, duration=_RATE)


def _picture(number: int, tables: list[bytes]) -> bytes:
    return _track(number, b"vide", _picture_entry(b"jpeg", 64, 64), tables)


def _track(
    number: int,
    handler: bytes,
    entry: bytes,
    tables: list[bytes],
    *,
    scale: int = 1000,
    duration: int = 1000,
    reference: bytes | None = None,
) -> bytes:
    place = (
        struct.pack(">5I", 0, 0, number, 0, min(duration, 2**32 - 1)) + bytes(8) + struct.pack(">4H", 0, 0, 0x100, 0)
    )
    head = _full(b"tkhd", 0, 3, place, _MATRIX, struct.pack(">2I", 64 << 16, 64 << 16))
    clock = _full(b"mdhd", 0, 0, struct.pack(">4I", 0, 0, scale, duration), struct.pack(">2H", 0x55C4, 0))
    kind = _full(b"hdlr", 0, 0, bytes(4), handler, bytes(12), b"x\0")
    media = _full(b"vmhd", 0, 1, bytes(8)) if handler == b"vide" else _full(b"smhd", 0, 0, bytes(4))
    data = _box(b"dinf", _full(b"dref", 0, 0, struct.pack(">I", 1), reference or _full(b"url ", 0, 1)))
    return _box(b"trak", head, _box(b"mdia", clock, kind, _box(b"minf", media, data, _box(b"stbl", entry, *tables))))


def _tables(samples: int, *, per_chunk: int, size: int, chunks: list[int]) -> list[bytes]:
    return [
        _full(b"stts", 0, 0, struct.pack(">3I", 1, samples, 1)),
        _full(b"stsc", 0, 0, struct.pack(">4I", 1, 1, per_chunk, 1)),
        _full(b"stsz", 0, 0, struct.pack(">2I", size, samples)),
        _full(b"stco", 0, 0, struct.pack(f">I{len(chunks)}I", len(chunks), *chunks)),
    ]


def _sound_entry() -> bytes:
    entry = bytes(6) + struct.pack(">H", 1) + bytes(8) + struct.pack(">2H", 1, 16) + bytes(4)
    return _full(b"stsd", 0, 0, struct.pack(">I", 1), _box(b"sowt", entry, struct.pack(">I", _RATE << 16)))


def _picture_entry(codec: bytes, width: int, height: int) -> bytes:
    size = struct.pack(">2H", width, height) + struct.pack(">2I", 0x480000, 0x480000)
    entry = bytes(6) + struct.pack(">H", 1) + bytes(16) + size + bytes(4) + struct.pack(">H", 1) + bytes(32)
    return _full(b"stsd", 0, 0, struct.pack(">I", 1), _box(codec, entry, struct.pack(">Hh", 24, -1)))
