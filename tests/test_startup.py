"""A worker's start: parallel loading, its times in the log, and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from src.serving import fitness
from src.startup import read_weights
from src.whisper_processor import WhisperProcessor
from tests.support.worker_process import run_python

PROBE = """
import gc, json, sys, time
began = time.perf_counter()
from src import startup
startup.begin()
collecting = gc.isenabled()
import runpod
torch_imported = "torch" in sys.modules
processor = startup.get_processor()
assert processor is startup.get_processor()
imported, loaded = startup.timeline(began)
startup.end()
after = gc.isenabled()
times = dict(imported=imported, loaded=loaded)
print(json.dumps(dict(collecting=collecting, torch_imported=torch_imported, after=after, **times)))
"""


@pytest.mark.process
@pytest.mark.model
def test_torch_is_imported_while_the_sdk_is() -> None:
    ran = run_python("-c", PROBE)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout.splitlines()[-1])
    assert result["torch_imported"]
    assert (result["collecting"], result["after"]) == (False, True)
    assert 0 < result["imported"] < result["loaded"]


@pytest.mark.process
@pytest.mark.parametrize(
    ("env", "expected"),
    [({"WHISPER_MODEL": "tinyen"}, 'did you mean "tiny.en"?'), ({"WEBHOOK_SECRET": "whsec_?"}, "WEBHOOK_SECRET")],
)
def test_a_worker_that_cannot_start_reports_one_sentence(env: dict[str, str], expected: str) -> None:
    ran = run_python("handler.py", **env)
    assert ran.returncode == 1
    assert expected in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr


def test_missing_weights_are_not_read_ahead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from src.settings import get_settings

    monkeypatch.setenv("WHISPER_MODEL", str(tmp_path))
    get_settings.cache_clear()
    read_weights()
    get_settings.cache_clear()


@pytest.mark.process
@pytest.mark.model
def test_a_warm_up_fills_the_batch_greedily_and_with_beams(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = WhisperProcessor("tiny.en")
    processor.slots = 2  # a full batch that takes a second
    asked = []
    transcribe = processor.transcribe
    monkeypatch.setattr(
        processor, "transcribe", lambda clip, options: asked.append(options.beam_size) or transcribe(clip, options)
    )
    fitness.warm_up(processor)
    processor.close()
    assert asked == [None, None, 5, 5]


def test_a_failed_warm_up_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        model_name, slots = "tiny.en", 1

        def transcribe(self, *_: object) -> None:
            raise MemoryError("no room")

    with pytest.raises(RuntimeError, match="BATCH_SIZE"):
        fitness.warm_up(cast(WhisperProcessor, Failing()))
