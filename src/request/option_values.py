"""Types of option values: each parses the spellings that a job may use, and checks the result.

The error messages are the ends of sentences that begin with the option's name: see `src.request.validation`.
"""

from __future__ import annotations

import math
import operator
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

from src.errors import suggest
from src.formats.render import OUTPUT_FORMATS

MAX_TERMS = 2000
"""Terms of a custom vocabulary."""

MAX_PHRASES = 5000
"""Terms and their misrecognitions together: the phrases to search for; more take seconds to prepare."""

MAX_PHRASE_CHARACTERS = 200

MAX_AUDIO_TRACK = 1000
"""ffmpeg opens no more streams."""

MAX_TRACK_NAME_CHARACTERS = 200

MIN_TEMPERATURE = 1e-4

_SECONDS = r"\s*\d{1,9}(\.\d{1,6})?\s*"
_INTEGER = r"\s*-?\d{1,6}\s*"


def parse_language(language: str) -> str:
    """The code of a language from its code or English name.

    Raises:
        ValueError: Whisper has no such language.
    """
    name = language.strip().lower()
    code: str = TO_LANGUAGE_CODE.get(name, name)
    if code not in LANGUAGES:
        hint = suggest(name, [*LANGUAGES, *TO_LANGUAGE_CODE], ', give a code such as "de" or a name such as "german"')
        raise ValueError(f"no language that Whisper knows{hint}")
    return code


def parse_languages(languages: list[str]) -> list[str]:
    """The codes of several languages: see `parse_language`."""
    return [parse_language(language) for language in languages]


def split_formats(formats: Any) -> Any:
    """A list of output formats from a string with commas between them."""
    return [name.strip() for name in formats.split(",")] if isinstance(formats, str) else formats


def check_formats(names: list[str]) -> list[str]:
    """Raise ValueError unless all output formats are known."""
    if not set(names) <= set(OUTPUT_FORMATS):
        raise ValueError(f"should be one of {', '.join(OUTPUT_FORMATS)}, or a list of them")
    return names


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


def parse_clips(clips: Any) -> Any:
    """Pair of start and end from `[[start, end], ...]`, `[start, end, start, ...]` or `"start,end,start,..."`.

    Raises:
        ValueError: a string that is not a list of seconds.
    """
    if isinstance(clips, str):
        if not re.fullmatch(rf"{_SECONDS}(,{_SECONDS}){{0,1999}}", clips):
            raise ValueError('should be seconds with commas between them, such as "0,30,75.5,90"')
        clips = [float(seconds) for seconds in clips.split(",")]
    if not isinstance(clips, list):
        return clips
    if clips and all(isinstance(seconds, (int, float)) for seconds in clips):
        clips = [[*clips[at : at + 2], None][:2] for at in range(0, len(clips), 2)]
    return [tuple(clip) if isinstance(clip, list) else clip for clip in clips]


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


def parse_temperatures(temperature: Any) -> Any:
    """A list of temperatures from a single one."""
    return [temperature] if isinstance(temperature, (int, float)) else temperature


def parse_token_ids(tokens: Any) -> Any:
    """A list of token ids from a string with commas between them.

    Raises:
        ValueError: a string of anything else.
    """
    if not isinstance(tokens, str):
        return tokens
    if not re.fullmatch(rf"\s*|{_INTEGER}(,{_INTEGER}){{0,1999}}", tokens):
        raise ValueError("should be token ids with commas between them, such as '-1' or '11,13'")
    return [int(token) for token in tokens.split(",") if token.strip()]


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


def check_color(color: str) -> str:
    """Raise ValueError unless `color` is `#RRGGBB` or `#RRGGBBAA`."""
    if not re.fullmatch("#(?:[0-9A-Fa-f]{2}){3,4}", color):
        raise ValueError('should be a colour such as "#FFD400", or "#FFD40080" with its opacity')
    return color


def check_speaker_name(name: str) -> str:
    """Raise ValueError unless `name` fits all output formats: no markup, line break or tab, no label of ours."""
    if not re.fullmatch(r"\w[\w .'-]{0,59}", name) or re.fullmatch(r"(SPEAKER|CHANNEL)_\d+", name):
        raise ValueError("a name should be 1 to 60 letters, digits, spaces and . ' -, but not like SPEAKER_00")
    return name


Probability = Annotated[float, Field(ge=0, le=1)]

SpeakerCount = Annotated[int, Field(ge=1, le=100)]

SpeakerName = Annotated[str, AfterValidator(check_speaker_name)]

Language = Annotated[str, Field(max_length=40), AfterValidator(parse_language)]

Languages = Annotated[list[str], Field(min_length=1, max_length=99), AfterValidator(parse_languages)]

OutputFormats = Annotated[
    list[str],
    Field(min_length=1, max_length=len(OUTPUT_FORMATS)),
    BeforeValidator(split_formats),
    AfterValidator(check_formats),
]

CustomVocabulary = Annotated[dict[str, list[str]] | list[str] | None, BeforeValidator(parse_vocabulary)]

Temperatures = Annotated[
    list[Annotated[Probability, AfterValidator(round_temperature)]],
    Field(min_length=1, max_length=10),
    BeforeValidator(parse_temperatures),
]

TokenIds = Annotated[
    list[Annotated[int, Field(ge=-1, lt=50_257)]], Field(max_length=2000), BeforeValidator(parse_token_ids)
]

AudioTrack = Annotated[str | int, BeforeValidator(parse_audio_track)]

Clips = Annotated[
    list[tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)] | None]],
    Field(max_length=1000),
    BeforeValidator(parse_clips),
    AfterValidator(check_clips),
]
"""Start and end of each, in seconds from the recording's start; an end of None is the recording's."""

Color = Annotated[str, AfterValidator(check_color)]
