"""What only a GPU can show, in one command, as a report that can be pasted into an issue.

    .venv/bin/python -m benchmarks.gpu_check --model turbo            # some minutes; --help for less or more

It compares the numbers with openai-whisper's on the same weights, measures speed by batch size beside openai-whisper,
memory, and a worker's start. On a machine without a GPU it does the same on the CPU, to show that it works.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import resource
import tempfile
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
from benchmarks.report import machine, markdown
from benchmarks.scoring import errors
from src import __version__
from src.audio.decode import decode_audio
from src.audio.pcm import SAMPLE_RATE
from src.engine.decoding_options import TokenSets
from src.engine.engine import Engine
from src.engine.model import Model
from src.engine.placement import Placement, choose_placements
from src.job_control import JobControl
from src.models.store import fetch_model, find_model
from src.models.weights import embedding_of, load_weights
from src.request.options import Options
from src.settings import ROOT, get_settings
from src.transcription.batched import transcribe_in_windows

RECORDING = ROOT / "tests" / "data" / "long.ogg"
TEXT = ROOT / "tests" / "data" / "long.txt"
BATCHES = (1, 2, 4, 8, 16, 32, 64)
GREEDY = Options(language="en", temperature=[0.0])
CLOSE = 1e-2
"""How far logits in float32 may be from openai-whisper's; they are some tens large. On CPUs 1e-3 is held by a test."""

Pcm = npt.NDArray[np.int16]


