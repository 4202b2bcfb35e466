"""Parallel start-up: imports, weights and CUDA are loaded on concurrent threads.

    main thread      settings, the SDK (which waits a second for a subprocess), the handler
    loading          torch and whisper, the model, the voice detector
    reading          the file of weights, so that it is in the page cache when it is mapped
    device           CUDA, once torch is imported

The garbage collector is off meanwhile: it would take a sixth of the imports' time to traverse objects that stay.
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

_CHUNK_BYTES = 8 << 20

_start_lock = threading.Lock()


class _Start:
    """The loading of the worker's model; times are of `time.perf_counter`."""

    def __init__(self) -> None:
        self.processor: Future[WhisperProcessor] = Future()
        self.imported = self.loaded = 0.0
        threading.Thread(target=read_weights, name="reading", daemon=True).start()
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
    """Start loading the worker's model on threads; `get_processor` raises their errors."""
    gc.disable()
    _start()


def end() -> None:
    """Resume garbage collection, for new objects only: modules and models stay."""
    gc.freeze()
    gc.enable()


def get_processor() -> WhisperProcessor:
    """The worker's processor with its default model; waits until it is loaded.

    Raises:
        ModelUnavailable: the weights are missing and cannot be downloaded, or are damaged.
    """
    return _start().processor.result()


def timeline(began: float) -> tuple[float, float]:
    """Seconds from `began` until the imports were done, and until the model was loaded; waits until it is."""
    get_processor()
    start = _start()
    return round(start.imported - began, 3), round(start.loaded - began, 3)


def _start() -> _Start:
    with _start_lock:
        return _started()


_started = cache(_Start)


def read_weights() -> None:
    """Read the weights of the worker's model into the page cache; does nothing if they are not stored."""
    settings = get_settings()
    path = find_model(settings.whisper_model, settings.model_folders)
    for file in [] if path is None else files_of(path):
        _read(file)


def _read(file: Path) -> None:
    buffer = bytearray(_CHUNK_BYTES)
    with file.open("rb", buffering=0) as opened:
        while opened.readinto(buffer):
            pass
