"""Inference-only forward passes over openai-whisper's weights.

The arithmetic is that of `whisper/model.py`, laid out for many windows at once:

- q, k and v come from one linear; the scale 1/8 (heads are 64 wide) is folded into the weights of q;
- keys and values of the cross-attention are computed once per window and kept;
- the cache has a slot per window. Slots in use are the first ones, so that a step works on plain slices;
- every slot has a position of its own, so windows may enter and leave at any step;
- the candidates of a window (beams, samples) query its cross-attention together: it is never copied.

Shapes are told with these letters: B windows, G candidates of each, H heads, D = 64 H, P prompt tokens, T tokens so
far, V vocabulary.
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
from src.engine.kv_cache import HEAD_WIDTH, Cache, Pair, decoder_placements, encoder_placements
from src.engine.placement import Placement
from src.errors import ModelUnavailable

SCALE = HEAD_WIDTH**-0.5
STRIDE = 64
"""Tokens by which the part of the past that a step looks at grows."""


@dataclass(frozen=True)
class Norm:
    """Layer norm over the last dimension."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, (x.shape[-1],), self.weight, self.bias)


@dataclass(frozen=True)
class SelfAttention:
    norm: Norm
    qkv: Linear
    out: Linear


@dataclass(frozen=True)
class CrossAttention:
    norm: Norm
    q: Linear
    kv: Linear
    out: Linear


@dataclass(frozen=True)
class FeedForward:
    norm: Norm
    widen: Linear
    """With the GELU behind it."""
    narrow: Linear

    def __call__(self, x: Tensor) -> Tensor:
        return self.narrow(self.widen(self.norm(x)))


