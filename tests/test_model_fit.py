"""What a model cannot do is refused, and what was asked of it in vain is a warning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.recordings import load_pcm, write_wav
from src import channel_steps
from src.engine.decoding_options import DecodingOptions
from src.engine.window import WindowTranscript
from src.errors import InvalidInput
from src.job_control import JobControl
from src.rp_handler import handler
from src.transcription.batched import BatchedOptions, transcribe_in_windows
from src.whisper_processor import WhisperProcessor
from tests.support.clips import CLIPS, as_base64
from transcript.chinese_script import ChineseScript
from transcript.transcript import Segment, Transcript, Word

pytestmark = [pytest.mark.model, pytest.mark.process]

DEMO = CLIPS / "demo.ogg"
FOREIGN = (
    "the model tiny.en knows English only, and this recording does not sound like English, or is hard to understand: "
    "use a multilingual model such as base or turbo"
)


@pytest.fixture(scope="module")
def tiny() -> Iterator[WhisperProcessor]:
    processor = WhisperProcessor("tiny.en")
    yield processor
    processor.close()


@pytest.fixture(scope="module")
def base() -> Iterator[WhisperProcessor]:
    processor = WhisperProcessor("base")
    yield processor
    processor.close()


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speech that is not English: English backwards."""
    return write_wav(load_pcm(DEMO)[::-1].copy(), tmp_path_factory.mktemp("foreign") / "foreign.wav")


@pytest.mark.parametrize("chunking", ["vad", pytest.param("sequential", marks=pytest.mark.slow)])
def test_an_english_only_model_measures_no_language_and_says_if_speech_is_foreign(
    tiny: WhisperProcessor, foreign: Path, chunking: str
) -> None:
    english = tiny.transcribe(DEMO, {"chunking": chunking})
    assert (english.language, english.language_probability, english.languages) == ("en", None, {})
    assert english.warnings == []
    strange = tiny.transcribe(foreign, {"chunking": chunking, "temperature": 0.0})
    assert (strange.language, strange.language_probability, strange.warnings) == ("en", None, [FOREIGN])


@pytest.mark.slow
def test_a_caller_who_says_that_it_is_english_is_believed(tiny: WhisperProcessor, foreign: Path) -> None:
    transcript = tiny.transcribe(foreign, {"language": "en", "temperature": 0.0})
    assert (transcript.language_probability, transcript.warnings) == (1.0, [])


@pytest.mark.slow
def test_a_multilingual_model_detects_instead_of_warning(base: WhisperProcessor, foreign: Path) -> None:
    transcript = base.transcribe(foreign, {"temperature": 0.0})
    assert transcript.language_probability is not None
    assert transcript.warnings == []


def test_a_probability_that_nobody_measured_is_null_in_the_answer() -> None:
    for clip in ("demo.ogg", "silence.flac"):
        answer = handler({"input": {"audio": {"base64": as_base64(CLIPS / clip)}}})
        assert answer["metadata"]["language_probability"] is None


