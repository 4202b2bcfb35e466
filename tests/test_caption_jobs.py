"""Jobs that ask for captions: what is refused before the model works, how the video comes back, what it never costs."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import boto3
import manimgx_fonts
import pytest
import requests
from moto.server import ThreadedMotoServer
from pydantic import ValidationError

from src.audio.ffmpeg_process import ffmpeg_executable
from src.captions import captioning
from src.delivery.webhooks import MAX_BYTES, _payload
from src.formats.layout import Layout
from src.job_control import JobControl
from src.request.options import Options
from src.rp_handler import handler
from src.settings import get_settings
from src.startup import get_processor
from tests.support.clips import CLIPS, as_base64, spoken, words

pytestmark = [pytest.mark.model, pytest.mark.process]

NOTO = Path(manimgx_fonts.__file__).parent


def job(clip: Path, **options: Any) -> dict[str, Any]:
    return {"id": "job-1", "input": {"audio": {"base64": as_base64(clip)}, "options": options}}


@pytest.fixture(autouse=True)
def fonts(monkeypatch: pytest.MonkeyPatch, no_files_left: Path) -> Iterator[None]:
    """No fonts but Noto's for alphabets, and in no test a file left behind."""
    monkeypatch.setattr(captioning, "SYSTEM_FONTS", ())
    monkeypatch.setenv("FONT_DIR", str(NOTO))
    get_settings.cache_clear()
    yield
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model must not be asked."""

    def transcribe(*_: Any) -> None:
        raise AssertionError("the model worked")

    monkeypatch.setattr(get_processor(), "transcribe", transcribe)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A bucket, as a job names it."""
    monkeypatch.setenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", "true")
    s3 = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    s3.start()
    host, port = s3.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket="results")
    yield {"accessId": "x", "accessSecret": "x", "bucketName": "results", "endpointUrl": url}
    s3.stop()


def texts(video: bytes) -> tuple[str, str]:
    """Language and words of the one track of captions."""
    with av.open(io.BytesIO(video)) as file:
        (track,) = file.streams.subtitles
        packets = [bytes(packet) for packet in file.demux(track)]
        return str(track.language), " ".join(one[2 : 2 + int.from_bytes(one[:2], "big")].decode() for one in packets)


def test_a_track_comes_back_as_base64() -> None:
    control, stages = JobControl(), []
    control.listen(lambda stage, *_: stages.append(stage))
    answer = handler(job(CLIPS / "video.mp4", captions="mux", output_format="json"), control)
    video = answer["captioned_video"]
    assert set(video) == {"filename", "bytes", "encoder", "base64"}
    data = base64.b64decode(video["base64"])
    assert (video["filename"], video["bytes"], video["encoder"]) == ("captioned.mp4", len(data), None)
    language, said = texts(data)
    assert language == "eng"
    assert words(said) == spoken("video.mp4")
    assert answer["metadata"]["timings"]["captions"] > 0
    assert not any("words" in segment for segment in answer["transcription"]["segments"])
    assert stages[-1] == "captioning"


def test_drawn_captions_come_back_and_are_those_of_the_words() -> None:
    answer = handler(job(CLIPS / "video.mp4", captions="burn", highlight_words=True, caption_size=12))
    video = answer["captioned_video"]
    assert video["encoder"] in ("libx264", "h264_nvenc")
    with av.open(io.BytesIO(base64.b64decode(video["base64"]))) as file:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(video=0)]
    with av.open(str(CLIPS / "video.mp4")) as file:
        plain = [frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(video=0)]
    assert len(frames) == len(plain)
    lower = [abs(one - other)[50:].mean() for one, other in zip(frames, plain, strict=True)]
    assert lower[10] > 3 * lower[-1]  # something is said after a second, and nothing at the end


def test_a_translation_has_a_track_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    transcribe = get_processor().transcribe

    def translated(*given: Any) -> Any:
        from dataclasses import replace

        transcript = transcribe(*given)
        return replace(transcript, language="fr", translation=replace(transcript, task="translate"))

    monkeypatch.setattr(get_processor(), "transcribe", translated)
    answer = handler(job(CLIPS / "video.mp4", captions="mux"))
    with av.open(io.BytesIO(base64.b64decode(answer["captioned_video"]["base64"]))) as file:
        assert [track.language for track in file.streams.subtitles] == ["fra", "eng"]


@pytest.mark.parametrize(
    ("clip", "options", "sentence", "error_type"),
    [
        ("demo.ogg", {"captions": "mux"}, "captions need a video, and the recording has none", "UnsupportedMedia"),
        ("demo.ogg", {"captions": "burn"}, "captions need a video, and the recording has none", "UnsupportedMedia"),
        ("video.mp4", {"captions": "burn", "caption_font": "Noto Snas"}, 'did you mean "Noto Sans"', "InvalidInput"),
        ("video.mp4", {"captions": "mux", "caption_size": 5}, 'caption_size needs captions "burn"', "InvalidInput"),
        ("video.mp4", {"caption_font": "Arial"}, 'caption_font needs captions "burn"', "InvalidInput"),
        ("video.mp4", {"captions": "burn", "caption_color": "red"}, 'a colour such as "#FFD400"', "InvalidInput"),
    ],
)
@pytest.mark.usefixtures("idle")
def test_what_cannot_be_done_is_refused_before_the_model_works(
    clip: str, options: dict[str, Any], sentence: str, error_type: str
) -> None:
    answer = handler(job(CLIPS / clip, **options))
    assert sentence in answer["error"]
    assert answer["error_type"] == error_type


