"""Computes one device's work: owns the copies of the model, the batches and their memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import torch
import whisper
from torch import Tensor

from src.engine.alignment import align
from src.engine.decoding import Batch, BeamBatch
from src.engine.decoding_options import TokenSets
from src.engine.log_mel import log_mel
from src.engine.model import Model
from src.engine.placement import (
    WORKSPACE_BYTES,
    Placement,
    leave_one_core_free,
    loses_cuda_context,
    release_freed_memory,
)
from src.engine.scoring import score
from src.engine.token_rules import TokenRules
from src.engine.work import (
    AlignmentRequest,
    DecodeRequest,
    DecodeResult,
    DeviceLost,
    EncodeRequest,
    LanguageRequest,
    NumericalFault,
    OutOfMemory,
    ScoreRequest,
    Work,
)
from src.models.weights import embedding_of, has_alignment_heads


class ModelRunner:
    """Computes on the devices of a placement; the scheduler's `Runner`.

    Args:
        load: returns openai-whisper's model with the checkpoint's weights; `loaded` raises what it raises.
        max_batch_size: windows decoded at a time; None: the placement's default. On CUDA fewer if memory is short.

    Attributes:
        source: the loaded weights, in the file's number format.
        has_alignment_heads: True if the checkpoint specifies the attention heads that follow the spoken words.
    """

    source: whisper.Whisper
    token_sets: TokenSets
    has_alignment_heads: bool

    def __init__(
        self, load: Callable[[], whisper.Whisper], placement: Placement, max_batch_size: int | None = None
    ) -> None:
        self.placement = placement
        self.max_batch_size = max_batch_size or placement.max_batch_size
        self.pass_size = placement.encoder_batch_size
        self.computes_alone = placement.on_cuda
        self.keeps_idle_batches = placement.on_cuda
        # Unless a size is given, half of the memory is left: batches of other searches, and other models, need theirs.
        self._memory_share = 0.5 if max_batch_size is None else 1.0
        self._load = load
        self._models: dict[torch.dtype, Model] = {}

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Load the model; the block runs in inference mode, and with the placement's device as CUDA's current one."""
        device = torch.cuda.device(self.placement.device) if self.placement.on_cuda else nullcontext()
        with torch.inference_mode(), device:
            with leave_one_core_free():
                self._load_model()
            if self.placement.on_cuda:
                slots = num_slots(self.placement.free_memory(), self._slot_bytes(), self._memory_share)
                self.max_batch_size = min(self.max_batch_size, slots)
            try:
                yield
            finally:
                self._models.clear()
                if self.placement.on_cuda:
                    with suppress(Exception):  # of a lost device
                        torch.cuda.empty_cache()  # for the next model, which asks CUDA for its free memory

    def _load_model(self) -> None:
        # Loading twice is cheap: weights are memory-mapped, and each model's mapping is released once it is packed.
        self.source = self._load()
        self.has_alignment_heads = has_alignment_heads(self.source)
        self.token_sets = TokenSets(self.source.dims, self.placement.device)
        with ThreadPoolExecutor(1) as threads:
            tokenizer = threads.submit(self.token_sets.tokenizer)  # reads a file while the model is packed
            self._make_model(self.placement)
            self._rules = TokenRules(tokenizer.result(), self.source.dims.n_vocab, self.placement.device)

    def key(self, work: Work) -> Hashable:
        """Return what work must have in common to be computed together."""
        match work:
            case EncodeRequest():
                return work.in_float32, work.num_frames
            case DecodeRequest():
                return work.features.dtype, work.beam_size is None, work.num_candidates, work.max_hypotheses
            case LanguageRequest() | ScoreRequest() | AlignmentRequest():
                return work.features.dtype
        raise TypeError(f"{work} is no work of a model")

    def run(self, requests: Sequence[Any]) -> Sequence[Any]:
        """Return the results of requests with the same key.

        Raises:
            OutOfMemory: they are too many.
            DeviceLost: every further call would fail too.
        """
        with translated_errors():
            match requests[0]:
                case EncodeRequest():
                    return self._encode(requests)
                case LanguageRequest():
                    return self._identify(requests)
                case ScoreRequest():
                    return score(self._model(requests[0].features.dtype), self._rules, requests)
                case _:
                    return align(self._model(requests[0].features.dtype), requests)

    def make_batch(self, request: DecodeRequest, max_slots: int) -> RunnerBatch:
        """Return an empty batch for requests with the key of this one.

        Args:
            max_slots: its slots; on CUDA fewer if memory is short.

        Raises:
            OutOfMemory: it has too many slots.
            DeviceLost: every further call would fail too.
        """
        with translated_errors():
            model = self._model(request.features.dtype)
            if self.placement.on_cuda:
                slot_bytes = self._slot_bytes(request.features.dtype, request.num_candidates)
                max_slots = min(max_slots, num_slots(self.placement.free_memory(), slot_bytes))
            shared = model, self._rules, max_slots, request.num_candidates
            return RunnerBatch(
                Batch(*shared) if request.beam_size is None else BeamBatch(*shared, request.max_hypotheses)
            )

    def release_freed_memory(self) -> None:
        """Return memory that nothing uses to the system."""
        release_freed_memory()

    def _encode(self, requests: Sequence[EncodeRequest]) -> list[Tensor]:
        model = self._model(torch.float32 if requests[0].in_float32 else self.placement.dtype)
        windows = [request.audio for request in requests]
        mel = log_mel(windows, self.source.dims.n_mels, self.placement.device, requests[0].num_frames)
        return list(model.encoder(mel))

    def _identify(self, requests: Sequence[LanguageRequest]) -> list[dict[str, float]]:
        """Probabilities of the language tokens after `<|startoftranscript|>` (`whisper.decoding.detect_language`)."""
        tokenizer = self.token_sets.tokenizer()
        features = torch.stack([request.features for request in requests])
        decoder = self._model(features.dtype).decoder
        start = torch.full((len(requests), 1), tokenizer.sot, device=features.device)
        logits = decoder.logits(decoder.read(start, features, lambda *_: None)[:, 0])
        probs = logits[:, list(tokenizer.all_language_tokens)].softmax(-1).tolist()
        return [dict(zip(tokenizer.all_language_codes, row, strict=True)) for row in probs]

    def _model(self, dtype: torch.dtype) -> Model:
        """The model in a number format, that of the features it reads."""
        if dtype not in self._models:
            self._make_model(self.placement.in_float32())
        return self._models[dtype]

    def _slot_bytes(self, dtype: torch.dtype | None = None, num_candidates: int = 1) -> int:
        """Memory of a batch's slot on each device; a split model's devices have equal shares of its layers."""
        whole = slot_bytes(self.source.dims, dtype or self.placement.dtype, num_candidates)
        return whole // len(self.placement.devices)

    def _make_model(self, placement: Placement) -> None:
        self._models[placement.dtype] = Model(self._load(), placement, embedding_of(self.source))


