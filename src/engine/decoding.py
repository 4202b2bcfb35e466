"""openai-whisper's decoding (`whisper/decoding.py`), vectorised over windows and their candidates.

A `DecodeRequest` decodes one window once, at one temperature. Requests with the same search and the same number of
candidates share a `Batch`: each enters and leaves it at any step and does not affect the others.

A step is a fixed number of operations on tensors that stay where they are. It reads nothing back, so that it can be
recorded and replayed: which windows have ended is part of the state, which the host reads from a copy, on CUDA a step
late. A window that has ended is computed on, unseen, until another one takes its slot.

Shapes: B slots that are computed, G candidates of each, V vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from src.engine.model import Model
from src.engine.placement import Placement
from src.engine.replay import Replay
from src.engine.slot_state import ENDED, START, Fields, SlotState
from src.engine.token_rules import TokenRules
from src.engine.work import DecodeRequest, DecodeResult, NumericalFault

MAX_FORCED_PROMPT = 32
"""Longest text before `<|startoftranscript|>` that is read token by token, in the steps of the other windows."""

Outcome = tuple[DecodeRequest, "DecodeResult | NumericalFault"]


@dataclass(frozen=True)
class Hypothesis:
    """The tokens of one candidate."""

    tokens: list[int]
    score: float
    """Sum of the tokens' log-probabilities."""


@dataclass(eq=False)
class RunningDecode:
    """The host's view of a running decode.

    Attributes:
        slot: its slot; None: it has left the batch.
        position: of the token that the next step reads.
        start: position of `<|startoftranscript|>`.
    """

    request: DecodeRequest
    slot: int | None
    position: int
    start: int


