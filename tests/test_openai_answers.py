"""Answers of OpenAI's audio API, held against the types of the installed `openai` package."""

from __future__ import annotations

import json
from typing import Any

import pytest
import srt
import webvtt
from openai.types.audio import (
    Transcription,
    TranscriptionDiarized,
    TranscriptionVerbose,
    Translation,
    TranslationVerbose,
)

from api.openai.answers import Body, diarize, to_body
from api.openai.errors import ApiError, to_error
from api.openai.request import parse_form
from client.merge.outputs import PartOutput, formats_for_parts, merge_outputs
from client.transport.answers import check_output
from src.request.options import Options
from tests.support.job_outputs import SAID, SECONDS, output
from tests.support.openai_types import assert_is
from tests.support.timed_text import read_stl, read_ttml

SCHEMAS = Options.model_json_schema()["properties"]

TEXT = "".join(SAID).strip()

SPEAKERS = ["SPEAKER_00", "Ada", "Ada", "SPEAKER_00"]


def answered(*fields: tuple[str, str], task: Any = "transcribe", **said: Any) -> Body:
    request = parse_form(fields, task, SCHEMAS)
    return to_body(output(request.options, **said), request)


def content(*fields: tuple[str, str], **said: Any) -> Any:
    body = answered(*fields, **said)
    assert body.media_type == "application/json"
    return json.loads(body.content)


def test_json_is_a_transcription() -> None:
    assert content() == {"text": TEXT, "usage": {"type": "duration", "seconds": 7}, "languages": [{"code": "de"}]}
    assert_is(Transcription, content(), without=["logprobs"])


def test_json_has_the_log_probabilities_of_all_segments() -> None:
    request = parse_form([("include[]", "logprobs")], "transcribe", SCHEMAS)
    answer = output(request.options)
    tokens = [{"token": text, "logprob": -0.25, "bytes": [*text.encode()]} for text in SAID]
    for segment, token in zip(answer["transcription"]["segments"], tokens, strict=True):
        segment["logprobs"] = [token]
    body = json.loads(to_body(answer, request).content)
    assert body["logprobs"] == tokens
    assert_is(Transcription, {**body, "logprobs": [dict(token, bytes=[1.0]) for token in tokens]})


@pytest.mark.parametrize("granularities", [("segment",), ("word",), ("word", "segment")])
def test_verbose_json_has_what_was_asked_for_and_no_more(granularities: tuple[str, ...]) -> None:
    fields = [("timestamp_granularities[]", name) for name in granularities]
    body = content(("response_format", "verbose_json"), *fields)
    left_out = {"segments", "words"} - {f"{name}s" for name in granularities}
    assert_is(TranscriptionVerbose, body, without=left_out)
    assert (body["task"], body["language"], body["duration"], body["text"]) == ("transcribe", "german", SECONDS, TEXT)
    assert [segment["text"] for segment in body.get("segments", [])] == ([] if "segments" in left_out else list(SAID))
    assert [word["word"] for word in body.get("words", [])] == (
        [] if "words" in left_out else [text.strip() for text in SAID]
    )


@pytest.mark.parametrize(
    ("speakers", "labels"),
    [
        (["SPEAKER_00", "SPEAKER_01", "SPEAKER_01", "SPEAKER_00"], "ABBA"),
        (["SPEAKER_03", "SPEAKER_01", "SPEAKER_02", "SPEAKER_01"], "ABCB"),
        ([None, "SPEAKER_00", "SPEAKER_00", None], "ABBA"),
    ],
)
def test_unknown_speakers_have_letters_in_order_of_first_speech(speakers: list[str | None], labels: str) -> None:
    body = content(("response_format", "diarized_json"), speakers=speakers)
    assert_is(TranscriptionDiarized, body)
    assert [segment["speaker"] for segment in body["segments"]] == [*labels]


def test_known_speakers_keep_their_names_which_no_letter_takes() -> None:
    fields = [("known_speaker_names[]", "Ada"), ("known_speaker_names[]", "A")]
    fields += [("known_speaker_references[]", f"data:audio/wav;base64,UklGR{number}==") for number in range(2)]
    body = content(("response_format", "diarized_json"), *fields, speakers=SPEAKERS)
    assert_is(TranscriptionDiarized, body)
    assert body["text"] == "B: Good morning.\nAda: How are you?\nB: Fine."
    assert body["segments"][1] == {
        "type": "transcript.text.segment",
        "id": "seg_002",
        "start": 1.0,
        "end": 2.0,
        "text": "How are",
        "speaker": "Ada",
    }


