"""Parts of one recording get one set of speakers, in every form of the answer."""

from __future__ import annotations

import copy
import math
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from client.endpoint import Endpoint
from client.fanout import Observer
from client.merge import Piece, merged
from client.recording import Terms, transcribed
from client.speakers import with_one_set
from tests.client.played import PlayedWorker, said
from tests.platform.emulator import Platform

Output = dict[str, Any]

DICE = random.Random(1)


def voice(width: int = 192) -> list[float]:
    values = [DICE.gauss(0, 1) for _ in range(width)]
    return [value / math.hypot(*values) for value in values]


def like(one: list[float]) -> list[float]:
    """The same voice in another part: a cosine of some 0.9."""
    return [value + 0.5 * other for value, other in zip(one, voice(), strict=True)]


ANN, BOB, EVE = voice(), voice(), voice()


def part(*spoken: tuple[str, list[float]]) -> Output:
    """What a worker answers where each speaker says one sentence of a second, at 1 s, 3 s and so on."""
    output: Output = said("")["output"]
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


def whole(*outputs: Output, **options: Any) -> Output:
    starts = [100.0 * number for number in range(len(outputs))]
    told = with_one_set(starts, list(outputs), options)
    pieces = [Piece(start, start + 100, output) for start, output in zip(starts, told, strict=True)]
    return merged(pieces, ["all", "srt", "rttm"])


def labels(output: Output) -> list[str]:
    return [one["speaker"] for one in output["transcription"]["segments"]]


def test_a_voice_has_one_label_in_all_parts_in_order_of_first_speech() -> None:
    output = whole(
        part(("SPEAKER_00", ANN), ("SPEAKER_01", BOB)),
        part(("SPEAKER_00", like(BOB)), ("SPEAKER_01", EVE)),
        part(("SPEAKER_00", like(EVE)), ("SPEAKER_01", like(ANN))),
    )
    assert labels(output) == [f"SPEAKER_0{number}" for number in (0, 1, 1, 2, 2, 0)]
    speakers = output["transcription"]["speakers"]
    assert [(one["speaker"], one["start"], one["turns"], one["seconds"]) for one in speakers] == [
        ("SPEAKER_00", 1.0, 2, 2.0),
        ("SPEAKER_01", 3.0, 2, 2.0),
        ("SPEAKER_02", 103.0, 2, 2.0),
    ]


def test_every_form_has_the_new_labels_and_leaves_what_is_said() -> None:
    output = whole(part(("SPEAKER_00", ANN)), part(("SPEAKER_00", BOB), ("SPEAKER_01", like(ANN))))["transcription"]
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
    assert [one["words"][0]["speaker"] for one in output["segments"]] == order
    assert [(one["start"], one["speaker"]) for one in output["speaker_turns"]] == list(
        zip((1.0, 101.0, 103.0), order, strict=True)
    )


def test_two_speakers_of_one_part_stay_two_however_alike() -> None:
    assert labels(whole(part(("SPEAKER_00", ANN), ("SPEAKER_01", like(ANN))), part(("SPEAKER_00", like(ANN))))) in (
        ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"],
        ["SPEAKER_00", "SPEAKER_01", "SPEAKER_01"],
    )


def test_a_name_of_one_part_is_that_of_the_voice_in_all() -> None:
    output = whole(
        part(("SPEAKER_00", BOB), ("Ann Lee", ANN)), part(("SPEAKER_00", like(ANN)), ("SPEAKER_01", like(BOB)))
    )
    assert labels(output) == ["SPEAKER_00", "Ann Lee", "Ann Lee", "SPEAKER_00"]
    assert " Ann_Lee " in output["transcription"]["rttm"].splitlines()[2]


def test_a_name_is_one_speaker_even_where_voiceprints_differ() -> None:
    assert labels(whole(part(("Ann", ANN)), part(("Ann", BOB)))) == ["Ann", "Ann"]


@pytest.mark.parametrize("count", ["num_speakers", "max_speakers"])
def test_there_are_no_more_speakers_than_asked_for(count: str) -> None:
    output = whole(part(("SPEAKER_00", ANN), ("SPEAKER_01", BOB)), part(("SPEAKER_00", EVE)), **{count: 2})
    assert set(labels(output)) == {"SPEAKER_00", "SPEAKER_01"}


def test_fewer_speakers_than_asked_for_are_a_warning() -> None:
    output = whole(part(("SPEAKER_00", ANN)), part(("SPEAKER_00", like(ANN))), num_speakers=3)
    assert any("3 speakers were asked for" in warning for warning in output["metadata"]["warnings"])


def test_embeddings_come_only_if_asked_for() -> None:
    parts = [part(("SPEAKER_00", ANN)), part(("SPEAKER_00", like(ANN)))]
    assert "embedding" not in whole(*copy.deepcopy(parts))["transcription"]["speakers"][0]
    embedding = whole(*parts, speaker_embeddings=True)["transcription"]["speakers"][0]["embedding"]
    assert math.hypot(*embedding) == pytest.approx(1.0, abs=0.01)


def test_a_part_in_which_nobody_speaks_changes_nothing() -> None:
    output = whole(part(), part(("SPEAKER_00", ANN)), part())
    assert labels(output) == ["SPEAKER_00"]
    assert output["transcription"]["tsv"].splitlines()[0] == "start\tend\tspeaker\ttext"


@pytest.mark.process
def test_a_recording_in_parts_is_asked_for_and_told_as_one(
    platform: Platform, endpoint: Endpoint, long: Path, tmp_path: Path
) -> None:
    shown: list[Output] = []
    answers = iter([("SPEAKER_00", ANN), ("SPEAKER_00", BOB), ("SPEAKER_00", like(ANN)), ("SPEAKER_00", like(BOB))])
    options = {"diarize": True, "num_speakers": 2, "output_format": "json"}
    with PlayedWorker(platform, lambda _: {"output": part(next(answers))}) as worker:
        output = transcribed(
            endpoint,
            long,
            options,
            Terms(limit=160_000, parallel=1),
            stop=threading.Event(),
            observer=Observer(segments=lambda _, segments: shown.extend(segments)),
            cache=tmp_path,
        )
    asked = [job["input"]["options"] for job in worker.jobs]
    assert all(one["speaker_embeddings"] and one["max_speakers"] == 2 for one in asked)
    assert not any("num_speakers" in one for one in asked)
    assert labels(output) == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00", "SPEAKER_01"]
    assert len(shown) == 4
    assert not any("speaker" in one for one in shown)
