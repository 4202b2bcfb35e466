"""Steps that time a given text in a window: its tokens are not decoded but read, and their sound is looked for.

What is not said disturbs the times of what is. So each stretch of text that may be missing is judged by how probable
its tokens are, and where it is not said the text is read once more with what was recognised in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, chain, pairwise
from math import log
from statistics import fmean

from whisper.tokenizer import Tokenizer

from src.engine.decoding_options import TokenSets
from src.engine.window import MIN_ALIGNED_FRAMES, Window, time_words
from src.engine.work import AlignmentRequest, EncodeRequest, HostWork, NumericalFault, Steps, TextAttention
from transcript.transcript import Segment, Word

MIN_SAID_LOGPROB = -4.5
"""Lowest mean log-probability of the tokens of a doubtful run that was said."""

MAX_TEXT_TOKENS = 440
"""Whisper reads 448 tokens; some are those before and after the text."""

_MIN_PROBABILITY = 1e-10


@dataclass(frozen=True)
class TextRun:
    """A stretch of a window's text.

    Attributes:
        text: as it is said, with the space before it in languages that have them.
        heard: what was recognised in its place, and is taken for said if the text is not. None: the text is certain.
    """

    text: str
    heard: str | None = None


@dataclass(frozen=True, eq=False)
class WindowText:
    """A window and the text that is expected in it, of at most `MAX_TEXT_TOKENS`.

    Attributes:
        window: the sound.
        runs: the text, in order.
        language: of the text.
    """

    window: Window
    runs: Sequence[TextRun]
    language: str


@dataclass(frozen=True)
class TimedRun:
    """A stretch of text with its words, which together have its characters; empty if it was not said.

    Attributes:
        words: with times in seconds from the window's start.
        said: the text was said.
        logprob: mean log-probability of its tokens.
    """

    words: Sequence[Word]
    said: bool
    logprob: float


def time_text(text: WindowText, token_sets: TokenSets) -> Steps:
    """Return steps whose result is the list of the text's runs with their times."""
    tokenizer = token_sets.tokenizer(text.language)
    try:
        return (yield from _time_text(text, tokenizer, in_float32=False))
    except NumericalFault:
        return (yield from _time_text(text, tokenizer, in_float32=True))


def _time_text(text: WindowText, tokenizer: Tokenizer, *, in_float32: bool) -> Steps:
    features = yield EncodeRequest(text.window.audio, in_float32)
    frames = max(MIN_ALIGNED_FRAMES, round(text.window.seconds * 50))
    texts = [run.text for run in text.runs]
    tokens = [tokenizer.encode(run) for run in texts]
    attention = yield AlignmentRequest(features, _join(tokens), frames, tokenizer)
    logprobs = _logprobs(attention, tokens)
    said = [run.heard is None or logprob >= MIN_SAID_LOGPROB for run, logprob in zip(text.runs, logprobs, strict=True)]
    if not all(said):
        texts = [run.text if is_said else run.heard or "" for run, is_said in zip(text.runs, said, strict=True)]
        tokens = [tokenizer.encode(run) for run in texts]
        if not any(tokens):
            return [TimedRun([], is_said, logprob) for is_said, logprob in zip(said, logprobs, strict=True)]
        attention = yield AlignmentRequest(features, _join(tokens), frames, tokenizer)
    words = yield HostWork(partial(_to_words, _join(tokens), attention, text.window.seconds, tokenizer))
    by_run = _split_at_runs(words, texts)
    return [
        TimedRun(its_words if is_said else [], is_said, logprob)
        for its_words, is_said, logprob in zip(by_run, said, logprobs, strict=True)
    ]


def _join(tokens: Sequence[Sequence[int]]) -> list[int]:
    return list(chain.from_iterable(tokens))


def _logprobs(attention: TextAttention, tokens: Sequence[Sequence[int]]) -> list[float]:
    """The mean log-probability of each run's tokens."""
    logs = [log(max(probability, _MIN_PROBABILITY)) for probability in attention.probabilities]
    ends = accumulate(map(len, tokens), initial=0)
    return [fmean(logs[start:end]) if start < end else 0.0 for start, end in pairwise(ends)]


def _to_words(tokens: list[int], attention: TextAttention, seconds: float, tokenizer: Tokenizer) -> list[Word]:
    whole = Segment(0, 0, 0.0, seconds, tokenizer.decode(tokens), tokens, 0.0, 0.0, 0.0, 0.0, words=[])
    time_words([whole], attention, seconds, tokenizer)
    return whole.words or []


def _split_at_runs(words: Sequence[Word], texts: Sequence[str]) -> list[list[Word]]:
    """Assign words, which together have the characters of all texts, to the texts; one that crosses a border is cut."""
    by_run: list[list[Word]] = [[] for _ in texts]
    ends = list(accumulate(map(len, texts)))
    run = position = 0
    for word in words:
        end = position + len(word.word)
        while position < end and run < len(texts):
            part = word.word[len(word.word) - (end - position) :][: ends[run] - position]
            if part:
                by_run[run].append(replace(word, word=part))
            position += len(part)
            run += position >= ends[run]
    return by_run
