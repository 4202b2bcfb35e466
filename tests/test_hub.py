"""`.runpod/`: the Hub's variables are valid settings, and its tests are valid jobs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser
from whisper import available_models

from builder.hub import HUB, LOAD_BALANCING, LOAD_BALANCING_HUB, with_environment
from src.request.validation import parse_input
from src.settings import Settings
from tests.support.clips import ROOT

LISTING = json.loads(HUB.read_text())
CONFIG = LISTING["config"]
INPUTS: dict[str, dict[str, Any]] = {variable["key"]: variable["input"] for variable in CONFIG["env"]}
TESTS = json.loads((ROOT / ".runpod" / "tests.json").read_text())

LOAD_BALANCED = json.loads(LOAD_BALANCING_HUB.read_text())
LOAD_BALANCED_ENV: list[dict[str, Any]] = LOAD_BALANCED["config"]["env"]


def settings(**variables: Any) -> Settings:
    """The settings by variables as the Hub sets them: as text."""
    texts: dict[str, Any] = {
        key.lower(): value if isinstance(value, str) else json.dumps(value) for key, value in variables.items()
    }
    return Settings(**texts)


def test_the_hub_has_the_variables_of_the_settings() -> None:
    assert with_environment(HUB.read_text()) == HUB.read_text(), "run builder/write_tables.py"
    assert {key.lower() for key in INPUTS} == set(Settings.model_fields)


def test_the_listing_has_the_fields_that_the_hub_requires() -> None:
    assert LISTING["title"]
    assert LISTING["description"]
    assert LISTING["type"] == "serverless"
    assert LISTING["category"] in ("audio", "embedding", "language", "video", "image")
    for variable in INPUTS.values():
        assert variable["name"]
        assert variable["description"]
        assert variable["type"] in ("string", "number", "boolean")
    assert all((ROOT / name).is_file() for name in ("handler.py", "Dockerfile", "README.md"))


def test_the_hubs_defaults_equal_those_of_the_image() -> None:
    defaults = {key: variable["default"] for key, variable in INPUTS.items() if "default" in variable}
    image = {key: value for key, value in DockerfileParser(str(ROOT)).envs.items() if key in INPUTS}
    assert settings(**defaults) == settings(**image)


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
    assert set(settings(**preset["defaults"]).allowed_models) <= set(available_models())


def test_the_first_preset_is_the_model_in_the_image() -> None:
    image = DockerfileParser(str(ROOT)).envs
    assert CONFIG["presets"][0]["defaults"] == {"WHISPER_MODEL": image["WHISPER_MODEL"]}


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
