"""LRU cache of loaded models: each is loaded at first use, and the least recently used one makes room for another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from src.engine.engine import Engine
from src.job_control import JobControl
from src.transcription.sequential import SequentialModel

_POLL_INTERVAL_S = 0.2
"""Seconds between two checks for cancellation while a job waits for a model."""


@dataclass(frozen=True)
class LoadedModel:
    """A model, for both kinds of chunking."""

    name: str
    """The name that callers see."""
    engine: Engine
    sequential: SequentialModel

    @property
    def device(self) -> str:
        """Names of its devices, with commas between them."""
        return self.engine.device

    @property
    def compute_type(self) -> str:
        """Its number format."""
        return self.engine.placements[0].compute_type

    def close(self) -> None:
        """Stop the engine's threads, and end running jobs with `CancelledError`."""
        self.sequential.close()
        self.engine.close()


@dataclass
class _Entry:
    users: int = 0
    model: LoadedModel | None = None
    loading: threading.Lock = field(default_factory=threading.Lock)


class ModelCache:
    """Models by name, shared by any number of threads.

    Args:
        load: loads a model by its name.
        capacity: maximum number of loaded models; while all of them are in use, a job for another one waits.
    """

    def __init__(self, load: Callable[[str], LoadedModel], capacity: int) -> None:
        self._load = load
        self._capacity = capacity
        self._entries: dict[str, _Entry] = {}
        """By name, the most recently used one last."""
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def acquire(self, name: str, control: JobControl) -> Iterator[LoadedModel]:
        """Load a model unless it is loaded, and keep it loaded during the block.

        Raises:
            ModelUnavailable: it cannot be loaded.
            Cancelled: the job was stopped while it waited.
            RuntimeError: the cache is closed.
        """
        entry = self._reserve(name, control)
        try:
            yield self._load_once(name, entry)
        finally:
            self._release(name, entry)

    def loaded(self) -> list[LoadedModel]:
        """Return the models that are loaded."""
        with self._changed:
            return [entry.model for entry in self._entries.values() if entry.model is not None]

    def close(self) -> None:
        """Close every model, those in use too; their jobs end with `CancelledError`."""
        with self._changed:
            self._closed = True
            entries, self._entries = list(self._entries.values()), {}
            self._changed.notify_all()
        for entry in entries:
            if entry.model is not None:
                entry.model.close()

    def _reserve(self, name: str, control: JobControl) -> _Entry:
        with self._changed:
            while not self._closed and name not in self._entries and not self._evict_idle():
                self._changed.wait(_POLL_INTERVAL_S)
                control.check()
            self._check_open()
            entry = self._entries.pop(name) if name in self._entries else _Entry()
            self._entries[name] = entry
            entry.users += 1
            return entry

    def _evict_idle(self) -> bool:
        """Close idle models until there is capacity for another one; return false if too many are in use."""
        idle = [name for name, entry in self._entries.items() if not entry.users]
        while len(self._entries) >= self._capacity and idle:
            model = self._entries.pop(idle.pop(0)).model
            if model is not None:
                model.close()
        return len(self._entries) < self._capacity

    def _load_once(self, name: str, entry: _Entry) -> LoadedModel:
        with entry.loading:
            if entry.model is None:
                entry.model = self._load(name)
            model = entry.model
        if self._closed:  # possibly while the model was loading, so that `close` did not see it
            model.close()
            self._check_open()
        return model

    def _release(self, name: str, entry: _Entry) -> None:
        with self._changed:
            entry.users -= 1
            if entry.model is None and not entry.users:
                self._entries.pop(name, None)
            self._changed.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the models are closed")
