"""Finds model files on disk, and fetches them.

A model is one file, `tiny.en.pt` (OpenAI's checkpoint), or one folder, `tiny.en` with weights and `config.json` (see
src/models/files.py); repositories of the Hugging Face hub are stored as its cache keeps them (see src/models/hub.py).
`find_model` reads no weights: it is part of each worker's start. `fetch_model` downloads a model and checks its
SHA-256: it is for building an image or filling a volume.
"""

import logging
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from src.errors import ModelUnavailable
from src.models.files import is_model, sha256_of
from src.models.hub import Repository, fetch_snapshot, find_snapshot, parse_repository
from src.models.sources import Source, SourceFailed, sources_of

logger = logging.getLogger(__name__)

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # no separator and no leading dot: it cannot leave its folder


# --- Finding --------------------------------------------------------------------------------------------------------


def find_model(name: str, folders: Sequence[Path]) -> Path | None:
    """Return the `.pt` file or the folder of weights of a model; None if there is none.

    A name is looked up in each folder as `<name>.pt`, `<name>/`, and the hub's repository `openai/whisper-<name>`.
    Aliases work too: "turbo" finds `large-v3-turbo.pt`. A name cannot lead out of the folders. Any other text may be a
    path to a model, or a repository, `org/name[@revision]`: pass untrusted text only if `is_model_name` is true for it.
    OpenAI's repositories are found as its checkpoints too: `openai/whisper-medium` is `medium.pt`, with the same
    weights. Nothing is hashed, so that gigabytes cost no time.
    """
    if is_model_name(name):
        return next((found for folder in folders if (found := _find_named(name, folder))), None)
    if is_model(Path(name)):
        return Path(name)
    repository = parse_repository(name)
    if repository is None:
        return None
    return next((found for folder in folders if (found := _find_repository(repository, folder))), None)


def repository_of(name: str) -> str:
    """Return the repository of the Hugging Face hub that has the model which OpenAI calls `name`."""
    stem = _ALIASES.get(name, name)
    return f"openai/whisper-{_REPOSITORY_SUFFIXES.get(stem, stem)}"


def _find_repository(repository: Repository, folder: Path) -> Path | None:
    """The repository's snapshot, else OpenAI's checkpoint of the same model."""
    checkpoints = (path for path in folder.glob("*.pt") if repository_of(path.stem) == str(repository).lower())
    return find_snapshot(repository, folder) or next(filter(is_model, checkpoints), None)


def _find_named(name: str, folder: Path) -> Path | None:
    stem = _ALIASES.get(name, name)
    for path in (folder / f"{name}.pt", folder / name, folder / f"{stem}.pt", folder / stem):
        if is_model(path):
            return path
    return find_snapshot(Repository(repository_of(name)), folder)


_ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}
_REPOSITORY_SUFFIXES = {"large-v1": "large"}
"""OpenAI's names for models whose repositories are called otherwise."""


def checkpoint_bytes(model: Path) -> int:
    """Return the size of a model's file or folder in bytes."""
    files = model.rglob("*") if model.is_dir() else [model]
    return sum(file.stat().st_size for file in files if file.is_file())


def is_model_name(text: str) -> bool:
    """True if `text` can be a model's name, and so cannot be a path."""
    return _SAFE_NAME.fullmatch(text) is not None and not text.endswith((".pt", ".bin"))


# --- Fetching -------------------------------------------------------------------------------------------------------


def fetch_model(
    name: str,
    to: Path,
    *,
    sources: Sequence[Source] | None = None,
    report: Callable[[str], None] = logger.info,
) -> Path:
    """Fetch a model to a folder, unless it is there already.

    A Hugging Face repository, `org/name` or `org/name@revision`, comes from the hub, and is stored as its cache keeps
    it. Other models come from the first of the sources that succeeds. A file that is there already must have the
    source's SHA-256, or is replaced. A model of this name in another form, which no source has a SHA-256 of, stays.

    A model appears under its name only when it is complete and verified: it is written to a temporary folder in `to`,
    which is always removed.

    Args:
        sources: sources to try in order; None: `sources_of(name)`.
        report: receives one line on what came from where.

    Returns:
        The model's `.pt` file or folder.

    Raises:
        ModelUnavailable: the name is unknown, or no source provided the model, with the reason of each.
    """
    if repository := parse_repository(name):
        return fetch_snapshot(repository, to, report)
    candidates = sources_of(name) if sources is None else sources
    for source in candidates:
        if _first_mismatch(source.files, to) is None:
            report(f"{name}: already in {_target(source, to)}, with the right SHA-256.")
            return _target(source, to)
    if not any(_target(source, to).exists() for source in candidates) and (found := find_model(name, [to])):
        report(f"{name}: already in {found}, not checked: it is not OpenAI's file.")
        return found
    failures = []
    for source in candidates:
        try:
            path = _fetch_from(source, to)
        except (SourceFailed, OSError) as error:
            failures.append(f"{source}: {error}")
        else:
            report(f"{name}: fetched from {source} to {path}.")
            return path
    raise ModelUnavailable(f"the model {name} could not be fetched ({'; '.join(failures)})")


def _target(source: Source, folder: Path) -> Path:
    """The file or folder in `folder` that the source's files make up."""
    return folder / Path(next(iter(source.files))).parts[0]


def _fetch_from(source: Source, to: Path) -> Path:
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=to) as temporary:
        fresh = Path(temporary, "fresh")
        fresh.mkdir()
        source.fetch(fresh)
        if file := _first_mismatch(source.files, fresh):
            raise SourceFailed(f"its {file} is damaged or another: the SHA-256 is not the pinned one")
        target = _target(source, to)
        if target.is_dir():  # a folder cannot replace one that is not empty: the old one goes with the temporary folder
            target.rename(Path(temporary, "replaced"))
        _target(source, fresh).replace(target)
    return target


def _first_mismatch(files: Mapping[str, str], folder: Path) -> str | None:
    """The first of `files` that is not in `folder` with its SHA-256; None if all are."""
    for name, sha256 in files.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != sha256:
            return name
    return None
