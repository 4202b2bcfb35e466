"""The words of segments with their times, in runs that may share cues."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from src.formats.layout import EVER, Layout
from src.formats.line_breaks import is_full_width_mark, is_torn, split_words
from src.transcript.transcript import Segment

LONG_PAUSE = 3000
"""No cue goes on over a longer one (ms), as with openai-whisper."""


class Piece(NamedTuple):
    """A word with the blank before it, if there is one; or as much of a word as a line can hold."""

    text: str
    start: int
    end: int
    is_first: bool = False
    """Whether a segment within the run begins with it."""


Line = Sequence[Piece]


def runs_of(segments: Sequence[Segment], layout: Layout) -> Iterator[list[Piece]]:
    """What may share cues: the words of a segment, or all words up to a long pause."""
    by_segment = [_pieces(segment) for segment in segments]
    firsts = set(accumulate(map(len, by_segment), initial=0))
    run: list[Piece] = []
    for at, piece in enumerate(_in_order([piece for pieces in by_segment for piece in pieces])):
        if run and ((at in firsts and layout.keeps_segments) or piece.start - run[-1].end > LONG_PAUSE):
            yield run
            run = []
        run.append(_first(piece, run[-1]) if run and at in firsts else piece)
    if run:
        yield run


def _pieces(segment: Segment) -> list[Piece]:
    """The words of a segment; where it has none, or others than its text, times go by the length of the text."""
    parts = [spread(re.findall(r"\s*\S+", text), start, end) for text, start, end in _words(segment)]
    if "".join(piece.text for part in parts for piece in part).split() != segment.text.replace("\0", "\ufffd").split():
        parts = [spread(split_words(segment.text), milliseconds(segment.start), milliseconds(segment.end))]
    pieces: list[Piece] = []
    for piece in (piece for part in parts for piece in part):
        if pieces and is_torn(pieces[-1].text, piece.text):
            pieces[-1] = Piece(pieces[-1].text + piece.text, pieces[-1].start, piece.end)
        else:
            pieces.append(piece)
    return pieces


def _words(segment: Segment) -> Iterator[tuple[str, int, int]]:
    """Words and their times; a blank after a word goes before the next one."""
    blank = ""
    for word in segment.words or []:
        text = blank + word.word
        yield text, milliseconds(word.start), milliseconds(word.end)
        blank = " " if text[-1:].isspace() else ""


def milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def spread(texts: Sequence[str], start: int, end: int) -> list[Piece]:
    """`texts` with times between `start` and `end`, by their length."""
    places = list(accumulate(map(len, texts), initial=0))
    times = [start + (end - start) * place // places[-1] for place in places] if texts else []
    return [
        Piece(" " * text[0].isspace() + text.strip().replace("\0", "\ufffd"), *times)
        for text, times in zip(texts, pairwise(times), strict=True)
    ]


def _in_order(pieces: Sequence[Piece]) -> list[Piece]:
    """The same with no start before the one before it, and no end before its start or after the next one's."""
    starts = list(accumulate((piece.start for piece in pieces), max))
    return [
        Piece(piece.text, start, min(max(start, piece.end), following))
        for piece, start, following in zip(pieces, starts, [*starts[1:], EVER], strict=False)
    ]


def _first(piece: Piece, before: Piece) -> Piece:
    """The first word of a segment, with a blank before it unless a full-width mark is."""
    blank = "" if piece.text[0] == " " or is_full_width_mark(before.text[-1]) else " "
    return piece._replace(text=blank + piece.text, is_first=True)
