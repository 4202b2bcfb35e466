"""The options of a stream as a job's, and the model that they choose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from api.live.recognizer import LiveOptions, LiveRefused, TurnDetection
from src.engine.decoding_options import DecodingOptions
from src.engine.engine import Engine
from src.errors import InvalidInput
from src.live.agreement import UNSPACED, Vocabulary
from src.request.options import Options
from src.request.validation import parse_input
from src.stage_options import to_batched_options
from src.transcription.model_cache import LoadedModel
from transcript.text_changes import TextChanges

MAX_PADDING_MS = 5_000
MAX_SILENCE_MS = 10_000
"""Limits of turn detection: a stream keeps as much sound in memory."""
MIN_DRAFT_SECONDS = 0.1


@dataclass(frozen=True)
class Setup:
    """What utterances are transcribed with.

    Attributes:
        live: the options of the stream.
        options: the same, as a job's.
        model: that they choose.
    """

    live: LiveOptions
    options: Options
    model: LoadedModel

    @property
    def engine(self) -> Engine:
        """The engine of the model."""
        return self.model.engine

    @property
    def turns(self) -> TurnDetection:
        """How speech is found, also where it does not end utterances."""
        return self.live.turn_detection or TurnDetection()

    @property
    def warnings(self) -> list[str]:
        """A sentence for each option without effect."""
        found = []
        if self.live.noise_reduction:
            found.append("noise_reduction has no effect: Whisper seldom benefits, and hears the sound as it is")
        if self.live.speakers and not self.live.diarize:
            found.append("speakers has no effect without diarize")
        if self.live.logprobs and self.text_changes.hides:
            found.append("logprobs have no effect: beside redact or mask they would tell what is hidden")
        return found

    @cached_property
    def text_changes(self) -> TextChanges:
        """The changes of texts."""
        return self.options.text_changes

    def decoding(self, language: str | None, previous_language: str | None) -> DecodingOptions:
        """Return the options of a draft.

        Args:
            language: of the text so far; None: there is none.
            previous_language: of the utterance before.
        """
        decoding = to_batched_options(self.options).decoding
        if not self.engine.token_sets.multilingual:
            language = "en"
        return replace(
            decoding, language=decoding.language or language, main_language=previous_language or decoding.main_language
        )

    def vocabulary(self, language: str) -> Vocabulary:
        """Return the tokens of text in a language."""
        tokenizer = self.engine.token_sets.tokenizer(language)
        to_bytes = tokenizer.encoding.decode_single_token_bytes
        return Vocabulary(tokenizer.eot, to_bytes, spaced=language not in UNSPACED)


def to_job_options(live: LiveOptions) -> Options:
    """Return a stream's options as a job's.

    Raises:
        LiveRefused: naming what is wrong, and what would be right.
    """
    raw: dict[str, Any] = {
        "model": live.model,
        "initial_prompt": live.prompt,
        "custom_vocabulary": list(live.keywords) or None,
        "word_timestamps": live.word_timestamps,
        "diarize": live.diarize,
        "speakers": dict(live.speakers) or None,
        "token_logprobs": live.logprobs,
        "redact": list(live.redact),
        "mask": list(live.mask),
        **({"mask_style": live.mask_style} if live.mask_style else {}),
        "vad_threshold": (live.turn_detection or TurnDetection()).threshold,
    }
    if len(live.languages) == 1:
        raw["language"] = live.languages[0]
    elif live.languages:
        raw["language_candidates"] = list(live.languages)
    _check_limits(live)
    try:
        return parse_input({"audio": {"base64": "AAAA"}, "options": raw}).options  # any audio: only `options` is used
    except InvalidInput as error:
        raise LiveRefused(_name_fields(str(error)), "invalid_value") from None


def _check_limits(live: LiveOptions) -> None:
    turns = live.turn_detection or TurnDetection()
    if live.draft_seconds is not None and not live.draft_seconds >= MIN_DRAFT_SECONDS:
        raise LiveRefused(f"draft_seconds: should be at least {MIN_DRAFT_SECONDS:g}, or none", "invalid_value")
    for name, value, limit in (
        ("turn_detection.prefix_padding_ms", turns.prefix_padding_ms, MAX_PADDING_MS),
        ("turn_detection.silence_duration_ms", turns.silence_duration_ms, MAX_SILENCE_MS),
    ):
        if not 0 <= value <= limit:
            raise LiveRefused(f"{name}: should be at least 0 and at most {limit}", "invalid_value")


_FIELDS = {
    "options.initial_prompt": "prompt",
    "options.custom_vocabulary": "keywords",
    "options.language_candidates": "languages",
    "options.vad_threshold": "turn_detection.threshold",
    "options.": "",
}
"""Names of a job's options, and what they are in a stream."""


def _name_fields(message: str) -> str:
    for option, field in _FIELDS.items():
        message = message.replace(option, field)
    return message


def refused(error: InvalidInput) -> LiveRefused:
    """Return an error of a job's options as the refusal of a stream."""
    message = _name_fields(str(error))
    return LiveRefused(message, "model_not_found" if message.startswith("model:") else "invalid_value")
