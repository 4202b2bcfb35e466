"""Releases a version: `make release VERSION=0.2.0`.

It moves the changelog's unreleased entries to the version, sets the version, commits and tags, builds the wheel and the
source distribution, and writes the release notes. All of this happens in a worktree beside the checkout; only if all of
it has succeeded does the branch move to the new commit. A failure, a signal or `--dry-run` changes nothing in the
checkout. Nothing is pushed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from builder import repository  # noqa: E402
from builder.changelog import release_notes, with_release  # noqa: E402

BRANCH = "main"
STATED = {
    "src/version.py": '__version__ = "{}"',
    "docs/output.md": '"worker_version": "{}"',
    "docs/client.md": "worker_whisper-{}-py3-none-any.whl",
    "Dockerfile": 'org.opencontainers.image.version="{}"',
}
"""The files that state the version, with the text that does; each has it once."""

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_GITHUB = re.compile(r".*github\.com[:/](.+?)(?:\.git)?/?")


class ReleaseError(ValueError):
    """The version cannot be released; the message says why, and what would be right."""


class Version(NamedTuple):
    """A version of three numbers, as Semantic Versioning has them."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return ".".join(map(str, self))

    @property
    def successors(self) -> tuple[Version, ...]:
        """The versions that may come next: of fixes, of additions, of incompatible changes."""
        return (
            Version(self.major, self.minor, self.patch + 1),
            Version(self.major, self.minor + 1, 0),
            Version(self.major + 1, 0, 0),
        )


def parse_version(text: str) -> Version:
    """Parse `1.2.3`.

    Raises:
        ReleaseError: it is no such version.
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ReleaseError(f"{text!r} is no version: three numbers are, such as 1.2.3")
    return Version(*map(int, match.groups()))


def release(root: Path, version: Version, day: date, *, dry_run: bool = False) -> None:
    """Release a version of the repository in `root`.

    Args:
        day: the day of the release, for the changelog.
        dry_run: do everything but the tag, the branch and `dist/`.

    Raises:
        ValueError: something is not ready, or a step failed. The checkout is as it was.
    """
    _check_checkout(root)
    tagged = _last_tagged(root)
    _check_next(version, [_stated_version(root), *([tagged] if tagged else [])])
    _check_repository(root)
    with _worktree(root) as worktree, tempfile.TemporaryDirectory() as folder:
        url = repository.url(worktree)
        notes = _write_version(worktree, version, day, tagged, url)
        commit = _commit(worktree, f"Release {version}")
        built = Path(folder)
        _build(worktree, version, built)
        (built / f"release-notes-{version}.md").write_text(notes, encoding="utf-8")
        if dry_run:
            print(_git(root, "show", "--stat", "--format=%s", commit), notes, sep="\n")
            print(f"Dry run: {version} could be released. Nothing has changed.")
            return
        with _uninterrupted():
            _publish(root, version, commit, built)
    print(f"Released {version} in this checkout: commit {commit[:10]}, tag v{version}, and in dist/:")
    print(*(f"  {path.name}" for path in sorted((root / "dist").glob(f"*{version}*"))), sep="\n")
    print(f"To do by hand:\n  git push --follow-tags origin {BRANCH}")
    print("GitHub then runs the tests, pushes the image, and creates the release that RunPod's Hub builds.")
    print(f"To take it back before that: git tag -d v{version} && git reset --keep HEAD~1")


# --- Checks ---------------------------------------------------------------------------------------------------------


def _check_checkout(root: Path) -> None:
    if (branch := _git(root, "branch", "--show-current")) != BRANCH:
        raise ReleaseError(f"releases are made on {BRANCH}: the branch is {branch or 'none, but a commit'}")
    if changed := _git(root, "status", "--porcelain"):
        files = ", ".join(line[2:].strip() for line in changed.splitlines()[:5])
        raise ReleaseError(f"the checkout has changes that are not committed: {files}")


def _last_tagged(root: Path) -> Version | None:
    tags = _git(root, "tag", "--list", "v*").split()
    versions = [parse_version(tag[1:]) for tag in tags if _VERSION.fullmatch(tag[1:])]
    return max(versions, default=None)


def _stated_version(root: Path) -> Version:
    path, line = next(iter(STATED.items()))
    match = re.search(re.escape(line).replace(re.escape("{}"), "(.+?)"), (root / path).read_text(encoding="utf-8"))
    if match is None:
        raise ReleaseError(f"{path} states no version")
    return parse_version(match[1])


def _check_next(version: Version, known: list[Version]) -> None:
    last = max(known)
    if version not in last.successors:
        raise ReleaseError(f"{version} does not follow {last}: {', '.join(map(str, last.successors))} do")


def _check_repository(root: Path) -> None:
    """The links in the changelog, the Hub's icon and the badge have to lead to where this is pushed."""
    stated = repository.name(root)
    match = _GITHUB.fullmatch(_git(root, "remote", "get-url", "origin"))
    if match is None:
        raise ReleaseError("the remote origin is no repository on GitHub, where RunPod's Hub looks for releases")
    if match[1] != stated:
        raise ReleaseError(
            f"pyproject.toml says that the repository is {stated}, but origin is {match[1]}: correct Repository in "
            "[project.urls], run builder/write_tables.py, and commit"
        )


