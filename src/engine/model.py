"""Inference-only forward passes over openai-whisper's weights.

The arithmetic is that of `whisper/model.py`, arranged for many windows at once:

- q, k and v come from one linear layer; the scale 1/8 (heads are 64 wide) is folded into the weights of q;
- keys and values of the cross-attention are computed once per window and cached;
- the cache has a slot per window. The slots in use are the first ones, so that a step works on plain slices;
- each slot has its own position, so that windows can enter and leave at any step;
- the candidates of a window (beams, samples) query its cross-attention together: it is never copied.

Letters in shapes: B windows, G candidates of each, H heads, D = 64 H, P prompt tokens, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import whisper
from torch import Tensor, nn
from whisper.model import ResidualAttentionBlock

from src.engine.kernels import Linear, MakeLinear
from src.engine.kv_cache import HEAD_WIDTH, KeysValues, KVCache, decoder_placements, encoder_placements
from src.engine.placement import Placement
from src.errors import ModelUnavailable

SCALE = HEAD_WIDTH**-0.5
STRIDE = 64
"""The number of cached tokens that a step reads is a multiple of this."""


@dataclass(frozen=True)
class Norm:
    """Layer norm over the last dimension."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        return F.layer_norm(x, (x.shape[-1],), self.weight, self.bias)


@dataclass(frozen=True)
class SelfAttention:
    """The layers of a self-attention block; `qkv` computes queries, keys and values at once."""

    norm: Norm
    qkv: Linear
    out: Linear


@dataclass(frozen=True)
class CrossAttention:
    """The layers of a cross-attention block; `kv` computes keys and values at once."""

    norm: Norm
    q: Linear
    kv: Linear
    out: Linear


