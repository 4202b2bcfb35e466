"""openai-whisper's decoding (`whisper/decoding.py`), vectorised over windows and their candidates.

An `Attempt` is one window decoded once, at one temperature. Attempts with the same search and the same number of
candidates share a `Batch`: they enter and leave it at any step, and none knows of the others.

Shapes: B windows in the batch, G candidates of each, N tokens sampled so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from whisper.tokenizer import Tokenizer

from src.engine.model import Model

MAX_FIRST_TIMESTAMP = 50
"""A window's first timestamp is at most 1.0 s, in steps of 20 ms (`max_initial_timestamp` of openai-whisper)."""


class NumericalFault(Exception):
    """The model's numbers overflowed their format: what they say of the window means nothing."""


@dataclass(eq=False)
class Attempt:
    """One window to be decoded at one temperature.

    Attributes:
        features: [1500, D], the encoder's output.
        prompt: tokens before the first sampled one; holds `<|startoftranscript|>`.
        suppressed: [V], -inf for tokens never to be sampled, else 0.
        beams: candidates of a beam search; None: greedy at temperature 0, samples above.
        samples: independent candidates, of which the likeliest is taken.
    """

    features: Tensor
    prompt: list[int]
    suppressed: Tensor
    temperature: float = 0.0
    beams: int | None = None
    samples: int = 1
    patience: float = 1.0
    length_penalty: float | None = None

    @property
    def group(self) -> int:
        return self.beams or self.samples


@dataclass(frozen=True)
class Decoded:
    """What an attempt gave: tokens without the prompt and the end, with openai-whisper's measures of doubt."""

    tokens: list[int]
    avg_logprob: float
    no_speech_prob: float
    temperature: float


@dataclass(frozen=True)
class Hypothesis:
    tokens: list[int]
    score: float
    """Sum of the tokens' log-probabilities."""


@dataclass
class Progress:
    """What the host knows of an attempt in a batch."""

    attempt: Attempt
    no_speech_prob: float
    sampled: int = 0
    finished: list[Hypothesis] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens that the cache has to hold before the next step."""
        return len(self.attempt.prompt) + self.sampled


class Rules:
    """Which tokens may come next: timestamps in pairs, never falling, and first of all (`ApplyTimestampRules`)."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: int, device: torch.device) -> None:
        self.end: int = tokenizer.eot
        self.timestamps: int = tokenizer.timestamp_begin
        self.no_speech: int = tokenizer.no_speech
        self.start: int = tokenizer.sot
        self._steps = torch.arange(vocabulary - self.timestamps, device=device)

    def apply(self, logits: Tensor, sampled: Tensor, count: Tensor) -> Tensor:
        """Log-probabilities [B, G, V] of the next token, -inf where the rules forbid it.

        Args:
            logits: [B, G, V], written over.
            sampled: [B, G, N], what was sampled so far; places from `count` on are void.
            count: [B], tokens sampled so far.
        """
        latest, before = _at(sampled, count - 1), _at(sampled, count - 2)
        after_stamp = (latest >= self.timestamps) & (count > 0)[:, None]
        paired = after_stamp & ((before >= self.timestamps) | (count < 2)[:, None])
        closing = after_stamp & ~paired

        stamps = logits[..., self.timestamps :]
        stamps.masked_fill_(paired[..., None], -torch.inf)
        stamps.masked_fill_(self._steps < self._least(sampled, count, closing)[..., None], -torch.inf)
        late = (self._steps > MAX_FIRST_TIMESTAMP) & (count == 0)[:, None]
        stamps.masked_fill_(late[:, None], -torch.inf)
        logits[..., : self.end].masked_fill_(closing[..., None], -torch.inf)

        text = logits[..., : self.timestamps]
        likelier = stamps.float().logsumexp(-1) > text.amax(-1)
        text.masked_fill_((likelier | (count == 0)[:, None])[..., None], -torch.inf)
        return logits.log_softmax(-1)

    def _least(self, sampled: Tensor, count: Tensor, closing: Tensor) -> Tensor:
        """[B, G], the step below which no timestamp may fall; a segment is never empty."""
        valid = torch.arange(sampled.shape[-1], device=sampled.device) < count[:, None, None]
        latest = torch.where(valid, sampled - self.timestamps, -1).amax(-1)
        return torch.where(closing | (latest < 0), latest, latest + 1)


def _at(sampled: Tensor, place: Tensor) -> Tensor:
    """[B, G], the tokens at one place of each window; whatever stands first where the place is before the start."""
    index = place.clamp(min=0)[:, None, None].expand(-1, sampled.shape[1], 1)
    return sampled.gather(-1, index).squeeze(-1)


