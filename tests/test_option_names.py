"""Options beside `audio`, and under the names that OpenAI's API, openai-whisper and its kin have for them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper.decoding import DecodingOptions
from whisper.transcribe import transcribe

from src.errors import InvalidInput
from src.request.option_names import OPTION_NAMES
from src.request.options import Options
from src.request.other_names import OTHER_NAMES, WITHOUT_EFFECT
from src.request.schema import JobInput
from src.request.validation import parse_input
from src.request.worker_faster_whisper import is_worker_faster_whisper_input
from src.rp_handler import handler
from tests.support.clips import CLIPS, as_base64
from tests.support.properties import examples

URL = "https://example.com/a.mp3"


def parse(**given: Any) -> JobInput:
    return parse_input({"audio": URL, "options": given})


# --- Other names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "option", "meant"),
    [
        ("response_format", "srt", "output_format", ["srt"]),
        ("response_format", "verbose_json", "output_format", ["verbose_json"]),
        ("timestamp_granularities", ["word"], "word_timestamps", True),
        ("timestamp_granularities", ["segment", "word"], "word_timestamps", True),
        ("timestamp_granularities", "Word", "word_timestamps", True),
        ("timestamp_granularities[]", ["segment"], "word_timestamps", False),
        ("prompt", "Dr Okonkwo", "initial_prompt", "Dr Okonkwo"),
        ("include", ["logprobs"], "token_logprobs", True),
        ("include[]", "logprobs", "token_logprobs", True),
        ("include", [], "token_logprobs", False),
        ("hotwords", "RunPod, Kubernetes", "custom_vocabulary", ["RunPod", "Kubernetes"]),
        ("hotwords", ["RunPod"], "custom_vocabulary", ["RunPod"]),
        ("vad_filter", "false", "vad", False),
        ("enable_vad", False, "vad", False),
        ("vad_parameters", {"threshold": 0.3, "min_silence_duration_ms": "500"}, "vad_threshold", 0.3),
        ("vad_parameters", {"threshold": 0.3, "min_silence_duration_ms": "500"}, "min_silence_ms", 500),
        ("log_prob_threshold", -0.5, "logprob_threshold", -0.5),
        ("vad_onset", 0.4, "vad_threshold", 0.4),
        ("num_beams", 5, "beam_size", 5),
        ("return_timestamps", "word", "word_timestamps", True),
    ],
)
def test_an_option_is_read_under_the_names_of_others(name: str, value: Any, option: str, meant: Any) -> None:
    job = parse(**{name: value})
    assert getattr(job.options, option) == meant
    assert [warning for warning in job.warnings if warning.startswith(f"{name} was read as ") and option in warning]


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_an_option_without_effect_is_named_in_a_warning(name: str) -> None:
    job = parse(**{name: "something else"})
    assert job.options == Options()
    assert len(job.warnings) == 1
    assert job.warnings[0].startswith(f"{name} has no effect here: ")


@pytest.mark.parametrize("name", [*WITHOUT_EFFECT, *OTHER_NAMES])
@pytest.mark.parametrize("blank", [None, ""])
def test_other_names_that_are_not_set_are_passed_over(name: str, blank: Any) -> None:
    assert parse(**{name: blank}) == JobInput.model_validate({"audio": URL})
    assert parse(**{name: blank}).warnings == ()


def test_what_is_done_in_any_case_is_no_warning() -> None:
    as_here = {name: known.as_here[0] for name, known in WITHOUT_EFFECT.items() if known.as_here}
    assert parse(**as_here).warnings == ()
    as_text = {name: str(value) for name, value in as_here.items() if isinstance(value, (bool, int, float))}
    assert parse(**as_text).warnings == ()


def test_all_arguments_of_whispers_transcribe_are_taken_with_their_defaults() -> None:
    parameters = {**inspect.signature(transcribe).parameters, **inspect.signature(DecodingOptions).parameters}
    theirs = {name: one.default for name, one in parameters.items() if one.default is not inspect.Parameter.empty}
    theirs["temperature"] = list(transcribe.__kwdefaults__["temperature"])
    job = parse(**theirs)
    assert job.options == Options.model_validate({"clip_timestamps": [[0, None]]})
    assert job.warnings == ()


@examples(1500)
@given(
    name=st.sampled_from([*OTHER_NAMES, *WITHOUT_EFFECT]),
    value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4),
)
def test_any_value_under_another_name_is_read_or_refused(name: str, value: Any) -> None:
    try:
        parse(**{name: value})
    except InvalidInput as error:
        assert str(error).startswith(f"options.{name}")


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({"options": {"response_format": "docx"}}, "options.response_format: should be one of"),
        ({"options": {"num_beams": 99}}, "options.num_beams: should be at most 20"),
        ({"options": {"hotwords": 5}}, "options.hotwords: should be {"),
        ({"options": {"timestamp_granularities": ["letter"]}}, "options.timestamp_granularities: should be a list of"),
        ({"options": {"include": ["item.input"]}}, 'options.include: should be a list of "logprobs"'),
        ({"options": {"vad_parameters": 0.5}}, "options.vad_parameters: should be an object such as"),
        ({"options": {"vad_parameters": {"threshold": 2}}}, "options.vad_parameters: should be less than 1"),
        ({"output_format": "docx"}, "output_format: should be one of"),
        ({"response_format": ["srt", 5]}, "response_format.1: should be a string"),
    ],
)
def test_an_error_names_the_option_as_it_was_written(raw: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_input({"audio": URL, **raw})
    assert str(caught.value).startswith(sentence)


def test_what_is_left_out_of_an_object_is_a_warning() -> None:
    job = parse(vad_parameters={"threshold": 0.4, "max_speech_duration_s": 20})
    assert job.warnings == ("vad_parameters was read as vad_threshold; the rest of it has no effect here",)
    assert parse(vad_parameters={"max_speech_duration_s": 20}).warnings == ("vad_parameters has no effect here",)


def test_no_name_has_two_meanings() -> None:
    assert len(OPTION_NAMES) == len(Options.model_fields) + len(OTHER_NAMES) + len(WITHOUT_EFFECT)


# --- Beside `audio` --------------------------------------------------------------------------------------------------


def test_options_beside_the_audio_are_taken_with_a_warning() -> None:
    job = parse_input({"audio": URL, "language": "de", "response_format": "srt", "options": {"beam_size": 5}})
    assert (job.options.language, job.options.output_format, job.options.beam_size) == ("de", ["srt"], 5)
    assert job.warnings == (
        "response_format was read as output_format",
        'options belong inside the object "options", not beside "audio": language, response_format',
    )


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({"language": "de", "options": {"language": "en"}}, "language: has another value than options.language"),
        ({"response_format": "srt", "output_format": "vtt"}, "output_format: has another value than response_format"),
        ({"options": {"vad": True, "vad_filter": False}}, "options.vad_filter: has another value than options.vad"),
        ({"options": {"prompt": "a"}, "initial_prompt": "b"}, "initial_prompt: has another value than options.prompt"),
    ],
)
def test_an_option_given_twice_with_different_values_is_refused(raw: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_input({"audio": URL, **raw})
    assert str(caught.value) == f"{sentence}: leave one of them out"


@pytest.mark.parametrize("blank", [None, ""])
def test_an_option_given_twice_but_set_once_is_taken(blank: Any) -> None:
    for raw in ({"language": "de", "options": {"language": blank}}, {"language": blank, "options": {"language": "de"}}):
        assert parse_input({"audio": URL, **raw}).options.language == "de"
    assert parse_input({"audio": URL, "language": "de", "options": {"language": "de"}}).options.language == "de"


@pytest.mark.parametrize(
    "options", [{"vad": True, "vad_filter": "true"}, {"beam_size": 5, "num_beams": "5"}, {"vad": "1", "vad_filter": 1}]
)
def test_an_option_given_twice_with_the_same_value_is_taken(options: dict[str, Any]) -> None:
    assert parse(**options).options == Options.model_validate({next(iter(options)): next(iter(options.values()))})


@pytest.mark.parametrize(
    ("keys", "its"),
    [
        ({"language": "de"}, True),
        ({"language": "de", "transcription": "srt", "diarize": True}, True),
        ({"model": "base", "enable_vad": False}, True),
        ({"language": "de", "output_format": "srt"}, False),
        ({"model": "whisper-1", "response_format": "srt"}, False),
        ({"word_timestamps": True, "fp16": True}, False),
    ],
)
def test_options_that_the_other_worker_lacks_make_a_job_ours(keys: dict[str, Any], its: bool) -> None:
    assert is_worker_faster_whisper_input({"audio": URL, **keys}, bare=False) is its


# --- The answer ------------------------------------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.process
def test_warnings_about_the_input_come_first_in_the_answer() -> None:
    audio = {"base64": as_base64(CLIPS / "demo.ogg")}
    answer = handler(
        {
            "input": {
                "audio": audio,
                "language": "en",
                "options": {"device": "cuda", "clip_timestamps": [[0, 900], [950, 960]]},
            }
        }
    )
    warnings = answer["metadata"]["warnings"]
    assert warnings[0].startswith("device has no effect here")
    assert warnings[1].startswith("options belong inside")
    assert "clip_timestamps" in warnings[2]