class Batch:
    """Requests with the same number of candidates, decoded together, one token per step.

    Args:
        num_slots: maximum number of requests at a time.
        num_candidates: candidates of each request.
    """

    def __init__(self, model: Model, rules: TokenRules, num_slots: int, num_candidates: int) -> None:
        self._model = model
        self._placement = placement = model.placement
        self._rules = rules
        self.num_slots = num_slots
        self._context: int = model.dims.n_text_ctx
        self._max_sampled = self._context // 2
        self._slots: list[RunningDecode | None] = [None] * num_slots
        self._cache = model.cache(num_slots, num_candidates)
        self._state = SlotState(placement, num_slots, num_candidates)
        # One column more than is sampled: a step that comes late, after the last one, writes there.
        self._tokens = placement.zeros(torch.long, num_slots, num_candidates, self._max_sampled + 1)
        self._prompts = placement.zeros(torch.long, num_slots, self._context)
        self._suppressed = placement.zeros(torch.float32, num_slots, 1, model.dims.n_vocab)
        self._replay = Replay(enabled=placement.replays, record=placement.make_recorder())
        self._in_flight: deque[tuple[list[RunningDecode | None], Board]] = deque()

    @property
    def running(self) -> list[DecodeRequest]:
        """The requests in the batch, by slot."""
        return [decode.request for decode in self._decodes()]

    @property
    def free_slots(self) -> int:
        """The number of further requests that fit."""
        return self._slots.count(None)

    def _decodes(self) -> Iterable[RunningDecode]:
        return (decode for decode in self._slots if decode is not None)

    # --- Entering and leaving ----------------------------------------------------------------------------------------

    @torch.inference_mode()
    def admit(self, requests: Sequence[DecodeRequest]) -> None:
        """Put requests into free slots."""
        free = (slot for slot, decode in enumerate(self._slots) if decode is None)
        entered = [self._enter(request, next(free)) for request in requests]
        for decode in entered:  # once none can fail any more
            assert decode.slot is not None
            self._slots[decode.slot] = decode

    def _enter(self, request: DecodeRequest, slot: int) -> RunningDecode:
        """Store a window's cross-attention, the tokens that are given, and its state in a slot."""
        given = [*request.prompt, *request.prefix]
        if len(given) > self._context:
            raise ValueError(f"prompt and prefix have {len(given)} tokens where the model reads {self._context}")
        start = request.prompt.index(self._rules.start)
        stored = _num_stored(request, start)
        self._model.decoder.store_features(self._cache, slot, request.features)
        self._cache.start(slot, stored)
        self._suppressed[slot, 0] = request.suppressed
        prompt = self._placement.host_zeros(torch.long, self._context)
        prompt[: len(given)] = torch.tensor(given)
        self._prompts[slot].copy_(prompt, non_blocking=True)
        kinds, stamps = self._rules.endings(request.prefix)
        rows, state = self._state.host_rows(1)
        state.latest[:] = given[stored]
        state.kind[:] = kinds[-1]
        state.latest_stamp[:] = stamps[-1]
        state.position[:] = stored
        state.prompt_length[:] = len(given)
        state.max_sampled[:] = self._most_sampled(request)
        state.start[:] = start
        state.temperature[:] = request.temperature
        state.active[:] = True
        self._state.bytes[slot].copy_(rows[0], non_blocking=True)
        if stored:
            self._store_given(request.features, slot, stored, start)
        return RunningDecode(request, slot, stored, start)

    def _most_sampled(self, request: DecodeRequest) -> int:
        """The number of tokens that may be sampled after those that are given."""
        room = self._context - len(request.prompt) - len(request.prefix) + 1
        limits = (room, self._max_sampled - len(request.prefix), request.max_tokens)
        return min(limit for limit in limits if limit is not None)

    def _store_given(self, features: Tensor, slot: int, count: int, start: int) -> None:
        """Read the first of a slot's given tokens in one pass, and note what it tells of `<|nospeech|>`."""
        hidden = self._model.decoder.store_prompt(self._cache, slot, self._prompts[slot, :count], features)
        if start < count:
            probs = self._model.decoder.logits(hidden[start]).softmax(-1)
            self._state.fields.no_speech[slot] = probs[self._rules.no_speech]

    @torch.inference_mode()
    def remove(self, requests: Sequence[DecodeRequest]) -> None:
        """Remove unfinished requests."""
        for decode in list(self._decodes()):
            if decode.request in requests:
                assert decode.slot is not None
                self._cache.clear(decode.slot)  # its numbers may have overflowed
                self._release(decode)

    def _release(self, decode: RunningDecode) -> None:
        assert decode.slot is not None
        self._slots[decode.slot] = None
        decode.slot = None

    def _compact(self) -> None:
        """Move windows from the highest slots into free ones where a step can then compute fewer slots."""
        while self._slot_bucket(len(self.running)) < self._slot_bucket(self._num_used()):
            source, target = self._num_used() - 1, self._slots.index(None)
            decode = self._slots[source]
            assert decode is not None
            self._move(source, target, self._reach())
            self._slots[source], self._slots[target], decode.slot = None, decode, target

    def _move(self, source: int, target: int, reach: int) -> None:
        self._cache.move(source, target, reach)
        for tensor in (self._state.bytes, self._prompts, self._suppressed, *self._results()):
            tensor[target] = tensor[source]

    # --- A step ------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def step(self) -> list[Outcome]:
        """Sample one more token for every request; return finished ones, whose slots are free again."""
        self._compact()
        used, reach = self._slot_bucket(self._num_used()), self._reach()
        sampling = any(decode.request.temperature > 0 for decode in self._decodes())
        # The host spares a CPU an operation on all logits; recordings that differ in it would cost more than it does.
        starting = self._placement.replays or any(decode.position == decode.start for decode in self._decodes())
        key = used, reach, sampling, starting
        self._replay(key, partial(self._compute, *key))
        self._in_flight.append((list(self._slots), Board(self._placement, self._state, self._results(), used)))
        for decode in self._decodes():
            decode.position = min(decode.position + 1, self._context - 1)
        return self._collect(*self._in_flight.popleft()) if len(self._in_flight) > self._placement.lag else []

    def _num_used(self) -> int:
        """The number of slots up to the last one in use."""
        return max((slot + 1 for slot, decode in enumerate(self._slots) if decode is not None), default=0)

    def _slot_bucket(self, slots: int) -> int:
        return _round_up(slots, self._placement.slot_buckets, self.num_slots)

    def _reach(self) -> int:
        """The number of text positions that the next step reads."""
        longest = max((decode.position + 1 for decode in self._decodes()), default=0)
        return _round_up(longest, self._placement.reach_buckets, self._context)

    def _compute(self, used: int, reach: int, sampling: bool, starting: bool) -> None:
        """One step of the first `used` slots, on the device alone."""
        state = Fields(*(field[:used] for field in self._state.fields))
        hidden = self._model.decoder.step(self._cache, state.latest, state.position, reach)
        logits = self._model.decoder.logits(hidden)
        if starting:
            self._note_no_speech(state, logits[:, 0])
        logits += self._suppressed[:used]
        logprobs = self._rules.apply(logits, state.kind, state.latest_stamp)
        state.position.add_(1)
        sampled = state.active & (state.position >= state.prompt_length)
        state.position.clamp_(max=self._context - 1)  # ended texts go on, unseen
        chosen, score = self._choose(state, logprobs, sampled, sampling=sampling, reach=reach)
        self._tokens[self._cache.slots[:used], self._cache.candidates, state.num_sampled] = chosen
        state.num_sampled.add_(sampled)
        following_prompt = self._prompts[:used].gather(1, state.position)
        for field, after_sample, otherwise in (
            (state.score, score, state.score),
            (state.kind, self._rules.next_kind(state.kind, chosen), state.kind),
            (state.latest_stamp, self._rules.next_stamp(state.latest_stamp, chosen), state.latest_stamp),
            (state.latest, chosen, following_prompt),
        ):
            torch.where(sampled, after_sample, otherwise, out=field)
        torch.any(score.isnan(), -1, keepdim=True, out=state.broken)
        state.active.logical_and_(self._is_unfinished(state) & ~state.broken)

    def _note_no_speech(self, state: Fields, logits: Tensor) -> None:
        """Note the probability of `<|nospeech|>` right after `<|startoftranscript|>`, as in openai-whisper."""
        prob = logits.softmax(-1)[:, self._rules.no_speech, None]
        torch.where(state.position == state.start, prob, state.no_speech, out=state.no_speech)

    def _choose(
        self, state: Fields, logprobs: Tensor, sampled: Tensor, *, sampling: bool, reach: int
    ) -> tuple[Tensor, Tensor]:
        """The next token of each candidate, the likeliest, or a sample at a temperature above 0; its new score."""
        chosen = logprobs.max(-1).indices  # on a CPU three times as fast as `argmax`
        if sampling:
            probs = (logprobs / state.temperature.clamp(min=1e-6)[..., None]).softmax(-1)
            # The same samples as `multinomial` draws, which makes the host wait, or fails the device if a row is NaN.
            samples = (probs / torch.empty_like(probs).exponential_()).argmax(-1)
            chosen = torch.where(state.temperature > 0, samples, chosen)
        ended = state.kind == ENDED
        logprob = logprobs.gather(-1, chosen[..., None]).squeeze(-1)
        score: Tensor = state.score + logprob.masked_fill_(ended, 0.0)
        return chosen.masked_fill_(ended, self._rules.end), score

    def _is_unfinished(self, state: Fields) -> Tensor:
        """[B, 1], True where more is sampled."""
        unfinished: Tensor = (state.kind != ENDED).any(-1, keepdim=True) & (state.num_sampled < state.max_sampled)
        return unfinished

    # --- Results -----------------------------------------------------------------------------------------------------

    def _results(self) -> tuple[Tensor, ...]:
        """What the host reads besides the slots' state."""
        return (self._tokens,)

    def _collect(self, decodes: Sequence[RunningDecode | None], board: Board) -> list[Outcome]:
        """The decodes that a step has finished; `decodes` are those that ran in it, by slot."""
        board.wait()
        done: list[Outcome] = []
        # The decodes in the slots beyond those that were computed are None.
        for slot, (decode, is_active) in enumerate(zip(decodes, board.state.active[:, 0].tolist(), strict=False)):
            if decode is None or decode.slot is None or is_active:
                continue
            if board.state.broken[slot]:
                for memory in {slot, decode.slot}:  # it may have moved since
                    self._cache.clear(memory)
                done.append((decode.request, NumericalFault("the model's numbers overflowed")))
            else:
                done.append((decode.request, self._best_result(decode.request, slot, board)))
            self._release(decode)
        return done

    def _best_result(self, request: DecodeRequest, slot: int, board: Board) -> DecodeResult:
        """The likeliest hypothesis by openai-whisper's `MaximumLikelihoodRanker`."""

        def rank(hypothesis: Hypothesis) -> float:
            length = len(hypothesis.tokens)
            if request.length_penalty is None:
                return hypothesis.score / length if length else -torch.inf
            return float(hypothesis.score / ((5 + length) / 6) ** request.length_penalty)

        best = max(self._hypotheses(slot, board), key=rank)
        avg_logprob = best.score / (len(best.tokens) + 1)
        return DecodeResult(best.tokens, avg_logprob, float(board.state.no_speech[slot]), request.temperature)

    def _hypotheses(self, slot: int, board: Board) -> list[Hypothesis]:
        candidates = board.results[0][slot, :, : int(board.state.num_sampled[slot])]
        return self._to_hypotheses(candidates, board.state.score[slot])

    def _to_hypotheses(self, candidates: Tensor, scores: Tensor) -> list[Hypothesis]:
        return [
            Hypothesis(tokens[: tokens.index(self._rules.end)] if self._rules.end in tokens else tokens, score)
            for tokens, score in zip(candidates.tolist(), scores.tolist(), strict=True)
        ]


