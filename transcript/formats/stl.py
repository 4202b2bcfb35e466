"""EBU STL (EBU Tech 3264): binary subtitles of broadcasters, in blocks of 128 bytes with timecodes in frames. Pure.

Subtitles are open ones (display standard 0): the file has no teletext codes, so that a line may be longer than
teletext's 40 characters. Each is centred, with its last line at the bottom.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

from transcript.checks import Check, checked, never
from transcript.formats.cues import Cue, label, line_text
from transcript.formats.stl_text import choose_table, decode, encode, is_accent

FRAME_RATES = (25, 30)
"""Frames per second that the format knows."""

_HEADER = struct.Struct("3s8s1s2s2s32s32s32s32s32s32s16s6s6s2s5s5s3s2s2s1s8s8s1s1s3s32s32s32s75s576s")
_BLOCK = struct.Struct("<BHBB4B4BBBB112s")
_TEXT_BYTES = 112
_UNUSED = b"\x8f"
_NEW_LINE = b"\x8a"
_LAST_BLOCK = 0xFF
_MAX_EXTENSION_BLOCKS = 0xF0
_CENTRED = 2
_ROWS = 23
_MIN_COLUMNS, _MAX_COLUMNS = 40, 99
_MAX_NUMBER = 0xFFFF
_MAX_BLOCKS = 99_999
_DAY_S = 24 * 3600
_MAX_SAMPLES = 10

_LANGUAGES = (
    "sq br ca hr cy cs da de en es eo et eu fo fr fy ga gd gl is it se la lv lb lt hu mt nl no oc pl pt ro rm sr sk sl "
    "fi sv tr"
)
_FURTHER_LANGUAGES = (
    "zu vi uz ur uk th te tt ta tg sw srn so si sn sh - ru qu ps pa fa pap or ne nd mr mo ms mg mk lo ko km kk kn ja "
    "id hi he ha gn gu el ka ff prs cv zh my bg bn be bm az as hy ar am"
)
_LANGUAGE_CODES = {
    **{name: code for code, name in enumerate(_LANGUAGES.split(), start=0x01)},
    **{name: code for code, name in enumerate(_FURTHER_LANGUAGES.split(), start=0x45)},
}
_LANGUAGE_CODES["nn"] = _LANGUAGE_CODES["no"]
"""EBU Tech 3264, appendix 3, by ISO 639; 00 is an unknown language."""


class Subtitle(NamedTuple):
    """The lines on the screen from one frame to another, counted from the start of the programme."""

    start: int
    end: int
    lines: Sequence[str]


class StlFile(NamedTuple):
    """The content of a file."""

    subtitles: Sequence[Subtitle]
    language_code: str = "00"
    """Two hexadecimal digits."""
    frame_rate: int = 25
    start: int = 0
    """Timecode of the programme's start, in frames."""


class Written(NamedTuple):
    """A file's bytes, and sentences on what the format could not hold."""

    content: bytes
    warnings: list[str]


def to_stl(
    cues: Sequence[Cue], language: str, frame_rate: int, start: str, created: date, check: Check = never
) -> Written:
    """Return EBU STL.

    Args:
        cues: in order of their start.
        language: Whisper's code of the text's language.
        frame_rate: one of `FRAME_RATES`.
        start: timecode of the recording's start, `HH:MM:SS:FF`.
        created: the date in the file's header.
        check: ends the work by an exception.
    """
    subtitles = [
        Subtitle(first, max(first + 1, round(cue.end * frame_rate / 1000)), _lines(cue))
        for cue in checked(cues, check)
        for first in [round(cue.start * frame_rate / 1000)]
    ]
    code = f"{_LANGUAGE_CODES.get(language, 0):02X}"
    return write_stl(StlFile(subtitles, code, frame_rate, parse_timecode(start, frame_rate)), created, check)


