"""Serves OpenAI's audio API on this machine, for programs that speak it; an endpoint transcribes.

    python -m client.serve
    curl http://127.0.0.1:8080/v1/audio/transcriptions -F file=@talk.mp3 -F model=whisper-1

RunPod's key stays in this process.
"""

from __future__ import annotations

from typing import Annotated

import typer

from api.page.folders import default_folder
from client.bridge_server import (
    DEFAULT_PORT,
    KEY_VARIABLE,
    MAX_UPLOAD_BYTES,
    SERVER,
    AllowOriginFlag,
    BridgeSettings,
    HostFlag,
    MaxUploadFlag,
    NoKeyFlag,
    PageFolderFlag,
    PortFlag,
    RecordingsFlag,
    ServeKeyFlag,
    find_key,
    serve_bridge,
    show,
)
from client.command_help import GroupedCommand
from client.console import exit_on_client_error
from client.options import ParallelFlag, PayloadLimitFlag, TimeoutFlag, with_connection
from client.recording import RUN_LIMIT_BYTES, RunSettings
from client.settings import EndpointSettings

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
    host: HostFlag = "127.0.0.1",
    port: PortFlag = DEFAULT_PORT,
    recordings: RecordingsFlag = 4,
    max_upload: MaxUploadFlag = MAX_UPLOAD_BYTES,
    no_page: Annotated[bool, typer.Option("--no-page", rich_help_panel=SERVER, help="Serve no web page.")] = False,
    page_folder: PageFolderFlag = None,
    serve_key: ServeKeyFlag = None,
    no_key: NoKeyFlag = False,
    allow_origin: AllowOriginFlag = None,
    parallel: ParallelFlag = 4,
    timeout: TimeoutFlag = None,
    payload_limit: PayloadLimitFlag = RUN_LIMIT_BYTES,
) -> None:
    """Serve OpenAI's audio API on this machine, for programs that speak it, and the web page.

    Recordings go to the endpoint that RUNPOD_ENDPOINT_ID and RUNPOD_API_KEY name, or the flags under Connection. They
    can have any size and take any time.
    """
    settings = BridgeSettings(
        connection=connection,
        host=host,
        port=port,
        key=find_key(serve_key, host, none_needed=no_key),
        origins=tuple(allow_origin or ()),
        recordings=recordings,
        max_upload=max_upload,
        run=RunSettings(parallel, timeout, request_limit=payload_limit),
        page_folder=None if no_page else page_folder or default_folder("bridge"),
        needs_page=page_folder is not None,
    )
    serve_bridge(settings, lambda console, page: show(console, _announcement(settings, page)))


def _announcement(settings: BridgeSettings, page_address: str | None) -> str:
    origin = settings.origin
    header = " -H 'Authorization: Bearer YOUR-KEY'" if settings.key else ""
    page = f"\nThe page: {origin}/\n  all transcripts, by this link, once: {page_address}\n" if page_address else ""
    return f"""\
Ready: OpenAI's audio API, transcribed by {settings.target}.
  base URL  {origin}/v1
  API key   {"the one of --serve-key or " + KEY_VARIABLE if settings.key else "any text: none is asked for"}
  model     whisper-1

Try it in another terminal:
  curl {origin}/v1/audio/transcriptions{header} -F file=@talk.mp3 -F model=whisper-1
{page}
Routes and options: {origin}/docs. Ctrl-C ends it when what runs is done; a second
one cancels that."""


if __name__ == "__main__":
    app()
