"""Writes Chinese text in one script, simplified or traditional: Whisper mixes them, whatever its prompt.

OpenCC converts; its dictionaries of phrases know that 后 is 後 in 后来, and stays in 皇后. Traditional text has the
characters of Taiwan without its vocabulary, so that the words stay those that were said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Literal

from transcript.transcript import Segment, Transcript, Word

if TYPE_CHECKING:
    from opencc import OpenCC

ChineseScript = Literal["simplified", "traditional"]

CHINESE = ("zh", "yue")
"""Whisper's languages that are written in Chinese characters alone: Mandarin and Cantonese."""


def is_chinese(segment: Segment, transcript: Transcript) -> bool:
    """Return true if the text of a transcript's segment is Chinese."""
    return transcript.task == "transcribe" and (segment.language or transcript.language) in CHINESE


def convert_transcript(transcript: Transcript, script: ChineseScript) -> None:
    """Convert the Chinese segments of a transcript, in place.

    `tokens` stay as they were decoded. A translation, which is English, stays.
    """
    transcript.segments = [in_script(segment, script, transcript) for segment in transcript.segments]


def in_script(segment: Segment, script: ChineseScript | None, transcript: Transcript) -> Segment:
    """Return a segment of a transcript with its text and words in a script; None: the one that Whisper wrote."""
    if script is None or not is_chinese(segment, transcript):
        return segment
    converter = _converter(script)
    return replace(
        segment,
        text=converter.convert(segment.text),
        words=segment.words and _convert_words(segment.words, converter),
    )


def to_simplified(text: str) -> str:
    """Return a text with simplified characters in place of traditional ones."""
    simplified: str = _converter("simplified").convert(text)
    return simplified


def _convert_words(words: Sequence[Word], converter: OpenCC) -> list[Word]:
    """Convert words in the context of all of them, which decides between characters."""
    converted = converter.convert("".join(word.word for word in words))
    ends = list(accumulate(len(word.word) for word in words))
    if len(converted) == ends[-1]:  # one character for each, as nearly always
        texts = [converted[start:end] for start, end in pairwise([0, *ends])]
    else:
        texts = [converter.convert(word.word) for word in words]
    return [replace(word, word=text) for word, text in zip(words, texts, strict=True)]


@cache
def _converter(script: ChineseScript) -> OpenCC:
    from opencc import OpenCC  # few jobs need it

    return OpenCC("tw2s" if script == "simplified" else "s2tw")
