"""Measures the word errors that the client's Opus compression adds.

    .venv/bin/python -m benchmarks.opus AUDIO_OR_FOLDER... --model base

Each recording with a reference text is transcribed as it is, 1 dB softer and as Opus. The softer copy shows how far
errors vary by chance, without any loss of quality. The figures depend on the recordings and on the model.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from benchmarks.recordings import find_recordings
from benchmarks.report import describe_run
from benchmarks.scoring import Errors, count_errors, sum_errors
from client.media.audio import compress
from media.sandbox import ffmpeg_executable
from src.request.options import Options
from src.whisper_processor import WhisperProcessor


def main() -> None:
    """Transcribe the recordings and print the errors of each and of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio", nargs="+", type=Path, metavar="AUDIO", help="files, or folders with a manifest.json")
    parser.add_argument("--model", default="base", help="name, or path to weights (default: %(default)s)")
    arguments = parser.parse_args()
    processor = WhisperProcessor(arguments.model)
    errors: dict[str, list[Errors]] = {"original": [], "1 dB softer": [], "Opus": []}
    print(f"{describe_run()}\n\n{'recording':40}" + "".join(f"{name:>15}" for name in errors))
    for recording in find_recordings(arguments.audio):
        if not recording.text:
            continue
        options = Options(language=recording.language)
        with tempfile.TemporaryDirectory() as scratch:
            opus = compress(recording.path, Path(scratch))
            paths = (recording.path, write_softer(recording.path, Path(scratch)), opus.path)
            for column, path in zip(errors.values(), paths, strict=True):
                text = processor.transcribe(path, options).text
                column.append(count_errors(recording.text, text, recording.language))
        cells = (f"{column[-1].edits} of {column[-1].total}" for column in errors.values())
        print(f"{recording.name:40}" + "".join(f"{cell:>15}" for cell in cells))
    for name, column in errors.items():
        total = sum_errors(column)
        print(f"{name}: {total.edits} of {total.total} words wrong ({100 * (total.rate or 0):.2f}%)")


def write_softer(path: Path, folder: Path) -> Path:
    """Write a copy of the recording whose volume is 1 dB lower."""
    target = folder / "softer.wav"
    command = [ffmpeg_executable(), "-loglevel", "error", "-i", str(path), "-vn", "-af", "volume=-1dB", str(target)]
    subprocess.run(command, check=True)
    return target


if __name__ == "__main__":
    main()
