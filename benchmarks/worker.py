"""The other end of `benchmarks.process`: one system that answers requests until its pipe is closed."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.process import Answer, Request, SystemFailed
from benchmarks.systems import System, Transcribe, load


def serve(pipe: Connection[object, object]) -> None:
    transcribe: Transcribe | None = None
    while True:
        try:
            message = pipe.recv()
        except EOFError:
            return
        try:
            if isinstance(message, Request):
                assert transcribe is not None
                pipe.send(_answer(transcribe, message))
            else:
                transcribe = _loaded(message)
                pipe.send("ready")
        except Exception as error:  # whatever a foreign package raises is an answer too
            pipe.send(SystemFailed(f"{type(error).__name__}: {error}"))


def _loaded(message: object) -> Transcribe:
    assert isinstance(message, tuple)
    system, weights = message
    assert isinstance(system, System)
    return load(system, weights)


def _answer(transcribe: Transcribe, request: Request) -> Answer:
    began = time.perf_counter()
    if request.at_once == 1:
        texts = [transcribe(path, request.language) for path in request.paths]
    else:
        with ThreadPoolExecutor(request.at_once) as threads:
            texts = list(threads.map(lambda path: transcribe(path, request.language), request.paths))
    return Answer(texts, time.perf_counter() - began, peak_mb())


def peak_mb() -> float:
    """Linux's own account of this process. (`getrusage`'s peak would be the parent's, kept over `exec`.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
