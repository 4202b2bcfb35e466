"""Redaction and the mask hide in every output what was said, and tell when it was."""

from __future__ import annotations

import base64
import io
import json
import random
import re
import zipfile
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from api.openai.answers import diarize
from api.page.document import Document
from api.page.exports import MEDIA_TYPES, Wanted, export
from api.page.job_lines import lines_of
from api.page.lines import to_json
from src.errors import InvalidInput
from src.job_control import JobControl
from src.request.ineffective import ineffective_options
from src.request.options import Options
from src.request.validation import parse_input
from src.rp_handler import _metadata
from src.transcription.segment_sender import SegmentSender
from tests.support.work import counted_lines, cpu_seconds
from transcript.checks import never
from transcript.formats.render import OUTPUT_FORMATS, render
from transcript.personal_data import KINDS
from transcript.text_changes import TextChanges
from transcript.token_logprobs import TokenLogprob
from transcript.transcript import Diarization, Segment, Speaker, Transcript, Turn, Word

CARD = " 4242 4242 4242 4242"


def transcript(*texts: str, timed: bool = True, channel: int | None = None) -> Transcript:
    """Segments of these texts, half a second per word, with all that Whisper's have."""
    segments, now = [], 0.0
    for number, text in enumerate(texts):
        said = re.findall(r"\s*\S+", text)
        words = [Word(word, now + at / 2, now + at / 2 + 0.5, 0.5, "Ada") for at, word in enumerate(said)]
        segments.append(
            Segment(
                *(number, 0, now, now + len(said) / 2, text, [50364, 1702], 0.0, -0.2, 1.0, 0.0),
                words if timed else None,
                channel=channel,
                speaker="Ada",
                logprobs=[TokenLogprob(word.encode(), -0.1) for word in said],
            )
        )
        now = segments[-1].end
    return Transcript("en", 1.0, now, segments)


def changes(**options: Any) -> TextChanges:
    return Options(**options).text_changes


def texts(made: Transcript) -> list[str]:
    return [segment.text for segment in made.segments]


def told(made: Transcript) -> list[tuple[str, float, float]]:
    return [(found.kind, found.start, found.end) for found in made.redacted]


def test_a_card_is_redacted_in_texts_and_words_and_its_time_is_told() -> None:
    made = transcript(" My card is 4242 4242 4242 4242, thanks.")
    changes(redact=["card"]).apply(made)
    assert texts(made) == [" My card is [card], thanks."]
    words = made.segments[0].words or []
    assert [(word.word, word.start, word.end, word.speaker) for word in words[2:]] == [
        (" is", 1.0, 1.5, "Ada"),
        (" [card],", 1.5, 3.5, "Ada"),
        (" thanks.", 3.5, 4.0, "Ada"),
    ]
    assert told(made) == [("card", 1.5, 3.5)]


def test_what_spans_segments_moves_to_the_first_and_is_told_as_a_whole() -> None:
    made = transcript(" It is 4242", " 4242", " 4242 4242. Bye")
    changes(redact=["card"]).apply(made)
    assert texts(made) == [" It is [card].", " Bye"]
    assert told(made) == [("card", 1.0, 3.0)]
    assert [(segment.id, segment.end) for segment in made.segments] == [(0, 3.0), (1, 3.5)]


def test_without_word_times_the_time_is_that_of_the_segments() -> None:
    made = transcript(" Hello", " It is 4242 4242", " 4242 4242.", timed=False)
    changes(redact=["card"]).apply(made)
    assert told(made) == [("card", 0.5, 3.5)]


def everything_written(made: Transcript, options: Options) -> dict[str, str]:
    """All that a caller or a visitor of the page can get of a transcript, as text, by its name."""
    formats = {name: render(made, [name], options.layout, embedding_model="x") for name in OUTPUT_FORMATS}
    segments = render(made, ["json"])["segments"]
    lines = lines_of({"transcription": {"segments": segments}})
    files = export([*MEDIA_TYPES], Document("A talk", lines, {}, made.language), Wanted(unsure_below=0.6)).files
    with zipfile.ZipFile(io.BytesIO(files.pop("docx"))) as archive:
        word = archive.read("word/document.xml").decode()
    page = {f"the page's {name}": content.decode("latin-1") for name, content in files.items()}
    return {
        **{name: json.dumps(formats[name]) for name in OUTPUT_FORMATS},
        "stl": base64.b64decode(formats["stl"]["stl"]).decode("latin-1"),
        "diarized_json": json.dumps(diarize(segments, [])),
        "the page's store": json.dumps([to_json(line) for line in lines]),
        "the page's docx": re.sub(r"<w:style.*?/>|<.*?>", "", word),
        **page,
    }