# --- Steps ----------------------------------------------------------------------------------------------------------


@contextmanager
def _worktree(root: Path) -> Iterator[Path]:
    """The last commit in a folder of its own, which is removed again."""
    with tempfile.TemporaryDirectory() as folder:
        worktree = Path(folder, "worktree")
        try:
            _git(root, "worktree", "add", "--detach", str(worktree), "HEAD")
            yield worktree
        finally:
            if worktree.exists():
                with _uninterrupted():
                    _git(root, "worktree", "remove", "--force", str(worktree))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM during the block, in the processes that it starts too."""
    with _handled(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM):
        yield


@contextmanager
def _handled(
    handler: Callable[[int, FrameType | None], Any] | signal.Handlers, *signals: signal.Signals
) -> Iterator[None]:
    before = {each: signal.signal(each, handler) for each in signals}
    try:
        yield
    finally:
        for each, handler_before in before.items():
            signal.signal(each, handler_before)


def _write_version(worktree: Path, version: Version, day: date, previous: Version | None, url: str) -> str:
    """Write the version to the files that state it, and to the changelog; return the release notes."""
    last = _stated_version(worktree)
    for path, line in STATED.items():
        _replace(worktree / path, line.format(last), line.format(version))
    changelog = worktree / "CHANGELOG.md"
    before = changelog.read_text(encoding="utf-8")
    text = with_release(before, str(version), day, str(previous) if previous else None, url)
    changelog.write_text(text, encoding="utf-8")
    _run(worktree, sys.executable, "builder/write_tables.py")
    return release_notes(text, str(version), url)


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise ReleaseError(f"{path.name} has {old} {text.count(old)} times, not once")
    path.write_text(text.replace(old, new), encoding="utf-8")


def _commit(worktree: Path, message: str) -> str:
    """Commit everything, and return the commit. Hooks need the checkout's .venv, which a worktree does not have."""
    _git(worktree, "add", "--all")
    _git(worktree, "commit", "--no-verify", "--message", message)
    return _git(worktree, "rev-parse", "HEAD")


def _build(worktree: Path, version: Version, to: Path) -> None:
    """Build the wheel and the source distribution."""
    _run(worktree, sys.executable, "-m", "build", "--outdir", str(to), str(worktree))
    for pattern in (f"*-{version}-*.whl", f"*-{version}.tar.gz"):
        if len(list(to.glob(pattern))) != 1:
            raise ReleaseError(f"the build made {', '.join(path.name for path in to.iterdir())}, but no {pattern}")


def _publish(root: Path, version: Version, commit: str, built: Path) -> None:
    """Tag the commit, move the branch to it, and fill `dist/`."""
    notes = (built / f"release-notes-{version}.md").read_text(encoding="utf-8")
    # Without `verbatim`, git takes the headings of the notes for comments.
    message = ("--message", f"Release {version}", "--message", notes)
    _git(root, "tag", "--annotate", "--cleanup=verbatim", *message, f"v{version}", commit)
    try:
        (root / "dist").mkdir(exist_ok=True)
        for path in built.iterdir():
            shutil.copy(path, root / "dist")
        _git(root, "merge", "--ff-only", commit)
    except Exception:
        _git(root, "tag", "--delete", f"v{version}")
        for path in built.iterdir():
            (root / "dist" / path.name).unlink(missing_ok=True)
        raise


def _git(folder: Path, *arguments: str) -> str:
    return _run(folder, "git", *arguments)


def _run(folder: Path, *command: str) -> str:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        said = (result.stderr.strip() or result.stdout.strip()).splitlines()[-20:]
        raise ReleaseError(f"{' '.join(command[:4])} failed:\n" + "\n".join(said))
    return result.stdout.strip()


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command, and return its exit code: 1 if the version cannot be released, 130 after Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description="Release a version; nothing is pushed.")
    parser.add_argument("version", metavar="VERSION", help="such as 0.2.0")
    parser.add_argument("--dry-run", action="store_true", help="do everything but keep nothing")
    options = parser.parse_args(arguments)
    try:
        with _handled(signal.default_int_handler, signal.SIGTERM):
            release(root, parse_version(options.version), date.today(), dry_run=options.dry_run)
    except ValueError as error:
        print(f"Not released: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the checkout is as it was.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
