"""What the page keeps: lines of a job's output, edits by revision, and the file that only one server opens."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.json_text import from_json
from api.openai.errors import ApiError
from api.page import edits, lines, store
from api.page.document import Document
from api.page.edits import Edit, parse_edit, parse_line
from api.page.job_lines import lines_of
from api.page.lines import Line, Word
from api.page.records import Outcome, Record, Source
from api.page.store import NotEditable, NotWritten, Store, StoreFull
from api.page.tables import FILE_NAME, StoreUnusable
from tests.support.disks import full_disk
from tests.support.http_api import ANSWER
from transcript.formats.render import render

OUTCOME = Outcome(6.0, "en", "turbo", 0.5, ["a warning"])


def make_line(line_id: str, text: str, start: float = 0.0, speaker: str | None = None, revision: int = 0) -> Line:
    return Line(line_id, start, start + 1.0, speaker, (Word(f" {text}", start, start + 1.0, 0.9),), revision)


def make_record(transcript_id: str = "one", owner: str = "anna", **values: Any) -> Record:
    return Record(transcript_id, owner, "Talk", Source("file", "talk.mp3", 3), {"language": "en"}, **values)


@pytest.fixture
def transcripts(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def done(transcripts: Store) -> Store:
    """A store with the finished transcript `one`, of two lines."""
    transcripts.add(make_record())
    first, second = make_line("00000000", "Hello.", 0.0, "SPEAKER_00"), make_line("00000001", "Bye.", 2.0, "SPEAKER_01")
    transcripts.finish("one", [first, second], OUTCOME)
    return transcripts


def texts(transcripts: Store) -> list[str]:
    return [line.text for line in transcripts.lines_of("one")]


def test_each_segment_becomes_a_line_with_its_words() -> None:
    found = lines_of(ANSWER)
    assert [(line.id, line.start, line.end, line.speaker, line.text) for line in found] == [
        ("00000000", 0.0, 1.5, "SPEAKER_00", "Good morning."),
        ("00000001", 2.0, 3.5, "SPEAKER_01", "What is it?"),
        ("00000002", 4.0, 5.5, "SPEAKER_00", "It is noon."),
    ]
    assert found[0].words == (Word(" Good morning.", 0.0, 1.5, 0.9),)


@pytest.mark.parametrize(
    ("segment", "words"),
    [
        ({"text": " one three"}, [(" one", 1.0, 1.8), (" three", 1.8, 3.0)]),
        ({"text": " one", "words": []}, [(" one", 1.0, 3.0)]),
        ({"text": " two", "words": [{"word": " one", "start": 1.0, "end": 3.0}]}, [(" two", 1.0, 3.0)]),
        ({"text": " one", "words": [{"word": " one", "start": 1.2, "end": 1.1}]}, [(" one", 1.2, 1.2)]),
        ({"text": "一つ", "words": None}, [("一つ", 1.0, 3.0)]),
        ({"text": " a\nb", "words": None}, [(" a", 1.0, 2.0), (" b", 2.0, 3.0)]),
        ({"text": "  "}, []),
    ],
    ids=["no-words", "empty", "other-words", "backwards", "without-spaces", "line-break", "blank"],
)
def test_words_without_times_get_them_by_their_length(segment: Any, words: Any) -> None:
    line = lines_of({"transcription": {"segments": [{"start": 1.0, "end": 3.0, **segment}]}})[0]
    assert [word[:3] for word in line.words] == words


def test_a_channel_is_a_speaker() -> None:
    segment = {"start": 0, "end": 1, "text": " a", "channel": 1}
    assert lines_of({"transcription": {"segments": [segment]}})[0].speaker == "CHANNEL_1"


@pytest.mark.parametrize(
    "output",
    [
        {},
        {"transcription": None},
        {"transcription": {"segments": 3}},
        {"transcription": {"segments": ["a"]}},
        {"transcription": {"segments": [{"start": "x", "end": 1, "text": "a"}]}},
        {"transcription": {"segments": [{"start": 0, "end": 1, "text": 5}]}},
        {"transcription": {"segments": [{"start": 0, "end": 1}]}},
    ],
)
def test_an_output_of_another_form_is_refused(output: Any) -> None:
    with pytest.raises(ValueError, match=r"segments|could not convert"):
        lines_of(output)


def test_lines_become_a_transcript_that_subtitles_are_written_of() -> None:
    found = [make_line("00000000", "Hello.", 0.0, "SPEAKER_00"), make_line("00000001", "Bye.", 2.0, "SPEAKER_01")]
    made = Document("Talk", found, {"SPEAKER_00": "Anna", "SPEAKER_01": ""}, "en", 4.0).to_transcript()
    assert [segment.voice for segment in made.segments] == ["Anna", "Speaker 2"]
    assert made.duration == 4.0
    assert "Anna: Hello." in render(made, ["srt"])["srt"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
NAMES = ("id", "start", "end", "speaker", "words", "based_on")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("editor", "lines", "deleted", "speakers", "title"), JSON)))
def test_any_edit_is_taken_or_refused(body: Any) -> None:
    try:
        parse_edit(body)
    except ApiError as error:
        assert error.status == 400


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON)) | JSON)
def test_any_line_is_taken_or_refused(value: Any) -> None:
    try:
        line = parse_line(value)
    except ApiError as error:
        assert error.status == 400
    else:
        json.dumps(lines.to_json(line), allow_nan=False).encode()


WORD = "a word should be [text, start, end, probability], and may have a list of other speakers"
GOOD = {"id": "00000000", "start": 0, "end": 1, "speaker": None, "words": [[" a", 0, 1, None]], "based_on": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "A" * 8}, "lines.id: should be 1 to 64 digits, small letters and dots"),
        ({"start": -1}, "lines.start: should be seconds, from 0 to 1000000"),
        ({"start": True}, "lines.start: should be seconds, from 0 to 1000000"),
        ({"end": 1e300}, "lines.end: should be seconds, from 0 to 1000000"),
        ({"start": 2}, "lines.end: should not be before start"),
        ({"words": [[" a", 0, 1]]}, f"lines.words: {WORD}"),
        ({"words": [[" a", 0, 1, None, "b"]]}, "lines.words: other speakers should be a list of at most 10"),
        ({"words": [[" a", 1, 0, None]]}, "lines.words: a word should not end before it starts"),
        ({"words": [[" a", 0, 1, 2]]}, "lines.words: a probability should be 0 to 1, or null"),
        ({"words": [[" a", 0, 1, None]] * 1001}, "lines.words: should be a list of at most 1000 words"),
        ({"words": [["a" * 1001, 0, 1, None]]}, "lines.words: should be a text of at most 1000 characters"),
        ({"words": [["a" * 1000, 0, 1, None]] * 21}, "lines.words: should have at most 20000 characters"),
        ({"speaker": 3}, "lines.speaker: should be a text of at most 100 characters"),
        ({"based_on": -1}, "lines.based_on: should be a revision, a number from 0"),
        ({"based_on": 2**63}, "lines.based_on: should be a revision, a number from 0"),
    ],
)
def test_a_wrong_line_is_refused_with_what_would_be_right(change: Any, message: str) -> None:
    with pytest.raises(ApiError) as refusal:
        parse_line({**GOOD, **change})
    assert str(refusal.value) == message


def test_control_characters_and_halves_of_characters_become_spaces() -> None:
    line = parse_line({**GOOD, "words": [[" a\n\u2028\ud800\x00b", 0, 1, None]]})
    assert line.words[0].text == " a    b"


@pytest.mark.parametrize(("field", "most"), [("lines", edits.MAX_LINES), ("deleted", edits.MAX_LINES)])
def test_an_edit_has_a_limit(field: str, most: int) -> None:
    with pytest.raises(ApiError, match=f"{field}: should be a list of at most {most}"):
        parse_edit({field: [{}] * (most + 1)})


def test_a_record_is_kept_as_it_was(tmp_path: Path) -> None:
    first = Store(tmp_path)
    record = make_record(media={"kind": "audio", "playable": True}, error={"type": "Internal", "message": "m"})
    first.add(record)
    first.close()
    second = Store(tmp_path)
    assert second.get("one") == record
    second.close()


def test_a_visitors_transcripts_are_listed_the_newest_first(transcripts: Store) -> None:
    for number, owner in enumerate(("anna", "ben", "anna")):
        transcripts.add(make_record(str(number), owner, created=float(number)))
    assert [record.id for record in transcripts.records_of("anna")] == ["2", "0"]


def test_a_transcript_is_found_by_its_visitor_alone(transcripts: Store) -> None:
    transcripts.add(make_record())
    assert transcripts.find("one", "anna") is not None
    assert transcripts.find("one", "ben") is None


def test_a_result_gives_lines_speakers_and_a_preview(done: Store) -> None:
    record = done.get("one")
    assert (record.state, record.revision, record.outcome, record.preview) == ("done", 1, OUTCOME, "Hello. Bye.")
    assert record.speakers == {"SPEAKER_00": "", "SPEAKER_01": ""}
    assert [line.revision for line in done.lines_of("one")] == [1, 1]
    assert json.loads(done.lines_as_json("one")) == [lines.to_json(line) for line in done.lines_of("one")]


def test_a_known_voice_has_its_name_and_others_have_none(transcripts: Store) -> None:
    transcripts.add(make_record())
    keys = ("SPEAKER_00", "Ada", "CHANNEL_1", "Speaker_00")
    transcripts.finish("one", [make_line(f"0000000{n}", "Hi.", n, key) for n, key in enumerate(keys)], OUTCOME)
    names = {"SPEAKER_00": "", "Ada": "Ada", "CHANNEL_1": "", "Speaker_00": "Speaker_00"}
    assert transcripts.get("one").speakers == names


def test_an_edit_raises_the_revision_of_what_it_changes_alone(done: Store) -> None:
    edited = done.edit("one", Edit(lines=(make_line("00000001", "Goodbye.", 2.0, revision=1),)))
    assert (edited.record.revision, edited.record.edited, edited.conflicts) == (2, True, [])
    assert [(line.text, line.revision) for line in done.lines_of("one")] == [("Hello.", 1), ("Goodbye.", 2)]
    assert edited.record.preview == "Hello. Goodbye."


def test_a_line_that_has_changed_since_is_not_written_and_the_others_are(done: Store) -> None:
    done.edit("one", Edit(lines=(make_line("00000000", "Hi.", revision=1),)))
    both = make_line("00000000", "Hey.", revision=1), make_line("00000001", "Goodbye.", 2.0, revision=1)
    edited = done.edit("one", Edit(lines=both))
    assert [(line.text, line.revision) for line in edited.conflicts] == [("Hi.", 2)]
    assert texts(done) == ["Hi.", "Goodbye."]


def test_a_split_line_sorts_behind_the_first_half(done: Store) -> None:
    halves = make_line("00000000", "Hel", 0.0, revision=1), make_line("00000000.a1b2c3", "lo.", 0.0)
    assert done.edit("one", Edit(lines=halves)).conflicts == []
    assert texts(done) == ["Hel", "lo.", "Bye."]


def test_a_new_line_does_not_replace_one_that_is_there(done: Store) -> None:
    edited = done.edit("one", Edit(lines=(make_line("00000000", "Mine."),)))
    assert [line.text for line in edited.conflicts] == ["Hello."]
    assert texts(done) == ["Hello.", "Bye."]


def test_a_deleted_line_is_told_as_deleted_and_can_be_made_anew(done: Store) -> None:
    assert done.edit("one", Edit(deleted={"00000001": 1, "missing": 0})).deleted == {}
    assert texts(done) == ["Hello."]
    assert done.changes("one", 1).deleted == ["00000001"]
    late = done.edit("one", Edit(lines=(make_line("00000001", "Late.", revision=1),)))
    assert (late.deleted, texts(done)) == ({"00000001": 2}, ["Hello."])
    done.edit("one", Edit(lines=(make_line("00000001", "Bye.", 2.0),)))
    assert texts(done) == ["Hello.", "Bye."]


def test_a_line_that_has_changed_since_is_not_deleted(done: Store) -> None:
    done.edit("one", Edit(lines=(make_line("00000000", "Hi.", revision=1),)))
    assert [line.text for line in done.edit("one", Edit(deleted={"00000000": 1})).conflicts] == ["Hi."]


def test_speakers_are_renamed_removed_and_added_with_lines(done: Store) -> None:
    new = make_line("00000000", "Hello.", 0.0, "SPEAKER_02", 1)
    edited = done.edit("one", Edit(lines=(new,), speakers={"SPEAKER_01": "Ben", "SPEAKER_00": None}))
    assert edited.record.speakers == {"SPEAKER_01": "Ben", "SPEAKER_02": ""}


def test_speakers_have_a_limit_and_what_breaks_it_is_not_written(done: Store) -> None:
    names = {f"S{number}": "name" for number in range(edits.MAX_SPEAKERS)}
    with pytest.raises(StoreFull, match="over 200 speakers"):
        done.edit("one", Edit(speakers=names))
    assert done.get("one").revision == 1


def test_lines_have_a_limit_and_what_breaks_it_is_not_written(done: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_LINES", 2)
    with pytest.raises(StoreFull, match="over 2 lines"):
        done.edit("one", Edit(lines=(make_line("00000000.a", "more"),)))
    assert texts(done) == ["Hello.", "Bye."]


def test_a_title_can_be_changed_before_there_are_lines(transcripts: Store) -> None:
    transcripts.add(make_record())
    assert transcripts.edit("one", Edit(title="New")).record.title == "New"
    with pytest.raises(NotEditable):
        transcripts.edit("one", Edit(speakers={"a": "b"}))


def test_changes_are_those_after_a_revision(done: Store) -> None:
    done.edit("one", Edit(lines=(make_line("00000000", "Hi.", revision=1),), title="New"))
    changes = done.changes("one", 1)
    texts = [line["words"][0][0] for line in json.loads(changes.lines_json)]
    assert (texts, changes.deleted, changes.record.title) == ([" Hi."], [], "New")
    assert done.changes("one", 2).lines_json == "[]"


def test_another_result_replaces_lines_and_names(done: Store) -> None:
    done.edit("one", Edit(lines=(make_line("00000000.a", "more", 1.0),), speakers={"SPEAKER_00": "Anna"}))
    done.finish("one", [make_line("00000000", "Again.", 0.0, "SPEAKER_00")], OUTCOME)
    record = done.get("one")
    assert (texts(done), record.speakers, record.edited) == (["Again."], {"SPEAKER_00": ""}, False)
    assert sorted(done.changes("one", 2).deleted) == ["00000000.a", "00000001"]


def test_a_removed_transcript_leaves_no_lines(done: Store, tmp_path: Path) -> None:
    done.remove("one")
    assert done.get("one") is None
    assert done.edit("one", Edit(title="New")) is None
    assert done.finish("one", [make_line("00000000", "late")], OUTCOME) is None
    done.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as file:
        assert file.execute("SELECT count(*) FROM lines").fetchone() == (0,)
    file.close()
    Store.__init__(done, tmp_path)


@pytest.mark.parametrize(
    ("name", "owner", "sentence"),
    [
        ("MAX_TRANSCRIPTS_OF_ONE", "anna", "there are 1 transcripts: delete some first"),
        ("MAX_TRANSCRIPTS", "ben", "the server keeps as many transcripts as it can: try again later"),
    ],
)
def test_transcripts_have_a_limit(
    transcripts: Store, monkeypatch: pytest.MonkeyPatch, name: str, owner: str, sentence: str
) -> None:
    monkeypatch.setattr(store, name, 1)
    transcripts.add(make_record())
    with pytest.raises(StoreFull) as refusal:
        transcripts.add(make_record("two", owner))
    assert str(refusal.value) == sentence


def test_a_video_that_was_being_made_has_failed_after_a_restart(transcripts: Store) -> None:
    transcripts.add(make_record(video={"state": "working", "fraction": 0.5}))
    transcripts.add(make_record("two", video={"state": "done", "fraction": 1.0}))
    transcripts.fail_videos()
    assert transcripts.get("one").video["state"] == "failed"
    assert transcripts.get("two").video["state"] == "done"


@pytest.mark.parametrize("words", [1, 1000], ids=["at the end", "in between"])
def test_on_a_full_disk_an_edit_is_refused_and_the_next_one_is_written(done: Store, tmp_path: Path, words: int) -> None:
    many = tuple(make_line(f"new{number}", " word" * words, 9.0) for number in range(400))
    with full_disk(tmp_path), pytest.raises(NotWritten):
        done.edit("one", Edit(lines=many))
    edited = done.edit("one", Edit(title="Later"))
    assert edited is not None
    assert (edited.record.title, edited.record.revision) == ("Later", 2)


@pytest.mark.process
def test_a_second_server_is_refused_and_takes_over_when_the_first_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.page.tables._LOCK_WAIT_S", 0.1)
    script = "import sys; from pathlib import Path; from api.page.store import Store; \
        s = Store(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StoreUnusable) as refusal:
            Store(tmp_path)
        other.kill()
    assert str(refusal.value) == "another server uses the page's folder: end it, or give this one another folder"
    Store(tmp_path).close()


@pytest.mark.parametrize("content", [b"no database" * 100, b""], ids=["damaged", "newer"])
def test_a_file_that_cannot_be_used_is_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE_NAME
    if content:
        path.write_bytes(content)
    else:
        with sqlite3.connect(path) as file:
            file.execute("PRAGMA user_version = 1000")
        file.close()
    with pytest.raises(StoreUnusable, match="page's folder"):
        Store(tmp_path)


@pytest.mark.parametrize(
    ("known", "damaged"),
    [(b'"kind"', b'"kine"'), (b'{"kind"', b'["kind"'), (b"owner TEXT", b"owned TEXT"), (b"Talk", b"\xffalk")],
)
def test_transcripts_that_are_damaged_are_refused_with_a_sentence(tmp_path: Path, known: bytes, damaged: bytes) -> None:
    store = Store(tmp_path)
    store.add(make_record())
    store.close()
    path = tmp_path / FILE_NAME
    assert known in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(known, damaged))
    with pytest.raises(StoreUnusable, match="give the page another folder"):
        Store(tmp_path)


def test_json_of_a_request_has_no_numbers_that_are_none() -> None:
    with pytest.raises(ValueError, match="NaN"):
        from_json('{"start": NaN}')
