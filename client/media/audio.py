"""Compresses a local recording's audio to Opus, measures its loudness, and cuts it into parts.

The recording is decoded and encoded once. Parts are cut between Opus packets of 20 ms without re-encoding, so that
their times are exact. A decoder needs 80 ms to converge, which is inaudible at a pause.
"""

from __future__ import annotations

import csv
import functools
import math
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import ffmpeg

from client.errors import BadRecording, WrongUsage

BITRATE = 32_000
"""Bits per second for mono; twice that for more channels."""

FRAME_S = 0.04
"""Length of the frames whose loudness is measured."""

_SAMPLE_RATE = 16_000  # Whisper's
# The worker's expression for a clock that never steps back: see `src/audio/decode.py`.
_STEADY_CLOCK = (
    "st(0, if(isnan(PTS), ld(1), PTS + ld(2)));"
    "st(2, ld(2) + if(gt(N, 0) * lt(ld(0), ld(1) - 1/TB), ld(1) - ld(0), 0));"
    "st(0, if(isnan(PTS), ld(1), if(gt(N, 0), max(PTS + ld(2), ld(1)), PTS)));"
    "st(1, ld(0) + S/SR/TB);"
    "ld(0)"
)
_SILENCE_DB = -120.0  # in place of -inf


@dataclass(frozen=True)
class AudioPart:
    """A part of a recording as an Opus file; times in seconds from the recording's start."""

    path: Path
    start: float
    end: float


@dataclass(frozen=True)
class OpusTrack:
    """The first audio track of a recording as an Opus file."""

    path: Path
    levels: list[float]
    """Loudness of each frame of `FRAME_S`, in dB."""
    warnings: list[str] = field(default_factory=list)
    """What of the recording is missing, one sentence each."""

    @property
    def seconds(self) -> float:
        """Length of the track."""
        return len(self.levels) * FRAME_S

    @property
    def bytes_per_second(self) -> float:
        """Mean size of a second of the track."""
        return self.path.stat().st_size / self.seconds


@functools.cache
def ffmpeg_executable() -> str:
    """Return the path of the system's ffmpeg, else of the one from imageio-ffmpeg.

    Raises:
        WrongUsage: neither is installed.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise WrongUsage("ffmpeg is not installed: install it, or the Python package imageio-ffmpeg") from None


def compress(
    source: Path, folder: Path, *, mono: bool = True, track_number: int = 1, strict: bool = False
) -> OpusTrack:
    """Encode an audio track of `source` to `sound.ogg` in `folder`.

    Args:
        source: the recording.
        folder: an existing folder.
        mono: mix all channels into one; else keep them.
        track_number: number of the audio track, from 1.
        strict: refuse a truncated recording, which the worker could not recognise in the output of this function.

    Raises:
        BadRecording: it is not a recording, has no such track, or is truncated and `strict` is true.
    """
    target = folder / "sound.ogg"
    # async and first_pts keep the media's timestamps for audio that starts late or has gaps, as in the worker.
    filters = [
        f"asetpts='{_STEADY_CLOCK}'",
        f"aresample={_SAMPLE_RATE}:async=1:first_pts=0",
        f"asetnsamples={round(_SAMPLE_RATE * FRAME_S)}:p=0",
        "astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=RMS_level",
        "ametadata=print:key=lavfi.astats.Overall.RMS_level:file=-",
    ]
    downmix = ["aformat=channel_layouts=mono"] if mono else []
    media = ffmpeg.input(f"file:{source}", protocol_whitelist="file")[f"a:{track_number - 1}"]
    output = ffmpeg.output(
        media,
        f"file:{target}",
        af=",".join([*downmix, *filters]),
        acodec="libopus",
        audio_bitrate=BITRATE if mono else 2 * BITRATE,
        vbr="constrained",
    )
    process = _run(output, source)
    track = OpusTrack(target, [_parse_level(value) for value in re.findall(r"RMS_level=(\S+)", process.stdout)])
    if not track.levels:
        raise BadRecording(f"{source.name} has no audio")
    if not _is_truncated_riff(source) and not _is_truncated(process.stderr, track.seconds):
        return track
    if strict:
        raise BadRecording(f"{source.name} is cut off after its first {track.seconds:.0f} s")
    warning = f"the recording is cut off after its first {track.seconds:.1f} s; what is there was transcribed"
    return replace(track, warnings=[warning])


def cut(track: OpusTrack, cut_points: Sequence[float], folder: Path) -> list[AudioPart]:
    """Cut a track into files in `folder`.

    Args:
        track: the whole track.
        cut_points: times in seconds, in order; each is moved to the nearest packet boundary.
        folder: an existing folder.
    """
    if not cut_points:
        return [AudioPart(track.path, 0.0, track.seconds)]
    part_list = folder / "parts.csv"
    output = ffmpeg.output(
        ffmpeg.input(f"file:{track.path}"),
        f"file:{folder}/part-%04d.ogg",
        c="copy",
        f="segment",
        segment_format="ogg",
        segment_times=",".join(f"{time:.3f}" for time in cut_points),
        segment_list=f"file:{part_list}",
        segment_list_type="csv",
        reset_timestamps=1,
    )
    _run(output, track.path)
    with part_list.open(newline="") as rows:
        return [AudioPart(folder / name, float(start), float(end)) for name, start, end in csv.reader(rows)]


def _is_truncated_riff(source: Path) -> bool:
    """True for a WAV or AVI shorter than its header says; ffmpeg does not report it (see `src/audio/completeness.py`).

    A length of more than 20 times the file's size was made up.
    """
    with source.open("rb") as file:
        head = file.read(8)
    declared, size = int.from_bytes(head[4:], "little"), source.stat().st_size
    is_length = head.startswith(b"RIFF") and declared < 0x7FFF_0000 and declared <= 20 * size
    return is_length and declared - size > 4096 + declared // 200


def _is_truncated(log: str, seconds: float) -> bool:
    """True if ffmpeg reports an early end, or the file declares more audio than the `seconds` that were decoded.

    The declared duration counts only for a single track: next to a video, audio may be shorter.
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
    process = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if process.returncode != 0:
        raise BadRecording(_failure_message(source, process.stderr))
    return process


def _failure_message(source: Path, log: str) -> str:
    if not source.exists():
        return f"there is no file {source}"
    if "matches no streams" in log:
        return f"{source.name} has no audio track"
    if "moov atom not found" in log:
        return f"{source.name} is cut off: its index is missing"
    error_lines = re.findall("^.*(?:error|invalid).*$", log, re.IGNORECASE | re.MULTILINE)
    reason = f" ({error_lines[-1][:200]})" if error_lines else ""
    return f"{source.name} cannot be decoded: it is not audio or video, or is damaged{reason}"


def _parse_level(value: str) -> float:
    level = float(value)
    return level if math.isfinite(level) else _SILENCE_DB
