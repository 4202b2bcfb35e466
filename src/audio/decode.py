"""Decodes any audio or video file to 16 kHz PCM on disk, by ffmpeg: the mix of its channels, or each channel.

The file is treated as hostile: ffmpeg opens no other file (`src/audio/ffmpeg_process.py`), and the limits apply to the
decoded output, not to what a header declares.

A truncated file is refused, not transcribed in part. Four signs show it, none of which an intact file has (tried with
ffmpeg 5.1 and 9.0):

    mov/mp4         no index (`moov`), or a packet of the audio track beyond the end of the file
    matroska/webm   the file ends inside an element
    wav, avi        the RIFF header declares more bytes than the file has
    one track only  a header declares a duration (flac, mp3 with Xing, wv…) that the audio does not reach

Raw streams (ogg, aac, mp3 without Xing…) have no such sign: whatever they contain is decoded.
"""

import shutil
import subprocess
from pathlib import Path

import ffmpeg
import numpy as np
import numpy.typing as npt

from src.audio.ffmpeg_process import FfmpegLog, compile_command, sandboxed_input, start_ffmpeg
from src.audio.pcm import SAMPLE_RATE
from src.errors import TooLarge, UnsupportedMedia
from src.job_control import JobControl

MAX_CHANNELS = 8
"""The most channels that are decoded separately; 7.1 has as many."""

STALL_SECONDS = 60.0
"""Decoding has stalled if in this time it advances by less than the same length of the recording."""

DENOISE = "afftdn=nf=-25"
"""ffmpeg's filter for `denoise`.

It lowers white noise at -44 dB by 12 dB, with the default floor of -50 by only 4; a tone at -21 dB stays. No filter we
measured improves Whisper consistently (benchmarks/denoise.py), so none is configurable.
"""

_SAMPLE_BYTES = 2

# Demuxers whose duration was written by the encoder; others estimate it from the size of the file.
_DECLARING = {"aiff", "ape", "au", "flac", "matroska,webm", "mp3", "rm", "tta", "wav", "wv"}

# RIFF sizes from here up are placeholders of programs that write to a pipe and cannot know the length.
_RIFF_PLACEHOLDER = 0x7FFF_0000

_AGAIN = "upload it again in full"


