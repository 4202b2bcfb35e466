"""Where the sound of a live transcription comes from: a file, a pipe or a microphone; 16 kHz, 16 bits, mono."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import ffmpeg

from client.errors import BadRecording, WrongUsage
from client.invocation import command_line
from client.media.ffmpeg_process import MAX_SECONDS
from client.media.tracks import choose_track, read_tracks
from client.realtime.backlog import BYTES_PER_SECOND
from media.sandbox import (
    DEMUXERS,
    FFMPEG_ENVIRONMENT,
    MAX_STREAMS,
    FfmpegMissing,
    ProcessLimits,
    compile_command,
    sandboxed_input,
)

_CHUNK_BYTES = BYTES_PER_SECOND // 10
_SAMPLE_RATE = BYTES_PER_SECOND // 2
_LOG_BYTES = 4096  # kept of ffmpeg's log


def file_input(path: Path) -> ffmpeg.nodes.FilterableStream:
    """Return the audio track of a recording that players take, as an input of ffmpeg.

    Args:
        path: a recording, which has an audio track.
    """
    return sandboxed_input(path)[f"a:{choose_track(read_tracks(path), None).number - 1}"]


def pipe_input() -> ffmpeg.nodes.FilterableStream:
    """Return the standard input as an input of ffmpeg, in any format that begins with a header."""
    # A pipe may be live: ffmpeg would look at up to 5 s before it decodes the first.
    limits = {"protocol_whitelist": "pipe", "format_whitelist": DEMUXERS, "max_streams": MAX_STREAMS}
    return ffmpeg.input("pipe:0", analyzeduration=1, **limits)["a:0"]


async def decode(source: ffmpeg.nodes.FilterableStream, name: str, *, piped: bool) -> AsyncGenerator[bytes, None]:
    """Yield the sound of an input of ffmpeg.

    Args:
        source: from `file_input` or `pipe_input`.
        name: of the source, for messages.
        piped: if true, ffmpeg reads this process's standard input.

    Raises:
        BadRecording: there is no sound in it.
        WrongUsage: there is no ffmpeg.
    """
    # async and first_pts keep the media's clock where sound begins late or has gaps.
    steady = f"aresample={_SAMPLE_RATE}:async=1:first_pts=0"
    output = ffmpeg.output(source, "pipe:1", af=steady, ac=1, ar=_SAMPLE_RATE, format="s16le", flush_packets=1)
    try:
        command = compile_command(output.global_args("-loglevel", "error"), ProcessLimits(MAX_SECONDS, 0))
    except FfmpegMissing as error:
        raise WrongUsage(str(error)) from None
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=None if piped else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=FFMPEG_ENVIRONMENT,
        start_new_session=True,  # where there are sessions: Ctrl-C is this process's business
    )
    assert process.stdout is not None
    assert process.stderr is not None
    log = asyncio.create_task(_read_log(process.stderr))
    has_sound = False
    try:
        while chunk := await _read_chunk(process.stdout):
            has_sound = True
            yield chunk
        await process.wait()
        if not has_sound:
            raise BadRecording(f"{name} has no sound that can be decoded: {_reason(await log, piped=piped)}")
    finally:
        if process.returncode is None:
            process.kill()
        await process.stdout.read()  # asyncio does not see the end of a process whose output is not read
        await process.wait()
        await log


async def _read_chunk(stream: asyncio.StreamReader) -> bytes:
    """Return the next tenth of a second, or the last sound, in whole samples."""
    try:
        return await stream.readexactly(_CHUNK_BYTES)
    except asyncio.IncompleteReadError as end:
        return end.partial[: len(end.partial) // 2 * 2]


async def _read_log(stream: asyncio.StreamReader) -> str:
    """Read all of ffmpeg's log, and return its end."""
    kept = b""
    while piece := await stream.read(_LOG_BYTES):
        kept = (kept + piece)[-_LOG_BYTES:]
    return kept.decode("utf-8", "replace")


def _reason(log: str, *, piped: bool) -> str:
    if piped and ("Invalid data" in log or not log.strip()):
        return "a pipe needs a format with a header, such as WAV (`ffmpeg ... -f wav -`)"
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it is empty"


async def paced(chunks: AsyncGenerator[bytes, None], speed: float) -> AsyncGenerator[bytes, None]:
    """Yield sound no earlier than it would be heard; what comes late is yielded at once.

    Args:
        chunks: the sound; it begins when the first chunk is asked for.
        speed: 1 for real time, 2 for twice as fast.
    """
    begun, seconds = time.monotonic(), 0.0
    async with aclosing(chunks):
        async for chunk in chunks:
            seconds += len(chunk) / BYTES_PER_SECOND
            await asyncio.sleep(begun + seconds / speed - time.monotonic())
            yield chunk


async def record() -> AsyncGenerator[bytes, None]:
    """Yield what the microphone hears, until it is unplugged.

    Raises:
        WrongUsage: there is none.
    """
    sounddevice = find_sounddevice()
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue()

    def put(chunk: bytes) -> None:
        loop.call_soon_threadsafe(chunks.put_nowait, chunk)

    try:
        with sounddevice.RawInputStream(
            samplerate=_SAMPLE_RATE,
            channels=1,
            dtype="int16",
            blocksize=_CHUNK_BYTES // 2,
            callback=lambda sound, *_: put(bytes(sound)),
            finished_callback=lambda: put(b""),
        ):
            while chunk := await chunks.get():
                yield chunk
    except sounddevice.PortAudioError as error:
        raise WrongUsage(f"the microphone cannot be used: {error.args[0]}") from None


def find_sounddevice() -> Any:
    """Return the module that records, of the package `sounddevice`.

    Raises:
        WrongUsage: it or its library is not installed.
    """
    try:
        import sounddevice
    except ImportError:
        raise _no_microphone("the package sounddevice", "pip install sounddevice") from None
    except OSError:  # it is there, but not the library that it calls
        raise _no_microphone("the library PortAudio", "sudo apt install libportaudio2") from None
    return sounddevice


def _no_microphone(missing: str, how: str) -> WrongUsage:
    return WrongUsage(
        f"the microphone needs {missing}: install it ({how}), or give a recording, or - and a pipe such as "
        f"`arecord -f S16_LE -r 16000 | {command_line('live')} -`"
    )