class RunnerBatch:
    """A batch that raises `OutOfMemory` and `DeviceLost` in place of PyTorch's exceptions."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.num_slots = batch.num_slots

    @property
    def running(self) -> Sequence[DecodeRequest]:
        """The requests that `step` has not reported."""
        return self._batch.running

    @property
    def free_slots(self) -> int:
        """The number of further requests that fit."""
        return self._batch.free_slots

    def admit(self, requests: Sequence[DecodeRequest]) -> None:
        """Put requests into free slots."""
        with translated_errors():
            self._batch.admit(requests)

    def step(self) -> Sequence[tuple[DecodeRequest, DecodeResult | NumericalFault]]:
        """Sample one more token for every request; return the finished ones, whose slots are free again."""
        with translated_errors():
            return self._batch.step()

    def remove(self, requests: Sequence[DecodeRequest]) -> None:
        """Remove unfinished requests."""
        self._batch.remove(requests)


def slot_bytes(dims: whisper.ModelDimensions, dtype: torch.dtype, num_candidates: int) -> int:
    """Return the memory of a batch's slot: keys and values of the window, and of each candidate's tokens."""
    positions = dims.n_audio_ctx + num_candidates * dims.n_text_ctx
    return int(2 * dims.n_text_layer * positions * dims.n_text_state * dtype.itemsize)


def num_slots(free_bytes: int, bytes_per_slot: int, share: float = 1.0) -> int:
    """Return how many slots fit into a share of a CUDA device's free memory; at least one, which may be too many."""
    return max(1, int(share * (free_bytes - WORKSPACE_BYTES) / bytes_per_slot))


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise `OutOfMemory` and `DeviceLost` in place of PyTorch's exceptions within the block."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(str(error)) from error
    except Exception as error:
        if loses_cuda_context(error):
            raise DeviceLost(str(error)) from error
        raise
