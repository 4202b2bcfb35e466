"""openai-whisper's decoding (`whisper/decoding.py`), vectorised over windows and their candidates.

A `DecodeRequest` decodes one window once, at one temperature. Requests with the same search and the same number of
candidates share a `Batch`: each enters and leaves it at any step and does not affect the others.

Shapes: B windows in the batch, G candidates of each, N tokens sampled so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from whisper.tokenizer import Tokenizer

from src.engine.model import Model
from src.engine.work import DecodeRequest, DecodeResult, NumericalFault

MAX_FIRST_TIMESTAMP = 50
"""Latest first timestamp of a window in steps of 20 ms: 1.0 s (`max_initial_timestamp` of openai-whisper)."""


@dataclass(frozen=True)
class Hypothesis:
    """The tokens of one candidate."""

    tokens: list[int]
    score: float
    """Sum of the tokens' log-probabilities."""


@dataclass
class RunningDecode:
    """Host-side state of a running decode."""

    request: DecodeRequest
    no_speech_prob: float
    sampled: int = 0
    finished: list[Hypothesis] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens that the cache has to hold before the next step."""
        return len(self.request.prompt) + self.sampled


class TokenRules:
    """Rules for the next token: timestamps in pairs, never decreasing, one at the start (`ApplyTimestampRules`)."""

    def __init__(self, tokenizer: Tokenizer, n_vocab: int, device: torch.device) -> None:
        self.end: int = tokenizer.eot
        self.timestamps: int = tokenizer.timestamp_begin
        self.no_speech: int = tokenizer.no_speech
        self.start: int = tokenizer.sot
        self._steps = torch.arange(n_vocab - self.timestamps, device=device)

    def apply(self, logits: Tensor, sampled: Tensor, count: Tensor) -> Tensor:
        """Return log-probabilities [B, G, V] of the next token, -inf where the rules forbid it.

        Args:
            logits: [B, G, V], overwritten.
            sampled: [B, G, N], tokens sampled so far; positions from `count` on are undefined.
            count: [B], number of tokens sampled so far.
        """
        last, second_last = _token_at(sampled, count - 1), _token_at(sampled, count - 2)
        after_timestamp = (last >= self.timestamps) & (count > 0)[:, None]
        paired = after_timestamp & ((second_last >= self.timestamps) | (count < 2)[:, None])
        closing = after_timestamp & ~paired

        timestamps = logits[..., self.timestamps :]
        timestamps.masked_fill_(paired[..., None], -torch.inf)
        timestamps.masked_fill_(self._steps < self._min_step(sampled, count, closing)[..., None], -torch.inf)
        too_late = (self._steps > MAX_FIRST_TIMESTAMP) & (count == 0)[:, None]
        timestamps.masked_fill_(too_late[:, None], -torch.inf)
        logits[..., : self.end].masked_fill_(closing[..., None], -torch.inf)

        text = logits[..., : self.timestamps]
        timestamp_likelier = timestamps.float().logsumexp(-1) > text.amax(-1)
        text.masked_fill_((timestamp_likelier | (count == 0)[:, None])[..., None], -torch.inf)
        return logits.log_softmax(-1)

    def _min_step(self, sampled: Tensor, count: Tensor, closing: Tensor) -> Tensor:
        """[B, G], the earliest timestamp step allowed next; a segment is never empty."""
        valid = torch.arange(sampled.shape[-1], device=sampled.device) < count[:, None, None]
        latest = torch.where(valid, sampled - self.timestamps, -1).amax(-1)
        return torch.where(closing | (latest < 0), latest, latest + 1)


def _token_at(sampled: Tensor, position: Tensor) -> Tensor:
    """[B, G], the tokens at one position per window; a position before the start yields the first token."""
    index = position.clamp(min=0)[:, None, None].expand(-1, sampled.shape[1], 1)
    return sampled.gather(-1, index).squeeze(-1)


class Batch:
    """Requests with the same number of candidates, decoded together, one token per step.

    Args:
        num_slots: maximum number of requests at a time.
        num_candidates: candidates of each request.
    """

    def __init__(self, model: Model, rules: TokenRules, num_slots: int, num_candidates: int) -> None:
        device = model.placement.device
        self._model = model
        self._rules = rules
        self.num_slots = num_slots
        self._cache = model.cache(num_slots, num_candidates)
        self._context: int = model.dims.n_text_ctx
        self._max_sampled = self._context // 2
        self._running: list[RunningDecode] = []
        self._rows = torch.arange(num_slots, device=device)
        self._tokens = torch.zeros(num_slots, num_candidates, self._max_sampled, dtype=torch.long, device=device)
        self._next = torch.zeros(num_slots, num_candidates, dtype=torch.long, device=device)
        self._count = torch.zeros(num_slots, dtype=torch.long, device=device)
        self._score = torch.zeros(num_slots, num_candidates, device=device)
        self._suppressed = torch.zeros(num_slots, 1, model.dims.n_vocab, device=device)
        self._temperature = torch.zeros(num_slots, 1, device=device)

    @property
    def running(self) -> list[DecodeRequest]:
        """The requests in the batch, by slot."""
        return [decode.request for decode in self._running]

    @property
    def free_slots(self) -> int:
        """The number of further requests that fit."""
        return self.num_slots - len(self._running)

    @torch.inference_mode()
    def admit(self, requests: Sequence[DecodeRequest]) -> None:
        """Put requests into free slots and read their prompts."""
        slots = range(len(self._running), len(self._running) + len(requests))
        device = self._count.device
        lengths = [len(request.prompt) for request in requests]
        prompts = torch.zeros(len(requests), max(lengths), dtype=torch.long)
        for row, request in enumerate(requests):
            prompts[row, : lengths[row]] = torch.tensor(request.prompt)
        features = torch.stack([request.features for request in requests])
        hidden = self._model.decoder.prefill(self._cache, slots, prompts.to(device), features)
        no_speech_probs = self._no_speech_probs(hidden, requests)
        for row, (slot, request) in enumerate(zip(slots, requests, strict=True)):
            self._running.append(RunningDecode(request, no_speech_probs[row]))
            # The last token of the prompt is the input of the first step, which all slots share.
            self._cache.length[slot] = lengths[row] - 1
            self._next[slot] = request.prompt[-1]
            self._count[slot] = 0
            self._score[slot] = 0.0
            self._suppressed[slot, 0] = request.suppressed
            self._temperature[slot] = request.temperature

    def _no_speech_probs(self, hidden: Tensor, requests: Sequence[DecodeRequest]) -> list[float]:
        """Probability of `<|nospeech|>` right after `<|startoftranscript|>`, as in openai-whisper."""
        starts = torch.tensor([request.prompt.index(self._rules.start) for request in requests], device=hidden.device)
        at_start = hidden[torch.arange(len(requests), device=hidden.device), starts]
        probs: list[float] = self._model.decoder.logits(at_start).softmax(-1)[:, self._rules.no_speech].tolist()
        return probs

    @torch.inference_mode()
    def step(self) -> list[tuple[DecodeRequest, DecodeResult | NumericalFault]]:
        """Sample one more token for every request; return the finished ones, whose slots are free again."""
        used = len(self._running)
        longest = max(decode.length for decode in self._running)
        hidden = self._model.decoder.step(self._cache, self._next[:used], longest)
        overflowed = ~hidden.isfinite().all(-1).all(-1)
        logits = self._model.decoder.logits(hidden.nan_to_num()) + self._suppressed[:used]
        sampled = self._tokens[:used, :, : max(1, max(decode.sampled for decode in self._running))]
        logprobs = self._rules.apply(logits, sampled, self._count[:used])
        chosen = self._choose(logprobs, longest)
        self._next[:used] = chosen
        self._tokens[self._rows[:used], :, self._count[:used]] = chosen
        self._count[:used] += 1
        for decode in self._running:
            decode.sampled += 1
        ended = torch.stack([(chosen == self._rules.end).all(-1), overflowed]).tolist()
        return self._collect(*ended)

    def _choose(self, logprobs: Tensor, longest: int) -> Tensor:
        """The next token [B, G] of each candidate: the likeliest, or a sample at a temperature above 0."""
        used = len(logprobs)
        chosen: Tensor = logprobs.argmax(-1)
        if any(decode.request.temperature > 0 for decode in self._running):
            temperature = self._temperature[:used]
            probs = (logprobs / temperature.clamp(min=1e-6)[..., None]).softmax(-1)
            samples = probs.flatten(0, 1).multinomial(1).view_as(chosen)
            chosen = samples.where(temperature > 0, chosen)
        ended = self._ended(used)
        self._score[:used] += logprobs.gather(-1, chosen[..., None]).squeeze(-1).masked_fill(ended, 0.0)
        return chosen.masked_fill(ended, self._rules.end)

    def _ended(self, used: int) -> Tensor:
        """[B, G], True for candidates that have sampled the end token."""
        return (self._next[:used] == self._rules.end) & (self._count[:used] > 0)[:, None]

    def _collect(
        self, ended: list[bool], overflowed: list[bool]
    ) -> list[tuple[DecodeRequest, DecodeResult | NumericalFault]]:
        done: list[tuple[DecodeRequest, DecodeResult | NumericalFault]] = []
        for slot in reversed(range(len(self._running))):
            decode = self._running[slot]
            if overflowed[slot]:
                done.append((decode.request, NumericalFault("the model's numbers overflowed")))
            elif ended[slot] or self._at_limit(decode) or self._has_enough_hypotheses(decode):
                done.append((decode.request, self._best_result(slot)))
            else:
                continue
            self._release(slot)
        return done

    def _at_limit(self, decode: RunningDecode) -> bool:
        return decode.sampled == self._max_sampled or decode.length > self._context

    def _has_enough_hypotheses(self, decode: RunningDecode) -> bool:
        """True if the decode may stop although some of its candidates are incomplete."""
        return False

    def _best_result(self, slot: int) -> DecodeResult:
        """The likeliest hypothesis by openai-whisper's `MaximumLikelihoodRanker`."""
        decode = self._running[slot]
        request = decode.request

        def rank(hypothesis: Hypothesis) -> float:
            length = len(hypothesis.tokens)
            if request.length_penalty is None:
                return hypothesis.score / length if length else -torch.inf
            return float(hypothesis.score / ((5 + length) / 6) ** request.length_penalty)

        best = max(self._hypotheses(slot), key=rank)
        avg_logprob = best.score / (len(best.tokens) + 1)
        return DecodeResult(best.tokens, avg_logprob, decode.no_speech_prob, request.temperature)

    def _hypotheses(self, slot: int) -> list[Hypothesis]:
        candidates = self._tokens[slot, :, : self._running[slot].sampled].tolist()
        scores = self._score[slot].tolist()
        return [self._hypothesis(tokens, score) for tokens, score in zip(candidates, scores, strict=True)]

    def _hypothesis(self, tokens: list[int], score: float) -> Hypothesis:
        length = tokens.index(self._rules.end) if self._rules.end in tokens else len(tokens)
        return Hypothesis(tokens[:length], score)

    def remove(self, requests: Sequence[DecodeRequest]) -> None:
        """Remove unfinished requests."""
        for request in requests:
            self._release(self.running.index(request))

    def _release(self, slot: int) -> None:
        """Free a slot and move the last used one into it, so that the slots in use stay the first ones."""
        last = len(self._running) - 1
        if slot != last:
            self._cache.move(last, slot, self._running[last].length)
            for state in (self._tokens, self._next, self._count, self._score, self._suppressed, self._temperature):
                state[slot] = state[last]
            self._running[slot] = self._running[last]
        self._running.pop()


