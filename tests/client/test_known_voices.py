"""The folder of known voices: names, files, what is damaged, and the options of a job."""

from __future__ import annotations

import json
import math
import stat
import threading
from pathlib import Path

import pytest

from client.errors import OutputFailed, WrongUsage
from client.known_voices import (
    MAX_SAMPLES,
    MAX_VOICES,
    KnownVoices,
    Voice,
    VoiceFolder,
    VoiceSample,
    add_known_voices,
    clean_name,
    find_similar,
    similarity,
    voices_folder,
)


def make_sample(*directions: int, seconds: float = 10.0) -> VoiceSample:
    """A sample whose embedding lies between some of the axes."""
    value = 1 / math.sqrt(len(directions))
    return VoiceSample(tuple(value * (axis in directions) for axis in range(192)), seconds, "2026-11-30")


def make_voice(name: str, *directions: int, model: str | None = "campplus") -> Voice:
    return Voice(name, model, (make_sample(*(directions or (0,))),))


@pytest.fixture
def folder(tmp_path: Path) -> VoiceFolder:
    return VoiceFolder(tmp_path / "new" / "voices")


NAMES = [
    ("Ada", "Ada"),
    ("  Ada \t Lovelace\n", "Ada Lovelace"),
    ("Zoe\u0308", "Zo\u00eb"),
    ("José-María O'Neill Jr.", "José-María O'Neill Jr."),
    ("王小明", "王小明"),
    ("محمد", "محمد"),
    ("प्रिया", "प्रिया"),
    ("เพ็ญศรี", "เพ็ญศรี"),
    ("علی\u200cرضا", "علی\u200cرضا"),
    ("con", "con"),
    ("NUL", "NUL"),
    ("a.", "a."),
    ("é" * 60, "é" * 60),
    ("_", "_"),
]


@pytest.mark.parametrize(("given", "name"), NAMES)
def test_a_voice_is_found_again_by_its_name(folder: VoiceFolder, given: str, name: str) -> None:
    folder.save(make_voice(clean_name(given)))
    assert [voice.name for voice in folder.load_all()] == [name]
    for other in (given, name, name.upper(), name.lower()):
        assert folder.get(other) == make_voice(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", ".", "..", "../ada", "a/b", "a\\b", "C:\\ada", "/etc/passwd", "-ada", "''ada", "a\0b", "<b>", "a:b"),
        *("x" * 61, "é" * 61, "SPEAKER_00", "CHANNEL_1", "a\u202eb", "a*", "~ada\u200b", "\ud800"),
    ],
)  # fmt: skip
def test_a_name_that_the_worker_would_refuse_is_refused(folder: VoiceFolder, name: str) -> None:
    for use in (clean_name, folder.get, folder.remove):
        with pytest.raises(WrongUsage, match="cannot be a speaker's name: a name should be 1 to 60 letters"):
            use(name)
    assert not folder.path.exists()


def test_names_that_differ_in_case_are_one_voice(folder: VoiceFolder) -> None:
    folder.save(make_voice("Ada"))
    folder.save(make_voice("ADA", 1))
    assert folder.load_all() == [make_voice("ADA", 1)]


def test_only_the_user_can_read_voices(folder: VoiceFolder) -> None:
    folder.save(make_voice("Ada"))
    (file,) = folder.path.iterdir()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "ada" not in file.name.lower()


def test_voices_are_renamed_and_removed(folder: VoiceFolder) -> None:
    folder.save(make_voice("Ada"))
    folder.save(make_voice("Bob", 1))
    assert folder.rename("ada", "Ada Lovelace").name == "Ada Lovelace"
    assert folder.rename("BOB", "bob").name == "bob"
    assert [voice.name for voice in folder.load_all()] == ["Ada Lovelace", "bob"]
    with pytest.raises(WrongUsage, match="there is a voice Ada Lovelace already"):
        folder.rename("bob", "Ada Lovelace")
    folder.remove("bob")
    assert folder.load_all() == [make_voice("Ada Lovelace")]
    for change in (folder.remove, lambda name: folder.rename(name, "Eve")):
        with pytest.raises(WrongUsage, match=r"there is no voice Bob in .*; known ones: Ada Lovelace$"):
            change("Bob")


EMBEDDING = list(make_sample(0).embedding)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b"7", b"\xff\xfe", b"[" * 100_000, b" " * (2 << 20)),
        {},
        {"samples": []},
        {"samples": [{}]},
        {"samples": 7},
        {"version": 2},
        {"name": "../x"},
        {"name": 7},
        {"embedding_model": 7},
        {"samples": [{"embedding": EMBEDDING[:191], "seconds": 1, "added": "x"}]},
        {"samples": [{"embedding": [0.0] * 192, "seconds": 1, "added": "x"}]},
        {"samples": [{"embedding": [float("nan")] * 192, "seconds": 1, "added": "x"}]},
        {"samples": [{"embedding": ["x"] * 192, "seconds": 1, "added": "x"}]},
        {"samples": [{"embedding": [10**400, *EMBEDDING[1:]], "seconds": 1, "added": "x"}]},
        {"samples": [{"embedding": EMBEDDING, "seconds": "x", "added": "x"}]},
        {"samples": [{"embedding": EMBEDDING, "seconds": float("inf"), "added": "x"}]},
    ],
    ids=lambda content: str(content)[:50],
)
def test_a_damaged_file_is_one_sentence(folder: VoiceFolder, content: bytes | dict) -> None:
    folder.save(make_voice("Ada"))
    (file,) = folder.path.iterdir()
    if isinstance(content, dict):
        whole = json.loads(file.read_text()) if content else {}
        content = json.dumps({**whole, **content}).encode()
    file.write_bytes(content)
    chosen = KnownVoices(None, folder.path)
    for use in (folder.load_all, lambda: folder.get("Ada"), lambda: chosen.add_to({"diarize": True})):
        with pytest.raises(WrongUsage, match=f"^the known voice {file} is damaged: remove the file, and add the voice"):
            use()
    folder.remove("Ada")
    assert folder.load_all() == []


