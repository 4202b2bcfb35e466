"""faster-whisper in a minimal RunPod handler, for the weights in $WEIGHTS. Run by `benchmarks.coldstart`."""

import base64
import io
import os
import sys
import time
from typing import Any

STARTED = time.perf_counter()


def main() -> None:
    """All in a function, so that the SDK's helper process does not do it again."""
    if "WITHOUT_TORCH" in os.environ:  # CTranslate2 imports it wherever it is installed, and does without it elsewhere
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
