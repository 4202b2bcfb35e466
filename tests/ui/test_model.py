"""The document that is edited: words and their times, operations, undo, searching. Without the page around it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from api.http.page_routes import MAX_BODY_BYTES, MAX_EDIT_VALUES
from tests.ui.scripted import ScriptedHome

Word = tuple[str, float, float, float | None]

FOX: list[Word] = [(" The", 0, 0.5, 0.9), (" quick", 0.5, 1, 0.8), (" brown", 1, 1.5, 0.7), (" fox.", 1.5, 2, 0.6)]
PAUSED: list[Word] = [(" Yes.", 1, 1.5, 0.9), (" No.", 4, 4.5, 0.9)]
WEATHER: list[Word] = [("今日", 0, 0.5, 0.9), ("は", 0.5, 1, 0.9), ("いい", 1, 1.5, 0.9), ("天気", 1.5, 2, 0.9)]
HYPHEN: list[Word] = [(" GPU", 0, 0.5, 0.9), ("-based", 0.5, 1, 0.9), (" work", 1, 1.5, 0.9)]
HELLO: list[Word] = [(" مرحبا", 0, 1, 0.9), (" بكم", 1, 2, 0.9)]


@pytest.fixture(scope="module")
def tab(browser: Browser, scripted_home: ScriptedHome) -> Iterator[Page]:
    """A tab that can import the page's modules."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{scripted_home.url}page/static/favicon.svg")
    yield page
    context.close()


def run(tab: Page, module: str, body: str, argument: Any = None) -> Any:
    """What a function's body returns that has a module's exports as `m` and an argument as `given`."""
    return tab.evaluate(
        f"async ([path, given]) => {{ const m = await import(path); {body} }}",
        [f"/page/static/scripts/model/{module}.js", argument],
    )


def retime(tab: Page, words: list[Word], typed: str, language: str = "en", end: float | None = None) -> list[Word]:
    given = [words, typed, {"start": 0, "end": end or words[-1][2], "language": language}]
    return [tuple(word) for word in run(tab, "word_times", "return m.retime(...given)", given)]


@pytest.mark.parametrize(
    ("words", "typed", "expected"),
    [
        (FOX, "The quick brown fox.", FOX),
        (FOX, "  The quick\nbrown  fox. ", FOX),
        (FOX, "The quick red fox.", [*FOX[:2], (" red", 1, 1.5, None), FOX[3]]),
        (FOX, "The quick brown fox!", [*FOX[:3], (" fox!", 1.5, 2, None)]),
        (FOX, "the Quick brown fox.", [(" the", 0, 0.5, None), (" Quick", 0.5, 1, None), *FOX[2:]]),
        (FOX, "The quick fox.", [*FOX[:2], FOX[3]]),
        (FOX, "The foxes", [FOX[0], (" foxes", 0.5, 2, None)]),
        (FOX, "The quick light red fox.", [*FOX[:2], (" light", 1, 1.313, None), (" red", 1.313, 1.5, None), FOX[3]]),
        (FOX, "The very quick brown fox.", [(" The", 0, 0.214, None), (" very", 0.214, 0.5, None), *FOX[1:]]),
        (FOX, "", []),
        (PAUSED, "Yes. Perhaps. No.", [PAUSED[0], (" Perhaps.", 1.5, 4, None), PAUSED[1]]),
        (PAUSED, "Well yes. No.", [(" Well", 1, 1.25, None), (" yes.", 1.25, 1.5, None), PAUSED[1]]),
        (HYPHEN, "GPU-based job", [*HYPHEN[:2], (" job", 1, 1.5, None)]),
        (HYPHEN, "GPUs-based work", [(" GPUs-based", 0, 1, None), HYPHEN[2]]),
        (HELLO, "مرحبا بهم", [HELLO[0], (" بهم", 1, 2, None)]),
        (FOX, "The 👩‍🔬 e\u0301t fox.", [FOX[0], (" 👩‍🔬", 0.5, 1, None), (" e\u0301t", 1, 1.5, None), FOX[3]]),
    ],
    ids=[
        "unchanged", "spaces", "one for one", "punctuation", "case", "deleted", "two as one", "by length", "no pause",
        "emptied", "in the pause", "changed and new", "glued kept", "glued changed", "right to left", "emoji",
    ],
)  # fmt: skip
def test_a_changed_word_takes_the_time_of_what_it_replaces(
    tab: Page, words: list[Word], typed: str, expected: list[Word]
) -> None:
    assert retime(tab, words, typed) == expected


