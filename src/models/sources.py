"""Sources of model files: OpenAI's server, or any other that is passed to `fetch_model`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

from src.errors import ModelUnavailable, suggest

CHUNK_BYTES = 1 << 20

_CONNECT_TIMEOUT_S, _IDLE_TIMEOUT_S = 5, 30


class Source(Protocol):
    """A source of one model's files."""

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 in hex of each file, by its path in the folder of models; all paths begin with the same part."""

    def fetch(self, into: Path) -> None:
        """Write `files` to `into`, an empty folder; a failure may leave some of them there.

        Raises:
            SourceFailed: the source does not provide its files.
            OSError: they cannot be written.
        """


class SourceFailed(Exception):
    """The reason why a source did not provide its files, in a few words."""


@dataclass(frozen=True)
class UrlSource:
    """One file over HTTP. A host that sends nothing for `_IDLE_TIMEOUT_S` has failed."""

    url: str
    sha256: str

    @property
    def files(self) -> Mapping[str, str]:
        """The file's SHA-256, by its name in the URL."""
        return {_file_name(self.url): self.sha256}

    def __str__(self) -> str:
        return urlsplit(self.url).netloc

    def fetch(self, into: Path) -> None:
        """Download the file to `into`.

        Raises:
            SourceFailed: the host does not provide the whole file.
            OSError: it cannot be written.
        """
        name = _file_name(self.url)
        try:
            with requests.get(self.url, stream=True, timeout=(_CONNECT_TIMEOUT_S, _IDLE_TIMEOUT_S)) as response:
                response.raise_for_status()
                size = response.headers.get("Content-Length")
                with (into / name).open("xb") as file:
                    write_chunks(response.iter_content(CHUNK_BYTES), file, name, int(size) if size else None)
        except requests.HTTPError as error:
            raise SourceFailed(f"it answered with status {error.response.status_code}") from error
        except requests.exceptions.ChunkedEncodingError as error:
            raise SourceFailed("the connection broke off") from error
        except requests.RequestException as error:  # its text is a long chain of wrapped exceptions
            raise SourceFailed("it cannot be reached or fell silent") from error


def _file_name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


def write_chunks(chunks: Iterable[bytes], file: IO[bytes], label: str, size: int | None) -> None:
    """Write chunks to a file, with a progress bar if stderr is a terminal.

    Args:
        label: the progress bar's label.
        size: total bytes, if known.
    """
    with tqdm(desc=label, total=size, unit="B", unit_scale=True, unit_divisor=1024, leave=False, disable=None) as bar:
        for chunk in chunks:
            file.write(chunk)
            bar.update(len(chunk))


def sources_of(name: str) -> list[Source]:
    """Return the sources of a model of OpenAI's, in the order to try.

    Raises:
        ModelUnavailable: openai-whisper has no model of this name.
    """
    urls = _openai_urls()
    if name not in urls:
        hint = suggest(name, urls, "; or name a repository, such as distil-whisper/distil-large-v3")
        raise ModelUnavailable(f"there is no model {name!r} among {', '.join(urls)}{hint}")
    return [UrlSource(urls[name], urls[name].split("/")[-2])]


def _openai_urls() -> Mapping[str, str]:
    """openai-whisper's own table; the last but one part of a URL's path is the SHA-256 of its file."""
    from whisper import _MODELS  # takes seconds to import, and is not needed for the sources' types

    urls: Mapping[str, str] = _MODELS
    return urls
