"""Speakers of a recording in parts: one set of labels, in every format."""

from __future__ import annotations

import copy
import math
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from client.job_request import RunSettings
from client.merge.outputs import PartOutput, merge_outputs
from client.merge.speakers import _relabel_formats, unify_speakers
from client.recording import transcribe_recording
from client.transport.endpoint import Endpoint
from client.transport.fanout import ProgressListener
from tests.client.scripted_worker import ScriptedWorker, make_answer
from tests.platform.emulator import Platform
from transcript.formats.cues import Cue, mark_directions
from transcript.formats.srt_vtt_tsv import to_srt
from transcript.formats.timed_words import TimedWord
from transcript.formats.ttml import to_ttml

Output = dict[str, Any]

RANDOM = random.Random(1)


def random_voice(width: int = 192) -> list[float]:
    values = [RANDOM.gauss(0, 1) for _ in range(width)]
    return [value / math.hypot(*values) for value in values]


def similar(voice: list[float]) -> list[float]:
    """The same voice in another part, with a cosine similarity of about 0.9."""
    return [value + 0.5 * noise for value, noise in zip(voice, random_voice(), strict=True)]


ANN, BOB, EVE = random_voice(), random_voice(), random_voice()


def make_output(*spoken: tuple[str, list[float]]) -> Output:
    """A worker's output where each speaker says one sentence of a second, at 1 s, 3 s and so on."""
    output: Output = make_answer("")["output"]
    times = [(1.0 + 2 * number, 2.0 + 2 * number) for number in range(len(spoken))]
    rows = [(*time, label) for time, (label, _) in zip(times, spoken, strict=True)]
    text = "Was it SPEAKER_00: or <v SPEAKER_01>?"
    output["transcription"] = {
        "text": "\n".join(f"{label}: {text}" for _, _, label in rows),
        "language": "en",
        "segments": [
            {"id": number, "start": start, "end": end, "text": f" {text}", "speaker": label}
            | {"words": [{"word": f" {text}", "start": start, "end": end, "speaker": label}]}
            for number, (start, end, label) in enumerate(rows)
        ],
        "srt": "\n".join(
            f"{number}\n00:00:0{start:.0f},000 --> 00:00:0{end:.0f},000\n{label}: {text}\n"
            for number, (start, end, label) in enumerate(rows, start=1)
        ),
        "vtt": "WEBVTT\n\n"
        + "\n".join(
            f"00:00:0{start:.0f}.000 --> 00:00:0{end:.0f}.000\n<v {label}>{text.replace('<', '&lt;')}\n"
            for start, end, label in rows
        ),
        "tsv": ("start\tend\tspeaker\ttext\n" if rows else "start\tend\ttext\n")
        + "".join(f"{start * 1000:.0f}\t{end * 1000:.0f}\t{label}\t{text}\n" for start, end, label in rows),
        "rttm": "".join(
            f"SPEAKER audio 1 {start:.3f} {end - start:.3f} <NA> <NA> {label.replace(' ', '_')} <NA> <NA>\n"
            for start, end, label in rows
        ),
        "speakers": [
            {"speaker": label, "seconds": 1.0, "turns": 1, "start": start, "embedding": embedding}
            for (start, _), (label, embedding) in zip(times, spoken, strict=True)
        ],
        "speaker_turns": [{"start": start, "end": end, "speaker": label} for start, end, label in rows],
    }
    return output


def merge_parts(*outputs: Output, **options: Any) -> Output:
    starts = [100.0 * number for number in range(len(outputs))]
    unified = unify_speakers(starts, list(outputs), options)
    parts = [PartOutput(start, start + 100, output) for start, output in zip(starts, unified, strict=True)]
    return merge_outputs(parts, ["all", "srt", "rttm"])


def labels(output: Output) -> list[str]:
    return [segment["speaker"] for segment in output["transcription"]["segments"]]


