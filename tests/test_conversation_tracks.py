"""Several tracks of one conversation: a common clock, speakers by their names, and bleed left out."""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.audio.bleed import is_bleed
from src.audio.pcm import SAMPLE_RATE, Pcm
from src.errors import InvalidInput, TooLarge, UnsupportedMedia
from src.job_control import JobControl
from src.request.options import Options
from src.request.tracks import TrackFile
from src.request.validation import parse_input
from src.rp_handler import handler
from src.settings import get_settings
from src.track_steps import decode_tracks
from src.whisper_processor import WhisperProcessor
from tests.support.clips import CLIPS, as_base64, words
from tests.support.live_stream import decoded
from transcript.channels import merge_channels, name_speakers_by_channel
from transcript.formats.render import render
from transcript.tracks import merge_tracks
from transcript.transcript import Diarization, Segment, Speaker, Transcript, Turn, Word

URL = "https://example.com/ada.wav"
ADA, BEN = {"url": URL, "name": "Ada"}, {"url": URL, "name": "Ben"}


@pytest.mark.parametrize(
    ("audio", "expected"),
    [
        ([ADA, BEN], [("Ada", None), ("Ben", None)]),
        ([ADA, {"url": URL, "offset": 1.5}], [("Ada", None), ("SPEAKER_01", 1.5)]),
        ([URL, URL], [("SPEAKER_00", None), ("SPEAKER_01", None)]),
        ([{"url": URL}], [(None, None)]),
        ([ADA], [("Ada", None)]),
        ([{"url": URL, "offset": 1.5}], [("SPEAKER_00", 1.5)]),
    ],
)
def test_tracks_have_names_and_offsets(audio: Any, expected: list[tuple[str | None, float | None]]) -> None:
    assert [(track.name, track.offset) for track in parse_input({"audio": audio}).audio] == expected


