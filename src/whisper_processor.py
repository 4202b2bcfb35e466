"""Transcribes files with the loaded models, which all jobs share; the first is loaded at cold start."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from src.audio.pcm import Pcm
from src.audio.running_decoding import RunningDecoding, start_decoding
from src.audio.track_alignment import align_tracks, describe_alignment
from src.audio.vad import load_vad
from src.channel_steps import recognise_in_windows, transcribe_channels
from src.engine.engine import Engine
from src.errors import InvalidInput, ModelUnavailable, suggest
from src.job_control import JobControl
from src.model_fit import check_support
from src.model_loading import display_name, load_model
from src.models.names import match_model
from src.request.options import Options
from src.request.tracks import TrackFile
from src.request.validation import parse_input
from src.settings import get_settings
from src.stage_options import to_audio_options
from src.track_steps import decode_tracks, transcribe_tracks
from src.transcription.model_cache import LoadedModel, ModelCache
from transcript.formats.render import render
from transcript.transcript import Transcript

RecordingPath: TypeAlias = str | os.PathLike[str]
"""Path of an audio or video file."""

OptionsLike: TypeAlias = Options | Mapping[str, Any] | None
"""Options, or a job's `options` object; None: the defaults."""


class WhisperProcessor:
    """Whisper on all devices of this machine: CUDA's, else the CPU. Any number of threads may use it at once.

    Args:
        model_name: the default model; None: the configured one.
        load: loads a model by its name, first of all the default one.

    Attributes:
        model_name: the default model, as configured.
        device: names of the default model's devices, with commas between them.
        compute_type: its number format.
        slots: number of windows that it decodes at once.

    Raises:
        ModelUnavailable: the weights are neither here nor available for download, or are damaged.
    """

    def __init__(self, model_name: str | None = None, load: Callable[[str], LoadedModel] = load_model) -> None:
        settings = get_settings()
        self.model_name = model_name or settings.whisper_model
        self._models = ModelCache(load, settings.max_loaded_models)
        with ThreadPoolExecutor(1) as thread:
            vad = thread.submit(load_vad)
            with self._models.acquire(self.model_name, JobControl()) as model:
                self.device, self.compute_type = model.device, model.compute_type
                self.slots = model.engine.max_batch_size
                vad.result()

    @contextmanager
    def reserve(self, options: OptionsLike = None, control: JobControl | None = None) -> Iterator[None]:
        """Keep the model of a job loaded during the block, so that each job loads it at most once.

        Enter it before the download, to refuse a wrong model, or options that the model does not support, in time.

        Raises:
            InvalidInput: naming the allowed models, or models that support the options.
            ModelUnavailable: the model cannot be loaded.
            Cancelled: the job was stopped while it waited for the model.
        """
        with self.acquire(_to_options(options), control or JobControl()):
            yield

    def transcribe(
        self,
        recording: RecordingPath,
        options: OptionsLike = None,
        control: JobControl | None = None,
        samples: Mapping[str, Path] | None = None,
    ) -> Transcript:
        """Transcribe an audio or video file.

        Args:
            recording: its path.
            options: validated like those of a job, unless they are `Options`.
            control: receives progress and segments, and can stop the job.
            samples: files with the voices of known speakers, by their names.

        Raises:
            WorkerError: the options are wrong, the file has no audio that can be decoded, or exceeds a limit; or the
                job was stopped.
            EngineLost: the device failed permanently.
        """
        options, control = _to_options(options), control or JobControl()
        with self.acquire(options, control) as model:
            started = time.perf_counter()
            control.progress("decoding the audio")
            with (
                tempfile.TemporaryDirectory(prefix="pcm-") as folder,
                _start_decoding(Path(recording), Path(folder), options, control) as decoding,
            ):
                growing = decoding.readable() if _reads_in_order(options) else None
                if growing is not None:
                    decoded = time.perf_counter()
                    control.progress("transcribing")
                    transcript = recognise_in_windows(model, growing, None, options, control)
                else:
                    channels = decoding.result().channels
                    decoded = time.perf_counter()
                    transcript = transcribe_channels(model, channels, options, control, samples or {})
                audio = decoding.result()
        transcript.warnings[:0] = audio.warnings
        _describe_and_correct(transcript, model, options, control)
        # What is transcribed while it is decoded counts as inference.
        transcript.timings |= {"decode_audio": decoded - started, "inference": time.perf_counter() - decoded}
        return transcript

    def transcribe_tracks(
        self, tracks: Sequence[TrackFile], options: OptionsLike = None, control: JobControl | None = None
    ) -> Transcript:
        """Transcribe tracks that were recorded at the same time, one speaker on each, into one transcript.

        What the microphone of one speaker took up of another is left out.

        Args:
            tracks: with their speakers and offsets.
            options: as for `transcribe`; `diarize` and `channels` have no effect.
            control: as for `transcribe`; segments are reported at the end.

        Raises:
            WorkerError: as for `transcribe`; of one track, the message begins with its number and speaker.
            EngineLost: the device failed permanently.
        """
        options, control = _to_options(options), control or JobControl()
        with self.acquire(options, control) as model, tempfile.TemporaryDirectory(prefix="pcm-") as folder:
            started = time.perf_counter()
            control.progress("decoding the audio")
            decoded = decode_tracks(tracks, Path(folder), options, control)
            speakers = [track.speaker for track in tracks]
            pcms, times = align_tracks(
                [audio.channels[0] for audio in decoded],
                speakers,
                [track.offset for track in tracks],
                Path(folder),
                control.check,
            )
            decoding = time.perf_counter()
            with control.without_segments():
                transcript = transcribe_tracks(model, pcms, speakers, options, control)
        transcript.tracks = times
        named = zip(tracks, decoded, strict=True)
        transcript.warnings[:0] = [
            f"{track.speaker}: {warning}" for track, audio in named for warning in audio.warnings
        ] + describe_alignment(times)
        _describe_and_correct(transcript, model, options, control)
        transcript.timings |= {"decode_audio": decoding - started, "inference": time.perf_counter() - decoding}
        for segment in transcript.segments:
            control.segment(segment)
        return transcript

    @contextmanager
    def acquire(self, options: Options, control: JobControl) -> Iterator[LoadedModel]:
        """Give the block the model of options, which stays loaded during it; raises as `reserve` does."""
        name = self._find_allowed(options.model or self.model_name)
        try:
            with self._models.acquire(name, control) as model:
                check_support(model, options)
                yield model
        except ModelUnavailable as error:
            raise ModelUnavailable(str(error).replace(name, display_name(name))) from error

    def transcribe_samples(
        self, pcm: Pcm, options: Options, control: JobControl, previous_language: str | None = None
    ) -> Transcript:
        """Transcribe sound that is in memory, by the same steps as a recording; options of files have no effect.

        Args:
            pcm: the sound.
            options: of the transcription.
            control: can stop it.
            previous_language: of what was said before: see `BatchedOptions`.

        Raises:
            WorkerError: as for `transcribe`.
            EngineLost: the device failed permanently.
        """
        with self.acquire(options, control) as model:
            transcript = recognise_in_windows(model, pcm, None, options, control, previous_language)
        _describe_and_correct(transcript, model, options, control)
        return transcript

    def process_audio(self, recording: RecordingPath, options: OptionsLike = None) -> dict[str, Any]:
        """Transcribe a file on this machine, and return the `transcription` part of a job's output.

        Example: `WhisperProcessor("base").process_audio("talk.mp3", {"language": "en"})["text"]`

        The samples in the option `speakers` have no effect here, since nothing is downloaded: see `samples` of
        `transcribe`.

        Raises:
            WorkerError: as for `transcribe`.
        """
        options = _to_options(options)
        transcript = self.transcribe(recording, options)
        return render(
            transcript,
            options.output_format,
            options.layout,
            words=options.gives_words,
            paragraphs=options.paragraphs,
            speaker_colors=options.speaker_colors,
        )

    @property
    def model_names(self) -> list[str]:
        """The models that a job may name, as callers see them, the default first."""
        return list(dict.fromkeys(display_name(name) for name in self._allowed_models))

    @property
    def _allowed_models(self) -> list[str]:
        return list(dict.fromkeys([self.model_name, *get_settings().allowed_models]))

    def engines(self) -> list[Engine]:
        """Return the engines of the loaded models."""
        return [model.engine for model in self._models.loaded()]

    def close(self) -> None:
        """Stop the engines; running jobs end with `CancelledError`, later ones are refused with `RuntimeError`."""
        self._models.close()

    def _find_allowed(self, requested: str) -> str:
        """Return the configured name of a model that a job names: as configured, as shown, or under another name.

        Raises:
            InvalidInput: naming the allowed models.
        """
        allowed = self._allowed_models
        displayed = [display_name(name) for name in allowed]
        if requested in allowed:
            return requested
        if (index := match_model(requested, displayed)) is not None:
            return allowed[index]
        raise InvalidInput(
            f"options.model: should be one of the endpoint's WHISPER_MODELS, {', '.join(self.model_names)}"
            f"{suggest(requested, displayed)}"
        )


