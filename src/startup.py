"""A worker's start, of which much is waiting, and most of the rest imports: what can go side by side does.

    main thread      settings, the SDK (it waits a second for a process of its own), the handler
    loading          torch and whisper, the model, the voice detector
    reading          the file of weights, so that it is in memory by the time that it is mapped
    device           CUDA, from the moment that torch is there

A sixth of the imports' time would be the garbage collector's, which looks again and again at what never goes: it waits.
"""

from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from src.models.files import files_of
from src.models.store import find_model
from src.settings import get_settings

if TYPE_CHECKING:
    from src.whisper_processor import WhisperProcessor

_CHUNK = 8 << 20
"""Bytes that are read at once."""

_beginning = threading.Lock()


class _Start:
    """The worker's model on its way; times are of `time.perf_counter`."""

    def __init__(self) -> None:
        self.processor: Future[WhisperProcessor] = Future()
        self.imported = self.loaded = 0.0
        threading.Thread(target=_read_weights, name="reading", daemon=True).start()
        threading.Thread(target=self._load, name="loading", daemon=True).start()

    def _load(self) -> None:
        try:
            import torch

            if torch.cuda.is_available():
                threading.Thread(target=torch.cuda.init, name="device", daemon=True).start()
            from src.whisper_processor import WhisperProcessor

            self.imported = time.perf_counter()
            processor = WhisperProcessor()
            self.loaded = time.perf_counter()
        except BaseException as error:
            self.processor.set_exception(error)
        else:
            self.processor.set_result(processor)


def begin() -> None:
    """Has the worker's model loaded, on threads of their own; what goes wrong is told by `get_processor`."""
    gc.disable()
    _start()


def end() -> None:
    """Lets the garbage collector go on, with what comes from now on: modules and models stay."""
    gc.freeze()
    gc.enable()


def get_processor() -> WhisperProcessor:
    """The worker's own, with its model; waits for it.

    Raises:
        ModelUnavailable: the weights are neither here nor to be fetched, or are damaged.
    """
    return _start().processor.result()


def timeline(began: float) -> tuple[float, float]:
    """Seconds from `began` until the imports were done, and until the model was loaded; waits for it."""
    get_processor()
    start = _start()
    return round(start.imported - began, 3), round(start.loaded - began, 3)


def _start() -> _Start:
    with _beginning:
        return _started()


_started = cache(_Start)


def _read_weights() -> None:
    settings = get_settings()
    path = find_model(settings.whisper_model, settings.model_folders)
    for file in [] if path is None else files_of(path):
        _read(file)


def _read(file: Path) -> None:
    buffer = bytearray(_CHUNK)
    with file.open("rb", buffering=0) as opened:
        while opened.readinto(buffer):
            pass
