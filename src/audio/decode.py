"""Decodes any audio or video file to 16 kHz PCM on disk, by ffmpeg: the mix of its channels, or each channel.

The file is treated as hostile: ffmpeg opens no other file (`media/sandbox.py`), and the limits apply to the
decoded output, not to what a header declares.

    choose the track        tracks.py: the wanted one, else the one that players take
    decode                  decoding_run.py: on the media's clock, which goes on where it steps back
    mix the channels        mixing.py: ffmpeg mixes; where that loses sound, we do
    compare with the header completeness.py: a recording that is cut off is decoded as far as it goes

Sound that was found and is not in the result is a warning.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from media.log import FfmpegLog
from src.audio.completeness import find_losses, read_riff_length, refuse_undecodable
from src.audio.decoding_run import (
    SAMPLE_BYTES,
    STALL_SECONDS,
    AudioOptions,
    DecodingTask,
    file_size,
    open_source,
    run_ffmpeg,
    steady,
    to_file,
    to_first_frame,
    to_pipe,
    to_probe,
)
from src.audio.mixing import CancellationProbe, read_and_mix
from src.audio.pcm import SAMPLE_RATE, Pcm
from src.audio.tracks import audio_tracks, choose_track, other_tracks_warning
from src.errors import TooLarge, UnsupportedMedia
from src.job_control import JobControl

MAX_CHANNELS = 8
"""The most channels that are decoded separately; 7.1 has as many."""

MAX_MIXED_CHANNELS = 64
"""The most channels that ffmpeg resamples."""

PCM_NAME = "audio.pcm"
_COPY_BYTES = 1 << 20
_MIN_REPORTED_S = 1.0
_LONG_BYTES = 2_000_000


@dataclass(frozen=True)
class DecodedAudio:
    """The sound of a recording."""

    channels: list[Pcm]
    """The mix, or each channel: int16 [samples], mapped read-only. Channels are views of one file."""
    warnings: list[str] = field(default_factory=list)
    """What is missing, one sentence each."""


def decode_audio(
    source: Path,
    folder: Path,
    *,
    max_seconds: float,
    max_bytes: int,
    denoise: bool = False,
    control: JobControl | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> Pcm:
    """Return the mix of `source` without its warnings: see `decode_recording`."""
    options = AudioOptions(denoise=denoise)
    limits: dict[str, Any] = {"max_seconds": max_seconds, "max_bytes": max_bytes, "stall_seconds": stall_seconds}
    return decode_recording(source, folder, options, control=control, **limits).channels[0]


def decode_recording(
    source: Path,
    folder: Path,
    options: AudioOptions,
    *,
    max_seconds: float,
    max_bytes: int,
    control: JobControl | None = None,
    stall_seconds: float = STALL_SECONDS,
    on_final_samples: Callable[[FfmpegLog], None] = lambda _: None,
) -> DecodedAudio:
    """Decode one audio track of `source` to a file in `folder`, and map it read-only.

    Args:
        source: the recording.
        folder: where the samples are written; no file stays there after an error.
        options: the track, and what is done with it.
        max_seconds: longest recording. This limit and the next apply to all channels together if they are kept apart,
            since each is transcribed separately.
        max_bytes: most bytes that the samples may take on disk.
        control: stops decoding with the job.
        stall_seconds: see `STALL_SECONDS`.
        on_final_samples: called if the samples are final as soon as they are written: see `running_decoding.py`.

    Returns:
        The sound. Channels with the same sound, such as a mono recording on a stereo track, are returned as one.

    Raises:
        UnsupportedMedia: the file is no recording with sound, has too many channels to keep them apart, or is cut off
            and `options` are strict.
        InvalidInput: it has no such track.
        TooLarge: it is over a limit.
        Cancelled: the job was stopped.
    """
    limit = min(int(max_seconds * SAMPLE_RATE), max_bytes // SAMPLE_BYTES)
    riff = read_riff_length(source)
    control, pcm = control or JobControl(), folder / PCM_NAME
    task = DecodingTask(source, pcm, riff, options, limit, control, stall_seconds, False, on_final_samples)
    try:
        return _decode(task)
    except BaseException:
        task.pcm.unlink(missing_ok=True)
        raise


def _decode(task: DecodingTask) -> DecodedAudio:
    number, log, warnings = _write_samples(task)
    if log.gaps:
        _refuse_longer(sum(map(_to_samples, log.gaps[0])), _count_channels(task, log), task.limit, log.gaps)
        number, log, warnings = _write_around_gaps(task)
    channels = _count_channels(task, log)
    frames = file_size(task.pcm) // (channels * SAMPLE_BYTES)
    late = late_samples(log)
    _refuse_longer(frames + late, channels, task.limit)
    refuse_undecodable(task.source, log, frames)
    seconds = frames / SAMPLE_RATE
    warnings += find_losses(task.source, task.riff, log, seconds, task.control, strict=task.options.strict)
    if late:
        _prepend_silence(task.pcm, late * channels * SAMPLE_BYTES)
    pcm = np.memmap(task.pcm, dtype="<i2", mode="r").reshape(-1, channels)
    tracks = audio_tracks(log.streams)
    if task.options.track is None and (warning := other_tracks_warning(tracks, tracks[number - 1])):
        warnings.append(warning)
    is_mono = _is_mono(pcm)
    if task.options.split and is_mono:
        reason = "has one channel" if channels == 1 else f"has {channels} channels that are all the same"
        warnings.append(f'channels "split" has no effect: the recording {reason}')
    return DecodedAudio([pcm[:, channel] for channel in range(1 if is_mono else channels)], warnings)


def _write_samples(task: DecodingTask) -> tuple[int, FfmpegLog, list[str]]:
    """Decode the chosen track to the file, as a mix unless the channels are kept apart.

    Returns:
        The track's number, from 1; the log; and warnings about the mix.
    """
    number, log, probe = _decode_chosen_track(task)
    warnings = []
    if not task.options.split and (probe.loses_sound or file_size(task.pcm) == 0):
        log, realigned = _mix_all_channels(task, number)
        if realigned >= _MIN_REPORTED_S:
            warnings.append(
                f"in {realigned:.1f} s of the recording a plain mix of its channels would lose sound, so they were "
                "aligned before they were mixed"
            )
    return number, log, warnings


def _write_around_gaps(task: DecodingTask) -> tuple[int, FfmpegLog, list[str]]:
    """Decode again without the long gaps, and write that to the file, with silence in the gaps.

    What is already in the file, up to the first gap, stays: it may be in use.
    """
    closed = replace(task, pcm=task.pcm.with_suffix(".closed"), closes_gaps=True, on_final_samples=lambda _: None)
    try:
        number, log, warnings = _write_samples(closed)
        channels = _count_channels(task, log)
        gaps = [(_to_samples(at - log.audio_start), _to_samples(length)) for at, length in log.gaps]
        frames = file_size(closed.pcm) // (channels * SAMPLE_BYTES)
        _refuse_longer(frames + sum(length for _, length in gaps), channels, task.limit, log.gaps)
        _insert_gaps(closed.pcm, task.pcm, gaps, channels * SAMPLE_BYTES)
    finally:
        closed.pcm.unlink(missing_ok=True)
    log.position += sum(length for _, length in log.gaps)
    return number, log, warnings


def _insert_gaps(closed: Path, pcm: Path, gaps: list[tuple[int, int]], sample_bytes: int) -> None:
    """Write the samples of `closed` to `pcm`, with zeros in the gaps, which take no space on the disk."""
    with closed.open("rb") as samples, pcm.open("r+b") as file:
        for at, length in gaps:
            _copy(samples, file, at * sample_bytes - samples.tell())
            file.seek(length * sample_bytes, os.SEEK_CUR)
        _copy(samples, file, closed.stat().st_size - samples.tell())


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    """Copy `size` bytes from and to the current positions, or as many as there are."""
    while size > 0 and (block := source.read(min(size, _COPY_BYTES))):
        target.write(block)
        size -= len(block)


def late_samples(log: FfmpegLog) -> int:
    """Return the samples of the recording before its sound begins."""
    return _to_samples(log.audio_start)


def _count_channels(task: DecodingTask, log: FfmpegLog) -> int:
    return _check_channels(log.channels) if task.options.split else 1


def _to_samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def _decode_chosen_track(task: DecodingTask) -> tuple[int, FfmpegLog, CancellationProbe]:
    """Decode the track that the options and the header ask for, with ffmpeg's own mix unless channels are kept apart.

    Before the header is known, decoding begins with the most likely track, and is begun again if it is another one. A
    long recording is taken for mono at first, which needs no probe; a short one is decoded before ffmpeg could start
    again.

    Returns:
        The track's number, from 1; the log; and whether the mix loses sound.
    """
    wanted = task.options.track
    number = wanted if isinstance(wanted, int) else 1
    probed = not task.options.split and task.riff.size < _LONG_BYTES
    log, probe = _run_first_pass(task, number, probed=probed)
    tracks = audio_tracks(log.streams)
    if not tracks:
        refuse_undecodable(task.source, log, 0)
    chosen = choose_track(tracks, wanted)
    needs_probe = not task.options.split and not chosen.is_mono
    if chosen not in tracks[number - 1 : number] or (needs_probe and not probed):
        number = tracks.index(chosen) + 1
        task.pcm.unlink(missing_ok=True)  # nobody may take the samples of the other track for those of this one
        log, probe = _run_first_pass(task, number, probed=needs_probe)
    return number, log, probe


def _run_first_pass(task: DecodingTask, number: int, *, probed: bool) -> tuple[FfmpegLog, CancellationProbe]:
    """Decode a track; ffmpeg is stopped if the header shows that this is not the track, or that it needs a probe."""

    def is_right(log: FfmpegLog) -> bool:
        tracks = audio_tracks(log.streams)
        chosen = choose_track(tracks, task.options.track) if tracks else None
        is_chosen = chosen is None or chosen in tracks[number - 1 : number]
        is_mono = chosen is not None and chosen.is_mono
        if is_chosen and is_mono and not task.options.split:
            task.on_final_samples(log)
        return is_chosen and (probed or task.options.split or chosen is None or is_mono)

    probe = CancellationProbe()
    track = open_source(task)[f"a:{number - 1}"]
    sound = steady(track, task)
    if probed:
        twice = sound.filter_multi_output("asplit")
        outputs = [to_file(twice[0], task), to_probe(twice[1])]
    else:
        outputs = [to_file(sound, task)]
    return run_ffmpeg(task, [*outputs, to_first_frame(track)], probe.read, is_right), probe


def _mix_all_channels(task: DecodingTask, number: int) -> tuple[FfmpegLog, float]:
    """Decode a track again, and mix its channels here.

    Returns:
        The log, and the seconds in which ffmpeg's mix loses sound.

    Raises:
        UnsupportedMedia: it has too many channels.
    """
    realigned = 0.0

    def mix(stream: IO[bytes]) -> None:
        nonlocal realigned
        with task.pcm.open("wb") as pcm:
            realigned = read_and_mix(stream, pcm, task.limit + 1)

    track = open_source(task)[f"a:{number - 1}"]
    log = run_ffmpeg(task, [to_pipe(steady(track, task), task), to_first_frame(track)], mix)
    declared = audio_tracks(log.streams)[number - 1].channels if len(audio_tracks(log.streams)) >= number else 0
    if declared > MAX_MIXED_CHANNELS:
        raise UnsupportedMedia(
            f"the recording has {declared} channels, of which at most {MAX_MIXED_CHANNELS} can be mixed: send fewer"
        )
    return log, realigned


def _check_channels(channels: int) -> int:
    """Return the number of channels, 1 if nothing was decoded; raises UnsupportedMedia for too many."""
    if channels > MAX_CHANNELS:
        raise UnsupportedMedia(
            f"the recording has {channels} channels, of which at most {MAX_CHANNELS} can be told apart: send fewer"
        )
    return channels or 1


def _refuse_longer(samples: int, channels: int, limit: int, gaps: Sequence[tuple[float, float]] = ()) -> None:
    """Raise TooLarge for a recording of more than `limit` samples in all channels; `gaps` are in seconds."""
    if samples * channels <= limit:
        return
    subject = "the recording is" if channels == 1 else f"the recording's {channels} channels are together"
    at, length = max(gaps, key=itemgetter(1), default=(0.0, 0.0))
    gap = f", with a gap of {_format_duration(length)} after {at:.1f} s" if gaps else ""
    raise TooLarge(f"{subject} longer than the limit of {_format_duration(limit / SAMPLE_RATE)}{gap}: send it in parts")


def _prepend_silence(pcm: Path, size: int) -> None:
    """Insert `size` bytes of zeros before the samples."""
    padded = pcm.with_suffix(".padded")
    try:
        with pcm.open("rb") as samples, padded.open("wb") as file:
            file.seek(size)
            shutil.copyfileobj(samples, file, _COPY_BYTES)
        padded.replace(pcm)
    finally:
        padded.unlink(missing_ok=True)


def _is_mono(pcm: npt.NDArray[np.int16]) -> bool:
    """Return true if all channels of `pcm` [samples, channels] sound like the first one, in each second.

    The same sound in two channels differs only by its sign, and by its codec: by at most -11 dB relative to the sound,
    or -28 dB relative to the whole recording in its pauses (AAC, MP3, Vorbis). A speaker on one side of a call is all
    difference.
    """
    if pcm.shape[1] == 1:
        return True
    powers = []
    for start in range(0, len(pcm), SAMPLE_RATE):
        second = pcm[start : start + SAMPLE_RATE].astype(np.float32)
        first = second[:, :1]
        differences = np.minimum(np.square(second - first).mean(axis=0), np.square(second + first).mean(axis=0))
        powers.append((np.square(first).mean(), differences.max()))
    loudness, difference = np.array(powers).T
    return bool((difference <= 0.1 * loudness + 0.01 * loudness.mean()).all())


def _format_duration(seconds: float) -> str:
    """Return a duration in the largest unit that suits it: `12 hours`, `90 seconds`."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} seconds"
