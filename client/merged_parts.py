"""Merges the answers for the parts of a recording, whose speakers each part names by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from client.errors import BadAnswer
from client.merge.outputs import PartOutput, merge_outputs
from client.merge.speakers import unify_speakers
from client.transport.answers import JsonObject, clean_line


def merge_parts(parts: Sequence[PartOutput], options: dict[str, Any], formats: Sequence[str]) -> JsonObject:
    """Return one output for the parts' outputs.

    Args:
        parts: in order.
        options: the user's.
        formats: those requested.

    Raises:
        BadAnswer: the outputs do not fit together.
    """
    try:
        if options.get("diarize"):
            outputs = unify_speakers([part.start for part in parts], [part.output for part in parts], options)
            parts = [replace(part, output=output) for part, output in zip(parts, outputs, strict=True)]
        return merge_outputs(parts, formats, paragraphs=options.get("paragraphs") is True)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        # The formats of an answer are parsed only here, and an endpoint may have sent anything.
        raise BadAnswer(f"the answers for the parts do not fit together: {clean_line(repr(error), 100)}") from error
