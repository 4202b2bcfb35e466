"""Where the endpoint's settings come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client.errors import WrongUsage
from client.settings import RUNPOD, find_settings


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment whose configuration names all three settings."""
    (tmp_path / "worker-whisper.toml").write_text('endpoint_id = "file"\napi_key = "k3"\nbase_url = "http://h/v2"\n')
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def test_arguments_come_before_the_environment_and_that_before_the_file(home: dict[str, str]) -> None:
    environment = {**home, "RUNPOD_ENDPOINT_ID": "variable", "RUNPOD_API_KEY": "k2"}
    found = find_settings("argument", environment=environment)
    assert (found.endpoint_id, found.api_key, found.base_url) == ("argument", "k2", "http://h/v2")
    assert find_settings(environment=home).url == "http://h/v2/file"


def test_runpods_own_address_is_the_default() -> None:
    assert find_settings("abc", "key", environment={}).url == f"{RUNPOD}/abc"


def test_a_workers_own_api_needs_neither_id_nor_key() -> None:
    environment = {"RUNPOD_ENDPOINT_ID": "abc"}
    assert find_settings(base_url="http://localhost:8000/", environment=environment).url == "http://localhost:8000"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"endpoint_id": "abc"}, "the API key is missing: give --api-key, RUNPOD_API_KEY"),
        ({"api_key": "key"}, "the endpoint's id is missing: give --endpoint, RUNPOD_ENDPOINT_ID"),
        ({"base_url": "localhost:8000"}, "is no http"),
    ],
)
def test_what_is_missing_is_told_with_where_to_put_it(tmp_path: Path, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(WrongUsage, match=sentence):
        find_settings(**arguments, environment={"XDG_CONFIG_HOME": str(tmp_path)})


@pytest.mark.parametrize("text", ["endpoint = 'typo'", "api_key = 5", "not toml"])
def test_a_file_that_is_wrong_is_told_without_its_values(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(WrongUsage, match=r"mine\.toml"):
        find_settings("a", "b", config=path, environment={})
