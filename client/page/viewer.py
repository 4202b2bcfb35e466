"""The transcript, the player and the progress as HTML; `viewer.js` brings them to life, `viewer.css` dresses them.

Every text and every address is escaped here: a transcript is whatever somebody said, or a hostile server sent.
"""

from __future__ import annotations

import json
import mimetypes
from html import escape
from pathlib import Path
from urllib.parse import quote, urlsplit

from client.page.lines import Line, Segments, clock, default_name, lines, voices

COLOURS = 8
"""Number of colours for voices in viewer.css."""

EMPTY = '<p class="empty">The transcript will be here.</p>'

FOLDER = Path(__file__).parent


def head() -> str:
    """What the page's head needs: nothing is fetched from elsewhere."""
    style, script = ((FOLDER / name).read_text("utf-8") for name in ("viewer.css", "viewer.js"))
    return (
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style>'
        f"<script>{script}</script>"
    )


def transcript(segments: Segments, *, complete: bool) -> str:
    """Lines to click on; only a complete transcript can be corrected."""
    colours = {voice: number % COLOURS for number, voice in enumerate(voices(segments))}
    rows = [_row(number, line, colours, complete) for number, line in enumerate(lines(segments))]
    return _legend(colours) + f'<ol id="lines" aria-label="Transcript" aria-busy="{_flag(not complete)}">{"".join(rows)}</ol>'


def _row(number: int, line: Line, colours: dict[str, int], complete: bool) -> str:
    at = clock(line.start)
    words = [[one.start, one.end, _units(line.text, one.begins), _units(line.text, one.ends)] for one in line.words]
    voice = ""
    if line.voice is not None:
        name = escape(default_name(line.voice))
        voice = f'<b class="voice voice-{colours[line.voice]}" data-voice="{escape(line.voice)}">{name}</b>'
    edit = f'<button class="edit" type="button" tabindex="-1" aria-label="Correct the line at {at}">✎</button>' if complete else ""
    return (
        f'<li class="line" data-number="{number}" data-start="{line.start}" data-end="{line.end}" data-words="{json.dumps(words)}">'
        f'<button class="time" type="button" tabindex="{0 if number == 0 else -1}" aria-label="Play from {at}">{at}</button>'
        f'<span class="said">{voice}<span class="text">{escape(line.text)}</span></span>{edit}</li>'
    )


def _units(text: str, characters: int) -> int:
    """An offset as JavaScript counts it: characters beyond the first 65,536 are two."""
    return characters + sum(character > "\uffff" for character in text[:characters])


def _legend(colours: dict[str, int]) -> str:
    """The voices, each with a field for its name."""
    if not colours:
        return ""
    names = "".join(
        f'<label class="voice voice-{colour}"><span class="unseen">Name of {escape(default_name(voice))}</span>'
        f'<input class="name" data-voice="{escape(voice)}" value="{escape(default_name(voice))}" maxlength="60"></label>'
        for voice, colour in colours.items()
    )
    return f'<div id="voices" role="group" aria-label="Names of the speakers">{names}</div>'


def player(address: str, name: str) -> str:
    """The recording with the browser's own controls; `name` tells sound from film."""
    film = (mimetypes.guess_type(name)[0] or "").startswith("video/")
    tag = "video" if film else "audio"
    return (
        f'<{tag} id="player" controls preload="metadata" playsinline src="{escape(address)}" '
        f'aria-label="Recording"></{tag}>'
        '<p id="unplayable" hidden>This browser cannot play the recording. Its transcript is not affected.</p>'
    )


def address_of(source: str) -> str:
    """Where the browser gets a recording: a web address as it is, a file of this server by Gradio's own route.

    Raises:
        ValueError: another scheme, such as `javascript:`.
    """
    if Path(source).is_absolute():
        return f"gradio_api/file={quote(source)}"
    if urlsplit(source).scheme not in ("http", "https"):
        raise ValueError("A web address starts with http:// or https://")
    return source


def progress(text: str, percent: float | None = None) -> str:
    """What happens now; without a number the bar shows that nobody knows how long it takes."""
    value = "" if percent is None else f' value="{percent:.0f}"'
    return (
        f'<div class="notice" role="status"><span>{escape(text)}</span>'
        f'<progress max="100"{value} aria-label="Progress"></progress></div>'
    )


def notice(text: str) -> str:
    """What came of it."""
    return f'<div class="notice" role="status">{escape(text)}</div>'


def problem(text: str) -> str:
    """What went wrong, in a sentence."""
    return f'<div class="notice problem" role="alert">{escape(text)}</div>'


def _flag(value: bool) -> str:
    return "true" if value else "false"
