"""`session.update`: changes of a live session's settings, in OpenAI's present layout and in that of the beta."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from api.form_values import nameable, one_of, wrong
from api.live.audio_format import PCM, PCM_16K, PCMA, PCMU
from api.live.config import BETA_FORMATS, DEFAULT_DELAY, DELAYS, LOGPROBS, Layout, SessionConfig
from api.live.recognizer import LiveOptions, TurnDetection

MAX_KEYWORDS = 5000
MAX_LANGUAGES = 100
MAX_TEXT = 20_000
"""Characters of a prompt; a model reads far fewer."""

_EAGERNESS = {"low": 1000, "medium": 700, "auto": 700, "high": 400}
"""Milliseconds of silence that end an utterance, where OpenAI's `semantic_vad` would judge the words too."""


@dataclass(frozen=True)
class ConfigUpdate:
    """Settings after an update.

    Attributes:
        config: the settings.
        layout: in which the update was written.
        ignored: names of fields that have no effect here.
    """

    config: SessionConfig
    layout: Layout
    ignored: tuple[str, ...]


def update_config(config: SessionConfig, session: Any, layout: Layout) -> ConfigUpdate:
    """Change the settings by the `session` of an update; what it leaves out stays as it is.

    Args:
        config: the settings before.
        session: of the event.
        layout: of the session; an update with fields of the beta's is read as one of the beta.

    Raises:
        ApiError: naming the wrong field and the correct form.
    """
    if session is None:
        raise wrong("session", "should be an object")
    top = _Fields(session, "session")
    if top.names & {"input_audio_format", "input_audio_transcription", "input_audio_noise_reduction"}:
        layout = "beta"
    elif "audio" in top.names:
        layout = "ga"
    kind = top.take("type", "transcription")
    if kind != "transcription":
        raise wrong("session.type", 'should be "transcription": a server of conversations is needed for any other')
    draft = _Draft(config)
    inner = top if layout == "beta" else _input_of(top)
    prefix = "input_audio_" if layout == "beta" else ""
    inner.read(f"{prefix}format", draft.set_beta_format if layout == "beta" else draft.set_format)
    inner.read(f"{prefix}transcription", draft.set_transcription)
    inner.read(f"{prefix}noise_reduction", draft.set_noise_reduction)
    inner.read("turn_detection", draft.set_turn_detection)
    top.read("include", draft.set_include)
    for expected in ("modalities", "client_secret"):  # the beta's clients send them; there is nothing to choose
        top.take(expected, None)
    ignored = [*draft.ignored, *inner.rest(), *(top.rest() if inner is not top else ())]
    return ConfigUpdate(draft.config, layout, nameable(ignored))


def _input_of(session: _Fields) -> _Fields:
    audio = _Fields(session.take("audio", None), "session.audio")
    inner = _Fields(audio.take("input", None), "session.audio.input")
    inner.ignored += audio.rest()
    return inner


class _Fields:
    """The fields of an object of JSON, each taken once.

    Attributes:
        ignored: names of further fields without an effect.
    """

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, Mapping | None):
            raise wrong(path, "should be an object")
        self._values = dict(value or {})
        self._path = path
        self.ignored: list[str] = []

    @property
    def names(self) -> set[str]:
        return {*self._values}

    def take(self, name: str, default: Any) -> Any:
        return self._values.pop(name, default)

    def read(self, name: str, reader: Any) -> None:
        """Pass a field on, null too, with its full name for errors; not one that is missing."""
        if name in self._values:
            reader(self._values.pop(name), f"{self._path}.{name}")

    def rest(self) -> list[str]:
        return [*self.ignored, *(f"{self._path}.{name}" for name, value in self._values.items() if value is not None)]


