"""Builds the worker's image with podman or docker: `make image` and `make image-base`.

`python -m builder.image base` makes a stand-in for the Dockerfile's base where no registry can be reached: Debian with
Python, and the weights of a model from models/. An image is built on it with this machine's settings of apt
and pip and its certificates, which are mounted for the build's commands and not part of the image.
"""

from __future__ import annotations

import argparse
import ast
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BASE = "localhost/worker-whisper-base"
BASE_PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates")

# crun, podman's own choice, starts no container where cgroups of both versions are mounted.
PODMAN = ("podman", "--runtime", "runc")

TITLE = "org.opencontainers.image.title=worker-whisper"

MACHINE = ("/etc/apt/apt.conf.d", "/etc/ssl/certs")
"""What apt and pip need to know of this machine."""


def engine() -> list[str]:
    """Return the command line of the engine, without its arguments: podman, or docker where its engine runs.

    Raises:
        SystemExit: neither is here.
    """
    if shutil.which("podman"):
        return list(PODMAN) if shutil.which("runc") else ["podman"]
    if shutil.which("docker") and not _run(["docker", "info"], check=False).returncode:
        return ["docker"]
    sys.exit("An image needs podman, or docker with a running engine: apt-get install podman runc")


def build(tag: str, arguments: Mapping[str, str]) -> None:
    """Build the Dockerfile, with labels that name this commit.

    Raises:
        SystemExit: a step failed; the engine has printed which.
    """
    program = engine()
    created = datetime.now(timezone.utc).isoformat("T", "seconds")
    command = [*program, "build", "--tag", tag]
    for name, value in {"revision": revision(), "created": created}.items():
        command += ["--label", f"org.opencontainers.image.{name}={value}"]
    for name, value in arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    with tempfile.TemporaryDirectory(prefix="image-") as scratch:
        if program[0] == "podman":
            command += ["--isolation", "chroot", "--format", "docker"]
            if arguments.get("BASE_IMAGE") == BASE:
                command += [part for mount in mounts(Path(scratch)) for part in ("--volume", mount)]
        if code := subprocess.run([*command, "."], cwd=ROOT, check=False).returncode:
            sys.exit(code)
    # What the tag named before, with the layers that nothing else uses.
    subprocess.run([*program, "image", "prune", "--force", "--filter", f"label={TITLE}"], check=False)


def make_base(model: str) -> None:
    """Make the stand-in for the Dockerfile's base, unless it is there.

    Args:
        model: a model in models/, whose weights the build then finds in place.

    Raises:
        SystemExit: a tool or the model is missing.
    """
    program = engine()
    if not _run([*program, "image", "inspect", BASE], check=False).returncode:
        return
    weights = ROOT / "models" / model
    if not weights.is_dir():
        sys.exit(f"{weights} is missing: make setup fetches it")
    if not shutil.which("mmdebstrap"):
        sys.exit("The stand-in base is made by mmdebstrap: apt-get install mmdebstrap")
    release = next(
        line.partition("=")[2].strip()
        for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
        if line.startswith("VERSION_CODENAME=")
    )
    with tempfile.TemporaryDirectory(prefix="base-") as scratch:
        archive = Path(scratch, "base.tar")
        command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(BASE_PACKAGES)}"]
        command += ['--customize-hook=mkdir "$1/models"', f"--customize-hook=copy-in {weights.resolve()} /models"]
        subprocess.run([*command, release, str(archive)], check=True)
        subprocess.run([*program, "import", str(archive), BASE], check=True)


def revision() -> str:
    """Return the commit's hash, with `-dirty` if tracked files differ from it; "" outside a repository."""
    return _run(["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"], check=False).stdout.strip()


def mounts(scratch: Path) -> Iterator[str]:
    """Yield `from:to:ro` for what a build needs of this machine; pip's configuration is written to `scratch`."""
    settings = pip_settings()
    configuration = scratch / "pip.conf"
    configuration.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    yield f"{configuration}:/etc/pip.conf:ro"
    for path in dict.fromkeys([*MACHINE, *local_paths(settings.values())]):
        if Path(path).exists():
            yield f"{path}:{path}:ro"


def pip_settings() -> dict[str, str]:
    """Return the settings of pip on this machine, by variables, users and files, as one table."""
    settings = {}
    for line in _run([sys.executable, "-m", "pip", "config", "list"]).stdout.splitlines():
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    return settings


def local_paths(values: Iterable[str]) -> Iterator[str]:
    """Yield the files and folders among the values of pip's settings."""
    for value in values:
        for word in value.split():
            path = word.removeprefix("file://")
            if path.startswith("/"):
                # The pages of an index link to files beside their folder.
                yield path.removesuffix("/simple")


def _run(command: list[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=check)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m builder.image", description="Build the worker's image.")
    commands = parser.add_subparsers(dest="command", required=True)
    base = commands.add_parser("base", help=f"make {BASE}, a stand-in for the base where no registry can be reached")
    base.add_argument("--model", default="tiny.en", help="the model in it, from models/ (default: %(default)s)")
    built = commands.add_parser("build", help="build the Dockerfile")
    built.add_argument("--tag", default="worker-whisper")
    built.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    if options.command == "base":
        make_base(options.model)
    else:
        build(options.tag, dict(argument.split("=", 1) for argument in options.build_arg))


if __name__ == "__main__":
    main()