class BeamBatch(Batch):
    """Beam search (`BeamSearchDecoder`): the candidates of a window are its best unfinished hypotheses.

    Args:
        max_hypotheses: complete hypotheses that end the search of a window.
    """

    def __init__(
        self, model: Model, rules: TokenRules, num_slots: int, num_candidates: int, max_hypotheses: int
    ) -> None:
        super().__init__(model, rules, num_slots, num_candidates)
        self._max_hypotheses = max_hypotheses
        # One place more: what a step finishes beyond the limit is written there.
        self._finished = self._placement.zeros(torch.long, num_slots, max_hypotheses + 1, self._max_sampled + 1)
        self._finished_scores = self._placement.zeros(torch.float32, num_slots, max_hypotheses + 1)

    def _choose(
        self, state: Fields, logprobs: Tensor, sampled: Tensor, *, sampling: bool, reach: int
    ) -> tuple[Tensor, Tensor]:
        num_beams = logprobs.shape[1]
        best_logprobs, tokens = logprobs.topk(num_beams + 1)
        scores = state.score[..., None] + best_logprobs
        # Before the first token all beams are the same hypothesis: only one of them may branch.
        duplicates = (state.kind == START) & (self._cache.candidates > 0)
        scores = scores.masked_fill_(duplicates[..., None], -torch.inf).flatten(1)
        scores, order = scores.sort(descending=True, stable=True)
        tokens, sources = tokens.flatten(1).gather(-1, order), order // (num_beams + 1)

        ends = tokens == self._rules.end
        rank = (~ends).cumsum(-1)
        self._finish(state, ends & (rank < num_beams) & sampled, sources, scores)
        kept = _first_places(~ends & (rank <= num_beams), rank - 1, num_beams)
        sources = torch.where(sampled, sources.gather(-1, kept), self._cache.candidates)
        self._continue_texts(state, sources, reach)
        return tokens.gather(-1, kept), scores.gather(-1, kept)

    def _finish(self, state: Fields, complete: Tensor, sources: Tensor, scores: Tensor) -> None:
        """Record the hypotheses that end here, likeliest first, up to the number that patience allows."""
        used = len(complete)
        texts = self._tokens[:used]
        texts.scatter_(-1, state.num_sampled[..., None].expand(-1, texts.shape[1], 1), self._rules.end)
        histories = texts.gather(1, sources[..., None].expand(-1, -1, texts.shape[-1]))
        place = (state.num_finished + complete.cumsum(-1) - 1).clamp_(max=self._max_hypotheses)
        place.masked_fill_(~complete, self._max_hypotheses)
        self._finished[:used].scatter_(1, place[..., None].expand_as(histories), histories)
        self._finished_scores[:used].scatter_(1, place, scores)
        num_finished = state.num_finished + complete.sum(-1, keepdim=True)
        state.num_finished.copy_(num_finished.clamp_(max=self._max_hypotheses))

    def _continue_texts(self, state: Fields, sources: Tensor, reach: int) -> None:
        """Let each beam [B, G] continue the text of another one."""
        self._cache.continue_texts(sources, reach)
        texts = self._tokens[: len(sources)]
        texts.copy_(texts.gather(1, sources[..., None].expand_as(texts)))
        for field in (state.kind, state.latest_stamp):
            field.copy_(field.gather(1, sources))

    def _is_unfinished(self, state: Fields) -> Tensor:
        return super()._is_unfinished(state) & (state.num_finished < self._max_hypotheses)

    def _results(self) -> tuple[Tensor, ...]:
        return *super()._results(), self._finished, self._finished_scores

    def _hypotheses(self, slot: int, board: Board) -> list[Hypothesis]:
        """The complete hypotheses, topped up with the likeliest incomplete ones to the number of beams."""
        _, finished_tokens, finished_scores = board.results
        count = int(board.state.num_finished[slot])
        finished = self._to_hypotheses(finished_tokens[slot, :count], finished_scores[slot, :count])
        unfinished = sorted(super()._hypotheses(slot, board), key=lambda hypothesis: hypothesis.score, reverse=True)
        return finished + unfinished[: max(0, len(unfinished) - count)]


