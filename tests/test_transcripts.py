"""What people expect of a transcript, through the whole worker, in both ways of chunking."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from whisper.model import MultiHeadAttention

from benchmarks.scoring import errors
from src.audio.ffmpeg_process import ffmpeg_executable
from src.audio.pcm import release_pages
from src.errors import Cancelled, InvalidInput
from src.formats.render import render
from src.job_control import JobControl
from src.request.options import Options
from src.request.validation import parse_input
from src.settings import get_settings
from src.transcript.transcript import Transcript
from src.whisper_processor import WhisperProcessor
from tests.support.clips import CLIPS, spoken

pytestmark = [pytest.mark.model, pytest.mark.process]

CHUNKING = ["vad", "sequential"]
SPOKEN = " ".join(spoken("demo.ogg"))


@pytest.fixture(scope="module")
def base() -> Iterator[WhisperProcessor]:
    """A model of several languages."""
    processor = WhisperProcessor("base")
    yield processor
    processor.close()


def asked(**options: Any) -> Options:
    return parse_input({"audio": "https://example.com/a.mp3", "options": options}).options


def sound(path: Path, source: str, *arguments: str) -> Path:
    """A recording that ffmpeg makes."""
    subprocess.run([ffmpeg_executable(), "-v", "error", "-f", "lavfi", "-i", source, *arguments, path], check=True)
    return path


# --- Languages and translation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunking", CHUNKING)
def test_the_likeliest_languages_are_told(base: WhisperProcessor, chunking: str) -> None:
    transcript = base.transcribe(CLIPS / "demo.ogg", asked(chunking=chunking))
    assert transcript.language == next(iter(transcript.languages)) == "en"
    assert len(transcript.languages) == 5
    shares = list(transcript.languages.values())
    assert shares == sorted(shares, reverse=True)
    assert transcript.language_probability == shares[0]


@pytest.mark.parametrize("chunking", CHUNKING)
def test_detection_chooses_among_candidates(base: WhisperProcessor, chunking: str) -> None:
    transcript = base.transcribe(
        CLIPS / "demo.ogg", asked(chunking=chunking, language_candidates=["de", "french"], temperature=0)
    )
    assert set(transcript.languages) == {"de", "fr"}
    assert sum(transcript.languages.values()) == pytest.approx(1.0)


def test_each_window_of_a_multilingual_recording_tells_its_language(base: WhisperProcessor) -> None:
    transcript = base.transcribe(CLIPS / "long.ogg", asked(multilingual=True, clip_timestamps="0,30"))
    assert {segment.language for segment in transcript.segments} == {"en"}
    assert {segment.to_dict()["language"] for segment in transcript.segments} == {"en"}
    alone = base.transcribe(CLIPS / "long.ogg", asked(language="en", clip_timestamps="0,30"))
    assert transcript.text == alone.text


@pytest.mark.parametrize("chunking", CHUNKING)
def test_a_translation_stands_beside_the_transcription(base: WhisperProcessor, chunking: str) -> None:
    transcript = base.transcribe(CLIPS / "demo.ogg", asked(chunking=chunking, translate=True, language="de"))
    alone = base.transcribe(CLIPS / "demo.ogg", asked(chunking=chunking, task="translate", language="de"))
    assert transcript.translation is not None
    assert transcript.translation.text == alone.text
    assert transcript.translation.task == "translate"
    assert transcript.text != alone.text


@pytest.mark.parametrize("chunking", CHUNKING)
def test_english_is_its_own_translation(base: WhisperProcessor, chunking: str) -> None:
    transcript = base.transcribe(CLIPS / "demo.ogg", asked(chunking=chunking, translate=True))
    assert transcript.translation is not None
    assert transcript.translation.text == transcript.text != ""


def test_a_translation_costs_no_second_encoding(base: WhisperProcessor, monkeypatch: pytest.MonkeyPatch) -> None:
    from src.engine.model import Encoder

    passes: list[int] = []
    encode = Encoder.__call__
    monkeypatch.setattr(Encoder, "__call__", lambda self, mel: passes.append(len(mel)) or encode(self, mel))
    base.transcribe(CLIPS / "demo.ogg", asked(translate=True, language="de", vad=False))
    assert sum(passes) == 1


# --- Prompts and vocabulary ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("chunking", CHUNKING)
def test_a_prompt_that_is_too_long_is_told(base: WhisperProcessor, chunking: str) -> None:
    long = base.transcribe(
        CLIPS / "demo.ogg", asked(chunking=chunking, initial_prompt="The animals. " * 200, temperature=0)
    )
    assert "tokens too long" in long.warnings[0]
    assert (
        base.transcribe(CLIPS / "demo.ogg", asked(chunking=chunking, initial_prompt="Animals.", temperature=0)).warnings
        == []
    )


@pytest.mark.parametrize("chunking", CHUNKING)
def test_vocabulary_is_put_in_everywhere_and_counted(base: WhisperProcessor, chunking: str) -> None:
    options = asked(
        chunking=chunking, word_timestamps=True, custom_vocabulary={"Vulpes": "fox", "Orator": "speech", "Unused": "x"}
    )
    transcript = base.transcribe(CLIPS / "demo.ogg", options)
    assert transcript.vocabulary == {"Vulpes": 1, "Orator": 1, "Unused": 0}
    rendered = render(transcript, ["all"], options.layout)
    said = " ".join(word["word"] for segment in rendered["segments"] for word in segment["words"])
    for text in (rendered["text"], rendered["srt"], rendered["vtt"], rendered["tsv"], said):
        assert "Vulpes" in text
        assert "fox" not in text


# --- What no one said, and what is said quietly ----------------------------------------------------------------------

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
    recording = sound(tmp_path / "sound.wav", source, "-t", "12")
    transcript = base.transcribe(recording, asked(chunking=chunking, language="en"))
    assert transcript.text == ""


@pytest.mark.parametrize("chunking", CHUNKING)
def test_quiet_speech_is_heard(base: WhisperProcessor, chunking: str, tmp_path: Path) -> None:
    # demo.ogg is at -17 dB (RMS); this is at -35 dB.
    quiet = tmp_path / "quiet.wav"
    command = [ffmpeg_executable(), "-v", "error", "-i", str(CLIPS / "demo.ogg"), "-af", "volume=-18dB", str(quiet)]
    subprocess.run(command, check=True)
    transcript = base.transcribe(quiet, asked(chunking=chunking, language="en"))
    assert errors(SPOKEN, transcript.text, "en").edits <= 2


# --- Channels --------------------------------------------------------------------------------------------------------


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """A caller on the left, who is answered from the right after 3 s."""
    mono = "aresample=16000,aformat=channel_layouts=mono"
    joined = f"[0:a]{mono}[a];[1:a]{mono},adelay=3000[b];[a][b]join=inputs=2:channel_layout=stereo"
    clips = ["-i", str(CLIPS / "demo.ogg"), "-i", str(CLIPS / "numbers.mp3")]
    call = tmp_path / "call.wav"
    subprocess.run([ffmpeg_executable(), "-v", "error", *clips, "-filter_complex", joined, call], check=True)
    return call


@pytest.mark.parametrize("chunking", CHUNKING)
def test_each_channel_of_a_call_is_transcribed_and_named(base: WhisperProcessor, chunking: str, call: Path) -> None:
    transcript = base.transcribe(call, asked(chunking=chunking, channels="split", language="en"))
    for channel, clip in enumerate(["demo.ogg", "numbers.mp3"]):
        said = " ".join(segment.text for segment in transcript.segments if segment.channel == channel)
        assert errors(" ".join(spoken(clip)), said, "en").edits <= 2
    starts = [segment.start for segment in transcript.segments]
    assert starts == sorted(starts)
    assert [segment.id for segment in transcript.segments] == list(range(len(starts)))
    rendered = render(transcript, ["srt", "vtt", "tsv"])
    assert rendered["text"].startswith("CHANNEL_0: ")
    assert "\nCHANNEL_1: " in rendered["text"]
    assert "<v CHANNEL_1>" in rendered["vtt"]
    assert "\nCHANNEL_1: " in rendered["srt"]
    assert rendered["tsv"].splitlines()[0].split("\t") == ["start", "end", "speaker", "text"]


def test_a_channel_tells_its_progress_as_a_part_of_the_whole(base: WhisperProcessor, call: Path) -> None:
    told: list[float] = []
    control = JobControl()
    control.listen(lambda stage, done, total: told.append(done / total) if stage == "transcribing" else None)
    base.transcribe(call, asked(channels="split", language="en"), control)
    assert told == sorted(told)
    assert told[0] == 0.0
    assert told[-1] > 0.9


# --- Long recordings -------------------------------------------------------------------------------------------------


def mapped_mb() -> float:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssFile"].split()[0]) / 1024


def test_what_has_been_read_of_a_long_recording_does_not_stay_in_memory(tmp_path: Path) -> None:
    (tmp_path / "pcm").write_bytes(bytes(128 << 20))
    before = mapped_mb()
    left = np.memmap(tmp_path / "pcm", "<i2", mode="r").reshape(-1, 2)[:, 0]
    assert left.sum() == 0
    assert mapped_mb() - before > 100
    release_pages(left, len(left) // 2)
    assert 50 < mapped_mb() - before < 80
    assert left[:100].sum() == 0  # it can be read again


@pytest.mark.slow
def test_a_long_recording_goes_in_parts_of_which_none_cuts_a_word(
    base: WhisperProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.transcription.sequential.PART_SECONDS", 30)
    told: list[float] = []
    control = JobControl(on_segment=lambda segment: told.append(segment.start))
    transcript = base.transcribe(CLIPS / "long.ogg", asked(chunking="sequential", language="en"), control)
    assert errors(" ".join(spoken("long.ogg")), transcript.text, "en").rate < 0.05
    assert told == sorted(told) == [segment.start for segment in transcript.segments]


class StoppedWhileWordsArePlaced(JobControl):
    """Stopped at the one pass in which openai-whisper looks at the cross-attention."""

    def check(self) -> None:
        if not MultiHeadAttention.use_sdpa:
            self.stop("stopped")
        super().check()


@pytest.mark.slow
def test_a_job_that_is_stopped_while_its_words_are_placed_leaves_the_model_as_it_was(base: WhisperProcessor) -> None:
    options = asked(chunking="sequential", language="en", word_timestamps=True)
    with pytest.raises(Cancelled):
        base.transcribe(CLIPS / "demo.ogg", options, StoppedWhileWordsArePlaced())
    heard = base.transcribe(CLIPS / "demo.ogg", options).text
    assert errors(SPOKEN, heard, "en").rate < 0.1


# --- Models ----------------------------------------------------------------------------------------------------------


def test_a_job_may_name_an_allowed_model(base: WhisperProcessor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPER_MODELS", "tiny.en, turbo")
    get_settings.cache_clear()
    try:
        transcript: Transcript = base.transcribe(CLIPS / "demo.ogg", asked(model="tiny.en"))
        assert transcript.model == "tiny.en"
        with pytest.raises(InvalidInput, match=r"model: should be one of .*base, tiny\.en, turbo"):
            base.check(asked(model="large-v3"))
    finally:
        get_settings.cache_clear()
    assert base.transcribe(CLIPS / "demo.ogg", asked()).model == "base"


@pytest.mark.parametrize(
    ("model", "options"),
    [("tiny.en", {"translate": True}), ("tiny.en", {"multilingual": True}), ("tiny.en", {"language": "de"})],
)
def test_an_english_model_refuses_what_it_has_not_learnt(
    base: WhisperProcessor, model: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_MODELS", "tiny.en")
    get_settings.cache_clear()
    try:
        with pytest.raises(InvalidInput, match="use one such as base"):
            base.check(asked(model=model, **options))
    finally:
        get_settings.cache_clear()