def test_words_of_speakers_are_in_the_segments_if_they_are_asked_for() -> None:
    fields = [("response_format", "diarized_json"), ("timestamp_granularities[]", "word")]
    body = content(*fields, speakers=SPEAKERS)
    assert_is(TranscriptionDiarized, body)
    assert [segment["words"] for segment in body["segments"]][:2] == [
        [
            {
                "word": "Good morning.",
                "start": 0.0,
                "end": 0.5,
                "probability": 0.9,
                "speaker": "A",
                "other_speakers": ["B"],
            }
        ],
        [{"word": "How are", "start": 1.0, "end": 1.5, "probability": 0.9, "speaker": "B"}],
    ]
    assert not any("words" in segment for segment in content(fields[0], speakers=SPEAKERS)["segments"])


def test_verbose_json_has_speakers_where_they_were_asked_for() -> None:
    fields = [("response_format", "verbose_json"), ("diarize", "true")]
    fields += [("timestamp_granularities[]", name) for name in ("word", "segment")]
    body = content(*fields, speakers=SPEAKERS)
    assert_is(TranscriptionVerbose, body)
    read = TranscriptionVerbose.model_validate(body)
    assert [segment.speaker for segment in read.segments or []] == SPEAKERS  # type: ignore[attr-defined]
    assert [word.speaker for word in read.words or []] == SPEAKERS  # type: ignore[attr-defined]
    assert (read.words or [])[0].to_dict() == {
        "word": "Good morning.",
        "start": 0.0,
        "end": 0.5,
        "probability": 0.9,
        "speaker": "SPEAKER_00",
        "other_speakers": ["Ada"],
    }
    assert (body["speakers"], body["speaker_turns"]) == ([], [])


def test_verbose_json_tells_what_of_a_given_text_was_not_said() -> None:
    request = parse_form(
        [("response_format", "verbose_json"), ("timestamp_granularities[]", "word"), ("align", TEXT)],
        "transcribe",
        SCHEMAS,
    )
    answer = output(request.options, not_said=[1])
    answer["metadata"]["given_text"] = {"words": 4, "not_said": [{"start": 1.0, "end": 1.0, "text": "How are"}]}
    body = json.loads(to_body(answer, request).content)
    assert [word.get("not_said", False) for word in body["words"]] == [False, True, False, False]
    assert body["given_text"]["not_said"][0]["text"] == "How are"


def test_words_have_openais_keys_alone_where_nothing_else_was_asked_for() -> None:
    body = content(("response_format", "verbose_json"), ("timestamp_granularities[]", "word"))
    assert {key for word in body["words"] for key in word} == {"word", "start", "end"}
    assert not {"speakers", "speaker_turns", "given_text"} & body.keys()


def test_speakers_never_run_out_of_letters() -> None:
    spoken = [{"start": 0.0, "end": 1.0, "text": "", "speaker": f"SPEAKER_{number}"} for number in range(704)]
    labels = [segment.speaker for segment in diarize(spoken, known=[])]
    assert labels[25:29] == ["Z", "AA", "AB", "AC"]
    assert (labels[701:], len({*labels})) == (["ZZ", "AAA", "AAB"], 704)


@pytest.mark.parametrize(
    ("response_format", "media_type"),
    [
        *[(name, "text/plain; charset=utf-8") for name in ("text", "srt", "vtt", "lrc")],
        ("tsv", "text/tab-separated-values; charset=utf-8"),
        ("ass", "text/x-ssa; charset=utf-8"),
    ],
)
def test_texts_are_bare(response_format: str, media_type: str) -> None:
    body = answered(("response_format", response_format))
    assert body.media_type == media_type
    read: dict[str, Any] = {
        "text": lambda text: [text],
        "srt": lambda text: [cue.content for cue in srt.parse(text)],
        "vtt": lambda text: [cue.text for cue in webvtt.from_string(text).captions],
        "tsv": lambda text: [line.split("\t")[2] for line in text.splitlines()[1:]],
        "lrc": lambda text: [line.partition("]")[2].partition("> ")[2] or line for line in text.splitlines()[1:]],
        "ass": lambda text: [line for line in text.splitlines() if line.startswith("Dialogue: ")],
    }
    expected = [TEXT] if response_format == "text" else [text.strip() for text in SAID]
    found = read[response_format](body.content)
    assert len(found) == len(expected)
    if response_format in ("text", "srt", "vtt", "tsv"):
        assert found == expected


