"""Jobs of RunPod's worker-faster_whisper: the examples of its README are accepted and answered in its format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import srt
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from src import rp_handler
from src.delivery.chunks import json_size, split_answer
from src.errors import InvalidInput
from src.request.ineffective import ineffective_options
from src.request.options import Options
from src.request.validation import parse_input
from src.request.worker_faster_whisper import is_worker_faster_whisper_input, to_answer, to_input
from src.rp_handler import handler
from src.settings import get_settings
from tests.support.clips import CLIPS, as_base64, assert_spoken
from tests.support.properties import examples
from tests.support.servers import serve_folder
from transcript.formats.render import render
from transcript.transcript import Segment, Transcript, Word

URL = "https://github.com/runpod-workers/sample-inputs/raw/main/audio/gettysburg.wav"

README_INPUT = {"input": {"audio": URL}}

README_OUTPUT: dict[str, Any] = {
    "segments": [
        {
            "id": 1,
            "seek": 106,
            "start": 0.11,
            "end": 3.11,
            "text": " Hola mundo.",
            "tokens": [50364, 22637, 7968, 13, 50513],
            "temperature": 0.1,
            "avg_logprob": -0.83,
            "compression_ratio": 0.578,
            "no_speech_prob": 0.145,
        }
    ],
    "detected_language": "es",
    "transcription": "Hola mundo.",
    "translation": None,
    "device": "cuda",
    "model": "large-v2",
    "translation_time": 0.77,
}

EVERY_KEY = {
    "audio": URL,
    "model": "large-v3",
    "transcription": "plain_text",
    "translate": False,
    "translation": "plain_text",
    "language": None,
    "temperature": 0,
    "best_of": 5,
    "beam_size": 5,
    "patience": 1.0,
    "length_penalty": 0,
    "suppress_tokens": "-1",
    "initial_prompt": None,
    "condition_on_previous_text": True,
    "temperature_increment_on_fallback": 0.2,
    "compression_ratio_threshold": 2.4,
    "logprob_threshold": -1.0,
    "no_speech_threshold": 0.6,
    "enable_vad": False,
    "word_timestamps": False,
}
"""Its README's table of inputs, with the defaults given there."""

METADATA = {"language": "es", "device": "cuda:0", "model": "large-v2", "processing_time": 0.77, "warnings": []}


def flat(clip: str, **keys: Any) -> dict[str, Any]:
    return {"id": "job-1", "input": {"audio_base64": as_base64(CLIPS / clip), **keys}}


def segment(number: int, text: str, said: list[Word] | None = None) -> Segment:
    return Segment(number, 0, float(number), number + 1.0, text, [50364, 13], 0.0, -0.2, 1.1, 0.01, said)


def ours(*segments: Segment, asked: dict[str, Any]) -> dict[str, Any]:
    """Our answer to such a job, with these segments."""
    formats = to_input(asked)["options"]["output_format"]
    transcription = render(Transcript("es", 0.9, 10.0, list(segments)), formats)
    return {"transcription": transcription, "metadata": METADATA}


