"""Faults between a worker and the platform, on request or at random with a seed."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum

from aiohttp import web

BROKEN = '{"id": "broken", "input": {"au'


class Fault(Enum):
    """One way to answer wrongly; the first four are answers' codes."""

    ERROR_500 = 500
    ERROR_502 = 502
    ERROR_429 = 429
    REFUSE = 400
    BROKEN_JSON = "broken JSON"
    SLOW = "slow"
    DROP = "connection dropped"


# Only what the SDK survives: it asks again after any failed GET, but tries a POST again after a 5xx only,
# and gives up after the third.
_GETS = (Fault.ERROR_500, Fault.ERROR_502, Fault.BROKEN_JSON, Fault.SLOW, Fault.DROP)
_POSTS = (Fault.ERROR_500, Fault.ERROR_502)
_RANDOM = {
    "job-take": _GETS,
    "job-stop": _GETS,
    "ping": _POSTS,
    "job-done": _POSTS,
    "progress": _POSTS,
    "job-stream": _POSTS,
}
MAX_CONSECUTIVE_FAULTS = 2


@dataclass
class Faults:
    """The faults to come. Routes are named as in the URL ("job-take" is the batch take too), and "progress".

    `rate` is the share of the worker's requests that meet a random fault out of those that the SDK survives.
    """

    seed: int = 0
    rate: float = 0.0
    slow_seconds: float = 0.5
    injected: list[tuple[str, Fault]] = field(default_factory=list)
    _scripts: dict[str, deque[tuple[Fault, float]]] = field(default_factory=dict)
    _in_a_row: dict[tuple[str, str], int] = field(default_factory=dict)
    _dice: dict[str, random.Random] = field(default_factory=dict)

    def next(self, route: str, fault: Fault, times: int = 1, seconds: float | None = None) -> None:
        """The next `times` requests of a route meet this fault; `seconds` is how long a slow one takes."""
        entry = (fault, self.slow_seconds if seconds is None else seconds)
        self._scripts.setdefault(route, deque()).extend([entry] * times)

    def count(self, route: str) -> int:
        """The number of a route's requests that met a fault so far."""
        return sum(name == route for name, _ in self.injected)

    def draw(self, route: str, job: str) -> tuple[Fault, float] | None:
        """The fault for this request, and its seconds."""
        script = self._scripts.get(route)
        drawn = script.popleft() if script else self._random(route, job)
        if drawn:
            self.injected.append((route, drawn[0]))
        return drawn

    def _random(self, route: str, job: str) -> tuple[Fault, float] | None:
        # A row of decisions for each route: how the routes interleave differs from run to run.
        dice = self._dice.setdefault(route, random.Random(f"{self.seed}/{route}"))
        row = self._in_a_row.pop((route, job), 0)
        if route not in _RANDOM or dice.random() >= self.rate or row >= MAX_CONSECUTIVE_FAULTS:
            return None
        self._in_a_row[route, job] = row + 1
        return dice.choice(_RANDOM[route]), self.slow_seconds


async def strike(
    fault: Fault, seconds: float, request: web.Request, answer: Callable[[], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """The wrong answer. Except for a slow one, the request has no effect, so that no job is lost on its way."""
    if fault is Fault.SLOW:
        await asyncio.sleep(seconds)
        return await answer()
    if fault is Fault.DROP:
        if request.transport:
            request.transport.abort()
        return web.Response()
    if fault is Fault.BROKEN_JSON:
        return web.Response(text=BROKEN, content_type="application/json")
    return web.json_response({"error": f"injected: {fault.name}"}, status=int(fault.value))
