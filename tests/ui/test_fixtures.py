"""The tests' own means see what they are to see."""

from __future__ import annotations

import pytest
from playwright.sync_api import BrowserContext, Page, Route

from tests.ui.browser import Look, Watch, axe, in_all_looks

ADDRESS = "http://127.0.0.1:9/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; require-trusted-types-for 'script'"
)
FULL = '<!doctype html><html lang="en"><title>A page</title><main><h1>A page</h1>{}</main></html>'


@pytest.fixture
def served(context: BrowserContext) -> dict[str, str]:
    """The page's files by their paths, under the page's policy; all other addresses are not found."""
    files: dict[str, str] = {}

    def answer(route: Route) -> None:
        path = route.request.url.removeprefix(ADDRESS)
        kind = "text/javascript" if path.endswith(".js") else "text/html"
        headers = {"content-security-policy": POLICY, "content-type": kind}
        route.fulfill(status=200 if path in files else 404, headers=headers, body=files.get(path, "nothing"))

    context.route("**/*", answer)
    return files


@pytest.mark.parametrize(
    ("body", "script", "error"),
    [
        ("", "throw new Error('broken')", "broken"),
        ("", "Promise.reject(new Error('broken later'))", "broken later"),
        ("", "console.error('bad')", "bad"),
        ("<p style='color: red'>", "", "Content Security Policy"),
        ("<script>1</script>", "", "Content Security Policy"),
        ("", "document.body.innerHTML = 'x'", "TrustedHTML"),
        ("", "fetch('/missing')", "status of 404"),
    ],
    ids=["exception", "rejection", "console", "style", "script", "markup", "not found"],
)
def test_a_tabs_errors_fail_the_test(
    page: Page, served: dict[str, str], watch: Watch, body: str, script: str, error: str
) -> None:
    served.update({"": FULL.format(f"{body}<script src='it.js'></script>"), "it.js": script})
    page.goto(ADDRESS)
    page.wait_for_timeout(100)
    assert any(error in message for message in watch.errors), watch.errors
    with pytest.raises(AssertionError, match=error):
        watch.check()
    watch.allowed.append(r"broken|bad|Policy|TrustedHTML|status of 404")


def test_a_request_to_elsewhere_fails_the_test(page: Page, served: dict[str, str], watch: Watch) -> None:
    served[""] = FULL.format("<a href='https://elsewhere.example/'>away</a>")
    page.goto(ADDRESS)
    page.get_by_role("link").click()
    page.wait_for_url("https://elsewhere.example/")
    with pytest.raises(AssertionError, match=r"elsewhere\.example"):
        watch.check()
    watch.elsewhere.clear()
    watch.allowed.append("status of 404")


def test_what_axe_finds_fails_the_test(page: Page, served: dict[str, str]) -> None:
    served[""] = FULL.format("<button></button>")
    page.goto(ADDRESS)
    with pytest.raises(AssertionError, match=r"button-name \(critical\)"):
        axe(page)
    served[""] = FULL.format("<button>Play</button>")
    page.reload()
    axe(page)


@in_all_looks
def test_looks_are_widths_and_colours(page: Page, look: Look) -> None:
    assert page.evaluate("innerWidth") == look.width
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (look.colours == "dark")
