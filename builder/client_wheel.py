"""Builds the client's package, `worker_whisper`, from the checkout's packages `client`, `api` and so on.

In a checkout these are packages of their own, since worker and client share them. Installed, packages with such names
would collide with a user's own. So they go inside `worker_whisper`, and `from client.errors import ...` becomes
`from worker_whisper.client.errors import ...`. Only modules that the client imports go in.
"""

from __future__ import annotations

import ast
import functools
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version
from setuptools import find_packages
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "worker_whisper"
MOVED = ("client", "api", "media", "transcript")
"""The checkout's packages that go inside."""

_FIRST_YEAR = 2000
"""Major versions from here on are years: the next one says nothing about compatibility."""


class BuildModules(build_py):
    """Copies the modules that the client imports, and moves their imports into the package."""

    def run(self) -> None:
        """Build into an empty folder: a module that is gone from the checkout must not come from an earlier build."""
        if not self.editable_mode:
            shutil.rmtree(Path(self.build_lib) / PACKAGE, ignore_errors=True)
        super().run()

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """Return the modules of a package that the client imports."""
        wanted = find_client_modules(ROOT)
        modules = super().find_package_modules(package, package_dir)
        return [module for module in modules if Path(module[2]).resolve() in wanted]

    def build_module(self, module: str, module_file: str, package: str) -> tuple[str, bool]:
        """Copy a module, and move its imports."""
        built, was_copied = super().build_module(module, module_file, package)
        Path(built).write_bytes(move_imports(Path(module_file).read_bytes(), module_file))
        return built, was_copied


class NoEditableInstall(editable_wheel):
    """Refuses `pip install --editable`, which would run the checkout's modules with their imports as they are."""

    def run(self) -> None:
        """Refuse.

        Raises:
            SystemExit: with what to do instead.
        """
        raise SystemExit("an editable install is not possible: run `python -m client` in the checkout itself")


def package_folders(root: Path) -> dict[str, str]:
    """Return the folders of the installed packages, by their names."""
    inside = [name for top in MOVED for name in (top, *(f"{top}.{name}" for name in find_packages(str(root / top))))]
    return {PACKAGE: PACKAGE} | {f"{PACKAGE}.{name}": name.replace(".", "/") for name in inside}


@functools.cache
def find_client_modules(root: Path) -> frozenset[Path]:
    """Return the files of all modules that the client's modules import, directly or not, and of their packages."""
    found: set[Path] = set()
    pending = [*(root / PACKAGE).glob("*.py"), *(root / "client").rglob("*.py")]
    while pending:
        path = pending.pop()
        if path not in found:
            found.add(path)
            pending += _imported_files(root, path)
    return frozenset(found)


def _imported_files(root: Path, path: Path) -> Iterator[Path]:
    for node in _moved_imports(ast.parse(path.read_bytes()), path):
        module = str(node.module)
        for name in (module, *(f"{module}.{alias.name}" for alias in node.names)):
            parts = name.split(".")
            packages = (root.joinpath(*parts[:count], "__init__.py") for count in range(1, len(parts) + 1))
            yield from filter(Path.is_file, [*packages, root.joinpath(*parts).with_suffix(".py")])


def move_imports(source: bytes, path: Path | str) -> bytes:
    """Return a module's source with its imports of moved packages changed to where they are installed.

    Args:
        source: in UTF-8.
        path: its file, for messages.

    Raises:
        SyntaxError: it imports one of them in another form than `from NAME import ...`.
    """
    lines = source.split(b"\n")
    imports = _moved_imports(ast.parse(source), path)
    for node in sorted(imports, key=lambda node: (node.lineno, node.col_offset), reverse=True):  # positions stay valid
        line, start = lines[node.lineno - 1], node.col_offset  # in bytes, as `ast` counts
        statement = b"from " + str(node.module).encode()
        if not line.startswith(statement, start):
            raise SyntaxError(f"{path}, line {node.lineno}: write it as `from {node.module} import ...`")
        lines[node.lineno - 1] = line[:start] + b"from " + PACKAGE.encode() + b"." + line[start + len(b"from ") :]
    return b"\n".join(lines)


def _moved_imports(tree: ast.AST, path: Path | str) -> list[ast.ImportFrom]:
    """Return the imports of moved packages.

    Raises:
        SyntaxError: there is one that cannot be moved: `import NAME` would bind another name.
    """
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(_is_moved(alias.name) for alias in node.names):
            raise SyntaxError(f"{path}, line {node.lineno}: only `from NAME import ...` can be moved into {PACKAGE}")
        if isinstance(node, ast.ImportFrom) and node.level == 0 and _is_moved(str(node.module)):
            found.append(node)
    return found


def _is_moved(module: str) -> bool:
    return module.partition(".")[0] in MOVED


def read_requirements(path: Path) -> list[str]:
    """Return the package's requirements: the pinned versions of the checkout as ranges.

    A range begins with the lowest pin, and ends before the next major version of the highest. The patch level counts
    only before version 1.
    """
    lines = (line.partition(" #")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    pins: dict[str, list[Requirement]] = {}
    for requirement in (Requirement(line) for line in lines if line and not line.startswith("#")):
        pins.setdefault(requirement.name, []).append(requirement)
    return [_to_range(name, requirements) for name, requirements in pins.items()]


def _to_range(name: str, pins: Iterable[Requirement]) -> str:
    pins = list(pins)
    versions = sorted(Version(specifier.version) for pin in pins for specifier in pin.specifier)
    lowest, highest = versions[0], versions[-1]
    first = ".".join(str(number) for number in lowest.release[: 2 if lowest.major else 3])
    end = f",<{highest.major + 1}" if highest.major < _FIRST_YEAR else ""
    # A package with pins for several versions of Python is needed on all of them.
    marker = f"; {pins[0].marker}" if len(pins) == 1 and pins[0].marker else ""
    return f"{name}>={first}{end}{marker}"
