"""Entry point: loads the model, then takes jobs from RunPod (or from `--test_input`, or over `--rp_serve_api`)."""

import os
import sys

# The SDK's own default, DEBUG, logs every job and every answer.
os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")


def main() -> None:
    """Starts the worker; inside a function, so that the SDK's helper processes do not load the model again."""
    import runpod

    from src.errors import ModelUnavailable
    from src.settings import SettingsError

    try:
        from src.rp_handler import handler
    except (SettingsError, ModelUnavailable) as error:
        sys.exit(f"worker-whisper cannot start: {error}")
    runpod.serverless.start({"handler": handler})


if __name__ == "__main__":
    main()
