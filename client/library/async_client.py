"""The client for programs on asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from client.errors import Stopped
from client.job_request import RunSettings
from client.library.client import OnProgress, OnSegments, choose_voices, run
from client.library.transcription import Transcription
from client.settings import find_settings
from client.tracks import Track
from client.transport.endpoint import Endpoint
from client.transport.fanout import CANCEL_TIMEOUT_S


class AsyncClient:
    """Transcribes many recordings at once; cancelling a task cancels its jobs on the endpoint.

    As a context manager it cancels what still runs at its end.

    Args:
        endpoint_id: as for `Client`, like the next two.
        api_key: of RunPod, or of the worker.
        base_url: address of the API.
        limit: maximum number of recordings at once; others wait.
        parallel: maximum number of jobs at once for a large recording.
        timeout_s: time limit of a job, in seconds; None: derived from the length of its audio.
        voices: as for `Client`.

    Raises:
        WrongUsage: an address or the key is missing or malformed.
    """

    def __init__(
        self,
        endpoint_id: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        limit: int = 8,
        parallel: int = 4,
        timeout_s: float | None = None,
        voices: bool | str | Path = False,
    ) -> None:
        self._endpoint = Endpoint(find_settings(endpoint_id, api_key, base_url))
        self._settings = RunSettings(parallel, timeout_s)
        self._voices = choose_voices(voices)
        self._slots = asyncio.Semaphore(limit)
        self._running: dict[asyncio.Future[Transcription], threading.Event] = {}
        self._is_closed = False

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_closed = True
        for stop in self._running.values():
            stop.set()
        await self._wait_for_end(*self._running)

    async def transcribe(
        self,
        recording: str | Path | Sequence[Track],
        options: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
        on_segments: OnSegments | None = None,
    ) -> Transcription:
        """Transcribe a recording, once fewer than `limit` others run.

        Args:
            recording: a file of any size, or what the worker fetches itself: an http(s) URL, `s3://bucket/key`, or
                `volume:PATH` on its network volume; or a list of the tracks of a conversation.
            headers: of the worker's request for an http(s) URL, such as `Authorization`.
            options: of the job, by name (docs/options.md). A speaker's sample may also be a file's path.
            on_progress: called on the event loop.
            on_segments: called on the event loop; as the worker streams them, if it does, else at the end.

        Raises:
            ClientError: as for `Client.transcribe`; `Stopped` after the end of the block.
            asyncio.CancelledError: the task was cancelled, and so are its jobs.
        """
        async with self._slots:
            if self._is_closed:
                raise Stopped("stopped: the client's `async with` block has ended")
            stop = threading.Event()
            callbacks = (_on_loop(on_progress), _on_loop(on_segments))
            settings = replace(self._settings, headers=headers or {})
            future = _start_thread(
                lambda: run(self._endpoint, settings, self._voices, recording, options or {}, stop, *callbacks)
            )
            self._running[future] = stop
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                stop.set()
                await self._wait_for_end(future)
                raise
            finally:
                del self._running[future]

    async def _wait_for_end(self, *futures: asyncio.Future[Transcription]) -> None:
        """Wait until stopped jobs are cancelled on the endpoint, of which the SDK's local API is not capable."""
        if futures and not self._endpoint.is_local_api:
            await asyncio.wait(futures, timeout=CANCEL_TIMEOUT_S)


def _start_thread(work: Callable[[], Transcription]) -> asyncio.Future[Transcription]:
    """Start a thread, and return a future for its result."""
    outcome: Future[Transcription] = Future()

    def work_to_the_end() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    # A daemon, since a request to the SDK's local API, which runs the whole job, cannot be interrupted.
    threading.Thread(target=work_to_the_end, daemon=True).start()
    future = asyncio.wrap_future(outcome)
    future.add_done_callback(lambda done: done.cancelled() or done.exception())  # of a cancelled task nobody asks
    return future


def _on_loop(callback: Callable[..., object] | None) -> Callable[..., object] | None:
    """Return a callback for other threads that runs `callback` on the event loop."""
    if callback is None:
        return None
    loop = asyncio.get_running_loop()
    return lambda *arguments: loop.call_soon_threadsafe(callback, *arguments)
