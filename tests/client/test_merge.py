"""Outputs of parts become that of the whole: whatever is parted and merged is as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.merge import Piece, merged, to_ask_for
from tests.client.played import said

Segment = dict[str, Any]

TEXTS = st.sampled_from([" One.", " Two words.", " 1", " a --> b", " [00:01.00] <b>", "字"])


def clock(time: float, mark: str) -> str:
    milliseconds = round(time * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"


def written(segments: list[Segment]) -> dict[str, str]:
    """The worker's subtitles, as simple as it makes them (`src/formats/render.py`)."""
    rows = [(one["start"], one["end"], one["text"].strip()) for one in segments]
    srt = [
        f"{number}\n{clock(start, ',')} --> {clock(end, ',')}\n{text.replace('-->', '->')}\n"
        for number, (start, end, text) in enumerate(rows, start=1)
    ]
    vtt = [
        f"{clock(start, '.')} --> {clock(end, '.')}\n{text.replace('>', '&gt;').replace('<', '&lt;')}\n"
        for start, end, text in rows
    ]
    tsv = [f"{round(start * 1000)}\t{round(end * 1000)}\t{text}\n" for start, end, text in rows]
    ass = [
        f"Dialogue: 0,{clock(start, '.')[1:-1]},{clock(end, '.')[1:-1]},Default,,0,0,0,,{text}\n"
        for start, end, text in rows
    ]
    return {
        "srt": "\n".join(srt),
        "vtt": "WEBVTT\n\n" + "\n".join(vtt),
        "tsv": "start\tend\ttext\n" + "".join(tsv),
        "ass": "[Script Info]\n\n[Events]\n" + "".join(ass),
    }


def output(segments: list[Segment], seconds: float) -> dict[str, Any]:
    metadata = {**said("")["output"]["metadata"], "audio_duration": seconds, "uncovered_speech": []}
    text = "".join(segment["text"] for segment in segments).strip()
    transcription = {"text": text, "language": "en", "segments": segments, **written(segments)}
    return {"transcription": transcription, "metadata": metadata}


def segment(number: int, start: int, text: str, from_: int = 0) -> Segment:
    """Of one second; `start` and `from_`, the beginning of its part, are seconds of the recording."""
    at = float(start - from_)
    words = [{"word": text, "start": at + 0.1, "end": at + 0.9, "probability": 0.5}]
    return {"id": number, "seek": round(at * 100), "start": at, "end": at + 1, "text": text, "words": words}


@given(st.lists(st.lists(TEXTS, max_size=4), min_size=1, max_size=4), st.sampled_from([20, 500, 4000]))
def test_merging_undoes_parting(parts: list[list[str]], length: int) -> None:
    pieces: list[Any] = []
    whole: list[Any] = []
    for number, texts in enumerate(parts):
        start = number * length
        own = [segment(index, start + 2 * index, text, from_=start) for index, text in enumerate(texts)]
        pieces.append(Piece(float(start), float(start + length), output(own, float(length))))
        whole += [segment(len(whole) + index, start + 2 * index, text) for index, text in enumerate(texts)]
    result = merged(pieces, ["all", "ass"])
    expected = output(whole, float(length * len(parts)))
    assert result["transcription"].keys() == expected["transcription"].keys()
    for key, value in expected["transcription"].items():
        assert rounded(result["transcription"][key]) == rounded(value), key
    assert result["metadata"]["audio_duration"] == length * len(parts)


def rounded(value: Any) -> Any:
    """Sums of floats differ from the same number in the last bit."""
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return round(value, 3) if isinstance(value, float) else value


def pieces(*outputs: dict[str, Any]) -> list[Piece]:
    return [Piece(100.0 * number, 100.0 * (number + 1), one["output"]) for number, one in enumerate(outputs)]


def test_metadata_is_summed_shifted_or_joined() -> None:
    first, second = said("one", 100.0), said("two", 100.0)
    first["output"]["metadata"] |= {"warnings": ["w"], "languages": {"en": 0.5, "de": 0.1}, "device": "cuda:0"}
    second["output"]["metadata"] |= {"warnings": ["w"], "languages": {"en": 0.9}, "device": "cuda:0"}
    metadata = merged(pieces(first, second), ["json"])["metadata"]
    assert metadata["processing_time"] == 2.0
    assert metadata["audio_duration"] == 200.0
    assert metadata["real_time_factor"] == 0.01
    assert metadata["uncovered_speech"] == [[3.0, 4.0], [103.0, 104.0]]
    assert metadata["timings"] == {"inference": 1.0}
    assert metadata["languages"] == {"en": 0.7, "de": 0.05}
    assert metadata["warnings"] == ["w"]
    assert metadata["device"] == "cuda:0"
    assert metadata["parts"] == [[0.0, 100.0], [100.0, 200.0]]


def test_parts_are_asked_for_segments_which_go_again_if_nobody_wanted_them() -> None:
    assert to_ask_for(["srt"]) == ["srt", "json"]
    assert set(merged(pieces(said("one"), said("two")), ["srt"])["transcription"]) == {"text", "srt"}


def test_a_translation_is_merged_like_the_transcription() -> None:
    outputs = [said("eins"), said("zwei")]
    for one, text in zip(outputs, ("one", "two"), strict=True):
        one["output"]["translation"] = said(text)["output"]["transcription"]
    assert merged(pieces(*outputs), ["text"])["translation"] == {
        "text": "one two",
        "srt": "1\n00:00:01,000 --> 00:00:02,000\none\n\n2\n00:01:41,000 --> 00:01:42,000\ntwo\n",
    }


def test_lrc_shifts_lines_and_words_and_tells_the_whole_length() -> None:
    outputs = [said("one"), said("two")]
    for one in outputs:
        one["output"]["transcription"]["lrc"] = "[length:01:40]\n[00:59.50]<00:59.50>Oh <01:00.10>no<01:01.00>\n"
    assert merged(pieces(*outputs), ["lrc"])["transcription"]["lrc"] == (
        "[length:03:20]\n[00:59.50]<00:59.50>Oh <01:00.10>no<01:01.00>\n[02:39.50]<02:39.50>Oh <02:40.10>no<02:41.00>\n"
    )


def test_verbose_json_has_all_words_beside_the_segments() -> None:
    outputs = [said("one", 100.0), said("two", 100.0)]
    for one in outputs:
        own = one["output"]["transcription"]
        own["verbose_json"] = {
            "task": "transcribe",
            "duration": 100.0,
            "text": own["text"],
            "segments": own["segments"],
            "words": [{"word": own["text"], "start": 1.0, "end": 2.0}],
        }
    whole = merged(pieces(*outputs), ["verbose_json"])["transcription"]["verbose_json"]
    assert whole["words"] == [{"word": "one", "start": 1.0, "end": 2.0}, {"word": "two", "start": 101.0, "end": 102.0}]
    assert (whole["duration"], whole["text"]) == (200.0, "one two")
    assert [one["start"] for one in whole["segments"]] == [1.0, 101.0]


@pytest.mark.parametrize("missing", ["speech_duration"])
def test_what_one_part_does_not_know_the_whole_does_not_either(missing: str) -> None:
    outputs = [said("one"), said("two")]
    outputs[1]["output"]["metadata"][missing] = None
    assert merged(pieces(*outputs), ["text"])["metadata"][missing] is None
