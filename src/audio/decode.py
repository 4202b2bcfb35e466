"""Any audio or video file → 16 kHz PCM on disk, by ffmpeg: the mix of its channels, or each of them.

The file is hostile until proven otherwise: ffmpeg looks at nothing else (`src/audio/ffmpeg_process.py`), and works
under limits that hold for what comes out, not for what a header declares.

What is cut off is refused rather than transcribed by half. Four signs tell it, none of which an intact file
shows (tried with ffmpeg 5.1 and 9.0):

    mov/mp4         no index (`moov`), or a packet of the audio track that lies beyond the end of the file
    matroska/webm   the file ends inside an element
    wav, avi        the RIFF header declares more bytes than there are
    one track only  a header declares a duration (flac, mp3 with Xing, wv…) that the audio does not reach

Raw streams (ogg, aac, mp3 without Xing…) carry no sign: what is there is decoded.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import ffmpeg
import numpy as np
import numpy.typing as npt

from src.audio.ffmpeg_process import compile_command, parse_clock, read_log_lines, recording, running
from src.audio.pcm import SAMPLE_RATE
from src.errors import TooLarge, UnsupportedMedia
from src.job_control import JobControl

"""Samples per second of everything that is decoded: what Whisper listens to."""

MAX_CHANNELS = 8
"""Channels that are told apart at the most: 7.1 has as many."""

_SAMPLE_BYTES = 2

# Demuxers whose duration was written by the encoder; others guess it from the bytes that are there.
_DECLARING = {"aiff", "ape", "au", "flac", "matroska,webm", "mp3", "rm", "tta", "wav", "wv"}

# White noise at -44 dB falls by 12 dB, by only 4 with the default floor of -50; a tone at -21 dB stays.
# No filter that was tried helps Whisper throughout (benchmarks/denoise.py), so that there is no choice of them.
DENOISE = "afftdn=nf=-25"

_STALL_SECONDS = 60.0

# RIFF sizes from here up are what writers to a pipe put in place of the length that they cannot know.
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
) -> npt.NDArray[np.int16]:
    """Decode the first audio track of `source` to a file in `folder`, and map it read-only: int16 [samples].

    `max_seconds` bounds the length of the recording and `max_bytes` the room it takes on disk when decoded;
    `denoise` lowers steady background noise. Raises UnsupportedMedia for what is not a whole recording with
    sound, TooLarge for one over a limit, and Cancelled when `control` stops the job; none leaves a file behind.
    """
    return _decode(source, folder, _limit(max_seconds, max_bytes), denoise, control)[:, 0]


def decode_channels(
    source: Path,
    folder: Path,
    *,
    max_seconds: float,
    max_bytes: int,
    denoise: bool = False,
    control: JobControl | None = None,
) -> list[npt.NDArray[np.int16]]:
    """Decode each channel of the first audio track of `source`, in the track's order: int16 [samples] each.

    As `decode_audio`, but that the limits hold for all channels together, each of which is work of its own. The arrays
    are strided views of one file, in which the channels lie interleaved. Channels that hold the same sound, such as
    those of a mono recording on a stereo track, are one. Raises UnsupportedMedia also for more than `MAX_CHANNELS`.
    """
    pcm = _decode(source, folder, _limit(max_seconds, max_bytes), denoise, control, mix=False)
    return [pcm[:, channel] for channel in range(1 if _is_mono(pcm) else pcm.shape[1])]


def _limit(max_seconds: float, max_bytes: int) -> int:
    """Samples of all channels that a recording may have."""
    return min(int(max_seconds * SAMPLE_RATE), max_bytes // _SAMPLE_BYTES)


def _decode(
    source: Path, folder: Path, limit: int, denoise: bool, control: JobControl | None, *, mix: bool = True
) -> npt.NDArray[np.int16]:
    """The first audio track, mapped read-only: int16 [samples, channels]; one channel if they are mixed."""
    _refuse_short_riff(source)
    pcm = folder / "audio.pcm"
    try:
        log = _run(_command(source, pcm, limit, denoise, mix), pcm, control or JobControl())
        channels = 1 if mix else _told_apart(log.channels)
        written, late = _size(pcm) // (channels * _SAMPLE_BYTES), round(log.starts * SAMPLE_RATE)
        _refuse_longer(written + late, channels, limit)
        log.refuse_unless_whole(written)
        if late:
            _prepend_silence(pcm, late * channels * _SAMPLE_BYTES)
        return np.memmap(pcm, dtype="<i2", mode="r").reshape(-1, channels)
    except BaseException:
        pcm.unlink(missing_ok=True)
        raise


def _told_apart(channels: int) -> int:
    """The number of channels; one in what could not be decoded. Raises UnsupportedMedia for too many."""
    if channels > MAX_CHANNELS:
        raise UnsupportedMedia(
            f"the recording has {channels} channels, of which at most {MAX_CHANNELS} can be told apart: send fewer"
        )
    return channels or 1


def _refuse_longer(samples: int, channels: int, limit: int) -> None:
    """Raise TooLarge for a recording of more than `limit` samples in all channels."""
    if samples * channels > limit:
        long = "the recording is" if channels == 1 else f"the recording's {channels} channels are together"
        raise TooLarge(f"{long} longer than the limit of {_spoken(limit / SAMPLE_RATE)}: send it in parts")


def _prepend_silence(pcm: Path, size: int) -> None:
    """Puts zeros of so many bytes before the samples."""
    late = pcm.with_suffix(".late")
    try:
        with pcm.open("rb") as samples, late.open("wb") as file:
            file.seek(size)
            shutil.copyfileobj(samples, file, 1 << 20)
        late.replace(pcm)
    finally:
        late.unlink(missing_ok=True)


def _is_mono(pcm: npt.NDArray[np.int16]) -> bool:
    """Whether all channels, of [samples, channels], sound like the first one, in each second.

    One sound in two channels differs by what codecs do to it: 11 dB below the sound at the most, or 28 dB below the
    whole recording's in its pauses (AAC, MP3, Vorbis). Who speaks on one side of a call alone is all difference.
    """
    powers = []
    for start in range(0, len(pcm), SAMPLE_RATE):
        second = pcm[start : start + SAMPLE_RATE].astype(np.float32)
        apart = second - second[:, :1]
        powers.append((np.square(second[:, 0]).mean(), np.square(apart).mean(axis=0).max()))
    first, difference = np.array(powers).T
    return bool((difference <= 0.1 * first + 0.01 * first.mean()).all())


def _refuse_short_riff(source: Path) -> None:
    """Raise UnsupportedMedia for an empty file, and for a WAV or AVI shorter than its header says.

    ffmpeg corrects such a header silently. A length that is off by little is a sloppy writer's, not a cut.
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


