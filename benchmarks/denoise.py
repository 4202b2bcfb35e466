"""Measures Whisper's word errors on noisy speech, as it is and after ffmpeg's noise reduction filters.

    .venv/bin/python -m benchmarks.denoise [AUDIO...] [--model base] [--filters highpass=f=100 ...]

The first minute of each recording with a reference text is mixed with white noise, pink noise, a 50 Hz hum and the
babble of the other recordings, all generated here with fixed seeds. The signal-to-noise ratio is that of the mean
powers of speech and noise over the whole recording. The mixture goes through a filter, then through the worker with its
default options except for the language. Errors are added up over the recordings. Temperature fallback samples at
random, so that a second run differs slightly; the figures depend on the model and the recordings.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from benchmarks.recordings import REPOSITORY_CLIPS, Recording, cut_recording, find_recordings, load_pcm, write_wav
from benchmarks.report import describe_run, format_rate, markdown_table
from benchmarks.scoring import LANGUAGES_SCORED_BY_CHARACTER, Errors, count_errors, split_units, sum_errors
from media.sandbox import ffmpeg_executable
from src.audio.decoding_run import DENOISE
from src.audio.pcm import SAMPLE_RATE
from src.request.options import Options
from src.whisper_processor import WhisperProcessor

RESULTS = Path(__file__).with_name("results")
BABBLE_VOICES = 6
CONCURRENCY = 8
"""Recordings in the worker at the same time."""

Pcm = NDArray[np.int16]
Samples = NDArray[np.float64]
NoiseMaker = Callable[[int, np.random.Generator, Sequence[Pcm]], Samples]
"""Returns that many samples of noise; the last argument is the other recordings' speech."""

DEFAULT_FILTERS = [DENOISE, f"{DENOISE}:tn=1", "highpass=f=80,lowpass=f=7000", "dynaudnorm"]
"""The ffmpeg filters that are compared by default."""


def make_coloured_noise(exponent: float) -> NoiseMaker:
    """Return a source of noise with power ~ frequency ** -exponent from 20 Hz up: 0 white, 1 pink, 2 brown."""

    def noise(samples: int, random: np.random.Generator, _: Sequence[Pcm]) -> Samples:
        spectrum = np.fft.rfft(random.normal(size=samples))
        frequencies = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
        return np.fft.irfft(spectrum * np.maximum(frequencies, 20.0) ** (-exponent / 2), samples)

    return noise


def make_hum(samples: int, random: np.random.Generator, _: Sequence[Pcm]) -> Samples:
    """Return mains hum: 50 Hz and its first ten overtones, with amplitudes 1 / order."""
    seconds = np.arange(samples) / SAMPLE_RATE
    return sum(
        (np.sin(2 * np.pi * (50 * order * seconds + random.random())) / order for order in range(1, 12)),
        start=np.zeros(samples),
    )


def make_babble(samples: int, random: np.random.Generator, other_speech: Sequence[Pcm]) -> Samples:
    """Return several equally loud voices at once: other recordings, each from a random position on."""
    babble = np.zeros(samples)
    for index in range(BABBLE_VOICES):
        speech = other_speech[index % len(other_speech)].astype(np.float64)
        voice = np.resize(np.roll(speech, -int(random.integers(len(speech)))), samples)
        babble += voice / (_mean_power(voice) ** 0.5 or 1.0)
    return babble


NOISES: dict[str, NoiseMaker] = {
    "white": make_coloured_noise(0),
    "pink": make_coloured_noise(1),
    "hum": make_hum,
    "babble": make_babble,
}


def mix(speech: Pcm, noise: Samples, snr_db: float) -> Pcm:
    """Add noise at a signal-to-noise ratio; scale the mixture down where it would clip."""
    noise_gain = (_mean_power(speech) / _mean_power(noise) / 10 ** (snr_db / 10)) ** 0.5
    mixture = speech + noise_gain * noise
    scaled: Pcm = np.rint(mixture * min(1.0, 32_767 / np.abs(mixture).max())).astype(np.int16)
    return scaled


def _mean_power(samples: Samples | Pcm) -> float:
    return float(np.square(samples, dtype=np.float64).mean())


def apply_filter(recording: Path, chain: str) -> Path:
    """Write a filtered copy beside the recording; return the recording itself for an empty filter chain."""
    if not chain:
        return recording
    target = recording.with_suffix(f".{zlib.crc32(chain.encode()):x}.wav")
    ffmpeg = [ffmpeg_executable(), "-nostdin", "-v", "error", "-y"]
    subprocess.run([*ffmpeg, "-i", recording, "-af", chain, "-ar", str(SAMPLE_RATE), target], check=True)
    return target


