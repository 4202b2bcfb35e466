"""Entry point: loads the model, then takes jobs from RunPod (or from `--test_input`, or over `--rp_serve_api`)."""

import os
import sys

# The SDK's own default, DEBUG, logs every job and every answer.
os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")


def main() -> None:
    """Starts the worker; inside a function, so that the SDK's helper processes do not load the model again."""
    import runpod

    from src import fitness, logs
    from src.errors import ModelUnavailable
    from src.settings import SettingsError, get_settings
    from src.storage import check_bucket_settings
    from src.webhooks import check_secret

    try:
        settings = get_settings()
        logs.set_up(settings.log_format)
        check_secret(settings.webhook_secret)
        check_bucket_settings(settings)
        from src.rp_handler import processor
        from src.rp_serving import configuration
    except (SettingsError, ModelUnavailable, ValueError) as error:
        sys.exit(f"worker-whisper cannot start: {error}")
    fitness.register(processor)
    runpod.serverless.start(configuration())


if __name__ == "__main__":
    main()
