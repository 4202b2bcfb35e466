"""HTML for the transcript, the player and the progress; `viewer.js` adds behaviour, `viewer.css` style.

All texts and URLs are escaped here: a transcript may contain anything that was said, or that a hostile server sent.
"""

from __future__ import annotations

import json
import mimetypes
from html import escape
from pathlib import Path
from urllib.parse import quote, urlsplit

from client.page.lines import Line, Segments, default_name, format_clock, speaker_keys, to_lines

NUM_COLOURS = 8
"""Speaker colours in viewer.css."""

EMPTY = '<p class="empty">The transcript will appear here.</p>'

FOLDER = Path(__file__).parent


def head() -> str:
    """Return the elements of the page's head; nothing is loaded from other servers."""
    style, script = ((FOLDER / name).read_text("utf-8") for name in ("viewer.css", "viewer.js"))
    return (
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style>'
        f"<script>{script}</script>"
    )


def transcript(segments: Segments, *, complete: bool) -> str:
    """Return clickable lines; they can be edited only if the transcript is complete."""
    colours = {speaker: number % NUM_COLOURS for number, speaker in enumerate(speaker_keys(segments))}
    rows = "".join(_row(number, line, colours, complete) for number, line in enumerate(to_lines(segments)))
    busy = "false" if complete else "true"
    return f'{_speaker_fields(colours)}<ol id="lines" aria-label="Transcript" aria-busy="{busy}">{rows}</ol>'


def _row(number: int, line: Line, colours: dict[str, int], complete: bool) -> str:
    time = format_clock(line.start)
    # Only one line is in the tab order, at first the top one; see viewer.js.
    tabindex = 0 if number == 0 else -1
    words = [
        [word.start, word.end, _utf16_offset(line.text, word.text_start), _utf16_offset(line.text, word.text_end)]
        for word in line.words
    ]
    speaker = ""
    if line.speaker is not None:
        name = escape(default_name(line.speaker))
        key = escape(line.speaker)
        speaker = f'<b class="speaker speaker-{colours[line.speaker]}" data-speaker="{key}">{name}</b>'
    edit = f'<button class="edit" tabindex="{tabindex}" aria-label="Edit {time}">✎</button>' if complete else ""
    return (
        f'<li class="line" data-number="{number}" data-start="{line.start}" data-end="{line.end}" '
        f'data-words="{json.dumps(words)}">'
        f'<button class="time" tabindex="{tabindex}" aria-label="Play from {time}">{time}</button>'
        f'<span class="content">{speaker}<span class="text">{escape(line.text)}</span></span>{edit}</li>'
    )


def _utf16_offset(text: str, characters: int) -> int:
    """Convert an offset to JavaScript's, where characters above U+FFFF count as two."""
    return characters + sum(character > "\uffff" for character in text[:characters])


def _speaker_fields(colours: dict[str, int]) -> str:
    """Return a name field for each speaker."""
    if not colours:
        return ""
    fields = "".join(_speaker_field(speaker, default_name(speaker), colour) for speaker, colour in colours.items())
    return f'<div id="speakers" role="group" aria-label="Speaker names">{fields}</div>'


def _speaker_field(speaker: str, name: str, colour: int) -> str:
    return (
        f'<label class="speaker speaker-{colour}"><span class="visually-hidden">Name of {escape(name)}</span>'
        f'<input class="name" data-speaker="{escape(speaker)}" value="{escape(name)}" maxlength="60"></label>'
    )


def player(source: Path | str) -> str:
    """Return a player for a URL, or for a file, which Gradio serves."""
    url = f"gradio_api/file={quote(str(source))}" if isinstance(source, Path) else source
    is_video = (mimetypes.guess_type(urlsplit(str(source)).path)[0] or "").startswith("video/")
    tag = "video" if is_video else "audio"
    return (
        f'<{tag} id="player" controls preload="metadata" playsinline src="{escape(url)}" '
        f'aria-label="Recording"></{tag}>'
        '<p id="unplayable" hidden>This browser cannot play the recording. The transcript is not affected.</p>'
    )


def progress(stage: str, percent: float = 0.0) -> str:
    """Return the current stage with a progress bar, which is indeterminate at 0 percent."""
    value, suffix = (f' value="{percent:.0f}"', f": {percent:.0f} %") if percent else ("", "")
    return (
        f'<div class="notice" role="status"><span>{escape(stage.capitalize() + suffix)}</span>'
        f'<progress max="100"{value} aria-label="Progress"></progress></div>'
    )


def hint(text: str) -> str:
    """Return a hint about the next step."""
    return f'<p class="hint">{escape(text)}</p>'


def notice(text: str) -> str:
    """Return the outcome of a job."""
    return f'<div class="notice" role="status">{escape(text)}</div>'


def problem(text: str) -> str:
    """Return an error message."""
    return f'<div class="notice problem" role="alert">{escape(text)}</div>'
