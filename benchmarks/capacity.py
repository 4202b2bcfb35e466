"""Simulates an endpoint on paper: what 10,000 hours of audio cost, and how long requests wait. Runs no model.

    .venv/bin/python -m benchmarks.capacity                                      # all scenarios
    .venv/bin/python -m benchmarks.capacity call-centre --speeds 22 --flex-price 0.00031 --vary idle_timeout_s 5 30 120
    .venv/bin/python -m benchmarks.capacity call-centre --by-hour

The second line asks: with workers on an RTX 4090 at 22 times real time, which idle timeout is best for a call centre?
Each value of `--vary` is a row of the table. The speed is an input: `1 / real_time_factor` from the metadata of your
own jobs, or a row of `benchmarks.gpu_check`. The default, 34, is what others published for `turbo` on an RTX 3090, and
the price per second is RunPod's for flex workers of this kind (docs/deployment.md has the sources). Active workers have
discounts on request: `--active-price`. `--speeds 34,50,60` is the speed of a worker's jobs together with 1, 2, and 3 or
more of them. benchmarks/endpoint.py tells how the endpoint scales, and what is assumed of it.

"cold" and "idle" are shares of the paid time: starting workers, and workers without a job. The time of a request is
from its arrival to its result.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any, get_args

from benchmarks.endpoint import Endpoint, Job, Scaling, Simulated, simulate
from benchmarks.report import describe_run, markdown_table

DAY_S = 86_400
OFFICE_HOURS = (*(0.1,) * 7, 0.5, 1.0, 1.6, 1.8, 1.7, 1.3, 1.5, 1.7, 1.6, 1.3, 0.8, 0.4, *(0.1,) * 5)
"""Relative number of requests in each hour of a working day: made up, not measured."""

EVENING = (
    *(0.6, 0.4, 0.3, 0.2, 0.2, 0.3, 0.5, 0.8, 1.0, 1.1, 1.1, 1.1),
    *(1.2, 1.2, 1.1, 1.1, 1.2, 1.3, 1.5, 1.7, 1.8, 1.7, 1.4, 0.9),
)
"""The same for an application that people use at home: made up, not measured."""


@dataclass(frozen=True)
class Lengths:
    """Lengths of recordings in seconds: log-normal around a median, or drawn from a list of your own.

    Attributes:
        spread: standard deviation of the logarithm; 0: all recordings have the median's length.
    """

    median_s: float
    spread: float = 0.0
    listed_s: Sequence[float] = ()

    def draw(self, rng: random.Random) -> float:
        """Return the length of one recording."""
        return rng.choice(self.listed_s) if self.listed_s else self.median_s * rng.lognormvariate(0.0, self.spread)


@dataclass(frozen=True)
class Arrivals:
    """Requests at random moments, at a rate that depends on the hour, and bursts of many at once.

    Attributes:
        per_hour: mean over the day, without the bursts.
        profile: 24 relative rates; empty: the same all day.
        burst_size: requests of a burst.
        bursts_per_day: mean number of bursts, which come at random moments too.
        at_start: requests that all arrive at the beginning.
    """

    per_hour: float = 0.0
    profile: Sequence[float] = ()
    burst_size: int = 0
    bursts_per_day: float = 0.0
    at_start: int = 0

    def times(self, seconds: float, rng: random.Random) -> list[float]:
        """Return the arrival of each request within that time, in order."""
        times = [0.0] * self.at_start
        peak = max(self.profile, default=1.0) / fmean(self.profile or (1.0,))
        for time in _poisson(self.per_hour / 3600 * peak, seconds, rng):
            if not self.profile or rng.random() * max(self.profile) < self.profile[int(time % DAY_S // 3600)]:
                times.append(time)
        for time in _poisson(self.bursts_per_day / DAY_S, seconds, rng):
            times += [time] * self.burst_size
        return sorted(times)


def _poisson(per_second: float, seconds: float, rng: random.Random) -> Iterator[float]:
    """Moments of a Poisson process."""
    time = rng.expovariate(per_second) if per_second else seconds
    while time < seconds:
        yield time
        time += rng.expovariate(per_second)


@dataclass(frozen=True)
class Scenario:
    """Who asks for what, and the endpoint that serves them."""

    arrivals: Arrivals
    lengths: Lengths
    endpoint: Endpoint
    days: float

    def run(self, seed: int) -> Simulated:
        """Simulate the scenario; the same seed gives the same requests, whatever the endpoint.

        Raises:
            SystemExit: there are no requests.
        """
        rng, seconds = random.Random(seed), self.days * DAY_S
        times = self.arrivals.times(seconds, rng)
        if not times:
            raise SystemExit("there are no requests in that time: set --days or --per-hour higher")
        return simulate(self.endpoint, [Job(time, self.lengths.draw(rng)) for time in times], seconds)


def parse_speeds(value: str) -> list[float]:
    """Parse speeds that are separated by commas."""
    return [float(speed) for speed in value.split(",")]


def parse_scaling(value: str) -> str:
    """Return the name of a scaling strategy.

    Raises:
        ValueError: there is no such strategy.
    """
    if value not in get_args(Scaling):
        raise ValueError(f"scaling is one of {', '.join(get_args(Scaling))}")
    return value


PARSERS: dict[str, Callable[[str], Any]] = {setting.name: float for setting in fields(Endpoint)}
PARSERS |= {"speeds": parse_speeds, "scaling": parse_scaling}
PARSERS |= dict.fromkeys(("concurrency", "min_workers", "max_workers"), int)
"""What parses each setting of an endpoint on the command line."""

DEFAULT = Endpoint(speeds=(34.0,))
SCENARIOS = {
    # An archive of 3,000 episodes of 40 minutes in the median, all sent at once: nobody waits, only the price counts.
    "podcast-archive": Scenario(
        Arrivals(at_start=3000), Lengths(2400, 0.5), replace(DEFAULT, max_workers=10, overhead_s=3.0), days=0.0
    ),
    # Calls of 4 minutes in the median, mostly in office hours, and once a day the 200 calls of another site at once.
    "call-centre": Scenario(
        Arrivals(120, OFFICE_HOURS, burst_size=200, bursts_per_day=1), Lengths(240, 0.8), DEFAULT, days=7
    ),
    # Instead of OpenAI's whisper-1, for voice messages: clips of 12 s in the median, and a person waits for each.
    "short-clips": Scenario(
        Arrivals(600, EVENING),
        Lengths(12, 0.7),
        replace(DEFAULT, min_workers=1, overhead_s=0.5, scaling="requests", scaling_value=4),
        days=7,
    ),
    # The same at a tenth of the load, where an active worker would be idle nearly all of the time.
    "few-short-clips": Scenario(
        Arrivals(10, EVENING), Lengths(12, 0.7), replace(DEFAULT, overhead_s=0.5, idle_timeout_s=30), days=14
    ),
}

HEADINGS = ["scenario", "requests", "audio, h", "cost", "per 10,000 h", "wait, s: median", "95%", "99%"]
HEADINGS += ["time of a request, s: median", "95%", "workers: mean", "most", "cold", "idle"]


def main() -> None:
    """Simulate the scenarios and print a table."""
    arguments = parse_arguments()
    print(f"{describe_run()}; simulated, seed {arguments.seed}\n")
    rows = []
    for name in arguments.scenarios or SCENARIOS:
        scenario = override(SCENARIOS[name], arguments)
        for difference, endpoint in varied(scenario.endpoint, arguments.vary):
            simulated = replace(scenario, endpoint=endpoint).run(arguments.seed)
            rows.append(summary_row(name + difference, simulated))
            if arguments.by_hour:
                print(f"{name}{difference}\n\n{hours_table(simulated)}\n")
    print(markdown_table(HEADINGS, rows))


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)} (default: all)")
    parser.add_argument("--per-hour", type=float, help="requests an hour, mean over the day")
    parser.add_argument("--lengths", type=Path, metavar="FILE", help="lengths of your recordings, one a line, in s")
    parser.add_argument("--days", type=float, help="simulated days")
    parser.add_argument(
        "--vary", nargs="+", default=[], metavar=("SETTING", "VALUE"), help="compare values of one setting below"
    )
    parser.add_argument("--by-hour", action="store_true", help="also print requests, workers and waits by hour of day")
    parser.add_argument("--seed", type=int, default=1, help="of the random requests (default: %(default)s)")
    settings = parser.add_argument_group(
        "settings of the endpoint", "Explained in benchmarks/endpoint.py; where not given, they are the scenario's."
    )
    for setting, parse in PARSERS.items():
        settings.add_argument(f"--{setting.replace('_', '-')}", type=parse)
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - set(SCENARIOS):
        parser.error(f"unknown scenario {', '.join(unknown)}: {', '.join(SCENARIOS)}")
    try:
        list(varied(DEFAULT, arguments.vary))
    except (KeyError, ValueError) as error:
        parser.error(f"--vary: {error}; the settings are {', '.join(PARSERS)}")
    return arguments


def override(scenario: Scenario, arguments: argparse.Namespace) -> Scenario:
    """Return the scenario with the values of the command line."""
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    settings = {name: given[name] for name in PARSERS if name in given}
    scenario = replace(scenario, endpoint=replace(scenario.endpoint, **settings), days=given.get("days", scenario.days))
    if "per_hour" in given:
        scenario = replace(scenario, arrivals=replace(scenario.arrivals, per_hour=given["per_hour"]))
    if "lengths" in given:
        listed = [float(line) for line in given["lengths"].read_text().split()]
        scenario = replace(scenario, lengths=replace(scenario.lengths, listed_s=listed))
    return scenario


def varied(endpoint: Endpoint, vary: Sequence[str]) -> Iterator[tuple[str, Endpoint]]:
    """Yield the endpoint with each value of a setting, and the difference in words; without a setting, as it is.

    Raises:
        KeyError: there is no such setting.
        ValueError: it cannot have such a value.
    """
    if not vary:
        yield "", endpoint
        return
    setting, *values = vary
    for value in values:
        parsed: Any = PARSERS[setting](value)
        yield f", {setting} {value}", replace(endpoint, **{setting: parsed})


def summary_row(title: str, simulated: Simulated) -> list[str]:
    """Return the row of a simulation under `HEADINGS`."""
    waits = percentiles([job.wait for job in simulated.jobs])
    turnarounds = percentiles([job.turnaround for job in simulated.jobs])
    idle = 1 - simulated.busy_share - simulated.starting_share
    return [
        title,
        f"{len(simulated.jobs)}",
        f"{simulated.audio_hours:.0f}",
        f"${simulated.cost:.2f}",
        f"${simulated.cost_per_10_000_hours:.0f}",
        *(f"{wait:.1f}" for wait in waits),
        *(f"{turnaround:.1f}" for turnaround in turnarounds[:2]),
        f"{simulated.paid_s / simulated.seconds:.2f}",
        f"{most_workers(simulated)}",
        f"{simulated.starting_share:.0%}",
        f"{idle:.0%}",
    ]


def percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median, and the values that 95% and 99% do not exceed."""
    if len(values) < 2:
        return (values[0],) * 3
    cuts = quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[94], cuts[98]


