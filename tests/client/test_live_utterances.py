"""Events become utterances, in the order of speech, and a transcript in all forms."""

from __future__ import annotations

from typing import Any

import pytest

from client.realtime.transcript import to_output
from client.realtime.utterances import Utterances

Event = dict[str, Any]


def started(item: str, ms: int) -> Event:
    return {"type": "input_audio_buffer.speech_started", "item_id": item, "audio_start_ms": ms}


def stopped(item: str, ms: int) -> Event:
    return {"type": "input_audio_buffer.speech_stopped", "item_id": item, "audio_end_ms": ms}


def transcription(kind: str, item: str, **fields: Any) -> Event:
    return {"type": f"conversation.item.input_audio_transcription.{kind}", "item_id": item, **fields}


def taken(utterances: Utterances, *events: Event) -> list[tuple[float, float, str]]:
    """Times and texts of what is finished by the events."""
    done = [utterance for event in events for utterance in utterances.take(event)]
    return [(utterance.start, utterance.end, utterance.words) for utterance in done]


def test_utterances_are_handed_on_in_the_order_of_speech_whichever_is_finished_first() -> None:
    utterances = Utterances()
    spoken = [started("a", 0), stopped("a", 500), started("b", 1000), stopped("b", 1500)]
    assert taken(utterances, *spoken, transcription("completed", "b", transcript="two")) == []
    assert utterances.covered == 0
    assert taken(utterances, transcription("completed", "a", transcript="one")) == [(0, 0.5, "one"), (1, 1.5, "two")]
    assert utterances.covered == 1.5
    assert utterances.unfinished == []


def test_words_so_far_are_those_of_the_deltas_and_the_final_text_replaces_them() -> None:
    utterances = Utterances()
    taken(utterances, started("a", 0), *(transcription("delta", "a", delta=word) for word in ("Hel", "lo", " word")))
    assert [utterance.words for utterance in utterances.unfinished] == ["Hello word"]
    assert taken(utterances, transcription("completed", "a", transcript="Hello world.")) == [(0, 0, "Hello world.")]


def test_a_new_session_counts_from_where_its_sound_begins() -> None:
    utterances = Utterances()
    taken(utterances, started("a", 0), transcription("delta", "a", delta="lost"))
    utterances.restart(10.0)
    assert utterances.unfinished == []
    words = [{"word": " one", "start": 0.5, "end": 0.9, "probability": 1.0}]
    segments = [{"start": 0.5, "end": 1.0, "text": " one", "words": words}]
    events = [started("b", 500), stopped("b", 1000), transcription("completed", "b", segments=segments)]
    [utterance] = [utterance for event in events for utterance in utterances.take(event)]
    assert (utterance.start, utterance.end) == (10.5, 11.0)
    assert utterance.segments[0] == {
        **{"start": 10.5, "end": 11.0, "text": " one"},
        "words": [{**words[0], "start": 10.5, "end": 10.9}],
    }


def test_a_final_text_without_segments_is_one() -> None:
    utterances = Utterances()
    taken(utterances, started("a", 200), stopped("a", 900))
    [utterance] = utterances.take(transcription("completed", "a", transcript="Hello."))
    assert utterance.segments == [{"start": 0.2, "end": 0.9, "text": " Hello."}]


def test_times_of_the_final_text_count_for_an_utterance_that_was_cut() -> None:
    times = {"audio_start_ms": 24_000, "audio_end_ms": 30_000}
    assert taken(Utterances(), transcription("completed", "a", transcript="on", **times)) == [(24, 30, "on")]


def test_an_utterance_that_failed_does_not_hold_up_the_others() -> None:
    utterances = Utterances()
    taken(utterances, started("a", 0), started("b", 1000), transcription("completed", "b", transcript="two"))
    done = utterances.take(transcription("failed", "a", error={"message": "out of memory"}))
    assert [(utterance.words, utterance.error) for utterance in done] == [("", "out of memory"), ("two", None)]


def test_an_utterance_whose_final_text_never_comes_keeps_the_words_so_far() -> None:
    utterances = Utterances()
    taken(utterances, started("a", 0), transcription("delta", "a", delta=" so far"), started("b", 1000))
    taken(utterances, transcription("completed", "b", transcript="two"))
    first, second = utterances.finish()
    assert (first.segments[0]["text"], first.error) == (" so far", "the server has not sent its final text")
    assert (second.words, second.error) == ("two", None)


def test_what_is_never_finished_holds_up_no_more_than_a_hundred_others() -> None:
    utterances = Utterances()
    taken(utterances, started("a", 0))
    done = [taken(utterances, transcription("completed", f"b{number}", transcript="x")) for number in range(100)]
    assert [len(some) for some in done] == [0] * 99 + [101]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": None, "item_id": "a"},
        started("a", "soon"),  # type: ignore[arg-type]
        {"type": "input_audio_buffer.speech_started", "item_id": ["a"]},
        transcription("delta", "a", delta=None),
        transcription("completed", "a", transcript=None, segments="none", warnings=3, language=7),
        transcription("completed", "a", segments=[{"text": 1}, None, {"start": -1, "end": 0, "text": "x"}]),
        transcription("failed", "a", error=None),
        {"type": "rate_limits.updated", "item_id": "a"},
    ],
)
def test_malformed_events_do_no_harm(event: Event) -> None:
    utterances = Utterances()
    utterances.take(event)
    utterances.finish()
    assert utterances.unfinished == []


def test_a_transcript_has_all_forms() -> None:
    segments = [
        {"start": 0.0, "end": 1.5, "text": " Good morning.", "speaker": "SPEAKER_00", "avg_logprob": -0.2},
        {"start": 2.0, "end": 3.0, "text": " Hello.", "speaker": "SPEAKER_01", "language": "en"},
    ]
    output = to_output(segments, "en", 4.0, ["a note", "a note"])
    text = output["transcription"]
    assert text["text"] == "SPEAKER_00: Good morning.\nSPEAKER_01: Hello."
    assert text["srt"].startswith("1\n00:00:00,000 --> 00:00:01,500\nSPEAKER_00: Good morning.\n\n2\n")
    assert "\n00:00:02.000 --> 00:00:03.000\n" in text["vtt"]
    assert [(segment["id"], segment["avg_logprob"]) for segment in text["segments"]] == [(0, -0.2), (1, 0.0)]
    assert output["metadata"] == {"language": "en", "audio_duration": 4.0, "warnings": ["a note"]}
