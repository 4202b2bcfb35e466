"""Transcribes speech while it is spoken: a microphone, a pipe, or a recording at the pace at which it plays.

    python -m client.live
    python -m client.live talk.mp3 --srt talk.srt

It needs a worker in HTTP mode, with which it speaks OpenAI's Realtime protocol.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from client.command_help import OUTPUT, GroupedCommand
from client.console import exit_on_client_error
from client.errors import OutputFailed, WrongUsage
from client.files import describe, describe_no_file
from client.invocation import command_line
from client.known_voices import KnownVoices, describe_known_voices
from client.options import QuietFlag, with_known_voices, with_server
from client.output import check_targets, write_files
from client.realtime.sources import decode, file_input, find_sounddevice, paced, pipe_input, record
from client.realtime.transcription import LiveTranscription, Source
from client.recognition import check_recording, encodable_path
from client.settings import EndpointSettings
from client.transport.answers import JsonObject

SPEECH = "Speech"
"""Group of the flags that say how it is transcribed."""

_EXAMPLES = """\b
Examples:
  {command}
      the microphone
  {command} talk.mp3 --srt talk.srt
      a recording, as if it were live
  {command} --language de --language en --txt meeting.txt
  {command} --server https://ENDPOINT-ID.api.runpod.ai

\b
A pipe, in any format with a header:
  arecord -f S16_LE -r 16000 | {command} -

\b
The worker: in HTTP mode, such as `make http` on this machine.

\b
Exit codes:
  0    done; also ended by Ctrl-C, once the last words are there
  2    wrong arguments or settings; an option that the worker refuses
  3    not a recording: empty, damaged or without sound
  5    the worker cannot be reached, or refuses; what was heard is written
  6    incomplete: some words have no final text
  7    files cannot be written
  130  a second Ctrl-C: what was heard is written, the last words unchecked"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def _file_flag(name: str, content: str) -> Any:
    return typer.Option(f"--{name}", metavar="PATH", rich_help_panel=OUTPUT, help=f"At the end, write {content}.")


@app.command(cls=GroupedCommand, epilog=_EXAMPLES)
@exit_on_client_error
@with_server
@with_known_voices
def main(
    connection: EndpointSettings,
    known_voices: KnownVoices,
    recording: Annotated[
        str | None,
        typer.Argument(metavar="[FILE|-]", help="A recording, or - for a pipe; without it, the microphone."),
    ] = None,
    speed: Annotated[
        float,
        typer.Option(min=0.1, max=100, metavar="N", help="Pace of a recording or pipe: 2 for twice real time."),
    ] = 1.0,
    language: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LANGUAGE",
            rich_help_panel=SPEECH,
            help="Spoken language, such as de; may be repeated: one of them. Default: found for each utterance.",
        ),
    ] = None,
    keyword: Annotated[
        list[str] | None,
        typer.Option(metavar="TERM", rich_help_panel=SPEECH, help="A name or term to expect; may be repeated."),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", rich_help_panel=SPEECH, help="Text in the style that is wanted.")
    ] = None,
    diarize: Annotated[bool, typer.Option("--diarize", rich_help_panel=SPEECH, help="Tell speakers apart.")] = False,
    redact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND", rich_help_panel=SPEECH, help="Replace card, iban, email, phone or ip; may be repeated."
        ),
    ] = None,
    mask: Annotated[
        list[str] | None,
        typer.Option(metavar="WORD", rich_help_panel=SPEECH, help="A word to mask, as d***; may be repeated."),
    ] = None,
    mask_style: Annotated[
        Literal["first_letter", "stars"] | None,
        typer.Option(rich_help_panel=SPEECH, help="d*** or ****. Default: first_letter."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", rich_help_panel=SPEECH, help="Default: the worker's.")
    ] = None,
    delay: Annotated[
        Literal["minimal", "low", "medium", "high", "xhigh"] | None,
        typer.Option(
            rich_help_panel=SPEECH,
            help="How early words are shown: minimal is the earliest, xhigh shows final text only. Default: low.",
        ),
    ] = None,
    srt: Annotated[Path | None, _file_flag("srt", "SubRip subtitles")] = None,
    vtt: Annotated[Path | None, _file_flag("vtt", "WebVTT subtitles")] = None,
    txt: Annotated[Path | None, _file_flag("txt", "the text")] = None,
    json: Annotated[Path | None, _file_flag("json", "text, segments and times as JSON")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", rich_help_panel=OUTPUT, help="Replace existing files.")
    ] = False,
    quiet: QuietFlag = False,
) -> None:
    """Transcribe speech while it is spoken, and print the words.

    The worker in HTTP mode is at --server or RUNPOD_BASE_URL, or is the load-balancing endpoint RUNPOD_ENDPOINT_ID;
    otherwise it is looked for on this machine, at http://localhost:8000. Ctrl-C ends it and writes the files.
    """
    targets = {
        name: path for name, path in {"srt": srt, "vtt": vtt, "text": txt, "json": json}.items() if path is not None
    }
    _check(targets, recording, overwrite=overwrite)
    speakers = known_voices.add_to({"diarize": diarize}).get("speakers")
    settings = _session_settings(
        model=model,
        languages=_split(language),
        keywords=_split(keyword),
        prompt=prompt,
        delay=delay,
        diarize=diarize or None,
        speakers=speakers,
        redact=_split(redact),
        mask=_split(mask),
        mask_style=mask_style,
    )
    if speakers and not quiet:
        note = describe_known_voices({}, {"speakers": speakers})
        Console(stderr=True).print(note, markup=False, highlight=False, soft_wrap=True)
    with _open_source(recording, speed) as source:
        live = LiveTranscription(connection, settings, source, quiet=quiet)
        try:
            asyncio.run(live.run())
        finally:
            _write(live.output, targets)


