"""The loaded models and what they do with a recording. The first is loaded once, at cold start; all jobs share them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from whisper.tokenizer import LANGUAGES

from src.audio.clips import clip_warnings
from src.audio.decode import decode_audio, decode_channels
from src.audio.pcm import SAMPLE_RATE
from src.audio.vad import load_vad
from src.engine.decoding_options import MAX_PROMPT_TOKENS
from src.engine.engine import Engine
from src.engine.placement import choose_placements
from src.engine.scheduler import Client
from src.errors import InvalidInput, suggest
from src.formats.render import render
from src.job_control import JobControl
from src.models.store import checkpoint_bytes, fetch_model, find_model
from src.models.weights import load_weights
from src.request.options import Options
from src.settings import get_settings
from src.speakers.pipeline import transcribe_and_diarize
from src.transcript.channels import merged
from src.transcript.transcript import Transcript
from src.transcript.vocabulary import correct
from src.transcription.batched import transcribe_in_windows
from src.transcription.language_detection import detect_language
from src.transcription.model_cache import LoadedModel, ModelCache
from src.transcription.sequential import SequentialModel, transcribe_sequentially
from src.transcription.windows import find_windows

ROOM = 3
"""Memory that a model needs on its device, in sizes of its checkpoint: weights, keys and values of a full batch of
windows, and openai-whisper's own copy for `sequential`."""


class WhisperProcessor:
    """Whisper on the devices that this machine has: CUDA's, else the CPU. Any number of threads may use it at once.

    Attributes:
        device: names of the devices of the model that was loaded first, with commas between them.
        compute_type: its number format.
        slots: windows that it decodes at once.

    Raises:
        ModelUnavailable: the weights are neither here nor to be fetched, or are damaged.
    """

    def __init__(self, model_name: str | None = None) -> None:
        settings = get_settings()
        self.model_name = model_name or settings.whisper_model
        self._shelf = ModelCache(self._load, settings.max_loaded_models)
        with ThreadPoolExecutor(1) as beside:
            detector = beside.submit(load_vad)
            with self._shelf.borrow(self.model_name, JobControl()) as model:
                self.device, self.compute_type = model.engine.device, model.engine.placements[0].compute_type
                self.slots = model.engine.max_batch_size
                detector.result()

    def check(self, options: Options, control: JobControl | None = None) -> None:
        """Refuses a model that is not allowed, and what the model cannot do, before anything is downloaded.

        Raises:
            InvalidInput: naming models that are allowed, or can.
        """
        name = options.model or self.model_name
        allowed = list(dict.fromkeys([self.model_name, *get_settings().allowed_models]))
        if name not in allowed:
            raise InvalidInput(
                f"model: should be one of the endpoint's WHISPER_MODELS, {', '.join(allowed)}{suggest(name, allowed)}"
            )
        with self._shelf.borrow(name, control or JobControl()) as model:
            _refuse_what_it_cannot(model, options)

    def transcribe(
        self,
        recording: Path,
        options: Options,
        control: JobControl | None = None,
        samples: Mapping[str, Path] | None = None,
    ) -> Transcript:
        """The transcript of an audio or video file.

        Args:
            samples: recordings of known voices, by their names.

        Raises:
            WorkerError: the file holds no audio that can be decoded, or more than the limits allow; or the job was
                stopped.
            EngineLost: the device failed for good.
        """
        control = control or JobControl()
        with self._shelf.borrow(options.model or self.model_name, control) as model:
            started = time.perf_counter()
            control.progress("decoding the audio")
            with tempfile.TemporaryDirectory(prefix="pcm-") as folder:
                channels = _decoded(recording, Path(folder), options, control)
                decoded = time.perf_counter()

                def transcribe() -> Transcript:
                    told = [_transcribed(model, one, options, control) for one in _in_turn(channels, control)]
                    return merged(told)

                transcript = transcribe_and_diarize(transcribe, channels[0], options, samples or {}, control)
                transcript.warnings += clip_warnings(options.clip_timestamps, len(channels[0]))
        transcript.model = model.name
        transcript.vocabulary = correct(transcript, options.corrections)
        if transcript.translation is not None:
            correct(transcript.translation, options.corrections)
        transcript.timings |= {"decode_audio": decoded - started, "inference": time.perf_counter() - decoded}
        return transcript

    def process_audio(self, recording: Path, options: Options | None = None) -> dict[str, Any]:
        """The `transcription` part of a job's output for a file on this machine."""
        options = options or Options()
        self.check(options)
        return render(self.transcribe(recording, options), options.output_format, options.layout)

    def close(self) -> None:
        """Ends the engines' threads."""
        self._shelf.close()

    def _load(self, name: str) -> LoadedModel:
        settings = get_settings()
        path = find_model(name, settings.model_folders)
        path = path or fetch_model(name, settings.model_store)
        placements = choose_placements(settings.compute_type, settings.device_map, ROOM * checkpoint_bytes(path))
        engine = Engine(partial(load_weights, path), placements, settings.batch_size)
        return LoadedModel(name, engine, SequentialModel(engine.source, placements[0]))


