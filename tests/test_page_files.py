"""The page's own files, and recordings: types, ranges, names, and nothing that is not meant to be served."""

from __future__ import annotations

import gzip
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from api.http import page_files
from api.http.headers import content_disposition
from api.page.media_type import UNKNOWN, media_type_of
from api.page.settings import PageSettings
from tests.support.clips import CLIPS
from tests.support.http_api import Api, api_on_loopback, wait_until
from tests.support.page_api import Browser, Response, ask

TRANSCRIPTS = "/page/api/transcripts"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with api_on_loopback(page=PageSettings(tmp_path / "page", "worker", reserve_bytes=0)) as api:
        yield api


@pytest.fixture
def browser(api: Api) -> Browser:
    return Browser(api.port)


@pytest.fixture
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files in place of the page's own."""
    static = tmp_path / "static"
    (static / "scripts").mkdir(parents=True)
    monkeypatch.setattr(page_files, "_files", page_files._Files(directory=static))
    return static


def get(api: Api, path: str, **headers: str) -> Response:
    return ask(api.port, "GET", path, headers=headers)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("scripts/a.js", "text/javascript; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.html", "text/html; charset=utf-8"),
        ("a.webmanifest", "application/manifest+json"),
    ],
)
def test_a_file_of_the_page_has_its_type_and_is_asked_for_again(
    api: Api, static: Path, name: str, media_type: str
) -> None:
    (static / name).write_text("a" * 2000)
    first = get(api, f"/page/static/{name}")
    assert (first.status, first.headers["content-type"], first.body) == (200, media_type, b"a" * 2000)
    assert first.headers["cache-control"] == "no-cache"
    again = get(api, f"/page/static/{name}", **{"if-none-match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    (static / name).write_text("b" * 2001)
    changed = get(api, f"/page/static/{name}", **{"if-none-match": first.headers["etag"]})
    assert (changed.status, changed.body) == (200, b"b" * 2001)


def test_files_are_compressed_for_browsers_that_ask(api: Api, static: Path) -> None:
    (static / "a.js").write_text("let a = 1;\n" * 1000)
    answer = get(api, "/page/static/a.js", **{"accept-encoding": "gzip, br"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.body) < 500
    assert gzip.decompress(answer.body) == (static / "a.js").read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "", "scripts", "scripts/", "none.js", "secret.py", "secret", ".env", "out.js", "folder.js",
        "../secret.js", "..%2Fsecret.js", "%2e%2e/secret.js", "scripts/../../secret.js", "scripts/..%2f..%2fsecret.js",
        "..%5Csecret.js", "/etc/passwd", "%2Fetc%2Fpasswd", "a.js%00.css", "a.js%00", "a.js/x",
        f"{'x' * 3000}.js", "%F0%28%8C%28.js", "%ff.js",
    ],
)  # fmt: skip
def test_nothing_else_is_served(api: Api, static: Path, path: str) -> None:
    (static / "a.js").write_text("a")
    (static.parent / "secret.js").write_text("secret")
    for name in ("secret.py", "secret", ".env"):
        (static / name).write_text("secret")
    (static / "out.js").symlink_to(static.parent / "secret.js")
    (static / "folder.js").mkdir()
    answer = get(api, f"/page/static/{path}")
    assert (answer.status, answer.code) == (404, "not_found")
    assert b"secret" not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_files_are_only_read(api: Api, static: Path, method: str) -> None:
    (static / "a.js").write_text("a")
    assert ask(api.port, method, "/page/static/a.js").status == 405


def test_the_address_of_the_server_shows_the_page(api: Api) -> None:
    answer = get(api, "/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["cache-control"] == "no-cache"
    sent = re.sub(rb"page/static/v-[0-9a-f]{16}/", b"page/static/", answer.body)
    assert sent == (page_files.STATIC / "index.html").read_bytes()
    assert ask(api.port, "HEAD", "/").status == 200


def test_browsers_keep_the_files_of_a_page_until_one_of_them_changes(api: Api, static: Path) -> None:
    def address() -> str:
        (found,) = re.findall(r'src="(page/static/v-[0-9a-f]{16}/scripts/a.js)"', get(api, "/").body.decode())
        return f"/{found}"

    (static / "index.html").write_text('<script src="page/static/scripts/a.js"></script>')
    (static / "scripts" / "a.js").write_text("a")
    (static / "scripts" / "b.js").write_text("b")
    first = address()
    assert address() == first
    assert get(api, first).headers["cache-control"] == "public, max-age=31536000, immutable"
    (static / "scripts" / "b.js").write_text("changed")
    assert address() != first
    assert get(api, address()).headers["cache-control"] == "public, max-age=31536000, immutable"
    # A page that was loaded before the change goes on with what there is, and keeps none of it.
    older = get(api, first.replace("a.js", "b.js"))
    assert (older.status, older.body, older.headers["cache-control"]) == (200, b"changed", "no-cache")


def test_every_file_of_the_page_is_served(api: Api) -> None:
    for path in page_files.STATIC.rglob("*"):
        if path.is_file():
            name = path.relative_to(page_files.STATIC).as_posix()
            assert get(api, f"/page/static/{name}").status == 200, name


def transcribed(browser: Browser, content: bytes, name: str) -> str:
    """The id of a transcript of the file."""
    transcript_id: str = browser.post(TRANSCRIPTS, {"upload": browser.upload(content, name)}).json["id"]
    return transcript_id


def media(browser: Browser, transcript_id: str, **headers: str) -> Response:
    return browser.get(f"{TRANSCRIPTS}/{transcript_id}/media", **headers)


@pytest.mark.process
@pytest.mark.parametrize(
    ("clip", "media_type"), [("demo.ogg", "audio/ogg"), ("numbers.mp3", "audio/mpeg"), ("video.mp4", "video/mp4")]
)
def test_a_recording_is_played_whole_and_in_ranges(browser: Browser, clip: str, media_type: str) -> None:
    content = (CLIPS / clip).read_bytes()
    transcript_id = transcribed(browser, content, f"my {clip}")
    whole = media(browser, transcript_id)
    assert (whole.status, whole.headers["content-type"], whole.body) == (200, media_type, content)
    assert whole.headers["content-disposition"] == f"inline; filename*=UTF-8''my%20{clip}"
    assert whole.headers["content-security-policy"] == "sandbox"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["accept-ranges"] == "bytes"
    part = media(browser, transcript_id, range="bytes=100-299")
    assert (part.status, part.body) == (206, content[100:300])
    assert part.headers["content-range"] == f"bytes 100-299/{len(content)}"
    rest = media(browser, transcript_id, range="bytes=1000-", **{"if-range": whole.headers["etag"]})
    assert (rest.status, rest.body) == (206, content[1000:])
    assert media(browser, transcript_id, range=f"bytes={len(content)}-").status == 416


@pytest.mark.process
def test_a_copy_that_browsers_play_is_served_like_the_recording(browser: Browser, tmp_path: Path) -> None:
    source = tmp_path / "talk.aif"
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(CLIPS / "demo.ogg"), "-c:a", "pcm_s16be", "-f", "aiff"]
    subprocess.run([*command, str(source)], check=True)
    transcript_id = transcribed(browser, source.read_bytes(), "talk.aif")
    original = media(browser, transcript_id)
    assert (original.status, original.headers["content-type"]) == (200, UNKNOWN)
    assert original.headers["content-disposition"].startswith("attachment;")
    path = f"{TRANSCRIPTS}/{transcript_id}/media?copy=playable"
    wait_until(lambda: browser.get(path).status != 202)
    copy = browser.get(path)
    assert (copy.status, copy.headers["content-type"]) == (200, "audio/mp4")
    assert copy.headers["content-disposition"] == "inline; filename*=UTF-8''talk.m4a"
    assert browser.get(path, range="bytes=0-9").body == copy.body[:10]
    assert browser.get(f"{TRANSCRIPTS}/{transcript_id}/media?copy=other").status == 400


@pytest.mark.process
@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"<!doctype html><script>alert(1)</script>", "talk.mp3"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "talk.svg"),
        (b"%PDF-1.4", "talk.wav"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "talk.m3u8"),
        (b"\0" * 5000, "talk.mp4"),
    ],
)
def test_what_is_no_recording_is_not_served(browser: Browser, content: bytes, name: str) -> None:
    response = media(browser, transcribed(browser, content, name))
    assert (response.status, response.code) == (404, "no_media")