def _check(targets: dict[str, Path], recording: str | None, *, overwrite: bool) -> None:
    """Check that the files can be written, before anything is heard."""
    check_targets(targets.values(), None if recording in (None, "-") else Path(str(recording)))
    if len(set(targets.values())) < len(targets):
        raise WrongUsage("two formats would be written into the same file: give each a path of its own")
    for path in targets.values():
        if path.exists() and not overwrite:
            raise WrongUsage(f"{path} already exists: --overwrite replaces it")


def _session_settings(*, languages: Sequence[str], **options: Any) -> JsonObject:
    """Return the session as OpenAI's `session.update` has it, with the worker's own additions."""
    spoken = {"language": languages[0]} if len(languages) == 1 else {"languages": list(languages)}
    transcription = {name: value for name, value in {**spoken, **options}.items() if value}
    audio = {"format": {"type": "audio/pcm", "rate": 16_000}, "transcription": transcription}
    return {"type": "transcription", "audio": {"input": audio}}


def _split(texts: Sequence[str] | None) -> list[str]:
    return [item.strip() for text in texts or () for item in text.split(",") if item.strip()]


@contextmanager
def _open_source(recording: str | None, speed: float) -> Iterator[Source]:
    """Yield the sound.

    Raises:
        BadRecording: the file is none.
        WrongUsage: there is no such file, no pipe, or no microphone.
    """
    if recording is None:
        find_sounddevice()
        yield Source(record(), can_wait=False)
    elif recording == "-":
        if sys.stdin.isatty():
            raise WrongUsage(
                f"- reads a pipe, and there is none: `arecord -f S16_LE -r 16000 | {command_line('live')} -`"
            )
        yield Source(paced(decode(pipe_input(), "the pipe", piped=True), speed), starts_at_once=True)
    else:
        path = Path(recording)
        if not path.is_file():
            raise WrongUsage(describe_no_file(path))
        check_recording(path)
        with encodable_path(path) as readable:
            yield Source(paced(decode(file_input(readable), path.name, piped=False), speed))


def _write(output: JsonObject | None, targets: dict[str, Path]) -> None:
    """Write the files.

    Raises:
        OutputFailed: one of them cannot be written; those that can be are.
    """
    console = Console(stderr=True)
    failures = []
    for name, path in targets.items() if output else ():
        try:
            write_files(output or {}, {name: path})
            console.print(f"Wrote {path}", markup=False, highlight=False, soft_wrap=True)
        except OSError as error:
            failures.append(f"{path} cannot be written: {describe(error)}")
    if failures:
        raise OutputFailed("; ".join(failures))


if __name__ == "__main__":
    app()
