"""Runs all checks and measurements that need a GPU, as one report to paste into an issue.

    .venv/bin/python -m benchmarks.gpu_check --model turbo            # takes some minutes

It compares logits with openai-whisper's on the same weights, and measures speed and memory by batch size, beside
openai-whisper, and a worker's start. Without a GPU it does the same on the CPU, to show that it works. The figures
depend on the GPU, its driver and torch's CUDA version, which the report names.
"""

from __future__ import annotations

import argparse
import copy
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import whisper
from tqdm import tqdm
from whisper.audio import N_FRAMES, log_mel_spectrogram, pad_or_trim

from benchmarks import coldstart
from benchmarks.recordings import load_pcm
from benchmarks.report import describe_run, markdown_table
from benchmarks.scoring import count_errors
from src import __version__
from src.audio.pcm import SAMPLE_RATE, Region
from src.engine.decoding_options import DecodingOptions, TokenSets
from src.engine.engine import Engine
from src.engine.model import Model
from src.engine.placement import Placement, choose_placements
from src.engine.work import OutOfMemory
from src.job_control import JobControl
from src.models.store import fetch_model, find_model
from src.models.weights import embedding_of, load_weights
from src.settings import ROOT, get_settings
from src.transcription.batched import BatchedOptions, transcribe_in_windows

RECORDING = ROOT / "tests" / "data" / "long.ogg"
TEXT = ROOT / "tests" / "data" / "long.txt"
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
GREEDY = BatchedOptions(DecodingOptions(language="en", temperatures=(0.0,)))
LOGIT_TOLERANCE = 1e-2
"""Largest difference of float32 logits from openai-whisper's. Logits reach some tens; on CPUs a test checks 1e-3."""

Pcm = npt.NDArray[np.int16]


def main() -> None:
    """Run all sections and print the report."""
    arguments = parse_arguments()
    path = _find_weights(arguments.model)
    placement = choose_placements("float16" if torch.cuda.is_available() else "auto", "replicate")[0]
    sections: list[tuple[str, Callable[[], str]]] = [
        ("Machine", lambda: describe_setup(arguments.model, placement)),
        ("Logits compared with openai-whisper's", lambda: compare_logits(path, placement)),
        (
            "Speed and memory by batch size",
            lambda: measure_batch_sizes(path, placement, arguments.batches, arguments.minutes),
        ),
        ("All devices", lambda: measure_all_devices(path, arguments.minutes)),
        ("Cold start", lambda: measure_cold_start(arguments.model, arguments.starts)),
    ]
    print(f"# worker-whisper {__version__} on a GPU: {arguments.model}")
    for title, section in tqdm(sections, desc="sections", leave=False):
        print(f"\n## {title}\n\n{section()}", flush=True)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="turbo", help="as WHISPER_MODEL; fetched if missing (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the recording (default: %(default)s)")
    parser.add_argument(
        "--batches", type=int, nargs="+", default=BATCH_SIZES, help="batch sizes (default: %(default)s)"
    )
    parser.add_argument("--starts", type=int, default=3, help="fresh workers for the cold start (default: %(default)s)")
    return parser.parse_args()


def describe_setup(model: str, placement: Placement) -> str:
    """Return the facts of the run, the versions of torch and CUDA, and the GPUs."""
    lines = [
        describe_run(),
        f"torch {torch.__version__}, CUDA {torch.version.cuda}, {model} in {placement.compute_type}",
    ]
    for number in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(number)
        lines.append(f"{number}: {gpu.name}, {gpu.total_memory / 1e9:.1f} GB, capability {gpu.major}.{gpu.minor}")
    return "\n".join(lines if torch.cuda.is_available() else [*lines, "NO GPU: all figures below are the CPU's"])


def compare_logits(path: Path, placement: Placement) -> str:
    """Compare the logits of one window's text, in float32 and in the worker's compute type."""
    source = load_weights(path)
    reference = copy.deepcopy(source).float().to(placement.device)
    rows = [
        [place.compute_type, *_compare_logits(Model(source, place, embedding_of(source)), reference)]
        for place in dict.fromkeys((placement.in_float32(), placement))
    ]
    headings = ["compute type", "largest logit difference", f"below {LOGIT_TOLERANCE:g}", "same most likely tokens"]
    return markdown_table(headings, rows)


