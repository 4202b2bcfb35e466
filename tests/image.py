"""The image as far as it can be built without Docker and without its base: in a folder, from the Dockerfile as it is.

What Docker would send is copied as the Dockerfile says. Its commands run with the folder as their root directory and
with the variables that Docker would give them. Steps that install are left out: this machine's system and this
project's environment are mounted where the image has its own. The checkout and all else are out of sight.

Needs Linux, and root or a kernel that gives everybody namespaces of their own (`unshare --map-root-user --mount`).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from docker.utils.build import exclude_paths
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).resolve().parents[1]
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

ENVIRONMENT = "opt/worker"
"""The Dockerfile's Python environment, below the image's root."""

INSTALLS = re.compile(r"\b(apt-get|pip) install\b")

_ENTER = """
set -eu
root=$1; shift
while [ "$1" != -- ]; do
    mkdir -p "$root/$2"
    mount --rbind "$1" "$root/$2"
    case $2 in dev|proc|sys) ;; *) mount -o remount,bind,ro "$root/$2" ;; esac
    shift 2
done
shift
exec chroot "$root" "$@"
"""


class BuildFailed(Exception):
    """A step at which Docker's build would fail too, or a step that a replay cannot do; a sentence."""


@dataclass(frozen=True)
class Step:
    instruction: str
    value: str
    variables: Mapping[str, str]
    """`ARG`s and `ENV`s, as a command sees them at this place."""
    lasting: Mapping[str, str]
    """`ENV`s alone."""


@dataclass(frozen=True)
class Image:
    root: Path
    environment: Mapping[str, str]
    command: Sequence[str]

    def inside(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` in the image: a process of the same id, given its variables with it."""
        mounts = [part for source, place in _mounts() for part in (str(source), place)]
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        return ["unshare", "--mount", *as_root, "sh", "-c", _ENTER, "sh", str(self.root), *mounts, "--", *command]


def steps(**arguments: str) -> list[Step]:
    """The Dockerfile, with `--build-arg` as in `arguments`."""
    parser = DockerfileParser(str(ROOT), build_args=arguments, parent_env={"PATH": SYSTEM_PATH, "HOME": "/root"})
    return [
        Step(line["instruction"], line["value"], {**context.args, **context.envs}, dict(context.envs))
        for line, context in zip(parser.structure, parser.context_structure, strict=True)
        if line["instruction"] != "COMMENT"
    ]


def build_context() -> set[str]:
    """The files of the repository that Docker would send, by its own reading of `.dockerignore`."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    sent = exclude_paths(str(ROOT), patterns)
    return {path for path in sent if (ROOT / path).is_file()} - {"Dockerfile", ".dockerignore"}


def copied(value: str, context: set[str]) -> dict[str, str]:
    """The files that `COPY value` brings: their places below the root, and where in the repository they come from.

    Raises:
        BuildFailed: a source is not among the files that Docker would send.
    """
    *sources, target = shlex.split(value)
    if any(part.startswith("--") or "*" in part for part in sources) or not target.startswith("/"):
        raise BuildFailed(f"COPY {value}: the replay knows no flags, no patterns and no relative targets")
    files = {}
    for source in sources:
        below = [path for path in context if path.startswith(f"{source}/")]
        if source in context:
            files[target + Path(source).name if target.endswith("/") else target] = source
        elif below:  # of a folder, what is in it is copied, and not the folder
            files |= {f"{target}/{path.removeprefix(f'{source}/')}": path for path in below}
        else:
            raise BuildFailed(f"COPY {value}: {source} is not in the build's context")
    return {os.path.normpath(place).lstrip("/"): source for place, source in files.items()}


def replay(root: Path, **arguments: str) -> Image:
    """The image in the folder `root`. What lies there already stays: weights in its `models` need not be fetched.

    Raises:
        BuildFailed: a step fails; with what it wrote.
    """
    context = build_context()
    command: list[str] = []
    for folder in ("root", "tmp"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for step in steps(**arguments):
        image = Image(root, step.lasting, command)
        if step.instruction == "COPY":
            for place, source in copied(step.value, context).items():
                (root / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, root / place)
        elif step.instruction == "RUN" and not INSTALLS.search(step.value):
            _run(image, step)
        elif step.instruction == "CMD":
            command = json.loads(step.value)
    return Image(root, step.lasting, command)


def _run(image: Image, step: Step) -> None:
    done = subprocess.run(
        image.inside(["sh", "-c", step.value]),
        env=step.variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildFailed(f"RUN {step.value} ends with {done.returncode}: {done.stdout.strip()}")


def link_folders(path: Path) -> Iterator[Path]:
    """The folders of the files that a chain of links leads through, up to the file that is no link."""
    while path.is_symlink():
        path = Path(os.path.normpath(path.parent / path.readlink()))
        yield path.parent


def _mounts() -> Iterator[tuple[Path, str]]:
    """The folders of this machine that replace the base image and installed packages, and their places in the image."""
    for name in ("bin", "sbin", "lib", "lib64", "usr", "etc", "dev", "proc", "sys"):
        if Path("/", name).is_dir():
            yield Path("/", name), name
    environment, base = Path(sys.prefix).resolve(), Path(sys.base_prefix)
    mounted = [Path("/usr"), environment]
    # uv and pyenv put links between an environment's python3 and its prefix.
    for folder in (base, base.resolve(), *link_folders(environment / "bin" / "python3")):
        if not any(folder.is_relative_to(place) for place in mounted):
            mounted.append(folder)
            yield folder, str(folder).lstrip("/")
    yield environment, ENVIRONMENT
