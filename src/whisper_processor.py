"""The loaded model and what it does with a recording. Loaded once, at cold start; shared by all jobs."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from whisper.tokenizer import LANGUAGES

from src.audio import RATE, decode_audio
from src.batched import transcribe_in_windows
from src.engine.placement import choose_placement
from src.engine.scheduler import Scheduler
from src.engine.weights import load_weights
from src.errors import InvalidInput
from src.formats import render
from src.job_control import JobControl
from src.model_store import fetch_model, find_model
from src.options import Options
from src.sequential import SequentialModel, transcribe_sequentially
from src.settings import get_settings
from src.transcript import Transcript
from src.vad import load_vad


class WhisperProcessor:
    """Whisper on the device that this machine has: CUDA, else the CPU. Any number of threads may use it at once.

    Raises:
        ModelUnavailable: the weights are neither here nor to be fetched, or are damaged.
    """

    def __init__(self, model_name: str | None = None) -> None:
        settings = get_settings()
        self.model_name = model_name or settings.whisper_model
        self.placement = choose_placement(settings.compute_type)
        path = _find_or_fetch(self.model_name)
        self._engine = Scheduler(partial(load_weights, path), self.placement, settings.batch_size)
        self._sequential = SequentialModel(self._engine.source, self.placement)
        load_vad()

    def check(self, options: Options) -> None:
        """Refuses what the loaded model cannot do, before anything is downloaded.

        Raises:
            InvalidInput: an English-only model is asked for another language, or for a translation.
        """
        if self._engine.vocabulary.multilingual:
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

    def transcribe(self, recording: Path, options: Options, control: JobControl | None = None) -> Transcript:
        """The transcript of an audio or video file.

        Raises:
            WorkerError: the file holds no audio that can be decoded, or more than the limits allow; or the job was
                stopped.
            EngineLost: the device failed for good.
        """
        settings = get_settings()
        control = control or JobControl()
        started = time.perf_counter()
        control.progress("decoding the audio")
        with tempfile.TemporaryDirectory(prefix="pcm-") as folder:
            pcm = decode_audio(
                recording,
                Path(folder),
                max_seconds=settings.max_audio_seconds,
                max_bytes=settings.max_audio_bytes,
                denoise=options.denoise,
                control=control,
            )
            decoded = time.perf_counter()
            control.progress("transcribing", 0.0, len(pcm) / RATE)
            if options.chunking == "sequential":
                transcript = transcribe_sequentially(self._sequential, pcm, options, control)
            else:
                transcript = transcribe_in_windows(self._engine, pcm, options, control)
        finished = time.perf_counter()
        transcript.timings = {"decode_audio": decoded - started, "inference": finished - decoded}
        return transcript

    def process_audio(self, recording: Path, options: Options | None = None) -> dict[str, Any]:
        """The `transcription` part of a job's output for a file on this machine."""
        options = options or Options()
        self.check(options)
        return render(self.transcribe(recording, options), options.output_format, options.layout)

    def close(self) -> None:
        """Ends the engine's thread."""
        self._engine.close()


def _find_or_fetch(name: str) -> Path:
    settings = get_settings()
    return find_model(name, [settings.baked_models, settings.model_store]) or fetch_model(name, settings.model_store)
