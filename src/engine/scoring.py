"""The log-probabilities of tokens that were decoded, found by reading the whole text once more.

They are those of the search that chose the tokens, at any temperature: after the same prompt, with timestamps, and
under the same rules, so that with the end token their mean is openai-whisper's `avg_logprob`. The decoding steps record
only their sum: what few jobs ask for makes no step slower.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from src.engine.model import Model
from src.engine.token_rules import TokenRules
from src.engine.work import ScoreRequest


@torch.inference_mode()
def score(model: Model, rules: TokenRules, requests: Sequence[ScoreRequest]) -> list[list[float]]:
    """Return the log-probability of each token of each window."""
    texts = [[*request.prompt, *request.tokens[:-1]] for request in requests]
    longest = max(map(len, texts))
    padded = [text + [rules.end] * (longest - len(text)) for text in texts]
    features = torch.stack([request.features for request in requests])
    hidden = model.decoder.read(torch.tensor(padded, device=model.placement.device), features, lambda *_: None)
    scores = []
    for row, request in zip(hidden, requests, strict=True):  # one by one: a vocabulary's width is much memory
        predicting = row[len(request.prompt) - 1 :][: len(request.tokens)]
        scores.append(rules.score(model.decoder.logits(predicting[None])[0] + request.suppressed, request.tokens))
    flat = torch.cat(scores).tolist()  # one copy to wait for
    ends = torch.tensor([len(request.tokens) for request in requests]).cumsum(0).tolist()
    return [flat[end - len(request.tokens) : end] for end, request in zip(ends, requests, strict=True)]
