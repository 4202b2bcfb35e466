"""`.runpod/`: the Hub's variables are valid settings, its tests are valid jobs, and its icon is the page's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from dockerfile_parse import DockerfileParser
from PIL import Image, ImageColor
from pydantic import BaseModel, Field
from whisper import available_models

from builder import repository
from builder.hub import HUB, ICON, LOAD_BALANCING, LOAD_BALANCING_HUB, with_environment
from builder.write_icon import DRAWING
from src.models.hub import parse_repository
from src.models.store import find_model, repository_of
from src.request.validation import parse_input
from src.settings import Settings
from tests.support.clips import ROOT

LISTING = json.loads(HUB.read_text())
CONFIG = LISTING["config"]
INPUTS: dict[str, dict[str, Any]] = {variable["key"]: variable["input"] for variable in CONFIG["env"]}
TESTS = json.loads((ROOT / ".runpod" / "tests.json").read_text())
IMAGE: dict[str, str] = {key: value for key, value in DockerfileParser(str(ROOT)).envs.items() if key in INPUTS}
"""The settings that the image's variables are."""

LOAD_BALANCED = json.loads(LOAD_BALANCING_HUB.read_text())
LOAD_BALANCED_ENV: list[dict[str, Any]] = LOAD_BALANCED["config"]["env"]


# --- The fields in https://docs.runpod.io/hub/publishing-guide --------------------------------------------------------

Text = Annotated[str, Field(min_length=1)]


class Fields(BaseModel, extra="forbid", strict=True):
    """What the Hub does not know is refused."""


class Choice(Fields):
    label: Text
    value: Text


class Input(Fields):
    name: Text
    type: Literal["string", "huggingface", "number", "boolean"]
    description: Text
    default: str | int | float | bool | None = None
    required: bool = False
    advanced: bool = False
    min: float | None = None
    max: float | None = None
    options: list[Choice] = []
    trueValue: str = "true"  # noqa: N815
    falseValue: str = "false"  # noqa: N815


class FixedVariable(Fields):
    key: Text
    value: str


class AskedVariable(Fields):
    key: Text
    input: Input


class Preset(Fields):
    name: Text
    defaults: dict[str, str | int | bool]


class Config(Fields):
    runsOn: Literal["GPU"]  # noqa: N815
    endpointType: Literal["LB"] | None = None  # noqa: N815
    containerDiskInGb: int  # noqa: N815
    gpuCount: int  # noqa: N815
    gpuIds: Text  # noqa: N815
    allowedCudaVersions: list[str]  # noqa: N815
    presets: list[Preset]
    env: list[FixedVariable | AskedVariable]


class Listing(Fields):
    title: Text
    description: Text
    type: Literal["serverless"]
    category: Literal["audio", "embedding", "language", "video", "image"]
    iconUrl: Text  # noqa: N815
    config: Config


class Job(Fields):
    name: Text
    input: dict[str, Any]
    timeout: int


class Device(Fields):
    gpuTypeId: Text  # noqa: N815
    gpuCount: int  # noqa: N815
    allowedCudaVersions: list[str]  # noqa: N815


class HubTests(Fields):
    tests: list[Job]
    config: Device


def settings(**variables: Any) -> Settings:
    """The settings by variables as the Hub sets them: as text."""
    texts: dict[str, Any] = {
        key.lower(): value if isinstance(value, str) else json.dumps(value) for key, value in variables.items()
    }
    return Settings(**texts)


def test_the_hub_has_the_variables_of_the_settings() -> None:
    assert with_environment(HUB.read_text()) == HUB.read_text(), "run builder/write_tables.py"
    assert {key.lower() for key in INPUTS} == set(Settings.model_fields)


@pytest.mark.parametrize("listing", [LISTING, LOAD_BALANCED], ids=["queue", "load-balancing"])
def test_a_listing_has_the_fields_of_the_hubs_documentation(listing: dict[str, Any]) -> None:
    Listing.model_validate(listing)


