"""Divides a text into paragraphs: at pauses, where another voice speaks, and after a long one with its sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

MIN_PAUSE_S = 2.0
"""Seconds without text from which a paragraph ends; between sentences people pause for up to a second or so."""

LONG = 500
"""Characters after which a paragraph ends with its sentence: some 80 words, half a minute of speech."""

TOO_LONG = 1500
"""Characters after which it ends anyway: Whisper may write no full stop at all."""

_SENTENCE_ENDS = tuple(".?!…。？！؟۔।")
_AFTER_SENTENCE = "\"'”’»)]」』"


class Piece(NamedTuple):
    """A part of a text that stays together, such as a segment.

    Attributes:
        start: in seconds.
        end: the same.
        text: with the space before it.
        voice: of the speaker or channel; empty: not known.
    """

    start: float
    end: float
    text: str
    voice: str = ""


def find_paragraphs(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Yield the pieces of each paragraph."""
    paragraph: list[Piece] = []
    length = 0
    for piece in pieces:
        if paragraph and _begins_paragraph(piece, paragraph[-1], length):
            yield paragraph
            paragraph, length = [], 0
        paragraph.append(piece)
        length += len(piece.text)
    if paragraph:
        yield paragraph


def join_paragraphs(pieces: Iterable[Piece]) -> str:
    """Return the text with a blank line between paragraphs, and each voice before the first one that is its own."""
    blocks, voice = [], ""
    for paragraph in find_paragraphs(pieces):
        label = f"{paragraph[0].voice}: " if paragraph[0].voice != voice and paragraph[0].voice else ""
        voice = paragraph[0].voice
        blocks.append(label + join_pieces(paragraph))
    return "\n\n".join(blocks)


def join_pieces(pieces: Sequence[Piece]) -> str:
    """Return the text of one paragraph."""
    return "".join(piece.text for piece in pieces).strip()


def _begins_paragraph(piece: Piece, previous: Piece, length: int) -> bool:
    if piece.voice != previous.voice or piece.start - previous.end >= MIN_PAUSE_S or length >= TOO_LONG:
        return True
    return length >= LONG and previous.text.rstrip().rstrip(_AFTER_SENTENCE).endswith(_SENTENCE_ENDS)
