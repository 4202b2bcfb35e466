"""Weights from a file into openai-whisper's `Whisper`, in a fraction of `whisper.load_model`'s time.

Two kinds of file are read: OpenAI's `.pt` checkpoints, and the `model.bin` of a CTranslate2 conversion, the form in
which Whisper models are most often mirrored. Both are memory-mapped and the model's parameters are views of that
mapping, so that nothing is initialised, copied or held twice: pages come in from the disk when they are first read.

Whatever is wrong with a file ends as `ModelUnavailable`, in one sentence that names the file and what would be right.
"""

import json
import logging
import math
import mmap
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import whisper
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from whisper.model import ModelDimensions, Whisper

from src.errors import ModelUnavailable

logger = logging.getLogger(__name__)

State = dict[str, Tensor]

_WEIGHT_DTYPES = (torch.float32, torch.float16, torch.bfloat16)

# Whisper's has 448 positions. The mask over them is quadratic: a damaged file is not to ask for terabytes.
_MAX_TEXT_CONTEXT = 4096


def load_weights(path: Path) -> Whisper:
    """A Whisper model on the CPU with the weights of `path`, ready for inference (`requires_grad` is off).

    `path` is an OpenAI checkpoint (`tiny.en.pt`), a CTranslate2 `model.bin`, or the folder that holds the latter.

    The weights keep the file's own dtype, which is float16 for nearly every published one, and stay mapped to the file:
    choosing the dtype to compute in is the caller's part. The engine makes its own fused copies. openai-whisper's
    `transcribe` runs as it is with `fp16=True`; for `fp16=False` call `.float()` first, or each weight is converted at
    each use. Layer norms alone are float32 whatever the file says, because openai-whisper computes them in float32 and
    fails with others (so never call `.half()`). To replace the file, rename another over it: writing into it while it
    is mapped would change the model.

    The heads that align words with audio come from openai-whisper's table by the `.pt` file's name, or from the
    `config.json` beside `model.bin`. Where there are none, openai-whisper's default stays and a warning is logged.

    Raises `ModelUnavailable` for a file that is missing, empty, cut off, foreign, quantised or not a Whisper model.
    """
    file = path / "model.bin" if path.is_dir() else path
    label = f"{file.parent.name}/{file.name}" if file.name == "model.bin" else file.name
    if not file.is_file():
        raise ModelUnavailable(f"There is no file {label}: give a .pt checkpoint or a folder with a model.bin.")
    if file.stat().st_size == 0:
        raise ModelUnavailable(f"{label} is empty: fetch the model again.")
    try:
        if file.suffix == ".bin":
            model = _build(*_read_ctranslate2(file))
            aligned = _align_by_config(model, file.with_name("config.json"))
        else:
            model = _build(*_read_checkpoint(file))
            aligned = _align_by_name(model, file.stem)
    except _BadWeights as error:
        raise ModelUnavailable(f"{label} {error}.") from error
    if not aligned:
        logger.warning("%s comes without alignment heads: the times of words will be less exact.", label)
    return model


class _BadWeights(Exception):
    """What is wrong with a file, as the end of a sentence that begins with the file's name."""


# --- The model ------------------------------------------------------------------------------------------------------


