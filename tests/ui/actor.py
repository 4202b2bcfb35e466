"""A worker without a model, under the SDK's own loop: it plays what the page has to cope with.

Speakers, texts that would be markup, a job that takes until a file appears: `options.script` says which.
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
    """Three seconds of speech; its words take the same time each."""
    words = text.split()
    length = 3.0 / len(words)
    timed = [
        {"word": f" {word}", "start": start + at * length, "end": start + (at + 1) * length, "probability": 0.9}
        for at, word in enumerate(words)
    ]
    return {"start": start, "end": start + 3.0, "text": f" {text}", "words": timed, **more}


TALK = [
    segment(0.0, "Good morning, may I come in?", speaker="SPEAKER_00"),
    segment(3.0, "Of course, have a seat.", speaker="SPEAKER_01"),
    segment(6.0, "Thank you very much.", speaker="SPEAKER_00"),
]
SUBTITLES = "1\n00:00:00,000 --> 00:00:09,000\nAs the worker laid it out\n"
SCRIPTS = {
    "talk": TALK,
    "hostile": [segment(0.0, HOSTILE, speaker="<b>SPEAKER</b>")],
    "long": [segment(3.0 * number, f"This is line number {number}.") for number in range(3000)],
}
"""By another name, the transcript is the job's options."""


async def play(job: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    options = job["input"]["options"]
    segments = SCRIPTS.get(options["script"]) or [segment(0.0, json.dumps(options, ensure_ascii=False))]
    if curtain := options.get("curtain"):
        yield {"segments": segments[:1]}
        while not Path(curtain).exists():
            await asyncio.sleep(0.1)
    metadata = {"audio_duration": segments[-1]["end"], "processing_time": 0.1, "language": "en"}
    text = "".join(one["text"] for one in segments).strip()
    said = {"text": text, "language": "en", "segments": segments, "srt": SUBTITLES}
    yield {"transcription": said, "metadata": metadata}


if __name__ == "__main__":
    import runpod  # which the tests, that want the texts alone, do not have

    runpod.serverless.start({"handler": play, "return_aggregate_stream": True})
