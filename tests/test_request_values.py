"""Values as people and tools write them, in both forms of a job: text, blanks, other cases."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from src.errors import InvalidInput
from src.request.audio_source import AudioSource
from src.request.options import Options
from src.request.schema import JobInput, UploadRequest, Webhook
from src.request.tracks import TrackSource
from src.request.validation import _FORMS, parse_input
from src.request.worker_faster_whisper import FlatInput, to_input

URL = "https://example.com/a.mp3"

BESIDE: dict[str, dict[str, Any]] = {
    **{key: {"diarize": True} for key in ("num_speakers", "min_speakers", "max_speakers", "speakers")},
    "speaker_embeddings": {"diarize": True},
    "patience": {"beam_size": 5},
}
"""What an option needs beside it."""


def options(**given: Any) -> Options:
    return parse_input({"audio": URL, "options": given}).options


def flat_options(**given: Any) -> Options:
    return parse_input(to_input({"audio": URL, **given})).options


def fields_of(kind: type) -> list[str]:
    return [
        name for name, field in Options.model_fields.items() if kind in (field.annotation, *get_args(field.annotation))
    ]


SWITCHES = fields_of(bool)

NUMBERS = ["vad_threshold", "min_speech_ms", "min_silence_ms", "speech_pad_ms", "caption_size", "beam_size", "best_of"]


# --- Text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SWITCHES)
def test_each_switch_is_read_from_text(name: str) -> None:
    beside = BESIDE.get(name, {})
    for true, false in (("true", "false"), ("True", "False"), ("1", "0"), (1, 0), ("yes", "no"), (" ON\n", "off")):
        assert getattr(options(**{name: true}, **beside), name) is True
        assert getattr(options(**{name: false}, **beside), name) is False


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["yes please", "2", 2, -1, 0.5, [True], {}, "tru"])
def test_anything_else_is_no_switch(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=f"options.{name}: should be true or false"):
        options(**{name: value})


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        *(("beam_size", written, 5) for written in ("5", 5.0, "5.0", " 5 ", "+5")),
        *(("temperature", written, [0.2]) for written in ("0.2", 0.2, ["0.2"], " 0.2 ", "2e-1")),
        *(("temperature", written, [0.0, 0.4]) for written in (["0", "0.4"], "0,0.4", "0, 0.4", [0, "0.4"])),
        ("temperature", "0", [0.0]),
        ("max_line_width", "42", 42),
        ("vad_threshold", "0.35", 0.35),
        ("no_speech_threshold", "1", 1.0),
        ("logprob_threshold", "-0.5", -0.5),
        ("suppress_tokens", ["-1", 11.0], [-1, 11]),
        ("suppress_tokens", 11, [11]),
        ("clip_timestamps", ["0", "30"], [(0.0, 30.0)]),
        ("audio_track", " 2 ", 2),
    ],
)
def test_numbers_are_read_from_text(name: str, written: Any, value: Any) -> None:
    assert getattr(options(**{name: written}), name) == value


@pytest.mark.parametrize("name", [*NUMBERS, "temperature", "clip_timestamps", "suppress_tokens"])
@pytest.mark.parametrize("value", [True, False, "true", "five", "nan", "inf", "-inf", "1e999", "0x10", {}])
def test_what_is_no_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=f"options.{name}"):
        options(**{name: value})


@pytest.mark.parametrize("value", [True, False, {}, 0, 1.5])
def test_what_is_neither_a_tracks_number_nor_its_name_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"options\.audio_track"):
        options(audio_track=value)


@pytest.mark.parametrize(
    ("name", "value"), [("beam_size", "21"), ("best_of", "0"), ("max_line_width", "1e3"), ("vad_threshold", "1")]
)
def test_limits_hold_for_numbers_in_text(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=f"options.{name}: should be"):
        options(**{name: value})


@pytest.mark.parametrize(
    ("given", "option", "value"),
    [
        ({"word_timestamps": "true"}, "word_timestamps", True),
        ({"word_timestamps": "false"}, "word_timestamps", False),
        ({"enable_vad": "false"}, "vad", False),
        ({"temperature": "0.5", "temperature_increment_on_fallback": "0.5"}, "temperature", [0.5, 1.0]),
        ({"beam_size": "3"}, "beam_size", 3),
        ({"best_of": 5.0}, "best_of", 5),
        ({"language": "de-DE", "translate": "0"}, "language", "de"),
        ({"transcription": "SRT", "language": "auto"}, "language", None),
        ({"transcription": " Plain_Text", "language": "zh-TW"}, "chinese_script", "traditional"),
    ],
)
def test_the_other_form_of_a_job_reads_the_same(given: dict[str, Any], option: str, value: Any) -> None:
    assert getattr(flat_options(**given), option) == value


# --- Not set ---------------------------------------------------------------------------------------------------------

WITHOUT_THRESHOLD = {"compression_ratio_threshold", "logprob_threshold", "no_speech_threshold"}
"""Options whose null is not the default: no threshold."""


@pytest.mark.parametrize("name", Options.model_fields)
def test_blank_text_is_the_default_of_each_option(name: str) -> None:
    assert options(**{name: ""}) == options(**{name: " \n"}) == Options()


@pytest.mark.parametrize("name", Options.model_fields)
def test_null_is_the_default_of_each_option(name: str) -> None:
    expected = None if name in WITHOUT_THRESHOLD else getattr(Options(), name)
    assert getattr(options(**{name: None}), name) == expected


def test_all_options_may_be_null_at_once() -> None:
    given = {name: None for name in Options.model_fields if name not in WITHOUT_THRESHOLD}
    assert options(**given) == Options()


@pytest.mark.parametrize("blank", [None, "", "  "])
@pytest.mark.parametrize("key", ["options", "webhook", "upload"])
def test_blank_objects_are_left_out(key: str, blank: Any) -> None:
    assert parse_input({"audio": URL, key: blank}) == parse_input({"audio": URL})


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_blank_keys_of_inner_objects_are_left_out(blank: Any) -> None:
    job = parse_input(
        {
            "audio": {"url": URL, "base64": blank},
            "webhook": {"url": URL, "progress": blank},
            "upload": {"prefix": blank},
            "options": {"diarize": True, "speakers": {"Ada": {"url": URL, "base64": blank}}},
        }
    )
    assert job.audio == [TrackSource(url=URL)]
    assert job.webhook == Webhook(url=URL)
    assert job.upload == UploadRequest()
    assert job.options.speakers == {"Ada": AudioSource(url=URL)}


@pytest.mark.parametrize(
    "name", sorted(FlatInput.model_fields.keys() - {"audio", "audio_base64", "temperature_increment_on_fallback"})
)
@pytest.mark.parametrize("blank", [None, ""])
def test_blank_keys_of_the_other_form_are_the_default(name: str, blank: Any) -> None:
    assert parse_input(to_input({"audio": URL, "audio_base64": "", name: blank})) == parse_input(
        to_input({"audio": URL})
    )


# --- Spellings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("task", "Translate", "translate"),
        ("task", " TRANSCRIBE\n", "transcribe"),
        ("chunking", "VAD", "vad"),
        ("chunking", "Sequential", "sequential"),
        ("channels", "SPLIT", "split"),
        ("captions", "Mux", "mux"),
        ("subtitle_preset", "Broadcast", "broadcast"),
        ("output_format", "SRT", ["srt"]),
        ("output_format", ".srt", ["srt"]),
        ("output_format", "srt, .vtt", ["srt", "vtt"]),
        ("output_format", ["TXT", "Vtt", "subrip", "WebVTT"], ["text", "vtt", "srt", "vtt"]),
        ("output_format", "Verbose_JSON", ["verbose_json"]),
        ("output_format", "verbose-json", ["verbose_json"]),
    ],
)
def test_choices_are_taken_in_any_case(name: str, written: Any, value: Any) -> None:
    assert getattr(options(**{name: written}), name) == value


# --- Errors ----------------------------------------------------------------------------------------------------------

WRONG = [None, True, 7, -7, 0.5, 10**400, float("nan"), "", "x", "9" * 5000, "\ud800", "x" * 20_000, [], {}, [[]], [{}]]
WRONG += [
    ["x"],
    [True],
    [7] * 6000,
    [0] * 3000,
    {"x": 1},
    {"x": {}},
    {"x": [[]]},
    {"a.b\n": {"url": URL}},
    [None],
    ["x"] * 3,
]


@pytest.mark.parametrize("name", Options.model_fields)
def test_errors_are_said_in_the_words_of_json(name: str) -> None:
    for value in WRONG:
        try:
            options(**BESIDE.get(name, {}), **{name: value})
        except InvalidInput as error:
            sentence = str(error)
            assert not any(
                word in sentence for word in ("input", "Input", "dictionary", "instance", "valid ", "parse", "integer")
            )
            assert sentence.isprintable()
            assert "has a wrong form" not in sentence


@given(st.sampled_from([*Options.model_fields]), st.recursive(st.sampled_from(WRONG[:12]), st.lists, max_leaves=4))
def test_each_kind_of_error_has_a_sentence_of_its_own(name: str, value: Any) -> None:
    special = {"extra_forbidden", "missing", "model_type", "dict_type", "literal_error", "value_error"}
    try:
        JobInput.model_validate({"audio": URL, "options": {name: value}})
    except ValidationError as error:
        assert {details["type"] for details in error.errors()} <= special | _FORMS.keys()


@pytest.mark.parametrize(
    ("kind", "name", "value", "sentence"),
    [
        ("string_type", "initial_prompt", 7, "options.initial_prompt: should be a string"),
        (
            "string_unicode",
            "initial_prompt",
            "\ud800",
            "options.initial_prompt: should be without half of a surrogate pair",
        ),
        ("string_too_long", "caption_font", "x" * 101, "options.caption_font: should have at most 100 characters"),
        ("int_type", "beam_size", [], "options.beam_size: should be a whole number"),
        ("int_parsing", "beam_size", "x", "options.beam_size: should be a whole number"),
        ("int_parsing_size", "beam_size", "9" * 5000, "options.beam_size: should be a whole number of fewer digits"),
        ("int_from_float", "beam_size", 1.5, "options.beam_size: should be a whole number"),
        ("float_type", "vad_threshold", [], "options.vad_threshold: should be a number"),
        ("float_parsing", "vad_threshold", "x", "options.vad_threshold: should be a number"),
        ("finite_number", "vad_threshold", "nan", "options.vad_threshold: should be a finite number"),
        ("bool_type", "vad", [], "options.vad: should be true or false"),
        ("bool_parsing", "vad", "x", "options.vad: should be true or false"),
        ("greater_than", "vad_threshold", 0, "options.vad_threshold: should be more than 0"),
        ("greater_than_equal", "min_speech_ms", -1, "options.min_speech_ms: should be at least 0"),
        ("less_than", "vad_threshold", 1, "options.vad_threshold: should be less than 1"),
        ("less_than_equal", "min_speech_ms", 10_001, "options.min_speech_ms: should be at most 10000"),
        ("too_short", "output_format", [], "options.output_format: should not be empty"),
        ("too_long", "temperature", [0] * 11, "options.temperature: should have at most 10 items"),
        ("literal_error", "captions", "draw", 'options.captions: should be "mux" or "burn"'),
        ("literal_error", "subtitle_preset", "x", 'options.subtitle_preset: should be "broadcast"'),
        ("dict_type", "speakers", 7, 'options.speakers: should be an object such as {"Ada": {"url": "https://..."}}'),
        (
            "value_error",
            "speakers",
            {"Ada": 7},
            'options.speakers.Ada: give {"url": "https://..."}, {"base64": "..."} or {"volume": "in/talk.mp4"}',
        ),
        ("value_error", "caption_color", "red", 'options.caption_color: should be a colour such as "#FFD400"'),
        ("value_error", "speakers", {"<b>": URL}, "options.speakers.<b>: a name should be 1 to 60 letters"),
        ("extra_forbidden", "vad_treshold", 1, 'options.vad_treshold: unknown key, did you mean "vad_threshold"?'),
    ],
)
def test_each_kind_of_error_is_said_plainly(kind: str, name: str, value: Any, sentence: str) -> None:
    with pytest.raises(ValidationError) as details:
        JobInput.model_validate({"audio": URL, "options": {name: value}})
    assert [error["type"] for error in details.value.errors()] == [kind]
    with pytest.raises(InvalidInput) as caught:
        options(**{name: value})
    assert str(caught.value).startswith(sentence)