class Model:
    """Encoder and decoder of one checkpoint, in one number format, on one device or with layers on several.

    Args:
        source: openai-whisper's model with the checkpoint's weights; it is read, not kept.
        embedding: [V, D], the checkpoint's too, where tokens are looked up. It is kept as it is, and may be mapped.

    Raises:
        ModelUnavailable: its heads are not Whisper's.
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
        """Layer and number of the heads of the cross-attention that follow the words through time."""

    def cache(self, slots: int, group: int) -> Cache:
        return Cache(self.dims, self.placement, slots, group)


Visit = Callable[[int, Pair, Pair, Tensor], None]


class Encoder:
    def __init__(self, source: whisper.Whisper, placement: Placement) -> None:
        make, encoder = _Maker(placement, placement.window_linear), source.encoder
        self._placement = placement
        self._convolutions = [
            (make.put(one.weight), make.put(one.bias), one.stride[0]) for one in (encoder.conv1, encoder.conv2)
        ]
        self._positions = make.put(encoder.positional_embedding)
        self._blocks = [
            (one.device, there.self_attention(block), there.feed_forward(block))
            for one, block in zip(encoder_placements(source.dims, placement), encoder.blocks, strict=True)
            for there in [make.on(one)]
        ]
        self._norm = make.norm(encoder.ln_post)

    def __call__(self, mel: Tensor) -> Tensor:
        """Log-mel spectrograms [B, n_mels, 3000] -> features [B, 1500, D]."""
        x = mel.to(self._placement.dtype)
        for weight, bias, stride in self._convolutions:
            x = F.gelu(F.conv1d(x, weight, bias, stride=stride, padding=1))
        x = x.transpose(1, 2) + self._positions
        for device, own, feed_forward in self._blocks:
            x = x.to(device)
            q, k, v = _heads(own.qkv(own.norm(x)), 3)
            x += own.out(_joined(self._placement.attention(q, k, v)))
            x += feed_forward(x)
        return self._norm(x.to(self._placement.device))


class Decoder:
    def __init__(self, source: whisper.Whisper, placement: Placement, embedding: Tensor) -> None:
        make, decoder = _Maker(placement, placement.linear), source.decoder
        self._placement = placement
        self._embedding = embedding.detach().to(placement.device)
        self._unembedding = placement.linear(make.put(decoder.token_embedding.weight), None, False)
        self._positions = make.put(decoder.positional_embedding)
        self._blocks = [
            (one.device, there.self_attention(block), there.cross_attention(block), there.feed_forward(block))
            for one, block in zip(decoder_placements(source.dims, placement), decoder.blocks, strict=True)
            for there in [make.on(one)]
        ]
        self._norm = make.norm(decoder.ln)

    def prefill(self, cache: Cache, slots: Sequence[int], prompts: Tensor, features: Tensor) -> Tensor:
        """Fills slots with the cross-attention of their windows and with prompts, all candidates of a window alike.

        Args:
            prompts: [B, P], padded at the end with any token; `Cache.length`, which the caller sets, hides what is
                too much until it is written over.
            features: [B, 1500, D], the encoder's output for each window.

        Returns:
            Hidden states [B, P, D] for `logits`.
        """
        width = prompts.shape[1]

        for slot in slots:
            cache.clear(slot, self._reach(width))

        def keep(layer: int, own: Pair, cross: Pair, _: Tensor) -> None:
            for row, slot in enumerate(slots):
                for held, new in zip(cache.past[layer], own, strict=True):
                    held[slot, :, :, :width] = new[row]
                keys, values = cache.cross[layer]
                keys[slot], values[slot] = cross[0][row], cross[1][row].mT

        return self.read(prompts, features, keep)

    def read(self, tokens: Tensor, features: Tensor, visit: Visit) -> Tensor:
        """Runs over whole texts [B, P] at once, each token seeing those before it, without a cache.

        Args:
            features: [B, 1500, D].
            visit: called in each layer with its number, keys and values of the self-attention [B, H, P, 64], those of
                the cross-attention [B, H, 1500, 64], and the queries of the cross-attention [B, H, P, 64].

        Returns:
            Hidden states [B, P, D] for `logits`.
        """
        x = self._embed(tokens) + self._positions[: tokens.shape[1]]
        for layer, (device, own, cross, feed_forward) in enumerate(self._blocks):
            x, features = x.to(device), features.to(device)
            q, k, v = _heads(own.qkv(own.norm(x)), 3)
            x += own.out(_joined(_causal_attention(q, k, v)))
            (q,) = _heads(cross.q(cross.norm(x)), 1)
            keys, values = _heads(cross.kv(features), 2)
            visit(layer, (k, v), (keys, values), q)
            x += cross.out(_joined(_attention(q, keys, values)))
            x += feed_forward(x)
        return x.to(self._placement.device)

    def step(self, cache: Cache, tokens: Tensor, longest: int) -> Tensor:
        """One more token for each candidate of the slots in use.

        Args:
            tokens: [B, G], the latest token of each; B slots are in use.
            longest: tokens of the longest slot, these among them.

        Returns:
            Hidden states [B, G, D] for `logits`.
        """
        used, group = tokens.shape
        position = cache.length[:used]
        x = self._embed(tokens) + self._positions[position][:, None]
        reach = self._reach(longest)
        cache.look(used, reach)
        places = {
            device: _place_and_mask(position.to(device), reach, group, x.dtype)
            for device in dict.fromkeys(device for device, *_ in self._blocks)
        }
        for block, past, (keys, values) in zip(self._blocks, cache.past, cache.cross, strict=True):
            device, own, cross, feed_forward = block
            x = x.to(device)
            x += own.out(_attend_past(own.qkv(own.norm(x)), past, *places[device]))
            (q,) = _heads(cross.q(cross.norm(x)), 1)
            x += cross.out(_joined(_attention(q, keys[:used], values[:used].mT)))
            x += feed_forward(x)
        cache.length[:used] += 1
        return x.to(self._placement.device)

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., D] -> logits [..., V] in float32."""
        return self._unembedding(self._norm(hidden)).float()

    def _reach(self, longest: int) -> int:
        """How far into the past to look for `longest` tokens. Kernels are made for each shape: strides spare many."""
        return min(-(-longest // STRIDE) * STRIDE, len(self._positions))

    def _embed(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self._embedding).to(self._placement.dtype)


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of a few queries: two products and a softmax, which for them is the fastest on every device."""
    scores = q @ k.mT
    return (scores if mask is None else scores + mask).softmax(-1) @ v


def _causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    later = torch.full((q.shape[-2], q.shape[-2]), -torch.inf, device=q.device, dtype=q.dtype).triu(1)
    return _attention(q, k, v, later)


def _attend_past(qkv: Tensor, past: Pair, at: Place, unseen: Tensor) -> Tensor:
    """Self-attention [B, G, D] of the newest tokens, whose q, k and v are [B, G, 3 D]; keeps their k and v."""
    used, group, _ = qkv.shape
    q, k, v = qkv.view(used, group, 3, -1, HEAD_WIDTH).unbind(2)
    past[0][at], past[1][at] = k, v
    keys, values = (held[:used, :, :, : unseen.shape[-1]] for held in past)
    return _attention(q[:, :, :, None], keys, values, unseen).reshape(used, group, -1)


Place = tuple[Tensor, Tensor, slice, Tensor]
"""Index into a layer of `Cache.past`: slot, candidate, all heads, position."""


def _place_and_mask(position: Tensor, reach: int, group: int, dtype: torch.dtype) -> tuple[Place, Tensor]:
    """Where each candidate's newest token belongs, and the mask [B, 1, 1, 1, T] of places not yet filled."""
    slots = torch.arange(len(position), device=position.device)
    candidates = torch.arange(group, device=position.device)
    at = (slots[:, None], candidates[None], slice(None), position[:, None])
    filled = torch.arange(reach, device=position.device) <= position[:, None]
    unseen = torch.zeros_like(filled, dtype=dtype).masked_fill_(~filled, -torch.inf)
    return at, unseen[:, None, None, None]


def _heads(x: Tensor, parts: int) -> tuple[Tensor, ...]:
    """[B, N, parts x D] -> `parts` tensors [B, H, N, 64], each contiguous."""
    batch, count, _ = x.shape
    return tuple(x.view(batch, count, parts, -1, HEAD_WIDTH).permute(2, 0, 3, 1, 4).contiguous().unbind(0))


def _joined(x: Tensor) -> Tensor:
    """[B, H, N, 64] -> [B, N, D]."""
    return x.transpose(1, 2).flatten(2)


class _Maker:
    """Makes the parts of a model out of openai-whisper's modules."""

    def __init__(self, placement: Placement, make_linear: MakeLinear) -> None:
        self._placement = placement
        self._make_linear = make_linear

    def on(self, placement: Placement) -> _Maker:
        return _Maker(placement, self._make_linear)

    def put(self, weight: Tensor) -> Tensor:
        return weight.detach().to(self._placement.device, self._placement.dtype).contiguous()

    def norm(self, layer: nn.LayerNorm) -> Norm:
        return Norm(self.put(layer.weight), self.put(layer.bias))

    def linear(self, *layers: nn.Linear, scale: float = 1.0, gelu: bool = False) -> Linear:
        """Linears of the same input as one; `scale` is for the first. Whisper's keys have no bias: theirs is zero."""
        weights: list[Tensor] = [one.weight for one in layers]
        biases: list[Tensor] = [torch.zeros(len(one.weight)) if one.bias is None else one.bias for one in layers]
        weights[0], biases[0] = weights[0] * scale, biases[0] * scale
        weight, bias = (_in_one([self.put(one) for one in parts]) for parts in (weights, biases))
        return self._make_linear(weight, bias, gelu)

    def self_attention(self, block: ResidualAttentionBlock) -> SelfAttention:
        own = block.attn
        qkv = self.linear(own.query, own.key, own.value, scale=SCALE)
        return SelfAttention(self.norm(block.attn_ln), qkv, self.linear(own.out))

    def cross_attention(self, block: ResidualAttentionBlock) -> CrossAttention:
        cross = block.cross_attn
        q, kv = self.linear(cross.query, scale=SCALE), self.linear(cross.key, cross.value)
        return CrossAttention(self.norm(block.cross_attn_ln), q, kv, self.linear(cross.out))

    def feed_forward(self, block: ResidualAttentionBlock) -> FeedForward:
        widen, narrow = block.mlp[0], block.mlp[2]
        return FeedForward(self.norm(block.mlp_ln), self.linear(widen, gelu=True), self.linear(narrow))


def _in_one(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]
