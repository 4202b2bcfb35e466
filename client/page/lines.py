"""The transcript as lines with times, speakers and words, and the user's corrections of them.

Segments are dicts from a job's output (`transcript/transcript.py`), of the types that `client/transport/answers.py`
lets in. Their texts are untrusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

Segments = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class WordPosition:
    """A word's times in seconds, and its character offsets in the text of its line."""

    start: float
    end: float
    text_start: int
    text_end: int


@dataclass(frozen=True)
class Line:
    """One segment; times in seconds."""

    start: float
    end: float
    text: str
    speaker: str | None
    """Key of the speaker or the channel; None if the job distinguished neither."""
    words: tuple[WordPosition, ...]


@dataclass(frozen=True)
class Corrections:
    """The user's changes: texts by segment number, and names by speaker key."""

    texts: Mapping[int, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_page(cls, collected: Any) -> Corrections:
        """Read `{"texts": {"3": "..."}, "names": {"SPEAKER_00": "..."}}`, as collected by viewer.js."""
        texts, names = (dict((collected or {}).get(key) or {}) for key in ("texts", "names"))
        return cls(
            {int(number): str(text) for number, text in texts.items()},
            {str(speaker): " ".join(str(name).split()) for speaker, name in names.items() if str(name).strip()},
        )


def to_lines(segments: Segments) -> list[Line]:
    """Return a line for each segment, in the same order."""
    return [_to_line(segment) for segment in segments]


def _to_line(segment: Mapping[str, Any]) -> Line:
    text = " ".join(str(segment["text"]).split())
    words = _locate_words(text, segment.get("words") or [])
    return Line(float(segment["start"]), float(segment["end"]), text, speaker_key(segment), words)


def speaker_key(segment: Mapping[str, Any]) -> str | None:
    """Return the key of a segment's speaker, else of its channel."""
    if segment.get("speaker") is not None:
        return str(segment["speaker"])
    return None if segment.get("channel") is None else f"CHANNEL_{segment['channel']}"


def _locate_words(text: str, words: Sequence[Mapping[str, Any]]) -> tuple[WordPosition, ...]:
    """Find the words in `text`; those that are not in it, such as words replaced by the vocabulary, are left out."""
    found = []
    search_from = 0
    for word, next_word in zip_longest(words, words[1:], fillvalue={"word": " "}):
        spelling = " ".join(str(word["word"]).split())
        start = text.find(spelling, search_from)
        end = start + len(spelling)
        # "Run" does not match in "RunPod", unless the next word continues it: not all scripts have spaces.
        if spelling and start >= 0 and (text[end : end + 1] in ("", " ") or str(next_word["word"])[:1] != " "):
            search_from = end
            found.append(WordPosition(float(word["start"]), float(word["end"]), start, end))
    return tuple(found)


def speaker_keys(segments: Segments) -> list[str]:
    """Return the keys of all speakers and channels, in order of first speech."""
    return list(dict.fromkeys(key for segment in segments if (key := speaker_key(segment)) is not None))


def default_name(speaker: str) -> str:
    """Return the displayed name of a speaker without a name: `Speaker 1` for `SPEAKER_00`."""
    kind, _, number = speaker.rpartition("_")
    return f"{kind.replace('_', ' ').capitalize()} {int(number) + 1}" if kind and number.isdecimal() else speaker


def display_name(speaker: str, corrections: Corrections) -> str:
    """Return the name that the user gave a speaker, else the default one."""
    return corrections.names.get(speaker) or default_name(speaker)


def corrected(segments: Segments, corrections: Corrections) -> list[dict[str, Any]]:
    """Return the segments with corrected texts, and with names in place of speaker keys."""
    return [_corrected(segment, corrections.texts.get(number), corrections) for number, segment in enumerate(segments)]


def has_changes(segments: Segments, corrections: Corrections) -> bool:
    """True if the corrections change anything; the page also sends names that are still the default."""
    return corrected(segments, corrections) != corrected(segments, Corrections())


def _corrected(segment: Mapping[str, Any], text: str | None, corrections: Corrections) -> dict[str, Any]:
    copy = dict(segment)
    speaker = speaker_key(segment)
    if speaker is not None:
        copy["speaker"] = display_name(speaker, corrections)
    if text is not None and text.split() != str(segment["text"]).split():
        copy["text"] = " " + " ".join(text.split())
        # Tokens belong to the original text.
        copy.pop("tokens", None)
        copy.pop("words", None)
        if words := _respell(segment.get("words") or [], text.split()):
            copy["words"] = words
    return copy


def _respell(words: Sequence[Mapping[str, Any]], spellings: Sequence[str]) -> list[dict[str, Any]]:
    """Return the words with new spellings; none if their number changed, since new words have no known times."""
    if len(words) != len(spellings):
        return []
    return [dict(word) | {"word": f" {spelling}"} for word, spelling in zip(words, spellings, strict=True)]


def format_clock(seconds: float) -> str:
    """Return `1:02:03`, `2:03` or `0:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
