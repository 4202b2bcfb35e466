"""`make fuzz`: thousands of wrong, strange and damaged inputs for the whole handler, with a real model and real ffmpeg.

Half of them are jobs that hypothesis makes up, the others real recordings whose bytes were damaged. To each there has
to be an answer that RunPod can carry, in a minute, and nothing may be left behind. Whatever fails is kept as a file
that `--replay` tries again.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from hypothesis import HealthCheck, Phase, given, seed, settings
from tqdm import tqdm

from tests.fuzzing.jobs import jobs
from tests.fuzzing.media import Mutator, sources
from tests.fuzzing.trial import Bench, Hanging
from tests.load.site import Site
from tests.load.table import table

ROOT = Path(__file__).resolve().parents[1]
FAILING = ROOT / ".cache" / "fuzz"
ALLOW_PRIVATE = "RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS"
SHORT = ("silence.flac", "opus.ogg", "speech.m4a")
"""Recordings that stand in right and nearly right jobs."""


@dataclass
class Tally:
    """Tries inputs and counts what comes of them, until it is time to end."""

    bench: Bench
    folder: Path
    until: float
    bar: tqdm[NoReturn]
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    hanging: bool = False

    @property
    def over(self) -> bool:
        return self.hanging or time.monotonic() > self.until

    @property
    def tried(self) -> int:
        return sum(counts.total() for counts in self.outcomes.values())

    def take(self, kind: str, what: str, job: dict[str, Any]) -> None:
        """Tries an input of a kind; `what` says what it is."""
        name = f"{kind} {self.outcomes.setdefault(kind, Counter()).total()}"
        try:
            trial = self.bench.try_out(job)
        except Hanging as error:
            self.hanging = True
            self._fail(name, what, job, [str(error)])
            return
        self.outcomes[kind][trial.outcome] += 1
        self.slowest = max(self.slowest, (trial.seconds, f"{name}, {what}"))
        if trial.faults:
            self._fail(name, what, job, trial.faults)
        self.bar.update()

    def _fail(self, name: str, what: str, job: dict[str, Any], faults: list[str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name.replace(' ', '-')}.json"
        path.write_text(json.dumps({"what": what, "faults": faults, "job": job}))
        self.faults += [f"{name} ({what}) {fault}\n  kept as {path.relative_to(ROOT)}" for fault in faults]
        self.bar.write(f"{name} ({what}) {faults[0][:300]}", file=sys.stderr)


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        scratch = Path(folder, "scratch")
        scratch.mkdir()
        bench = set_up(scratch)
        code = replay(bench, arguments.replay) if arguments.replay else fuzz(bench, Path(folder), arguments)
    sys.stdout.flush()
    os._exit(code)  # a thread that hangs would keep the process


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Strange jobs and damaged recordings for the whole handler."
    )
    parser.add_argument("--inputs", type=int, default=2000, help="how many, half of each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same one makes the same inputs (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=60.0, help="end after so many (default: %(default)s)")
    parser.add_argument("--replay", type=Path, help="try an input again that failed and was kept")
    return parser.parse_args()


def set_up(scratch: Path) -> Bench:
    """The worker's handler in this process."""
    # Short limits, so that what is merely long or slow costs little: damage to a header can make hours of a second.
    os.environ |= {
        "WHISPER_MODEL": "tiny.en",
        "MAX_AUDIO_SECONDS": "120",
        "DOWNLOAD_TIMEOUT": "1",
        "TMPDIR": str(scratch),
    }
    os.environ.pop(ALLOW_PRIVATE, None)
    tempfile.tempdir = None  # made up anew, from TMPDIR

    from src import logs, startup
    from src.rp_handler import handler

    logs.set_up("json")
    startup.get_processor()  # its threads are there before the first input
    return Bench(handler, scratch)


def replay(bench: Bench, path: Path) -> int:
    kept = json.loads(path.read_text())
    os.environ[ALLOW_PRIVATE] = "true" if kept["what"].endswith("by URL") else ""
    trial = bench.try_out(kept["job"])
    print(f"{kept['what']}: {trial.outcome} in {trial.seconds:.1f} s", *(trial.faults or ["No fault."]), sep="\n")
    return 1 if trial.faults else 0


def fuzz(bench: Bench, folder: Path, arguments: argparse.Namespace) -> int:
    recordings, missing = sources(folder)
    started = time.monotonic()
    count = arguments.inputs // 2
    with tqdm(total=arguments.inputs, unit="input", smoothing=0.02) as bar:
        kept = FAILING / f"seed-{arguments.seed}"
        tally = Tally(bench, kept, started + 60 * arguments.minutes, bar)
        try_media(tally, Mutator(arguments.seed, recordings), arguments.inputs - count)
        try_jobs(tally, recordings, count, arguments.seed)
    print(f"{tally.tried} of {arguments.inputs} inputs in {time.monotonic() - started:.0f} s", end="; ")
    print(f"the slowest took {tally.slowest[0]:.1f} s ({tally.slowest[1]})")
    print(f"{len(recordings)} recordings; this ffmpeg cannot make {', '.join(missing) or 'none of the others'}\n")
    print(table_of_outcomes(tally))
    print("\n".join([f"\n{len(tally.faults)} FAULTS:", *tally.faults]) if tally.faults else "\nNo fault.")
    return 1 if tally.faults else 0


def try_jobs(tally: Tally, recordings: dict[str, bytes], count: int, number: int) -> None:
    """Tries the jobs that hypothesis generates."""

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],  # what fails is kept as it is: to make it smaller would take minutes for each
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(jobs([_as_base64(recordings[name]) for name in SHORT if name in recordings]))
    def try_one(job: dict[str, Any]) -> None:
        if not tally.over:
            tally.take("job", "generated", job)

    try_one()


def try_media(tally: Tally, mutator: Mutator, count: int) -> None:
    """Damaged recordings, a few of them by URL."""
    with Site({}) as site:
        for number in range(count):
            if tally.over:
                return
            what, data = mutator.draw(number)
            dice = random.Random(number)
            made: dict[str, Any] = {"audio": {"base64": _as_base64(data)}, "options": _options(dice)}
            by_url = dice.random() < 0.05
            if by_url:
                site.recordings["media"] = data
                made["audio"] = {"url": site.url("/sound/media", number)}
            os.environ[ALLOW_PRIVATE] = "true" if by_url else ""
            tally.take("media", f"{what}{', by URL' if by_url else ''}", {"id": f"media-{number}", "input": made})
    os.environ[ALLOW_PRIVATE] = ""


def _as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _options(dice: random.Random) -> dict[str, Any]:
    """Mostly one try at each window: noise that sounds like nothing would be tried six times."""
    options: dict[str, Any] = {} if dice.random() < 0.1 else {"temperature": 0}
    for share, option in (
        (0.15, {"word_timestamps": True}),
        (0.08, {"chunking": "sequential"}),
        (0.08, {"denoise": True}),
        (0.08, {"vad": False}),
        (0.3, {"output_format": dice.choice(["text", "srt", "vtt", "tsv", "json"])}),
    ):
        if dice.random() < share:
            options |= option
    return options


def table_of_outcomes(tally: Tally) -> str:
    names = sorted({name for counts in tally.outcomes.values() for name in counts})
    kinds = list(tally.outcomes)
    rows = [[name, *(str(tally.outcomes[kind][name]) for kind in kinds)] for name in names]
    totals = ["all", *(str(tally.outcomes[kind].total()) for kind in kinds)]
    return table(["outcome", *kinds], [*rows, totals])


if __name__ == "__main__":
    main()
