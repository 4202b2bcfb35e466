"""ffmpeg as every part of the worker runs it: which one, on what it may look at, and to its end or ours.

The file is hostile until proven otherwise. ffmpeg opens nothing but that file, only through demuxers of
recordings (a playlist, a concat script or a subtitle track would name further files and addresses), with
an empty environment.
"""

import functools
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import IO, Any

import ffmpeg

from src.errors import WorkerError
from src.job_control import JobControl

# Demuxers that hold media themselves. Kept out: playlists, scripts, subtitles, devices, image lists, whatever
# needs a second file (mxf, imf, vobsub), and raw formats that match any bytes. Names missing in a build do no harm.
_DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dss,dts,dtshd,eac3,flac,flv,iff,loas,matroska,mlp,mov,"
    "mp3,mpc,mpc8,mpeg,mpegts,nistsphere,ogg,qcp,rm,tak,truehd,tta,voc,w64,wav,wv"
)

_MAX_ALLOC = 512 << 20  # bytes in one block; a day of MP4 index takes 100 MB, a forged one asks for gigabytes


@functools.cache
def ffmpeg_executable() -> str:
    """The ffmpeg that every part of the worker runs: the system's, else the one that imageio-ffmpeg brings.

    Raises WorkerError when there is neither.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise WorkerError("ffmpeg is not installed: install it, or the Python package imageio-ffmpeg") from error


def recording(source: Path, **options: Any) -> ffmpeg.nodes.FilterableStream:
    """`source` as an input of ffmpeg's; `options` are those of the input."""
    return ffmpeg.input(f"file:{source}", protocol_whitelist="file", format_whitelist=_DEMUXERS, **options)


def compile_command(output: ffmpeg.nodes.OutputStream) -> list[str]:
    """The command line that makes `output`."""
    limited = output.global_args("-nostdin", "-hide_banner", "-max_alloc", str(_MAX_ALLOC))
    command: list[str] = limited.compile(cmd=ffmpeg_executable(), overwrite_output=True)
    return command


@contextmanager
def running(
    command: list[str], read_log: Callable[[IO[str]], None], control: JobControl, folder: Path | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """ffmpeg at work; the end of the block, or of the job, kills it. Its log has then been read to its end.

    Args:
        read_log: takes in the log, on a thread of its own; it must not keep more than a bounded part of it.
        folder: where ffmpeg runs.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={},
        cwd=folder,
    ) as process:
        assert process.stderr is not None
        reader = Thread(target=read_log, args=(process.stderr,), daemon=True)
        reader.start()
        try:
            with control.on_cancel(process.kill):
                yield process
        finally:
            process.kill()
            reader.join()


def read_log_lines(log: IO[str]) -> Iterator[str]:
    """The lines of a log up to its end; long ones come in pieces, so that memory stays bounded."""
    while line := log.readline(4096):
        yield line


def parse_clock(found: "re.Match[str]") -> float:
    """ffmpeg's `hours:minutes:seconds`, the first three groups, as seconds."""
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
