"""Loads weights into openai-whisper's `Whisper`, in a fraction of `whisper.load_model`'s time.

Three forms are read: OpenAI's `.pt` checkpoints (here), CTranslate2's `model.bin` (ctranslate2.py) and Hugging Face
folders (hugging_face.py). All are memory-mapped and the model's parameters are views of that mapping, so that nothing
is initialised, copied or held twice: pages are read from disk on first access.

Every fault of a file becomes a `ModelUnavailable`: one sentence that names the file and what to do.
"""

import base64
import gzip
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import whisper
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from whisper.model import ModelDimensions, Whisper

from src.errors import ModelUnavailable
from src.models.checkpoint import BadWeights, Checkpoint, State, dimensions
from src.models.ctranslate2 import read_ctranslate2
from src.models.files import CTRANSLATE2
from src.models.hugging_face import read_hugging_face

_WEIGHT_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def load_weights(path: Path) -> Whisper:
    """Load a Whisper model on the CPU, ready for inference (`requires_grad` is off).

    The weights keep the file's number format, which is float16 for nearly every published model, and stay mapped to the
    file: the caller chooses the format to compute in. The engine makes its own fused copies. openai-whisper's
    `transcribe` works as is with `fp16=True`; for `fp16=False` call `.float()` first, or each weight is converted at
    each use. Layer norms alone are always float32, because openai-whisper computes them in float32 and fails with other
    formats (so never call `.half()`). To replace the file, rename another over it: writing into the mapped file would
    change the model.

    The alignment heads come from openai-whisper's table by the `.pt` file's name, or from the `config.json` or
    `generation_config.json` beside the weights; otherwise openai-whisper's default stays: see `has_alignment_heads`.

    Args:
        path: an OpenAI checkpoint (`tiny.en.pt`), a CTranslate2 `model.bin` or its folder, or a Hugging Face folder
            (`model.safetensors`, in one or more files, or `pytorch_model.bin`, with a `config.json`).

    Raises:
        ModelUnavailable: the file is missing, unreadable, empty, truncated, quantised or not a Whisper model.
    """
    file = path / CTRANSLATE2 if (path / CTRANSLATE2).is_file() else path
    label = _label(file)
    if file.is_dir():
        if not (file / "config.json").is_file():
            raise ModelUnavailable(f"{label} is no model: give a folder with model.safetensors or {CTRANSLATE2}.")
    elif not file.is_file():
        raise ModelUnavailable(f"There is no file {label}: give a .pt checkpoint or a folder with a model.")
    elif file.stat().st_size == 0:
        raise ModelUnavailable(f"{label} is empty: fetch the model again.")
    try:
        return _build(_read(file))
    except BadWeights as error:
        raise ModelUnavailable(f"{label} {error}.") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelUnavailable(f"{label} cannot be read ({reason}): check its permissions and its disk.") from error


def _label(file: Path) -> str:
    """The name of a model in error messages."""
    if file.parent.name == "snapshots":  # in the hub's cache, where the folder's name is a commit
        return file.parents[1].name.removeprefix("models--").replace("--", "/")
    return f"{file.parent.name}/{file.name}" if file.name == CTRANSLATE2 else file.name


def _read(file: Path) -> Checkpoint:
    if file.is_dir():
        return read_hugging_face(file)
    return read_ctranslate2(file) if file.suffix == ".bin" else _read_checkpoint(file)


def has_alignment_heads(model: Whisper) -> bool:
    """True if the model specifies its alignment heads; openai-whisper's default is all heads of the upper half."""
    return not torch.equal(model.alignment_heads.to_dense(), _default_heads(model))


def embedding_of(model: Whisper) -> Tensor:
    """Return the token embedding [V, D]."""
    embedding = model.decoder.token_embedding
    return embedding.input_weight if isinstance(embedding, _UntiedEmbedding) else embedding.weight


# --- The model ------------------------------------------------------------------------------------------------------


