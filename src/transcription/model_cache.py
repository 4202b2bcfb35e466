"""The models that are loaded: each on first use, the one that was not used for longest given up for another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from src.engine.engine import Engine
from src.job_control import JobControl
from src.transcription.sequential import SequentialModel

_PATIENCE = 0.2
"""Seconds between two looks at whether a job that waits for a model has been stopped."""


@dataclass(frozen=True)
class LoadedModel:
    """A model and the two ways of using it."""

    name: str
    engine: Engine
    sequential: SequentialModel


@dataclass
class _Place:
    users: int = 0
    model: LoadedModel | None = None
    loading: threading.Lock = field(default_factory=threading.Lock)


class ModelCache:
    """Any number of threads may borrow models at once.

    Args:
        load: makes a model by its name.
        room: models that are held at most; where all of them are in use, whoever wants another waits.
    """

    def __init__(self, load: Callable[[str], LoadedModel], room: int) -> None:
        self._load = load
        self._room = room
        self._places: dict[str, _Place] = {}
        """By name, the one that was used last at the end."""
        self._changed = threading.Condition()

    @contextmanager
    def borrow(self, name: str, control: JobControl) -> Iterator[LoadedModel]:
        """The model, loaded if need be, and held for as long as the block lasts.

        Raises:
            ModelUnavailable: it cannot be loaded.
            Cancelled: the job was stopped while it waited.
        """
        place = self._take(name, control)
        try:
            yield self._loaded(name, place)
        finally:
            with self._changed:
                place.users -= 1
                if place.model is None and not place.users:
                    del self._places[name]
                self._changed.notify_all()

    def close(self) -> None:
        """Gives up every model."""
        with self._changed:
            places, self._places = list(self._places.values()), {}
        for place in places:
            if place.model is not None:
                place.model.engine.close()

    def _take(self, name: str, control: JobControl) -> _Place:
        with self._changed:
            while name not in self._places and not self._make_room():
                self._changed.wait(_PATIENCE)
                control.check()
            place = self._places.pop(name) if name in self._places else _Place()
            self._places[name] = place
            place.users += 1
            return place

    def _make_room(self) -> bool:
        """Whether there is room for one more model, once those that no one uses have gone as far as needed."""
        idle = [name for name, place in self._places.items() if not place.users]
        while len(self._places) >= self._room and idle:
            model = self._places.pop(idle.pop(0)).model
            if model is not None:
                model.engine.close()
        return len(self._places) < self._room

    def _loaded(self, name: str, place: _Place) -> LoadedModel:
        with place.loading:
            if place.model is None:
                place.model = self._load(name)
            return place.model
