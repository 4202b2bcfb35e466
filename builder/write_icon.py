"""Draws the icon of RunPod's Hub, `.runpod/icon.png`, from the page's: `.venv/bin/python builder/write_icon.py`.

It needs Debian's Chromium (`make chromium`). Run it after a change to `api/page/static/favicon.svg`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from builder.hub import ICON  # noqa: E402

DRAWING = ROOT / "api" / "page" / "static" / "favicon.svg"
SIDE = 512
"""Width and height in pixels."""


def main() -> None:
    """Write the icon."""
    style = "<style>body { margin: 0 } svg { display: block; width: 100vw; height: 100vh }</style>"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": SIDE, "height": SIDE})
        page.set_content(style + DRAWING.read_text(encoding="utf-8"))
        page.screenshot(path=ICON, omit_background=True)
        browser.close()


if __name__ == "__main__":
    main()