def _to_options(options: OptionsLike) -> Options:
    """Validate a dict of options as those of a job, with the same errors."""
    if isinstance(options, Options):
        return options
    raw = options if options is None else dict(options)
    return parse_input({"audio": {"base64": "AAAA"}, "options": raw}).options  # any audio: only `options` is used


def _reads_in_order(options: Options) -> bool:
    """Return true if a job can begin with a recording that is still being decoded, and may fail at its end."""
    needs_whole = options.diarize or options.strict or options.clip_timestamps is not None or options.align is not None
    return options.chunking == "vad" and not needs_whole


def _start_decoding(
    recording: Path, folder: Path, options: Options, control: JobControl
) -> AbstractContextManager[RunningDecoding]:
    """Decode each channel, or all of them mixed into one, to files in `folder`."""
    settings = get_settings()
    return start_decoding(
        recording,
        folder,
        to_audio_options(options),
        max_seconds=settings.max_audio_seconds,
        max_bytes=settings.max_audio_bytes,
        control=control,
    )


def _describe_and_correct(transcript: Transcript, model: LoadedModel, options: Options, control: JobControl) -> None:
    transcript.model, transcript.device, transcript.compute_type = model.name, model.device, model.compute_type
    if options.align is None:
        options.text_changes.apply(transcript, control.check)
    elif transcript.translation is not None:  # a given text stays as it is
        options.text_changes.corrector.correct(transcript.translation, control.check)
