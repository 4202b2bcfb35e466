"""Measures how fast the host is: all the work on a recording but the model's, in times real time.

    .venv/bin/python -m benchmarks.host_ceiling [AUDIO] [--minutes 10] [--formats flac opus mp3] [--together 1 4 16]
                                                [--cores 1 2]

AUDIO is repeated until it has that length, and encoded by ffmpeg: mono, 16 kHz. So many recordings at once go through
each stage, and then through all of them, as concurrent jobs do:

    decode        file -> samples on disk
    detect        samples -> windows of speech
    log-mel       windows -> the model's input; on a GPU the device computes it, so that `all` is without it
    align         attention of random numbers, with as many tokens as quick speech has -> times of words
    post-process  tokens -> segments without hallucinations
    serialise     transcript -> all formats -> JSON

Each cell has two figures: seconds of audio for each second of CPU time, of this process and of its ffmpeg, and seconds
of audio for each second on the clock, of all recordings together. The first is what a core can do, the second what this
machine does. `--cores 1 2` repeats the measurement on so many of the machine's cores. A GPU that transcribes faster
than `all` waits for the host.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import whisper
from numpy.typing import NDArray
from whisper.tokenizer import Tokenizer, get_tokenizer

from benchmarks.recordings import REPOSITORY_CLIPS, load_pcm, write_wav
from benchmarks.report import describe_run, markdown_table
from media.sandbox import ffmpeg_executable
from src.audio.decode import decode_recording
from src.audio.decoding_run import AudioOptions
from src.audio.pcm import SAMPLE_RATE, Pcm, Recording, to_float
from src.audio.running_decoding import start_decoding
from src.audio.vad import VadOptions, load_vad
from src.engine.decoding_options import DecodingOptions
from src.engine.dtw import onset_frames
from src.engine.engine import Engine
from src.engine.segments import to_segments
from src.engine.window import Window, WindowTranscript
from src.engine.word_timing import set_words, text_tokens_of
from src.engine.work import DecodeResult
from src.job_control import JobControl
from src.transcription.batched import BatchedOptions, transcribe_in_windows
from src.transcription.hallucination_filter import HallucinationFilter
from src.transcription.windows import find_windows
from transcript.formats.render import render
from transcript.transcript import Transcript

ENCODERS = {
    "wav": ["-c:a", "pcm_s16le"],
    "flac": ["-c:a", "flac"],
    "opus": ["-c:a", "libopus", "-b:a", "24k"],
    "mp3": ["-c:a", "libmp3lame", "-b:a", "64k"],
}
"""ffmpeg's options for each format."""

TOKENS_PER_SECOND = 4
"""Tokens of quick speech, for each second of a window."""
TOKENS_PER_SEGMENT = 25

BATCH = 8
"""Windows that are aligned at once."""

Rate = tuple[float, float]
"""Times real time: for each second of CPU time, and of all recordings together."""