def test_words_without_spaces_are_told_apart_by_a_dictionary(tab: Page) -> None:
    assert retime(tab, WEATHER, "今日はとてもいい天気です。", "ja") == [
        WEATHER[0], ("は", 0.5, 0.625, None), ("とても", 0.625, 1, None), WEATHER[2], ("天気", 1.5, 1.7, None),
        ("です。", 1.7, 2, None),
    ]  # fmt: skip
    assert retime(tab, WEATHER, "昨日は悪い天気", "ja") == [
        ("昨日", 0, 0.5, None), WEATHER[1], ("悪い", 1, 1.5, None), WEATHER[3],
    ]  # fmt: skip
    thai = [("สวัสดีครับ", 0.0, 2.0, 0.9)]
    assert [word[0] for word in retime(tab, thai, "สวัสดีค่ะทุกคน", "th")] == ["สวัสดี", "ค่ะ", "ทุก", "คน"]


def test_the_space_that_is_no_separator_stays(tab: Page) -> None:
    assert retime(tab, FOX, "The\u00a0quick fox.") == [(" The\u00a0quick", 0, 1.5, None), FOX[3]]


def test_times_stay_in_order_and_inside_the_line_whatever_is_typed(tab: Page) -> None:
    randomly = random.Random(18)
    pieces = ["word", "Wort,", "c'est", "今日", "天気。", "สวัสดี", "👩‍🔬", "e\u0301", "عربي", "x" * 30, "-", "…", "9.5"]
    cases: list[Any] = []
    for _ in range(600):
        start = round(randomly.uniform(0, 5), 3)
        time, words = start, []
        for _ in range(randomly.randint(0, 8)):
            time += randomly.choice([0, 0, 0.3])
            text = randomly.choice(["", " ", " "]) + randomly.choice(pieces)
            words.append((text, round(time, 3), round(time := time + randomly.choice([0, 0.05, 0.4]), 3), 0.5))
        typed = [word[0] for word in words]
        for _ in range(randomly.randint(0, 5)):
            place = randomly.randint(0, len(typed))
            typed[place : place + randomly.choice([0, 0, 1, 3])] = [
                randomly.choice(["", " "]) + randomly.choice(pieces) for _ in range(randomly.randint(0, 3))
            ]
        line = {
            "start": start,
            "end": round(time + randomly.choice([0, 1]), 3),
            "language": randomly.choice(["ja", "en"]),
        }
        cases.append([words, "".join(typed), line])
    answers = run(tab, "word_times", "return given.map((one) => [m.retime(...one), m.tidy(one[1])])", cases)
    for (old, _, span), (timed, tidied) in zip(cases, answers, strict=True):
        assert "".join(word[0] for word in timed).strip() == tidied
        times = [time for word in timed for time in word[1:3]]
        assert times == sorted(times)
        assert all(span["start"] <= time <= span["end"] for time in times)
        unchanged = "".join(word[0] for word in old).strip() == tidied
        assert not unchanged or [word[1:3] for word in timed] == [list(word[1:3]) for word in old]


def test_a_pasted_book_is_no_endless_loop(tab: Page) -> None:
    words: list[Any] = [(f" word{number}", number, number + 1, 0.9) for number in range(500)]
    timed = retime(tab, words, "y" * 10_000 + " end")
    assert max(len(word[0]) for word in timed) <= 1000
    assert "".join(word[0] for word in timed).strip() == "y" * 10_000 + " end"


OVERLAP = {
    "lines": [
        {
            "id": "0", "start": 0, "end": 2, "speaker": "A", "revision": 1,
            "words": [[" Yes", 0, 1, 0.9], [" no", 1, 2, 0.9, ["B"]]],
        },
        {"id": "1", "start": 2, "end": 3, "speaker": "B", "revision": 1, "words": [[" Oh", 2, 3, 0.9, ["A"]]]},
    ],
    "speakers": {"A": "", "B": "", "C": ""},
}  # fmt: skip


