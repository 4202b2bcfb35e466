"""Who speaks when: the counts, the turns, known voices, and where nobody speaks; then through a whole job."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.diarization import error_rate, read_rttm
from benchmarks.recordings import pcm_of, write_wav
from src.audio.pcm import SAMPLE_RATE, Pcm, Region
from src.errors import Cancelled
from src.job_control import JobControl
from src.request.options import Options
from src.speakers.clustering import BLOCK, Counts, cluster
from src.speakers.diarization import diarize, embed_sample
from src.transcript.transcript import Diarization, Turn
from tests.support.clips import CLIPS, as_base64

pytestmark = [pytest.mark.model, pytest.mark.process]

TRUTH = read_rttm(CLIPS / "dialogue.rttm")


@pytest.fixture(scope="module")
def pcm() -> Pcm:
    return pcm_of(CLIPS / "dialogue.ogg")


def part(pcm: Pcm, turn: Turn) -> Pcm:
    return pcm[round(turn.start * SAMPLE_RATE) : round(turn.end * SAMPLE_RATE)]


@pytest.fixture
def ada(pcm: Pcm, tmp_path: Path) -> Path:
    """A sample of whoever speaks second."""
    return write_wav(part(pcm, TRUTH[1]), tmp_path / "ada.wav")


@pytest.fixture(scope="module")
def found(pcm: Pcm) -> Diarization:
    return diarize(pcm)


def test_each_voice_is_a_speaker_in_order_of_first_speech(found: Diarization) -> None:
    assert [one.label for one in found.speakers] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"]
    assert [one.start for one in found.speakers] == sorted(one.start for one in found.speakers)
    assert error_rate(TRUTH, found.turns)["DER"] < 0.05
    assert found.warnings == []


def test_speakers_sum_up_their_turns(found: Diarization) -> None:
    for speaker in found.speakers:
        own = [turn for turn in found.turns if turn.speaker == speaker.label]
        assert speaker.turns == len(own)
        assert speaker.seconds == pytest.approx(sum(turn.end - turn.start for turn in own))
        assert np.linalg.norm(speaker.voiceprint) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("counts", "expected"), [(Counts(2, 2), 2), (Counts(1, 2), 2), (Counts(1, 1), 1)])
def test_no_more_speakers_than_were_asked_for(pcm: Pcm, counts: Counts, expected: int) -> None:
    found = diarize(pcm, counts)
    assert len(found.speakers) == expected
    assert "but 3 can be told apart" in found.warnings[0]


def test_more_speakers_than_there_are_is_a_warning(pcm: Pcm) -> None:
    found = diarize(pcm, Counts(least=60))
    assert len(found.speakers) >= 3
    assert "60 speakers were asked for" in found.warnings[0]


def test_right_counts_change_nothing(pcm: Pcm, found: Diarization) -> None:
    assert diarize(pcm, Counts(3, 3)).turns == found.turns


def test_a_voice_that_is_known_has_its_name_and_others_keep_their_labels(pcm: Pcm) -> None:
    ada = embed_sample(part(pcm, TRUTH[1]))
    assert ada is not None
    stranger = np.roll(ada, 7)
    found = diarize(pcm, known={"Ada": ada, "Stranger": stranger})
    assert [one.label for one in found.speakers] == ["SPEAKER_00", "Ada", "SPEAKER_02"]


def test_nothing_but_the_clips_is_listened_to(pcm: Pcm) -> None:
    clip = Region(round(TRUTH[1].start * SAMPLE_RATE), round(TRUTH[1].end * SAMPLE_RATE))
    found = diarize(pcm, clips=[clip])
    assert len(found.speakers) == 1
    assert found.turns[0].start >= clip.start / SAMPLE_RATE
    assert found.turns[-1].end <= clip.end / SAMPLE_RATE


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.3, 2.0])
def test_however_short_it_is_nothing_fails(pcm: Pcm, seconds: float) -> None:
    start = round(TRUTH[0].start * SAMPLE_RATE)
    assert len(diarize(pcm[start : start + round(seconds * SAMPLE_RATE)]).speakers) <= 1


@pytest.mark.parametrize("clip", ["silence.flac", "noise.ogg"])
def test_where_nobody_speaks_there_are_no_speakers(clip: str) -> None:
    sound = pcm_of(CLIPS / clip)
    assert diarize(sound).turns == []
    assert embed_sample(sound) is None


def test_the_voices_of_a_long_recording_are_told_apart_in_all_of_its_stretches() -> None:
    dice = np.random.default_rng(0)
    voices = dice.normal(size=(4, 192))
    spoken = dice.integers(0, 4, 3 * BLOCK + 7)
    prints = (voices[spoken] + 0.5 * dice.normal(size=(len(spoken), 192))).astype(np.float32)
    odd = 0.5 * voices[0] + dice.normal(size=192)  # such as a cough, three times in 45 minutes
    prints[[10, 700, 1500]] = odd
    spoken[[10, 700, 1500]] = 0
    prints /= np.linalg.norm(prints, axis=1, keepdims=True)
    labels, heard = cluster(prints, np.full(len(prints), 1.5), Counts())
    assert heard == 4
    assert len({*zip(spoken.tolist(), labels.tolist(), strict=True)}) == 4


def test_one_voice_alone_is_one_speaker() -> None:
    assert len(diarize(pcm_of(CLIPS / "long.ogg")).speakers) == 1


def test_work_that_no_one_waits_for_ends(pcm: Pcm) -> None:
    def stop() -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        diarize(pcm, check=stop)


# --- through a whole job ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def handled() -> Any:
    from src.rp_handler import handler

    def answer(**options: Any) -> dict[str, Any]:
        audio = {"base64": as_base64(CLIPS / options.pop("clip", "dialogue.ogg"))}
        return handler({"input": {"audio": audio, "options": {"diarize": True, **options}}})

    return answer


def test_a_job_that_is_stopped_leaves_no_thread_behind() -> None:
    from src.startup import get_processor

    control = JobControl()
    control.listen(lambda stage, *_: control.stop("enough") if stage == "transcribing" else None)
    with pytest.raises(Cancelled, match="enough"):
        get_processor().transcribe(CLIPS / "dialogue.ogg", Options(diarize=True), control)
    assert not [one for one in threading.enumerate() if one.name.startswith("diarization")]


@pytest.fixture(scope="module")
def whole(handled: Any) -> dict[str, Any]:
    formats = ["all", "rttm", "verbose_json"]
    answer: dict[str, Any] = handled(output_format=formats, word_timestamps=True, speaker_embeddings=True)
    return answer


def test_words_and_segments_have_the_speaker_of_their_time(whole: dict[str, Any]) -> None:
    said = whole["transcription"]
    labels = dict(
        zip(dict.fromkeys(turn.speaker for turn in TRUTH), ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"], strict=True)
    )
    wrong = 0
    words = [word for segment in said["segments"] for word in segment["words"]]
    for segment in said["segments"]:
        assert {word["speaker"] for word in segment["words"]} == {segment["speaker"]}
    for word in words:
        nearest = min(TRUTH, key=lambda turn: max(turn.start - word["end"], word["start"] - turn.end))
        wrong += labels[nearest.speaker] != word["speaker"]
    assert wrong <= 0.05 * len(words)
    assert [segment["id"] for segment in said["segments"]] == list(range(len(said["segments"])))


def test_every_form_names_the_speakers(whole: dict[str, Any]) -> None:
    said = whole["transcription"]
    turns = len(said["speaker_turns"])
    assert said["text"].count("\n") == turns - 1
    assert said["text"].startswith("SPEAKER_00: ")
    assert "\nSPEAKER_01: " in said["srt"]
    assert "\n<v SPEAKER_02>" in said["vtt"]
    assert said["tsv"].startswith("start\tend\tspeaker\ttext\n")
    assert len(said["rttm"].splitlines()) == turns
    assert [one["speaker"] for one in said["speakers"]] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"]
    assert all(len(one["embedding"]) == 192 for one in said["speakers"])
    assert {one["speaker"] for one in said["verbose_json"]["segments"]} == {one["speaker"] for one in said["speakers"]}
    assert whole["metadata"]["timings"]["diarization"] > 0
    json.dumps(whole, allow_nan=False)


def test_words_and_embeddings_come_only_if_asked_for(handled: Any, ada: Path) -> None:
    answer = handled(output_format="json", speakers={"Ada": {"base64": as_base64(ada)}}, clip_timestamps="0,13.5")
    said = answer["transcription"]
    assert not any("words" in segment for segment in said["segments"])
    assert [one["speaker"] for one in said["speakers"]] == ["SPEAKER_00", "Ada", "SPEAKER_02"]
    assert not any("embedding" in one for one in said["speakers"])
    assert {one["speaker"] for one in said["segments"]} == {"SPEAKER_00", "Ada", "SPEAKER_02"}


def test_a_recording_without_speech_has_no_speakers(handled: Any) -> None:
    said = handled(clip="silence.flac", output_format=["all", "rttm"])["transcription"]
    assert (said["speakers"], said["speaker_turns"], said["segments"], said["rttm"]) == ([], [], [], "")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"speakers": {"Ada": {"base64": "AAAA"}}}, "options.speakers.Ada: "),
        ({"speakers": {"Ada": "data:audio/flac;base64," + as_base64(CLIPS / "silence.flac")}}, "nobody speaks"),
        ({"speakers": {"Ada": {"base64": as_base64(CLIPS / "long.ogg")}}}, "60 s and 20 MiB at most"),
        ({"speakers": {"Ada": {"url": "http://127.0.0.1/ada.wav"}}}, "options.speakers.Ada: the URL is refused"),
        ({"speakers": {"Ada": {"ulr": "x"}}}, 'did you mean "url"?'),
        ({"speakers": {"<b>": "https://example.com/a"}}, "a name should be"),
        ({"speakers": {"SPEAKER_00": "https://example.com/a"}}, "a name should be"),
        ({"channels": "split"}, "leave one of them out"),
        ({"num_speakers": 2, "max_speakers": 3}, "leave them out"),
        ({"min_speakers": 4, "max_speakers": 3}, "min_speakers is larger"),
        ({"num_speakers": 0}, "options.num_speakers"),
        ({"diarize": False, "num_speakers": 2}, "num_speakers needs diarize"),
        ({"diarize": False, "output_format": "rttm"}, "rttm needs diarize"),
    ],
)
def test_what_is_wrong_is_told(handled: Any, options: dict[str, Any], sentence: str, no_files_left: Path) -> None:
    answer = handled(**options)
    assert sentence in answer["error"], answer
    assert answer["error_type"] in ("InvalidInput", "UnsupportedMedia", "TooLarge", "DownloadFailed")
    assert str(no_files_left) not in answer["error"]