def main() -> None:
    """Measure on each number of cores and print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "audio",
        type=Path,
        nargs="?",
        default=REPOSITORY_CLIPS / "long.ogg",
        metavar="AUDIO",
        help="recording to repeat (default: the repository's long.ogg)",
    )
    cores = sorted(os.sched_getaffinity(0))
    parser.add_argument("--minutes", type=float, default=10.0, help="of each recording (default: %(default)s)")
    parser.add_argument("--formats", nargs="+", default=["flac", "opus", "mp3"], choices=ENCODERS, metavar="FORMAT")
    parser.add_argument("--together", nargs="+", type=int, default=[1, 4, 16], metavar="N", help="recordings at once")
    parser.add_argument("--cores", nargs="+", type=int, default=[len(cores)], metavar="N", help="(default: all)")
    arguments = parser.parse_args()
    if len(arguments.cores) == 1 and arguments.cores[0] == len(cores):
        measure(arguments.audio, arguments.minutes, arguments.formats, arguments.together)
        return
    for number in arguments.cores:
        os.sched_setaffinity(0, cores[:number])  # a process knows its cores from the start
        options = ["--minutes", str(arguments.minutes), "--formats", *arguments.formats]
        options += ["--together", *map(str, arguments.together)]
        subprocess.run([sys.executable, "-m", "benchmarks.host_ceiling", str(arguments.audio), *options], check=True)


def measure(audio: Path, minutes: float, formats: Sequence[str], together: Sequence[int]) -> None:
    """Measure on the cores that this process has, and print the table."""
    torch.set_num_threads(1)  # jobs share the cores, not operations
    load_vad()
    print(f"{describe_run()}\n\n{minutes:g} minutes each, {len(os.sched_getaffinity(0))} cores\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        pcm = repeat(load_pcm(audio), minutes)
        files = {name: encode(pcm, name, Path(folder)) for name in formats}
        windows = [found.window for found in find_windows(pcm, None, VadOptions())]
        batches = [[(window, to_transcript(window)) for window in batch] for batch in _batches(windows)]
        for batch in batches:
            align(batch)
        segments = [segment for batch in batches for _, found in batch for segment in found.segments]
        transcript = Transcript("en", 1.0, minutes * 60, segments)
        stages: dict[str, Callable[[], object]] = {
            **{f"decode, {name}": lambda file=file: decode(file) for name, file in files.items()},  # type: ignore[misc]
            "detect": lambda: list(find_windows(pcm, None, VadOptions())),
            "log-mel": lambda: [whisper.log_mel_spectrogram(to_float(window.audio)) for window in windows],
            "align": lambda: deque(map(align, batches)),
            "post-process": lambda: [
                HallucinationFilter().apply(to_transcript(window).segments, window.audio) for window in windows
            ],
            "serialise": lambda: serialise(transcript),
            **{f"all, {name}": lambda file=file: process(file) for name, file in files.items()},  # type: ignore[misc]
        }
        headings = ["x real time, per core / in sum", *(f"{number} at once" for number in together)]
        print(markdown_table(headings, []), flush=True)
        for stage, work in stages.items():
            work()  # not measured: tables are made at first use
            rates = [measure_rate(work, minutes * 60, number) for number in together]
            print(
                f"| {stage} | {' | '.join(f'{per_core:,.0f} / {in_sum:,.0f}' for per_core, in_sum in rates)} |",
                flush=True,
            )


def measure_rate(work: Callable[[], object], seconds: float, together: int) -> Rate:
    """Return the times real time of so many calls at once, each on a recording of `seconds`."""
    with ThreadPoolExecutor(together) as pool:
        used_before, started = _cpu_seconds(), time.perf_counter()
        for call in [pool.submit(work) for _ in range(together)]:
            call.result()
        elapsed, cpu_seconds = time.perf_counter() - started, _cpu_seconds() - used_before
    return together * seconds / cpu_seconds, together * seconds / elapsed


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of its ended children, such as ffmpeg."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def repeat(pcm: Pcm, minutes: float) -> Pcm:
    """Return the recording over and over, for that long."""
    samples = round(minutes * 60 * SAMPLE_RATE)
    return np.tile(pcm, -(-samples // len(pcm)))[:samples]


def encode(pcm: Pcm, name: str, folder: Path) -> Path:
    """Write a recording in a format, and return its file."""
    source, target = write_wav(pcm, folder / "source.wav"), folder / f"recording.{name}"
    command = [ffmpeg_executable(), "-v", "error", "-i", str(source), *ENCODERS[name], str(target)]
    subprocess.run(command, check=True)
    return target


def decode(file: Path) -> None:
    """Decode a file as a job does."""
    with tempfile.TemporaryDirectory() as folder:
        decode_recording(file, Path(folder), AudioOptions(), max_seconds=86_400, max_bytes=4 << 30)


def process(file: Path) -> str:
    """Do all that a job of this file does, without a model."""
    options = BatchedOptions(DecodingOptions(language="en", word_timestamps=True))
    control, engine = JobControl(), cast(Engine, WithoutModel())
    with (
        tempfile.TemporaryDirectory() as folder,
        start_decoding(
            file, Path(folder), AudioOptions(), max_seconds=86_400, max_bytes=4 << 30, control=control
        ) as decoding,
    ):
        pcm: Recording | None = decoding.readable()
        pcm = decoding.result().channels[0] if pcm is None else pcm
        transcript = transcribe_in_windows(engine, pcm, None, options, control)
    options.text_changes.apply(transcript)
    return serialise(transcript)


class WithoutModel:
    """Stands in for the engine: takes windows, and returns text that a model could have written."""

    def transcribe(self, windows: Iterable[Window], *_: Any, **__: Any) -> Iterator[WindowTranscript]:
        """Yield the transcript of each window."""
        for batch in _batches(windows):
            found = [(window, to_transcript(window)) for window in batch]
            align(found)
            yield from (transcript for _, transcript in found)

    def cancel(self, *_: Any) -> None:
        """Nothing has to be stopped."""


def _batches(windows: Iterable[Window]) -> Iterator[list[Window]]:
    rest = iter(windows)
    while batch := list(islice(rest, BATCH)):
        yield batch


def to_transcript(window: Window) -> WindowTranscript:
    """Return a window's text, of quick speech, made of tokens with timestamps."""
    decoded: list[int] = []
    for number, token in enumerate(islice(cycle(_text_tokens()), round(window.seconds * TOKENS_PER_SECOND))):
        if number % TOKENS_PER_SEGMENT == 0:
            at = tokenizer().timestamp_begin + number * 50 // TOKENS_PER_SECOND
            decoded += [at, at] if number else [at]
        decoded.append(token)
    decoded.append(tokenizer().timestamp_begin + int(window.seconds * 50))
    return WindowTranscript(to_segments(DecodeResult(decoded, -0.2, 0.01, 0.0), tokenizer(), window.seconds))


def align(batch: Sequence[tuple[Window, WindowTranscript]]) -> None:
    """Set the words of windows, by the attention of random numbers."""
    texts = [text_tokens_of(transcript.segments, tokenizer()) for _, transcript in batch]
    costs = [
        _noise()[: len(text) + 1, : round(window.seconds * 50)] for text, (window, _) in zip(texts, batch, strict=True)
    ]
    for text, onsets, (_, transcript) in zip(texts, map(onset_frames, costs), batch, strict=True):
        set_words(transcript.segments, tokenizer(), onsets / 50, [0.9] * len(text))


@cache
def _noise() -> NDArray[np.float64]:
    return np.random.default_rng(0).random((30 * TOKENS_PER_SECOND + 1, 1500))


def serialise(transcript: Transcript) -> str:
    """Return a job's output in all formats as JSON."""
    return json.dumps(render(transcript, ["all"]), ensure_ascii=False)


@cache
def tokenizer() -> Tokenizer:
    """Return the tokenizer of multilingual models, for English."""
    return get_tokenizer(multilingual=True, language="en", task="transcribe")


@cache
def _text_tokens() -> list[int]:
    tokens: list[int] = tokenizer().encode(" " + (REPOSITORY_CLIPS / "long.txt").read_text().strip())
    return tokens


if __name__ == "__main__":
    main()