class _SkipInitialisation(TorchFunctionMode):
    """Within it, `torch.nn.init` leaves parameters as they were allocated: no page of them is touched.

    A mode holds for the current thread only and patches nothing. (The meta device, which would save the allocation too,
    is no way: `Whisper.__init__` calls `to_sparse`, which has no meta form.)
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def _build(state: State, dims: ModelDimensions) -> Whisper:
    """A model whose parameters are the tensors of `state` themselves, but for layer norms, which become float32."""
    try:
        with _SkipInitialisation():
            # Without audio positions, as their sinusoids are in the file: computing them is half of a first load.
            model = Whisper(replace(dims, n_audio_ctx=0))
    except RuntimeError as error:  # what torch raises where Python would raise MemoryError
        raise _BadWeights("asks for more memory than there is: give a Whisper model that fits the machine") from error
    model.dims = dims
    model.encoder.positional_embedding = torch.empty(dims.n_audio_ctx, dims.n_audio_state)
    _check_tensors(state, model.state_dict())
    model.load_state_dict(state, assign=True)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.float()
    return model.requires_grad_(False)


def _check_tensors(state: State, expected: Mapping[str, Tensor]) -> None:
    """Raises `_BadWeights` unless `state` has the names and shapes of `expected`, and floating-point values."""
    if missing := expected.keys() - state.keys():
        raise _BadWeights(f"lacks {_some(missing)}, which a Whisper model has: fetch the model again")
    if foreign := state.keys() - expected.keys():
        raise _BadWeights(f"holds {_some(foreign)}, which a Whisper model has not: give a Whisper model")
    for name, tensor in state.items():
        if tensor.dtype not in _WEIGHT_DTYPES:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise _BadWeights(f"is quantised to {kind}: convert the model to float16 or float32 instead")
        if tensor.shape != expected[name].shape:
            shapes = f"{list(tensor.shape)} instead of {list(expected[name].shape)}"
            raise _BadWeights(f"does not fit together: {name} has the shape {shapes}; fetch the model again")


def _some(names: set[str]) -> str:
    """One of `names`, and how many there are besides."""
    return min(names) + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _dimensions(state: State, n_audio_head: int, n_text_head: int) -> ModelDimensions:
    """The model's dimensions as the shapes tell them; the heads are the one thing that leaves no trace in a shape."""
    n_audio_state, n_mels, _ = _shape(state, "encoder.conv1.weight", 3)
    n_audio_ctx, _ = _shape(state, "encoder.positional_embedding", 2)
    n_vocab, n_text_state = _shape(state, "decoder.token_embedding.weight", 2)
    n_text_ctx, _ = _shape(state, "decoder.positional_embedding", 2)
    for n_state, n_head in ((n_audio_state, n_audio_head), (n_text_state, n_text_head)):
        if n_state < 4 or n_state % 2 or n_head < 1 or n_state % n_head:
            raise _BadWeights(f"has {n_head} attention heads over {n_state} channels: fetch the model again")
    if n_text_ctx > _MAX_TEXT_CONTEXT:
        raise _BadWeights(f"has a text context of {n_text_ctx} tokens where Whisper's is 448: give a Whisper model")
    return ModelDimensions(
        n_mels=n_mels,
        n_audio_ctx=n_audio_ctx,
        n_audio_state=n_audio_state,
        n_audio_head=n_audio_head,
        n_audio_layer=_count_layers(state, "encoder"),
        n_vocab=n_vocab,
        n_text_ctx=n_text_ctx,
        n_text_state=n_text_state,
        n_text_head=n_text_head,
        n_text_layer=_count_layers(state, "decoder"),
    )


def _shape(state: State, name: str, rank: int) -> torch.Size:
    if name not in state:
        raise _BadWeights(f"lacks {name}, which a Whisper model has: fetch the model again")
    if state[name].dim() != rank:
        raise _BadWeights(f"holds {name} with {state[name].dim()} dimensions instead of {rank}: give a Whisper model")
    return state[name].shape


def _count_layers(state: State, side: str) -> int:
    count = 0
    while f"{side}.blocks.{count}.attn.query.weight" in state:
        count += 1
    return count


# --- OpenAI's checkpoints -------------------------------------------------------------------------------------------


def _read_checkpoint(file: Path) -> tuple[State, ModelDimensions]:
    """The tensors of a `.pt` file, mapped, and their dimensions, which must be those that the file declares."""
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch.load has no list of what it raises: RuntimeError, UnpicklingError, KeyError, ...
        raise _BadWeights("is damaged or no PyTorch checkpoint: fetch OpenAI's .pt file again") from error
    match checkpoint:
        case {"dims": {"n_audio_head": int(n_audio_head), "n_text_head": int(n_text_head)}, "model_state_dict": dict()}:
            state, declared = checkpoint["model_state_dict"], checkpoint["dims"]
        case _:
            raise _BadWeights("is no Whisper checkpoint: it needs `dims` and `model_state_dict`, as OpenAI's have")
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
        raise _BadWeights("is no Whisper checkpoint: its `model_state_dict` has to map names to tensors")
    dims = _dimensions(state, n_audio_head, n_text_head)
    if asdict(dims) != declared:
        raise _BadWeights("does not fit together: its `dims` are not those of its tensors; fetch the model again")
    return state, dims


def _align_by_name(model: Whisper, name: str) -> bool:
    """Sets the alignment heads that openai-whisper lists for model `name`; false if it lists none that fit."""
    try:
        model.set_alignment_heads(whisper._ALIGNMENT_HEADS[name])
    except (KeyError, RuntimeError):  # a name of the user's own, or a listed name on a model of another size
        return False
    return True


# --- CTranslate2's model.bin ----------------------------------------------------------------------------------------

_VERSION = 6
# The position is the type's id in the file (`DataType` in CTranslate2's `include/ctranslate2/types.h`).
_DTYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)

# CTranslate2's modules within a layer, and openai-whisper's. Several names: rows of one matrix, in equal parts.
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


def _read_ctranslate2(file: Path) -> tuple[State, ModelDimensions]:
    """The tensors of a `model.bin` under openai-whisper's names, as views of the mapped file, and their dimensions."""
    variables = _read_variables(file)
    state = {target: tensor for name, value in variables.items() for target, tensor in _renamed(name, value)}
    return state, _dimensions(state, _heads(variables, "encoder"), _heads(variables, "decoder"))


