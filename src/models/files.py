"""The forms of models on disk, recognised by file names: nothing is opened except an index of parts.

tiny.en.pt                                    OpenAI's checkpoint
tiny.en/model.bin, config.json                a CTranslate2 conversion
org--name/model.safetensors, config.json      a Hugging Face folder; in parts: model-00001-of-00002.safetensors, ...
org--name/pytorch_model.bin, config.json      the same in the older format
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

CTRANSLATE2 = "model.bin"
HUGGING_FACE = ("model.safetensors", "pytorch_model.bin")
"""Single files of weights, the preferred one first; `.index.json` after the name makes the index of parts."""

MAX_JSON_BYTES = 16 << 20
"""Upper bound for a config or an index of parts, which is a few kilobytes: a damaged one must not fill the memory."""

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.(safetensors|bin)")  # it cannot leave its folder


def is_model(path: Path) -> bool:
    """True if `path` is a complete model in one of the forms above."""
    if path.is_dir():
        return (path / CTRANSLATE2).is_file() or _is_whole(path)
    return path.is_file() and (path.suffix == ".pt" or path.name == CTRANSLATE2)


def files_of(model: Path) -> list[Path]:
    """Return the files of weights of a model; none if its index of parts is damaged."""
    if model.is_file():
        return [model]
    if (model / CTRANSLATE2).is_file():
        return [model / CTRANSLATE2]
    try:
        return weight_files(model)
    except ValueError:
        return []


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights of a Hugging Face folder.

    Raises:
        ValueError: its index of parts is damaged.
    """
    for name in HUGGING_FACE:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            return [folder / part for part in _parts(index)]
    return []


def read_json(file: Path) -> object:
    """Read a model's JSON file.

    Raises:
        ValueError: it is not JSON, or larger than `MAX_JSON_BYTES`.
        OSError: it cannot be read.
    """
    if file.stat().st_size > MAX_JSON_BYTES:
        raise ValueError("too large")
    try:
        return json.loads(file.read_bytes())
    except RecursionError as error:
        raise ValueError("too deep") from error


def sha256_of(file: Path) -> str:
    """Return a file's SHA-256 in hex."""
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
    except ValueError:  # loading it reports the fault
        return True
    return bool(files) and all(file.is_file() for file in files)


def _parts(index: Path) -> list[str]:
    match read_json(index):
        case {"weight_map": dict() as part_of_tensor} if part_of_tensor:
            names = sorted({str(part) for part in part_of_tensor.values()})
        case _:
            raise ValueError("not an index")
    if not all(_PART.fullmatch(name) for name in names):
        raise ValueError("not file names")
    return names
