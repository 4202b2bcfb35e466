"""Serves OpenAI's audio API on this machine, for programs that speak it; an endpoint transcribes.

    python -m client.serve
    curl http://127.0.0.1:8080/v1/audio/transcriptions -F file=@talk.mp3 -F model=whisper-1

RunPod's key stays in this process.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from client.bridge_server import ACCESS, KEY_VARIABLE, SERVER, BridgeSettings, serve_bridge, show, with_server
from client.command_help import GroupedCommand
from client.console import exit_on_client_error

_EXAMPLES = """\b
Examples:
  {command}
      for programs on this machine
  {command} --port 9000 --allow-origin https://notes.example.org
  {command} --host 0.0.0.0 --serve-key SECRET
      for the whole network

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
@with_server
def main(
    settings: BridgeSettings,
    no_page: Annotated[bool, typer.Option("--no-page", rich_help_panel=SERVER, help="Serve no web page.")] = False,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            rich_help_panel=ACCESS,
            help="A web site whose pages may use the API, such as https://notes.example.org; may be repeated.",
        ),
    ] = None,
) -> None:
    """Serve OpenAI's audio API on this machine, for programs that speak it, and the web page.

    Recordings go to the endpoint that RUNPOD_ENDPOINT_ID and RUNPOD_API_KEY name, or the flags under Connection. They
    can have any size and take any time.
    """
    page_folder = None if no_page else settings.page_folder
    settings = replace(settings, origins=tuple(allow_origin or ()), page_folder=page_folder)
    serve_bridge(settings, lambda console, page: show(console, _announcement(settings, page)))


def _announcement(settings: BridgeSettings, page_address: str | None) -> str:
    origin = settings.origin
    header = " -H 'Authorization: Bearer YOUR-KEY'" if settings.key else ""
    link = f"  your transcripts, by a link that works once: {page_address}\n"
    page = f"\nThe page: {origin}/\n{link}" if page_address else ""
    return f"""\
Ready: OpenAI's audio API, transcribed by {settings.target}.
  base URL  {origin}/v1
  API key   {"the one of --serve-key or " + KEY_VARIABLE if settings.key else "any text; none is needed"}
  model     whisper-1

Try it in another terminal:
  curl {origin}/v1/audio/transcriptions{header} -F file=@talk.mp3 -F model=whisper-1
{page}
Routes and options: {origin}/docs. Ctrl-C ends it once the running requests
are answered; a second one cancels them."""


if __name__ == "__main__":
    app()
