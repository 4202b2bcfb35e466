"""The device's part of word alignment by openai-whisper's method (`whisper/timing.py`), for many windows at once.

Some heads of the cross-attention attend to the sound of the next token. The text is read once more, and the attention
weights of those heads become one matrix of tokens over time per window. `dtw` finds the tokens' times in it.
Frames are the encoder's, 20 ms.

Windows of a batch are padded to the longest text and to the most frames, and masks keep the padding out of the numbers,
so that a batch takes as many kernels as a single window.

Letters in shapes: B windows, H heads that follow the words, P tokens of the longest text with those before and after
it, F frames of the longest window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from src.engine.kv_cache import KeysValues
from src.engine.model import Model
from src.engine.work import AlignmentRequest, TextAttention

RADIUS = 3
"""Frames on each side of the one that the median filter replaces."""


@torch.inference_mode()
def align(model: Model, requests: Sequence[AlignmentRequest]) -> list[TextAttention]:
    """Return the attention of each window's text; the windows may differ in language, task, text and length."""
    device, eot = model.placement.device, requests[0].tokenizer.eot
    prefixes = [request.tokenizer.sot_sequence_including_notimestamps for request in requests]
    inputs = [[*prefix, *request.text, eot] for prefix, request in zip(prefixes, requests, strict=True)]
    longest = max(map(len, inputs))
    tokens = torch.tensor([row + [eot] * (longest - len(row)) for row in inputs], device=device)
    sizes = torch.tensor([[len(row) for row in inputs], [request.num_frames for request in requests]], device=device)
    num_frames = max(request.num_frames for request in requests)
    bounds = {
        place: Bounds.of(sizes.to(place), longest, num_frames) for place in dict.fromkeys(model.placement.devices)
    }
    attention = torch.zeros(len(requests), longest, num_frames, device=device)

    def visit(layer: int, _: KeysValues, cross_attn: KeysValues, queries: Tensor) -> None:
        # Each head as a view: a list of heads as an index would be copied to the device.
        heads = [head for head_layer, head in model.alignment_heads if head_layer == layer]
        if heads:
            q = torch.stack([queries[:, head] for head in heads], 1).float()
            k = torch.stack([cross_attn[0][:, head, :num_frames] for head in heads], 1).float()
            smooth = median_filter(_standardise(q @ k.mT, bounds[q.device]), bounds[q.device])
            attention.add_(smooth.sum(1).to(device))

    hidden = model.decoder.read(tokens, torch.stack([request.features for request in requests]), visit)
    first = len(prefixes[0]) - 1  # the token before the text; all prefixes of a model have the same length
    probs = model.decoder.logits(hidden[:, first:-2])[..., :eot].softmax(-1)
    # Tokens after a short text are not in `probs`: any other one in their place.
    text_probs = probs.gather(-1, tokens[:, first + 1 : -1, None].clamp(max=eot - 1))
    # Probabilities as one more column, so that there is one copy to wait for.
    table = torch.cat([attention[:, first:-1], F.pad(text_probs, (0, 0, 0, 1))], -1).cpu().numpy()
    return [
        TextAttention(
            values[: len(request.text) + 1, : request.num_frames], values[: len(request.text), num_frames].tolist()
        )
        for request, values in zip(requests, table, strict=True)
    ]


@dataclass(frozen=True)
class Bounds:
    """What of a padded batch belongs to its windows, for tensors [B, H, P, F] on one device.

    Attributes:
        padding: [B, 1, 1, F], True for frames after a window's last one.
        share: [B, 1, 1, P], each token's share of its window's mean over the tokens; zero for padding.
        mirror: [B, 1, 1, RADIUS], frames before a window's last one, the nearest first.
        mirrored: [B, 1, 1, RADIUS], frames after the last one that reflect them.
    """

    padding: Tensor
    share: Tensor
    mirror: Tensor
    mirrored: Tensor

    @classmethod
    def of(cls, sizes: Tensor, longest: int, most_frames: int) -> Bounds:
        """Return the bounds of windows with these numbers of tokens and of frames [2, B], padded to the given ones."""
        num_tokens, num_frames = sizes[..., None, None, None]
        tokens, frames, offsets = (torch.arange(end, device=sizes.device) for end in (longest, most_frames, RADIUS))
        return cls(
            padding=frames >= num_frames,
            share=(tokens < num_tokens) / num_tokens,
            mirror=num_frames - 2 - offsets,
            mirrored=num_frames + offsets,
        )


def _standardise(scores: Tensor, bounds: Bounds) -> Tensor:
    """Turn scores [B, H, P, F] into attention weights, of which each frame's have mean 0 and variance 1."""
    weights = scores.masked_fill_(bounds.padding, -torch.inf).softmax(-1)
    centred = weights - bounds.share @ weights
    return centred * (bounds.share @ centred.square()).rsqrt()


def median_filter(x: Tensor, bounds: Bounds) -> Tensor:
    """Apply a median filter of width 7 over the frames of each window [B, H, P, F], reflected at its ends.

    The median of seven comes from the middle one and the two sorted triples beside it. Neighbours share the triples:
    on a CPU that is many times as fast as sorting each seven.
    """
    x = F.pad(x, (RADIUS, RADIUS, 0, 0), mode="reflect")
    mirror, mirrored = (index.expand(*x.shape[:-1], -1) + RADIUS for index in (bounds.mirror, bounds.mirrored))
    x.scatter_(-1, mirrored, x.gather(-1, mirror))
    low, middle, high = _sort(x[..., :-2], x[..., 1:-1], x[..., 2:])
    a, b, c = (values[..., :-4] for values in (low, middle, high))
    d, e, f = (values[..., 4:] for values in (low, middle, high))
    # The third and the fourth of the six values in order: the median lies between them.
    third = torch.minimum(torch.minimum(c, f), torch.minimum(torch.maximum(a, e), torch.maximum(b, d)))
    fourth = torch.maximum(torch.maximum(a, d), torch.maximum(torch.minimum(b, f), torch.minimum(c, e)))
    return torch.maximum(third, torch.minimum(x[..., 3:-3], fourth))


def _sort(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Elementwise, the three values in order."""
    low, high = torch.minimum(x, y), torch.maximum(x, y)
    rest = torch.maximum(low, z)
    return torch.minimum(low, z), torch.minimum(rest, high), torch.maximum(rest, high)
