"""Decodes any audio or video file to 16 kHz PCM on disk, by ffmpeg: the mix of its channels, or each channel.

The file is treated as hostile: ffmpeg opens no other file (`media/sandbox.py`), and the limits apply to the
decoded output, not to what a header declares.

    choose the track        tracks.py: the wanted one, else the one that players take
    decode                  here: on the media's clock, which goes on where it steps back
    mix the channels        mixing.py: ffmpeg mixes; where that loses sound, we do
    compare with the header completeness.py: a recording that is cut off is decoded as far as it goes

Sound that was found and is not in the result is a warning.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import TextIOWrapper
from operator import itemgetter
from pathlib import Path
from threading import Event
from typing import IO, Any

import ffmpeg
import numpy as np
import numpy.typing as npt

from media.log import FfmpegLog
from media.sandbox import ProcessLimits, sandboxed_input
from src.audio.completeness import RiffLength, find_losses, read_riff_length, refuse_undecodable
from src.audio.ffmpeg_process import compile_command, refuse_exhausted, start_ffmpeg
from src.audio.mixing import CancellationProbe, read_and_mix
from src.audio.pcm import SAMPLE_RATE, GrowingPcm, Pcm
from src.audio.tracks import TrackName, audio_tracks, choose_track, other_tracks_warning
from src.errors import TooLarge, UnsupportedMedia
from src.job_control import JobControl

MAX_CHANNELS = 8
"""The most channels that are decoded separately; 7.1 has as many."""

MAX_MIXED_CHANNELS = 64
"""The most channels that ffmpeg resamples."""

STALL_SECONDS = 60.0
"""Decoding has stalled if in this time it advances by less than the same length of the recording."""

DENOISE = "afftdn=nf=-25"
"""ffmpeg's filter for `denoise`.

It lowers white noise at -44 dB by 12 dB, with the default floor of -50 by only 4; a tone at -21 dB stays. No filter we
measured improves Whisper consistently (benchmarks/denoise.py), so none is configurable.
"""

_PCM_NAME = "audio.pcm"
_SAMPLE_BYTES = 2
_SAMPLES = {"acodec": "pcm_s16le", "ar": SAMPLE_RATE}
_NO_TAGS = {"map_metadata": -1, "map_chapters": -1}
"""Options of every output: ffmpeg logs its tags and chapters, whose text could be taken for messages."""

_STEADY_CLOCK = (
    "st(0, if(isnan(PTS), ld(1), PTS + ld(2)));"  # 0: this packet's time, 1: the previous one's end, 2: the offset
    "st(2, ld(2) + if(gt(N, 0) * lt(ld(0), ld(1) - 1/TB), ld(1) - ld(0), 0));"
    "st(0, if(isnan(PTS), ld(1), if(gt(N, 0), max(PTS + ld(2), ld(1)), PTS)));"
    "if(gt(N, 0) * gt(ld(0) - ld(1), {long_gap}/TB), print(1e9 + ld(1) * TB); print(2e9 + (ld(0) - ld(1)) * TB);"
    " {at_long_gap});"
    "st(1, ld(0) + S/SR/TB);"
    "ld(0)"
)
"""Expression of the filter `asetpts` after which the clock never steps back.