def test_formats_of_broadcasters_have_their_types() -> None:
    ttml, stl = (answered(("response_format", name)) for name in ("ttml", "stl"))
    assert ttml.media_type == "application/ttml+xml; charset=utf-8"
    assert stl.media_type == "application/octet-stream"
    for cues in (read_ttml(ttml.to_bytes().decode()), read_stl(stl.to_bytes())):
        assert " ".join(cue.text for cue in cues).split() == TEXT.split()


def test_a_translation_is_one_into_english() -> None:
    assert content(task="translate") == {"text": TEXT, "usage": {"type": "duration", "seconds": 7}}
    assert_is(Translation, content(task="translate"))
    verbose = content(("response_format", "verbose_json"), task="translate")
    assert_is(TranslationVerbose, verbose)
    assert (verbose["task"], verbose["language"]) == ("translate", "english")


@pytest.mark.parametrize("response_format", ["json", "text", "srt", "vtt", "verbose_json", "diarized_json"])
def test_silence_is_an_empty_text(response_format: str) -> None:
    body = answered(("response_format", response_format), texts=[]).content
    if response_format.endswith("json"):
        assert json.loads(body)["text"] == ""
        assert json.loads(body).get("languages", []) == []
        assert json.loads(body).get("segments", []) == []
    else:
        assert body.strip() == ("WEBVTT" if response_format == "vtt" else "")


@pytest.mark.parametrize("response_format", ["json", "verbose_json", "diarized_json"])
def test_json_has_the_workers_warnings(response_format: str) -> None:
    body = content(("response_format", response_format), warnings=["the recording is cut off"])
    assert body["warnings"] == ["the recording is cut off"]
    assert "warnings" not in content(("response_format", response_format))


@pytest.mark.parametrize("response_format", ["json", "text", "srt", "verbose_json", "diarized_json", "lrc"])
def test_parts_that_the_client_has_merged_are_one_answer(response_format: str) -> None:
    request = parse_form([("response_format", response_format)], "transcribe", SCHEMAS)
    formats = request.options["output_format"]
    texts = [SAID[:2], SAID[2:]]
    parts = [
        PartOutput(
            number * 10.0,
            number * 10.0 + 10,
            output({**request.options, "output_format": formats_for_parts(formats)}, texts=part),
        )
        for number, part in enumerate(texts)
    ]
    body = to_body(merge_outputs(parts, formats), request).content
    if response_format in ("json", "verbose_json"):
        assert json.loads(body)["text"] == TEXT
        assert json.loads(body)["usage"]["seconds"] == 13
    if response_format == "verbose_json":
        assert_is(TranscriptionVerbose, json.loads(body), without=["words"])
        assert [segment["start"] for segment in json.loads(body)["segments"]] == [0, 1, 10, 11]
    if response_format == "diarized_json":
        assert_is(TranscriptionDiarized, json.loads(body))


@pytest.mark.parametrize("response_format", ["srt", "verbose_json", "diarized_json"])
def test_a_text_that_was_delivered_in_files_is_an_error_that_says_so(response_format: str) -> None:
    request = parse_form([("response_format", response_format)], "transcribe", SCHEMAS)
    whole = output(request.options)
    for transcription in ({"text": TEXT, "language": "de"}, None):
        answer = {"files": {"json": "https://s3/t.json"}, "metadata": whole["metadata"]}
        answer |= {"transcription": transcription} if transcription else {}
        with pytest.raises(ApiError, match="delivered as files") as raised:
            to_body(answer, request)
        assert (raised.value.status, raised.value.code) == (413, "answer_too_large")
        assert "s3" not in str(raised.value)


@pytest.mark.parametrize("response_format", ["json", "srt", "verbose_json"])
@pytest.mark.parametrize(
    "transcription",
    [
        {},
        {"text": 5, "srt": 7, "verbose_json": 9},
        {"verbose_json": {"segments": [1, {"text": 5}], "words": 5}},
        {"verbose_json": {"task": "transcribe", "language": "en", "duration": 1, "text": "a"}},
    ],
)
def test_a_broken_endpoint_is_named_as_one(response_format: str, transcription: dict[str, Any]) -> None:
    request = parse_form([("response_format", response_format)], "transcribe", SCHEMAS)
    answer = check_output({"transcription": {**transcription, "lrc": "[00:00]x"}})
    with pytest.raises(ApiError, match="the endpoint's answer has no ") as raised:
        to_body(answer, request)
    assert (raised.value.status, raised.value.should_retry) == (502, False)


def test_odd_segments_of_an_endpoint_are_left_out() -> None:
    request = parse_form([("response_format", "verbose_json")], "transcribe", SCHEMAS)
    odd = {"task": "transcribe", "language": "english", "duration": 1, "text": "a", "segments": [1, {"text": 5}]}
    answer = check_output({"transcription": {"verbose_json": odd}})
    assert json.loads(to_body(answer, request).content)["segments"] == []


