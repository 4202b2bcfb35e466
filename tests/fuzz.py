"""`make fuzz`: wrong, strange, damaged and hostile inputs for the whole handler, with a real model and real ffmpeg.

    job      what hypothesis makes up, from anything that JSON can say to nearly right jobs
    media    real recordings whose bytes were damaged
    forged   small files that declare great sizes, or name other files
    server   servers for downloads, samples, webhooks and buckets that drip, flood, lie or never end
    inside   addresses that lead to this machine, where a listener counts what arrives
    request  requests of megabytes
    http     right and damaged requests for the HTTP API (with a scripted transcriber)
    layout   products of the layout options' limits, for transcripts of hours (rendering alone)

To each there has to be an answer that RunPod can carry, in a minute; nothing may be left behind, no file, thread,
process or descriptor, and neither memory nor disk may be filled on the way. Whatever fails is kept as a file that
`--replay` tries again.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from hypothesis import HealthCheck, Phase, given, seed, settings
from tqdm import tqdm

from tests.fuzzing.extremes import MAX_REFUSAL_S, draw_layout, draw_request, lay_out_faults
from tests.fuzzing.forged import MAX_FORGED_S, Forger
from tests.fuzzing.http_requests import draw_http, http_faults
from tests.fuzzing.jobs import jobs
from tests.fuzzing.media import Mutator, sources
from tests.fuzzing.servers import MAX_SERVER_S, HostileServer, inside
from tests.fuzzing.trial import SECONDS, TRANSCRIBED, Bench, Hanging, Trial
from tests.load.site import Site
from tests.load.table import table

ROOT = Path(__file__).resolve().parents[1]
FAILING = ROOT / ".cache" / "fuzz"
ALLOW_PRIVATE = "RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS"
SHORT = ("silence.flac", "opus.ogg", "speech.m4a")
"""Recordings that stand in right and nearly right jobs."""

SHARES = {
    "media": 0.39,
    "job": 0.37,
    "http": 0.04,
    "forged": 0.06,
    "server": 0.04,
    "inside": 0.04,
    "request": 0.04,
    "layout": 0.02,
}
"""How many of the inputs are of each kind."""


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
            trial = try_out(self.bench, kind, what, job)
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
        path.write_text(json.dumps({"kind": name.split(maxsplit=1)[0], "what": what, "faults": faults, "job": job}))
        self.faults += [f"{name} ({what}) {fault}\n  kept as {path.relative_to(ROOT)}" for fault in faults]
        self.bar.write(f"{name} ({what}) {faults[0][:300]}", file=sys.stderr)


def try_out(bench: Bench, kind: str, what: str, job: dict[str, Any]) -> Trial:
    """Tries an input by what is asked of its kind."""
    if kind == "layout":
        started = time.monotonic()
        faults = lay_out_faults(job)
        return Trial("faulty" if faults else "laid out", time.monotonic() - started, faults)
    if kind == "http":
        started = time.monotonic()
        faults = http_faults(job)
        return Trial("faulty" if faults else "answered", time.monotonic() - started, faults)
    limits = {"request": MAX_REFUSAL_S, "forged": MAX_FORGED_S, "server": MAX_SERVER_S}
    trial = bench.try_out(job, limits.get(kind, SECONDS))
    if what.startswith("leads elsewhere") and trial.outcome == TRANSCRIBED:
        trial.faults.append("was transcribed")
    return trial


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
        prog="python -m tests.fuzz", description="Strange, damaged and hostile inputs for the whole handler."
    )
    parser.add_argument("--inputs", type=int, default=2000, help="how many, of all kinds (default: %(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=SHARES, default=list(SHARES), help="only these (default: all)")
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
        "MAX_AUDIO_BYTES": str(64 << 20),
        "DOWNLOAD_TIMEOUT": "1",
        "TMPDIR": str(scratch),
    }
    os.environ.pop(ALLOW_PRIVATE, None)
    tempfile.tempdir = None  # made up anew, from TMPDIR

    from src import download, logs, startup
    from src.rp_handler import handler

    download._SAMPLE_TIMEOUT_S = 1.0  # as for the recording
    logs.set_up("json")
    startup.get_processor()  # its threads are there before the first input
    return Bench(handler, scratch)


def replay(bench: Bench, path: Path) -> int:
    kept = json.loads(path.read_text())
    os.environ[ALLOW_PRIVATE] = "true" if kept["what"].endswith("by URL") or kept["kind"] == "server" else ""
    with HostileServer() as server:
        job = json.loads(re.sub(r"http://127\.0\.0\.1:\d+", server.address, json.dumps(kept["job"])))
        trial = try_out(bench, kept["kind"], kept["what"], job)
    print(f"{kept['what']}: {trial.outcome} in {trial.seconds:.1f} s", *(trial.faults or ["No fault."]), sep="\n")
    return 1 if trial.faults else 0


def fuzz(bench: Bench, folder: Path, arguments: argparse.Namespace) -> int:
    recordings, missing = sources(folder)
    started = time.monotonic()
    counts = {kind: round(SHARES[kind] * arguments.inputs) for kind in arguments.kinds}
    with tqdm(total=sum(counts.values()), unit="input", smoothing=0.02) as bar:
        kept = FAILING / f"seed-{arguments.seed}"
        tally = Tally(bench, kept, started + 60 * arguments.minutes, bar)
        for kind in arguments.kinds:
            if kind == "job":
                try_jobs(tally, recordings, counts[kind], arguments.seed)
            else:
                try_kind(tally, kind, recordings, counts[kind], arguments.seed)
    print(f"{tally.tried} of {sum(counts.values())} inputs in {time.monotonic() - started:.0f} s", end="; ")
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


def try_kind(tally: Tally, kind: str, recordings: dict[str, bytes], count: int, number: int) -> None:
    """Tries the inputs of a kind that are drawn by their number."""
    kinds = {
        "media": _damaged,
        "forged": _forged,
        "server": _by_hostile_servers,
        "inside": _leading_inside,
        "request": _large_requests,
        "layout": _layouts,
        "http": _damaged_http,
    }
    with closing(kinds[kind](tally, recordings, count, number)) as drawn:
        for what, job in drawn:
            tally.take(kind, what, job)
            if tally.over:
                break
    os.environ[ALLOW_PRIVATE] = ""


Drawn = Generator[tuple[str, dict[str, Any]], None, None]
"""Inputs, each with what it is."""


def _damaged(_: Tally, recordings: dict[str, bytes], count: int, number: int) -> Drawn:
    """Damaged recordings, a few of them by URL."""
    mutator = Mutator(number, recordings)
    with Site({}) as site:
        for at in range(count):
            what, data = mutator.draw(at)
            dice = random.Random(at)
            made: dict[str, Any] = {"audio": {"base64": _as_base64(data)}, "options": _options(dice)}
            by_url = dice.random() < 0.05
            if by_url:
                site.recordings["media"] = data
                made["audio"] = {"url": site.url("/sound/media", at)}
            os.environ[ALLOW_PRIVATE] = "true" if by_url else ""
            yield f"{what}{', by URL' if by_url else ''}", {"id": f"media-{at}", "input": made}


def _forged(_: Tally, recordings: dict[str, bytes], count: int, number: int) -> Drawn:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        secret = Path(folder, "secret.flac")
        secret.write_bytes(recordings["demo.ogg"])
        forger = Forger(number, str(secret))
        for at in range(count):
            what, data, options = forger.draw(at)
            audio = {"base64": _as_base64(data)}
            yield what, {"id": f"forged-{at}", "input": {"audio": audio, "options": {"temperature": 0} | options}}


def _by_hostile_servers(_: Tally, recordings: dict[str, bytes], count: int, number: int) -> Drawn:
    os.environ[ALLOW_PRIVATE] = "true"
    with HostileServer() as server:
        for at in range(count):
            yield server.job(at, number, _as_base64(recordings[SHORT[0]]))


def _leading_inside(tally: Tally, recordings: dict[str, bytes], count: int, number: int) -> Drawn:
    os.environ[ALLOW_PRIVATE] = ""
    with inside() as service:
        tally.bench.checks.append(service.faults)
        for at in range(count):
            yield service.job(at, number, _as_base64(recordings[SHORT[0]]))


def _large_requests(_: Tally, recordings: dict[str, bytes], count: int, number: int) -> Drawn:
    for at in range(count):
        yield draw_request(at, number, _as_base64(recordings[SHORT[0]]))


def _damaged_http(_: Tally, __: dict[str, bytes], count: int, number: int) -> Drawn:
    for at in range(count):
        yield draw_http(at, number)


def _layouts(_: Tally, __: dict[str, bytes], count: int, number: int) -> Drawn:
    for at in range(count):
        drawn = draw_layout(at, number)
        yield f"{drawn['hours']:g} h, {drawn['layout']}", drawn


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
