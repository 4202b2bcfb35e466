"""Decodes a recording on another thread, so that its beginning can be transcribed before its end is decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from media.log import FfmpegLog
from src.audio.decode import PCM_NAME, DecodedAudio, decode_recording, late_samples
from src.audio.decoding_run import AudioOptions
from src.audio.pcm import GrowingPcm, Pcm
from src.job_control import JobControl


@contextmanager
def start_decoding(
    source: Path, folder: Path, options: AudioOptions, *, max_seconds: float, max_bytes: int, control: JobControl
) -> Iterator[RunningDecoding]:
    """Decode a recording on another thread, as `decode_recording` does; the end of the block stops it."""
    own = JobControl()
    decoding = RunningDecoding(folder / PCM_NAME)
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
        if log is None or not log.first_frame_read.wait() or log.channels != 1 or late_samples(log):
            return None
        return GrowingPcm(self._pcm, self._whole)

    def _publish(self, log: FfmpegLog) -> None:
        self._first_pass = log
        self._is_decided.set()
