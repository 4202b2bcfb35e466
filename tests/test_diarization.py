"""Diarization: counts, turns, known speakers, and recordings without speech; then as part of a whole job."""

from __future__ import annotations

import json
import re
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.diarization import error_rate
from benchmarks.recordings import load_pcm, read_rttm, write_wav
from src.audio.pcm import SAMPLE_RATE, Pcm, Region
from src.errors import Cancelled
from src.job_control import JobControl
from src.request.options import Options
from src.speakers.clustering import BLOCK_SIZE, SpeakerCounts, cluster
from src.speakers.diarization import diarize, embed_sample
from tests.support.clips import CLIPS, as_base64
from transcript.transcript import Diarization, Turn

pytestmark = [pytest.mark.model, pytest.mark.process]

TRUTH = read_rttm(CLIPS / "dialogue.rttm")


@pytest.fixture(scope="module")
def pcm() -> Pcm:
    return load_pcm(CLIPS / "dialogue.ogg")


def cut(pcm: Pcm, turn: Turn) -> Pcm:
    return pcm[round(turn.start * SAMPLE_RATE) : round(turn.end * SAMPLE_RATE)]


@pytest.fixture
def ada(pcm: Pcm, tmp_path: Path) -> Path:
    """A sample of the second speaker."""
    return write_wav(cut(pcm, TRUTH[1]), tmp_path / "ada.wav")


@pytest.fixture(scope="module")
def found(pcm: Pcm) -> Diarization:
    return diarize(pcm)


def test_each_voice_is_a_speaker_in_order_of_first_speech(found: Diarization) -> None:
    assert [speaker.label for speaker in found.speakers] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"]
    starts = [speaker.start for speaker in found.speakers]
    assert starts == sorted(starts)
    assert error_rate(TRUTH, found.turns)["DER"] < 0.05
    assert found.warnings == []


def test_speakers_have_the_total_of_their_turns(found: Diarization) -> None:
    for speaker in found.speakers:
        turns = [turn for turn in found.turns if turn.speaker == speaker.label]
        assert speaker.turns == len(turns)
        assert speaker.seconds == pytest.approx(sum(turn.end - turn.start for turn in turns))
        assert np.linalg.norm(speaker.embedding) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("minimum", "maximum"), [(2, 2), (1, 2), (1, 1)])
def test_no_more_speakers_than_the_maximum_are_found(pcm: Pcm, minimum: int, maximum: int) -> None:
    found = diarize(pcm, SpeakerCounts(minimum, maximum))
    assert len(found.speakers) == maximum
    assert "but 3 can be told apart: the most similar ones were merged" in found.warnings[0]


def test_more_speakers_than_there_are_is_a_warning(pcm: Pcm) -> None:
    found = diarize(pcm, SpeakerCounts(minimum=60))
    assert len(found.speakers) >= 3
    assert "60 speakers were asked for" in found.warnings[0]


def test_correct_counts_change_nothing(pcm: Pcm, found: Diarization) -> None:
    assert diarize(pcm, SpeakerCounts(3, 3)).turns == found.turns


def test_a_known_speaker_gets_a_name_and_others_keep_their_labels(pcm: Pcm) -> None:
    ada = embed_sample(cut(pcm, TRUTH[1]))
    assert ada is not None
    stranger = np.roll(ada, 7)
    found = diarize(pcm, known={"Ada": ada, "Stranger": stranger})
    assert [speaker.label for speaker in found.speakers] == ["SPEAKER_00", "Ada", "SPEAKER_02"]
    assert len(found.warnings) == 1
    assert re.fullmatch(
        r"speakers: nobody in the recording sounds like Stranger: the nearest is \w+ with a similarity of -?0\.\d\d, "
        r"and 0\.55 is needed",
        found.warnings[0],
    )


