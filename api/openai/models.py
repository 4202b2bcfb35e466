"""Names of models in OpenAI's API: `/v1/models`, and the names that stand for what is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class ModelChoice(NamedTuple):
    """The model for a request.

    Attributes:
        option: the job's option `model`; None: the default.
        note: a warning if another model answers than the one named, else None.
    """

    option: str | None
    note: str | None


def choose_model(name: str, models: Sequence[str]) -> ModelChoice:
    """The model that a request means.

    Args:
        name: as in the request.
        models: those of the endpoint, the default first.

    Raises:
        ApiError: 404 `model_not_found`, naming the choices.
    """
    raise NotImplementedError


def list_models(models: Sequence[str]) -> dict[str, Any]:
    """The answer of `/v1/models`."""
    raise NotImplementedError


def get_model(name: str, models: Sequence[str]) -> dict[str, Any]:
    """The answer of `/v1/models/NAME`.

    Raises:
        ApiError: 404 `model_not_found`.
    """
    raise NotImplementedError
