"""What a terminal shows of a live transcription, and what a pipe gets."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from client.realtime.captions import Captions
from client.realtime.utterances import Utterance

SEGMENTS = [{"start": 1.0, "end": 2.5, "text": " Hello [there].", "speaker": "SPEAKER_00"}]


def shown(captions: Captions, *, width: int = 40) -> list[str]:
    """The lines below the final text."""
    console = Console(file=io.StringIO(), width=width, height=10)
    captions._out = console
    with console.capture() as capture:
        console.print(captions._render())
    return capture.get().splitlines()


def test_final_text_is_a_line_with_its_times_and_its_speaker(capsys: pytest.CaptureFixture[str]) -> None:
    captions = Captions(lambda: "", quiet=False)
    captions.print_utterance(Utterance("a", 1.0, 2.5, segments=SEGMENTS))
    assert capsys.readouterr().out == "[00:00:01.000 --> 00:00:02.500] SPEAKER_00: Hello [there].\n"


def test_long_text_stays_on_one_line_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = " word" * 100
    Captions(lambda: "", quiet=False).print_utterance(
        Utterance("a", 0, 1, segments=[{"start": 0, "end": 1, "text": text}])
    )
    assert capsys.readouterr().out.count("\n") == 1


def test_the_words_that_are_being_spoken_are_above_the_status() -> None:
    captions = Captions(lambda: "00:12  listening", quiet=False)
    captions.running_words = " and so on"
    assert [line.rstrip() for line in shown(captions)] == ["and so on", "00:12  listening"]


def test_of_many_words_the_newest_are_shown() -> None:
    captions = Captions(lambda: "status", quiet=False)
    captions.running_words = " ".join(str(number) for number in range(1000))
    lines = shown(captions)
    assert len(lines) <= 4
    assert lines[0].startswith("…")
    assert lines[-2].rstrip().endswith("998 999")


def test_notes_are_no_part_of_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    Captions(lambda: "", quiet=False).note("the line \x1b[2J is bad")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "Note: the line \N{REPLACEMENT CHARACTER}[2J is bad\n")
