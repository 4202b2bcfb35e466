"""Log-probabilities of tokens in a job's answer: those of the text that Whisper wrote, whatever happens to it later."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from openai.types.audio.transcription import Logprob

from src.job_control import JobControl
from src.speakers.assignment import assign_speakers
from src.startup import get_processor
from tests.support.clips import CLIPS, as_base64
from transcript.hallucinations import remove_hallucinations
from transcript.token_logprobs import TokenLogprob
from transcript.transcript import Diarization, Segment, Transcript, Turn, Word

PARROT = [b" I", b" am ", b"\xf0\x9f", b"\xa6\x9c", "。ok".encode()]
"""The tokens of a text, two of which share a character."""


def segment(*tokens: bytes, **given: Any) -> Segment:
    text = b"".join(tokens).decode()
    scored = [TokenLogprob(token, -0.1 * number) for number, token in enumerate(tokens)]
    return Segment(0, 0, 0.0, 2.0, text, [1], 0.0, -0.3, 1.2, 0.1, logprobs=scored, **given)


def tokens_of(part: Segment) -> list[bytes]:
    return [token.bytes for token in part.logprobs or []]


def test_a_part_of_a_character_has_its_exact_bytes() -> None:
    listed = segment(*PARROT).to_dict()["logprobs"]
    assert listed[2] == {"token": "\ufffd", "logprob": -0.2, "bytes": [0xF0, 0x9F]}
    assert listed[4] == {"token": "。ok", "logprob": -0.4, "bytes": [0xE3, 0x80, 0x82, 0x6F, 0x6B]}
    assert all(Logprob.model_validate(token, strict=True) for token in listed)


def test_each_speaker_has_the_tokens_of_his_words() -> None:
    words = [Word(" I", 0.0, 0.4, 1.0), Word(" am 🦜。", 0.5, 0.9, 1.0), Word("ok", 1.1, 1.9, 1.0)]
    transcript = Transcript("en", 1.0, 2.0, [segment(*PARROT, words=words)])
    assign_speakers(transcript, Diarization([Turn(0.0, 0.45, "A"), Turn(0.45, 2.0, "B")]))
    assert [(part.text, tokens_of(part)) for part in transcript.segments] == [
        (" I", PARROT[:1]),
        (" am 🦜。ok", PARROT[1:]),
    ]


def test_what_is_cut_from_a_loop_takes_its_tokens_with_it() -> None:
    looping = replace(segment(b" Oh", *([b" no."] * 9), b" Yes"), compression_ratio=3.0)
    (kept,), _ = remove_hallucinations(
        [looping], lambda *_: 1.0, lambda _: False, compression_ratio_threshold=2.4, speech_only=False
    )
    assert b"".join(tokens_of(kept)).decode() == kept.text == " Oh no. no. no. Yes"


# --- In a whole job --------------------------------------------------------------------------------------------------


def answer(clip: str = "demo.ogg", **options: Any) -> dict[str, Any]:
    from src.rp_handler import handler

    audio = {"base64": as_base64(CLIPS / clip)}
    made = handler({"input": {"audio": audio, "options": {"include": ["logprobs"], "language": "en", **options}}})
    transcription: dict[str, Any] = made["transcription"]
    return transcription


def said(segments: list[dict[str, Any]]) -> list[str]:
    """The texts that the tokens' bytes spell."""
    assert all(token["logprob"] <= 0 for segment in segments for token in segment["logprobs"])
    return [
        b"".join(bytes(token["bytes"]) for token in segment["logprobs"]).decode("utf-8", "replace")
        for segment in segments
    ]


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunking": "sequential", "word_timestamps": True},
        {"chunking": "sequential", "beam_size": 2, "initial_prompt": "Foxes."},
        {"temperature": 0.4, "best_of": 2},
        {"diarize": True},
        {"channels": "split"},
    ],
    ids=str,
)
def test_their_bytes_are_the_segments_text(options: dict[str, Any]) -> None:
    segments = answer(**options)["segments"]
    assert said(segments) == [segment["text"] for segment in segments]
    assert segments


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
def test_corrections_leave_what_whisper_wrote() -> None:
    segments = answer(custom_vocabulary={"hound": "dog"}, output_format="json")["segments"]
    assert "hound" in "".join(segment["text"] for segment in segments)
    assert "dog" in "".join(said(segments))


@pytest.mark.model
@pytest.mark.process
def test_streamed_segments_have_them() -> None:
    streamed: list[Segment] = []
    get_processor().transcribe(
        CLIPS / "demo.ogg", {"token_logprobs": True, "language": "en"}, JobControl(streamed.append)
    )
    assert said([part.to_dict() for part in streamed]) == [part.text for part in streamed] != []


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
def test_without_the_option_there_are_none() -> None:
    listed = answer(include=[], output_format=["json", "verbose_json"])
    assert not any("logprobs" in segment for segment in listed["segments"] + listed["verbose_json"]["segments"])
    assert not any(
        "logprobs" in segment for segment in answer(output_format="verbose_json")["verbose_json"]["segments"]
    )
