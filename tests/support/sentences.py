"""The form of a failed check's message."""

from __future__ import annotations

import pytest


def sentence_of(failure: pytest.ExceptionInfo[RuntimeError]) -> str:
    """The check's message, in the form of our errors and short enough for RunPod to keep it whole."""
    sentence = str(failure.value)
    assert "\n" not in sentence
    assert not sentence.endswith(".")
    assert len(f"RuntimeError: {sentence}") <= 256
    return sentence
