"""A live stream: which sound becomes which utterance, what is told of it, and how a stream ends.

The detector is real, the engine scripted.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from api.live.recognizer import (
    Committed,
    Completed,
    Delta,
    Failed,
    LiveOptions,
    LiveRefused,
    SpeechStarted,
    TurnDetection,
    Warned,
)
from src.audio.pcm import SAMPLE_RATE
from src.engine.scheduler import EngineLost
from src.errors import InvalidInput
from src.live.setup import to_job_options
from src.live.stream import MAX_PIECE, MAX_UNPROCESSED
from tests.support.live_stream import ScriptedModel, decoded, open_stream, silence
from transcript.transcript import Transcript

pytestmark = pytest.mark.process

BY_COMMIT = LiveOptions(turn_detection=None)
LONG_TURNS = LiveOptions(turn_detection=TurnDetection(silence_duration_ms=10_000))
BYTES_PER_SECOND = 2 * SAMPLE_RATE


def sound(clip: str = "demo.ogg") -> bytes:
    return decoded(clip).tobytes()


def test_each_sentence_is_an_utterance_with_the_sound_around_it() -> None:
    async def run() -> None:
        async with open_stream() as opened:
            await opened.send(sound() + silence(1))
            await opened.stream.finish()
        one = ["SpeechStarted", "SpeechStopped", "Committed", "Completed"]
        assert sorted(opened.kinds()) == sorted(one * 2)
        (first_start, first_end), (second_start, second_end) = opened.spans
        assert first_start == 0
        assert 3265 <= first_end <= second_start <= 4165  # the pause of the clip
        assert 6720 <= second_end <= 7720
        assert [len(piece) * 1000 // SAMPLE_RATE for piece in opened.model.pieces] == [
            first_end - first_start,
            second_end - second_start,
        ]

    asyncio.run(run())


@pytest.mark.parametrize("block", [64, 1000, 6400, 10**7])
def test_the_sizes_in_which_sound_arrives_change_nothing(block: int) -> None:
    async def run(block: int) -> list[tuple[int, int]]:
        async with open_stream(LiveOptions(draft_seconds=None)) as opened:
            await opened.send(sound() + silence(1), block)
            await opened.stream.finish()
            return opened.spans

    assert asyncio.run(run(block)) == asyncio.run(run(3200))


@pytest.mark.parametrize("options", [LONG_TURNS, BY_COMMIT])
def test_long_speech_is_cut_without_loss_or_repetition(options: LiveOptions) -> None:
    async def run() -> None:
        pcm = decoded("long.ogg")
        async with open_stream(replace(options, draft_seconds=None)) as opened:
            await opened.send(pcm.tobytes())
            assert await opened.stream.commit()
            await opened.stream.finish()
        pieces = opened.model.pieces
        assert len(pieces) >= 4
        assert all(len(piece) <= MAX_PIECE + SAMPLE_RATE for piece in pieces)
        kept = np.concatenate(pieces)
        assert np.array_equal(kept, pcm[len(pcm) - len(kept) :])
        assert len(pcm) - len(kept) <= 0.4 * SAMPLE_RATE
        spans = opened.spans
        assert all(before[1] == after[0] for before, after in pairwise(spans))
        assert len(spans) == (1 if options is BY_COMMIT else len(pieces))

    asyncio.run(run())


def test_an_utterance_that_was_cut_has_the_text_of_all_its_pieces() -> None:
    async def run() -> None:
        async with open_stream(BY_COMMIT) as opened:
            await opened.send(sound("long.ogg"))
            await opened.stream.commit()
            await opened.stream.finish()
        (completed,) = opened.of(Completed)
        assert completed.text == " ".join(f"{len(piece) / SAMPLE_RATE:.1f} s" for piece in opened.model.pieces)
        times = [(segment["start"], segment["end"]) for segment in completed.segments]
        assert all(before[1] == pytest.approx(after[0], abs=0.01) for before, after in pairwise(times))
        assert [segment["id"] for segment in completed.segments] == list(range(len(times)))

    asyncio.run(run())


@pytest.mark.parametrize(("seconds", "committed"), [(0.0, False), (0.09, False), (0.1, True), (3.0, True)])
def test_a_commit_needs_a_tenth_of_a_second(seconds: float, committed: bool) -> None:
    async def run() -> None:
        async with open_stream(BY_COMMIT) as opened:
            await opened.send(silence(seconds))
            assert await opened.stream.commit() is committed
            assert await opened.stream.commit() is False
            assert len(opened.of(Committed)) == committed

    asyncio.run(run())


def test_a_commit_ends_a_turn_and_speech_that_goes_on_is_another() -> None:
    async def run() -> None:
        async with open_stream() as opened:
            await opened.send(sound()[: 2 * BYTES_PER_SECOND])
            assert await opened.stream.commit()
            await opened.send(sound()[2 * BYTES_PER_SECOND :] + silence(1))
            await opened.stream.finish()
        spans = opened.spans
        assert spans[0] == (0, 2000)
        assert 2000 <= spans[1][0] < 2400
        assert len(spans) == 3

    asyncio.run(run())


@pytest.mark.parametrize("end", ["commit", "clear"])
def test_what_ends_within_a_frame_of_the_detector_moves_no_later_utterance(end: str) -> None:
    async def run() -> list[tuple[int, int]]:
        async with open_stream() as opened:
            await opened.send(silence(1))
            for _ in range(20):
                await opened.send(silence(0.13))
                await getattr(opened.stream, end)()
            await opened.send(silence(1.4) + sound() + silence(1))
            await opened.stream.finish()
            return opened.spans[-2:]

    (_, first_end), (second_start, _) = asyncio.run(run())
    assert 5000 + 3265 <= first_end <= second_start <= 5000 + 4165  # the pause of the clip


def test_what_is_cleared_is_in_no_utterance() -> None:
    async def run() -> None:
        async with open_stream() as opened:
            await opened.send(sound()[: 2 * BYTES_PER_SECOND])
            await opened.stream.clear()
            assert await opened.stream.commit() is False
            await opened.send(silence(2) + sound())
            await opened.stream.finish()
        assert len(opened.of(SpeechStarted)) == 3
        assert [event.utterance for event in opened.of(Completed)] == [1, 2]
        assert opened.spans[0][0] >= 2000

    asyncio.run(run())


def test_other_options_apply_from_the_next_utterance_on() -> None:
    async def run() -> None:
        async with open_stream() as opened:
            await opened.send(sound()[: 2 * BYTES_PER_SECOND])
            await opened.stream.update(LiveOptions(languages=("de",), keywords=("Ada",), turn_detection=None))
            await opened.send(sound()[2 * BYTES_PER_SECOND :] + silence(1))
            await opened.stream.commit()
            await opened.stream.finish()
        assert [options.language for options in opened.model.options] == [None, "de"]
        assert [options.hints for options in opened.model.options] == [[], ["Ada"]]
        assert len(opened.of(SpeechStarted)) == 1  # the second one is committed

    asyncio.run(run())


@pytest.mark.parametrize(
    ("seconds", "first"),
    [(0.3, [(0, 3280)]), (2.0, [(0, 2000), (2000, 3280)])],
    ids=["before anybody speaks", "amid speech"],
)
def test_turns_that_are_asked_for_late_end_what_waited_for_a_commit(
    seconds: float, first: list[tuple[int, int]]
) -> None:
    async def run() -> None:
        before = round(seconds * BYTES_PER_SECOND)
        async with open_stream(BY_COMMIT) as opened:
            await opened.send(sound()[:before])
            await opened.stream.update(LiveOptions())
            await opened.send(sound()[before:] + silence(1))
            await opened.stream.finish()
        assert len(opened.spans) == len(first) + 1
        for span, expected in zip(opened.spans, first, strict=False):
            assert span == pytest.approx(expected, abs=500)

    asyncio.run(run())


def test_a_cut_in_the_pause_that_ends_a_turn_begins_no_other() -> None:
    async def run() -> None:
        hum = np.resize([60, -60], 45 * SAMPLE_RATE // 100).astype("<i2").tobytes()
        said = sound("long.ogg")[round(8.5 * BYTES_PER_SECOND) : round(15.5 * BYTES_PER_SECOND)] * 4
        async with open_stream(LiveOptions(turn_detection=TurnDetection(silence_duration_ms=1000))) as opened:
            await opened.send(said[: round(23.4 * BYTES_PER_SECOND)] + hum + silence(2))
            await opened.stream.finish()
        assert opened.kinds() == ["SpeechStarted", "SpeechStopped", "Committed", "Completed"]

    asyncio.run(run())


def test_speech_is_told_while_it_is_spoken_and_never_withdrawn() -> None:
    async def run() -> None:
        async with open_stream() as opened:
            await opened.send(sound()[: 3 * BYTES_PER_SECOND])
            assert opened.of(Delta)
            assert not opened.of(Completed)
            told = "".join(event.text for event in opened.of(Delta))
            assert told == "word"  # two drafts have it, the second word only one
            await opened.send(sound()[3 * BYTES_PER_SECOND :] + silence(1))
            await opened.stream.finish()
        prefixes = [len(prefix) for prefix, _ in opened.model.drafts]
        assert max(prefixes) > 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("draft", "deltas"),
    [(None, ["3.6 s"]), (" 3.6 and", ["3.6", " s"]), (" 3.6 s and", ["3.6 s"]), (" 9 s and", ["9 s"])],
)
def test_the_rest_of_a_final_text_follows_deltas_that_it_begins_with(draft: str | None, deltas: list[str]) -> None:
    async def run() -> None:
        model = ScriptedModel()
        model.script = lambda seconds: draft
        async with open_stream(model=model) as opened:
            await opened.send(sound() + silence(1))
            await opened.stream.finish()
        assert opened.of(Completed)[0].text == "3.6 s"
        assert [event.text for event in opened.of(Delta) if event.utterance == 0] == deltas

    asyncio.run(run())


def test_neither_drafts_nor_finals_tell_a_card_that_is_said_with_a_pause() -> None:
    class Caller(ScriptedModel):
        """Says half of a number in each utterance."""

        def transcribe_samples(self, *given: Any) -> Transcript:
            made = super().transcribe_samples(*given)
            made.segments[0].text = " My card is 4242 4242" if len(self.pieces) == 1 else " 4242 4242, thanks."
            return made

    async def run() -> None:
        model = Caller()
        model.script = lambda seconds: " My card is 4242 4242 4242 4243, thanks a lot"
        async with open_stream(LiveOptions(redact=("card",)), model) as opened:
            await opened.send(sound() + silence(1))
            await opened.stream.finish()
        assert [event.text for event in opened.of(Completed)] == ["My card is [number]", "[card], thanks."]
        deltas = [event.text for event in opened.of(Delta) if event.utterance == 0]
        assert deltas == ["My card is ", "[number]"]

    asyncio.run(run())


def test_one_draft_at_a_time_and_it_is_cancelled_at_the_end_of_its_utterance() -> None:
    async def run() -> None:
        model = ScriptedModel()
        model.script = lambda seconds: None
        async with open_stream(model=model) as opened:
            await opened.send(sound()[: 3 * BYTES_PER_SECOND])
            assert len(model.drafts) == 1
            assert model.cancelled == []
            await opened.send(sound()[3 * BYTES_PER_SECOND :])
            await opened.stream.finish()
            assert len(model.drafts) == 2
            assert len(model.cancelled) == 2

    asyncio.run(run())


def test_silence_is_neither_drafted_nor_transcribed() -> None:
    async def run() -> None:
        async with open_stream() as opened:
            await opened.send(silence(20))
            await opened.stream.finish()
        assert opened.events == []
        assert opened.model.drafts == []
        async with open_stream(BY_COMMIT) as opened:
            await opened.send(silence(20))
            assert opened.model.drafts == []

    asyncio.run(run())


def test_the_memory_of_a_stream_does_not_grow_with_silence() -> None:
    async def run() -> None:
        async with open_stream() as opened:
            await opened.send(sound() + silence(20), 32_000)
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            await opened.send(silence(120), 32_000)
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert after - before < 400_000  # 120 s of sound are 3.8 MB

    asyncio.run(run())


def test_the_sender_waits_while_too_much_has_no_final_text() -> None:
    async def run() -> None:
        model = ScriptedModel()
        model.gate.clear()
        async with open_stream(BY_COMMIT, model) as opened:
            sending = asyncio.create_task(opened.send(sound("long.ogg")))
            await asyncio.sleep(0)
            while opened.stream.unfinished <= MAX_UNPROCESSED:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert not sending.done()
            model.gate.set()
            await sending
            await opened.stream.commit()
            await opened.stream.finish()
            assert opened.spans == [(0, len(sound("long.ogg")) * 1000 // BYTES_PER_SECOND)]

    asyncio.run(run())


def test_sound_is_taken_even_if_its_sender_is_cancelled() -> None:
    async def run() -> None:
        async with open_stream(LiveOptions(turn_detection=None, draft_seconds=None)) as opened:
            for first in range(0, len(sound()), 6400):
                sending = asyncio.create_task(opened.stream.append(sound()[first : first + 6400]))
                await asyncio.sleep(0)
                sending.cancel()
            await opened.stream.commit()
            await opened.stream.finish()
            assert np.array_equal(np.concatenate(opened.model.pieces), decoded("demo.ogg"))

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fault", "error_type", "lost"),
    [
        (EngineLost("the engine is lost"), "Internal", 1),
        (InvalidInput("wrong"), "InvalidInput", 0),
        (MemoryError(), "OutOfResources", 0),
        (ValueError("secret"), "Internal", 0),
    ],
)
def test_an_utterance_without_a_text_has_failed_and_the_stream_goes_on(
    fault: Exception, error_type: str, lost: int
) -> None:
    async def run() -> None:
        model = ScriptedModel()
        model.fault = fault
        async with open_stream(model=model) as opened:
            await opened.send(sound() + silence(1))
            await opened.stream.finish()
        failed = opened.of(Failed)
        assert [event.utterance for event in failed] == [0, 1]
        assert {event.error_type for event in failed} == {error_type}
        assert "secret" not in failed[0].message
        assert opened.lost == 2 * lost

    asyncio.run(run())


def test_speech_without_a_text_is_a_warning_with_the_times_of_the_stream() -> None:
    async def run() -> None:
        model = ScriptedModel()
        model.uncovered = [(0.5, 1.75)]
        async with open_stream(LiveOptions(turn_detection=None), model=model) as opened:
            for _ in range(2):
                await opened.send(silence(2))
                assert await opened.stream.commit()
            await opened.stream.finish()
        assert [event.warnings for event in opened.of(Completed)] == [
            ["no text was found for speech from 0.5 to 1.8 s"],
            ["no text was found for speech from 2.5 to 3.8 s"],
        ]

    asyncio.run(run())


def test_a_closed_stream_tells_nothing_more_and_leaves_nothing() -> None:
    async def run() -> None:
        model = ScriptedModel()
        model.gate.clear()
        model.script = lambda seconds: None
        async with open_stream(model=model) as opened:
            await opened.send(sound() + silence(1))
            finishing = asyncio.create_task(opened.stream.finish())
            await asyncio.sleep(0.05)
            told = len(opened.events)
            await opened.stream.close()
            await opened.stream.close()
            await finishing
            await opened.stream.append(sound())
            assert await opened.stream.commit() is False
            assert len(opened.events) == told
            assert (opened.closed, opened.stream_model.released) == (1, 1)
            assert model.pieces == []
            assert len(model.cancelled) == len(model.running)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not others

    asyncio.run(run())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (LiveOptions(languages=("klingon",)), "language: "),
        (LiveOptions(languages=("en", "klingon")), "languages"),
        (LiveOptions(turn_detection=TurnDetection(threshold=0)), "turn_detection.threshold: should be more than 0"),
        (LiveOptions(turn_detection=TurnDetection(silence_duration_ms=10**9)), "silence_duration_ms: should be at"),
        (LiveOptions(turn_detection=TurnDetection(prefix_padding_ms=-1)), "prefix_padding_ms: should be at least 0"),
        (LiveOptions(prompt="x" * 20_000), "prompt: should have at most"),
        (LiveOptions(redact=("name",)), "^redact"),
        (LiveOptions(mask_style="stars"), "mask_style needs mask"),
        (LiveOptions(draft_seconds=0.0), "draft_seconds: should be at least"),
    ],
)
def test_wrong_options_are_refused_by_their_names_in_a_stream(options: LiveOptions, message: str) -> None:
    with pytest.raises(LiveRefused, match=message):
        to_job_options(options)


def test_an_option_without_effect_is_said() -> None:
    async def run() -> None:
        async with open_stream() as opened:
            for _ in range(2):
                await opened.stream.update(LiveOptions(noise_reduction=True, logprobs=True, mask=("damn",)))
        messages = [warned.message for warned in opened.of(Warned)]
        assert [message.partition(" no effect")[0] for message in messages] == ["noise_reduction has", "logprobs have"]

    asyncio.run(run())


def test_a_stream_is_closed_even_if_its_closer_is_cancelled() -> None:
    async def run() -> None:
        async with open_stream() as opened:
            await opened.send(sound()[: 2 * BYTES_PER_SECOND])
            closing = asyncio.create_task(opened.stream.close())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([closing])
            await opened.stream.close()
            assert (opened.closed, opened.stream_model.released) == (1, 1)

    asyncio.run(run())
