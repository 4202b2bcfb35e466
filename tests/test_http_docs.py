"""`/docs` and `/openapi.json`: they describe what the server serves, and their examples work."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest
import requests
from openapi_spec_validator import validate
from starlette.routing import Route

from api.http.app import create_app
from api.http.docs import describe
from api.http.docs_page import render_page
from api.http.door import DoorSettings
from api.http.reference import FORMATS, REFERENCE, Field, own_options
from api.openai.request import RESPONSE_FORMATS
from api.transcriber import Schema
from tests.support.http_api import ANSWER, Api, ScriptedTranscriber, api_on_loopback

SCHEMA = Path(__file__).resolve().parents[1] / "client" / "job_input.schema.json"
OPTIONS: Mapping[str, Schema] = json.loads(SCHEMA.read_text())["$defs"]["Options"]["properties"]
VOID = {"meta"}


@pytest.fixture(scope="module", params=[frozenset(), frozenset({"KEY"})], ids=["open", "with-keys"])
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    with api_on_loopback(settings=DoorSettings(api_keys=request.param)) as api:
        yield api


@pytest.fixture
def page(api: Api) -> str:
    """The page, which needs no key."""
    response = requests.get(f"{api.url}/docs", timeout=10)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return response.text


def test_the_bare_address_leads_to_the_page(api: Api, page: str) -> None:
    response = requests.get(api.url, timeout=10)
    assert (response.url, response.text) == (f"{api.url}/docs", page)


def examples(page: str) -> list[str]:
    return [html.unescape(code) for code in re.findall(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)]


def test_the_table_has_the_apps_routes_and_their_methods() -> None:
    app = create_app(ScriptedTranscriber(), DoorSettings())
    served = {
        route.path.replace(":path", ""): set(route.methods) - {"HEAD"}
        for route in app.routes
        if isinstance(route, Route) and not route.path.startswith("/v2/") and route.path != "/"
    }
    aliases = {path for path in served if f"/v1{path}" in served}
    described = {route.path: set(route.methods) for route in REFERENCE}
    assert described == {path: methods for path, methods in served.items() if path not in aliases}


def test_the_formats_are_those_of_requests() -> None:
    assert set(FORMATS) == set(RESPONSE_FORMATS)


@pytest.mark.parametrize("has_keys", [True, False])
def test_the_description_is_openapi_with_all_of_the_workers_options(has_keys: bool) -> None:
    description = describe(own_options(OPTIONS), "http://localhost:8000", has_keys=has_keys)
    validate(json.loads(json.dumps(description)))
    form = description["paths"]["/v1/audio/transcriptions"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert {"file", "response_format", "diarize", "speakers"} <= set(form["schema"]["properties"])
    assert form["schema"]["required"] == ["file"]


def test_the_description_is_served_without_a_key(api: Api) -> None:
    description = requests.get(f"{api.url}/openapi.json", timeout=10).json()
    assert description["servers"] == [{"url": api.url}]
    needs_key = {
        path: operation["security"]
        for path, operations in description["paths"].items()
        for operation in operations.values()
    }
    assert needs_key["/health"] == []
    assert needs_key["/metrics"] == ([{"key": []}] if api.door.settings.api_keys else [])


class Elements(HTMLParser):
    """Checks that elements are closed in order, and notes what the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        self.loaded += [tag] if tag in ("script", "link", "img", "iframe") else []
        self.links += [values["href"]] if tag == "a" else []
        self.ids += [values["id"]] if "id" in values else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(page: str) -> None:
    elements = Elements()
    elements.feed(page)
    assert (elements.open, elements.loaded) == ([], [])
    assert {link for link in elements.links if link.startswith("#")} == {f"#{name}" for name in elements.ids}
    assert "url(" not in page
    assert "@import" not in page


def test_the_page_names_all_routes_and_options() -> None:
    page = render_page(own_options(OPTIONS), address="http://localhost:8000", has_keys=False)
    assert all(f">{html.escape(route.path)}<" in page for route in REFERENCE)
    assert all(f"<code>{field.name}</code>" in page for field in own_options(OPTIONS))


@pytest.mark.process
def test_the_pages_curl_works_as_it_stands(api: Api, page: str, tmp_path: Path) -> None:
    (tmp_path / "talk.mp3").write_bytes(b"ID3")
    command = f"{examples(page)[0]} --silent --show-error --fail"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == ANSWER["transcription"]["srt"]


@pytest.mark.process
def test_the_pages_python_works_as_it_stands(page: str, tmp_path: Path) -> None:
    (tmp_path / "talk.mp3").write_bytes(b"ID3")
    printed = subprocess.check_output([sys.executable, "-c", examples(page)[1]], cwd=tmp_path, text=True, timeout=60)
    assert printed == ANSWER["transcription"]["srt"] + "\n"


@pytest.mark.process
def test_the_pages_job_works_as_it_stands(api: Api, page: str) -> None:
    run, status = re.findall(r"^curl .*?(?=^curl |\Z)", examples(page)[2], re.DOTALL | re.MULTILINE)
    queued = json.loads(subprocess.check_output(["sh", "-c", f"{run.strip()} --silent"], timeout=20))
    command = f"{status.replace('ID', queued['id'], 1)} --silent"
    assert json.loads(subprocess.check_output(["sh", "-c", command], timeout=20))["id"] == queued["id"]


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"host": "pod-80.proxy.runpod.net", "x-forwarded-proto": "https"}, "https://pod-80.proxy.runpod.net"),
        ({"host": "[::1]:8000"}, "http://[::1]:8000"),
        ({"host": "x;rm -rf $HOME"}, "http://localhost"),
        ({"host": '"><script>'}, "http://localhost"),
        ({"host": "a" * 400}, "http://localhost"),
        ({"host": "localhost", "x-forwarded-proto": "javascript"}, "http://localhost"),
    ],
)
def test_the_address_is_the_callers_if_it_is_sane(api: Api, headers: dict[str, str], address: str) -> None:
    description = requests.get(f"{api.url}/openapi.json", headers=headers, timeout=10).json()
    assert description["servers"] == [{"url": address}]


def test_names_and_texts_of_options_cannot_inject_html() -> None:
    hostile = Field("<b>", {"enum": ["<i>"], "default": "<u>"}, "`<s>` & <script>")
    page = render_page([hostile], address="http://localhost", has_keys=False)
    assert not re.search("<(b|i|u|s|script)>", page)


def test_references_of_schemas_lead_nowhere_else() -> None:
    schema = {"speakers": {"type": "object", "additionalProperties": {"$ref": "#/$defs/AudioSource"}}}
    [field] = own_options(schema)
    assert field.schema == {"type": "object", "additionalProperties": {}}
