"""A process that serves a tiny application, loaded as slowly, or as badly, as its arguments say."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any

from api.http import connections, server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ports", type=int, nargs="+", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--load-seconds", type=float, default=0.0)
    parser.add_argument("--fails", choices=["sentence", "bug"])
    parser.add_argument("--head-seconds", type=float, default=20.0)
    parser.add_argument("--max-connections", type=int, default=768)
    parser.add_argument("--unread-seconds", type=float, default=60.0)
    given = parser.parse_args()
    connections.HEAD_SECONDS, connections.MAX_CONNECTIONS = given.head_seconds, given.max_connections
    server.UNREAD_SECONDS = given.unread_seconds

    def load() -> Any:
        time.sleep(given.load_seconds)
        if given.fails == "sentence":
            sys.exit("it cannot start: the weights are damaged")
        if given.fails == "bug":
            raise ZeroDivisionError("a bug")
        return application

    server.serve(load, host=given.host, ports=given.ports, health_path="/ping", name="it")
    print("ended", flush=True)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with its path, after as many seconds as it says, or with 64 MB; reads no body."""
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            print(step, flush=True)
            await send({"type": f"lifespan.{step}.complete"})
        return
    path = scope["path"].strip("/")
    print(f"begun {path}", flush=True)
    scope["state"][connections.ADMITTED] = (b"x-admit", b"1") in scope["headers"]
    try:
        await asyncio.sleep(int(path) if path.isdigit() else 0)
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise
    body = bytes(64_000_000) if path == "large" else path.encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    main()