@pytest.mark.parametrize(
    ("model", "options", "sentence"),
    [
        ("tiny", {"language": "de"}, "the model tiny.en knows English only: for German use one such as base or turbo"),
        (
            "tiny",
            {"language_candidates": ["de", "fr"]},
            "the model tiny.en knows English only: for German, French use one such as base or turbo",
        ),
        ("tiny", {"multilingual": True}, "the model tiny.en knows English only: use one such as base or turbo"),
        (
            "tiny",
            {"translate": True},
            "the model tiny.en cannot translate: use one such as base, medium or large-v3",
        ),
        (
            "tiny",
            {"language": "yue"},
            "the model tiny.en knows English only: for Cantonese use one such as turbo or large-v3",
        ),
        ("base", {"language": "yue"}, "the model base does not know Cantonese: use one such as turbo or large-v3"),
        (
            "base",
            {"language_candidates": ["yue"]},
            "the model base does not know Cantonese: use one such as turbo or large-v3",
        ),
    ],
)
def test_languages_and_tasks_that_a_model_does_not_know_are_refused(
    request: pytest.FixtureRequest, model: str, options: dict[str, Any], sentence: str
) -> None:
    processor: WhisperProcessor = request.getfixturevalue(model)
    with pytest.raises(InvalidInput) as refused:
        processor.transcribe(DEMO, options)
    assert str(refused.value) == sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "options", "warning"),
    [
        (
            "tiny",
            {"language_candidates": ["en", "de"]},
            "language_candidates: the model tiny.en does not know German: left out",
        ),
        (
            "base",
            {"language_candidates": ["en", "yue"]},
            "language_candidates: the model base does not know Cantonese: left out",
        ),
        ("base", {"task": "translate"}, "task: the speech is English, so there was nothing to translate"),
        ("base", {"translate": True}, "translate: the speech is English, so its translation is its transcription"),
        ("base", {"chinese_script": "traditional"}, "chinese_script: without effect on English text"),
        ("base", {"language_candidates": ["en", "zh-CN"]}, ""),
        (
            "base",
            {"language": "en", "chinese_script": "simplified", "chunking": "sequential"},
            "chinese_script: without effect on English text",
        ),
        (
            "tiny",
            {"clip_timestamps": [[0, 3], [2000, 3000]]},
            "1 of 2 parts in clip_timestamps begin after the recording's end, 6.7 s: left out",
        ),
    ],
)
def test_what_was_asked_in_vain_is_a_warning(
    request: pytest.FixtureRequest, model: str, options: dict[str, Any], warning: str
) -> None:
    processor: WhisperProcessor = request.getfixturevalue(model)
    assert processor.transcribe(DEMO, options).warnings == ([warning] if warning else [])


@pytest.mark.slow
def test_candidates_that_are_all_unlikely_are_a_warning(base: WhisperProcessor) -> None:
    transcript = base.transcribe(DEMO, {"language_candidates": ["de", "fr"], "temperature": 0})
    assert transcript.language in ("de", "fr")
    assert transcript.warnings[0].startswith(
        "language_candidates: none of de, fr is likely; without them it would be English, en, with a probability of 0.9"
    )


class ChineseEngine:
    """Writes the same Chinese for each window."""

    token_sets = SimpleNamespace(multilingual=True)

    def transcribe(self, windows: Iterable[Any], *_: Any, **__: Any) -> Iterator[WindowTranscript]:
        for _ in windows:
            words = [Word(word, 0.5 + at, 1.0 + at, 0.9) for at, word in enumerate(("會", "議", "发", "展"))]
            yield WindowTranscript([Segment(0, 0, 0.5, 4.5, "會議发展", [1], 0.0, -0.2, 1.0, 0.0, words)])

    def cancel(self, client: Any) -> None:
        """Nothing runs."""


@pytest.mark.parametrize(("script", "text"), [("simplified", "会议发展"), ("traditional", "會議發展")])
def test_streamed_segments_are_in_the_script_that_was_asked_for(script: ChineseScript, text: str) -> None:
    streamed: list[Segment] = []
    options = BatchedOptions(DecodingOptions(language="zh"), chinese_script=script)
    transcribe_in_windows(ChineseEngine(), load_pcm(DEMO), None, options, JobControl(streamed.append))  # type: ignore[arg-type]
    assert streamed
    assert {segment.text for segment in streamed} == {text}


def test_the_transcript_is_in_the_script_that_was_asked_for_before_it_is_corrected(
    tiny: WhisperProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Transcript("zh", 1.0, 6.7, [Segment(0, 0, 0.5, 4.5, "會議发展", [1], 0.0, -0.2, 1.0, 0.0)])
    monkeypatch.setattr(channel_steps, "transcribe_in_windows", lambda *_: written)
    options = {"chinese_script": "simplified", "custom_vocabulary": {"會展": ["会议发展"]}}
    transcript = tiny.transcribe(DEMO, options)
    assert (transcript.text, transcript.warnings) == ("會展", [])