def test_a_voice_has_one_label_in_all_parts_in_order_of_first_speech() -> None:
    output = merge_parts(
        make_output(("SPEAKER_00", ANN), ("SPEAKER_01", BOB)),
        make_output(("SPEAKER_00", similar(BOB)), ("SPEAKER_01", EVE)),
        make_output(("SPEAKER_00", similar(EVE)), ("SPEAKER_01", similar(ANN))),
    )
    assert labels(output) == [f"SPEAKER_0{number}" for number in (0, 1, 1, 2, 2, 0)]
    speakers = output["transcription"]["speakers"]
    assert [tuple(entry[key] for key in ("speaker", "start", "turns", "seconds")) for entry in speakers] == [
        ("SPEAKER_00", 1.0, 2, 2.0),
        ("SPEAKER_01", 3.0, 2, 2.0),
        ("SPEAKER_02", 103.0, 2, 2.0),
    ]


def test_every_format_gets_the_new_labels_but_texts_are_unchanged() -> None:
    output = merge_parts(
        make_output(("SPEAKER_00", ANN)), make_output(("SPEAKER_00", BOB), ("SPEAKER_01", similar(ANN)))
    )["transcription"]
    text = "Was it SPEAKER_00: or <v SPEAKER_01>?"
    order = ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"]
    assert output["text"].splitlines() == [f"{label}: {text}" for label in order]
    assert [cue.splitlines()[2] for cue in output["srt"].split("\n\n")] == [f"{label}: {text}" for label in order]
    voices = [cue.splitlines()[1] for cue in output["vtt"].split("\n\n")[1:]]
    assert voices == [f"<v {label}>{text.replace('<', '&lt;')}" for label in order]
    assert output["tsv"].splitlines()[1:] == [
        f"{start}\t{start + 1000}\t{label}\t{text}" for start, label in zip((1000, 101000, 103000), order, strict=True)
    ]
    assert [line.split()[3] + line.split()[7] for line in output["rttm"].splitlines()] == [
        f"{start:.3f}{label}" for start, label in zip((1, 101, 103), order, strict=True)
    ]
    assert [segment["words"][0]["speaker"] for segment in output["segments"]] == order
    assert [(turn["start"], turn["speaker"]) for turn in output["speaker_turns"]] == list(
        zip((1.0, 101.0, 103.0), order, strict=True)
    )


def test_who_else_speaks_in_a_word_gets_the_new_label() -> None:
    second = make_output(("SPEAKER_00", BOB), ("SPEAKER_01", similar(ANN)))
    second["transcription"]["segments"][0]["words"][0]["other_speakers"] = ["SPEAKER_01"]
    output = merge_parts(make_output(("SPEAKER_00", ANN)), second)
    word = output["transcription"]["segments"][1]["words"][0]
    assert (word["speaker"], word["other_speakers"]) == ("SPEAKER_01", ["SPEAKER_00"])


def test_a_voice_is_one_speaker_of_its_channel_in_all_parts() -> None:
    left, other, right = (f"CHANNEL_{label}" for label in ("0_SPEAKER_00", "0_SPEAKER_01", "1_SPEAKER_00"))
    output = merge_parts(
        make_output((left, ANN), (other, BOB), (right, similar(ANN))),
        make_output((left, similar(BOB)), (other, similar(ANN)), (right, similar(ANN))),
        max_speakers=2,
    )
    assert labels(output) == [left, other, right, other, left, right]
    assert [line.split()[7] for line in output["transcription"]["rttm"].splitlines()] == labels(output)
    assert [speaker["turns"] for speaker in output["transcription"]["speakers"]] == [2, 2, 2]


def test_two_speakers_of_one_part_are_never_merged() -> None:
    assert labels(
        merge_parts(
            make_output(("SPEAKER_00", ANN), ("SPEAKER_01", similar(ANN))), make_output(("SPEAKER_00", similar(ANN)))
        )
    ) in (
        ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"],
        ["SPEAKER_00", "SPEAKER_01", "SPEAKER_01"],
    )


