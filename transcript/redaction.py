"""Replaces personal data in a transcript by what it is, such as `[card]`, in its texts and words."""

from __future__ import annotations

import string
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise
from typing import TypeAlias

import regex

from transcript.checks import Check, never
from transcript.edits import UNSPACED, Edit, edit_channels, edit_segments
from transcript.personal_data import find_personal_data
from transcript.spoken_numbers import Run, find_runs, is_number_word
from transcript.transcript import PersonalData, Redacted, Segment, Transcript


class Redactor:
    """Finds and replaces personal data.

    Args:
        kinds: what is replaced.
    """

    def __init__(self, kinds: Collection[PersonalData]) -> None:
        self._kinds = kinds

    def redact(self, transcript: Transcript, check: Check = never) -> list[Redacted]:
        """Redact a transcript in place, its translation aside.

        Data may span words and segments of one channel, and what a speaker says before and after others say something.

        Args:
            transcript: changed as `transcript.edits` says.
            check: ends the work by an exception.

        Returns:
            What was redacted, in order of time.
        """
        finder = _Finder(self._kinds, _languages(transcript))
        placed = edit_channels(
            transcript, lambda segments: partial(finder.find_with_passages, _interrupted_passages(segments)), check
        )
        return sorted(
            Redacted(round(found.start, 3), round(found.end, 3), found.edit.text.strip("[]"), found.channel)
            for found in placed
        )

    def redact_waiting(
        self, segments: Sequence[Segment], transcript: Transcript
    ) -> tuple[list[Segment], list[Segment]]:
        """Redact what is whole in the latest segments of a transcript's channel, in copies.

        Returns:
            The segments that are final, and those in which personal data may go on after the last one.
        """
        copies = [replace(segment) for segment in segments]
        finder = _Finder(self._kinds, _languages(transcript))
        texts = [segment.text for segment in segments]
        open_from = _find_open(texts, finder.find(texts))
        final = bisect_right(list(accumulate(map(len, texts))), open_from)
        edit_segments(copies, finder.find_closed)
        return [segment for segment in copies[:final] if segment.text], [
            segment for segment in copies[final:] if segment.text
        ]

    def redact_segments(self, segments: Sequence[Segment], transcript: Transcript) -> list[Segment]:
        """Return redacted copies of the last segments of a transcript's channel, those without text left out."""
        copies = [replace(segment) for segment in segments]
        edit_segments(copies, _Finder(self._kinds, _languages(transcript)).find)
        return [segment for segment in copies if segment.text]

    def redact_draft(self, text: str, language: str) -> str:
        """Return what is certain of a text that grows and may be misheard, redacted.

        It ends before a number that is long, or begins the text: one that is wrong by a digit would be told.
        """
        finder = _Finder(self._kinds, [language])
        edits = finder.find([text])
        numbers = [run.groups[0].start for run in finder.find_numbers(text) if not _is_in(run, edits)]
        begins = [start for start in numbers if not any(map(str.isalpha, text[:start]))]
        long = [run.groups[0].start for run in finder.find_long_numbers(text) if not _is_in(run, edits)]
        end = min([_find_open([text], edits), *begins, *long])
        return _apply([edit for edit in edits if edit.end <= end], text[:end])

    def redact_next(
        self, segments: Sequence[Segment], before: str, transcript: Transcript
    ) -> tuple[list[Segment], str]:
        """Redact the segments of the next utterance, in copies: of data that goes on from the one before, its part.

        A long number at the end, which may go on in the utterance after, is replaced by `[number]`.

        Args:
            segments: in order, redacted as far as data is whole in them.
            before: what this returned for the utterance before; empty: there was none.
            transcript: of the segments.

        Returns:
            The segments that have a text, and the end of what was said, which may go on.
        """
        finder = _Finder(self._kinds, _languages(transcript))

        def find(parts: Sequence[str], check: Check) -> list[Edit]:
            text = "".join(parts)
            indent = len(text) - len(text.lstrip())
            edits = _without_overlaps([*finder.find([before, text], check), *finder.find_open_numbers(before + text)])
            return [
                Edit(max(indent, edit.start - len(before)), edit.end - len(before), edit.text)
                for edit in edits
                if edit.end > len(before)
            ]

        text = "".join([before, *(segment.text for segment in segments)])
        copies = [replace(segment) for segment in segments]
        edit_segments(copies, find)
        return [segment for segment in copies if segment.text], text[find_open_end(text) :]

    def redact_text(self, text: str, transcript: Transcript) -> str:
        """Return a text that belongs to a transcript, redacted."""
        return _apply(_Finder(self._kinds, _languages(transcript)).find([text]), text)


