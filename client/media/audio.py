"""Compresses a local recording's audio to Opus, measures its loudness, and cuts it into parts.

The recording is decoded and encoded once. Parts are cut between Opus packets of 20 ms without re-encoding, so that
their times are exact. A decoder needs 80 ms to converge, which is inaudible at a pause.
"""

from __future__ import annotations

import csv
import math
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ffmpeg

from client.errors import BadRecording, CacheFailed
from client.media.ffmpeg_process import MAX_SECONDS, STALL_SECONDS, FfmpegRun, run_ffmpeg
from client.media.tracks import AudioTrack, choose_track, read_tracks
from media.sandbox import sandboxed_input

BITRATE = 32_000
"""Bits per second for mono; twice that for channels that stay apart."""

STEREO_BITRATE = 48_000
"""Bits per second for stereo that the worker mixes."""

_MAX_LAYOUT_CHANNELS = 8  # with more, a layout is a guess by ffmpeg

FRAME_S = 0.04
"""Length of the frames whose loudness is measured."""

_LINES_PER_FRAME = 2  # that ffmpeg prints

_MAX_PCM_BYTES = round(MAX_SECONDS * 2 * 16_000)

_MAX_FILE_BYTES = round(MAX_SECONDS * 2 * BITRATE / 8 * 1.5)

_SAMPLE_RATE = 16_000  # Whisper's
_END_S = "1e8"  # after the end of any recording
# The worker's expression for a clock that never steps back: see `src/audio/decoding_run.py`. Sound that begins late is
# taken for a gap, too. After a gap that is too long, nothing is encoded.
_STEADY_CLOCK = (
    "st(0, if(isnan(PTS), ld(1), PTS + ld(2)));"
    "st(2, ld(2) + if(gt(N, 0) * lt(ld(0), ld(1) - 1/TB), ld(1) - ld(0), 0));"
    "st(0, if(isnan(PTS), ld(1), if(gt(N, 0), max(PTS + ld(2), ld(1)), PTS)));"
    "if(gt(ld(0) - ld(1), {max_gap}/TB), print(ld(1) * TB); print((ld(1) - ld(0)) * TB); st(0, " + _END_S + "/TB));"
    "st(1, ld(0) + S/SR/TB);"
    "ld(0)"
)
_MAX_GAP_S = 2 * 3600.0
"""Longest gap in one channel: ffmpeg holds it in memory, which takes 460 MB."""
_CUT_SECONDS = 600.0
_SILENCE_DB = -120.0  # in place of -inf


@dataclass(frozen=True)
class AudioPart:
    """A part of a recording as an Opus file; times in seconds from the recording's start."""

    path: Path
    start: float
    end: float


@dataclass(frozen=True)
class OpusTrack:
    """An audio track of a recording as an Opus file."""

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


def compress(
    source: Path,
    folder: Path,
    *,
    mono: bool = True,
    audio_track: str | int | None = None,
    strict: bool = False,
    stop: threading.Event | None = None,
    on_seconds: Callable[[float], object] = lambda _seconds: None,
) -> OpusTrack:
    """Encode an audio track of `source` to `sound.ogg` in `folder`.

    Args:
        source: the recording.
        folder: an existing folder.
        mono: the channels are to be mixed; stereo stays, for the worker to mix so that opposite phases do not cancel.
        audio_track: number, language or title of the audio track; None: the one that players take.
        strict: refuse a truncated recording, which the worker could not recognise in the output of this function.
        stop: ends the compression when set.
        on_seconds: called now and then with the seconds that are encoded.

    Raises:
        BadRecording: it is not a recording, or is truncated and `strict` is true.
        Stopped: `stop` was set.
        WrongUsage: it has no such track.
    """
    target = folder / "sound.ogg"
    tracks = read_tracks(source)
    chosen = choose_track(tracks, audio_track) if tracks else AudioTrack(1)
    kept_channels = 1 if mono and chosen.channels != 2 else max(1, chosen.channels)
    # async and first_pts keep the media's timestamps for audio that starts late or has gaps, as in the worker. They
    # come last, since they hold all of a gap in memory.
    filters = [
        f"asetpts='{_STEADY_CLOCK.format(max_gap=_MAX_GAP_S / kept_channels)}'",
        f"aresample={_SAMPLE_RATE}",
        "aformat=sample_fmts=s16",
        "aresample=async=1:first_pts=0",
        f"asetnsamples={round(_SAMPLE_RATE * FRAME_S)}:p=0",
        "astats=metadata=1:reset=1:measure_perchannel=none:measure_overall=RMS_level",
        "ametadata=print:key=lavfi.astats.Overall.RMS_level:file=-",
    ]
    downmix, bitrate = _downmix(chosen.channels) if mono else ([], 2 * BITRATE)
    output = ffmpeg.output(
        sandboxed_input(source)[f"a:{chosen.number - 1}"],
        f"file:{target}",
        af=",".join([*downmix, *filters]),
        acodec="libopus",
        audio_bitrate=bitrate,
        vbr="constrained",
        t=MAX_SECONDS,
    ).global_args("-dts_error_threshold", _END_S)
    run = _run(
        output,
        source,
        file_bytes=_MAX_FILE_BYTES,
        min_lines=round(_LINES_PER_FRAME * STALL_SECONDS / FRAME_S),
        stop=stop,
        on_lines=lambda count: on_seconds(count / _LINES_PER_FRAME * FRAME_S),
    )
    _refuse_gap(source, run.log)
    track = OpusTrack(target, [_parse_level(value) for value in re.findall(r"RMS_level=(\S+)", "".join(run.lines))])
    if not track.levels:
        raise BadRecording(f"{source.name} is empty: it has a header but no sound")
    if track.seconds >= MAX_SECONDS:
        raise BadRecording(f"{source.name} is longer than {MAX_SECONDS / 3600:.0f} hours: cut it into parts")
    warnings = []
    if audio_track is None and len(tracks) > 1:
        others = ", ".join(other.name for other in tracks if other is not chosen)
        all_mono = "each of one channel, " if all(track.channels == 1 for track in tracks) else ""
        warnings.append(
            f"the recording has {len(tracks)} audio tracks, {all_mono}and only {chosen.name} was transcribed; there "
            f"are also {others:.500}: choose with audio_track"
        )
    if not _is_truncated_riff(source) and not _is_truncated(run.log, track.seconds):
        return replace(track, warnings=warnings)
    if strict:
        raise BadRecording(f"{source.name} is cut off after its first {track.seconds:.0f} s")
    warning = f"the recording is cut off after its first {track.seconds:.1f} s; what is there was transcribed"
    return replace(track, warnings=[*warnings, warning])


