"""What was heard and not written is found, decoded again and put in its place."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from whisper import ModelDimensions

from src.engine.alignment import Passage
from src.engine.coverage import LEAST_GAP, Span, uncovered, without_echo
from src.engine.decoding import Attempt, Decoded, NumericalFault
from src.engine.decoding_options import DecodingOptions, Vocabulary
from src.engine.window import Encode, Steps, Window, WindowTranscript, transcribe_window

spans = st.lists(st.tuples(st.floats(0, 30), st.floats(0, 30)).map(lambda pair: (min(pair), max(pair))), max_size=6)
regions = (
    st.lists(st.floats(0, 30), max_size=12, unique=True)
    .map(sorted)
    .map(lambda at: list(zip(at[::2], at[1::2], strict=False)))
)


@given(regions, spans)
def test_gaps_lie_in_order_in_what_is_not_covered(speech: list[Span], covered: list[Span]) -> None:
    gaps = uncovered(speech, covered)
    for start, end in gaps:
        assert end - start >= LEAST_GAP
        for begin, stop in covered:
            assert stop <= start or begin >= end or stop == begin
    for region in speech:
        for moment in np.linspace(*region, 20)[1:-1]:
            near = [one for one in covered if one[0] - LEAST_GAP <= moment <= one[1] + LEAST_GAP]
            assert near or any(start <= moment <= end for start, end in gaps) or region[1] - region[0] < LEAST_GAP


@pytest.mark.parametrize(
    ("speech", "covered", "gaps"),
    [
        ([(0, 10)], [(0, 10)], []),
        ([(0, 10)], [], [(0, 10)]),
        ([(0, 10)], [(0, 4), (6, 10)], [(4, 6)]),
        ([(0, 10)], [(0, 4), (4.6, 10)], []),
        ([(0, 10)], [(0, 9.5)], []),
        ([(0, 2), (2.3, 4)], [], [(0, 4)]),
        ([(0, 2), (3, 4)], [], [(0, 2), (3, 4)]),
        ([(0, 10)], [(2, 3), (1, 5)], [(0, 1), (5, 10)]),
    ],
)
def test_only_speech_of_some_length_is_a_gap(speech: list[Span], covered: list[Span], gaps: list[Span]) -> None:
    assert uncovered(speech, covered) == gaps


@pytest.mark.parametrize(
    ("before", "text", "left"),
    [
        (" to think for an hour or more", " more whether he would stay", " whether he would stay"),
        (" an hour or more.", " Or more, whether", " whether"),
        (" an hour", " or more", " or more"),
        ("", " or more", " or more"),
        (" the end", " the end", ""),
        (" don't", " Don't you think", " you think"),
        (" Ende der Straße", " Straße links", " links"),
    ],
)
def test_a_word_is_not_said_twice_at_a_seam(before: str, text: str, left: str) -> None:
    assert without_echo(before, text) == left


@cache
def vocabulary() -> Vocabulary:
    return Vocabulary(ModelDimensions(80, 1500, 384, 6, 4, 51864, 448, 384, 6, 4), torch.device("cpu"))


def tokens(*pieces: float | str) -> list[int]:
    """Numbers are timestamps in seconds, the rest is text."""
    tokenizer = vocabulary().tokenizer()
    made: list[int] = []
    for piece in pieces:
        made += (
            [tokenizer.timestamp_begin + round(piece / 0.02)] if not isinstance(piece, str) else tokenizer.encode(piece)
        )
    return made


def decoded(*pieces: float | str, **given: Any) -> Decoded:
    usual = {"tokens": tokens(*pieces), "avg_logprob": -0.2, "no_speech_prob": 0.0, "temperature": 0.0}
    fields: dict[str, Any] = usual | given
    return Decoded(**fields)


class Answers:
    """Runs a window's steps by hand: each attempt is given the next of some answers."""

    def __init__(self, *answers: Decoded | Exception) -> None:
        self.answers = list(answers)
        self.attempts: list[Attempt] = []
        self.encoded: list[Encode] = []

    def run(self, steps: Steps) -> Any:
        sent: Any = None
        while True:
            try:
                wanted = steps.throw(sent) if isinstance(sent, Exception) else steps.send(sent)
            except StopIteration as end:
                return end.value
            sent = [self.run(one) for one in wanted] if isinstance(wanted, list) else self.answer(wanted)

    def answer(self, work: Any) -> Any:
        match work:
            case Encode():
                self.encoded.append(work)
                return torch.zeros(1500, 384)
            case Attempt():
                self.attempts.append(work)
                return self.answers.pop(0)
            case Passage():
                return None

    def transcribe(self, window: Window, **options: Any) -> WindowTranscript:
        transcript: WindowTranscript = self.run(transcribe_window(window, DecodingOptions(**options), vocabulary()))
        return transcript


