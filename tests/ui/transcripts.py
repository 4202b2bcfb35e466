"""Transcripts of several kinds, as answers of a job."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from api.transcriber import Answer

SCHEMA = Path(__file__).resolve().parents[2] / "client" / "job_input.schema.json"
CLIP_SECONDS = 78.0
"""Length of `tests/data/long.ogg`, the recording of all kinds."""

MARKUP = "<img src=x onerror=document.title='hacked'>"


class Turn(NamedTuple):
    """What somebody says at once; `doubtful` words are those that the model is not sure of."""

    speaker: str | None
    text: str
    doubtful: tuple[str, ...] = ()


TALK = (
    Turn("SPEAKER_00", "Good morning, and welcome back to the programme."),
    Turn("SPEAKER_00", "With me today are Ada Lovelace and Charles Babbage."),
    Turn("SPEAKER_01", "Good morning. Thank you for having me.", ("having",)),
    Turn("SPEAKER_02", "Good morning."),
    Turn("SPEAKER_00", "Charles, how far along is the engine?"),
    Turn("SPEAKER_02", "The mill is nearly finished, but the store still needs a thousand wheels.", ("mill", "wheels")),
    Turn("SPEAKER_01", "It weaves algebraic patterns just as the loom weaves flowers and leaves."),
    Turn("SPEAKER_00", "And when will it run its first programme?"),
    Turn("SPEAKER_02", "Next year, if the government pays.", ("government",)),
    Turn("SPEAKER_01", "It has been next year for ten years."),
    Turn("SPEAKER_00", "Thank you both."),
    Turn("SPEAKER_01", "Thank you, and good morning."),
)
HOSTILE = (
    Turn("SPEAKER_00", MARKUP),
    Turn("SPEAKER_00", "</script><script>document.title='hacked'</script>"),
    Turn("SPEAKER_01", "javascript:alert(1) {{7*7}} ${7*7} %s %n \\u0041 &lt;b&gt; &amp;"),
    Turn("SPEAKER_01", "=HYPERLINK(1) \u202egnp.exe\u202c \u200b\ufeff \u0301\u0301\u0301 \U0001f469\u200d\U0001f52c"),
    Turn("SPEAKER_01", "1\n\n00:00:01,000 --> 00:00:02,000\nNOTE {\\an8} <c.red> WEBVTT"),
    Turn("SPEAKER_00", "x" * 2000),
)
RIGHT_TO_LEFT = (
    Turn("SPEAKER_00", "صباح الخير وأهلا بكم في البرنامج."),
    Turn("SPEAKER_01", "شكرا جزيلا، قرأت 3 كتب عن Python هذا العام."),
    Turn("SPEAKER_00", "إلى اللقاء."),
)
JAPANESE = (
    Turn("SPEAKER_00", "おはようございます。"),
    Turn("SPEAKER_01", "今日は天気がいいですね。"),
    Turn("SPEAKER_00", "ありがとうございました。"),
)


def talk() -> Answer:
    """Three speakers, and some words of which the model is not sure."""
    return answer(TALK)


def hostile() -> Answer:
    """Texts that are markup, formulas, controls and endless words."""
    return answer(HOSTILE)


def right_to_left() -> Answer:
    """Arabic, with some Latin in between."""
    return answer(RIGHT_TO_LEFT, "ar")


def japanese() -> Answer:
    """No spaces between words."""
    return answer(JAPANESE, "ja", split=list)


def no_words() -> Answer:
    """A recording in which nobody speaks."""
    return answer((), language="en")


def unnamed() -> Answer:
    """The talk without speakers, as nobody has asked for them."""
    return answer([turn._replace(speaker=None) for turn in TALK])


def ten_hours() -> Answer:
    """100,000 words in 10,000 lines."""
    turns = [
        Turn(f"SPEAKER_{number // 7 % 3:02}", f"Line {number} has ten words of text to read here.")
        for number in range(10_000)
    ]
    return answer(turns, seconds=36_000.0)


KINDS: dict[str, Callable[[], Answer]] = {
    kind.__name__: kind for kind in (talk, hostile, right_to_left, japanese, no_words, unnamed, ten_hours)
}


def answer(
    turns: Sequence[Turn],
    language: str = "en",
    *,
    seconds: float = CLIP_SECONDS,
    split: Callable[[str], Sequence[str]] | None = None,
) -> Answer:
    """What a job answers that has found these turns, of equal length, one after the other.

    Args:
        turns: what is said.
        language: its code.
        seconds: length of the recording.
        split: finds the words, without spaces between them; None: at spaces.
    """
    span = seconds / max(len(turns), 1)
    segments = [_segment(number, turn, span, split) for number, turn in enumerate(turns)]
    return {
        "transcription": {
            "text": "".join(segment["text"] for segment in segments).strip(),
            "language": language,
            "segments": segments,
        },
        "metadata": {
            "model": "base", "audio_duration": seconds, "processing_time": 3.1, "language": language,
            "language_probability": 0.99, "uncovered_speech": [], "warnings": [],
        },
    }  # fmt: skip


def failure(error_type: str, message: str) -> Answer:
    """What a job answers that fails."""
    return {"error": message, "error_type": error_type}


def option_schemas() -> dict[str, Any]:
    """The JSON Schema of each option of a job, as the worker has them."""
    schemas: dict[str, Any] = json.loads(SCHEMA.read_text())["$defs"]["Options"]["properties"]
    return schemas


def _segment(number: int, turn: Turn, span: float, split: Callable[[str], Sequence[str]] | None) -> dict[str, Any]:
    begin, said = number * span, span * 0.9
    pieces = list(split(turn.text)) if split else [f" {word}" for word in turn.text.split(" ")]
    step = said / len(pieces)
    words = [
        {
            "word": piece,
            "start": round(begin + step * place, 3),
            "end": round(begin + step * (place + 1), 3),
            "probability": 0.21 if piece.strip(" .,?") in turn.doubtful else 0.97,
        }
        for place, piece in enumerate(pieces)
    ]
    return {
        "id": number, "seek": 0, "start": round(begin, 3), "end": round(begin + said, 3), "text": "".join(pieces),
        "tokens": [], "temperature": 0.0, "avg_logprob": -0.2, "compression_ratio": 1.1, "no_speech_prob": 0.01,
        "words": words, **({"speaker": turn.speaker} if turn.speaker else {}),
    }  # fmt: skip
