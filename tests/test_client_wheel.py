"""How the client's modules are changed for its wheel, and its requirements; the wheel itself: tests/client."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.client_wheel import PACKAGE, ROOT, find_client_modules, move_imports, package_folders, read_requirements


@pytest.mark.parametrize(
    ("source", "moved"),
    [
        ("from client.errors import WrongUsage\n", "from worker_whisper.client.errors import WrongUsage\n"),
        ("from api import json_text", "from worker_whisper.api import json_text"),
        ("if x:\n    from media import (\n  a)\n", "if x:\n    from worker_whisper.media import (\n  a)\n"),
        ("'ü'; from api import x; from api import y", f"'ü'; from {PACKAGE}.api import x; from {PACKAGE}.api import y"),
        ("from clients import x\nfrom json import loads\n", "from clients import x\nfrom json import loads\n"),
        ("from .api import x\nimport mediapipe\n", "from .api import x\nimport mediapipe\n"),
        ('"""\nfrom client.errors import WrongUsage\n"""\n', '"""\nfrom client.errors import WrongUsage\n"""\n'),
        ("x = 1\x0c\nfrom api import y\r\n", "x = 1\x0c\nfrom worker_whisper.api import y\r\n"),
    ],
)  # fmt: skip
def test_imports_are_moved_and_nothing_else_is(source: str, moved: str) -> None:
    assert move_imports(source.encode(), "module.py").decode() == moved


@pytest.mark.parametrize(
    "source", ["import client.errors", "import api as x", "from \\\n  media import log", "from  api import x"]
)
def test_other_forms_of_import_are_refused(source: str) -> None:
    with pytest.raises(SyntaxError, match=r"module\.py, line 1: "):
        move_imports(source.encode(), "module.py")


@pytest.mark.slow
def test_only_what_the_client_imports_goes_in() -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in find_client_modules(ROOT)}
    assert {"client/live.py", "api/http/__init__.py", "transcript/formats/render.py", "media/sandbox.py"} <= modules
    assert (
        not {"transcript/hallucinations.py", "transcript/chinese_script.py", "src/__init__.py", "src/version.py"}
        & modules
    )


def test_packages_go_inside_one() -> None:
    folders = package_folders(ROOT)
    assert folders["worker_whisper.client.merge"] == "client/merge"
    assert {name.partition(".")[0] for name in folders} == {"worker_whisper"}


def test_pins_become_ranges(tmp_path: Path) -> None:
    pins = tmp_path / "requirements.txt"
    pins.write_text("""
# a comment
requests==2.34.2             # RunPod's API
numpy==2.4.6; python_version >= "3.11"  # where cues are split
numpy==2.2.6; python_version < "3.11"
python-multipart==0.0.34
tomli==2.5.0; python_version < "3.11"
regex==2026.11.19
""")
    assert read_requirements(pins) == [
        "requests>=2.34,<3",
        "numpy>=2.2,<3",
        "python-multipart>=0.0.34,<1",
        'tomli>=2.5,<3; python_version < "3.11"',
        "regex>=2026.11",
    ]
