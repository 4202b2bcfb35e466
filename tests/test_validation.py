"""Each wrong input is reported in one sentence, with its place and correct form."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.errors import InvalidInput
from src.request.options import Options
from src.request.validation import parse_input

URL = "https://example.com/a.mp3"


def options(**given: object) -> dict[str, object]:
    return {"audio": {"url": URL}, "options": given}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, "object"),
        ("https://example.com", "object"),
        ([], "object"),
        ({}, "audio: missing"),
        ({"audio": None}, 'audio: give {"url": "https://..."} or {"base64": "..."}'),
        ({"audio": ""}, 'audio: give {"url": "https://..."} or {"base64": "..."}'),
        ({"audio": 7}, 'audio: give {"url": "https://..."} or {"base64": "..."}'),
        ({"audio": {}}, "exactly one"),
        ({"audio": {"url": None}}, "exactly one"),
        ({"audio": {"url": URL, "base64": "AAAA"}}, "exactly one"),
        ({"audio": {"url": 5}}, "audio.url: input should be a valid string"),
        ({"audio": {"uri": URL}}, 'did you mean "url"'),
        ({"audio": {"url": URL + "x" * 9000}}, "audio.url"),
        ({"audio": URL, "option": {}}, 'did you mean "options"'),
        ({"audio": URL, "options": []}, "options"),
        (options(beamsize=5), 'options.beamsize: unknown key, did you mean "beam_size"?'),
        (options(lang="en"), "options.lang: unknown key"),
        (options(qqqqqq=1), "known ones are task, language"),
        (options(task="summarise"), "options.task: input should be 'transcribe' or 'translate'"),
        (options(task=None), "options.task"),
        (options(language="klingon"), "options.language: no language that Whisper knows"),
        (options(language="germn"), 'did you mean "german"?'),
        (options(language=["en"]), "options.language"),
        (options(output_format="docx"), "should be one of text"),
        (options(word_timestamps="yes"), "options.word_timestamps"),
        (options(temperature=math.nan), "options.temperature"),
        (options(temperature=2), "options.temperature"),
        (options(temperature=[]), "options.temperature"),
        (options(temperature=[0, "hot"]), "options.temperature.1"),
        (options(temperature=True), "options.temperature"),
        (options(beam_size=0), "options.beam_size"),
        (options(beam_size=2.5), "options.beam_size"),
        (options(beam_size=True), "options.beam_size"),
        (options(best_of=10**9), "options.best_of"),
        (options(patience=2.0), "patience needs beam_size"),
        (options(length_penalty=-0.5), "options.length_penalty"),
        (options(suppress_tokens="a,b"), "token ids with commas"),
        (options(suppress_tokens=[99999]), "options.suppress_tokens.0"),
        (options(compression_ratio_threshold=math.inf), "options.compression_ratio_threshold"),
        (options(logprob_threshold="low"), "options.logprob_threshold"),
        (options(no_speech_threshold=1.5), "options.no_speech_threshold"),
        (options(condition_on_previous_text=1), "options.condition_on_previous_text"),
        (options(chunking="words"), "options.chunking"),
        (options(denoise="yes"), "options.denoise"),
        (options(strict="yes"), "options.strict"),
        (options(strict=1), "options.strict"),
        *(
            (options(audio_track=track), "options.audio_track: should be the number of an audio track, from 1")
            for track in (
                0,
                -1,
                True,
                1.5,
                "",
                "  ",
                "0",
                [1],
                {"number": 1},
                "x" * 300,
                10**9,
                "9" * 9,
            )
        ),
        (options(initial_prompt="lone \ud800 surrogate"), "options.initial_prompt"),
        (
            options(initial_prompt="x" * 50_000_000),
            "options.initial_prompt: string should have at most 10000 characters",
        ),
    ],
)
def test_a_wrong_input_is_reported_with_its_correct_form(raw: object, expected: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_input(raw)
    sentence = str(caught.value)
    assert expected in sentence
    assert len(sentence) < 1000
    assert "\n" not in sentence


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_input({"audio": {"url": URL}, "options": {"beam_size": 0, "task": "sing", "lng": "en"}})
    assert all(name in str(caught.value) for name in ("options.beam_size", "options.task", "options.lng"))


def test_a_thousand_unknown_keys_get_a_short_answer() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_input(options(**{f"k{number}" * 50: 1 for number in range(1000)}))
    assert len(str(caught.value)) < 6000
    assert "990 more" in str(caught.value)


@pytest.mark.parametrize("audio", [URL, {"url": URL}])
def test_a_bare_string_is_a_url(audio: object) -> None:
    assert parse_input({"audio": audio}).audio.url == URL


def test_a_bare_data_uri_is_base64() -> None:
    assert parse_input({"audio": "data:audio/wav;base64,AAAA"}).audio.base64 == "data:audio/wav;base64,AAAA"


def test_null_options_are_no_options() -> None:
    assert parse_input({"audio": URL, "options": None}).options == Options()


@pytest.mark.parametrize(("name", "code"), [("German", "de"), (" EN ", "en"), ("mandarin", "zh"), ("yue", "yue")])
def test_a_language_is_a_code_or_an_english_name(name: str, code: str) -> None:
    assert parse_input(options(language=name)).options.language == code


@pytest.mark.parametrize(
    ("track", "used"), [(None, None), (1, 1), ("2", 2), (" eng ", "eng"), ("Director's cut", "Director's cut")]
)
def test_an_audio_track_is_a_number_or_a_name(track: object, used: object) -> None:
    assert parse_input(options(audio_track=track)).options.audio_track == used


@pytest.mark.parametrize(("temperature", "used"), [(0.2, 0.2), (1e-4, 1e-4), (9e-5, 0.0), (2e-43, 0.0)])
def test_a_temperature_next_to_zero_is_zero(temperature: float, used: float) -> None:
    assert parse_input(options(temperature=[temperature])).options.temperature == [used]


def test_one_temperature_is_a_list_of_one() -> None:
    assert parse_input(options(temperature=0)).options.temperature == [0.0]


@pytest.mark.parametrize("tokens", ["-1, 11", [-1, 11]])
def test_suppressed_tokens_are_a_string_or_a_list(tokens: object) -> None:
    assert parse_input(options(suppress_tokens=tokens)).options.suppress_tokens == [-1, 11]


def test_the_defaults_are_those_of_openai_whisper() -> None:
    import inspect

    from whisper.decoding import DecodingOptions
    from whisper.transcribe import transcribe

    theirs = {name: parameter.default for name, parameter in inspect.signature(transcribe).parameters.items()}
    for name in [
        "word_timestamps",
        "initial_prompt",
        "compression_ratio_threshold",
        "logprob_threshold",
        "no_speech_threshold",
        "condition_on_previous_text",
    ]:
        assert getattr(Options(), name) == theirs[name], name
    for name in ["task", "language", "beam_size", "best_of", "patience", "length_penalty"]:
        assert getattr(Options(), name) == getattr(DecodingOptions(), name), name
    assert tuple(Options().temperature) == theirs["temperature"]
    assert Options().suppress_tokens == [int(DecodingOptions().suppress_tokens)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(json_values | st.fixed_dictionaries({"audio": json_values, "options": json_values}))
def test_any_input_is_either_accepted_or_refused(raw: object) -> None:
    try:
        parse_input(raw)
    except InvalidInput as error:
        assert str(error)
        assert len(str(error)) < 6000


def test_a_key_with_line_breaks_keeps_the_sentence_on_one_line() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_input({"audio": {"url": URL, "\na\u2028b\x1b[31m": 1}})
    assert str(caught.value).isprintable()
