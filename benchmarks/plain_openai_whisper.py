"""openai-whisper in a minimal RunPod handler, with the weights in $WEIGHTS; `benchmarks.coldstart` runs it."""

import base64
import os
import tempfile
import time
from typing import Any

STARTED = time.perf_counter()


def main() -> None:
    """Start the worker; in a function, because the SDK's helper process imports this module again."""
    import runpod
    import whisper

    imported = time.perf_counter()
    model = whisper.load_model(os.environ["WEIGHTS"])
    print(f"worker.loaded imported={imported - STARTED:.3f} loaded={time.perf_counter() - STARTED:.3f}", flush=True)

    def handler(job: dict[str, Any]) -> dict[str, str]:
        with tempfile.NamedTemporaryFile(suffix=".ogg") as file:
            file.write(base64.b64decode(job["input"]["audio"]["base64"]))
            file.flush()
            return {"text": model.transcribe(file.name, language="en")["text"]}

    runpod.serverless.start({"handler": handler})


if __name__ == "__main__":
    main()