class Batch:
    """Attempts of one group size that are decoded together, a token a step.

    Args:
        slots: attempts that it holds at the most.
        group: candidates of each.
    """

    def __init__(self, model: Model, rules: Rules, slots: int, group: int) -> None:
        device = model.placement.device
        self._model = model
        self._rules = rules
        self.slots = slots
        self._cache = model.cache(slots, group)
        self._context: int = model.dims.n_text_ctx
        self._longest_sample = self._context // 2
        self._running: list[Progress] = []
        self._rows = torch.arange(slots, device=device)
        self._tokens = torch.zeros(slots, group, self._longest_sample, dtype=torch.long, device=device)
        self._next = torch.zeros(slots, group, dtype=torch.long, device=device)
        self._count = torch.zeros(slots, dtype=torch.long, device=device)
        self._score = torch.zeros(slots, group, device=device)
        self._suppressed = torch.zeros(slots, 1, model.dims.n_vocab, device=device)
        self._temperature = torch.zeros(slots, 1, device=device)

    @property
    def running(self) -> list[Attempt]:
        return [progress.attempt for progress in self._running]

    @property
    def free(self) -> int:
        return self.slots - len(self._running)

    @torch.inference_mode()
    def admit(self, attempts: Sequence[Attempt]) -> None:
        """Takes attempts into free slots and reads their prompts."""
        slots = range(len(self._running), len(self._running) + len(attempts))
        device = self._count.device
        lengths = [len(attempt.prompt) for attempt in attempts]
        prompts = torch.zeros(len(attempts), max(lengths), dtype=torch.long)
        for row, attempt in enumerate(attempts):
            prompts[row, : lengths[row]] = torch.tensor(attempt.prompt)
        features = torch.stack([attempt.features for attempt in attempts])
        hidden = self._model.decoder.prefill(self._cache, slots, prompts.to(device), features)
        silence = self._no_speech(hidden, attempts)
        for row, (slot, attempt) in enumerate(zip(slots, attempts, strict=True)):
            self._running.append(Progress(attempt, silence[row]))
            # The last token of the prompt is the first step's: it is read once more, with everyone else's.
            self._cache.length[slot] = lengths[row] - 1
            self._next[slot] = attempt.prompt[-1]
            self._count[slot] = 0
            self._score[slot] = 0.0
            self._suppressed[slot, 0] = attempt.suppressed
            self._temperature[slot] = attempt.temperature

    def _no_speech(self, hidden: Tensor, attempts: Sequence[Attempt]) -> list[float]:
        """Probability of `<|nospeech|>` right after `<|startoftranscript|>`, as openai-whisper takes it."""
        starts = torch.tensor([attempt.prompt.index(self._rules.start) for attempt in attempts], device=hidden.device)
        at_start = hidden[torch.arange(len(attempts), device=hidden.device), starts]
        shares: list[float] = self._model.decoder.logits(at_start).softmax(-1)[:, self._rules.no_speech].tolist()
        return shares

    @torch.inference_mode()
    def step(self) -> list[tuple[Attempt, Decoded | NumericalFault]]:
        """Samples one more token for every attempt; returns those that are done, whose slots are free again."""
        used = len(self._running)
        longest = max(progress.length for progress in self._running)
        hidden = self._model.decoder.step(self._cache, self._next[:used], longest)
        broken = ~hidden.isfinite().all(-1).all(-1)
        logits = self._model.decoder.logits(hidden.nan_to_num()) + self._suppressed[:used]
        sampled = self._tokens[:used, :, : max(1, max(progress.sampled for progress in self._running))]
        logprobs = self._rules.apply(logits, sampled, self._count[:used])
        chosen = self._choose(logprobs, longest)
        self._next[:used] = chosen
        self._tokens[self._rows[:used], :, self._count[:used]] = chosen
        self._count[:used] += 1
        for progress in self._running:
            progress.sampled += 1
        ended = torch.stack([(chosen == self._rules.end).all(-1), broken]).tolist()
        return self._collect(*ended)

    def _choose(self, logprobs: Tensor, longest: int) -> Tensor:
        """The next token [B, G] of each candidate: the likeliest, or a sample where there is a temperature."""
        used = len(logprobs)
        chosen: Tensor = logprobs.argmax(-1)
        if any(progress.attempt.temperature > 0 for progress in self._running):
            temperature = self._temperature[:used]
            heated = (logprobs / temperature.clamp(min=1e-6)[..., None]).softmax(-1)
            samples = heated.flatten(0, 1).multinomial(1).view_as(chosen)
            chosen = samples.where(temperature > 0, chosen)
        over = self._over(used)
        self._score[:used] += logprobs.gather(-1, chosen[..., None]).squeeze(-1).masked_fill(over, 0.0)
        return chosen.masked_fill(over, self._rules.end)

    def _over(self, used: int) -> Tensor:
        """[B, G], candidates that have come to their end."""
        return (self._next[:used] == self._rules.end) & (self._count[:used] > 0)[:, None]

    def _collect(self, ended: list[bool], broken: list[bool]) -> list[tuple[Attempt, Decoded | NumericalFault]]:
        done: list[tuple[Attempt, Decoded | NumericalFault]] = []
        for slot in reversed(range(len(self._running))):
            progress = self._running[slot]
            if broken[slot]:
                done.append((progress.attempt, NumericalFault("the model's numbers overflowed")))
            elif ended[slot] or self._at_limit(progress) or self._satisfied(progress):
                done.append((progress.attempt, self._best(slot)))
            else:
                continue
            self._release(slot)
        return done

    def _at_limit(self, progress: Progress) -> bool:
        return progress.sampled == self._longest_sample or progress.length > self._context

    def _satisfied(self, progress: Progress) -> bool:
        """Whether enough hypotheses are complete, whatever those that are not might become."""
        return False

    def _best(self, slot: int) -> Decoded:
        """The likeliest hypothesis by openai-whisper's `MaximumLikelihoodRanker`."""
        progress = self._running[slot]
        attempt = progress.attempt

        def rank(hypothesis: Hypothesis) -> float:
            length = len(hypothesis.tokens)
            if attempt.length_penalty is None:
                return hypothesis.score / length if length else -torch.inf
            return float(hypothesis.score / ((5 + length) / 6) ** attempt.length_penalty)

        best = max(self._hypotheses(slot), key=rank)
        avg_logprob = best.score / (len(best.tokens) + 1)
        return Decoded(best.tokens, avg_logprob, progress.no_speech_prob, attempt.temperature)

    def _hypotheses(self, slot: int) -> list[Hypothesis]:
        tokens = self._tokens[slot, :, : self._running[slot].sampled].tolist()
        return [self._hypothesis(one, score) for one, score in zip(tokens, self._score[slot].tolist(), strict=True)]

    def _hypothesis(self, tokens: list[int], score: float) -> Hypothesis:
        length = tokens.index(self._rules.end) if self._rules.end in tokens else len(tokens)
        return Hypothesis(tokens[:length], score)

    def drop(self, attempts: Sequence[Attempt]) -> None:
        """Takes attempts out unfinished."""
        for attempt in attempts:
            self._release(self.running.index(attempt))

    def _release(self, slot: int) -> None:
        """Frees a slot; the last one in use moves into it, so that those in use stay the first."""
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
        used, group, _ = logprobs.shape
        most, tokens = logprobs.topk(group + 1)
        scores = self._score[:used, :, None] + most
        # Before the first token all beams are the same hypothesis: only one of them may branch.
        twins = (self._count[:used] == 0)[:, None] & (torch.arange(group, device=scores.device) > 0)
        scores = scores.masked_fill(twins[..., None], -torch.inf).flatten(1)
        scores, order = scores.sort(descending=True, stable=True)
        tokens, sources = tokens.flatten(1).gather(-1, order), order // (group + 1)

        ends = tokens == self._rules.end
        rank = (~ends).cumsum(-1)
        self._finish(ends & (rank < group), tokens, sources, scores)
        kept = (~ends & (rank <= group)).nonzero()[:, 1].view(used, group)
        sources = sources.gather(-1, kept)
        self._score[:used] = scores.gather(-1, kept)
        self._cache.reorder(sources, longest)
        self._tokens[:used] = self._tokens[:used].gather(1, sources[..., None].expand_as(self._tokens[:used]))
        return tokens.gather(-1, kept)

    def _finish(self, complete: Tensor, tokens: Tensor, sources: Tensor, scores: Tensor) -> None:
        """Notes the hypotheses that end here, likeliest first, as far as patience goes."""
        for slot, candidate in complete.nonzero().tolist():
            progress = self._running[slot]
            if not self._satisfied(progress):
                beam = int(sources[slot, candidate])
                history = self._tokens[slot, beam, : progress.sampled].tolist()
                progress.finished.append(Hypothesis(history, float(scores[slot, candidate])))

    def _satisfied(self, progress: Progress) -> bool:
        return len(progress.finished) >= round(progress.attempt.group * progress.attempt.patience)

    def _hypotheses(self, slot: int) -> list[Hypothesis]:
        """Complete ones, and the likeliest incomplete ones where they are fewer than the beams."""
        finished = self._running[slot].finished
        missing = max(0, self._running[slot].attempt.group - len(finished))
        unfinished = sorted(super()._hypotheses(slot), key=lambda one: one.score, reverse=True)
        return finished + unfinished[:missing]