class _SkipInitialisation(TorchFunctionMode):
    """Disables `torch.nn.init` in its block: parameters stay as allocated, and none of their pages is touched.

    A mode applies to the current thread only and patches nothing. (The meta device would save the allocation too, but
    `Whisper.__init__` calls `to_sparse`, which has no meta implementation.)
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


class _UntiedEmbedding(nn.Embedding):
    """A token embedding, `input_weight`, that differs from `weight`, which openai-whisper computes logits with."""

    def __init__(self, input_weight: Tensor, weight: Tensor) -> None:
        super().__init__(weight.shape[0], weight.shape[1], _weight=weight)
        self.input_weight = nn.Parameter(input_weight)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.input_weight)


def _build(checkpoint: Checkpoint) -> Whisper:
    """Build a model whose parameters are the checkpoint's tensors, except layer norms, which become float32."""
    dims = checkpoint.dims
    try:
        with _SkipInitialisation():
            # Without audio positions: their sinusoids are in the file, and computing them takes half of a first load.
            model = Whisper(replace(dims, n_audio_ctx=0))
    except RuntimeError as error:  # torch's counterpart of MemoryError
        raise BadWeights("asks for more memory than there is: give a Whisper model that fits the machine") from error
    model.dims = dims
    model.encoder.positional_embedding = torch.empty(dims.n_audio_ctx, dims.n_audio_state)
    _check_tensors(checkpoint.state, model.state_dict())
    model.load_state_dict(checkpoint.state, assign=True)
    if checkpoint.unembedding is not None:
        model.decoder.token_embedding = _UntiedEmbedding(model.decoder.token_embedding.weight, checkpoint.unembedding)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.float()
    if checkpoint.alignment_heads is not None:
        model.register_buffer("alignment_heads", checkpoint.alignment_heads.to_sparse(), persistent=False)
    return model.requires_grad_(False)


def _default_heads(model: Whisper) -> Tensor:
    heads = torch.zeros(model.dims.n_text_layer, model.dims.n_text_head, dtype=torch.bool)
    heads[model.dims.n_text_layer // 2 :] = True
    return heads


def _check_tensors(state: State, expected: Mapping[str, Tensor]) -> None:
    """Raise `BadWeights` unless `state` has the names and shape of `expected`, and floating-point values."""
    if missing := expected.keys() - state.keys():
        raise BadWeights(f"lacks {_some(missing)}, which a Whisper model has: fetch the model again")
    if unknown := state.keys() - expected.keys():
        raise BadWeights(f"holds {_some(unknown)}, which a Whisper model has not: give a Whisper model")
    for name, tensor in state.items():
        if tensor.dtype not in _WEIGHT_DTYPES:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise BadWeights(f"is quantised to {kind}: convert the model to float16 or float32 instead")
        if tensor.shape != expected[name].shape:
            shapes = f"{list(tensor.shape)} instead of {list(expected[name].shape)}"
            raise BadWeights(f"does not fit together: {name} has the shape {shapes}; fetch the model again")


def _some(names: set[str]) -> str:
    """The first of `names`, and the number of the others."""
    return min(names) + (f" and {len(names) - 1} more" if len(names) > 1 else "")


# --- OpenAI's checkpoints -------------------------------------------------------------------------------------------


def _read_checkpoint(file: Path) -> Checkpoint:
    """Read a `.pt` file, memory-mapped; its dimensions must be those that the file declares."""
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch.load documents none: RuntimeError, UnpicklingError, KeyError, ...
        raise BadWeights("is damaged or no PyTorch checkpoint: fetch OpenAI's .pt file again") from error
    match checkpoint:
        case {"dims": {"n_audio_head": int(n_audio_head), "n_text_head": int(n_text_head)}, "model_state_dict": dict()}:
            state, declared = checkpoint["model_state_dict"], checkpoint["dims"]
        case _:
            raise BadWeights("is no Whisper checkpoint: it needs `dims` and `model_state_dict`, as OpenAI's have")
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
        raise BadWeights("is no Whisper checkpoint: its `model_state_dict` has to map names to tensors")
    dims = dimensions(state, n_audio_head, n_text_head)
    if asdict(dims) != declared:
        raise BadWeights("does not fit together: its `dims` are not those of its tensors; fetch the model again")
    return Checkpoint(state, dims, _published_heads(file.stem, dims))


def _published_heads(name: str, dims: ModelDimensions) -> Tensor | None:
    """The mask [layers, heads] that openai-whisper publishes for a model; None if it has none that fits."""
    packed = whisper._ALIGNMENT_HEADS.get(name)
    if packed is None:
        return None
    mask = torch.tensor(list(gzip.decompress(base64.b85decode(packed))), dtype=torch.bool)
    fits = len(mask) == dims.n_text_layer * dims.n_text_head  # not if a model of another size has a listed name
    return mask.view(dims.n_text_layer, dims.n_text_head) if fits else None
