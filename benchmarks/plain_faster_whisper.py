"""faster-whisper in a minimal RunPod handler, with the weights in $WEIGHTS; `benchmarks.coldstart` runs it."""

import base64
import io
import os
import sys
import time
from typing import Any

STARTED = time.perf_counter()


def main() -> None:
    """Start the worker; in a function, because the SDK's helper process imports this module again."""
    if "WITHOUT_TORCH" in os.environ:  # CTranslate2 imports torch if it is installed, but works without it
        sys.modules["torch"] = None  # type: ignore[assignment]
    import runpod
    from faster_whisper import WhisperModel

    imported = time.perf_counter()
    model = WhisperModel(os.environ["WEIGHTS"], device="cpu", compute_type="int8")
    print(f"worker.loaded imported={imported - STARTED:.3f} loaded={time.perf_counter() - STARTED:.3f}", flush=True)

    def handler(job: dict[str, Any]) -> dict[str, str]:
        recording = io.BytesIO(base64.b64decode(job["input"]["audio"]["base64"]))
        segments, _ = model.transcribe(recording, language="en", beam_size=1)
        return {"text": "".join(segment.text for segment in segments)}

    runpod.serverless.start({"handler": handler})


if __name__ == "__main__":
    main()
