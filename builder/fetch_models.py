"""Fetches model files to a folder: `python builder/fetch_models.py --help`."""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, Python looks for modules in builder/ only

from src.errors import ModelUnavailable  # noqa: E402
from src.models.sources import Source  # noqa: E402
from src.models.store import fetch_model  # noqa: E402

EXAMPLES = """\
examples:
  python builder/fetch_models.py tiny.en                        # to models/ in the repository
  python builder/fetch_models.py turbo --to /models             # into an image, in a Dockerfile
  python builder/fetch_models.py base large-v3 --to /runpod-volume/models   # onto a network volume, once
  python builder/fetch_models.py distil-whisper/distil-large-v3             # a repository of the Hugging Face hub
  HF_TOKEN=... python builder/fetch_models.py my-org/private-whisper@v2     # a private one, at a tag

A model comes from OpenAI's server or from the hub. It is compared with its published SHA-256, and appears whole or not
at all. What is there already stays, unless it is a damaged copy of the published file.
"""


def main(
    arguments: list[str] | None = None, *, sources_of: Callable[[str], Sequence[Source] | None] = lambda _: None
) -> int:
    """Run the command.

    Args:
        arguments: the command line; None: the process's own.
        sources_of: returns the sources of a model by its name; None: the default ones.

    Returns:
        The process's exit code: 0, 1 if a model could not be fetched (the reason is on stderr), 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        description="Fetch Whisper models and verify them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="tiny.en, base, ..., turbo, or a repository ORG/NAME")
    parser.add_argument("--to", type=Path, default=ROOT / "models", metavar="DIR", help="folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        for name in filter(None, re.split("[, ]+", ",".join(options.names))):  # as in WHISPER_MODELS
            fetch_model(name, options.to, sources=sources_of(name), report=print)
    except ModelUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; no unfinished file is left.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
