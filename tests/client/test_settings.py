"""Sources of the endpoint's settings."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from client.errors import WrongUsage
from client.settings import RUNPOD_API_URL, find_http_server, find_settings
from client.transport.journal import cache_folder


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment whose configuration file has all three settings."""
    (tmp_path / "worker-whisper.toml").write_text('endpoint_id = "file"\napi_key = "k3"\nbase_url = "http://h/v2"\n')
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def test_arguments_override_the_environment_which_overrides_the_file(home: dict[str, str]) -> None:
    environment = {**home, "RUNPOD_ENDPOINT_ID": "variable", "RUNPOD_API_KEY": "k2"}
    found = find_settings("argument", environment=environment)
    assert (found.endpoint_id, found.api_key, found.base_url) == ("argument", "k2", "http://h/v2")
    assert find_settings(environment=home).url == "http://h/v2/file"


def test_the_default_address_is_runpods() -> None:
    assert find_settings("abc", "key", environment={}).url == f"{RUNPOD_API_URL}/abc"


def test_a_local_api_needs_neither_id_nor_key() -> None:
    environment = {"RUNPOD_ENDPOINT_ID": "abc"}
    assert find_settings(base_url="http://localhost:8000/", environment=environment).url == "http://localhost:8000"


@pytest.mark.parametrize(
    ("base_url", "endpoint_id", "url"),
    [
        ("http://h:8080/v2", "abc", "http://h:8080/v2/abc"),
        ("http://h:8080/v2/", "abc", "http://h:8080/v2/abc"),
        ("http://h:8080/v2/abc", "abc", "http://h:8080/v2/abc"),
        ("http://h:8080/v2/abc/", None, "http://h:8080/v2/abc"),
        ("http://h:8080/v2/abc/run", None, "http://h:8080/v2/abc"),
        ("https://api.runpod.ai/v2/abc/runsync", None, "https://api.runpod.ai/v2/abc"),
        ("https://api.runpod.ai/v2/abc/status/1-2", None, "https://api.runpod.ai/v2/abc"),
        ("https://api.runpod.ai/", "abc", "https://api.runpod.ai/v2/abc"),
        (" https://api.runpod.ai\n", "abc", "https://api.runpod.ai/v2/abc"),
        ("https://proxy/runpod", "abc", "https://proxy/runpod/abc"),
        ("http://h:8000", "abc", "http://h:8000"),
    ],
)
def test_the_base_url_may_hold_the_endpoints_id(base_url: str, endpoint_id: str | None, url: str) -> None:
    assert find_settings(endpoint_id, "key", base_url, environment={}).url == url


def test_two_different_ids_are_refused() -> None:
    with pytest.raises(WrongUsage, match="names another endpoint than abc"):
        find_settings("abc", "key", "http://h/v2/other", environment={})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"endpoint_id": "abc"}, "the API key is missing: give --api-key, RUNPOD_API_KEY"),
        ({"api_key": "key"}, "the endpoint's id is missing: give --endpoint, RUNPOD_ENDPOINT_ID"),
        ({"base_url": "localhost:8000"}, "is not an http"),
        ({"base_url": "http://localhost:8000/v1/", "endpoint_id": "e", "api_key": "k"}, "leave /v1 out here"),
    ],
)
def test_the_error_for_a_missing_setting_says_where_to_put_it(
    tmp_path: Path, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(WrongUsage, match=sentence):
        find_settings(**arguments, environment={"XDG_CONFIG_HOME": str(tmp_path)})


@pytest.mark.parametrize("text", ["endpoint = 'typo'", "api_key = 5", "not toml"])
def test_the_error_for_a_malformed_file_does_not_contain_its_values(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(WrongUsage, match=r"mine\.toml"):
        find_settings("a", "b", config=path, environment={})


@pytest.mark.parametrize(
    ("arguments", "environment", "url"),
    [
        ({}, {}, "http://localhost:8000"),
        ({"endpoint_id": "abc", "api_key": "k"}, {}, "https://abc.api.runpod.ai"),
        ({}, {"RUNPOD_ENDPOINT_ID": "abc", "RUNPOD_API_KEY": "k"}, "https://abc.api.runpod.ai"),
        ({}, {"RUNPOD_BASE_URL": "https://api.runpod.ai/v2/abc", "RUNPOD_API_KEY": "k"}, "https://abc.api.runpod.ai"),
        ({}, {"RUNPOD_BASE_URL": "http://pod:8000"}, "http://pod:8000"),
        ({"endpoint_id": "abc", "api_key": "k"}, {"RUNPOD_BASE_URL": "http://pod:8000"}, "https://abc.api.runpod.ai"),
        ({"server": "http://pod:8000/v1"}, {"RUNPOD_ENDPOINT_ID": "abc"}, "http://pod:8000"),
        ({"server": "wss://pod.example/whisper/v1/realtime"}, {}, "https://pod.example/whisper"),
    ],
)
def test_a_worker_in_http_mode_is_found(arguments: dict[str, Any], environment: dict[str, str], url: str) -> None:
    nowhere = {"XDG_CONFIG_HOME": "/nowhere"}
    assert find_http_server(**arguments, environment={**nowhere, **environment}).base_url == url


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"server": "pod:8000"}, "is not an http"),
        ({"server": "http://localhost:8000/v2/abc"}, "live transcription needs a worker in HTTP mode"),
        ({"endpoint_id": "abc"}, "the API key is missing"),
    ],
)
def test_what_is_no_worker_in_http_mode_is_told(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        find_http_server(**arguments, environment={"XDG_CONFIG_HOME": "/nowhere"})


def test_a_configuration_file_that_may_not_be_looked_for_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")  # in a home folder of somebody else

    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(WrongUsage, match=r"worker-whisper\.toml cannot be read: Permission denied"):
        find_settings("abc", "key", environment={"XDG_CONFIG_HOME": "/home/somebody"})


def test_without_a_home_folder_a_sentence_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")  # as `Path.home` says

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for needs_home in (lambda: find_settings("abc", "key", environment={}), cache_folder):
        with pytest.raises(WrongUsage, match="your home folder is unknown: set HOME"):
            needs_home()
    assert find_settings("abc", "key", environment={"XDG_CONFIG_HOME": "/nowhere"}).endpoint_id == "abc"
