"""The systems of the side-by-side benchmark, each with its own defaults except for the settings in its name.

All use as many threads as the process has CPUs. ffmpeg decodes for all except faster-whisper and WhisperX, for which
faster-whisper's own decoder does.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Span = tuple[float, float]
"""Start and end in seconds."""


@dataclass(frozen=True)
class Transcription:
    """A recording's text, and the spans of its segments."""

    text: str
    spans: Sequence[Span]


Transcribe = Callable[[Path, "str | None"], Transcription]
"""Transcribes a recording in a language (None: detect it) and returns the text."""


@dataclass(frozen=True)
class System:
    """An engine and its settings. One beam is greedy decoding with openai-whisper's temperature fallback."""

    engine: str
    beams: int = 1
    compute_type: str = ""
    batch: int = 1
    label: str = ""
    """What sets a variant of ours apart, in the name."""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Options of a job, for ours only."""

    @property
    def name(self) -> str:
        """The engine and its settings, as tables print them."""
        return self._engine_and_format + ("" if self.beams == 1 else f" beam {self.beams}")

    @property
    def _engine_and_format(self) -> str:
        batched = f"batched {self.batch}" if self.batch > 1 else ""
        return " ".join(part for part in (self.engine, self.label, batched, self.compute_type) if part)


def _greedy_and_beam(engine: str, compute_type: str = "", batch: int = 1) -> list[System]:
    return [System(engine, beams, compute_type, batch) for beams in (1, 5)]


SYSTEMS = [
    *_greedy_and_beam("ours"),
    *_greedy_and_beam("openai-whisper"),
    *_greedy_and_beam("whisper.cpp"),
    *(
        system
        for batch in (1, 8, 16)
        for compute_type in ("int8", "float32")
        for system in _greedy_and_beam("faster-whisper", compute_type, batch)
    ),
]
"""Each engine with its settings for speed."""

ACCURACY_SYSTEMS = [
    *SYSTEMS,
    *(
        System("ours", beams, label=label, options=options)
        for label, options in (("sequential", {"chunking": "sequential"}), ("no vad", {"vad": False}))
        for beams in (1, 5)
    ),
    *(system for compute_type in ("int8", "float32") for system in _greedy_and_beam("whisperx", compute_type, 8)),
]
"""Those, our variants, and WhisperX, which needs an environment of its own."""


def select(patterns: Sequence[str], systems: Sequence[System] = SYSTEMS) -> list[System]:
    """Return the systems whose names match a shell pattern.

    Raises:
        SystemExit: No name matches.
    """
    found = [system for system in systems if any(fnmatchcase(system.name, pattern) for pattern in patterns)]
    if not found:
        names = ", ".join(system.name for system in systems)
        raise SystemExit(f"no system matches {' or '.join(patterns)}; the systems are: {names}")
    return found


def load(system: System, weights: str) -> Transcribe:
    """Import the system's packages, and only these, and load its model."""
    loaders = {
        "ours": _load_ours,
        "openai-whisper": _load_openai_whisper,
        "whisper.cpp": _load_whisper_cpp,
        "faster-whisper": _load_faster_whisper if system.batch == 1 else _load_faster_whisper_batched,
        "whisperx": _load_whisperx,
    }
    return loaders[system.engine](system, weights)


def _load_ours(system: System, weights: str) -> Transcribe:
    from src.whisper_processor import WhisperProcessor

    processor = WhisperProcessor(weights)
    beam_size = None if system.beams == 1 else system.beams

    def transcribe(path: Path, language: str | None) -> Transcription:
        transcript = processor.transcribe(path, {"language": language, "beam_size": beam_size, **system.options})
        return Transcription(transcript.text, [(segment.start, segment.end) for segment in transcript.segments])

    return transcribe


def _load_openai_whisper(system: System, weights: str) -> Transcribe:
    import torch
    import whisper

    from src.models.weights import load_weights

    torch.set_num_threads(cpu_count())
    model = load_weights(Path(weights)).float()
    beam_size = None if system.beams == 1 else system.beams

    def transcribe(path: Path, language: str | None) -> Transcription:
        result = whisper.transcribe(model, _waveform(path), language=language, beam_size=beam_size, fp16=False)
        spans = [(segment["start"], segment["end"]) for segment in result["segments"]]
        return Transcription(str(result["text"]), spans)

    return transcribe


def _load_whisper_cpp(system: System, weights: str) -> Transcribe:
    from pywhispercpp.model import Model

    model = Model(
        weights,
        params_sampling_strategy=int(system.beams > 1),
        beam_search={"beam_size": system.beams, "patience": -1.0},
        n_threads=cpu_count(),
        print_progress=False,
        redirect_whispercpp_logs_to=None,
    )

    def transcribe(path: Path, language: str | None) -> Transcription:
        segments = model.transcribe(_waveform(path), language=language or "auto")
        spans = [(segment.t0 / 100, segment.t1 / 100) for segment in segments]
        return Transcription(" ".join(segment.text for segment in segments), spans)

    return transcribe


def _load_faster_whisper(system: System, weights: str) -> Transcribe:
    from faster_whisper import WhisperModel

    model = WhisperModel(weights, device="cpu", compute_type=system.compute_type, cpu_threads=cpu_count())

    def transcribe(path: Path, language: str | None) -> Transcription:
        segments, _ = model.transcribe(str(path), language=language, beam_size=system.beams)
        return _from_segments(segments)

    return transcribe


def _load_faster_whisper_batched(system: System, weights: str) -> Transcribe:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(weights, device="cpu", compute_type=system.compute_type, cpu_threads=cpu_count())
    pipeline = BatchedInferencePipeline(model)

    def transcribe(path: Path, language: str | None) -> Transcription:
        segments, _ = pipeline.transcribe(str(path), language=language, beam_size=system.beams, batch_size=system.batch)
        return _from_segments(segments)

    return transcribe


def _load_whisperx(system: System, weights: str) -> Transcribe:
    import whisperx
    from faster_whisper.audio import decode_audio

    model = whisperx.load_model(
        weights,
        "cpu",
        compute_type=system.compute_type,
        asr_options={"beam_size": system.beams},
        threads=cpu_count(),
    )

    def transcribe(path: Path, language: str | None) -> Transcription:
        result = model.transcribe(decode_audio(str(path)), batch_size=system.batch, language=language)
        segments = result["segments"]
        text = " ".join(segment["text"] for segment in segments)
        return Transcription(text, [(segment["start"], segment["end"]) for segment in segments])

    return transcribe


def _from_segments(segments: Iterable[Any]) -> Transcription:
    segments = list(segments)  # faster-whisper transcribes while they are read
    text = "".join(segment.text for segment in segments)
    return Transcription(text, [(segment.start, segment.end) for segment in segments])


def cpu_count() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def _waveform(path: Path) -> NDArray[np.float32]:
    """Decode to Whisper's input: 16 kHz, mono, -1 to 1."""
    from src.audio.decode import decode_audio

    with tempfile.TemporaryDirectory() as scratch:
        return decode_audio(path, Path(scratch), max_seconds=86_400, max_bytes=4 << 30).astype(np.float32) / 32768.0
