"""Whole recordings with real weights, peers beside them, and a worker's start."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
import whisper

from benchmarks import coldstart
from benchmarks.clip_windows import CLIP, GREEDY, clip_windows, total_seconds
from benchmarks.gpu.report import Row
from benchmarks.gpu.setup import Setup, within
from benchmarks.gpu.steps import make_batch, time_steps
from benchmarks.peer_weights import weights_for
from benchmarks.process_memory import peak_mb
from benchmarks.recordings import load_pcm
from benchmarks.scoring import count_errors
from src.audio.pcm import SAMPLE_RATE, Pcm, Region, to_float
from src.engine.decoding_options import TokenSets
from src.engine.engine import Engine
from src.engine.placement import Placement, choose_placements
from src.engine.work import OutOfMemory
from src.job_control import JobControl
from src.models.weights import load_weights
from src.settings import ROOT
from src.transcription.batched import BatchedOptions, transcribe_in_windows

JOB_OPTIONS = BatchedOptions(GREEDY)
PEER_TOKENS = 100
"""Tokens of each window in the comparison with random weights."""


def measure_batch_sizes(setup: Setup, limit_s: float) -> Iterator[Row]:
    """Yield the engine's speed by the number of windows that are decoded at once; four times as many are waiting."""
    for size in within(limit_s, setup.batch_sizes):
        windows = clip_windows(1 if setup.is_small else 4 * size)
        row: Row = {"windows at once": size, "windows": len(windows)}
        _reset_peak()
        try:
            with closing(Engine(partial(load_weights, setup.weights), [setup.placement], size)) as engine:
                row["windows at once"] = engine.max_batch_size  # fewer where memory is short
                for _ in range(2):  # kernels, graphs
                    list(engine.transcribe(windows[:size], GREEDY))
                started = time.perf_counter()
                list(engine.transcribe(windows, GREEDY))
                seconds = time.perf_counter() - started
        except (torch.OutOfMemoryError, OutOfMemory):
            yield row | {"x real time": "out of memory"}
        else:
            yield row | {"x real time": total_seconds(windows) / seconds, "peak, MB": _peak_mb()}


def measure_jobs(setup: Setup, minutes: float) -> Iterator[Row]:
    """Yield the speed and word errors of whole jobs, and of the peers that are installed, with the same weights."""
    clip, text = load_pcm(CLIP), CLIP.with_suffix(".txt").read_text()
    repeats = 1 if setup.is_small else max(1, round(minutes * 60 * SAMPLE_RATE / len(clip)))
    systems = [("ours", _ours(setup, [setup.placement]), repeats)]
    if setup.device.type == "cuda" and torch.cuda.device_count() > 1:
        systems += [
            (f"ours on all GPUs, {mode}", _ours(setup, choose_placements("float16", mode)), repeats)
            for mode in ("replicate", "split")
        ]
    systems.append(("faster-whisper, batch 16", _faster_whisper(setup), repeats))
    systems.append(("openai-whisper", _openai_whisper(setup), 1))  # window by window: the length does not matter
    for name, system, times in systems:
        pcm = np.tile(clip, times)
        try:
            with system as transcribe:
                transcribe(clip[: 10 * SAMPLE_RATE])  # kernels, graphs
                started = time.perf_counter()
                found = transcribe(pcm)
                seconds = time.perf_counter() - started
        except (Exception, SystemExit) as error:
            if name.startswith("ours"):
                raise
            yield {"system": name, "x real time": _reason(error)}  # not installed, no weights in its format, ...
        else:
            errors = count_errors(" ".join([text] * times), found, "en").rate or 0.0
            speed = len(pcm) / SAMPLE_RATE / seconds
            yield {"system": name, "x real time": speed, "word errors": f"{errors:.1%}"}


