"""Transcribes a recording with openai-whisper's own sliding window."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import whisper
import whisper.timing

from src.audio.clips import seek_points
from src.audio.pcm import SAMPLE_RATE, Pcm, Region, release_pages
from src.audio.windowing import find_quietest
from src.engine.decoding_options import DecodingOptions
from src.engine.dtw import cheapest_path
from src.engine.placement import Placement
from src.job_control import JobControl
from src.transcription.decoding_record import DecodingRecord
from src.transcription.hallucination_filter import HallucinationFilter
from src.transcription.segment_sender import SegmentSender
from transcript.chinese_script import ChineseScript
from transcript.text_changes import TextChanges
from transcript.transcript import Segment, Transcript, Word
from transcript.word_lengths import lengthen_empty_words

# The same path as openai-whisper's own, which needs numba (`src.without_numba`), and seconds to compile at first use.
whisper.timing.dtw_cpu = cheapest_path

T = TypeVar("T")

SECTION_SECONDS = 600
"""Maximum length of audio per call of `whisper.transcribe`, whose spectrogram takes some hundred kilobytes per second.

The transcript of a recording up to this length is exactly openai-whisper's.
"""

MAX_PROMPT_CHARACTERS = 2000
"""Text of the previous section in the prompt; Whisper reads its last 223 tokens."""

_POLL_INTERVAL_S = 0.2
"""Seconds between two checks for cancellation while a job waits for the model."""


@dataclass(frozen=True)
class SequentialOptions:
    """Parameters of a sequential transcription."""

    decoding: DecodingOptions
    condition_on_previous_text: bool = True
    carry_initial_prompt: bool = False
    hallucination_filter: HallucinationFilter | None = field(default_factory=HallucinationFilter)
    text_changes: TextChanges = field(default_factory=TextChanges)
    """Applied to streamed segments only: the transcript itself is changed as a whole."""
    chinese_script: ChineseScript | None = None
    """Likewise."""


class SequentialModel:
    """openai-whisper's model for `whisper.transcribe`, created at first use, for one job at a time.

    `whisper.transcribe` sets hooks and flags on the model, so that two calls at once would disturb each other.
    """

    def __init__(self, weights: whisper.Whisper, placement: Placement) -> None:
        self._weights = weights
        self._placement = placement
        self._lock = threading.Lock()
        self._model: whisper.Whisper | None = None
        self._closed = False

    def run(self, work: Callable[[whisper.Whisper], T], control: JobControl) -> T:
        """Call `work` with the model, as soon as no other job uses it.

        On a new thread each time: on a CPU, the OpenMP workers that a lasting thread keeps would slow the engine's.

        Raises:
            Cancelled: the job was stopped; `work` ends before the model's next step.
            CancelledError: the model was closed; the same.
        """
        while not self._lock.acquire(timeout=_POLL_INTERVAL_S):
            self._check(control)
        try:
            with ThreadPoolExecutor(1, "sequential") as thread:
                return thread.submit(lambda: self._run_cancellable(work, control)).result()
        finally:
            self._lock.release()

    def close(self) -> None:
        """End running work before the model's next step, and refuse further work; return at once."""
        self._closed = True

    def _check(self, control: JobControl) -> None:
        control.check()
        if self._closed:
            raise CancelledError

    def _run_cancellable(self, work: Callable[[whisper.Whisper], T], control: JobControl) -> T:
        model = self._get_model()
        hook = model.decoder.register_forward_pre_hook(lambda *_: self._check(control))
        try:
            return work(model)
        except BaseException:
            # An interrupted `whisper.timing.find_alignment` leaves its hooks behind, and every later call would fail.
            self._model = None
            raise
        finally:
            hook.remove()

    def _get_model(self) -> whisper.Whisper:
        if self._model is None:
            # On the CPU openai-whisper computes in float32; on CUDA in float16, as the weights are.
            model = copy.deepcopy(self._weights)
            on_cpu = self._placement.device.type == "cpu"
            self._model = model.float() if on_cpu else model.to(self._placement.device)
        return self._model


def transcribe_sequentially(
    model: SequentialModel,
    pcm: Pcm,
    clips: Sequence[Region],
    options: SequentialOptions,
    language: str,
    control: JobControl,
) -> Transcript:
    """Run `whisper.transcribe` on a recording, in sections of at most `SECTION_SECONDS`.

    Args:
        model: openai-whisper's model.
        pcm: the recording; read section by section, so it may be mapped from disk.
        clips: the parts of it to transcribe.
        options: how to transcribe it.
        language: code of the spoken language.
        control: receives the progress and the segments of each finished section.

    Raises:
        Cancelled: the job was stopped.
    """
    decoding = options.decoding
    transcript = Transcript(language, 1.0, len(pcm) / SAMPLE_RATE, task=decoding.task)
    if decoding.with_translation and language != "en":
        transcript.translation = Transcript(language, 1.0, transcript.duration, task="translate")
    sender = SegmentSender(control, options.text_changes, options.chinese_script)
    for start, end in _find_sections(pcm):
        section = _Section(pcm, start, end, seek_points(_clips_within(clips, start, end)), options)
        if section.seek_points:
            segments = section.append_to(transcript, decoding.task, model, control)
            sender.send(segments, transcript)
            if transcript.translation is not None:
                section.append_to(transcript.translation, "translate", model, control)
        control.progress("transcribing", end / SAMPLE_RATE, transcript.duration)
        release_pages(pcm, end)
    sender.finish(transcript)
    if decoding.with_translation:
        transcript.translation = replace(transcript.translation or transcript, language="en", task="translate")
    return transcript


