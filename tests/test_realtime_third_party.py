"""Programs that speak OpenAI's Realtime API get their live transcripts from a real worker.

LiveKit's agents transcribe by `livekit-plugins-openai`, LiteLLM's gateway relays sessions, and the openai SDK is the
client behind it.
"""

from __future__ import annotations

import asyncio
import base64
import re
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import numpy as np
import pytest
import soxr
from openai import OpenAI

from benchmarks.recordings import load_pcm
from tests.support.clips import CLIPS, ROOT, assert_spoken
from tests.support.http_worker import KEY, HttpWorker, http_worker
from tests.support.litellm_gateway import litellm_gateway

if TYPE_CHECKING:
    from livekit.agents.stt import SpeechStream

pytestmark = [pytest.mark.model, pytest.mark.process, pytest.mark.slow]

RATE = 24_000


@pytest.fixture(scope="module")
def worker() -> Iterator[HttpWorker]:
    with http_worker() as worker:
        yield worker


@pytest.fixture(scope="module")
def sound() -> bytes:
    """Two sentences, and two seconds of the silence after them."""
    pcm = np.concatenate([load_pcm(CLIPS / "demo.ogg"), np.zeros(32_000, np.int16)])
    return soxr.resample(pcm, 16_000, RATE).astype("<i2").tobytes()


async def push(stream: SpeechStream, sound: bytes) -> None:
    """At twice real time: LiveKit's commits would come too late for sound that is sent at once."""
    from livekit.rtc import AudioFrame

    frame = RATE // 50 * 2
    for first in range(0, len(sound), frame):
        samples = sound[first : first + frame]
        stream.push_frame(AudioFrame(samples, RATE, 1, len(samples) // 2))
        await asyncio.sleep(0.01)


async def livekit_events(worker: HttpWorker, model: str, sound: bytes, finals: int) -> list[tuple[str, str, str]]:
    """What LiveKit's plugin makes of a session, up to a number of final texts: the kind, the item's id and the text."""
    from livekit.agents.stt import SpeechEventType
    from livekit.plugins.openai import STT

    events = []
    async with aiohttp.ClientSession() as http:
        plugin = STT(model=model, base_url=f"{worker.url}/v1", api_key=KEY, use_realtime=True)
        plugin._session = http  # in an agent it is that of the job
        async with plugin.stream() as stream:
            speaking = asyncio.create_task(push(stream, sound))
            async for event in stream:
                text = event.alternatives[0].text if event.alternatives else ""
                events.append((event.type.value, event.request_id, text))
                finals -= event.type == SpeechEventType.FINAL_TRANSCRIPT
                if not finals:
                    break
            await speaking
        await plugin.aclose()
    return events


@pytest.mark.parametrize(
    "model",
    [
        pytest.param("gpt-4o-mini-transcribe", id="turns of the worker"),
        pytest.param("gpt-realtime-whisper", id="turns of LiveKit, which commits"),
    ],
)
def test_an_agent_of_livekit_hears_each_sentence(worker: HttpWorker, sound: bytes, model: str) -> None:
    events = asyncio.run(asyncio.wait_for(livekit_events(worker, model, sound, finals=2), 120))
    assert events[0][0] == "start_of_speech"
    finals = [(item, text) for kind, item, text in events if kind == "final_transcript"]
    assert_spoken(" ".join(text for _, text in finals), "demo.ogg", max_errors=2)
    interims = {item for kind, item, _ in events if kind == "interim_transcript"}
    assert interims == {item for item, _ in finals}


# the SDK opens its connection as websockets 17.0 had it
@pytest.mark.filterwarnings(r"ignore:connect\(\) must be used as a context manager:DeprecationWarning")
def test_a_session_through_litellm_has_all_its_texts(worker: HttpWorker, sound: bytes) -> None:
    texts = []
    with (
        litellm_gateway(worker) as url,
        OpenAI(base_url=url, api_key="of the gateway") as client,
        client.realtime.connect(model="whisper-1", extra_query={"intent": "transcription"}) as session,
    ):
        transcription = {"model": "whisper-1", "language": "en"}
        settings: Any = {"type": "transcription", "audio": {"input": {"transcription": transcription}}}
        session.session.update(session=settings)
        session.input_audio_buffer.append(audio=base64.b64encode(sound).decode())
        finish: Any = {"type": "session.finish"}
        session.send(finish)
        for event in session:
            assert event.type != "error", event
            if event.type == "conversation.item.input_audio_transcription.completed":
                texts.append(event.transcript)
    assert_spoken(" ".join(texts), "demo.ogg")


def test_the_example_of_the_guide_prints_all_texts(worker: HttpWorker, sound: bytes, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "live.md").read_text()
    example = re.search(r"```python\n(.*?)```", guide, re.DOTALL).group(1)
    example = example.replace("http://localhost:8000", worker.url).replace('"any"', repr(KEY))
    with wave.open(str(tmp_path / "talk.wav"), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(sound)
    run = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    finals = [line.removeprefix("Final: ") for line in run.stdout.splitlines() if line.startswith("Final: ")]
    assert_spoken(" ".join(finals), "demo.ogg")