class BeamBatch(Batch):
    """Beam search (`BeamSearchDecoder`): the candidates of a window are its best unfinished hypotheses."""

    def _choose(self, logprobs: Tensor, longest: int) -> Tensor:
        used, num_beams, _ = logprobs.shape
        best_logprobs, tokens = logprobs.topk(num_beams + 1)
        scores = self._score[:used, :, None] + best_logprobs
        # Before the first token all beams are the same hypothesis: only one of them may branch.
        duplicates = (self._count[:used] == 0)[:, None] & (torch.arange(num_beams, device=scores.device) > 0)
        scores = scores.masked_fill(duplicates[..., None], -torch.inf).flatten(1)
        scores, order = scores.sort(descending=True, stable=True)
        tokens, sources = tokens.flatten(1).gather(-1, order), order // (num_beams + 1)

        ends = tokens == self._rules.end
        rank = (~ends).cumsum(-1)
        self._finish(ends & (rank < num_beams), tokens, sources, scores)
        kept = (~ends & (rank <= num_beams)).nonzero()[:, 1].view(used, num_beams)
        sources = sources.gather(-1, kept)
        self._score[:used] = scores.gather(-1, kept)
        self._cache.reorder(sources, longest)
        self._tokens[:used] = self._tokens[:used].gather(1, sources[..., None].expand_as(self._tokens[:used]))
        return tokens.gather(-1, kept)

    def _finish(self, complete: Tensor, tokens: Tensor, sources: Tensor, scores: Tensor) -> None:
        """Record the hypotheses that end here, likeliest first, up to the number that patience allows."""
        for slot, candidate in complete.nonzero().tolist():
            decode = self._running[slot]
            if not self._has_enough_hypotheses(decode):
                beam = int(sources[slot, candidate])
                history = self._tokens[slot, beam, : decode.sampled].tolist()
                decode.finished.append(Hypothesis(history, float(scores[slot, candidate])))

    def _has_enough_hypotheses(self, decode: RunningDecode) -> bool:
        return len(decode.finished) >= round(decode.request.num_candidates * decode.request.patience)

    def _hypotheses(self, slot: int) -> list[Hypothesis]:
        """The complete hypotheses, topped up with the likeliest incomplete ones to the number of beams."""
        finished = self._running[slot].finished
        missing = max(0, self._running[slot].request.num_candidates - len(finished))
        unfinished = sorted(super()._hypotheses(slot), key=lambda hypothesis: hypothesis.score, reverse=True)
        return finished + unfinished[:missing]
