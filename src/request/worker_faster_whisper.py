"""Jobs of RunPod's worker-faster_whisper: converts their input and answer, so that its clients work unchanged.

Those of RunPod's former public endpoint, a URL as `audio` and a `prompt`, are answered alike: their clients read
`transcription`.

Its input is flat; its answer has one text in one format, and the segments. Only the handler knows of it: it converts
the job to our format first, and the answer back at the end.

Missing keys have the other worker's defaults where the text depends on them (5 beams), except `enable_vad`: speech
detection is on unless it is false. Windows that end at silences are fast, cut no words and cause fewer hallucinations.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from src.request.option_names import OPTION_NAMES
from src.request.option_values import Probability
from src.request.options import Options
from src.request.request_model import RequestModel
from src.request.validation import validate

TextFormat = Literal["plain_text", "formatted_text", "srt", "vtt"]

MAX_TEMPERATURES = 10
"""Of the option `temperature`; a longer list is cut."""


class FlatInput(RequestModel):
    """The other worker's input.

    Keys with the name and meaning of an option of ours are of type Any: `Options` checks them.
    """

    audio: Annotated[str, Field(min_length=1)] | None = None
    audio_base64: Annotated[str, Field(min_length=1)] | None = None
    model: Any = None
    transcription: TextFormat = "plain_text"
    translate: Any = None
    translation: TextFormat = "plain_text"
    language: Any = None
    temperature: Probability = 0.0
    temperature_increment_on_fallback: Annotated[float, Field(gt=0)] | None = 0.2
    """None: no fallback."""
    best_of: Any = 5
    beam_size: Any = 5
    patience: Any = None
    length_penalty: Any = None
    suppress_tokens: Any = None
    initial_prompt: Any = None
    prompt: str | None = None
    """Of RunPod's former public Whisper, whose jobs have `audio` and this; it is `initial_prompt`."""
    condition_on_previous_text: Any = None
    compression_ratio_threshold: Any = None
    logprob_threshold: Any = None
    no_speech_threshold: Any = None
    enable_vad: bool = True
    word_timestamps: bool = False
    webhook: Any = None
    """Our addition, as are `upload` and `reference`."""
    upload: Any = None
    reference: Any = None

    @model_validator(mode="after")
    def _check_one_recording(self) -> FlatInput:
        if (self.audio is None) == (self.audio_base64 is None):
            raise ValueError('give exactly one of "audio" and "audio_base64"')
        return self

    @model_validator(mode="after")
    def _check_one_prompt(self) -> FlatInput:
        if self.prompt is not None and self.initial_prompt not in (None, self.prompt):
            raise ValueError("prompt has another value than initial_prompt: leave one of them out")
        return self

    @property
    def temperatures(self) -> list[float]:
        """The temperatures for fallback, from `temperature` up to 1."""
        step = self.temperature_increment_on_fallback
        if step is None:
            return [round(self.temperature, 6)]
        steps = int(min(MAX_TEMPERATURES - 1, (1 - self.temperature) / step + 1e-6))
        return [round(self.temperature + number * step, 6) for number in range(steps + 1)]


_FOREIGN_KEYS = FlatInput.model_fields.keys() - {"audio", "webhook", "upload", "reference"}
_ITS_OWN_KEYS = _FOREIGN_KEYS - Options.model_fields.keys() - {"prompt"}  # which our jobs may have, too
_OUR_OWN_KEYS = OPTION_NAMES - FlatInput.model_fields.keys()
_SAME_OPTIONS = (FlatInput.model_fields.keys() & Options.model_fields.keys()) - {"temperature"}


def is_worker_faster_whisper_input(raw: Any, bare: bool) -> bool:
    """True if a job's input has the other worker's format.

    Options of ours that the other worker lacks make it a job of ours, whose options are beside `audio` by mistake.

    Args:
        raw: the input.
        bare: the result for a URL without any other key, which is valid for both workers.
    """
    if not isinstance(raw, dict) or "options" in raw or isinstance(raw.get("audio"), dict):
        return False  # our format: its errors are reported in our terms
    if not _OUR_OWN_KEYS.isdisjoint(raw) and _ITS_OWN_KEYS.isdisjoint(raw):
        return False
    return not _FOREIGN_KEYS.isdisjoint(raw) or (bare and raw.keys() == {"audio"} and isinstance(raw["audio"], str))


def to_input(raw: dict[str, Any]) -> dict[str, Any]:
    """Convert the other worker's input to ours.

    Raises:
        InvalidInput: naming each wrong key and its correct form.
    """
    flat = validate(FlatInput, raw)
    # Its defaults that would have no effect at these temperatures are left out: nobody asked for them.
    useless = {"beam_size"} if min(flat.temperatures) > 0 else {"best_of"} if max(flat.temperatures) == 0 else set()
    names = _SAME_OPTIONS - (useless - flat.model_fields_set)
    same = {name: getattr(flat, name) for name in names if getattr(flat, name) is not None}
    options = {
        **same,
        **({} if flat.prompt is None else {"initial_prompt": flat.prompt}),
        "temperature": flat.temperatures,
        "vad": flat.enable_vad,
        # More formats than requested: the answer is measured in our format, and must also fit the limit in the other
        # one. Dropping the extra formats saves more bytes than the conversion adds.
        "output_format": ["json", "srt", "vtt"],
    }
    validate(Options, options)
    ours = {key: raw[key] for key in ("webhook", "upload", "reference") if raw.get(key) is not None}
    return {"audio": flat.audio or {"base64": flat.audio_base64}, "options": options, **ours}


def to_answer(answer: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    """Convert our answer to the other worker's format, with our `metadata` added; an error stays as it is."""
    if "error" in answer:
        return answer
    flat, metadata, transcription = validate(FlatInput, raw), answer["metadata"], answer.get("transcription", {})
    segments = transcription.get("segments", [])
    converted = {
        "segments": [_to_segment(segment) for segment in segments],
        "detected_language": metadata["language"],
        "transcription": _to_text(transcription, flat.transcription),
        "translation": _to_text(answer["translation"], flat.translation) if "translation" in answer else None,
        "device": metadata["device"].partition(":")[0],
        "model": metadata["model"],
        "translation_time": metadata["processing_time"],
    }
    if flat.word_timestamps:
        converted["word_timestamps"] = [
            {key: word[key] for key in ("word", "start", "end")}
            for segment in segments
            for word in segment.get("words", [])
        ]
    return converted | {key: value for key, value in answer.items() if key not in ("transcription", "translation")}


def _to_segment(segment: dict[str, Any]) -> dict[str, Any]:
    """The other worker counts segments from 1, and lists words outside of them."""
    return {key: value for key, value in segment.items() if key != "words"} | {"id": segment["id"] + 1}


def _to_text(rendered: dict[str, Any], text_format: TextFormat) -> str | None:
    """The text of a rendered transcription or translation in one format; None if it was delivered as a file."""
    if text_format in ("srt", "vtt"):
        return rendered.get(text_format)
    if "segments" not in rendered:
        return rendered.get("text")
    separator = "\n" if text_format == "formatted_text" else " "
    return separator.join(segment["text"].lstrip() for segment in rendered["segments"])
