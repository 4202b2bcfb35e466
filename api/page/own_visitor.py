"""The visitor that the owner of the page's folder is, in any browser: by a link that the server prints.

A cookie can be deleted, or be another browser's. Who can read the server's terminal owns its transcripts all the same.
"""

from __future__ import annotations

import hmac
import secrets
from contextlib import suppress
from pathlib import Path

_FILE_NAME = "own-visitor"


class OwnVisitor:
    """The folder's own visitor, and the code that makes a browser this visitor, once.

    Args:
        folder: of the page; exists.

    Attributes:
        token: the visitor's, as in a cookie; the same for as long as the folder exists.

    Raises:
        OSError: the token cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self.token = _read_token(folder / _FILE_NAME)
        self._code: str | None = secrets.token_urlsafe(24)

    @property
    def link(self) -> str:
        """The part of the page's address that has the code: servers and proxies are not sent it; empty: it is used."""
        return f"#/enter/{self._code}" if self._code else ""

    def redeem(self, code: str) -> bool:
        """True, once, for the code."""
        if self._code is None or not hmac.compare_digest(code.encode("utf-8", "replace"), self._code.encode()):
            return False
        self._code = None
        return True


def _read_token(path: Path) -> str:
    with suppress(FileNotFoundError):
        return path.read_text("ascii")
    token = secrets.token_urlsafe(32)
    new = path.with_suffix(".new")
    new.touch(0o600)
    new.write_text(token, "ascii")
    new.replace(path)
    return token
