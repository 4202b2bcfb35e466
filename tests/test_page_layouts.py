"""Texts are laid out a few at once, and no longer than somebody waits for them."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.http import page_exports
from api.openai.errors import ApiError
from api.page import threads
from api.page.settings import PageSettings
from api.page.threads import LAYOUTS_AT_ONCE, Layouts, to_end
from tests.support.http_api import Api, ScriptedTranscriber, api_on_loopback, wait_until
from tests.support.page_api import Browser

Check = Callable[[], None]


class EndlessLayout:
    """Work without an end of its own.

    Attributes:
        running: how many of it run.
        most: how many have run at once.
    """

    def __init__(self) -> None:
        self.running = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, check: Check) -> Any:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            while True:
                check()
                time.sleep(0.005)
        finally:
            with self._lock:
                self.running -= 1


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    page = PageSettings(tmp_path, "worker", reserve_bytes=0)
    with api_on_loopback(ScriptedTranscriber(), page=page) as api:
        yield api


def test_few_layouts_run_at_once_and_each_ends_when_it_is_cancelled() -> None:
    work = EndlessLayout()

    async def act() -> None:
        layouts = Layouts()
        tasks = [asyncio.create_task(layouts.run(work)) for _ in range(LAYOUTS_AT_ONCE + 3)]
        await asyncio.sleep(0.2)
        assert work.running == LAYOUTS_AT_ONCE
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert work.running == 0
        assert await layouts.run(lambda check: "next") == "next"

    asyncio.run(act())
    assert work.most == LAYOUTS_AT_ONCE


def test_a_layout_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "MAX_LAYOUT_SECONDS", 0.1)
    with pytest.raises(ApiError, match="simpler layout"):
        asyncio.run(Layouts().run(EndlessLayout()))


def test_work_that_is_to_end_ends_however_often_it_is_cancelled() -> None:
    ended = []

    async def act() -> None:
        async def work() -> None:
            await asyncio.sleep(0.2)
            ended.append(True)

        task = asyncio.create_task(to_end(work()))
        for _ in range(3):
            await asyncio.sleep(0.02)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended

    asyncio.run(act())


@pytest.mark.parametrize("path", ["cues?preset=broadcast", "export/srt", "export/docx", "export/zip"])
def test_a_layout_ends_with_its_caller_and_others_are_answered_meanwhile(
    api: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, work = Browser(api.port), EndlessLayout()
    monkeypatch.setattr(page_exports, "cues_between", lambda *_, check, **__: work(check))
    monkeypatch.setattr(page_exports, "export", lambda *given: work(given[-1]))
    transcript_id = browser.post("/page/api/transcripts", {"url": "https://example.org/a.mp3"}).json["id"]
    request = (
        f"GET /page/api/transcripts/{transcript_id}/{path} HTTP/1.1\r\nhost: 127.0.0.1:{api.port}\r\n"
        f"cookie: {browser.cookie}\r\n\r\n"
    )
    callers = [socket.create_connection(("127.0.0.1", api.port)) for _ in range(50)]
    for caller in callers:
        caller.sendall(request.encode())
    wait_until(lambda: work.running == LAYOUTS_AT_ONCE)
    assert browser.get(f"/page/api/transcripts/{transcript_id}").status == 200
    for caller in callers:
        caller.close()
    wait_until(lambda: work.running == 0)
    time.sleep(0.1)
    assert (work.running, work.most) == (0, LAYOUTS_AT_ONCE)
