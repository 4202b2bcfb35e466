"""Headers that say of an answer what its body has no place for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

_MAX_CHARACTERS = 4096


def answer_headers(ignored: Sequence[str], metadata: Mapping[str, Any], notes: Sequence[str] = ()) -> dict[str, str]:
    """`x-model`, `x-ignored-fields` and `x-warnings`, as far as there is something to say.

    Args:
        ignored: names of fields that had no effect.
        metadata: of the job's answer.
        notes: warnings besides those of the metadata.
    """
    model = metadata.get("model")
    warnings = _as_json([*notes, *metadata.get("warnings", ())])
    return {
        **({"x-model": quote(str(model), safe="/:@")} if model else {}),
        **({"x-ignored-fields": ", ".join(quote(name, safe="[]?") or '""' for name in ignored)} if ignored else {}),
        **({"x-warnings": warnings} if warnings != "[]" else {}),
    }


def _as_json(warnings: Sequence[str]) -> str:
    """Warnings as JSON in ASCII; the last of them are only counted where a header has no room for them."""
    text = json.dumps(warnings)
    for left_out in range(1, len(warnings) + 1):
        if len(text) <= _MAX_CHARACTERS:
            break
        text = json.dumps([*warnings[:-left_out], f"{left_out} more"])
    return text