def test_the_tests_have_the_fields_of_the_hubs_documentation() -> None:
    HubTests.model_validate(TESTS)


def test_the_hub_finds_what_it_requires_of_the_repository() -> None:
    assert all((ROOT / name).is_file() for name in ("handler.py", "Dockerfile", "README.md"))


def test_the_description_has_the_words_that_people_search_for() -> None:
    description = LISTING["description"].lower()
    words = ("speech to text", "transcription", "whisper", "subtitles", "srt", "vtt", "word timestamps", "translation")
    missing = [
        word for word in (*words, "diarization", "openai-compatible", "faster-whisper") if word not in description
    ]
    assert not missing
    assert len(description) <= 500


def test_the_icon_is_in_this_repository_and_square() -> None:
    for listing in (LISTING, LOAD_BALANCED):
        assert listing["iconUrl"] == f"https://raw.githubusercontent.com/{repository.name()}/main/.runpod/icon.png"
    with Image.open(ICON) as icon:
        assert icon.format == "PNG"
        assert icon.size == (512, 512)


def test_the_icon_is_the_pages_drawing() -> None:
    drawing = DRAWING.read_text()
    (fill,) = re.findall(r'<rect [^>]*fill="(#\w{6})"', drawing)
    bars = [tuple(map(int, bar)) for bar in re.findall(r"M(\d+) (\d+)v(\d+)", drawing)]
    assert len(bars) == 5, "run builder/write_icon.py, and tell this test what the drawing consists of"
    with Image.open(ICON) as icon:
        scale = icon.width // 32

        def color(x: float, y: float) -> Any:
            return icon.getpixel((int(x * scale), int(y * scale)))

        background = (*ImageColor.getrgb(fill), 255)
        assert color(0, 0)[3] == 0, "the corners are transparent"
        for x, top, length in bars:
            assert {color(x, top), color(x, top + length / 2), color(x, top + length)} == {(255, 255, 255, 255)}
            assert {color(x, top - 2), color(x, top + length + 2), color(x + 2, top)} == {background}


def test_the_hubs_defaults_equal_those_of_the_image() -> None:
    defaults = {key: variable["default"] for key, variable in INPUTS.items() if "default" in variable}
    assert settings(**defaults) == settings(**IMAGE | {"WHISPER_MODEL": repository_of(IMAGE["WHISPER_MODEL"])})


def test_the_hubs_default_model_is_found_in_the_image(tmp_path: Path) -> None:
    (tmp_path / f"{IMAGE['WHISPER_MODEL']}.pt").touch()
    assert find_model(INPUTS["WHISPER_MODEL"]["default"], [tmp_path])


@pytest.mark.parametrize("key", [key for key, variable in INPUTS.items() if {"min", "max", "options"} & set(variable)])
def test_each_choice_in_the_hub_is_a_valid_setting(key: str) -> None:
    variable = INPUTS[key]
    choices = [variable[end] for end in ("min", "max") if end in variable]
    for choice in choices + [option["value"] for option in variable.get("options", [])]:
        settings(**{key: choice})


def test_a_blank_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in INPUTS:
        monkeypatch.delenv(key, raising=False)
    expected = Settings()
    for key in INPUTS:
        monkeypatch.setenv(key, "")
    assert Settings() == expected


@pytest.mark.parametrize("preset", CONFIG["presets"], ids=lambda preset: preset["name"])
def test_a_preset_names_models_that_exist(preset: dict[str, Any]) -> None:
    assert set(preset["defaults"]) <= set(INPUTS)
    known = available_models()
    assert set(settings(**preset["defaults"]).allowed_models) <= {*known, *map(repository_of, known)}


def test_what_the_hub_asks_for_by_a_search_in_hugging_face_is_a_repository_there() -> None:
    searched = [key for key, variable in INPUTS.items() if variable["type"] == "huggingface"]
    assert searched == ["WHISPER_MODEL"]
    values = [INPUTS[key]["default"] for key in searched]
    values += [value for preset in CONFIG["presets"] for key, value in preset["defaults"].items() if key in searched]
    assert all(map(parse_repository, values))


