"""What noise reduction does for Whisper: its errors on speech in noise, as it comes and after ffmpeg's filters.

    python -m benchmarks.denoise [AUDIO...] [--model base] [--filters highpass=f=100 ...]

Each recording whose text is known, or its first minute, is mixed with white noise, pink noise, a hum of 50 Hz and the
babble of other recordings, made here with fixed seeds. Signal-to-noise ratio is that of the mean powers of the whole
recording and of the noise. The mixture goes through a filter, then through the worker with its default options but the
language. Errors are in sum over the recordings; the ladder of temperatures draws lots, so that a second run differs.
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

from benchmarks.recordings import REPOSITORY_CLIPS, Recording, cut, find_recordings, pcm_of, write_wav
from benchmarks.report import machine, markdown, percent
from benchmarks.scoring import WITHOUT_SPACES, Errors, edit_distance, errors, in_sum, units
from src.audio.decode import DENOISE
from src.audio.ffmpeg_process import ffmpeg_executable
from src.audio.pcm import SAMPLE_RATE
from src.request.options import Options
from src.whisper_processor import WhisperProcessor

RESULTS = Path(__file__).with_name("results")
VOICES = 6
"""Speakers of the babble."""
AT_ONCE = 8
"""Recordings in the worker at once."""

Pcm = NDArray[np.int16]
Samples = NDArray[np.float64]
Noise = Callable[[int, np.random.Generator, Sequence[Pcm]], Samples]
"""Samples of noise of a length; the last argument is what others say."""

TRIED = [DENOISE, f"{DENOISE}:tn=1", "highpass=f=80,lowpass=f=7000", "dynaudnorm"]
"""Filters of ffmpeg's that are compared where none are named."""


def coloured(exponent: float) -> Noise:
    """Noise whose power falls with frequency by this exponent: 0 white, 1 pink, 2 brown; from 20 Hz up."""

    def noise(samples: int, random: np.random.Generator, _: Sequence[Pcm]) -> Samples:
        spectrum = np.fft.rfft(random.normal(size=samples))
        frequencies = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
        return np.fft.irfft(spectrum * np.maximum(frequencies, 20.0) ** (-exponent / 2), samples)

    return noise


def hum(samples: int, random: np.random.Generator, _: Sequence[Pcm]) -> Samples:
    """The mains: 50 Hz and ten overtones, the higher the softer."""
    seconds = np.arange(samples) / SAMPLE_RATE
    return sum(
        (np.sin(2 * np.pi * (50 * order * seconds + random.random())) / order for order in range(1, 12)),
        start=np.zeros(samples),
    )


def babble(samples: int, random: np.random.Generator, others: Sequence[Pcm]) -> Samples:
    """Several voices at once, equally loud: other recordings, from anywhere in them on."""
    voices = np.zeros(samples)
    for turn in range(VOICES):
        voice = others[turn % len(others)].astype(np.float64)
        said = np.resize(np.roll(voice, -int(random.integers(len(voice)))), samples)
        voices += said / (_power(said) ** 0.5 or 1.0)
    return voices


NOISES: dict[str, Noise] = {"white": coloured(0), "pink": coloured(1), "hum": hum, "babble": babble}


def mixed(speech: Pcm, noise: Samples, ratio: float) -> Pcm:
    """Speech with noise so loud that it lies `ratio` dB under the speech; softer as a whole where that would clip."""
    loudness = (_power(speech) / _power(noise) / 10 ** (ratio / 10)) ** 0.5
    mixture = speech + loudness * noise
    fitting: Pcm = np.rint(mixture * min(1.0, 32_767 / np.abs(mixture).max())).astype(np.int16)
    return fitting


def _power(samples: Samples | Pcm) -> float:
    return float(np.square(samples, dtype=np.float64).mean())


def filtered(recording: Path, chain: str) -> Path:
    """A new file beside the recording, after a chain of ffmpeg's filters; the recording itself without one."""
    if not chain:
        return recording
    made = recording.with_suffix(f".{zlib.crc32(chain.encode()):x}.wav")
    ffmpeg = [ffmpeg_executable(), "-nostdin", "-v", "error", "-y"]
    subprocess.run([*ffmpeg, "-i", recording, "-af", chain, "-ar", str(SAMPLE_RATE), made], check=True)
    return made


