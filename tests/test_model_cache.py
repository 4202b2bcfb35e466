"""The model cache: each model is loaded once, the least recently used one is evicted, never one in use."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from src.errors import Cancelled, ModelUnavailable
from src.job_control import JobControl
from src.transcription.model_cache import LoadedModel, ModelCache


class Loader:
    """Stands for the loading of weights, and records the loaded models."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.loaded: set[str] = set()

    def load(self, name: str) -> LoadedModel:
        if name == "missing":
            raise ModelUnavailable("there is no such model")
        self.loads.append(name)
        self.loaded.add(name)
        engine: Any = SimpleNamespace(close=lambda: self.loaded.discard(name))
        sequential: Any = SimpleNamespace(close=lambda: None)
        return LoadedModel(name, engine, sequential)


def use(cache: ModelCache, name: str) -> str:
    with cache.acquire(name, JobControl()) as model:
        return model.name


def test_a_model_is_loaded_once_at_first_use() -> None:
    loader = Loader()
    cache = ModelCache(loader.load, capacity=2)
    assert loader.loads == []
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda _: use(cache, "a"), range(40))) == {"a"}
    assert loader.loads == ["a"]


def test_the_least_recently_used_model_is_evicted() -> None:
    loader = Loader()
    cache = ModelCache(loader.load, capacity=2)
    for name in ("a", "b", "a", "c"):
        use(cache, name)
    assert loader.loaded == {"a", "c"}


def test_a_model_in_use_is_not_evicted_and_a_job_for_another_one_waits() -> None:
    loader = Loader()
    cache = ModelCache(loader.load, capacity=1)
    with ThreadPoolExecutor(1) as threads:
        with cache.acquire("a", JobControl()):
            waiting = threads.submit(use, cache, "b")
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
            assert loader.loaded == {"a"}
        assert waiting.result(timeout=10) == "b"
    assert loader.loaded == {"b"}


def test_a_cancelled_job_stops_waiting() -> None:
    cache = ModelCache(Loader().load, capacity=1)
    control = JobControl()
    with cache.acquire("a", JobControl()):
        threading.Timer(0.1, control.cancel, ["the job was cancelled"]).start()
        with pytest.raises(Cancelled), cache.acquire("b", control):
            pass


def test_a_model_that_fails_to_load_takes_no_capacity() -> None:
    loader = Loader()
    cache = ModelCache(loader.load, capacity=1)
    for _ in range(2):
        with pytest.raises(ModelUnavailable):
            use(cache, "missing")
    assert use(cache, "a") == "a"


def test_closing_closes_all_models_and_refuses_new_jobs() -> None:
    loader = Loader()
    cache = ModelCache(loader.load, capacity=2)
    use(cache, "a")
    use(cache, "b")
    cache.close()
    assert loader.loaded == set()
    for name in ("a", "c"):
        with pytest.raises(RuntimeError, match="closed"):
            use(cache, name)
    assert loader.loads == ["a", "b"]


def test_a_model_that_is_loading_while_the_cache_is_closed_is_closed_too() -> None:
    loader, loading, closed = Loader(), threading.Event(), threading.Event()

    def load_slowly(name: str) -> LoadedModel:
        loading.set()
        assert closed.wait(10)
        return loader.load(name)

    cache = ModelCache(load_slowly, capacity=1)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(use, cache, "a")
        assert loading.wait(10)
        waiting = threads.submit(use, cache, "b")
        cache.close()
        closed.set()
        for job in (first, waiting):
            with pytest.raises(RuntimeError, match="closed"):
                job.result(timeout=10)
    assert loader.loaded == set()


@pytest.mark.slow
def test_any_number_of_threads_may_use_a_cache_that_is_closed() -> None:
    for _ in range(20):
        loader = Loader()
        cache = ModelCache(loader.load, capacity=2)
        outcomes: list[str] = []

        def work(name: str, cache: ModelCache = cache, outcomes: list[str] = outcomes) -> None:
            try:
                while True:
                    use(cache, name)
            except RuntimeError as error:
                outcomes.append(str(error))

        with ThreadPoolExecutor(6) as threads:
            for name in "abcabc":
                threads.submit(work, name)
            cache.close()
        assert len(outcomes) == 6
        assert loader.loaded == set()