def main() -> None:
    arguments = parse()
    path = _weights(arguments.model)
    placement = choose_placements("float16" if torch.cuda.is_available() else "auto", "replicate")[0]
    sections: list[tuple[str, Callable[[], str]]] = [
        ("Machine", lambda: about(arguments.model, placement)),
        ("Numbers against openai-whisper's", lambda: numbers(path, placement)),
        ("Speed and memory by batch size", lambda: speed(path, placement, arguments.batches, arguments.minutes)),
        ("All devices", lambda: all_devices(path, arguments.minutes)),
        ("Cold start", lambda: cold_start(arguments.model, arguments.starts)),
    ]
    print(f"# worker-whisper {__version__} on a GPU: {arguments.model}")
    for title, section in tqdm(sections, desc="sections", leave=False):
        print(f"\n## {title}\n\n{section()}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="turbo", help="as WHISPER_MODEL, fetched if need be (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the recording (default: %(default)s)")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="batch sizes (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=3, help="fresh workers for the cold start (default: %(default)s)")
    return parser.parse_args()


def about(model: str, placement: Placement) -> str:
    lines = [machine(), f"torch {torch.__version__}, CUDA {torch.version.cuda}, {model} in {placement.compute_type}"]
    for number in range(torch.cuda.device_count()):
        one = torch.cuda.get_device_properties(number)
        lines.append(f"{number}: {one.name}, {one.total_memory / 1e9:.1f} GB, capability {one.major}.{one.minor}")
    return "\n".join(lines if torch.cuda.is_available() else [*lines, "NO GPU: what follows is the CPU's"])


def numbers(path: Path, placement: Placement) -> str:
    """Logits of a window's text, and the text itself, in float32 and in the worker's own format."""
    source = load_weights(path)
    reference = copy.deepcopy(source).float().to(placement.device)
    rows = [
        [one.compute_type, *_compared(Model(source, one, embedding_of(source)), reference)]
        for one in dict.fromkeys((placement.in_float32(), placement))
    ]
    heads = ["format", "largest difference of a logit", f"below {CLOSE:g}", "same likeliest tokens"]
    return markdown(heads, rows)


@torch.inference_mode()
def _compared(model: Model, reference: whisper.Whisper) -> list[str]:
    device = reference.device
    mel = pad_or_trim(log_mel_spectrogram(_waveform(30.0).to(device), reference.dims.n_mels), N_FRAMES)[None]
    tokenizer = TokenSets(reference.dims, device).tokenizer()
    spoken = tokenizer.encode(" " + TEXT.read_text().strip())[:150]
    tokens = torch.tensor([[*tokenizer.sot_sequence_including_notimestamps, *spoken]], device=device)
    right = reference.decoder(tokens, reference.encoder(mel)).float()
    ours = model.decoder.logits(model.decoder.read(tokens, model.encoder(mel), lambda *_: None))
    difference = float((ours - right).abs().max())
    alike = float((ours.argmax(-1) == right.argmax(-1)).float().mean())
    return [f"{difference:.2g}", "yes" if difference < CLOSE else "no", f"{alike:.1%}"]


def speed(path: Path, placement: Placement, batches: Sequence[int], minutes: float) -> str:
    """Ours by the windows that are decoded at once, then openai-whisper's own `transcribe`."""
    pcm, said = _recording(minutes)
    rows = [[f"ours, batch {size}", *_measured(path, [placement], size, pcm, said)] for size in batches]
    rows.append(["openai-whisper, greedy", *_openai(path, placement, pcm, said)])
    return markdown(["system", "x real time", "peak memory", "word errors"], rows)


def all_devices(path: Path, minutes: float) -> str:
    """Copies on all of the machine's GPUs, and one model split over them."""
    if torch.cuda.device_count() < 2:
        return "There are none besides."
    pcm, said = _recording(minutes)
    rows = [
        [mode, *_measured(path, choose_placements("float16", mode), None, pcm, said)] for mode in ("replicate", "split")
    ]
    return markdown(["DEVICE_MAP", "x real time", "peak memory of the first", "word errors"], rows)


def cold_start(model: str, rounds: int) -> str:
    audio = json.loads((ROOT / "test_input.json").read_text())["input"]["audio"]
    job = {"audio": audio, "options": {"language": "en"}}
    worker = coldstart.System("worker-whisper", ROOT / "handler.py", {"WHISPER_MODEL": model})
    starts = [coldstart.measure(worker, job, dict(os.environ)) for _ in range(rounds)]
    return coldstart.report({worker.name: coldstart.middle(starts)}, coldstart.measure_imports({}))


def _measured(path: Path, placements: Sequence[Placement], slots: int | None, pcm: Pcm, said: str) -> Iterator[str]:
    _forget_peak()
    try:
        with closing(Engine(partial(load_weights, path), placements, slots)) as engine:
            transcribe_in_windows(engine, pcm[: 60 * SAMPLE_RATE], GREEDY, JobControl())  # kernels are made
            started = time.perf_counter()
            text = transcribe_in_windows(engine, pcm, GREEDY, JobControl()).text
            seconds = time.perf_counter() - started
    except torch.OutOfMemoryError:
        return iter(["out of memory", "", ""])
    return _figures(pcm, seconds, text, said)


def _openai(path: Path, placement: Placement, pcm: Pcm, said: str) -> Iterator[str]:
    _forget_peak()
    model = load_weights(path)
    on_gpu = placement.device.type == "cuda"
    model = model.to(placement.device) if on_gpu else model.float()
    started = time.perf_counter()
    text = str(
        whisper.transcribe(model, pcm.astype(np.float32) / 32768, language="en", temperature=0.0, fp16=on_gpu)["text"]
    )
    return _figures(pcm, time.perf_counter() - started, text, said)


def _figures(pcm: Pcm, seconds: float, text: str, said: str) -> Iterator[str]:
    yield f"{len(pcm) / SAMPLE_RATE / seconds:.1f}"
    yield f"{_peak() / 1e9:.2f} GB"
    yield f"{errors(said, text, 'en').rate or 0:.1%}"


def _forget_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak() -> int:
    """Bytes: of the first GPU since `_forget_peak`, else of the process since its start."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _weights(model: str) -> Path:
    settings = get_settings()
    return find_model(model, settings.model_folders) or fetch_model(model, settings.model_store)


def _recording(minutes: float) -> tuple[Pcm, str]:
    """The repository's longest clip over and over, in whole, and what is said in that."""
    once = _clip()
    times = max(1, round(minutes * 60 * SAMPLE_RATE / len(once)))
    return np.tile(once, times), " ".join([TEXT.read_text()] * times)


def _waveform(seconds: float) -> torch.Tensor:
    return torch.from_numpy(_clip()[: round(seconds * SAMPLE_RATE)].astype(np.float32) / 32768)


def _clip() -> Pcm:
    with tempfile.TemporaryDirectory() as scratch:
        return np.array(decode_audio(RECORDING, Path(scratch), max_seconds=600, max_bytes=1 << 30))


if __name__ == "__main__":
    main()