def until(text: str, transcript: str, language: str | None) -> str:
    """The beginning of a text that comes nearest to a transcript of the beginning of its recording."""
    said = units(text, language)
    lengths = range(len(said) + 1)
    length = min(lengths, key=lambda length: edit_distance(said[:length], units(transcript, language)))
    return ("" if language in WITHOUT_SPACES else " ").join(said[:length])


def shortened(recording: Recording, seconds: float, processor: WhisperProcessor, folder: Path) -> Recording:
    """The beginning of a longer recording, with that part of its text which the model hears there without noise."""
    if recording.seconds <= seconds:
        return recording
    part = cut(recording, 0, seconds, folder)
    heard = processor.transcribe(part.path, Options(language=recording.language)).text
    return replace(part, text=until(recording.text or "", heard, recording.language))


class Comparison:
    """One model, and the recordings that it hears under all conditions."""

    def __init__(self, processor: WhisperProcessor, recordings: Sequence[Recording]) -> None:
        self._processor = processor
        self._recordings = recordings
        self._pcm = [pcm_of(recording.path) for recording in recordings]

    def errors_of(self, noise: str | None, ratio: float, chains: Sequence[str]) -> list[Errors]:
        """The errors in sum after each chain of filters; without noise if there is none."""
        with tempfile.TemporaryDirectory() as folder:
            paths = list(self._mixtures(noise, ratio, Path(folder)))
            return [in_sum(self._errors([filtered(path, chain) for path in paths])) for chain in chains]

    def _mixtures(self, noise: str | None, ratio: float, folder: Path) -> Iterator[Path]:
        for number, speech in enumerate(self._pcm):
            heard = speech
            if noise is not None:
                others = [pcm for other, pcm in enumerate(self._pcm) if other != number]
                heard = mixed(speech, NOISES[noise](len(speech), np.random.default_rng(number), others), ratio)
            yield write_wav(heard, folder / f"{number}.wav")

    def _errors(self, paths: Sequence[Path]) -> list[Errors]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self._errors_in, self._recordings, paths))

    def _errors_in(self, recording: Recording, path: Path) -> Errors:
        text = self._processor.transcribe(path, Options(language=recording.language)).text
        return errors(recording.text or "", text, recording.language)


def main() -> None:
    arguments = _arguments()
    recordings = [recording for recording in find_recordings(arguments.audio) if recording.text]
    if len(recordings) < 2:
        raise SystemExit("two recordings with a known text are needed: one is the other's babble")
    processor = WhisperProcessor(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        recordings = [shortened(one, arguments.seconds, processor, Path(folder)) for one in recordings]
        comparison = Comparison(processor, recordings)
    conditions = [(None, 0.0), *((noise, ratio) for noise in NOISES for ratio in arguments.snr)]
    rows: dict[str, list[Errors]] = {}
    for noise, ratio in conditions:
        name = "none" if noise is None else f"{noise}, {ratio:g} dB"
        rows[name] = comparison.errors_of(noise, ratio, ["", *arguments.filters])
        print(name, *(percent(one) for one in rows[name]), flush=True)
    _save(arguments, rows)


def _save(arguments: argparse.Namespace, rows: dict[str, list[Errors]]) -> None:
    """Prints and keeps the table: a row a noise, a column a filter."""
    clean, *noisy = rows.values()
    rows = {**rows, "in sum, with noise": [in_sum(column) for column in zip(*noisy, strict=True)]}
    heads = ["noise", "as it is", *(f"`{chain}`" for chain in arguments.filters)]
    cells = [[name, *map(percent, row)] for name, row in rows.items()]
    title = f"# {arguments.model}: errors in {clean[0].said} words, under each noise"
    text = f"{title}\n\n{machine()}\n\n{markdown(heads, cells)}\n"
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "denoise.md"
    path.write_text(text, encoding="utf-8")
    print(f"\n{text}\nsaved as {path}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio", type=Path, nargs="*", default=[REPOSITORY_CLIPS], metavar="AUDIO")
    parser.add_argument("--model", default="base", help="name, or path to weights (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each recording at most (default: %(default)g)")
    parser.add_argument("--snr", type=float, nargs="+", default=[10.0, 5.0, 0.0], metavar="DB", help="default: 10 5 0")
    parser.add_argument(
        "--filters", nargs="+", default=TRIED, metavar="CHAIN", help="of ffmpeg's (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the table (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
