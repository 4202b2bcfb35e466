"""Imports openai-whisper without numba, a fifth of what torch and whisper take to import (docs/benchmarks.md).

`whisper.timing` imports numba to compile its dynamic time warping at the first call; this worker uses its own instead
(`src.engine.dtw`). So that module gets a stand-in while it is imported, which leaves its functions as they are written.
Any other module that imports numba gets numba.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def install() -> None:
    """Have `whisper.timing` imported without numba from now on."""
    sys.meta_path.insert(0, _TimingFinder())


class _TimingFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == "whisper.timing" else None
        if spec is not None and spec.loader is not None:
            spec.loader = _TimingLoader(spec.loader)
        return spec


class _TimingLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with _stand_in():
            self._loader.exec_module(module)


@contextmanager
def _stand_in() -> Iterator[None]:
    replaced = sys.modules.get("numba")
    stand_in = ModuleType("numba")
    stand_in.jit = _jit  # type: ignore[attr-defined]
    sys.modules["numba"] = stand_in
    try:
        yield
    finally:
        if replaced is None:
            del sys.modules["numba"]
        else:
            sys.modules["numba"] = replaced


def _jit(**_options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that leaves a function as it is."""
    return lambda function: function