class _Draft:
    """Settings while they are changed."""

    def __init__(self, config: SessionConfig) -> None:
        self.config = config
        self.ignored: list[str] = []

    def set_format(self, value: Any, path: str) -> None:
        if value is None:
            return
        fields = _Fields(value, path)
        kind = fields.take("type", "audio/pcm")
        fields.read("rate", lambda rate, at: self._set_rate(kind, rate, at))
        formats = {"audio/pcm": self.config.format if "rate" in value else PCM, "audio/pcmu": PCMU, "audio/pcma": PCMA}
        if not isinstance(kind, str) or kind not in formats:
            raise wrong(f"{path}.type", f"should be {one_of([*formats])}")
        self.config = replace(self.config, format=formats[kind])
        self.ignored += fields.rest()

    def _set_rate(self, kind: Any, rate: Any, path: str) -> None:
        if kind == "audio/pcm":
            rates = {24000: PCM, 16000: PCM_16K, None: PCM}
            if isinstance(rate, bool) or not isinstance(rate, int | None) or rate not in rates:
                raise wrong(path, "should be 24000 or 16000")
            self.config = replace(self.config, format=rates[rate])
        elif rate not in (None, 8000):
            raise wrong(path, "should be left out: G.711 has 8000 samples per second")

    def set_beta_format(self, value: Any, path: str) -> None:
        if value is None:
            return
        if not isinstance(value, str) or value not in BETA_FORMATS:
            raise wrong(path, f"should be {one_of([*BETA_FORMATS])}")
        self.config = replace(self.config, format=BETA_FORMATS[value])

    def set_transcription(self, value: Any, path: str) -> None:
        fields = _Fields(value, path)
        if value is None:  # back to the defaults
            kept = LiveOptions(
                turn_detection=self.config.options.turn_detection,
                noise_reduction=self.config.options.noise_reduction,
                logprobs=self.config.options.logprobs,
                draft_seconds=DELAYS[DEFAULT_DELAY],
            )
            self.config = replace(self.config, delay=DEFAULT_DELAY, options=kept).with_model("")
        fields.read("model", self._set_model)
        given = value or {}
        if given.get("language") is not None and given.get("languages") is not None:
            raise wrong(f"{path}.languages", "should not be beside language: list all of them there")
        readers = {"language": self._set_language, "languages": self._set_languages}
        # Null comes first, so that it undoes nothing.
        for name in sorted(readers, key=lambda name: given.get(name) is not None):
            fields.read(name, readers[name])
        fields.read("prompt", lambda given, at: self._set(prompt=_text(given, at) or None))
        fields.read("keywords", lambda given, at: self._set(keywords=_texts(given, at, MAX_KEYWORDS)))
        fields.read("delay", self._set_delay)
        fields.read("redact", lambda given, at: self._set(redact=_texts(given, at, MAX_KEYWORDS)))
        fields.read("mask", lambda given, at: self._set(mask=_texts(given, at, MAX_KEYWORDS)))
        fields.read("mask_style", lambda given, at: self._set(mask_style=_text(given, at) or None))
        fields.read("diarize", lambda given, at: self._set(diarize=_switch(given, at)))
        fields.read("speakers", lambda given, at: self._set(speakers=_voices(given, at)))
        fields.read("word_timestamps", lambda given, at: self._set(word_timestamps=_switch(given, at)))
        self.ignored += fields.rest()

    def _set(self, **changed: Any) -> None:
        self.config = replace(self.config, options=replace(self.config.options, **changed))

    def _set_model(self, value: Any, path: str) -> None:
        self.config = self.config.with_model(_text(value, path).strip())

    def _set_language(self, value: Any, path: str) -> None:
        self._set_languages([] if value is None else [value], path)

    def _set_languages(self, value: Any, path: str) -> None:
        languages = _texts(value, path, MAX_LANGUAGES)
        self._set(languages=tuple(dict.fromkeys(language.strip() for language in languages if language.strip())))

    def _set_delay(self, value: Any, path: str) -> None:
        delay = DEFAULT_DELAY if value is None else value
        if not isinstance(delay, str) or delay not in DELAYS:
            raise wrong(path, f"should be {one_of([*DELAYS])}")
        self.config = replace(self.config, delay=delay)
        self._set(draft_seconds=DELAYS[delay])

    def set_noise_reduction(self, value: Any, path: str) -> None:
        microphone = None
        if value is not None:
            fields = _Fields(value, path)
            microphone = fields.take("type", "near_field")
            if microphone not in ("near_field", "far_field"):
                raise wrong(f"{path}.type", 'should be "near_field" or "far_field"')
            self.ignored += fields.rest()
        self.config = replace(self.config, microphone=microphone)
        self._set(noise_reduction=microphone is not None)

    def set_turn_detection(self, value: Any, path: str) -> None:
        """Take turn detection as a whole: what it leaves out is the default."""
        self.config = replace(self.config, has_own_turns=True)
        if value is None:
            self._set(turn_detection=None)
            return
        fields = _Fields(value, path)
        kind = fields.take("type", "server_vad")
        turns = TurnDetection()
        if kind == "semantic_vad":
            eagerness = fields.take("eagerness", "auto")
            if not isinstance(eagerness, str) or eagerness not in _EAGERNESS:
                raise wrong(f"{path}.eagerness", f"should be {one_of([*_EAGERNESS])}")
            turns = replace(turns, silence_duration_ms=_EAGERNESS[eagerness])
        elif kind == "server_vad":
            threshold = _number(fields.take("threshold", None), f"{path}.threshold", 0.5, 0, 1)
            padding = _number(fields.take("prefix_padding_ms", None), f"{path}.prefix_padding_ms", 300, 0, 5000)
            silence = _number(fields.take("silence_duration_ms", None), f"{path}.silence_duration_ms", 500, 50, 10_000)
            turns = TurnDetection(threshold, int(padding), int(silence))
        else:
            raise wrong(f"{path}.type", 'should be "server_vad" or "semantic_vad", or turn_detection null')
        self._set(turn_detection=turns)
        self.ignored += fields.rest()

    def set_include(self, value: Any, path: str) -> None:
        names = _texts([] if value is None else value, path, 100)
        self._set(logprobs=LOGPROBS in names)
        self.ignored += [f"{path}: {name}" for name in names if name != LOGPROBS]


def _text(value: Any, path: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise wrong(path, f"should be a text of at most {MAX_TEXT} characters")
    return value


def _texts(value: Any, path: str, most: int) -> tuple[str, ...]:
    items = [] if value is None else value
    if not isinstance(items, list) or len(items) > most or not all(isinstance(item, str) for item in items):
        raise wrong(path, f"should be a list of at most {most} texts")
    if sum(map(len, items)) > most * 100:
        raise wrong(path, f"should have at most {most * 100} characters")
    return tuple(items)


def _voices(value: Any, path: str) -> Mapping[str, Mapping[str, Any]]:
    """Known voices, whose embeddings the recognizer checks."""
    voices = {} if value is None else value
    is_voices = isinstance(voices, Mapping) and all(isinstance(voice, Mapping) for voice in voices.values())
    if not is_voices or not all("embedding" in voice for voice in voices.values()):
        raise wrong(path, 'should be known voices by their embeddings, as {"Ada": {"embedding": [...]}}')
    return dict(voices)


def _switch(value: Any, path: str) -> bool:
    if not isinstance(value, bool | None):
        raise wrong(path, "should be true or false")
    return bool(value)


def _number(value: Any, path: str, default: float, smallest: float, largest: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not smallest <= value <= largest:
        raise wrong(path, f"should be a number from {smallest:g} to {largest:g}")
    return value
