"""Keeps known voices, which are named in later transcripts.

python -m client.voices add Ada ada.wav
python -m client.transcribe talk.mp3 --diarize
"""

from __future__ import annotations

import datetime
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from client.command_help import EXIT_CODES, CommandGroup, GroupedCommand
from client.console import ProgressBar, exit_on_client_error, printable
from client.errors import BadAnswer, BadRecording
from client.known_voices import (
    EMBEDDING_SIZE,
    Voice,
    VoiceFolder,
    VoiceSample,
    clean_name,
    find_similar,
    is_embedding,
    is_same_name,
    voices_folder,
)
from client.options import PayloadLimitFlag, QuietFlag, TimeoutFlag, VoicesFlag, with_connection
from client.output import fetch_transcription
from client.recording import RUN_LIMIT_BYTES, RunSettings, find_recording, transcribe_recording
from client.settings import EndpointSettings
from client.transport.answers import is_number
from client.transport.endpoint import Endpoint
from client.transport.fanout import ProgressListener

ENOUGH_SPEECH_S = 5.0
"""Seconds of speech below which an embedding is uncertain: samples of 2 s are recognised, but narrowly."""

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
    notes: list[str] = []

    def keep(output: dict[str, Any]) -> None:
        notes.extend(_keep_voice(folder, name, output, replaces=replaces))

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
        for note in notes:
            bar.print(note)


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


def _keep_voice(folder: VoiceFolder, name: str, output: dict[str, Any], *, replaces: bool) -> list[str]:
    """Keep the voice of a job's output, and return what is to be said about it.

    Raises:
        BadRecording: nobody speaks.
        BadAnswer: the output has no embedding.
        OutputFailed: it cannot be written.
    """
    model, sample, notes = read_sample(output)
    with folder.locked():
        known = None if replaces else folder.find(name)
        others = [voice for voice in folder.load_all() if not is_same_name(voice.name, name)]
        if known is not None and known.model != model:
            notes.append(f"Note: the earlier samples of {known.name} are forgotten: they were made with another model")
            known = None
        if known is not None and find_similar(sample, model, [known]) is None:
            notes.append(f"Note: this does not sound like the earlier samples of {known.name}: check the recording")
        if other := find_similar(sample, model, others):
            notes.append(f"Note: this sounds like {other.name}, who is known already")
        voice = Voice(name, model, (sample,)) if known is None else replace(known, name=name).with_sample(sample)
        folder.save(voice)
    count = f", with {len(voice.samples)} samples" if len(voice.samples) > 1 else ""
    return [*notes, f"Kept the voice of {voice.name}: {sample.seconds:.0f} s of speech{count}"]


def read_sample(output: dict[str, Any]) -> tuple[str | None, VoiceSample, list[str]]:
    """Return the model and the embedding of the voice in a job's output, and notes on what seems wrong with it.

    Raises:
        BadRecording: nobody speaks.
        BadAnswer: the output has no embedding.
    """
    transcription = output.get("transcription") or fetch_transcription(output)
    speakers = transcription.get("speakers")
    if speakers == []:
        raise BadRecording("nobody speaks in the recording: give one in which the person speaks for some seconds")
    if not speakers or not all(is_number(speaker.get("seconds")) for speaker in speakers):
        raise BadAnswer("the answer has no speakers: check that the endpoint runs this version of worker-whisper")
    first, *others = sorted(speakers, key=lambda speaker: -float(speaker["seconds"]))
    if not is_embedding(first.get("embedding")):
        raise BadAnswer(f"the answer has no embedding of {EMBEDDING_SIZE} numbers: update the client or the endpoint")
    model, seconds = first.get("embedding_model"), float(first["seconds"])
    notes = []
    if others:
        rest = sum(float(speaker["seconds"]) for speaker in others)
        notes.append(
            f"Note: there seem to be {len(speakers)} voices: the one that speaks most, {seconds:.0f} s, is kept, and "
            f"the others, {rest:.0f} s, are not; better give a recording of one person"
        )
    if seconds < ENOUGH_SPEECH_S:
        notes.append(f"Note: {seconds:.1f} s of speech are little to know a voice by: 10 s or more are better")
    today = datetime.date.today().isoformat()
    sample = VoiceSample(tuple(first["embedding"]), seconds, today)
    return model if isinstance(model, str) else None, sample, notes


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
