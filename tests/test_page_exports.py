"""The files that the page makes of a transcript: each is read back by a reader of its format."""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import docx
import lemony_lrc_parser as lrc
import pysubs2
import pytest
import srt
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from api.openai.errors import ApiError
from api.page.cues import CONTEXT_SECONDS, LAYOUT_OPTIONS, cues_between, cues_of, parse_layout
from api.page.document import Document
from api.page.edits import parse_line
from api.page.exports import MAX_NAME_BYTES, MEDIA_TYPES, Wanted, export, file_stem, to_zip
from api.page.job_lines import lines_of_segments, spread_words
from api.page.lines import Line, Word, clean_text, to_json, words_from_json, words_to_json
from src.request.openai_jobs import option_schemas
from tests.support.timed_text import read_stl, read_ttml
from transcript.formats.layout import PRESETS, Layout

BROADCAST = PRESETS["broadcast"]
HOSTILE = clean_text("<script>alert(1)</script>{\\an8}\\N,;\t--> \x00\x0b\ud800\u2028\n\n1 & [00:01.00]")


def line(number: int, start: float, text: str, speaker: str | None = None, seconds: float = 2.0) -> Line:
    return Line(
        f"{number:08}", start, start + seconds, speaker, tuple(spread_words(f" {text}", start, start + seconds))
    )


TALK = Document(
    "A talk: part 1",
    [
        line(0, 0.0, "Good morning, may I come in?", "SPEAKER_00"),
        line(1, 3.0, "Of course, have a seat.", "SPEAKER_01"),
        line(2, 5.0, "Tea or coffee?", "SPEAKER_01"),
        line(3, 3661.0, "Thank you.", "SPEAKER_00"),
    ],
    {"SPEAKER_00": "Anna", "SPEAKER_01": ""},
    "en",
    3670.0,
)
MONOLOGUE = replace(TALK, lines=[replace(each, speaker=None) for each in TALK.lines], speakers={})


def test_a_line_that_was_not_said_has_no_cue_and_stays_in_the_text() -> None:
    words = [{"word": f" {text}", "start": 0.0, "end": 1.0, "probability": 0.0001} for text in ("Never", "said.")]
    segments: list[dict[str, Any]] = [
        {"start": 0.0, "end": 1.0, "text": " Never said.", "words": words},
        {"start": 1.0, "end": 1.0, "text": " Never said.", "words": [{**word, "not_said": True} for word in words]},
    ]
    document = Document("", lines_of_segments(segments), {})
    assert [[word.probability for word in line.words] for line in document.lines] == [[0.001, 0.001], [0.0, 0.0]]
    assert [cue["line_ids"] for cue in cues_of(document, Layout())] == [["00000000"]]
    assert len(list(srt.parse(text_of("srt", document)))) == 1
    assert text_of("txt", document).split() == ["Never", "said."] * 2


def test_who_speaks_at_the_same_time_is_in_the_files_by_name() -> None:
    segments: list[dict[str, Any]] = [
        {
            "start": 0.0,
            "end": 2.0,
            "text": " Yes. No.",
            "speaker": "SPEAKER_00",
            "words": [
                {"word": " Yes.", "start": 0.0, "end": 1.0},
                {"word": " No.", "start": 1.0, "end": 2.0, "other_speakers": ["SPEAKER_01"]},
            ],
        },
        {"start": 2.0, "end": 3.0, "text": " Oh.", "speaker": "SPEAKER_01"},
    ]
    lines = lines_of_segments(segments)
    kept = [replace(line, words=words_from_json(words_to_json(line.words))) for line in lines]
    assert kept == lines
    edited = parse_line(json.loads(json.dumps(to_json(lines[0]))))
    document = Document("", [edited, lines[1]], {})
    words = json.loads(text_of("json", document))["segments"][0]["words"]
    assert [word.get("other_speakers") for word in words] == [None, ["Speaker 2"]]
    assert [row.split()[3:5] + row.split()[7:8] for row in text_of("rttm", document).splitlines()] == [
        ["0.000", "2.000", "Speaker_1"],
        ["1.000", "2.000", "Speaker_2"],
    ]


def text_of(name: str, document: Document = TALK, wanted: Wanted = Wanted()) -> str:  # noqa: B008
    return export([name], document, wanted).files[name].decode()


def paragraphs(document: Document, wanted: Wanted = Wanted()) -> list[str]:  # noqa: B008
    read = docx.Document(io.BytesIO(export(["docx"], document, wanted).files["docx"]))
    return [paragraph.text for paragraph in read.paragraphs]