def test_who_speaks_at_the_same_time_stays_with_the_words(tab: Page) -> None:
    steps = {
        "d.editText('0', 'Yeah nope')": [[[], ["B"]], [["A"]]],
        "d.editText('0', 'Oh yes but nope')": [[[], [], ["B"], ["B"]], [["A"]]],
        "d.editText('0', 'Yes no really no')": [[[], ["B"], ["B"], ["B"]], [["A"]]],
        "d.confirmWord('0', 1)": [[[], ["B"]], [["A"]]],
        "d.split('0', 1)": [[[]], [["B"]], [["A"]]],
        "d.joinWithNext('0')": [[[], ["B"], []]],
        "d.setSpeaker('0', 'B')": [[[], ["A"]], [["A"]]],
        "d.setSpeaker('0', 'C')": [[[], ["B"]], [["A"]]],
        "d.mergeSpeakers('B', 'A')": [[[], []], [[]]],
        "d.mergeSpeakers('B', 'C')": [[[], ["C"]], [["A"]]],
        "d.replaceAll([{id: '1', text: 'Oh dear'}])": [[[], ["B"]], [["A"], ["A"]]],
        "d.remove('1'); d.undo()": [[[], ["B"]], [["A"]]],
    }
    for step, others in steps.items():
        show = "d.lines.map((line) => line.words.map((word) => word.slice(4)))"
        body = f"const d = m.Document.fromJson(given, ''); {step}; return {show}"
        found = run(tab, "document", body, OVERLAP)
        assert [[word[0] if word else [] for word in line] for line in found] == others, step


DOCUMENT = {
    "lines": [
        {
            "id": "00000000", "start": 0, "end": 2, "speaker": "SPEAKER_00", "revision": 1,
            "words": [list(word) for word in FOX],
        },
        {
            "id": "00000001", "start": 2, "end": 4, "speaker": "SPEAKER_01", "revision": 1,
            "words": [[" Well", 2, 2.5, 0.9], [" done.", 2.5, 3, 0.3]],
        },
        {
            "id": "00000002", "start": 4, "end": 6, "speaker": "SPEAKER_00", "revision": 1,
            "words": [[" Bye.", 4, 4.5, 0.9]],
        },
    ],
    "speakers": {"SPEAKER_00": "Anna"},
    "language": "en",
}  # fmt: skip

SHOWN = """
    const d = m.Document.fromJson(given, 'A talk');
    const seen = [];
    d.addEventListener('change', ({detail}) => seen.push([[...detail.ids].sort(), detail.cause]));
    const lines = () => d.lines.map((line) => [line.start, line.end, line.speaker, d.textOf(line)]);
"""
LINES = [
    [0, 2, "SPEAKER_00", "The quick brown fox."],
    [2, 4, "SPEAKER_01", "Well done."],
    [4, 6, "SPEAKER_00", "Bye."],
]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("d.editText('00000001', 'Well said.')", [LINES[0], [2, 4, "SPEAKER_01", "Well said."], LINES[2]]),
        ("d.editText('00000001', ' ')", [LINES[0], LINES[2]]),
        ("d.split('00000000', 2)", [[0, 1, "SPEAKER_00", "The quick"], [1, 2, "SPEAKER_00", "brown fox."], *LINES[1:]]),
        ("d.joinWithNext('00000000')", [[0, 4, "SPEAKER_00", "The quick brown fox. Well done."], LINES[2]]),
        ("d.setSpeaker('00000001', 'SPEAKER_00')", [LINES[0], [2, 4, "SPEAKER_00", "Well done."], LINES[2]]),
        (
            "d.mergeSpeakers('SPEAKER_00', 'SPEAKER_01')",
            [[0, 2, "SPEAKER_01", LINES[0][3]], LINES[1], [4, 6, "SPEAKER_01", "Bye."]],
        ),
        ("d.remove('00000001')", [LINES[0], LINES[2]]),
        (
            "d.replaceAll([{id: '00000001', text: 'Good.'}, {id: '00000002', text: 'Ciao.'}])",
            [LINES[0], [2, 4, "SPEAKER_01", "Good."], [4, 6, "SPEAKER_00", "Ciao."]],
        ),
        ("d.confirmWord('00000001', 1)", LINES),
        ("d.renameSpeaker('SPEAKER_00', 'Ada'); ", LINES),
        ("d.addSpeaker('Bob')", LINES),
        ("d.rename('Another')", LINES),
    ],
    ids=lambda value: value.split("(")[0].removeprefix("d.") if isinstance(value, str) else "",
)
def test_each_operation_is_one_step_to_undo_and_to_redo(tab: Page, operation: str, expected: list[Any]) -> None:
    whole = "JSON.stringify([lines(), d.lines, [...d.speakers], d.title])"
    before, lines, undone, redone, after, can = run(
        tab,
        "document",
        f"""{SHOWN} const before = {whole}; {operation}; const after = {whole}, shown = lines();
        const steps = d.history.past.length; d.undo();
        const undone = {whole}, can = [steps, d.canUndo, d.canRedo];
        d.redo(); return [before, shown, undone, {whole}, after, can]""",
        DOCUMENT,
    )
    assert lines == expected
    assert undone == before
    assert redone == after != before
    assert can == [1, False, True]


