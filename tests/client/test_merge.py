"""Merging of parts: splitting an output and merging it again restores it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.merge.outputs import PartOutput, formats_for_parts, merge_outputs
from tests.client.scripted_worker import make_answer

Segment = dict[str, Any]

TEXTS = st.sampled_from([" One.", " Two words.", " 1", " a --> b", " [00:01.00] <b>", "字"])


def format_clock(time: float, mark: str) -> str:
    milliseconds = round(time * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"


def render_formats(segments: list[Segment]) -> dict[str, str]:
    """The worker's subtitles in their simplest form (`transcript/formats/render.py`)."""
    rows = [(segment["start"], segment["end"], segment["text"].strip()) for segment in segments]
    srt = [
        f"{number}\n{format_clock(start, ',')} --> {format_clock(end, ',')}\n{text.replace('-->', '->')}\n"
        for number, (start, end, text) in enumerate(rows, start=1)
    ]
    vtt = [
        f"{format_clock(start, '.')} --> {format_clock(end, '.')}\n{text.replace('>', '&gt;').replace('<', '&lt;')}\n"
        for start, end, text in rows
    ]
    tsv = [f"{round(start * 1000)}\t{round(end * 1000)}\t{text}\n" for start, end, text in rows]
    ass = [
        f"Dialogue: 0,{format_clock(start, '.')[1:-1]},{format_clock(end, '.')[1:-1]},Default,,0,0,0,,{text}\n"
        for start, end, text in rows
    ]
    return {
        "srt": "\n".join(srt),
        "vtt": "WEBVTT\n\n" + "\n".join(vtt),
        "tsv": "start\tend\ttext\n" + "".join(tsv),
        "ass": "[Script Info]\n\n[Events]\n" + "".join(ass),
    }


def make_output(segments: list[Segment], seconds: float) -> dict[str, Any]:
    metadata = {**make_answer("")["output"]["metadata"], "audio_duration": seconds, "uncovered_speech": []}
    text = "".join(segment["text"] for segment in segments).strip()
    transcription = {"text": text, "language": "en", "segments": segments, **render_formats(segments)}
    return {"transcription": transcription, "metadata": metadata}


def make_segment(number: int, start: int, text: str, part_start: int = 0) -> Segment:
    """A segment of one second; `start` and `part_start` are seconds from the recording's start."""
    offset = float(start - part_start)
    words = [{"word": text, "start": offset + 0.1, "end": offset + 0.9, "probability": 0.5}]
    return {"id": number, "seek": round(offset * 100), "start": offset, "end": offset + 1, "text": text, "words": words}


@given(st.lists(st.lists(TEXTS, max_size=4), min_size=1, max_size=4), st.sampled_from([20, 500, 4000]))
def test_merging_undoes_splitting(parts: list[list[str]], length: int) -> None:
    part_outputs: list[PartOutput] = []
    all_segments: list[Segment] = []
    for number, texts in enumerate(parts):
        start = number * length
        segments = [make_segment(index, start + 2 * index, text, part_start=start) for index, text in enumerate(texts)]
        part_outputs.append(PartOutput(float(start), float(start + length), make_output(segments, float(length))))
        first = len(all_segments)
        all_segments += [make_segment(first + index, start + 2 * index, text) for index, text in enumerate(texts)]
    result = merge_outputs(part_outputs, ["all", "ass"])
    expected = make_output(all_segments, float(length * len(parts)))
    assert result["transcription"].keys() == expected["transcription"].keys()
    for key, value in expected["transcription"].items():
        assert round_floats(result["transcription"][key]) == round_floats(value), key
    assert result["metadata"]["audio_duration"] == length * len(parts)


