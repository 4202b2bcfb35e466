"""The loaded model and what it does with a recording. Loaded once, at cold start; shared by all jobs."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
import whisper
from whisper.tokenizer import LANGUAGES

from src.audio import decode_audio
from src.engine.weights import load_weights
from src.errors import InvalidInput
from src.formats import render
from src.model_store import fetch_model, find_model
from src.options import Options
from src.sequential import transcribe_sequentially
from src.settings import get_settings
from src.transcript import Transcript


class WhisperProcessor:
    """Whisper on the device that this machine has: CUDA, else the CPU.

    Raises:
        ModelUnavailable: the weights are neither here nor to be fetched, or are damaged.
    """

    def __init__(self, model_name: str | None = None) -> None:
        self.model_name = model_name or get_settings().whisper_model
        self.device = "cuda:0" if torch.cuda.is_available() else "cpu"
        self.compute_type = "float16" if torch.cuda.is_available() else "float32"
        self._model = _load(self.model_name, self.device)
        self._turn = threading.Lock()

    def check(self, options: Options) -> None:
        """Refuses what the loaded model cannot do, before anything is downloaded.

        Raises:
            InvalidInput: an English-only model is asked for another language, or for a translation.
        """
        if self._model.is_multilingual:
            return
        if options.language not in (None, "en"):
            name = LANGUAGES[options.language or "en"].title()
            raise InvalidInput(
                f"the model {self.model_name} knows English only: for {name} use one such as base or turbo"
            )
        if options.task == "translate":
            raise InvalidInput(
                f"the model {self.model_name} cannot translate: use one such as base, medium or large-v3"
            )

    def transcribe(self, recording: Path, options: Options) -> Transcript:
        """The transcript of an audio or video file.

        Raises:
            WorkerError: the file holds no audio that can be decoded, or more than the limits allow.
        """
        settings = get_settings()
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="pcm-") as folder:
            pcm = decode_audio(
                recording,
                Path(folder),
                max_seconds=settings.max_audio_seconds,
                max_bytes=settings.max_audio_bytes,
                denoise=options.denoise,
            )
            decoded = time.perf_counter()
            with self._turn:
                transcript = transcribe_sequentially(self._model, pcm, options.language, options)
        finished = time.perf_counter()
        transcript.timings = {"decode_audio": decoded - started, "inference": finished - decoded}
        return transcript

    def process_audio(self, recording: Path, options: Options | None = None) -> dict[str, Any]:
        """The `transcription` part of a job's output for a file on this machine."""
        options = options or Options()
        self.check(options)
        return render(self.transcribe(recording, options), options.output_format)


def _load(name: str, device: str) -> whisper.Whisper:
    settings = get_settings()
    path = find_model(name, [settings.baked_models, settings.model_store])
    model = load_weights(path or fetch_model(name, settings.model_store))
    return model.to(device) if device != "cpu" else model.float()
