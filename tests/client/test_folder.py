"""The recordings of a folder tree: found by content, with transcripts of different names."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import pytest

from client.folder import LeftOut, find_recordings
from tests.client.conftest import CLIPS


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "audio"
    root.mkdir()
    return root


def add(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CLIPS / "demo.ogg", path)


def names(tree: Path, target: Path) -> list[str]:
    return [item.name for item in find_recordings(tree, target, ["srt"])[0]]


def test_what_is_left_out_is_counted_and_named(tree: Path, tmp_path: Path) -> None:
    add(tree / "talk", tree / "deep" / "er" / "memo.qta", tree / "talk.TS")
    for name in ("._talk.wav", ".DS_Store", ".hidden.wav", "Thumbs.db"):
        (tree / name).write_bytes(b"\x00\x05\x16\x07")
    add(tree / ".trash" / "old.wav")
    (tree / "notes.txt").write_text("not to be sent")
    (tree / "cover.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    found, left_out = find_recordings(tree, tmp_path / "out", ["srt"])
    assert [item.name for item in found] == ["talk", "talk.TS", "deep/er/memo.qta"]
    assert str(left_out) == "4 hidden files, 1 hidden folder, 2 other files (cover.jpg: image/jpeg, notes.txt: text)"


def test_a_damaged_file_with_a_suffix_of_recordings_is_kept_to_fail(tree: Path, tmp_path: Path) -> None:
    (tree / "talk.wav").write_bytes(b"")
    assert names(tree, tmp_path / "out") == ["talk.wav"]


def test_links_in_circles_pipes_and_the_target_are_not_searched(tree: Path) -> None:
    add(tree / "talk.ogg", tree / "transcripts" / "film.captioned.ogg")
    (tree / "deep").mkdir()
    (tree / "deep" / "up").symlink_to(tree)
    (tree / "self").symlink_to("self")
    (tree / "linked.ogg").symlink_to("talk.ogg")
    os.mkfifo(tree / "pipe.wav")
    found, left_out = find_recordings(tree, tree / "transcripts", ["srt"])
    assert [item.name for item in found] == ["linked.ogg", "talk.ogg"]
    assert str(left_out) == "1 broken link (self), 1 device (pipe.wav), 1 linked folder (deep/up)"


def test_no_two_transcripts_have_the_same_name_on_any_disk(tree: Path, tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", "Zürich")
    add(tree / "Talk.wav", tree / "talk.wav", tree / "talk.mp3", tree / "alone.ogg")
    add(tree / "talk.mp3.ogg", tree / "a" / "x.ogg", tree / "A" / "x.ogg")
    add(tree / f"{composed}.ogg", tree / f"{unicodedata.normalize('NFD', composed)}.ogg")
    found, _ = find_recordings(tree, tmp_path, ["srt", "text"])
    written = [str(path) for item in found for path in item.targets.values()]
    assert len(written) == 18
    assert len({unicodedata.normalize("NFC", path).casefold() for path in written}) == 18
    srt = {item.name: item.targets["srt"].relative_to(tmp_path).as_posix() for item in found}
    assert srt["alone.ogg"] == "alone.srt"
    assert srt["talk.mp3"] == "talk.mp3.srt"
    assert srt["Talk.wav"] == "Talk.wav.srt"
    assert srt["talk.wav"] == "talk.wav (2).srt"


def test_long_lists_of_names_are_cut() -> None:
    left_out = LeftOut()
    for number in range(30):
        left_out.add("other file", f"{number}.txt: text")
    assert str(left_out).startswith("30 other files (0.txt: text, 1.txt: text, ")
    assert str(left_out).endswith("19.txt: text, and 10 more)")