@torch.inference_mode()
def _compare_logits(model: Model, reference: whisper.Whisper) -> list[str]:
    device = reference.device
    mel = pad_or_trim(log_mel_spectrogram(_waveform(30.0).to(device), reference.dims.n_mels), N_FRAMES)[None]
    tokenizer = TokenSets(reference.dims, device).tokenizer()
    text = tokenizer.encode(" " + TEXT.read_text().strip())[:150]
    tokens = torch.tensor([[*tokenizer.sot_sequence_including_notimestamps, *text]], device=device)
    expected = reference.decoder(tokens, reference.encoder(mel)).float()
    ours = model.decoder.logits(model.decoder.read(tokens, model.encoder(mel), lambda *_: None))
    difference = float((ours - expected).abs().max())
    matching = float((ours.argmax(-1) == expected.argmax(-1)).float().mean())
    return [f"{difference:.2g}", "yes" if difference < LOGIT_TOLERANCE else "no", f"{matching:.1%}"]


def measure_batch_sizes(path: Path, placement: Placement, batches: Sequence[int], minutes: float) -> str:
    """Measure ours by the number of windows that are decoded at once, then openai-whisper's `transcribe`."""
    pcm, reference = _make_recording(minutes)
    rows = [[f"ours, batch {size}", *_measure_ours(path, [placement], size, pcm, reference)] for size in batches]
    rows.append(["openai-whisper, greedy", *_measure_openai_whisper(path, placement, pcm, reference)])
    return markdown_table(["system", "x real time", "peak memory", "word errors"], rows)


def measure_all_devices(path: Path, minutes: float) -> str:
    """Measure copies of the model on all GPUs, and one model split over them."""
    if torch.cuda.device_count() < 2:
        return "There is only one device."
    pcm, reference = _make_recording(minutes)
    rows = [
        [mode, *_measure_ours(path, choose_placements("float16", mode), None, pcm, reference)]
        for mode in ("replicate", "split")
    ]
    return markdown_table(["DEVICE_MAP", "x real time", "peak memory of the first", "word errors"], rows)


def measure_cold_start(model: str, rounds: int) -> str:
    """Measure fresh workers and return the medians of their stages."""
    job = coldstart.demo_job()
    worker = coldstart.WorkerScript("worker-whisper", ROOT / "handler.py", {"WHISPER_MODEL": model})
    starts = [coldstart.measure_start(worker, job, dict(os.environ)) for _ in range(rounds)]
    return coldstart.format_starts({worker.name: coldstart.median_start(starts)}, coldstart.measure_imports({}))


def _measure_ours(
    path: Path, placements: Sequence[Placement], slots: int | None, pcm: Pcm, reference: str
) -> Iterator[str]:
    _reset_peak()
    try:
        with closing(Engine(partial(load_weights, path), placements, slots)) as engine:
            transcribe_in_windows(engine, pcm, [Region(0, 60 * SAMPLE_RATE)], GREEDY, JobControl())  # compiles kernels
            started = time.perf_counter()
            text = transcribe_in_windows(engine, pcm, [Region(0, len(pcm))], GREEDY, JobControl()).text
            seconds = time.perf_counter() - started
    except (torch.OutOfMemoryError, OutOfMemory):
        return iter(["out of memory", "", ""])
    return _format_figures(pcm, seconds, text, reference)


def _measure_openai_whisper(path: Path, placement: Placement, pcm: Pcm, reference: str) -> Iterator[str]:
    _reset_peak()
    model = load_weights(path)
    on_gpu = placement.device.type == "cuda"
    model = model.to(placement.device) if on_gpu else model.float()
    started = time.perf_counter()
    text = str(
        whisper.transcribe(model, pcm.astype(np.float32) / 32768, language="en", temperature=0.0, fp16=on_gpu)["text"]
    )
    return _format_figures(pcm, time.perf_counter() - started, text, reference)


def _format_figures(pcm: Pcm, seconds: float, text: str, reference: str) -> Iterator[str]:
    yield f"{len(pcm) / SAMPLE_RATE / seconds:.1f}"
    yield f"{_peak_bytes() / 1e9:.2f} GB"
    yield f"{count_errors(reference, text, 'en').rate or 0:.1%}"


def _reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak_bytes() -> int:
    """Peak memory: of the first GPU since `_reset_peak`, or of the process since its start."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _find_weights(model: str) -> Path:
    settings = get_settings()
    return find_model(model, settings.model_folders) or fetch_model(model, settings.model_store)


def _make_recording(minutes: float) -> tuple[Pcm, str]:
    """Repeat the repository's longest clip, whole, to about that length; return PCM and reference text."""
    clip = load_pcm(RECORDING)
    times = max(1, round(minutes * 60 * SAMPLE_RATE / len(clip)))
    return np.tile(clip, times), " ".join([TEXT.read_text()] * times)


def _waveform(seconds: float) -> torch.Tensor:
    return torch.from_numpy(load_pcm(RECORDING)[: round(seconds * SAMPLE_RATE)].astype(np.float32) / 32768)


if __name__ == "__main__":
    main()
