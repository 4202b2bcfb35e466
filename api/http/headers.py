"""Headers that say of an answer what its body has no place for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

_MAX_CHARACTERS = 4096
_MAX_NAME_BYTES = 200
"""Of a file's name: most file systems take 255, and browsers add to it."""


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


def content_disposition(name: str, *, inline: bool = False) -> str:
    """The header's value for a file, whose name is made safe for all file systems (RFC 6266).

    Args:
        name: of the file, with its extension.
        inline: true: a browser may show the file instead of saving it.
    """
    stem, dot, extension = name.rpartition(".")
    safe = _safe(stem if dot else name).encode()[:_MAX_NAME_BYTES].decode(errors="ignore").strip(" .") or "file"
    suffix = f".{_safe(extension)[:16]}" if extension and dot else ""
    kind = "inline" if inline else "attachment"
    return f"{kind}; filename*=UTF-8''{quote(safe + suffix, safe='')}"


def _safe(name: str) -> str:
    """A name without what is special in a path on any system, or turns the direction of reading."""
    return "".join(mark if mark.isprintable() else " " for mark in re.sub(r'[/\\\\:*?"<>|]', "_", name))


def _as_json(warnings: Sequence[str]) -> str:
    """Warnings as JSON in ASCII; the last of them are only counted where a header has no room for them."""
    text = json.dumps(warnings)
    for left_out in range(1, len(warnings) + 1):
        if len(text) <= _MAX_CHARACTERS:
            break
        text = json.dumps([*warnings[:-left_out], f"{left_out} more"])
    return text
