"""Answers leave the handler as the SDK can post them: plain JSON in UTF-8, within the platform's limit.

Larger ones are uploaded to a bucket (moto's server here), or shortened in the stated order.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from typing import Any

import boto3
import numpy as np
import pytest
import requests
import torch
from aiohttp import ClientSession, web
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer
from runpod.serverless.modules import rp_http

from src.buckets import Bucket
from src.delivery.answer import deliver, require_bucket, to_sendable
from src.errors import InvalidInput, TooLarge
from src.request.schema import UploadRequest
from transcript.formats.render import render
from transcript.transcript import Segment, Transcript, Word


def sent(answer: dict[str, object]) -> object:
    """The bytes that the SDK posts (`rp_http.send_result`), read by a strict parser."""
    text = json.dumps(to_sendable(answer, 10_000), ensure_ascii=False, allow_nan=False)
    return json.loads(text.encode("utf-8"))


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.arange(3), [0, 1, 2]),
        (torch.tensor(2.0), 2.0),
        (math.nan, None),
        (-math.inf, None),
        (np.float64("nan"), None),
        (np.array([1.0, np.nan]), [1.0, None]),
        ("lone \ud800 half", "lone ? half"),
        ("日本語 \U0001f600", "日本語 \U0001f600"),
        ((1, (2, 3)), [1, [2, 3]]),
        ({1: "one"}, {"1": "one"}),
        ({"\udfff": 1}, {"?": 1}),
    ],
)
def test_values_that_json_lacks_are_converted(value: object, arrives: object) -> None:
    assert sent({"value": value}) == {"value": arrives}


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j])
def test_values_without_a_json_form_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        to_sendable({"value": value}, 10_000)


def test_the_size_is_in_bytes_and_not_in_characters() -> None:
    to_sendable({"t": "x" * 900}, 1000)
    with pytest.raises(TooLarge, match="output_format"):
        to_sendable({"t": "語" * 400}, 1000)


@given(st.dictionaries(st.text(), st.floats() | st.text(st.characters()) | st.lists(st.floats(width=32)), max_size=5))
def test_any_python_value_arrives_as_valid_json(answer: dict[str, object]) -> None:
    sent(answer)


def spoken(segments: int = 40) -> Transcript:
    """A transcript with tokens and words, in a language whose characters take three bytes."""
    return Transcript(
        language="ja",
        language_probability=0.98,
        duration=4.0 * segments,
        segments=[
            Segment(
                id=number,
                seek=number * 400,
                start=number * 4.0,
                end=number * 4.0 + 3.5,
                text=f"吾輩は猫である <{number}>",
                tokens=[50_364 + number] * 20,
                temperature=0.0,
                avg_logprob=-0.2,
                compression_ratio=1.1,
                no_speech_prob=0.01,
                words=[Word("猫", number * 4.0, number * 4.0 + 0.3, 0.9)] * 8,
            )
            for number in range(segments)
        ],
    )


def answer_of(transcript: Transcript, output_format: str = "all") -> dict[str, Any]:
    return {
        "transcription": render(transcript, [output_format]),
        "metadata": {"model": "tiny", "warnings": ["an earlier one"]},
    }


def size(answer: dict[str, Any]) -> int:
    return len(json.dumps({"output": answer}, ensure_ascii=False).encode("utf-8"))


@pytest.fixture
def answer() -> dict[str, Any]:
    return answer_of(spoken())


def without(answer: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The transcription of `answer` with `keys` of its segments left out."""
    segments = [
        {key: value for key, value in segment.items() if key not in keys}
        for segment in answer["transcription"]["segments"]
    ]
    return answer["transcription"] | {"segments": segments}


def send(answer: dict[str, Any], *, max_bytes: int = 10_000_000, **where: Any) -> dict[str, Any]:
    options = {"job_id": "job-1", "bucket": None, "upload": None} | where
    delivered = deliver(answer, max_bytes=max_bytes, **options)
    assert size(delivered) <= max_bytes
    return delivered


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket="results")
    yield Bucket(url, "AKIAEXAMPLE", "the-secret", "results")
    server.stop()


@pytest.fixture
def refusing(bucket: Bucket) -> Bucket:
    """A bucket that does not exist."""
    return Bucket(bucket.endpoint_url, bucket.access_id, bucket.access_secret, "nowhere")


def fetched(delivered: dict[str, Any]) -> dict[str, str]:
    responses = {kind: requests.get(link, timeout=10) for kind, link in delivered["files"].items()}
    assert {response.status_code for response in responses.values()} == {200}
    return {kind: response.content.decode("utf-8") for kind, response in responses.items()}