def test_the_absence_of_a_speaker_who_is_not_expected_is_no_warning(pcm: Pcm) -> None:
    ada = embed_sample(cut(pcm, TRUTH[1]))
    assert ada is not None
    known = {"Ada": ada, "Stranger": np.roll(ada, 7)}
    assert diarize(pcm, known=known, expected=["Ada"]).warnings == []
    assert diarize(np.zeros(SAMPLE_RATE, np.int16), known=known, expected=[]).warnings == []


def test_a_second_sample_of_one_voice_is_a_warning(pcm: Pcm) -> None:
    ada = embed_sample(cut(pcm, TRUTH[1]))
    assert ada is not None
    found = diarize(pcm, known={"Ada": ada, "Twin": ada})
    taken = next(speaker.label for speaker in found.speakers if not speaker.label.startswith("SPEAKER"))
    other = {"Ada": "Twin", "Twin": "Ada"}[taken]
    assert found.warnings == [f"speakers: the only voice like {other} is that of {taken}, whose sample it is more like"]


@pytest.mark.parametrize(
    ("counts", "known", "warnings"),
    [
        (SpeakerCounts(), [], []),
        (SpeakerCounts(1, 4), [], []),
        (SpeakerCounts(2, 2), [], ["2 speakers were asked for, but nobody speaks"]),
        (SpeakerCounts(), ["Ada", "Bob"], ["speakers: nobody speaks, so nobody is Ada or Bob"]),
        (
            SpeakerCounts(3),
            ["Ada"],
            ["3 speakers were asked for, but nobody speaks", "speakers: nobody speaks, so nobody is Ada"],
        ),
    ],
)
def test_speakers_asked_for_in_silence_are_a_warning(
    counts: SpeakerCounts, known: list[str], warnings: list[str]
) -> None:
    silence = np.zeros(3 * SAMPLE_RATE, np.int16)
    voice = np.ones(192, np.float32)
    assert diarize(silence, counts, dict.fromkeys(known, voice)).warnings == warnings


def test_only_the_clips_are_diarized(pcm: Pcm) -> None:
    clip = Region(round(TRUTH[1].start * SAMPLE_RATE), round(TRUTH[1].end * SAMPLE_RATE))
    found = diarize(pcm, clips=[clip])
    assert len(found.speakers) == 1
    assert found.turns[0].start >= clip.start / SAMPLE_RATE
    assert found.turns[-1].end <= clip.end / SAMPLE_RATE


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.3, 2.0])
def test_very_short_recordings_do_not_fail(pcm: Pcm, seconds: float) -> None:
    start = round(TRUTH[0].start * SAMPLE_RATE)
    assert len(diarize(pcm[start : start + round(seconds * SAMPLE_RATE)]).speakers) <= 1


@pytest.mark.parametrize("clip", ["silence.flac", "noise.ogg"])
def test_without_speech_there_are_no_speakers(clip: str) -> None:
    sound = load_pcm(CLIPS / clip)
    assert diarize(sound).turns == []
    assert embed_sample(sound) is None


def test_speakers_of_a_long_recording_are_the_same_in_all_of_its_blocks() -> None:
    random = np.random.default_rng(0)
    voices = random.normal(size=(4, 192))
    truth = random.integers(0, 4, 3 * BLOCK_SIZE + 7)
    embeddings = (voices[truth] + 0.5 * random.normal(size=(len(truth), 192))).astype(np.float32)
    odd = 0.5 * voices[0] + random.normal(size=192)  # such as a cough, three times in 45 minutes
    embeddings[[10, 700, 1500]] = odd
    truth[[10, 700, 1500]] = 0
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels, num_found = cluster(embeddings, np.full(len(embeddings), 1.5), SpeakerCounts())
    assert num_found == 4
    assert len({*zip(truth.tolist(), labels.tolist(), strict=True)}) == 4


def test_a_single_voice_is_one_speaker() -> None:
    assert len(diarize(load_pcm(CLIPS / "long.ogg")).speakers) == 1


