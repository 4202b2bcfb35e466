"""Runs the job in `test_input.json` through the handler, as RunPod would, and prints the answer.

`make demo` and the last step of the image's build run it. It fails if the transcript is wrong.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def main() -> None:
    """Load the model, run the job and check the transcript.

    Raises:
        SystemExit: The job failed, or less than half of the clip's words were recognised.
    """
    from src.settings import get_settings

    print(f"Loading the model {get_settings().whisper_model} ...", flush=True)
    started = time.perf_counter()
    from src.rp_handler import handler
    from src.self_test import count_demo_words

    print(
        f"Ready after {time.perf_counter() - started:.1f} s. Transcribing the clip in test_input.json ...", flush=True
    )
    answer = handler(json.loads((ROOT / "test_input.json").read_text()))
    if "error" in answer:
        sys.exit(f"{answer['error_type']}: {answer['error']}")
    print_answer(answer)
    recognised, expected = count_demo_words(answer["transcription"]["text"])
    if 2 * recognised < expected:
        sys.exit(f"Only {recognised} of {expected} words of the clip were recognised.")


def print_answer(answer: dict[str, Any]) -> None:
    """Print the text, segments, SRT and metadata."""
    print(f"\nText\n  {answer['transcription']['text']}\n\nSegments")
    for segment in answer["transcription"]["segments"]:
        print(f"  {segment['start']:6.2f} - {segment['end']:6.2f}  {segment['text'].strip()}")
    print("\nSRT\n  " + answer["transcription"]["srt"].strip().replace("\n", "\n  "))
    print("\nMetadata")
    for key, value in answer["metadata"].items():
        print(f"  {key:21} {value}")


if __name__ == "__main__":
    main()
