"""`--compare`: the same jobs of mixed length at a concurrency and one by one. Is it faster, and is it fair?

A job's time is from the moment a worker takes it to its result. Its time alone is the median of the jobs of its kind
(the same recording) when each is alone in the worker. While k jobs share the worker, a fair share of it is a k-th: the
job's fair time is k times its time alone, with k the number of jobs in the worker on average over the job's time there,
the job itself included. No job may take more than twice its fair time.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tqdm import tqdm

from tests.load.recordings import Recording, clips, fault_in_words, joined, repeated
from tests.load.table import table
from tests.platform.emulator import Platform
from tests.platform.worker import ROOT, Worker
from tests.support.clips import words

LOGS = ROOT / ".cache" / "soak"
MAX_SHARES = 2.0
TIMEOUT_S = 1800.0
_WARMING_UP = 2


@dataclass(frozen=True)
class Stay:
    """A job's time in the worker."""

    recording: Recording
    taken: float
    finished: float

    @property
    def seconds(self) -> float:
        return self.finished - self.taken


def compare(jobs: int, concurrency: int, seed: int) -> int:
    """Runs and prints the comparison; the exit code."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        recordings = mixed(jobs, seed, Path(folder))
    faults: list[str] = []
    together = stays(recordings, concurrency, faults)
    alone = stays(recordings, 1, faults)
    shares = shares_of(together, times_alone(alone))
    print(table_of_runs(together, alone, concurrency))
    print()
    print(table_of_recordings(together, shares, alone))
    ratio = total(together) / total(alone)
    worst = max(range(jobs), key=shares.__getitem__)
    print(f"\nTotal time at {concurrency} is {ratio:.2f} of that at 1.")
    print(
        f"Of its fair time, a job took {median(shares):.2f} in the median and {shares[worst]:.2f} at the most", end=" "
    )
    print(f"(job {worst}, {together[worst].recording.name}); {MAX_SHARES:g} is the limit.")
    if ratio >= 1:
        faults.append(f"{concurrency} jobs at once are no faster than one by one")
    faults += [
        f"job {place} ({together[place].recording.name}) took {share:.2f} of its fair time"
        for place, share in enumerate(shares)
        if share > MAX_SHARES
    ]
    print("\n".join([f"{len(faults)} FAULTS:", *faults]) if faults else "No fault.")
    return 1 if faults else 0


def mixed(jobs: int, seed: int, folder: Path) -> list[Recording]:
    """Recordings from 3 s to 2.6 minutes, most of them short."""
    known = clips()
    shares = {
        known["demo.ogg"]: 30,
        known["numbers.mp3"]: 22,
        known["video.mp4"]: 20,
        joined([known["demo.ogg"], known["numbers.mp3"], known["video.mp4"]], folder): 16,
        known["long.ogg"]: 9,
        repeated(known["long.ogg"], 2, folder): 3,
    }
    return random.Random(seed).choices(list(shares), list(shares.values()), k=jobs)


def stays(recordings: Sequence[Recording], concurrency: int, faults: list[str]) -> list[Stay]:
    """Hands in all jobs at once and waits for the last."""
    LOGS.mkdir(parents=True, exist_ok=True)
    env = {"WHISPER_MODEL": "tiny.en", "MAX_CONCURRENCY": str(concurrency), "LOG_FORMAT": "json"}
    with ExitStack() as stack:
        platform = stack.enter_context(Platform(hold=0.5, retention=(TIMEOUT_S, TIMEOUT_S)))
        worker = Worker(platform, env=env, log=LOGS / f"compare-{concurrency}.log")
        stack.enter_context(worker)
        worker.wait_ready()
        for recording in recordings[:_WARMING_UP]:  # the first pass of a process takes longer than any other
            platform.wait(platform.submit(_input(recording)))
        ids = [platform.submit(_input(recording)) for recording in recordings]
        _wait(platform, ids, concurrency)
        faults += _faults(platform, ids, recordings, concurrency)
        jobs = [platform.job(job_id) for job_id in ids]
        return [
            Stay(recording, job.taken or 0.0, job.finished or 0.0)
            for recording, job in zip(recordings, jobs, strict=True)
        ]


def _input(recording: Recording) -> dict[str, object]:
    return {"audio": {"base64": recording.base64}, "options": {"output_format": "text"}}


def _wait(platform: Platform, ids: Sequence[str], concurrency: int) -> None:
    end = time.monotonic() + TIMEOUT_S
    with tqdm(total=len(ids), unit="job", desc=f"{concurrency} at once") as bar:
        while bar.n < len(ids):
            bar.update(sum(platform.job(job_id).done for job_id in ids) - bar.n)
            if time.monotonic() > end:
                sys.exit(f"the jobs are not over after {TIMEOUT_S:g} s")
            time.sleep(0.1)


def _faults(platform: Platform, ids: Sequence[str], recordings: Sequence[Recording], concurrency: int) -> list[str]:
    faults = []
    for place, (job_id, recording) in enumerate(zip(ids, recordings, strict=True)):
        job = platform.job(job_id)
        if job.status != "COMPLETED":
            faults.append(f"job {place} at {concurrency} is {job.status}: {job.error}")
        elif fault := fault_in_words(words(job.output["transcription"]["text"]), recording, []):
            faults.append(f"job {place} at {concurrency} {fault}")
    return faults


def times_alone(alone: Sequence[Stay]) -> dict[str, float]:
    """Seconds by recording."""
    names = {stay.recording.name for stay in alone}
    return {name: median(stay.seconds for stay in alone if stay.recording.name == name) for name in names}


def shares_of(together: Sequence[Stay], seconds_alone: dict[str, float]) -> list[float]:
    """Each job's time in shares of its fair time."""
    return [stay.seconds / (company(stay, together) * seconds_alone[stay.recording.name]) for stay in together]


