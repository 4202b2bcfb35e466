"""Applies the caller's custom vocabulary: corrects misheard terms in texts, segments and words alike.

A "heard as" phrase matches whole words, in any case, with any kind of spaces, apostrophes and hyphens, and across the
ends of lines and segments. Of several phrases that begin at one place the longest wins, and inserted terms are not
searched again. In scripts without spaces between words, any run of characters matches.

Text is compared token by token, each case-folded separately: so folding (ß is ss, é may be two characters) never shifts
an offset.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import accumulate, pairwise
from statistics import fmean
from typing import NamedTuple
from unicodedata import normalize

import regex
from ahocorasick_rs import AhoCorasick, MatchKind

from transcript.checks import Check, checked, never
from transcript.transcript import Segment, Transcript, Word

# A character of a script without spaces between words.
_UNSPACED = r"[\w&&[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}\p{scx=Laoo}\p{scx=Mymr}\p{scx=Khmr}]]"
_LETTER = rf"[\w--{_UNSPACED}--ʼ]"

_TOKEN = regex.compile(
    rf"""
    (\s*)
    (?: ({_UNSPACED} \p{{M}}*)
      | ({_LETTER}+ (?: (?: \.                             # node.js, 3.5
                          | (?<=\d) , (?=\d)               # 10,000
                          | (?<=[Nn]) ['’ʼ] (?=[Tt](?!\w)) # can't; but RunPod's and l'OpenAI are two tokens
                        ) {_LETTER}+ )*
        | \S) )
    """,
    regex.VERSION1 | regex.VERBOSE,
)
_REST_OF_WORD = regex.compile(rf"(?: (?!{_UNSPACED}) \S )*", regex.VERSION1 | regex.VERBOSE)
_WORD = regex.compile(r"\s*\S+(?:\s+$)?")

_PUNCTUATION_VARIANTS = str.maketrans("’‘ʼ＇‐‑‒–−ı", "''''-----i")


class Corrector:
    """The corrections of one job, whose many phrases are made ready once, when the first text needs them.

    Args:
        corrections: each term with its "heard as" phrases.
    """

    def __init__(self, corrections: Mapping[str, Sequence[str]]) -> None:
        self._corrections = corrections

    @cached_property
    def _matcher(self) -> _PhraseMatcher:
        return _PhraseMatcher(self._corrections)

    def correct(self, transcript: Transcript, check: Check = never) -> dict[str, int]:
        """Replace each "heard as" phrase in the transcript by its term, in place.

        Occurrences of the term itself, in any case, stay unless they are a "heard as" phrase too: "New York" does not
        turn "New York City" into "New York City City". A phrase that spans two segments moves, with the rest of its
        last word, to the first of them, but never to another channel; a segment without text left is removed. `tokens`
        stay as they were decoded.

        Words keep their times. Where their number changes, the new words share the time of the old ones in proportion
        to their length, and have their mean probability.

        Args:
            transcript: changed in place; its translation is not.
            check: ends the work by an exception.

        Returns:
            The number of replacements by each term, 0 included.
        """
        if not self._corrections:
            return {}
        counts: Counter[str] = Counter()
        for channel in {segment.channel for segment in transcript.segments}:
            segments = [segment for segment in transcript.segments if segment.channel == channel]
            counts += _replace_phrases(self._matcher, segments, check)
        kept = [segment for segment in transcript.segments if segment.text]
        if len(kept) < len(transcript.segments):
            transcript.segments = [replace(segment, id=number) for number, segment in enumerate(kept)]
        return {term: counts[_to_one_line(term)] for term in self._corrections}

    def correct_alone(self, segment: Segment) -> Segment:
        """Return a corrected copy of one segment, for streaming: as `correct` would leave it without its neighbours."""
        if not self._corrections:
            return segment
        alone = Transcript("", 1.0, segment.end, [replace(segment)])
        self.correct(alone)
        return replace(alone.segments[0], id=segment.id) if alone.segments else segment


def vocabulary_prompt(hints: Sequence[str]) -> str:
    """Return a prompt that makes Whisper expect these terms.

    Whisper reads a prompt as the preceding text and continues in its style: it would continue a bare list, while a
    glossary with a full stop is a finished sentence (the form in OpenAI's guide to prompting Whisper). Of a prompt over
    223 tokens Whisper reads only the end, so the first terms are lost.
    """
    return f"Glossary: {', '.join(_to_one_line(hint) for hint in hints)}." if hints else ""


def _replace_phrases(matcher: _PhraseMatcher, segments: Sequence[Segment], check: Check) -> Counter[str]:
    """Correct the segments of one channel and count the terms; segments without text left have an empty text."""
    texts = [segment.text for segment in segments]
    words = [segment.words or [] for segment in segments]
    word_texts = ["".join(word.word for word in segment_words) for segment_words in words]
    edited = matcher.find(texts, check)
    edited_words = edited if word_texts == texts else matcher.find(word_texts, check)
    previous = None
    for segment, text, new_words, is_entered in checked(
        zip(segments, edited.texts(), edited_words.words(words), edited.is_entered, strict=True), check
    ):
        segment.text = text
        segment.words = None if segment.words is None else new_words
        if previous and is_entered:
            _move_boundary(previous, segment)
        previous = segment if segment.text else previous
    return Counter(edit.term for edit in edited.edits)


def _move_boundary(first: Segment, second: Segment) -> None:
    """Move the boundary of two segments to the end of a phrase that spans both, if word timestamps give it."""
    if not second.text.strip():
        second.text = ""
        first.end = max(first.end, second.end)
    elif first.words:
        end = first.words[-1].end
        first.end = max(first.end, end)
        second.start = min(max(second.start, end), second.end)


class _Edit(NamedTuple):
    """The characters [start, end) of a text, and the term that replaces them."""

    start: int
    end: int
    term: str


class _PhraseMatcher:
    """A search for all phrases at once, in time linear in the text, whatever their number."""

    def __init__(self, corrections: Mapping[str, Sequence[str]]) -> None:
        terms: dict[str, str | None] = {}
        for term, phrases in corrections.items():
            for phrase in phrases:
                terms.setdefault(_FoldedText([phrase]).text, _to_one_line(term))
        for term in corrections:
            terms.setdefault(_FoldedText([term]).text, None)  # matched so that no phrase inside it is
        terms.pop("", None)
        self._terms = list(terms.values())
        self._automaton = AhoCorasick(list(terms), matchkind=MatchKind.LeftmostLongest)

    def find(self, parts: Sequence[str], check: Check = never) -> _EditedText:
        """Find the edits of one text in several parts; no word spans two parts."""
        folded, text = _FoldedText(checked(parts, check)), "".join(parts)
        edits = []
        for number, begin, end in self._automaton.find_matches_as_indexes(folded.text):
            term, original = self._terms[number], folded.to_original(begin, end)
            if term is not None and text[original] != term:
                edits.append(_Edit(original.start, original.stop, term))
        return _EditedText(text, list(accumulate(map(len, parts))), edits)


class _FoldedText:
    r"""The form in which texts are compared, with the offsets of its tokens in the original text.

    Each token stands between \r and \n, which no token contains, so that only whole tokens match. Spaces and the ends
    of parts become one space between tokens; in scripts without spaces they become nothing.
    """

    def __init__(self, parts: Iterable[str]) -> None:
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
                tokens.append(f"{gap}\r{_fold(token)}\n")
                offset += len(space)
                self._begins.append(length + len(gap))
                self._originals.append((offset, offset + len(token)))
                offset += len(token)
                length += len(tokens[-1])
                is_unspaced, is_part_start = bool(character), False
            part_offset += len(part)
            is_part_start = True
        self.text = "".join(tokens)

    def to_original(self, begin: int, end: int) -> slice:
        """Return the slice of the original text for the tokens in [begin, end) of the folded text."""
        first, after = bisect_left(self._begins, begin), bisect_left(self._begins, end)
        return slice(self._originals[first][0], self._originals[after - 1][1])


def _fold(token: str) -> str:
    """Return Unicode's canonical caseless form (section 3.13, D145), with one kind of apostrophe, hyphen and i."""
    if token.isascii():
        return token.lower()
    folded = normalize("NFC", normalize("NFD", token.translate(_PUNCTUATION_VARIANTS)).casefold())
    return folded.replace("i\u0307", "i")


class _EditedText:
    """A text in parts with its edits. If an edit spans two parts, the first part is extended to the end of that edit.

    Args:
        text: the text before the edits.
        ends: the ends of its parts, in characters.
        edits: in order of their place.

    Attributes:
        is_entered: for each part, true if an edit of an earlier part extends into it.
    """

    def __init__(self, text: str, ends: list[int], edits: list[_Edit]) -> None:
        self.edits = edits
        self._text = text
        self._starts = [edit.start for edit in edits]
        self._ends = [self._extended_end(end, ends) for end in ends]
        is_extended = [new_end > end for new_end, end in zip(self._ends, ends, strict=True)]
        self.is_entered = [False, *is_extended][: len(ends)]

    def _extended_end(self, end: int, ends: Sequence[int]) -> int:
        while (number := bisect_left(self._starts, end) - 1) >= 0 and self.edits[number].end > end:
            edit_end = self.edits[number].end
            rest = _REST_OF_WORD.match(self._text, edit_end, ends[bisect_left(ends, edit_end)])
            end = rest.end() if rest else edit_end
        return end

    def texts(self) -> Iterator[str]:
        """Yield the text of each part after the edits."""
        for begin, end in pairwise([0, *self._ends]):
            yield self._apply(self._edits_between(begin, end), begin, end)

    def words(self, words: Sequence[Sequence[Word]]) -> Iterator[list[Word]]:
        """Yield the words of each part after the edits; `words` are those before, which joined are the text."""
        remaining = deque(word for part_words in words for word in part_words)
        for begin, end in pairwise([0, *self._ends]):
            yield self._edit_words(_take_words(remaining, end - begin), begin, self._edits_between(begin, end))

    def _edit_words(self, words: list[Word], begin: int, edits: Sequence[_Edit]) -> list[Word]:
        offsets = list(accumulate((len(word.word) for word in words), initial=begin))
        edited, done = [], 0
        for first, after, run_edits in _edit_runs(offsets, edits):
            text = self._apply(run_edits, offsets[first], offsets[after])
            edited += words[done:first] + _replace_words(words[first:after], text)
            done = after
        return edited + words[done:]

    def _edits_between(self, begin: int, end: int) -> list[_Edit]:
        return self.edits[bisect_left(self._starts, begin) : bisect_left(self._starts, end)]

    def _apply(self, edits: Sequence[_Edit], begin: int, end: int) -> str:
        parts = []
        for edit in edits:
            parts += [self._text[begin : edit.start], edit.term]
            begin = edit.end
        return "".join([*parts, self._text[begin:end]])


def _edit_runs(offsets: Sequence[int], edits: Sequence[_Edit]) -> Iterator[tuple[int, int, list[_Edit]]]:
    """Yield the ranges [first, after) of words that edits touch, with their edits; no two ranges share a word."""
    first, after, run_edits = 0, 0, list[_Edit]()
    for edit in edits:
        begin = bisect_right(offsets, edit.start) - 1
        if run_edits and begin >= after:
            yield first, after, run_edits
            run_edits = []
        first = first if run_edits else begin
        after = bisect_left(offsets, edit.end)
        run_edits.append(edit)
    if run_edits:
        yield first, after, run_edits


def _take_words(remaining: deque[Word], length: int) -> list[Word]:
    """Remove words of `length` characters from the front; a word that is longer is split in two."""
    taken = []
    while remaining and length > 0:
        word = remaining.popleft()
        if len(word.word) > length:
            word, rest = _share_time([word.word[:length], word.word[length:]], [word])
            remaining.appendleft(rest)
        length -= len(word.word)
        taken.append(word)
    return taken


def _replace_words(words: Sequence[Word], text: str) -> list[Word]:
    """Return `text` as words in the time of `words`; if the number is the same, each keeps its own time."""
    texts = _WORD.findall(text)
    if len(texts) != len(words):
        return _share_time(texts, words)
    for word, new_text in zip(words, texts, strict=True):
        word.word = new_text
    return list(words)


def _share_time(texts: Sequence[str], words: Sequence[Word]) -> list[Word]:
    """Return words that share the time of `words` in proportion to their length, to the millisecond."""
    start, end, probability = words[0].start, words[-1].end, fmean(word.probability for word in words)
    lengths = list(accumulate(map(len, texts)))
    inner = [round(start + (end - start) * length / lengths[-1], 3) for length in lengths[:-1]]
    times = [start, *(min(max(time, start), end) for time in inner), end]
    return [Word(text, *span, probability, words[0].speaker) for text, span in zip(texts, pairwise(times), strict=True)]


def _to_one_line(term: str) -> str:
    return " ".join(term.split())
