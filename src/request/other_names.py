"""Options under the names that OpenAI's API, openai-whisper, faster-whisper and WhisperX have for them.

Each name is read as options of ours, or is known to have no effect here; both are said in a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from src.request.option_values import as_list
from src.request.request_model import is_blank

Values = dict[str, Any]

MAX_NUMBER_CHARACTERS = 40


def _as(option: str) -> Callable[[Any], Values]:
    return lambda value: {option: value}


def _hotwords(value: Any) -> Values:
    """faster-whisper's are one text; a list of terms is what goes into the prompt."""
    terms = [term.strip() for term in as_list(value) if term.strip()] if isinstance(value, str) else value
    return {"custom_vocabulary": terms}


def _granularities(value: Any) -> Values:
    """`["word"]` asks for words; segments have their times in any case."""
    names = {str(name).strip().lower() for name in as_list(value)[:10]}
    if not names <= {"word", "segment"}:
        raise ValueError('should be a list of "word" and "segment"')
    return {"word_timestamps": "word" in names}


def _include(value: Any) -> Values:
    """`["logprobs"]`, the only addition of OpenAI's API to a transcript."""
    names = {str(name).strip().lower() for name in as_list(value)[:10]}
    if not names <= {"logprobs"}:
        raise ValueError('should be a list of "logprobs"')
    return {"token_logprobs": "logprobs" in names}


def _return_timestamps(value: Any) -> Values:
    """That of transformers: true for segments, "word" for words."""
    return {"word_timestamps": True} if value == "word" else {}


def _vad_parameters(value: Any) -> Values:
    """Those of faster-whisper, in one object."""
    if not isinstance(value, dict):
        raise ValueError('should be an object such as {"threshold": 0.5}')
    return {option: value[name] for name, option in _VAD_PARAMETERS.items() if name in value}


_VAD_PARAMETERS = {
    "threshold": "vad_threshold",
    "min_speech_duration_ms": "min_speech_ms",
    "min_silence_duration_ms": "min_silence_ms",
    "speech_pad_ms": "speech_pad_ms",
}

OTHER_NAMES: Mapping[str, Callable[[Any], Values]] = {
    # OpenAI's API
    "response_format": _as("output_format"),
    "timestamp_granularities": _granularities,
    "timestamp_granularities[]": _granularities,
    "include": _include,
    "include[]": _include,
    "prompt": _as("initial_prompt"),
    # faster-whisper and its worker
    "hotwords": _hotwords,
    "vad_filter": _as("vad"),
    "enable_vad": _as("vad"),
    "vad_parameters": _vad_parameters,
    "log_prob_threshold": _as("logprob_threshold"),
    # WhisperX
    "vad_onset": _as("vad_threshold"),
    # transformers
    "num_beams": _as("beam_size"),
    "return_timestamps": _return_timestamps,
    "condition_on_prev_tokens": _as("condition_on_previous_text"),
}
"""What each name's value is in options of ours; raises ValueError for a wrong one."""


@dataclass(frozen=True)
class NoEffect:
    """An option of others that has no effect here.

    Args:
        because: the reason, as the end of a sentence.
        as_here: its values that ask for what is done in any case: nothing is lost.
    """

    because: str
    as_here: tuple[Any, ...] = ()


_ENDPOINT = NoEffect("the endpoint's settings decide")
_LOOPS = NoEffect("the temperatures and drop_hallucinations deal with loops", (0, 1))
_WINDOWS = NoEffect("windows are cut at pauses, and batched over all jobs", (30,))
_ALIGNMENT = NoEffect("words are aligned by Whisper's own attention")
_PUNCTUATION = NoEffect(
    "punctuation is joined to words as openai-whisper does",
    ("\"'\u201c\u00bf([{-", "\"'.\u3002,\uff0c!\uff01?\uff1f:\uff1a\u201d)]}\u3001"),
)

WITHOUT_EFFECT: Mapping[str, NoEffect] = {
    # openai-whisper
    "fp16": NoEffect("the endpoint's COMPUTE_TYPE decides", (True, False)),
    "verbose": NoEffect("nothing is printed", (False,)),
    "suppress_blank": NoEffect("a window never begins with a blank", (True,)),
    "without_timestamps": NoEffect("segments always have their times", (False,)),
    "max_initial_timestamp": NoEffect("it is 1 s", (1,)),
    "sample_len": NoEffect("a window has up to 224 tokens"),
    "prefix": NoEffect("initial_prompt can give what was said before"),
    "prepend_punctuations": _PUNCTUATION,
    "append_punctuations": _PUNCTUATION,
    "hallucination_silence_threshold": NoEffect("drop_hallucinations removes text where nothing is said"),
    "temperature_increment_on_fallback": NoEffect("give temperature as a list, such as [0, 0.2, 0.4]"),
    "device": _ENDPOINT,
    "compute_type": _ENDPOINT,
    "threads": _ENDPOINT,
    # faster-whisper
    "log_progress": NoEffect("nothing is printed", (False,)),
    "repetition_penalty": _LOOPS,
    "no_repeat_ngram_size": _LOOPS,
    "prompt_reset_on_temperature": NoEffect("it is 0.5", (0.5,)),
    "max_new_tokens": NoEffect("a window has up to 224 tokens"),
    "chunk_length": _WINDOWS,
    "language_detection_threshold": NoEffect("the most likely language is taken", (0.5,)),
    "language_detection_segments": NoEffect("up to five windows are looked at", (1,)),
    # WhisperX
    "batch_size": _WINDOWS,
    "chunk_size": _WINDOWS,
    "vad_method": NoEffect("there is one detector of speech"),
    "vad_offset": NoEffect("vad_threshold is the only one"),
    "align_model": _ALIGNMENT,
    "interpolate_method": _ALIGNMENT,
    "no_align": _ALIGNMENT,
    "return_char_alignments": NoEffect("only words have times", (False,)),
    "suppress_numerals": NoEffect("suppress_tokens takes ids of tokens", (False,)),
    "diarize_model": NoEffect("there is one model of voices"),
    "hf_token": _ENDPOINT,
    "print_progress": NoEffect("nothing is printed", (False,)),
    # OpenAI's API
    "stream": NoEffect("the endpoint's STREAMING decides", (False,)),
    "chunking_strategy": NoEffect("chunking chooses how windows are cut", ("auto",)),
    # transformers
    "chunk_length_s": _WINDOWS,
    "stride_length_s": _WINDOWS,
}
"""Options of others for which there is nothing here, with the reason."""


def read_plainly(value: Any) -> Any:
    """A switch or a number from text that spells it; anything else as it is."""
    if not isinstance(value, str) or len(value) > MAX_NUMBER_CHARACTERS:
        return value
    text = value.strip().lower()
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return value


def ignored(name: str, value: Any) -> str | None:
    """The warning that an option has no effect here; None if it asks for what is done in any case."""
    known = WITHOUT_EFFECT[name]
    if is_blank(value) or read_plainly(value) in known.as_here:
        return None
    return f"{name} has no effect here: {known.because}"