def _reason(error: BaseException) -> str:
    """An error as the cell of a table."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:120]


Transcribe = Callable[[Pcm], str]


@contextmanager
def _ours(setup: Setup, placements: Sequence[Placement]) -> Iterator[Transcribe]:
    with closing(Engine(partial(load_weights, setup.weights), placements)) as engine:
        yield lambda pcm: transcribe_in_windows(engine, pcm, [Region(0, len(pcm))], JOB_OPTIONS, JobControl()).text


@contextmanager
def _openai_whisper(setup: Setup) -> Iterator[Transcribe]:
    model, on_gpu = load_weights(setup.weights), setup.device.type == "cuda"
    model = model.to(setup.device) if on_gpu else model.float()
    yield lambda pcm: str(whisper.transcribe(model, to_float(pcm), language="en", temperature=0.0, fp16=on_gpu)["text"])


@contextmanager
def _faster_whisper(setup: Setup) -> Iterator[Transcribe]:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    device, compute_type = ("cuda", "float16") if setup.device.type == "cuda" else ("cpu", "int8")
    pipeline = BatchedInferencePipeline(
        WhisperModel(weights_for("faster-whisper", setup.model), device=device, compute_type=compute_type)
    )

    def transcribe(pcm: Pcm) -> str:
        segments, _ = pipeline.transcribe(to_float(pcm), language="en", beam_size=1, batch_size=16)
        return "".join(segment.text for segment in segments)

    yield transcribe


def measure_peers(setup: Setup) -> Iterator[Row]:
    """Yield ours and the peers with the same number of steps: random weights, `PEER_TOKENS` tokens of each window."""
    size, tokens = ("tiny", 4) if setup.is_small else ("turbo", PEER_TOKENS)
    systems = {"ours": _our_windows, "openai-whisper": _openai_windows, "transformers": _transformers_windows}
    counts = setup.batch_sizes[-1:] if setup.is_small else (1, 16, 64)
    for (name, make), count in itertools.product(systems.items(), counts):
        row: Row = {"model": size, "tokens a window": tokens, "system": name, "windows": count}
        try:
            seconds = _best_seconds(setup, make(setup, size, count, tokens))
        except (ImportError, torch.OutOfMemoryError) as error:
            yield row | {"x real time": _reason(error)}
        else:
            yield row | {"x real time": 30 * count / seconds, "ms a window": 1000 * seconds / count}


Run = Callable[[], object]


def _best_seconds(setup: Setup, run: Run) -> float:
    run()
    return min(setup.seconds(run) for _ in range(2))


def _our_windows(setup: Setup, size: str, count: int, tokens: int) -> Run:
    model = setup.random_model(size)
    batch, mel = make_batch(setup, model, count), setup.random_mel(model, count)
    requests = setup.endless_requests(model, count)

    @torch.inference_mode()
    def run() -> None:
        features = [
            feature for part in torch.split(mel, setup.placement.encoder_batch_size) for feature in model.encoder(part)
        ]
        ours = [replace(request, features=feature) for request, feature in zip(requests, features, strict=True)]
        time_steps(setup, batch, ours, tokens + len(ours[0].prompt) - 1)

    return run


def _openai_windows(setup: Setup, size: str, count: int, tokens: int) -> Run:
    source = setup.random_source(size)
    mel = torch.randn(count, source.dims.n_mels, 3000, device=setup.device)
    options = whisper.DecodingOptions(
        language="en",
        fp16=setup.device.type == "cuda",
        sample_len=tokens,
        suppress_tokens=[-1, TokenSets(source.dims, setup.device).tokenizer().eot],
    )
    return lambda: whisper.decode(source, mel, options)


def _transformers_windows(setup: Setup, size: str, count: int, tokens: int) -> Run:
    from transformers import WhisperConfig, WhisperForConditionalGeneration, logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    dims = setup.dims(size)
    config = WhisperConfig(
        vocab_size=dims.n_vocab,
        num_mel_bins=dims.n_mels,
        d_model=dims.n_audio_state,
        encoder_layers=dims.n_audio_layer,
        decoder_layers=dims.n_text_layer,
        encoder_attention_heads=dims.n_audio_head,
        decoder_attention_heads=dims.n_text_head,
        encoder_ffn_dim=4 * dims.n_audio_state,
        decoder_ffn_dim=4 * dims.n_text_state,
    )
    with setup.device:
        model: Any = WhisperForConditionalGeneration(config)
    model = model.to(setup.placement.dtype).eval()
    mel = torch.randn(count, dims.n_mels, 3000, device=setup.device, dtype=setup.placement.dtype)
    return lambda: model.generate(mel, min_new_tokens=tokens, max_new_tokens=tokens, do_sample=False)


def measure_cold_start(setup: Setup, rounds: int) -> Iterator[Row]:
    """Yield the stages of fresh workers' starts, in seconds since their process began."""
    worker = coldstart.WorkerScript("worker-whisper", ROOT / "handler.py", {"WHISPER_MODEL": setup.model})
    job, env = coldstart.demo_job(), {**os.environ, "PYTHONPATH": str(ROOT)}
    starts = [coldstart.measure_start(worker, job, env) for _ in range(rounds)]
    yield {"rounds": rounds, **asdict(coldstart.median_start(starts))}


def _reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak_mb() -> float:
    """Peak memory: of the GPU since `_reset_peak`, or of the process since its start."""
    return torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else peak_mb()
