"""A worker without a model under the SDK's real loop, which returns scripted transcripts.

`options.script` selects one: speakers, texts with markup, many lines. `options.wait_for` names a file whose creation
ends the job.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'> ${window.hacked = 3} "
    "{{constructor.constructor('window.hacked = 4')()}} `</span>\" & 😀 end"
)


def segment(start: float, text: str, **more: Any) -> dict[str, Any]:
    """A segment of three seconds, with words of equal length."""
    words = text.split()
    length = 3.0 / len(words)
    timed = [
        {"word": f" {word}", "start": start + index * length, "end": start + (index + 1) * length, "probability": 0.9}
        for index, word in enumerate(words)
    ]
    return {"start": start, "end": start + 3.0, "text": f" {text}", "words": timed, **more}


TALK = [
    segment(0.0, "Good morning, may I come in?", speaker="SPEAKER_00"),
    segment(3.0, "Of course, have a seat.", speaker="SPEAKER_01"),
    segment(6.0, "Thank you very much.", speaker="SPEAKER_00"),
]
SUBTITLES = "1\n00:00:00,000 --> 00:00:09,000\nIn the layout of the worker\n"
SCRIPTS = {
    "talk": TALK,
    "hostile": [segment(0.0, HOSTILE, speaker="<b>SPEAKER</b>")],
    "long": [segment(3.0 * number, f"This is line number {number}.") for number in range(3000)],
}
"""Transcripts by name; for any other name, the transcript is the job's options as JSON."""


async def transcribe(job: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    options = job["input"]["options"]
    segments = SCRIPTS.get(options["script"]) or [segment(0.0, json.dumps(options, ensure_ascii=False))]
    if path := options.get("wait_for"):
        yield {"segments": segments[:1]}
        while not Path(path).exists():
            await asyncio.sleep(0.1)
    metadata = {"audio_duration": segments[-1]["end"], "processing_time": 0.1, "language": "en"}
    text = "".join(segment["text"] for segment in segments).strip()
    transcription = {"text": text, "language": "en", "segments": segments, "srt": SUBTITLES}
    yield {"transcription": transcription, "metadata": metadata}


if __name__ == "__main__":
    import runpod  # not installed where the tests import this module

    runpod.serverless.start({"handler": transcribe, "return_aggregate_stream": True})