@pytest.mark.process
def test_a_recording_that_is_a_web_page_too_is_no_page(browser: Browser) -> None:
    page = b"<!doctype html><script>alert(1)</script>"
    tag = b"ID3\x03\0\0" + bytes([0, 0, len(page) >> 7, len(page) & 127]) + page
    transcript_id = transcribed(browser, tag + (CLIPS / "numbers.mp3").read_bytes(), "talk.html")
    response = media(browser, transcript_id)
    assert (response.status, response.headers["content-type"]) == (200, "audio/mpeg")
    assert response.headers["content-security-policy"] == "sandbox"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-disposition"].endswith("talk.html.mp3")


@pytest.mark.process
def test_a_recording_is_its_visitors_alone_and_goes_with_its_transcript(
    api: Api, browser: Browser, tmp_path: Path
) -> None:
    stranger = Browser(api.port)
    transcript_id = transcribed(browser, (CLIPS / "demo.ogg").read_bytes(), "demo.ogg")
    path = f"{TRANSCRIPTS}/{transcript_id}/media"
    theirs, nothing = stranger.get(path), stranger.get(f"{TRANSCRIPTS}/AAAAAAAAAAAAAAAA/media")
    assert (theirs.status, theirs.body) == (nothing.status, nothing.body) == (404, nothing.body)
    assert browser.get(path, **{"sec-fetch-site": "same-site"}).status == 403
    [recording] = tmp_path.glob("page/media/*/recording")
    recording.rename(tmp_path / "elsewhere")
    assert (browser.get(path).status, browser.get(path).code) == (404, "no_media")
    assert browser.get(path, **{"sec-fetch-site": "cross-site"}).status == 403
    assert browser.ask("DELETE", f"{TRANSCRIPTS}/{transcript_id}").status == 204
    assert browser.get(path).status == 404


