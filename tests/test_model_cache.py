"""Models on the shelf: loaded once, the least recently used given up, never one that is in use."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from src.errors import Cancelled, ModelUnavailable
from src.job_control import JobControl
from src.transcription.model_cache import LoadedModel, ModelCache


class Models:
    """Stands for the loading of weights, and knows what is loaded."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.loaded: set[str] = set()

    def load(self, name: str) -> LoadedModel:
        if name == "missing":
            raise ModelUnavailable("there is no such model")
        self.loads.append(name)
        self.loaded.add(name)
        engine: Any = SimpleNamespace(close=lambda: self.loaded.discard(name))
        sequential: Any = None
        return LoadedModel(name, engine, sequential)


def use(shelf: ModelCache, name: str) -> str:
    with shelf.borrow(name, JobControl()) as model:
        return model.name


def test_a_model_is_loaded_on_first_use_and_once() -> None:
    models = Models()
    shelf = ModelCache(models.load, room=2)
    assert models.loads == []
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: use(shelf, "a"), range(40))) == {"a"}
    assert models.loads == ["a"]


def test_the_one_not_used_for_longest_makes_room() -> None:
    models = Models()
    shelf = ModelCache(models.load, room=2)
    for name in ("a", "b", "a", "c"):
        use(shelf, name)
    assert models.loaded == {"a", "c"}


def test_a_model_in_use_is_not_given_up_and_whoever_wants_another_waits() -> None:
    models = Models()
    shelf = ModelCache(models.load, room=1)
    with ThreadPoolExecutor(1) as threads:
        with shelf.borrow("a", JobControl()):
            other = threads.submit(use, shelf, "b")
            with pytest.raises(TimeoutError):
                other.result(timeout=0.5)
            assert models.loaded == {"a"}
        assert other.result(timeout=10) == "b"
    assert models.loaded == {"b"}


def test_a_stopped_job_waits_no_longer() -> None:
    shelf = ModelCache(Models().load, room=1)
    control = JobControl()
    with shelf.borrow("a", JobControl()):
        threading.Timer(0.1, control.cancel, ["the job was cancelled"]).start()
        with pytest.raises(Cancelled), shelf.borrow("b", control):
            pass


def test_a_model_that_cannot_be_loaded_takes_no_room() -> None:
    models = Models()
    shelf = ModelCache(models.load, room=1)
    for _ in range(2):
        with pytest.raises(ModelUnavailable):
            use(shelf, "missing")
    assert use(shelf, "a") == "a"


def test_closing_gives_up_all() -> None:
    models = Models()
    shelf = ModelCache(models.load, room=2)
    use(shelf, "a")
    use(shelf, "b")
    shelf.close()
    assert models.loaded == set()
