"""Finds repositories of the Hugging Face hub on disk, and fetches them.

`org/name`, or `org/name@revision`, is stored in huggingface_hub's cache layout, which RunPod's cached models have too:
`models--org--name/refs/main` holds a commit, `snapshots/<commit>/` links to that commit's files. An interrupted
download is resumed, even by another worker on the same volume.
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
    """A repository on the hub; `revision` is a branch, a tag or a commit."""

    id: str
    revision: str = "main"

    def __str__(self) -> str:
        return self.id if self.revision == "main" else f"{self.id}@{self.revision}"


def parse_repository(name: str) -> Repository | None:
    """Parse `org/name` or `org/name@revision`; return None for any other text."""
    match = _NAME.fullmatch(name)
    if match is None or ".." in name or "--" in match[1]:
        return None
    return Repository(match[1], match[2] or "main")


# --- On disk --------------------------------------------------------------------------------------------------------


def find_snapshot(repository: Repository, folder: Path) -> Path | None:
    """Return the folder of a repository's files, if `folder` is a hub cache that has all of them.

    RunPod's cache writes some names in lower case, and may lack `refs`: then its only snapshot is taken.
    """
    cache = _repository_cache(repository, folder)
    if cache is None:
        return None
    commit = _read_ref(cache / "refs" / repository.revision) or repository.revision
    snapshot = cache / "snapshots" / commit
    if is_model(snapshot):
        return snapshot
    if repository.revision != "main" or (cache / "refs").is_dir():
        return None
    return next((path for path in sorted((cache / "snapshots").glob("*")) if is_model(path)), None)


def _repository_cache(repository: Repository, folder: Path) -> Path | None:
    name = f"models--{repository.id.replace('/', '--')}"
    if (folder / name).is_dir():
        return folder / name
    if not folder.is_dir():
        return None
    return next((path for path in folder.glob("models--*") if path.name.lower() == name.lower()), None)


def _read_ref(file: Path) -> str | None:
    """Return the commit of a branch or tag; None if the file holds none."""
    try:
        with file.open("rb") as opened:
            text = opened.read(100).decode("ascii", "replace").strip()
    except OSError:
        return None
    return text if _COMMIT.fullmatch(text) else None


# --- From the hub ---------------------------------------------------------------------------------------------------


def fetch_snapshot(repository: Repository, to: Path, report: Callable[[str], None]) -> Path:
    """Download a repository to the hub cache `to`, and verify the SHA-256 that the hub publishes for its files.

    The hub's variables apply: `HF_TOKEN` for private repositories, sent to the hub only and not to the hosts it
    redirects to, and `HF_ENDPOINT` for a mirror of the hub.

    Raises:
        ModelUnavailable: the reason in one sentence, without a token or a signed URL.
    """
    from huggingface_hub import HfApi  # imported only where something is fetched: it takes long
    from huggingface_hub.utils.tqdm import disable_progress_bars

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings contain signed URLs
    if not sys.stderr.isatty():
        disable_progress_bars()
    hub = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    host = urlsplit(hub.endpoint).netloc.rpartition("@")[2]
    try:
        snapshot = _download(hub, repository, to)
    except _errors() as error:
        raise ModelUnavailable(f"the model {repository} could not be fetched from {host}: {_reason(error)}") from error
    report(f"{repository}: fetched from {host} to {snapshot}.")
    return snapshot


class _Unusable(Exception):
    """The reason why a repository cannot be used, in a few words."""


def _download(hub: HfApi, repository: Repository, to: Path) -> Path:
    files = hub.model_info(repository.id, revision=repository.revision).siblings or []
    patterns = _patterns([file.rfilename for file in files])
    snapshot = Path(
        hub.snapshot_download(repository.id, revision=repository.revision, cache_dir=to, allow_patterns=patterns)
    )
    for file in snapshot.iterdir():
        _verify(file)
    if not is_model(snapshot):
        raise _Unusable("parts of its weights are not in the repository")
    return snapshot


def _patterns(names: Iterable[str]) -> list[str]:
    """Patterns of the files to download: the weights in the preferred form, and the configs."""
    names = set(names)
    for name in HUGGING_FACE:
        stem, _, extension = name.partition(".")
        for weights in ([name], [f"{name}.index.json", f"{stem}-?????-of-?????.{extension}"]):
            if weights[0] in names:
                return [*weights, *_CONFIGS]
    if CTRANSLATE2 in names:
        return [CTRANSLATE2, *_CONFIGS]
    if "adapter_config.json" in names:
        raise _Unusable("it is an adapter; merge it into its base model (merge_and_unload) and save that")
    raise _Unusable(f"it has none of {', '.join((*HUGGING_FACE, CTRANSLATE2))}")


def _verify(file: Path) -> None:
    """Delete a damaged file, for the next attempt to fetch again; the cache names large files by their SHA-256."""
    blob = file.resolve()
    if _SHA256.fullmatch(blob.name) and sha256_of(blob) != blob.name:
        blob.unlink()
        file.unlink()
        raise _Unusable(f"{file.name} arrived damaged")


def _errors() -> tuple[type[Exception], ...]:
    """The exceptions that a download may raise."""
    import httpx2  # the HTTP library of huggingface_hub

    return (_Unusable, OSError, ValueError, RuntimeError, httpx2.HTTPError, httpx2.InvalidURL)


def _reason(error: Exception) -> str:
    """The reason in a few words: the library's own messages fill a screen and contain URLs."""
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
