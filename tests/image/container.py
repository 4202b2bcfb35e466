"""The image as a worker's container, with as little as a careful host gives it."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence

from builder.image import engine
from tests.platform.emulator import Platform
from tests.platform.worker import Worker

IMAGE = os.environ.get("IMAGE", "worker-whisper")

USER = "10001"
"""A user that the image does not know."""

CONFINED = [
    *("--cap-drop", "all"),
    *("--security-opt", "no-new-privileges"),
    *("--read-only", "--tmpfs", "/tmp:size=512m,mode=1777"),
    *("--ulimit", "nofile=1024:1024"),
    *("--ulimit", "nproc=1000:1000"),
]
"""No capabilities, and 512 MB of /tmp as the only place to write to."""

FITTING = {"MAX_AUDIO_BYTES": str(250 * 10**6), "OMP_NUM_THREADS": "1"}
"""A worker does not start with less space for files than its largest recording, or 1 GB, needs. The threads: as in the
other tests, which share their machine."""

UNPRIVILEGED = [*CONFINED, "--user", USER]

ON_LOOPBACK = ["--network", "host"]
"""`make test-image` gives this process a network of its own, with nothing but loopback; the container shares it."""


def run_command(
    name: str,
    options: Sequence[str],
    env: Mapping[str, str] | None = None,
    image: str = IMAGE,
    command: Sequence[str] = (),
) -> list[str]:
    """The command line that runs a container in the foreground, and removes it afterwards."""
    program = engine()
    if program[0] == "podman":  # which gives containers a /run and /var/tmp to write to, and docker does not
        options = [*options, "--read-only-tmpfs=false"]
    variables = [part for pair in (env or {}).items() for part in ("--env", "=".join(pair))]
    return [*program, "run", "--rm", "--name", name, *options, *variables, image, *command]


def remove(name: str) -> None:
    """End a container by SIGKILL, and remove it, if it is there."""
    for command in (["kill"], ["rm", "--force"]):  # podman's `rm --force` alone begins with SIGTERM, and waits 10 s
        subprocess.run([*engine(), *command, name], capture_output=True, check=False)


class ContainerWorker(Worker):
    """The image's own command under the emulated platform.

    The process that is watched is the engine's, which passes signals on and ends with the container's exit code.
    """

    def __init__(self, platform: Platform, *, env: Mapping[str, str] | None = None) -> None:
        super().__init__(platform)
        self._name = f"worker-whisper-test-{uuid.uuid4().hex[:8]}"
        variables = {**platform.environment(self.id), **FITTING, "LOG_FORMAT": "json", **(env or {})}
        self._command = run_command(self._name, [*UNPRIVILEGED, *ON_LOOPBACK], variables)

    def kill(self) -> None:
        """SIGKILL for all processes of the container."""
        remove(self._name)
        super().kill()
