"""`compose.yaml` and the systemd unit: what is needed to run the HTTP API on a machine of one's own."""

from __future__ import annotations

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser

from src.settings import Settings
from tests.support.clips import ROOT
from tests.support.servers import running

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
UNIT = ROOT / "deploy" / "worker-whisper.service"


def default(value: str) -> str:
    """The value of `${NAME:-value}`; of `${NAME:?message}` any."""
    if not value.startswith("${"):
        return value
    return "key" if ":?" in value else value.removesuffix("}").partition(":-")[2]


def unit() -> dict[str, str]:
    """The keys of the unit's `[Service]` section."""
    section = UNIT.read_text().partition("[Service]")[2].partition("[Install]")[0]
    return dict(line.split("=", 1) for line in section.splitlines() if "=" in line and not line.startswith("#"))


def test_without_naming_a_service_docker_starts_the_one_with_the_gpu() -> None:
    (started,) = (name for name, service in SERVICES.items() if not service.get("profiles"))
    (device,) = SERVICES[started]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["capabilities"] == ["gpu"]  # further ones would replace the image's NVIDIA_DRIVER_CAPABILITIES
    assert all("deploy" not in service for name, service in SERVICES.items() if name != started)


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_services_variables_are_valid_settings(service: dict[str, Any]) -> None:
    values: dict[str, Any] = {name.lower(): default(value) for name, value in service["environment"].items()}
    assert set(values) <= set(Settings.model_fields)
    worker = Settings(**values)
    assert (worker.worker_mode, worker.host) == ("http", "0.0.0.0")
    assert worker.accepted_keys == {"key"}


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_service_without_a_key_does_not_start(service: dict[str, Any]) -> None:
    assert service["environment"]["API_KEYS"].startswith("${API_KEYS:?")


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_service_publishes_the_port_it_listens_at_on_this_machine_alone(service: dict[str, Any]) -> None:
    assert service["ports"] == ["${ADDRESS:-127.0.0.1}:${PORT:-8000}:" + service["environment"]["PORT"]]


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_service_keeps_downloaded_models_and_the_pages_transcripts(service: dict[str, Any]) -> None:
    folders = dict(reversed(volume.split(":")) for volume in service["volumes"])
    assert set(folders) == {service["environment"][name] for name in ("MODEL_DIR", "PAGE_FOLDER")}
    assert set(folders.values()) == set(COMPOSE["volumes"])


@pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
def test_a_services_image_is_built_with_the_model_it_loads(service: dict[str, Any]) -> None:
    assert service["build"]["args"]["WHISPER_MODEL"] == service["environment"]["WHISPER_MODEL"]
    lines = DockerfileParser(str(ROOT)).structure
    arguments = {line["value"].partition("=")[0] for line in lines if line["instruction"] == "ARG"}
    assert set(service["build"]["args"]) <= arguments


@pytest.mark.process
@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (204, 1), (503, 1), (None, 1)])
def test_a_service_is_healthy_once_the_model_is_loaded(status: int | None, exit_code: int) -> None:
    class Ping(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/ping" else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    for service in SERVICES.values():
        kind, program, option, code = service["healthcheck"]["test"]
        assert (kind, program, option) == ("CMD", "python", "-c")
        with running(ThreadingHTTPServer(("127.0.0.1", 0), Ping)) as server:
            port = server.server_port
            if status is None:
                server.server_close()
            checked = subprocess.run(
                [sys.executable, "-c", code.replace(":8000/", f":{port}/")], capture_output=True, check=False
            )
        assert checked.returncode == exit_code


def test_the_units_variables_are_valid_settings() -> None:
    pairs = dict(pair.split("=", 1) for pair in unit()["Environment"].split())
    values: dict[str, Any] = {name.lower(): value for name, value in pairs.items() if name != "PYTHONUNBUFFERED"}
    assert set(values) <= set(Settings.model_fields)
    assert Settings(**values).worker_mode == "http"


def test_the_unit_keeps_models_and_transcripts_where_it_may_write() -> None:
    variables = dict(pair.split("=", 1) for pair in unit()["Environment"].split())
    state = f"%S/{unit()['StateDirectory']}/"
    assert variables["MODEL_DIR"].startswith(state)
    assert variables["PAGE_FOLDER"].startswith(state)


def test_the_unit_stops_the_worker_alone_and_waits_for_its_requests() -> None:
    service = unit()
    assert (service["KillSignal"], service["KillMode"]) == ("SIGTERM", "mixed")
    assert service["TimeoutStopSec"] == COMPOSE["x-service"]["stop_grace_period"].replace("m", "min")


def test_the_unit_leaves_the_gpu_visible() -> None:
    assert not {"PrivateDevices", "DevicePolicy", "MemoryDenyWriteExecute"} & set(unit())


@pytest.mark.process
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    # With programs that exist here: a checkout in another folder, and no driver.
    here = UNIT.read_text().replace("/opt/worker-whisper", str(ROOT)).replace("/usr/bin/nvidia-modprobe", "/bin/true")
    (tmp_path / UNIT.name).write_text(here)
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / UNIT.name)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
