"""A worker's start: what is loaded in parallel, and the sentence with which a start fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from src.serving import fitness
from src.startup import _read_weights
from src.whisper_processor import WhisperProcessor
from tests.support.worker_process import run_python

PROBE = """
import gc, json, sys, time
began = time.perf_counter()
from src import startup
startup.begin()
collecting = gc.isenabled()
import runpod
there = "torch" in sys.modules
processor = startup.get_processor()
assert processor is startup.get_processor()
imported, loaded = startup.timeline(began)
startup.end()
after = gc.isenabled()
print(json.dumps(dict(collecting=collecting, there=there, after=after, imported=imported, loaded=loaded)))
"""


@pytest.mark.process
@pytest.mark.model
def test_torch_is_imported_while_the_sdk_is() -> None:
    completed = run_python("-c", PROBE)
    assert completed.returncode == 0, completed.stderr
    probe = json.loads(completed.stdout.splitlines()[-1])
    assert probe["there"]
    assert (probe["collecting"], probe["after"]) == (False, True)
    assert 0 < probe["imported"] < probe["loaded"]


@pytest.mark.process
@pytest.mark.parametrize(
    ("env", "said"),
    [({"WHISPER_MODEL": "tinyen"}, 'did you mean "tiny.en"?'), ({"WEBHOOK_SECRET": "whsec_?"}, "WEBHOOK_SECRET")],
)
def test_a_worker_that_cannot_start_says_so_in_one_sentence(env: dict[str, str], said: str) -> None:
    completed = run_python("handler.py", **env)
    assert completed.returncode == 1
    assert said in completed.stderr.splitlines()[-1]
    assert "Traceback" not in completed.stderr


def test_reading_ahead_of_what_is_not_there_does_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from src.settings import get_settings

    monkeypatch.setenv("WHISPER_MODEL", str(tmp_path))
    get_settings.cache_clear()
    _read_weights()
    get_settings.cache_clear()


@pytest.mark.process
@pytest.mark.model
def test_a_warm_up_fills_the_batch_greedily_and_with_beams(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = WhisperProcessor("tiny.en")
    processor.slots = 2  # the real thing, but in a second
    asked = []
    transcribe = processor.transcribe
    monkeypatch.setattr(
        processor, "transcribe", lambda clip, options: asked.append(options.beam_size) or transcribe(clip, options)
    )
    fitness.warm_up(processor)
    processor.close()
    assert asked == [None, None, 5, 5]


def test_a_warm_up_that_fails_names_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        model_name, slots = "tiny.en", 1

        def transcribe(self, *_: object) -> None:
            raise MemoryError("no room")

    with pytest.raises(RuntimeError, match="BATCH_SIZE"):
        fitness.warm_up(cast(WhisperProcessor, Failing()))
