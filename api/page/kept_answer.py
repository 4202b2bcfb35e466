"""The answer of a transcript's job, kept in its folder while the job's tracks are mixed.

A server that ends meanwhile leaves it to the next one, which then need not run the job again.
"""

from __future__ import annotations

import logging
from pathlib import Path

from api import json_text
from api.transcriber import Answer

_NAME = "answer.json"

_log = logging.getLogger(__name__)


def keep(folder: Path, answer: Answer) -> None:
    """Write an answer; on a full disk the job would have to run again."""
    part = folder / f"{_NAME}.part"
    try:
        part.write_text(json_text.to_json(answer), encoding="utf-8", errors="replace")
        part.replace(folder / _NAME)
    except (OSError, ValueError) as error:  # an endpoint may send what JSON does not know
        _log.warning("an answer cannot be kept while its tracks are mixed: %s", type(error).__name__)
        part.unlink(missing_ok=True)


def find(folder: Path) -> Answer | None:
    """The kept answer; None: there is none."""
    try:
        answer = json_text.from_json((folder / _NAME).read_bytes())
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def forget(folder: Path) -> None:
    """Remove the answer."""
    (folder / _NAME).unlink(missing_ok=True)
