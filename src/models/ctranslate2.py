"""Reads CTranslate2's `model.bin`, the most common form of converted Whisper models.

The file is memory-mapped and its tensors are views of that mapping: nothing is copied.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from src.models.checkpoint import BadWeights, Checkpoint, alignment_heads, dimensions

_VERSION = 6
# The index is the type's id in the file (`DataType` in CTranslate2's `include/ctranslate2/types.h`).
_DTYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)

# CTranslate2's modules within a layer, and openai-whisper's. Several names share the rows of one matrix equally.
_LAYER_MODULES = {
    "self_attention/layer_norm": ("attn_ln",),
    "self_attention/linear_0": ("attn.query", "attn.key", "attn.value"),
    "self_attention/linear_1": ("attn.out",),
    "attention/layer_norm": ("cross_attn_ln",),
    "attention/linear_0": ("cross_attn.query",),
    "attention/linear_1": ("cross_attn.key", "cross_attn.value"),
    "attention/linear_2": ("cross_attn.out",),
    "ffn/layer_norm": ("mlp_ln",),
    "ffn/linear_0": ("mlp.0",),
    "ffn/linear_1": ("mlp.2",),
}
_LAYER_VARIABLE = re.compile(r"(encoder|decoder)/layer_(\d+)/(.+)/(weight|bias|gamma|beta)")
_PARAMETERS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}

_OTHER_VARIABLES = {
    "encoder/conv1/weight": "encoder.conv1.weight",
    "encoder/conv1/bias": "encoder.conv1.bias",
    "encoder/conv2/weight": "encoder.conv2.weight",
    "encoder/conv2/bias": "encoder.conv2.bias",
    "encoder/position_encodings/encodings": "encoder.positional_embedding",
    "encoder/layer_norm/gamma": "encoder.ln_post.weight",
    "encoder/layer_norm/beta": "encoder.ln_post.bias",
    "decoder/embeddings/weight": "decoder.token_embedding.weight",
    "decoder/position_encodings/encodings": "decoder.positional_embedding",
    "decoder/layer_norm/gamma": "decoder.ln.weight",
    "decoder/layer_norm/beta": "decoder.ln.bias",
}


def read_ctranslate2(file: Path) -> Checkpoint:
    """Read a `model.bin`; its tensors are views of the mapped file.

    The alignment heads come from the `config.json` beside it, or from a `generation_config.json`.

    Raises:
        BadWeights: the file is damaged, or not a Whisper model of CTranslate2's.
    """
    variables = _read_variables(file)
    state = {target: tensor for name, value in variables.items() for target, tensor in _openai_parameters(name, value)}
    dims = dimensions(state, _heads(variables, "encoder"), _heads(variables, "decoder"))
    heads = alignment_heads(dims, file.with_name("config.json"))
    if heads is None:
        heads = alignment_heads(dims, file.with_name("generation_config.json"))
    return Checkpoint(state, dims, heads)


def _openai_parameters(name: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield the openai-whisper parameters in a CTranslate2 variable; none if it is a setting, not a weight."""
    if name in _OTHER_VARIABLES:
        yield _OTHER_VARIABLES[name], value
    match = _LAYER_VARIABLE.fullmatch(name)
    if not match or match[3] not in _LAYER_MODULES:
        return
    targets = _LAYER_MODULES[match[3]]
    if value.dim() == 0 or value.shape[0] % len(targets):
        raise BadWeights(f"holds {name} with the shape {list(value.shape)}: fetch the model again")
    parameter = _PARAMETERS[match[4]]
    for target, part in zip(targets, value.chunk(len(targets)), strict=True):
        # A key's bias adds the same to all scores of a query, which softmax ignores: openai-whisper has none.
        if not (target.endswith("key") and parameter == "bias"):
            yield f"{match[1]}.blocks.{int(match[2])}.{target}.{parameter}", part


def _heads(variables: dict[str, Tensor], side: str) -> int:
    value = variables.get(f"{side}/num_heads")
    if value is None or value.dim() != 0 or value.is_floating_point():
        raise BadWeights(f"lacks the number {side}/num_heads: convert the model with a current CTranslate2")
    return int(value)


def _read_variables(file: Path) -> dict[str, Tensor]:
    """Read all variables of a `model.bin`, by name, as views of the mapped file.

    The format, little-endian: u32 version, string specification, u32 revision, u32 count; per variable string name,
    u8 rank, u32 sizes, u8 type, u32 bytes, data; then u32 count of aliases, each two strings. Data is not aligned,
    which CPUs and copies to a GPU do not mind. (`serialize` in CTranslate2's python/ctranslate2/specs/model_spec.py.)
    """
    with file.open("rb") as opened:
        # Copy on write: torch requires a writable buffer, and a write changes memory, not the file.
        cursor = _Cursor(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY))
    version, specification = cursor.number("I"), cursor.string()
    if version != _VERSION or specification != "WhisperSpec":
        raise BadWeights(
            f"is no Whisper model of CTranslate2's format {_VERSION}: convert it with a current CTranslate2"
        )
    cursor.number("I")  # the specification's revision: what it lacks shows as a missing variable
    variables = {}
    for _ in range(cursor.number("I")):
        name = cursor.string()
        variables[name] = cursor.tensor()
    for _ in range(cursor.number("I")):  # aliases: openai-whisper itself ties the output layer to the embedding
        cursor.string()
        cursor.string()
    cursor.expect_end()
    return variables


class _Cursor:
    """Reads a mapped `model.bin` from front to back; raises `BadWeights` if it is truncated or inconsistent."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._position = 0

    def _skip(self, size: int) -> int:
        """Advance by `size` bytes, and return their start."""
        start = self._position
        if start + size > len(self._data):
            raise BadWeights("is cut off or no CTranslate2 model: fetch the model again")
        self._position += size
        return start

    def number(self, kind: str) -> int:
        """Read a number of `struct`'s kind B, H or I."""
        layout = struct.Struct("<" + kind)
        return int(layout.unpack_from(self._data, self._skip(layout.size))[0])

    def string(self) -> str:
        """Read a string with its length before it."""
        size = self.number("H")
        start = self._skip(size)
        # Anything but ASCII results in a name that no model has.
        return self._data[start : start + size].rstrip(b"\0").decode("ascii", "replace")

    def tensor(self) -> Tensor:
        """Read a tensor as a view of the mapped file."""
        shape = [self.number("I") for _ in range(self.number("B"))]
        kind, size = self.number("B"), self.number("I")
        if kind >= len(_DTYPES) or size == 0 or size != math.prod(shape) * _DTYPES[kind].itemsize:
            raise BadWeights("is damaged, as a variable's shape and size differ: fetch the model again")
        start = self._skip(size)
        return torch.frombuffer(self._data, dtype=_DTYPES[kind], count=math.prod(shape), offset=start).view(shape)

    def expect_end(self) -> None:
        """Raise `BadWeights` unless the whole file has been read."""
        if self._position != len(self._data):
            raise BadWeights("is longer than the model in it: fetch the model again")