def parse_timecode(timecode: str, frame_rate: int) -> int:
    """Return the frames of `HH:MM:SS:FF`.

    Raises:
        ValueError: it is no timecode of a day at that frame rate.
    """
    numbers = timecode.split(":")
    if len(numbers) != 4 or not all(len(number) == 2 and number.isascii() and number.isdigit() for number in numbers):
        raise ValueError("should be a timecode such as 10:00:00:00: hours, minutes, seconds and frames")
    hours, minutes, seconds, frames = map(int, numbers)
    if hours > 23 or minutes > 59 or seconds > 59 or frames >= frame_rate:
        raise ValueError(f"should be a timecode from 00:00:00:00 to 23:59:59:{frame_rate - 1}")
    return ((hours * 60 + minutes) * 60 + seconds) * frame_rate + frames


def write_stl(file: StlFile, created: date, check: Check = never) -> Written:
    """Return a file's bytes."""
    subtitles, overlaps = _one_at_a_time(file.subtitles)
    file = file._replace(subtitles=subtitles)
    table = choose_table(line for subtitle in subtitles for line in subtitle.lines)
    replaced: Counter[str] = Counter()
    blocks: list[bytes] = []
    is_cut = False
    for number, subtitle in enumerate(checked(subtitles, check), start=1):
        encoded = [encode(line, table) for line in subtitle.lines]
        replaced.update(character for line in encoded for character in line.replaced)
        fields = list(_split_text(_NEW_LINE.join(line.content for line in encoded), table))
        is_cut = is_cut or len(fields) > _MAX_EXTENSION_BLOCKS + 1
        blocks += _blocks(number & _MAX_NUMBER, subtitle, file, fields[: _MAX_EXTENSION_BLOCKS + 1])
    end = file.start + max((subtitle.end for subtitle in file.subtitles), default=0)
    warnings = []
    if replaced:
        warnings.append(_replaced_warning(replaced))
    if overlaps:
        warnings.append(_overlaps_warning(overlaps))
    if end > _DAY_S * file.frame_rate:
        warnings.append("stl has timecodes up to 24 hours: after that, they begin again at 00:00:00:00")
    if len(file.subtitles) > _MAX_NUMBER or len(blocks) > _MAX_BLOCKS:
        warnings.append(f"stl counts at most {_MAX_NUMBER:,} subtitles: the numbers of later ones begin again")
    if is_cut:
        warnings.append(
            "stl has too few blocks for the longest subtitles, which are cut: lay them out by max_line_count"
        )
    return Written(_header(file, table, len(blocks), created) + b"".join(blocks), warnings)


def read_stl(content: bytes) -> StlFile:
    """Read a file of `write_stl`.

    Raises:
        ValueError: it is none.
    """
    if len(content) < _HEADER.size:
        raise ValueError("it is shorter than the header of EBU STL")
    header = _HEADER.unpack_from(content)
    frame_rate, table = int(header[1][3:5]), header[3].decode()
    start = parse_timecode(":".join(header[21].decode()[at : at + 2] for at in range(0, 8, 2)), frame_rate)
    subtitles = []
    text = b""
    for fields in _BLOCK.iter_unpack(content[_HEADER.size :]):
        text += fields[-1].rstrip(_UNUSED)
        if fields[2] == _LAST_BLOCK:
            first, end = (_to_frames(fields[at : at + 4], frame_rate) - start for at in (4, 8))
            day = _DAY_S * frame_rate
            lines = [decode(line, table) for line in text.split(_NEW_LINE)]
            subtitles.append(Subtitle(first % day, first % day + (end - first) % day, lines))
            text = b""
    return StlFile(subtitles, header[4].decode(), frame_rate, start)


def _lines(cue: Cue) -> list[str]:
    first, *others = (line_text(line) for line in cue.lines)
    return [label(cue) + first, *others]


def _one_at_a_time(subtitles: Sequence[Subtitle]) -> tuple[list[Subtitle], int]:
    """Return the subtitles without overlaps, since a file shows one at a time, and the number of overlaps.

    Each ends where the next one begins. Those that begin in the same frame become one, with the lines of both.
    """
    shown: list[Subtitle] = []
    overlaps = 0
    for subtitle in subtitles:
        overlaps += bool(shown) and subtitle.start < shown[-1].end
        if shown and subtitle.start <= shown[-1].start:
            last = shown[-1]
            shown[-1] = Subtitle(last.start, max(last.end, subtitle.end), [*last.lines, *subtitle.lines])
            continue
        if shown:
            shown[-1] = shown[-1]._replace(end=min(shown[-1].end, subtitle.start))
        shown.append(subtitle)
    return shown, overlaps


