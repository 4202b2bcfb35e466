"""Types of option values: each parses the spellings that a job may use, and checks the result.

The error messages are the ends of sentences that begin with the option's name: see `src.request.validation`.
"""

from __future__ import annotations

import math
import operator
import re
from collections import Counter
from typing import Annotated, Any
from unicodedata import normalize

from pydantic import AfterValidator, BeforeValidator, Field

from src.errors import quote
from src.request.languages import parse_language, parse_languages
from src.request.request_model import MAX_ITEMS, is_blank
from transcript.formats.render import OUTPUT_FORMATS
from transcript.formats.stl import FRAME_RATES
from transcript.speaker_names import clean_speaker_name
from transcript.transcript import PersonalData

MAX_TERMS = 2000
"""Terms of a custom vocabulary."""

MAX_PHRASES = 5000
"""Terms and their misrecognitions together: the phrases to search for; more take seconds to prepare."""

MAX_PHRASE_CHARACTERS = 200

MAX_AUDIO_TRACK = 100
"""ffmpeg is given no more streams: see `media/sandbox.py`."""

MAX_TRACK_NAME_CHARACTERS = 200

MAX_TEXT_CHARACTERS = 1_000_000
"""Of a text to align: what is said in 12 hours has two thirds of it."""

MAX_SAMPLES = 32
"""Known voices by samples: each costs a download and some tenths of a second."""

MAX_VOICES = 200
"""Known voices, of which those by embeddings cost nothing."""

MAX_TIMECODE_CHARACTERS = 11

MIN_TEMPERATURE = 1e-4

MAX_LANGUAGES = 99

MAX_LANGUAGE_CHARACTERS = 60

_OTHER_FORMAT_NAMES = {
    "txt": "text",
    "plain": "text",
    "plain_text": "text",
    "webvtt": "vtt",
    "subrip": "srt",
    "ssa": "ass",
    **dict.fromkeys(("ebu-tt-d", "ebu_tt_d", "ebuttd", "imsc", "dfxp"), "ttml"),
    **dict.fromkeys(("ebu-stl", "ebu_stl"), "stl"),
    "verbose-json": "verbose_json",
    "json_verbose": "verbose_json",
}


def as_list(value: Any) -> Any:
    """A list from text with commas between its items, or from a single item."""
    if isinstance(value, str):
        return value.split(",", MAX_ITEMS)  # what is left stays one item
    return value if isinstance(value, list) else [value]


def parse_formats(formats: Any) -> Any:
    """A list of output formats from a single one, or from a string with commas; in any case, and by a file's suffix."""
    return [_format_name(name) if isinstance(name, str) else name for name in as_list(formats)]


def _format_name(written: str) -> str:
    name = written.strip().lower().removeprefix(".")
    return _OTHER_FORMAT_NAMES.get(name, name)


def check_formats(names: list[str]) -> list[str]:
    """Raise ValueError unless all output formats are known."""
    if not set(names) <= set(OUTPUT_FORMATS):
        raise ValueError(f"should be one of {', '.join(map(quote, OUTPUT_FORMATS))}, or a list of them")
    return names


def check_frame_rate(rate: int) -> int:
    """Raise ValueError unless EBU STL has the frame rate."""
    if rate not in FRAME_RATES:
        raise ValueError(f"should be {' or '.join(map(str, FRAME_RATES))}")
    return rate


def parse_vocabulary(vocabulary: Any) -> Any:
    """A custom vocabulary with a list of misrecognitions for each term, or a list of terms.

    Checks everything itself: for a union, pydantic would report the faults against each of its types.

    Raises:
        ValueError: wrong types, empty or long phrases, or too many of them.
    """
    if vocabulary is None:
        return None
    if isinstance(vocabulary, dict):
        vocabulary = {term: [heard] if isinstance(heard, str) else heard for term, heard in vocabulary.items()}
    lists = [list(vocabulary), *vocabulary.values()] if isinstance(vocabulary, dict) else [vocabulary]
    if not all(isinstance(phrases, list) for phrases in lists) or not all(lists[1:]):
        raise ValueError('should be {"term": "heard as"}, {"term": ["heard as", ...]} or ["term", ...]')
    phrases = [phrase for phrases in lists for phrase in phrases]
    if len(lists[0]) > MAX_TERMS or len(phrases) > MAX_PHRASES:
        raise ValueError(f"should have at most {MAX_TERMS} terms, and {MAX_PHRASES} with what is heard for them")
    if not all(isinstance(text, str) and text.strip() and len(text) <= MAX_PHRASE_CHARACTERS for text in phrases):
        raise ValueError(f"each term, and what is heard, should be a string of 1 to {MAX_PHRASE_CHARACTERS} characters")
    return vocabulary


def parse_kinds(kinds: Any) -> Any:
    """Kinds of personal data, in any case, once each."""
    items = as_list(kinds)
    if not all(isinstance(item, str) for item in items):
        return items  # refused by the schema
    return list(dict.fromkeys(item.strip().lower() for item in items))


def check_words(words: list[str]) -> list[str]:
    """Raise ValueError unless each is one word."""
    if not all(len(word.split()) == 1 for word in words):
        raise ValueError("each should be one word, without blanks")
    return [word.strip() for word in words]


def parse_clips(clips: Any) -> Any:
    """Pairs of start and end from `[[start, end], ...]`, `[start, end, start, ...]` or `"start,end,start,..."`.

    Raises:
        ValueError: anything else, or a time that is neither seconds nor "h:mm:ss".
    """
    items = as_list(clips)
    if not any(isinstance(item, (list, tuple)) for item in items):
        items = [[*items[at : at + 2], None][:2] for at in range(0, len(items), 2)]
    if not all(isinstance(clip, (list, tuple)) and len(clip) == 2 for clip in items):
        raise ValueError('should be pairs of a start and an end, such as [[0, 30], ["1:15", null]]')
    return [[parse_time(time) for time in clip] for clip in items]


