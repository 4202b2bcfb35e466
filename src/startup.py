"""Parallel start-up: the main thread imports, and others do what needs no imports.

    main thread      torch and the engine, then the SDK, the handler, the voice detector
    reading          the file of weights, so that it is in the page cache when it is mapped
    processor        the CPU's name, which the SDK waits for: a subprocess tells it
    device           CUDA, once torch is imported
    demo             the self-test's clip, by ffmpeg
    loading          the model, once the engine is imported; then the self-test of that model

Only one thread imports: of two that import parts of one package in another order, Python ends one with an error
(`_DeadlockError`). The garbage collector is off meanwhile: it would take a sixth of the imports' time to traverse
objects that stay.
"""

from __future__ import annotations

import gc
import platform
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from src.models.files import files_of
from src.models.store import find_model
from src.settings import get_settings

if TYPE_CHECKING:
    from src.audio.pcm import Pcm
    from src.transcription.model_cache import LoadedModel
    from src.whisper_processor import WhisperProcessor

T = TypeVar("T")

_CHUNK_BYTES = 8 << 20

_start_lock, _processor_lock = threading.Lock(), threading.Lock()


@dataclass(frozen=True)
class SelfTest:
    """The steps of a running self-test; their errors are `RuntimeError`, with a sentence."""

    decoding: Future[Pcm]
    transcription: Future[None]


class _Start:
    """The loading of the worker's model; times are of `time.perf_counter`."""

    def __init__(self) -> None:
        threading.Thread(target=read_weights, name="reading", daemon=True).start()
        threading.Thread(target=platform.processor, name="processor", daemon=True).start()
        _import_engine()
        from src.self_test import start_decoding_demo

        self.self_test = SelfTest(start_decoding_demo(), Future())
        self.imported = self.loaded = time.perf_counter()
        self._model: Future[LoadedModel] | None = Future()
        self._loading = threading.Thread(target=self._load, args=[self._model], name="loading", daemon=True)
        if _find_weights() is not None:
            self._loading.start()

    @cached_property
    def processor(self) -> WhisperProcessor:
        """The processor, once its model is loaded."""
        from src.whisper_processor import WhisperProcessor

        if self._loading.ident is None:  # the model has to be fetched, and what fetches it to be imported
            self._loading.start()
        return WhisperProcessor(load=self._find_or_load)

    def _load(self, model: Future[LoadedModel]) -> None:
        from src.self_test import check_transcription

        def load() -> LoadedModel:
            from src.model_loading import load_model

            loaded = load_model(get_settings().whisper_model)
            self.loaded = time.perf_counter()
            return loaded

        def test() -> None:
            check_transcription(model.result(), self.self_test.decoding.result())

        _complete(model, load)
        _complete(self.self_test.transcription, test)

    def _find_or_load(self, name: str) -> LoadedModel:
        """Return the model that is being loaded at the first call; the processor then asks for no other one.

        A failure stays: it ends the process, and to load again could mean to download gigabytes again.
        """
        from src.model_loading import load_model

        if self._model is None:
            return load_model(name)
        model, self._model = self._model.result(), None
        return model


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
    start = _start()
    with _processor_lock:
        return start.processor


def get_self_test() -> SelfTest:
    """The self-test of the worker's model."""
    return _start().self_test


def timeline(began: float) -> tuple[float, float]:
    """Seconds from `began` until the model's loading began, and until it was loaded; waits until it is."""
    get_processor()
    start = _start()
    return round(start.imported - began, 3), round(start.loaded - began, 3)


def _import_engine() -> None:
    import torch

    if torch.cuda.is_available():
        threading.Thread(target=torch.cuda.init, name="device", daemon=True).start()
    import encodings.cp437  # noqa: F401 - of names in a zip: openai-whisper's mel filters are one

    import src.model_loading  # noqa: F401
    import src.self_test  # noqa: F401


def _complete(future: Future[T], work: Callable[[], T]) -> None:
    """Set a future to what `work` returns or raises."""
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def _start() -> _Start:
    with _start_lock:
        return _started()


_started = cache(_Start)


def read_weights() -> None:
    """Read the weights of the worker's model into the page cache; does nothing if they are not stored."""
    path = _find_weights()
    with suppress(OSError):  # who loads the model meets it too, and reports it
        for file in [] if path is None else files_of(path):
            _read(file)


def _find_weights() -> Path | None:
    settings = get_settings()
    return find_model(settings.whisper_model, settings.model_folders)


def _read(file: Path) -> None:
    buffer = bytearray(_CHUNK_BYTES)
    with file.open("rb", buffering=0) as opened:
        while opened.readinto(buffer):
            pass
