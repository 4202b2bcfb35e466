"""Options that a job gave and that change nothing beside its other options: never an error, but worth a warning."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from src.request.options import Options
from transcript.formats.layout import MAX_CUE_MS, MAX_HIGHLIGHTED_LINES

_LAYOUT_OPTIONS = (
    *("subtitle_preset", "max_line_width", "max_line_count", "max_words_per_line"),
    *("min_cue_duration", "max_cue_duration", "min_cue_gap", "max_chars_per_second"),
)


class _Rule(NamedTuple):
    names: tuple[str, ...]
    is_ineffective: Callable[[Options], bool]
    reason: str


def _has_format(options: Options, *formats: str) -> bool:
    return not {*formats}.isdisjoint(options.output_format)


_RULES = (
    _Rule(
        ("highlight_words",),
        lambda options: not (_has_format(options, "srt", "vtt", "all") or options.captions),
        "it marks words in srt, vtt and captions only",
    ),
    _Rule(
        _LAYOUT_OPTIONS,
        lambda options: (
            not (_has_format(options, "srt", "vtt", "ass", "ttml", "stl", "lrc", "all") or options.captions)
        ),
        "it shapes srt, vtt, ass, ttml, stl, lrc and captions only",
    ),
    _Rule(
        ("max_cue_duration",),
        lambda options: options.highlight_words and (options.max_cue_duration or 0) * 1000 > MAX_CUE_MS,
        f"with highlight_words a cue lasts at most {MAX_CUE_MS // 1000} s",
    ),
    _Rule(
        ("max_line_count",),
        lambda options: options.highlight_words and (options.max_line_count or 0) > MAX_HIGHLIGHTED_LINES,
        f"with highlight_words a cue has at most {MAX_HIGHLIGHTED_LINES} lines",
    ),
    _Rule(
        ("speaker_colors",),
        lambda options: not _has_format(options, "srt", "ass", "all"),
        "it colours srt and ass only",
    ),
    _Rule(
        ("stl_frame_rate", "stl_start"),
        lambda options: not _has_format(options, "stl"),
        "it is of the format stl only",
    ),
    _Rule(
        ("word_timestamps",),
        lambda options: not _has_format(options, "json", "verbose_json", "ass", "lrc", "all"),
        "words stand in json, verbose_json, ass and lrc only",
    ),
    _Rule(
        ("token_logprobs",),
        lambda options: not _has_format(options, "json", "all"),
        "logprobs stand in json only",
    ),
    _Rule(
        ("token_logprobs",),
        lambda options: options.align is not None and _has_format(options, "json", "all"),
        "the text of align was not chosen by the model",
    ),
    _Rule(
        ("custom_vocabulary",),
        lambda options: options.align is not None and bool(options.corrections) and not options.translate,
        "the text of align stays as it is",
    ),
    _Rule(
        ("token_logprobs",),
        lambda options: options.text_changes.hides,
        "with redact or mask segments have no tokens, which would tell what is hidden",
    ),
    _Rule(
        ("caption_highlight_color",),
        lambda options: not options.highlight_words,
        "it needs highlight_words",
    ),
    _Rule(
        ("condition_on_previous_text",),
        lambda options: options.condition_on_previous_text and options.chunking == "vad",
        'with chunking "vad" windows are decoded together, without the text before them',
    ),
    _Rule(
        ("carry_initial_prompt",),
        lambda options: options.chunking == "vad",
        'with chunking "vad" every window has the prompt',
    ),
    _Rule(
        ("carry_initial_prompt",),
        lambda options: options.chunking == "sequential" and options.prompt is None,
        "there is no initial_prompt",
    ),
    _Rule(
        ("min_silence_ms", "speech_pad_ms"),
        lambda options: options.chunking == "vad" and not options.vad,
        "with vad false windows cover the whole recording",
    ),
    _Rule(
        ("best_of",),
        lambda options: max(options.temperature) == 0,
        "samples are drawn above temperature 0 only",
    ),
    _Rule(
        ("beam_size", "patience"),
        lambda options: min(options.temperature) > 0,
        "beams are searched at temperature 0 only",
    ),
    _Rule(
        ("patience",),
        lambda options: options.beam_size == 1 and min(options.temperature) == 0,
        "a single beam has no candidates to wait for",
    ),
    _Rule(
        ("length_penalty",),
        lambda options: (
            (options.beam_size == 1 or min(options.temperature) > 0)
            and (max(options.temperature) == 0 or (options.best_of or 1) == 1)
        ),
        "there is a single candidate, and none to rank",
    ),
)


def ineffective_options(options: Options) -> list[str]:
    """Return a sentence for each option that was given and has no effect beside the others."""
    return [
        f"{name} has no effect: {rule.reason}"
        for rule in _RULES
        for name in rule.names
        if _asks_for_something(options, name) and rule.is_ineffective(options)
    ]


def _asks_for_something(options: Options, name: str) -> bool:
    """True for a value that was given and is not the default, nor switches something off."""
    value = getattr(options, name)
    is_default = name not in options.model_fields_set or value == Options.model_fields[name].default
    return not is_default and value is not None and value is not False
