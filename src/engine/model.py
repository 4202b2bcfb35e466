"""Inference-only forward passes over openai-whisper's weights.

The arithmetic is that of `whisper/model.py`, arranged for many windows at once:

- q, k and v come from one linear layer; the scale 1/8 (heads are 64 wide) is folded into the weights of q;
- keys and values of the cross-attention are computed once per window and cached;
- the cache has a slot per window, with a position of its own, so that windows can enter and leave at any step;
- the candidates of a window (beams, samples) query its cross-attention, and each other's tokens, together: neither is
  ever copied.

Letters in shapes: B windows, G candidates of each, H heads, D = 64 H, P prompt tokens, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
import whisper
from torch import Tensor, nn
from whisper.model import ResidualAttentionBlock

from src.engine.cross_memory import CrossAttentionWeights
from src.engine.kernels import Linear, MakeLinear
from src.engine.kv_cache import KeysValues, KVCache, decoder_placements, encoder_placements
from src.engine.placement import HEAD_WIDTH, Placement
from src.errors import ModelUnavailable

SCALE = HEAD_WIDTH**-0.5


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
    """The layers of a cross-attention block."""

    norm: Norm
    q: Linear
    features: CrossAttentionWeights
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


@dataclass(frozen=True)
class Convolution:
    """A convolution over time with padding at both ends and a GELU, as a linear layer over excerpts of `width` frames.

    On a CPU in bfloat16, three times as fast as PyTorch's.
    """

    linear: Linear
    width: int
    stride: int

    def __call__(self, x: Tensor) -> Tensor:
        """[B, frames, in] -> [B, frames / stride, out]."""
        padding = self.width // 2
        excerpts = F.pad(x, (0, 0, padding, padding)).unfold(1, self.width, self.stride)
        return self.linear(excerpts.flatten(2))


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
        self._convolutions = [_pack_convolution(conv, placement) for conv in (encoder.conv1, encoder.conv2)]
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
        """Log-mel spectrograms [B, n_mels, frames] -> features [B, 1500, D].

        Of fewer than 3000 frames the last, which are silence, stand for those that are missing: all that read features
        then find silence where they expect it, and 1500 positions.
        """
        x = mel.to(self._placement.dtype).transpose(1, 2)
        for convolution in self._convolutions:
            x = convolution(x)
        x += self._positions[: x.shape[1]]
        for device, self_attn, feed_forward in self._blocks:
            x = x.to(device)
            q, k, v = _split_heads(self_attn.qkv(self_attn.norm(x)), 3)
            x += self_attn.out(_join_heads(self._placement.attention(q, k, v, None)))
            x += feed_forward(x)
        features = self._norm(x.to(self._placement.device))
        missing = len(self._positions) - features.shape[1]
        return torch.cat([features, features[:, -1:].expand(-1, missing, -1)], 1) if missing else features


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

    def store_features(self, cache: KVCache, slot: int, features: Tensor) -> None:
        """Store the cross-attention of a window's features [1500, D] in its slot."""
        cache.cross_attn.store(slot, features, [cross_attn.features for _, _, cross_attn, _ in self._blocks])

    def store_prompt(self, cache: KVCache, slot: int, prompt: Tensor, features: Tensor) -> Tensor:
        """Store the self-attention of a prompt [P] for a window's features [1500, D]; return hidden states [P, D]."""

        def store(layer: int, self_attn: KeysValues, _: KeysValues, __: Tensor) -> None:
            cache.store_prompt(layer, slot, (self_attn[0][0], self_attn[1][0]))

        return self.read(prompt[None], features[None], store)[0]

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
            x += self_attn.out(_join_heads(F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0)))
            (q,) = _split_heads(cross_attn.q(cross_attn.norm(x)), 1)
            keys, values = _split_heads(cross_attn.features.kv(features), 2)
            visit(layer, (k, v), (keys, values), q)
            x += cross_attn.out(_join_heads(self._placement.attention(q, keys, values, None)))
            x += feed_forward(x)
        return x.to(self._placement.device)

    def step(self, cache: KVCache, tokens: Tensor, position: Tensor, reach: int) -> Tensor:
        """Read one more token of each text in the first B slots.

        Args:
            cache: receives the tokens' keys and values.
            tokens: [B, G], the latest token of each text.
            position: [B, 1], their position.
            reach: positions that are read; more than any of `position`.

        Returns:
            Hidden states [B, G, D] for `logits`.
        """
        used = len(tokens)
        x = self._embed(tokens) + self._positions[position]
        cache.include_newest(position)
        mask = cache.mask[:used, None, :, :reach].flatten(-2)
        shared: dict[torch.device, tuple[CacheIndex, Tensor]] = {}
        for layer, (device, self_attn, cross_attn, feed_forward) in enumerate(self._blocks):
            if device not in shared:
                shared[device] = _cache_index(cache, used, position, device), mask.to(device)
            x = x.to(device)
            qkv = self_attn.qkv(self_attn.norm(x))
            x += self_attn.out(self._cached_attention(qkv, cache.self_attn[layer], *shared[device]))
            q = cross_attn.q(cross_attn.norm(x)).view(*tokens.shape, -1, HEAD_WIDTH)
            x += cross_attn.out(cache.cross_attn.attend(layer, q, cross_attn.features).flatten(2))
            x += feed_forward(x)
        return x.to(self._placement.device)

    def _cached_attention(self, qkv: Tensor, cached: Tensor, index: CacheIndex, mask: Tensor) -> Tensor:
        """Self-attention [B, G, D] of the newest tokens, from their q, k and v [B, G, 3 D]; caches their k and v."""
        used, num_candidates, _ = qkv.shape
        qkv = qkv.view(used, num_candidates, 3, -1, HEAD_WIDTH)
        cached[index] = qkv[:, :, 1:]
        reach = mask.shape[-1] // num_candidates
        keys, values = cached[:, :used, :, :reach].flatten(3, 4).unbind(0)
        return _join_heads(self._placement.attention(qkv[:, :, 0].transpose(1, 2), keys, values, mask))

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., D] -> logits [..., V] in float32."""
        return self._unembedding(self._norm(hidden)).float()

    def _embed(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self._embedding).to(self._placement.dtype)


CacheIndex = tuple[slice, Tensor, slice, Tensor, Tensor]
"""Index into a layer of `KVCache.self_attn`: keys and values, slot, all heads, position, candidate."""


def _cache_index(cache: KVCache, used: int, position: Tensor, device: torch.device) -> CacheIndex:
    """The place of each candidate's newest token."""
    slots, candidates = cache.slots[:used].to(device), cache.candidates.to(device)
    return slice(None), slots, slice(None), position.to(device), candidates


