"""The command `worker-whisper`, with a subcommand for each thing that the client does.

    worker-whisper transcribe talk.mp3
    python -m client transcribe talk.mp3     # the same in a checkout

Only the module of the subcommand that runs is imported.
"""

from __future__ import annotations

import importlib
import signal
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from client.command_help import CommandGroup
from client.version import client_version

COMMANDS = {
    "transcribe": "Transcribe a recording: a file of any size, or a URL.",
    "batch": "Transcribe a folder of recordings.",
    "voices": "Keep known voices, to be named in transcripts.",
    "live": "Transcribe a microphone or a pipe, word by word.",
    "page": "Open the web page: transcribe, correct, export.",
    "serve": "Serve OpenAI's audio API on this machine.",
}
"""The subcommands, which are modules of this package, and their help."""

_EPILOG = """\b
Examples:
  {command} transcribe talk.mp3
  {command} batch ./audio ./transcripts --format srt
  {command} page

\b
The worker is an endpoint of RunPod:
  export RUNPOD_ENDPOINT_ID=... RUNPOD_API_KEY=...
or on this machine:
  export RUNPOD_BASE_URL=http://localhost:8000

\b
All flags of a command, with examples:
  {command} transcribe --help"""


class LazyCommand(TyperCommand):
    """A subcommand whose module is imported when it is used."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Return the context of the module's command."""
        module = importlib.import_module(f"{__package__}.{self.name}")
        return typer.main.get_command(module.app).make_context(info_name, args, parent, **extra)


app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"worker-whisper {client_version()}")
        raise typer.Exit


@app.callback(cls=CommandGroup, epilog=_EPILOG, no_args_is_help=True)
def _main(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    """Turn speech into text with worker-whisper: OpenAI's Whisper on RunPod, or on a machine of your own."""


def create_command() -> Any:
    """Return the command line, with all subcommands."""
    command = typer.main.get_command(app)
    assert isinstance(command, CommandGroup)
    for name, text in COMMANDS.items():
        command.add_command(LazyCommand(name, help=text))
    return command


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    create_command()()


if __name__ == "__main__":
    main()