def round_floats(value: Any) -> Any:
    """Round all floats, since sums differ in the last bit."""
    if isinstance(value, list):
        return [round_floats(item) for item in value]
    if isinstance(value, dict):
        return {key: round_floats(item) for key, item in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def to_parts(*outputs: dict[str, Any]) -> list[PartOutput]:
    return [PartOutput(100.0 * number, 100.0 * (number + 1), answer["output"]) for number, answer in enumerate(outputs)]


def test_metadata_is_summed_shifted_or_averaged() -> None:
    first, second = make_answer("one", 100.0), make_answer("two", 100.0)
    first["output"]["metadata"] |= {"warnings": ["w"], "languages": {"en": 0.5, "de": 0.1}, "device": "cuda:0"}
    second["output"]["metadata"] |= {"warnings": ["w"], "languages": {"en": 0.9}, "device": "cuda:0"}
    metadata = merge_outputs(to_parts(first, second), ["json"])["metadata"]
    assert metadata["processing_time"] == 2.0
    assert metadata["audio_duration"] == 200.0
    assert metadata["real_time_factor"] == 0.01
    assert metadata["uncovered_speech"] == [[3.0, 4.0], [103.0, 104.0]]
    assert metadata["doubtful_speech"] == [
        {"start": 5.0, "end": 6.0, "transcribed": True},
        {"start": 105.0, "end": 106.0, "transcribed": True},
    ]
    assert metadata["redacted"] == [
        {"kind": "card", "start": 1.0, "end": 2.0},
        {"kind": "card", "start": 101.0, "end": 102.0},
    ]
    assert metadata["timings"] == {"inference": 1.0}
    assert metadata["languages"] == {"en": 0.7, "de": 0.05}
    assert metadata["warnings"] == ["w"]
    assert metadata["device"] == "cuda:0"
    assert metadata["parts"] == [[0.0, 100.0], [100.0, 200.0]]


def test_segments_are_requested_from_parts_and_dropped_if_not_wanted() -> None:
    assert formats_for_parts(["srt"]) == ["srt", "json"]
    assert set(merge_outputs(to_parts(make_answer("one"), make_answer("two")), ["srt"])["transcription"]) == {
        "text",
        "srt",
    }


def test_a_translation_is_merged_like_the_transcription() -> None:
    outputs = [make_answer("eins"), make_answer("zwei")]
    for answer, text in zip(outputs, ("one", "two"), strict=True):
        answer["output"]["translation"] = make_answer(text)["output"]["transcription"]
    assert merge_outputs(to_parts(*outputs), ["text"])["translation"] == {
        "text": "one two",
        "srt": "1\n00:00:01,000 --> 00:00:02,000\none\n\n2\n00:01:41,000 --> 00:01:42,000\ntwo\n",
    }


def test_lrc_has_shifted_lines_and_words_and_the_total_length() -> None:
    outputs = [make_answer("one"), make_answer("two")]
    for answer in outputs:
        answer["output"]["transcription"]["lrc"] = "[length:01:40]\n[00:59.50]<00:59.50>Oh <01:00.10>no<01:01.00>\n"
    assert merge_outputs(to_parts(*outputs), ["lrc"])["transcription"]["lrc"] == (
        "[length:03:20]\n[00:59.50]<00:59.50>Oh <01:00.10>no<01:01.00>\n[02:39.50]<02:39.50>Oh <02:40.10>no<02:41.00>\n"
    )


def test_verbose_json_lists_all_words_apart_from_the_segments() -> None:
    outputs = [make_answer("one", 100.0), make_answer("two", 100.0)]
    for answer in outputs:
        transcription = answer["output"]["transcription"]
        transcription["verbose_json"] = {
            "task": "transcribe",
            "duration": 100.0,
            "text": transcription["text"],
            "segments": transcription["segments"],
            "usage": {"type": "duration", "seconds": 101},
            "words": [{"word": transcription["text"], "start": 1.0, "end": 2.0}],
        }
    whole = merge_outputs(to_parts(*outputs), ["verbose_json"])["transcription"]["verbose_json"]
    assert whole["words"] == [{"word": "one", "start": 1.0, "end": 2.0}, {"word": "two", "start": 101.0, "end": 102.0}]
    assert (whole["duration"], whole["text"]) == (200.0, "one two")
    assert whole["usage"] == {"type": "duration", "seconds": 200}
    assert [segment["start"] for segment in whole["segments"]] == [1.0, 101.0]


def test_verbose_json_has_no_words_if_the_parts_have_none() -> None:
    outputs = [make_answer("one"), make_answer("two")]
    for answer in outputs:
        transcription = answer["output"]["transcription"]
        transcription["verbose_json"] = {"text": transcription["text"], "segments": transcription["segments"]}
    whole = merge_outputs(to_parts(*outputs), ["verbose_json"])["transcription"]["verbose_json"]
    assert whole.keys() == {"text", "segments", "duration"}


def test_logprobs_stay_with_the_segments_of_json() -> None:
    outputs = [make_answer("one"), make_answer("two")]
    for answer in outputs:
        answer["output"]["transcription"]["segments"][0]["logprobs"] = [{"token": "x", "logprob": -0.1, "bytes": [120]}]
        answer["output"]["transcription"]["verbose_json"] = {"segments": []}
    whole = merge_outputs(to_parts(*outputs), ["json", "verbose_json"])["transcription"]
    assert [segment["logprobs"][0]["token"] for segment in whole["segments"]] == ["x", "x"]
    assert not any("logprobs" in segment for segment in whole["verbose_json"]["segments"])


@pytest.mark.parametrize("missing", ["speech_duration"])
def test_a_value_unknown_for_a_part_is_unknown_for_the_whole(missing: str) -> None:
    outputs = [make_answer("one"), make_answer("two")]
    outputs[1]["output"]["metadata"][missing] = None
    assert merge_outputs(to_parts(*outputs), ["text"])["metadata"][missing] is None


@pytest.mark.parametrize(("of_parts", "merged"), [([None, None], None), ([0.8, None], 0.8), ([0.8, 0.4], 0.6)])
def test_a_probability_is_averaged_over_the_parts_that_measured_it(
    of_parts: list[float | None], merged: float | None
) -> None:
    parts = []
    for number, probability in enumerate(of_parts):
        output = make_output([make_segment(0, 1, " One.")], 10.0)
        output["metadata"] |= {"language": "en", "language_probability": probability, "languages": {}}
        parts.append(PartOutput(10.0 * number, 10.0 * (number + 1), output))
    assert merge_outputs(parts, ["json"])["metadata"]["language_probability"] == merged


def test_a_text_in_paragraphs_is_joined_in_paragraphs() -> None:
    parts = to_parts(make_answer("one", 100.0), make_answer("two", 100.0))
    assert merge_outputs(parts, ["text"])["transcription"]["text"] == "one two"
    assert merge_outputs(parts, ["text"], paragraphs=True)["transcription"]["text"] == "one\n\ntwo"