def _downmix(channels: int) -> tuple[list[str], int]:
    """Return the filter that mixes channels, and the bitrate of what it returns.

    Args:
        channels: how many; 0 for a layout with a name, which ffmpeg knows how to mix.
    """
    if channels == 2:
        return [], STEREO_BITRATE
    if channels == 3 or channels > _MAX_LAYOUT_CHANNELS:  # each at its full level, as in the worker
        names = "+".join(f"c{channel}" for channel in range(channels))
        return [f"aformat=sample_fmts=flt,pan=1c|c0={names},alimiter=level=0,aformat=channel_layouts=mono"], BITRATE
    return ["aformat=channel_layouts=mono"], BITRATE


def cut(
    track: OpusTrack, cut_points: Sequence[float], folder: Path, *, stop: threading.Event | None = None
) -> list[AudioPart]:
    """Cut a track into files in `folder`.

    Args:
        track: the whole track.
        cut_points: times in seconds, in order; each is moved to the nearest packet boundary.
        folder: an existing folder.
        stop: ends the cutting when set.

    Raises:
        Stopped: `stop` was set.
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
    _run(output, track.path, file_bytes=2 * track.path.stat().st_size, stall_seconds=_CUT_SECONDS, stop=stop)
    with part_list.open(encoding="utf-8", newline="") as rows:
        return [AudioPart(folder / name, float(start), float(end)) for name, start, end in csv.reader(rows)]


def decode_pcm(track: Path, folder: Path, stop: threading.Event) -> Path:
    """Write the mix of an Opus file to one in `folder`, as int16 samples at 16 kHz, and return its path.

    Raises:
        Stopped: `stop` was set.
    """
    target = folder / f"{track.parent.name}.pcm"
    output = ffmpeg.output(
        ffmpeg.input(f"file:{track}"), f"file:{target}", f="s16le", acodec="pcm_s16le", ac=1, ar=_SAMPLE_RATE
    )
    _run(output, track, file_bytes=_MAX_PCM_BYTES, stall_seconds=_CUT_SECONDS, stop=stop)
    return target


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


def _run(output: ffmpeg.nodes.OutputStream, source: Path, **limits: Any) -> FfmpegRun:
    run = run_ffmpeg(output, **limits)
    if run.stalled:
        raise BadRecording(f"{source.name} cannot be decoded: ffmpeg does not get on with it; re-encode it")
    if run.status != 0:
        if "No space left" in run.log:
            raise CacheFailed("the disk is full: make room, or set XDG_CACHE_HOME to a folder on another one")
        raise BadRecording(_failure_message(source, run.log))
    return run


def _refuse_gap(source: Path, log: str) -> None:
    """Raise BadRecording if the sound has a gap, at which `_STEADY_CLOCK` has ended it."""
    numbers = re.findall(r"^(?:\[Eval @ \w+\] )?(-?\d+\.\d{6})$", log, re.MULTILINE)
    if len(numbers) >= 2:
        raise BadRecording(
            f"{source.name} has a gap of {-float(numbers[1]) / 3600:.1f} hours after {float(numbers[0]):.0f} s, which "
            "is too long to be compressed: give its URL, or cut it there"
        )


def _failure_message(source: Path, log: str) -> str:
    if not source.exists():
        return f"there is no file {source}"
    if "Cannot allocate memory" in log:
        return f"{source.name} takes more memory than an intact recording would: it is damaged; re-encode it"
    if "matches no streams" in log:
        return f"{source.name} has no audio track"
    if "moov atom not found" in log:
        return f"{source.name} is cut off: its index is missing"
    # Without the part of ffmpeg that reports it, such as `[mov,mp4 @ 0x55d8] `.
    error_lines = re.findall(r"^(?:\[[^\]\n]*\] )*(.*(?:error|invalid).*)$", log, re.IGNORECASE | re.MULTILINE)
    reason = f" ({error_lines[-1][:200]})" if error_lines else ""
    return f"{source.name} cannot be decoded: it is not audio or video, or is damaged{reason}"


def _parse_level(value: str) -> float:
    level = float(value)
    return level if math.isfinite(level) else _SILENCE_DB