def _command(source: Path, pcm: Path, limit: int, denoise: bool, mix: bool) -> list[str]:
    """The ffmpeg command that writes the sound of `source` to `pcm`: hardly more than `limit` samples."""
    # Filters begin anew where a stream changes its channels, as broadcasts do: none may pad or count from the start.
    # `fs` holds for all that is written, but looks after each packet: one of a WAV at 1 Hz resamples to 130 MB.
    # async: what has gaps keeps the media's own clock, or subtitles would run ahead of it.
    filters = [f"aresample={SAMPLE_RATE}:async=1", f"atrim=start=0:end_sample={limit + 1}"]
    if denoise:
        filters.insert(0, DENOISE)
    media = recording(source, threads=1)
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
    # Tells the log when the sound starts, and in how many channels.
    facts = ffmpeg.output(media["a:0"], "-", format="null", af="ashowinfo", **{"frames:a": 1})
    return compile_command(ffmpeg.merge_outputs(sound, facts))


def _run(command: list[str], pcm: Path, control: JobControl) -> "_Log":
    """Run ffmpeg to its end, or kill it when it stalls (UnsupportedMedia), or when the job or the caller ends."""
    log = _Log()
    with running(command, log.read, control) as process:
        _wait_while_it_advances(process, pcm)
    log.status = process.returncode
    return log


def _wait_while_it_advances(process: "subprocess.Popen[str]", pcm: Path) -> None:
    """Wait for the end of `process` as long as it decodes no slower than the recording would play."""
    written = 0
    while True:
        try:
            process.wait(_STALL_SECONDS)
            return
        except subprocess.TimeoutExpired:
            grown = _size(pcm) - written
            if grown < _STALL_SECONDS * SAMPLE_RATE * _SAMPLE_BYTES:
                raise UnsupportedMedia("decoding the file stalled: it is damaged; re-encode it") from None
            written += grown


