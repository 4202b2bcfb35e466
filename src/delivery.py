"""The gate that every answer leaves through.

The SDK posts nothing, or broken JSON, for an answer that holds a NumPy scalar, a NaN or a lone surrogate, and
loses one that RunPod refuses for its size; the caller then sees COMPLETED without an output (runpod-python
issues #299 and #309). So an answer is brought to plain JSON and measured here, in the bytes that the SDK will send.
"""

from __future__ import annotations

import json
import math
from typing import Any

from src.errors import TooLarge


def seal(answer: dict[str, Any], max_bytes: int) -> dict[str, Any]:
    """The same answer in types that JSON has: what is not a number becomes null, a lone surrogate "?".

    Raises:
        TooLarge: its JSON is over `max_bytes`.
        TypeError: it holds something that has no JSON form.
    """
    sealed: dict[str, Any] = _plain(answer)
    size = len(json.dumps(sealed, allow_nan=False, ensure_ascii=False).encode())
    if size > max_bytes:
        raise TooLarge(
            f"the transcript is {size / 1e6:.1f} MB and RunPod carries {max_bytes / 1e6:.1f} MB: ask for one "
            'output_format (such as "srt" or "text") instead of all, or for parts of the recording.'
        )
    return sealed


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode() if not value.isascii() else value
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # a NumPy scalar or array, a tensor
        return _plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no JSON form")
