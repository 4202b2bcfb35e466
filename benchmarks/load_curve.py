"""Measures how the engine's cost grows with its load: throughput by waiting windows, and a job's time beside another.

    .venv/bin/python -m benchmarks.load_curve --model base

The windows are those of the repository's clip, decoded greedily, without fallbacks. All of them are submitted at once,
each by a client of its own, so that up to the batch size they run together and the others wait. The throughput should
rise with their number, and then stay.

The second table is about one short job: alone, and while another client has windows without end, as a recording of 10
hours has. A fair engine starts the short job's window as soon as a slot is free.

The figures depend on the CPU or GPU, and on what else runs on it.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import cycle
from statistics import median

from benchmarks.clip_windows import GREEDY, clip_windows, find_weights, total_seconds
from benchmarks.report import describe_run, markdown_table
from src.audio.pcm import SAMPLE_RATE
from src.engine.engine import Engine
from src.engine.placement import choose_placements
from src.engine.scheduler import Client
from src.engine.window import Window
from src.models.weights import load_weights

SHORT_JOB_S = 10
SETTLING_S = 3.0
"""Seconds after which the long job has filled the batch."""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base", help="as WHISPER_MODEL; fetched if missing (default: %(default)s)")
    parser.add_argument(
        "--counts", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64], help="waiting windows (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="short jobs, alone and beside (default: %(default)s)")
    parser.add_argument("--max-batch-size", type=int, help="windows decoded at once (default: the device's)")
    arguments = parser.parse_args()
    placements = choose_placements()
    load = partial(load_weights, find_weights(arguments.model))
    with closing(Engine(load, placements, arguments.max_batch_size)) as engine:
        device = f"{engine.device} in {placements[0].compute_type}, up to {engine.max_batch_size} windows at once"
        print(f"{arguments.model} on {device}; {describe_run()}\n")
        print(throughput_table(engine, arguments.counts), end="\n\n", flush=True)
        print(latency_table(engine, arguments.rounds))


def throughput_table(engine: Engine, counts: Sequence[int]) -> str:
    """Measure the windows per second by the number of windows that wait."""
    seconds_of(engine, clip_windows())  # memory and kernels
    rows = []
    for count in counts:
        windows = clip_windows(count)
        seconds = seconds_of(engine, windows)
        speed = total_seconds(windows) / seconds
        rows.append([f"{count}", f"{seconds:.2f}", f"{count / seconds:.2f}", f"{speed:.1f}"])
    return markdown_table(["windows waiting", "seconds", "windows per second", "x real time"], rows)


def latency_table(engine: Engine, rounds: int) -> str:
    """Measure the time of a short job alone, and beside an endless one."""
    job = [Window(clip_windows(1)[0].audio[: SHORT_JOB_S * SAMPLE_RATE])]
    alone = [seconds_of(engine, job) for _ in range(rounds)]
    with endless_job(engine):
        time.sleep(SETTLING_S)
        beside = [seconds_of(engine, job) for _ in range(rounds)]
    rows = [
        [name, f"{median(times):.2f}", f"{min(times):.2f}..{max(times):.2f}", f"{median(times) / median(alone):.1f}"]
        for name, times in (("alone", alone), ("beside an endless job", beside))
    ]
    return markdown_table([f"a job of {SHORT_JOB_S} s", "seconds, median", "min..max", "relative"], rows)


def seconds_of(engine: Engine, windows: Sequence[Window]) -> float:
    """Return the seconds until all windows, submitted at once by as many clients, are transcribed."""
    with ThreadPoolExecutor(len(windows)) as clients:
        started = time.perf_counter()
        jobs = [clients.submit(lambda window: list(engine.transcribe([window], GREEDY)), window) for window in windows]
        for job in jobs:
            job.result()
        return time.perf_counter() - started


@contextmanager
def endless_job(engine: Engine) -> Iterator[None]:
    """Transcribe windows of another client within the block, one after another without end."""
    client = Client()

    def transcribe() -> None:
        for _ in engine.transcribe(cycle(clip_windows()), GREEDY, client):
            if ended.is_set():
                return

    ended = threading.Event()
    thread = threading.Thread(target=transcribe)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    main()
