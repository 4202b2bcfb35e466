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


def _as_json(warnings: list[str]) -> str:
    """Warnings as JSON in ASCII; those that a header has no room for are left out, from the last."""
    while len(text := json.dumps(warnings)) > _MAX_CHARACTERS:
        warnings = warnings[:-1]
    return text
