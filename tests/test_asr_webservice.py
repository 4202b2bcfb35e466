"""The API of whisper-asr-webservice: parameters become options of a job, and answers are made from its output."""

from __future__ import annotations

import json
from typing import Any

import pytest
import srt
from hypothesis import given
from hypothesis import strategies as st

from api.asr_webservice import AsrRequest, parse_asr, parse_detection, to_asr_body, to_detected_language
from api.openai.errors import ApiError
from src.request.options import Options
from src.request.validation import parse_input
from tests.support.job_outputs import SAID, output
from tests.support.properties import examples

SCHEMAS = Options.model_json_schema()["properties"]

BAZARR = {"task": "transcribe", "language": "de", "output": "srt", "encode": "false"}
"""What Bazarr sends with headerless PCM (custom_libs/subliminal_patch/providers/whisperai.py)."""

SWAGGER = {
    **{"encode": "true", "task": "translate", "language": "", "initial_prompt": "", "vad_filter": "true"},
    **{"word_timestamps": "false", "diarize": "false", "min_speakers": "1", "max_speakers": "2", "output": "json"},
}
"""What the other service's own page sends."""


@pytest.mark.parametrize(
    ("query", "options", "output_", "is_raw", "ignored"),
    [
        ({}, {"output_format": ["json"]}, "txt", False, ()),
        (BAZARR, {"task": "transcribe", "language": "de", "output_format": ["srt"]}, "srt", True, ()),
        (
            SWAGGER,
            {
                **{"task": "translate", "vad": True, "word_timestamps": False, "diarize": False},
                "output_format": ["json"],
            },
            "json",
            False,
            ("min_speakers", "max_speakers"),
        ),
        (
            {"diarize": "True", "min_speakers": "2", "output": "VTT", "initial_prompt": "[sic] Okonkwo"},
            {"diarize": True, "min_speakers": "2", "initial_prompt": "[sic] Okonkwo", "output_format": ["vtt"]},
            "vtt",
            False,
            (),
        ),
        (
            {"beam_size": "5", "model_path": "x"},
            {"beam_size": "5", "output_format": ["json"]},
            "txt",
            False,
            ("model_path",),
        ),
        (
            {"output_format": "srt", "captions": "mux"},
            {"output_format": ["json"]},
            "txt",
            False,
            ("output_format", "captions"),
        ),
    ],
)
def test_parameters_are_options_that_a_job_takes(
    query: dict[str, str], options: dict[str, Any], output_: str, is_raw: bool, ignored: tuple[str, ...]
) -> None:
    request = parse_asr(query, SCHEMAS)
    assert request == AsrRequest(options, output_, is_raw, ignored)
    parse_input({"audio": "https://e.x/a.mp3", "options": dict(request.options)})


@pytest.mark.parametrize(
    ("query", "param", "message"),
    [
        ({"output": "docx"}, "output", "output: should be one of txt, vtt, srt, tsv, json"),
        ({"encode": "perhaps"}, "encode", "encode: should be true or false"),
        ({"vad_filter": "perhaps"}, "vad_filter", "vad_filter: should be true or false"),
        ({"diarize": "perhaps"}, "diarize", "diarize: should be true or false"),
        ({"vad": "true", "vad_filter": "false"}, "vad_filter", "vad_filter: contradicts vad: leave one of them out"),
    ],
)
def test_a_wrong_parameter_is_named(query: dict[str, str], param: str, message: str) -> None:
    with pytest.raises(ApiError) as raised:
        parse_asr(query, SCHEMAS)
    assert (raised.value.status, raised.value.param, str(raised.value)) == (400, param, message)


@examples(300)
@given(
    st.dictionaries(
        st.sampled_from([*SCHEMAS, "encode", "output", "vad_filter"]) | st.text(max_size=9),
        st.sampled_from(["true", "1e999", "{}", "[", "srt", "2"]) | st.text(max_size=9),
        max_size=6,
    )
)
def test_any_query_is_a_request_or_an_error_for_its_sender(query: dict[str, str]) -> None:
    for parse in (lambda: parse_asr(query, SCHEMAS), lambda: parse_detection(query)):
        try:
            request = parse()
        except ApiError as error:
            assert error.status == 400
        else:
            json.dumps(request.options)
            ", ".join(request.ignored).encode("ascii")


def answered(query: dict[str, str], **said: Any) -> str:
    request = parse_asr(query, SCHEMAS)
    return to_asr_body(output(request.options, **said), request).content


def test_subtitles_are_bare() -> None:
    assert [cue.content for cue in srt.parse(answered(BAZARR))] == [text.strip() for text in SAID]
    assert answered({"output": "vtt"}).startswith("WEBVTT\n\n")
    assert answered({"output": "tsv"}).splitlines()[:2] == ["start\tend\ttext", "0\t1000\tGood morning."]


def test_a_text_has_a_line_for_each_segment() -> None:
    assert answered({}) == "Good morning.\nHow are\nyou?\nFine.\n"
    assert answered({"diarize": "true"}, speakers=["SPEAKER_00"] * 4).startswith("[SPEAKER_00]: Good morning.\n")
    assert answered({}, texts=[]) == ""


def test_json_has_the_keys_of_openai_whisper() -> None:
    body = json.loads(answered({"output": "json", "word_timestamps": "true"}))
    assert list(body) == ["text", "segments", "language"]
    assert (body["text"], body["language"]) == ("".join(SAID).strip(), "de")
    assert [word["word"] for segment in body["segments"] for word in segment["words"]] == [*SAID]


def test_a_language_is_detected_in_the_beginning() -> None:
    request = parse_detection({"encode": "false", "detect_lang_length": "30"})
    assert (request.is_raw, request.ignored) == (True, ("detect_lang_length",))
    assert parse_input({"audio": "https://e.x/a", "options": dict(request.options)}).options.clip_timestamps == [
        (0, 120)
    ]
    answer = output({"output_format": ["verbose_json"]})
    expected = {"detected_language": "german", "language_code": "de", "confidence": 0.9}
    assert to_detected_language(answer) == expected
    assert to_detected_language(output({"output_format": ["verbose_json"]}, texts=[]))["confidence"] == 0.0


def test_a_text_in_files_is_an_error_that_says_so() -> None:
    request = parse_asr(BAZARR, SCHEMAS)
    with pytest.raises(ApiError, match="delivered as files"):
        to_asr_body({"files": {}, "metadata": {}}, request)
