"""Jobs with captions: checks before transcription, the returned video, and failures that spare the transcript."""

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
import srt
import webvtt
from moto.server import ThreadedMotoServer
from pydantic import ValidationError

from media.captions import fit_to_picture
from media.sandbox import ffmpeg_executable
from src.captions import captioning
from src.delivery.webhooks import MAX_BYTES, to_payload
from src.job_control import JobControl
from src.request.options import Options
from src.rp_handler import handler
from src.settings import get_settings
from src.startup import get_processor
from tests.support.clips import CLIPS, as_base64, spoken, words
from transcript.formats.layout import Layout

pytestmark = [pytest.mark.model, pytest.mark.process]

NOTO = Path(manimgx_fonts.__file__).parent


def job(clip: Path, **options: Any) -> dict[str, Any]:
    return {"id": "job-1", "input": {"audio": {"base64": as_base64(clip)}, "options": options}}


@pytest.fixture(autouse=True)
def fonts(monkeypatch: pytest.MonkeyPatch, no_files_left: Path) -> Iterator[None]:
    """Only Noto's alphabetic fonts; and no test may leave a file."""
    monkeypatch.setattr(captioning, "SYSTEM_FONTS", ())
    monkeypatch.setenv("FONT_DIR", str(NOTO))
    get_settings.cache_clear()
    yield
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test if the model is used."""

    def transcribe(*_: Any) -> None:
        raise AssertionError("the model was used")

    monkeypatch.setattr(get_processor(), "transcribe", transcribe)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An S3 server with a bucket: the `s3Config` of a job."""
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
    """Language and words of the only track of captions."""
    with av.open(io.BytesIO(video)) as file:
        (track,) = file.streams.subtitles
        packets = [bytes(packet) for packet in file.demux(track)]
        return str(track.language), " ".join(data[2 : 2 + int.from_bytes(data[:2], "big")].decode() for data in packets)


def test_a_muxed_video_is_returned_as_base64() -> None:
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


@pytest.mark.parametrize(
    ("options", "width", "lines"),
    [
        ({"captions": "mux"}, 42, 2),
        ({"captions": "burn"}, 42, 2),
        ({"captions": "burn", "caption_size": 12.0}, 26, 2),
        ({"captions": "mux", "max_line_width": 20, "max_line_count": 1}, 20, 1),
    ],
)
def test_subtitle_files_are_laid_out_as_in_the_video(options: dict[str, Any], width: int, lines: int) -> None:
    answer = handler(job(CLIPS / "video.mp4", output_format=["srt", "vtt", "json"], **options))
    cues = [cue.content.split("\n") for cue in srt.parse(answer["transcription"]["srt"])]
    assert max(map(len, cues)) <= lines
    assert max(len(line) for cue in cues for line in cue) <= width
    assert [cue.text.split("\n") for cue in webvtt.from_string(answer["transcription"]["vtt"]).captions] == cues
    longest = max(len(segment["text"]) for segment in answer["transcription"]["segments"])
    assert longest > width  # whole segments would not do


def test_burnt_captions_appear_while_words_are_spoken() -> None:
    answer = handler(job(CLIPS / "video.mp4", captions="burn", highlight_words=True, caption_size=12))
    video = answer["captioned_video"]
    assert video["encoder"] in ("libx264", "h264_nvenc")
    with av.open(io.BytesIO(base64.b64decode(video["base64"]))) as file:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(video=0)]
    with av.open(str(CLIPS / "video.mp4")) as file:
        plain = [frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(video=0)]
    assert len(frames) == len(plain)
    lower = [abs(captioned - original)[50:].mean() for captioned, original in zip(frames, plain, strict=True)]
    assert lower[10] > 3 * lower[-1]  # something is said after a second, and nothing at the end


def test_a_translation_is_a_second_track(monkeypatch: pytest.MonkeyPatch) -> None:
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
        (
            "video.mp4",
            {"captions": "burn", "caption_font": "Noto Snas"},
            'options.caption_font: the worker has no font of that name, did you mean "Noto Sans"',
            "InvalidInput",
        ),
        ("video.mp4", {"captions": "mux", "caption_size": 5}, 'caption_size needs captions "burn"', "InvalidInput"),
        ("video.mp4", {"caption_font": "Arial"}, 'caption_font needs captions "burn"', "InvalidInput"),
        ("video.mp4", {"captions": "burn", "caption_color": "red"}, 'a colour such as "#FFD400"', "InvalidInput"),
    ],
)
@pytest.mark.usefixtures("idle")
def test_impossible_captions_are_refused_before_transcription(
    clip: str, options: dict[str, Any], sentence: str, error_type: str
) -> None:
    answer = handler(job(CLIPS / clip, **options))
    assert sentence in answer["error"]
    assert answer["error_type"] == error_type