@pytest.mark.parametrize(
    ("head", "kind", "media_type"),
    [
        (b"ID3\x04", "audio", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio", "audio/aac"),
        (b"RIFF\x24\x08\0\0WAVEfmt ", "audio", "audio/wav"),
        (b"RIFF\x24\x08\0\0AVI LIST", "video", UNKNOWN),
        (b"fLaC\0", "audio", "audio/flac"),
        (b"OggS\0\x02", "audio", "audio/ogg"),
        (b"\x1a\x45\xdf\xa3\x9f", "video", "video/webm"),
        (b"\x1a\x45\xdf\xa3\x9f", "audio", "audio/webm"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0", "audio", "audio/mp4"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "video", "video/mp4"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "video", UNKNOWN),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "video", UNKNOWN),
        (b"\xff\xfe<\0h\0t\0m\0l\0", "audio", UNKNOWN),  # HTML in UTF-16
        (b"\xef\xbb\xbf<html>", "audio", UNKNOWN),
        (b" ID3", "audio", UNKNOWN),
        (b"", "audio", UNKNOWN),
    ],
)
def test_the_content_type_is_that_of_the_first_bytes(tmp_path: Path, head: bytes, kind: str, media_type: str) -> None:
    path = tmp_path / "recording"
    path.write_bytes(head)
    assert media_type_of(path, kind) == media_type  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("talk.mp3", "talk.mp3"),
        ("a/b\\c:d*e?f.srt", "a_b_c_d_e_f.srt"),
        ('a"; filename="b.exe', "a_%3B%20filename%3D_b.exe"),
        ("a\r\nset-cookie: x.txt", "a%20%20set-cookie_%20x.txt"),
        ("täst 1.txt", "t%C3%A4st%201.txt"),
        ("\u202egpj.txt", "gpj.txt"),
        ("..", "file"),
        (".txt", "file.txt"),
        ("", "file"),
        ("日" * 100 + ".txt", "%E6%97%A5" * 66 + ".txt"),
        ("a." + "b" * 100, "a." + "b" * 16),
    ],
)
def test_a_files_name_is_safe_everywhere(name: str, value: str) -> None:
    assert content_disposition(name) == f"attachment; filename*=UTF-8''{value}"
    assert content_disposition(name, inline=True) == f"inline; filename*=UTF-8''{value}"