def test_nothing_that_is_written_of_it_holds_the_value() -> None:
    made = transcript(" Ada's card is 4242 4242", " 4242 4242, mail a.b@gmail.com or call 212-555-1234, damn", " Yes")
    made.segments[2] = replace(made.segments[2], speaker="Bob")
    made.translation = replace(transcript(" It is 4242 4242 4242 4242 and a.b@gmail.com"), task="translate")
    made.diarization = Diarization([Turn(0.0, 5.0, "Ada")], [Speaker("Ada", 5.0, 1, 0.0, [0.5] * 192)])
    options = Options(
        redact=list(KINDS), mask=["damn"], word_timestamps=True, custom_vocabulary={"212-555-1234": ["two twelve"]}
    )
    options.text_changes.apply(made)
    assert made.translation is not None
    written = everything_written(made, options)
    written |= {f"translation's {name}": text for name, text in everything_written(made.translation, options).items()}
    written["metadata"] = json.dumps(_metadata(made, options, download=0.0, total=1.0))
    values = ("4242", "gmail", "a.b@", "555", "1234", "212", "1702", "damn")
    assert [(name, value) for name, text in written.items() for value in values if value in text] == []
    with_text = [text for name, text in written.items() if "rttm" not in name and name != "metadata"]
    assert all("card" in text and "email" in text for text in with_text)


def test_the_metadata_tells_kinds_and_times_of_both_texts_once() -> None:
    made = transcript(f" Hi{CARD} bye", channel=1)
    made.translation = replace(transcript(f" Hi{CARD} a.b@gmail.com", channel=1), task="translate")
    options = Options(redact=["card", "email"])
    options.text_changes.apply(made)
    assert _metadata(made, options, download=0.0, total=1.0)["redacted"] == [
        {"kind": "card", "start": 0.5, "end": 2.5, "channel": 1},
        {"kind": "email", "start": 2.5, "end": 3.0, "channel": 1},
    ]


def test_channels_are_apart() -> None:
    made = transcript(" 4242 4242", " 4242 4242")
    made.segments = [replace(segment, channel=number) for number, segment in enumerate(made.segments)]
    changes(redact=["card"]).apply(made)
    assert texts(made) == [" 4242 4242", " 4242 4242"]


@pytest.mark.parametrize(
    ("said", "expected", "times"),
    [
        (
            ["A: It is 4242 4242,", "B: All right.", "A: 4242 4242. Bye"],
            [" It is [card],", " All right.", " [card]. Bye"],
            [("card", 1.0, 2.0), ("card", 3.0, 4.0)],
        ),
        (
            ["A: 4242 4242", "B: Yes", "A: 4242", "C: Hm", "A: 4242"],
            [" [card]", " Yes", " [card]", " Hm", " [card]"],
            [("card", 0.0, 1.0), ("card", 1.5, 2.0), ("card", 2.5, 3.0)],
        ),
        (
            ["A: john dot", "B: Yes", "A: smith at", "A: gmail dot com please"],
            [" [email]", " Yes", " [email]", " please"],
            [("email", 0.0, 1.0), ("email", 1.5, 4.0)],
        ),
        (
            ["A: 4242 4242", "B: 4242 4242. Right?"],  # read together
            [" [card].", " Right?"],
            [("card", 0.0, 2.0)],
        ),
        (
            ["A: 4242 4242", f"B: {'well ' * 31}well", "A: 4242 4242"],  # 16 s later
            [" 4242 4242", f" {'well ' * 31}well", " 4242 4242"],
            [],
        ),
        (["A: 4242 4242", "B: 5555", "A: 4242 4241"], [" 4242 4242", " 5555", " 4242 4241"], []),
    ],
)
def test_what_a_speaker_says_in_pieces_is_found(
    said: list[str], expected: list[str], times: list[tuple[str, float, float]]
) -> None:
    made = transcript(*(text[2:] for text in said))
    made.segments = [
        replace(segment, speaker=text[0], words=[replace(word, speaker=text[0]) for word in segment.words or []])
        for segment, text in zip(made.segments, said, strict=True)
    ]
    changes(redact=list(KINDS)).apply(made)
    assert texts(made) == expected
    assert ["".join(word.word for word in segment.words or []) for segment in made.segments] == expected
    assert told(made) == times


