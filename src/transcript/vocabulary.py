"""The caller's own vocabulary: what was misheard is put right, in text, segments and words alike.

A "heard as" is found as whole words, in any case, whatever stands for its blanks, apostrophes and hyphens, and over the
ends of lines and segments. Of several that begin at one place the longest is taken, and what was put in is never looked
at again. In scripts that put no blanks between words, any characters in a row are found.

Text is compared token by token, each folded by itself: no fold (ß is ss, é may be two characters) shifts a place.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from statistics import fmean
from typing import NamedTuple
from unicodedata import normalize

import regex
from ahocorasick_rs import AhoCorasick, MatchKind

from src.transcript.transcript import Segment, Transcript, Word

# A character of a script that puts no blanks between words.
_UNSPACED = r"[\w&&[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}\p{scx=Laoo}\p{scx=Mymr}\p{scx=Khmr}]]"
_LETTER = rf"[\w--{_UNSPACED}--ʼ]"

_TOKEN = regex.compile(
    rf"""
    (\s*)
    (?: ({_UNSPACED} \p{{M}}*)
      | ({_LETTER}+ (?: (?: \.                             # node.js, 3.5
                          | (?<=\d) , (?=\d)               # 10,000
                          | (?<=[Nn]) ['’ʼ] (?=[Tt](?!\w)) # can't; but RunPod's and l'OpenAI are two words
                        ) {_LETTER}+ )*
        | \S) )
    """,
    regex.VERSION1 | regex.VERBOSE,
)
_REST_OF_WORD = regex.compile(rf"(?: (?!{_UNSPACED}) \S )*", regex.VERSION1 | regex.VERBOSE)
_WORD = regex.compile(r"\s*\S+(?:\s+$)?")

_ALIKE = str.maketrans("’‘ʼ＇‐‑‒–−ı", "''''-----i")


def correct(transcript: Transcript, corrections: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Puts each term wherever one of its "heard as" stands in the transcript, and tells how often.

    A place where a term stands already, in any case, is left alone unless that is a "heard as" too: "New York" makes no
    "New York City City". A phrase that reaches over the end of a segment goes, with the rest of its last word, to the
    segment where it begins, but never to another channel; a segment that has nothing left is dropped. `tokens` stay as
    they were decoded.

    Words keep their times. Where their number changes, those that come share the time of those that go, by length, and
    have their mean probability.

    Args:
        transcript: changed in place; its translation is not.
        corrections: each term with what is heard in its place.

    Returns:
        How often each term was put in; 0 for one that never was.
    """
    phrases = _Phrases(corrections)
    found: Counter[str] = Counter()
    for channel in {segment.channel for segment in transcript.segments}:
        found += _put_in(phrases, [segment for segment in transcript.segments if segment.channel == channel])
    left = [segment for segment in transcript.segments if segment.text]
    if len(left) < len(transcript.segments):
        transcript.segments = [replace(segment, id=number) for number, segment in enumerate(left)]
    return {term: found[_on_one_line(term)] for term in corrections}


def corrected(segment: Segment, corrections: Mapping[str, Sequence[str]]) -> Segment:
    """A copy of one segment as `correct` would leave it if it stood alone: for whoever hears it before the end."""
    if not corrections:
        return segment
    alone = Transcript("", 1.0, segment.end, [replace(segment)])
    correct(alone, corrections)
    return replace(alone.segments[0], id=segment.id) if alone.segments else segment


def vocabulary_prompt(hints: Sequence[str]) -> str:
    """Terms as a prompt that makes Whisper expect them.

    Whisper takes a prompt for what was said before, and goes on in its style: a bare list would be gone on with, while
    a glossary with a full stop is a finished sentence (the form in OpenAI's guide to prompting Whisper). Of a prompt
    over 223 tokens it reads the end only, so that the first terms are lost.
    """
    return f"Glossary: {', '.join(_on_one_line(hint) for hint in hints)}." if hints else ""


def _put_in(phrases: _Phrases, segments: Sequence[Segment]) -> Counter[str]:
    """Corrects the segments of one channel, and counts the terms; of segments with nothing left the text is empty."""
    texts = [segment.text for segment in segments]
    words = [segment.words or [] for segment in segments]
    joined = ["".join(word.word for word in own) for own in words]
    passage = phrases.find(texts)
    spoken = passage if joined == texts else phrases.find(joined)
    before = None
    for segment, text, own, reached in zip(
        segments, passage.corrected(), spoken.recast(words), passage.reached, strict=True
    ):
        segment.text = text
        segment.words = None if segment.words is None else own
        if before and reached:
            _meet(before, segment)
        before = segment if segment.text else before
    return Counter(edit.term for edit in passage.edits)


def _meet(before: Segment, segment: Segment) -> None:
    """Has two segments meet where the phrase ends that reached from one into the other, as far as that is known."""
    if not segment.text.strip():
        segment.text = ""
        before.end = max(before.end, segment.end)
    elif before.words:
        end = before.words[-1].end
        before.end = max(before.end, end)
        segment.start = min(max(segment.start, end), segment.end)


class _Edit(NamedTuple):
    """A place in a text, from its first character to after its last, and the term that belongs there."""

    start: int
    end: int
    term: str


class _Phrases:
    """All that is looked for at once, in time linear in the text however many phrases there are."""

    def __init__(self, corrections: Mapping[str, Sequence[str]]) -> None:
        terms: dict[str, str | None] = {}
        for term, heard in corrections.items():
            for phrase in heard:
                terms.setdefault(_Folded([phrase]).text, _on_one_line(term))
        for term in corrections:
            terms.setdefault(_Folded([term]).text, None)  # found so that nothing in it is
        terms.pop("", None)
        self._terms = list(terms.values())
        self._automaton = AhoCorasick(list(terms), matchkind=MatchKind.LeftmostLongest)

    def find(self, parts: Sequence[str]) -> _Passage:
        """What there is to correct in a text; its parts are one text, but no word goes over the end of one."""
        folded, text = _Folded(parts), "".join(parts)
        edits = []
        for number, begin, end in self._automaton.find_matches_as_indexes(folded.text):
            term, place = self._terms[number], folded.place(begin, end)
            if term is not None and text[place] != term:
                edits.append(_Edit(place.start, place.stop, term))
        return _Passage(text, list(accumulate(map(len, parts))), edits)


class _Folded:
    """What of a text it is compared by, and the way back to the text itself.

    Each token stands between \\r and \\n, which no token holds, so that only whole ones are found. Blanks, or the end
    of a part, are one blank between them; none in scripts that have no use for it.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        tokens: list[str] = []
        self._begins: list[int] = []
        self._places: list[tuple[int, int]] = []
        length = offset = 0
        unspaced, apart = True, False  # as if after such a script: nothing begins with a blank
        for part in parts:
            at = offset
            for blank, character, word in _TOKEN.findall(part.rstrip()):
                token = character or word
                gap = " " if (apart or blank) and not (unspaced or character) else ""
                tokens.append(f"{gap}\r{_fold(token)}\n")
                at += len(blank)
                self._begins.append(length + len(gap))
                self._places.append((at, at + len(token)))
                at += len(token)
                length += len(tokens[-1])
                unspaced, apart = bool(character), False
            offset += len(part)
            apart = True
        self.text = "".join(tokens)

    def place(self, begin: int, end: int) -> slice:
        """Where in the text itself the tokens in [begin, end) of the folded one stand."""
        first, after = bisect_left(self._begins, begin), bisect_left(self._begins, end)
        return slice(self._places[first][0], self._places[after - 1][1])


def _fold(token: str) -> str:
    """Unicode's canonical caseless form (its section 3.13, D145), with one apostrophe, one hyphen and one kind of i."""
    if token.isascii():
        return token.lower()
    folded = normalize("NFC", normalize("NFD", token.translate(_ALIKE)).casefold())
    return folded.replace("i\u0307", "i")


class _Passage:
    """A text in parts and its edits. Where an edit goes over the end of a part, the part ends after that edit instead.

    Args:
        ends: of the parts, in characters of the text.
    """

    def __init__(self, text: str, ends: list[int], edits: list[_Edit]) -> None:
        self.edits = edits
        self._text = text
        self._starts = [edit.start for edit in edits]
        self._ends = [self._end_of_phrase(end, ends) for end in ends]
        self.reached = [False, *(now > then for now, then in zip(self._ends, ends, strict=True))][: len(ends)]
        """Of each part, whether an edit of one before goes into it."""

    def _end_of_phrase(self, end: int, ends: Sequence[int]) -> int:
        while (number := bisect_left(self._starts, end) - 1) >= 0 and self.edits[number].end > end:
            last = self.edits[number].end
            rest = _REST_OF_WORD.match(self._text, last, ends[bisect_left(ends, last)])
            end = rest.end() if rest else last
        return end

    def corrected(self) -> Iterator[str]:
        """The parts, with the terms in them."""
        for begin, end in pairwise([0, *self._ends]):
            yield self._with_terms(begin, end, self._between(begin, end))

    def recast(self, words: Sequence[Sequence[Word]]) -> Iterator[list[Word]]:
        """The words of each part, which together are its text, with the terms in them."""
        rest = deque(word for own in words for word in own)
        for begin, end in pairwise([0, *self._ends]):
            yield self._recast(_take(rest, end - begin), begin, self._between(begin, end))

    def _recast(self, words: list[Word], begin: int, edits: Sequence[_Edit]) -> list[Word]:
        borders = list(accumulate((len(word.word) for word in words), initial=begin))
        recast, at = [], 0
        for first, after, own in _runs(borders, edits):
            text = self._with_terms(borders[first], borders[after], own)
            recast += words[at:first] + _said(text, words[first:after])
            at = after
        return recast + words[at:]

    def _between(self, begin: int, end: int) -> list[_Edit]:
        return self.edits[bisect_left(self._starts, begin) : bisect_left(self._starts, end)]

    def _with_terms(self, begin: int, end: int, edits: Sequence[_Edit]) -> str:
        pieces = []
        for edit in edits:
            pieces += [self._text[begin : edit.start], edit.term]
            begin = edit.end
        return "".join([*pieces, self._text[begin:end]])


def _runs(borders: Sequence[int], edits: Sequence[_Edit]) -> Iterator[tuple[int, int, list[_Edit]]]:
    """The words that edits touch, from the first one to after the last, in runs that share no word."""
    first, after, own = 0, 0, list[_Edit]()
    for edit in edits:
        begin = bisect_right(borders, edit.start) - 1
        if own and begin >= after:
            yield first, after, own
            own = []
        first = first if own else begin
        after = bisect_left(borders, edit.end)
        own.append(edit)
    if own:
        yield first, after, own


def _take(rest: deque[Word], length: int) -> list[Word]:
    """Takes words off the front, as many characters of them; a word that goes on after that is cut in two."""
    taken = []
    while rest and length > 0:
        word = rest.popleft()
        if len(word.word) > length:
            word, remainder = _shared([word.word[:length], word.word[length:]], [word])
            rest.appendleft(remainder)
        length -= len(word.word)
        taken.append(word)
    return taken


def _said(text: str, instead_of: Sequence[Word]) -> list[Word]:
    """A text as words in the time of others: each has that of its own if there are as many."""
    texts = _WORD.findall(text)
    if len(texts) != len(instead_of):
        return _shared(texts, instead_of)
    for own, word in zip(texts, instead_of, strict=True):
        word.word = own
    return list(instead_of)


def _shared(texts: Sequence[str], words: Sequence[Word]) -> list[Word]:
    """Words that share the time of others by their length, to the millisecond."""
    start, end, probability = words[0].start, words[-1].end, fmean(word.probability for word in words)
    lengths = list(accumulate(map(len, texts)))
    inner = [round(start + (end - start) * length / lengths[-1], 3) for length in lengths[:-1]]
    times = [start, *(min(max(time, start), end) for time in inner), end]
    return [Word(text, *span, probability, words[0].speaker) for text, span in zip(texts, pairwise(times), strict=True)]


def _on_one_line(term: str) -> str:
    return " ".join(term.split())
