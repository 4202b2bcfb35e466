"""The Dockerfile: what it pins and says, and the order of its layers. tests/image/ has the tests of the built image."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser

from builder import demo, repository
from builder.release import STATED
from src.version import __version__
from tests.support.clips import CLIPS, ROOT, as_base64

DOCKERFILE = DockerfileParser(str(ROOT))
STEPS: list[tuple[str, str]] = [
    (line["instruction"], line["value"]) for line in DOCKERFILE.structure if line["instruction"] != "COMMENT"
]
DEMO_JOB = json.loads((ROOT / "test_input.json").read_text())


def index_of(instruction: str, text: str) -> int:
    """Where in the Dockerfile the only such instruction with this text is."""
    [found] = [at for at, step in enumerate(STEPS) if step[0] == instruction and text in step[1]]
    return found


def argument(name: str) -> str:
    """The default of a build argument."""
    [default] = {value.partition("=")[2] for _, value in STEPS if value.startswith(f"{name}=")}
    return default


def test_the_base_is_pinned_with_the_torch_of_its_cuda() -> None:
    tag = re.fullmatch(r"runpod/pytorch:([\d.]+)-cu(\d+)-torch(\d+)-ubuntu(\d+)", argument("BASE_IMAGE"))
    assert tag
    release, cuda, torch, ubuntu = tag.groups()
    assert release.count(".") == 2
    assert torch == argument("TORCH_VERSION").replace(".", "")
    assert f"cu{cuda}".startswith(argument("TORCH_INDEX").rpartition("/")[2])
    assert int(ubuntu) >= 2404, "22.04 has Python 3.10"


def test_an_image_built_without_arguments_is_labelled_with_version_and_source() -> None:
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in DOCKERFILE.labels.items()}
    assert labels["version"] == __version__
    assert labels["source"] == repository.url()


def test_the_image_sets_the_model_its_number_format_and_access_to_the_gpus_encoder() -> None:
    variables = DOCKERFILE.envs
    assert variables["WHISPER_MODEL"] == "medium"
    assert variables["COMPUTE_TYPE"] == "float16"
    assert variables["PYTHONUNBUFFERED"] == "1"
    assert "video" in variables["NVIDIA_DRIVER_CAPABILITIES"].split(",")


def test_a_change_of_the_code_rebuilds_neither_packages_nor_models() -> None:
    code = min(index_of("COPY", "src /src"), index_of("COPY", "handler.py"))
    slow = [at for at, (_, value) in enumerate(STEPS) if re.search(r"\b(apt-get|pip) install\b|fetch_models", value)]
    assert len(slow) >= 4
    assert max(step for step in slow if STEPS[step][0] == "RUN") < code < index_of("RUN", "demo.py")


def test_a_release_rebuilds_neither_packages_nor_models() -> None:
    models = index_of("RUN", "fetch_models.py")
    copied = {file for step, value in STEPS[:models] if step == "COPY" for file in value.split()[:-1]}
    assert "src/__init__.py" in copied
    assert not copied & set(STATED)


@pytest.mark.slow
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
