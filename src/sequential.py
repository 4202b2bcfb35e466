"""openai-whisper's own sliding window over a recording, and its result as a `Transcript`."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import whisper
from whisper.audio import N_FRAMES, SAMPLE_RATE, log_mel_spectrogram, pad_or_trim

from src.engine.placement import Placement
from src.job_control import JobControl
from src.options import Options
from src.transcript import Segment, Transcript, Word

T = TypeVar("T")

_PATIENCE = 0.2
"""Seconds between two looks at whether a job that waits for its turn has been stopped."""


class SequentialModel:
    """openai-whisper's model for its own `transcribe`, made at first use, for one caller at a time.

    `whisper.transcribe` puts hooks and flags on the model: a second caller in the same moment would disturb the first.
    """

    def __init__(self, weights: whisper.Whisper, placement: Placement) -> None:
        self._weights = weights
        self._placement = placement
        self._turn = threading.Lock()
        self._model: whisper.Whisper | None = None

    def run(self, work: Callable[[whisper.Whisper], T], control: JobControl) -> T:
        """Does something with the model, as soon as no one else does.

        On a thread that ends with it: on a CPU, the OpenMP workers that it leaves behind would slow the engine's.

        Raises:
            Cancelled: the job was stopped; the work ends before the model's next step.
        """
        while not self._turn.acquire(timeout=_PATIENCE):
            control.check()
        try:
            with ThreadPoolExecutor(1, "sequential") as thread:
                return thread.submit(lambda: self._stoppable(work, control)).result()
        finally:
            self._turn.release()

    def _stoppable(self, work: Callable[[whisper.Whisper], T], control: JobControl) -> T:
        model = self._get()
        watch = model.decoder.register_forward_pre_hook(lambda *_: control.check())
        try:
            return work(model)
        finally:
            watch.remove()

    def _get(self) -> whisper.Whisper:
        if self._model is None:
            # On the CPU openai-whisper computes in float32; on CUDA in float16, as the weights are.
            copied = copy.deepcopy(self._weights)
            on_cpu = self._placement.device.type == "cpu"
            self._model = copied.float() if on_cpu else copied.to(self._placement.device)
        return self._model


def transcribe_sequentially(
    source: SequentialModel, pcm: npt.NDArray[np.int16], options: Options, control: JobControl
) -> Transcript:
    """`whisper.transcribe` on a whole recording; without a language given, that of the first 30 s.

    Args:
        pcm: [samples] at 16 kHz.

    Raises:
        Cancelled: the job was stopped.
    """
    waveform = pcm.astype(np.float32) / 32768.0

    def work(model: whisper.Whisper) -> tuple[str, float, dict[str, Any]]:
        language, probability = (options.language, 1.0) if options.language else detect_language(model, waveform)
        return language, probability, _transcribe(model, waveform, language, options)

    language, probability, result = source.run(work, control)
    spoken = [segment for segment in result["segments"] if segment["text"].strip()]
    segments = [_segment(index, raw) for index, raw in enumerate(spoken)]
    for segment in segments:
        control.segment(segment)
    return Transcript(language, probability, duration=len(pcm) / SAMPLE_RATE, segments=segments)


def _transcribe(
    model: whisper.Whisper, waveform: npt.NDArray[np.float32], language: str, options: Options
) -> dict[str, Any]:
    result: dict[str, Any] = whisper.transcribe(
        model,
        waveform,
        language=language,
        task=options.task,
        word_timestamps=options.word_timestamps,
        initial_prompt=options.initial_prompt,
        temperature=tuple(options.temperature),
        beam_size=options.beam_size,
        best_of=options.best_of,
        patience=options.patience,
        length_penalty=options.length_penalty,
        suppress_tokens=list(options.suppress_tokens),
        compression_ratio_threshold=options.compression_ratio_threshold,
        logprob_threshold=options.logprob_threshold,
        no_speech_threshold=options.no_speech_threshold,
        condition_on_previous_text=options.condition_on_previous_text,
        fp16=model.device.type == "cuda",
    )
    return result


def detect_language(model: whisper.Whisper, waveform: npt.NDArray[np.float32]) -> tuple[str, float]:
    """Code and probability of the language of the first 30 s (`whisper.decoding.detect_language`)."""
    if not model.is_multilingual:
        return "en", 1.0
    mel = log_mel_spectrogram(pad_or_trim(waveform), model.dims.n_mels)
    features = pad_or_trim(mel, N_FRAMES).to(model.device, model.encoder.conv1.weight.dtype)
    _, probabilities = model.detect_language(features)
    code = max(probabilities, key=lambda one: probabilities[one])
    return code, probabilities[code]


def _segment(index: int, raw: dict[str, Any]) -> Segment:
    words = (
        [Word(word["word"], word["start"], word["end"], word["probability"]) for word in raw["words"]]
        if "words" in raw
        else None
    )
    return Segment(
        id=index,
        seek=raw["seek"],
        start=raw["start"],
        end=raw["end"],
        text=raw["text"],
        tokens=raw["tokens"],
        temperature=raw["temperature"],
        avg_logprob=raw["avg_logprob"],
        compression_ratio=raw["compression_ratio"],
        no_speech_prob=raw["no_speech_prob"],
        words=words,
    )