@pytest.mark.usefixtures("idle")
def test_a_video_too_large_for_any_answer_is_refused_before_transcription(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_uploaded_files_include_the_video(server: dict[str, str]) -> None:
    request = job(CLIPS / "video.mp4", captions="burn") | {"s3Config": server}
    request["input"]["upload"] = {"prefix": "films"}
    answer = handler(request)
    assert "/films/job-1/captioned.mp4" in answer["captioned_video"]["url"]
    assert "srt" in answer["files"]
    assert requests.get(answer["captioned_video"]["url"], timeout=10).content[4:8] == b"ftyp"


def test_a_failed_upload_keeps_a_video_that_fits_in_the_answer(server: dict[str, str]) -> None:
    request = job(CLIPS / "video.mp4", captions="mux") | {"s3Config": server | {"bucketName": "nowhere"}}
    request["input"]["upload"] = {}
    answer = handler(request)
    assert "base64" in answer["captioned_video"]
    assert any("the captioned video was not uploaded" in warning for warning in answer["metadata"]["warnings"])


def test_a_missing_font_keeps_the_transcript(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FONT_DIR", str(CLIPS))
    get_settings.cache_clear()
    answer = handler(job(CLIPS / "video.mp4", captions="burn"))
    assert words(answer["transcription"]["text"]) == spoken("video.mp4")
    assert answer["captioned_video"]["error_type"] == "CaptionsFailed"
    assert "fonts-noto-core" in answer["captioned_video"]["error"]
    assert any("there is no captioned video" in warning for warning in answer["metadata"]["warnings"])


@pytest.mark.usefixtures("idle")
def test_a_missing_font_is_named_before_transcription_if_the_job_says_its_language(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FONT_DIR", str(CLIPS))
    get_settings.cache_clear()
    answer = handler(job(CLIPS / "video.mp4", captions="burn", language="en"))
    assert "captions: there is no font for Latin ('A'): install one" in answer["error"]
    assert answer["error_type"] == "InvalidInput"


def test_captions_do_not_outlast_the_video(tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    command = [ffmpeg_executable(), "-v", "error", "-i", str(CLIPS / "video.mp4"), "-t", "2", str(short)]
    subprocess.run(command, check=True)
    answer = handler(job(short, captions="mux", min_cue_duration=30, max_line_width=42, max_line_count=2))
    with av.open(io.BytesIO(base64.b64decode(answer["captioned_video"]["base64"]))) as file:
        assert (file.duration or 0) / 1e6 == pytest.approx(2.0, abs=0.1)


def test_a_job_can_be_cancelled_during_captioning(monkeypatch: pytest.MonkeyPatch) -> None:
    control = JobControl()
    control.listen(lambda stage, *_: control.cancel("the job was cancelled") if stage == "captioning" else None)
    answer = handler(job(CLIPS / "video.mp4", captions="burn"), control)
    assert answer == {"error": "the job was cancelled", "error_type": "Cancelled"}
    assert threading.active_count() < 20


def test_a_webhook_omits_the_video() -> None:
    data = {"transcription": {"text": "x"}, "captioned_video": {"filename": "a.mp4", "base64": "A" * MAX_BYTES}}
    sent = json.loads(to_payload("transcription.completed", data))["data"]
    assert sent == {"transcription_omitted": True, "captioned_video": {"filename": "a.mp4"}}


@pytest.mark.parametrize("colour", ["#fff", "#GGGGGG", "#FFFFFF\n", "&H00FFFF&", "#FFFFFF}{\\pos(0,0)", "red"])
@pytest.mark.parametrize(
    "option", ["caption_color", "caption_outline_color", "caption_highlight_color", "caption_box_color"]
)
def test_colours_have_only_one_form(option: str, colour: str) -> None:
    Options.model_validate({"captions": "burn", option: "#12aBeF80"})
    with pytest.raises(ValidationError, match="should be a colour"):
        Options.model_validate({"captions": "burn", option: colour})


def test_captions_of_one_word_at_a_time() -> None:
    answer = handler(job(CLIPS / "video.mp4", captions="mux", max_words_per_line=1))
    assert len(texts(base64.b64decode(answer["captioned_video"]["base64"]))[1].split()) == 8
    options = Options(captions="burn", max_words_per_line=1)
    assert fit_to_picture(options.caption_layout, 30) == Layout(max_words_per_line=1)
    assert fit_to_picture(Options(captions="burn").caption_layout, 30).max_line_width == 30


def test_captions_have_the_broadcast_layout_by_default() -> None:
    assert Options(captions="mux").caption_layout == Options(subtitle_preset="broadcast").layout
    assert Options(captions="mux", highlight_words=True).caption_layout.max_line_width == 42
    assert Options(captions="mux", max_words_per_line=3).caption_layout == Options(max_words_per_line=3).layout
    assert Options(captions="mux").needs_words
