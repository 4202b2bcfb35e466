"""Finds given phrases in a text: whole words, in any case, with any kind of spaces, apostrophes and hyphens.

Phrases match across the ends of lines and segments. Of several that begin at one place the longest wins. In scripts
without spaces between words, any run of characters matches. A Korean particle may follow a phrase.

Text is compared token by token, each case-folded separately: so folding (ß is ss, é may be two characters) never shifts
an offset.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from unicodedata import normalize

import regex
from ahocorasick_rs import AhoCorasick, MatchKind

from transcript.checks import Check, checked, never
from transcript.edits import UNSPACED
from transcript.korean import has_hangul, split_particle

_LETTER = rf"[\w--{UNSPACED}--ʼ]"

_TOKEN = regex.compile(
    rf"""
    (\s*)
    (?: ({UNSPACED} \p{{M}}*)
      | ({_LETTER}+ (?: (?: \.                             # node.js, 3.5
                          | (?<=\d) , (?=\d)               # 10,000
                          | (?<=[Nn]) ['’ʼ] (?=[Tt](?!\w)) # can't; but RunPod's and l'OpenAI are two tokens
                        ) {_LETTER}+ )*
        | \S) )
    """,
    regex.VERSION1 | regex.VERBOSE,
)

_PUNCTUATION_VARIANTS = str.maketrans("’‘ʼ＇‐‑‒–−ı", "''''-----i")


class FoundPhrase(NamedTuple):
    """The characters [start, end) of a text, and the number of the phrase that they are, from 0."""

    number: int
    start: int
    end: int


class PhraseMatcher:
    """A search for all phrases at once, in time linear in the text, whatever their number.

    Args:
        phrases: of phrases that are alike, the first counts.
    """

    def __init__(self, phrases: Iterable[str]) -> None:
        indices: dict[str, int] = {}
        for index, phrase in enumerate(phrases):
            indices.setdefault(_FoldedText([phrase]).text, index)
        indices.pop("", None)
        self._indices = list(indices.values())
        self._automaton = AhoCorasick(list(indices), matchkind=MatchKind.LeftmostLongest)

    def find(self, parts: Sequence[str], check: Check = never) -> list[FoundPhrase]:
        """Find the phrases in a text of several parts, in order of their place; no word spans two parts."""
        found = self._find_in(_FoldedText(checked(parts, check)))
        if not any(map(has_hangul, parts)):
            return found
        with_particle = self._find_in(_FoldedText(checked(parts, check), splits_particles=True))
        return list(_leftmost_longest([*found, *with_particle]))

    def _find_in(self, folded: _FoldedText) -> list[FoundPhrase]:
        matches = self._automaton.find_matches_as_indexes(folded.text)
        return [FoundPhrase(self._indices[number], *folded.to_original(begin, end)) for number, begin, end in matches]


def _leftmost_longest(phrases: Iterable[FoundPhrase]) -> Iterator[FoundPhrase]:
    """Yield the phrases in order of their place, without those that begin in one before."""
    end = 0
    for phrase in sorted(phrases, key=lambda phrase: (phrase.start, -phrase.end)):
        if phrase.start >= end:
            yield phrase
            end = phrase.end


class _FoldedText:
    r"""The form in which texts are compared, with the offsets of its tokens in the original text.

    Each token stands between \r and \n, which no token contains, so that only whole tokens match. Spaces and the ends
    of parts become one space between tokens; in scripts without spaces they become nothing.

    Args:
        parts: the parts of the text.
        splits_particles: if true, the Korean particle at the end of a word is a token of its own.
    """

    def __init__(self, parts: Iterable[str], *, splits_particles: bool = False) -> None:
        tokens: list[str] = []
        self._begins: list[int] = []
        """Offset of each token in the folded text."""
        self._originals: list[tuple[int, int]] = []
        """Start and end of each token in the original text."""
        length = part_offset = 0
        # As if after a script without spaces: the folded text does not begin with a space.
        is_unspaced, is_part_start = True, False
        for part in parts:
            offset = part_offset
            for space, character, word in _TOKEN.findall(part.rstrip()):
                token = character or word
                gap = " " if (is_part_start or space) and not (is_unspaced or character) else ""
                offset += len(space)
                for piece in split_particle(token) if splits_particles else (token,):
                    tokens.append(f"{gap}\r{_fold(piece)}\n")
                    self._begins.append(length + len(gap))
                    self._originals.append((offset, offset + len(piece)))
                    offset += len(piece)
                    length += len(tokens[-1])
                    gap = ""
                is_unspaced, is_part_start = bool(character), False
            part_offset += len(part)
            is_part_start = True
        self.text = "".join(tokens)

    def to_original(self, begin: int, end: int) -> tuple[int, int]:
        """Return start and end in the original text of the tokens in [begin, end) of the folded text."""
        first, after = bisect_left(self._begins, begin), bisect_left(self._begins, end)
        return self._originals[first][0], self._originals[after - 1][1]


def _fold(token: str) -> str:
    """Return Unicode's canonical caseless form (section 3.13, D145), with one kind of apostrophe, hyphen and i."""
    if token.isascii():
        return token.lower()
    folded = normalize("NFC", normalize("NFD", token.translate(_PUNCTUATION_VARIANTS)).casefold())
    return folded.replace("i\u0307", "i")
