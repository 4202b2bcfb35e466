"""The child process of `benchmarks.system_process`: one system that answers requests until its pipe is closed."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

from benchmarks.process_memory import peak_mb
from benchmarks.system_process import Answer, Request, SystemFailed
from benchmarks.systems import System, Transcribe, load


def serve(pipe: Connection[object, object]) -> None:
    """Load the system of the first message and answer every later one; errors are sent back."""
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
                transcribe = _load(message)
                pipe.send("ready")
        except Exception as error:  # a system may raise anything, and the parent has to report it
            pipe.send(SystemFailed(f"{type(error).__name__}: {error}"))


def _load(message: object) -> Transcribe:
    assert isinstance(message, tuple)
    system, weights = message
    assert isinstance(system, System)
    return load(system, weights)


def _answer(transcribe: Transcribe, request: Request) -> Answer:
    started = time.perf_counter()
    if request.concurrency == 1:
        transcriptions = [transcribe(path, request.language) for path in request.paths]
    else:
        with ThreadPoolExecutor(request.concurrency) as threads:
            transcriptions = list(threads.map(lambda path: transcribe(path, request.language), request.paths))
    return Answer(transcriptions, time.perf_counter() - started, peak_mb())


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
