"""A transcript as the page shows it: lines with times, voices and words; and what its reader corrects of them.

Segments are dicts as a job's answer has them (`src/transcript/transcript.py`). Nothing in them is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Segments = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Place:
    """Where a word stands in its line, as offsets of characters, and when it is said, in seconds."""

    start: float
    end: float
    begins: int
    ends: int


@dataclass(frozen=True)
class Line:
    """One segment. Times in seconds."""

    start: float
    end: float
    text: str
    voice: str | None
    """Key of the speaker or the channel; None where nobody told them apart."""
    words: tuple[Place, ...]


@dataclass(frozen=True)
class Corrections:
    """What the reader of a page changed: texts by the number of the segment, and names by the key of the voice."""

    texts: Mapping[int, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_page(cls, sent: Any) -> Corrections:
        """From `{"texts": {"3": "..."}, "names": {"SPEAKER_00": "..."}}`, as viewer.js collects it."""
        texts, names = (dict((sent or {}).get(key) or {}) for key in ("texts", "names"))
        return cls(
            {int(number): str(text) for number, text in texts.items()},
            {str(voice): " ".join(str(name).split()) for voice, name in names.items() if str(name).strip()},
        )


def lines(segments: Segments) -> list[Line]:
    """The segments as lines, in the order that they have."""
    return [_line(segment) for segment in segments]


def _line(segment: Mapping[str, Any]) -> Line:
    text = " ".join(str(segment["text"]).split())
    start = float(segment["start"])
    return Line(start, float(segment["end"]), text, voice_of(segment), _places(text, segment.get("words") or []))


def voice_of(segment: Mapping[str, Any]) -> str | None:
    """Whose line it is: the speaker's key where there is one, else the channel's."""
    if segment.get("speaker") is not None:
        return str(segment["speaker"])
    return None if segment.get("channel") is None else f"CHANNEL_{segment['channel']}"


def _places(text: str, words: Sequence[Mapping[str, Any]]) -> tuple[Place, ...]:
    """The words' places in `text`; a word that is not there (the vocabulary corrected it, say) has none."""
    places = []
    at = 0
    for word, following in zip(words, [*words[1:], {"word": " "}], strict=True):
        said = " ".join(str(word["word"]).split())
        begins = text.find(said, at)
        ends = begins + len(said)
        # "Run" is not in "RunPod", unless what follows belongs to it: not all languages have blanks.
        if said and begins >= 0 and (text[ends : ends + 1] in ("", " ") or str(following["word"])[:1] != " "):
            at = ends
            places.append(Place(float(word["start"]), float(word["end"]), begins, ends))
    return tuple(places)


def voices(segments: Segments) -> list[str]:
    """The keys of all voices, in the order in which they are heard first."""
    return list(dict.fromkeys(voice for segment in segments if (voice := voice_of(segment)) is not None))


def default_name(voice: str) -> str:
    """`Speaker 1` for `SPEAKER_00`: what a voice is called until somebody names it."""
    kind, _, number = voice.rpartition("_")
    return f"{kind.replace('_', ' ').capitalize()} {int(number) + 1}" if kind and number.isdecimal() else voice


def name_of(voice: str, corrections: Corrections) -> str:
    return corrections.names.get(voice) or default_name(voice)


def corrected(segments: Segments, corrections: Corrections) -> list[dict[str, Any]]:
    """The segments with the reader's texts, and with names in place of the keys of voices."""
    return [_corrected(segment, corrections.texts.get(number), corrections) for number, segment in enumerate(segments)]


def changed(segments: Segments, corrections: Corrections) -> bool:
    """Whether the corrections make a difference: a page sends the names that voices have anyway, too."""
    return corrected(segments, corrections) != corrected(segments, Corrections())


def _corrected(segment: Mapping[str, Any], text: str | None, corrections: Corrections) -> dict[str, Any]:
    changed = dict(segment)
    voice = voice_of(segment)
    if voice is not None:
        changed["speaker"] = name_of(voice, corrections)
    if text is not None and text.split() != str(segment["text"]).split():
        changed["text"] = " " + " ".join(text.split())
        # They were of what was heard: of another text they would be wrong.
        changed.pop("tokens", None)
        words = _renamed(segment.get("words") or [], text.split())
        changed.pop("words", None)
        if words:
            changed["words"] = words
    return changed


def _renamed(words: Sequence[Mapping[str, Any]], texts: Sequence[str]) -> list[dict[str, Any]]:
    """Words with their times and new spellings; none where their number changed, and nobody knows the times."""
    if len(words) != len(texts):
        return []
    return [dict(word) | {"word": f" {text}"} for word, text in zip(words, texts, strict=True)]


def clock(seconds: float) -> str:
    """`1:02:03`, `2:03` or `0:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
