"""LiteLLM's relay of Realtime sessions, behind the route that its proxy has for it, as a child process.

A process of its own, since LiteLLM keeps state for the first event loop that it meets.

    python -m tests.support.litellm_gateway PORT WORKER_URL KEY
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.clips import ROOT
from tests.support.http_worker import KEY, HttpWorker
from tests.support.servers import free_port

START_SECONDS = 120


@contextmanager
def litellm_gateway(worker: HttpWorker) -> Iterator[str]:
    """Runs the gateway in front of a worker; yields the base URL of its API."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.litellm_gateway", str(port), worker.url, KEY]
    env = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # else it asks the network as it is imported
    with subprocess.Popen(command, cwd=ROOT, env=env) as process:
        try:
            _wait_until_it_listens(process, port)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert process.poll() is None, "the gateway has ended"
            assert time.monotonic() < end, "the gateway does not listen"
            time.sleep(0.05)
        else:
            return


def _serve(port: int, worker_url: str, key: str) -> None:
    import uvicorn
    from litellm.realtime_api.main import _arealtime
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    async def relay(websocket: WebSocket) -> None:
        await websocket.accept()
        query = dict(websocket.query_params)
        model = f"openai/{query['model']}"
        await _arealtime(model=model, websocket=websocket, api_base=worker_url, api_key=key, query_params=query)

    app = Starlette(routes=[WebSocketRoute("/v1/realtime", relay)])
    uvicorn.run(app, port=port, log_level="warning")


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2], sys.argv[3])