def _split_text(text: bytes, table: str) -> Iterator[bytes]:
    """Yield the text field of each block; a letter of two bytes is never in two blocks."""
    while True:
        size = _TEXT_BYTES
        if len(text) > size and is_accent(text[size - 1], table):
            size -= 1
        yield text[:size].ljust(_TEXT_BYTES, _UNUSED)
        text = text[size:]
        if not text:
            return


def _blocks(number: int, subtitle: Subtitle, file: StlFile, fields: Sequence[bytes]) -> Iterator[bytes]:
    times = [*_clock(file.start + subtitle.start, file), *_clock(file.start + subtitle.end, file)]
    row = max(1, _ROWS - len(subtitle.lines))
    for at, field in enumerate(fields):
        extension = _LAST_BLOCK if at == len(fields) - 1 else at
        yield _BLOCK.pack(0, number, extension, 0, *times, row, _CENTRED, 0, field)


def _header(file: StlFile, table: str, blocks: int, created: date) -> bytes:
    first = file.start + min((subtitle.start for subtitle in file.subtitles), default=0)
    widest = max((len(line) for subtitle in file.subtitles for line in subtitle.lines), default=0)
    day = created.strftime("%y%m%d")
    count = min(len(file.subtitles), _MAX_BLOCKS)
    texts = {
        0: "850",  # the code page of the header's own texts
        1: f"STL{file.frame_rate}.01",
        2: "0",  # display standard: open subtitling
        3: table,
        4: file.language_code,
        12: day,
        13: day,
        14: "00",
        15: f"{min(blocks, _MAX_BLOCKS):05d}",
        16: f"{count:05d}",
        17: "001",  # groups
        18: f"{min(max(widest, _MIN_COLUMNS), _MAX_COLUMNS):02d}",
        19: f"{_ROWS:02d}",
        20: "1",  # the timecodes are meant to be used
        21: _digits(file.start, file),
        22: _digits(first, file),
        23: "1",  # disks
        24: "1",
    }
    sizes = [int(size) for size in _HEADER.format.replace("s", " ").split()]
    return _HEADER.pack(*(texts.get(at, "").encode("ascii").ljust(size) for at, size in enumerate(sizes)))


def _clock(frame: int, file: StlFile) -> tuple[int, int, int, int]:
    """Return the timecode of a frame: hours, minutes, seconds, frames."""
    seconds, frames = divmod(frame % (_DAY_S * file.frame_rate), file.frame_rate)
    return seconds // 3600, seconds // 60 % 60, seconds % 60, frames


def _digits(frame: int, file: StlFile) -> str:
    return "".join(f"{number:02d}" for number in _clock(frame, file))


def _to_frames(clock: Sequence[int], frame_rate: int) -> int:
    hours, minutes, seconds, frames = clock
    return ((hours * 60 + minutes) * 60 + seconds) * frame_rate + frames


def _overlaps_warning(count: int) -> str:
    are = f"{count} subtitle begins" if count == 1 else f"{count} subtitles begin"
    return (
        f"stl shows one subtitle at a time: {are} before the one before has ended, which is cut short or joined with "
        "the new one; ttml shows both"
    )


def _replaced_warning(replaced: Counter[str]) -> str:
    count = sum(replaced.values())
    sample = " ".join(character for character, _ in replaced.most_common(_MAX_SAMPLES) if character.isprintable())
    return (
        f"stl has no letters for {count} character{'' if count == 1 else 's'} of the text, which "
        f"{'is' if count == 1 else 'are'} replaced ({sample}): a file of it has Latin letters, or ASCII with Cyrillic, "
        "Arabic, Greek or Hebrew ones; ttml has all"
    )
