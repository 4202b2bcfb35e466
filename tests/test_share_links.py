"""Share links of file hosts become direct downloads; every other URL stays as it is."""

from __future__ import annotations

import pytest

from src.share_links import to_direct_link

DRIVE = "https://drive.usercontent.google.com/download?id=1AbC_-9&export=download&confirm=t"
ONE_DRIVE = "https://onedrive.live.com"
SHARE_POINT = "https://contoso-my.sharepoint.com/:v:/g/personal/me/Eabc"


@pytest.mark.parametrize(
    ("shared", "direct"),
    [
        ("https://drive.google.com/file/d/1AbC_-9/view?usp=sharing", DRIVE),
        ("https://drive.google.com/file/d/1AbC_-9/preview", DRIVE),
        ("https://drive.google.com/file/u/1/d/1AbC_-9/edit", DRIVE),
        ("https://drive.google.com/a/example.org/file/d/1AbC_-9/view", DRIVE),
        ("https://drive.google.com/open?id=1AbC_-9&usp=drive_copy", DRIVE),
        ("https://drive.google.com/uc?export=download&id=1AbC_-9", DRIVE),
        ("https://docs.google.com/uc?export=open&id=1AbC_-9", DRIVE),
        ("https://drive.google.com/file/d/1AbC_-9/view?resourcekey=0-x", f"{DRIVE}&resourcekey=0-x"),
        ("https://www.dropbox.com/s/abc/talk.mp3?dl=0", "https://www.dropbox.com/s/abc/talk.mp3?dl=1"),
        ("https://www.dropbox.com/s/abc/talk.mp3", "https://www.dropbox.com/s/abc/talk.mp3?dl=1"),
        ("https://dropbox.com/scl/fi/x/t.mp3?rlkey=k&e=1&dl=0", "https://dropbox.com/scl/fi/x/t.mp3?rlkey=k&e=1&dl=1"),
        (f"{ONE_DRIVE}/redir?resid=A%211&authkey=%21B&ithint=x", f"{ONE_DRIVE}/download?resid=A%211&authkey=%21B"),
        (f"{ONE_DRIVE}/embed?cid=A&resid=A%211&authkey=B", f"{ONE_DRIVE}/download?cid=A&resid=A%211&authkey=B"),
        (f"{ONE_DRIVE}/?id=A%211&resid=A%211&authkey=B&cid=a", f"{ONE_DRIVE}/download?cid=a&resid=A%211&authkey=B"),
        (f"{ONE_DRIVE}/:u:/g/personal/a/Eb?redeem=c", f"{ONE_DRIVE}/:u:/g/personal/a/Eb?redeem=c&download=1"),
        (f"{SHARE_POINT}?e=4x", f"{SHARE_POINT}?e=4x&download=1"),
        (SHARE_POINT, f"{SHARE_POINT}?download=1"),
        ("https://github.com/o/r/blob/main/a/b%20c.wav", "https://github.com/o/r/raw/main/a/b%20c.wav"),
    ],
)
def test_a_share_link_becomes_a_direct_download(shared: str, direct: str) -> None:
    assert to_direct_link(shared) == direct
    assert to_direct_link(direct) == direct


@pytest.mark.parametrize(
    "url",
    [
        *("https://example.com/file/d/1AbC/view", "https://example.com/s/a?dl=0", "https://example.com/o/r/blob/x"),
        *(
            "https://drive.google.com.example.com/file/d/1/view",
            "https://evil-dropbox.com/s/a",
            "https://1drv.ms/u/s!A",
        ),
        *("https://drive.google.com/drive/folders/1AbC", "https://www.dropbox.com/sh/abc/x?dl=0"),
        *("https://contoso.sharepoint.com/:f:/s/Site/Eabc?e=1", "https://contoso.sharepoint.com/sites/x/talk.mp3"),
        *("https://github.com/o/r/raw/main/a.wav", "https://raw.githubusercontent.com/o/r/blob/a.wav"),
        *("https://github.com:8443/o/r/blob/main/a.wav", "http://127.0.0.1:8000/a?b=c#d", f"{ONE_DRIVE}/about"),
    ],
)
def test_any_other_url_stays(url: str) -> None:
    assert to_direct_link(url) == url
