"""Writes openai-whisper's model as the file that whisper.cpp reads: ggml's original format, weights in float16.

All numbers are little-endian, integers have 32 bits:

    magic number; 10 model dimensions; 1 for float16
    mel filters: rows, columns, float32 values
    vocabulary without special tokens: number of tokens, then length and bytes of each
    each tensor: number of dimensions, length of the name, 0 for float32 or 1 for float16; its dimensions, the
    fastest-varying first; its name; its values
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from whisper.audio import mel_filters
from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import get_encoding

_MAGIC = 0x67676D6C  # "ggml"
_DIMENSIONS = (
    "n_vocab",
    "n_audio_ctx",
    "n_audio_state",
    "n_audio_head",
    "n_audio_layer",
    "n_text_ctx",
    "n_text_state",
    "n_text_head",
    "n_text_layer",
    "n_mels",
)


def write_ggml(model: Whisper, path: Path) -> None:
    """Write the model under a temporary name and rename it, so that `path` is never a partial file."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    with unfinished.open("wb") as file:
        file.write(_header(model.dims))
        filters = mel_filters("cpu", model.dims.n_mels).numpy()
        file.write(struct.pack("<2i", *filters.shape) + filters.astype("<f4").tobytes())
        _write_vocabulary(file, multilingual=model.is_multilingual)
        for name, tensor in model.state_dict().items():
            _write_tensor(file, name, tensor.numpy())
    unfinished.replace(path)


def _header(dims: ModelDimensions) -> bytes:
    return struct.pack("<12i", _MAGIC, *(getattr(dims, name) for name in _DIMENSIONS), 1)


def _write_vocabulary(file: IO[bytes], *, multilingual: bool) -> None:
    encoding = get_encoding("multilingual" if multilingual else "gpt2")
    words = [encoding.decode_single_token_bytes(token) for token in range(encoding.eot_token)]
    file.write(struct.pack("<i", len(words)))
    for word in words:
        file.write(struct.pack("<i", len(word)) + word)


def _write_tensor(file: IO[bytes], name: str, values: NDArray[np.floating]) -> None:
    if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
        values = values[:, np.newaxis]  # whisper.cpp adds them to [channels, time] without reshaping
    half = values.ndim > 1 and not name.endswith((".bias", "positional_embedding"))
    label = name.encode()
    file.write(struct.pack("<3i", values.ndim, len(label), half))
    file.write(struct.pack(f"<{values.ndim}i", *reversed(values.shape)) + label)
    file.write(values.astype("<f2" if half else "<f4").tobytes())
