"""Turns decoded tokens into segments, and inserts segments that were decoded later among those of a window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from whisper.tokenizer import Tokenizer
from whisper.utils import compression_ratio

from src.engine.coverage import strip_overlap
from src.engine.work import DecodeResult
from transcript.token_logprobs import TokenLogprob, split_at
from transcript.transcript import Segment

TIMESTAMP_STEP_S = 0.02
"""Seconds between two consecutive timestamp tokens."""


def to_segments(result: DecodeResult, tokenizer: Tokenizer, window_seconds: float) -> list[Segment]:
    """Cut the tokens of a window into segments at their timestamps.

    A segment without a closing timestamp ends with the window. As in openai-whisper, each segment keeps the tokens of
    its text and the timestamps around it.
    """
    ratio = compression_ratio(tokenizer.decode(result.tokens).strip())
    segments: list[Segment] = []
    logprobs = to_token_logprobs(result.tokens, result.logprobs, tokenizer)
    for tokens in _split_at_timestamps(result.tokens, tokenizer):
        start, end = (_timestamp_seconds(token, tokenizer) for token in (tokens[0], tokens[-1]))
        text_tokens = [token for token in tokens if token < tokenizer.eot]
        text = tokenizer.decode(text_tokens)
        its_logprobs, logprobs = logprobs and logprobs[: len(text_tokens)], logprobs and logprobs[len(text_tokens) :]
        if text.strip() and (start or 0.0) < window_seconds:
            segments.append(
                Segment(
                    id=len(segments),
                    seek=0,
                    start=start or 0.0,
                    end=window_seconds if end is None else min(end, window_seconds),
                    text=text,
                    tokens=tokens,
                    temperature=result.temperature,
                    avg_logprob=result.avg_logprob,
                    compression_ratio=ratio,
                    no_speech_prob=result.no_speech_prob,
                    logprobs=its_logprobs,
                )
            )
    return segments


def to_token_logprobs(
    tokens: Sequence[int], logprobs: Sequence[float] | None, tokenizer: Tokenizer
) -> list[TokenLogprob] | None:
    """Return the tokens of text among decoded ones with their log-probabilities; None if they were not scored."""
    if logprobs is None:
        return None
    return [
        TokenLogprob(tokenizer.encoding.decode_single_token_bytes(token), logprob)
        for token, logprob in zip(tokens, logprobs, strict=True)
        if token < tokenizer.eot
    ]


def _split_at_timestamps(tokens: list[int], tokenizer: Tokenizer) -> Iterator[list[int]]:
    """Yield runs of text with the timestamp before and after each; the last one may lack its closing timestamp."""
    run: list[int] = []
    for token in tokens:
        if token < tokenizer.timestamp_begin:
            run.append(token)
        else:
            if any(text_token < tokenizer.eot for text_token in run):
                yield [*run, token]
            run = [token]
    if any(text_token < tokenizer.eot for text_token in run):
        yield run


def _timestamp_seconds(token: int, tokenizer: Tokenizer) -> float | None:
    """Return the time of a timestamp token from the window's start; None for a text token."""
    step = token - tokenizer.timestamp_begin
    return step * TIMESTAMP_STEP_S if step >= 0 else None


def to_window_time(segment: Segment, offset: float, tokenizer: Tokenizer) -> Segment:
    """Shift a segment, with the timestamps among its tokens, from an excerpt's time to its window's.

    Args:
        offset: start of the excerpt, in seconds from the window's start.
    """
    steps = round(offset / TIMESTAMP_STEP_S)
    tokens = [token + steps if token >= tokenizer.timestamp_begin else token for token in segment.tokens]
    return replace(segment, start=segment.start + offset, end=segment.end + offset, tokens=tokens)


def insert_segments(segments: list[Segment], new_segments: list[Segment], tokenizer: Tokenizer) -> list[Segment]:
    """Insert segments by time between their neighbours; a word that both sides of a cut contain is kept once."""
    for new in new_segments:
        before = [segment for segment in segments if segment.start <= new.start]
        after = [segment for segment in segments if segment.start > new.start]
        new = _strip_repeated_words(new, before[-1].text if before else "", tokenizer)
        start = max(new.start, before[-1].end) if before else new.start
        end = min(new.end, after[0].start) if after else new.end
        if new.text.strip() and start < end:
            segments = [*before, replace(new, start=start, end=end), *after]
    return segments


def _strip_repeated_words(segment: Segment, before: str, tokenizer: Tokenizer) -> Segment:
    text = strip_overlap(before, segment.text)
    if text == segment.text:
        return segment
    timestamps = [token for token in segment.tokens if token >= tokenizer.timestamp_begin]
    kept = segment.logprobs and split_at(segment.logprobs, [len(segment.text) - len(text)])[1]
    tokens = [*timestamps[:1], *tokenizer.encode(text), *timestamps[1:]]
    return replace(segment, text=text, tokens=tokens, logprobs=kept)