Recordings that were joined, or whose recorder was restarted, have times that begin again: from 1 s backwards, all later
times are moved. For less, the sound only waits until the clock is ahead again. `aresample` would drop all such sound.
"""

_LONG_GAP_S = 60
"""Gaps up to here are filled by `aresample`, which keeps a gap in memory and loses those over some hours."""

_MAX_GAP_S = "1e8"  # three years; ffmpeg takes the time of a packet that is further away for a fault, and drops it
_END = f"st(0, {_MAX_GAP_S}/TB)"  # after the end of any recording, so that decoding ends there
_CLOSE = "st(2, ld(2) - ld(0) + ld(1)); st(0, ld(1))"

_BASE_CPU_SECONDS = 600.0
_FILE_MARGIN = 1 << 20  # bytes; ffmpeg's own limit comes first

_COPY_BYTES = 1 << 20
_MIN_REPORTED_S = 1.0
_LONG_BYTES = 2_000_000
_PROBED_SHARE = 8  # one of so many packets is looked at for sound that the mix loses


@dataclass(frozen=True)
class AudioOptions:
    """What a job asks of the decoder."""

    track: TrackName | None = None
    """Number (from 1), language or title of the audio track; None: the one that players take."""
    split: bool = False
    """Keep the channels apart."""
    denoise: bool = False
    """Lower steady background noise."""
    strict: bool = False
    """Refuse a recording that is cut off."""


@dataclass(frozen=True)
class DecodedAudio:
    """The sound of a recording."""

    channels: list[Pcm]
    """The mix, or each channel: int16 [samples], mapped read-only. Channels are views of one file."""
    warnings: list[str] = field(default_factory=list)
    """What is missing, one sentence each."""


@dataclass(frozen=True)
class _Task:
    """A recording and how it is decoded."""

    source: Path
    pcm: Path
    """The file that receives the samples."""
    riff: RiffLength
    options: AudioOptions
    limit: int
    """Most samples, of all channels together."""
    control: JobControl
    stall_seconds: float
    closes_gaps: bool
    """Leave long gaps out, to be inserted afterwards; else decoding ends at the first one."""
    on_final_samples: Callable[[FfmpegLog], None]
    """Called when the samples in `pcm` are those of the result, unless the sound begins late."""


class RunningDecoding:
    """A recording that is being decoded; see `start_decoding`."""

    def __init__(self, pcm: Path) -> None:
        self._pcm = pcm
        self._result: Future[DecodedAudio] = Future()
        self._whole: Future[Pcm] = Future()
        self._first_pass: FfmpegLog | None = None
        self._is_decided = Event()

    def run(self, decode: Callable[[Callable[[FfmpegLog], None]], DecodedAudio]) -> None:
        """Decode the recording; `decode` calls its argument when the samples are those of the result."""
        try:
            audio = decode(self._publish)
        except BaseException as error:
            self._whole.set_exception(error)
            self._result.set_exception(error)
        else:
            self._whole.set_result(audio.channels[0])
            self._result.set_result(audio)
        finally:
            self._is_decided.set()

    def result(self) -> DecodedAudio:
        """Wait for the end; raises what `decode_recording` raises."""
        return self._result.result()

    def readable(self) -> GrowingPcm | None:
        """Wait until it is known whether the sound can be read while it is decoded: None if not.

        It can if the track has a single channel, by its header and in its first frame, and begins with the recording:
        then nothing that is written will be written again.
        """
        self._is_decided.wait()
        log = self._first_pass
        if log is None or not log.first_frame_read.wait() or log.channels != 1 or _late_samples(log):
            return None
        return GrowingPcm(self._pcm, self._whole)

    def _publish(self, log: FfmpegLog) -> None:
        self._first_pass = log
        self._is_decided.set()


def _late_samples(log: FfmpegLog) -> int:
    return _to_samples(log.audio_start)


@contextmanager
def start_decoding(
    source: Path, folder: Path, options: AudioOptions, *, max_seconds: float, max_bytes: int, control: JobControl
) -> Iterator[RunningDecoding]:
    """Decode a recording on another thread, as `decode_recording` does; the end of the block stops it."""
    own = JobControl()
    decoding = RunningDecoding(folder / _PCM_NAME)
    with ThreadPoolExecutor(1, "decoding") as thread, control.on_cancel(lambda: own.cancel("the job was stopped")):
        thread.submit(
            decoding.run,
            lambda publish: decode_recording(
                source,
                folder,
                options,
                max_seconds=max_seconds,
                max_bytes=max_bytes,
                control=own,
                on_final_samples=publish,
            ),
        )
        try:
            yield decoding
        finally:
            own.cancel("the job ended before its decoding")


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
        on_final_samples: called if the samples are final as soon as they are written: see `start_decoding`.

    Returns:
        The sound. Channels with the same sound, such as a mono recording on a stereo track, are returned as one.

    Raises:
        UnsupportedMedia: the file is no recording with sound, has too many channels to keep them apart, or is cut off
            and `options` are strict.
        InvalidInput: it has no such track.
        TooLarge: it is over a limit.
        Cancelled: the job was stopped.
    """
    limit = min(int(max_seconds * SAMPLE_RATE), max_bytes // _SAMPLE_BYTES)
    riff = read_riff_length(source)
    control, pcm = control or JobControl(), folder / _PCM_NAME
    task = _Task(source, pcm, riff, options, limit, control, stall_seconds, False, on_final_samples)
    try:
        return _decode(task)
    except BaseException:
        task.pcm.unlink(missing_ok=True)
        raise


def _decode(task: _Task) -> DecodedAudio:
    number, log, warnings = _write_samples(task)
    if log.gaps:
        _refuse_longer(sum(map(_to_samples, log.gaps[0])), _count_channels(task, log), task.limit, log.gaps)
        number, log, warnings = _write_around_gaps(task)
    channels = _count_channels(task, log)
    frames = _file_size(task.pcm) // (channels * _SAMPLE_BYTES)
    late = _late_samples(log)
    _refuse_longer(frames + late, channels, task.limit)
    refuse_undecodable(task.source, log, frames)
    seconds = frames / SAMPLE_RATE
    warnings += find_losses(task.source, task.riff, log, seconds, task.control, strict=task.options.strict)
    if late:
        _prepend_silence(task.pcm, late * channels * _SAMPLE_BYTES)
    pcm = np.memmap(task.pcm, dtype="<i2", mode="r").reshape(-1, channels)
    tracks = audio_tracks(log.streams)
    if task.options.track is None and (warning := other_tracks_warning(tracks, tracks[number - 1])):
        warnings.append(warning)
    is_mono = _is_mono(pcm)
    if task.options.split and is_mono:
        reason = "has one channel" if channels == 1 else f"has {channels} channels that are all the same"
        warnings.append(f'channels "split" has no effect: the recording {reason}')
    return DecodedAudio([pcm[:, channel] for channel in range(1 if is_mono else channels)], warnings)


def _write_samples(task: _Task) -> tuple[int, FfmpegLog, list[str]]:
    """Decode the chosen track to the file, as a mix unless the channels are kept apart.

    Returns:
        The track's number, from 1; the log; and warnings about the mix.
    """
    number, log, probe = _decode_chosen_track(task)
    warnings = []
    if not task.options.split and (probe.loses_sound or _file_size(task.pcm) == 0):
        log, realigned = _mix_all_channels(task, number)
        if realigned >= _MIN_REPORTED_S:
            warnings.append(
                f"in {realigned:.1f} s of the recording a plain mix of its channels would lose sound, so they were "
                "aligned before they were mixed"
            )
    return number, log, warnings


def _write_around_gaps(task: _Task) -> tuple[int, FfmpegLog, list[str]]:
    """Decode again without the long gaps, and write that to the file, with silence in the gaps.

    What is already in the file, up to the first gap, stays: it may be in use.
    """
    closed = replace(task, pcm=task.pcm.with_suffix(".closed"), closes_gaps=True, on_final_samples=lambda _: None)
    try:
        number, log, warnings = _write_samples(closed)
        channels = _count_channels(task, log)
        gaps = [(_to_samples(at - log.audio_start), _to_samples(length)) for at, length in log.gaps]
        frames = _file_size(closed.pcm) // (channels * _SAMPLE_BYTES)
        _refuse_longer(frames + sum(length for _, length in gaps), channels, task.limit, log.gaps)
        _insert_gaps(closed.pcm, task.pcm, gaps, channels * _SAMPLE_BYTES)
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


def _count_channels(task: _Task, log: FfmpegLog) -> int:
    return _check_channels(log.channels) if task.options.split else 1


def _to_samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def _decode_chosen_track(task: _Task) -> tuple[int, FfmpegLog, CancellationProbe]:
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


def _run_first_pass(task: _Task, number: int, *, probed: bool) -> tuple[FfmpegLog, CancellationProbe]:
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
    track = _input(task)[f"a:{number - 1}"]
    sound = _steady(track, task)
    if probed:
        twice = sound.filter_multi_output("asplit")
        outputs = [_file_output(twice[0], task), _probe_output(twice[1])]
    else:
        outputs = [_file_output(sound, task)]
    return _run(task, [*outputs, _first_frame_output(track)], probe.read, is_right), probe


def _mix_all_channels(task: _Task, number: int) -> tuple[FfmpegLog, float]:
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

    track = _input(task)[f"a:{number - 1}"]
    log = _run(task, [_pipe_output(_steady(track, task), task), _first_frame_output(track)], mix)
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


def _input(task: _Task) -> ffmpeg.nodes.FilterableStream:
    return sandboxed_input(task.source, threads=1, **({"ignore_length": 1} if task.riff.goes_on else {}))


def _steady(track: ffmpeg.nodes.FilterableStream, task: _Task) -> ffmpeg.nodes.FilterableStream:
    """Return the sound on a clock that never steps back, up to the limit."""
    # Filters restart where a stream changes its channels, as broadcasts do: none may pad or count from the start.
    clock = _STEADY_CLOCK.format(long_gap=_LONG_GAP_S, at_long_gap=_CLOSE if task.closes_gaps else _END)
    return track.filter("asetpts", clock).filter("atrim", end=task.limit / SAMPLE_RATE + 1)


def _resample(sound: ffmpeg.nodes.FilterableStream, task: _Task) -> ffmpeg.nodes.FilterableStream:
    # `async` fills gaps, so that samples keep the media's clock; without it, subtitles would run ahead.
    if task.options.denoise:
        name, _, options = DENOISE.partition("=")
        sound = sound.filter(name, **dict([options.split("=")]))
    return sound.filter("aresample", SAMPLE_RATE, **{"async": 1}).filter("atrim", start=0, end_sample=task.limit + 1)


def _file_output(sound: ffmpeg.nodes.FilterableStream, task: _Task) -> ffmpeg.nodes.OutputStream:
    """Write the sound to the file: hardly more than the limit."""
    # `fs` limits the whole output, but is checked after each packet: one packet of a WAV at 1 Hz resamples to 130 MB.
    options = {"format": "s16le", "fs": _max_bytes(task), **_NO_TAGS, **({} if task.options.split else {"ac": 1})}
    return ffmpeg.output(_resample(sound, task), f"file:{task.pcm}", **_SAMPLES, **options)


def _pipe_output(sound: ffmpeg.nodes.FilterableStream, task: _Task) -> ffmpeg.nodes.OutputStream:
    """Write all channels to the pipe, as a WAV, whose header says what channels they are."""
    return ffmpeg.output(_resample(sound, task), "pipe:1", format="wav", **_SAMPLES, **_NO_TAGS)


def _probe_output(sound: ffmpeg.nodes.FilterableStream) -> ffmpeg.nodes.OutputStream:
    """Write some packets, with all channels and as they are, to the pipe."""
    some = sound.filter("aselect", f"not(mod(n,{_PROBED_SHARE}))")
    return ffmpeg.output(some, "pipe:1", format="wav", acodec="pcm_s16le", **_NO_TAGS)


def _first_frame_output(sound: ffmpeg.nodes.FilterableStream) -> ffmpeg.nodes.OutputStream:
    """Log the start of the sound and its number of channels."""
    return ffmpeg.output(sound, "-", format="null", af="ashowinfo", **{"frames:a": 1}, **_NO_TAGS)


def _run(
    task: _Task,
    outputs: list[ffmpeg.nodes.OutputStream],
    consume: Callable[[IO[bytes]], None],
    is_right: Callable[[FfmpegLog], bool] = lambda _: True,
) -> FfmpegLog:
    """Run ffmpeg to its end; kill it when the job ends, when it stalls, or when its header is not the right one.

    Args:
        task: the recording.
        outputs: what ffmpeg writes.
        consume: reads ffmpeg's pipe, on a thread of its own.
        is_right: decides when the header is known; an error of it ends the run, too.

    Raises:
        UnsupportedMedia: ffmpeg stalls, or takes too much memory or CPU time.
        OutOfResources: the worker lacks disk space or something else.
        Cancelled: the job was stopped.
    """
    log = FfmpegLog()

    def read(pipe: IO[bytes]) -> None:
        with pipe:  # an unread pipe would block ffmpeg
            consume(pipe)

    # Decoding that is slower than the recording stalls, and stays on one core.
    limits = ProcessLimits(task.limit / SAMPLE_RATE + _BASE_CPU_SECONDS, _max_bytes(task) + _FILE_MARGIN)
    output = ffmpeg.merge_outputs(*outputs).global_args("-dts_error_threshold", _MAX_GAP_S)
    command = compile_command(output, limits)
    is_stopped = False
    running = start_ffmpeg(command, log, task.control, piped=True, on_one_core=True)
    with running as process, ThreadPoolExecutor(1) as thread:
        assert isinstance(process.stdout, TextIOWrapper)
        reading = thread.submit(read, process.stdout.buffer)
        try:
            if log.header_read.wait(task.stall_seconds) and not is_right(log):
                is_stopped = True
                process.kill()
            _wait_while_it_advances(process, task.pcm, task.stall_seconds)
        finally:
            process.kill()
    if not is_stopped:
        refuse_exhausted(log)
    reading.result()
    return log


def _wait_while_it_advances(process: "subprocess.Popen[str]", pcm: Path, stall_seconds: float) -> None:
    """Wait for the end of `process` as long as it decodes at least at the recording's own speed."""
    written = 0
    while True:
        try:
            process.wait(stall_seconds)
            return
        except subprocess.TimeoutExpired:
            advance = _file_size(pcm) - written
            if advance < stall_seconds * SAMPLE_RATE * _SAMPLE_BYTES:
                raise UnsupportedMedia("decoding the file stalled: it is damaged; re-encode it") from None
            written += advance


def _max_bytes(task: _Task) -> int:
    """Return the size of a file from which is seen that the recording is too long."""
    return (task.limit + 1) * _SAMPLE_BYTES


def _file_size(file: Path) -> int:
    """Return the bytes of `file`; 0 if ffmpeg has not created it yet."""
    return file.stat().st_size if file.exists() else 0


def _format_duration(seconds: float) -> str:
    """Return a duration in the largest unit that suits it: `12 hours`, `90 seconds`."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} seconds"
