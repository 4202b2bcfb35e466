"""A recording through the batched engine: windows at its silences, decoded together, and put back in their places."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from src import vad
from src.engine.request import DecodingOptions
from src.engine.scheduler import Caller, Scheduler
from src.engine.window import RATE, Window, WindowTranscript
from src.job_control import JobControl
from src.options import Options
from src.transcript import Segment, Transcript, Word

Placed = tuple[int, Window]
"""The position of a window's first sample in the recording, and the window."""


FIRST_SECONDS = 10.0
"""Length at most of the first window where someone waits for the first segment."""


def transcribe_in_windows(
    scheduler: Scheduler, pcm: npt.NDArray[np.int16], options: Options, control: JobControl
) -> Transcript:
    """Transcribes a recording as windows that share the engine's batch with those of other recordings.

    Args:
        pcm: [samples] at 16 kHz; read window by window, so it may be mapped from disk.
        control: told of each window's end, and given its segments.

    Raises:
        Cancelled: the job was stopped.
    """
    caller = Caller()
    with control.ending(lambda: scheduler.cancel(caller)):
        return _transcribe(scheduler, caller, pcm, options, control)


def _transcribe(
    scheduler: Scheduler, caller: Caller, pcm: npt.NDArray[np.int16], options: Options, control: JobControl
) -> Transcript:
    transcript = Transcript(options.language or "en", float(options.language is not None), len(pcm) / RATE, [])
    transcript.speech = 0.0 if options.vad else None
    placed = _windows(pcm, options, transcript, FIRST_SECONDS if control.streams else vad.LONGEST_SECONDS)
    first = next(placed, None)
    if first is None:
        return transcript
    if options.language is None:
        first = _identify(scheduler, caller, first, transcript)
    places: list[tuple[int, int]] = []
    results = scheduler.transcribe(
        _noting(places, first, placed), _decoding(options, transcript.language), caller, first_alone=control.streams
    )
    for number, result in enumerate(results):
        start, end = places[number]
        for segment in _append(transcript, result, start):
            control.segment(segment)
        control.progress("transcribing", end / RATE, transcript.duration)
    return transcript


def _windows(
    pcm: npt.NDArray[np.int16], options: Options, transcript: Transcript, first_seconds: float
) -> Iterator[Placed]:
    """The recording's windows as they are found; what is found of speech is added up in the transcript."""
    if not options.vad:
        for window in vad.fixed_windows(len(pcm)):
            yield window.start, Window(pcm[window.start : window.end])
        return
    detection = vad.VadOptions(
        options.vad_threshold, options.min_speech_ms, options.min_silence_ms, options.speech_pad_ms
    )
    for window in vad.windows(vad.speech_regions(pcm, detection), pcm, first_seconds=first_seconds):
        transcript.speech = (transcript.speech or 0.0) + sum(
            region.end - region.start for region in window.speech
        ) / RATE
        yield window.start, Window(pcm[window.start : window.end], _heard(window, detection.speech_pad_ms / 1000))


def _heard(window: vad.Window, padding: float) -> list[tuple[float, float]]:
    """The speech of a window in seconds from its start, without the padding, in which nothing need be said."""
    spans = [((one.start - window.start) / RATE, (one.end - window.start) / RATE) for one in window.speech]
    return [(start + padding, end - padding) for start, end in spans if end - start > 2 * padding]


def _identify(scheduler: Scheduler, caller: Caller, first: Placed, transcript: Transcript) -> Placed:
    """Takes the recording's language from its first window, as openai-whisper does."""
    if not scheduler.vocabulary.multilingual:
        transcript.language_probability = 1.0
        return first
    probabilities, window = scheduler.identify_language(first[1], caller)
    transcript.language, transcript.language_probability = max(probabilities.items(), key=lambda item: item[1])
    return first[0], window


def _noting(places: list[tuple[int, int]], first: Placed, rest: Iterator[Placed]) -> Iterator[Window]:
    """The windows alone; the positions of their first sample and after their last are noted in `places`."""
    for start, window in itertools.chain([first], rest):
        places.append((start, start + len(window.audio)))
        yield window


def _decoding(options: Options, language: str) -> DecodingOptions:
    return DecodingOptions(
        language=language,
        task=options.task,
        prompt=options.initial_prompt,
        temperatures=tuple(options.temperature),
        beam_size=options.beam_size,
        best_of=options.best_of,
        patience=options.patience,
        length_penalty=options.length_penalty,
        suppress_tokens=tuple(options.suppress_tokens),
        compression_ratio_threshold=options.compression_ratio_threshold,
        logprob_threshold=options.logprob_threshold,
        no_speech_threshold=options.no_speech_threshold,
        word_timestamps=options.word_timestamps,
    )


def _append(transcript: Transcript, result: WindowTranscript, start: int) -> list[Segment]:
    """Puts a window's segments behind those before it, on the recording's clock, and returns them."""
    offset, before = start / RATE, len(transcript.segments)
    fresh = [_shifted(segment, offset, before + number) for number, segment in enumerate(result.segments)]
    transcript.segments += fresh
    transcript.uncovered += [(offset + begin, offset + end) for begin, end in result.missed]
    transcript.repaired += result.repaired
    if result.in_float32:
        transcript.warnings.append(
            f"the numbers overflowed at {offset:.1f} s: that window was decoded again in float32"
        )
    return fresh


def _shifted(segment: Segment, offset: float, number: int) -> Segment:
    def at(seconds: float) -> float:
        return round(offset + seconds, 3)

    words = segment.words and [Word(one.word, at(one.start), at(one.end), one.probability) for one in segment.words]
    return replace(
        segment, id=number, seek=round(offset * 100), start=at(segment.start), end=at(segment.end), words=words
    )
