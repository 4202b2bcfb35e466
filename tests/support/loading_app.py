"""A process that serves a tiny application, loaded as slowly, or as badly, as its arguments say."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any

from api.http import connections
from api.http.server import serve


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ports", type=int, nargs="+", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--load-seconds", type=float, default=0.0)
    parser.add_argument("--fails", choices=["sentence", "bug"])
    parser.add_argument("--head-seconds", type=float, default=20.0)
    parser.add_argument("--max-connections", type=int, default=768)
    given = parser.parse_args()
    connections.HEAD_SECONDS, connections.MAX_CONNECTIONS = given.head_seconds, given.max_connections

    def load() -> Any:
        time.sleep(given.load_seconds)
        if given.fails == "sentence":
            sys.exit("it cannot start: the weights are damaged")
        if given.fails == "bug":
            raise ZeroDivisionError("a bug")
        return application

    serve(load, host=given.host, ports=given.ports, health_path="/ping", name="it")
    print("ended", flush=True)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with its path, after as many seconds as the path has digits; reads no body."""
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            print(step, flush=True)
            await send({"type": f"lifespan.{step}.complete"})
        return
    path = scope["path"].strip("/")
    print(f"begun {path}", flush=True)
    try:
        await asyncio.sleep(int(path) if path.isdigit() else 0)
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(path))]})
    await send({"type": "http.response.body", "body": path.encode()})


if __name__ == "__main__":
    main()
