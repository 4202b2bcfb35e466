"""The client as an installed package: its wheel, built as `pip` builds it, in an environment of its own.

The environment finds the client's requirements in the one that runs the tests; nothing of the checkout is on its path.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from src.version import __version__
from tests.client.conftest import CLIPS, ROOT, WORKER_PYTHON, environment, wait_until
from tests.platform.emulator import Platform
from tests.support.servers import free_port

pytestmark = [pytest.mark.process, pytest.mark.slow]

MOVED = ("client", "api", "media", "transcript")
"""The checkout's packages that are inside `worker_whisper` when it is installed."""

SOURCES = (
    *("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md"),
    *("builder", "src", "worker_whisper", *MOVED),
)
NOWHERE = "http://127.0.0.1:9"
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


@dataclass(frozen=True)
class Installed:
    """An environment in which the wheel is installed."""

    folder: Path
    wheel: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def files(self) -> set[str]:
        """What was put there, relative to the folder, without Python's own caches."""
        paths = (path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())
        return {path for path in paths if "__pycache__" not in path}

    def start(self, *arguments: Any, where: Platform | str, folder: Path, **env: str) -> subprocess.Popen[str]:
        """Start `worker-whisper` in the working directory `folder`."""
        outside = {name: value for name, value in environment(where, folder.parent).items() if name != "PYTHONPATH"}
        return subprocess.Popen(
            [str(self.folder / "bin" / "worker-whisper"), *map(str, arguments)],
            cwd=folder,
            env={**outside, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: Any, where: Platform | str = NOWHERE, folder: Path, code: int = 0, **env: str) -> str:
        """Run `worker-whisper`, check its exit code, and return what it prints."""
        process = self.start(*arguments, where=where, folder=folder, **env)
        out, err = process.communicate(timeout=240)
        assert process.returncode == code, out + err
        assert "Traceback" not in out + err
        return out + err


def build(kind: str, source: Path, target: Path) -> Path:
    """Build an `sdist` or a `wheel` of a source tree, with the hooks that pip calls."""
    command = [str(WORKER_PYTHON), "-c", BUILD, f"build_{kind}", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target / done.stdout.splitlines()[-1]


def pip(python: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python, *arguments]
    subprocess.run(command, check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist, which is built from a copy of the checkout."""
    copy, dist = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy)
    (copy / "tests").mkdir()
    (copy / "tests" / "test_worker.py").touch()  # setuptools packs files of this name
    with tarfile.open(build("sdist", copy, dist)) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12's Python has none
        archive.extractall(dist)  # noqa: S202 - made here
    return build("wheel", dist / f"worker_whisper-{__version__}", dist)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """An environment with the requirements alone."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    packages = next(folder.glob("lib/*/site-packages"))
    (packages / "requirements.pth").write_text(sysconfig.get_path("purelib"))
    return Installed(folder, Path())


@pytest.fixture(scope="module")
def installed(empty: Installed, wheel: Path) -> Iterator[Installed]:
    """The environment with the wheel in it; when it is removed, nothing stays behind."""
    before = empty.files
    pip(empty.python, "install", "--no-index", "--no-deps", str(wheel))
    yield Installed(empty.folder, wheel)
    pip(empty.python, "uninstall", "--yes", "worker-whisper")
    assert empty.files == before


@pytest.fixture
def strangers(folder: Path) -> Path:
    """A working directory with packages of the user's own, which have the names of the checkout's."""
    for name in MOVED:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise ImportError('this is a package of the user')\n")
    return folder


def test_the_source_distribution_has_no_tests(wheel: Path) -> None:
    assert not (wheel.parent / f"worker_whisper-{__version__}" / "tests").exists()


def test_one_package_is_installed_and_one_command(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"worker_whisper", f"worker_whisper-{__version__}.dist-info"}
    assert [file for file in installed.files if file.startswith("bin/worker")] == ["bin/worker-whisper"]


def test_its_modules_import_nothing_of_the_checkout(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        sources = {name: archive.read(name) for name in archive.namelist() if name.endswith(".py")}
    imported = {
        module.partition(".")[0]
        for source in sources.values()
        for node in ast.walk(ast.parse(source))
        for module in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }
    assert len(sources) > 100
    assert not imported & {*MOVED, "src", "builder", "tests"}
    assert "worker_whisper" in imported


def test_all_its_modules_can_be_imported_beside_the_users_own(installed: Installed, strangers: Path) -> None:
    program = """
import importlib, pkgutil, worker_whisper
names = [module.name for module in pkgutil.walk_packages(worker_whisper.__path__, "worker_whisper.")]
for name in names:
    try:
        name.endswith("__main__") or importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != "soxr":  # of live sessions, which workers alone serve
            raise
print(len(names))
"""
    command = [installed.python, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=strangers, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def test_files_that_are_not_python_are_there(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = {name.removeprefix("worker_whisper/") for name in archive.namelist()}
    static = {path.relative_to(ROOT).as_posix() for path in (ROOT / "api/page/static").rglob("*") if path.is_file()}
    assert static
    assert static | {"py.typed", "client/job_input.schema.json", "client/merge/speaker_thresholds.json"} <= names


@pytest.mark.model
def test_a_recording_is_transcribed_beside_the_users_own_packages(
    installed: Installed, strangers: Path, streaming_platform: Platform
) -> None:
    shutil.copy(CLIPS / "demo.ogg", strangers / "talk.ogg")
    arguments = ("talk.ogg", "--format", "text,srt")
    text = installed.run(
        "transcribe", *arguments, where=streaming_platform, folder=strangers, PYTHONPATH=str(strangers)
    )
    assert "Wrote talk.srt" in text
    assert "brown fox" in (strangers / "talk.txt").read_text()


@pytest.mark.parametrize("command", ["serve", "page"])
def test_the_server_has_the_page_with_its_files(installed: Installed, strangers: Path, command: str) -> None:
    port = free_port()
    process = installed.start(command, "--port", port, where=NOWHERE, folder=strangers)
    address = f"http://127.0.0.1:{port}"
    wait_until(lambda: process.poll() is not None or is_open(address), 60)
    page = requests.get(f"{address}/", timeout=20).text
    scripts = re.findall(r'(?:src|href)="(/?[^"#]+\.(?:js|css|svg))"', page)
    assert scripts
    for script in scripts:
        assert requests.get(f"{address}/{script.lstrip('/')}", timeout=20).status_code == 200
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert address in err


def is_open(address: str) -> bool:
    try:
        return requests.get(f"{address}/", timeout=20).status_code == 200
    except requests.ConnectionError:
        return False


def test_help_and_errors_name_the_command_that_was_run(installed: Installed, folder: Path) -> None:
    text = installed.run("--help", folder=folder)
    for command in ("transcribe", "batch", "voices", "live", "page", "serve"):
        assert re.search(rf"^  {command} +[A-Z]", text, re.MULTILINE)
        shown = installed.run(command, "--help", folder=folder)
        assert f"\n    worker-whisper {command}" in shown[shown.index("Examples:") :]
        assert "python -m" not in shown
        assert max(map(len, shown.splitlines())) <= 80
    refused = installed.run("transcribe", ".", where=NOWHERE, folder=folder, code=2)
    assert "is a folder: use `worker-whisper batch`" in refused
    assert "Did you mean 'transcribe'?" in installed.run("transcrib", "talk.mp3", folder=folder, code=2)


def test_the_version_is_the_workers(installed: Installed, folder: Path) -> None:
    assert installed.run("--version", folder=folder) == f"worker-whisper {__version__}\n"


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("worker-whisper ", {"transcribe", "batch", "voices", "live", "page", "serve"}),
        ("worker-whisper tr", {"transcribe"}),
        ("worker-whisper voices re", {"remove", "rename"}),
        ("worker-whisper voices add --repl", {"--replace"}),
        ("worker-whisper transcribe --subtitle", {"--subtitle-preset"}),
        ("worker-whisper transcribe talk.mp3 --task ", {"transcribe", "translate"}),
    ],
)
def test_bash_completes_commands_flags_and_values(
    installed: Installed, folder: Path, words: str, completions: set[str]
) -> None:
    """In a real bash, with the script that `--show-completion` prints."""
    program = f"""
source <("$COMMAND" --show-completion bash)
COMP_WORDS=({words.rstrip()} {'""' if words.endswith(" ") else ""})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
COMP_LINE={words!r}
_worker_whisper_completion worker-whisper
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    env = {
        "PATH": f"{installed.folder / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "COMMAND": str(installed.folder / "bin" / "worker-whisper"),
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    done = subprocess.run(["bash", "-c", program], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert set(done.stdout.split()) == completions


def test_a_typed_program_passes_strict_mypy(installed: Installed, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("""
import asyncio
from pathlib import Path
from worker_whisper import AsyncClient, Client, JobFailed, Transcription

def transcribe(path: Path) -> str:
    with Client(base_url="http://localhost:8000") as client:
        try:
            result: Transcription = client.transcribe(path, {"language": "de"}, on_progress=print)
        except JobFailed as error:
            return error.error_type
    result.save(path.with_suffix(".srt"))
    return result.text

async def transcribe_all(paths: list[Path]) -> list[str]:
    async with AsyncClient(limit=2) as client:
        return [result.text for result in await asyncio.gather(*map(client.transcribe, paths))]

wrong: int = Client().transcribe("talk.mp3").text
from worker_whisper import Nothing
""")
    command = [str(WORKER_PYTHON.with_name("mypy")), "--strict", "--python-executable", installed.python, str(program)]
    done = subprocess.run(
        [*command, "--cache-dir", str(tmp_path / "cache")], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    errors = [line.partition("error: ")[2] for line in done.stdout.splitlines() if "error: " in line]
    assert [error.rpartition("[")[2] for error in errors] == ["assignment]", "attr-defined]"], done.stdout


def test_an_editable_install_is_refused_with_a_sentence(tmp_path: Path) -> None:
    for name in SOURCES:
        (tmp_path / name).symlink_to(ROOT / name)
    command = [str(WORKER_PYTHON), "-c", BUILD, "build_editable", str(tmp_path / "dist")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "run `python -m client` in the checkout itself" in done.stderr


def test_requirements_are_the_pins_as_ranges(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        metadata = archive.read(f"worker_whisper-{__version__}.dist-info/METADATA").decode()
    required = dict(re.findall(r"^Requires-Dist: ([\w-]+)(.*)$", metadata, re.MULTILINE))
    pinned = re.findall(r"^([\w-]+)==", (ROOT / "client" / "requirements.txt").read_text(), re.MULTILINE)
    assert set(required) == set(pinned)
    assert all(re.match(r"<\d+,>=\d|>=\d{4}\.", given) for given in required.values()), required
    assert json.dumps(required).count("python_version") == 1  # tomli
