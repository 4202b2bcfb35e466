"""What a caller may ask of a transcription: one field an option, under openai-whisper's name where it has one.

The defaults are those of `whisper.transcribe`. The README's table of options is held against this class by a test.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

from src.formats import OUTPUT_FORMATS
from src.vad import VadOptions

MAX_PROMPT_CHARACTERS = 10_000
"""Whisper reads the last 223 tokens of a prompt, a few thousand characters at the most."""

_VAD = VadOptions()

Probability = Annotated[float, Field(ge=0, le=1)]


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    task: Literal["transcribe", "translate"] = Field(
        default="transcribe", description="`translate` puts any language into English."
    )
    language: str | None = Field(
        default=None, description="Code or English name (`de`, `german`); none: detected.", max_length=40
    )
    output_format: str = Field(default="all", description="`text`, `srt`, `vtt`, `tsv`, `json` or `all`.")
    word_timestamps: bool = Field(default=False, description="Words with start, end and probability.")
    initial_prompt: str | None = Field(
        default=None, description="Vocabulary or style to go by.", max_length=MAX_PROMPT_CHARACTERS
    )
    temperature: list[Probability] = Field(
        default=[0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        min_length=1,
        max_length=10,
        description="A number, or a ladder to climb while a window's text looks wrong.",
    )
    beam_size: Annotated[int, Field(ge=1, le=20)] | None = Field(
        default=None, description="Beams at temperature 0; none: greedy."
    )
    best_of: Annotated[int, Field(ge=1, le=20)] | None = Field(
        default=None, description="Samples to choose from above temperature 0."
    )
    patience: Annotated[float, Field(gt=0, le=10)] | None = Field(
        default=None, description="Beam search goes on for `beam_size` x `patience` candidates."
    )
    length_penalty: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="Exponent of the length by which candidates are compared; none: their mean."
    )
    suppress_tokens: list[Annotated[int, Field(ge=-1, lt=50_257)]] = Field(
        default=[-1],
        max_length=2000,
        description='Text tokens never to be said, a list or `"11,13"`; `-1`: symbols that no one speaks.',
    )
    compression_ratio_threshold: Annotated[float, Field(gt=0)] | None = Field(
        default=2.4, description="Text that gzip shrinks more than this is a loop: next temperature."
    )
    logprob_threshold: Annotated[float, Field(le=0)] | None = Field(
        default=-1.0, description="Mean log-probability under which a text is doubted: next temperature."
    )
    no_speech_threshold: Probability | None = Field(
        default=0.6, description="No-speech probability above which a doubted window is silence."
    )
    condition_on_previous_text: bool = Field(
        default=True, description="`sequential` only: each window is prompted with the text before it."
    )
    chunking: Literal["vad", "sequential"] = Field(
        default="vad", description="`vad`: windows at silences, decoded together; `sequential`: openai-whisper's own."
    )
    vad: bool = Field(
        default=True, description="`vad` chunking only: look for speech; if not, windows of 30 s over everything."
    )
    vad_threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=_VAD.threshold, description="Probability from which sound is speech."
    )
    min_speech_ms: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=_VAD.min_speech_ms, description="Speech no longer than this is a click or a cough."
    )
    min_silence_ms: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=_VAD.min_silence_ms, description="Windows part only at pauses of at least this length."
    )
    speech_pad_ms: Annotated[int, Field(ge=0, le=5_000)] = Field(
        default=_VAD.speech_pad_ms, description="Put to both ends of speech, so that no sound is cut off."
    )
    denoise: bool = Field(default=False, description="FFT noise reduction before transcription.")

    @field_validator("language")
    @classmethod
    def _code_of(cls, language: str | None) -> str | None:
        if language is None:
            return None
        name = language.strip().lower()
        code: str = TO_LANGUAGE_CODE.get(name, name)
        if code not in LANGUAGES:
            close = get_close_matches(name, [*LANGUAGES, *TO_LANGUAGE_CODE], n=1)
            hint = f", did you mean '{close[0]}'?" if close else ", give a code such as 'de' or a name such as 'german'"
            raise ValueError(f"no language that Whisper knows{hint}")
        return code

    @field_validator("output_format")
    @classmethod
    def _known_format(cls, name: str) -> str:
        if name not in OUTPUT_FORMATS:
            raise ValueError(f"should be one of {', '.join(OUTPUT_FORMATS)}")
        return name

    @field_validator("temperature", mode="before")
    @classmethod
    def _as_ladder(cls, temperature: Any) -> Any:
        return [temperature] if isinstance(temperature, (int, float)) else temperature

    @field_validator("suppress_tokens", mode="before")
    @classmethod
    def _token_ids(cls, tokens: Any) -> Any:
        if not isinstance(tokens, str):
            return tokens
        if not re.fullmatch(r"\s*|\s*-?\d{1,6}\s*(,\s*-?\d{1,6}\s*){0,1999}", tokens):
            raise ValueError("should be token ids with commas between them, such as '-1' or '11,13'")
        return [int(token) for token in tokens.split(",") if token.strip()]

    @model_validator(mode="after")
    def _patience_needs_beams(self) -> Options:
        if self.patience is not None and self.beam_size is None:
            raise ValueError("patience needs beam_size")
        return self