def matching_beginning(text: str, transcript: str, language: str | None) -> str:
    """Return the beginning of a text that is nearest to a transcript, normalised as for scoring."""
    units = split_units(text, language)
    transcribed = split_units(transcript, language)
    length = min(range(len(units) + 1), key=lambda length: Levenshtein.distance(units[:length], transcribed))
    return ("" if language in LANGUAGES_SCORED_BY_CHARACTER else " ").join(units[:length])


def shorten(recording: Recording, seconds: float, processor: WhisperProcessor, folder: Path) -> Recording:
    """Cut a longer recording; its reference text is cut where the model's transcript without noise ends."""
    if recording.seconds <= seconds:
        return recording
    beginning = cut_recording(recording, 0, seconds, folder)
    transcript = processor.transcribe(beginning.path, Options(language=recording.language)).text
    return replace(beginning, text=matching_beginning(recording.text or "", transcript, recording.language))


class Comparison:
    """Transcribes the same recordings with one model under all conditions."""

    def __init__(self, processor: WhisperProcessor, recordings: Sequence[Recording]) -> None:
        self._processor = processor
        self._recordings = recordings
        self._pcm = [load_pcm(recording.path) for recording in recordings]

    def measure(self, noise: str | None, snr_db: float, chains: Sequence[str]) -> list[Errors]:
        """Return the errors after each filter chain, added up over the recordings; `noise` None adds none."""
        with tempfile.TemporaryDirectory() as folder:
            paths = list(self._write_mixtures(noise, snr_db, Path(folder)))
            return [sum_errors(self._count_errors([apply_filter(path, chain) for path in paths])) for chain in chains]

    def _write_mixtures(self, noise: str | None, snr_db: float, folder: Path) -> Iterator[Path]:
        for number, speech in enumerate(self._pcm):
            mixture = speech
            if noise is not None:
                other_speech = [pcm for index, pcm in enumerate(self._pcm) if index != number]
                samples = NOISES[noise](len(speech), np.random.default_rng(number), other_speech)
                mixture = mix(speech, samples, snr_db)
            yield write_wav(mixture, folder / f"{number}.wav")

    def _count_errors(self, paths: Sequence[Path]) -> list[Errors]:
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            return list(pool.map(self._transcribe_and_count, self._recordings, paths))

    def _transcribe_and_count(self, recording: Recording, path: Path) -> Errors:
        text = self._processor.transcribe(path, Options(language=recording.language)).text
        return count_errors(recording.text or "", text, recording.language)


def main() -> None:
    """Measure all noises, ratios and filters, print the table and save it."""
    arguments = _parse_arguments()
    recordings = [recording for recording in find_recordings(arguments.audio) if recording.text]
    if len(recordings) < 2:
        raise SystemExit("two recordings with a reference text are needed: each is the other's babble")
    processor = WhisperProcessor(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        recordings = [shorten(recording, arguments.seconds, processor, Path(folder)) for recording in recordings]
        comparison = Comparison(processor, recordings)
    conditions = [(None, 0.0), *((noise, snr_db) for noise in NOISES for snr_db in arguments.snr)]
    rows: dict[str, list[Errors]] = {}
    for noise, snr_db in conditions:
        name = "none" if noise is None else f"{noise}, {snr_db:g} dB"
        rows[name] = comparison.measure(noise, snr_db, ["", *arguments.filters])
        print(name, *(format_rate(errors) for errors in rows[name]), flush=True)
    _save(arguments, rows)


def _save(arguments: argparse.Namespace, rows: dict[str, list[Errors]]) -> None:
    """Print and save the table: a row for each noise, a column for each filter."""
    clean, *noisy = rows.values()
    rows = {**rows, "all noises": [sum_errors(column) for column in zip(*noisy, strict=True)]}
    headings = ["noise", "no filter", *(f"`{chain}`" for chain in arguments.filters)]
    cells = [[name, *map(format_rate, row)] for name, row in rows.items()]
    title = f"# {arguments.model}: errors in {clean[0].total} words, by noise and filter"
    text = f"{title}\n\n{describe_run()}\n\n{markdown_table(headings, cells)}\n"
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "denoise.md"
    path.write_text(text, encoding="utf-8")
    print(f"\n{text}\nsaved as {path}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "audio",
        type=Path,
        nargs="*",
        default=[REPOSITORY_CLIPS],
        metavar="AUDIO",
        help="files, or folders with a manifest.json (default: the repository's clips)",
    )
    parser.add_argument("--model", default="base", help="name, or path to weights (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="maximum length of each recording (default: %(default)g)"
    )
    parser.add_argument(
        "--snr",
        type=float,
        nargs="+",
        default=[10.0, 5.0, 0.0],
        metavar="DB",
        help="signal-to-noise ratios (default: 10 5 0)",
    )
    parser.add_argument(
        "--filters",
        nargs="+",
        default=DEFAULT_FILTERS,
        metavar="CHAIN",
        help="ffmpeg filter chains (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the table (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
