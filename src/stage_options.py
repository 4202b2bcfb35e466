"""A job's options as each stage takes them: the last place, going down, where all options are known."""

from __future__ import annotations

from src.audio.decoding_run import AudioOptions
from src.audio.vad import VadOptions
from src.engine.decoding_options import DecodingOptions
from src.request.options import Options
from src.transcription.batched import BatchedOptions
from src.transcription.hallucination_filter import HallucinationFilter
from src.transcription.sequential import SequentialOptions


def to_audio_options(options: Options) -> AudioOptions:
    """Return the options of decoding."""
    return AudioOptions(options.audio_track, options.channels == "split", options.denoise, options.strict)


def to_vad_options(options: Options) -> VadOptions:
    """Return the options of voice activity detection."""
    return VadOptions(options.vad_threshold, options.min_speech_ms, options.min_silence_ms, options.speech_pad_ms)


def _to_decoding_options(options: Options) -> DecodingOptions:
    return DecodingOptions(
        language=options.language,
        candidate_languages=tuple(options.language_candidates or ()),
        task=options.task,
        with_translation=options.translate,
        prompt=options.prompt,
        temperatures=tuple(options.temperature),
        beam_size=options.beam_size,
        best_of=options.best_of,
        patience=options.patience,
        length_penalty=options.length_penalty,
        suppress_tokens=tuple(options.suppress_tokens),
        compression_ratio_threshold=options.compression_ratio_threshold,
        logprob_threshold=options.logprob_threshold,
        no_speech_threshold=options.no_speech_threshold,
        word_timestamps=options.needs_words,
        token_logprobs=options.token_logprobs,
    )


def _to_hallucination_filter(options: Options) -> HallucinationFilter | None:
    if not options.drop_hallucinations:
        return None
    # Windows found by the VAD all contain speech; openai-whisper also decodes stretches without any.
    speech_only = options.vad and options.chunking == "sequential"
    return HallucinationFilter(to_vad_options(options), options.compression_ratio_threshold, speech_only)


def to_batched_options(options: Options) -> BatchedOptions:
    """Return the options of `chunking: vad`."""
    return BatchedOptions(
        _to_decoding_options(options),
        multilingual=options.multilingual,
        vad=to_vad_options(options) if options.vad else None,
        hallucination_filter=_to_hallucination_filter(options),
        text_changes=options.text_changes,
        chinese_script=options.chinese_script,
    )


def to_sequential_options(options: Options) -> SequentialOptions:
    """Return the options of `chunking: sequential`."""
    return SequentialOptions(
        _to_decoding_options(options),
        condition_on_previous_text=options.condition_on_previous_text,
        carry_initial_prompt=options.carry_initial_prompt,
        hallucination_filter=_to_hallucination_filter(options),
        text_changes=options.text_changes,
        chinese_script=options.chinese_script,
    )
