"""The Dockerfile: what it copies and pins, the image that it makes without its base, and the worker in that image."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from builder import demo
from tests.image import INSTALLS, ROOT, BuildFailed, Image, build_context, copied, link_folders, replay, steps
from tests.platform.emulator import Platform
from tests.support.clips import CLIPS, as_base64, assert_spoken

DEMO_JOB = json.loads((ROOT / "test_input.json").read_text())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """As `docker build --build-arg WHISPER_MODEL=tiny.en .` makes it; the weights are those of `make setup`."""
    root = tmp_path_factory.mktemp("image")
    shutil.copytree(ROOT / "models" / "tiny.en", root / "models" / "tiny.en")
    return replay(root, WHISPER_MODEL="tiny.en")


def index_of(instruction: str, text: str) -> int:
    """Where in the Dockerfile the only such instruction with this text is."""
    [found] = [at for at, step in enumerate(steps()) if step.instruction == instruction and text in step.value]
    return found


def argument(name: str) -> str:
    """The default of a build argument."""
    [default] = {step.value.partition("=")[2] for step in steps() if step.value.startswith(f"{name}=")}
    return default


def test_what_docker_is_sent_is_copied_and_nothing_else_is_sent() -> None:
    context = build_context()
    used = {path for step in steps() if step.instruction == "COPY" for path in copied(step.value, context).values()}
    assert used == context
    assert not [path for path in context if "__pycache__" in path]
    for package in ("src", "api", "media", "transcript"):
        assert {path for path in used if path.startswith(f"{package}/")} == {
            str(path.relative_to(ROOT))
            for path in (ROOT / package).rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }
    assert "api/page/static/index.html" in used


def test_a_source_that_docker_is_not_sent_ends_the_build() -> None:
    with pytest.raises(BuildFailed, match=r"tests/image\.py is not in the build's context"):
        copied("tests/image.py /src/", build_context())


def test_a_python_behind_links_is_followed_to_its_file(tmp_path: Path) -> None:
    """As uv and pyenv have it: the environment's link leads to a link outside of Python's prefix."""
    python = tmp_path / "prefix" / "bin" / "python3.11"
    for folder in ("prefix/bin", "links", "venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    python.touch()
    (tmp_path / "links" / "python3").symlink_to("../prefix/bin/python3.11")
    (tmp_path / "venv" / "bin" / "python3").symlink_to(tmp_path / "links" / "python3")
    assert list(link_folders(tmp_path / "venv" / "bin" / "python3")) == [tmp_path / "links", python.parent]
    assert list(link_folders(python)) == []


@pytest.mark.process
def test_a_command_that_fails_ends_the_build(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=r"RUN sed .* ends with 1: sed:"):
        replay(tmp_path, TORCH_VERSION="2/8")


def test_the_base_is_pinned_with_the_torch_of_its_cuda() -> None:
    tag = re.fullmatch(r"runpod/pytorch:([\d.]+)-cu(\d+)-torch(\d+)-ubuntu(\d+)", argument("BASE_IMAGE"))
    assert tag
    release, cuda, torch, ubuntu = tag.groups()
    assert release.count(".") == 2
    assert torch == argument("TORCH_VERSION").replace(".", "")
    assert f"cu{cuda}".startswith(argument("TORCH_INDEX").rpartition("/")[2])
    assert int(ubuntu) >= 2404, "22.04 has Python 3.10"


def test_the_worker_is_told_what_the_tutorial_has_it_told() -> None:
    lasting = steps()[-1].lasting
    assert lasting["WHISPER_MODEL"] == "medium"
    assert lasting["COMPUTE_TYPE"] == "float16"
    assert lasting["PYTHONUNBUFFERED"] == "1"
    assert "video" in lasting["NVIDIA_DRIVER_CAPABILITIES"].split(",")
    assert not [name for name in lasting if name.startswith(("BASE", "TORCH", "PIP"))]


def test_a_change_of_the_code_rebuilds_neither_packages_nor_models() -> None:
    code = min(index_of("COPY", "src /src"), index_of("COPY", "handler.py"))
    installs = [at for at, step in enumerate(steps()) if step.instruction == "RUN" and INSTALLS.search(step.value)]
    assert len(installs) == 3
    assert max(*installs, index_of("RUN", "fetch_models.py")) < code < index_of("RUN", "demo.py")


@pytest.mark.model
@pytest.mark.process
def test_of_the_packages_only_torch_is_another_one_than_in_the_tests(image: Image) -> None:
    ours = (ROOT / "builder" / "requirements.txt").read_text().splitlines()
    images = (image.root / "builder" / "requirements.txt").read_text().splitlines()
    [(tested, built)] = [pair for pair in zip(ours, images, strict=True) if pair[0] != pair[1]]
    assert tested.startswith("torch==")
    assert built == f"torch=={argument('TORCH_VERSION')}"


@pytest.mark.model
@pytest.mark.process
def test_the_build_leaves_the_sources_the_model_and_what_python_compiled(image: Image) -> None:
    left = {path.relative_to(image.root) for path in image.root.rglob("*") if path.is_file()}
    assert {str(path.parent) for path in left if path.parts[0] == "models"} == {"models/tiny.en"}
    rest = {str(path) for path in left if path.parts[0] != "models" and path.suffix != ".pyc"}
    assert rest == build_context()


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
def test_the_worker_serves_the_platform_from_these_files_alone(image: Image, tmp_path: Path) -> None:
    with Platform() as platform, (tmp_path / "log").open("wb") as log:
        platform.admit("image")
        worker = subprocess.Popen(
            image.inside(image.command),
            env={**image.environment, **platform.environment("image")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            answer = platform.wait(platform.submit(DEMO_JOB["input"]))
        finally:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
    written = (tmp_path / "log").read_text()
    assert answer["status"] == "COMPLETED", written
    assert_spoken(answer["output"]["transcription"]["text"], "demo.ogg")
    assert "fitness check" in written.lower()


@pytest.mark.model
@pytest.mark.process
def test_the_builds_last_step_fails_if_the_clip_is_not_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job: dict[str, Any] = {"input": {**DEMO_JOB["input"], "audio": {"base64": as_base64(CLIPS / "numbers.mp3")}}}
    (tmp_path / "test_input.json").write_text(json.dumps(job))
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=r"Only \d+ of \d+ words"):
        demo.main()
