"""What a model can do for a job: what it cannot is refused before the work; what was in vain is a warning after it."""

from __future__ import annotations

from collections.abc import Iterable

from whisper.tokenizer import LANGUAGES

from src.engine.decoding_options import MAX_PROMPT_TOKENS
from src.errors import InvalidInput
from src.request.options import Options
from src.transcription.language_detection import sounds_foreign
from src.transcription.model_cache import LoadedModel
from transcript.chinese_script import CHINESE, is_chinese
from transcript.transcript import Transcript


def check_support(model: LoadedModel, options: Options) -> None:
    """Refuse options that the model was not trained for, which it would silently ignore.

    Raises:
        InvalidInput: naming a model that supports them.
    """
    dims = model.engine.source.dims
    multilingual = model.engine.token_sets.multilingual
    if options.chunking == "sequential" and len(model.engine.placements[0].devices) > 1:
        raise InvalidInput(f"the model {model.name} is split over several GPUs: use chunking vad, or a smaller model")
    wanted = _wanted_languages(options)
    if wanted and len(unknown := _unknown_languages(model, options)) == len(wanted):
        remedy = "turbo or large-v3" if "yue" in unknown else "base or turbo"  # Cantonese came with large-v3
        if not multilingual:
            raise InvalidInput(
                f"the model {model.name} knows English only: for {_names(unknown)} use one such as {remedy}"
            )
        raise InvalidInput(f"the model {model.name} does not know {_names(unknown)}: use one such as {remedy}")
    if options.multilingual and not multilingual:
        raise InvalidInput(f"the model {model.name} knows English only: use one such as base or turbo")
    if options.translate or options.task == "translate":
        if not multilingual:
            raise InvalidInput(f"the model {model.name} cannot translate: use one such as base, medium or large-v3")
        if dims.n_text_layer < dims.n_audio_layer:
            # turbo and the distilled models lost most decoder layers, and with them the ability to translate.
            raise InvalidInput(f"the model {model.name} cannot translate: use one such as medium or large-v3")


def fit_warnings(transcript: Transcript, model: LoadedModel, options: Options) -> list[str]:
    """Return a sentence for each option that the model, or the speech of this transcript, left without effect.

    Args:
        transcript: of one channel, as transcribed.
        model: it transcribed.
        options: of the job.
    """
    return [*_model_warnings(model, options), *_speech_warnings(transcript, model, options)]


def _model_warnings(model: LoadedModel, options: Options) -> Iterable[str]:
    if options.prompt and (tokens := model.engine.token_sets.excess_prompt_tokens(options.prompt)):
        yield (
            f"the prompt is {tokens} tokens too long, so its beginning was left out: Whisper reads {MAX_PROMPT_TOKENS}"
        )
    if options.needs_words and not model.engine.has_alignment_heads:
        yield (
            f"the times of words are less exact than usual: the model {model.name} does not say which of its heads "
            "follow them; put alignment_heads into its generation_config.json"
        )
    if unknown := _unknown_languages(model, options):
        yield f"language_candidates: the model {model.name} does not know {_names(unknown)}: left out"


def _speech_warnings(transcript: Transcript, model: LoadedModel, options: Options) -> Iterable[str]:
    if not transcript.segments:
        return
    multilingual = model.engine.token_sets.multilingual
    if not multilingual and options.language is None and sounds_foreign(transcript.segments):
        yield (
            f"the model {model.name} knows English only, and this recording does not sound like English, or is hard to "
            "understand: use a multilingual model such as base or turbo"
        )
    if transcript.language == "en" and not options.multilingual:
        if options.task == "translate":
            yield "task: the speech is English, so there was nothing to translate"
        elif options.translate:
            yield "translate: the speech is English, so its translation is its transcription"
    # Where Chinese is among the given languages, its tag may have chosen the script.
    names_chinese = any(language in CHINESE for language in _wanted_languages(options))
    is_needed = options.chinese_script is not None and not names_chinese
    if is_needed and not any(is_chinese(segment, transcript) for segment in transcript.segments):
        language = LANGUAGES[transcript.text_language].title()
        yield f"chinese_script: without effect on {language} text"


def _wanted_languages(options: Options) -> list[str]:
    return [options.language] if options.language else list(options.language_candidates or [])


def _unknown_languages(model: LoadedModel, options: Options) -> list[str]:
    known = model.engine.token_sets.languages
    return [language for language in _wanted_languages(options) if language not in known]


def _names(languages: Iterable[str]) -> str:
    return ", ".join(LANGUAGES[language].title() for language in languages)