@dataclass
class _Log:
    """The few facts of ffmpeg's log that matter; a hostile file can make the log itself endless."""

    status: int = 0
    container: str = ""  # the demuxer's name, empty when the file could not be opened
    tracks: int = 0  # of any kind, other than cover pictures
    has_audio: bool = False
    channels: int = 0  # of the first audio track at its start; 0 when nothing could be decoded
    starts: float = 0.0  # seconds on the container's clock, never negative, at which its sound starts
    declared: float = 0.0  # seconds that the container says it lasts; 0 when it does not say
    estimated: bool = False  # `declared` was computed from the file's size
    reached: float = 0.0  # seconds on the container's clock, gaps included, up to which audio was decoded
    no_index: bool = False
    ended_early: bool = False

    def read(self, stream: IO[str]) -> None:
        """Take in the log up to its end."""
        in_header = False
        for line in read_log_lines(stream):
            if line.startswith("Input #0, "):
                in_header = True
                self.container = line.removeprefix("Input #0, ").partition(", from ")[0]
            elif line.startswith(("Stream mapping:", "Output #0")):
                in_header = False
            elif in_header:
                self._read_header(line)
            else:
                self._read_message(line)

    def _read_header(self, line: str) -> None:
        if found := re.match(r"  Duration: (\d+):(\d\d):(\d\d\.\d+)(?:, start: (-?\d+\.\d+))?", line):
            # A duration may count from zero, while ffmpeg's clock starts with the first packet.
            self.declared = parse_clock(found) - max(0.0, float(found[4] or 0))
        elif (found := re.match(r" +Stream #0:\d.*?: (Audio|Video|Subtitle|Data|Attachment|Unknown): ", line)) and (
            "(attached pic)" not in line
        ):
            self.tracks += 1
            self.has_audio |= found[1] == "Audio"

    def _read_message(self, line: str) -> None:
        if found := re.search(r"\btime=(\d+):(\d\d):(\d\d\.\d+)", line):
            self.reached = parse_clock(found)
        elif line.startswith("["):
            self.estimated |= "Estimating duration from bitrate" in line
            if self.channels == 0 and (found := re.search(r" pts_time:(\S+) .*? channels:(\d+) ", line)):
                self.starts = max(0.0, float(found[1])) if found[1] != "NOPTS" else 0.0
                self.channels = int(found[2])
            self.no_index |= line.endswith("moov atom not found\n")
            self.ended_early |= line.endswith((": partial file\n", "File ended prematurely\n"))

    def refuse_unless_whole(self, samples: int) -> None:
        """Raise UnsupportedMedia unless a recording with sound was decoded from its start to its end."""
        if self.no_index:
            raise UnsupportedMedia(f"the recording is cut off: its index is missing; {_AGAIN}")
        if not self.container:
            raise UnsupportedMedia("the file is not audio or video in a format that can be decoded")
        if not self.has_audio:
            raise UnsupportedMedia("the file has no audio track")
        if self.status != 0 or samples == 0:
            raise UnsupportedMedia("the file's audio cannot be decoded: it is damaged or in an unknown codec")
        if self._falls_short():
            raise UnsupportedMedia(
                f"the recording is cut off: it declares {self.declared:.1f} s "
                f"but only {self.reached:.1f} s could be decoded; {_AGAIN}"
            )
        if self.ended_early:
            raise UnsupportedMedia(f"the recording is cut off: the file ends in the midst of its audio; {_AGAIN}")

    def _falls_short(self) -> bool:
        """Whether the audio ends before the declared duration, by more than a few damaged packets explain.

        Only a lone track tells: beside a video, audio may rightly be the shorter one.
        """
        if self.tracks != 1 or self.estimated or self.container not in _DECLARING:
            return False
        return self.declared - self.reached > 1.0 + 0.002 * self.declared


def _size(file: Path) -> int:
    """Bytes of `file`; 0 when ffmpeg has not come to make it."""
    return file.stat().st_size if file.exists() else 0


def _spoken(seconds: float) -> str:
    """A limit in the largest unit that fits it: `12 hours`, `90 seconds`."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} seconds"
