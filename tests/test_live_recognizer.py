"""Live transcription with a real model: texts, their parts, speakers, and what is refused."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from api.live.recognizer import Completed, Delta, LiveEvent, LiveOptions, LiveRefused
from benchmarks.recordings import read_rttm
from src.audio.pcm import SAMPLE_RATE
from src.serving.live_recognizer import LocalLiveRecognizer
from src.speakers.diarization import embed_sample
from src.whisper_processor import WhisperProcessor
from tests.support.clips import CLIPS, assert_spoken
from tests.support.live_stream import decoded, silence

pytestmark = [pytest.mark.model, pytest.mark.process]

BYTES_PER_SECOND = 32_000


@pytest.fixture(scope="module")
def processor() -> Iterator[WhisperProcessor]:
    processor = WhisperProcessor("tiny.en")
    yield processor
    processor.close()


def never_lost() -> None:
    raise AssertionError("the device was reported as lost")


def transcribe(processor: WhisperProcessor, clip: str, options: LiveOptions) -> list[LiveEvent]:
    """The events of a stream that hears a clip, with time for drafts in each half second."""

    async def run() -> list[LiveEvent]:
        events: list[LiveEvent] = []
        stream = await LocalLiveRecognizer(processor, never_lost, 1).open(options, events.append)
        sound = decoded(clip).tobytes() + silence(1)
        for first in range(0, len(sound), BYTES_PER_SECOND // 2):
            await stream.append(sound[first : first + BYTES_PER_SECOND // 2])
            while options.draft_seconds and any(engine.unfinished for engine in processor.engines()[0].snapshots()):
                await asyncio.sleep(0.02)
            await asyncio.sleep(0)
        await stream.finish()
        await stream.close()
        return events

    return asyncio.run(run())


def completed(events: list[LiveEvent]) -> list[Completed]:
    return [event for event in events if isinstance(event, Completed)]


def test_the_words_are_told_while_they_are_spoken_and_whole_at_the_end(processor: WhisperProcessor) -> None:
    events = transcribe(processor, "demo.ogg", LiveOptions(word_timestamps=True, logprobs=True))
    utterances = completed(events)
    assert_spoken(" ".join(each.text for each in utterances), "demo.ogg", max_errors=2)
    for each in utterances:
        told = [event.text for event in events if isinstance(event, Delta) and event.utterance == each.utterance]
        assert told
        words = [word for segment in each.segments for word in segment["words"]]
        assert each.start_ms / 1000 <= words[0]["start"] < words[-1]["end"] <= each.end_ms / 1000
        assert all(before["start"] <= after["start"] for before, after in pairwise(words))
        assert each.logprobs
        assert "".join(token["token"] for token in each.logprobs).strip() == each.text
        assert each.language == "en"


@pytest.mark.slow
def test_speakers_are_told_apart_over_the_whole_stream_and_known_voices_named(processor: WhisperProcessor) -> None:
    turns = read_rttm(CLIPS / "dialogue.rttm")
    ada = max((turn for turn in turns if turn.speaker == turns[1].speaker), key=lambda turn: turn.end - turn.start)
    sample = decoded("dialogue.ogg")[round(ada.start * SAMPLE_RATE) : round(ada.end * SAMPLE_RATE)]
    voices = {"Ada": np.asarray(embed_sample(sample)).tolist(), "Eve": [1.0, *[0.0] * 191]}
    speakers = {name: {"embedding": voice} for name, voice in voices.items()}
    options = LiveOptions(diarize=True, speakers=speakers, draft_seconds=None)
    utterances = completed(transcribe(processor, "dialogue.ogg", options))
    segments = [segment for each in utterances for segment in each.segments]
    labels: dict[str, set[str]] = defaultdict(set)
    for turn in turns:
        middle = (turn.start + turn.end) / 2
        labels[turn.speaker] |= {each["speaker"] for each in segments if each["start"] <= middle <= each["end"]}
    assert sorted(labels.values(), key=min) == [{"Ada"}, {"SPEAKER_00"}, {"SPEAKER_02"}]
    assert segments[0]["speaker"] == "SPEAKER_00"
    assert "SPEAKER" not in utterances[0].text


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (LiveOptions(model="no-such"), "model_not_found", "model: should be one of"),
        (LiveOptions(languages=("de",)), "invalid_value", "knows English only"),
        (
            LiveOptions(speakers={"Ada": {"embedding": [0.1]}}),
            "invalid_value",
            "^speakers.Ada.embedding: should ",
        ),
    ],
)
def test_what_the_model_cannot_do_is_refused(
    processor: WhisperProcessor, options: LiveOptions, code: str, message: str
) -> None:
    async def run() -> None:
        recognizer = LocalLiveRecognizer(processor, never_lost, 1)
        with pytest.raises(LiveRefused, match=message) as refused:
            await recognizer.open(options, lambda event: None)
        assert refused.value.code == code
        stream = await recognizer.open(LiveOptions(), lambda event: None)  # a refusal takes no place
        with pytest.raises(LiveRefused, match=message):
            await stream.update(options)
        await stream.close()

    asyncio.run(run())


@pytest.mark.slow
def test_no_more_streams_than_the_limit(processor: WhisperProcessor) -> None:
    async def run() -> None:
        recognizer = LocalLiveRecognizer(processor, never_lost, 2)

        async def open_one() -> Any:
            return await recognizer.open(LiveOptions(), lambda event: None)

        streams = [await open_one(), await open_one()]
        with pytest.raises(LiveRefused, match="all 2 live streams are in use"):
            await open_one()
        await streams[0].close()
        streams[0] = await open_one()
        for stream in streams:
            await stream.close()

    asyncio.run(run())
