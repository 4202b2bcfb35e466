"""The sandbox of ffmpeg: its executable, the demuxers and protocols that it may use, and the limits of its process.

The file is treated as hostile. ffmpeg opens no other file, uses only demuxers of recordings (a playlist, a concat
script or a subtitle track would name further files and addresses), gets no environment, and is bounded by the kernel
where the system is Linux or another Unix: a small file can declare what takes gigabytes.
"""

from __future__ import annotations

import functools
import math
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg

# Demuxers of files that contain their media. Left out: playlists, scripts, subtitles, devices, image lists, formats
# that need a second file (imf, vobsub), and raw formats that match any bytes. `mxf` may name other files, but the
# demuxer reads no locators and opens nothing; `gsm` matches only bytes with its sign in each frame of 33. Names that a
# build lacks do no harm.
DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dss,dts,dtshd,eac3,flac,flv,gsm,iff,loas,matroska,mlp,mov,"
    "mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,ogg,qcp,rm,tak,truehd,tta,voc,w64,wav,wv"
)

MAX_ALLOC = 512 << 20
"""Bytes in one block; a day of MP4 index takes 100 MB, a forged one asks for gigabytes."""

MAX_MEMORY = 1 << 30
"""Bytes of one process that encodes no picture: decoding, probing or muxing 4K of HEVC or AV1 takes 75 MB."""

MAX_STREAMS = 100
"""Most tracks of a file; each one costs memory before anything is decoded."""

# The shell becomes ffmpeg, so that no instant passes without limits; Python could set them between fork and exec only
# where no other thread runs. A limit that is already lower stays. The kernel warns ffmpeg at the first limit of CPU
# time, and kills it at the second. When memory runs out, ffmpeg is to be killed in place of the worker.
LIMIT_SCRIPT = """
{ ulimit -c 0; ulimit -d "$1"; ulimit -f "$2"; ulimit -S -t "$3"; ulimit -H -t "$4"; } 2>/dev/null
{ echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null
unset PWD
shift 4
exec "$@"
"""
_LAST_CPU_SECONDS = 30

FFMPEG_ENVIRONMENT = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
"""Of ffmpeg: nothing, but for the one variable without which Windows starts no process."""


class FfmpegMissing(Exception):
    """There is no ffmpeg on this machine."""


@dataclass(frozen=True)
class ProcessLimits:
    """What one run of ffmpeg may take; beyond it, the kernel ends the run."""

    cpu_seconds: float
    """Of all cores together."""
    file_bytes: int
    """Of each file that it writes."""
    memory_bytes: int = MAX_MEMORY
    """Of memory that it writes to, in RAM or not; address space alone is free, of which GPUs take much."""


@functools.cache
def ffmpeg_executable() -> str:
    """Return the path of ffmpeg: the system's, else the one of the package imageio-ffmpeg.

    Raises:
        FfmpegMissing: there is neither.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise FfmpegMissing("ffmpeg is not installed: install it, or the Python package imageio-ffmpeg") from error


def sandboxed_input(source: Path, **options: Any) -> ffmpeg.nodes.FilterableStream:
    """Return `source` as an input that cannot open anything else; `options` are ffmpeg's options of the input."""
    limits = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS, "max_streams": MAX_STREAMS}
    return ffmpeg.input(f"file:{source}", **limits, **options)


def compile_command(output: ffmpeg.nodes.OutputStream, limits: ProcessLimits) -> list[str]:
    """Return the command line that writes `output` within the limits, which only Unix can set.

    Raises:
        FfmpegMissing: there is no ffmpeg.
    """
    quiet = output.global_args("-nostdin", "-hide_banner", "-max_alloc", str(MAX_ALLOC))
    command: list[str] = quiet.compile(cmd=ffmpeg_executable(), overwrite_output=True)
    if os.name != "posix":
        return command
    cpu_seconds = math.ceil(limits.cpu_seconds)
    numbers = (limits.memory_bytes // 1024, -(-limits.file_bytes // 512), cpu_seconds, cpu_seconds + _LAST_CPU_SECONDS)
    return ["/bin/sh", "-c", LIMIT_SCRIPT, "sh", *(str(number) for number in numbers), *command]


def open_process(command: list[str], folder: Path | None = None, *, piped: bool) -> subprocess.Popen[str]:
    """Start ffmpeg; the caller must read its log from `stderr`.

    Args:
        command: from `compile_command`.
        folder: the working directory; None: this process's.
        piped: if true, the caller must also read its output from `stdout`; otherwise the output is dropped.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if piped else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=FFMPEG_ENVIRONMENT,
        cwd=folder,
    )