def test_the_first_preset_is_the_model_in_the_image() -> None:
    assert CONFIG["presets"][0]["defaults"] == {"WHISPER_MODEL": repository_of(IMAGE["WHISPER_MODEL"])}


@pytest.mark.parametrize("test", TESTS["tests"], ids=lambda test: test["name"])
def test_each_test_of_the_hub_is_a_valid_job(test: dict[str, Any]) -> None:
    parse_input(test["input"])
    assert isinstance(test["timeout"], int)


def test_the_hub_tests_the_demo_clip_on_a_gpu_and_cuda_of_the_listing() -> None:
    assert TESTS["tests"][0]["input"] == json.loads((ROOT / "test_input.json").read_text())["input"]
    assert TESTS["config"]["allowedCudaVersions"] == CONFIG["allowedCudaVersions"]
    assert TESTS["config"]["gpuTypeId"] == "NVIDIA GeForce RTX 4090"
    assert "ADA_24" in CONFIG["gpuIds"].split(",")


def test_the_load_balanced_listing_has_its_type_and_the_fields_that_the_hub_requires() -> None:
    assert LOAD_BALANCED["type"] == "serverless"
    assert LOAD_BALANCED["config"]["endpointType"] == "LB"
    assert LOAD_BALANCED["title"] != LISTING["title"]
    assert LOAD_BALANCED["category"] == "audio"
    names = ("handler.py", "Dockerfile", "README.md", ".runpod/hub.json", ".runpod/tests.json")
    assert all((LOAD_BALANCING / name).is_file() for name in names)


def test_the_load_balanced_endpoint_is_set_to_what_its_image_is_set_to() -> None:
    # The load balancer finds the ports among the endpoint's variables, not in the image.
    fixed = {variable["key"]: variable["value"] for variable in LOAD_BALANCED_ENV if "value" in variable}
    assert fixed == DockerfileParser(str(LOAD_BALANCING)).envs
    assert fixed == {"WORKER_MODE": "http", "HOST": "0.0.0.0", "PORT": "80", "PORT_HEALTH": "80"}


def test_the_load_balanced_image_is_the_queues_and_listens_where_it_says() -> None:
    steps_of_it = DockerfileParser(str(LOAD_BALANCING)).structure
    by_instruction = {step["instruction"]: step["value"] for step in steps_of_it}
    assert by_instruction["FROM"] == "you/worker-whisper:1"
    assert by_instruction["EXPOSE"] == "80"
    assert not {"CMD", "ENTRYPOINT"} & set(by_instruction)


def test_the_hub_asks_for_every_other_setting_of_a_load_balanced_endpoint() -> None:
    asked = [variable["key"] for variable in LOAD_BALANCED_ENV if "input" in variable]
    fixed = ("WORKER_MODE", "HOST", "PORT", "PORT_HEALTH")
    # The Hub would set the queue's limit of answers, which is a third of the load balancer's.
    of_the_queue = ("STREAMING", "MAX_RESULT_BYTES")
    assert asked == [key for key in INPUTS if key not in fixed + of_the_queue]


def test_the_variables_of_a_load_balanced_endpoint_are_valid_settings() -> None:
    values = {variable["key"]: variable["value"] for variable in LOAD_BALANCED_ENV if "value" in variable}
    defaults = {
        variable["key"]: variable["input"]["default"]
        for variable in LOAD_BALANCED_ENV
        if "default" in variable.get("input", {})
    }
    both = settings(**values, **defaults)
    assert (both.worker_mode, both.host, both.port, both.port_health) == ("http", "0.0.0.0", 80, 80)


def test_both_listings_are_tested_with_the_same_jobs() -> None:
    # The worker answers RunPod's own routes over HTTP too. How the Hub tests such an endpoint is not documented.
    assert json.loads((LOAD_BALANCING / ".runpod" / "tests.json").read_text()) == TESTS
