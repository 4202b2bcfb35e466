"""A recording through the batched engine: windows at its silences, decoded together, and put back in their places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from src.audio.pcm import SAMPLE_RATE, release_pages
from src.audio.windowing import WINDOW_SECONDS
from src.engine.decoding_options import DecodingOptions
from src.engine.engine import Engine
from src.engine.scheduler import Client
from src.engine.window import Window, WindowTranscript
from src.job_control import JobControl
from src.request.options import Options
from src.transcript.hallucinations import without_hallucinations
from src.transcript.transcript import Segment, Transcript, Word
from src.transcript.vocabulary import corrected
from src.transcription.language_detection import detect_language
from src.transcription.windows import PositionedWindow, find_windows, seconds_heard

FIRST_SECONDS = 10.0
"""Length at most of the first window where someone waits for the first segment."""


def transcribe_in_windows(
    engine: Engine, pcm: npt.NDArray[np.int16], options: Options, control: JobControl
) -> Transcript:
    """Transcribes a recording as windows that share the engine's batch with those of other recordings.

    Args:
        pcm: [samples] at 16 kHz; read window by window, so it may be mapped from disk.
        control: told of each window's end, and given its segments.

    Raises:
        Cancelled: the job was stopped.
    """
    caller = Client()
    with control.ending(lambda: engine.cancel(caller)):
        return _transcribe(engine, caller, pcm, options, control)


def _transcribe(
    engine: Engine, caller: Client, pcm: npt.NDArray[np.int16], options: Options, control: JobControl
) -> Transcript:
    transcript = Transcript(
        options.language or "en", float(options.language is not None), len(pcm) / SAMPLE_RATE, task=options.task
    )
    transcript.speech = 0.0 if options.vad else None
    placed = find_windows(pcm, options, FIRST_SECONDS if control.streams else WINDOW_SECONDS)
    if options.language is None:
        detected, placed = detect_language(engine, caller, placed, pcm, options, soon=control.streams)
        if detected is not None:
            transcript.language, transcript.language_probability = detected.language, detected.probability
            transcript.languages = detected.languages
    if options.translate:
        transcript.translation = Transcript("en", 1.0, transcript.duration, task="translate")
    places: list[PositionedWindow] = []
    decoding = _decoding(options, transcript.language)
    results = engine.transcribe(_noting(places, placed), decoding, caller, first_alone=control.streams)
    for number, result in enumerate(results):
        for segment in _append(transcript, result, places[number], pcm, options):
            control.segment(corrected(segment, options.corrections))
        control.progress("transcribing", places[number].end / SAMPLE_RATE, transcript.duration)
        release_pages(pcm, places[number].start)
    return transcript


def _noting(places: list[PositionedWindow], placed: Iterator[PositionedWindow]) -> Iterator[Window]:
    """The windows alone; where they are is noted in `places`."""
    for one in placed:
        places.append(one)
        yield one.window


def _decoding(options: Options, language: str) -> DecodingOptions:
    return DecodingOptions(
        language=None if options.multilingual else language,
        main_language=language,
        candidate_languages=tuple(options.language_candidates or ()),
        task=options.task,
        with_translation=options.translate and (options.multilingual or language != "en"),
        prompt=options.prompt,
        temperatures=tuple(options.temperature),
        beam_size=options.beam_size,
        best_of=options.best_of,
        patience=options.patience,
        length_penalty=options.length_penalty,
        suppress_tokens=tuple(options.suppress_tokens),
        compression_ratio_threshold=options.compression_ratio_threshold,
        logprob_threshold=options.logprob_threshold,
        no_speech_threshold=options.no_speech_threshold,
        word_timestamps=options.needs_words,
    )


def _append(
    transcript: Transcript,
    result: WindowTranscript,
    place: PositionedWindow,
    pcm: npt.NDArray[np.int16],
    options: Options,
) -> list[Segment]:
    """Puts a window's segments behind those before it, on the recording's clock, and returns them."""
    offset = place.start / SAMPLE_RATE
    fresh, dropped = _placed(result.segments, offset, len(transcript.segments), pcm, options)
    if options.multilingual:
        fresh = [replace(segment, language=result.language) for segment in fresh]
    transcript.segments += fresh
    transcript.speech = None if transcript.speech is None else transcript.speech + place.speech
    transcript.uncovered += [(offset + begin, offset + end) for begin, end in result.uncovered]
    transcript.repaired += result.repaired
    transcript.dropped += dropped + Counter(silent_windows=int(result.silent))
    if result.in_float32:
        transcript.warnings.append(
            f"the numbers overflowed at {offset:.1f} s: that window was decoded again in float32"
        )
    if transcript.translation is not None:
        # What is English already is its own translation.
        segments = result.segments if result.translation is None else result.translation
        in_english, _ = _placed(segments, offset, len(transcript.translation.segments), pcm, options)
        transcript.translation.segments += in_english
    return fresh


def _placed(
    segments: list[Segment], offset: float, before: int, pcm: npt.NDArray[np.int16], options: Options
) -> tuple[list[Segment], Counter[str]]:
    """The segments of a window on the recording's clock, numbered on from `before`, without what no one said."""
    kept = [_shifted(segment, offset) for segment in segments]
    dropped: Counter[str] = Counter()
    if options.drop_hallucinations:
        kept, dropped = without_hallucinations(
            kept,
            lambda start, end: seconds_heard(pcm[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)], options),
            compression_ratio_threshold=options.compression_ratio_threshold,
            speech_only=False,  # there is speech in each window
        )
    return [replace(segment, id=before + number) for number, segment in enumerate(kept)], dropped


def _shifted(segment: Segment, offset: float) -> Segment:
    def at(seconds: float) -> float:
        return round(offset + seconds, 3)

    words = segment.words and [Word(one.word, at(one.start), at(one.end), one.probability) for one in segment.words]
    return replace(segment, seek=round(offset * 100), start=at(segment.start), end=at(segment.end), words=words)