_Passage: TypeAlias = list[int]
"""Numbers of the parts of a text that one speaker says; others may say those in between."""


class _Finder:
    """Finds the personal data of texts in some languages."""

    def __init__(self, kinds: Collection[PersonalData], languages: Collection[str]) -> None:
        self._kinds, self._languages = kinds, languages

    def find(self, parts: Sequence[str], check: Check = never) -> list[Edit]:
        found = find_personal_data("".join(parts), self._kinds, self._languages, check)
        return [Edit(span.start, span.end, f"[{span.kind}]") for span in found]

    def find_numbers(self, text: str) -> Iterator[Run]:
        """Yield the numbers of a text, if such data may be one."""
        if {"card", "iban", "phone"} & {*self._kinds}:
            yield from (run for run in find_runs(text) if not run.is_amount)

    def find_long_numbers(self, text: str) -> Iterator[Run]:
        """Yield those of them that may be a part of such data, and more than a year."""
        return (run for run in self.find_numbers(text) if sum(len(group.digits) for group in run.groups) >= _MIN_LONG)

    def find_open_numbers(self, text: str) -> list[Edit]:
        """Find the long numbers that may go on after the end."""
        open_from = find_open_end(text)
        return [
            Edit(run.groups[0].start, run.groups[-1].end, "[number]")
            for run in self.find_long_numbers(text)
            if run.groups[-1].end > open_from
        ]

    def find_with_passages(
        self, passages: Sequence[_Passage], parts: Sequence[str], check: Check = never
    ) -> list[Edit]:
        """Find it in the parts as they are, and in passages of them."""
        begins = list(accumulate(map(len, parts), initial=0))
        found = self.find(parts, check)
        for passage in passages:
            texts = [parts[number] for number in passage]
            found += self._find_in_passage(passage, texts, [begins[number] for number in passage], check)
        return _without_overlaps(found)

    def _find_in_passage(
        self, passage: _Passage, texts: Sequence[str], places: Sequence[int], check: Check
    ) -> Iterator[Edit]:
        """Yield what is found, for each stretch of neighbouring parts by itself; `places` are those of the parts."""
        begins = list(accumulate(map(len, texts), initial=0))
        cuts = [begins[at] for at in range(1, len(passage)) if passage[at - 1] + 1 < passage[at]]
        text = "".join(texts)
        for edit in self.find(texts, check):
            for start, end, name in _divide(edit, cuts, text):
                at = bisect_right(begins, start) - 1
                shift = places[at] - begins[at]
                yield Edit(start + shift, end + shift, name)

    def find_closed(self, parts: Sequence[str], check: Check = never) -> list[Edit]:
        """Find what does not go on after the end."""
        edits = self.find(parts, check)
        open_from = _find_open(parts, edits)
        return [edit for edit in edits if edit.end <= open_from]


_MIN_LONG = 5
"""Digits of a long number; years and extensions have four."""


def _is_in(run: Run, edits: Sequence[Edit]) -> bool:
    return any(edit.start <= run.groups[0].start and run.groups[-1].end <= edit.end for edit in edits)


def _apply(edits: Sequence[Edit], text: str) -> str:
    for edit in reversed(edits):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


_AROUND_VALUES = string.whitespace + ",.;:!?"


