"""Who may use the page: visitors, passwords, and pages of other origins."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from api.http import page_session
from api.http.door import DoorSettings
from api.http.page_access import make_proof
from api.page.settings import PageSettings
from tests.support.http_api import Api, api_on_loopback, wait_until
from tests.support.page_api import Browser, ask

SESSION = "/page/api/session"
UPLOADS = "/page/api/uploads"
TRANSCRIPTS = "/page/api/transcripts"
KEY = "a-key-of-the-owner"
OWN = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def open_page(stack: ExitStack, tmp_path: Path) -> Api:
    """The page of a server without keys."""
    return stack.enter_context(api_on_loopback(page=PageSettings(tmp_path, "worker")))


@pytest.fixture
def locked_page(stack: ExitStack, tmp_path: Path) -> Api:
    """The page of a server with a key."""
    return served_with(stack, tmp_path, KEY, "another-key")


def served_with(stack: ExitStack, folder: Path, *keys: str) -> Api:
    settings = DoorSettings(api_keys=frozenset(keys))
    return stack.enter_context(api_on_loopback(settings=settings, page=PageSettings(folder, "worker")))


def test_a_browser_becomes_a_visitor_by_a_cookie_that_scripts_and_other_sites_do_not_get(open_page: Api) -> None:
    session = Browser(open_page.port).session
    assert session.json["admitted"] is True
    assert session.json["needs_password"] is False
    assert session.json["limits"] == {"upload_bytes": 1024**3, "piece_bytes": 8 * 1024**2}
    assert session.json["home"] == "worker"
    name, *attributes = re.split("; ", session.headers["set-cookie"])
    assert re.fullmatch(rf"worker-whisper-visitor-{open_page.port}=[\w-]{{43}}", name)
    assert {each.lower() for each in attributes} == {"httponly", "samesite=strict", "max-age=34560000"}


def test_a_visitor_stays_the_same_and_two_are_two(open_page: Api) -> None:
    first, second = Browser(open_page.port), Browser(open_page.port)
    before = first.cookie
    assert first.get(SESSION).headers["set-cookie"].startswith(before)
    assert first.cookie == before != second.cookie


@pytest.mark.parametrize(
    ("forwarded", "is_secure"),
    [({}, False), ({"x-forwarded-proto": "https"}, True), ({"x-forwarded-proto": "https, http"}, True),
     ({"x-forwarded-proto": "http"}, False)],
)  # fmt: skip
def test_the_cookie_is_for_https_alone_where_the_browser_came_by_https(
    open_page: Api, forwarded: Mapping[str, str], is_secure: bool
) -> None:
    set_cookie = ask(open_page.port, "GET", SESSION, headers={**OWN, **forwarded}).headers["set-cookie"]
    assert ("secure" in set_cookie.lower()) is is_secure


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"sec-fetch-site": "same-origin"}, 200),
        ("GET", {"sec-fetch-site": "none"}, 200),
        ("GET", {"sec-fetch-site": "cross-site"}, 403),
        ("GET", {"sec-fetch-site": "same-site"}, 403),  # another port of this host
        ("GET", {"sec-fetch-site": "same-origin", "host": "attacker.example"}, 403),  # DNS rebinding
        ("GET", {"sec-fetch-site": "same-origin", "host": "localhost.attacker.example:80"}, 403),
        ("GET", {"sec-fetch-site": "same-origin", "host": "192.168.0.7:8000"}, 200),
        ("GET", {"sec-fetch-site": "same-origin", "host": "[::1]:8000"}, 200),
        ("GET", {"sec-fetch-site": "same-origin", "host": "studio.local"}, 200),
        ("GET", {}, 200),
        ("GET", {"host": "localhost:8000", "origin": "http://localhost:8000"}, 200),
        ("GET", {"host": "localhost:8000", "origin": "http://localhost:8001"}, 403),
        ("GET", {"host": "localhost:8000", "origin": "null"}, 403),
        ("GET", {"host": "attacker.example", "origin": "http://attacker.example"}, 403),
        ("DELETE", {"sec-fetch-site": "same-origin"}, 200),
        ("DELETE", {"sec-fetch-site": "none"}, 403),
        ("DELETE", {"sec-fetch-site": "cross-site"}, 403),
        ("DELETE", {"sec-fetch-site": "cross-site", "x-requested-by": "page"}, 403),
        ("DELETE", {"sec-fetch-site": "same-site"}, 403),
        ("DELETE", {"sec-fetch-site": "same-origin", "host": "attacker.example"}, 403),
        ("DELETE", {}, 403),  # a form of another page, from a browser that says nothing
        ("DELETE", {"x-requested-by": "page"}, 200),
        ("DELETE", {"host": "localhost:8000", "origin": "http://localhost:8000"}, 200),
        ("DELETE", {"host": "localhost:8000", "origin": "https://attacker.example", "x-requested-by": "page"}, 403),
        ("OPTIONS", {"sec-fetch-site": "cross-site", "access-control-request-method": "POST"}, 403),
    ],
)
def test_requests_of_other_pages_are_refused(
    open_page: Api, method: str, headers: Mapping[str, str], status: int
) -> None:
    response = ask(open_page.port, method, SESSION, headers=headers)
    assert response.status == status, response.body
    assert ("set-cookie" in response.headers) is (status == 200)
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("origins", [("*",), ("https://friend.example",)])
def test_origins_that_may_use_the_api_may_not_use_the_page(
    stack: ExitStack, tmp_path: Path, origins: tuple[str, ...]
) -> None:
    settings = DoorSettings(cors_origins=origins)
    api = stack.enter_context(api_on_loopback(settings=settings, page=PageSettings(tmp_path, "worker")))
    friend = {"origin": "https://friend.example"}
    assert ask(api.port, "GET", "/v1/models", headers=friend).headers["access-control-allow-origin"]
    for method, headers in (("GET", friend), ("OPTIONS", {**friend, "access-control-request-method": "GET"})):
        response = ask(api.port, method, SESSION, headers=headers)
        assert response.status == 403
        assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", [UPLOADS, "/page/api/events", "/page/api/none", "/page/api/", "/page/api/session/"])
def test_without_a_cookie_nothing_is_answered_but_the_session(open_page: Api, method: str, path: str) -> None:
    response = ask(open_page.port, method, path, headers={**OWN, "cookie": "worker-whisper-visitor-1=guessed"})
    assert (response.status, response.code) == (401, "session_needed")


@pytest.mark.parametrize("host", ["attacker.example", "my-pod.proxy.runpod.net"])
def test_with_a_key_the_page_has_any_host_and_a_password(locked_page: Api, host: str) -> None:
    session = ask(locked_page.port, "GET", SESSION, headers={**OWN, "host": host})
    assert session.json["admitted"] is False
    assert session.json["needs_password"] is True


def test_the_password_is_any_key_and_the_visitor_stays_the_same(locked_page: Api) -> None:
    for password in (KEY, "another-key", f"  {KEY}\n"):
        browser = Browser(locked_page.port)
        before = browser.cookie
        assert browser.get("/page/api/none").code == "password_needed"
        session = browser.log_in(password).json
        assert (session["admitted"], session["needs_password"]) == (True, True)
        assert browser.cookie.startswith(f"{before}.")
        assert browser.get("/page/api/none").status == 404
        assert browser.get(SESSION).json["admitted"] is True
        assert browser.get(SESSION).json["needs_password"] is True, "there is something to log out of"
        assert browser.ask("DELETE", SESSION).json["admitted"] is False
        assert browser.cookie == before
        assert browser.get("/page/api/none").code == "password_needed"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "{token}",
        "{token}.",
        "{token}.{other_proof}",
        "{token}.{proof}0",
        "{token}.{proof}.{proof}",
        "{other_token}.{proof}",
        "x.{proof}",
        "{token}.{key}",
    ],
)
def test_a_forged_cookie_is_no_password(locked_page: Api, value: str) -> None:
    token, other_token = "t" * 43, "u" * 43
    proof = make_proof(KEY, token)
    right = f"worker-whisper-visitor-{locked_page.port}={token}.{proof}"
    assert ask(locked_page.port, "GET", "/page/api/none", headers={**OWN, "cookie": right}).status == 404
    forged = value.format(
        token=token, proof=proof, other_token=other_token, other_proof=make_proof("guess", token), key=KEY
    )
    cookie = f"worker-whisper-visitor-{locked_page.port}={forged}"
    response = ask(locked_page.port, "GET", "/page/api/none", headers={**OWN, "cookie": cookie})
    assert (response.status, response.code) == (401, "password_needed")


def test_an_api_key_is_no_visitor_and_a_visitor_has_no_api_key(locked_page: Api) -> None:
    bearer = {**OWN, "authorization": f"Bearer {KEY}"}
    assert ask(locked_page.port, "GET", "/page/api/none", headers=bearer).code == "password_needed"
    browser = Browser(locked_page.port)
    browser.log_in(KEY)
    assert browser.get("/v1/models").code == "invalid_api_key"


@pytest.mark.parametrize(
    ("keys", "admitted"),
    [((KEY, "another-key"), True), ((KEY,), True), (("new-key", "another-key"), False), ((), True)],
)
def test_a_key_that_changes_ends_its_sessions(
    stack: ExitStack, tmp_path: Path, locked_page: Api, keys: tuple[str, ...], admitted: bool
) -> None:
    browser = Browser(locked_page.port)
    browser.log_in(KEY)
    later = served_with(stack, tmp_path / "later", *keys)
    cookie = browser.cookie.replace(str(locked_page.port), str(later.port))
    session = ask(later.port, "GET", SESSION, headers={**OWN, "cookie": cookie})
    assert session.json["admitted"] is admitted
    token = cookie.partition(".")[0]
    assert session.headers["set-cookie"].startswith(token), "the visitor's transcripts would be lost"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"password": 7}', 400),
        (b'{"password": "%s"}' % (b"x" * 5000), 413),
        (b'{"password": "\\ud800"}', 401),
        (b'{"password": ""}', 401),
        (b'{"password": "wrong"}', 401),
    ],
)
def test_a_password_that_is_none_is_refused(locked_page: Api, body: bytes, status: int) -> None:
    response = ask(locked_page.port, "POST", SESSION, body, OWN)
    assert response.status == status, response.body
    assert "set-cookie" not in response.headers
    assert KEY not in response.body.decode()


def test_passwords_are_tried_slowly_and_few_at_once(locked_page: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    may_go_on = threading.Event()
    sleep = asyncio.sleep

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        while not may_go_on.is_set():
            await sleep(0.01)

    monkeypatch.setattr(page_session, "asyncio", SimpleNamespace(sleep=wait))
    statuses: list[int] = []
    body = json.dumps({"password": "wrong"}).encode()
    tries = [
        threading.Thread(target=lambda: statuses.append(ask(locked_page.port, "POST", SESSION, body, OWN).status))
        for _ in range(12)
    ]
    for each in tries:
        each.start()
    wait_until(lambda: len(statuses) == 8)
    right = Browser(locked_page.port).log_in(KEY)
    assert right.status == 429, "a right password is told from a wrong one while no wrong one is answered"
    assert statuses == [429] * 8
    may_go_on.set()
    for each in tries:
        each.join()
    assert sorted(statuses) == [401] * 4 + [429] * 8
    assert waits == [page_session.WRONG_PASSWORD_SECONDS] * 4
    assert Browser(locked_page.port).log_in(KEY).json["admitted"] is True


def test_a_caller_who_hangs_up_does_not_try_faster(locked_page: Api) -> None:
    body = json.dumps({"password": "wrong"}).encode()
    request = (
        f"POST {SESSION} HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: same-origin\r\ncontent-length: {len(body)}"
    )
    for _ in range(4):
        with locked_page.connect() as connection:
            connection.sendall(f"{request}\r\n\r\n".encode() + body)
            wait_until(lambda: locked_page.door.logins)
    wait_until(lambda: locked_page.door.logins == 4)
    assert ask(locked_page.port, "POST", SESSION, body, OWN).status == 429
    wait_until(lambda: locked_page.door.logins == 0)


def test_slow_strangers_do_not_keep_others_from_logging_in(locked_page: Api) -> None:
    head = f"POST {SESSION} HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: same-origin\r\ncontent-length: 40\r\n\r\n{{"
    with ExitStack() as connections:
        for _ in range(20):
            connections.enter_context(locked_page.connect()).sendall(head.encode())
        assert Browser(locked_page.port).log_in(KEY).json["admitted"] is True
        assert locked_page.door.requests == 0, "a stranger's login counts as a request that is admitted"


@pytest.mark.parametrize("path", ["/", "/page/static/none.js", SESSION, "/page/api/none"])
def test_every_answer_of_the_page_keeps_foreign_scripts_and_pages_out(open_page: Api, path: str) -> None:
    headers = ask(open_page.port, "GET", path, headers=OWN).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-store" if path.startswith("/page/api/") else "no-cache")


def test_a_server_without_a_page_has_no_session(stack: ExitStack) -> None:
    api = stack.enter_context(api_on_loopback())
    assert ask(api.port, "GET", SESSION, headers=OWN).status == 404
    assert "content-security-policy" not in ask(api.port, "GET", "/", headers=OWN).headers


def code_of(page: Api) -> str:
    """The code of the link that the server prints."""
    assert page.page
    return page.page.own_visitor.link.removeprefix("#/enter/")


def titles(browser: Browser) -> list[str]:
    return [record["title"] for record in browser.get(TRANSCRIPTS).json["transcripts"]]


def test_the_servers_link_makes_one_browser_its_owners_with_all_that_it_had(open_page: Api) -> None:
    browser, later = Browser(open_page.port), Browser(open_page.port)
    browser.post(TRANSCRIPTS, {"url": "https://example.org/a.mp3", "options": {}, "title": "before the link"})
    code = code_of(open_page)
    former = browser.cookie
    assert browser.post("/page/api/owner", {"code": code}).json["admitted"] is True
    assert browser.cookie != former
    assert titles(browser) == ["before the link"]
    refused = later.post("/page/api/owner", {"code": code})
    assert (refused.status, refused.code) == (403, "wrong_code")
    assert titles(later) == []


def test_the_link_of_the_next_start_brings_the_transcripts_to_a_browser_without_the_cookie(
    stack: ExitStack, tmp_path: Path
) -> None:
    for title in ("first", "second"):
        with ExitStack() as running:
            page = served_with(running, tmp_path)
            browser = Browser(page.port)
            browser.post("/page/api/owner", {"code": code_of(page)})
            browser.post(TRANSCRIPTS, {"url": "https://example.org/a.mp3", "options": {}, "title": title})
            assert sorted(titles(browser)) == ["first", "second"][: 1 + (title == "second")]


def test_the_link_is_no_way_around_the_password(locked_page: Api) -> None:
    browser = Browser(locked_page.port)
    refused = browser.post("/page/api/owner", {"code": code_of(locked_page)})
    assert (refused.status, refused.code) == (401, "password_needed")
    browser.log_in(KEY)
    assert browser.post("/page/api/owner", {"code": code_of(locked_page)}).json["admitted"] is True
    assert browser.get(TRANSCRIPTS).status == 200


@pytest.mark.parametrize("code", ["", "x", "\ud800", None, 7, ["code"]])
def test_a_wrong_code_is_refused(open_page: Api, code: object) -> None:
    refused = Browser(open_page.port).post("/page/api/owner", {"code": code})
    assert (refused.status, refused.code) == (403, "wrong_code")
