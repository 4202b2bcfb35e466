"""The sound of a live transcription: its pace, the microphone, and what is kept of it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from types import ModuleType
from typing import Any

import pytest

from client.errors import WrongUsage
from client.realtime.backlog import BYTES_PER_SECOND, Backlog
from client.realtime.sources import paced, record


class Microphone:
    """Stands in for sounddevice's stream: hears three chunks on a thread of its own, and is unplugged."""

    def __init__(
        self, *, callback: Callable[..., None], finished_callback: Callable[[], None], samplerate: int, **_: Any
    ) -> None:
        assert samplerate == 16_000
        self._callback, self._finished = callback, finished_callback

    def __enter__(self) -> Microphone:
        threading.Thread(target=self._hear).start()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _hear(self) -> None:
        for chunk in (b"aa", b"bb", b"cc"):
            self._callback(chunk, 1, None, None)
        self._finished()


async def collected(chunks: AsyncGenerator[bytes, None]) -> list[bytes]:
    return [chunk async for chunk in chunks]


def stand_in(monkeypatch: pytest.MonkeyPatch, stream: Callable[..., Any]) -> type[Exception]:
    module = ModuleType("sounddevice")
    error = type("PortAudioError", (Exception,), {})
    module.__dict__.update(RawInputStream=stream, PortAudioError=error)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return error


def test_the_microphone_is_heard_until_it_is_unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, Microphone)
    assert asyncio.run(collected(record())) == [b"aa", b"bb", b"cc"]


def test_a_machine_without_a_microphone_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise error("Error querying device -1")

    error = stand_in(monkeypatch, refuse)
    with pytest.raises(WrongUsage, match="the microphone cannot be used: Error querying device -1"):
        asyncio.run(collected(record()))


def test_without_its_package_the_microphone_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(WrongUsage, match=r"needs the package sounddevice: install it \(pip install sounddevice\), or"):
        asyncio.run(collected(record()))


def test_sound_is_yielded_whole_and_in_order_at_any_speed() -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        for number in range(5):
            yield bytes([number]) * 3200

    assert asyncio.run(collected(paced(chunks(), 100))) == [bytes([number]) * 3200 for number in range(5)]


def test_what_is_forgotten_is_replaced_by_silence() -> None:
    async def read() -> list[bytes]:
        backlog = Backlog(kept_bytes=4)
        backlog.append(b"aabbcc")
        backlog.complete()
        return [await backlog.next(4) for _ in range(3)]

    assert asyncio.run(read()) == [b"\0\0", b"bbcc", b""]


def test_sound_is_sent_again_from_where_the_worker_has_it() -> None:
    async def read() -> list[bytes]:
        backlog = Backlog()
        backlog.append(b"aabbcc")
        first = await backlog.next(100)
        backlog.send_from(2)
        return [first, await backlog.next(100)]

    assert asyncio.run(read()) == [b"aabbcc", b"bbcc"]


def test_a_recording_waits_while_much_is_unsent() -> None:
    async def feed() -> tuple[bool, bool]:
        backlog = Backlog()
        backlog.append(bytes(61 * BYTES_PER_SECOND))
        waiting = asyncio.create_task(backlog.wait_for_room())
        await asyncio.sleep(0)
        waited = not waiting.done()
        await backlog.next(2 * BYTES_PER_SECOND)
        await waiting
        return waited, waiting.done()

    assert asyncio.run(feed()) == (True, True)
