"""Keeps known voices, which are named in later transcripts.

python -m client.voices add Ada ada.wav
python -m client.transcribe talk.mp3 --diarize
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from client.command_help import EXIT_CODES, CommandGroup, GroupedCommand
from client.console import ProgressBar, exit_on_client_error, printable
from client.job_request import RUN_LIMIT_BYTES, RunSettings
from client.known_voices import VoiceFolder, clean_name, voices_folder
from client.options import PayloadLimitFlag, QuietFlag, TimeoutFlag, VoicesFlag, with_connection
from client.output import fetch_transcription
from client.recording import find_recording, transcribe_recording
from client.settings import EndpointSettings
from client.transport.endpoint import Endpoint
from client.transport.fanout import ProgressListener
from client.voice_samples import KeptVoice, keep_voice

_JOB_OPTIONS = {"diarize": True, "speaker_embeddings": True, "output_format": ["json"]}

_EXAMPLES = """\b
Examples:
  {command} add Ada ada.wav
      keeps the voice in ada.wav, in which Ada speaks alone
  {command} list
  {command} rename Ada "Ada Lovelace"
  {command} remove Ada

\b
Every later transcript with --diarize names the voices that are kept. They are
files in ~/.local/share/worker-whisper/voices, or in WORKER_WHISPER_VOICES.
What identifies a voice is biometric data: ask before you keep it."""

_ADD_EXAMPLES = """\b
Examples:
  {command} Ada ada.wav
  {command} Ada call.wav
      adds a second sample, such as from a telephone
  {command} Ada new.wav --replace
      forgets the earlier samples"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback(cls=CommandGroup, epilog=_EXAMPLES)
def _main() -> None:
    """Keep known voices, which are named in later transcripts."""


@app.command(cls=GroupedCommand, epilog=f"{_ADD_EXAMPLES}\n\n{EXIT_CODES}")
@exit_on_client_error
@with_connection
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the person, as transcripts are to have it.")],
    source: Annotated[
        str,
        typer.Argument(metavar="FILE|URL", help="A recording of this person alone, best of 10 s or more."),
    ],
    connection: EndpointSettings,
    replaces: Annotated[bool, typer.Option("--replace", help="Forget earlier samples of the voice.")] = False,
    voices: VoicesFlag = None,
    timeout: TimeoutFlag = None,
    payload_limit: PayloadLimitFlag = RUN_LIMIT_BYTES,
    quiet: QuietFlag = False,
) -> None:
    """Keep a voice, by a recording of it, which is sent to the endpoint.

    A name that is known already gets one more sample.
    """
    name = clean_name(name)
    folder = VoiceFolder(voices_folder(voices))
    folder.check_writable()
    folder.load_all()  # a damaged one is reported before the job
    recording = find_recording(source)
    kept: list[KeptVoice] = []

    def keep(output: dict[str, Any]) -> None:
        transcription = output.get("transcription") or fetch_transcription(output)
        kept.append(keep_voice(folder, name, transcription, replaces=replaces))

    with ProgressBar(Console(stderr=True), Path(source).name, quiet=quiet) as bar:
        transcribe_recording(
            Endpoint(connection, on_retry=bar.print),
            recording,
            dict(_JOB_OPTIONS),
            RunSettings(timeout_s=timeout, request_limit=payload_limit),
            stop=threading.Event(),
            listener=ProgressListener(bar.update),
            deliver=keep,
        )
        for voice in kept:
            for note in voice.notes:
                bar.print(f"Note: {note}")
            bar.print(voice.message)


@app.command("list", cls=GroupedCommand)
@exit_on_client_error
def list_voices(voices: VoicesFlag = None) -> None:
    """List the voices that are kept."""
    folder = VoiceFolder(voices_folder(voices))
    known = folder.load_all()
    if not known:
        Console(stderr=True).print(
            f"There are no voices in {printable(str(folder.path))}.", markup=False, highlight=False, soft_wrap=True
        )
        return
    table = Table("voice", "samples", "speech", "last added", "model")
    for voice in known:
        last = max(sample.added for sample in voice.samples)
        facts = (str(len(voice.samples)), f"{voice.seconds:.0f} s", printable(last), printable(voice.model or "-"))
        table.add_row(printable(voice.name), *facts)
    Console().print(table, markup=False)


@app.command(cls=GroupedCommand)
@exit_on_client_error
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the voice.")], voices: VoicesFlag = None
) -> None:
    """Remove a voice: later transcripts do not name it."""
    folder = VoiceFolder(voices_folder(voices))
    with folder.locked():
        folder.remove(name)
    _show(f"Removed {clean_name(name)}")


@app.command(cls=GroupedCommand)
@exit_on_client_error
def rename(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the voice.")],
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", help="Its new name.")],
    voices: VoicesFlag = None,
) -> None:
    """Give a voice another name, which later transcripts have."""
    folder = VoiceFolder(voices_folder(voices))
    with folder.locked():
        voice = folder.rename(name, new_name)
    _show(f"Renamed to {voice.name}")


def _show(message: str) -> None:
    Console(stderr=True).print(printable(message), markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
