"""Lays out a transcript as cues: the texts on the screen, with their times. All times are whole milliseconds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple
from unicodedata import bidirectional

from transcript.checks import Check, checked, never
from transcript.formats.cue_splitting import split_cues
from transcript.formats.layout import UNLIMITED, CueLimits, Layout
from transcript.formats.line_breaks import display_width
from transcript.formats.timed_words import Line, TimedWord, group_words
from transcript.transcript import Segment

MIN_CUE_MS = 10
"""The shortest cue: LRC and ASS give times in hundredths of a second."""

RIGHT_TO_LEFT = frozenset(["ar", "fa", "he", "ps", "sd", "ur", "yi"])
"""Whisper's codes of the languages that are written from right to left."""

OPENING_MARKS, CLOSING_MARK = "\u200f\u202b", "\u202c"
"""Invisible characters around each line of right-to-left text: RLM and RLE before it, PDF after it (UAX #9).

Players that take a line's direction from its first letter, as WebVTT has it (W3C WebVTT, section 7.4), are wrong about
a line that begins with a Latin name: RLM is such a letter. Players of SubRip such as libass lay out every line from the
left: only RLE keeps a full stop, a dash or a Latin word at its right end there. Where a line is right already, the
marks change nothing. Isolates, RLI and PDI, do what RLE and PDF do, but players older than Unicode 6.3 ignore them.
"""


class Cue(NamedTuple):
    """The text on the screen during one interval."""

    start: int
    end: int
    lines: Sequence[Line]
    voice: str = ""
    """Label of the speaker or channel (a WebVTT voice); empty unless the job asked for them."""

    @property
    def text(self) -> str:
        """The lines as plain text."""
        return "\n".join(line_text(line) for line in self.lines)


def line_text(line: Line) -> str:
    """Return a line as plain text."""
    return "".join(word.text for word in line).strip()


def label(cue: Cue) -> str:
    """Return the cue's voice as it stands before the text, `voice: `, in the text's direction; empty without one."""
    if not cue.voice:
        return ""
    is_marked = cue.lines[0][0].text.startswith(OPENING_MARKS)
    return f"{OPENING_MARKS}{cue.voice}: {CLOSING_MARK}" if is_marked else f"{cue.voice}: "


def mark_directions(cues: Iterable[Cue], language: str) -> list[Cue]:
    """Return the cues with marks of direction around each line, if the language is written from right to left.

    A line without a letter of such a script, "OK, thanks.", stays as it is.
    """
    if language not in RIGHT_TO_LEFT:
        return list(cues)
    return [cue._replace(lines=[_mark_direction(line) for line in cue.lines]) for cue in cues]


def cue_per_segment(segments: Sequence[Segment], check: Check = never) -> list[Cue]:
    """Return each segment that has text as a cue of one line, in order, with its own times."""
    cues = []
    for segment in checked(segments, check):
        if text := to_single_line(segment.text):
            start = round(segment.start * 1000)
            end = max(start, round(segment.end * 1000))
            cues.append(Cue(start, end, [[TimedWord(text, start, end)]], segment.voice))
    return cues


def to_single_line(text: str) -> str:
    r"""Return `text` without line breaks and outer spaces; spaces between words stay as they are.

    `str.splitlines` knows every character that some reader takes for a line break (\v, \f, U+0085, U+2028…).
    NUL becomes U+FFFD, as in every WebVTT reader (W3C WebVTT, section 6.1).
    """
    lines = (line.strip() for line in text.replace("\0", "\ufffd").splitlines())
    return " ".join(line for line in lines if line)


def to_subtitles(segments: Sequence[Segment], layout: Layout, language: str, check: Check = never) -> list[Cue]:
    """Return the cues of SRT and WebVTT: as `lay_out` makes them, but one for each segment if the layout says nothing.

    Args:
        segments: in any order.
        layout: the limits to keep to.
        language: Whisper's code of the language that the text is in.
        check: ends the work by an exception.
    """
    if layout == Layout():
        return mark_directions(cue_per_segment(segments, check), language)
    return lay_out(segments, layout, language, check)


def lay_out(segments: Sequence[Segment], layout: Layout, language: str, check: Check = never) -> list[Cue]:
    """Lay out the text of `segments` as cues that keep to `layout`.

    Cues of one voice never overlap, and none is shorter than `MIN_CUE_MS`. A line is wider than the layout allows only
    if a single character is.

    Args:
        segments: in any order; those of one voice are laid out together.
        layout: the limits to keep to.
        language: Whisper's code of the language that the text is in.
        check: ends the work by an exception.
    """
    by_voice: dict[str, list[Segment]] = defaultdict(list)
    for segment in segments:
        by_voice[segment.voice].append(segment)
    cues = [
        cue._replace(voice=voice)
        for voice, spoken in by_voice.items()
        for cue in _lay_out_voice(spoken, _leave_room_for(voice, layout), language, check)
    ]
    return sorted(cues, key=lambda cue: cue.start)


def _leave_room_for(voice: str, layout: Layout) -> Layout:
    """Return the layout of the text after `voice: `, which takes a part of the first line.

    At least half of each line is left to the text: a long name may make the first line wider than the layout allows.
    """
    if not voice or layout.max_line_width is None:
        return layout
    width = layout.max_line_width
    return replace(layout, max_line_width=max(1, width // 2, width - display_width(f"{voice}: ")))


def _lay_out_voice(segments: Sequence[Segment], layout: Layout, language: str, check: Check) -> list[Cue]:
    limits = layout.limits
    groups = list(group_words(segments, layout, check))
    starts = [group[0].start for group in groups]
    cues = [
        lines
        for group, next_start in checked(zip(groups, [*starts[1:], UNLIMITED], strict=False), check)
        for lines in split_cues(
            group, limits, language, prefer_one=layout.keeps_segments, next_start=next_start, check=check
        )
    ]
    return mark_directions(checked(_set_times(cues, limits), check), language)


def _set_times(cues: Sequence[Sequence[Line]], limits: CueLimits) -> Iterator[Cue]:
    """Yield the cues with times: each lasts as long as it is spoken, or longer to be read if the next one allows."""
    starts = list(accumulate((lines[0][0].start for lines in cues), lambda last, start: max(start, last + MIN_CUE_MS)))
    for lines, start, next_start in zip(cues, starts, [*starts[1:], UNLIMITED], strict=False):
        columns = sum(display_width(line_text(line)) for line in lines) + len(lines) - 1
        end = max(lines[-1][-1].end, start + MIN_CUE_MS, start + limits.reading_ms(columns))
        latest = next_start - limits.gap_ms if next_start - limits.gap_ms >= start + MIN_CUE_MS else next_start
        end = min(end, latest, start + limits.max_ms)
        yield Cue(start, end, [[_clamp(word, start, end) for word in line] for line in lines])


def _clamp(word: TimedWord, start: int, end: int) -> TimedWord:
    if start <= word.start and word.end <= end:
        return word
    return word._replace(start=min(max(word.start, start), end), end=min(max(word.end, start), end))


def _mark_direction(line: Line) -> Line:
    if not any(bidirectional(character) in ("R", "AL") for word in line for character in word.text):
        return line
    first, *rest = line
    *most, last = [first._replace(text=OPENING_MARKS + first.text.lstrip()), *rest]
    return [*most, last._replace(text=last.text.rstrip() + CLOSING_MARK)]
