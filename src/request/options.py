"""What a caller may ask of a transcription: one field an option, under openai-whisper's name where it has one.

The defaults are those of `whisper.transcribe`. The README's table of options is held against this class by a test.
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import fields, replace
from math import inf
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

from src.audio.vad import VadOptions
from src.errors import suggest
from src.formats.ass import Style
from src.formats.layout import PRESETS, Layout
from src.formats.render import OUTPUT_FORMATS
from src.request.audio_source import AudioSource
from src.transcript.vocabulary import vocabulary_prompt

MAX_PROMPT_CHARACTERS = 10_000
"""Whisper reads the last 223 tokens of a prompt, a few thousand characters at the most."""

_VAD = VadOptions()
_STYLE = Style()

MAX_TERMS = 2000
"""Terms of a custom vocabulary."""

MAX_PHRASES = 5000
"""Terms and what is heard in their place: what is looked for at once; more takes seconds to set up."""

MAX_PHRASE_CHARACTERS = 200

MAX_SAMPLES = 32
"""Known voices: each costs a download and some tenths of a second."""

SpeakerCount = Annotated[int, Field(ge=1, le=100)]


def _fit_for_every_format(name: str) -> str:
    """No markup, no line break, no tab, and no label of ours."""
    if not re.fullmatch(r"\w[\w .'-]{0,59}", name) or re.fullmatch(r"(SPEAKER|CHANNEL)_\d+", name):
        raise ValueError("a name should be 1 to 60 letters, digits, blanks and . ' -, and none such as SPEAKER_00")
    return name


SpeakerName = Annotated[str, AfterValidator(_fit_for_every_format)]

Probability = Annotated[float, Field(ge=0, le=1)]
Span = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)] | None]
"""Seconds from the recording's start; None: to its end."""


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    task: Literal["transcribe", "translate"] = Field(
        default="transcribe", description="`translate` puts any language into English."
    )
    language: str | None = Field(
        default=None, description="Code or English name (`de`, `german`); none: detected.", max_length=40
    )
    output_format: list[str] = Field(
        default=["all"],
        min_length=1,
        max_length=len(OUTPUT_FORMATS),
        description="One of `text`, `srt`, `vtt`, `tsv`, `lrc`, `ass`, `rttm`, `json`, `verbose_json` and `all`, "
        "or a list.",
    )
    model: str | None = Field(
        default=None, max_length=200, description="One of the endpoint's `WHISPER_MODELS`; none: `WHISPER_MODEL`."
    )
    language_candidates: list[str] | None = Field(
        default=None, min_length=1, max_length=99, description="Languages among which detection chooses."
    )
    multilingual: bool = Field(
        default=False,
        description="`vad` chunking only: the language of each window is detected, and told in segments.",
    )
    translate: bool = Field(
        default=False, description="An English `translation` beside the `transcription`, for less than a second job."
    )
    word_timestamps: bool = Field(default=False, description="Words with start, end and probability.")
    initial_prompt: str | None = Field(
        default=None,
        max_length=MAX_PROMPT_CHARACTERS,
        description="Vocabulary or style to go by: of every window; of the first one with `sequential`.",
    )
    carry_initial_prompt: bool = Field(
        default=False, description="`sequential` only: `initial_prompt` goes before the text of each window."
    )
    custom_vocabulary: dict[str, list[str]] | list[str] | None = Field(
        default=None,
        description="`{term: heard as}` corrects the text, `{term: [heard as, ...]}` too; `[term, ...]` is a prompt.",
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
        default="vad",
        description="`vad`: windows at silences, decoded together; `sequential`: openai-whisper's own.",
    )
    vad: bool = Field(
        default=True, description="`vad` chunking only: look for speech; if not, windows over everything."
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
    denoise: bool = Field(
        default=False, description="ffmpeg's noise reduction `afftdn` before transcription; Whisper seldom gains."
    )
    clip_timestamps: list[Span] | None = Field(
        default=None,
        max_length=1000,
        description='Only these parts, in seconds: `[[start, end], ...]`, or `"start,end,start,..."`.',
    )
    channels: Literal["mix", "split"] = Field(
        default="mix", description="`split`: each channel is transcribed, and told in segments: calls in stereo."
    )
    diarize: bool = Field(default=False, description="Who speaks: speakers in texts, subtitles, segments and words.")
    num_speakers: SpeakerCount | None = Field(default=None, description="`diarize` only: how many there are.")
    min_speakers: SpeakerCount | None = Field(default=None, description="`diarize` only: how many there are at least.")
    max_speakers: SpeakerCount | None = Field(default=None, description="`diarize` only: how many there are at most.")
    speakers: dict[SpeakerName, AudioSource] | None = Field(
        default=None,
        max_length=MAX_SAMPLES,
        description='`diarize` only: samples of known voices, `{"Ada": {"url": "..."}}`, 60 s each at most.',
    )
    speaker_embeddings: bool = Field(
        default=False, description="`diarize` only: each speaker's voiceprint, 192 numbers."
    )
    drop_hallucinations: bool = Field(
        default=True, description="Leaves out loops, and phrases such as thanks for watching where nothing is said."
    )
    subtitle_preset: Literal["broadcast"] | None = Field(
        default=None, description="`broadcast`: 42 characters, 2 lines, 20 characters a second, 0.83 to 7 s."
    )
    max_line_width: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Characters in a line of subtitles; a full-width one (CJK) counts as two."
    )
    max_line_count: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="Lines in a cue; beside `max_line_width`, cues then go on over segments."
    )
    max_words_per_line: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Words in a line; alone, each line is a cue."
    )
    highlight_words: bool = Field(
        default=False, description="Each word while it is spoken: underlined in SRT and VTT, in its colour with `burn`."
    )
    min_cue_duration: Annotated[float, Field(ge=0, le=60)] | None = Field(
        default=None, description="Seconds that a cue stays at least, as far as the next one lets it."
    )
    max_cue_duration: Annotated[float, Field(ge=0.5, le=600)] | None = Field(
        default=None, description="Seconds that a cue stays at most."
    )
    min_cue_gap: Annotated[float, Field(ge=0, le=10)] | None = Field(
        default=None, description="Seconds between two cues at least."
    )
    max_chars_per_second: Annotated[float, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Reading speed: a cue stays longer for it, as far as the next one lets it."
    )
    captions: Literal["mux", "burn"] | None = Field(
        default=None,
        description="Into the video: `mux` as a track, nothing is encoded; `burn` into the picture. Laid out as "
        "`broadcast` unless something else is asked for.",
    )
    caption_font: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="`burn`: a font's name; none: one with all letters.",
    )
    caption_size: Annotated[float, Field(ge=1, le=20)] = Field(
        default=_STYLE.size, description="`burn`: the font's size in percent of the picture's shorter side."
    )
    caption_position: Literal["top", "middle", "bottom"] = Field(
        default=_STYLE.position, description="`burn`: `top`, `middle` or `bottom`."
    )
    caption_color: str = Field(
        default=_STYLE.color, description="`burn`: `#RRGGBB`, or `#RRGGBBAA` with its opacity, as for those below."
    )
    caption_outline_color: str = Field(default=_STYLE.outline_color, description="`burn`: around the letters.")
    caption_highlight_color: str = Field(
        default=_STYLE.highlight_color, description="`burn` with `highlight_words`: of the word that is being spoken."
    )
    caption_box_color: str | None = Field(default=None, description="`burn`: behind the text; none: no box.")

    @property
    def layout(self) -> Layout:
        """The shape of subtitles: the preset's, but for what is given beside it."""
        asked = {field.name: getattr(self, field.name) for field in fields(Layout)}
        preset = PRESETS[self.subtitle_preset] if self.subtitle_preset else Layout()
        given = {name: value for name, value in asked.items() if value is not None and value is not False}
        return replace(preset, **given)

    @property
    def needs_words(self) -> bool:
        """Whether the times of words are wanted, for the answer, its subtitles or its speakers."""
        subtitled = self.layout.needs_words or self.captions is not None
        formats = {"ass", "verbose_json"} & {*self.output_format}
        return self.word_timestamps or subtitled or bool(formats) or self.diarize

    @property
    def caption_layout(self) -> Layout:
        """The shape of captions: what is asked for, else broadcasters', since a segment would hide the picture."""
        asked, plain = self.layout, Layout(highlight_words=self.highlight_words)
        return replace(PRESETS["broadcast"], highlight_words=self.highlight_words) if asked == plain else asked

    @property
    def caption_style(self) -> Style:
        """How captions are drawn."""
        return Style(**{field.name: getattr(self, f"caption_{field.name}") for field in fields(Style)})

    @property
    def speaker_counts(self) -> tuple[int, int | None]:
        """How many speakers there are at least, and at most; None: any number."""
        return self.num_speakers or self.min_speakers or 1, self.num_speakers or self.max_speakers

    @property
    def corrections(self) -> dict[str, list[str]]:
        """The custom vocabulary's terms, each with what is heard in its place."""
        return self.custom_vocabulary if isinstance(self.custom_vocabulary, dict) else {}

    @property
    def hints(self) -> list[str]:
        """The custom vocabulary's terms that go into the prompt."""
        return self.custom_vocabulary if isinstance(self.custom_vocabulary, list) else []

    @property
    def prompt(self) -> str | None:
        """What Whisper is to go by: the vocabulary's terms, then the job's own words, nearest to the text."""
        return (
            " ".join([*([vocabulary_prompt(self.hints)] if self.hints else []), self.initial_prompt or ""]).strip()
            or None
        )

    @field_validator("language")
    @classmethod
    def _code_of(cls, language: str | None) -> str | None:
        return None if language is None else _code(language)

    @field_validator("language_candidates")
    @classmethod
    def _codes_of(cls, languages: list[str] | None) -> list[str] | None:
        return None if languages is None else [_code(one) for one in languages]

    @field_validator("output_format", mode="before")
    @classmethod
    def _as_formats(cls, formats: Any) -> Any:
        return [one.strip() for one in formats.split(",")] if isinstance(formats, str) else formats

    @field_validator("output_format")
    @classmethod
    def _known_formats(cls, names: list[str]) -> list[str]:
        if not set(names) <= set(OUTPUT_FORMATS):
            raise ValueError(f"should be one of {', '.join(OUTPUT_FORMATS)}, or a list of them")
        return names

    @field_validator("custom_vocabulary", mode="before")
    @classmethod
    def _as_lists(cls, vocabulary: Any) -> Any:
        """Checks all of it, since of a union pydantic tells what is wrong with each of its types."""
        if vocabulary is None:
            return None
        if isinstance(vocabulary, dict):
            vocabulary = {term: [heard] if isinstance(heard, str) else heard for term, heard in vocabulary.items()}
        lists = [list(vocabulary), *vocabulary.values()] if isinstance(vocabulary, dict) else [vocabulary]
        if not all(isinstance(one, list) for one in lists) or not all(lists[1:]):
            raise ValueError('should be {"term": "heard as"}, {"term": ["heard as", ...]} or ["term", ...]')
        phrases = [phrase for one in lists for phrase in one]
        if len(lists[0]) > MAX_TERMS or len(phrases) > MAX_PHRASES:
            raise ValueError(f"should have at most {MAX_TERMS} terms, and {MAX_PHRASES} with what is heard for them")
        if not all(isinstance(one, str) and one.strip() and len(one) <= MAX_PHRASE_CHARACTERS for one in phrases):
            raise ValueError(
                f"each term, and what is heard, should be a text of 1 to {MAX_PHRASE_CHARACTERS} characters"
            )
        return vocabulary

    @field_validator("clip_timestamps", mode="before")
    @classmethod
    def _as_spans(cls, clips: Any) -> Any:
        if isinstance(clips, str):
            if not re.fullmatch(r"\s*\d{1,9}(\.\d{1,6})?\s*(,\s*\d{1,9}(\.\d{1,6})?\s*){0,1999}", clips):
                raise ValueError('should be seconds with commas between them, such as "0,30,75.5,90"')
            clips = [float(one) for one in clips.split(",")]
        if not isinstance(clips, list):
            return clips
        if clips and all(isinstance(one, (int, float)) for one in clips):
            clips = [[*clips[at : at + 2], None][:2] for at in range(0, len(clips), 2)]
        return [tuple(one) if isinstance(one, list) else one for one in clips]

    @field_validator("clip_timestamps")
    @classmethod
    def _in_order(cls, clips: list[Span] | None) -> list[Span] | None:
        starts = [start for start, _ in clips or []]
        ends = [math.inf if end is None else end for _, end in clips or []]
        if math.inf in ends[:-1]:
            raise ValueError("only the last part may have no end")
        if any(map(operator.ge, starts, ends)) or any(map(operator.gt, ends, starts[1:])):
            raise ValueError("should be parts in order that do not overlap, each with a start before its end")
        return clips

    @field_validator("temperature", mode="before")
    @classmethod
    def _as_ladder(cls, temperature: Any) -> Any:
        return [temperature] if isinstance(temperature, (int, float)) else temperature

    @field_validator("caption_color", "caption_outline_color", "caption_highlight_color", "caption_box_color")
    @classmethod
    def _colours(cls, colour: str | None) -> str | None:
        if colour is not None and not re.fullmatch("#(?:[0-9A-Fa-f]{2}){3,4}", colour):
            raise ValueError('should be a colour such as "#FFD400", or "#FFD40080" with its opacity')
        return colour

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

    @model_validator(mode="after")
    def _speakers_need_diarize(self) -> Options:
        if not self.diarize:
            asked = [name for name in _OF_DIARIZE if getattr(self, name)] + ["rttm"] * ("rttm" in self.output_format)
            if asked:
                raise ValueError(f"{asked[0]} needs diarize")
        if self.diarize and self.channels == "split":
            raise ValueError('diarize and channels "split" both tell who speaks: leave one of them out')
        if self.num_speakers is not None and (self.min_speakers or self.max_speakers):
            raise ValueError("num_speakers leaves min_speakers and max_speakers nothing to say: leave them out")
        if (self.min_speakers or 1) > (self.max_speakers or inf):
            raise ValueError("min_speakers is larger than max_speakers")
        return self

    @model_validator(mode="after")
    def _only_where_they_work(self) -> Options:
        if self.chunking == "sequential" and self.multilingual:
            raise ValueError('multilingual needs chunking "vad"')
        if self.multilingual and self.language is not None:
            raise ValueError("multilingual detects the language: leave language out")
        if self.language is not None and self.language_candidates is not None:
            raise ValueError("language_candidates is for detection: leave language out")
        if self.translate and self.task == "translate":
            raise ValueError('translate is for a translation beside the transcription: leave task "translate" out')
        styled = sorted(name for name in self.model_fields_set if name.startswith("caption_"))
        if styled and self.captions != "burn":
            raise ValueError(f'{styled[0]} needs captions "burn"')
        if (self.layout.min_cue_duration or 0.0) > (self.layout.max_cue_duration or inf):
            raise ValueError("min_cue_duration is longer than max_cue_duration")
        return self


_OF_DIARIZE = ("num_speakers", "min_speakers", "max_speakers", "speakers", "speaker_embeddings")


def _code(language: str) -> str:
    """The code of a language that Whisper knows, from its code or English name."""
    name = language.strip().lower()
    code: str = TO_LANGUAGE_CODE.get(name, name)
    if code not in LANGUAGES:
        hint = suggest(name, [*LANGUAGES, *TO_LANGUAGE_CODE], ', give a code such as "de" or a name such as "german"')
        raise ValueError(f"no language that Whisper knows{hint}")
    return code
