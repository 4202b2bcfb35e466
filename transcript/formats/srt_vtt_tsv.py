"""Cues as SRT, WebVTT and TSV, in the forms of openai-whisper's writers (`whisper/utils.py`)."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence

from transcript.checks import Check, checked, never
from transcript.formats.cues import CLOSING_MARK, OPENING_MARKS, Cue, label
from transcript.formats.speaker_colors import assign_colors, find_raised
from transcript.formats.timed_words import TimedWord


def to_srt(
    cues: Sequence[Cue], highlight_words: bool = False, check: Check = never, *, speaker_colors: bool = False
) -> str:
    r"""Return SubRip: numbered cues with a blank line between them.

    Args:
        cues: in order of their start.
        highlight_words: underline each word while it is spoken.
        check: ends the work by an exception.
        speaker_colors: give each voice a colour, and show at the top what is said while another voice speaks, by the
            tags that players know: `<font color="#FFFF00">`, and `{\an8}` of SubStation Alpha.
    """
    colors = assign_colors(cue.voice for cue in cues) if speaker_colors else {}
    raised = find_raised(cues) if speaker_colors else [False] * len(cues)
    shown = (
        (rendered, is_raised)
        for cue, is_raised in zip(cues, raised, strict=True)
        for rendered in _render_cues([cue], highlight_words, str, check)
    )
    blocks = []
    for number, ((start, end, text, cue), is_raised) in enumerate(shown, start=1):
        # SubRip has no escapes, so the arrow has to go, however long its shaft: `--->` would leave a `-->`.
        text = re.sub("-{2,}>", "->", label(cue) + text)
        if cue.voice in colors:
            text = f'<font color="{colors[cue.voice]}">{text}</font>'
        if is_raised:
            text = f"{{\\an8}}{text}"
        blocks.append(f"{number}\n{format_timestamp(start, ',')} --> {format_timestamp(end, ',')}\n{text}\n")
    return "\n".join(blocks)


def to_vtt(cues: Sequence[Cue], highlight_words: bool = False, check: Check = never) -> str:
    """Return WebVTT (W3C): a header, then cues without numbers, with a blank line between them."""
    blocks = [
        f"{format_timestamp(start, '.')} --> {format_timestamp(end, '.')}\n"
        f"{f'<v {_escape_html(cue.voice)}>' if cue.voice else ''}{text}\n"
        for start, end, text, cue in _render_cues(cues, highlight_words, _escape_html, check)
    ]
    return "WEBVTT\n\n" + "\n".join(blocks)


def to_tsv(cues: Sequence[Cue], check: Check = never) -> str:
    """Return tab-separated values under a header: start and end in milliseconds, and the text, without quoting.

    Tabs in the text become spaces. If any cue has a voice, a column `speaker` comes before the text.
    """
    has_voices = any(cue.voice for cue in cues)
    rows = ["start\tend\tspeaker\ttext\n" if has_voices else "start\tend\ttext\n"]
    for cue in checked(cues, check):
        fields = [cue.voice, cue.text] if has_voices else [cue.text]
        texts = "\t".join(field.replace("\t", " ") for field in fields)
        rows.append(f"{cue.start}\t{cue.end}\t{texts}\n")
    return "".join(rows)


def _escape_html(text: str) -> str:
    # With `>` escaped, no text can be mistaken for the arrow of a timing line.
    return html.escape(text, quote=False)


def format_timestamp(time_ms: int, decimal_mark: str) -> str:
    """Return `HH:MM:SS` and three decimals; from 100 hours on, the hours have more digits."""
    seconds, thousandths = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{decimal_mark}{thousandths:03d}"


def _render_cues(
    cues: Sequence[Cue], highlight_words: bool, escape: Callable[[str], str], check: Check
) -> Iterator[tuple[int, int, str, Cue]]:
    """Yield start, end, text and cue of each cue; with `highlight_words`, of each change of the underlined word."""
    for cue in cues:

        def render(word: TimedWord, _: bool, is_spoken: bool) -> str:
            return _underline(word, escape) if is_spoken else escape(word.text)

        for start, end, lines in checked(render_cue(cue, render, highlight_words), check):
            yield start, end, "\n".join(line.strip() for line in lines), cue


def render_cue(
    cue: Cue, render: Callable[[TimedWord, bool, bool], str], highlight_words: bool
) -> Iterator[tuple[int, int, list[str]]]:
    """Yield start, end and lines of a cue; with `highlight_words`, of each change of the spoken word.

    Each word is rendered once, and again as the spoken one.

    Args:
        cue: the cue.
        render: returns a word's text; takes whether it is the first of its line, and whether it is spoken.
        highlight_words: whether there are changes.
    """
    words = [[render(word, at == 0, False) for at, word in enumerate(line)] for line in cue.lines]
    lines = ["".join(line) for line in words]
    if not highlight_words:
        yield cue.start, cue.end, lines
        return
    places = {id(word): (row, at) for row, line in enumerate(cue.lines) for at, word in enumerate(line)}
    for start, end, spoken in split_by_spoken_word(cue):
        shown = lines
        if spoken is not None:
            row, at = places[id(spoken)]
            marked = [*words[row][:at], render(spoken, at == 0, True), *words[row][at + 1 :]]
            shown = [*lines[:row], "".join(marked), *lines[row + 1 :]]
        yield start, end, shown


def split_by_spoken_word(cue: Cue) -> Iterator[tuple[int, int, TimedWord | None]]:
    """Yield start and end of each interval of a cue, with the word that is spoken in it; None in a pause."""
    time = cue.start
    for word in (word for line in cue.lines for word in line if word.end > word.start):
        if time < word.start:
            yield time, word.start, None
        yield word.start, word.end, word
        time = word.end
    if time < cue.end:
        yield time, cue.end, None


def _underline(word: TimedWord, escape: Callable[[str], str]) -> str:
    rest = word.text.lstrip(f" {OPENING_MARKS}")
    letters = rest.removesuffix(CLOSING_MARK)
    before, after = word.text[: len(word.text) - len(rest)], rest[len(letters) :]
    return f"{before}<u>{escape(letters)}</u>{after}"
