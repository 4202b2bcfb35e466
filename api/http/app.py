"""The HTTP API as an ASGI app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from api.http import asr_routes, docs, job_routes, metrics, openai_routes, without_live
from api.http.access import Admission
from api.http.door import Door, DoorSettings
from api.http.job_store import JobStore
from api.http.metrics import MeasureRequests
from api.http.middleware import AnswerErrors, CloseGently, GiveIds, to_response
from api.http.page_access import PREFIX, AddPageHeaders
from api.live.recognizer import LiveRecognizer
from api.openai.errors import ApiError
from api.openai.models import ModelChoice, choose_model
from api.page.settings import PageSettings
from api.transcriber import Transcriber

if TYPE_CHECKING:
    from api.page.services import PageServices

_EXPOSED_HEADERS = (
    *("x-request-id", "x-model", "x-ignored-fields", "x-warnings", "x-should-retry"),
    *("openai-processing-ms", "retry-after"),
)


def create_app(
    transcriber: Transcriber,
    settings: DoorSettings,
    health: Callable[[], dict[str, Any]] | None = None,
    page: PageSettings | None = None,
    live: LiveRecognizer | None = None,
) -> Starlette:
    """The HTTP API in front of a transcriber.

    Args:
        transcriber: runs the jobs.
        settings: of the API.
        health: what `/health` answers besides its own counts.
        page: settings of the page; None: there is none.
        live: for live transcription; None: there is none.

    Raises:
        StoreUnusable: the page's folder cannot be used, with a sentence.
    """
    door = Door(transcriber, settings, health)
    live_routes = _open_live(live, door)
    page_routes, services = _open_page(page, door)
    app = Starlette(
        routes=[
            *page_routes,
            *openai_routes.ROUTES,
            *live_routes,
            *asr_routes.ROUTES,
            *job_routes.ROUTES,
            *metrics.ROUTES,
            *docs.ROUTES,
            WebSocketRoute("/{path:path}", _refuse_websocket),
        ],
        middleware=[
            Middleware(MeasureRequests),
            Middleware(CloseGently),
            *([Middleware(AddPageHeaders)] if page else []),
            Middleware(GiveIds),
            *_cors(settings.cors_origins),
            Middleware(AnswerErrors),
            Middleware(Admission, door),
        ],
        lifespan=_run_jobs,
        exception_handlers={404: _refuse_path, 405: _refuse_method},
    )
    app.router.redirect_slashes = False  # a redirected upload is sent twice
    app.state.door = door
    app.state.jobs = JobStore()
    app.state.page = services
    return app


def _open_page(settings: PageSettings | None, door: Door) -> tuple[Sequence[BaseRoute], PageServices | None]:
    if settings is None:
        return (), None
    from api.http import page  # with numpy and more, which the API alone does not need

    return page.ROUTES, page.open_services(settings, door)


def _open_live(recognizer: LiveRecognizer | None, door: Door) -> Sequence[BaseRoute]:
    if recognizer is None:
        return without_live.ROUTES
    from api.http import realtime  # imports numpy and soxr, which nothing else in the API needs
    from api.live.sessions import LiveSessions

    async def choose(name: str) -> ModelChoice:
        return choose_model(name, await door.transcriber.models(name))

    door.live = LiveSessions(recognizer, choose, door.metrics.observe_live)
    door.metrics.watch_live_sessions(lambda: door.live.used_slots if door.live else 0)
    return [*realtime.ROUTES, *without_live.ROUTES]


@asynccontextmanager
async def _run_jobs(app: Starlette) -> AsyncIterator[None]:
    """Begin the page's jobs that the previous server had not ended; at the end of this one, end all jobs."""
    page: PageServices | None = app.state.page
    if page is not None:
        await page.start()
    yield
    if (live := app.state.door.live) is not None:
        await live.close()
    if page is not None:
        await page.close()
    await app.state.jobs.close()


class _ApiCors(CORSMiddleware):
    """CORS for all but the page, which is for itself alone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope["type"] == "http" and scope["path"].startswith(PREFIX)
        await (self.app if is_page else super().__call__)(scope, receive, send)


def _cors(origins: tuple[str, ...]) -> list[Middleware]:
    if not origins:
        return []
    return [
        Middleware(
            _ApiCors,
            allow_origins=origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=_EXPOSED_HEADERS,
        )
    ]


async def _refuse_websocket(_: WebSocket) -> NoReturn:
    raise ApiError(404, "there is no such path: live transcription is at /v1/realtime", code="not_found")


async def _refuse_path(_: Request, __: Exception) -> NoReturn:
    message = "there is no such path: send recordings to /v1/audio/transcriptions; /docs lists all paths"
    raise ApiError(404, message, code="not_found")


async def _refuse_method(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    allowed = ", ".join(sorted((error.headers or {})["Allow"].split(", ")))
    response = to_response(ApiError(405, f"this path takes {allowed}", code="method_not_allowed"))
    response.headers["allow"] = allowed
    return response
