"""Loads one model onto the devices; imports no more than that takes, so that a start can do it first."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from src.engine.engine import Engine
from src.engine.placement import WORKSPACE_BYTES, choose_placements
from src.errors import OutOfMemory
from src.models.files import is_model
from src.models.hub import parse_repository
from src.models.store import checkpoint_bytes, fetch_model, find_model, is_model_name
from src.models.weights import load_weights
from src.settings import get_settings
from src.transcription.model_cache import LoadedModel
from src.transcription.sequential import SequentialModel

MEMORY_FACTOR = 3
"""Device memory needed beside the engine's workspace, as a multiple of the checkpoint's size.

For the weights, openai-whisper's own copy for `sequential`, and batches, which take what is there: with as much as the
weights, `turbo` decodes 40 windows at a time and `large-v3` 9.
"""


def load_model(name: str) -> LoadedModel:
    """Load a model by its name, path or repository.

    Raises:
        ModelUnavailable: the weights are neither here nor available for download, or are damaged.
        OutOfMemory: the device has too little memory for the model.
    """
    settings = get_settings()
    path = find_model(name, settings.model_folders)
    path = path or fetch_model(name, settings.model_store)
    model_bytes = MEMORY_FACTOR * checkpoint_bytes(path) + WORKSPACE_BYTES
    placements = choose_placements(settings.compute_type, settings.device_map, model_bytes)
    try:
        engine = Engine(partial(load_weights, path), placements, settings.batch_size)
        return LoadedModel(display_name(name), engine, SequentialModel(engine.source, placements[0]))
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"the device has too little memory for the model {display_name(name)}: it takes some "
            f"{model_bytes / 2**30:.0f} GiB; choose a smaller model or a GPU with more memory"
        ) from error


def display_name(model: str) -> str:
    """Return a model's name for callers, who must not see paths: of a path only its last part."""
    is_path = not is_model_name(model) and (parse_repository(model) is None or is_model(Path(model)))
    return Path(model).name if is_path else model
