"""Properties of transcripts, with both kinds of chunking."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from whisper.model import MultiHeadAttention

from benchmarks.scoring import count_errors
from media.sandbox import ffmpeg_executable
from src.audio.pcm import release_pages
from src.errors import Cancelled, InvalidInput
from src.job_control import JobControl
from src.request.options import Options
from src.request.validation import parse_input
from src.settings import get_settings
from src.whisper_processor import WhisperProcessor
from tests.support.clips import CLIPS, spoken
from transcript.formats.render import render
from transcript.transcript import Transcript

pytestmark = [pytest.mark.model, pytest.mark.process]

CHUNKING = ["vad", pytest.param("sequential", marks=pytest.mark.slow)]
SPOKEN = " ".join(spoken("demo.ogg"))


@pytest.fixture(scope="module")
def base() -> Iterator[WhisperProcessor]:
    """A multilingual model."""
    processor = WhisperProcessor("base")
    yield processor
    processor.close()


def options_of(**options: Any) -> Options:
    return parse_input({"audio": "https://example.com/a.mp3", "options": options}).options


def synthesize(path: Path, source: str, *arguments: str) -> Path:
    """Generates a recording with ffmpeg."""
    subprocess.run([ffmpeg_executable(), "-v", "error", "-f", "lavfi", "-i", source, *arguments, path], check=True)
    return path


# --- Languages and translation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunking", CHUNKING)
def test_the_most_likely_languages_are_reported(base: WhisperProcessor, chunking: str) -> None:
    transcript = base.transcribe(CLIPS / "demo.ogg", options_of(chunking=chunking))
    assert transcript.language == next(iter(transcript.languages)) == "en"
    assert len(transcript.languages) == 5
    shares = list(transcript.languages.values())
    assert shares == sorted(shares, reverse=True)
    assert transcript.language_probability == shares[0]


@pytest.mark.slow
@pytest.mark.parametrize("chunking", CHUNKING)
def test_detection_chooses_among_candidates(base: WhisperProcessor, chunking: str) -> None:
    transcript = base.transcribe(
        CLIPS / "demo.ogg", options_of(chunking=chunking, language_candidates=["de", "spanish"], temperature=0)
    )
    assert set(transcript.languages) == {"de", "es"}
    assert sum(transcript.languages.values()) == pytest.approx(1.0)


@pytest.mark.slow
def test_each_window_of_a_multilingual_recording_has_its_language(base: WhisperProcessor) -> None:
    transcript = base.transcribe(CLIPS / "long.ogg", options_of(multilingual=True, clip_timestamps="0,30"))
    assert {segment.language for segment in transcript.segments} == {"en"}
    assert {segment.to_dict()["language"] for segment in transcript.segments} == {"en"}
    alone = base.transcribe(CLIPS / "long.ogg", options_of(language="en", clip_timestamps="0,30"))
    assert transcript.text == alone.text


@pytest.mark.slow
@pytest.mark.parametrize("chunking", CHUNKING)
def test_a_translation_comes_with_the_transcription(base: WhisperProcessor, chunking: str) -> None:
    transcript = base.transcribe(CLIPS / "demo.ogg", options_of(chunking=chunking, translate=True, language="de"))
    alone = base.transcribe(CLIPS / "demo.ogg", options_of(chunking=chunking, task="translate", language="de"))
    assert transcript.translation is not None
    assert transcript.translation.text == alone.text
    assert transcript.translation.task == "translate"
    assert transcript.text != alone.text


@pytest.mark.slow
@pytest.mark.parametrize("chunking", CHUNKING)
def test_english_is_its_own_translation(base: WhisperProcessor, chunking: str) -> None:
    transcript = base.transcribe(CLIPS / "demo.ogg", options_of(chunking=chunking, translate=True))
    assert transcript.translation is not None
    assert transcript.translation.text == transcript.text != ""


@pytest.mark.slow
def test_a_translation_costs_no_second_encoding(base: WhisperProcessor, monkeypatch: pytest.MonkeyPatch) -> None:
    from src.engine.model import Encoder

    passes: list[int] = []
    encode = Encoder.__call__
    monkeypatch.setattr(Encoder, "__call__", lambda self, mel: passes.append(len(mel)) or encode(self, mel))
    base.transcribe(CLIPS / "demo.ogg", options_of(translate=True, language="de", vad=False))
    assert sum(passes) == 1


# --- Prompts and vocabulary ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("chunking", CHUNKING)
def test_a_prompt_that_is_too_long_gives_a_warning(base: WhisperProcessor, chunking: str) -> None:
    def warnings(prompt: str) -> list[str]:
        # Two seconds are enough: of the whole clip, the long prompt makes a loop of 222 tokens.
        options = options_of(
            chunking=chunking, initial_prompt=prompt, temperature=0, language="en", clip_timestamps="0,2"
        )
        return base.transcribe(CLIPS / "demo.ogg", options).warnings

    assert "tokens too long" in warnings("The animals. " * 200)[0]
    assert warnings("Animals.") == []


@pytest.mark.slow
@pytest.mark.parametrize("chunking", CHUNKING)
def test_vocabulary_is_replaced_everywhere_and_counted(base: WhisperProcessor, chunking: str) -> None:
    options = options_of(
        chunking=chunking, word_timestamps=True, custom_vocabulary={"Vulpes": "fox", "Orator": "speech", "Unused": "x"}
    )
    transcript = base.transcribe(CLIPS / "demo.ogg", options)
    assert transcript.vocabulary == {"Vulpes": 1, "Orator": 1, "Unused": 0}
    rendered = render(transcript, ["all"], options.layout)
    spoken_text = " ".join(word["word"] for segment in rendered["segments"] for word in segment["words"])
    for text in (rendered["text"], rendered["srt"], rendered["vtt"], rendered["tsv"], spoken_text):
        assert "Vulpes" in text
        assert "fox" not in text


# --- Hallucinations, and quiet speech ---------------------------------------------------------------------------------

CHORD = "aevalsrc='0.2*(sin(2*PI*220*t)+sin(2*PI*277*t)+sin(2*PI*330*t))*(0.6+0.4*sin(2*PI*2*t))':d=12:s=16000"


@pytest.mark.slow
@pytest.mark.parametrize("chunking", CHUNKING)
@pytest.mark.parametrize(
    "source",
    ["anullsrc=r=16000:cl=mono", "anoisesrc=c=pink:a=0.3:r=16000:seed=1", "anoisesrc=a=0.05:r=16000:seed=2", CHORD],
)
def test_silence_noise_and_music_have_no_words(
    base: WhisperProcessor, chunking: str, source: str, tmp_path: Path
) -> None:
    recording = synthesize(tmp_path / "sound.wav", source, "-t", "12")
    transcript = base.transcribe(recording, options_of(chunking=chunking, language="en"))
    assert transcript.text == ""


@pytest.mark.slow
@pytest.mark.parametrize("chunking", CHUNKING)
def test_quiet_speech_is_transcribed(base: WhisperProcessor, chunking: str, tmp_path: Path) -> None:
    # demo.ogg is at -17 dB (RMS); this is at -35 dB.
    quiet = tmp_path / "quiet.wav"
    command = [ffmpeg_executable(), "-v", "error", "-i", str(CLIPS / "demo.ogg"), "-af", "volume=-18dB", str(quiet)]
    subprocess.run(command, check=True)
    transcript = base.transcribe(quiet, options_of(chunking=chunking, language="en"))
    assert count_errors(SPOKEN, transcript.text, "en").edits <= 2


# --- Channels --------------------------------------------------------------------------------------------------------


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """A call in stereo: one side on the left, the other on the right from 3 s on."""
    mono = "aresample=16000,aformat=channel_layouts=mono"
    joined = f"[0:a]{mono}[a];[1:a]{mono},adelay=3000[b];[a][b]join=inputs=2:channel_layout=stereo"
    clips = ["-i", str(CLIPS / "demo.ogg"), "-i", str(CLIPS / "numbers.mp3")]
    call = tmp_path / "call.wav"
    subprocess.run([ffmpeg_executable(), "-v", "error", *clips, "-filter_complex", joined, call], check=True)
    return call


@pytest.mark.parametrize("chunking", CHUNKING)
def test_each_channel_of_a_call_is_transcribed_and_labelled(base: WhisperProcessor, chunking: str, call: Path) -> None:
    transcript = base.transcribe(call, options_of(chunking=chunking, channels="split", language="en"))
    for channel, clip in enumerate(["demo.ogg", "numbers.mp3"]):
        spoken_text = " ".join(segment.text for segment in transcript.segments if segment.channel == channel)
        assert count_errors(" ".join(spoken(clip)), spoken_text, "en").edits <= 2
    starts = [segment.start for segment in transcript.segments]
    assert starts == sorted(starts)
    assert [segment.id for segment in transcript.segments] == list(range(len(starts)))
    rendered = render(transcript, ["srt", "vtt", "tsv"])
    assert rendered["text"].startswith("CHANNEL_0: ")
    assert "\nCHANNEL_1: " in rendered["text"]
    assert "<v CHANNEL_1>" in rendered["vtt"]
    assert "\nCHANNEL_1: " in rendered["srt"]
    assert rendered["tsv"].splitlines()[0].split("\t") == ["start", "end", "speaker", "text"]


@pytest.mark.slow
def test_the_progress_of_a_channel_is_a_share_of_the_whole(base: WhisperProcessor, call: Path) -> None:
    reported: list[float] = []
    control = JobControl()
    control.listen(lambda stage, done, total: reported.append(done / total) if stage == "transcribing" else None)
    base.transcribe(call, options_of(channels="split", language="en"), control)
    assert reported == sorted(reported)
    assert reported[0] == 0.0
    assert reported[-1] > 0.9


# --- Long recordings -------------------------------------------------------------------------------------------------


def mapped_mb() -> float:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssFile"].split()[0]) / 1024


@pytest.mark.slow
def test_the_pages_of_a_long_recording_are_released(tmp_path: Path) -> None:
    (tmp_path / "pcm").write_bytes(bytes(128 << 20))
    before = mapped_mb()
    left = np.memmap(tmp_path / "pcm", "<i2", mode="r").reshape(-1, 2)[:, 0]
    assert left.sum() == 0
    assert mapped_mb() - before > 100
    release_pages(left, len(left) // 2)
    assert 50 < mapped_mb() - before < 80
    assert left[:100].sum() == 0  # it can be read again


@pytest.mark.slow
def test_a_long_recording_is_split_into_sections_without_cutting_a_word(
    base: WhisperProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.transcription.sequential.SECTION_SECONDS", 30)
    reported: list[float] = []
    control = JobControl(on_segment=lambda segment: reported.append(segment.start))
    transcript = base.transcribe(CLIPS / "long.ogg", options_of(chunking="sequential", language="en"), control)
    assert count_errors(" ".join(spoken("long.ogg")), transcript.text, "en").rate < 0.05
    assert reported == sorted(reported) == [segment.start for segment in transcript.segments]


class CancelledDuringAlignment(JobControl):
    """Stops the job in the pass in which openai-whisper reads the cross-attention."""

    def check(self) -> None:
        if not MultiHeadAttention.use_sdpa:
            self.cancel("stopped")
        super().check()


@pytest.mark.slow
def test_a_job_that_is_cancelled_during_alignment_leaves_the_model_usable(base: WhisperProcessor) -> None:
    options = options_of(chunking="sequential", language="en", word_timestamps=True)
    with pytest.raises(Cancelled):
        base.transcribe(CLIPS / "demo.ogg", options, CancelledDuringAlignment())
    text = base.transcribe(CLIPS / "demo.ogg", options).text
    assert count_errors(SPOKEN, text, "en").rate < 0.1


# --- Models ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_job_may_name_an_allowed_model(base: WhisperProcessor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_MODELS", "tiny.en, turbo")
    get_settings.cache_clear()
    try:
        transcript: Transcript = base.transcribe(CLIPS / "demo.ogg", options_of(model="tiny.en"))
        assert transcript.model == "tiny.en"
        expected = r"^options\.model: should be one of .*base, tiny\.en, turbo"
        with pytest.raises(InvalidInput, match=expected), base.reserve(options_of(model="large-v3")):
            pass
    finally:
        get_settings.cache_clear()
    assert base.transcribe(CLIPS / "demo.ogg", options_of()).model == "base"


@pytest.mark.parametrize(
    ("model", "options"),
    [("tiny.en", {"translate": True}), ("tiny.en", {"multilingual": True}), ("tiny.en", {"language": "de"})],
)
def test_an_english_model_refuses_options_that_it_does_not_support(
    base: WhisperProcessor, model: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_MODELS", "tiny.en")
    get_settings.cache_clear()
    try:
        refused = pytest.raises(InvalidInput, match="use one such as base")
        with refused, base.reserve(options_of(model=model, **options)):
            pass
    finally:
        get_settings.cache_clear()