def test_a_name_in_one_part_applies_to_all_parts() -> None:
    output = merge_parts(
        make_output(("SPEAKER_00", BOB), ("Ann Lee", ANN)),
        make_output(("SPEAKER_00", similar(ANN)), ("SPEAKER_01", similar(BOB))),
    )
    assert labels(output) == ["SPEAKER_00", "Ann Lee", "Ann Lee", "SPEAKER_00"]
    assert " Ann_Lee " in output["transcription"]["rttm"].splitlines()[2]


def test_a_name_is_one_speaker_even_if_embeddings_differ() -> None:
    assert labels(merge_parts(make_output(("Ann", ANN)), make_output(("Ann", BOB)))) == ["Ann", "Ann"]


@pytest.mark.parametrize("count", ["num_speakers", "max_speakers"])
def test_the_number_of_speakers_is_limited_as_requested(count: str) -> None:
    output = merge_parts(
        make_output(("SPEAKER_00", ANN), ("SPEAKER_01", BOB)), make_output(("SPEAKER_00", EVE)), **{count: 2}
    )
    assert set(labels(output)) == {"SPEAKER_00", "SPEAKER_01"}


def test_fewer_speakers_than_requested_cause_a_warning() -> None:
    output = merge_parts(make_output(("SPEAKER_00", ANN)), make_output(("SPEAKER_00", similar(ANN))), num_speakers=3)
    assert any("3 speakers were requested" in warning for warning in output["metadata"]["warnings"])


def test_embeddings_are_included_only_on_request() -> None:
    parts = [make_output(("SPEAKER_00", ANN)), make_output(("SPEAKER_00", similar(ANN)))]
    assert "embedding" not in merge_parts(*copy.deepcopy(parts))["transcription"]["speakers"][0]
    embedding = merge_parts(*parts, speaker_embeddings=True)["transcription"]["speakers"][0]["embedding"]
    assert math.hypot(*embedding) == pytest.approx(1.0, abs=0.01)


def test_a_part_without_speech_changes_nothing() -> None:
    output = merge_parts(make_output(), make_output(("SPEAKER_00", ANN)), make_output())
    assert labels(output) == ["SPEAKER_00"]
    assert output["transcription"]["tsv"].splitlines()[0] == "start\tend\tspeaker\ttext"


@pytest.mark.process
def test_a_diarized_recording_in_parts_is_merged(
    platform: Platform, endpoint: Endpoint, long_recording: Path, tmp_path: Path
) -> None:
    shown: list[Output] = []
    answers = iter(
        [("SPEAKER_00", ANN), ("SPEAKER_00", BOB), ("SPEAKER_00", similar(ANN)), ("SPEAKER_00", similar(BOB))]
    )
    options = {"diarize": True, "num_speakers": 2, "output_format": "json"}
    with ScriptedWorker(platform, lambda _: {"output": make_output(next(answers))}) as worker:
        output = transcribe_recording(
            endpoint,
            long_recording,
            options,
            RunSettings(request_limit=160_000, parallel=1),
            stop=threading.Event(),
            listener=ProgressListener(on_segments=lambda _, segments: shown.extend(segments)),
            cache=tmp_path,
        )
    requested = [job["input"]["options"] for job in worker.jobs]
    assert all(options["speaker_embeddings"] and options["max_speakers"] == 2 for options in requested)
    assert not any("num_speakers" in options for options in requested)
    assert labels(output) == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00", "SPEAKER_01"]
    assert len(shown) == 4
    assert not any("speaker" in segment for segment in shown)


def test_labels_among_marks_of_direction_are_replaced() -> None:
    def formats(label: str) -> dict[str, str]:
        cues = mark_directions([Cue(0, 1000, [[TimedWord("שלום.", 0, 1000)]], label)], "he")
        return {"srt": to_srt(cues), "ttml": to_ttml(cues, "he")}

    assert _relabel_formats(formats("SPEAKER_00"), {"SPEAKER_00": "SPEAKER_02"}, []) == formats("SPEAKER_02")