@pytest.mark.usefixtures("idle")
def test_a_video_that_no_answer_can_carry_is_refused_before_the_model_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_RESULT_BYTES", "40000")
    get_settings.cache_clear()
    answer = handler(job(CLIPS / "video.mp4", captions="mux"))
    assert answer["error_type"] == "TooLarge"
    assert "set BUCKET_ENDPOINT_URL" in answer["error"]


def test_a_video_too_large_for_the_answer_goes_to_the_bucket(
    server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_RESULT_BYTES", "25000")
    get_settings.cache_clear()
    answer = handler(job(CLIPS / "video.mp4", captions="mux") | {"s3Config": server})
    video = answer["captioned_video"]
    assert set(video) == {"filename", "bytes", "encoder", "url"}
    assert words(answer["transcription"]["text"]) == spoken("video.mp4")
    found = requests.get(video["url"], timeout=10)
    assert (len(found.content), found.headers["Content-Type"]) == (video["bytes"], "video/mp4")
    assert words(texts(found.content)[1]) == spoken("video.mp4")


def test_files_that_are_asked_for_have_the_video_among_them(server: dict[str, str]) -> None:
    asked = job(CLIPS / "video.mp4", captions="burn") | {"s3Config": server}
    asked["input"]["upload"] = {"prefix": "films"}
    answer = handler(asked)
    assert "/films/job-1/captioned.mp4" in answer["captioned_video"]["url"]
    assert "srt" in answer["files"]
    assert requests.get(answer["captioned_video"]["url"], timeout=10).content[4:8] == b"ftyp"


def test_a_bucket_that_fails_costs_no_video_that_fits(server: dict[str, str]) -> None:
    asked = job(CLIPS / "video.mp4", captions="mux") | {"s3Config": server | {"bucketName": "nowhere"}}
    asked["input"]["upload"] = {}
    answer = handler(asked)
    assert "base64" in answer["captioned_video"]
    assert any("the captioned video is in no bucket" in warning for warning in answer["metadata"]["warnings"])


def test_a_missing_font_costs_no_transcript(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FONT_DIR", str(CLIPS))
    get_settings.cache_clear()
    answer = handler(job(CLIPS / "video.mp4", captions="burn"))
    assert words(answer["transcription"]["text"]) == spoken("video.mp4")
    assert answer["captioned_video"]["error_type"] == "CaptionsFailed"
    assert "fonts-noto-core" in answer["captioned_video"]["error"]
    assert any("there is no captioned video" in warning for warning in answer["metadata"]["warnings"])


def test_captions_do_not_outlast_the_video(tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    command = [ffmpeg_executable(), "-v", "error", "-i", str(CLIPS / "video.mp4"), "-t", "2", str(short)]
    subprocess.run(command, check=True)
    answer = handler(job(short, captions="mux", min_cue_duration=30, max_line_width=42, max_line_count=2))
    with av.open(io.BytesIO(base64.b64decode(answer["captioned_video"]["base64"]))) as file:
        assert (file.duration or 0) / 1e6 == pytest.approx(2.0, abs=0.1)


def test_a_stop_while_captions_are_made_is_the_jobs_end(monkeypatch: pytest.MonkeyPatch) -> None:
    control = JobControl()
    control.listen(lambda stage, *_: control.stop("the job was cancelled") if stage == "captioning" else None)
    answer = handler(job(CLIPS / "video.mp4", captions="burn"), control)
    assert answer == {"error": "the job was cancelled", "error_type": "Cancelled"}
    assert threading.active_count() < 20


def test_a_webhook_does_not_carry_the_video() -> None:
    data = {"transcription": {"text": "x"}, "captioned_video": {"filename": "a.mp4", "base64": "A" * MAX_BYTES}}
    sent = json.loads(_payload("transcription.completed", data))["data"]
    assert sent == {"transcription_omitted": True, "captioned_video": {"filename": "a.mp4"}}


@pytest.mark.parametrize("colour", ["#fff", "#GGGGGG", "#FFFFFF\n", "&H00FFFF&", "#FFFFFF}{\\pos(0,0)", "", "red"])
@pytest.mark.parametrize(
    "option", ["caption_color", "caption_outline_color", "caption_highlight_color", "caption_box_color"]
)
def test_colours_are_taken_in_one_form_only(option: str, colour: str) -> None:
    Options.model_validate({"captions": "burn", option: "#12aBeF80"})
    with pytest.raises(ValidationError, match="should be a colour"):
        Options.model_validate({"captions": "burn", option: colour})


def test_one_word_at_a_time_can_be_asked_for() -> None:
    answer = handler(job(CLIPS / "video.mp4", captions="mux", max_words_per_line=1))
    assert len(texts(base64.b64decode(answer["captioned_video"]["base64"]))[1].split()) == 8
    asked = Options(captions="burn", max_words_per_line=1)
    assert captioning._fitting(asked.caption_layout, 30) == Layout(max_words_per_line=1)
    assert captioning._fitting(Options(captions="burn").caption_layout, 30).max_line_width == 30


def test_captions_are_laid_out_for_broadcast_unless_something_is_asked_for() -> None:
    assert Options(captions="mux").caption_layout == Options(subtitle_preset="broadcast").layout
    assert Options(captions="mux", highlight_words=True).caption_layout.max_line_width == 42
    assert Options(captions="mux", max_words_per_line=3).caption_layout == Options(max_words_per_line=3).layout
    assert Options(captions="mux").needs_words