def test_an_answer_that_fits_is_unchanged(answer: dict[str, Any], bucket: Bucket) -> None:
    before = json.dumps(answer)
    assert send(answer) == send(answer, bucket=bucket) == answer
    assert json.dumps(answer) == before


@pytest.mark.parametrize(("spare", "whole"), [(1, True), (0, True), (-1, False)])
def test_the_limit_is_the_last_byte_that_fits(answer: dict[str, Any], spare: int, whole: bool) -> None:
    sent = send(answer, max_bytes=size(answer) + spare)
    assert (sent == answer) == whole
    assert (sent["metadata"]["warnings"] == ["an earlier one"]) == whole
    if whole:
        to_sendable(answer, size(answer) + spare)
    else:
        with pytest.raises(TooLarge):
            to_sendable(answer, size(answer) + spare)


def test_the_measured_size_is_that_of_the_sdks_post(answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response()

    async def post() -> None:
        app = web.Application(client_max_size=2**30)
        app.router.add_post("/done/{id}", take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        monkeypatch.setattr(rp_http, "JOB_DONE_URL", f"http://127.0.0.1:{runner.addresses[0][1]}/done/$ID?x=1")
        async with ClientSession() as session:
            await rp_http.send_result(session, {"output": send(answer)}, {"id": "job-1"})
        await runner.cleanup()

    asyncio.run(post())
    assert [len(body) for body in bodies] == [size(answer)]
    to_sendable(answer, len(bodies[0]))
    with pytest.raises(TooLarge):
        to_sendable(answer, len(bodies[0]) - 1)


@pytest.mark.parametrize(
    ("output_format", "kinds"),
    [
        ("all", {"json", "txt", "srt", "vtt", "tsv"}),
        ("json", {"json", "txt"}),
        ("text", {"json", "txt"}),
        ("srt", {"json", "txt", "srt"}),
        ("vtt", {"json", "txt", "vtt"}),
        ("tsv", {"json", "txt", "tsv"}),
    ],
)
def test_requested_files_have_the_whole_transcription(output_format: str, kinds: set[str], bucket: Bucket) -> None:
    answer = answer_of(spoken(), output_format)
    sent = send(answer, bucket=bucket, upload=UploadRequest(prefix="team/a"))
    assert set(sent) == {"files", "transcription", "metadata"}
    assert sent["metadata"] == answer["metadata"]
    transcription = answer["transcription"]
    assert sent["transcription"] == {key: transcription[key] for key in ("text", "language") if key in transcription}
    files = fetched(sent)
    assert set(files) == kinds
    assert json.loads(files.pop("json")) == transcription
    assert files.pop("txt") == transcription["text"]
    assert files == {kind: transcription[kind] for kind in files}
    assert all("/results/team/a/job-1/transcript." in link for link in sent["files"].values())


def test_a_hostile_job_id_stays_in_the_folder(answer: dict[str, Any], bucket: Bucket) -> None:
    sent = send(answer, bucket=bucket, upload=UploadRequest(), job_id="../../x\n?y#z")
    assert "/results/transcripts/______x__y_z/transcript.json?" in sent["files"]["json"]
    assert json.loads(fetched(sent)["json"]) == answer["transcription"]


def test_a_too_large_answer_is_uploaded_if_there_is_a_bucket(answer: dict[str, Any], bucket: Bucket) -> None:
    assert send(answer, max_bytes=size(answer), bucket=bucket) == answer
    sent = send(answer, max_bytes=size(answer) - 1, bucket=bucket)
    assert json.loads(fetched(sent)["json"]) == answer["transcription"]
    assert sent["transcription"] == {"text": answer["transcription"]["text"], "language": "ja"}
    earlier, warning = sent["metadata"]["warnings"]
    assert earlier == "an earlier one"
    assert warning.startswith("the result is in files")


@pytest.mark.slow
def test_a_text_too_large_for_the_answer_is_in_its_file_only(bucket: Bucket) -> None:
    answer = answer_of(spoken(400))
    links = send(answer, bucket=bucket, upload=UploadRequest())
    sent = send(answer, max_bytes=size(links) - 1, bucket=bucket, upload=UploadRequest())
    assert set(sent) == {"files", "metadata"}
    assert fetched(sent)["txt"] == answer["transcription"]["text"]


def test_files_without_a_bucket_are_refused_before_any_work() -> None:
    require_bucket(None, None)
    require_bucket(UploadRequest(), Bucket("https://s3.example.com", "a", "b"))
    with pytest.raises(InvalidInput, match=r"BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID.*s3Config"):
        require_bucket(UploadRequest(), None)


def test_tokens_are_dropped_first_then_words_each_with_a_warning(answer: dict[str, Any]) -> None:
    bare = without(answer, "tokens")
    tokens_gone = send(answer, max_bytes=size(answer) - 1)
    assert tokens_gone["transcription"] == bare
    assert [warning.split(" are left out")[0] for warning in tokens_gone["metadata"]["warnings"]] == [
        "an earlier one",
        "the segments' tokens",
    ]
    words_gone = send(answer, max_bytes=size(tokens_gone) - 1)
    assert words_gone["transcription"] == without(answer, "tokens", "words")
    assert [warning.split(" are left out")[0] for warning in words_gone["metadata"]["warnings"]] == [
        "an earlier one",
        "the segments' tokens",
        "the segments' words",
    ]
    for warning in words_gone["metadata"]["warnings"][1:]:
        assert "BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY" in warning
        assert "s3Config" in warning


def test_no_more_is_dropped_than_needed(answer: dict[str, Any]) -> None:
    tokens_gone = send(answer, max_bytes=size(answer) - 1)
    assert send(answer, max_bytes=size(tokens_gone)) == tokens_gone
    words_gone = send(answer, max_bytes=size(tokens_gone) - 1)
    assert send(answer, max_bytes=size(words_gone)) == words_gone
    with pytest.raises(TooLarge, match=r"BUCKET_ENDPOINT_URL, .*BUCKET_SECRET_ACCESS_KEY.*s3Config.*output_format"):
        send(answer, max_bytes=size(words_gone) - 1)


def test_absent_keys_are_not_reported_as_dropped() -> None:
    for output_format in ("srt", "text"):
        answer = answer_of(spoken(), output_format)
        with pytest.raises(TooLarge) as error:
            send(answer, max_bytes=size(answer) - 1)
        assert "tokens" not in str(error.value)
        assert answer["metadata"]["warnings"] == ["an earlier one"]


def test_a_failed_upload_loses_only_the_files(answer: dict[str, Any], refusing: Bucket) -> None:
    sent = send(answer, bucket=refusing, upload=UploadRequest())
    assert sent["transcription"] == answer["transcription"]
    assert "files" not in sent
    assert sent["metadata"]["warnings"][1:] == ["there are no files: the bucket refused the files (NoSuchBucket)"]


def test_a_failed_upload_of_a_too_large_answer_drops_the_tokens(answer: dict[str, Any], refusing: Bucket) -> None:
    sent = send(answer, max_bytes=size(answer) - 1, bucket=refusing)
    assert sent["transcription"] == without(answer, "tokens")
    _, no_files, no_tokens = sent["metadata"]["warnings"]
    assert "NoSuchBucket" in no_files
    assert "tokens are left out" in no_tokens
    assert "BUCKET_" not in no_tokens  # it is set already


def test_an_answer_that_exceeds_the_limit_by_its_warning_is_shortened(answer: dict[str, Any], refusing: Bucket) -> None:
    sent = send(answer, max_bytes=size(answer), bucket=refusing, upload=UploadRequest())
    assert sent["transcription"] == without(answer, "tokens")


def test_the_error_of_an_undeliverable_answer_names_the_failed_upload(
    answer: dict[str, Any], refusing: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TooLarge, match=r"the bucket refused the files \(NoSuchBucket\)") as error:
        send(answer, max_bytes=5000, bucket=refusing)
    logged = [record.getMessage() for record in caplog.records if record.name != "werkzeug"]  # the server's own
    output = "\n".join((str(error.value), *logged))
    assert not [word for word in ("the-secret", "AKIAEXAMPLE", "://", "Signature") if word in output]


def test_values_that_json_lacks_are_converted_in_files_too(bucket: Bucket) -> None:
    answer = answer_of(spoken(1))
    answer["transcription"]["text"] = "half \ud800"
    answer["transcription"]["segments"][0]["avg_logprob"] = np.float32("nan")
    files = fetched(send(answer, bucket=bucket, upload=UploadRequest()))
    assert files["txt"] == "half ?"
    assert json.loads(files["json"])["segments"][0]["avg_logprob"] is None


@pytest.mark.slow
@pytest.mark.timeout(30)  # seconds
def test_twelve_hours_with_words_are_measured_quickly() -> None:
    answer = answer_of(spoken(12 * 900))
    with pytest.raises(TooLarge):
        send(answer, max_bytes=1_000_000)
