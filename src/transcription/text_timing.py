"""Times the words of a given text in a recording that has been transcribed.

The transcript says where in the recording each part of the text is. The part is then looked for there, in the sound.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from whisper.tokenizer import LANGUAGES, Tokenizer

from src.audio.pcm import SAMPLE_RATE, Pcm
from src.audio.vad import VadOptions
from src.audio.windowing import WINDOW_SECONDS
from src.engine.engine import Engine
from src.engine.given_text import MAX_TEXT_TOKENS, TextRun, TimedRun, WindowText
from src.engine.scheduler import Client
from src.engine.window import Window
from src.job_control import JobControl
from src.transcription.passages import Heard, Passage, Stretch, find_passages, find_stretches
from src.transcription.silences import Silence, find_silences, fit_to_speech
from src.transcription.text_matching import match_units
from src.transcription.text_segments import PlacedWord, passages_not_said, to_segments
from src.transcription.text_units import Unit, split_lines, split_units
from transcript.transcript import GivenText, TimedText, Transcript
from transcript.word_lengths import MIN_WORD_S

FEW = 0.25
"""Share of the words of a text below which it may be another one than the recording's."""


@dataclass(frozen=True)
class _Run:
    """Stretches that the engine times together.

    Attributes:
        text: as the engine reads it.
        positions: of each of its characters in the given text; None: the run is not of the given text.
        heard: see `TextRun`.
        stretches: in order.
    """

    text: str
    positions: Sequence[int] | None
    heard: str | None
    stretches: Sequence[Stretch]


def time_given_text(
    engine: Engine, pcm: Pcm, recognised: Transcript, text: str, vad: VadOptions | None, control: JobControl
) -> Transcript:
    """Return a transcript with the given text in place of the recognised one: a segment for each of its lines.

    Args:
        engine: the model.
        pcm: the recording.
        recognised: its transcript, with words.
        text: what is said in it, as far as is known; at least one word.
        vad: finds the pauses, which words are kept out of; None: they are not looked for.
        control: receives the progress and the segments.

    Raises:
        Cancelled: the job was stopped.
    """
    units = split_units(text, recognised.language)
    silences = [] if vad is None else find_silences(pcm, vad, control.check)
    heard = list(_heard_units(recognised, silences))
    matches = match_units([unit.key for unit in units], [unit.key for unit in heard], control.check)
    stretches = find_stretches(units, heard, matches, _line_starts(units, text), len(pcm) / SAMPLE_RATE)
    tokenizer = engine.token_sets.tokenizer(recognised.language)
    placed: list[PlacedWord] = []
    said: set[Stretch] = set()
    client = Client()
    with control.on_cancel(lambda: engine.cancel(client)):
        timed = _time_runs(engine, client, tokenizer, pcm, text, units, heard, stretches, silences, control)
        for start, run, result in timed:
            if run.positions is not None and result.said:
                said.update(run.stretches)
                placed += _place(result, run.positions, start, silences)
    words = _with_words_not_said(placed, stretches, said, units)
    transcript = replace(
        recognised,
        segments=to_segments(text, words, tokenizer),
        given_text=GivenText(len(units), passages_not_said(text, words), _said_besides(stretches, said, heard)),
    )
    matched = sum(match.size for match in matches)
    transcript.warnings = [*recognised.warnings, *_warnings(transcript, matched, words)]
    for segment in transcript.segments:
        control.segment(segment)
    return transcript


def _heard_units(transcript: Transcript, silences: Sequence[Silence]) -> Iterator[Heard]:
    """Yield the recognised units; those of one word share its time by their letters."""
    for segment in transcript.segments:
        language = segment.language or transcript.language
        for word in segment.words or []:
            units = split_units(word.word, language)
            letters = sum(len(unit.key) for unit in units)
            word_start, word_end = fit_to_speech(word.start, word.end, silences)
            begin, before = 0, 0
            for unit in units:
                after = before + len(unit.key)
                start, end = (word_start + (word_end - word_start) * part / letters for part in (before, after))
                yield Heard(word.word[begin : unit.end], unit.key, start, end)
                begin, before = unit.end, after


def _line_starts(units: Sequence[Unit], text: str) -> list[int]:
    ends = [unit.end for unit in units]
    return [bisect_right(ends, begin) for begin, _ in split_lines(text)]


def _time_runs(
    engine: Engine,
    client: Client,
    tokenizer: Tokenizer,
    pcm: Pcm,
    text: str,
    units: Sequence[Unit],
    heard: Sequence[Heard],
    stretches: Sequence[Stretch],
    silences: Sequence[Silence],
    control: JobControl,
) -> Iterator[tuple[float, _Run, TimedRun]]:
    """Yield each run of text with its times and the start of its passage, in seconds."""
    tokens = [
        max(
            len(tokenizer.encode(_given_text(text, units, [stretch])[0])),
            len(tokenizer.encode(_heard_text(heard, stretch))),
        )
        for stretch in stretches
    ]
    passages = find_passages(stretches, tokens, MAX_TEXT_TOKENS, len(pcm) / SAMPLE_RATE, silences)
    runs = [list(_to_runs(passage, text, units, heard)) for passage in passages]
    windows = (
        WindowText(
            Window(_cut(pcm, passage)),
            [TextRun(run.text, run.heard) for run in its_runs],
            tokenizer.language or "en",
        )
        for passage, its_runs in zip(passages, runs, strict=True)
    )
    for passage, its_runs, results in zip(passages, runs, engine.time_texts(windows, client), strict=True):
        for run, result in zip(its_runs, results, strict=True):
            yield passage.start, run, result
        control.progress("aligning the text", passage.end, len(pcm) / SAMPLE_RATE)


