"""Names of speakers: of all scripts, with one spelling each, in the options of a job and in its tracks."""

from __future__ import annotations

import re

import pytest

from src.errors import InvalidInput
from src.request.validation import parse_input
from tests.support.speaker_names import REFUSED, TAKEN
from transcript.speaker_names import clean_speaker_name

URL = "https://example.com/a.mp3"
EMBEDDING = {"embedding": [1.0, *[0.0] * 191]}


@pytest.mark.parametrize("name", TAKEN)
def test_names_of_all_scripts_are_taken(name: str) -> None:
    assert clean_speaker_name(name) == name


@pytest.mark.parametrize("name", REFUSED)
def test_what_breaks_a_format_is_refused(name: str) -> None:
    sentence = "a name should be 1 to 60 letters, digits, spaces and . ' ’ · -, but not like SPEAKER_00"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        clean_speaker_name(name)


COMPOSED, DECOMPOSED = "Zo\u00eb", "Zoe\u0308"


def test_the_spellings_of_an_accent_are_one_name() -> None:
    tracks = [{"url": URL, "name": DECOMPOSED}, {"url": URL, "name": "प्रिया"}]
    assert [track.name for track in parse_input({"audio": tracks}).audio] == [COMPOSED, "प्रिया"]
    voices = {DECOMPOSED: EMBEDDING, "प्रिया": URL}
    assert [
        *(parse_input({"audio": URL, "options": {"diarize": True, "speakers": voices}}).options.speakers or {})
    ] == [
        COMPOSED,
        "प्रिया",
    ]


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        (
            {"audio": URL, "options": {"diarize": True, "speakers": {COMPOSED: URL, DECOMPOSED: URL}}},
            f'options.speakers: "{COMPOSED}" is the name of 2 voices: give each its own',
        ),
        (
            {"audio": [{"url": URL, "name": COMPOSED}, {"url": URL, "name": DECOMPOSED}]},
            f'audio: "{COMPOSED}" is the name of 2 tracks: give each its own',
        ),
    ],
)
def test_two_spellings_of_one_name_are_refused(job: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_input(job)
    assert str(refused.value) == sentence
