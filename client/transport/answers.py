"""What an endpoint answers, reduced to what a worker sends: the rest of the client relies on these types.

An endpoint can be broken, of another version or hostile. Malformed pieces are left out with a warning; texts lose their
control characters, which would steer the user's terminal.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from client.errors import BadAnswer

JsonObject = dict[str, Any]

_CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""All but tab and line feed; and lone surrogates, which UTF-8 cannot spell."""

_MAX_NUMBER = 1e9
"""Greater than all times of a recording: seconds, or frames of 10 ms."""

_LEFT_OUT = "the endpoint's answer is malformed in places, which are left out"


def parse_json(content: bytes | str) -> Any:
    """Parse JSON, without control characters in texts, and with null for numbers that JSON does not know.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return _clean(json.loads(content))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def clean_text(text: str) -> str:
    """Return a text without control characters, but with its tabs and line feeds."""
    return text if text.isprintable() else _CONTROL_CHARACTERS.sub("", text)


def clean_line(text: str, max_length: int = 2000) -> str:
    """Return a text in one line, for a message."""
    return " ".join(clean_text(text).split())[:max_length]


def check_output(output: JsonObject) -> JsonObject:
    """Return a job's output in a worker's shape, with a warning if something malformed was left out.

    Raises:
        BadAnswer: it has neither a transcription nor links to files.
    """
    checked = {name: value for name, value in _check_fields(output, _OUTPUT).items() if value is not None}
    if not checked.get("transcription") and not checked.get("files"):
        raise BadAnswer("the endpoint's answer has no transcription: check that the endpoint runs worker-whisper")
    metadata = {
        "language": checked.get("transcription", {}).get("language", ""),
        **checked.get("metadata", {}),
    }
    for key in ("audio_duration", "processing_time"):
        metadata[key] = metadata.get(key) or 0.0
    metadata["warnings"] = list(metadata.get("warnings") or [])
    if any(checked.get(name) != value for name, value in output.items() if value is not None):
        metadata["warnings"].append(_LEFT_OUT)
    return {**checked, "metadata": metadata}


def check_segments(segments: Any) -> list[JsonObject]:
    """Return the segments that have a text and times, with those of their words that have them."""
    return [_check_fields(segment, _SEGMENT) for segment in _spans(segments) if isinstance(segment.get("text"), str)]


def is_number(value: Any) -> TypeGuard[float]:
    """True for a finite number of a sensible size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_NUMBER


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): _clean(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check_fields(fields: JsonObject, checks: Mapping[str, Callable[[Any], Any]]) -> JsonObject:
    """Return the fields without those that their check turns into None; null itself and unknown fields are kept."""
    checked = {
        key: checks[key](value) if key in checks and value is not None else value for key, value in fields.items()
    }
    return {key: value for key, value in checked.items() if value is not None or fields[key] is None}


# --- checks: a value, or the well-formed part of it, or None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    return value if is_number(value) else None


def _name(value: Any) -> str | int | None:
    return value if isinstance(value, str | int) else None


def _object(value: Any) -> JsonObject | None:
    return value if isinstance(value, dict) else None


def _objects(value: Any) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _spans(value: Any) -> list[JsonObject]:
    return [item for item in _objects(value) if all(is_number(item.get(key)) and item[key] >= 0 for key in _TIMES)]


def _words(value: Any) -> list[JsonObject]:
    return [word for word in _spans(value) if isinstance(word.get("word"), str)]


def _verbose(value: Any) -> JsonObject | None:
    return _check_fields(value, _VERBOSE) if isinstance(value, dict) else None


def _speakers(value: Any) -> list[JsonObject]:
    return [speaker for speaker in _objects(value) if isinstance(speaker.get("speaker"), str)]


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _links(value: Any) -> dict[str, str]:
    return {name: link for name, link in value.items() if isinstance(link, str)} if isinstance(value, dict) else {}


def _video(value: Any) -> JsonObject | None:
    return _check_fields(value, _VIDEO) if isinstance(value, dict) else None


def _cue_report(value: Any) -> JsonObject | None:
    """A report in which every limit has its numbers: parts of a recording sum them up."""
    if not isinstance(value, dict) or not is_number(value.get("cues")):
        return None
    over_limits = _object(value.get("over_limits"))
    if over_limits is None:
        return None
    return {**value, "over_limits": {name: over for name, over in over_limits.items() if _is_over_limit(over)}}


def _is_over_limit(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(is_number(value.get(key)) for key in ("limit", "count", "worst"))
        and isinstance(value.get("first"), list)
        and all(map(is_number, value["first"]))
    )


def _formats(value: Any) -> JsonObject | None:
    """Check a transcription or a translation: its formats are texts, but for some."""
    if not isinstance(value, dict):
        return None
    checks = {**dict.fromkeys(value, _text), **_NOT_TEXTS}
    return {name: content for name, content in _check_fields(value, checks).items() if content is not None}


def _metadata(value: Any) -> JsonObject | None:
    return _check_fields(value, _METADATA) if isinstance(value, dict) else None


_TIMES = ("start", "end")
_VIDEO = dict.fromkeys(("base64", "url", "filename"), _text)
_SEGMENT: dict[str, Callable[[Any], Any]] = {"words": _words, "seek": _number, "speaker": _name, "channel": _name}
_VERBOSE: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("task", "language", "text"), _text),
    "duration": _number,
    "segments": check_segments,
    "words": _words,
}
_NOT_TEXTS: dict[str, Callable[[Any], Any]] = {
    "segments": check_segments,
    "speakers": _speakers,
    "speaker_turns": _spans,
    "verbose_json": _verbose,
    "cue_report": _cue_report,
}
_METADATA: dict[str, Callable[[Any], Any]] = {
    "language": _text,
    "warnings": _strings,
    **dict.fromkeys(("audio_duration", "processing_time", "speech_duration"), _number),
}
_OUTPUT: dict[str, Callable[[Any], Any]] = {
    "transcription": _formats,
    "translation": _formats,
    "metadata": _metadata,
    "files": _links,
    "captioned_video": _video,
}
