"""What two drafts in succession agree on, by tables of texts in the real tokens."""

from __future__ import annotations

import itertools

import pytest
from whisper.tokenizer import get_tokenizer

from src.live.agreement import Agreement, Vocabulary, agreed_prefix

TOKENIZER = get_tokenizer(multilingual=True, language="en", task="transcribe")
SPACED = Vocabulary(TOKENIZER.eot, TOKENIZER.encoding.decode_single_token_bytes)
UNSPACED = Vocabulary(TOKENIZER.eot, TOKENIZER.encoding.decode_single_token_bytes, spaced=False)


def draft(*texts: str | float) -> list[int]:
    """Tokens of texts, with the timestamps between them in seconds."""
    return [
        token
        for text in texts
        for token in (
            TOKENIZER.encode(text) if isinstance(text, str) else [TOKENIZER.timestamp_begin + round(text / 0.02)]
        )
    ]


@pytest.mark.parametrize(
    ("previous", "current", "agreed"),
    [
        (" The quick brown", " The quick brown fox", " The quick brown"),
        (" The quick brow", " The quick brown fox", " The quick"),
        (" The quick", " The quick", " The"),  # the last word may go on
        (" I went.", " I went to", " I went"),
        (" I went. He", " I went. He said", " I went. He"),
        (" A cat", " The cat", ""),
        ("", " The cat", ""),
        (" The cat", "", ""),
        (" It is unbelievable that", " It is unbelievably big", " It is"),
        (" It costs 3.5", " It costs 3.7 now", " It costs 3"),
        (" He said, yes", " He said, no", " He said,"),
    ],
)
def test_drafts_agree_on_whole_words(previous: str, current: str, agreed: str) -> None:
    assert SPACED.decode(agreed_prefix(draft(previous), draft(current), SPACED)) == agreed


@pytest.mark.parametrize(
    ("previous", "current", "agreed"),
    [
        ("今天天气很好", "今天天气很坏啊", "今天天气"),  # 很好 is one token
        ("今天天", "今天天气", "今天天"),
        ("今天", "今天", ""),
        ("𠮷野家", "𠮷野屋", "𠮷野"),  # several tokens to a character
        ("あ𠮷", "あ𠮵で", "あ"),
    ],
)
def test_without_spaces_they_agree_on_whole_characters(previous: str, current: str, agreed: str) -> None:
    assert UNSPACED.decode(agreed_prefix(draft(previous), draft(current), UNSPACED)) == agreed


def test_timestamps_move_with_the_sound_and_those_of_the_later_draft_count() -> None:
    previous = draft(0.0, " Good morning.", 2.0, 2.0, " How are", 3.0)
    current = draft(0.0, " Good morning.", 2.4, 2.4, " How are you", 3.8)
    assert agreed_prefix(previous, current, SPACED) == draft(0.0, " Good morning.", 2.4, 2.4, " How are")


def test_what_was_agreed_is_never_withdrawn() -> None:
    agreement, told = Agreement(), []
    for text in (" to speak", " to speak to", " to speaker", " to speaker two", " to speaking of", " to"):
        agreement.add(draft(text), "en", SPACED)
        told.append(SPACED.decode(agreement.tokens))
    assert told[1] == " to speak"
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(told))


def test_drafts_in_two_languages_agree_on_nothing() -> None:
    agreement = Agreement()
    agreement.add(draft(" Hello there you"), "en", SPACED)
    agreement.add(draft(" Hello there you"), "cy", SPACED)
    assert (agreement.tokens, agreement.language) == ([], None)
    agreement.add(draft(" Hello there you all"), "cy", SPACED)
    assert (SPACED.decode(agreement.tokens), agreement.language) == (" Hello there you", "cy")


def test_a_draft_that_is_no_text_agrees_with_nothing() -> None:
    agreement = Agreement()
    agreement.add(draft(" One two three"), "en", SPACED)
    agreement.skip()
    agreement.add(draft(" One two three"), "en", SPACED)
    assert agreement.tokens == []