def test_tracks_have_the_turns_of_speakers_without_diarization() -> None:
    assert parse_input({"audio": [ADA, BEN], "options": {"output_format": "rttm"}}).options.output_format == ["rttm"]
    merged = merge_tracks([Transcript("en", 1.0, 9.0, [segment(0.5, " Hello.")])], ["Ada Lovelace"])
    assert render(merged, ["rttm"])["rttm"] == "SPEAKER audio 1 0.500 1.000 <NA> <NA> Ada_Lovelace <NA> <NA>\n"


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        ({"audio": []}, "audio: should not be empty"),
        ({"audio": [ADA] * 17}, "audio: should have at most 16 items"),
        ({"audio": [ADA, ADA]}, 'audio: "Ada" is the name of 2 tracks: give each its own'),
        ({"audio": [URL, {"url": URL, "name": "SPEAKER_00"}]}, "audio.1.name: "),
        ({"audio": ADA}, 'audio: "name" and "offset" are for tracks: give a list of them'),
        ({"audio": [ADA, {"name": "Ben"}]}, 'audio.1: give exactly one of "url", "base64" and "volume"'),
        ({"audio": [ADA, 7]}, 'audio.1: give {"url": "https://..."}, {"base64": "..."}'),
        ({"audio": [ADA, {**BEN, "offset": -1}]}, "audio.1.offset: should be at least 0"),
        ({"audio": [ADA, {**BEN, "offset": 1e9}]}, "audio.1.offset: should be at most 43200"),
        ({"audio": [ADA, {**BEN, "namee": "x"}]}, 'audio.1.namee: unknown key, did you mean "name"?'),
        ({"audio": [ADA], "options": {"diarize": True}}, "diarize is for a single recording: leave it out"),
        ({"audio": [ADA, BEN], "options": {"align": "Hello."}}, "align is for a single recording: leave it out"),
        ({"audio": [ADA, BEN], "options": {"captions": "mux"}}, "captions is for a single recording: leave it out"),
        ({"audio": [ADA, BEN], "options": {"channels": "split"}}, 'channels "split" is for a single recording'),
    ],
)
def test_wrong_tracks_are_refused_with_one_sentence(job: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_input(job)
    assert sentence in str(caught.value)


def turns() -> list[tuple[float, float, str]]:
    lines = [line.split() for line in (CLIPS / "dialogue.rttm").read_text().splitlines()]
    return [(float(line[3]), float(line[3]) + float(line[4]), line[7]) for line in lines]


def microphone(speaker: str, bleed: float) -> Pcm:
    """What the microphone of a speaker of the dialogue takes up: the others 5 ms later, quieter and with an echo."""
    dialogue = decoded("dialogue.ogg").astype(np.float32)
    own = np.zeros_like(dialogue)
    for start, end, name in turns():
        part = slice(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
        if name == speaker:
            own[part] = dialogue[part]
    room = np.zeros(4000, np.float32)
    room[80] = 1.0
    room[400::160] = 0.5 * np.exp(-np.arange(23) / 6)
    others = np.convolve(dialogue - own, room)[: len(dialogue)]
    noise = np.random.default_rng(0).normal(0, 8, len(dialogue))
    return np.clip(own + bleed * others + noise, -32768, 32767).astype(np.int16)


SPEAKERS = ("awb", "slt", "kal16")


@pytest.mark.process
@pytest.mark.parametrize("bleed", [0.2, 0.05])
def test_bleed_is_what_another_microphone_took_up_louder(bleed: float) -> None:
    tracks = [microphone(speaker, bleed) for speaker in SPEAKERS]
    for start, end, name in turns():
        found = [is_bleed(tracks, track, start, end) for track in range(3)]
        assert found == [speaker != name for speaker in SPEAKERS]


@pytest.mark.process
def test_who_never_speaks_has_only_bleed() -> None:
    tracks = [microphone("awb", 0.1), microphone("nobody", 0.1)]
    start, end, _ = turns()[0]
    assert [is_bleed(tracks, track, start, end) for track in (0, 1)] == [False, True]


@pytest.mark.process
def test_two_who_speak_at_once_into_their_microphones_are_both_heard() -> None:
    one = decoded("dialogue.ogg")[: 7 * SAMPLE_RATE].astype(np.float32)
    other = decoded("long.ogg")[: 7 * SAMPLE_RATE].astype(np.float32) * 0.3  # more quietly
    tracks = [(one + 0.1 * other).astype(np.int16), (other + 0.1 * one).astype(np.int16)]
    stretches = [(at / 2, at / 2 + 0.5) for at in (2, 3, 4, 5, 8, 9, 10, 11)]  # from 3 to 4 s the second one pauses
    assert not any(is_bleed(tracks, track, *stretch) for track in (0, 1) for stretch in stretches)
    assert is_bleed(tracks, 1, 3.0, 3.5)


def test_tracks_without_sound_have_no_bleed() -> None:
    tracks = [np.zeros(16000, np.int16), np.zeros(0, np.int16), np.ones(100, np.int16)]
    assert not any(is_bleed(tracks, track, 0.2, 0.9) for track in range(3))


def segment(start: float, text: str) -> Segment:
    word = Word(text, start, start + 1, 0.9)
    return Segment(0, 0, start, start + 1, text, [1], 0.0, -0.1, 1.0, 0.0, words=[word])


def test_the_tracks_segments_are_merged_in_order_with_speakers_turns_and_words() -> None:
    ada = Transcript("en", 1.0, 10.0, [segment(0.0, " Hello."), segment(1.5, " Ben?"), segment(8.0, " Bye.")])
    ben = Transcript("en", 1.0, 12.0, [segment(2.0, " Yes.")])
    merged = merge_tracks([ada, ben], ["Ada", "Ben"])
    assert merged.text == "Ada: Hello. Ben?\nBen: Yes.\nAda: Bye."
    assert merged.duration == 12.0
    assert [(one.id, one.speaker, one.channel) for one in merged.segments] == [
        *((0, "Ada", 0), (1, "Ada", 0), (2, "Ben", 1), (3, "Ada", 0)),
    ]
    assert [word.speaker for one in merged.segments for word in one.words or []] == ["Ada", "Ada", "Ben", "Ada"]
    assert merged.diarization is not None
    assert [tuple(turn) for turn in merged.diarization.turns] == [
        *((0.0, 2.5, "Ada"), (2.0, 3.0, "Ben"), (8.0, 9.0, "Ada")),
    ]
    assert [(found.label, found.seconds, found.turns) for found in merged.diarization.speakers] == [
        *(("Ada", 3.5, 2), ("Ben", 1.0, 1)),
    ]


def diarized(label: str, start: float) -> Transcript:
    """A transcript with one turn of 2 s."""
    spoken = segment(start, " Hello.")
    spoken.speaker = label
    spoken.words = [Word(" Hello.", start, start + 1, 0.9, label, other_speakers=(label,))]
    turn, speaker = Turn(start, start + 2, label), Speaker(label, 2.0, 1, start, embedding=())
    return Transcript("en", 1.0, 10.0, [spoken], diarization=Diarization([turn], [speaker]))


def test_speakers_of_channels_have_the_channels_number_and_known_ones_their_names() -> None:
    channels = [diarized("SPEAKER_00", 4.0), diarized("SPEAKER_00", 1.0), diarized("Ada", 3.0), diarized("Ada", 7.0)]
    for number, transcript in enumerate(channels):
        name_speakers_by_channel(transcript, number)
    merged = merge_channels(channels)
    assert merged.text.splitlines()[:2] == ["CHANNEL_1_SPEAKER_00: Hello.", "Ada: Hello."]
    assert all(word.other_speakers == (one.speaker,) for one in merged.segments for word in one.words or [])
    assert merged.diarization is not None
    assert [(turn.start, turn.speaker) for turn in merged.diarization.turns] == [
        *((1.0, "CHANNEL_1_SPEAKER_00"), (3.0, "Ada"), (4.0, "CHANNEL_0_SPEAKER_00"), (7.0, "Ada")),
    ]
    assert [(one.label, one.turns, one.seconds) for one in merged.diarization.speakers] == [
        *(("CHANNEL_1_SPEAKER_00", 1, 2.0), ("Ada", 2, 4.0), ("CHANNEL_0_SPEAKER_00", 1, 2.0)),
    ]


def write(path: Path, pcm: Pcm, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm.tobytes())
    return path


@pytest.fixture(scope="module")
def processor() -> Iterator[WhisperProcessor]:
    loaded = WhisperProcessor("tiny.en")
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> list[TrackFile]:
    """The dialogue by three microphones; the second one was started after 5 s."""
    folder = tmp_path_factory.mktemp("tracks")
    pcms = [microphone(speaker, 0.15) for speaker in SPEAKERS]
    return [
        TrackFile(
            write(folder / f"{speaker}.wav", pcm[5 * SAMPLE_RATE :] if speaker == "slt" else pcm), speaker, offset
        )
        for speaker, pcm, offset in zip(SPEAKERS, pcms, (0.0, 5.0, 0.0), strict=True)
    ]


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
def test_a_conversation_is_transcribed_once_with_its_speakers(
    processor: WhisperProcessor, tracks: Sequence[TrackFile]
) -> None:
    streamed: list[Segment] = []
    transcript = processor.transcribe_tracks(tracks, {"language": "en"}, JobControl(streamed.append))
    whole = processor.transcribe(CLIPS / "dialogue.ogg", {"language": "en"})
    said = [word for one in transcript.segments for word in words(one.text)]
    expected = words(whole.text)
    assert len(expected) * 0.9 <= len(said) <= len(expected) * 1.1
    spoken_by = {name: sum(end - start for start, end, who in turns() if who == name) for name in SPEAKERS}
    assert transcript.diarization is not None
    assert {one.label: one.seconds for one in transcript.diarization.speakers} == pytest.approx(spoken_by, rel=0.25)
    for one in transcript.segments:
        middle = (one.start + one.end) / 2
        assert one.speaker == min(turns(), key=lambda turn: abs(sum(turn[:2]) / 2 - middle))[2]
    assert "words were left out where a microphone took up the voice" in transcript.warnings[-1]
    assert streamed == transcript.segments


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
def test_two_speakers_on_one_channel_of_a_call_are_told_apart(processor: WhisperProcessor, tmp_path: Path) -> None:
    left = microphone("awb", 0.0).astype(np.int32) + microphone("slt", 0.0)
    stereo = np.column_stack([left, microphone("kal16", 0.0)]).astype(np.int16)
    call = write(tmp_path / "call.wav", stereo, channels=2)
    options = {"language": "en", "channels": "split", "diarize": True, "output_format": ["json", "rttm"]}
    transcript = processor.transcribe(call, options)
    names = {"awb": "CHANNEL_0_SPEAKER_00", "slt": "CHANNEL_0_SPEAKER_01", "kal16": "CHANNEL_1_SPEAKER_00"}
    assert transcript.diarization is not None
    spoken_by = {names[name]: sum(end - start for start, end, who in turns() if who == name) for name in SPEAKERS}
    assert {one.label: one.seconds for one in transcript.diarization.speakers} == pytest.approx(spoken_by, rel=0.3)
    for one in transcript.segments:
        middle = (one.start + one.end) / 2
        assert one.speaker == names[min(turns(), key=lambda turn: abs(sum(turn[:2]) / 2 - middle))[2]]
        assert {word.speaker for word in one.words or []} == {one.speaker}
    assert render(transcript, ["rttm"])["rttm"].split()[7] == names["awb"]
    assert not transcript.warnings


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
def test_a_job_with_tracks_is_answered_with_one_transcript(tracks: Sequence[TrackFile], no_files_left: Path) -> None:
    audio = [{"base64": as_base64(track.path), "name": track.speaker} for track in tracks]
    answer = handler({"input": {"audio": audio, "options": {"language": "en"}}})
    assert "error" not in answer
    offsets = {track["name"]: track["offset"] for track in answer["metadata"]["tracks"]}
    assert offsets == pytest.approx({track.speaker: track.offset for track in tracks}, abs=0.02)  # found by ear
    text = answer["transcription"]["text"]
    assert [line.partition(":")[0] for line in text.splitlines()][:3] == ["awb", "slt", "kal16"]
    assert {turn["speaker"] for turn in answer["transcription"]["speaker_turns"]} == set(SPEAKERS)
    assert "words" not in answer["transcription"]["segments"][0]


@pytest.mark.model
@pytest.mark.process
def test_an_error_names_its_track(processor: WhisperProcessor, tracks: Sequence[TrackFile], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.wav"
    damaged.write_bytes(b"RIFF" + bytes(100))
    with pytest.raises(UnsupportedMedia, match=r"^audio\.1 \(Ben\): "):
        processor.transcribe_tracks([tracks[0], TrackFile(damaged, "Ben")])


@pytest.mark.process
@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ((None, None), r"audio\.1 \(Ben\): the recording is longer than the limit of 3\.28 seconds: send it in parts"),
        ((None, 5.0), r"audio\.1 \(Ben\): nothing of the limit is left for it: send the tracks in parts"),
        ((10.0, 0.0), r"audio\.0 \(Ada\): nothing of the limit is left for it: send the tracks in parts"),
    ],
)
def test_the_limits_are_those_of_all_tracks_together(
    offsets: tuple[float | None, float | None], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_settings(), "max_audio_seconds", 10)
    tracks = [TrackFile(CLIPS / "demo.ogg", name, at) for name, at in zip(("Ada", "Ben"), offsets, strict=True)]
    with pytest.raises(TooLarge, match=f"^{message} .the limit of 10 s is for all tracks together, with offsets.$"):
        decode_tracks(tracks, tmp_path, Options(), JobControl())
