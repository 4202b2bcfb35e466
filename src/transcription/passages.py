"""Plans where in a recording each part of a given text is looked for, by the words that were recognised there.

units of the text + recognised words -> stretches: where both say the same, and where they differ
                                     -> passages: stretches of up to 28 s, cut at long silences and where both say
                                        the same
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import pairwise, takewhile
from typing import NamedTuple

from src.transcription.silences import LONG_SILENCE_S, Silence
from src.transcription.text_matching import Match
from src.transcription.text_units import Unit

MAX_PASSAGE_S = 28.0
"""Longest passage: with a margin on both sides it fits into Whisper's window."""

MAX_STRETCH_S = 12.0
"""Where text and recognition differ for longer, the difference is cut in equal parts."""

MARGIN_S = 0.5
"""Most sound before and after a passage, where nothing is said there."""

SIMILAR = 0.6
"""Share of letters in common from which two spellings are taken for the same words."""

MAX_COMPARED_LETTERS = 200

MAX_LETTERS_PER_SECOND = 35.0
MAX_CHARACTERS_PER_SECOND = 14.0
"""The fastest speech, in letters, and in characters of scripts that do not separate words."""

SLACK_S = 1.0
"""Time that is allowed for beyond what is between two words: their times are not exact."""

SECONDS_PER_LETTER = 0.12
"""Slow speech: how long after a word the text that follows it may last, where nothing was recognised."""


class Heard(NamedTuple):
    """A recognised unit, in seconds of the recording."""

    text: str
    key: str
    start: float
    end: float


@dataclass(frozen=True)
class Stretch:
    """A part of the text and what was recognised in its place.

    Attributes:
        given: indexes of the text's units.
        heard: indexes of the recognised ones.
        start: seconds; of what was recognised, else of the time that is left between its neighbours.
        end: likewise.
        sure: what was recognised is the text.
        possible: the text is short enough to be said in that time.
    """

    given: range
    heard: range
    start: float
    end: float
    sure: bool = False
    possible: bool = True


@dataclass(frozen=True)
class Passage:
    """Stretches that are looked for in one window, `start` to `end` in seconds."""

    start: float
    end: float
    stretches: Sequence[Stretch]


def find_stretches(
    units: Sequence[Unit], heard: Sequence[Heard], matches: Iterable[Match], line_starts: Iterable[int], end: float
) -> list[Stretch]:
    """Return the stretches of a text and a recording, in order: all units of both are in one of them.

    Args:
        units: the text.
        heard: the recognised units.
        matches: their runs of equal units.
        line_starts: indexes of the units that begin a line.
        end: of the recording, in seconds.
    """
    starts_line = frozenset(line_starts)
    stretches: list[Stretch] = []
    first = second = 0
    for match in [*matches, Match(len(units), len(heard), 0)]:
        before = heard[second - 1].end if second else 0.0
        after = heard[match.second].start if match.second < len(heard) else end
        gap = Stretch(range(first, match.first), range(second, match.second), before, max(before, after))
        stretches += _to_stretches(gap, units, heard, begins_line=first in starts_line)
        for offset in range(match.size):
            stretches.append(_pair(match.first + offset, match.second + offset, heard))
        first, second = match.first + match.size, match.second + match.size
    return stretches


def _to_stretches(
    gap: Stretch, units: Sequence[Unit], heard: Sequence[Heard], *, begins_line: bool
) -> Iterator[Stretch]:
    """Yield the stretches between two words that are the same in text and recording."""
    if gap.given and gap.heard:
        yield from _compare(gap, units, heard)
    elif gap.given:
        letters = sum(len(unit.key) for unit in units[gap.given.start : gap.given.stop])
        seconds = min(gap.end - gap.start, SECONDS_PER_LETTER * letters + SLACK_S, MAX_STRETCH_S)
        near = replace(gap, start=gap.end - seconds) if begins_line else replace(gap, end=gap.start + seconds)
        # In silence, Whisper takes any short text for said.
        yield replace(near, possible=bool(heard) and _fits(near, units))
    else:
        for j in gap.heard:
            yield Stretch(range(gap.given.start, gap.given.start), range(j, j + 1), heard[j].start, heard[j].end)


def _compare(gap: Stretch, units: Sequence[Unit], heard: Sequence[Heard]) -> Iterator[Stretch]:
    """Yield the stretches of a difference: words at both ends that are only spelled differently, and the rest."""
    size = min(len(gap.given), len(gap.heard))
    pairs = [_pair(i, j, heard) for i, j in zip(gap.given, gap.heard, strict=False)]
    head = list(takewhile(lambda pair: _are_similar(pair, units, heard), pairs))
    pairs = [_pair(gap.given.stop - n, gap.heard.stop - n, heard) for n in range(1, size - len(head) + 1)]
    tail = list(takewhile(lambda pair: _are_similar(pair, units, heard), pairs))[::-1]
    given = range(gap.given.start + len(head), gap.given.stop - len(tail))
    recognised = range(gap.heard.start + len(head), gap.heard.stop - len(tail))
    start, end = head[-1].end if head else gap.start, tail[0].start if tail else gap.end
    rest = Stretch(given, recognised, start, max(start, end))
    yield from head
    if given and recognised:
        for part in _cut_evenly(rest, heard):
            yield replace(part, sure=_are_similar(part, units, heard), possible=_fits(part, units))
    elif given or recognised:
        yield from _to_stretches(rest, units, heard, begins_line=False)
    yield from tail


