"""Each wrong input is reported in one sentence, with its place and correct form."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.errors import InvalidInput
from src.request.options import Options
from src.request.validation import parse_input
from tests.support.work import counted_lines

URL = "https://example.com/a.mp3"


def options(**given: object) -> dict[str, object]:
    return {"audio": {"url": URL}, "options": given}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, "object"),
        ("https://example.com", "object"),
        ([], "object"),
        ({}, "audio: give"),
        ({"audio": None}, 'audio: give {"url": "https://..."}, {"base64": "..."} or {"volume": "in/talk.mp4"}'),
        ({"audio": ""}, 'audio: give {"url": "https://..."}, {"base64": "..."} or {"volume": "in/talk.mp4"}'),
        ({"audio": [URL, []]}, 'audio.1: give {"url": "https://..."}, {"base64": "..."} or {"volume": "in/talk.mp4"}'),
        ({"audio": 7}, 'audio: give {"url": "https://..."}, {"base64": "..."} or {"volume": "in/talk.mp4"}'),
        ({"audio": {}}, "exactly one"),
        ({"audio": {"url": None}}, "exactly one"),
        ({"audio": {"url": URL, "base64": "AAAA"}}, "exactly one"),
        ({"audio": {"url": 5}}, "audio.url: should be a string"),
        ({"audio": {"uri": URL}}, 'did you mean "url"'),
        ({"audio": {"url": URL + "x" * 9000}}, "audio.url"),
        ({"audio": URL, "option": {}}, 'did you mean "options"'),
        ({"audio": URL, "options": []}, 'options: should be an object such as {"language": "de"}'),
        ({"audio": URL, "options": "srt"}, 'options: should be an object such as {"language": "de"}'),
        ({"audio": URL, "webhook": 5}, 'webhook: give a URL, or {"url": "https://...", "progress": true}'),
        ({"audio": URL, "upload": True}, 'upload: should be an object such as {"prefix": "transcripts"}'),
        ({"audio": URL, "langauge": "de"}, 'langauge: unknown key, did you mean "language"?'),
        (
            {"audio": URL, "qqqq": 1},
            'qqqq: unknown key, known ones are "audio", "options", "webhook", "upload", "reference"',
        ),
        (options(beamsize=5), 'options.beamsize: unknown key, did you mean "beam_size"?'),
        (options(lang="en"), 'options.lang: unknown key, did you mean "language"?'),
        (options(qqqqqq=1), "options.qqqqqq: unknown key, docs/options.md lists the known ones"),
        (options(task="summarise"), 'options.task: should be "transcribe" or "translate"'),
        (options(initial_prompt="a <|endoftext|> b"), "initial_prompt should be without Whisper's special tokens"),
        (options(custom_vocabulary=["<|en|>"]), "custom_vocabulary should be without Whisper's special tokens"),
        (
            options(custom_vocabulary={"a": ["<|0.00|>"]}),
            "custom_vocabulary should be without Whisper's special tokens",
        ),
        (options(align="Hello <|nospeech|>"), "align should be without Whisper's special tokens"),
        (options(language="klingon"), "options.language: not a language that Whisper knows"),
        (options(language="germn"), 'did you mean "german"?'),
        (
            options(language="multi"),
            "options.language: should be one language: for several, leave it out",
        ),
        ({"audio": {"url": URL, "headers": {f"X{n}": 1 for n in range(500)}}}, "should have at most 20 headers"),
        (options(custom_vocabulary={f"x{n}": 1 for n in range(5001)}), "should have at most 5000 items"),
        (
            {"audio": {"url": "https://u:p@example.com/a", "headers": {"authorization": "x"}}},
            'audio: give either user and password in the URL, or the header "Authorization"',
        ),
        ({"audio_base64": "AAAA", "options": {}}, 'audio_base64: unknown key: give it as "audio.base64"'),
        ({"audio": {"url": URL}, "transcription": "srt"}, 'unknown key: give it as "options.output_format"'),
        (options(language="kling\n" * 50), "options.language: should have at most 60 characters"),
        (
            options(language_candidates=["de", "auto"]),
            "options.language_candidates: should be languages to choose from",
        ),
        (options(language=["en"]), "options.language"),
        (options(output_format="docx"), 'options.output_format: should be one of "text", "srt"'),
        (options(word_timestamps="yes please"), "options.word_timestamps: should be true or false"),
        (options(temperature=math.nan), "options.temperature"),
        (options(temperature=2), "options.temperature: should be at most 1"),
        (options(temperature=[0, 2]), "options.temperature.1: should be at most 1"),
        (options(temperature="hot"), "options.temperature: should be a number"),
        (options(temperature={}), "options.temperature: should be a number"),
        (options(temperature=[True]), "options.temperature.0: should be a number"),
        (options(temperature=[]), "options.temperature"),
        (options(temperature=[0, "hot"]), "options.temperature.1: should be a number"),
        (options(temperature=True), "options.temperature: should be a number"),
        (options(beam_size=0), "options.beam_size: should be at least 1"),
        (options(beam_size="0"), "options.beam_size: should be at least 1"),
        (options(beam_size="five"), "options.beam_size: should be a whole number"),
        (options(beam_size="9" * 5000), "options.beam_size: should be a whole number of fewer digits"),
        (options(beam_size=2.5), "options.beam_size: should be a whole number"),
        (options(beam_size="2.5"), "options.beam_size: should be a whole number"),
        (options(beam_size=True), "options.beam_size: should be a whole number"),
        (options(best_of=10**9), "options.best_of"),
        (options(patience=2.0), "patience needs beam_size"),
        (options(length_penalty=-0.5), "options.length_penalty"),
        (options(suppress_tokens="a,b"), "options.suppress_tokens: should be a whole number"),
        (options(suppress_tokens=[99999]), "options.suppress_tokens.0: should be less than 50257"),
        (
            options(compression_ratio_threshold=math.inf),
            "options.compression_ratio_threshold: should be a finite number",
        ),
        (options(logprob_threshold="nan"), "options.logprob_threshold: should be a finite number"),
        (options(max_cue_duration="inf"), "options.max_cue_duration: should be a finite number"),
        (options(clip_timestamps=[[5]]), "options.clip_timestamps: should be pairs of a start and an end"),
        (
            options(clip_timestamps=[["1:70", "2:00"]]),
            'options.clip_timestamps: should be times in seconds, or such as "1:15"',
        ),
        (options(clip_timestamps=[[0, "end"]]), "options.clip_timestamps.0.1: should be a number"),
        (options(logprob_threshold="low"), "options.logprob_threshold"),
        (options(no_speech_threshold=1.5), "options.no_speech_threshold"),
        (options(condition_on_previous_text=2), "options.condition_on_previous_text: should be true or false"),
        (options(chunking="words"), "options.chunking"),
        (options(denoise=[True]), "options.denoise: should be true or false"),
        *(
            (options(audio_track=track), "options.audio_track: should be the number of an audio track, from 1")
            for track in (
                0,
                -1,
                True,
                1.5,
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
            "options.initial_prompt: should have at most 10000 characters",
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


def test_ten_errors_are_described_and_the_others_counted() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_input(options(**{f"k{number}" * 50: 1 for number in range(150)}))
    assert len(str(caught.value)) < 6000
    assert "; and 140 more" in str(caught.value)


MANY = 250_000


def many_keys(value: object = 1) -> dict[str, object]:
    return {f"caption_hilight_colr_{number}": value for number in range(MANY)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: options(**many_keys()),
        lambda: {"audio": URL, **many_keys()},
        lambda: {"audio": {"url": URL, **many_keys()}},
        lambda: {"audio": URL, "webhook": many_keys()},
        lambda: options(speakers=many_keys({"url": URL, "uri": URL}), diarize=True),
        lambda: options(**{"x" * 36 * MANY: 1}),
        lambda: options(**{f"{number}" + "x" * 50_000: 1 for number in range(199)}),
        *(lambda name=name: options(**{name: [1] * 12 * MANY}) for name in ("temperature", "clip_timestamps", "vad")),
        *(lambda name=name: options(**{name: [[0, 1]] * 4 * MANY}) for name in ("output_format", "clip_timestamps")),
        *(
            lambda name=name: options(**{name: "1:" * 16 * MANY})
            for name in ("language", "clip_timestamps", "hotwords")
        ),
        *(lambda name=name: options(**{name: "a," * 16 * MANY}) for name in ("output_format", "suppress_tokens")),
    ],
)
def test_an_input_of_ten_megabytes_is_refused_with_little_work(make: Callable[[], object]) -> None:
    raw = make()
    with counted_lines() as lines, pytest.raises(InvalidInput) as caught:
        parse_input(raw)
    assert lines.run < 2 * MANY  # keys, of which each may be looked at
    assert len(str(caught.value)) < 6000


@pytest.mark.parametrize("audio", [URL, {"url": URL}])
def test_a_bare_string_is_a_url(audio: object) -> None:
    assert parse_input({"audio": audio}).audio[0].url == URL


def test_a_bare_data_uri_is_base64() -> None:
    assert parse_input({"audio": "data:audio/wav;base64,AAAA"}).audio[0].base64 == "data:audio/wav;base64,AAAA"


def test_null_options_are_no_options() -> None:
    assert parse_input({"audio": URL, "options": None}).options == Options()


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
