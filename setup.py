"""Builds the client's package, `worker-whisper`; see `builder/client_wheel.py`."""

import sys
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # a build has only its own tools on the path

from builder.client_wheel import PACKAGE, BuildModules, NoEditableInstall, package_folders, read_requirements  # noqa: E402

setup(
    packages=list(package_folders(ROOT)),
    package_dir=package_folders(ROOT),
    package_data={
        PACKAGE: ["py.typed"],
        f"{PACKAGE}.client": ["*.json"],
        f"{PACKAGE}.client.merge": ["*.json"],
        f"{PACKAGE}.api.page": ["static/**"],
    },
    include_package_data=False,
    install_requires=read_requirements(ROOT / "client" / "requirements.txt"),
    cmdclass={"build_py": BuildModules, "editable_wheel": NoEditableInstall},
)
