"""Compares HTTP mode with the queue: the time of many requests at once, and memory while large files are uploaded.

    .venv/bin/python -m benchmarks.http_mode --requests 64 --rounds 5 --model base

Two workers with the same settings run at once: one in HTTP mode, one under the platform emulator. Rounds alternate
between them, so that both meet the same machine.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from statistics import median

from benchmarks.report import describe_run
from src.settings import ROOT
from tests.platform.emulator import Platform
from tests.platform.worker import Worker
from tests.support.http_worker import KEY, HttpWorker, http_worker

FORM_HEAD = (
    b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
)
FORM_TAIL = b"\r\n--b--\r\n"
MB = 2**20


def main() -> None:
    """Measure throughput, then memory."""
    arguments = parse_arguments()
    print(describe_run())
    env = {"WHISPER_MODEL": arguments.model, "MAX_CONCURRENCY": str(arguments.concurrency)}
    with http_worker(**env) as worker, Platform(execution_timeout=3600) as platform, Worker(platform, env=env) as queue:
        queue.wait_ready()
        recording = arguments.audio.read_bytes()
        ratios = []
        for number in range(arguments.rounds + 1):
            by_queue = time_queue(platform, recording, arguments.requests)
            by_http = time_http(worker, recording, arguments.requests)
            if number:  # the first round warms up
                ratios.append(by_queue / by_http)
                print(f"queue {by_queue:.2f} s, HTTP {by_http:.2f} s", flush=True)
        print(f"throughput of HTTP: {median(ratios):.2f} of the queue's ({min(ratios):.2f} to {max(ratios):.2f})")
        measure_upload(worker, arguments.megabytes)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--audio", type=Path, default=ROOT / "tests" / "data" / "demo.ogg", help="(default: %(default)s)"
    )
    parser.add_argument("--requests", type=int, default=64, help="at once (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--concurrency", type=int, default=16, help="MAX_CONCURRENCY (default: %(default)s)")
    parser.add_argument("--model", default="base", help="(default: %(default)s)")
    parser.add_argument("--megabytes", type=int, default=300, help="of the large upload (default: %(default)s)")
    return parser.parse_args()


def time_queue(platform: Platform, recording: bytes, requests: int) -> float:
    """Seconds until all jobs are answered, all submitted at once."""
    job = {"audio": {"base64": base64.b64encode(recording).decode()}, "options": {"output_format": "json"}}
    began = time.perf_counter()
    jobs = [platform.submit(job) for _ in range(requests)]
    for job_id in jobs:
        answer = platform.wait(job_id, timeout=600)
        assert answer["status"] == "COMPLETED", answer
    return time.perf_counter() - began


def time_http(worker: HttpWorker, recording: bytes, requests: int) -> float:
    """Seconds until all requests are answered, all sent at once."""
    began = time.perf_counter()
    with ThreadPoolExecutor(requests) as threads:
        statuses = list(threads.map(lambda _: post(worker, [recording]), range(requests)))
    assert statuses == [200] * requests, statuses
    return time.perf_counter() - began


def measure_upload(worker: HttpWorker, megabytes: int) -> None:
    """Print the worker's memory before and during uploads of large files that are not recordings."""
    before = resident_mb(worker)
    peaks = []
    for _ in range(3):
        chunk = os.urandom(MB)
        status = post(worker, [chunk] * megabytes, lambda: peaks.append(resident_mb(worker)))
        assert status == 400, status
    print(f"memory, {megabytes} MB uploaded three times: {before:.0f} MB before, {max(peaks):.0f} MB at most")


def post(worker: HttpWorker, chunks: list[bytes], sent: Callable[[], object] = lambda: None) -> int:
    """Send a form with a recording, call `sent` after each of its chunks, and return the answer's status."""
    length = len(FORM_HEAD) + sum(map(len, chunks)) + len(FORM_TAIL)
    with closing(http.client.HTTPConnection("127.0.0.1", worker.port, timeout=600)) as connection:
        connection.putrequest("POST", "/v1/audio/transcriptions")
        connection.putheader("authorization", f"Bearer {KEY}")
        connection.putheader("content-type", "multipart/form-data; boundary=b")
        connection.putheader("content-length", str(length))
        connection.endheaders(FORM_HEAD)
        for chunk in chunks:
            connection.send(chunk)
            sent()
        connection.send(FORM_TAIL)
        response = connection.getresponse()
        response.read()
        return response.status


def resident_mb(worker: HttpWorker) -> float:
    """Resident memory of the worker."""
    lines = Path(f"/proc/{worker.process.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


if __name__ == "__main__":
    main()
