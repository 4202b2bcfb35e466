"""`make release`: in a repository of its own, with real git and a real build."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from datetime import date
from pathlib import Path

import pytest

from builder import release as releasing
from builder import repository as address
from builder.changelog import CHANGELOG, entries, release_notes, with_release
from tests.support.clips import ROOT

URL = "https://github.com/acme/worker"
TODAY = date(2026, 12, 1)

CHANGES = """\
# Changelog

## [Unreleased]

### Added

- A [new format](docs/output.md#formats), which
  takes two lines; see [elsewhere](https://example.com/a).
- Another one.

## [0.1.0] - 2026-11-24

### Added

- The worker.
"""

BACKEND = '''\
"""A build backend that needs no packages."""
import re, tarfile, zipfile
from pathlib import Path

NAME = "worker-" + re.search('"(.+)"', Path("src/version.py").read_text())[1]

def build_sdist(folder, settings=None):
    with tarfile.open(Path(folder, f"{NAME}.tar.gz"), "w:gz") as archive:
        Path("PKG-INFO").write_text("Metadata-Version: 2.2\\nName: worker\\nVersion: " + NAME[7:])
        for path in ["PKG-INFO", *Path().glob("*.*"), *Path("src").glob("*.py")]:
            archive.add(path, f"{NAME}/{path}")
    return f"{NAME}.tar.gz"

def build_wheel(folder, settings=None, metadata=None):
    with zipfile.ZipFile(Path(folder, f"{NAME}-py3-none-any.whl"), "w") as archive:
        archive.write("src/version.py")
    return f"{NAME}-py3-none-any.whl"
'''

TABLES = (
    'from pathlib import Path\nPath("docs/table.md").write_text("made for " + Path("src/version.py").read_text())\n'
)

FILES = {
    "src/version.py": '__version__ = "0.1.0"\n',
    "docs/output.md": '{"worker_version": "0.1.0"}\n',
    "docs/client.md": "worker_whisper-0.1.0-py3-none-any.whl\n",
    "Dockerfile": 'LABEL org.opencontainers.image.version="0.1.0"\n',
    "docs/table.md": "\n",
    "CHANGELOG.md": CHANGES,
    "builder/write_tables.py": TABLES,
    "backend.py": BACKEND,
    "pyproject.toml": f"""\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project.urls]
Repository = "{URL}"
""",
    ".gitignore": "/dist/\n",
}


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--message", "Work")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(variable, "Ada")
    for variable in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(variable, "ada@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch", "main")
    git(root, "remote", "add", "origin", "git@github.com:acme/worker.git")
    commit(root, FILES)
    return root


def state(root: Path) -> tuple[str, ...]:
    """All that a failed release must leave as it was."""
    head = ("rev-parse", "HEAD"), ("branch", "--show-current"), ("status", "--porcelain", "--ignored")
    return tuple(git(root, *command) for command in (*head, ("tag", "--list"), ("worktree", "list")))


def refusal(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said by a release that fails, after which the checkout is as it was."""
    before = state(root)
    assert releasing.main([*(arguments or ["0.2.0"])], root) == 1
    assert state(root) == before
    said: str = capsys.readouterr().err
    assert said.startswith("Not released: ")
    return said


# --- The whole ------------------------------------------------------------------------------------------------------


@pytest.mark.process
def test_a_release_is_a_commit_a_tag_the_packages_and_the_notes(repository, capsys):
    before = git(repository, "rev-parse", "HEAD")
    assert releasing.main(["0.2.0"], repository) == 0

    assert git(repository, "rev-parse", "main~1") == before
    assert git(repository, "log", "-1", "--format=%s").strip() == "Release 0.2.0"
    assert git(repository, "status", "--porcelain") == ""
    assert (repository / "src" / "version.py").read_text() == '__version__ = "0.2.0"\n'
    assert (repository / "docs" / "output.md").read_text() == '{"worker_version": "0.2.0"}\n'
    assert "0.2.0" in (repository / "docs" / "table.md").read_text(), "what is generated is generated anew"
    changelog = (repository / "CHANGELOG.md").read_text()
    assert f"## [Unreleased]\n\n## [0.2.0] - {date.today()}\n\n### Added\n" in changelog
    assert changelog.endswith(f"\n[Unreleased]: {URL}/compare/v0.2.0...HEAD\n[0.2.0]: {URL}/releases/tag/v0.2.0\n")

    notes = (repository / "dist" / "release-notes-0.2.0.md").read_text()
    assert git(repository, "cat-file", "-t", "v0.2.0").strip() == "tag"
    assert (
        git(repository, "tag", "--list", "--format=%(contents)", "v0.2.0").strip()
        == f"Release 0.2.0\n\n{notes}".strip()
    )
    assert git(repository, "rev-parse", "v0.2.0^{commit}") == git(repository, "rev-parse", "main")
    with zipfile.ZipFile(repository / "dist" / "worker-0.2.0-py3-none-any.whl") as wheel:
        assert b"0.2.0" in wheel.read("src/version.py")
    with tarfile.open(repository / "dist" / "worker-0.2.0.tar.gz") as source:
        assert "worker-0.2.0/CHANGELOG.md" in source.getnames()
    assert "git push --follow-tags origin main" in capsys.readouterr().out
    assert len(git(repository, "worktree", "list").splitlines()) == 1

    commit(repository, {"CHANGELOG.md": changelog.replace("## [Unreleased]\n", "## [Unreleased]\n\n- A fix.\n")})
    assert "0.2.2 does not follow 0.2.0: 0.2.1, 0.3.0, 1.0.0 do" in refusal(repository, capsys, "0.2.2")
    assert releasing.main(["0.2.1"], repository) == 0
    assert (repository / "CHANGELOG.md").read_text().splitlines()[-3:] == [
        f"[Unreleased]: {URL}/compare/v0.2.1...HEAD",
        f"[0.2.1]: {URL}/compare/v0.2.0...v0.2.1",
        f"[0.2.0]: {URL}/releases/tag/v0.2.0",
    ]


@pytest.mark.slow
@pytest.mark.process
def test_a_dry_run_does_everything_and_keeps_nothing(repository, capsys):
    before = state(repository)
    assert releasing.main(["0.2.0", "--dry-run"], repository) == 0
    assert state(repository) == before
    said = capsys.readouterr().out
    assert "Release 0.2.0" in said
    assert "Another one." in said
    assert "Nothing has changed." in said


# --- Refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("version", ["0.1.0", "0.1.2", "0.3.0", "2.0.0", "0.0.9"])
def test_only_the_next_version_is_released(repository, capsys, version):
    assert f"{version} does not follow 0.1.0: 0.1.1, 0.2.0, 1.0.0 do" in refusal(repository, capsys, version)


@pytest.mark.parametrize("version", ["v0.2.0", "0.2", "0.2.0rc1", "00.2.0", "", "0.2.0\n"])
def test_a_version_is_three_numbers(version):
    with pytest.raises(ValueError, match=r"three numbers are, such as 1\.2\.3"):
        releasing.parse_version(version)


@pytest.mark.slow
@pytest.mark.process
def test_a_tag_above_the_stated_version_counts(repository, capsys):
    git(repository, "tag", "v0.4.0")
    git(repository, "tag", "vanilla")
    assert "does not follow 0.4.0" in refusal(repository, capsys)


@pytest.mark.slow
@pytest.mark.process
def test_a_checkout_with_changes_is_refused(repository, capsys):
    (repository / "new.py").touch()
    assert "not committed: new.py" in refusal(repository, capsys)


@pytest.mark.slow
@pytest.mark.process
def test_another_branch_is_refused(repository, capsys):
    git(repository, "switch", "--quiet", "--create", "feature")
    assert "releases are made on main: the branch is feature" in refusal(repository, capsys)


@pytest.mark.slow
@pytest.mark.process
def test_nothing_to_release_is_refused(repository, capsys):
    empty = re.sub(r"(## \[Unreleased\]\n).*?(?=## )", r"\1\n### Added\n\n", CHANGES, flags=re.DOTALL)
    commit(repository, {"CHANGELOG.md": empty})
    assert "nothing is listed under Unreleased in CHANGELOG.md" in refusal(repository, capsys)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("https://github.com/you/fork.git", "the repository is acme/worker, but origin is you/fork"),
        ("/srv/git/worker.git", "no repository on GitHub"),
    ],
)
def test_links_to_another_repository_are_refused(repository, capsys, origin, said):
    git(repository, "remote", "set-url", "origin", origin)
    assert said in refusal(repository, capsys)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    "origin",
    ["https://github.com/acme/worker", "https://github.com/acme/worker.git", "ssh://git@github.com/acme/worker"],
)
def test_every_form_of_the_repositorys_address_is_taken(repository, origin):
    git(repository, "remote", "set-url", "origin", origin)
    releasing._check_repository(repository)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"builder/write_tables.py": "raise SystemExit('the tables are broken')"}, "the tables are broken"),
        ({"backend.py": BACKEND.replace("archive.write", "archive.wrote")}, "has no attribute 'wrote'"),
        ({"backend.py": BACKEND.replace('"worker-" +', '"worker-1" +')}, "but no *-0.2.0-*.whl"),
        ({"docs/output.md": "no version"}, 'output.md has "worker_version": "0.1.0" 0 times, not once'),
    ],
    ids=["tables", "build", "version", "documents"],
)
def test_a_step_that_fails_leaves_the_checkout_as_it_was(repository, capsys, files, said):
    commit(repository, files)
    assert said in refusal(repository, capsys)


