"""openai-whisper's own sliding window over a recording, and its result as a `Transcript`."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import whisper

from src.audio.clips import clip_regions, seek_points
from src.audio.pcm import SAMPLE_RATE, Region, release_pages
from src.audio.windowing import quietest
from src.engine.placement import Placement
from src.job_control import JobControl
from src.request.options import Options
from src.transcript.hallucinations import remove_hallucinations
from src.transcript.transcript import Segment, Transcript, Word
from src.transcript.vocabulary import corrected
from src.transcription.windows import seconds_heard

T = TypeVar("T")

PART_SECONDS = 600
"""Length of what `whisper.transcribe` gets at once: its spectrogram takes some hundred kilobytes for each second.
Up to this length a recording's transcript is openai-whisper's own to the letter."""

MOST_CHARACTERS = 2000
"""Text of the part before, of which Whisper reads the last 223 tokens."""

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
        except BaseException:
            # `whisper.timing.find_alignment` leaves its hooks behind when it is interrupted: every later call fails.
            self._model = None
            raise
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
    source: SequentialModel, pcm: npt.NDArray[np.int16], options: Options, language: str, control: JobControl
) -> Transcript:
    """`whisper.transcribe` on a whole recording, a part of at most `PART_SECONDS` after the other.

    Args:
        pcm: [samples] at 16 kHz; read part by part, so it may be mapped from disk.
        language: the code of what is spoken.
        control: told of each part's end, and given its segments.

    Raises:
        Cancelled: the job was stopped.
    """
    transcript = Transcript(language, 1.0, len(pcm) / SAMPLE_RATE, task=options.task)
    if options.translate and language != "en":
        transcript.translation = Transcript(language, 1.0, transcript.duration, task="translate")
    for start, end in _parts(pcm):
        part = _Part(pcm, start, end, options)
        if part.clips:
            for segment in part.transcribed(source, transcript, options.task, control):
                control.segment(corrected(segment, options.corrections))
        if part.clips and transcript.translation is not None:
            part.transcribed(source, transcript.translation, "translate", control)
        control.progress("transcribing", end / SAMPLE_RATE, transcript.duration)
        release_pages(pcm, end)
    if options.translate:
        transcript.translation = replace(transcript.translation or transcript, language="en", task="translate")
    return transcript


def _parts(pcm: npt.NDArray[np.int16]) -> Iterator[tuple[int, int]]:
    """First and last position of each part; all but the last end where it is quietest in their last third."""
    start, longest = 0, PART_SECONDS * SAMPLE_RATE
    while len(pcm) - start > longest:
        end = quietest(pcm, start + longest * 2 // 3, start + longest)
        yield start, end
        start = end
    yield start, len(pcm)


class _Part:
    """A part of a recording on its way through `whisper.transcribe`."""

    def __init__(self, pcm: npt.NDArray[np.int16], start: int, end: int, options: Options) -> None:
        self._pcm = pcm
        self._start = start
        self._options = options
        self._samples = pcm[start:end]
        self.clips = seek_points(_within(clip_regions(options.clip_timestamps, len(pcm)), start, end))
        """Seconds from the part's start, as openai-whisper takes them; empty: nothing of it is wanted."""

    def transcribed(
        self, source: SequentialModel, transcript: Transcript, task: str, control: JobControl
    ) -> list[Segment]:
        """The part's segments, which are put behind those of the parts before it."""
        options, offset = self._options, self._start / SAMPLE_RATE
        prompt = self._prompt(transcript, task)
        result = source.run(lambda model: self._run(model, transcript.language, task, prompt), control)
        spoken = [_segment(raw, offset) for raw in result["segments"] if raw["text"].strip()]
        if options.drop_hallucinations:
            spoken, dropped = remove_hallucinations(
                spoken,
                lambda start, end: seconds_heard(
                    self._pcm[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)], options
                ),
                compression_ratio_threshold=options.compression_ratio_threshold,
                speech_only=options.vad,
            )
            transcript.dropped += dropped
        before = len(transcript.segments)
        fresh = [replace(segment, id=before + number) for number, segment in enumerate(spoken)]
        transcript.segments += fresh
        return fresh

    def _prompt(self, transcript: Transcript, task: str) -> str | None:
        """What the job says, and from the second part on what was said before, as openai-whisper goes on."""
        asked = self._options.prompt if task == self._options.task else None  # it is in the language of the speech
        if self._start == 0 or self._options.carry_initial_prompt:
            return asked
        return transcript.text[-MOST_CHARACTERS:] if self._options.condition_on_previous_text else None

    def _run(self, model: whisper.Whisper, language: str, task: str, prompt: str | None) -> dict[str, Any]:
        options = self._options
        result: dict[str, Any] = whisper.transcribe(
            model,
            self._samples.astype(np.float32) / 32768.0,
            language=language,
            task=task,
            word_timestamps=options.needs_words,
            initial_prompt=prompt,
            carry_initial_prompt=options.carry_initial_prompt,
            clip_timestamps=self.clips,
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


def _within(clips: Iterable[Region], start: int, end: int) -> list[Region]:
    """What of the clips lies between two positions, counted from the first of them."""
    parts = [Region(max(clip.start, start) - start, min(clip.end, end) - start) for clip in clips]
    return [part for part in parts if part.start < part.end]


def _segment(raw: dict[str, Any], offset: float) -> Segment:
    words = (
        [Word(one["word"], one["start"] + offset, one["end"] + offset, one["probability"]) for one in raw["words"]]
        if "words" in raw
        else None
    )
    return Segment(
        id=0,
        seek=raw["seek"] + round(offset * 100),
        start=raw["start"] + offset,
        end=raw["end"] + offset,
        text=raw["text"],
        tokens=raw["tokens"],
        temperature=raw["temperature"],
        avg_logprob=raw["avg_logprob"],
        compression_ratio=raw["compression_ratio"],
        no_speech_prob=raw["no_speech_prob"],
        words=words,
    )
