"""A live session of a benchmark: plays sound to a worker as a microphone would, and notes when its text arrives."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect

from src.audio.pcm import SAMPLE_RATE

RATE = 24000
"""Samples a second on the wire, as OpenAI's own clients send them."""

CHUNK_SECONDS = 0.05
"""Sound in one message: LiveKit's."""

TAIL_SECONDS = 2.0
"""Silence after the recording, as from a microphone that stays on: the last utterance ends like all others."""

ANSWER_SECONDS = 300.0
"""Longest wait for the texts after the sound has ended."""

_ITEM = "conversation.item.input_audio_transcription."


@dataclass
class Utterance:
    """An item of a session. All times are in seconds since the recording's first sample was spoken.

    Attributes:
        start: Where its speech begins in the recording.
        end: Where its speech ends in the recording.
        deltas: The time at which each arrived, and its text.
        completed: The time at which its text was complete; None: it failed.
        text: Its complete text.
    """

    start: float = 0.0
    end: float = 0.0
    deltas: list[tuple[float, str]] = field(default_factory=list)
    completed: float | None = None
    text: str = ""


async def play(
    url: str, key: str, pcm: NDArray[np.int16], *, language: str | None = None, speed: float = 1.0
) -> list[Utterance]:
    """Play 16 kHz sound in a session of its own and return the utterances that the worker heard, in order.

    Args:
        url: Of the worker, such as `http://127.0.0.1:8000`.
        key: For the worker's API.
        speed: Seconds of sound played per second.

    Raises:
        RuntimeError: The worker sent an error.
        TimeoutError: The texts did not come.
    """
    address = f"{url.replace('http', 'ws', 1)}/v1/realtime?intent=transcription"
    async with connect(address, additional_headers={"Authorization": f"Bearer {key}"}, max_size=None) as socket:
        await _configure(socket, language)
        began = time.perf_counter()
        listening = asyncio.create_task(_listen(socket, began))
        await _speak(socket, _on_the_wire(pcm), began, speed)
        return await asyncio.wait_for(listening, ANSWER_SECONDS)


async def _configure(socket: ClientConnection, language: str | None) -> None:
    transcription = {"model": "whisper-1", **({"language": language} if language else {})}
    audio_format = {"type": "audio/pcm", "rate": RATE}
    session = {"type": "transcription", "audio": {"input": {"format": audio_format, "transcription": transcription}}}
    await _send(socket, type="session.update", session=session)
    async for event in _events(socket):
        if event["type"] == "session.updated":
            return


def _on_the_wire(pcm: NDArray[np.int16]) -> bytes:
    silence = np.zeros(round(TAIL_SECONDS * SAMPLE_RATE), np.int16)
    return bytes(soxr.resample(np.concatenate([pcm, silence]), SAMPLE_RATE, RATE).astype("<i2").tobytes())


async def _speak(socket: ClientConnection, sound: bytes, began: float, speed: float) -> None:
    """Send each chunk when its last sample has been spoken."""
    step = 2 * round(CHUNK_SECONDS * RATE)
    for number, position in enumerate(range(0, len(sound), step), 1):
        await asyncio.sleep(began + number * CHUNK_SECONDS / speed - time.perf_counter())
        audio = base64.b64encode(sound[position : position + step]).decode()
        await _send(socket, type="input_audio_buffer.append", audio=audio)
    await _send(socket, type="session.finish")


async def _listen(socket: ClientConnection, began: float) -> list[Utterance]:
    utterances: dict[str, Utterance] = {}
    async for event in _events(socket):
        now = time.perf_counter() - began
        kind = event["type"]
        if kind == "session.finished":
            return list(utterances.values())
        if "item_id" not in event:
            continue
        utterance = utterances.setdefault(event["item_id"], Utterance())
        if kind == "input_audio_buffer.speech_started":
            utterance.start = event["audio_start_ms"] / 1000
        elif kind == "input_audio_buffer.speech_stopped":
            utterance.end = event["audio_end_ms"] / 1000
        elif kind == _ITEM + "delta":
            utterance.deltas.append((now, event["delta"]))
        elif kind == _ITEM + "completed":
            utterance.completed, utterance.text = now, event["transcript"]
    raise RuntimeError("the worker closed the session before its end")


async def _events(socket: ClientConnection) -> AsyncIterator[dict[str, Any]]:
    async for message in socket:
        event = json.loads(message)
        if event["type"] in ("error", _ITEM + "failed"):
            raise RuntimeError(event["error"]["message"])
        yield event


async def _send(socket: ClientConnection, **event: object) -> None:
    await socket.send(json.dumps(event))
