"""A model is found under the names that libraries, repositories and OpenAI's API give it, and under no other."""

from __future__ import annotations

import pytest

from src.models.names import match_model

NAMES: dict[str | None, list[str]] = {
    "base": [
        "base",
        "BASE",
        " base",
        "whisper-base",
        "openai/whisper-base",
        "Systran/faster-whisper-base",
        *("whisper-1", "gpt-transcribe", "gpt-4o-transcribe", "GPT-4o-Transcribe", "gpt-4o-mini-transcribe"),
        *("gpt-4o-mini-transcribe-2025-12-15", "gpt-4o-transcribe-diarize", "gpt-4o-transcribe-2025-03-20"),
    ],
    "tiny.en": ["tiny.en", "TINY.EN", "whisper-tiny.en", "openai/whisper-tiny.en", "faster-whisper-tiny.en"],
    "turbo": [
        *("turbo", "Turbo", "large-v3-turbo", "whisper-turbo", "openai/whisper-large-v3-turbo"),
        *("deepdml/faster-whisper-large-v3-turbo-ct2", "mobiuslabsgmbh/faster-whisper-large-v3-turbo"),
    ],
    "openai/whisper-small": ["openai/whisper-small", "openai/whisper-small@main", "small", "faster-whisper-small"],
    "distil-whisper/distil-large-v3@main": [
        *("distil-whisper/distil-large-v3@main", "distil-whisper/distil-large-v3", "distil-large-v3"),
        "Systran/faster-distil-whisper-large-v3",
    ],
    "mine.pt": ["mine.pt"],
    None: [
        *("", "large", "large-v3", "tiny", "turbo.en", "whisper", "openai/whisper-large-v3", "../base", "base/"),
        *("someone/base", "someone/whisper-base", "openai/whisper-base@abc"),
        *("gpt-4o", "gpt-live-transcribe", "gpt-4o-transcribe-x", "gpt-4o-transcribe-2025", "whisper-2", "tts-1"),
    ],
}


@pytest.mark.parametrize(("requested", "found"), [(name, found) for found, names in NAMES.items() for name in names])
def test_a_model_is_found_by_any_of_its_names(requested: str, found: str | None) -> None:
    names = [name for name in NAMES if name]
    index = match_model(requested, names)
    assert (None if index is None else names[index]) == found


def test_large_is_openais_newest() -> None:
    assert match_model("large", ["large-v2", "large-v3"]) == 1
    assert match_model("Systran/faster-whisper-large-v3", ["base", "large"]) == 1


def test_an_exact_name_wins() -> None:
    names = ["Systran/faster-whisper-base", "base", "openai/whisper-base"]
    assert [match_model(name, names) for name in names] == [0, 1, 2]
