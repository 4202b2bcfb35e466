"""The client's version."""

from __future__ import annotations

import ast
import importlib.metadata
from pathlib import Path

DISTRIBUTION = "worker-whisper"


def client_version() -> str:
    """Return the version of the installed package, or in a checkout the one that it would get."""
    if __name__.startswith("worker_whisper."):
        return importlib.metadata.version(DISTRIBUTION)
    # Not an import: the worker's package is not the client's.
    source = Path(__file__).parents[1] / "src" / "version.py"
    module = ast.parse(source.read_text(encoding="utf-8"))
    return next(str(ast.literal_eval(node.value)) for node in module.body if isinstance(node, ast.Assign))
