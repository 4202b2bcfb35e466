"""`make soak`: hundreds of jobs of all kinds for one worker, while the platform, the network and the callers misbehave.

The worker is the real `handler.py` in a process of its own, under the emulated platform with faults at random. Jobs
come by the hundred, a hundred at once. Nothing may be lost, answered twice, or mixed up with a neighbour; after each
hundred, at a quiet moment, the worker's memory, threads and files are looked at.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from tests.load.checks import faults_of, faults_of_log, outcome
from tests.load.fairness import compare
from tests.load.mix import Mix, Plan
from tests.load.process import Footprint, footprint
from tests.load.recordings import Recording, clips
from tests.load.site import SIGNING_KEY, Site
from tests.load.table import table
from tests.platform.emulator import Platform
from tests.platform.records import Job
from tests.platform.worker import ROOT, Worker

LOGS = ROOT / ".cache" / "soak"
MAX_NEW_THREADS = 2
"""Threads that a pool may start after the first round; a thread left by each job would be many more."""

STALL_TIMEOUT_S = 180.0
"""Seconds without the end of any job after which the worker is given up."""

DAY = 24 * 3600.0


@dataclass
class Run:
    """The results of a soak."""

    jobs: list[tuple[Plan, Job]] = field(default_factory=list)
    footprints: list[tuple[int, Footprint]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


def main() -> None:
    arguments = parse()
    if arguments.compare:
        sys.exit(compare(arguments.jobs or 200, arguments.concurrency, arguments.seed))
    run = soak(arguments)
    print(report(run))
    sys.exit(1 if run.faults else 0)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description="Jobs of all kinds for one worker under the emulated platform."
    )
    parser.add_argument("--jobs", type=int, help="how many (default: 500; with --compare 200)")
    parser.add_argument("--concurrency", type=int, default=8, help="jobs at once (default: %(default)s)")
    parser.add_argument("--round", type=int, default=100, help="jobs between measurements (default: %(default)s)")
    parser.add_argument(
        "--max-growth",
        type=float,
        default=0.03,
        help="share by which memory may grow after the first round (default: %(default)s)",
    )
    parser.add_argument(
        "--faults", type=float, default=0.05, help="share of the worker's requests that fail (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of jobs and faults (default: %(default)s)")
    parser.add_argument("--streaming", action="store_true", help="with STREAMING=true")
    parser.add_argument(
        "--compare", action="store_true", help="instead: jobs of mixed length at this concurrency against 1, no faults"
    )
    return parser.parse_args()


def soak(arguments: argparse.Namespace) -> Run:
    """Runs the jobs and checks all that they left: answers, webhooks, logs, memory and files."""
    run = Run()
    recordings = clips()
    scratch = Path(tempfile.mkdtemp(prefix="soak-"))
    LOGS.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        site = stack.enter_context(Site({name: clip.data for name, clip in recordings.items()}))
        platform = stack.enter_context(Platform(seed=arguments.seed, hold=0.5, retention=(DAY, DAY)))
        environment = settings(arguments, scratch)
        worker = Worker(platform, worker_id="soak", env=environment, log=LOGS / "worker.log")
        stack.enter_context(worker)
        worker.wait_ready()
        mix = Mix(arguments.seed, recordings, site)
        plans = [mix.draw(number) for number in range(arguments.jobs or 500)]
        platform.faults.rate = arguments.faults
        work_through(plans, arguments.round, platform, worker, scratch, run)
        end(worker, scratch, run)
        judge(run, platform, site, list(recordings.values()), arguments)
        run.faults += faults_of_log(worker.log(), list(recordings.values()))
    return run


def settings(arguments: argparse.Namespace, scratch: Path) -> dict[str, str]:
    return {
        "WHISPER_MODEL": "tiny.en",
        "MAX_CONCURRENCY": str(arguments.concurrency),
        "STREAMING": str(arguments.streaming).lower(),
        "LOG_FORMAT": "json",
        "WEBHOOK_SECRET": SIGNING_KEY,
        "RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS": "true",
        "TMPDIR": str(scratch),
    }


def work_through(
    plans: Sequence[Plan], round_size: int, platform: Platform, worker: Worker, scratch: Path, run: Run
) -> None:
    """Submits the jobs in rounds, and measures the worker after each round."""
    started = time.monotonic()
    bar: tqdm[NoReturn]
    with tqdm(total=len(plans), unit="job", smoothing=0.05) as bar:
        for start in range(0, len(plans), round_size):
            pairs = [(plan, submit(plan, platform)) for plan in plans[start : start + round_size]]
            run.jobs += pairs
            if fault := wait_for(pairs, platform, worker, bar):
                run.faults.append(fault)
                break
            run.footprints.append((len(run.jobs), footprint(worker.pid, scratch)))
    run.seconds = time.monotonic() - started


def submit(plan: Plan, platform: Platform) -> Job:
    return platform.job(platform.submit(plan.input, **plan.fields))


def wait_for(pairs: Sequence[tuple[Plan, Job]], platform: Platform, worker: Worker, bar: tqdm[NoReturn]) -> str | None:
    """Until all jobs are over, cancelling those that are to be; the fault that ends the run, if there is one."""
    latest = time.monotonic()
    done = 0
    while done < len(pairs):
        for plan, job in pairs:
            if is_to_be_cancelled(plan, job):
                platform.cancel(job.id)
        now_done = sum(job.done for _, job in pairs)
        if now_done > done:
            bar.update(now_done - done)
            done, latest = now_done, time.monotonic()
        if worker.exit_code is not None:
            return f"the worker ended with {worker.exit_code}:\n{worker.log()[-2000:]}"
        if time.monotonic() - latest > STALL_TIMEOUT_S:
            return f"no job came to an end for {STALL_TIMEOUT_S:g} s"
        time.sleep(0.05)
    return None


def is_to_be_cancelled(plan: Plan, job: Job) -> bool:
    if plan.cancel_after is None or job.done:
        return False
    if plan.cancel_after < 0:
        return True
    return job.taken is not None and time.time() - job.taken > plan.cancel_after


def end(worker: Worker, scratch: Path, run: Run) -> None:
    """SIGTERM, as at a scale-down."""
    if worker.exit_code is None and (code := worker.terminate()):
        run.faults.append(f"the worker ended with {code} on SIGTERM")
    if left := sorted(path.name for path in scratch.rglob("*")):
        run.faults.append(f"the worker left files behind: {', '.join(left)}")
    else:
        scratch.rmdir()


def judge(
    run: Run, platform: Platform, site: Site, recordings: Sequence[Recording], arguments: argparse.Namespace
) -> None:
    for plan, job in run.jobs:
        others = [recording for recording in recordings if recording is not plan.recording]
        for fault in faults_of(plan, job, others, site.hooks_of(plan.number), arguments.streaming):
            run.faults.append(f"job {plan.number} ({plan.kind}, {job.id}) {fault}")
    if platform.strays:
        run.faults.append(f"{len(platform.strays)} posts about unknown jobs, the first to {platform.strays[0][0]}")
    run.faults += faults_of_footprints(run.footprints, arguments.max_growth)
    injected = collections.Counter(route for route, _ in platform.faults.injected)
    late = sum(result.late for _, job in run.jobs for result in job.results)
    run.notes += [
        f"{len(platform.faults.injected)} requests of the worker met a fault: "
        + ", ".join(f"{route} {count}" for route, count in injected.most_common()),
        f"{site.broken} downloads and webhooks broken off, {len(site.hooks)} webhooks came",
        f"{late} answers came after their job was ended from outside, and changed nothing",
    ]


def faults_of_footprints(footprints: Sequence[tuple[int, Footprint]], max_growth: float) -> Iterator[str]:
    for jobs, sample in footprints:
        if sample.files:
            yield f"after {jobs} jobs there were files: {', '.join(sample.files)}"
        if sample.children:
            yield f"after {jobs} jobs {sample.children} child processes were left"
    if len(footprints) < 2:
        return
    (_, first), (_, last) = footprints[0], footprints[-1]
    if last.resident > first.resident * (1 + max_growth):
        yield f"memory grew by {last.resident / first.resident - 1:.1%} after the first round"
    if last.threads > first.threads + MAX_NEW_THREADS:
        yield f"threads grew from {first.threads} to {last.threads} after the first round"


def report(run: Run) -> str:
    rate = f"{len(run.jobs)} jobs in {run.seconds:.0f} s, {60 * len(run.jobs) / run.seconds:.0f} a minute"
    verdict = "No fault." if not run.faults else f"{len(run.faults)} FAULTS:\n" + "\n".join(run.faults)
    return "\n\n".join([rate, table_of_jobs(run), table_of_footprints(run), "\n".join(run.notes), verdict])


def table_of_jobs(run: Run) -> str:
    ends = ("transcribed", "refused", "ended early", "open")
    counts: dict[str, collections.Counter[str]] = {}
    for plan, job in run.jobs:
        counts.setdefault(plan.kind, collections.Counter())[outcome(plan, job)] += 1
    rows = [[kind, *(str(count[name]) for name in ends), str(count.total())] for kind, count in sorted(counts.items())]
    total = sum(counts.values(), collections.Counter())
    return table(["jobs", *ends, "all"], [*rows, ["all", *(str(total[name]) for name in ends), str(total.total())]])


def table_of_footprints(run: Run) -> str:
    heads = ["after jobs", "resident MB", "to the first", "anonymous MB", "threads", "files"]
    rows = [
        [
            str(jobs),
            f"{sample.resident:.1f}",
            f"{sample.resident / run.footprints[0][1].resident - 1:+.1%}",
            f"{sample.anonymous:.1f}",
            str(sample.threads),
            str(len(sample.files)),
        ]
        for jobs, sample in run.footprints
    ]
    return table(heads, rows)


if __name__ == "__main__":
    main()
