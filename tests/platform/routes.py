"""The platform's HTTP routes: the worker's side and the callers' side of one endpoint."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.platform.faults import Faults, strike
from tests.platform.jobs import Queue, WrongRequest, within
from tests.platform.records import RUN_LIMIT, RUNSYNC_LIMIT, Job

ENDPOINT = "ep"
PREFIX = f"/v2/{ENDPOINT}"
LARGEST_BODY = 256 * 1024 * 1024
RUNSYNC_WAIT = 90_000
PROGRESS = b'{"status": "IN_PROGRESS"'

Handler = Any


class Routes:
    """Answers requests out of the queue. Times in seconds; `hold` is how long an empty poll stays open."""

    def __init__(self, queue: Queue, faults: Faults, api_key: str, worker_key: str, hold: float) -> None:
        self._queue = queue
        self._faults = faults
        self._api_key = api_key
        self._worker_key = worker_key
        self._hold = hold

    def application(self) -> web.Application:
        application = web.Application(
            client_max_size=LARGEST_BODY, middlewares=[self._clear_errors, self._authorize, self._strike]
        )
        application.add_routes([*self._worker_side(), *self._public_side()])
        return application

    def _worker_side(self) -> list[web.RouteDef]:
        return [
            web.get(f"{PREFIX}/job-take/{{worker}}", self.take),
            web.get(f"{PREFIX}/job-take-batch/{{worker}}", self.take_batch),
            web.get(f"{PREFIX}/job-stop/{{worker}}", self.stop),
            web.get(f"{PREFIX}/ping/{{worker}}", self.ping),
            web.post(f"{PREFIX}/job-done/{{worker}}/{{job}}", self.done),
            web.post(f"{PREFIX}/job-stream/{{worker}}/{{job}}", self.chunk),
        ]

    def _public_side(self) -> list[web.RouteDef]:
        return [
            web.post(f"{PREFIX}/run", self.run),
            web.post(f"{PREFIX}/runsync", self.runsync),
            web.get(f"{PREFIX}/status/{{job}}", self.status),
            web.post(f"{PREFIX}/status/{{job}}", self.status),
            web.get(f"{PREFIX}/stream/{{job}}", self.stream),
            web.post(f"{PREFIX}/stream/{{job}}", self.stream),
            web.post(f"{PREFIX}/cancel/{{job}}", self.cancel),
            web.post(f"{PREFIX}/retry/{{job}}", self.retry),
            web.post(f"{PREFIX}/purge-queue", self.purge),
            web.get(f"{PREFIX}/health", self.health),
        ]

    # --- the worker's side

    async def take(self, request: web.Request) -> web.Response:
        jobs = await self._queue.take(request.match_info["worker"], 1, self._hold)
        return web.json_response(jobs[0].for_worker()) if jobs else web.Response(status=204)

    async def take_batch(self, request: web.Request) -> web.Response:
        most = int(request.query.get("batch_size", "1"))
        jobs = await self._queue.take(request.match_info["worker"], most, self._hold)
        return web.json_response([job.for_worker() for job in jobs]) if jobs else web.Response(status=204)

    async def stop(self, request: web.Request) -> web.Response:
        jobs = await self._queue.stops(request.match_info["worker"], self._hold)
        return web.json_response({"jobsToStop": jobs}) if jobs else web.Response(status=204)

    async def ping(self, request: web.Request) -> web.Response:
        self._queue.ping(request.match_info["worker"], dict(request.query))
        return web.json_response({})

    async def done(self, request: web.Request) -> web.Response:
        job, body, size = await self._posted(request)
        if body.get("status") == "IN_PROGRESS":
            self._queue.report(job, body.get("output"), size)
        elif not self._queue.result(job, request.match_info["worker"], body, size):
            return _error(400, f"the result has {size} bytes, the limit is {job.limit}")
        return web.json_response({})

    async def chunk(self, request: web.Request) -> web.Response:
        job, body, size = await self._posted(request)
        self._queue.chunk(job, body.get("output"), size)
        return web.json_response({})

    async def _posted(self, request: web.Request) -> tuple[Job, dict[str, Any], int]:
        """The job that a worker posts about, what it says, and the size of that."""
        raw = await request.read()
        if request.match_info["job"] not in self._queue.jobs:
            self._queue.strays.append((request.path, raw[:1000].decode(errors="replace")))
        job = self._job(request)
        try:
            body = strict_json(raw)
            if not isinstance(body, dict):
                raise WrongRequest("the body has to be a JSON object")
        except WrongRequest as error:
            self._queue.refuse(job, str(error))
            raise
        return job, body, len(raw)

    # --- the callers' side

    async def run(self, request: web.Request) -> web.Response:
        job = self._queue.submit(await _submission(request, RUN_LIMIT), sync=False)
        return web.json_response({"id": job.id, "status": "IN_QUEUE"})

    async def runsync(self, request: web.Request) -> web.Response:
        wait = float(request.query.get("wait", RUNSYNC_WAIT)) / 1000
        job = self._queue.submit(await _submission(request, RUNSYNC_LIMIT), sync=True)
        # Not finished in time: the job goes on, and the caller asks /status.
        await within(job.over, wait)
        return web.json_response(job.as_status())

    async def status(self, request: web.Request) -> web.Response:
        return web.json_response(self._job(request).as_status())

    async def stream(self, request: web.Request) -> web.Response:
        job = self._job(request)
        chunks = [{"output": output} for output in job.undelivered]
        job.undelivered.clear()
        return web.json_response({"status": job.status, "stream": chunks})

    async def cancel(self, request: web.Request) -> web.Response:
        job = self._job(request)
        self._queue.cancel(job)
        return web.json_response({"id": job.id, "status": job.status})

    async def retry(self, request: web.Request) -> web.Response:
        job = self._job(request)
        self._queue.retry(job)
        return web.json_response({"id": job.id, "status": job.status})

    async def purge(self, request: web.Request) -> web.Response:
        return web.json_response({"removed": self._queue.purge(), "status": "completed"})

    async def health(self, request: web.Request) -> web.Response:
        return web.json_response(self._queue.health())

    def _job(self, request: web.Request) -> Job:
        try:
            return self._queue.jobs[request.match_info["job"]]
        except KeyError:
            raise NoSuchJob("no such job; results are kept for a while only") from None

    # --- around all routes

    @web.middleware
    async def _clear_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await _answered(handler, request)
        except NoSuchJob as error:
            return _error(404, str(error))
        except TooLarge as error:
            return _error(413, str(error))
        except WrongRequest as error:
            return _error(400, str(error))
        except web.HTTPException as error:
            return _error(error.status, error.reason)

    @web.middleware
    async def _authorize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        of_worker = _route(request).startswith(("job-", "ping"))
        wanted = self._worker_key if of_worker else f"Bearer {self._api_key}"
        if request.headers.get("Authorization") != wanted:
            return _error(401, "the Authorization header is missing or wrong")
        return await _answered(handler, request)

    @web.middleware
    async def _strike(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = self._faults.draw(await _kind(request), request.match_info.get("job", ""))
        if fault is None:
            return await _answered(handler, request)
        return await strike(*fault, request, lambda: _answered(handler, request))


class NoSuchJob(WrongRequest):
    pass


class TooLarge(WrongRequest):
    pass


def strict_json(raw: bytes) -> Any:
    """JSON as the standard has it: no NaN, no Infinity."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(raw, parse_constant=refuse)
    except ValueError as error:
        raise WrongRequest(f"not JSON: {error}") from error


async def _submission(request: web.Request, limit: int) -> Any:
    raw = await request.read()
    if len(raw) > limit:
        raise TooLarge(f"the request has {len(raw)} bytes, the limit is {limit}")
    return strict_json(raw)


async def _answered(handler: Handler, request: web.Request) -> web.StreamResponse:
    response: web.StreamResponse = await handler(request)
    return response


def _route(request: web.Request) -> str:
    """The route's name as it stands in the URL."""
    return request.path.removeprefix(PREFIX).strip("/").split("/")[0]


async def _kind(request: web.Request) -> str:
    """The route's name for the faults: progress reports and results come to the same URL."""
    route = _route(request)
    if route == "job-done" and (await request.read()).startswith(PROGRESS):
        return "progress"
    return "job-take" if route == "job-take-batch" else route


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
