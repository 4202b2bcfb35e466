"""The page has words of its own for each refusal of its server."""

from __future__ import annotations

import re
from pathlib import Path

from api.http import page_files

ROOT = Path(__file__).parents[1]
WORDS = (page_files.STATIC / "scripts" / "text" / "problems.js").read_text()


def test_each_code_of_the_pages_server_is_described() -> None:
    sources = [*(ROOT / "api/http").glob("page_*.py"), *(ROOT / "api/page").glob("*.py")]
    codes = {code for path in sources for code in re.findall(r'(?:code=|\d{3}, )"([a-z_]+)"', path.read_text())}
    assert {"password_needed", "no_such_upload", "not_done"} < codes
    table = WORDS.partition("const BY_CODE = {")[2].partition("\n};")[0]
    described = set(re.findall(r"^  (\w+):", table, re.MULTILINE))
    assert codes - described == set()
