"""Options that change nothing beside the others: a warning each, and none where they have an effect."""

from __future__ import annotations

from typing import Any

import pytest

from src.request.ineffective import ineffective_options
from src.request.options import Options

BURN = {"captions": "burn"}
SEQUENTIAL = {"chunking": "sequential"}


def warned(options: dict[str, Any]) -> list[str]:
    return [warning.split(" has no effect: ")[0] for warning in ineffective_options(Options(**options))]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"highlight_words": True, "output_format": ["json"]}, ["highlight_words"]),
        ({"highlight_words": False, "output_format": ["json"]}, []),
        ({"highlight_words": True, "output_format": ["vtt"]}, []),
        ({"highlight_words": True}, []),
        ({"highlight_words": True, "max_cue_duration": 60.0}, ["max_cue_duration"]),
        ({"highlight_words": True, "max_line_count": 50}, ["max_line_count"]),
        ({"highlight_words": True, "max_cue_duration": 30.0, "max_line_count": 32}, []),
        ({"max_cue_duration": 60.0, "max_line_count": 50}, []),
        ({"highlight_words": True, "output_format": ["json"], **BURN}, []),
        ({"max_words_per_line": 3, "output_format": ["json", "tsv"]}, ["max_words_per_line"]),
        ({"max_words_per_line": None, "output_format": ["json"]}, []),
        ({"subtitle_preset": "broadcast", "output_format": ["text"]}, ["subtitle_preset"]),
        ({"max_line_count": 2, "min_cue_gap": 1.0, "output_format": ["text"]}, ["max_line_count", "min_cue_gap"]),
        ({"max_line_width": 42, "output_format": ["lrc"]}, []),
        ({"speaker_colors": True, "output_format": ["vtt"]}, ["speaker_colors"]),
        ({"speaker_colors": True}, []),
        ({"word_timestamps": True, "output_format": ["srt"]}, ["word_timestamps"]),
        ({"word_timestamps": True, "output_format": ["verbose_json"]}, []),
        ({"token_logprobs": True, "output_format": ["text", "verbose_json"]}, ["token_logprobs"]),
        ({"token_logprobs": True, "output_format": ["json", "srt"]}, []),
        ({"token_logprobs": True}, []),
        ({"token_logprobs": True, "align": "A"}, ["token_logprobs"]),
        ({"custom_vocabulary": {"A": ["B"]}, "align": "A"}, ["custom_vocabulary"]),
        ({"custom_vocabulary": {"A": ["B"]}, "align": "A", "translate": True}, []),
        ({"custom_vocabulary": ["A"], "align": "A"}, []),
        ({"word_timestamps": True, "align": "A"}, []),
        ({"caption_highlight_color": "#00FF00", **BURN}, ["caption_highlight_color"]),
        ({"caption_highlight_color": "#00FF00", "highlight_words": True, **BURN}, []),
        ({"condition_on_previous_text": True}, []),  # the default, which some clients send
        ({"condition_on_previous_text": False}, []),
        ({"condition_on_previous_text": True, **SEQUENTIAL}, []),
        ({"carry_initial_prompt": True, "initial_prompt": "A"}, ["carry_initial_prompt"]),
        ({"carry_initial_prompt": True, **SEQUENTIAL}, ["carry_initial_prompt"]),
        ({"carry_initial_prompt": True, "initial_prompt": "A", **SEQUENTIAL}, []),
        ({"vad": False, "min_silence_ms": 200, "speech_pad_ms": 0}, ["min_silence_ms", "speech_pad_ms"]),
        ({"min_silence_ms": 200}, []),
        ({"best_of": 5, "temperature": [0.0]}, ["best_of"]),
        ({"best_of": 5}, []),
        ({"beam_size": 5, "patience": 2.0, "temperature": [0.4]}, ["beam_size", "patience"]),
        ({"beam_size": 5, "patience": 2.0}, []),
        ({"beam_size": 1, "patience": 2.0}, ["patience"]),
        ({"length_penalty": 0.5, "beam_size": 1}, ["length_penalty"]),
        ({"length_penalty": 0.5, "beam_size": 1, "best_of": 5}, []),
        ({"length_penalty": 0.5}, []),
        ({}, []),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_named(options: dict[str, Any], expected: list[str]) -> None:
    assert warned(options) == expected