def test_words_that_differ_from_the_text_are_redacted_too() -> None:
    made = transcript(f" Hi{CARD}")
    made.segments[0].text = " Hi, 4242-4242-4242-4242"
    changes(redact=["card"]).apply(made)
    assert texts(made) == [" Hi, [card]"]
    assert [word.word for word in made.segments[0].words or []] == [" Hi", " [card]"]
    assert told(made) == [("card", 0.0, 2.5)]


def test_the_vocabulary_comes_first() -> None:
    made = transcript(" write to john at cheap mail dot com")
    changes(redact=["email"], custom_vocabulary={"gmail": ["cheap mail"]}).apply(made)
    assert texts(made) == [" write to [email]"]


@pytest.mark.parametrize("option", [{"redact": ["card"]}, {"mask": ["damn"]}])
def test_no_token_is_left(option: dict[str, Any]) -> None:
    made = transcript(" Hello there")
    changes(**option).apply(made)
    assert (made.segments[0].tokens, made.segments[0].logprobs) == ([], [])


def test_without_the_options_everything_stays() -> None:
    made = transcript(f" Damn{CARD}")
    changes().apply(made)
    assert made == transcript(f" Damn{CARD}")


# --- streaming


def streamed(made: Transcript, options: Options) -> list[list[Segment]]:
    """What is sent after each segment of a transcript, and at its end."""
    sent: list[Segment] = []
    sender = SegmentSender(JobControl(sent.append), options.text_changes, None)
    steps = []
    for segment in [*made.segments, None]:
        sent.clear()
        if segment is None:
            sender.finish(made)
        else:
            sender.send([segment], made)
        steps.append(sent[:])
    return steps


def test_a_streamed_segment_waits_while_a_number_may_go_on() -> None:
    made = transcript(" Hello.", " It is 4242 4242", " 4242", " 4242.", " That was it.", " Bye")
    before = transcript(*texts(made))
    steps = streamed(made, Options(redact=["card"]))
    assert [[segment.text for segment in step] for step in steps] == [
        [],
        [" Hello."],
        [],
        [],
        [" It is [card]."],
        [" That was it."],
        [" Bye"],
    ]
    sent = [segment for step in steps for segment in step]
    assert all(not segment.tokens and not segment.logprobs for segment in sent)
    assert "4242" not in json.dumps([segment.to_dict() for segment in sent])
    assert made == before  # what was sent are copies


def test_without_redaction_no_segment_waits() -> None:
    made = transcript(" Damn, it is 4242", " 4242.")
    steps = streamed(made, Options(mask=["damn"]))
    assert [[segment.text for segment in step] for step in steps] == [[" D***, it is 4242"], [" 4242."], []]


VALUES = [
    CARD,
    " 4-2-4-2-4-2-4-2-4-2-4-2-4-2-4-2",
    " four two four two four two four two 4242 4242",
    " DE89 3704 0044 0532 0130 00",
    " G B 82 WEST 1234 5698 7654 32",
    " john dot smith at gmail dot com",
    " john.smith @ gmail.com",
    " plus 44 7911 123456",
    " (212) 555 1234",
    " 192 dot 168 dot 1 dot 1",
]


@pytest.mark.parametrize("seed", range(40))
def test_streamed_segments_have_the_text_of_the_transcript_however_it_is_cut(seed: int) -> None:
    made = random.Random(seed)
    words = re.findall(r"\s*\S+", "".join(f" so{value} well then" for value in made.sample(VALUES, 5)))
    cuts = sorted(made.sample(range(1, len(words)), made.randint(1, len(words) - 1)))
    cut = transcript(*("".join(words[begin:end]) for begin, end in zip([0, *cuts], [*cuts, None], strict=True)))
    sent = "".join(segment.text for step in streamed(cut, Options(redact=list(KINDS))) for segment in step)
    changes(redact=list(KINDS)).apply(cut)
    assert sent == "".join(texts(cut))
    assert len(cut.redacted) == 5
    assert not re.search(r"\d|gmail|WEST|john", sent)


# --- the mask


@pytest.mark.parametrize(
    ("style", "words", "text", "expected"),
    [
        ("first_letter", ["damn"], " Damn, DAMN! damned damn's", " D***, D***! damned d***'s"),
        ("stars", ["damn"], " Damn, DAMN! damned damn's", " ****, ****! damned ****'s"),
        ("first_letter", ["straße"], " STRASSE Straße", " S****** S*****"),
        ("first_letter", ["café"], " Cafe\u0301, cafe", " C***, cafe"),
        ("first_letter", ["x"], " x X", " * *"),
        ("first_letter", ["混蛋"], "你这个混蛋！", "你这个混*！"),
        ("first_letter", ["바보"], " 바보는 바보", " 바*는 바*"),
        ("first_letter", ["(a+)+$"], " aaaaaaaaaaaaaaaa (a+)+$", " aaaaaaaaaaaaaaaa (*****"),
        ("first_letter", ["mother-in-law"], " Mother‑in‑law", " M************"),
    ],
)
def test_whole_words_are_masked_in_any_case(style: str, words: list[str], text: str, expected: str) -> None:
    made = transcript(text)
    changes(mask=words, mask_style=style).apply(made)
    assert texts(made) == [expected]
    assert "".join(word.word for word in made.segments[0].words or []) == expected


