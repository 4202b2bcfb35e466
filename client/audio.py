"""Any local recording -> its sound alone, small: Opus, and how loud it is when; then parts of it, without a loss.

The recording is decoded once. Parts are made of Opus' packets as they are, 20 ms each, so that their times are exact;
a decoder takes 80 ms to tune in, which at a silence nobody hears.
"""

from __future__ import annotations

import csv
import functools
import math
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ffmpeg

from client.errors import BadRecording, WrongUsage

BITRATE = 32_000
"""Bits per second of one channel, mixed or alone; twice that for more."""

FRAME = 0.04
"""Seconds that one level stands for."""

_RATE = 16_000  # samples per second: what Whisper listens to
_SILENT = -120.0  # dB, in place of -inf


@dataclass(frozen=True)
class Part:
    """A stretch of a recording, in seconds from its start, as an Opus file."""

    path: Path
    start: float
    end: float


@dataclass(frozen=True)
class Sound:
    """The first audio track of a recording."""

    path: Path
    levels: list[float]
    """Loudness in dB of each `FRAME`."""

    @property
    def seconds(self) -> float:
        return len(self.levels) * FRAME

    @property
    def bytes_per_second(self) -> float:
        return self.path.stat().st_size / self.seconds


@functools.cache
def ffmpeg_executable() -> str:
    """The system's ffmpeg, else the one that imageio-ffmpeg brings.

    Raises:
        WrongUsage: there is neither.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise WrongUsage("ffmpeg is not installed: install it, or the Python package imageio-ffmpeg") from None


def compress(source: Path, folder: Path, *, mono: bool = True) -> Sound:
    """The first audio track of `source` as Opus, in a file in `folder`.

    Args:
        mono: all channels in one; else as many as there are.

    Raises:
        BadRecording: it is no recording, has no sound, or is cut off: the worker, which refuses such a file, would not
            see that of what comes out here.
    """
    _refuse_short_riff(source)
    sound = folder / "sound.ogg"
    # async, first_pts: what starts late or has gaps keeps the media's own clock, as in the worker.
    filters = [
        f"aresample={_RATE}:async=1:first_pts=0",
        f"asetnsamples={round(_RATE * FRAME)}:p=0",
        "astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=RMS_level",
        "ametadata=print:key=lavfi.astats.Overall.RMS_level:file=-",
    ]
    mixed = ["aformat=channel_layouts=mono"] if mono else []
    media = ffmpeg.input(f"file:{source}", protocol_whitelist="file")["a:0"]
    output = ffmpeg.output(
        media,
        f"file:{sound}",
        af=",".join([*mixed, *filters]),
        acodec="libopus",
        audio_bitrate=BITRATE if mono else 2 * BITRATE,
        vbr="constrained",
    )
    done = _run(output, source)
    made = Sound(sound, [_decibels(value) for value in re.findall(r"RMS_level=(\S+)", done.stdout)])
    if not made.levels:
        raise BadRecording(f"{source.name} has no sound")
    if _falls_short(done.stderr, made.seconds):
        raise BadRecording(f"{source.name} is cut off: only its first {made.seconds:.0f} s are there")
    return made


def cut(sound: Sound, seams: Sequence[float], folder: Path) -> list[Part]:
    """The parts between the seams (seconds, in order), as files in `folder`, at the nearest packets."""
    if not seams:
        return [Part(sound.path, 0.0, sound.seconds)]
    listed = folder / "parts.csv"
    output = ffmpeg.output(
        ffmpeg.input(f"file:{sound.path}"),
        f"file:{folder}/part-%04d.ogg",
        c="copy",
        f="segment",
        segment_format="ogg",
        segment_times=",".join(f"{seam:.3f}" for seam in seams),
        segment_list=f"file:{listed}",
        segment_list_type="csv",
        reset_timestamps=1,
    )
    _run(output, sound.path)
    with listed.open(newline="") as rows:
        return [Part(folder / name, float(start), float(end)) for name, start, end in csv.reader(rows)]


def _refuse_short_riff(source: Path) -> None:
    """A WAV or AVI shorter than its header says, which ffmpeg corrects silently (as in `src/audio/decode.py`)."""
    with source.open("rb") as file:
        head = file.read(8)
    declared, size = int.from_bytes(head[4:], "little"), source.stat().st_size
    if head.startswith(b"RIFF") and declared < 0x7FFF_0000 and declared - size > 4096 + declared // 200:
        raise BadRecording(f"{source.name} is cut off: it declares {declared} bytes but has {size}")


def _falls_short(log: str, seconds: float) -> bool:
    """Whether ffmpeg's log tells of a file that ends too early, or declares more than there was to decode.

    Only a lone track tells: beside a video, audio may rightly be the shorter one.
    """
    if "partial file" in log or "File ended prematurely" in log:
        return True
    declared = re.search(r"Duration: (\d+):(\d\d):(\d\d\.\d+)", log)
    tracks = log.partition("Stream mapping:")[0].count("  Stream #0:")
    if declared is None or tracks != 1 or "Estimating duration from bitrate" in log:
        return False
    total = int(declared[1]) * 3600 + int(declared[2]) * 60 + float(declared[3])
    return total - seconds > 1.0 + 0.002 * total


def _run(output: ffmpeg.nodes.OutputStream, source: Path) -> subprocess.CompletedProcess[str]:
    command = output.global_args("-nostdin", "-hide_banner", "-nostats").compile(
        cmd=ffmpeg_executable(), overwrite_output=True
    )
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        raise BadRecording(_reason(source, done.stderr))
    return done


def _reason(source: Path, log: str) -> str:
    if not source.exists():
        return f"there is no file {source}"
    if "matches no streams" in log:
        return f"{source.name} has no audio track"
    if "moov atom not found" in log:
        return f"{source.name} is cut off: its index is missing"
    told = re.findall("^.*(?:error|invalid).*$", log, re.IGNORECASE | re.MULTILINE)
    reason = f" ({told[-1][:200]})" if told else ""
    return f"{source.name} cannot be decoded: it is no audio or video, or damaged{reason}"


def _decibels(value: str) -> float:
    level = float(value)
    return level if math.isfinite(level) else _SILENT
