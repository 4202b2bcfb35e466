"""Reads a Hugging Face folder: safetensors, in one or more files, or the older `pytorch_model.bin`, and `config.json`.

The files are memory-mapped and their tensors are views of that mapping: nothing is copied.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

import torch
from torch import Tensor

from src.models.checkpoint import BadWeights, Checkpoint, State, alignment_heads, dimensions
from src.models.files import read_json, weight_files

logger = logging.getLogger(__name__)

# transformers' modules, and openai-whisper's.
_LAYER_MODULES = {
    "self_attn.q_proj": "attn.query",
    "self_attn.k_proj": "attn.key",
    "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out",
    "self_attn_layer_norm": "attn_ln",
    "encoder_attn.q_proj": "cross_attn.query",
    "encoder_attn.k_proj": "cross_attn.key",
    "encoder_attn.v_proj": "cross_attn.value",
    "encoder_attn.out_proj": "cross_attn.out",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
}
_OTHER_NAMES = {
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "encoder.layer_norm.weight": "encoder.ln_post.weight",
    "encoder.layer_norm.bias": "encoder.ln_post.bias",
    "decoder.embed_tokens.weight": "decoder.token_embedding.weight",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.layer_norm.weight": "decoder.ln.weight",
    "decoder.layer_norm.bias": "decoder.ln.bias",
}
_LAYER_PARAMETER = re.compile(r"(encoder|decoder)\.layers\.(\d{1,4})\.(.+)\.(weight|bias)")

_EMBEDDING = "decoder.token_embedding.weight"
_PROJECTION = "proj_out.weight"


def read_hugging_face(folder: Path) -> Checkpoint:
    """Read a folder; the alignment heads come from `generation_config.json`.

    Raises:
        BadWeights: the folder is damaged, or not a Whisper model that openai-whisper can compute.
    """
    heads = _attention_heads(folder / "config.json")
    state = {_openai_name(name): tensor for file in _files(folder) for name, tensor in _read(file).items()}
    unembedding = _pop_untied_projection(state)
    dims = dimensions(state, *heads)
    known = _num_whisper_tokens(dims.n_mels, dims.n_vocab)
    if known < dims.n_vocab:
        logger.warning("%s has %d additional tokens, which are left out", folder.name, dims.n_vocab - known)
        dims.n_vocab = known
        state[_EMBEDDING] = state[_EMBEDDING][:known]
        unembedding = None if unembedding is None else unembedding[:known]
    return Checkpoint(state, dims, alignment_heads(dims, folder / "generation_config.json"), unembedding)


def _attention_heads(config: Path) -> tuple[int, int]:
    """Return the numbers of attention heads of the encoder and of the decoder.

    Raises:
        BadWeights: it is not a Whisper model, quantised, or openai-whisper would compute it differently.
    """
    try:
        content = read_json(config)
    except (OSError, ValueError) as error:
        raise BadWeights("has no config.json that can be read: fetch the model again") from error
    match content:
        case {"quantization_config": dict()}:
            raise BadWeights("is quantised: give the model in float16, bfloat16 or float32 instead")
        case {"model_type": str(kind)} if kind != "whisper":
            raise BadWeights(f"holds a model of the type {kind[:40]!r}: give a Whisper model")
        case {"scale_embedding": True}:
            raise BadWeights("scales its embeddings, which no Whisper model of OpenAI's does: give another model")
        case {"activation_function": str(name)} if name != "gelu":
            raise BadWeights(f"has the activation {name[:40]!r} where Whisper's is 'gelu': give another model")
        case {"encoder_attention_heads": int(encoder), "decoder_attention_heads": int(decoder)}:
            return encoder, decoder
    raise BadWeights("has a config.json that does not tell its attention heads: fetch the model again")


def _files(folder: Path) -> list[Path]:
    try:
        files = weight_files(folder)
    except (OSError, ValueError) as error:
        raise BadWeights("has a damaged index of its parts: fetch the model again") from error
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise BadWeights(f"lacks its part {missing[0]}: fetch the model again")
    return files


def _read(file: Path) -> State:
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch.load documents none: RuntimeError, UnpicklingError, KeyError, ...
        raise BadWeights(
            f"is damaged, or {file.name} is in a format that is too old: fetch it again, or save it as safetensors"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BadWeights(f"is no Whisper model: {file.name} has to map names to tensors")
    return {str(name): tensor for name, tensor in state.items()}


def _read_safetensors(file: Path) -> State:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        raise BadWeights(f"is damaged, as {file.name} is cut off or no safetensors file: fetch it again") from error


def _openai_name(name: str) -> str:
    """openai-whisper's name of a parameter; if it has none, the name as it is, under which the model is refused."""
    bare = name.removeprefix("model.")
    if match := _LAYER_PARAMETER.fullmatch(bare):
        side, layer, module, parameter = match.groups()
        if module in _LAYER_MODULES:
            return f"{side}.blocks.{int(layer)}.{_LAYER_MODULES[module]}.{parameter}"
    return _OTHER_NAMES.get(bare, bare)


def _pop_untied_projection(state: State) -> Tensor | None:
    """Remove `proj_out` from the state; return None if it equals the embedding, which may be under either name."""
    projection = state.pop(_PROJECTION, None)
    if projection is None:
        return None
    embedding = state.setdefault(_EMBEDDING, projection)
    if projection.shape != embedding.shape or projection.dtype != embedding.dtype:
        raise BadWeights("does not fit together: proj_out and embed_tokens differ in shape; fetch the model again")
    return None if projection is embedding or torch.equal(projection, embedding) else projection


def _num_whisper_tokens(n_mels: int, n_vocab: int) -> int:
    """The number of Whisper's tokens in a vocabulary: fine-tuned models may have more after them, or padding."""
    multilingual = 51866 if n_mels == 128 else 51865
    return min(n_vocab, multilingual)