def _pair(i: int, j: int, heard: Sequence[Heard]) -> Stretch:
    return Stretch(range(i, i + 1), range(j, j + 1), heard[j].start, heard[j].end, sure=True)


def _cut_evenly(gap: Stretch, heard: Sequence[Heard]) -> Iterator[Stretch]:
    """Cut a difference into parts of at most `MAX_STRETCH_S`, with as large a share of the text as of the sound."""
    words = heard[gap.heard.start : gap.heard.stop]
    start, end = words[0].start, words[-1].end
    parts = 1 + int(max(0.0, end - start) / MAX_STRETCH_S)
    cuts = [0]
    for number in range(1, parts):
        time = start + (end - start) * number / parts
        cuts.append(max(cuts[-1], next((i for i, word in enumerate(words) if word.start >= time), len(words))))
    cuts.append(len(words))
    first = gap.given.start
    for cut, following in pairwise(cuts):
        last = gap.given.start + round(len(gap.given) * following / len(words))
        if cut < following or first < last:
            its_start = gap.start if cut == 0 else words[min(cut, len(words) - 1)].start
            its_end = gap.end if following == len(words) else words[following].start
            yield Stretch(
                range(first, last),
                range(gap.heard.start + cut, gap.heard.start + following),
                min(its_start, its_end),
                its_end,
            )
        first = last


def _are_similar(stretch: Stretch, units: Sequence[Unit], heard: Sequence[Heard]) -> bool:
    given = "".join(units[i].key for i in stretch.given)
    recognised = "".join(heard[j].key for j in stretch.heard)
    if max(len(given), len(recognised)) > MAX_COMPARED_LETTERS:
        return False
    return SequenceMatcher(None, given, recognised, autojunk=False).ratio() >= SIMILAR


def _fits(stretch: Stretch, units: Sequence[Unit]) -> bool:
    seconds = sum(
        len(unit.key) / (MAX_LETTERS_PER_SECOND if unit.spaced else MAX_CHARACTERS_PER_SECOND)
        for unit in units[stretch.given.start : stretch.given.stop]
    )
    return seconds <= stretch.end - stretch.start + SLACK_S


def find_passages(
    stretches: Sequence[Stretch], tokens: Sequence[int], max_tokens: int, end: float, silences: Sequence[Silence] = ()
) -> list[Passage]:
    """Join stretches to passages, cut where the pause is longest; without those in which no text is expected.

    Args:
        stretches: in order.
        tokens: of each stretch, the most that its text or what was recognised in its place may have.
        max_tokens: the most of a passage.
        end: of the recording, in seconds.
        silences: of the recording, in order; no passage spans a long one.
    """
    cuts = _cuts_at_silences(stretches, silences)
    passages = []
    first = 0
    while first < len(stretches):
        limit = cuts[bisect_right(cuts, first)]
        last = _last_that_fits(stretches, tokens, first, limit, max_tokens)
        cut = last if last == limit else _best_cut(stretches, first, last)
        part = stretches[first:cut]
        if any(stretch.given and stretch.possible for stretch in part):
            before = stretches[first - 1].end if first else 0.0
            after = stretches[cut].start if cut < len(stretches) else end
            passages.append(_with_margins(part, before, after))
        first = cut
    return passages


def _cuts_at_silences(stretches: Sequence[Stretch], silences: Sequence[Silence]) -> list[int]:
    """Return the indexes of the stretches after long silences, and the number of all stretches."""
    middles = [
        (silence.start + silence.end) / 2 for silence in silences if silence.end - silence.start > LONG_SILENCE_S
    ]
    sides = [bisect_right(middles, (stretch.start + stretch.end) / 2) for stretch in stretches]
    return [*(index for index in range(1, len(sides)) if sides[index] > sides[index - 1]), len(stretches)]


def _last_that_fits(
    stretches: Sequence[Stretch], tokens: Sequence[int], first: int, limit: int, max_tokens: int
) -> int:
    """Return the index after the last stretch before `limit` that fits into a passage with the first one."""
    total = tokens[first]
    index = first + 1
    while index < limit:
        total += tokens[index]
        if total > max_tokens or stretches[index].end - stretches[first].start > MAX_PASSAGE_S:
            break
        index += 1
    return index


def _best_cut(stretches: Sequence[Stretch], first: int, last: int) -> int:
    """Return the cut with the longest pause in the second half; a cut at text without a time is the last choice."""
    half = (stretches[first].start + stretches[last - 1].end) / 2
    cuts = [cut for cut in range(first + 1, last + 1) if stretches[cut].start >= half] or [last]

    def quality(cut: int) -> tuple[int, float, int]:
        before, after = stretches[cut - 1], stretches[cut]
        return before.sure + after.sure, round(after.start - before.end, 2), cut

    return max(cuts, key=quality)


def _with_margins(stretches: Sequence[Stretch], before: float, after: float) -> Passage:
    """Return a passage that begins and ends in the middle of the pauses around it, or a little way into them."""
    start, end = stretches[0].start, max(stretches[-1].end, stretches[0].start)
    return Passage(
        max(0.0, start - min(MARGIN_S, max(0.0, start - before) / 2)),
        end + min(MARGIN_S, max(0.0, after - end) / 2),
        stretches,
    )