def _find_sections(pcm: Pcm) -> Iterator[tuple[int, int]]:
    """Yield start and end of each section; all but the last end at the quietest place of their last third."""
    start, max_samples = 0, SECTION_SECONDS * SAMPLE_RATE
    while len(pcm) - start > max_samples:
        end = find_quietest(pcm, start + max_samples * 2 // 3, start + max_samples)
        yield start, end
        start = end
    yield start, len(pcm)


@dataclass(frozen=True)
class _Section:
    """A section of a recording, for one call of `whisper.transcribe` per task."""

    pcm: Pcm
    start: int
    end: int
    seek_points: list[float]
    """The clips, in seconds from the section's start, as openai-whisper takes them; empty: nothing to transcribe."""
    options: SequentialOptions

    def append_to(
        self, transcript: Transcript, task: str, model: SequentialModel, control: JobControl
    ) -> list[Segment]:
        """Transcribe the section, append its segments to those of earlier sections, and return them."""
        offset = self.start / SAMPLE_RATE
        prompt = self._prompt(transcript, task)
        result = model.run(lambda whisper_model: self._run(whisper_model, transcript.language, task, prompt), control)
        kept = [_to_segment(raw, offset, self.end / SAMPLE_RATE) for raw in result if raw["text"].strip()]
        lengthen_empty_words(kept, self.end / SAMPLE_RATE)
        if self.options.hallucination_filter is not None:
            kept, dropped = self.options.hallucination_filter.apply(kept, self.pcm, control.check)
            transcript.dropped += dropped
        first_id = len(transcript.segments)
        segments = [replace(segment, id=first_id + number) for number, segment in enumerate(kept)]
        transcript.segments += segments
        return segments

    def _prompt(self, transcript: Transcript, task: str) -> str | None:
        """Return the caller's prompt, or from the second section on the text before, as openai-whisper does."""
        decoding = self.options.decoding
        given = decoding.prompt if task == decoding.task else None  # it is in the language of the speech
        if self.start == 0 or self.options.carry_initial_prompt:
            return given
        return transcript.text[-MAX_PROMPT_CHARACTERS:] if self.options.condition_on_previous_text else None

    def _run(self, model: whisper.Whisper, language: str, task: str, prompt: str | None) -> list[dict[str, Any]]:
        """Return openai-whisper's segments, if requested with `logprobs` besides its own keys."""
        decoding = self.options.decoding
        if not decoding.token_logprobs:
            return self._transcribe(model, language, task, prompt)
        record = DecodingRecord(model, decoding.suppress_tokens)
        with record.recording():
            segments = self._transcribe(model, language, task, prompt)
        return [{**raw, "logprobs": record.logprobs_of(raw) if raw["tokens"] else []} for raw in segments]

    def _transcribe(self, model: whisper.Whisper, language: str, task: str, prompt: str | None) -> list[dict[str, Any]]:
        result: dict[str, Any] = whisper.transcribe(
            model,
            self.pcm[self.start : self.end].astype(np.float32) / 32768.0,
            language=language,
            task=task,
            initial_prompt=prompt,
            carry_initial_prompt=self.options.carry_initial_prompt,
            clip_timestamps=self.seek_points,
            condition_on_previous_text=self.options.condition_on_previous_text,
            fp16=model.device.type == "cuda",
            **self.options.decoding.to_whisper_kwargs(),
        )
        segments: list[dict[str, Any]] = result["segments"]
        return segments


def _clips_within(clips: Iterable[Region], start: int, end: int) -> list[Region]:
    """Return the clips between two positions, cut off there, and counted from the first position."""
    cut = [Region(max(clip.start, start) - start, min(clip.end, end) - start) for clip in clips]
    return [clip for clip in cut if clip.start < clip.end]


def _to_segment(raw: dict[str, Any], offset: float, latest: float) -> Segment:
    words = (
        [Word(word["word"], word["start"] + offset, word["end"] + offset, word["probability"]) for word in raw["words"]]
        if "words" in raw
        else None
    )
    return Segment(
        id=0,
        seek=raw["seek"] + round(offset * 100),
        start=min(raw["start"] + offset, latest),
        end=min(raw["end"] + offset, latest),  # openai-whisper's last window may extend into its padding
        text=raw["text"],
        tokens=raw["tokens"],
        temperature=raw["temperature"],
        avg_logprob=raw["avg_logprob"],
        compression_ratio=raw["compression_ratio"],
        no_speech_prob=raw["no_speech_prob"],
        words=words,
        logprobs=raw.get("logprobs"),
    )
