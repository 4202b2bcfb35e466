"""Recognizes files that are no recordings, by their first bytes, to say so in words that help.

ffmpeg's own verdict on such a file is "not a format that can be decoded". No recording may be refused here that ffmpeg
decodes: a kind is recognized by bytes that no format of recordings begins with, and text only where all of it is text.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

_HEAD_BYTES = 4096

_UNPACK = "unpack it and send the recording inside"

_MAGIC: list[tuple[bytes, str]] = [
    (rb"PK(\x03\x04|\x05\x06|\x07\x08)", f"a zip archive or an office document: {_UNPACK}"),
    (
        rb"Rar!\x1a\x07|7z\xbc\xaf\x27\x1c|\x1f\x8b\x08|BZh[1-9]1AY&SY|\xfd7zXZ\0|\x28\xb5\x2f\xfd",
        f"an archive: {_UNPACK}",
    ),
    (rb".{257}ustar", f"a tar archive: {_UNPACK}"),
    (rb"%PDF-", "a PDF document: send the recording itself"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an office document: send the recording itself"),
    (
        rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP|II\*\0|MM\0\*|.{4}ftyp(hei[cxms]|mif1|avif)",
        "a picture: send the recording itself",
    ),
]
_TEXTS: list[tuple[str, str]] = [
    (r"#EXTM3U|\[playlist\]", "a playlist: give the URL of the recording itself"),
    (r"<\?xml[^>]*>\s*<rss\b|<rss\b", "a podcast's feed (RSS): give the URL of one episode's recording"),
    (r"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", "a web page (HTML): {page}"),
    (r"<\?xml\b", "an XML document: {other}"),
    (r"[{\[]", "a JSON document: {other}"),
    (r"", "a text: {other}"),
]
_REMEDIES = {
    True: {"page": "use the recording's direct download link", "other": "check that the URL is that of a recording"},
    False: {"page": "send the recording itself", "other": "send the recording itself"},
}


def name_other_kind(path: Path, *, downloaded: bool) -> str | None:
    """What the file is instead of a recording, and the remedy; None if it may be a recording.

    Args:
        path: an empty file may be one.
        downloaded: False if the caller sent the bytes.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    for magic, kind in _MAGIC:
        if re.match(magic, head, re.DOTALL):
            return kind
    text = _as_text(head)
    if not text:
        return None
    for beginning, kind in _TEXTS:
        if re.match(beginning, text, re.DOTALL | re.IGNORECASE):
            return kind.format_map(_REMEDIES[downloaded])
    return None


def _as_text(head: bytes) -> str | None:
    """The text that all of `head` is, without white space at its start; None if it is no text."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        text = decoder.decode(head, final=len(head) < _HEAD_BYTES).lstrip()
    except UnicodeDecodeError:
        return None
    return text if re.fullmatch(r"[^\x00-\x08\x0b\x0e-\x1f\x7f]*", text) else None