@pytest.fixture
def bare_jobs_are_foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    switched = get_settings().model_copy(update={"faster_whisper_jobs": True})
    monkeypatch.setattr(rp_handler, "get_settings", lambda: switched)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The clips on a web server of this machine, from which jobs may download."""
    monkeypatch.setenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", "true")
    with serve_folder(CLIPS) as url:
        yield url


@pytest.mark.model
@pytest.mark.process
@pytest.mark.usefixtures("bare_jobs_are_foreign")
def test_the_request_of_its_readme_gets_the_output_of_its_readme(site: str) -> None:
    request = {"input": README_INPUT["input"] | {"audio": f"{site}/demo.ogg"}}
    answer = handler(request)
    assert list(answer) == [*README_OUTPUT, "metadata"]
    for key, shown in README_OUTPUT.items():
        assert answer[key] is None if shown is None else isinstance(answer[key], type(shown)), key
    assert [list(segment) for segment in answer["segments"]] == [list(README_OUTPUT["segments"][0])] * len(
        answer["segments"]
    )
    assert answer["segments"][0]["id"] == 1
    assert_spoken(answer["transcription"], "demo.ogg")
    assert (answer["detected_language"], answer["device"], answer["model"]) == ("en", "cpu", "tiny.en")


def test_the_output_of_its_readme_is_reproduced_exactly() -> None:
    segment = dict(README_OUTPUT["segments"][0], id=0)
    answer = {"transcription": {"text": "Hola mundo.", "language": "es", "segments": [segment]}, "metadata": METADATA}
    assert to_answer(answer, {"audio": URL}) == README_OUTPUT | {"metadata": METADATA}


@pytest.mark.model
@pytest.mark.process
def test_without_the_setting_a_bare_url_is_answered_in_our_format(site: str) -> None:
    answer = handler({"input": {"audio": f"{site}/demo.ogg"}})
    assert_spoken(answer["transcription"]["text"], "demo.ogg")


@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize("form", ["plain_text", "formatted_text", "srt", "vtt"])
def test_the_transcription_has_the_requested_format(form: str) -> None:
    answer = handler(flat("demo.ogg", transcription=form, language="en", beam_size=1))
    text = answer["transcription"]
    lines = [segment["text"].lstrip() for segment in answer["segments"]]
    if form in ("plain_text", "formatted_text"):
        assert text == (" " if form == "plain_text" else "\n").join(lines)
    elif form == "srt":
        assert [cue.content for cue in srt.parse(text)] == lines
    else:
        assert text.startswith("WEBVTT\n\n")
        assert [cue.text for cue in webvtt.from_string(text).captions] == lines
    assert_spoken(" ".join(lines), "demo.ogg")
    assert answer["translation"] is None
    assert "word_timestamps" not in answer


def test_every_key_of_its_table_is_accepted_and_null_means_the_default() -> None:
    nulls = {key: None for key in EVERY_KEY if key not in ("audio", "model", "language", "enable_vad")}
    nothing = {"audio": URL, "model": "large-v3", "enable_vad": False}
    full, empty = [parse_input(to_input(raw)) for raw in (EVERY_KEY, nothing | nulls)]
    # best_of, whose default has no effect at a single temperature of 0, is left out.
    given = {"patience": None, "length_penalty": None, "temperature": [0.0], "best_of": None}
    assert full.options.model_copy(update=given) == empty.options
    assert full.options.temperature == Options().temperature
    assert (full.options.beam_size, full.options.best_of, full.options.model) == (5, 5, "large-v3")


@pytest.mark.parametrize(
    "keys",
    [
        {"model": "base"},
        {"temperature": 0.2},
        {"temperature": 0.0, "temperature_increment_on_fallback": None},
        {"condition_on_previous_text": True, "word_timestamps": False},
    ],
)
def test_the_other_workers_defaults_are_no_warning(keys: dict[str, Any]) -> None:
    assert ineffective_options(parse_input(to_input({"audio": URL, **keys})).options) == []


@pytest.mark.model
@pytest.mark.process
def test_a_job_of_the_former_public_endpoint_is_answered_with_its_text(site: str) -> None:
    answer = handler({"input": {"audio": f"{site}/demo.ogg", "prompt": ""}})
    assert_spoken(answer["transcription"], "demo.ogg")


@pytest.mark.parametrize(
    ("keys", "prompt"),
    [
        ({"prompt": ""}, None),
        ({"prompt": None}, None),
        ({"prompt": "Okonkwo"}, "Okonkwo"),
        ({"prompt": "Okonkwo", "initial_prompt": "Okonkwo"}, "Okonkwo"),
        ({"prompt": "", "initial_prompt": "Okonkwo"}, "Okonkwo"),
    ],
)
def test_the_prompt_of_the_former_public_endpoint_is_the_initial_prompt(keys: dict[str, Any], prompt: str) -> None:
    assert parse_input(to_input({"audio": URL, **keys})).options.initial_prompt == prompt


@pytest.mark.model
@pytest.mark.process
def test_words_are_in_one_list_and_not_in_segments() -> None:
    answer = handler(flat("demo.ogg", word_timestamps=True, beam_size=1))
    assert not any("words" in segment for segment in answer["segments"])
    assert all(list(word) == ["word", "start", "end"] for word in answer["word_timestamps"])
    assert_spoken("".join(word["word"] for word in answer["word_timestamps"]), "demo.ogg")
    starts = [word["start"] for word in answer["word_timestamps"]]
    assert starts == sorted(starts)


@pytest.mark.model
@pytest.mark.process
def test_silence_is_an_empty_text() -> None:
    answer = handler(flat("silence.flac", language="en"))
    assert (answer["transcription"], answer["segments"]) == ("", [])


@pytest.mark.parametrize("form", ["plain_text", "formatted_text", "srt", "vtt"])
def test_a_translation_has_its_own_format(form: str) -> None:
    asked = {"audio": URL, "translate": True, "translation": form}
    answer = ours(segment(0, " Hola."), segment(1, " Adiós."), asked=asked)
    answer["translation"] = ours(segment(0, " Hello."), segment(1, " Good bye."), asked=asked)["transcription"]
    reshaped = to_answer(answer, asked)
    assert reshaped["transcription"] == "Hola. Adiós."
    assert (
        reshaped["translation"]
        == {
            "plain_text": "Hello. Good bye.",
            "formatted_text": "Hello.\nGood bye.",
            "srt": "1\n00:00:00,000 --> 00:00:01,000\nHello.\n\n2\n00:00:01,000 --> 00:00:02,000\nGood bye.\n",
            "vtt": "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nHello.\n\n00:00:01.000 --> 00:00:02.000\nGood bye.\n",
        }[form]
    )
    assert reshaped["metadata"] == METADATA


@pytest.mark.parametrize(
    ("keys", "ladder"),
    [
        ({}, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ({"temperature": 0.5}, [0.5, 0.7, 0.9]),
        ({"temperature": 1}, [1.0]),
        ({"temperature": 0.3, "temperature_increment_on_fallback": None}, [0.3]),
        ({"temperature_increment_on_fallback": 1}, [0.0, 1.0]),
        ({"temperature_increment_on_fallback": 0.1}, [rung / 10 for rung in range(10)]),
        ({"temperature_increment_on_fallback": 5e-324}, [0.0] * 10),
    ],
)
def test_fallback_temperatures_rise_by_the_increment(keys: dict[str, Any], ladder: list[float]) -> None:
    assert parse_input(to_input({"audio": URL, **keys})).options.temperature == pytest.approx(ladder)


@pytest.mark.parametrize(
    ("keys", "looked_for"), [({}, True), ({"enable_vad": True}, True), ({"enable_vad": False}, False)]
)
def test_speech_detection_is_on_unless_disabled(keys: dict[str, Any], looked_for: bool) -> None:
    assert to_input({"audio": URL, **keys})["options"]["vad"] is looked_for


def test_our_webhook_and_upload_may_be_added_to_its_keys() -> None:
    raw = {"audio": URL, "language": "es", "webhook": {"url": "https://e.x/hook"}, "upload": {"prefix": "a"}}
    asked = parse_input(to_input(raw))
    assert asked.webhook is not None
    assert asked.upload is not None
    assert asked.options.language == "es"


@pytest.mark.parametrize(
    ("raw", "bare", "its"),
    [
        ({"audio": URL}, False, False),
        ({"audio": URL}, True, True),
        ({"audio": {"url": URL}}, True, False),
        ({"audio": 7}, True, False),
        ({"audio": URL, "webhook": {"url": URL}}, True, False),
        ({"audio_base64": "AAAA"}, False, True),
        ({"audio": URL, "model": None}, False, True),
        ({"audio": URL, "language": "es", "colour": 1}, False, True),
        ({"audio": URL, "colour": 1}, True, False),
        ({"audio": URL, "options": {}, "language": "es"}, True, False),
        ({"audio": {"url": URL}, "language": "es"}, True, False),
        ({"audio": URL, "prompt": ""}, False, True),
        ({"audio": URL, "prompt": "Okonkwo"}, False, True),
        ({"audio": URL, "prompt": "Okonkwo", "language": "es"}, False, True),
        ({"audio": {"url": URL}, "prompt": "Okonkwo"}, True, False),
        ({"audio": URL, "prompt": "Okonkwo", "output_format": "srt"}, True, False),
        ({"audio": URL, "prompt": "Okonkwo", "response_format": "srt"}, True, False),
        ({"audio": URL, "options": {"prompt": "Okonkwo"}}, True, False),
        ({"audio": URL, "output_format": "srt", "enable_vad": False}, False, True),
        ({}, True, False),
        (None, True, False),
        ([URL], True, False),
    ],
)
def test_its_jobs_are_recognized_by_keys_that_ours_lack(raw: Any, bare: bool, its: bool) -> None:
    assert is_worker_faster_whisper_input(raw, bare) is its


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"beam_sise": 5, "beam_size": 5}, 'beam_sise: unknown key, did you mean "beam_size"?'),
        ({"transcription": "text"}, 'transcription: should be "plain_text", "formatted_text", "srt" or "vtt"'),
        ({"translation": 1}, 'translation: should be "plain_text"'),
        ({"beam_size": 0}, "beam_size: should be at least 1"),
        ({"beam_size": "five"}, "beam_size: should be a whole number"),
        ({"language": "klingon"}, "language: not a language that Whisper knows"),
        ({"suppress_tokens": "a"}, "suppress_tokens: should be a whole number"),
        ({"temperature": 1.5}, "temperature: should be at most 1"),
        ({"temperature": "hot"}, "temperature: should be a number"),
        ({"temperature_increment_on_fallback": 0}, "temperature_increment_on_fallback: should be more than 0"),
        ({"prompt": 5}, "prompt: should be a string"),
        ({"prompt": "a", "initial_prompt": "b"}, "prompt has another value than initial_prompt"),
        ({"enable_vad": "no thanks"}, "enable_vad: should be true or false"),
        ({"audio_base64": "AAAA"}, 'give exactly one of "audio" and "audio_base64"'),
        ({"audio": None, "language": "en"}, 'give exactly one of "audio" and "audio_base64"'),
        ({"audio": 7, "language": "en"}, "audio: should be a string"),
    ],
)
def test_errors_name_the_keys_of_its_format(keys: dict[str, Any], expected: str) -> None:
    answer = handler({"input": {"audio": URL, **keys}})
    assert answer["error_type"] == "InvalidInput"
    assert expected in answer["error"]
    assert "options" not in answer["error"]


@given(st.dictionaries(st.sampled_from([*EVERY_KEY, "x"]), st.none() | st.booleans() | st.floats() | st.text()))
def test_any_input_is_converted_or_refused(raw: dict[str, Any]) -> None:
    try:
        parse_input(to_input(raw))
    except InvalidInput as error:
        assert "options" not in str(error)


texts = st.sampled_from([" Hola.", "好", ' "-->"', " <b> & \n", "é", " word" * 20])
said = st.lists(st.builds(Word, texts, st.floats(0, 9), st.floats(0, 9), st.floats(0, 1)), max_size=2)


@examples(50)
@given(
    st.lists(st.tuples(texts, said), min_size=3, max_size=6),
    st.sampled_from(["plain_text", "formatted_text", "srt", "vtt"]),
    st.booleans(),
)
def test_a_converted_answer_is_not_larger_than_ours(
    spoken: list[tuple[str, list[Word]]], form: str, word_timestamps: bool
) -> None:
    asked = {"audio": URL, "transcription": form, "word_timestamps": word_timestamps}
    segments = [segment(number, text, own if word_timestamps else None) for number, (text, own) in enumerate(spoken, 8)]
    answer = ours(*segments, asked=asked)
    assert json_size(to_answer(answer, asked)) <= json_size(answer)


def test_texts_that_were_uploaded_are_null() -> None:
    answer = {"files": {"srt": "https://s3/t.srt"}, "transcription": {"text": "Hola.", "language": "es"}}
    reshaped = to_answer(answer | {"metadata": METADATA}, {"audio": URL, "transcription": "srt"})
    assert (reshaped["transcription"], reshaped["segments"]) == (None, [])
    assert reshaped["files"] == {"srt": "https://s3/t.srt"}
    assert to_answer(answer | {"metadata": METADATA}, {"audio": URL, "language": "es"})["transcription"] == "Hola."
    del answer["transcription"]
    assert to_answer(answer | {"metadata": METADATA}, {"audio": URL, "language": "es"})["transcription"] is None


def test_its_answers_are_split_for_streams() -> None:
    asked = {"audio": URL, "transcription": "formatted_text"}
    answer = to_answer(ours(*(segment(number, " Hola.") for number in range(40)), asked=asked), asked)
    chunks = list(split_answer(answer, 1000))
    assert all(json_size(chunk) <= 1000 for chunk in chunks)
    assert [segment for chunk in chunks for segment in chunk.get("segments", [])] == answer["segments"]
    assert "".join(chunk.get("transcription", "") for chunk in chunks) == answer["transcription"]
    assert chunks[-1]["metadata"] == METADATA
