"""`make platform`: RunPod's API for one endpoint on this machine, with real workers behind it."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from tests.platform.emulator import Platform
from tests.platform.routes import ENDPOINT
from tests.platform.worker import ROOT, Worker

LOGS = ROOT / ".cache" / "platform"
MAX_DEATHS = 5
WITHIN_S = 60.0
"""A worker that ends so often in so short a time would do so forever."""
ANNOUNCEMENT = """\
Ready. RunPod's API for this worker: {url}
  base URL     http://localhost:{port}/v2
  endpoint id  {endpoint}
  API key      {key}

Try it in another terminal:
  curl -s {url}/runsync -H 'Authorization: Bearer {key}' \\
    -H 'Content-Type: application/json' -d @test_input.json

Also /run, /status/ID, /stream/ID, /cancel/ID, /retry/ID, /purge-queue and /health.
The workers' logs are in {logs}. Ctrl-C ends everything."""


def main() -> None:
    arguments = parse()
    # SIGTERM as Ctrl-C: the workers always end with their platform.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        platform = listening(arguments.port, arguments.api_key, stack)
        platform.faults.rate = arguments.faults
        workers = start(platform, arguments.script, arguments.workers, stack)
        print(announcement(platform), flush=True)
        replace_dead(platform, workers)
    print("\nEnded.")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.platform",
        description="RunPod's serverless API for one endpoint on this machine: the queue, its routes for callers and "
        "for workers, and worker processes that run the SDK's own loop, as they do on RunPod.",
        epilog="The workers take their settings from this shell: BATCH_SIZE=4 make platform MODEL=turbo. "
        "A RunPod client works against it with the base URL http://localhost:8080/v2 and the endpoint id ep.",
    )
    parser.add_argument("--port", type=int, default=8080, help="where the API listens (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="how many worker processes (default: %(default)s)")
    parser.add_argument("--api-key", default="local", help="what callers send as Bearer (default: %(default)s)")
    parser.add_argument(
        "--faults", type=float, default=0.0, help="share of the workers' requests that fail, e.g. 0.05 (default: none)"
    )
    parser.add_argument(
        "--script", type=Path, default=ROOT / "handler.py", help="the worker's program (default: handler.py)"
    )
    return parser.parse_args()


def listening(port: int, api_key: str, stack: contextlib.ExitStack) -> Platform:
    try:
        return stack.enter_context(Platform(port=port, api_key=api_key))
    except OSError as error:
        sys.exit(
            f"Port {port} cannot be used ({os.strerror(error.errno or 0)}); PORT=9000 or --port 9000 takes another."
        )


def start(platform: Platform, script: Path, count: int, stack: contextlib.ExitStack) -> list[Worker]:
    LOGS.mkdir(parents=True, exist_ok=True)
    names = [f"worker-{number}" for number in range(1, count + 1)]
    workers = [Worker(platform, script, worker_id=name, log=LOGS / f"{name}.log") for name in names]
    print(f"Starting {count} worker{'s' * (count != 1)} ...", flush=True)
    for worker in workers:
        stack.enter_context(worker)
    for worker in workers:
        wait_ready(worker)
    return workers


def wait_ready(worker: Worker) -> None:
    """Wait until a worker asks for its first job, however long it downloads, and show that it is at work."""
    while True:
        try:
            return worker.wait_ready(timeout=10)
        except TimeoutError:
            print(f"{worker.id} is still starting: {(worker.log().splitlines() or ['...'])[-1][:200]}", flush=True)
        except RuntimeError as error:
            sys.exit(str(error))


def replace_dead(platform: Platform, workers: Sequence[Worker]) -> None:
    """Start a worker anew whenever it ends, as RunPod does; its jobs are in the queue again.

    Raises:
        SystemExit: a worker ends again and again; with its last lines.
    """
    deaths: dict[str, deque[float]] = {worker.id: deque(maxlen=MAX_DEATHS) for worker in workers}
    while True:
        platform.until(lambda: any(worker.exit_code is not None for worker in workers), timeout=None)
        for worker in [worker for worker in workers if worker.exit_code is not None]:
            times = deaths[worker.id]
            times.append(time.monotonic())
            if len(times) == MAX_DEATHS and times[-1] - times[0] < WITHIN_S:
                sys.exit(f"A worker ended {MAX_DEATHS} times within {WITHIN_S:.0f} s; its last lines:\n{tail(worker)}")
            print(f"A worker ended; another takes its place. Its last lines:\n{tail(worker)}", flush=True)
            worker.close()
            worker.start()


def announcement(platform: Platform) -> str:
    url = f"http://localhost:{platform.port}/v2/{ENDPOINT}"
    return ANNOUNCEMENT.format(
        url=url, port=platform.port, endpoint=ENDPOINT, key=platform.api_key, logs=LOGS.relative_to(ROOT)
    )


def tail(worker: Worker) -> str:
    return "\n".join([f"[{worker.id}, exit code {worker.exit_code}]", *worker.log().splitlines()[-10:]])


if __name__ == "__main__":
    main()
