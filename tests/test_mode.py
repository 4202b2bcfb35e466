"""What the worker serves, by its environment and arguments."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from src import page_folder
from src.mode import Listening, ModeError, find_listening, find_mode
from src.serving import http_mode
from src.settings import Settings
from tests.support.clips import ROOT

QUEUE = {"RUNPOD_WEBHOOK_GET_JOB": "https://api.runpod.ai/v2/a/job-take/b"}
PORT = {"PORT": "80"}


@pytest.mark.parametrize(
    ("environment", "arguments", "mode"),
    [
        ({}, [], "queue"),
        (QUEUE, [], "queue"),
        (PORT, [], "http"),
        ({"PORT": ""}, [], "queue"),
        (QUEUE | PORT, [], "queue"),
        ({"WORKER_MODE": "http"}, [], "http"),
        ({"WORKER_MODE": "http"} | QUEUE, [], "http"),
        ({"WORKER_MODE": "queue"} | PORT, [], "queue"),
        ({"WORKER_MODE": "auto"} | PORT, [], "http"),
        ({"WORKER_MODE": ""} | PORT, [], "http"),
        (PORT, ["--rp_serve_api", "--rp_api_port", "9000"], "queue"),
        (PORT, ["--test_input", "{}"], "queue"),
        (PORT, ["--test_input={}"], "queue"),
        ({"WORKER_MODE": "http"}, ["--rp_serve_api"], "queue"),
        (PORT, ["--rp_log_level", "INFO"], "http"),
    ],
)
def test_the_mode_follows_from_environment_and_arguments(
    environment: dict[str, str], arguments: list[str], mode: str
) -> None:
    assert find_mode(environment, ["handler.py", *arguments]) == mode


def test_a_wrong_mode_is_named_with_its_choices() -> None:
    with pytest.raises(ModeError, match="WORKER_MODE should be auto, queue or http"):
        find_mode({"WORKER_MODE": "lb"}, [])


@pytest.mark.parametrize(
    ("environment", "listening"),
    [
        ({}, Listening("127.0.0.1", (8000,), "/ping")),
        ({"PORT": "80", "PORT_HEALTH": "80", "HOST": "0.0.0.0"}, Listening("0.0.0.0", (80,), "/ping")),
        ({"PORT": "80", "PORT_HEALTH": "81"}, Listening("127.0.0.1", (80, 81), "/ping")),
        ({"PORT": "", "HOST": "", "HEALTH_CHECK_PATH": ""}, Listening("127.0.0.1", (8000,), "/ping")),
        ({"HEALTH_CHECK_PATH": "/health"}, Listening("127.0.0.1", (8000,), "/health")),
    ],
)
def test_it_listens_where_the_environment_says(environment: dict[str, str], listening: Listening) -> None:
    assert find_listening(environment) == listening


@pytest.mark.parametrize("port", ["0", "65536", "-1", "80 ", "http", "8000.0", "٨٠", "9" * 5000])
@pytest.mark.parametrize("name", ["PORT", "PORT_HEALTH"])
def test_a_wrong_port_is_named(name: str, port: str) -> None:
    with pytest.raises(ModeError, match=f"^{name} should be a whole number from 1 to 65535$"):
        find_listening({name: port})


def test_a_health_path_is_a_path() -> None:
    with pytest.raises(ModeError, match="HEALTH_CHECK_PATH"):
        find_listening({"HEALTH_CHECK_PATH": "ping"})


def test_the_settings_have_the_same_defaults() -> None:
    fields = Settings.model_fields
    defaults = [fields[name].default for name in ("host", "port", "health_check_path")]
    host, ports, path = find_listening({})
    assert defaults == [host, *ports, path]


@pytest.mark.parametrize(
    ("setting", "host", "on_balancer", "needed"),
    [
        ("auto", "127.0.0.1", False, False),
        ("auto", "127.8.0.1", False, False),
        ("auto", "::1", False, False),
        ("auto", "localhost", False, False),
        ("auto", "0.0.0.0", False, True),
        ("auto", "::", False, True),
        ("auto", "192.168.1.2", False, True),
        ("auto", "localhost.example.com", False, True),
        ("auto", "0.0.0.0", True, False),
        ("false", "0.0.0.0", False, False),
        ("true", "127.0.0.1", False, True),
        ("true", "0.0.0.0", True, True),
    ],
)
def test_a_key_is_needed_where_others_can_connect(setting: str, host: str, on_balancer: bool, needed: bool) -> None:
    assert http_mode.needs_key(Settings(require_api_key=setting), host, on_balancer) is needed  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("setting", "on_balancer", "expected"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("true", True, True),
        ("false", False, False),
    ],
)
def test_the_page_is_served_where_a_browser_can_log_in(setting: str, on_balancer: bool, expected: bool) -> None:
    assert http_mode.has_page(Settings(page=setting), on_balancer) is expected  # type: ignore[arg-type]


def test_the_pages_folder_is_the_one_that_is_set_a_pods_volume_or_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_folder, "POD_VOLUME", tmp_path / "workspace")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert page_folder.find_page_folder(Settings(page_folder=tmp_path)) == tmp_path
    assert page_folder.find_page_folder(Settings()) == tmp_path / "data" / "worker-whisper" / "page"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert (
        page_folder.find_page_folder(Settings()) == tmp_path / "home" / ".local" / "share" / "worker-whisper" / "page"
    )
    (tmp_path / "workspace").mkdir()
    assert page_folder.find_page_folder(Settings()) == tmp_path / "workspace" / "worker-whisper"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"RUNPOD_POD_ID": "a", "RUNPOD_ENDPOINT_ID": "b"}, True),
        ({"RUNPOD_POD_ID": "a"}, False),  # a Pod, whose proxy is open to all
        ({"RUNPOD_ENDPOINT_ID": "b"}, False),  # the shell of a caller
        ({"RUNPOD_POD_ID": "a", "RUNPOD_ENDPOINT_ID": ""}, False),
        ({}, False),
    ],
)
def test_only_workers_of_an_endpoint_are_behind_the_load_balancer(variables: dict[str, str], expected: bool) -> None:
    assert http_mode.is_behind_balancer(variables) is expected


def test_keys_and_origins_are_split_at_commas() -> None:
    settings = Settings(api_keys=SecretStr(" a, b,,"), cors_origins="https://a.example, *")
    assert settings.accepted_keys == {"a", "b"}
    assert settings.allowed_origins == ("https://a.example", "*")
    assert "a, b" not in repr(settings)


def test_a_lost_device_ends_the_process_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", signals.append)
    monkeypatch.setattr(http_mode, "_lost", False)
    monkeypatch.setattr(http_mode, "serve", lambda *_, **__: None)
    http_mode.serve_http(0.0)
    monkeypatch.setattr(http_mode, "serve", lambda *_, **__: http_mode._stop_since_lost())
    with pytest.raises(SystemExit, match="the device failed"):
        http_mode.serve_http(0.0)
    assert signals == [signal.SIGTERM]


@pytest.mark.process
def test_http_mode_listens_before_anything_large_is_imported() -> None:
    large = ("torch", "runpod", "pydantic", "uvicorn")
    code = f"import sys, src.mode, src.serving.http_mode; print(*sys.modules.keys() & {large})"
    completed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert completed.stdout == "\n"