class Board:
    """The host's copy of the state and results after a step, which arrives while the host goes on.

    Attributes:
        state: of the slots that were computed.
        results: as `Batch._results` returns them.
    """

    def __init__(self, placement: Placement, slots: SlotState, results: Sequence[Tensor], used: int) -> None:
        rows, self.state = slots.host_rows(used)
        rows.copy_(slots.bytes[:used], non_blocking=True)
        self.results = [
            placement.host_zeros(tensor.dtype, used, *tensor.shape[1:]).copy_(tensor[:used], non_blocking=True)
            for tensor in results
        ]
        self._copied = placement.record_event()

    def wait(self) -> None:
        """Wait until the copy is complete."""
        self._copied()


def _num_stored(request: DecodeRequest, start: int) -> int:
    """How many of the tokens that are given are read in one pass, before the steps: of those with a prefix all but one.

    Args:
        start: the place of `<|startoftranscript|>` among them.
    """
    if request.prefix:
        return len(request.prompt) + len(request.prefix) - 1
    return start if start > MAX_FORCED_PROMPT else 0


def _first_places(wanted: Tensor, place: Tensor, count: int) -> Tensor:
    """[B, count], the indices of the `wanted` [B, N], each at its `place`; others are written behind the last place."""
    indices = torch.arange(wanted.shape[-1], device=wanted.device).expand_as(wanted)
    places = torch.zeros(len(wanted), count + 1, dtype=torch.long, device=wanted.device)
    return places.scatter_(1, place.masked_fill(~wanted, count), indices)[:, :count]


def _round_up(number: int, buckets: Sequence[int], most: int) -> int:
    """The smallest bucket that holds a number, else the most there is."""
    return min(next((bucket for bucket in buckets if bucket >= number), most), most)