def _renamed(name: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The openai-whisper parameters that CTranslate2's variable `name` holds; none if it is a setting, not a weight."""
    if name in _OTHER_VARIABLES:
        yield _OTHER_VARIABLES[name], value
    match = _LAYER_VARIABLE.fullmatch(name)
    if not match or match[3] not in _LAYER_MODULES:
        return
    targets = _LAYER_MODULES[match[3]]
    if value.dim() == 0 or value.shape[0] % len(targets):
        raise _BadWeights(f"holds {name} with the shape {list(value.shape)}: fetch the model again")
    parameter = _PARAMETERS[match[4]]
    for target, part in zip(targets, value.chunk(len(targets)), strict=True):
        # A key's bias adds the same to all scores of a query, which the softmax takes out: openai-whisper has none.
        if not (target.endswith("key") and parameter == "bias"):
            yield f"{match[1]}.blocks.{int(match[2])}.{target}.{parameter}", part


def _heads(variables: dict[str, Tensor], side: str) -> int:
    value = variables.get(f"{side}/num_heads")
    if value is None or value.dim() != 0 or value.is_floating_point():
        raise _BadWeights(f"lacks the number {side}/num_heads: convert the model with a current CTranslate2")
    return int(value)


def _read_variables(file: Path) -> dict[str, Tensor]:
    """All variables of a `model.bin`, by name, as tensors on the mapped file.

    The format, little-endian: u32 version, string specification, u32 revision, u32 count; per variable string name,
    u8 rank, u32 sizes, u8 type, u32 bytes, data; then u32 count of aliases, each two strings. Data is not aligned,
    which CPUs and copies to a GPU do not mind. (`serialize` in CTranslate2's python/ctranslate2/specs/model_spec.py.)
    """
    with file.open("rb") as opened:
        # Copy on write: torch wants a buffer it could write to, and whoever does write changes memory, not the file.
        cursor = _Cursor(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY))
    version, specification = cursor.number("I"), cursor.string()
    if version != _VERSION or specification != "WhisperSpec":
        raise _BadWeights(
            f"is no Whisper model of CTranslate2's format {_VERSION}: convert it with a current CTranslate2"
        )
    cursor.number("I")  # the specification's revision: what a revision lacks is told by the variable that is missing
    variables = {}
    for _ in range(cursor.number("I")):
        name = cursor.string()
        variables[name] = cursor.tensor()
    for _ in range(cursor.number("I")):  # aliases: openai-whisper ties the output layer to the embedding by itself
        cursor.string()
        cursor.string()
    cursor.expect_end()
    return variables


class _Cursor:
    """Reads a mapped `model.bin` from front to back; `_BadWeights` where it is cut off or its lengths do not fit."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def _skip(self, size: int) -> int:
        """The position of the next `size` bytes, which are passed."""
        start = self._at
        if start + size > len(self._data):
            raise _BadWeights("is cut off or no CTranslate2 model: fetch the model again")
        self._at += size
        return start

    def number(self, kind: str) -> int:
        """The next number, of `struct`'s kind B, H or I."""
        layout = struct.Struct("<" + kind)
        return int(layout.unpack_from(self._data, self._skip(layout.size))[0])

    def string(self) -> str:
        size = self.number("H")
        start = self._skip(size)
        # Whatever is not ASCII shows up as a name that no model has.
        return self._data[start : start + size].rstrip(b"\0").decode("ascii", "replace")

    def tensor(self) -> Tensor:
        shape = [self.number("I") for _ in range(self.number("B"))]
        kind, size = self.number("B"), self.number("I")
        if kind >= len(_DTYPES) or size == 0 or size != math.prod(shape) * _DTYPES[kind].itemsize:
            raise _BadWeights("is damaged, as a variable's shape and size differ: fetch the model again")
        start = self._skip(size)
        return torch.frombuffer(self._data, dtype=_DTYPES[kind], count=math.prod(shape), offset=start).view(shape)

    def expect_end(self) -> None:
        if self._at != len(self._data):
            raise _BadWeights("is longer than the model in it: fetch the model again")


def _align_by_config(model: Whisper, config: Path) -> bool:
    """Sets the `alignment_heads` of a CTranslate2 `config.json`, pairs of layer and head; false if it gives none."""
    mask = torch.zeros(model.dims.n_text_layer, model.dims.n_text_head, dtype=torch.bool)
    try:
        for layer, head in json.loads(config.read_bytes())["alignment_heads"]:
            mask[layer, head] = True
    except (OSError, KeyError, ValueError, TypeError, IndexError):  # no file, no list, not JSON, or not this model's
        return False
    if not mask.any():
        return False
    model.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)
    return True
