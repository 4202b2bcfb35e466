"""The options of a job, under openai-whisper's names and with the defaults of `whisper.transcribe` where it has them.

The table of options in the documentation, the JSON Schema and the client's flags are generated from this class.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from src.audio.vad import VadOptions
from src.request.audio_source import AudioSource
from src.request.known_voices import KnownVoice, VoiceEmbedding
from src.request.languages import ChineseScript, find_chinese_script
from src.request.option_values import (
    MAX_LANGUAGE_CHARACTERS,
    MAX_LANGUAGES,
    MAX_TIMECODE_CHARACTERS,
    MAX_VOICES,
    AudioTrack,
    Clips,
    Color,
    CustomVocabulary,
    FrameRate,
    GivenText,
    Language,
    Languages,
    MaskedWords,
    OutputFormats,
    Probability,
    Redact,
    SpeakerCount,
    SpeakerName,
    Temperatures,
    TokenIds,
    as_list,
    check_voices,
)
from src.request.request_model import RequestModel, is_blank
from transcript.formats.ass import Style
from transcript.formats.layout import PRESETS, Layout
from transcript.formats.render import StlOptions
from transcript.formats.stl import parse_timecode
from transcript.masking import Masker, MaskStyle
from transcript.text_changes import TextChanges
from transcript.transcript import PersonalData
from transcript.vocabulary import Corrector, vocabulary_prompt

if TYPE_CHECKING:
    from transcript.redaction import Redactor

MAX_PROMPT_CHARACTERS = 10_000
"""Whisper reads the last 223 tokens of a prompt, at most a few thousand characters."""

_SPECIAL_TOKEN = re.compile(r"<\|[^<|>]{1,30}\|>")

_VAD = VadOptions()
_STYLE = Style()
_STL = StlOptions()


class Options(RequestModel):
    """Options of a transcription."""

    task: Literal["transcribe", "translate"] = Field(
        default="transcribe", description="`translate`: into English, from any language."
    )
    language: Language | None = Field(
        default=None, description="Code, tag or name (`de`, `de-AT`, `German`, `Deutsch`); none or `auto`: detected."
    )
    output_format: OutputFormats = Field(
        default=["all"],
        description="One of `text`, `srt`, `vtt`, `tsv`, `lrc`, `ass`, `ttml` (EBU-TT-D), `stl` (EBU STL), `rttm`, "
        "`json`, `verbose_json` and `all`, or a list of them.",
    )
    model: str | None = Field(
        default=None, max_length=200, description="One of the endpoint's `WHISPER_MODELS`; none: `WHISPER_MODEL`."
    )
    language_candidates: Languages | None = Field(default=None, description="Languages that detection chooses from.")
    multilingual: bool = Field(
        default=False,
        description="`vad` chunking only: detect the language of each window, and report it in segments.",
    )
    chinese_script: ChineseScript | None = Field(
        default=None,
        description="Chinese only: the script of the text, which `language` `zh-CN` and `zh-TW` choose too; none: as "
        "Whisper writes it.",
    )
    translate: bool = Field(
        default=False,
        description="An English `translation` in addition to the `transcription`, faster than a second job.",
    )
    paragraphs: bool = Field(
        default=False,
        description="A blank line in `text` at pauses, other speakers, and ends of sentences after some 80 words.",
    )
    word_timestamps: bool = Field(default=False, description="Words with start and end, in seconds, and probability.")
    token_logprobs: bool = Field(
        default=False,
        description="`logprobs` in the segments of `json`: the log-probability of each token of the text.",
    )
    initial_prompt: str | None = Field(
        default=None,
        max_length=MAX_PROMPT_CHARACTERS,
        description="Vocabulary or style to follow, in every window; with `sequential` in the first one.",
    )
    carry_initial_prompt: bool = Field(
        default=False, description="`sequential` only: put `initial_prompt` before the previous text in every window."
    )
    align: GivenText | None = Field(
        default=None,
        description="The text that is said, if it is known: it gets the times, line by line, in place of a transcript.",
    )
    custom_vocabulary: CustomVocabulary = Field(
        default=None,
        description="`{term: heard as}` or `{term: [heard as, ...]}` corrects the text; `[term, ...]` goes into the "
        "prompt.",
    )
    redact: Redact = Field(
        default=[],
        description="Personal data to replace, as by `[card]`: any of `card`, `iban`, `email`, `phone` and `ip`.",
    )
    mask: MaskedWords = Field(default=[], description="Words to mask, such as profanity: whole words, in any case.")
    mask_style: MaskStyle = Field(
        default="first_letter", description="`mask` only: `first_letter` keeps it (`d***`), `stars` does not (`****`)."
    )
    temperature: Temperatures = Field(
        default=[0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        description="One temperature, or a list: the next one is used if a window's text fails the thresholds below.",
    )
    beam_size: Annotated[int, Field(ge=1, le=20)] | None = Field(
        default=None, description="Beams at temperature 0; none: 1, and 5 for windows that 1 is unsure about."
    )
    best_of: Annotated[int, Field(ge=1, le=20)] | None = Field(
        default=None, description="Samples to choose from above temperature 0."
    )
    patience: Annotated[float, Field(gt=0, le=10)] | None = Field(
        default=None, description="Beam search ends at `beam_size` x `patience` finished candidates."
    )
    length_penalty: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="Exponent of the length normalization that ranks candidates; none: mean log-probability.",
    )
    suppress_tokens: TokenIds = Field(
        default=[-1],
        description='Ids of text tokens that are never generated, a list or `"11,13"`; `-1`: symbols that are not '
        "spoken.",
    )
    compression_ratio_threshold: Annotated[float, Field(gt=0)] | None = Field(
        default=2.4, description="A window whose text gzip compresses more than this is a loop: next temperature."
    )
    logprob_threshold: Annotated[float, Field(le=0)] | None = Field(
        default=-1.0, description="A window with a lower mean log-probability is unreliable: next temperature."
    )
    no_speech_threshold: Probability | None = Field(
        default=0.6, description="An unreliable window with a higher no-speech probability is silence."
    )
    condition_on_previous_text: bool = Field(
        default=True, description="`sequential` only: prompt each window with the text before it."
    )
    chunking: Literal["vad", "sequential"] = Field(
        default="vad",
        description="`vad`: windows cut at silences, decoded together; `sequential`: openai-whisper's, one after "
        "the other.",
    )
    vad: bool = Field(
        default=True, description="`vad` chunking only: detect speech; `false`: windows cover the whole recording."
    )
    vad_threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=_VAD.threshold, description="Probability from which audio counts as speech."
    )
    min_speech_ms: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=_VAD.min_speech_ms,
        description="Speech of at most this length, in ms, is dropped as a click or a cough.",
    )
    min_silence_ms: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=_VAD.min_silence_ms, description="Shortest pause, in ms, at which windows are cut."
    )
    speech_pad_ms: Annotated[int, Field(ge=0, le=5_000)] = Field(
        default=_VAD.speech_pad_ms, description="Padding at both ends of speech, in ms, so that no sound is cut off."
    )
    denoise: bool = Field(
        default=False, description="ffmpeg's noise reduction `afftdn` before transcription; Whisper seldom benefits."
    )
    clip_timestamps: Clips | None = Field(
        default=None,
        description="Transcribe only these parts: `[[start, end], ...]` or `start,end,start,...`, in seconds or as "
        "`mm:ss`.",
    )
    audio_track: AudioTrack | None = Field(
        default=None,
        description="Audio track to transcribe: its number (from 1), language or title; none: the one that players "
        "take.",
    )
    strict: bool = Field(
        default=False,
        description="Refuse a recording that is cut off; else what is there is transcribed, with a warning.",
    )
    channels: Literal["mix", "split"] = Field(
        default="mix",
        description="`split`: transcribe each channel separately and report it in segments, for calls in stereo.",
    )
    diarize: bool = Field(
        default=False, description="Speaker diarization: speakers in texts, subtitles, segments and words."
    )
    num_speakers: SpeakerCount | None = Field(default=None, description="`diarize` only: number of speakers.")
    min_speakers: SpeakerCount | None = Field(default=None, description="`diarize` only: smallest number of speakers.")
    max_speakers: SpeakerCount | None = Field(default=None, description="`diarize` only: largest number of speakers.")
    speakers: Annotated[dict[SpeakerName, KnownVoice], BeforeValidator(check_voices)] | None = Field(
        default=None,
        max_length=MAX_VOICES,
        description='`diarize` only: known voices, by samples of at most 60 s, `{"Ada": {"url": "..."}}`, or by '
        "embeddings of earlier answers.",
    )
    speaker_embeddings: bool = Field(
        default=False,
        description="`diarize` only: an embedding of each speaker's voice, 192 numbers, and the name of its model.",
    )
    drop_hallucinations: bool = Field(
        default=True, description='Drop loops, and phrases such as "thanks for watching" where nothing is said.'
    )
    subtitle_preset: Literal["broadcast"] | None = Field(
        default=None, description="`broadcast`: 42 characters, 2 lines, 20 characters per second, 0.83 to 7 s."
    )
    max_line_width: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Characters in a line of subtitles; a full-width one (CJK) counts as two."
    )
    max_line_count: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="Lines in a cue; together with `max_line_width`, cues may span segments."
    )
    max_words_per_line: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Words in a line; without the two limits above, each line is a cue."
    )
    highlight_words: bool = Field(
        default=False, description="Mark each word while it is spoken: underlined in SRT and VTT, coloured with `burn`."
    )
    min_cue_duration: Annotated[float, Field(ge=0, le=60)] | None = Field(
        default=None, description="Shortest duration of a cue, in seconds, as far as the next cue allows."
    )
    max_cue_duration: Annotated[float, Field(ge=0.5, le=600)] | None = Field(
        default=None, description="Longest duration of a cue, in seconds."
    )
    min_cue_gap: Annotated[float, Field(ge=0, le=10)] | None = Field(
        default=None, description="Shortest gap between two cues, in seconds."
    )
    max_chars_per_second: Annotated[float, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Reading speed: a cue is shown longer to keep it, as far as the next cue allows."
    )
    speaker_colors: bool = Field(
        default=False,
        description="`srt` and `ass` only: a colour for each speaker; of two who speak at once, one is at the top.",
    )
    stl_frame_rate: FrameRate = Field(
        default=_STL.frame_rate, description="`stl` only: frames per second of its timecodes, 25 or 30 (not 29.97)."
    )
    stl_start: Annotated[str, Field(max_length=MAX_TIMECODE_CHARACTERS)] = Field(
        default=_STL.start, description="`stl` only: timecode of the recording's start, such as `10:00:00:00`."
    )
    captions: Literal["mux", "burn"] | None = Field(
        default=None,
        description="Captions in the video: `mux` adds a track and re-encodes nothing, `burn` draws them into the "
        "picture. Laid out as `broadcast` unless a layout is given.",
    )
    caption_font: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="`burn`: name of a font; none: one that has all letters of the text.",
    )
    caption_size: Annotated[float, Field(ge=1, le=20)] = Field(
        default=_STYLE.size, description="`burn`: font size in percent of the picture's shorter side."
    )
    caption_position: Literal["top", "middle", "bottom"] = Field(
        default=_STYLE.position, description="`burn`: `top`, `middle` or `bottom`."
    )
    caption_color: Color = Field(
        default=_STYLE.color,
        description="`burn`: colour of the text, `#RRGGBB`, or `#RRGGBBAA` with opacity; likewise below.",
    )
    caption_outline_color: Color = Field(default=_STYLE.outline_color, description="`burn`: colour of the outline.")
    caption_highlight_color: Color = Field(
        default=_STYLE.highlight_color, description="`burn` with `highlight_words`: colour of the word being spoken."
    )
    caption_box_color: Color | None = Field(
        default=None, description="`burn`: colour of the box behind the text; none: no box."
    )

    @property
    def layout(self) -> Layout:
        """The layout of subtitles: the preset, overridden by the layout options of the job."""
        values = {field.name: getattr(self, field.name) for field in fields(Layout)}
        preset = PRESETS[self.subtitle_preset] if self.subtitle_preset else Layout()
        given = {name: value for name, value in values.items() if value is not None and value is not False}
        return replace(preset, **given)

    @property
    def stl(self) -> StlOptions:
        """The frame rate and the start of EBU STL."""
        return StlOptions(self.stl_frame_rate, self.stl_start)

    @property
    def needs_words(self) -> bool:
        """True if word timestamps are needed: for the answer, its subtitles, its speakers or what is redacted."""
        for_subtitles = self.layout.needs_words or self.captions is not None
        of_format = not {"ass", "ttml", "stl"}.isdisjoint(self.output_format)
        return self.gives_words or for_subtitles or of_format or self.diarize or bool(self.redact)

    @property
    def gives_words(self) -> bool:
        """True if the answer has words."""
        return self.word_timestamps or self.align is not None

    @property
    def caption_layout(self) -> Layout:
        """The layout of captions: `layout`, or by default `broadcast`, since whole segments would hide the picture."""
        if self.layout != Layout(highlight_words=self.highlight_words):
            return self.layout
        return replace(PRESETS["broadcast"], highlight_words=self.highlight_words)

    @property
    def caption_style(self) -> Style:
        """The style of burned-in captions."""
        return Style(**{field.name: getattr(self, f"caption_{field.name}") for field in fields(Style)})

    @property
    def speaker_counts(self) -> tuple[int, int | None]:
        """Minimum and maximum number of speakers; a maximum of None: any number."""
        return self.num_speakers or self.min_speakers or 1, self.num_speakers or self.max_speakers

    @property
    def voice_samples(self) -> dict[str, AudioSource]:
        """Samples of known voices, by name."""
        return {name: voice for name, voice in (self.speakers or {}).items() if isinstance(voice, AudioSource)}

    @property
    def voice_embeddings(self) -> dict[str, list[float]]:
        """Embeddings of the other known voices, by name."""
        voices = (self.speakers or {}).items()
        return {name: voice.embedding for name, voice in voices if isinstance(voice, VoiceEmbedding)}

    @property
    def corrections(self) -> dict[str, list[str]]:
        """The terms of the custom vocabulary that correct the text, each with its misrecognitions."""
        return self.custom_vocabulary if isinstance(self.custom_vocabulary, dict) else {}

    @cached_property
    def text_changes(self) -> TextChanges:
        """What is changed in the texts, made ready once a job."""
        return TextChanges(
            Corrector(self.corrections),
            _make_redactor(self.redact) if self.redact else None,
            Masker(self.mask, self.mask_style) if self.mask else None,
        )

    @property
    def hints(self) -> list[str]:
        """The terms of the custom vocabulary that go into the prompt."""
        return self.custom_vocabulary if isinstance(self.custom_vocabulary, list) else []

    @property
    def prompt(self) -> str | None:
        """The prompt of a window: the vocabulary's terms, then `initial_prompt`, which so is nearest to the text."""
        terms = vocabulary_prompt(self.hints) if self.hints else ""
        return f"{terms} {self.initial_prompt or ''}".strip() or None

    @model_validator(mode="before")
    @classmethod
    def _choose_chinese_script(cls, raw: Any) -> Any:
        """Take the script from the languages, unless it is given: `zh-TW` is traditional."""
        if not isinstance(raw, dict) or not is_blank(raw.get("chinese_script")):
            return raw
        languages = [*as_list(raw.get("language")), *as_list(raw.get("language_candidates"))][:MAX_LANGUAGES]
        texts = [text for text in languages if isinstance(text, str) and len(text) <= MAX_LANGUAGE_CHARACTERS]
        scripts = {script for text in texts if (script := find_chinese_script(text))}
        return {**raw, "chinese_script": scripts.pop()} if len(scripts) == 1 else raw

    @model_validator(mode="after")
    def _check_stl_start(self) -> Options:
        try:
            parse_timecode(self.stl_start, self.stl_frame_rate)
        except ValueError as error:
            raise ValueError(f"stl_start {error}") from None
        return self

    @model_validator(mode="after")
    def _check_beam_search(self) -> Options:
        if self.patience is not None and self.beam_size is None:
            raise ValueError("patience needs beam_size")
        return self

    @model_validator(mode="after")
    def _check_diarization(self) -> Options:
        given = [name for name in _DIARIZATION_OPTIONS if getattr(self, name)]
        if given and not self.diarize:
            raise ValueError(f"{given[0]} needs diarize")
        if self.num_speakers is not None and (self.min_speakers or self.max_speakers):
            raise ValueError("num_speakers sets the number of speakers: leave min_speakers and max_speakers out")
        if (self.min_speakers or 1) > (self.max_speakers or inf):
            raise ValueError("min_speakers is larger than max_speakers")
        return self

    @model_validator(mode="after")
    def _check_special_tokens(self) -> Options:
        """Refuse texts that tiktoken would not encode, with an exception from within the job."""
        for name in ("initial_prompt", "custom_vocabulary", "align"):
            if _SPECIAL_TOKEN.search(str(getattr(self, name))):
                raise ValueError(f"{name} should be without Whisper's special tokens, such as <|endoftext|>")
        return self

    @model_validator(mode="after")
    def _check_combinations(self) -> Options:
        if self.chunking == "sequential" and self.multilingual:
            raise ValueError('multilingual needs chunking "vad"')
        if self.multilingual and self.language is not None:
            raise ValueError("multilingual detects the language: leave language out")
        if self.language is not None and self.language_candidates is not None:
            raise ValueError("language_candidates is for detection: leave language out")
        if self.align is not None and self.task == "translate":
            raise ValueError('align needs the text that is spoken: leave task "translate" out, or use translate')
        if self.align is not None and self.text_changes.hides:
            raise ValueError("align gives a text as it is: leave redact and mask out")
        if self.align is not None and self.channels == "split":
            raise ValueError('align takes one text for all that is said: leave channels "split" out')
        if self.translate and self.task == "translate":
            raise ValueError('translate adds a translation to the transcription: leave task "translate" out')
        if "mask_style" in self.model_fields_set and not self.mask:
            raise ValueError("mask_style needs mask")
        styled = sorted(name for name in self.model_fields_set if name.startswith("caption_"))
        if styled and self.captions != "burn":
            raise ValueError(f'{styled[0]} needs captions "burn"')
        if (self.layout.min_cue_duration or 0.0) > (self.layout.max_cue_duration or inf):
            raise ValueError("min_cue_duration is longer than max_cue_duration")
        return self


_DIARIZATION_OPTIONS = ("num_speakers", "min_speakers", "max_speakers", "speakers", "speaker_embeddings")


def _make_redactor(kinds: list[PersonalData]) -> Redactor:
    from transcript.redaction import Redactor  # 0.1 s, for few jobs

    return Redactor(kinds)