@pytest.mark.parametrize(
    ("document", "wanted", "text"),
    [
        (
            TALK,
            Wanted(),
            "Anna: Good morning, may I come in?\n\nSpeaker 2: Of course, have a seat. Tea or coffee?\n\n"
            "Anna: Thank you.\n",
        ),
        (
            TALK,
            Wanted(times=True),
            "0:00  Anna: Good morning, may I come in?\n\n0:03  Speaker 2: Of course, have a seat. Tea or coffee?\n\n"
            "1:01:01  Anna: Thank you.\n",
        ),
        (
            TALK,
            Wanted(names=False),
            "Good morning, may I come in?\nOf course, have a seat.\nTea or coffee?\nThank you.\n",
        ),
        (
            MONOLOGUE,
            Wanted(times=True),
            "0:00  Good morning, may I come in?\n0:03  Of course, have a seat.\n0:05  Tea or coffee?\n"
            "1:01:01  Thank you.\n",
        ),
        (Document("", [], {}), Wanted(), "\n"),
    ],
)
def test_text_has_turns_and_on_demand_times(document: Document, wanted: Wanted, text: str) -> None:
    assert text_of("txt", document, wanted) == text


def test_a_word_document_has_turns_with_times_and_speakers() -> None:
    assert paragraphs(TALK) == [
        "A talk: part 1",
        "0:00  Anna: Good morning, may I come in?",
        "0:03  Speaker 2: Of course, have a seat. Tea or coffee?",
        "1:01:01  Anna: Thank you.",
    ]
    assert paragraphs(TALK, Wanted(names=False, times=False))[1:] == [
        "Good morning, may I come in? Of course, have a seat. Tea or coffee?",
        "Thank you.",
    ]


def test_a_word_document_has_a_paragraph_after_each_pause() -> None:
    lines = [line(0, 0.0, "One."), line(1, 3.0, "Two."), line(2, 7.0, "Three.")]
    expected = ["0:00  One. Two.", "0:07  Three."]
    assert paragraphs(replace(MONOLOGUE, lines=lines))[1:] == expected
    spoken = replace(TALK, lines=[replace(each, speaker="SPEAKER_00") for each in lines])
    assert paragraphs(spoken)[1:] == ["0:00  Anna: One. Two.", "0:07  Three."]


def word_runs(document: Document, wanted: Wanted) -> list[list[tuple[str, bool, bool]]]:
    """Text of each run of each paragraph below the heading, whether it is shaded, and whether it has dots below it."""
    read = docx.Document(io.BytesIO(export(["docx"], document, wanted).files["docx"]))
    return [
        [
            (run.text, bool(run._r.xpath("./w:rPr/w:shd[@w:fill='FFE699']")), run.underline is not None)
            for run in paragraph.runs
        ]
        for paragraph in read.paragraphs[1:]
    ]


def test_a_word_document_marks_the_words_that_whisper_was_unsure_of() -> None:
    words = [(" Ask", 0.9), (" Mr", 0.2), (" Xu,", 0.49), (" not", 0.5), (" me.", None), ("日", 0.1), ("本", 0.9)]
    timed = tuple(Word(text, at / 2, at / 2 + 0.5, probability) for at, (text, probability) in enumerate(words))
    lines = [Line("0", 0.0, 3.5, "SPEAKER_00", timed), line(1, 9.0, "Bye.", "SPEAKER_00")]
    document = replace(TALK, lines=lines)
    assert word_runs(document, Wanted(unsure_below=0.5)) == [
        [("Marked words", True, True), (": Whisper was less than 50% sure of them.", False, False)],
        [
            *[("0:00  ", False, False), ("Anna: ", False, False)],
            *[("Ask ", False, False), ("Mr", True, True), (" ", False, False), ("Xu,", True, True)],
            *[(" not me.", False, False), ("日", True, True), ("本", False, False)],
        ],
        [("0:09  ", False, False), ("Bye.", False, False)],
    ]
    unmarked = word_runs(document, Wanted())
    assert [text for text, *_ in unmarked[0]] == ["0:00  ", "Anna: ", "Ask Mr Xu, not me.日本"]
    assert not any(shaded or dotted for runs in unmarked for _, shaded, dotted in runs)


def test_a_word_document_of_arabic_runs_from_the_right() -> None:
    read = docx.Document(
        io.BytesIO(export(["docx"], Document("عنوان", [line(0, 0, "مرحبا بكم")], {}, "ar"), Wanted()).files["docx"])
    )
    paragraph = read.paragraphs[1]
    assert paragraph._p.xpath("./w:pPr/w:bidi")
    assert all(run.font.rtl for run in paragraph.runs)


