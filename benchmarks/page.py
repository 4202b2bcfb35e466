"""Measures what the page transfers at its first load, and how soon it can be used, in Chromium.

    .venv/bin/python -m benchmarks.page --runs 10

The server is the worker's, on this machine, with a scripted transcriber; the visitor has 50 transcripts. Each run
starts with an empty cache. Bytes are counted as transferred: headers, and bodies as compressed. Ready is the time from
the start of the navigation until the view shows its buttons and its transcripts or lines, and the main thread is free.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, StorageState, sync_playwright

from benchmarks.report import describe_run
from tests.ui.browser import CLIPS, Visitor
from tests.ui.scripted import ScriptedHome

MAX_BYTES, MAX_SECONDS = 300_000, 0.5

LIST_IS_READY = "document.querySelectorAll('main li').length === {count} && !!document.querySelector('main button')"
EDITOR_IS_READY = "document.querySelectorAll('main li p').length >= 12"

WAIT = """async (isReady) => {
  while (!isReady()) await new Promise(requestAnimationFrame);
  await new Promise((resolve) => setTimeout(resolve));
  return performance.now() / 1000;
}"""


@dataclass(frozen=True)
class Load:
    """Figures of a first load.

    Attributes:
        size: bytes that were transferred.
        requests: number of requests.
        seconds: until the page can be used.
    """

    size: int
    requests: int
    seconds: float


def main() -> None:
    """Print the figures; exit with 1 if they are over the limits."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--transcripts", type=int, default=50)
    arguments = parser.parse_args()
    print(describe_run())
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = ScriptedHome(Path(folder))
        home.start()
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context()
        visitor = Visitor(context, home.url)
        ids = [visitor.transcribe(CLIPS / "demo.ogg", f"Talk {number}") for number in range(arguments.transcripts)]
        cookies = context.storage_state()
        views = {
            "list": (home.url, LIST_IS_READY.format(count=len(ids))),
            "editor": (f"{home.url}#/t/{ids[0]}", EDITOR_IS_READY),
        }
        fits = [
            report(view, [load(browser, cookies, *place) for _ in range(arguments.runs)])
            for view, place in views.items()
        ]
        browser.close()
        home.stop()
    raise SystemExit(not all(fits))


def report(view: str, loads: Sequence[Load]) -> bool:
    """Print a view's figures; true if they are within the limits."""
    size = max(load.size for load in loads)
    seconds = sorted(load.seconds for load in loads)
    median = statistics.median(seconds)
    print(
        f"{view}: {size / 1000:.1f} kB in {loads[0].requests} requests, ready after {median:.2f} s "
        f"(median of {len(loads)}; {seconds[0]:.2f} to {seconds[-1]:.2f})"
    )
    return size < MAX_BYTES and median < MAX_SECONDS


def load(browser: Browser, cookies: StorageState, address: str, is_ready: str) -> Load:
    """Load the page with an empty cache.

    Args:
        browser: to load it with.
        cookies: of the visitor.
        address: of the view.
        is_ready: JavaScript that is true once the view is there.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 860}, storage_state=cookies)
    page = context.new_page()
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    sizes: dict[str, float] = {}
    network.on("Network.dataReceived", lambda event: note(sizes, event["requestId"], event["encodedDataLength"]))
    network.on("Network.loadingFinished", lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}))
    page.goto(address, wait_until="commit")
    seconds: float = page.evaluate(f"({WAIT})(() => {is_ready})")
    page.wait_for_timeout(500)  # what arrives after the view is ready counts too
    context.close()
    return Load(round(sum(sizes.values())), len(sizes), seconds)


def note(sizes: dict[str, float], request: str, size: float) -> None:
    """Count a part of an answer; some answers do not end, such as the events."""
    sizes[request] = sizes.get(request, 0.0) + size


if __name__ == "__main__":
    main()