@pytest.fixture(scope="module")
def interrupted(pcm: Pcm) -> tuple[Pcm, list[Turn]]:
    """A turn of each of three voices; each begins a second before the one before it ends."""
    sound, turns = np.zeros(0, np.int32), [TRUTH[0], TRUTH[4], TRUTH[5]]
    spoken: list[Turn] = []
    for turn in turns:
        speech = cut(pcm, turn).astype(np.int32)
        start = max(0, len(sound) - SAMPLE_RATE)
        sound = np.pad(sound, (0, start + len(speech) - len(sound)))
        sound[start : start + len(speech)] += speech
        spoken.append(Turn(start / SAMPLE_RATE, len(sound) / SAMPLE_RATE, turn.speaker))
    return sound.clip(-32768, 32767).astype(np.int16), spoken


def test_two_who_speak_at_once_both_have_a_turn(interrupted: tuple[Pcm, list[Turn]]) -> None:
    sound, spoken = interrupted
    found = diarize(sound)
    assert len(found.speakers) == 3
    assert found.turns == sorted(found.turns)
    rates = error_rate(spoken, found.turns)
    alone = error_rate(spoken, [turn._replace(end=after.start) for turn, after in pairwise([*spoken, spoken[-1]])])
    assert rates["missed"] < alone["missed"] / 2
    assert rates["DER"] < 0.15


def test_a_cancelled_diarization_ends(pcm: Pcm) -> None:
    def stop() -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        diarize(pcm, check=stop)


# --- In a whole job --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def handled() -> Any:
    from src.rp_handler import handler

    def answer(**options: Any) -> dict[str, Any]:
        audio = {"base64": as_base64(CLIPS / options.pop("clip", "dialogue.ogg"))}
        return handler({"input": {"audio": audio, "options": {"diarize": True, **options}}})

    return answer


def test_a_cancelled_job_leaves_no_thread_behind() -> None:
    from src.startup import get_processor

    control = JobControl()
    control.listen(lambda stage, *_: control.cancel("enough") if stage == "transcribing" else None)
    with pytest.raises(Cancelled, match="enough"):
        get_processor().transcribe(CLIPS / "dialogue.ogg", Options(diarize=True), control)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("diarization")]


@pytest.fixture(scope="module")
def whole(handled: Any) -> dict[str, Any]:
    formats = ["all", "rttm", "verbose_json"]
    answer: dict[str, Any] = handled(output_format=formats, word_timestamps=True, speaker_embeddings=True)
    return answer