@pytest.mark.slow
@pytest.mark.process
def test_a_checkout_that_has_changed_meanwhile_is_left_alone(repository, capsys):
    commit(repository, {"builder/write_tables.py": f"open({str(repository / 'CHANGELOG.md')!r}, 'a').write('- Late.')"})
    assert releasing.main(["0.2.0"], repository) == 1
    assert "git merge" in capsys.readouterr().err
    assert git(repository, "tag", "--list") == ""
    assert git(repository, "status", "--porcelain", "--ignored") == " M CHANGELOG.md\n"


INTERRUPT = "#!/bin/sh\nkill -{} 0\n"
"""A hook that does as Ctrl-C in a terminal does: all processes of the command get the signal."""

RELEASE = "import sys, pathlib, builder.release as it; sys.exit(it.main(['0.2.0'], pathlib.Path(sys.argv[1])))"


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    ("hook", "signal", "is_too_late"),
    [
        ("post-checkout", "INT", False),
        ("post-checkout", "TERM", False),
        ("post-commit", "INT", False),
        ("post-commit", "TERM", False),
        ("post-merge", "INT", True),
        ("post-merge", "TERM", True),
    ],
)
def test_a_signal_leaves_the_checkout_as_it_was_or_comes_too_late(repository, hook, signal, is_too_late):
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / hook).write_text(INTERRUPT.format(signal))
    (hooks / hook).chmod(0o755)
    before = state(repository)
    command = [sys.executable, "-c", RELEASE, str(repository)]
    ran = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, start_new_session=True)
    assert ran.returncode == (0 if is_too_late else 130), ran.stderr
    if not is_too_late:
        assert state(repository) == before
        return
    assert git(repository, "rev-parse", "v0.2.0^{commit}") == git(repository, "rev-parse", "main")
    assert (repository / "dist" / "worker-0.2.0.tar.gz").is_file()
    assert len(git(repository, "worktree", "list").splitlines()) == 1


