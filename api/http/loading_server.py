"""uvicorn around an application that is still being loaded."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from uvicorn import Config, Server
from uvicorn.lifespan.on import LifespanOn

from api.http.connections import BoundedConnection
from api.http.sockets import SOCKET_SETTINGS
from api.openai.errors import SERVER_STOPS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

KEEP_ALIVE_SECONDS = 75
"""For which an idle connection stays open: longer than proxies keep theirs, which would else meet a closed one."""

FORCED_SECONDS = 3.0
"""After a second signal: in which cancelled jobs end, and remove their files, before the process does."""

STOPPING = "stopping"
"""Key of a request's ASGI state: an event that is set when the server stops, for answers that have no other end."""

_log = logging.getLogger(__name__)


class LoadingServer(Server):
    """A server that loads its application on a thread, once it listens.

    Args:
        load: makes the application.
        health_path: answers 204 until it is loaded, 200 afterwards.
    """

    def __init__(self, load: Callable[[], ASGIApp], health_path: str) -> None:
        super().__init__(_config(self._answer, lifespan="off"))
        self._load = load
        self._health_path = health_path
        self._app: ASGIApp | None = None
        self._lifespan: LifespanOn | None = None
        self._failure: BaseException | None = None
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run_until_signal(self, sockets: list[socket.socket]) -> None:
        """Serve on listening sockets; raises what loading raises."""
        self.run(sockets)
        if self._failure is not None:
            raise self._failure
        if self.force_exit:
            sys.exit(1)
        if self._app is None:  # Python cannot end while a thread imports: extensions would abort
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer first, then load: imports would keep the first requests waiting."""
        await super().startup(sockets)
        self._loop = loop = asyncio.get_running_loop()
        self._settled = asyncio.Event()
        thread = threading.Thread(target=self._load_app, args=[loop], name="loading application", daemon=True)
        loop.call_later(0.05, thread.start)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what runs."""
        self._settled.set()
        self._stopping.set()
        if self._app is not None and self.server_state.tasks:
            _log.warning("stopping once the running requests are answered; a second signal cancels them")
        await super().shutdown(sockets)
        if self._lifespan is not None and not self.force_exit:
            await self._lifespan.shutdown()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at the first signal; at the second cancel what still runs."""
        if self.should_exit:
            self.force_exit = True
            logging.getLogger("uvicorn.error").disabled = True  # it would print the traceback of each cancelled request
            end = threading.Timer(FORCED_SECONDS, os._exit, [1])
            end.daemon = True
            end.start()
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._cancel_requests)
        self.should_exit = True

    def _cancel_requests(self) -> None:
        """Cancel what still runs: from Python 3.12 on, uvicorn would wait for its connections all the same."""
        for task in self.server_state.tasks:
            task.cancel()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals. uvicorn repeats them at the end, but a server that was told to stop has not failed."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _load_app(self, loop: asyncio.AbstractEventLoop) -> None:
        result: tuple[ASGIApp | None, BaseException | None]
        try:
            result = self._load(), None
        except BaseException as error:
            result = None, error
        with suppress(RuntimeError):  # the loop is closed: a signal came first
            asyncio.run_coroutine_threadsafe(self._settle(*result), loop)

    async def _settle(self, app: ASGIApp | None, failure: BaseException | None) -> None:
        if app is not None:
            self._lifespan = LifespanOn(_config(app, lifespan="on"))
            await self._lifespan.startup()
            if self._lifespan.should_exit:
                app, failure = None, RuntimeError("the application does not start")
        self._app, self._failure = app, failure
        self.should_exit = self.should_exit or failure is not None
        self._settled.set()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == self._health_path:
            await (_send(scope, send, 200, {"status": "ready"}) if self._app else _send(scope, send, 204))
            return
        await self._settled.wait()
        scope.setdefault("state", {})[STOPPING] = self._stopping
        if self._app is None:
            await _send(scope, send, SERVER_STOPS.status, SERVER_STOPS.body)
        else:
            await self._app(scope, receive, send)


def _config(app: ASGIApp, *, lifespan: Literal["on", "off"]) -> Config:
    return Config(
        app,
        http=BoundedConnection,
        loop="asyncio",
        **SOCKET_SETTINGS,
        lifespan=lifespan,
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


async def _send(scope: Scope, send: Send, status: int, content: dict[str, Any] | None = None) -> None:
    kind = f"{'websocket.' if scope['type'] == 'websocket' else ''}http.response"
    body = b"" if content is None else json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())] if body else []
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
