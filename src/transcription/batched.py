"""Transcribes a recording with the batched engine: windows cut at pauses, decoded together, joined again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from src.audio.pcm import SAMPLE_RATE, Recording, Region, known_length, release_pages
from src.audio.vad import VadOptions
from src.audio.windowing import WINDOW_SECONDS
from src.engine.decoding_options import DecodingOptions
from src.engine.engine import Engine
from src.engine.scheduler import Client
from src.engine.window import Window, WindowTranscript
from src.job_control import JobControl
from src.transcription.hallucination_filter import HallucinationFilter
from src.transcription.language_detection import detect_language
from src.transcription.segment_sender import SegmentSender
from src.transcription.windows import PositionedWindow, find_windows
from transcript.chinese_script import ChineseScript
from transcript.text_changes import TextChanges
from transcript.transcript import DoubtfulSpeech, Segment, Transcript, Word

FIRST_WINDOW_SECONDS = 10.0
"""Maximum length of the first window when segments are streamed: a short one gives the first segment sooner."""


@dataclass(frozen=True)
class BatchedOptions:
    """Parameters of a batched transcription."""

    decoding: DecodingOptions
    """Its `language` None: the language is detected."""
    multilingual: bool = False
    """If true, the language is detected for each window instead of once for the recording."""
    previous_language: str | None = None
    """Of what was said before the recording: it is that of windows whose language is uncertain. None: not known."""
    vad: VadOptions | None = field(default_factory=VadOptions)
    """None: windows over everything."""
    hallucination_filter: HallucinationFilter | None = field(default_factory=HallucinationFilter)
    text_changes: TextChanges = field(default_factory=TextChanges)
    """Applied to streamed segments only: the transcript itself is changed as a whole."""
    chinese_script: ChineseScript | None = None
    """Likewise."""

    @property
    def detects_by_window(self) -> bool:
        """True if each window has its own language."""
        follows = self.decoding.language is None and self.previous_language is not None
        return self.multilingual or follows


def transcribe_in_windows(
    engine: Engine, pcm: Recording, clips: Sequence[Region] | None, options: BatchedOptions, control: JobControl
) -> Transcript:
    """Transcribe a recording as windows that share the engine's batch with those of other recordings.

    Args:
        engine: the model.
        pcm: the recording; read window by window, so it may be mapped from disk, and still being decoded.
        clips: the parts of it to transcribe; None: all of it.
        options: how to transcribe it.
        control: receives the progress and the segments of each finished window.

    Raises:
        Cancelled: the job was stopped.
        WorkerError: the recording cannot be decoded.
    """
    client = Client()
    with control.on_cancel(lambda: engine.cancel(client)):
        return _transcribe(engine, client, pcm, clips, options, control)


def _transcribe(
    engine: Engine,
    client: Client,
    pcm: Recording,
    clips: Sequence[Region] | None,
    options: BatchedOptions,
    control: JobControl,
) -> Transcript:
    decoding, vad = options.decoding, options.vad
    given = None if decoding.language is None else 1.0
    transcript = Transcript(decoding.language or "en", given, 0.0, task=decoding.task)
    transcript.speech = None if vad is None else 0.0
    windows = find_windows(pcm, clips, vad, FIRST_WINDOW_SECONDS if control.streams else WINDOW_SECONDS, control.check)
    if options.previous_language is not None and decoding.language is None:
        transcript.language, transcript.language_probability = options.previous_language, None
    elif decoding.language is None:
        detected, windows = detect_language(
            engine, client, windows, pcm, clips, vad, decoding.candidate_languages, first_window_only=control.streams
        )
        if detected is not None:
            transcript.language, transcript.language_probability = detected.language, detected.probability
            transcript.languages = detected.languages
            transcript.warnings += detected.warnings
    if decoding.with_translation:
        transcript.translation = Transcript("en", 1.0, 0.0, task="translate")
    positions: deque[PositionedWindow] = deque()
    results = engine.transcribe(
        _record_positions(windows, positions),
        _with_language(decoding, transcript.language, options.detects_by_window),
        client,
        first_alone=control.streams,
    )
    sender = SegmentSender(control, options.text_changes, options.chinese_script)
    for position, result in _with_positions(results, positions):
        segments = _append_window(transcript, result, position, pcm, options, control)
        sender.send(segments, transcript)
        control.progress("transcribing", position.end / SAMPLE_RATE, (known_length(pcm) or 0) / SAMPLE_RATE)
        release_pages(pcm, position.start)
    sender.finish(transcript)
    for whole in filter(None, (transcript, transcript.translation)):
        whole.duration = len(pcm) / SAMPLE_RATE
    return transcript


def _record_positions(windows: Iterator[PositionedWindow], positions: deque[PositionedWindow]) -> Iterator[Window]:
    """Yield the windows for the engine, and append their positions to `positions`."""
    for positioned in windows:
        positions.append(positioned)
        yield positioned.window


def _with_positions(
    results: Iterator[WindowTranscript], positions: deque[PositionedWindow]
) -> Iterator[tuple[PositionedWindow, WindowTranscript]]:
    """Pair results with their positions, which grow while the engine reads ahead."""
    for result in results:
        yield positions.popleft(), result


def _with_language(decoding: DecodingOptions, language: str, multilingual: bool) -> DecodingOptions:
    return replace(
        decoding,
        language=None if multilingual else language,
        main_language=language,
        with_translation=decoding.with_translation and (multilingual or language != "en"),
    )


def _append_window(
    transcript: Transcript,
    result: WindowTranscript,
    position: PositionedWindow,
    pcm: Recording,
    options: BatchedOptions,
    control: JobControl,
) -> list[Segment]:
    """Append a window's segments to the transcript, with times on the recording's clock, and return them."""
    offset = position.start / SAMPLE_RATE
    segments, dropped = _to_recording_time(result.segments, offset, len(transcript.segments), pcm, options, control)
    if options.previous_language is not None:
        transcript.language = result.language
    if options.multilingual:
        segments = [replace(segment, language=result.language) for segment in segments]
    transcript.segments += segments
    transcript.speech = None if transcript.speech is None else transcript.speech + position.speech
    transcript.uncovered += [(offset + start, offset + end) for start, end in result.uncovered]
    transcript.doubtful_speech += [
        DoubtfulSpeech(offset + start, offset + end, _any_segment_within(result.segments, start, end))
        for start, end in position.doubtful
    ]
    transcript.repaired += result.repaired
    transcript.dropped += dropped + Counter(silent_windows=int(result.silent))
    if result.in_float32:
        transcript.warnings.append(
            f"the numbers overflowed at {offset:.1f} s: that window was decoded again in float32"
        )
    if transcript.translation is not None:
        # English speech is not translated: its transcription is its translation.
        translated = result.segments if result.translation is None else result.translation
        in_english, _ = _to_recording_time(
            translated, offset, len(transcript.translation.segments), pcm, options, control
        )
        transcript.translation.segments += in_english
    return segments


def _any_segment_within(segments: Sequence[Segment], start: float, end: float) -> bool:
    return any(segment.start < end and segment.end > start for segment in segments)


def _to_recording_time(
    segments: Sequence[Segment],
    offset: float,
    first_id: int,
    pcm: Recording,
    options: BatchedOptions,
    control: JobControl,
) -> tuple[list[Segment], Counter[str]]:
    """Move a window's segments by `offset` seconds, drop hallucinations, and number the rest from `first_id`."""
    samples = known_length(pcm)  # known when the last windows are found
    end = inf if samples is None else samples * 1000 // SAMPLE_RATE / 1000
    kept = [_shift(segment, offset, end) for segment in segments]
    dropped: Counter[str] = Counter()
    if options.hallucination_filter is not None:
        kept, dropped = options.hallucination_filter.apply(kept, pcm, control.check)
    return [replace(segment, id=first_id + number) for number, segment in enumerate(kept)], dropped


def _shift(segment: Segment, offset: float, end: float) -> Segment:
    """Move a segment by `offset` seconds. What rounding would put past the recording's end stays at its `end`."""

    def shifted(seconds: float) -> float:
        return min(round(offset + seconds, 3), end)

    words = segment.words and [
        Word(word.word, shifted(word.start), shifted(word.end), word.probability) for word in segment.words
    ]
    return replace(
        segment, seek=round(offset * 100), start=shifted(segment.start), end=shifted(segment.end), words=words
    )