def test_other_files_in_the_folder_are_no_voices(folder: VoiceFolder) -> None:
    folder.save(make_voice("Ada"))
    for name in (".DS_Store", "notes.txt", "ada.json", ".0123.new"):
        (folder.path / name).write_text("{")
    assert folder.load_all() == [make_voice("Ada")]


def test_a_folder_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = VoiceFolder(tmp_path / "file")
    with pytest.raises(WrongUsage, match="cannot be read: not a directory"):
        folder.load_all()
    for use in (folder.check_writable, lambda: folder.save(make_voice("Ada"))):
        with pytest.raises((WrongUsage, OutputFailed), match="cannot be written"):
            use()


def test_processes_that_add_at_once_lose_nothing(folder: VoiceFolder) -> None:
    def add() -> None:
        with folder.locked():
            voice = folder.find("Ada")
            folder.save(voice.with_sample(make_sample(0)) if voice else make_voice("Ada"))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folder.get("Ada").samples) == 8


def test_a_voice_is_the_mean_of_its_samples_by_their_length() -> None:
    voice = Voice("Ada", "campplus", (make_sample(0, seconds=30), make_sample(1, seconds=10)))
    assert voice.embedding[:3] == pytest.approx([3 / math.sqrt(10), 1 / math.sqrt(10), 0], abs=1e-4)
    assert voice.seconds == 40
    for _ in range(MAX_SAMPLES + 5):
        voice = voice.with_sample(make_sample(2))
    assert (len(voice.samples), voice.embedding[2]) == (MAX_SAMPLES, 1.0)
    assert "0.7" not in repr(make_voice("Ada", 0, 1))


def test_a_similar_voice_is_found_by_the_workers_threshold() -> None:
    ada, bob = make_voice("Ada", 0), make_voice("Bob", 1)
    assert similarity(make_sample(0, 1, 2), ada) == pytest.approx(1 / math.sqrt(3), abs=1e-3)
    assert find_similar(make_sample(0, 1, 2), "campplus", [bob, ada]) in (ada, bob)
    assert find_similar(make_sample(0, 3, 4, 5), "campplus", [ada, bob]) is None
    assert find_similar(make_sample(0), "other", [ada]) is None
    assert find_similar(make_sample(0), None, []) is None


@pytest.mark.parametrize(
    ("given", "environment", "folder"),
    [
        (Path("here"), {"WORKER_WHISPER_VOICES": "/there", "XDG_DATA_HOME": "/data"}, Path("here")),
        (None, {"WORKER_WHISPER_VOICES": "/there", "XDG_DATA_HOME": "/data"}, Path("/there")),
        (None, {"WORKER_WHISPER_VOICES": "~/v"}, Path.home() / "v"),
        (None, {"WORKER_WHISPER_VOICES": "", "XDG_DATA_HOME": "/data"}, Path("/data/worker-whisper/voices")),
        (None, {}, Path.home() / ".local/share/worker-whisper/voices"),
    ],
)
def test_where_voices_are_kept(given: Path | None, environment: dict[str, str], folder: Path) -> None:
    assert voices_folder(given, environment) == folder


# --- The options of a job --------------------------------------------------------------------------------------------


def test_voices_are_added_with_diarize_unless_that_is_switched_off(folder: VoiceFolder) -> None:
    folder.save(make_voice("Ada"))
    folder.save(make_voice("Bob", 1, model=None))
    added = KnownVoices(None, folder.path).add_to({"diarize": True, "speakers": {"BOB": {"url": "https://a"}}})
    ada = {"embedding": EMBEDDING, "embedding_model": "campplus"}
    assert added == {"diarize": True, "speakers": {"BOB": {"url": "https://a"}, "Ada": ada}}
    assert KnownVoices(True, folder.path).add_to({"diarize": True})["speakers"]["Bob"].keys() == {"embedding"}
    for wanted, options in ((False, {"diarize": True}), (None, {}), (None, {"diarize": False})):
        assert KnownVoices(wanted, folder.path).add_to(options) == options


def test_without_voices_nothing_is_added(folder: VoiceFolder) -> None:
    assert KnownVoices(None, folder.path).add_to({"diarize": True}) == {"diarize": True}
    with pytest.raises(WrongUsage, match=r"there are no voices in .*`worker-whisper voices add NAME FILE` keeps one"):
        KnownVoices(True, folder.path).add_to({"diarize": True})
    with pytest.raises(WrongUsage, match="--known-voices needs --diarize"):
        KnownVoices(True, folder.path).add_to({})
    assert not folder.path.exists()


def test_more_voices_than_a_job_takes_are_one_sentence() -> None:
    voices = [make_voice(f"V{number}") for number in range(MAX_VOICES + 1)]
    assert len(add_known_voices({}, voices[:-1])["speakers"]) == MAX_VOICES
    with pytest.raises(WrongUsage, match="a job takes at most 200 known voices, and there are 201"):
        add_known_voices({}, voices)
