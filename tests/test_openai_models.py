"""Names of models in OpenAI's API: OpenAI's own stand for the default, which answers for other Whispers too."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import AudioModel, Model

from api.openai.errors import ApiError
from api.openai.models import ModelChoice, choose_model, get_model, list_models
from tests.support.openai_types import assert_is

MODELS = ["turbo", "base", "someone/whisper-medical", "distil-large-v3"]


@pytest.mark.parametrize(
    "name",
    [
        "", " ", *get_args(AudioModel), "gpt-4o-transcribe-2025-03-20", "gpt-4o-mini-transcribe-2025-12-15",
        "gpt-4o-transcribe-diarize-2025-10-15", "gpt-transcribe-2026-08-26", "WHISPER-1",
    ],
)  # fmt: skip
def test_openais_models_stand_for_the_default(name: str) -> None:
    assert choose_model(name, MODELS) == ModelChoice(None, None)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        *[(model, model) for model in MODELS],
        ("whisper-large-v3-turbo", "turbo"),
        ("large-v3-turbo", "turbo"),
        ("openai/whisper-large-v3-turbo", "turbo"),
        ("deepdml/faster-whisper-large-v3-turbo-ct2", "turbo"),
        ("Systran/faster-whisper-base", "base"),
        ("whisper-base", "base"),
        ("distil-whisper/distil-large-v3", "distil-large-v3"),
        ("Systran/faster-distil-whisper-large-v3", "distil-large-v3"),
    ],
)
def test_a_loaded_model_has_several_names(name: str, model: str) -> None:
    assert choose_model(name, MODELS) == ModelChoice(model, None)


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("whisper-large-v3", "large-v3"), ("large", "large-v3"), ("openai/whisper-large-v2", "large-v2"),
        ("Systran/faster-whisper-small.en", "small.en"), ("distil-whisper/distil-large-v3.5", "distil-large-v3.5"),
    ],
)  # fmt: skip
def test_the_default_answers_for_a_whisper_that_is_not_here(name: str, called: str) -> None:
    assert choose_model(name, MODELS) == ModelChoice(None, f"the model {called} is not loaded here: turbo has answered")


@pytest.mark.parametrize("name", ["gpt-4o", "nova-3", "someone/whisper-large-v3", "whisper-2", "tts-1", "x" * 10_000])
def test_any_other_model_is_not_found(name: str) -> None:
    for look_up in (choose_model, get_model):
        with pytest.raises(ApiError) as raised:
            look_up(name, MODELS)
        error = raised.value
        assert (error.status, error.code, error.param) == (404, "model_not_found", "model")
        assert all(f'"{choice}"' in str(error) for choice in [*MODELS, "whisper-1"])
        assert len(str(error)) < 300


def test_an_error_names_a_limited_number_of_models() -> None:
    with pytest.raises(ApiError) as raised:
        choose_model("nova-3", [f"someone/whisper-{number}" for number in range(1000)])
    assert str(raised.value).count("someone/") == 20


def test_the_list_has_the_endpoints_models_and_the_name_that_programs_have_built_in() -> None:
    listed: Any = list_models(MODELS)
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [*MODELS, "whisper-1"]
    for model in listed["data"]:
        assert_is(Model, model)
        assert get_model(model["id"], MODELS) == model


@given(st.text(max_size=40) | st.sampled_from(MODELS), st.lists(st.text(max_size=9), max_size=3))
def test_any_name_is_a_model_or_an_error_for_its_sender(name: str, models: list[str]) -> None:
    try:
        choose_model(name, models)
    except ApiError as error:
        assert error.status == 404
