"""Requests of OpenAI's audio API: each field becomes an option of a job, or an error that names it."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._qs import Querystring
from openai.types import AudioResponseFormat
from openai.types.audio import TranscriptionInclude, transcription_create_params, translation_create_params

from api.openai.errors import ApiError
from api.openai.request import OPENAI_FORMATS, SpeechRequest, parse_form, parse_json
from src.request.options import Options
from src.request.validation import parse_input
from tests.support.properties import examples

SCHEMAS = Options.model_json_schema()["properties"]

VOICE = "data:audio/wav;base64,UklGRg=="


def form(*fields: tuple[str, str], task: Any = "transcribe") -> SpeechRequest:
    return parse_form(fields, task, SCHEMAS)


def options(*fields: tuple[str, str]) -> dict[str, Any]:
    """Options of a job, beside the format."""
    found = dict(form(*fields).options)
    found.pop("output_format")
    return found


def as_sent(parameters: dict[str, Any]) -> list[tuple[str, str]]:
    """The fields of a form as the `openai` package sends them (`_base_client._serialize_multipartform`)."""
    return Querystring(array_format="brackets").stringify_items(parameters)


FIELDS: list[tuple[list[tuple[str, str]], dict[str, Any]]] = [
    ([], {}),
    ([("model", "whisper-1")], {}),
    ([("language", "en-US")], {"language": "en-US"}),
    ([("language", "german")], {"language": "german"}),
    ([("language", " ")], {}),
    ([("languages[]", "de"), ("languages[]", "fr")], {"language_candidates": ["de", "fr"]}),
    ([("languages", "de")], {"language_candidates": ["de"]}),
    ([("keywords[]", "Okonkwo"), ("keywords[]", "a, b")], {"custom_vocabulary": ["Okonkwo", "a, b"]}),
    ([("keywords", "Okonkwo"), ("keywords", "RunPod")], {"custom_vocabulary": ["Okonkwo", "RunPod"]}),
    ([("keywords", "Okonkwo")], {"custom_vocabulary": ["Okonkwo"]}),
    ([("prompt", "Dr Okonkwo, [sic].")], {"initial_prompt": "Dr Okonkwo, [sic]."}),
    ([("prompt", "[laughs]")], {"initial_prompt": "[laughs]"}),
    ([("temperature", "0")], {}),
    ([("temperature", "0.0")], {}),
    ([("temperature", "0.4")], {"temperature": 0.4}),
    ([("temperature", "[0, 0.2]")], {"temperature": [0, 0.2]}),
    ([("chunking_strategy", "auto")], {}),
    (
        [
            ("chunking_strategy[type]", "server_vad"),
            ("chunking_strategy[threshold]", "0.3"),
            ("chunking_strategy[prefix_padding_ms]", "250"),
            ("chunking_strategy[silence_duration_ms]", "700"),
        ],
        {"vad_threshold": 0.3, "speech_pad_ms": 250, "min_silence_ms": 700},
    ),
    ([("chunking_strategy", '{"type": "server_vad", "threshold": 0.6}')], {"vad_threshold": 0.6}),
    ([("chunking_strategy[type]", "server_vad")], {}),
    (
        [
            *[("known_speaker_names[]", "Zoe\u0308"), ("known_speaker_names[]", "Ada")],
            *[("known_speaker_references[]", VOICE), ("known_speaker_references[]", VOICE + "=")],
        ],
        {"speakers": {"Zo\u00eb": VOICE, "Ada": VOICE + "="}, "diarize": True},
    ),
    ([("response_format", "diarized_json")], {"diarize": True}),
    ([("include[]", "logprobs")], {"token_logprobs": True}),
    ([("response_format", "verbose_json"), ("timestamp_granularities[]", "word")], {"word_timestamps": True}),
    ([("response_format", "verbose_json"), ("timestamp_granularities[]", "segment")], {}),
    ([("response_format", "verbose_json"), ("word_timestamps", "true")], {"word_timestamps": True}),
    ([("beam_size", "5")], {"beam_size": "5"}),
    ([("vad", "off"), ("denoise", "1")], {"vad": False, "denoise": True}),
    ([("vad_filter", "false")], {"vad": False}),
    ([("hotwords", "Okonkwo, RunPod")], {"custom_vocabulary": ["Okonkwo", "RunPod"]}),
    ([("custom_vocabulary", '{"RunPod": "run pod"}')], {"custom_vocabulary": {"RunPod": "run pod"}}),
    ([("custom_vocabulary[RunPod]", "run pod")], {"custom_vocabulary": {"RunPod": "run pod"}}),
    ([("custom_vocabulary[]", "RunPod")], {"custom_vocabulary": ["RunPod"]}),
    ([("clip_timestamps", "[[0, 30], [60, null]]")], {"clip_timestamps": [[0, 30], [60, None]]}),
    ([("clip_timestamps", "0,30")], {"clip_timestamps": "0,30"}),
    ([("prompt", "same"), ("initial_prompt", "same")], {"initial_prompt": "same"}),
    ([("language", "de"), ("language", "de")], {"language": "de"}),
]


@pytest.mark.parametrize(("fields", "expected"), FIELDS)
def test_fields_of_a_form_are_options_that_a_job_takes(fields: list[tuple[str, str]], expected: dict[str, Any]) -> None:
    assert options(*fields) == expected
    parse_input({"audio": "https://e.x/a.mp3", "options": dict(form(*fields).options)})


@pytest.mark.parametrize(
    ("response_format", "output_format", "streamed"),
    [
        ("json", ["text"], ["json"]),
        ("text", ["text"], ["text", "json"]),
        ("verbose_json", ["verbose_json"], ["verbose_json", "json"]),
        ("diarized_json", ["json"], ["json"]),
        ("srt", ["srt"], ["srt"]),
        ("vtt", ["vtt"], ["vtt"]),
        ("tsv", ["tsv"], ["tsv"]),
        ("ass", ["ass"], ["ass"]),
        ("lrc", ["lrc"], ["lrc"]),
        ("ttml", ["ttml"], ["ttml"]),
        ("stl", ["stl"], ["stl"]),
    ],
)
def test_each_format_is_made_from_formats_of_the_worker(
    response_format: str, output_format: list[str], streamed: list[str]
) -> None:
    for written in (("response_format", response_format), ("output_format", response_format.upper())):
        request = form(written)
        assert (request.response_format, request.options["output_format"]) == (response_format, output_format)
        assert not request.stream
    request = form(("response_format", response_format), ("stream", "true"))
    assert request.options["output_format"] == streamed
    is_text = response_format not in ("srt", "vtt", "tsv", "ass", "lrc", "ttml", "stl")
    assert (request.stream, request.ignored) == ((True, ()) if is_text else (False, ("stream",)))


@pytest.mark.parametrize(
    ("fields", "granularities", "ignored"),
    [
        ([("response_format", "verbose_json")], {"segment"}, ()),
        ([("response_format", "verbose_json"), ("timestamp_granularities[]", "word")], {"word"}, ()),
        ([("response_format", "verbose_json"), ("timestamp_granularities", "word,segment")], {"word", "segment"}, ()),
        (
            [
                ("response_format", "verbose_json"),
                *[("timestamp_granularities[]", name) for name in ("segment", "word")],
            ],
            {"word", "segment"},
            (),
        ),
        ([("response_format", "verbose_json"), ("word_timestamps", "true")], {"word", "segment"}, ()),
        ([("timestamp_granularities[]", "word")], set(), ("timestamp_granularities",)),
    ],
)
def test_granularities_are_those_of_verbose_json(
    fields: list[tuple[str, str]], granularities: set[str], ignored: tuple[str, ...]
) -> None:
    assert (form(*fields).granularities, form(*fields).ignored) == (granularities, ignored)


def test_log_probabilities_are_those_of_json() -> None:
    assert form(("include[]", "logprobs")).logprobs
    assert form(("include[]", "logprobs")).options["output_format"] == ["json"]
    elsewhere = form(("include[]", "logprobs"), ("response_format", "text"))
    assert (elsewhere.logprobs, elsewhere.ignored, dict(elsewhere.options)) == (
        False,
        ("include",),
        {"output_format": ["text"]},
    )


def test_a_translation_is_one_by_its_route() -> None:
    assert form(("task", "translate"), task="translate").options == {"task": "translate", "output_format": ["text"]}
    assert "task" not in form().options


def test_unknown_fields_are_ignored_and_named() -> None:
    request = form(("user", "7"), ("seed", ""), ("top_p[]", "1"), ("a,\n\xe9", "x"), ("x" * 900, "x"))
    assert request.ignored == ("user", "top_p", "a???", "x" * 60)
    assert form(("metadata", "x"), ("metadata[a]", "y"), ("metadata[b]", "z")).ignored == ("metadata",)


WRONG: list[tuple[list[tuple[str, str]], str, str]] = [
    ([("response_format", "docx")], "response_format", 'should be one of "json", "text", "srt", "verbose_json"'),
    ([("temperature", "2")], "temperature", "should be a number from 0 to 1"),
    ([("temperature", "nan")], "temperature", "should be a number from 0 to 1"),
    ([("temperature", "warm")], "temperature", "should be a number from 0 to 1"),
    ([("timestamp_granularities[]", "char")], "timestamp_granularities", 'should be one of "segment", "word"'),
    ([("include[]", "usage")], "include", 'should be "logprobs"'),
    ([("stream", "maybe")], "stream", "should be true or false"),
    ([("chunking_strategy", "none")], "chunking_strategy", 'should be "auto"'),
    ([("chunking_strategy[type]", "semantic")], "chunking_strategy", 'should be "auto"'),
    ([("chunking_strategy[threshold]", "2")], "chunking_strategy[threshold]", "should be a number from 0 to 1"),
    ([("chunking_strategy", "auto"), ("chunking_strategy[threshold]", "1")], "chunking_strategy", 'should be "auto"'),
    ([("known_speaker_names[]", "Ada")], "known_speaker_references", "as many as known_speaker_names"),
    ([("known_speaker_references[]", VOICE)], "known_speaker_references", "as many as known_speaker_names"),
    *(
        (
            [("known_speaker_names[]", "Ada"), ("known_speaker_references[]", sample)],
            "known_speaker_references",
            "data URL",
        )
        for sample in ("ada.wav", "data:audio/wav", "data:audio/wav,UklGRg==")
    ),
    (
        [(f"known_speaker_{what}[]", f"{what}{number}") for what in ("names", "references") for number in range(5)],
        "known_speaker_names",
        "at most 4",
    ),
    (
        [(f"known_speaker_{what}[]", "Ada") for what in ("names", "references") for _ in range(2)],
        "known_speaker_names",
        "should be different",
    ),
    ([("prompt", "one"), ("initial_prompt", "two")], "initial_prompt", "contradicts prompt"),
    ([("keywords[]", "one"), ("hotwords", "two")], "hotwords", "contradicts keywords"),
    ([("response_format", "diarized_json"), ("diarize", "false")], "diarize", "contradicts response_format"),
    ([("response_format", "srt"), ("output_format", "vtt")], "output_format", "contradicts response_format"),
    (
        [("response_format", "verbose_json"), ("timestamp_granularities[]", "word"), ("word_timestamps", "no")],
        "timestamp_granularities",
        "contradicts word_timestamps",
    ),
    ([("language", "de"), ("language", "en")], "language", "should be given once"),
    ([("task", "translate")], "task", "is chosen by the route"),
    ([("translate", "true")], "translate", "/v1/audio/translations"),
    ([("captions", "burn")], "captions", "this route answers with text"),
    ([("vad", "perhaps")], "vad", "should be true or false"),
    ([("speakers", "{")], "speakers", "should be valid JSON"),
    ([("speakers", "[" * 20_000)], "speakers", "should be valid JSON"),
    ([("speakers", "[" * 20 + "]" * 20)], "speakers", "should have at most 5 levels"),
    ([("speakers", "[" + "[]," * 20_000 + "[]]")], "speakers", "should have at most 20000 values"),
    ([("custom_vocabulary", '{"a":' * 20_001)], "custom_vocabulary", "should have at most 20000 values"),
    ([("hotwords", "a," * 20_001)], "hotwords", "should have at most 20000 values"),
    ([("temperature", "[NaN]")], "temperature", "should be valid JSON"),
    ([("url", "https://e.x/a"), ("audio_url", "https://e.x/b")], "audio_url", "is a second recording"),
]


@pytest.mark.parametrize(("fields", "param", "expected"), WRONG)
def test_a_wrong_field_is_named(fields: list[tuple[str, str]], param: str, expected: str) -> None:
    with pytest.raises(ApiError) as raised:
        form(*fields)
    error = raised.value
    assert (error.status, error.param, error.should_retry) == (400, param, False)
    assert str(error).startswith(f"{param}: ")
    assert expected in str(error)


def test_translations_have_no_speakers() -> None:
    with pytest.raises(ApiError, match="response_format: should be one of"):
        form(("response_format", "diarized_json"), task="translate")


def test_a_form_has_a_limited_number_of_fields() -> None:
    with pytest.raises(ApiError, match="at most 5000 fields"):
        form(*[("keywords[]", "a")] * 5001)


@pytest.mark.parametrize(
    ("body", "audio", "expected"),
    [
        ({"input_audio": {"data": "AAAA", "format": "mp3"}}, {"base64": "AAAA"}, {}),
        ({"url": "https://e.x/a.mp3", "temperature": 0, "stream": None}, {"url": "https://e.x/a.mp3"}, {}),
        ({"file_url": "https://e.x/a.mp3", "diarize": True}, {"url": "https://e.x/a.mp3"}, {"diarize": True}),
        ({"audio_url": "https://e.x/a.mp3", "beam_size": 5}, {"url": "https://e.x/a.mp3"}, {"beam_size": 5}),
        (
            {"url": "https://e.x/a", "languages": ["de", "fr"], "keywords": ["x"], "temperature": 0.5},
            {"url": "https://e.x/a"},
            {"language_candidates": ["de", "fr"], "custom_vocabulary": ["x"], "temperature": 0.5},
        ),
        (
            {"url": "https://e.x/a", "chunking_strategy": {"type": "server_vad", "prefix_padding_ms": 100}},
            {"url": "https://e.x/a"},
            {"speech_pad_ms": 100},
        ),
        (
            {"url": "https://e.x/a", "response_format": "verbose_json", "timestamp_granularities[]": ["word"]},
            {"url": "https://e.x/a"},
            {"word_timestamps": True},
        ),
        (
            {"url": "https://e.x/a", "known_speaker_names": ["Ada"], "known_speaker_references": [VOICE]},
            {"url": "https://e.x/a"},
            {"speakers": {"Ada": VOICE}, "diarize": True},
        ),
        ({"url": "https://e.x/a", "logprob_threshold": None}, {"url": "https://e.x/a"}, {"logprob_threshold": None}),
        (
            {"url": "https://e.x/a", "prompt": "x", "initial_prompt": None},
            {"url": "https://e.x/a"},
            {"initial_prompt": "x"},
        ),
    ],
)
def test_a_request_may_be_json(body: dict[str, Any], audio: dict[str, str], expected: dict[str, Any]) -> None:
    before = json.dumps(body)
    request = parse_json(body, "transcribe", SCHEMAS)
    found = dict(request.options)
    found.pop("output_format")
    assert (request.audio, found) == (audio, expected)
    assert json.dumps(body) == before


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (None, None),
        ([], None),
        ({}, "input_audio"),
        ({"input_audio": "AAAA"}, "input_audio"),
        ({"input_audio": {"format": "mp3"}}, "input_audio"),
        ({"input_audio": {"data": ""}}, "input_audio"),
        ({"input_audio": {"data": "AAAA"}, "url": "https://e.x/a"}, "url"),
        ({"url": 7}, "url"),
        ({"url": "https://e.x/a", "model": {}}, "model"),
        ({"url": "https://e.x/a", "temperature": True}, "temperature"),
        ({"url": "https://e.x/a", "temperature": 10**400}, "temperature"),
        ({"url": "https://e.x/a", "keywords": [1]}, "keywords"),
        ({"url": "https://e.x/a", "timestamp_granularities": [["word"]]}, "timestamp_granularities"),
        (
            {"url": "https://e.x/a", "known_speaker_names": [["a"]], "known_speaker_references": ["x"]},
            "known_speaker_names",
        ),
        ({"url": "https://e.x/a", "speakers": [[[[[[[[]]]]]]]]}, None),
    ],
)
def test_wrong_json_is_an_error_that_names_the_field(body: Any, param: str | None) -> None:
    with pytest.raises(ApiError) as raised:
        parse_json(body, "transcribe", SCHEMAS)
    assert (raised.value.status, raised.value.param) == (400, param)


def test_what_the_openai_package_sends_is_read() -> None:
    sent = as_sent(
        {
            "model": "gpt-4o-transcribe-diarize",
            "chunking_strategy": {"type": "server_vad", "threshold": 0.4},
            "known_speaker_names": ["Ada"],
            "known_speaker_references": [VOICE],
            "timestamp_granularities": ["word", "segment"],
            "response_format": "verbose_json",
            "stream": False,
            "temperature": 0,
            "language": "en",
        }
    )
    request = parse_form(sent, "transcribe", SCHEMAS)
    assert request == SpeechRequest(
        model="gpt-4o-transcribe-diarize",
        options={
            "language": "en",
            "vad_threshold": 0.4,
            "speakers": {"Ada": VOICE},
            "diarize": True,
            "word_timestamps": True,
            "output_format": ["verbose_json"],
        },
        response_format="verbose_json",
        granularities=frozenset({"word", "segment"}),
        logprobs=False,
        stream=False,
        audio=None,
        ignored=(),
    )


@pytest.mark.parametrize(
    ("parameters", "task"),
    [
        (transcription_create_params.TranscriptionCreateParamsStreaming, "transcribe"),
        (translation_create_params.TranslationCreateParams, "translate"),
    ],
)
def test_no_parameter_of_the_openai_package_is_ignored(parameters: Any, task: Any) -> None:
    names = parameters.__required_keys__ | parameters.__optional_keys__
    values: dict[str, Any] = {
        "chunking_strategy": dict.fromkeys(transcription_create_params.ChunkingStrategyVadConfig.__annotations__, 1),
        "include": list(get_args(TranscriptionInclude)),
        "response_format": "json",
        "stream": True,
        "temperature": 0.5,
        "timestamp_granularities": ["word"],
    }
    values["chunking_strategy"]["type"] = "server_vad"
    listed = {key: ["x"] for key in ("keywords", "languages", "known_speaker_names")}
    listed["known_speaker_references"] = [VOICE]
    fields = {name: (values | listed).get(name, "x") for name in names - {"file"}}
    request = parse_form(as_sent(fields), task, SCHEMAS)
    assert {*request.ignored} <= {"timestamp_granularities"}  # which has an effect in verbose_json only


def test_the_formats_are_those_of_the_openai_package() -> None:
    assert {*get_args(AudioResponseFormat)} == {*OPENAI_FORMATS}


names = st.sampled_from(
    [*SCHEMAS, "model", "prompt", "keywords", "languages", "include", "stream", "chunking_strategy", "response_format",
     "known_speaker_names", "known_speaker_references", "timestamp_granularities", "hotwords", "vad_filter", "url",
     "input_audio", "temperature"]
) | st.text(max_size=9)  # fmt: skip
suffixes = st.sampled_from(["", "", "[]", "[type]", "[threshold]", "[", "]", "[[]]"])
texts = st.sampled_from(
    ["true", "0", "1e999", "verbose_json", "diarized_json", "word", "auto", "{}", "[]", '{"a":', "[[[[[[[]]]]]]]", "-1"]
) | st.text(max_size=9)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@examples(500)
@given(
    st.lists(st.tuples(st.builds(str.__add__, names, suffixes), texts), max_size=8),
    st.sampled_from(["transcribe", "translate"]),
)
def test_any_form_is_a_request_or_an_error_for_its_sender(fields: list[tuple[str, str]], task: Any) -> None:
    try:
        request = parse_form(fields, task, SCHEMAS)
    except ApiError as error:
        assert 400 <= error.status < 500
        json.dumps(error.body).encode()
    else:
        json.dumps(request.options)
        ", ".join(request.ignored).encode("ascii")


@examples(500)
@given(st.dictionaries(names, values, max_size=6) | values, st.booleans())
def test_any_json_is_a_request_or_an_error_for_its_sender(body: Any, has_audio: bool) -> None:
    if has_audio and isinstance(body, dict):
        body = {**body, "input_audio": {"data": "AAAA"}}
    try:
        parse_json(body, "transcribe", SCHEMAS)
    except ApiError as error:
        assert 400 <= error.status < 500
        json.dumps(error.body).encode()
