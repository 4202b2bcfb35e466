"""Entry point: loads the model, then takes jobs from RunPod, from `--test_input`, or over `--rp_serve_api`."""

import argparse
import json
import os
import sys
import time

STARTED = time.perf_counter()

# The SDK's default, DEBUG, logs every job and every answer.
os.environ.setdefault("RUNPOD_LOG_LEVEL", "INFO")


def main() -> None:
    """Start the worker.

    A function, since the SDK's helper processes import this module and must not load the model again.
    """
    _check_test_input()
    from src import logs, startup
    from src.errors import ModelUnavailable
    from src.settings import SettingsError, get_settings

    try:
        settings = get_settings()
        startup.begin()
        logs.set_up(settings.log_format)
        import runpod

        from src.delivery.s3 import check_bucket_settings
        from src.delivery.webhooks import check_secret
        from src.serving import fitness
        from src.serving.async_handler import configuration

        processor = startup.get_processor()
        startup.end()
        check_secret(settings.webhook_secret)
        check_bucket_settings(settings)
        imported, loaded = startup.timeline(STARTED)
        logs.event("worker.loaded", model=processor.model_name, imported=imported, loaded=loaded)
    except (SettingsError, ModelUnavailable, ValueError) as error:
        sys.exit(f"worker-whisper cannot start: {error}")
    fitness.register(processor)
    runpod.serverless.start(configuration())


def _check_test_input() -> None:
    """End with a sentence if `--test_input` is not a JSON object; the SDK ends with a traceback, once all is loaded."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--test_input")
    given = parser.parse_known_args()[0].test_input
    try:
        is_job = given is None or isinstance(json.loads(given), dict)
    except ValueError:
        is_job = False
    if not is_job:
        sys.exit("""--test_input should be a JSON object, with double quotes: '{"input": {"audio": "https://..."}}'""")


if __name__ == "__main__":
    main()
