"""Requests of a great size, and products of options that are each within their limits."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from transcript.formats.layout import Layout
from transcript.formats.render import render
from transcript.transcript import Segment, Transcript, Word

USUAL = Layout(max_line_width=42, max_line_count=2, max_chars_per_second=20.0, highlight_words=True)
MAX_LAYOUT_RATIO = 20
"""CPU time of laying out, as a multiple of that of the usual limits for the same transcript. The costliest known limits
take 7 times as long; what grew by the square took hundreds."""

MAX_REFUSAL_S = 5.0
"""A request of some megabytes is refused, or done, within this time, its short recording included."""

_WORDS_PER_HOUR = 9_000
_TEXTS = (*(" yes", " a", " extraordinarily", " 东京", " it,", " end.", " שלום", " can't") * 5, f" {'x' * 60}")
_LIMITS: dict[str, list[Any]] = {
    "max_line_width": [None, 1, 7, 42, 200, 1000],
    "max_line_count": [None, 1, 2, 20, 100],
    "max_words_per_line": [None, 1, 5, 1000],
    "highlight_words": [False, True],
    "min_cue_duration": [None, 0.0, 1.0, 60.0],
    "max_cue_duration": [None, 0.5, 7.0, 600.0],
    "min_cue_gap": [None, 0.08, 10.0],
    "max_chars_per_second": [None, 1.0, 20.0, 1000.0],
}


def draw_layout(number: int, seed: int) -> dict[str, Any]:
    """A transcript's length in hours, and a layout."""
    dice = random.Random(f"{seed}/layout/{number}")
    layout = {name: dice.choice(values) for name, values in _LIMITS.items()}
    if (layout["min_cue_duration"] or 0) > (layout["max_cue_duration"] or 600):
        layout["min_cue_duration"] = None
    return {"hours": dice.choice([0.2, 0.5, 1.0, 2.0]), "layout": layout, "seed": number}


def _timed(transcript: Transcript, layout: Layout) -> tuple[float, dict[str, Any]]:
    started = time.process_time()
    rendered = render(transcript, ["srt", "vtt"], layout)
    return time.process_time() - started, rendered


def lay_out_faults(drawn: dict[str, Any]) -> list[str]:
    """Render a transcript of that length in that layout: it takes seconds, and no word is lost."""
    words = _words(round(drawn["hours"] * _WORDS_PER_HOUR), random.Random(drawn["seed"]))
    transcript = Transcript("en", 1.0, words[-1].end, segments=_segments(words))
    usual, _ = _timed(transcript, USUAL)
    seconds, rendered = _timed(transcript, Layout(**drawn["layout"]))
    faults = []
    if seconds > MAX_LAYOUT_RATIO * usual:
        faults.append(f"took {seconds / usual:.0f} times the CPU time of the usual limits")
    if not drawn["layout"]["highlight_words"]:  # which repeats a cue for each word
        spoken = sum(len(word.word.strip()) for word in words)
        shown = sum(len(line.strip()) - line.count(" ") for line in _texts(rendered["srt"]))
        if shown < spoken:
            faults.append(f"shows {shown} of {spoken} characters")
    return faults


def draw_request(number: int, seed: int, recording: str) -> tuple[str, dict[str, Any]]:
    """A description, and a job with something of a great size in it; `recording` is a right one, in base64."""
    dice = random.Random(f"{seed}/request/{number}")
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "unknown keys in options": lambda: {"options": _many_keys(dice, 100_000)},
        "unknown keys beside audio": lambda: _many_keys(dice, 100_000),
        "keys that are nearly right": lambda: {"options": {f"language{n}": 1 for n in range(20_000)}},
        "speakers": lambda: {"options": {"diarize": True, "speakers": _many_keys(dice, 50_000)}},
        "a vocabulary at its limits": lambda: {"options": {"custom_vocabulary": _vocabulary(dice)}},
        "a prompt at its limit": lambda: {"options": {"initial_prompt": "word " * 2000}},
        "long values": lambda: {"options": dict.fromkeys(("language", "model", "temperature"), "9" * 1000000)},
        "long lists": lambda: {"options": {"clip_timestamps": [[n, n + 1] for n in range(0, 300_000, 2)]}},
        "a long list of formats": lambda: {"options": {"output_format": ["srt"] * 300_000}},
        "a long string of clips": lambda: {"options": {"clip_timestamps": "1," * 500_000}},
        "a long string of tokens": lambda: {"options": {"suppress_tokens": "1," * 500_000 + "x"}},
        "base64 that is none": lambda: {"audio": {"base64": "A" * 5_000_000 + "%"}},
        "an address of megabytes": lambda: {"audio": {"url": "http://" + "a" * 5_000_000}},
        "base64 of blanks": lambda: {"audio": {"base64": " \n" * 3_000_000}},
    }
    way = sorted(ways)[number % len(ways)]
    right = {"audio": {"base64": recording}, "options": {"temperature": 0}}
    return way, {"id": f"request-{number}", "input": right | ways[way]()}


def _many_keys(dice: random.Random, count: int) -> dict[str, Any]:
    return {f"{dice.choice(['lang', 'max_line', 'x', 'é' * 20])}_{number}": number for number in range(count)}


def _vocabulary(dice: random.Random) -> dict[str, list[str]]:
    letters = dice.choice(["abcdefgh ", "абвгдежз ", "かきくけこ", "a"])
    phrases = ["".join(dice.choices(letters, k=180)).strip() + str(number) for number in range(4998)]
    return {phrases[at]: phrases[at + 1 : at + 3] for at in range(0, 4998, 3)}


def _words(count: int, dice: random.Random) -> list[Word]:
    return [Word(dice.choice(_TEXTS), 0.35 * at, 0.35 * at + 0.3, 0.9) for at in range(count)]


def _segments(words: list[Word]) -> list[Segment]:
    groups = [words[at : at + 12] for at in range(0, len(words), 12)]
    return [
        Segment(number, 0, group[0].start, group[-1].end, _text(group), [], 0.0, -0.2, 1.2, 0.0, group)
        for number, group in enumerate(groups)
    ]


def _text(words: list[Word]) -> str:
    return "".join(word.word for word in words)


def _texts(subtitles: str) -> list[str]:
    lines = subtitles.splitlines()
    return [line for line in lines if line and "-->" not in line and not line.isdigit()]
