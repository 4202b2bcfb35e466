"""openai-whisper's own sliding window over a recording, and its result as a `Transcript`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import whisper
from whisper.audio import N_FRAMES, SAMPLE_RATE, log_mel_spectrogram, pad_or_trim

from src.options import Options
from src.transcript import Segment, Transcript, Word


def transcribe_sequentially(
    model: whisper.Whisper, pcm: npt.NDArray[np.int16], language: str | None, options: Options
) -> Transcript:
    """`whisper.transcribe` on a loaded model. Not thread-safe: it puts hooks and flags on the model.

    Args:
        pcm: [samples] at 16 kHz.
        language: code; None: detected in the first 30 s, as openai-whisper does.
    """
    waveform = pcm.astype(np.float32) / 32768.0
    probability = 1.0
    if language is None:
        language, probability = detect_language(model, waveform)
    result = whisper.transcribe(
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
    spoken = [segment for segment in result["segments"] if segment["text"].strip()]
    return Transcript(
        language=language,
        language_probability=probability,
        duration=len(pcm) / SAMPLE_RATE,
        segments=[_segment(index, raw) for index, raw in enumerate(spoken)],
    )


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