def window(seconds: float, *speech: Span) -> Window:
    return Window(np.zeros(round(seconds * 16000), np.int16), speech)


def test_segments_are_cut_at_the_timestamps_and_the_tail_lasts_to_the_end() -> None:
    answers = Answers(decoded(0.5, " One.", 2.0, 2.0, " Two.", 3.5, 4.0, " Three"))
    segments = answers.transcribe(window(6)).segments
    assert [(one.start, one.end, one.text) for one in segments] == [
        (0.5, 2.0, " One."),
        (2.0, 3.5, " Two."),
        (4.0, 6, " Three"),
    ]
    assert segments[0].tokens == tokens(0.5, " One.", 2.0)


def test_no_segment_reaches_beyond_its_window() -> None:
    answers = Answers(decoded(0.0, " One.", 9.0, 12.0, " Beyond.", 14.0))
    assert [(one.start, one.end) for one in answers.transcribe(window(6)).segments] == [(0.0, 6.0)]


def test_speech_without_a_segment_is_decoded_again_and_put_in_its_place() -> None:
    answers = Answers(decoded(0.0, " One.", 2.0, 8.0, " Three.", 10.0), decoded(0.2, " Two.", 5.6))
    transcript = answers.transcribe(window(10, (0, 10)))
    assert [one.text for one in transcript.segments] == [" One.", " Two.", " Three."]
    assert (transcript.segments[1].start, transcript.segments[1].end) == (pytest.approx(2.0), pytest.approx(7.4))
    assert transcript.segments[1].tokens == tokens(2.0, " Two.", 7.4)
    assert len(answers.encoded[1].audio) == pytest.approx((8.2 - 1.8) * 16000, abs=320)
    assert transcript.missed == []
    assert transcript.repaired == pytest.approx(6.0)


def test_what_stays_uncovered_is_reported_and_not_tried_for_ever() -> None:
    empty = decoded(0.0, avg_logprob=-2.0, no_speech_prob=0.9)
    answers = Answers(decoded(0.0, " One.", 2.0), *[empty] * 20)
    transcript = answers.transcribe(window(10, (0, 10)))
    assert transcript.missed == [(2.0, 10)]
    assert len(answers.attempts) == 2


def test_a_repair_knows_what_was_said_before_it() -> None:
    answers = Answers(decoded(0.0, " One.", 2.0, 8.0, " Three.", 10.0), decoded(0.2, " Two.", 5.6))
    answers.transcribe(window(10, (0, 10)), prompt="Numbers")
    tokenizer = vocabulary().tokenizer()
    assert tokenizer.decode(answers.attempts[1].prompt[1:-1]) == " Numbers One."


def test_a_repair_that_is_a_guess_stays_a_gap() -> None:
    guess = decoded(0.2, " Sess.", 5.6, avg_logprob=-3.0)
    answers = Answers(decoded(0.0, " One.", 2.0), guess)
    transcript = answers.transcribe(window(10, (0, 10)))
    assert [one.text for one in transcript.segments] == [" One."]
    assert transcript.missed == [(2.0, 10)]


def test_a_window_that_is_silence_is_not_repaired() -> None:
    answers = Answers(decoded(0.0, " Thanks.", 2.0, avg_logprob=-1.5, no_speech_prob=0.9))
    transcript = answers.transcribe(window(10, (0, 10)))
    assert transcript.segments == []
    assert transcript.missed == [(0, 10)]


def test_the_ladder_is_climbed_until_the_text_looks_right() -> None:
    loop = decoded(0.0, " again and" * 40, 9.0)
    doubted = decoded(0.0, " Hm.", 9.0, avg_logprob=-1.5, temperature=0.2)
    good = decoded(0.0, " Good.", 9.0, temperature=0.4)
    answers = Answers(loop, doubted, good)
    assert answers.transcribe(window(9), beam_size=5, best_of=3).segments[0].text == " Good."
    assert [(one.temperature, one.beams, one.samples) for one in answers.attempts] == [
        (0.0, 5, 1),
        (0.2, None, 3),
        (0.4, None, 3),
    ]


def test_overflowing_numbers_send_the_window_through_float32() -> None:
    answers = Answers(NumericalFault("overflow"), decoded(0.0, " Good.", 9.0))
    transcript = answers.transcribe(window(9))
    assert transcript.in_float32
    assert [one.in_float32 for one in answers.encoded] == [False, True]
    assert transcript.segments[0].text == " Good."
