"""Replaces personal data in a transcript by what it is, such as `[card]`, in its texts and words."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import accumulate

import regex

from transcript.checks import Check, never
from transcript.edits import UNSPACED, Edit, edit_segments, edit_transcript
from transcript.personal_data import find_personal_data
from transcript.spoken_numbers import is_number_word
from transcript.transcript import PersonalData, Redacted, Segment, Transcript


class Redactor:
    """Finds and replaces personal data.

    Args:
        kinds: what is replaced.
    """

    def __init__(self, kinds: Collection[PersonalData]) -> None:
        self._kinds = kinds

    def redact(self, transcript: Transcript, check: Check = never) -> list[Redacted]:
        """Redact a transcript in place, its translation aside; data may span words and segments of one channel.

        Args:
            transcript: changed as `transcript.edits` says.
            check: ends the work by an exception.

        Returns:
            What was redacted, in order of time.
        """
        finder = _Finder(self._kinds, _languages(transcript))
        placed = edit_transcript(transcript, finder.find, check)
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

    def redact_text(self, text: str, transcript: Transcript) -> str:
        """Return a text that belongs to a transcript, redacted."""
        for edit in reversed(_Finder(self._kinds, _languages(transcript)).find([text])):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return text


class _Finder:
    """Finds the personal data of texts in some languages."""

    def __init__(self, kinds: Collection[PersonalData], languages: Collection[str]) -> None:
        self._kinds, self._languages = kinds, languages

    def find(self, parts: Sequence[str], check: Check = never) -> list[Edit]:
        found = find_personal_data("".join(parts), self._kinds, self._languages, check)
        return [Edit(span.start, span.end, f"[{span.kind}]") for span in found]

    def find_closed(self, parts: Sequence[str], check: Check = never) -> list[Edit]:
        """Find what does not go on after the end."""
        edits = self.find(parts, check)
        open_from = _find_open(parts, edits)
        return [edit for edit in edits if edit.end <= open_from]


def _find_open(parts: Sequence[str], edits: Sequence[Edit]) -> int:
    """Return the position from which a text may still change: that of its open end, or of what reaches into it."""
    open_from = find_open_end("".join(parts))
    return min([open_from, *(edit.start for edit in edits if edit.end > open_from)])


def _languages(transcript: Transcript) -> list[str]:
    """Return the languages of a transcript: a number keeps its country's form in a translation."""
    detected = [segment.language for segment in transcript.segments if segment.language]
    return list(dict.fromkeys([transcript.language, transcript.text_language, *detected]))


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
