"""The image's packages, which are the locked ones alone: every module of the worker imports, and jobs run."""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import requires

import boto3
from moto.server import ThreadedMotoServer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.image.container import FITTING, ON_LOOPBACK, UNPRIVILEGED, run_command
from tests.support.clips import ROOT
from tests.test_requirements import excluded

MOUNTED = ["--volume", f"{ROOT / 'tests'}:/tests:ro"]


def test_all_modules_import_and_jobs_run_with_the_locked_packages_alone() -> None:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        boto3.client(
            "s3", endpoint_url=address, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1"
        ).create_bucket(Bucket="results")
        done = subprocess.run(
            run_command(
                "worker-whisper-packages",
                [*UNPRIVILEGED, *ON_LOOPBACK, *MOUNTED],
                {"RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS": "true", **FITTING},
                command=["python", "/tests/support/every_path.py", address],
            ),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        server.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    loaded = {canonicalize_name(name) for name in json.loads(done.stdout.splitlines()[-1])}
    assert {"torch", "boto3", "fonttools"} <= loaded
    of_torch = {"torch", *(canonicalize_name(Requirement(text).name) for text in requires("torch") or [])}
    assert loaded & excluded() <= of_torch