@dataclass(frozen=True)
class FeedForward:
    """The layers of a feed-forward block; `widen` includes the GELU."""

    norm: Norm
    widen: Linear
    narrow: Linear

    def __call__(self, x: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        return self.narrow(self.widen(self.norm(x)))


class Model:
    """Encoder and decoder of one checkpoint, in one number format, on one device or with layers on several.

    Args:
        source: openai-whisper's model with the checkpoint's weights; it is read, not kept.
        embedding: [V, D], the checkpoint's token embedding. It is kept as it is, and may be memory-mapped.

    Attributes:
        alignment_heads: layer and number of each cross-attention head whose attention follows the spoken words.

    Raises:
        ModelUnavailable: the heads do not have Whisper's width.
    """

    def __init__(self, source: whisper.Whisper, placement: Placement, embedding: Tensor) -> None:
        self.dims = dims = source.dims
        if (dims.n_audio_state, dims.n_text_state) != (HEAD_WIDTH * dims.n_audio_head, HEAD_WIDTH * dims.n_text_head):
            raise ModelUnavailable(f"the model's attention heads are not {HEAD_WIDTH} wide, as Whisper's are")
        self.placement = placement
        self.encoder = Encoder(source, placement)
        self.decoder = Decoder(source, placement, embedding)
        self.alignment_heads: list[tuple[int, int]] = [
            (layer, head) for layer, head in source.alignment_heads.to_dense().nonzero().tolist()
        ]

    def cache(self, num_slots: int, num_candidates: int) -> KVCache:
        """Return an empty cache for the decoder."""
        return KVCache(self.dims, self.placement, num_slots, num_candidates)


Visit = Callable[[int, KeysValues, KeysValues, Tensor], None]


class Encoder:
    """Whisper's audio encoder."""

    def __init__(self, source: whisper.Whisper, placement: Placement) -> None:
        encoder = source.encoder
        self._placement = placement
        self._convolutions = [
            (_convert(conv.weight, placement), _convert(conv.bias, placement), conv.stride[0])
            for conv in (encoder.conv1, encoder.conv2)
        ]
        self._positions = _convert(encoder.positional_embedding, placement)
        self._blocks = [
            (
                layer.device,
                _pack_self_attention(block, layer, layer.window_linear),
                _pack_feed_forward(block, layer, layer.window_linear),
            )
            for layer, block in zip(encoder_placements(source.dims, placement), encoder.blocks, strict=True)
        ]
        self._norm = _convert_norm(encoder.ln_post, placement)

    def __call__(self, mel: Tensor) -> Tensor:
        """Log-mel spectrograms [B, n_mels, 3000] -> features [B, 1500, D]."""
        x = mel.to(self._placement.dtype)
        for weight, bias, stride in self._convolutions:
            x = F.gelu(F.conv1d(x, weight, bias, stride=stride, padding=1))
        x = x.transpose(1, 2) + self._positions
        for device, self_attn, feed_forward in self._blocks:
            x = x.to(device)
            q, k, v = _split_heads(self_attn.qkv(self_attn.norm(x)), 3)
            x += self_attn.out(_join_heads(self._placement.attention(q, k, v)))
            x += feed_forward(x)
        return self._norm(x.to(self._placement.device))


class Decoder:
    """Whisper's text decoder."""

    def __init__(self, source: whisper.Whisper, placement: Placement, embedding: Tensor) -> None:
        decoder = source.decoder
        self._placement = placement
        self._embedding = embedding.detach().to(placement.device)
        self._unembedding = placement.linear(_convert(decoder.token_embedding.weight, placement), None, False)
        self._positions = _convert(decoder.positional_embedding, placement)
        self._blocks = [
            (
                layer.device,
                _pack_self_attention(block, layer, layer.linear),
                _pack_cross_attention(block, layer, layer.linear),
                _pack_feed_forward(block, layer, layer.linear),
            )
            for layer, block in zip(decoder_placements(source.dims, placement), decoder.blocks, strict=True)
        ]
        self._norm = _convert_norm(decoder.ln, placement)

    def prefill(self, cache: KVCache, slots: Sequence[int], prompts: Tensor, features: Tensor) -> Tensor:
        """Fill slots with the cross-attention of their windows, and with prompts for all candidates of a window.

        Args:
            prompts: [B, P], padded at the end with any token. The caller sets `KVCache.length`, which hides the padding
                until it is overwritten.
            features: [B, 1500, D], the encoder's output for each window.

        Returns:
            Hidden states [B, P, D] for `logits`.
        """
        length = prompts.shape[1]

        for slot in slots:
            cache.reset_slot(slot, self._rounded_length(length))

        def store(layer: int, self_attn: KeysValues, cross_attn: KeysValues, _: Tensor) -> None:
            for row, slot in enumerate(slots):
                for cached, new in zip(cache.self_attn[layer], self_attn, strict=True):
                    cached[slot, :, :, :length] = new[row]
                keys, values = cache.cross_attn[layer]
                keys[slot], values[slot] = cross_attn[0][row], cross_attn[1][row].mT

        return self.read(prompts, features, store)

    def read(self, tokens: Tensor, features: Tensor, visit: Visit) -> Tensor:
        """Read whole texts [B, P] in one pass with causal attention, without a cache.

        Args:
            features: [B, 1500, D].
            visit: called in each layer with its number, keys and values of the self-attention [B, H, P, 64], those of
                the cross-attention [B, H, 1500, 64], and the queries of the cross-attention [B, H, P, 64].

        Returns:
            Hidden states [B, P, D] for `logits`.
        """
        x = self._embed(tokens) + self._positions[: tokens.shape[1]]
        for layer, (device, self_attn, cross_attn, feed_forward) in enumerate(self._blocks):
            x, features = x.to(device), features.to(device)
            q, k, v = _split_heads(self_attn.qkv(self_attn.norm(x)), 3)
            x += self_attn.out(_join_heads(_causal_attention(q, k, v)))
            (q,) = _split_heads(cross_attn.q(cross_attn.norm(x)), 1)
            keys, values = _split_heads(cross_attn.kv(features), 2)
            visit(layer, (k, v), (keys, values), q)
            x += cross_attn.out(_join_heads(_attention(q, keys, values)))
            x += feed_forward(x)
        return x.to(self._placement.device)

    def step(self, cache: KVCache, tokens: Tensor, longest: int) -> Tensor:
        """Read one more token for each candidate of the slots in use.

        Args:
            tokens: [B, G], the latest token of each candidate; B slots are in use.
            longest: tokens of the longest slot, including these.

        Returns:
            Hidden states [B, G, D] for `logits`.
        """
        used, num_candidates = tokens.shape
        position = cache.length[:used]
        x = self._embed(tokens) + self._positions[position][:, None]
        length = self._rounded_length(longest)
        cache.zero_fill_to(used, length)
        index_and_mask = {
            device: _index_and_mask(position.to(device), length, num_candidates, x.dtype)
            for device in dict.fromkeys(device for device, *_ in self._blocks)
        }
        for block, cached, (keys, values) in zip(self._blocks, cache.self_attn, cache.cross_attn, strict=True):
            device, self_attn, cross_attn, feed_forward = block
            x = x.to(device)
            x += self_attn.out(_cached_attention(self_attn.qkv(self_attn.norm(x)), cached, *index_and_mask[device]))
            (q,) = _split_heads(cross_attn.q(cross_attn.norm(x)), 1)
            x += cross_attn.out(_join_heads(_attention(q, keys[:used], values[:used].mT)))
            x += feed_forward(x)
        cache.length[:used] += 1
        return x.to(self._placement.device)

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., D] -> logits [..., V] in float32."""
        return self._unembedding(self._norm(hidden)).float()

    def _rounded_length(self, length: int) -> int:
        """Round a number of cached tokens up to a multiple of `STRIDE`: each new shape costs a new kernel."""
        return min(-(-length // STRIDE) * STRIDE, len(self._positions))

    def _embed(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self._embedding).to(self._placement.dtype)


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of a few queries: two products and a softmax, which is fastest for them on every device."""
    scores = q @ k.mT
    return (scores if mask is None else scores + mask).softmax(-1) @ v


