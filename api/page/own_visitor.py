"""The owner of the page's folder as a visitor, in any browser: by a link that the server prints.

A cookie can be deleted, or belong to another browser. Whoever can read the server's terminal owns the transcripts
all the same.
"""

from __future__ import annotations

import hmac
import secrets
from contextlib import suppress
from pathlib import Path

_FILE_NAME = "own-visitor"


class OwnVisitor:
    """The folder's own visitor, and the code that makes one browser this visitor.

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
        """The fragment of the page's address with the code, which browsers do not send; empty: the code is used up."""
        return f"#/enter/{self._code}" if self._code else ""

    def redeem(self, code: str) -> bool:
        """True for the code, the first time."""
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
