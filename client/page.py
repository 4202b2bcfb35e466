"""Opens the web page, served on this machine; an endpoint transcribes.

    python -m client.page

RunPod's key stays in this process.
"""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console

from client.bridge_server import KEY_VARIABLE, SERVER, BridgeSettings, serve_bridge, show, with_server
from client.command_help import GroupedCommand
from client.console import exit_on_client_error

_EXAMPLES = """\b
Examples:
  {command}
      for the browser on this machine
  {command} --port 9000 --no-open
  {command} --host 0.0.0.0 --serve-key SECRET
      for the whole network

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
    open_browser: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open",
            show_default=False,
            rich_help_panel=SERVER,
            help="Open the page in a browser; default: from a terminal, if there is a display.",
        ),
    ] = None,
) -> None:
    """Open the web page, served on this machine: transcribe, correct, and download transcripts.

    Recordings go to the endpoint that RUNPOD_ENDPOINT_ID and RUNPOD_API_KEY name, or the flags under Connection. It is
    the server of the command `serve`, with OpenAI's audio API beside the page.
    """
    opens = has_display(os.environ) and sys.stderr.isatty() if open_browser is None else open_browser

    def on_ready(console: Console, address: str | None) -> None:
        assert address  # `needs_page`
        show(console, _announcement(settings, address))
        if opens:
            # Some browsers keep the caller waiting until they are closed.
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()

    serve_bridge(replace(settings, needs_page=True), on_ready)


def has_display(environment: Mapping[str, str], platform: str = sys.platform) -> bool:
    """True if this machine can show a window to whoever has started the command.

    Args:
        environment: the process's.
        platform: as `sys.platform`.
    """
    if platform in ("win32", "darwin"):
        return "SSH_CONNECTION" not in environment
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def _announcement(settings: BridgeSettings, address: str) -> str:
    password = f"\n  password: the key of --serve-key or {KEY_VARIABLE}" if settings.key else ""
    return f"""\
The page: {settings.origin}/{password}
  your transcripts, by a link that works once: {address}
  transcribed by {settings.target}

Ctrl-C ends it. The next start has all transcripts again, and continues those that
were not finished."""


if __name__ == "__main__":
    app()
