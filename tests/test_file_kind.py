"""Files that are no recordings are named as what they are; no recording ever is."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from src.file_kind import name_other_kind
from tests.support.media import encode, sine, write_wav

PAGE = '<!DOCTYPE html><html lang="en"><head><title>talk.mp3 - Google Drive</title></head><body>Sign in</body></html>'
PACKED = "unpack it and send the recording inside"


def kind(data: bytes, folder: Path, *, downloaded: bool = True) -> str | None:
    path = folder / "media"
    path.write_bytes(data)
    return name_other_kind(path, downloaded=downloaded)


def zipped(compression: int = zipfile.ZIP_STORED, encrypted: bool = False) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("talk.mp3", b"ID3" + bytes(1000) + b"\xff\xfb" * 1000)
    data = bytearray(file.getvalue())
    data[6] |= encrypted  # the flag of an encrypted entry
    return bytes(data)


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("talk.mp3"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (PAGE.encode(), "a web page (HTML): use the recording's direct download link"),
        (b"\xef\xbb\xbf\r\n <HTML>\xc3\xa4", "a web page (HTML)"),
        (b"<!-- a -->\n<!-- b --><!doctype html>", "a web page (HTML)"),
        (b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "x">', "a web page (HTML)"),
        (PAGE.encode() + b" " * 8192 + b"\xff\xfb", "a web page (HTML)"),
        (b'<?xml version="1.0"?>\n<rss version="2.0">', "a podcast's feed (RSS)"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
        (json.dumps({"error": "x"}).encode(), "a JSON document: check that the URL is that of a recording"),
        (b"[1, 2]", "a JSON document"),
        (b"#EXTM3U\n#EXTINF:1,\na.ts\n", "a playlist"),
        ("Grüße\n".encode() * 2000, "a text"),
        (b"1\n00:00:00,000 --> 00:00:01,000\nHi\n", "a text"),
        (b"%PDF-1.7\n\xff\xff", "a PDF document"),
        (zipped(), f"a zip archive or an office document: {PACKED}"),
        (zipped(zipfile.ZIP_DEFLATED), "a zip archive"),
        (zipped(encrypted=True), "a zip archive"),
        (b"PK\x05\x06" + bytes(18), "a zip archive"),
        (tarred(), "a tar archive"),
        (b"\x1f\x8b\x08\x00" + bytes(20), f"an archive: {PACKED}"),
        (b"Rar!\x1a\x07\x01\x00", "an archive"),
        (b"7z\xbc\xaf\x27\x1c", "an archive"),
        (b"BZh91AY&SY\x00", "an archive"),
        (b"\xfd7zXZ\x00\x00", "an archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document"),
        (b"\x89PNG\r\n\x1a\n\0", "a picture"),
        (b"\xff\xd8\xff\xe0\0", "a picture"),
        (b"GIF89a\0", "a picture"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "a picture"),
        (b"\0\0\0\x18ftypheic\0", "a picture"),
    ],
)
def test_what_is_no_recording_is_named(data: bytes, name: str, tmp_path: Path) -> None:
    assert (kind(data, tmp_path) or "").startswith(name)


def test_the_remedy_is_for_what_the_caller_did(tmp_path: Path) -> None:
    assert kind(PAGE.encode(), tmp_path, downloaded=False) == "a web page (HTML): send the recording itself"
    assert kind(b"{}", tmp_path, downloaded=False) == "a JSON document: send the recording itself"


HEADS = (
    *(b"", b" \n", b"ID3\x04\0", b"\xff\xfb\x90", b"\xff\xf1", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC\0", b"OggS\0"),
    *(b"\0\0\0\x18ftypM4A ", b"\0\0\0\x18ftypisom", b"\0\0\0\x18ftypmp42", b"\0\0\0\x14ftypqt  "),
    *(b"\0\0\0\x08wide", b"\x1aE\xdf\xa3", b"FORM\0\0\0\0AIFF", b"#!AMR\n<\x08", b"#!AMR-WB\n\x04", b".snd\0"),
    *(b"caff\0\x01", b"MAC \x96\x0f", b"G@\x00\x10", b"\0\0\x01\xba", b"FLV\x01", b".RMF\0", b"riff.\x91\xcf"),
    *(b"Creative Voice File\x1a", b"wvpk\0", b"TTA1\x01", b"DSD \x1c\0", b"\x0bw\x00", b"\x30\x26\xb2"),
    b"NIST_1A\n   1024\n" + b" " * 1008 + b"\x00\x01",
    b"<html>junk that a server put first</html>\r\n" + b"\xff\xfb\x90\x64" * 50,
    b"HTTP/1.0 200 OK\r\nicy-name: radio\r\n\r\n" + b"\xff\xfb\x90\x64" * 50,
)


@pytest.mark.parametrize("data", HEADS)
def test_what_may_be_a_recording_is_not_named(data: bytes, tmp_path: Path) -> None:
    assert kind(data, tmp_path) is None


NEEDS = {"amr": "-ar 8000", "3gp": "-ar 8000", "dts": "-strict -2 -ar 48000", "flv": "-ar 44100"}
"""What the encoders of some containers ask for."""


@pytest.mark.process
@pytest.mark.parametrize(
    "suffix",
    [
        *("aac", "ac3", "aiff", "asf", "au", "avi", "caf", "eac3", "flac", "mkv", "mka", "webm", "mov", "m4a", "mp4"),
        *("mp3", "mp2", "mpg", "ts", "ogg", "opus", "oga", "tta", "voc", "w64", "wav", "wv", "wma", *NEEDS),
    ],
)
def test_no_recording_of_any_container_is_named(suffix: str, tmp_path: Path) -> None:
    wav, file = write_wav(tmp_path / "in.wav", sine(440, 1.0).reshape(-1, 1)), tmp_path / f"out.{suffix}"
    encode("-i", str(wav), *NEEDS.get(suffix, "").split(), str(file))
    assert name_other_kind(file, downloaded=True) is None
