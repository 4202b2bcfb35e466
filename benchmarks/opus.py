"""What the client's Opus costs: errors in the words of the original recordings, and of the same ones compressed.

python -m benchmarks.opus AUDIO_OR_FOLDER... --model base
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from benchmarks.recordings import find_recordings
from benchmarks.scoring import Errors, errors, in_sum
from client.media.audio import compress, ffmpeg_executable
from src.request.options import Options
from src.whisper_processor import WhisperProcessor


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.opus", description=__doc__)
    parser.add_argument("audio", nargs="+", type=Path)
    parser.add_argument("--model", default="base")
    arguments = parser.parse_args()
    processor = WhisperProcessor(arguments.model)
    found: dict[str, list[Errors]] = {"original": [], "1 dB softer": [], "Opus": []}
    print(f"{'recording':40}" + "".join(f"{name:>15}" for name in found))
    for recording in find_recordings(arguments.audio):
        if not recording.text:
            continue
        options = Options(language=recording.language)
        with tempfile.TemporaryDirectory() as scratch:
            sound = compress(recording.path, Path(scratch))
            paths = (recording.path, softer(recording.path, Path(scratch)), sound.path)
            for wrong, path in zip(found.values(), paths, strict=True):
                heard = processor.transcribe(path, options).text
                wrong.append(errors(recording.text, heard, recording.language))
        row = (f"{wrong[-1].edits} of {wrong[-1].said}" for wrong in found.values())
        print(f"{recording.name:40}" + "".join(f"{cell:>15}" for cell in row))
    for name, wrong in found.items():
        sums = in_sum(wrong)
        print(f"{name}: {sums.edits} of {sums.said} words wrong ({100 * (sums.rate or 0):.2f}%)")


def softer(path: Path, folder: Path) -> Path:
    target = folder / "softer.wav"
    command = [ffmpeg_executable(), "-loglevel", "error", "-i", str(path), "-vn", "-af", "volume=-1dB", str(target)]
    subprocess.run(command, check=True)
    return target


if __name__ == "__main__":
    main()
