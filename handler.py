"""Entry point: loads the model, then takes jobs from RunPod, `--test_input` or `--rp_serve_api`, or serves HTTP."""

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
    from src.mode import ModeError, find_mode

    try:
        mode = find_mode(os.environ, sys.argv)
    except ModeError as error:
        sys.exit(f"worker-whisper cannot start: {error}")
    if mode == "http":
        from src.serving.http_mode import serve_http

        serve_http(STARTED)
    else:
        _take_jobs()


def _take_jobs() -> None:
    from src.serving.loading import load

    loaded = load(STARTED)
    import runpod

    from src.serving.async_handler import configuration

    for check in loaded.checks:
        runpod.serverless.register_fitness_check(check)
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
