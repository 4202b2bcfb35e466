"""Direct downloads for the share links of file hosts: what people copy leads to a page about the file.

Sources; none of it was tried against the hosts themselves:

- Dropbox: `dl=1`, https://help.dropbox.com/share/force-download
- Google Drive: `uc?export=download` leads to the host below, where `confirm` skips the note that a large file is not
  scanned for viruses, https://github.com/wkentaro/gdown
- SharePoint and OneDrive for work: `download=1`, https://github.com/loribonna/onedrivedownloader/issues/2
- OneDrive: `download` for `redir` and `embed`, https://github.com/ShareX/ShareX/issues/5386; its short links redirect
  to these. Its API for share links asks everybody to sign in since 2024.
- GitHub: `/raw/` for `/blob/`, as the button "Raw" has it
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit


def to_direct_link(url: str) -> str:
    """The direct download for a share link of a known host; any other URL as it is."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    for pattern, rewrite in _HOSTS.items():
        if re.fullmatch(pattern, host) and parts.port is None:
            return rewrite(parts)
    return url


def _google_drive(parts: SplitResult) -> str:
    query = dict(parse_qsl(parts.query))
    by_path = re.match(r"/(?:a/[^/]+/)?file/(?:u/\d+/)?d/([\w-]+)", parts.path)
    by_query = re.fullmatch(r"/(?:a/[^/]+/)?(?:u/\d+/)?(?:open|uc)", parts.path) and query.get("id")
    file = by_path[1] if by_path else by_query
    if not file:  # a folder
        return parts.geturl()
    key = {"resourcekey": query["resourcekey"]} if "resourcekey" in query else {}
    wanted = urlencode({"id": file, "export": "download", "confirm": "t", **key})
    return f"https://drive.usercontent.google.com/download?{wanted}"


def _dropbox(parts: SplitResult) -> str:
    return _with(parts, dl="1") if parts.path.startswith(("/s/", "/scl/fi/")) else parts.geturl()


def _one_drive(parts: SplitResult) -> str:
    query = dict(parse_qsl(parts.query))
    if "resid" not in query or parts.path not in ("", "/", "/redir", "/embed"):
        return _share_point(parts)
    wanted = urlencode([(key, query[key]) for key in ("cid", "resid", "authkey") if key in query])
    return urlunsplit(parts._replace(path="/download", query=wanted))


def _share_point(parts: SplitResult) -> str:
    """Links of a file are `/:v:/s/...`, where the letter is the file's kind and "f" a folder."""
    return _with(parts, download="1") if re.match(r"/:[a-eg-z]:/", parts.path) else parts.geturl()


def _git_hub(parts: SplitResult) -> str:
    path = re.sub(r"^(/[^/]+/[^/]+)/blob/", r"\1/raw/", parts.path)
    return urlunsplit(parts._replace(path=path))


def _with(parts: SplitResult, **changes: str) -> str:
    """The URL with the parameters changed."""
    kept = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key not in changes]
    return urlunsplit(parts._replace(query=urlencode([*kept, *changes.items()])))


_HOSTS: dict[str, Callable[[SplitResult], str]] = {
    r"(drive|docs)\.google\.com": _google_drive,
    r"(www\.)?dropbox\.com": _dropbox,
    r"onedrive\.live\.com": _one_drive,
    r"[\w-]+\.sharepoint\.com": _share_point,
    r"github\.com": _git_hub,
}
