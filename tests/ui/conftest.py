"""Fixtures of the page's tests: servers of the page, and a browser.

A test of the page's own behaviour takes `scripted`, whose transcriber does what the test says. `whisper` and `bridge`
are the page's homes as people have them, with a real worker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from api.http.door import DoorSettings
from tests.ui.browser import Look, Visitor, Watch, picture
from tests.ui.homes import Home, a_bridge, a_bridge_to_one_worker, a_worker, fake_microphone
from tests.ui.scripted import ScriptedHome

HERE = Path(__file__).parent
TIMEOUT_S = 20.0
"""Of each step, for slow and busy machines."""

expect.set_options(timeout=TIMEOUT_S * 1000)
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these tests start a browser."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.process)


@pytest.fixture(scope="session")
def scripted_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedHome]:
    home = ScriptedHome(tmp_path_factory.mktemp("scripted"))
    home.start()
    yield home
    home.stop()


@pytest.fixture
def scripted(scripted_home: ScriptedHome) -> ScriptedHome:
    """The page with a scripted transcriber that answers with a talk at once: `scripted.use(held=True)` and so on."""
    scripted_home.use()
    return scripted_home


@pytest.fixture(scope="session")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A worker in HTTP mode with tiny.en."""
    with a_worker(tmp_path_factory.mktemp("whisper")) as home:
        yield home


@pytest.fixture(scope="session")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The client's page in front of an endpoint with a worker, whose key the browser may not see."""
    with a_bridge(tmp_path_factory.mktemp("bridge")) as home:
        yield home


@pytest.fixture(scope="session")
def bridge_to_one_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The client's server in front of a worker without endpoint and key."""
    with a_bridge_to_one_worker(tmp_path_factory.mktemp("serve")) as home:
        yield home


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    microphone = fake_microphone(tmp_path_factory.mktemp("microphone"))
    arguments = [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={microphone}",
        "--autoplay-policy=no-user-gesture-required",
    ]  # fmt: skip
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def modules(browser: Browser, scripted_home: ScriptedHome) -> Iterator[Page]:
    """A tab for `run_module`: one for all tests, as the modules that they call keep no state."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(scripted_home.url)
        yield page


@pytest.fixture
def look() -> Look:
    """How the page is looked at; `in_all_looks` and `on_desk_and_phone` give others."""
    return Look()


@pytest.fixture
def watch() -> Watch:
    """What goes wrong in the tabs, which fails the test; it may append to `watch.allowed`."""
    return Watch()


@pytest.fixture
def context(browser: Browser, look: Look, watch: Watch) -> Iterator[BrowserContext]:
    """A visitor's browser, without cookies."""
    phone = look.width < 600
    context = browser.new_context(
        viewport={"width": look.width, "height": 844 if phone else 860},
        color_scheme=look.colours,
        has_touch=phone,
        permissions=["microphone", "clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(TIMEOUT_S * 1000)
    watch.over(context)
    yield context
    context.close()
    watch.check()


@pytest.fixture
def page(context: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab, of which a screenshot is kept when the test has ended."""
    page = context.new_page()
    yield page
    if not page.is_closed():
        picture(page, request.node.name)


@pytest.fixture
def locked(tmp_path: Path, watch: Watch) -> Iterator[ScriptedHome]:
    """A page that asks for the password `open sesame`."""
    watch.allowed.append("status of 401")
    home = ScriptedHome(tmp_path, DoorSettings(api_keys=frozenset({"open sesame"})))
    home.start()
    yield home
    home.stop()


@pytest.fixture
def visitor(context: BrowserContext, scripted: ScriptedHome) -> Visitor:
    """Asks the scripted page's server for what a tab would."""
    return Visitor(context, scripted.url)