def test_typing_is_undone_as_a_whole_and_compared_with_the_line_before_it(tab: Page) -> None:
    words, undone, steps = run(
        tab,
        "document",
        f"""{SHOWN} const typed = ['Th', 'The qu', 'The quick brown cat.'];
        for (const text of typed) d.editText('00000000', text, 'typing 1');
        const words = d.get('00000000').words, steps = d.history.past.length; d.undo();
        return [words, lines(), steps]""",
        DOCUMENT,
    )
    assert [word[1:3] for word in words] == [list(word[1:3]) for word in FOX]
    assert undone == LINES
    assert steps == 1


def test_a_cancelled_edit_leaves_no_step(tab: Page) -> None:
    lines, undo, redo = run(
        tab,
        "document",
        f"{SHOWN} d.editText('00000000', 'No', 'typing 1'); d.cancel('typing 1'); d.cancel('typing 1');"
        "return [lines(), d.canUndo, d.canRedo]",
        DOCUMENT,
    )
    assert (lines, undo, redo) == (LINES, False, False)


def test_what_another_tab_changed_is_not_undone_here(tab: Page) -> None:
    body = f"""{SHOWN} d.joinWithNext('00000000'); d.editText('00000002', 'Ciao.');
        d.merge({{lines: [{{...d.get('00000000'), speaker: 'SPEAKER_01', revision: 9}}]}});
        const steps = d.history.past.length; d.undo(); d.undo();
        return [steps, lines(), seen.map(([, cause]) => cause)]"""
    steps, lines, causes = run(tab, "document", body, DOCUMENT)
    assert steps == 1
    assert lines == [[0, 4, "SPEAKER_01", "The quick brown fox. Well done."], LINES[2]]
    assert causes == ["edit", "edit", "remote", "undo"]


def test_a_line_can_be_restored_after_other_steps(tab: Page) -> None:
    body = f"""{SHOWN} d.editText('00000000', 'The cat.'); d.remove('00000002'); d.editText('00000000', 'The dog.');
        d.restore('00000000'); return [lines(), d.originalOf('00000000')]"""
    assert run(tab, "document", body, DOCUMENT) == [LINES[:2], None]


@pytest.mark.parametrize(
    ("time", "line", "word"),
    [
        (0, "00000000", 0),
        (0.99, "00000000", 1),
        (1, "00000000", 2),
        (3.5, "00000001", None),
        (6, None, None),
        (99, None, None),
    ],
)
def test_the_line_and_the_word_of_a_time(tab: Page, time: float, line: str | None, word: int | None) -> None:
    body = f"{SHOWN} return [d.lineAt({time})?.id ?? null, d.wordAt({time})?.index ?? null]"
    assert run(tab, "document", body, DOCUMENT) == [line, word]


def test_of_lines_that_are_spoken_at_once_the_last_one_counts(tab: Page) -> None:
    lines = [
        {
            "id": f"0000000{number}",
            "start": start,
            "end": end,
            "speaker": None,
            "revision": 0,
            "words": [[" a", start, end, 1]],
        }
        for number, (start, end) in enumerate([(0, 60), (10, 12), (20, 22)])
    ]
    document = {"lines": lines, "speakers": {}, "language": None}
    body = f"{SHOWN} return [11, 15, 21, 59].map((time) => d.lineAt(time)?.id)"
    assert run(tab, "document", body, document) == ["00000001", "00000000", "00000002", "00000000"]


def test_joined_lines_of_people_who_spoke_at_once_have_times_in_order(tab: Page) -> None:
    earlier = "[[' Well', 1, 2, 0.9], [' done.', 2, 3, 0.9]]"
    body = f"""{SHOWN} d.merge({{lines: [{{...d.get('00000001'), start: 1, end: 3, words: {earlier}}}]}});
        d.joinWithNext('00000000'); return d.get('00000000')"""
    line = run(tab, "document", body, DOCUMENT)
    times = [time for word in line["words"] for time in word[1:3]]
    assert [start for _, start, _, _ in line["words"]] == sorted(start for _, start, _, _ in line["words"])
    assert max(times) <= line["end"]


