"""Speech without a segment is found, decoded again and inserted."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from whisper import ModelDimensions

from src.engine.coverage import MIN_GAP_S, Span, find_gaps, strip_overlap
from src.engine.decoding_options import DecodingOptions, TokenSets
from src.engine.window import Window, WindowTranscript, transcribe_window
from src.engine.work import (
    AlignmentRequest,
    DecodeRequest,
    DecodeResult,
    EncodeRequest,
    HostWork,
    NumericalFault,
    ScoreRequest,
    Steps,
    TextAttention,
)
from transcript.transcript import Segment

spans = st.lists(st.tuples(st.floats(0, 30), st.floats(0, 30)).map(lambda pair: (min(pair), max(pair))), max_size=6)
regions = (
    st.lists(st.floats(0, 30), max_size=12, unique=True)
    .map(sorted)
    .map(lambda at: list(zip(at[::2], at[1::2], strict=False)))
)


@given(regions, spans)
def test_gaps_are_in_order_and_not_covered(speech: list[Span], covered: list[Span]) -> None:
    gaps = find_gaps(speech, covered)
    for start, end in gaps:
        assert end - start >= MIN_GAP_S
        for begin, stop in covered:
            assert stop <= start or begin >= end or stop == begin
    for region in speech:
        for moment in np.linspace(*region, 20)[1:-1]:
            near = [span for span in covered if span[0] - MIN_GAP_S <= moment <= span[1] + MIN_GAP_S]
            assert near or any(start <= moment <= end for start, end in gaps) or region[1] - region[0] < MIN_GAP_S


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
def test_only_long_enough_speech_is_a_gap(speech: list[Span], covered: list[Span], gaps: list[Span]) -> None:
    assert find_gaps(speech, covered) == gaps


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
def test_words_on_both_sides_of_a_cut_are_kept_once(before: str, text: str, left: str) -> None:
    assert strip_overlap(before, text) == left


@cache
def token_sets() -> TokenSets:
    return TokenSets(ModelDimensions(80, 1500, 384, 6, 4, 51864, 448, 384, 6, 4), torch.device("cpu"))


def tokens(*pieces: float | str) -> list[int]:
    """Encodes timestamps, in seconds, and texts."""
    tokenizer = token_sets().tokenizer()
    made: list[int] = []
    for piece in pieces:
        made += (
            [tokenizer.timestamp_begin + round(piece / 0.02)] if not isinstance(piece, str) else tokenizer.encode(piece)
        )
    return made


def decoded(*pieces: float | str, **given: Any) -> DecodeResult:
    usual = {"tokens": tokens(*pieces), "avg_logprob": -0.2, "no_speech_prob": 0.0, "temperature": 0.0}
    fields: dict[str, Any] = usual | given
    return DecodeResult(**fields)


class Answers:
    """Runs a window's steps without a model: each decode request gets the next of the given results."""

    def __init__(self, *answers: DecodeResult | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[DecodeRequest] = []
        self.encoded: list[EncodeRequest] = []

    def run(self, steps: Steps) -> Any:
        sent: Any = None
        while True:
            try:
                work = steps.throw(sent) if isinstance(sent, Exception) else steps.send(sent)
            except StopIteration as end:
                return end.value
            sent = [self.run(child) for child in work] if isinstance(work, list) else self.answer(work)

    def answer(self, work: Any) -> Any:
        match work:
            case EncodeRequest():
                self.encoded.append(work)
                return torch.zeros(1500, 384)
            case DecodeRequest():
                self.requests.append(work)
                return self.answers.pop(0)
            case ScoreRequest():
                assert work.prompt == self.requests[-1].prompt
                return [-token / 1e5 for token in work.tokens]
            case AlignmentRequest():
                return TextAttention(
                    np.eye(len(work.text) + 1, work.num_frames, dtype=np.float32), [1.0] * len(work.text)
                )
            case HostWork():
                return work.run()

    def transcribe(self, window: Window, **options: Any) -> WindowTranscript:
        transcript: WindowTranscript = self.run(transcribe_window(window, DecodingOptions(**options), token_sets()))
        return transcript


def window(seconds: float, *speech: Span) -> Window:
    return Window(np.zeros(round(seconds * 16000), np.int16), speech)


def test_segments_are_cut_at_timestamps_and_the_last_one_ends_with_the_window() -> None:
    answers = Answers(decoded(0.5, " One.", 2.0, 2.0, " Two.", 3.5, 4.0, " Three"))
    segments = answers.transcribe(window(6)).segments
    assert [(segment.start, segment.end, segment.text) for segment in segments] == [
        (0.5, 2.0, " One."),
        (2.0, 3.5, " Two."),
        (4.0, 6, " Three"),
    ]
    assert segments[0].tokens == tokens(0.5, " One.", 2.0)


def test_no_segment_extends_beyond_its_window() -> None:
    answers = Answers(decoded(0.0, " One.", 9.0, 12.0, " Beyond.", 14.0))
    assert [(segment.start, segment.end) for segment in answers.transcribe(window(6)).segments] == [(0.0, 6.0)]


def test_speech_without_a_segment_is_decoded_again_and_inserted() -> None:
    answers = Answers(decoded(0.0, " One.", 2.0, 8.0, " Three.", 10.0), decoded(0.2, " Two.", 5.6))
    transcript = answers.transcribe(window(10, (0, 10)))
    assert [segment.text for segment in transcript.segments] == [" One.", " Two.", " Three."]
    assert (transcript.segments[1].start, transcript.segments[1].end) == (pytest.approx(2.0), pytest.approx(7.4))
    assert transcript.segments[1].tokens == tokens(2.0, " Two.", 7.4)
    assert len(answers.encoded[1].audio) == pytest.approx((8.2 - 1.8) * 16000, abs=320)
    assert transcript.uncovered == []
    assert transcript.repaired == pytest.approx(6.0)


def logprobs(segment: Segment) -> list[tuple[bytes, float]]:
    return [(token.bytes, token.logprob) for token in segment.logprobs or []]


def scores(text: str) -> list[tuple[bytes, float]]:
    """What `Answers` scores the tokens of a text with."""
    tokenizer = token_sets().tokenizer()
    return [(tokenizer.encoding.decode_single_token_bytes(token), -token / 1e5) for token in tokens(text)]


def test_each_segment_has_the_scores_of_its_own_tokens() -> None:
    texts = [" One.", " 三 and äöü 🦜.", " Three"]
    result = decoded(0.5, texts[0], 2.0, 2.0, 2.2, texts[1], 3.5, 4.0, texts[2])
    segments = Answers(result).transcribe(window(6), token_logprobs=True).segments
    assert [logprobs(segment) for segment in segments] == [scores(text) for text in texts]
    assert b"".join(token.bytes for token in segments[1].logprobs or []).decode() == texts[1]
    assert all(segment.logprobs is None for segment in Answers(result).transcribe(window(6)).segments)


def test_scores_of_speech_that_is_decoded_again_are_inserted_without_those_of_repeated_words() -> None:
    answers = Answers(decoded(0.0, " One and", 2.0, 8.0, " Three.", 10.0), decoded(0.2, " and then two.", 5.6))
    segments = answers.transcribe(window(10, (0, 10)), token_logprobs=True).segments
    assert [segment.text for segment in segments] == [" One and", " then two.", " Three."]
    assert logprobs(segments[1]) == scores(" then two.")


def test_speech_that_stays_uncovered_is_reported_and_not_retried_forever() -> None:
    empty = decoded(0.0, avg_logprob=-2.0, no_speech_prob=0.9)
    answers = Answers(decoded(0.0, " One.", 2.0), *[empty] * 20)
    transcript = answers.transcribe(window(10, (0, 10)))
    assert transcript.uncovered == [(2.0, 10)]
    assert len(answers.requests) == 2


def test_redecoding_is_prompted_with_the_text_before_the_gap() -> None:
    answers = Answers(decoded(0.0, " One.", 2.0, 8.0, " Three.", 10.0), decoded(0.2, " Two.", 5.6))
    answers.transcribe(window(10, (0, 10)), prompt="Numbers")
    tokenizer = token_sets().tokenizer()
    assert tokenizer.decode(answers.requests[1].prompt[1:-1]) == " Numbers One."


def test_a_redecoded_gap_with_low_confidence_stays_a_gap() -> None:
    guess = decoded(0.2, " Sess.", 5.6, avg_logprob=-3.0)
    answers = Answers(decoded(0.0, " One.", 2.0), guess, guess)
    transcript = answers.transcribe(window(10, (0, 10)))
    assert [segment.text for segment in transcript.segments] == [" One."]
    assert transcript.uncovered == [(2.0, 10)]


def test_a_redecoded_gap_with_a_loop_stays_a_gap() -> None:
    loop = decoded(0.2, " again and" * 40, 5.6)
    transcript = Answers(decoded(0.0, " One.", 2.0), loop).transcribe(window(10, (0, 10)))
    assert [segment.text for segment in transcript.segments] == [" One."]
    assert transcript.uncovered == [(2.0, 10)]


def test_a_silent_window_is_not_decoded_again() -> None:
    answers = Answers(decoded(0.0, " Thanks.", 2.0, avg_logprob=-1.5, no_speech_prob=0.9))
    transcript = answers.transcribe(window(10, (0, 10)))
    assert transcript.segments == []
    assert transcript.uncovered == [(0, 10)]


def test_the_temperature_rises_until_the_text_is_plausible() -> None:
    loop = decoded(0.0, " again and" * 40, 9.0)
    doubted = decoded(0.0, " Hm.", 9.0, avg_logprob=-1.5, temperature=0.2)
    good = decoded(0.0, " Good.", 9.0, temperature=0.4)
    answers = Answers(loop, doubted, good)
    assert answers.transcribe(window(9), beam_size=5, best_of=3).segments[0].text == " Good."
    assert [(request.temperature, request.beam_size, request.num_samples) for request in answers.requests] == [
        (0.0, 5, 1),
        (0.2, None, 3),
        (0.4, None, 3),
    ]


@pytest.mark.parametrize(
    ("greedy", "beams", "kept"),
    [
        (-0.39, None, " Greedy."),
        (-0.41, -0.30, " Beams."),
        (-0.41, -0.50, " Greedy."),
        (-0.99, -0.90, " Beams."),
        (-1.20, -0.95, " Beams."),
    ],
)
def test_a_beam_search_gives_a_second_opinion_where_greedy_decoding_is_unsure(
    greedy: float, beams: float | None, kept: str
) -> None:
    opinions = [] if beams is None else [decoded(0.0, " Beams.", 9.0, avg_logprob=beams)]
    answers = Answers(decoded(0.0, " Greedy.", 9.0, avg_logprob=greedy), *opinions)
    assert [segment.text for segment in answers.transcribe(window(9)).segments] == [kept]
    assert [request.beam_size for request in answers.requests] == [None, 5][: 1 + len(opinions)]


def test_a_second_opinion_that_leaves_out_a_clause_is_not_followed() -> None:
    greedy = decoded(0.0, " One clause here, and another there.", 9.0, avg_logprob=-0.5)
    shorter = decoded(0.0, " One clause here.", 9.0, avg_logprob=-0.3)
    assert Answers(greedy, shorter).transcribe(window(9)).segments[0].text == " One clause here, and another there."
    improbable = decoded(0.0, " One clause here, and another there.", 9.0, avg_logprob=-1.1)
    assert Answers(improbable, shorter).transcribe(window(9)).segments[0].text == " One clause here."


def test_a_caller_who_chooses_the_beams_gets_no_second_opinion() -> None:
    answers = Answers(decoded(0.0, " One beam.", 9.0, avg_logprob=-0.8))
    answers.transcribe(window(9), beam_size=1)
    assert [request.beam_size for request in answers.requests] == [None]


def test_silence_gets_no_second_opinion() -> None:
    answers = Answers(decoded(0.0, " Thanks.", 9.0, avg_logprob=-1.2, no_speech_prob=0.7))
    assert answers.transcribe(window(9)).silent


def test_a_loop_over_silence_is_silence() -> None:
    loop = decoded(0.0, " again and" * 40, 9.0, no_speech_prob=0.9)
    assert Answers(loop).transcribe(window(9), temperatures=(0.0,)).silent
    assert Answers(loop, decoded(0.0, " Good.", 9.0)).transcribe(window(9)).segments[0].text == " Good."


@pytest.mark.parametrize(
    ("no_speech_prob", "avg_logprob", "texts"),
    [(0.59, -0.2, [" Hello."]), (0.61, -0.2, []), (0.1, -0.69, [" Hello."]), (0.1, -0.71, [])],
)
def test_the_text_of_a_doubtful_window_is_kept_only_if_the_model_is_certain(
    no_speech_prob: float, avg_logprob: float, texts: list[str]
) -> None:
    text = decoded(0.0, " Hello.", 3.0, avg_logprob=avg_logprob, no_speech_prob=no_speech_prob)
    doubtful = Window(np.zeros(48000, np.int16), [(0.4, 2.6)], doubtful=True)
    transcript = Answers(text, text).transcribe(doubtful)
    assert [segment.text for segment in transcript.segments] == texts
    assert transcript.uncovered == []


def test_a_doubtful_window_is_not_decoded_at_higher_temperatures() -> None:
    answers = Answers(decoded(0.0, " Hm.", 3.0, avg_logprob=-1.5))
    doubtful = Window(np.zeros(48000, np.int16), [(0.4, 2.6)], doubtful=True)
    assert answers.transcribe(doubtful, beam_size=1).segments == []
    assert len(answers.requests) == 1


def test_if_no_text_is_plausible_the_likeliest_is_returned_before_any_loop() -> None:
    loop = decoded(0.0, " again and" * 40, 9.0, avg_logprob=-0.1)
    opinions = [
        decoded(0.0, " Better.", 9.0, avg_logprob=-1.4, temperature=0.2),
        decoded(0.0, " Nonsense.", 9.0, avg_logprob=-3.0, temperature=0.4),
    ]
    answers = Answers(loop, *opinions)
    transcript = answers.transcribe(window(9), temperatures=(0.0, 0.2, 0.4))
    assert [segment.text for segment in transcript.segments] == [" Better."]


@pytest.mark.parametrize(("is_said", "texts"), [(True, [" Go on, then."] * 12), (False, [" Good."])])
def test_a_repetition_is_plausible_if_the_sound_repeats(is_said: bool, texts: list[str]) -> None:
    random = np.random.default_rng(3)
    syllables = random.normal(0, 3000, (4, 8000)) * np.hanning(8000)
    tones = np.sin(np.outer((200, 500, 900, 1500), np.arange(8000) / 16000 * 2 * np.pi)) * 8000 * np.hanning(8000)
    phrase = np.concatenate(syllables * 0.1 + tones)[:24000]
    other = random.normal(0, 3000, 12 * 24000)
    audio = (np.tile(phrase, 12) if is_said else other).astype(np.int16)
    pieces = [piece for number in range(12) for piece in (1.5 * number, " Go on, then.", 1.5 * number + 1.5)]
    answers = Answers(decoded(*pieces), decoded(0.0, " Good.", 18.0, temperature=0.2))
    transcript = answers.transcribe(Window(audio))
    assert [segment.text for segment in transcript.segments] == texts


def test_a_window_whose_numbers_overflow_is_decoded_in_float32() -> None:
    answers = Answers(NumericalFault("overflow"), decoded(0.0, " Good.", 9.0))
    transcript = answers.transcribe(window(9))
    assert transcript.in_float32
    assert [request.in_float32 for request in answers.encoded] == [False, True]
    assert transcript.segments[0].text == " Good."


def test_words_are_timed_by_the_attention_to_their_sound() -> None:
    answers = Answers(decoded(0.0, " One two three.", 2.0))
    (segment,) = answers.transcribe(window(2), word_timestamps=True).segments
    assert [(word.word, word.start, word.end) for word in segment.words or []] == [
        (" One", 0.0, 0.02),
        (" two", 0.02, 0.04),
        (" three.", 0.04, 0.06),
    ]


def test_a_window_without_text_is_not_aligned() -> None:
    answers = Answers(decoded(0.0, avg_logprob=-2.0, no_speech_prob=0.9))
    assert answers.transcribe(window(2), word_timestamps=True).segments == []