def _refuse_what_it_cannot(model: LoadedModel, options: Options) -> None:
    """Models say nothing of what they have not learnt: they answer in English, or in the language that is spoken.

    Raises:
        InvalidInput: naming a model that can.
    """
    dims = model.engine.source.dims
    if options.chunking == "sequential" and len(model.engine.placements[0].devices) > 1:
        raise InvalidInput(f"the model {model.name} is split over several GPUs: use chunking vad, or a smaller model")
    translates = options.translate or options.task == "translate"
    if not model.engine.token_sets.multilingual:
        if options.language not in (None, "en"):
            name = LANGUAGES[options.language or "en"].title()
            raise InvalidInput(f"the model {model.name} knows English only: for {name} use one such as base or turbo")
        if translates:
            raise InvalidInput(f"the model {model.name} cannot translate: use one such as base, medium or large-v3")
        if options.multilingual:
            raise InvalidInput(f"the model {model.name} knows English only: use one such as base or turbo")
    elif translates and dims.n_text_layer < dims.n_audio_layer:
        # turbo and the distilled models have lost most of their decoder's layers, and with them this skill.
        raise InvalidInput(f"the model {model.name} cannot translate: use one such as medium or large-v3")


def _decoded(recording: Path, folder: Path, options: Options, control: JobControl) -> list[npt.NDArray[np.int16]]:
    """The sound of each channel, or of all of them mixed."""
    settings = get_settings()
    decode = decode_channels if options.channels == "split" else decode_audio
    pcm = decode(
        recording,
        folder,
        max_seconds=settings.max_audio_seconds,
        max_bytes=settings.max_audio_bytes,
        denoise=options.denoise,
        control=control,
    )
    return pcm if isinstance(pcm, list) else [pcm]


def _in_turn(channels: list[npt.NDArray[np.int16]], control: JobControl) -> Iterator[npt.NDArray[np.int16]]:
    for number, pcm in enumerate(channels):
        with control.channel(number, len(channels)):
            control.progress("transcribing", 0.0, len(pcm) / SAMPLE_RATE)
            yield pcm


def _transcribed(model: LoadedModel, pcm: npt.NDArray[np.int16], options: Options, control: JobControl) -> Transcript:
    if options.chunking == "vad":
        transcript = transcribe_in_windows(model.engine, pcm, options, control)
    else:
        transcript = _sequentially(model, pcm, options, control)
    if options.prompt and (tokens := model.engine.token_sets.excess_prompt_tokens(options.prompt)):
        transcript.warnings.append(
            f"the prompt is {tokens} tokens too long, so its beginning was left out: Whisper reads {MAX_PROMPT_TOKENS}"
        )
    if options.needs_words and not model.engine.has_alignment_heads:
        transcript.warnings.append(
            f"the times of words are less exact than usual: the model {model.name} does not say which of its heads "
            "follow them; put alignment_heads into its generation_config.json"
        )
    return transcript


def _sequentially(model: LoadedModel, pcm: npt.NDArray[np.int16], options: Options, control: JobControl) -> Transcript:
    if options.language is not None:
        return transcribe_sequentially(model.sequential, pcm, options, options.language, control)
    caller = Client()
    with control.ending(lambda: model.engine.cancel(caller)):
        detected, _ = detect_language(model.engine, caller, find_windows(pcm, options), pcm, options, soon=False)
    transcript = transcribe_sequentially(
        model.sequential, pcm, options, detected.language if detected else "en", control
    )
    if detected is None:
        transcript.language_probability = 0.0
    else:
        transcript.language_probability, transcript.languages = detected.probability, detected.languages
    return transcript