def test_subtitles_have_texts_times_and_names() -> None:
    cues = list(srt.parse(text_of("srt")))
    assert [cue.content for cue in cues] == [
        "Anna: Good morning, may I come in?",
        "Speaker 2: Of course, have a seat.",
        "Speaker 2: Tea or coffee?",
        "Anna: Thank you.",
    ]
    assert [cue.start.total_seconds() for cue in cues] == [0.0, 3.0, 5.0, 3661.0]
    captions = webvtt.from_string(text_of("vtt")).captions
    assert [(caption.voice, caption.text) for caption in captions][1] == ("Speaker 2", "Of course, have a seat.")
    events = pysubs2.SSAFile.from_string(text_of("ass"))
    assert [(event.name, event.plaintext) for event in events][3] == ("Anna", "Thank you.")
    rows = [row.split("\t") for row in text_of("tsv").splitlines()]
    assert rows[:2] == [["start", "end", "speaker", "text"], ["0", "2000", "Anna", "Good morning, may I come in?"]]
    assert [cue.text for cue in read_ttml(text_of("ttml"))][-1] == "Anna: Thank you."
    assert [cue.text for cue in read_stl(export(["stl"], TALK, Wanted()).files["stl"])][-1] == "Anna: Thank you."
    assert "[61:01.00]<61:01.00>Thank <61:02.09>you.<61:03.00>" in text_of("lrc")


def test_rttm_has_turns() -> None:
    assert text_of("rttm").splitlines() == [
        "SPEAKER audio 1 0.000 2.000 <NA> <NA> Anna <NA> <NA>",
        "SPEAKER audio 1 3.000 4.000 <NA> <NA> Speaker_2 <NA> <NA>",
        "SPEAKER audio 1 3661.000 2.000 <NA> <NA> Anna <NA> <NA>",
    ]
    assert text_of("rttm", MONOLOGUE) == ""


def test_json_has_words_and_what_is_known_of_them() -> None:
    document = replace(
        TALK, lines=[Line("0", 0.0, 1.0, "SPEAKER_01", (Word(" Hi,", 0.0, 0.4, 0.9), Word(" you.", 0.4, 1.0, None)))]
    )
    assert json.loads(text_of("json", document)) == {
        "title": "A talk: part 1",
        "language": "en",
        "duration": 3670.0,
        "text": "Hi, you.",
        "segments": [
            {
                "id": 0,
                "start": 0.0,
                "end": 1.0,
                "speaker": "Speaker 2",
                "text": "Hi, you.",
                "words": [
                    {"word": " Hi,", "start": 0.0, "end": 0.4, "probability": 0.9},
                    {"word": " you.", "start": 0.4, "end": 1.0},
                ],
            }
        ],
    }
    assert "speaker" not in text_of("json", document, Wanted(names=False))


@pytest.mark.parametrize("name", MEDIA_TYPES)
@pytest.mark.parametrize(
    "layout", [Layout(), BROADCAST, Layout(max_line_width=42)], ids=["plain", "broadcast", "width"]
)
def test_hostile_texts_names_and_titles_break_no_format(name: str, layout: Layout) -> None:
    voice = f"{HOSTILE}<v x>"
    document = Document(
        HOSTILE,
        [line(0, 0.0, HOSTILE, "SPEAKER_00"), line(1, 20.0, "Second.", "SPEAKER_00")],
        {"SPEAKER_00": voice},
        "en",
        22.0,
    )
    content = export([name], document, Wanted(layout)).files[name]
    if name == "docx":
        assert len(docx.Document(io.BytesIO(content)).paragraphs) == 3
        return
    if name == "stl":
        assert [cue.start for cue in read_stl(content)][-1] == 20
        return
    text = content.decode()
    assert "Second." in text or name == "rttm"
    if name == "ttml":
        assert read_ttml(text)[-1].text.endswith("Second.")
        assert "<script" not in text
    if name == "srt":
        cues = list(srt.parse(text))
        assert [cue.start.total_seconds() for cue in cues][-1] == 20.0
        assert text.count(" --> ") == len(cues)
    if name == "vtt":
        captions = webvtt.from_string(text).captions
        assert text.count("-->") == len(captions)
        assert captions[-1].text == "Second."
        assert "<script" not in text
        assert text.count("<v ") == len(captions)
    if name == "ass":
        events = list(pysubs2.SSAFile.from_string(text))
        assert events[-1].plaintext == "Second."
        assert "\\an8" not in "".join(event.text for event in events)
        assert not any(event.effect for event in events)
    if name == "tsv":
        assert {row.count("\t") for row in text.splitlines()} == {3}
        assert len(text.splitlines()) == 3
    if name == "json":
        assert len(json.loads(text)["segments"]) == 2
    if name == "lrc":
        assert [each.start for each in lrc.loads(text)][-1] == 20_000
    if name == "rttm":
        assert {len(row.split()) for row in text.splitlines()} == {10}