def most_workers(simulated: Simulated) -> int:
    """Return the largest number of workers that run at the same time."""
    changes = [(worker.started, 1) for worker in simulated.workers]
    changes += [(worker.stopped, -1) for worker in simulated.workers]
    count = most = 0
    for _, change in sorted(changes):
        count += change
        most = max(most, count)
    return most


def hours_table(simulated: Simulated) -> str:
    """Return a table of requests, running workers and waits by the hour of the day."""
    worker_s, total_s = [0.0] * 24, [0.0] * 24
    for hour, seconds in _split_by_hour(0.0, simulated.seconds):
        total_s[hour] += seconds
    for worker in simulated.workers:
        for hour, seconds in _split_by_hour(worker.started, worker.stopped):
            worker_s[hour] += seconds
    rows = []
    for hour in range(24):
        waits = [job.wait for job in simulated.jobs if int(job.arrived % DAY_S // 3600) == hour]
        median, most, _ = percentiles(waits) if waits else (0.0,) * 3
        workers = worker_s[hour] / total_s[hour] if total_s[hour] else 0.0
        rows.append([f"{hour}", f"{len(waits)}", f"{workers:.2f}", f"{median:.1f}", f"{most:.1f}"])
    return markdown_table(["hour", "requests", "workers, mean", "wait, s: median", "95%"], rows)


def _split_by_hour(start: float, end: float) -> Iterator[tuple[int, float]]:
    """Yield the hour of day and the seconds of each piece of a span."""
    while start < end:
        piece = min((start // 3600 + 1) * 3600, end) - start
        yield int(start % DAY_S // 3600), piece
        start += piece


if __name__ == "__main__":
    main()