def _divide(edit: Edit, cuts: Sequence[int], text: str) -> Iterator[Edit]:
    """Yield an edit as one for each stretch between the cuts, without the blanks and marks around it."""
    inside = cuts[bisect_right(cuts, edit.start) : bisect_left(cuts, edit.end)]
    for begin, end in pairwise([edit.start, *inside, edit.end]):
        stretch = text[begin:end]
        if stretch.strip(_AROUND_VALUES):
            start = end - len(stretch.lstrip(_AROUND_VALUES))
            yield Edit(start, begin + len(stretch.rstrip(_AROUND_VALUES)), edit.text)


def _without_overlaps(edits: Sequence[Edit]) -> list[Edit]:
    """Return the edits in order of their place; those that overlap become one, with the text of the longest."""
    joined: list[Edit] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, -edit.end)):
        if joined and edit.start < joined[-1].end:
            longest = max(joined[-1], edit, key=lambda each: each.end - each.start)
            joined[-1] = Edit(joined[-1].start, max(joined[-1].end, edit.end), longest.text)
        else:
            joined.append(edit)
    return joined


def _find_open(parts: Sequence[str], edits: Sequence[Edit]) -> int:
    """Return the position from which a text may still change: that of its open end, or of what reaches into it."""
    open_from = find_open_end("".join(parts))
    return min([open_from, *(edit.start for edit in edits if edit.end > open_from)])


def _languages(transcript: Transcript) -> list[str]:
    """Return the languages of a transcript: a number keeps its country's form in a translation."""
    detected = [segment.language for segment in transcript.segments if segment.language]
    return list(dict.fromkeys([transcript.language, transcript.text_language, *detected]))


# --- what goes on after others have spoken

_MAX_INTERRUPTION_S = 15.0
"""Seconds of what others say, or of silence, after which a value goes on; "all right, and the next four?" takes two."""


def _interrupted_passages(segments: Sequence[Segment]) -> list[_Passage]:
    """Return what each speaker says with little in between, where others say something in between."""
    passages: dict[str, list[_Passage]] = defaultdict(list)
    for number, segment in enumerate(segments):
        if segment.speaker is None:
            continue
        of_speaker = passages[segment.speaker]
        if not of_speaker or segment.start - segments[of_speaker[-1][-1]].end > _MAX_INTERRUPTION_S:
            of_speaker.append([])
        of_speaker[-1].append(number)
    return [
        passage
        for of_speaker in passages.values()
        for passage in of_speaker
        if passage[-1] - passage[0] >= len(passage)
    ]


# --- what may go on in the next segment

_MAX_OPEN = 300
"""Characters of the longest personal data, with the blanks and words between its parts."""

_TOKEN = regex.compile(rf"{UNSPACED} \p{{M}}* | (?: (?!{UNSPACED}) \S )+", regex.VERSION1 | regex.VERBOSE)

_JOINERS = frozenset(
    [
        *("at", "arobase", "arroba", "chiocciola", "klammeraffe"),
        *("dot", "punkt", "point", "punto", "ponto", "underscore", "dash", "hyphen", "minus", "."),
    ]
)
"""What stands between two names of an e-mail address, as a word of its own."""


def find_open_end(text: str) -> int:
    """Return the position from which personal data may begin that goes on after the text's end.

    The last word always may: it may be a name before `at`. So may the numbers, codes and names before it.
    """
    begin = max(0, len(text) - _MAX_OPEN)
    tokens = list(_TOKEN.finditer(text, begin))
    if not tokens:
        return len(text)
    first = len(tokens) - 1
    while first > 0 and (_goes_on(tokens[first - 1][0]) or _joins(tokens[first][0])):
        first -= 1
    return tokens[first].start()


def _goes_on(token: str) -> bool:
    """Return true for digits, a number's word, a code such as WEST, and what joins the names of an address."""
    word = token.strip(".,()[]-")
    is_code = word.isascii() and word.isalnum() and word.isupper()
    return not word or any(map(str.isdecimal, word)) or is_code or is_number_word(word) or _joins(token)


def _joins(token: str) -> bool:
    return token.casefold() in _JOINERS or "@" in token
