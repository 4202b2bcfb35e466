"""What the image consists of: its labels, its variables and its files."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from builder.image import engine, revision
from src.version import __version__
from tests.image.container import IMAGE, UNPRIVILEGED, run_command
from tests.support.clips import ROOT

SOURCES = ("src", "api", "media", "transcript")


def output_of(*command: str) -> str:
    """What a command prints in a confined container without a network."""
    options = [*UNPRIVILEGED, "--network", "none"]
    done = subprocess.run(
        run_command("worker-whisper-test", options, command=command), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    done = subprocess.run([*engine(), "image", "inspect", IMAGE], capture_output=True, text=True, check=True)
    [image] = json.loads(done.stdout)
    return image["Config"]


@pytest.fixture(scope="module")
def files() -> set[str]:
    """The files below the root that the Dockerfile copies or fetches."""
    return set(output_of("find", *(f"/{name}" for name in (*SOURCES, "builder", "models")), "-type", "f").split())


def test_the_labels_name_this_version_and_commit(config: dict[str, Any]) -> None:
    labels = {name.rpartition(".")[2]: value for name, value in config["Labels"].items() if "opencontainers" in name}
    assert (labels["version"], labels["revision"]) == (__version__, revision())
    assert labels["licenses"] == "MIT"
    assert labels["source"].startswith("https://github.com/")


def test_the_image_has_every_source_file_and_no_other(files: set[str]) -> None:
    copied = {path for path in files if path.startswith(tuple(f"/{name}/" for name in SOURCES))}
    tracked = subprocess.run(
        ["git", "ls-files", *SOURCES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {path for path in copied if not path.endswith(".pyc")} == {f"/{path}" for path in tracked}


def test_the_model_is_in_the_image(config: dict[str, Any], files: set[str]) -> None:
    model = dict(variable.split("=", 1) for variable in config["Env"])["WHISPER_MODEL"]
    weights = {path for path in files if path.startswith("/models/")}
    assert weights
    assert {path.removeprefix("/models/").split("/")[0].partition(".pt")[0] for path in weights} == {model}


def test_the_packages_besides_torch_take_at_most_700_mb() -> None:
    without_torch = [f"--exclude={name}" for name in ("torch", "triton", "nvidia")]
    size, _ = output_of("du", "--summarize", "--block-size=1M", *without_torch, "/opt/worker").split()
    assert int(size) <= 700


def test_nothing_of_the_building_machine_is_in_the_image(config: dict[str, Any]) -> None:
    """Package sources and certificates are mounted while it is built."""
    assert output_of("sh", "-c", "cat /etc/pip.conf /root/.config/pip/pip.conf 2> /dev/null || true") == ""
    assert not [variable for variable in config["Env"] if variable.startswith(("PIP_", "SSL_", "TORCH_", "BASE_"))]


def test_the_demo_is_understood_without_a_network() -> None:
    assert "Metadata" in output_of("python", "/builder/demo.py")
