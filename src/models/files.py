"""The forms in which models lie on a disk, told by the names of their files: nothing is opened but an index of parts.

tiny.en.pt                                    OpenAI's checkpoint
tiny.en/model.bin, config.json                a CTranslate2 conversion
org--name/model.safetensors, config.json      a Hugging Face folder; in parts: model-00001-of-00002.safetensors, ...
org--name/pytorch_model.bin, config.json      the same, in the older format
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

CTRANSLATE2 = "model.bin"
HUGGING_FACE = ("model.safetensors", "pytorch_model.bin")
"""Whole files, the preferred one first; the index of parts has `.index.json` behind the name."""

MAX_JSON_BYTES = 16 << 20
"""A config, or an index of parts, is a few kilobytes: a damaged one is not to fill the memory."""

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.(safetensors|bin)")  # it cannot leave its folder


def is_model(path: Path) -> bool:
    """Whether a whole model lies there, in one of the forms above."""
    if path.is_dir():
        return (path / CTRANSLATE2).is_file() or _is_whole(path)
    return path.is_file() and (path.suffix == ".pt" or path.name == CTRANSLATE2)


def files_of(model: Path) -> list[Path]:
    """The files of weights of whatever `is_model`, as far as they can be told."""
    if model.is_file():
        return [model]
    if (model / CTRANSLATE2).is_file():
        return [model / CTRANSLATE2]
    try:
        return weight_files(model)
    except ValueError:
        return []


def weight_files(folder: Path) -> list[Path]:
    """The files of a Hugging Face folder that hold its weights; none if it has none.

    Raises:
        ValueError: it has an index that is none.
    """
    for name in HUGGING_FACE:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            return [folder / part for part in _parts(index)]
    return []


def read_json(file: Path) -> object:
    """
    Raises:
        ValueError: it is no JSON, or of a size that none of a model's has.
        OSError: it cannot be read.
    """
    if file.stat().st_size > MAX_JSON_BYTES:
        raise ValueError("too large")
    try:
        return json.loads(file.read_bytes())
    except RecursionError as error:
        raise ValueError("too deep") from error


def sha256_of(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _is_whole(folder: Path) -> bool:
    if not (folder / "config.json").is_file():
        return False
    try:
        files = weight_files(folder)
    except ValueError:  # whoever loads it will say so
        return True
    return bool(files) and all(file.is_file() for file in files)


def _parts(index: Path) -> list[str]:
    match read_json(index):
        case {"weight_map": dict() as places} if places:
            names = sorted({str(name) for name in places.values()})
        case _:
            raise ValueError("no index")
    if not all(_PART.fullmatch(name) for name in names):
        raise ValueError("no names of files")
    return names