def _split_heads(x: Tensor, parts: int) -> tuple[Tensor, ...]:
    """[B, N, parts x D] -> `parts` views [B, H, N, 64]."""
    batch, count, _ = x.shape
    return x.view(batch, count, parts, -1, HEAD_WIDTH).permute(2, 0, 3, 1, 4).unbind(0)


def _join_heads(x: Tensor) -> Tensor:
    """[B, H, N, 64] -> [B, N, D]."""
    return x.transpose(1, 2).flatten(2)


# --- Packing openai-whisper's modules --------------------------------------------------------------------------------


def _convert(weight: Tensor, placement: Placement) -> Tensor:
    return weight.detach().to(placement.device, placement.dtype).contiguous()


def _convert_norm(norm: nn.LayerNorm, placement: Placement) -> Norm:
    return Norm(_convert(norm.weight, placement), _convert(norm.bias, placement))


def _pack_convolution(conv: nn.Conv1d, placement: Placement) -> Convolution:
    weight, bias = _convert(conv.weight.flatten(1), placement), _convert(cast(Tensor, conv.bias), placement)
    return Convolution(placement.window_linear(weight, bias, True), conv.kernel_size[0], conv.stride[0])


def _pack_linear(
    layers: Sequence[nn.Linear],
    placement: Placement,
    make_linear: MakeLinear,
    *,
    first_scale: float = 1.0,
    gelu: bool = False,
) -> Linear:
    return make_linear(*_fuse(layers, placement, first_scale), gelu)


def _fuse(layers: Sequence[nn.Linear], placement: Placement, first_scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Weight and bias of linear layers of the same input as one. Whisper's keys have no bias: theirs becomes zero."""
    weights: list[Tensor] = [layer.weight for layer in layers]
    biases: list[Tensor] = [torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias for layer in layers]
    weights[0], biases[0] = weights[0] * first_scale, biases[0] * first_scale
    weight, bias = (_concatenate([_convert(part, placement) for part in parts]) for parts in (weights, biases))
    return weight, bias


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
    weight, bias = _fuse([attn.key, attn.value], placement)
    key, value = weight.view(2, attn.n_head, HEAD_WIDTH, -1)
    features = CrossAttentionWeights(
        make_linear(weight, bias, False), key, value.mT, bias.view(2, attn.n_head, HEAD_WIDTH)[1]
    )
    out = _pack_linear([attn.out], placement, make_linear)
    return CrossAttention(_convert_norm(block.cross_attn_ln, placement), q, features, out)


def _pack_feed_forward(block: ResidualAttentionBlock, placement: Placement, make_linear: MakeLinear) -> FeedForward:
    widen = _pack_linear([block.mlp[0]], placement, make_linear, gelu=True)
    narrow = _pack_linear([block.mlp[2]], placement, make_linear)
    return FeedForward(_convert_norm(block.mlp_ln, placement), widen, narrow)
