"""The plain way: openai-whisper in a minimal RunPod handler, with $WEIGHTS. Run by `benchmarks.coldstart`."""

import base64
import os
import tempfile
import time
from typing import Any

STARTED = time.perf_counter()


def main() -> None:
    """All in a function, so that the SDK's helper process does not do it again."""
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