# --- options


@pytest.mark.parametrize(
    ("given", "redact"),
    [("card, IBAN", ["card", "iban"]), (["phone", "phone"], ["phone"]), ("", []), (None, []), ([], [])],
)
def test_kinds_may_be_written_in_other_ways(given: Any, redact: list[str]) -> None:
    assert parse_input({"audio": {"base64": "AAAA"}, "options": {"redact": given}}).options.redact == redact


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"redact": ["name"]}, "redact"),
        ({"mask": ["two words"]}, "each should be one word, without blanks"),
        ({"mask": [""]}, "mask"),
        ({"mask": ["a" * 201]}, "mask"),
        ({"mask": [f"w{number}" for number in range(5001)]}, "mask"),
        ({"mask": ["a"], "mask_style": "none"}, "mask_style"),
        ({"mask_style": "stars"}, "mask_style needs mask"),
        ({"redact": ["card"], "align": "Hello"}, "align gives a text as it is: leave redact and mask out"),
    ],
)
def test_wrong_values_are_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_input({"audio": {"base64": "AAAA"}, "options": options})


@pytest.mark.parametrize("option", [{"redact": ["card"]}, {"mask": ["damn"]}])
def test_logprobs_have_no_effect_beside_them(option: dict[str, Any]) -> None:
    warnings = ineffective_options(Options(token_logprobs=True, **option))
    assert warnings == [
        "token_logprobs has no effect: with redact or mask segments have no tokens, which would tell what is hidden"
    ]


def test_redaction_needs_the_times_of_words() -> None:
    assert Options(redact=["card"]).needs_words
    assert not Options(mask=["damn"]).needs_words


# --- how the work grows


def recording(kind: str, words: int) -> Transcript:
    """A recording of this many words, of which an hour has some 9,000, in segments of ten."""
    made = random.Random(1)
    said = {
        "speech": lambda: made.choice([" well", " so", " the", " at", " 1999", " $5", " gmail.com", CARD]),
        "digits": lambda: f" {made.randrange(10)}",
        "names": lambda: made.choice([" a", " dot", " at"]),
        "signs": lambda: "a@",
        "colons": lambda: "a:",
        "cards": lambda: " 4242",
        "codes": lambda: made.choice([" DE89", " 3", " G B 8"]),
    }[kind]
    spoken = [said() for _ in range(words)]
    return transcript(*("".join(spoken[at : at + 10]) for at in range(0, words, 10)))


KINDS_OF_SPEECH = ["speech", "digits", "names", "signs", "colons", "codes"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS_OF_SPEECH)
def test_the_work_grows_with_the_words_of_twelve_hours_and_not_with_their_square(kind: str) -> None:
    most = {"digits": 4_000, "speech": 27_000}.get(kind, 108_000)  # where phone numbers are likely, each is looked up
    apply = changes(redact=list(KINDS), mask=["damn"]).apply
    lines = []
    for words in (most // 8, most):
        made = recording(kind, words)
        with counted_lines() as counted:
            apply(made)
        lines.append(counted.run)
    assert lines[1] < 12 * lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS_OF_SPEECH)
def test_patterns_too_take_time_that_grows_with_the_words(kind: str) -> None:
    redact = changes(redact=[name for name in KINDS if name != "phone"]).apply
    small, large = (
        cpu_seconds(partial(_apply_to_copy, redact, recording(kind, words)), rounds=2) for words in (6_000, 48_000)
    )
    assert large < 24 * small


def _apply_to_copy(apply: Any, made: Transcript) -> None:
    apply(replace(made, segments=[replace(segment) for segment in made.segments]), never)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["speech", "names", "digits", "cards"])
def test_streaming_takes_work_that_grows_with_the_segments(kind: str) -> None:
    lines = []
    for words in (1_000, 8_000):
        made = recording(kind, words)
        with counted_lines() as counted:
            streamed(made, Options(redact=["card", "email"]))
        lines.append(counted.run)
    assert lines[1] < 12 * lines[0]
