"""EBU STL, EBU-TT-D and coloured speakers in the client: files, parts that are joined, and labels of speakers."""

from __future__ import annotations

import base64
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from client.errors import BadAnswer
from client.merge.outputs import PartOutput, merge_outputs
from client.merge.speakers import unify_speakers
from client.output import target_paths, write_files
from tests.client.scripted_worker import make_answer
from transcript.formats.ass import to_ass
from transcript.formats.cues import Cue
from transcript.formats.srt_vtt_tsv import to_srt
from transcript.formats.stl import read_stl, to_stl
from transcript.formats.timed_words import TimedWord
from transcript.formats.ttml import to_ttml


def cue(start: int, end: int, text: str, voice: str = "") -> Cue:
    return Cue(start, end, [[TimedWord(text, start, end)]], voice)


def stl_of(*cues: Cue) -> str:
    written = to_stl(cues, "en", 25, "10:00:00:00", date(2026, 11, 30))
    return base64.b64encode(written.content).decode()


def output_of(*cues: Cue) -> dict[str, Any]:
    output: dict[str, Any] = make_answer("one", 100.0)["output"]
    output["transcription"] |= {"stl": stl_of(*cues), "ttml": to_ttml(cues, "en")}
    return output


def subtitles(stl: str) -> list[tuple[float, float, str]]:
    read = read_stl(base64.b64decode(stl)).subtitles
    return [(subtitle.start / 25, subtitle.end / 25, "\n".join(subtitle.lines)) for subtitle in read]


def test_stl_is_written_as_bytes(tmp_path: Path) -> None:
    output = output_of(cue(0, 1000, "Größe"))
    written = write_files(output, target_paths(tmp_path / "talk", ["stl", "ttml"]))
    assert [path.name for path in written] == ["talk.stl", "talk.ttml"]
    assert written[0].read_bytes() == base64.b64decode(output["transcription"]["stl"])
    assert written[1].read_text(encoding="utf-8") == output["transcription"]["ttml"]


@pytest.mark.parametrize("damaged", ["not base64!", None, 1])
def test_damaged_stl_is_a_bad_answer(damaged: Any, tmp_path: Path) -> None:
    output = output_of()
    output["transcription"]["stl"] = damaged
    with pytest.raises(BadAnswer, match="stl"):
        write_files(output, target_paths(tmp_path / "talk", ["stl"]))


def test_parts_are_joined() -> None:
    """Each part has the table of its own letters; the whole has Cyrillic ones, with ASCII."""
    parts = [
        PartOutput(0.0, 100.0, output_of(cue(0, 1000, "One & two"))),
        PartOutput(100.0, 200.0, output_of()),
        PartOutput(200.0, 300.0, output_of(cue(1000, 2000, "Три"), cue(3000, 4000, "Four"))),
    ]
    merged = merge_outputs(parts, ["stl", "ttml"])["transcription"]
    assert subtitles(merged["stl"]) == [(0.0, 1.0, "One & two"), (201.0, 202.0, "Три"), (203.0, 204.0, "Four")]
    whole = [cue(0, 1000, "One & two"), cue(201_000, 202_000, "Три"), cue(203_000, 204_000, "Four")]
    assert merged["ttml"] == to_ttml(whole, "en")
    assert read_stl(base64.b64decode(merged["stl"])).start == 36_000 * 25


def test_what_the_whole_loses_and_no_part_does_is_a_warning() -> None:
    """Each part has a table of its own letters, and the second begins before the last subtitle of the first ends."""
    outputs = [output_of(cue(99_000, 101_000, "Größe")), output_of(cue(0, 1000, "Три слова"))]
    outputs[1]["metadata"]["warnings"] = ["the worker's own"]
    parts = [PartOutput(0.0, 100.0, outputs[0]), PartOutput(100.0, 200.0, outputs[1])]
    merged = merge_outputs(parts, ["stl"])
    assert [text for *_, text in subtitles(merged["transcription"]["stl"])] == ["Gro?e", "Три слова"]
    own, letters, overlap = merged["metadata"]["warnings"]
    assert own == "the worker's own"
    assert "for 2 characters of the text, which are replaced (ö ß)" in letters
    assert "1 subtitle begins before the one before has ended" in overlap


def test_a_new_label_that_costs_letters_is_a_warning() -> None:
    """A voice that is named in one part is named in all."""
    outputs = [output_of(cue(0, 1000, "Да", "Ада")), output_of(cue(0, 1000, "é", "SPEAKER_00"))]
    for label, output in zip(("Ада", "SPEAKER_00"), outputs, strict=True):
        speaker = {"speaker": label, "seconds": 9.0, "turns": 1, "start": 0.0, "embedding": [1.0]}
        output["transcription"] |= {"speakers": [speaker], "segments": []}
    first, second = unify_speakers([0.0, 100.0], outputs, {})
    assert first["metadata"]["warnings"] == []
    assert [text for *_, text in subtitles(second["transcription"]["stl"])] == ["Ада: e"]
    assert "for 1 character of the text, which is replaced (é)" in second["metadata"]["warnings"][0]


