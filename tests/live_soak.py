"""`python -m tests.live_soak`: a day of live transcription in one session, many sessions at once, and lost ones.

The worker is the real `handler.py` in HTTP mode, with `tiny.en`. The day is played as fast as the worker takes it: in
each hour a minute and a half of speech after silence, whose texts are awaited before the worker's memory is looked at.
Then many sessions speak at once at real time, and as many are left in the middle of a sentence.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.recordings import load_pcm
from tests.load.process import Footprint, footprint
from tests.load.table import table
from tests.soak import MAX_NEW_THREADS
from tests.support.clips import CLIPS, spoken, words
from tests.support.http_worker import KEY, HttpWorker, http_worker

RATE = 16_000
SPEECH = "long.ogg"
MAX_ERRORS = 0.15
"""Share of the words of a clip that may be wrong: it is a small model."""

MAX_GROWTH = 0.03
"""Share by which memory may grow after the first hour."""

DETACHED_SECONDS = 90.0
"""Longest wait until sessions whose connection is lost are given up, after a minute."""

COMPLETED = "conversation.item.input_audio_transcription.completed"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.live_soak", description=__doc__)
    parser.add_argument("--hours", type=int, default=24, help="of sound in one session (default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=32, help="at once (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="live-soak-") as folder:
        faults = soak(arguments.hours, arguments.sessions, Path(folder))
    print("\n".join(["", f"{len(faults)} FAULTS:", *faults]) if faults else "\nNo fault.")
    sys.exit(1 if faults else 0)


def soak(hours: int, sessions: int, scratch: Path) -> list[str]:
    """Runs all parts, prints what was measured, and returns the faults."""
    faults: list[str] = []
    with http_worker(LIVE_SESSIONS=str(sessions), TMPDIR=str(scratch)) as worker:
        began = time.monotonic()
        day = asyncio.run(play_day(worker, hours, scratch, faults))
        print(f"{hours} hours in one session, in {(time.monotonic() - began) / 60:.0f} minutes", flush=True)
        texts = asyncio.run(speak_together(worker, sessions))
        faults += [f"session {number}: {fault}" for number, text in enumerate(texts) if (fault := fault_in(text))]
        print(f"{sessions} sessions at once, at real time", flush=True)
        together = footprint(worker.process.pid, scratch)
        faults += wait_until_left(worker)
        asyncio.run(leave(worker, sessions))
        faults += wait_until_left(worker)
        left = footprint(worker.process.pid, scratch)
        print(footprint_table([*day, (f"{sessions} at once", together), (f"{sessions} left", left)]))
        faults += faults_of(day, together, left)
        faults += [line for line in worker.log if " ERROR " in line]
    return faults


async def play_day(worker: HttpWorker, hours: int, scratch: Path, faults: list[str]) -> list[tuple[str, Footprint]]:
    """Plays the hours in one session; returns the worker's footprint after each of them."""
    speech = load_pcm(CLIPS / SPEECH)
    silence = faint_noise(3600 - len(speech) / RATE)
    tail = faint_noise(2)
    samples = []
    async with await open_session(worker) as socket:
        for hour in range(1, hours + 1):
            for second in silence:
                await socket.send(second)  # raw sound, as a message without JSON
            for first in range(0, len(speech), RATE):
                await append(socket, speech[first : first + RATE].tobytes())
            for second in tail:
                await socket.send(second)
            text = await hear_clip(socket)
            if fault := fault_in(text):
                faults.append(f"hour {hour}: {fault}")
            samples.append((f"{hour} h", await asyncio.to_thread(footprint, worker.process.pid, scratch)))
            print(f"hour {hour} heard, {samples[-1][1].resident:.1f} MB", flush=True)
        await send(socket, type="session.finish")
        await until(socket, "session.finished")
    return samples


def faint_noise(seconds: float) -> list[bytes]:
    """What a microphone hears of a quiet room, in messages of a second."""
    random_ = np.random.default_rng(0)
    return [random_.normal(0, 8, RATE).astype("<i2").tobytes() for _ in range(round(seconds))]


async def hear_clip(socket: ClientConnection) -> str:
    """The text of the clip: that of all utterances until its last words, or until nothing comes any more."""
    texts: list[str] = []
    last = spoken(SPEECH)[-1]
    while not texts or last not in words(texts[-1]):
        try:
            event = json.loads(await asyncio.wait_for(socket.recv(), 60))
        except TimeoutError:
            break
        assert event["type"] != "error", event
        if event["type"] == COMPLETED:
            texts.append(event["transcript"])
    return " ".join(texts)