def test_words_and_segments_have_the_speaker_of_their_turn(whole: dict[str, Any]) -> None:
    output = whole["transcription"]
    labels = dict(
        zip(dict.fromkeys(turn.speaker for turn in TRUTH), ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"], strict=True)
    )
    wrong = 0
    words = [word for segment in output["segments"] for word in segment["words"]]
    for segment in output["segments"]:
        assert {word["speaker"] for word in segment["words"]} == {segment["speaker"]}
    for word in words:
        nearest = min(TRUTH, key=lambda turn: max(turn.start - word["end"], word["start"] - turn.end))
        wrong += labels[nearest.speaker] != word["speaker"]
    assert wrong <= 0.05 * len(words)
    assert [segment["id"] for segment in output["segments"]] == list(range(len(output["segments"])))


def test_every_format_names_the_speakers(whole: dict[str, Any]) -> None:
    output = whole["transcription"]
    turns = len(output["speaker_turns"])
    assert output["text"].count("\n") == turns - 1
    assert output["text"].startswith("SPEAKER_00: ")
    assert "\nSPEAKER_01: " in output["srt"]
    assert "\n<v SPEAKER_02>" in output["vtt"]
    assert output["tsv"].startswith("start\tend\tspeaker\ttext\n")
    assert len(output["rttm"].splitlines()) == turns
    assert [speaker["speaker"] for speaker in output["speakers"]] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"]
    assert all(len(speaker["embedding"]) == 192 for speaker in output["speakers"])
    labels = {speaker["speaker"] for speaker in output["speakers"]}
    assert {segment["speaker"] for segment in output["verbose_json"]["segments"]} == labels
    assert whole["metadata"]["timings"]["diarization"] > 0
    json.dumps(whole, allow_nan=False)


def test_words_and_embeddings_are_returned_only_on_request(handled: Any, ada: Path) -> None:
    answer = handled(output_format="json", speakers={"Ada": {"base64": as_base64(ada)}}, clip_timestamps="0,13.5")
    output = answer["transcription"]
    assert not any("words" in segment for segment in output["segments"])
    assert [speaker["speaker"] for speaker in output["speakers"]] == ["SPEAKER_00", "Ada", "SPEAKER_02"]
    assert not any("embedding" in speaker for speaker in output["speakers"])
    assert {segment["speaker"] for segment in output["segments"]} == {"SPEAKER_00", "Ada", "SPEAKER_02"}


def test_embeddings_of_one_answer_name_the_speakers_of_another(handled: Any, whole: dict[str, Any]) -> None:
    speakers = whole["transcription"]["speakers"]
    given = {
        name: {key: speaker[key] for key in ("embedding", "embedding_model")}
        for name, speaker in zip(("Ada", "Bob"), speakers[1:], strict=True)
    }
    stranger = {"embedding": given["Ada"]["embedding"][7:] + given["Ada"]["embedding"][:7]}
    answer = handled(output_format="json", speakers={**given, "Stranger": stranger})
    assert [speaker["speaker"] for speaker in answer["transcription"]["speakers"]] == ["SPEAKER_00", "Ada", "Bob"]
    assert answer["metadata"]["warnings"] == []


def test_a_recording_without_speech_has_no_speakers(handled: Any) -> None:
    output = handled(clip="silence.flac", output_format=["all", "rttm"])["transcription"]
    assert (output["speakers"], output["speaker_turns"], output["segments"], output["rttm"]) == ([], [], [], "")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"speakers": {"Ada": {"base64": "AAAA"}}}, "options.speakers.Ada: "),
        ({"speakers": {"Ada": "data:audio/flac;base64," + as_base64(CLIPS / "silence.flac")}}, "nobody speaks"),
        (
            {"speakers": {"Ada": {"base64": as_base64(CLIPS / "long.ogg")}}},
            "Ada: the recording is longer than the limit of 60 seconds",
        ),
        (
            {"speakers": {"Ada": {"url": "http://127.0.0.1/ada.wav"}}},
            "options.speakers.Ada: the URL, or a redirect",
        ),
        ({"speakers": {"Ada": {"ulr": "x"}}}, 'did you mean "url"?'),
        (
            {"speakers": {"Ada": {"embedding": [0.1] * 191}}},
            "speakers.Ada.embedding: should be the 192 numbers",
        ),
        ({"speakers": {"<b>": "https://example.com/a"}}, "a name should be"),
        ({"speakers": {"SPEAKER_00": "https://example.com/a"}}, "a name should be"),
        ({"num_speakers": 2, "max_speakers": 3}, "leave min_speakers and max_speakers out"),
        ({"min_speakers": 4, "max_speakers": 3}, "min_speakers is larger"),
        ({"num_speakers": 0}, "options.num_speakers"),
        ({"diarize": False, "num_speakers": 2}, "num_speakers needs diarize"),
        ({"diarize": False, "output_format": "rttm"}, "rttm needs diarize, or a track for each speaker"),
    ],
)
def test_wrong_options_and_samples_are_refused(
    handled: Any, options: dict[str, Any], sentence: str, no_files_left: Path
) -> None:
    answer = handled(**options)
    assert sentence in answer["error"], answer
    assert answer["error_type"] in ("InvalidInput", "UnsupportedMedia", "TooLarge", "DownloadFailed")
    assert str(no_files_left) not in answer["error"]
