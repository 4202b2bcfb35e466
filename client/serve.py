"""Serves OpenAI's audio API on this machine, for programs that speak it; an endpoint transcribes.

    python -m client.serve
    curl http://127.0.0.1:8080/v1/audio/transcriptions -F file=@talk.mp3 -F model=whisper-1

RunPod's key stays in this process.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from filelock import FileLock, Timeout
from rich.console import Console

from client.command_help import GroupedCommand
from client.console import exit_on_client_error
from client.errors import WrongUsage
from client.options import ParallelFlag, PayloadLimitFlag, TimeoutFlag, with_connection
from client.recording import RUN_LIMIT_BYTES, RunSettings
from client.settings import EndpointSettings
from client.transport.endpoint import Endpoint

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from client.bridge import EndpointTranscriber

SERVER, ACCESS = "Server", "Access"
KEY_VARIABLE = "WHISPER_SERVE_KEY"
MAX_UPLOAD_BYTES = 4 << 30
UPLOAD_SECONDS = 3600.0
"""Time limit of an upload: 4 GiB take 6 minutes at 100 Mbit/s."""

_FOLDER_PREFIX, _LOCK_NAME = "worker-whisper-", "in-use"

_EXAMPLES = """\b
Examples, each after python -m:
  client.serve                           for programs on this machine
  client.serve --port 9000 --allow-origin https://notes.example.org
  client.serve --host 0.0.0.0 --serve-key SECRET   for the whole network

\b
Then, in a program that speaks OpenAI's API:
  base URL  http://127.0.0.1:8080/v1
  API key   that of --serve-key; without one, any text
  model     whisper-1

\b
Exit codes:
  0    ended by Ctrl-C or SIGTERM
  1    it cannot listen at the address, or a second signal cancelled what ran
  2    wrong arguments or settings"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(cls=GroupedCommand, epilog=_EXAMPLES)
@exit_on_client_error
@with_connection
def main(
    connection: EndpointSettings,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", rich_help_panel=SERVER, help="Address to listen at; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=1, max=65535, metavar="N", rich_help_panel=SERVER, help="Port to listen at.")
    ] = 8080,
    recordings: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", rich_help_panel=SERVER, help="Maximum number of recordings at once; others wait."
        ),
    ] = 4,
    max_upload: Annotated[
        int, typer.Option(min=1_000, metavar="BYTES", rich_help_panel=SERVER, help="Maximum size of an upload.")
    ] = MAX_UPLOAD_BYTES,
    serve_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            rich_help_panel=ACCESS,
            help=f"Key that programs must send; better set {KEY_VARIABLE}, since other users may see arguments. It is "
            "not RunPod's.",
        ),
    ] = None,
    no_key: Annotated[
        bool,
        typer.Option(
            "--no-key", rich_help_panel=ACCESS, help="Ask for no key, although others than this machine can connect."
        ),
    ] = False,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            rich_help_panel=ACCESS,
            help="A web site whose pages may use this server, such as https://notes.example.org; may be repeated.",
        ),
    ] = None,
    parallel: ParallelFlag = 4,
    timeout: TimeoutFlag = None,
    payload_limit: PayloadLimitFlag = RUN_LIMIT_BYTES,
) -> None:
    """Serve OpenAI's audio API on this machine, for programs that speak it.

    Recordings go to the endpoint that RUNPOD_ENDPOINT_ID and RUNPOD_API_KEY name, or the flags under Connection. They
    can have any size and take any time.
    """
    key = (serve_key or os.environ.get(KEY_VARIABLE, "")).strip()
    if not key and not no_key and not _is_loopback(host):
        raise WrongUsage(
            f"at {host} others could use your endpoint: give a key that programs must send, with --serve-key or "
            f"{KEY_VARIABLE}, or --no-key if everybody who can connect may use it"
        )
    console = Console(stderr=True)
    endpoint = Endpoint(connection, on_retry=lambda reason: _print(console, reason))
    settings = RunSettings(parallel, timeout, request_limit=payload_limit)
    with _own_folder() as folder:
        bridge: EndpointTranscriber | None = None

        def load() -> ASGIApp:
            # The server's packages, which no other command needs.
            from api.http.app import create_app
            from api.http.door import DoorSettings
            from client.bridge import EndpointTranscriber

            nonlocal bridge
            bridge = EndpointTranscriber(endpoint, settings, folder, recordings=recordings)
            access = frozenset({key} if key else ())
            door = DoorSettings(access, tuple(allow_origin or ()), max_upload, UPLOAD_SECONDS)
            application = create_app(bridge, door)
            application.state.door.folder = folder
            _print(console, _announcement(connection, host, port, has_key=bool(key)))
            return application

        from api.http.server import serve

        try:
            serve(load, host=host, ports=[port], name="the bridge")
        finally:
            if bridge is not None:
                bridge.close()


@contextmanager
def _own_folder() -> Iterator[Path]:
    """A folder for recordings, for the time of the block; those that killed bridges have left are removed."""
    with tempfile.TemporaryDirectory(prefix=_FOLDER_PREFIX) as name:
        folder = Path(name)
        with FileLock(folder / _LOCK_NAME):
            for other in folder.parent.glob(f"{_FOLDER_PREFIX}*"):
                with suppress(OSError, Timeout):
                    if other.lstat().st_uid == folder.lstat().st_uid and (other / _LOCK_NAME).is_file():
                        with FileLock(other / _LOCK_NAME, timeout=0):
                            shutil.rmtree(other, ignore_errors=True)
            yield folder


def _announcement(connection: EndpointSettings, host: str, port: int, *, has_key: bool) -> str:
    address = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    target = "the worker at --base-url" if connection.is_single_worker else f"endpoint {connection.endpoint_id}"
    header = " -H 'Authorization: Bearer YOUR-KEY'" if has_key else ""
    return f"""\
Ready: OpenAI's audio API, transcribed by {target}.
  base URL  http://{address}:{port}/v1
  API key   {"the one of --serve-key or " + KEY_VARIABLE if has_key else "any text: none is asked for"}
  model     whisper-1

Try it in another terminal:
  curl http://{address}:{port}/v1/audio/transcriptions{header} -F file=@talk.mp3 -F model=whisper-1

Routes and options: http://{address}:{port}/docs. Ctrl-C ends it when what runs is done; a second
one cancels that."""


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    app()