async def speak_together(worker: HttpWorker, sessions: int) -> list[str]:
    """Plays the clip in many sessions at once, at real time; returns their texts."""
    return list(await asyncio.gather(*(speak(worker, number / sessions) for number in range(sessions))))


async def speak(worker: HttpWorker, delay: float) -> str:
    speech = load_pcm(CLIPS / SPEECH)
    await asyncio.sleep(delay)
    async with await open_session(worker) as socket:
        texts = asyncio.create_task(until(socket, "session.finished"))
        began = time.monotonic()
        for number, first in enumerate(range(0, len(speech), RATE // 10), 1):
            await append(socket, speech[first : first + RATE // 10].tobytes())
            await asyncio.sleep(began + number / 10 - time.monotonic())
        await send(socket, type="session.finish")
        return " ".join(event["transcript"] for event in await texts if event["type"] == COMPLETED)


async def leave(worker: HttpWorker, sessions: int) -> None:
    """Loses the connections of many sessions in the middle of a sentence; every other one is closed properly."""
    sockets = [await open_session(worker) for _ in range(sessions)]
    speech = load_pcm(CLIPS / SPEECH)
    for first in range(0, 8 * RATE, RATE):
        for socket in sockets:
            await append(socket, speech[first : first + RATE].tobytes())
    await asyncio.sleep(random.random())
    for number, socket in enumerate(sockets):
        if number % 2:
            await socket.close()
        else:
            socket.transport.abort()


def wait_until_left(worker: HttpWorker) -> list[str]:
    """Waits until the worker has no live session; returns a fault if it keeps one."""
    end = time.monotonic() + DETACHED_SECONDS
    while worker.metric("whisper_live_sessions"):
        if time.monotonic() > end:
            return [f"{worker.metric('whisper_live_sessions'):g} sessions were left"]
        time.sleep(1)
    return []


async def open_session(worker: HttpWorker) -> ClientConnection:
    """A connection whose session hears 16 kHz."""
    socket = await connect(
        f"ws://127.0.0.1:{worker.port}/v1/realtime?intent=transcription",
        additional_headers={"Authorization": f"Bearer {KEY}"},
        max_size=None,
        compression=None,
        ping_timeout=None,  # a worker that takes an hour's sound at once may answer late
    )
    audio = {"input": {"format": {"type": "audio/pcm", "rate": RATE}}}
    await send(socket, type="session.update", session={"type": "transcription", "audio": audio})
    await until(socket, "session.updated")
    return socket


async def append(socket: ClientConnection, pcm: bytes) -> None:
    await send(socket, type="input_audio_buffer.append", audio=base64.b64encode(pcm).decode())


async def send(socket: ClientConnection, **event: object) -> None:
    await socket.send(json.dumps(event))


async def until(socket: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """All events up to the next of a kind."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != kind:
        events.append(json.loads(await socket.recv()))
        assert events[-1]["type"] != "error", events[-1]
    return events


def fault_in(text: str) -> str | None:
    """What is wrong with a text of the clip."""
    from rapidfuzz.distance import Levenshtein

    expected, heard = spoken(SPEECH), words(text)
    errors = Levenshtein.distance(expected, heard)
    return f"{errors} of {len(expected)} words are wrong" if errors > MAX_ERRORS * len(expected) else None


def faults_of(day: Sequence[tuple[str, Footprint]], together: Footprint, left: Footprint) -> list[str]:
    """Of memory over the day, and of what the sessions left."""
    faults = []
    first, last = day[0][1], day[-1][1]
    if last.resident > first.resident * (1 + MAX_GROWTH):
        faults.append(f"memory grew by {last.resident / first.resident - 1:.1%} after the first hour")
    if last.threads > first.threads + MAX_NEW_THREADS:
        faults.append(f"threads grew from {first.threads} to {last.threads} over the day")
    if left.threads > together.threads + MAX_NEW_THREADS:
        faults.append(f"sessions that were left added threads: {together.threads}, then {left.threads}")
    return faults + [f"a file was left: {name}" for name in left.files]


def footprint_table(samples: Sequence[tuple[str, Footprint]]) -> str:
    first = samples[0][1].resident
    rows = [
        [name, f"{one.resident:.1f}", f"{one.resident / first - 1:+.1%}", str(one.threads), str(len(one.files))]
        for name, one in samples
    ]
    return table(["after", "resident MB", "to the first", "threads", "files"], rows)


if __name__ == "__main__":
    main()