def test_parts_without_speech_are_a_file_without_cues() -> None:
    parts = [PartOutput(0.0, 100.0, output_of()), PartOutput(100.0, 200.0, output_of())]
    merged = merge_outputs(parts, ["stl", "ttml"])["transcription"]
    assert subtitles(merged["stl"]) == []
    assert merged["ttml"] == to_ttml([], "en")


def test_speakers_have_the_labels_of_the_whole_recording() -> None:
    outputs = [output_of(cue(0, 1000, "Hi", "SPEAKER_00")), output_of(cue(0, 1000, "SPEAKER_00: no", "SPEAKER_00"))]
    for number, output in enumerate(outputs):
        embedding = [1.0 * (number == 0), 1.0 * (number == 1)]
        speaker = {"speaker": "SPEAKER_00", "seconds": 9.0, "turns": 1, "start": 0.0, "embedding": embedding}
        output["transcription"] |= {"speakers": [speaker], "segments": []}
    _, second = unify_speakers([0.0, 100.0], outputs, {})
    cues = [cue(0, 1000, "SPEAKER_00: no", "SPEAKER_01")]
    assert subtitles(second["transcription"]["stl"]) == [(0.0, 1.0, "SPEAKER_01: SPEAKER_00: no")]
    assert second["transcription"]["ttml"] == to_ttml(cues, "en")


def test_reports_on_cues_are_summed() -> None:
    def report(count: int, worst: float, first: list[float]) -> dict[str, Any]:
        over = {"limit": 20.0, "count": count, "worst": worst, "first": first}
        return {"cues": 10, "over_limits": {"max_chars_per_second": over, "min_cue_gap": {**over, "limit": 0.08}}}

    outputs = [output_of(), output_of()]
    outputs[0]["transcription"]["cue_report"] = report(2, 21.5, [1.0, 2.0])
    outputs[1]["transcription"]["cue_report"] = report(12, 30.0, [float(at) for at in range(10)])
    parts = [PartOutput(100.0 * at, 100.0 * at + 100, output) for at, output in enumerate(outputs)]
    merged = merge_outputs(parts, ["stl"])["transcription"]["cue_report"]
    first = [1.0, 2.0, *(100.0 + at for at in range(8))]
    assert merged == {
        "cues": 20,
        "over_limits": {
            "max_chars_per_second": {"limit": 20.0, "count": 14, "worst": 30.0, "first": first},
            "min_cue_gap": {"limit": 0.08, "count": 14, "worst": 21.5, "first": first},
        },
    }


def test_colours_of_speakers_are_those_of_the_whole_recording() -> None:
    """Each part begins with another speaker, and calls the first one SPEAKER_00."""
    parts_cues = [
        [cue(0, 2000, "Hi", "SPEAKER_00"), cue(1000, 2000, "No: wait", "SPEAKER_01")],
        [cue(0, 2000, "Yes", "SPEAKER_00"), cue(1000, 2000, "Bye", "SPEAKER_01")],
    ]
    voices = {"SPEAKER_00": [[1.0, 0.0], [0.0, 1.0]], "SPEAKER_01": [[0.0, 1.0], [1.0, 0.0]]}
    outputs = []
    for number, cues in enumerate(parts_cues):
        output = make_answer("one", 100.0)["output"]
        output["transcription"] |= {
            "srt": to_srt(cues, speaker_colors=True),
            "ass": to_ass(cues, "en", karaoke=False, speaker_colors=True),
            "speakers": [
                {"speaker": label, "seconds": 9.0, "turns": 1, "start": start, "embedding": embeddings[number]}
                for start, (label, embeddings) in enumerate(voices.items())
            ],
            "segments": [],
        }
        outputs.append(output)
    unified = unify_speakers([0.0, 100.0], outputs, {})
    merged = merge_outputs(
        [PartOutput(100.0 * at, 100.0 * at + 100, output) for at, output in enumerate(unified)], ["srt", "ass"]
    )["transcription"]
    whole = [
        *parts_cues[0],
        cue(100_000, 102_000, "Yes", "SPEAKER_01"),
        cue(101_000, 102_000, "Bye", "SPEAKER_00"),
    ]
    assert merged["srt"] == to_srt(whole, speaker_colors=True)
    assert merged["ass"] == to_ass(whole, "en", karaoke=False, speaker_colors=True)
