"""Imports all of the worker, and runs jobs that use most of it, in an environment of the worker's packages alone.

    WHISPER_MODEL=base ENVIRONMENT/bin/python tests/support/every_path.py http://127.0.0.1:9000

The argument is an S3 server with the bucket `results`; the model is a multilingual one. The last line of the output is
a JSON list: the distributions whose modules were loaded. Only the worker's packages may be imported here.
"""

from __future__ import annotations

import base64
import importlib
import json
import pkgutil
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / "tests" / "data"
sys.path[0] = str(ROOT)

JOBS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "dialogue.ogg",
        {
            "output_format": "all",
            "word_timestamps": True,
            "diarize": True,
            "num_speakers": 2,
            "translate": True,
            "beam_size": 2,
            "custom_vocabulary": ["dialogue"],
        },
    ),
    ("numbers.mp3", {"chunking": "sequential", "word_timestamps": True, "subtitle_preset": "broadcast"}),
    ("video.mp4", {"captions": "burn", "highlight_words": True}),
)


def import_all() -> None:
    """Import every module of the worker's packages, and the entry point."""
    for name in ("src", "api", "media", "transcript"):
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    importlib.import_module("handler")


def run_jobs(bucket: str) -> None:
    """Run the jobs through the handler, and store their files in the bucket."""
    from src.rp_handler import handler

    for clip, options in JOBS:
        sound = base64.b64encode((CLIPS / clip).read_bytes()).decode()
        answer = handler(
            {
                "id": "every-path",
                "input": {"audio": {"base64": sound}, "options": options, "upload": {}},
                "s3Config": {
                    "accessId": "x",
                    "accessSecret": "x",
                    "bucketName": "results",
                    "endpointUrl": bucket,
                },
            }
        )
        if "error" in answer or not answer["files"]:
            sys.exit(f"{clip} {options}: {answer}")


def loaded_distributions() -> list[str]:
    """Return the names of the distributions that have a loaded module."""
    owners = packages_distributions()
    roots = {name.partition(".")[0] for name in sys.modules}
    return sorted({owner for root in roots for owner in owners.get(root, [])})


if __name__ == "__main__":
    import_all()
    run_jobs(sys.argv[1])
    print(json.dumps(loaded_distributions()))
