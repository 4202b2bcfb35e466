"""Jobs as RunPod's worker-faster_whisper takes them, answered as it answers: its clients need not be touched.

Its input is flat, its answer one text in one form beside the segments. Nothing else in this worker knows of it: the
handler has a job put into our form before it looks at it, and the answer into that one after all else is done.

What is left out has the other worker's default where the text depends on it (5 beams), but for `enable_vad`: speech is
looked for unless that is false, since windows that end at silences are fast, and cut no word and make up none.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from src.request.options import Options, Probability
from src.request.validation import validated

Form = Literal["plain_text", "formatted_text", "srt", "vtt"]

MAX_TEMPERATURES = 10
"""Temperatures in a ladder of ours; a longer one is cut."""


class FlatInput(BaseModel):
    """The other worker's input. What has the same name and meaning among our options is left for these to check."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    audio: Annotated[str, Field(min_length=1)] | None = None
    audio_base64: Annotated[str, Field(min_length=1)] | None = None
    model: Any = None
    transcription: Form = "plain_text"
    translate: Any = None
    translation: Form = "plain_text"
    language: Any = None
    temperature: Probability = 0.0
    temperature_increment_on_fallback: Annotated[float, Field(gt=0)] | None = 0.2
    """None: no other temperatures."""
    best_of: Any = 5
    beam_size: Any = 5
    patience: Any = None
    length_penalty: Any = None
    suppress_tokens: Any = None
    initial_prompt: Any = None
    condition_on_previous_text: Any = None
    compression_ratio_threshold: Any = None
    logprob_threshold: Any = None
    no_speech_threshold: Any = None
    enable_vad: bool = True
    word_timestamps: Any = None
    webhook: Any = None
    """Ours, as is `upload`."""
    upload: Any = None

    @model_validator(mode="after")
    def _one_recording(self) -> FlatInput:
        if (self.audio is None) == (self.audio_base64 is None):
            raise ValueError('give exactly one of "audio" and "audio_base64"')
        return self

    @property
    def ladder(self) -> list[float]:
        """The temperatures, from the first one up to 1."""
        step = self.temperature_increment_on_fallback
        rungs = 1 if step is None else 1 + int(min(MAX_TEMPERATURES - 1, (1 - self.temperature) / step + 1e-6))
        return [round(self.temperature + rung * (step or 0), 6) for rung in range(rungs)]


_OWN_KEYS = FlatInput.model_fields.keys() - {"audio", "webhook", "upload"}
_SAME_OPTIONS = (FlatInput.model_fields.keys() & Options.model_fields.keys()) - {"temperature"}


def is_faster_whisper_job(raw: Any, bare: bool) -> bool:
    """Whether a job's input is one for the other worker.

    Args:
        bare: whether a URL with nothing beside it, which is an input of both, is one.
    """
    if not isinstance(raw, dict) or "options" in raw or isinstance(raw.get("audio"), dict):
        return False  # what is wrong with it is to be told in terms of our form
    return not _OWN_KEYS.isdisjoint(raw) or (bare and raw.keys() == {"audio"} and isinstance(raw["audio"], str))


def to_input(raw: dict[str, Any]) -> dict[str, Any]:
    """The same input in our form.

    Raises:
        InvalidInput: naming each of its keys that is wrong and what would be right.
    """
    asked = _asked(raw)
    same = {name: getattr(asked, name) for name in _SAME_OPTIONS if getattr(asked, name) is not None}
    options = {
        **same,
        "temperature": asked.ladder,
        "vad": asked.enable_vad,
        # More than is asked for: what the answer loses is more than what its other shape adds to it, so that it stays
        # within the limit that it was measured by in ours.
        "output_format": ["json", "srt", "vtt"],
    }
    validated(Options, options)
    ours = {key: raw[key] for key in ("webhook", "upload") if raw.get(key) is not None}
    return {"audio": asked.audio or {"base64": asked.audio_base64}, "options": options, **ours}


def to_answer(answer: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    """Our answer to such an input in the other worker's shape, our `metadata` beside it; an error stays as it is."""
    if "error" in answer:
        return answer
    asked, metadata, done = _asked(raw), answer["metadata"], answer.get("transcription", {})
    segments = done.get("segments", [])
    reshaped = {
        "segments": [_segment(one) for one in segments],
        "detected_language": metadata["language"],
        "transcription": _text(done, asked.transcription),
        "translation": _text(answer["translation"], asked.translation) if "translation" in answer else None,
        "device": metadata["device"].partition(":")[0],
        "model": metadata["model"],
        "translation_time": metadata["processing_time"],
    }
    if asked.word_timestamps:
        reshaped["word_timestamps"] = [
            {key: word[key] for key in ("word", "start", "end")} for one in segments for word in one.get("words", [])
        ]
    return reshaped | {key: value for key, value in answer.items() if key not in ("transcription", "translation")}


def _asked(raw: dict[str, Any]) -> FlatInput:
    """Null is as good as left out, but for the ladder, which it takes away."""
    given = {
        key: value for key, value in raw.items() if value is not None or key == "temperature_increment_on_fallback"
    }
    return validated(FlatInput, given)


def _segment(ours: dict[str, Any]) -> dict[str, Any]:
    """The other worker counts segments from 1, and tells their words elsewhere."""
    return {key: value for key, value in ours.items() if key != "words"} | {"id": ours["id"] + 1}


def _text(done: dict[str, Any], form: Form) -> str | None:
    """One text of a transcription or translation; None where it went into a file."""
    if form in ("srt", "vtt"):
        return done.get(form)
    if "segments" not in done:
        return done.get("text")
    return ("\n" if form == "formatted_text" else " ").join(one["text"].lstrip() for one in done["segments"])