def parse_time(time: Any) -> Any:
    """Seconds from "mm:ss" or "h:mm:ss.fff", and None from blank text; anything else is left as it is.

    Raises:
        ValueError: text with a colon that is no time.
    """
    if is_blank(time):
        return None
    if not isinstance(time, str) or ":" not in time:
        return time
    match = re.fullmatch(r"\s*(?:(\d{1,4}):(?=[0-5]?\d:))?(\d{1,4}):([0-5]?\d(?:[.,]\d{1,9})?)\s*", time)
    if match is None:
        raise ValueError('should be times in seconds, or such as "1:15" and "1:02:03.5"')
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))


def check_clips(clips: list[tuple[float, float | None]]) -> list[tuple[float, float | None]]:
    """Raise ValueError unless clips are in order and do not overlap."""
    starts = [start for start, _ in clips]
    ends = [math.inf if end is None else end for _, end in clips]
    if math.inf in ends[:-1]:
        raise ValueError("only the last part may have no end")
    if any(map(operator.ge, starts, ends)) or any(map(operator.gt, ends, starts[1:])):
        raise ValueError("should be parts in order that do not overlap, each with a start before its end")
    return clips


def round_temperature(temperature: float) -> float:
    """Return 0.0 for a temperature so low that sampling is greedy decoding: logits divided by it would overflow."""
    return 0.0 if temperature < MIN_TEMPERATURE else temperature


def parse_audio_track(track: Any) -> Any:
    """An audio track's number, also from its digits, or its language or title.

    Checks everything itself: for a union, pydantic would report the faults against each of its types.

    Raises:
        ValueError: neither.
    """
    if track is None:
        return None
    if isinstance(track, str):
        track = track.strip()
        track = int(track) if re.fullmatch("[0-9]{1,9}", track) else track
    is_number = isinstance(track, int) and not isinstance(track, bool) and 1 <= track <= MAX_AUDIO_TRACK
    is_name = isinstance(track, str) and 1 <= len(track) <= MAX_TRACK_NAME_CHARACTERS
    if not is_number and not is_name:
        raise ValueError("should be the number of an audio track, from 1, or its language or title")
    return track


def check_text(text: str) -> str:
    """Raise ValueError unless a text to align has a word."""
    if not re.search(r"[^\W_]", text):
        raise ValueError("should be the text that is said in the recording, at least one word")
    return text


def check_color(color: str) -> str:
    """Raise ValueError unless `color` is `#RRGGBB` or `#RRGGBBAA`."""
    if not re.fullmatch("#(?:[0-9A-Fa-f]{2}){3,4}", color):
        raise ValueError('should be a colour such as "#FFD400", or "#FFD40080" with its opacity')
    return color


def check_voices(voices: Any) -> Any:
    """Raise ValueError for too many known voices, or two of one name, before each of them is looked at."""
    if not isinstance(voices, dict):
        return voices
    if len(voices) > MAX_VOICES:
        raise ValueError(f"should have at most {MAX_VOICES} voices")
    if sum(not (isinstance(voice, dict) and "embedding" in voice) for voice in voices.values()) > MAX_SAMPLES:
        raise ValueError(f"should have at most {MAX_SAMPLES} voices by samples: give others by their embeddings")
    [(name, count)] = Counter(normalize("NFC", str(name)) for name in voices).most_common(1) or [("", 0)]
    if count > 1:
        raise ValueError(f"{quote(name)} is the name of {count} voices: give each its own")
    return voices


Probability = Annotated[float, Field(ge=0, le=1)]

SpeakerCount = Annotated[int, Field(ge=1, le=100)]

SpeakerName = Annotated[str, AfterValidator(clean_speaker_name)]

_LanguageText = Annotated[str, Field(max_length=MAX_LANGUAGE_CHARACTERS)]

Language = Annotated[_LanguageText, AfterValidator(parse_language)]
"""None after parsing if it is to be detected."""

Languages = Annotated[
    list[_LanguageText],
    Field(min_length=1, max_length=MAX_LANGUAGES),
    BeforeValidator(as_list),
    AfterValidator(parse_languages),
]

OutputFormats = Annotated[
    list[str],
    Field(min_length=1, max_length=len(OUTPUT_FORMATS)),
    BeforeValidator(parse_formats),
    AfterValidator(check_formats),
]

CustomVocabulary = Annotated[dict[str, list[str]] | list[str] | None, BeforeValidator(parse_vocabulary)]

Temperatures = Annotated[
    list[Annotated[Probability, AfterValidator(round_temperature)]],
    Field(min_length=1, max_length=10),
    BeforeValidator(as_list),
]

TokenIds = Annotated[list[Annotated[int, Field(ge=-1, lt=50_257)]], Field(max_length=2000), BeforeValidator(as_list)]

FrameRate = Annotated[int, AfterValidator(check_frame_rate)]

Redact = Annotated[list[PersonalData], Field(max_length=MAX_ITEMS), BeforeValidator(parse_kinds)]

MaskedWords = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=MAX_PHRASE_CHARACTERS)]],
    Field(max_length=MAX_PHRASES),
    BeforeValidator(as_list),
    AfterValidator(check_words),
]

AudioTrack = Annotated[str | int, BeforeValidator(parse_audio_track)]

Clips = Annotated[
    list[tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)] | None]],
    Field(max_length=1000),
    BeforeValidator(parse_clips),
    AfterValidator(check_clips),
]
"""Start and end of each, in seconds from the recording's start; an end of None is the recording's."""

GivenText = Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS), AfterValidator(check_text)]

Color = Annotated[str, AfterValidator(check_color)]
