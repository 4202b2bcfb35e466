"""Settings of a live session, and how they are told, in OpenAI's present layout and in that of the beta."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from api.live.audio_format import PCM, PCMA, PCMU, AudioFormat
from api.live.recognizer import LiveOptions, TurnDetection

Layout = Literal["ga", "beta"]
"""OpenAI's generally available API, or the one before, which clients still speak."""

DELAYS = {"minimal": 0.3, "low": 0.5, "medium": 1.0, "high": 2.0, "xhigh": None}
"""Seconds of new sound between two drafts of a text; OpenAI names no numbers."""

LOGPROBS = "item.input_audio_transcription.logprobs"
DEFAULT_DELAY = "low"
_DEFAULTS = LiveOptions(draft_seconds=DELAYS[DEFAULT_DELAY])
BETA_FORMATS = {"pcm16": PCM, "g711_ulaw": PCMU, "g711_alaw": PCMA}
_WITHOUT_TURNS = ("gpt-realtime-whisper", "gpt-live-transcribe")
"""OpenAI's models for which it detects no turns: their callers commit on their own."""


@dataclass(frozen=True)
class SessionConfig:
    """Settings of a session.

    Attributes:
        format: of the sound.
        model: as named by the caller, or empty; see `api.openai.models.choose_model`.
        delay: a key of `DELAYS`.
        has_own_turns: true if the caller has said how utterances end.
        microphone: of the noise reduction that was asked for, `near_field` or `far_field`; None: it was not.
        options: of the stream, without its model.
    """

    format: AudioFormat = PCM
    model: str = ""
    delay: str = DEFAULT_DELAY
    has_own_turns: bool = False
    microphone: str | None = None
    options: LiveOptions = _DEFAULTS

    def with_model(self, model: str) -> SessionConfig:
        """The settings with a model, on which it depends how utterances end unless the caller has said so."""
        changed = replace(self, model=model)
        if self.has_own_turns:
            return changed
        turns = None if model.strip().lower() in _WITHOUT_TURNS else TurnDetection()
        return replace(changed, options=replace(changed.options, turn_detection=turns))


def describe_config(config: SessionConfig, layout: Layout) -> dict[str, Any]:
    """The settings as `session` of an event, without the session's id."""
    options = config.options
    include = [LOGPROBS] if options.logprobs else []
    noise_reduction = None if config.microphone is None else {"type": config.microphone}
    if layout == "beta":
        names = {format: name for name, format in BETA_FORMATS.items()}
        return {
            "object": "realtime.transcription_session",
            "input_audio_format": names.get(config.format, "pcm16"),
            "input_audio_transcription": _describe_transcription(config),
            "input_audio_noise_reduction": noise_reduction,
            "turn_detection": _describe_turns(options.turn_detection),
            "include": include,
            "client_secret": None,
        }
    rate = {"rate": config.format.rate} if config.format.type == "audio/pcm" else {}
    sound = {
        "format": {"type": config.format.type, **rate},
        "transcription": _describe_transcription(config),
        "noise_reduction": noise_reduction,
        "turn_detection": _describe_turns(options.turn_detection),
    }
    return {
        "type": "transcription",
        "object": "realtime.transcription_session",
        "audio": {"input": sound},
        "include": include,
    }


def _describe_transcription(config: SessionConfig) -> dict[str, Any]:
    options = config.options
    several = {"languages": [*options.languages]} if len(options.languages) > 1 else {}
    return {
        "model": config.model or "whisper-1",
        "language": options.languages[0] if len(options.languages) == 1 else None,
        **several,
        "prompt": options.prompt or "",
        **({"keywords": [*options.keywords]} if options.keywords else {}),
        "delay": config.delay,
        **({"redact": [*options.redact]} if options.redact else {}),
        **({"mask": [*options.mask]} if options.mask else {}),
        **({"mask_style": options.mask_style} if options.mask_style else {}),
        "diarize": options.diarize,
        "word_timestamps": options.word_timestamps,
    }


def _describe_turns(turns: TurnDetection | None) -> dict[str, Any] | None:
    if turns is None:
        return None
    return {
        "type": "server_vad",
        "threshold": turns.threshold,
        "prefix_padding_ms": turns.prefix_padding_ms,
        "silence_duration_ms": turns.silence_duration_ms,
    }
