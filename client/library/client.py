"""The client for programs that wait for each recording."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from client.errors import Stopped, WrongUsage
from client.job_request import RunSettings
from client.known_voices import KnownVoices
from client.library.transcription import Transcription
from client.option_values import check_options
from client.recording import find_recording, transcribe_recording
from client.segment_order import SegmentOrder
from client.settings import find_settings
from client.tracks import Track
from client.transport.endpoint import Endpoint
from client.transport.fanout import ProgressListener

OnProgress = Callable[[float, str], object]
"""Receives the fraction done, from 0 to 1, and the current stage, such as `waiting for a worker`."""

OnSegments = Callable[[list[dict[str, Any]]], object]
"""Receives segments in the order of the recording, as they become final."""


class Client:
    """Transcribes with the workers of an endpoint, or with a worker in HTTP mode. Thread-safe.

    As a context manager it cancels what still runs at its end.

    Args:
        endpoint_id: of RunPod; by default RUNPOD_ENDPOINT_ID, or the configuration file's. The same holds for the next
            two, with RUNPOD_API_KEY and RUNPOD_BASE_URL.
        api_key: of RunPod, or of the worker.
        base_url: address of the API, such as `http://localhost:8000` for a worker in HTTP mode.
        parallel: maximum number of jobs at once for a large recording.
        timeout_s: time limit of a job, in seconds; None: derived from the length of its audio.
        voices: a folder of known voices, whom transcripts with `diarize` name; True: that of `worker-whisper voices`.

    Raises:
        WrongUsage: an address or the key is missing or malformed.
    """

    def __init__(
        self,
        endpoint_id: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        parallel: int = 4,
        timeout_s: float | None = None,
        voices: bool | str | Path = False,
    ) -> None:
        self._endpoint = Endpoint(find_settings(endpoint_id, api_key, base_url))
        self._settings = RunSettings(parallel, timeout_s)
        self._voices = choose_voices(voices)
        self._running: set[threading.Event] = set()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def transcribe(
        self,
        recording: str | Path | Sequence[Track],
        options: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
        on_segments: OnSegments | None = None,
    ) -> Transcription:
        """Transcribe a recording.

        Args:
            recording: a file of any size, or what the worker fetches itself: an http(s) URL, `s3://bucket/key`, or
                `volume:PATH` on its network volume; or a list of the tracks of a conversation.
            headers: of the worker's request for an http(s) URL, such as `Authorization`.
            options: of the job, by name (docs/options.md). A speaker's sample may also be a file's path.
            on_progress: called on other threads.
            on_segments: called on other threads; as the worker streams them, if it does, else at the end.

        Raises:
            WrongUsage: there is no such file, or an option is unknown or has a wrong value, or a known voice is
                damaged.
            BadRecording: the file is no recording.
            JobFailed: the worker's reason.
            EndpointFailed: the endpoint cannot be reached, or refuses.
            Stopped: `cancel` was called.
        """
        with self._stoppable() as stop:
            settings, callbacks = replace(self._settings, headers=headers or {}), (on_progress, on_segments)
            return run(self._endpoint, settings, self._voices, recording, options or {}, stop, *callbacks)

    def cancel(self) -> None:
        """Cancel the running jobs; calls of `transcribe` that wait for them, on other threads, raise `Stopped`."""
        for stop in tuple(self._running):
            stop.set()

    @contextmanager
    def _stoppable(self) -> Iterator[threading.Event]:
        stop = threading.Event()
        self._running.add(stop)
        try:
            yield stop
        finally:
            self._running.discard(stop)


def choose_voices(voices: bool | str | Path) -> KnownVoices:
    """Return the known voices that a program asks for."""
    if isinstance(voices, bool):
        return KnownVoices(None if voices else False, None)
    return KnownVoices(None, Path(voices))


def run(
    endpoint: Endpoint,
    settings: RunSettings,
    voices: KnownVoices,
    recording: str | Path | Sequence[Track],
    options: Mapping[str, Any],
    stop: threading.Event,
    on_progress: OnProgress | None,
    on_segments: OnSegments | None,
) -> Transcription:
    """Transcribe a recording on this thread; see `Client.transcribe`.

    Args:
        endpoint: where the jobs run.
        settings: how they are run.
        voices: that are named.
        recording: a file, a URL, or tracks.
        options: the worker's.
        stop: cancels the jobs when set.
        on_progress: see there.
        on_segments: see there.
    """
    checked = voices.add_to(check_options(options))
    work = _find_work(recording)
    if stop.is_set():
        raise Stopped("stopped")
    listener = ProgressListener(on_progress or (lambda _fraction, _stage: None))
    if on_segments is not None:
        order = SegmentOrder(on_segments)
        listener = ProgressListener(listener.on_progress, order.on_segments, order.on_job_done, order.on_start)
    return Transcription(work(endpoint, options=checked, settings=settings, stop=stop, listener=listener))


def _find_work(recording: str | Path | Sequence[Track]) -> Callable[..., dict[str, Any]]:
    """Return the function that transcribes a recording, or tracks."""
    if not isinstance(recording, list | tuple):
        return partial(transcribe_recording, source=find_recording(cast("str | Path", recording)))
    if not all(isinstance(track, Track) for track in recording):
        raise WrongUsage('give the tracks of a conversation as [Track("Ada", "ada.wav"), ...]')
    from client.conversation import transcribe_conversation  # numpy, for few recordings

    return partial(transcribe_conversation, tracks=recording)
