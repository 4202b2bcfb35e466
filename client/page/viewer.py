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
    rows = "".join(_row(number, line, colours, complete) for number, line in enumerate(lines(segments)))
    busy = "false" if complete else "true"
    return f'{_legend(colours)}<ol id="lines" aria-label="Transcript" aria-busy="{busy}">{rows}</ol>'


def _row(number: int, line: Line, colours: dict[str, int], complete: bool) -> str:
    at = clock(line.start)
    # One line is in the order of the Tab key, the first one to begin with: see viewer.js.
    first = 0 if number == 0 else -1
    words = [[one.start, one.end, _units(line.text, one.begins), _units(line.text, one.ends)] for one in line.words]
    voice = ""
    if line.voice is not None:
        name = escape(default_name(line.voice))
        voice = f'<b class="voice voice-{colours[line.voice]}" data-voice="{escape(line.voice)}">{name}</b>'
    edit = f'<button class="edit" tabindex="{first}" aria-label="Correct {at}">✎</button>' if complete else ""
    return (
        f'<li class="line" data-number="{number}" data-start="{line.start}" data-end="{line.end}" '
        f'data-words="{json.dumps(words)}">'
        f'<button class="time" tabindex="{first}" aria-label="Play from {at}">{at}</button>'
        f'<span class="said">{voice}<span class="text">{escape(line.text)}</span></span>{edit}</li>'
    )


def _units(text: str, characters: int) -> int:
    """An offset as JavaScript counts it: characters beyond the first 65,536 are two."""
    return characters + sum(character > "\uffff" for character in text[:characters])


def _legend(colours: dict[str, int]) -> str:
    """The voices, each with a field for its name."""
    if not colours:
        return ""
    names = "".join(_name(voice, default_name(voice), colour) for voice, colour in colours.items())
    return f'<div id="voices" role="group" aria-label="Names of the speakers">{names}</div>'


def _name(voice: str, name: str, colour: int) -> str:
    return (
        f'<label class="voice voice-{colour}"><span class="unseen">Name of {escape(name)}</span>'
        f'<input class="name" data-voice="{escape(voice)}" value="{escape(name)}" maxlength="60"></label>'
    )


def player(source: Path | str) -> str:
    """The recording with the browser's own controls: a file comes from this server, by Gradio's own route."""
    address = f"gradio_api/file={quote(str(source))}" if isinstance(source, Path) else source
    film = (mimetypes.guess_type(urlsplit(str(source)).path)[0] or "").startswith("video/")
    tag = "video" if film else "audio"
    return (
        f'<{tag} id="player" controls preload="metadata" playsinline src="{escape(address)}" '
        f'aria-label="Recording"></{tag}>'
        '<p id="unplayable" hidden>This browser cannot play the recording. Its transcript is not affected.</p>'
    )


def progress(stage: str, percent: float = 0.0) -> str:
    """What happens now; as long as nothing is done, the bar shows that nobody knows how long it takes."""
    value, done = (f' value="{percent:.0f}"', f": {percent:.0f} %") if percent else ("", "")
    return (
        f'<div class="notice" role="status"><span>{escape(stage.capitalize() + done)}</span>'
        f'<progress max="100"{value} aria-label="Progress"></progress></div>'
    )


def hint(text: str) -> str:
    """What is to be done first."""
    return f'<p class="hint">{escape(text)}</p>'


def notice(text: str) -> str:
    """What came of it."""
    return f'<div class="notice" role="status">{escape(text)}</div>'


def problem(text: str) -> str:
    """What went wrong, in a sentence."""
    return f'<div class="notice problem" role="alert">{escape(text)}</div>'