def _causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    mask = torch.full((q.shape[-2], q.shape[-2]), -torch.inf, device=q.device, dtype=q.dtype).triu(1)
    return _attention(q, k, v, mask)


CacheIndex = tuple[Tensor, Tensor, slice, Tensor]
"""Index into a layer of `KVCache.self_attn`: slot, candidate, all heads, position."""


def _cached_attention(qkv: Tensor, cached: KeysValues, index: CacheIndex, mask: Tensor) -> Tensor:
    """Self-attention [B, G, D] of the newest tokens, from their q, k and v [B, G, 3 D]; caches their k and v."""
    used, num_candidates, _ = qkv.shape
    q, k, v = qkv.view(used, num_candidates, 3, -1, HEAD_WIDTH).unbind(2)
    cached[0][index], cached[1][index] = k, v
    keys, values = (tensor[:used, :, :, : mask.shape[-1]] for tensor in cached)
    return _attention(q[:, :, :, None], keys, values, mask).reshape(used, num_candidates, -1)


def _index_and_mask(
    position: Tensor, length: int, num_candidates: int, dtype: torch.dtype
) -> tuple[CacheIndex, Tensor]:
    """The cache index of each candidate's newest token, and the mask [B, 1, 1, 1, T] of positions not yet filled."""
    slots = torch.arange(len(position), device=position.device)
    candidates = torch.arange(num_candidates, device=position.device)
    index = (slots[:, None], candidates[None], slice(None), position[:, None])
    filled = torch.arange(length, device=position.device) <= position[:, None]
    mask = torch.zeros_like(filled, dtype=dtype).masked_fill_(~filled, -torch.inf)
    return index, mask[:, None, None, None]


def _split_heads(x: Tensor, parts: int) -> tuple[Tensor, ...]:
    """[B, N, parts x D] -> `parts` tensors [B, H, N, 64], each contiguous."""
    batch, count, _ = x.shape
    return tuple(x.view(batch, count, parts, -1, HEAD_WIDTH).permute(2, 0, 3, 1, 4).contiguous().unbind(0))


def _join_heads(x: Tensor) -> Tensor:
    """[B, H, N, 64] -> [B, N, D]."""
    return x.transpose(1, 2).flatten(2)


# --- Packing openai-whisper's modules --------------------------------------------------------------------------------


def _convert(weight: Tensor, placement: Placement) -> Tensor:
    return weight.detach().to(placement.device, placement.dtype).contiguous()


def _convert_norm(norm: nn.LayerNorm, placement: Placement) -> Norm:
    return Norm(_convert(norm.weight, placement), _convert(norm.bias, placement))


def _pack_linear(
    layers: Sequence[nn.Linear],
    placement: Placement,
    make_linear: MakeLinear,
    *,
    first_scale: float = 1.0,
    gelu: bool = False,
) -> Linear:
    """Fuse linear layers of the same input into one. Whisper's keys have no bias: theirs becomes zero."""
    weights: list[Tensor] = [layer.weight for layer in layers]
    biases: list[Tensor] = [torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias for layer in layers]
    weights[0], biases[0] = weights[0] * first_scale, biases[0] * first_scale
    weight, bias = (_concatenate([_convert(part, placement) for part in parts]) for parts in (weights, biases))
    return make_linear(weight, bias, gelu)


def _concatenate(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _pack_self_attention(block: ResidualAttentionBlock, placement: Placement, make_linear: MakeLinear) -> SelfAttention:
    attn = block.attn
    qkv = _pack_linear([attn.query, attn.key, attn.value], placement, make_linear, first_scale=SCALE)
    return SelfAttention(_convert_norm(block.attn_ln, placement), qkv, _pack_linear([attn.out], placement, make_linear))


def _pack_cross_attention(
    block: ResidualAttentionBlock, placement: Placement, make_linear: MakeLinear
) -> CrossAttention:
    attn = block.cross_attn
    q = _pack_linear([attn.query], placement, make_linear, first_scale=SCALE)
    kv = _pack_linear([attn.key, attn.value], placement, make_linear)
    out = _pack_linear([attn.out], placement, make_linear)
    return CrossAttention(_convert_norm(block.cross_attn_ln, placement), q, kv, out)


def _pack_feed_forward(block: ResidualAttentionBlock, placement: Placement, make_linear: MakeLinear) -> FeedForward:
    widen = _pack_linear([block.mlp[0]], placement, make_linear, gelu=True)
    narrow = _pack_linear([block.mlp[2]], placement, make_linear)
    return FeedForward(_convert_norm(block.mlp_ln, placement), widen, narrow)
