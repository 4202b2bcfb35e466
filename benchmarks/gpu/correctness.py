"""Is it right? Logits beside openai-whisper's, and the tokens of recorded steps beside eager ones and a CPU's."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import whisper
from rapidfuzz.distance import Levenshtein
from torch import Tensor
from whisper.audio import N_FRAMES, log_mel_spectrogram, pad_or_trim

from benchmarks.clip_windows import clip_windows
from benchmarks.gpu.report import Row
from benchmarks.gpu.setup import ENGLISH, Setup, eager
from src.engine.decoding import Batch, BeamBatch
from src.engine.decoding_options import TokenSets
from src.engine.model import Model
from src.engine.placement import make_placement
from src.engine.token_rules import TokenRules
from src.engine.window import Window
from src.engine.work import DecodeRequest, DecodeResult, NumericalFault
from src.models.weights import embedding_of, load_weights

LOGIT_TOLERANCE = 1e-2
"""Largest difference of float32 logits from openai-whisper's. Logits reach some tens; on CPUs a test checks 1e-3."""


class Incorrect(Exception):
    """The device computes something else than it should."""


def compare_logits(setup: Setup) -> Iterator[Row]:
    """Yield the difference of the logits of one window's text, in float32 and in the worker's compute type.

    Raises:
        Incorrect: those in float32 differ by more than `LOGIT_TOLERANCE`.
    """
    torch.backends.cudnn.allow_tf32 = False  # else openai-whisper's convolutions are not at full precision
    source = load_weights(setup.weights)
    reference = copy.deepcopy(source).float().to(setup.device)
    differences = {}
    for placement in dict.fromkeys((setup.placement.in_float32(), setup.placement)):
        model = Model(source, placement, embedding_of(source))
        difference, agreement = _compare_logits(model, reference)
        differences[placement.compute_type] = difference
        row: Row = {"compute type": placement.compute_type, "largest logit difference": difference}
        yield row | {"same most likely tokens": f"{agreement:.1%}"}
    if differences["float32"] > LOGIT_TOLERANCE:
        raise Incorrect(f"logits in float32 differ by {differences['float32']:.2g}")


@torch.inference_mode()
def _compare_logits(model: Model, reference: whisper.Whisper) -> tuple[float, float]:
    """The largest difference, and the share of positions with the same most likely token."""
    mel = _log_mel(clip_windows(1)[0], reference.dims.n_mels)[None].to(reference.device)
    tokenizer = TokenSets(reference.dims, reference.device).tokenizer()
    text = tokenizer.encode(" The quick brown fox jumps over the lazy dog. " * 10)[:100]
    tokens = torch.tensor([[*tokenizer.sot_sequence_including_notimestamps, *text]], device=reference.device)
    expected = reference.decoder(tokens, reference.encoder(mel)).float()
    ours = model.decoder.logits(model.decoder.read(tokens, model.encoder(mel), lambda *_: None))
    return float((ours - expected).abs().max()), float((ours.argmax(-1) == expected.argmax(-1)).float().mean())


@torch.inference_mode()
def compare_tokens(setup: Setup) -> Iterator[Row]:
    """Yield how many tokens of the repository's clip differ from those of eager steps, and from a CPU's in float32.

    All windows enter a batch at once, not through the engine, so that each step computes the same windows.

    Raises:
        Incorrect: recorded steps choose other tokens than eager ones.
    """
    source = load_weights(setup.weights)
    mel = torch.stack([_log_mel(window, source.dims.n_mels) for window in clip_windows(1 if setup.is_small else 16)])
    on_cpu = mel[:3]
    cpu, model, full_precision = (
        Model(source, placement, embedding_of(source))
        for placement in (
            make_placement((torch.device("cpu"),), torch.float32),
            setup.placement,
            setup.placement.in_float32(),
        )
    )
    differing = 0
    for search, num_beams in (("greedy", 1), ("5 beams", 5)):
        expected = _flat(decode(cpu, on_cpu, num_beams))
        by_steps = {"eager": decode(eager(model), mel, num_beams)}
        if setup.placement.replays:
            by_steps["replayed"] = decode(model, mel, num_beams)
        by_steps["eager, float32"] = decode(full_precision, mel, num_beams)
        for steps, texts in by_steps.items():
            row: Row = {"search": search, "steps": steps, "windows": len(texts), "tokens": len(_flat(texts))}
            if steps == "replayed":
                row["differ from eager"] = distance = Levenshtein.distance(_flat(texts), _flat(by_steps["eager"]))
                differing += distance
            different = Levenshtein.distance(_flat(texts[: len(on_cpu)]), expected)
            yield row | {"differ from a CPU's": f"{different} of {len(expected)}"}
    if differing:
        raise Incorrect("recorded steps choose other tokens than eager ones")


def _log_mel(window: Window, num_mels: int) -> Tensor:
    """[n_mels, 3000], on the CPU."""
    waveform = torch.from_numpy(window.audio.astype(np.float32) / 32768)
    mel: Tensor = pad_or_trim(log_mel_spectrogram(waveform, num_mels), N_FRAMES)
    return mel


def decode(model: Model, mel: Tensor, num_beams: int) -> list[list[int]]:
    """Return the tokens of windows [B, n_mels, 3000] that enter a batch at once."""
    placement = model.placement
    token_sets = TokenSets(model.dims, placement.device)
    rules = TokenRules(token_sets.tokenizer(), model.dims.n_vocab, placement.device)
    requests = [
        DecodeRequest(
            features,
            token_sets.prompt(ENGLISH),
            token_sets.suppressed((-1,)),
            beam_size=None if num_beams == 1 else num_beams,
        )
        for part in torch.split(mel.to(placement.device), placement.encoder_batch_size)
        for features in model.encoder(part)
    ]
    if num_beams == 1:
        batch = Batch(model, rules, len(requests), 1)
    else:
        batch = BeamBatch(model, rules, len(requests), num_beams, num_beams)
    batch.admit(requests)
    outcomes: list[tuple[DecodeRequest, DecodeResult | NumericalFault]] = []
    while batch.running:
        outcomes += batch.step()
    results = {id(request): outcome for request, outcome in outcomes}
    return [_tokens(results[id(request)]) for request in requests]


def _tokens(outcome: DecodeResult | NumericalFault) -> list[int]:
    if isinstance(outcome, NumericalFault):
        raise outcome
    return outcome.tokens


def _flat(texts: Sequence[Sequence[int]]) -> list[int]:
    return [token for text in texts for token in text]