def _cut(pcm: Pcm, passage: Passage) -> Pcm:
    end = min(passage.end, passage.start + WINDOW_SECONDS)
    return pcm[round(passage.start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]


def _to_runs(passage: Passage, text: str, units: Sequence[Unit], heard: Sequence[Heard]) -> Iterator[_Run]:
    """Yield the runs of a passage: text that was recognised, text that may not be said, and what is said besides."""

    def kind(item: tuple[int, Stretch]) -> str:
        number, stretch = item
        if stretch.sure:
            return "sure"
        return f"doubtful {number}" if stretch.given and stretch.possible else "besides"

    for its_kind, group in groupby(enumerate(passage.stretches), kind):
        stretches = [stretch for _, stretch in group]
        recognised = "".join(_heard_text(heard, stretch) for stretch in stretches)
        if its_kind == "besides":
            if recognised:
                yield _Run(recognised, None, None, stretches)
        else:
            given, positions = _given_text(text, units, stretches)
            yield _Run(given, positions, None if its_kind == "sure" else recognised, stretches)


def _given_text(text: str, units: Sequence[Unit], stretches: Sequence[Stretch]) -> tuple[str, list[int]]:
    """Return the text of stretches as the engine reads it, and the position of each character in the whole text."""
    characters: list[str] = []
    positions: list[int] = []
    for stretch in stretches:
        for number in stretch.given:
            unit = units[number]
            follows_unit = number > 0 and units[number - 1].end == unit.start
            if unit.spaced and not follows_unit:
                characters.append(" ")
                positions.append(unit.start)
            characters += [" " if character.isspace() else character for character in text[unit.start : unit.end]]
            positions += range(unit.start, unit.end)
    return "".join(characters), positions


def _heard_text(heard: Sequence[Heard], stretch: Stretch) -> str:
    return "".join(heard[number].text for number in stretch.heard)


def _place(
    result: TimedRun, positions: Sequence[int], offset: float, silences: Sequence[Silence]
) -> Iterator[PlacedWord]:
    """Yield the words of a run with their places in the given text and their times in the recording."""
    first = 0
    for word in result.words:
        last = first + len(word.word)
        text = word.word.rstrip()
        begin, end = last - len(word.word.lstrip()), first + len(text)
        if begin < end:
            start, stop = fit_to_speech(offset + word.start, offset + word.end, silences, word.probability)
            yield PlacedWord(
                positions[begin], positions[end - 1] + 1, round(start, 3), round(stop, 3), word.probability
            )
        first = last


def _with_words_not_said(
    placed: Sequence[PlacedWord], stretches: Sequence[Stretch], said: set[Stretch], units: Sequence[Unit]
) -> list[PlacedWord]:
    """Return all words of the text in order; those that were not said are where the one before ends."""
    missing = [
        PlacedWord(units[number].start, units[number].end, 0.0, 0.0, 0.0, said=False)
        for stretch in stretches
        if stretch not in said
        for number in stretch.given
    ]
    words = sorted([*placed, *missing], key=lambda word: word.begin)
    time = next((word.start for word in words if word.said), 0.0)
    for number, word in enumerate(words):
        start = max(time, word.start)
        shortest = round(start + MIN_WORD_S, 3) if word.said else start
        words[number] = replace(word, start=start, stop=max(shortest, word.stop))
        time = words[number].stop
    return words


def _said_besides(stretches: Sequence[Stretch], said: set[Stretch], heard: Sequence[Heard]) -> list[TimedText]:
    """Return what was recognised where the text has nothing, or something else that was not said."""
    passages = []
    for is_beside, group in groupby(stretches, lambda stretch: stretch not in said and bool(stretch.heard)):
        if is_beside:
            words = [heard[number] for stretch in group for number in stretch.heard]
            passages.append(TimedText(words[0].start, words[-1].end, "".join(word.text for word in words).strip()))
    return passages


def _warnings(transcript: Transcript, matched: int, words: Sequence[PlacedWord]) -> Iterator[str]:
    given = transcript.given_text
    if given is None:
        return
    if matched < FEW * given.words:
        language = LANGUAGES[transcript.language].title()
        yield (
            f"align: {matched} of {given.words} words of the text were recognised: it may be another recording's, or "
            f"in another language than {language}, which is spoken here"
        )
    not_said = sum(not word.said for word in words)
    if not_said:
        words_of_text = "1 word of the text was" if not_said == 1 else f"{not_said} words of the text were"
        yield f"align: {words_of_text} not said: given_text in the metadata of json says where"
    if given.said_besides:
        besides = sum(len(split_units(passage.text, transcript.language)) for passage in given.said_besides)
        other_words = "1 word was" if besides == 1 else f"{besides} words were"
        yield f"align: {other_words} said that the text does not have: given_text in the metadata of json says what"
