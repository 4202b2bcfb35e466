"""Where model files are, and how they get there.

A model is one file, `tiny.en.pt` (OpenAI's checkpoint), or one folder, `tiny.en` with weights and `config.json` (see
src/models/files.py); repositories of the Hugging Face hub lie as its cache keeps them (see src/models/hub.py).
`find_model` looks for it and reads no weights: it belongs to each start of a worker. `fetch_model` brings it and checks
its SHA-256: it belongs to building an image or filling a volume.
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
    """The `.pt` file or the folder of weights that `name` stands for; None if there is none.

    `name` is looked for in `folders`, in their order: as `<name>.pt`, as `<name>/`, and as the hub keeps the repository
    `openai/whisper-<name>`. Aliases are included: "turbo" finds `large-v3-turbo.pt`. A name cannot lead out of the
    folders. What is no such name may be a path to a model, or else a repository, `org/name[@revision]`: let a
    stranger's text in here only if `is_model_name` holds for it. Nothing is hashed, so gigabytes cost no time.
    """
    if is_model_name(name):
        return next((found for folder in folders if (found := _find_named(name, folder))), None)
    if is_model(Path(name)):
        return Path(name)
    repository = parse_repository(name)
    if repository is None:
        return None
    return next((found for folder in folders if (found := find_snapshot(repository, folder))), None)


def _find_named(name: str, folder: Path) -> Path | None:
    stem = _ALIASES.get(name, name)
    for path in (folder / f"{name}.pt", folder / name, folder / f"{stem}.pt", folder / stem):
        if is_model(path):
            return path
    return find_snapshot(Repository(f"openai/whisper-{_ON_THE_HUB.get(stem, stem)}"), folder)


_ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}
_ON_THE_HUB = {"large-v1": "large"}
"""OpenAI's names and their repositories, where they differ."""


def checkpoint_bytes(model: Path) -> int:
    """Bytes of a model's file or folder."""
    files = model.rglob("*") if model.is_dir() else [model]
    return sum(one.stat().st_size for one in files if one.is_file())


def is_model_name(text: str) -> bool:
    """Whether `text` can be a model's name, and therefore cannot be a path to elsewhere."""
    return _SAFE_NAME.fullmatch(text) is not None and not text.endswith((".pt", ".bin"))


# --- Sources --------------------------------------------------------------------------------------------------------


# --- Fetching -------------------------------------------------------------------------------------------------------


def fetch_model(
    name: str,
    to: Path,
    *,
    sources: Sequence[Source] | None = None,
    report: Callable[[str], None] = logger.info,
) -> Path:
    """The `.pt` file or the folder of model `name` in the folder `to`, brought there unless it is there already.

    A Hugging Face repository, `org/name` or `org/name@revision`, comes from the hub, as its cache keeps it. Of others,
    what is there counts only if its SHA-256 is the pinned one; otherwise it is replaced. `sources` are tried in order,
    by default `sources_of(name)`. A model appears under its name when it is whole and verified, and not before: it is
    written to a temporary folder in `to`, which goes away whatever happens. `report` is told in one line what came
    from where.

    Raises `ModelUnavailable` for an unknown name, and if no source gives the model, with the reason of each.
    """
    if repository := parse_repository(name):
        return fetch_snapshot(repository, to, report)
    candidates = sources_of(name) if sources is None else sources
    for source in candidates:
        if _mismatch(source.files, to) is None:
            report(f"{name}: already in {_place(source, to)}, with the right SHA-256.")
            return _place(source, to)
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


def _place(source: Source, folder: Path) -> Path:
    """The one file or folder in `folder` that `source` fills."""
    return folder / Path(next(iter(source.files))).parts[0]


def _fetch_from(source: Source, to: Path) -> Path:
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=to) as temporary:
        fresh = Path(temporary, "fresh")
        fresh.mkdir()
        source.fetch(fresh)
        if wrong := _mismatch(source.files, fresh):
            raise SourceFailed(f"its {wrong} is damaged or another: the SHA-256 is not the pinned one")
        target = _place(source, to)
        if target.is_dir():  # a folder does not take a full folder's place: the damaged one goes with the temporary
            target.rename(Path(temporary, "replaced"))
        _place(source, fresh).replace(target)
    return target


def _mismatch(files: Mapping[str, str], folder: Path) -> str | None:
    """The first of `files` that is not in `folder` with its SHA-256; None if all are."""
    for name, sha256 in files.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != sha256:
            return name
    return None