def decode_audio(
    source: Path,
    folder: Path,
    *,
    max_seconds: float,
    max_bytes: int,
    denoise: bool = False,
    control: JobControl | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> npt.NDArray[np.int16]:
    """Decode the first audio track of `source` to a file in `folder`, and map it read-only.

    Args:
        source: the recording.
        folder: where the samples are written; no file stays there after an error.
        max_seconds: longest recording.
        max_bytes: most bytes that the samples may take on disk.
        denoise: lowers steady background noise.
        control: stops decoding with the job.
        stall_seconds: see `STALL_SECONDS`.

    Returns:
        The mix of all channels, int16 [samples].

    Raises:
        UnsupportedMedia: the file is not a complete recording with sound.
        TooLarge: it is over a limit.
        Cancelled: the job was stopped.
    """
    limit = _max_samples(max_seconds, max_bytes)
    return _decode(source, folder, limit, denoise, control, stall_seconds)[:, 0]


def decode_channels(
    source: Path,
    folder: Path,
    *,
    max_seconds: float,
    max_bytes: int,
    denoise: bool = False,
    control: JobControl | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> list[npt.NDArray[np.int16]]:
    """Decode each channel of the first audio track of `source`, in the track's order.

    Arguments and errors are those of `decode_audio`, except that the limits apply to all channels together, since each
    is transcribed separately, and that more than `MAX_CHANNELS` are an UnsupportedMedia.

    Returns:
        int16 [samples] for each channel: strided views of one file with interleaved channels. Channels with the same
        sound, such as a mono recording on a stereo track, are returned as one.
    """
    limit = _max_samples(max_seconds, max_bytes)
    pcm = _decode(source, folder, limit, denoise, control, stall_seconds, mix=False)
    return [pcm[:, channel] for channel in range(1 if _is_mono(pcm) else pcm.shape[1])]


def _max_samples(max_seconds: float, max_bytes: int) -> int:
    """Return the most samples, of all channels together, that a recording may have."""
    return min(int(max_seconds * SAMPLE_RATE), max_bytes // _SAMPLE_BYTES)


def _decode(
    source: Path,
    folder: Path,
    limit: int,
    denoise: bool,
    control: JobControl | None,
    stall_seconds: float,
    *,
    mix: bool = True,
) -> npt.NDArray[np.int16]:
    """Return the first audio track, mapped read-only: int16 [samples, channels]; one channel if they are mixed."""
    _refuse_short_riff(source)
    pcm = folder / "audio.pcm"
    try:
        command = _decode_command(source, pcm, limit, denoise, mix)
        log = _run(command, pcm, control or JobControl(), stall_seconds)
        channels = 1 if mix else _check_channels(log.channels)
        written, late = _file_size(pcm) // (channels * _SAMPLE_BYTES), round(log.audio_start * SAMPLE_RATE)
        _refuse_longer(written + late, channels, limit)
        _refuse_incomplete(log, written)
        if late:
            _prepend_silence(pcm, late * channels * _SAMPLE_BYTES)
        return np.memmap(pcm, dtype="<i2", mode="r").reshape(-1, channels)
    except BaseException:
        pcm.unlink(missing_ok=True)
        raise


def _check_channels(channels: int) -> int:
    """Return the number of channels, 1 if nothing was decoded; raises UnsupportedMedia for too many."""
    if channels > MAX_CHANNELS:
        raise UnsupportedMedia(
            f"the recording has {channels} channels, of which at most {MAX_CHANNELS} can be told apart: send fewer"
        )
    return channels or 1


def _refuse_longer(samples: int, channels: int, limit: int) -> None:
    """Raise TooLarge for a recording of more than `limit` samples in all channels."""
    if samples * channels > limit:
        subject = "the recording is" if channels == 1 else f"the recording's {channels} channels are together"
        raise TooLarge(f"{subject} longer than the limit of {_format_limit(limit / SAMPLE_RATE)}: send it in parts")


def _prepend_silence(pcm: Path, size: int) -> None:
    """Insert `size` bytes of zeros before the samples."""
    padded = pcm.with_suffix(".padded")
    try:
        with pcm.open("rb") as samples, padded.open("wb") as file:
            file.seek(size)
            shutil.copyfileobj(samples, file, 1 << 20)
        padded.replace(pcm)
    finally:
        padded.unlink(missing_ok=True)


def _is_mono(pcm: npt.NDArray[np.int16]) -> bool:
    """Return true if all channels of `pcm` [samples, channels] sound like the first one, in each second.

    The same sound in two channels differs only by its codec: by at most -11 dB relative to the sound, or -28 dB
    relative to the whole recording in its pauses (AAC, MP3, Vorbis). A speaker on one side of a call is all difference.
    """
    powers = []
    for start in range(0, len(pcm), SAMPLE_RATE):
        second = pcm[start : start + SAMPLE_RATE].astype(np.float32)
        differences = second - second[:, :1]
        powers.append((np.square(second[:, 0]).mean(), np.square(differences).mean(axis=0).max()))
    first, difference = np.array(powers).T
    return bool((difference <= 0.1 * first + 0.01 * first.mean()).all())


def _refuse_short_riff(source: Path) -> None:
    """Raise UnsupportedMedia for an empty file, and for a WAV or AVI shorter than its header says.

    ffmpeg corrects such a header silently. A small difference comes from a sloppy encoder, not from a cut.
    """
    size = source.stat().st_size
    if size == 0:
        raise UnsupportedMedia("the file is empty")
    with source.open("rb") as file:
        head = file.read(8)
    declared = int.from_bytes(head[4:], "little")
    if not head.startswith(b"RIFF") or declared >= _RIFF_PLACEHOLDER:
        return
    if declared - size > 4096 + declared // 200:
        raise UnsupportedMedia(
            f"the recording is cut off: it declares {declared} bytes but the file has {size}; {_AGAIN}"
        )


def _decode_command(source: Path, pcm: Path, limit: int, denoise: bool, mix: bool) -> list[str]:
    """Return the ffmpeg command that writes the sound of `source` to `pcm`: hardly more than `limit` samples."""
    # Filters restart where a stream changes its channels, as broadcasts do: none may pad or count from the start.
    # `fs` limits the whole output, but is checked after each packet: one packet of a WAV at 1 Hz resamples to 130 MB.
    # `async` fills gaps, so that samples keep the media's clock; without it, subtitles would run ahead.
    filters = [f"aresample={SAMPLE_RATE}:async=1", f"atrim=start=0:end_sample={limit + 1}"]
    if denoise:
        filters.insert(0, DENOISE)
    media = sandboxed_input(source, threads=1)
    sound = ffmpeg.output(
        media["a:0"],
        f"file:{pcm}",
        format="s16le",
        acodec="pcm_s16le",
        ar=SAMPLE_RATE,
        af=",".join(filters),
        fs=(limit + 1) * _SAMPLE_BYTES,
        **({"ac": 1} if mix else {}),
    )
    # Logs the start of the sound and its number of channels.
    first_frame = ffmpeg.output(media["a:0"], "-", format="null", af="ashowinfo", **{"frames:a": 1})
    return compile_command(ffmpeg.merge_outputs(sound, first_frame))


def _run(command: list[str], pcm: Path, control: JobControl, stall_seconds: float) -> FfmpegLog:
    """Run ffmpeg to its end; kill it when the job ends, or when it stalls (UnsupportedMedia)."""
    log = FfmpegLog()
    with start_ffmpeg(command, log, control) as process:
        _wait_while_it_advances(process, pcm, stall_seconds)
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


def _refuse_incomplete(log: FfmpegLog, samples: int) -> None:
    """Raise UnsupportedMedia unless a recording with sound was decoded from its start to its end."""
    if log.lacks_index:
        raise UnsupportedMedia(f"the recording is cut off: its index is missing; {_AGAIN}")
    if not log.container:
        raise UnsupportedMedia("the file is not audio or video in a format that can be decoded")
    if not any(stream.kind == "Audio" for stream in log.streams):
        raise UnsupportedMedia("the file has no audio track")
    if log.status != 0 or samples == 0:
        raise UnsupportedMedia("the file's audio cannot be decoded: it is damaged or in an unknown codec")
    # The declared duration may count from zero, while ffmpeg's clock starts with the first packet.
    declared = log.duration - max(0.0, log.start)
    if _declares_duration_of_audio(log) and _falls_short(declared, log.position):
        raise UnsupportedMedia(
            f"the recording is cut off: it declares {declared:.1f} s "
            f"but only {log.position:.1f} s could be decoded; {_AGAIN}"
        )
    if log.ended_early:
        raise UnsupportedMedia(f"the recording is cut off: the file ends in the middle of its audio; {_AGAIN}")


def _declares_duration_of_audio(log: FfmpegLog) -> bool:
    """True if the declared duration is exact and of a single track: audio may be shorter than the video beside it."""
    tracks = [stream for stream in log.streams if "(attached pic)" not in stream.description]
    return len(tracks) == 1 and not log.is_duration_estimated and log.container in _DECLARING


def _falls_short(declared: float, decoded: float) -> bool:
    """True if more seconds are missing than a few damaged packets explain."""
    return declared - decoded > 1.0 + 0.002 * declared


def _file_size(file: Path) -> int:
    """Return the bytes of `file`; 0 if ffmpeg has not created it yet."""
    return file.stat().st_size if file.exists() else 0


def _format_limit(seconds: float) -> str:
    """Return a limit in the largest unit that suits it: `12 hours`, `90 seconds`."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} seconds"
