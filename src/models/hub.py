"""Repositories of the Hugging Face hub: where they lie on a disk, and how they get there.

`org/name`, or `org/name@revision`, lies as huggingface_hub keeps it, which is how RunPod's cached models come too:
`models--org--name/refs/main` holds a commit, `snapshots/<commit>/` links to that commit's files. A download that was
broken off goes on where it was, also by another worker on the same volume.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from src.errors import ModelUnavailable
from src.models.files import CTRANSLATE2, HUGGING_FACE, is_model, sha256_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"  # no separator and no leading dot: it cannot leave its folder
_NAME = re.compile(rf"({_PART}/{_PART})(?:@({_PART}))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONFIGS = ("config.json", "generation_config.json")


class Repository(NamedTuple):
    """A model on the hub; `revision` is a branch, a tag or a commit."""

    id: str
    revision: str = "main"

    def __str__(self) -> str:
        return self.id if self.revision == "main" else f"{self.id}@{self.revision}"


def parse_repository(name: str) -> Repository | None:
    """`org/name` or `org/name@revision`; None for what is no such name."""
    match = _NAME.fullmatch(name)
    if match is None or ".." in name or "--" in match[1]:
        return None
    return Repository(match[1], match[2] or "main")


# --- On the disk ----------------------------------------------------------------------------------------------------


def find_snapshot(repository: Repository, folder: Path) -> Path | None:
    """The files of a repository, if `folder` is such a cache and has all of them.

    RunPod's cache writes some names in small letters, and need not have `refs`: then its one snapshot is meant.
    """
    home = _home(repository, folder)
    if home is None:
        return None
    commit = _read_ref(home / "refs" / repository.revision) or repository.revision
    found = home / "snapshots" / commit
    if is_model(found):
        return found
    if repository.revision != "main" or (home / "refs").is_dir():
        return None
    return next((one for one in sorted((home / "snapshots").glob("*")) if is_model(one)), None)


def _home(repository: Repository, folder: Path) -> Path | None:
    name = f"models--{repository.id.replace('/', '--')}"
    if (folder / name).is_dir():
        return folder / name
    if not folder.is_dir():
        return None
    return next((one for one in folder.glob("models--*") if one.name.lower() == name.lower()), None)


def _read_ref(file: Path) -> str | None:
    """The commit that a branch or tag stands for."""
    try:
        with file.open("rb") as opened:
            text = opened.read(100).decode("ascii", "replace").strip()
    except OSError:
        return None
    return text if _COMMIT.fullmatch(text) else None


# --- From the hub ---------------------------------------------------------------------------------------------------


def fetch_snapshot(repository: Repository, to: Path, report: Callable[[str], None]) -> Path:
    """The files of a repository, downloaded to the cache `to`, and compared with the SHA-256 that the hub has of them.

    The hub's own variables hold: `HF_TOKEN` for private repositories, which goes to the hub alone and not to where it
    redirects, and `HF_ENDPOINT` for a mirror.

    Raises:
        ModelUnavailable: in one sentence, without a token or a signed address.
    """
    from huggingface_hub import HfApi  # only a worker that has to fetch something waits for it
    from huggingface_hub.utils.tqdm import disable_progress_bars

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings hold signed addresses
    if not sys.stderr.isatty():
        disable_progress_bars()
    hub = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    host = urlsplit(hub.endpoint).netloc.rpartition("@")[2]
    try:
        place = _download(hub, repository, to)
    except _errors() as error:
        raise ModelUnavailable(f"the model {repository} could not be fetched from {host}: {_reason(error)}") from error
    report(f"{repository}: fetched from {host} to {place}.")
    return place


class _Unusable(Exception):
    """Why what a repository holds is of no use, in a few words."""


def _download(hub: HfApi, repository: Repository, to: Path) -> Path:
    there = hub.model_info(repository.id, revision=repository.revision).siblings or []
    wanted = _wanted([file.rfilename for file in there])
    place = Path(
        hub.snapshot_download(repository.id, revision=repository.revision, cache_dir=to, allow_patterns=wanted)
    )
    for file in place.iterdir():
        _verify(file)
    if not is_model(place):
        raise _Unusable("parts of its weights are not in the repository")
    return place


def _wanted(names: Iterable[str]) -> list[str]:
    """Patterns of the files to download: the weights in the form that is liked best, and what describes them."""
    names = set(names)
    for name in HUGGING_FACE:
        stem, _, ending = name.partition(".")
        for weights in ([name], [f"{name}.index.json", f"{stem}-?????-of-?????.{ending}"]):
            if weights[0] in names:
                return [*weights, *_CONFIGS]
    if CTRANSLATE2 in names:
        return [CTRANSLATE2, *_CONFIGS]
    if "adapter_config.json" in names:
        raise _Unusable("it is an adapter; merge it into its base model (merge_and_unload) and save that")
    raise _Unusable(f"it has none of {', '.join((*HUGGING_FACE, CTRANSLATE2))}")


def _verify(file: Path) -> None:
    """Large files are kept under their SHA-256. One that does not fit goes: the next attempt fetches it anew."""
    blob = file.resolve()
    if _SHA256.fullmatch(blob.name) and sha256_of(blob) != blob.name:
        blob.unlink()
        file.unlink()
        raise _Unusable(f"{file.name} came damaged")


def _errors() -> tuple[type[Exception], ...]:
    """What a download may raise."""
    import httpx2  # what huggingface_hub speaks HTTP with

    return (_Unusable, OSError, ValueError, RuntimeError, httpx2.HTTPError, httpx2.InvalidURL)


def _reason(error: Exception) -> str:
    """What went wrong, in a few words of ours: the library's own fill a screen and hold addresses."""
    from huggingface_hub import errors

    match error:
        case _Unusable():
            return str(error)
        case errors.GatedRepoError():
            return "its terms have to be accepted there first, by the account that HF_TOKEN belongs to"
        case errors.RevisionNotFoundError():
            return "it has no such revision there"
        case errors.RepositoryNotFoundError():
            return "there is no such model, or it is private and this HF_TOKEN does not open it"
        case errors.OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE forbids it"
        case errors.HfHubHTTPError() if error.response.status_code == 401:
            return "HF_TOKEN is missing, or not accepted there"
        case errors.HfHubHTTPError():
            return f"it answered with status {error.response.status_code}"
        case OSError(strerror=str(reason)):
            return reason.lower()
    return "it cannot be reached, fell silent or broke off"