def test_each_request_that_saves_is_one_that_the_server_takes(tab: Page) -> None:
    body = """
        const {Saver} = await import('/page/static/scripts/model/saver.js');
        const words = Array.from({length: 1000}, () => [' a', 1, 2, 0.5]);
        const lines = Array.from({length: 200}, (_, n) => ({id: String(n).padStart(8, '0'), start: n, end: n + 1,
            speaker: 'SPEAKER_00', revision: 0, words}));
        const document = m.Document.fromJson({lines, speakers: {SPEAKER_00: '', SPEAKER_01: ''}}, '');
        const requests = [];
        const server = {
            edit: async (id, edits) => ({revision: requests.push(JSON.stringify(edits)), conflicts: []}),
            changes: async () => ({revision: requests.length}),
        };
        const saver = new Saver({id: 'x', document, revision: 0, server});
        document.mergeSpeakers('SPEAKER_00', 'SPEAKER_01');
        await saver.flush();
        return requests;
    """
    requests = run(tab, "document", body, None)
    assert [line["id"] for request in requests for line in json.loads(request)["lines"]] == [
        f"{number:08}" for number in range(200)
    ]
    assert all(len(request.encode()) <= MAX_BODY_BYTES for request in requests)
    assert all(sum(map(request.count, "[{,")) <= MAX_EDIT_VALUES for request in requests)


def test_lines_are_found_by_name_among_thousands(tab: Page) -> None:
    body = """
        const lines = Array.from({length: 10_000}, (_, n) => ({id: String(n).padStart(8, '0'), start: n, end: n + 1,
            speaker: null, revision: 0, words: [[' a', n, n + 1, 1]]}));
        const d = m.Document.fromJson({lines, speakers: {}}, '');
        d.split('00005000', 1); d.remove('00000000');
        return [d.indexOf('00009999'), d.next('00000041').id, d.previous('00000001') ?? null, d.indexOf('none')]"""
    assert run(tab, "document", body) == [9998, "00000042", None, -1]


@pytest.mark.parametrize(
    ("query", "found", "result"),
    [
        ({"text": "good", "replacement": "fine"}, ["Good", "good", "good"], "fine fineness is not fine."),
        ({"text": "good", "matchCase": True, "replacement": "fine"}, ["good", "good"], "Good fineness is not fine."),
        ({"text": "good", "wholeWords": True, "replacement": "fine"}, ["Good", "good"], "fine goodness is not fine."),
        ({"text": ".", "replacement": "!"}, ["."], "Good goodness is not good!"),
        ({"text": "$&", "replacement": "!"}, [], "Good goodness is not good."),
        ({"text": "good", "wholeWords": True, "replacement": "$&"}, ["Good", "good"], "$& goodness is not $&."),
        (
            {"text": r"(\w+) (is)", "isExpression": True, "replacement": "$2 $1$$"},
            ["goodness is"],
            "Good is goodness$ not good.",
        ),
        ({"text": "x*", "isExpression": True, "replacement": "-"}, [], "Good goodness is not good."),
        ({"text": "", "replacement": "-"}, [], "Good goodness is not good."),
    ],
    ids=lambda value: str(value.get("text")) if isinstance(value, dict) else "",
)
def test_finding_and_replacing(tab: Page, query: dict[str, Any], found: list[str], result: str) -> None:
    text = "Good goodness is not good."
    whole = {"matchCase": False, "wholeWords": False, "isExpression": False, **query}
    body = """const found = m.findMatches([{id: '1', text: given[0]}], given[1]);
        return [found.map(({start, end}) => given[0].slice(start, end)), m.replaced(given[0], found)]"""
    assert run(tab, "search", body, [text, whole]) == [found, result]


def test_whole_words_are_those_of_any_script(tab: Page) -> None:
    query = {"text": "ёж", "replacement": "", "matchCase": False, "wholeWords": True, "isExpression": False}
    body = "return m.findMatches([{id: '1', text: 'Ёж ёжик и ёж.'}], given).map(({start}) => start)"
    assert run(tab, "search", body, query) == [0, 10]
