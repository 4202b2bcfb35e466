"""The recording of a job as people and tools write it, and the headers of its download."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from src.errors import InvalidInput
from src.request.audio_source import AudioSource
from src.request.tracks import TrackSource
from src.request.validation import find_reference, parse_input

URL = "https://example.com/talk.mp3"
BASE64 = base64.b64encode(b"ID3" + os.urandom(200)).decode()
FORMS = 'give {"url": "https://..."}, {"base64": "..."} or {"volume": "in/talk.mp4"}'


def source(audio: Any) -> AudioSource:
    [only] = parse_input({"audio": audio}).audio
    return only


def refusal(audio: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        source(audio)
    return str(caught.value)


@pytest.mark.parametrize(
    "audio",
    [
        *(URL, f" {URL}\n", f"\ufeff{URL}\u200b", {"url": URL}, {"url": f"{URL} \r\n"}),
        *({"url": URL, "base64": ""}, {"url": URL, "base64": None}, {"url": URL, "headers": None}),
    ],
)
def test_a_url_in_any_form(audio: Any) -> None:
    assert (source(audio).url, source(audio).base64) == (URL, None)


@pytest.mark.parametrize(
    "text",
    [
        *(BASE64, f"\n{BASE64}\n", BASE64.replace("+", "-").replace("/", "_"), "+/ " + BASE64, "data:,x", "Data:a/b,x"),
        f"data:audio/webm;codecs=opus;base64,{BASE64}",
        "\r\n".join(BASE64[at : at + 64] for at in range(0, len(BASE64), 64)),
    ],
)
def test_base64_in_any_place(text: str) -> None:
    for audio in (text, {"url": text}, {"base64": text}, {"url": text, "base64": ""}, {"url": None, "base64": text}):
        assert (source(audio).url, source(audio).base64) == (None, text)


@pytest.mark.parametrize("audio", [None, 12, 1.5, True, "", " \n", b"bytes"])
def test_what_is_neither_is_answered_with_both_forms(audio: Any) -> None:
    assert refusal(audio) == f"audio: {FORMS}"


@pytest.mark.parametrize("key", ["upload", "_upload", "path", "file", "of_upload", "__pydantic_private__"])
def test_no_json_names_a_file_of_the_worker(key: str) -> None:
    path = str(Path(__file__))
    for audio in ({key: path}, {key: path, "url": URL}, {key: {"_upload": path}, "base64": BASE64}):
        with pytest.raises(InvalidInput):
            source(audio)
    with pytest.raises(InvalidInput):
        parse_input({"audio": URL, key: path})
    with pytest.raises(InvalidInput):
        parse_input({"audio": URL, "options": {"diarize": True, "speakers": {"Ada": {key: path}}}})


def test_an_upload_is_taken_as_it_is(tmp_path: Path) -> None:
    taken = source(TrackSource.of_upload(tmp_path))
    assert (taken.upload, taken.url, taken.base64) == (tmp_path, None, None)


@pytest.mark.parametrize("audio", [{"base64": ""}, {"base64": " \n"}, {"base64": "", "url": None}])
def test_empty_base64_is_an_empty_file(audio: Any) -> None:
    assert refusal(audio) == "audio: the file is empty: send the base64 of its bytes"


@pytest.mark.parametrize("audio", [{}, {"url": None}, {"url": ""}, {"url": URL, "base64": BASE64}])
def test_exactly_one_form_is_needed(audio: Any) -> None:
    assert refusal(audio) == 'audio: give exactly one of "url", "base64" and "volume"'


def test_headers_without_a_url_are_refused() -> None:
    assert refusal({"base64": BASE64, "headers": {"X-Key": "k"}}) == 'audio: "headers" go with an http(s) "url" only'


@pytest.mark.parametrize(
    "path",
    [
        *("/home/me/talk.mp3", "talk.mp3", "file:///home/me/talk.mp3", "C:\\Users\\me\\talk.mp3", "./talk", "~/talk"),
        *("/home/me/" + "long/" * 40 + "talk.mp3", "me/talk.mp3", "\\\\server\\talk.mp3"),
    ],
)
def test_a_local_path_is_answered_with_the_remedy(path: str) -> None:
    for audio in (path, {"url": path}):
        assert "the worker cannot see your disk: send the file as base64, or use the client" in refusal(audio)


def test_a_speakers_sample_is_read_alike() -> None:
    options = {
        "diarize": True,
        "speakers": {"Ada": f"{URL}\n", "Bob": BASE64, "Eve": {"url": URL, "headers": {"X-Key": "k"}}},
    }
    speakers = parse_input({"audio": URL, "options": options}).options.voice_samples
    assert [speakers[name].url for name in ("Ada", "Bob", "Eve")] == [URL, None, URL]
    assert speakers["Eve"].headers == {"X-Key": "k"}
    with pytest.raises(InvalidInput, match=r"speakers\.Ada: give"):
        parse_input({"audio": URL, "options": {"diarize": True, "speakers": {"Ada": 7}}})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer a.b-c_d=="},
        {"Cookie": "a=1; b=2", "X-Api-Key": "k", "User-Agent": "x (y)", "Referer": URL, "Accept": "audio/*"},
        {f"X-{number}": "v" * 300 for number in range(20)},
        {"X": ""},
    ],
)
def test_headers_are_taken_and_not_shown(headers: dict[str, str]) -> None:
    taken = source({"url": URL, "headers": headers})
    assert taken.headers == headers
    assert "Authorization" not in repr(taken)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        *(
            ({name: "s3cr3t"}, f'the header "{name.lower()}" is set by the worker')
            for name in (
                *("Host", "range", "If-Range", "Accept-Encoding", "Content-Length", "CONTENT-TYPE", "Connection"),
                *("Transfer-Encoding", "TE", "Trailer", "Upgrade", "Keep-Alive", "Proxy-Authorization", "Expect"),
            )
        ),
        *(({name: "s3cr3t"}, "the name of a header") for name in ("", "A B", "A:", "Ä", "A\r\nB", "A\0", "(a)", "A\n")),
        *(({"A": value}, "the value of a header") for value in ("s3cr3t\r\nB: c", "\0", "ä", "\x7f", " s3cr3t", "a\n")),
        ({f"X-{number}": "" for number in range(21)}, "should have at most 20 headers"),
        ({"A": "v" * 8192}, "8192 characters"),
        ({"A": "b", "a": "c"}, "twice"),
        ({"A": 1}, "should be a string"),
        ({"A": None}, "should be a string"),
        ("Authorization: s3cr3t", "should be an object"),
    ],
)
def test_a_header_that_would_break_or_forge_the_request_is_refused(headers: Any, message: str) -> None:
    sentence = refusal({"url": URL, "headers": headers})
    assert message in sentence
    assert "s3cr3t" not in sentence
    webhook = {"url": URL, "headers": headers}
    with pytest.raises(InvalidInput, match=r"webhook\.headers"):
        parse_input({"audio": URL, "webhook": webhook})


def test_a_webhook_may_be_a_bare_url() -> None:
    webhook = parse_input({"audio": URL, "webhook": f"{URL}\n"}).webhook
    assert webhook is not None
    assert (webhook.url, webhook.progress, webhook.headers) == (URL, False, None)


@pytest.mark.parametrize("webhook", [12, [], True])
def test_any_other_webhook_is_answered_with_its_form(webhook: Any) -> None:
    with pytest.raises(InvalidInput, match=r"webhook: give a URL, or \{\"url\": "):
        parse_input({"audio": URL, "webhook": webhook})


@pytest.mark.parametrize(
    ("reference", "taken"), [("Ticket 7 / ü", True), ("x" * 200, True), ("x" * 201, False), (7, False)]
)
def test_a_reference_is_a_short_text(reference: Any, taken: bool) -> None:
    raw = {"audio": URL, "reference": reference}
    assert find_reference(raw) == (reference if taken else None)
    if taken:
        assert parse_input(raw).reference == reference
    else:
        with pytest.raises(InvalidInput, match="reference: "):
            parse_input(raw)


@pytest.mark.parametrize("raw", [None, [], {}, {"audio": URL}, {"reference": None}])
def test_no_reference(raw: Any) -> None:
    assert find_reference(raw) is None