# --- This repository ------------------------------------------------------------------------------------------------


def test_the_version_is_where_a_release_replaces_it():
    version = releasing._stated_version(ROOT)
    for path, line in releasing.STATED.items():
        assert (ROOT / path).read_text().count(line.format(version)) == 1


def test_no_document_states_the_version_where_a_release_leaves_it():
    stated = re.compile(rf"(whisper|version)\W+{re.escape(str(releasing._stated_version(ROOT)))}\b")
    stating = {path for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")) if stated.search(path.read_text())}
    assert {path.relative_to(ROOT).as_posix() for path in stating} == {
        name for name in releasing.STATED if name.endswith(".md")
    }


def test_the_changelog_can_be_released():
    changelog = CHANGELOG.read_text()
    assert with_release(
        changelog.replace("## [Unreleased]\n", "## [Unreleased]\n\n- New.\n", 1), "9.0.0", TODAY, None, URL
    )
    notes = release_notes(changelog, "0.1.0", URL)
    assert notes.startswith("### Added\n\n- The worker: ")


def test_the_headings_of_the_changelog_are_those_of_keep_a_changelog():
    changelog = CHANGELOG.read_text()
    assert set(re.findall(r"^### (.+)$", changelog, re.MULTILINE)) <= {
        *("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
    }
    first, *versions = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert first == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", version) for version in versions)
    for part in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        headings = re.findall(r"^### (.+)$", part, re.MULTILINE)
        assert len(headings) == len(set(headings)), "a kind of change has one heading in each version"


# --- Notes ----------------------------------------------------------------------------------------------------------


def test_notes_have_a_line_for_each_entry_and_links_that_work_elsewhere():
    assert release_notes(with_release(CHANGES, "0.2.0", TODAY, None, URL), "0.2.0", URL) == (
        "### Added\n\n"
        f"- A [new format]({URL}/blob/v0.2.0/docs/output.md#formats), which takes two lines; see "
        "[elsewhere](https://example.com/a).\n"
        "- Another one.\n"
    )


@pytest.mark.process
def test_the_notes_are_printed_by_python_alone():
    command = [sys.executable, "-S", "builder/changelog.py", "v0.1.0"]  # -S: without installed packages
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert printed == release_notes(CHANGELOG.read_text(), "0.1.0", address.url())


def test_entries_of_the_last_version_end_before_the_links():
    released = with_release(CHANGES, "0.2.0", TODAY, None, URL)
    assert entries(released, "0.1.0") == "### Added\n\n- The worker."
    assert entries(released, "Unreleased") == ""


def test_a_version_that_the_changelog_lacks_has_no_notes():
    with pytest.raises(ValueError, match=r"no heading ## \[0\.9\.0\]"):
        release_notes(CHANGES, "0.9.0", URL)