def company(stay: Stay, all_stays: Sequence[Stay]) -> float:
    """Jobs in the worker on average over a job's time there, itself included."""
    shared = sum(
        max(0.0, min(stay.finished, other_stay.finished) - max(stay.taken, other_stay.taken))
        for other_stay in all_stays
    )
    return shared / stay.seconds


def total(run: Sequence[Stay]) -> float:
    return max(stay.finished for stay in run) - min(stay.taken for stay in run)


def busy(run: Sequence[Stay]) -> float:
    """Seconds with a job in the worker: the SDK may take a second to ask for the next one."""
    seconds, until = 0.0, 0.0
    for stay in sorted(run, key=lambda stay: stay.taken):
        seconds += max(0.0, stay.finished - max(stay.taken, until))
        until = max(until, stay.finished)
    return seconds


def table_of_runs(together: Sequence[Stay], alone: Sequence[Stay], concurrency: int) -> str:
    heads = ["jobs at once", "total s", "of it with a job", "jobs in the worker"]
    rows = [
        [str(at_once), f"{total(run):.1f}", f"{busy(run):.1f}", f"{sum(stay.seconds for stay in run) / total(run):.1f}"]
        for at_once, run in ((concurrency, together), (1, alone))
    ]
    return table(heads, rows)


def table_of_recordings(together: Sequence[Stay], shares: Sequence[float], alone: Sequence[Stay]) -> str:
    heads = ["recording", "jobs", "s alone", "s together (median)", "of fair time (median)", "(most)"]
    rows = []
    for name, seconds in sorted(times_alone(alone).items(), key=lambda item: item[1]):
        places = [place for place, stay in enumerate(together) if stay.recording.name == name]
        of_fair = [shares[place] for place in places]
        waited = median(together[place].seconds for place in places)
        rows.append(
            [name, str(len(places)), f"{seconds:.2f}", f"{waited:.2f}", f"{median(of_fair):.2f}", f"{max(of_fair):.2f}"]
        )
    return table(heads, rows)
