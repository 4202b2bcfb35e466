"""Tokens as segments: cut at the timestamps, moved from a piece to its window, and put in their places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from whisper.tokenizer import Tokenizer
from whisper.utils import compression_ratio

from src.engine.coverage import without_echo
from src.engine.decoding import Decoded
from src.transcript.transcript import Segment

TIMESTAMP_STEP = 0.02
"""Seconds between two timestamp tokens."""


def segments_of(decoded: Decoded, tokenizer: Tokenizer, seconds: float) -> list[Segment]:
    """The segments of a window of so many seconds; what has no closing timestamp lasts to the window's end.

    Each segment keeps the tokens of its text and the timestamps around it, as openai-whisper's do.
    """
    ratio = compression_ratio(tokenizer.decode(decoded.tokens).strip())
    segments: list[Segment] = []
    for tokens in _phrases(decoded.tokens, tokenizer):
        start, end = (_seconds(token, tokenizer) for token in (tokens[0], tokens[-1]))
        text = tokenizer.decode([token for token in tokens if token < tokenizer.eot])
        if text.strip() and (start or 0.0) < seconds:
            segments.append(
                Segment(
                    id=len(segments),
                    seek=0,
                    start=start or 0.0,
                    end=seconds if end is None else min(end, seconds),
                    text=text,
                    tokens=tokens,
                    temperature=decoded.temperature,
                    avg_logprob=decoded.avg_logprob,
                    compression_ratio=ratio,
                    no_speech_prob=decoded.no_speech_prob,
                )
            )
    return segments


def _phrases(tokens: list[int], tokenizer: Tokenizer) -> Iterator[list[int]]:
    """Runs of text, each with the timestamp before it and, but for an unfinished last one, the timestamp after it."""
    phrase: list[int] = []
    for token in tokens:
        if token < tokenizer.timestamp_begin:
            phrase.append(token)
        else:
            if any(one < tokenizer.eot for one in phrase):
                yield [*phrase, token]
            phrase = [token]
    if any(one < tokenizer.eot for one in phrase):
        yield phrase


def _seconds(token: int, tokenizer: Tokenizer) -> float | None:
    """Time of a timestamp token from the window's start; None for text."""
    step = token - tokenizer.timestamp_begin
    return step * TIMESTAMP_STEP if step >= 0 else None


def placed(segment: Segment, offset: float, tokenizer: Tokenizer) -> Segment:
    """A segment of a piece on the clock of its window, timestamps among its tokens included."""
    steps = round(offset / TIMESTAMP_STEP)
    tokens = [one + steps if one >= tokenizer.timestamp_begin else one for one in segment.tokens]
    return replace(segment, start=segment.start + offset, end=segment.end + offset, tokens=tokens)


def merged(segments: list[Segment], fresh: list[Segment], tokenizer: Tokenizer) -> list[Segment]:
    """Puts the segments of a repair in their place by time, between their neighbours; a word at a seam is kept once."""
    for new in fresh:
        before = [one for one in segments if one.start <= new.start]
        after = [one for one in segments if one.start > new.start]
        new = _without_repeats(new, before[-1].text if before else "", tokenizer)
        start = max(new.start, before[-1].end) if before else new.start
        end = min(new.end, after[0].start) if after else new.end
        if new.text.strip() and start < end:
            segments = [*before, replace(new, start=start, end=end), *after]
    return segments


def _without_repeats(segment: Segment, before: str, tokenizer: Tokenizer) -> Segment:
    text = without_echo(before, segment.text)
    if text == segment.text:
        return segment
    stamps = [one for one in segment.tokens if one >= tokenizer.timestamp_begin]
    return replace(segment, text=text, tokens=[*stamps[:1], *tokenizer.encode(text), *stamps[1:]])