def test_a_long_name_leaves_room_for_the_text() -> None:
    document = replace(TALK, speakers={"SPEAKER_00": "A" * 100, "SPEAKER_01": "王" * 100})
    cues = cues_of(document, BROADCAST)
    assert cues[0]["lines"] == ["Good morning,", "may I come in?"]


def test_all_files_come_in_one_archive(tmp_path: Path) -> None:
    video = tmp_path / "captioned"
    video.write_bytes(bytes(3 << 20))
    files = export(MEDIA_TYPES, TALK, Wanted(BROADCAST)).files
    archive = zipfile.ZipFile(io.BytesIO(b"".join(to_zip("A talk part 1", files, video, ".mp4"))))
    assert archive.testzip() is None
    assert archive.namelist() == [*(f"A talk part 1.{name}" for name in MEDIA_TYPES), "A talk part 1.captioned.mp4"]
    assert archive.read("A talk part 1.srt") == files["srt"]
    assert archive.read("A talk part 1.captioned.mp4") == video.read_bytes()


@pytest.mark.parametrize(
    ("title", "stem"),
    [
        ("A talk: part 1", "A talk part 1"),
        ("../../etc/passwd", "etc passwd"),
        ("a\\b/c\"d'e", "a b c d'e"),
        ("Café 日本語 שלום", "Café 日本語 שלום"),
        ("CON", "CON_"),
        ("lpt1.txt", "lpt1.txt_"),
        ("trailing. . ", "trailing"),
        (".hidden", "hidden"),
        ("txt\u202egpj.exe", "txt gpj.exe"),
        ("\x00\r\n", "transcript"),
        ("", "transcript"),
        ("é" * 200, "é" * (MAX_NAME_BYTES // 2)),
        ("😀" * 100, "😀" * (MAX_NAME_BYTES // 4)),
    ],
)
def test_file_names_are_safe_on_all_systems(title: str, stem: str) -> None:
    assert file_stem(title) == stem


@pytest.mark.parametrize(
    ("given", "layout"),
    [
        ({}, Layout()),
        ({"preset": "broadcast"}, BROADCAST),
        ({"preset": "", "max_line_width": ""}, Layout()),
        ({"preset": "broadcast", "max_line_width": "37"}, replace(BROADCAST, max_line_width=37)),
        ({"max_line_width": 42, "max_line_count": 2.0}, Layout(42, 2)),
        ({"max_chars_per_second": "17.5", "min_cue_gap": 0}, Layout(max_chars_per_second=17.5, min_cue_gap=0.0)),
    ],
)
def test_a_layout_is_read_from_an_address_or_a_body(given: dict[str, Any], layout: Layout) -> None:
    assert parse_layout(given) == layout


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"preset": "cinema"}, "preset"),
        ({"preset": ["broadcast"]}, "preset"),
        ({"max_line_width": "0"}, "max_line_width"),
        ({"max_line_width": "4.5"}, "max_line_width"),
        ({"max_line_count": "1e99"}, "max_line_count"),
        ({"max_line_count": "nan"}, "max_line_count"),
        ({"max_line_count": True}, "max_line_count"),
        ({"max_line_count": [2]}, "max_line_count"),
        ({"max_cue_duration": "inf"}, "max_cue_duration"),
        ({"min_cue_duration": 8, "max_cue_duration": 7}, "min_cue_duration"),
        ({"max_chars_per_second": "9" * 5000}, "max_chars_per_second"),
    ],
)
def test_a_wrong_layout_is_refused_by_name(given: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_layout(given)
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize("option", sorted(LAYOUT_OPTIONS - {"subtitle_preset"}))
def test_a_number_of_a_layout_has_the_bounds_and_the_type_of_the_option(option: str) -> None:
    schema = option_schemas()[option]["anyOf"][0]
    for bound in (schema["minimum"], schema["maximum"]):
        assert getattr(parse_layout({option: bound}), option) == bound
    wrong = [schema["minimum"] - 0.01, schema["maximum"] + 1, *([1.5] if schema["type"] == "integer" else [])]
    for number in wrong:
        with pytest.raises(ApiError):
            parse_layout({option: number})


def test_a_layout_can_be_any_preset_of_the_option() -> None:
    known = {schema["const"] for schema in option_schemas()["subtitle_preset"]["anyOf"] if "const" in schema}
    assert known == set(PRESETS)


def test_cues_name_their_lines() -> None:
    document = replace(
        MONOLOGUE,
        lines=[
            line(0, 0.0, "So"),
            line(1, 2.0, "it"),
            line(2, 4.0, "is. " + "And more, " * 12),
            line(3, 6.0, " "),
            line(4, 20.0, "End."),
        ],
    )
    assert [cue["line_ids"] for cue in cues_of(document, Layout())] == [
        ["00000000"],
        ["00000001"],
        ["00000002"],
        ["00000004"],
    ]
    cues = cues_of(document, BROADCAST)
    assert cues[0]["line_ids"] == ["00000000", "00000001", "00000002"]
    assert {tuple(cue["line_ids"]) for cue in cues[1:-1]} == {("00000002",)}
    assert cues[-1]["line_ids"] == ["00000004"]


WORDS = (
    "the",
    "of",
    "and",
    "a",
    "to",
    "in",
    "is",
    "you",
    "that",
    "it",
    "he",
    "was",
    "nobody",
    "understands",
    "morning",
)


def document_of(
    seconds: float, seed: int, *, speakers: int = 0, language: str = "en", with_long_pauses: bool = True
) -> Document:
    """A transcript with the lengths of speech, and with its pauses or hardly any."""
    chance = random.Random(seed)
    pauses = (0.0, 0.0, 0.2, 0.5, 1.0, 5.0) if with_long_pauses else (0.0, 0.3)
    lines: list[Line] = []
    now = 0.0
    while now < seconds:
        start, words = now, []
        for _ in range(chance.randint(2, 15)):
            length = chance.uniform(0.15, 0.45)
            text = " " + chance.choice(WORDS) + chance.choice(["", "", "", "", "", ","])
            words.append(Word(text, round(now, 3), round(now + length, 3), 0.9))
            now += length
        words[-1] = words[-1]._replace(text=words[-1].text + ".")
        speaker = f"SPEAKER_0{chance.randrange(speakers)}" if speakers else None
        lines.append(Line(f"{len(lines):08}", round(start, 3), round(now, 3), speaker, tuple(words)))
        now += chance.choice(pauses)
    names = {f"SPEAKER_0{number}": "" for number in range(speakers)}
    return Document("Long", lines, names, language, now)


LAYOUTS = [Layout(), BROADCAST, Layout(max_line_width=42), Layout(max_line_width=30, max_line_count=1)]


@given(seed=st.integers(0, 10**6), layout=st.sampled_from(LAYOUTS), speakers=st.integers(0, 3))
def test_each_line_is_in_the_cues_that_show_it(seed: int, layout: Layout, speakers: int) -> None:
    document = document_of(60, seed, speakers=speakers, language=random.Random(seed).choice(["en", "ar"]))
    shown: dict[str, str] = {}
    for cue in cues_of(document, layout):
        texts = [each.text for each in document.lines if each.id in cue["line_ids"]]
        assert re.sub("[ \u200f\u202b\u202c]", "", "".join(cue["lines"])) in "".join(texts).replace(" ", "")
        shown |= dict.fromkeys(cue["line_ids"], "")
    assert list(shown) == sorted(shown, key=lambda each: list(shown).index(each))
    assert set(shown) == {each.id for each in document.lines}


@pytest.mark.slow
@given(seed=st.integers(0, 10**6), layout=st.sampled_from(LAYOUTS), speakers=st.integers(0, 2), start=st.floats(0, 500))
def test_cues_of_a_part_are_those_of_the_whole(seed: int, layout: Layout, speakers: int, start: float) -> None:
    document = document_of(500, seed, speakers=speakers, with_long_pauses=not layout.keeps_segments)
    end = start + 30
    near = [
        each for each in document.lines if each.end > start - CONTEXT_SECONDS and each.start < end + CONTEXT_SECONDS
    ]
    whole = [cue for cue in cues_of(document, layout) if cue["start"] <= end and cue["end"] >= start]
    assert cues_between(replace(document, lines=near), layout, start, end) == whole


class NotWanted(Exception):
    pass


def refuse() -> None:
    raise NotWanted


@pytest.mark.parametrize("name", MEDIA_TYPES)
def test_the_writing_of_a_file_can_be_ended(name: str) -> None:
    with pytest.raises(NotWanted):
        export([name], TALK, Wanted(BROADCAST), refuse)


@pytest.mark.parametrize("layout", [Layout(), BROADCAST])
def test_the_laying_out_of_cues_can_be_ended(layout: Layout) -> None:
    with pytest.raises(NotWanted):
        cues_of(TALK, layout, check=refuse)
