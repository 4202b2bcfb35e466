"""Finds a model by the names that libraries, repositories and OpenAI's API give it."""

from __future__ import annotations

import re
from collections.abc import Sequence

_API_MODEL = re.compile(r"whisper-1|gpt-(?:4o-(?:mini-)?)?transcribe(?:-diarize)?(?:-\d{4}-\d{2}-\d{2})?")
"""Models of OpenAI's API that transcribe files, dated or not: here the endpoint's default, whichever it is."""

_OWNERS = {"openai", "systran", "guillaumekln", "distil-whisper", "mobiuslabsgmbh", "deepdml"}
"""Of repositories that have OpenAI's and the distilled weights unchanged, in the form of some library."""

_NAME = re.compile(r"(?:faster-)?(distil-)?(?:whisper-)?(.+?)(?:-ct2)?(@.+)?")

_SAME = {"large": "large-v3", "large-v3-turbo": "turbo"}


def match_model(requested: str, names: Sequence[str]) -> int | None:
    """The index of the model that is meant by a name, exact names first; None if there is none.

    Args:
        requested: the name.
        names: the models to choose from, the default first.
    """
    if requested in names:
        return names.index(requested)
    canonical = [_canonical(name) for name in names]
    if (wanted := _canonical(requested)) in canonical:
        return canonical.index(wanted)
    return 0 if _API_MODEL.fullmatch(requested.strip().lower()) else None


def _canonical(written: str) -> str:
    """openai-whisper's name of a model, such as `large-v3` for `Systran/faster-whisper-large-v3`, in lower case.

    A repository of anybody else keeps its name: its weights are others, whatever they are called.
    """
    name = written.strip().lower().removesuffix("@main")
    owner, _, repository = name.rpartition("/")
    match = _NAME.fullmatch(repository)
    if match is None or (owner and owner not in _OWNERS):
        return name
    distilled, plain, revision = match.groups(default="")
    return f"{distilled}{_SAME.get(plain, plain)}{revision}"
