"""Jobs whose recordings are in a bucket or on the volume, through the whole handler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from src.rp_handler import handler
from src.settings import get_settings
from tests.support.clips import CLIPS, assert_spoken

pytestmark = [pytest.mark.model, pytest.mark.process]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An S3 server with a recording in the bucket `clips`."""
    s3 = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    s3.start()
    host, port = s3.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, **keys)
    client.create_bucket(Bucket="clips")
    client.put_object(Bucket="clips", Key="a b/demo.ogg", Body=(CLIPS / "demo.ogg").read_bytes())
    yield url
    s3.stop()


@pytest.fixture(autouse=True)
def endpoint(bucket: str, monkeypatch: pytest.MonkeyPatch, no_files_left: Path) -> Iterator[None]:
    """An endpoint whose bucket is at a private address, and whose volume has the clips."""
    monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", raising=False)
    variables = {
        "BUCKET_ENDPOINT_URL": bucket,
        "BUCKET_ACCESS_KEY_ID": "key",
        "BUCKET_SECRET_ACCESS_KEY": "secret",
        "AUDIO_BUCKETS": "clips",
        "AUDIO_VOLUME": str(CLIPS),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.parametrize(
    "audio",
    [
        "s3://clips/a b/demo.ogg",
        pytest.param({"url": "s3://clips/a b/demo.ogg"}, marks=pytest.mark.slow),
        {"volume": "demo.ogg"},
    ],
)
def test_a_stored_recording_is_transcribed(audio: object) -> None:
    before = (CLIPS / "demo.ogg").read_bytes()
    answer = handler({"input": {"audio": audio, "options": {"output_format": "text"}}})
    assert_spoken(answer["transcription"]["text"], "demo.ogg")
    assert (CLIPS / "demo.ogg").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("sample", ["s3://clips/a b/demo.ogg", {"volume": "demo.ogg"}])
def test_a_stored_sample_names_its_speaker(sample: object) -> None:
    options = {"output_format": "json", "diarize": True, "speakers": {"Ada": sample}}
    answer = handler({"input": {"audio": {"volume": "demo.ogg"}, "options": options}})
    assert {segment["speaker"] for segment in answer["transcription"]["segments"]} == {"Ada"}


def test_a_recording_that_may_not_be_read_is_refused_before_the_model_is_used() -> None:
    answer = handler({"input": {"audio": "s3://others/demo.ogg", "options": {"model": "large-v3"}}})
    assert answer["error_type"] == "InvalidInput"
    assert "AUDIO_BUCKETS" in answer["error"]