@pytest.mark.parametrize("duration", [-3.5, "an hour", None, float("nan"), 10**400])
def test_a_length_that_is_none_is_not_counted(duration: Any) -> None:
    request = parse_form([], "transcribe", SCHEMAS)
    answer = check_output({"transcription": {"text": TEXT}, "metadata": {"audio_duration": duration}})
    assert json.loads(to_body(answer, request).content)["usage"] == {"type": "duration", "seconds": 0}


def test_the_text_is_answered_where_the_rest_is_in_files() -> None:
    for name, expected in (("text", TEXT), ("json", TEXT)):
        request = parse_form([("response_format", name)], "transcribe", SCHEMAS)
        whole = output(request.options)
        answer = {"files": {}, "transcription": {"text": TEXT, "language": "de"}, "metadata": whole["metadata"]}
        body = to_body(answer, request).content
        assert (json.loads(body)["text"] if name == "json" else body) == expected


def test_segments_have_tokens_where_the_worker_has_left_them_out() -> None:
    request = parse_form([("response_format", "verbose_json")], "transcribe", SCHEMAS)
    answer = output(request.options)
    for segment in answer["transcription"]["verbose_json"]["segments"]:
        del segment["tokens"]
    assert_is(TranscriptionVerbose, json.loads(to_body(answer, request).content), without=["words"])


@pytest.mark.parametrize(
    ("error_type", "status", "kind", "should_retry"),
    [
        ("InvalidInput", 400, "invalid_request_error", False),
        ("UnsupportedMedia", 400, "invalid_request_error", False),
        ("DownloadFailed", 400, "invalid_request_error", False),
        ("CaptionsFailed", 400, "invalid_request_error", False),
        ("TooLarge", 413, "invalid_request_error", False),
        ("Cancelled", 499, "invalid_request_error", False),
        ("OutOfMemory", 500, "server_error", False),
        ("OutOfResources", 503, "server_error", True),
        ("Internal", 500, "server_error", False),
        ("FAILED", 500, "server_error", False),
    ],
)
def test_errors_have_the_status_of_their_type(error_type: str, status: int, kind: str, should_retry: bool) -> None:
    error = to_error({"error": "it failed", "error_type": error_type})
    assert (error.status, error.type, error.should_retry) == (status, kind, should_retry)
    assert error.body["error"]["message"] == "it failed"
    assert (error.retry_after is not None) is should_retry


def test_a_failed_device_is_worth_another_try() -> None:
    answer = {"error": "the worker's device failed", "error_type": "Internal", "refresh_worker": True}
    assert (to_error(answer).status, to_error(answer).should_retry) == (503, True)


@pytest.mark.parametrize(
    ("sentence", "message", "param"),
    [
        ("options.beam_size: should be at most 20", "beam_size: should be at most 20", "beam_size"),
        ("options.initial_prompt: should be a string", "prompt: should be a string", "prompt"),
        (
            "options.custom_vocabulary: each term is too long; options.vad: should be true or false",
            "keywords: each term is too long; vad: should be true or false",
            "keywords",
        ),
        (
            "options.speakers.Ada.base64: not base64",
            "known_speaker_references.Ada.base64: not base64",
            "known_speaker_references",
        ),
        ("options: patience needs beam_size", "patience needs beam_size", None),
        (
            "options: language_candidates is for detection: leave language out",
            "languages is for detection: leave language out",
            None,
        ),
        ("audio.url: give https:// or http://", "url: give https:// or http://", "url"),
        ("audio.base64: not base64", "input_audio: not base64", "input_audio"),
        ("it is what it is: wrong", "it is what it is: wrong", None),
    ],
)
def test_errors_name_fields_as_the_caller_has_written_them(sentence: str, message: str, param: str | None) -> None:
    error = to_error({"error": sentence, "error_type": "InvalidInput"})
    assert (str(error), error.param) == (message, param)


def test_a_model_that_the_worker_refuses_is_not_found() -> None:
    answer = {
        "error": "options.model: should be one of the endpoint's WHISPER_MODELS, base",
        "error_type": "InvalidInput",
    }
    assert (to_error(answer).status, to_error(answer).code) == (404, "model_not_found")


def test_errors_of_a_recording_name_the_file() -> None:
    error = to_error({"error": "the file has no audio", "error_type": "UnsupportedMedia"})
    assert (str(error), error.param) == ("the file has no audio", "file")
