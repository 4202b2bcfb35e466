"""Personal data is found as it is said and written, and numbers that are none stay."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.properties import examples
from transcript.personal_data import KINDS, find_personal_data, is_card_number, is_iban
from transcript.redaction import find_open_end
from transcript.transcript import PersonalData


def redacted(text: str, language: str = "en", kinds: Sequence[PersonalData] = KINDS) -> str:
    for start, end, kind in reversed(find_personal_data(text, kinds, [language])):
        text = f"{text[:start]}[{kind}]{text[end:]}"
    return text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" My card is 4242 4242 4242 4242, 12 27.", " My card is [card], 12 27."),
        (" 4242-4242-4242-4242.", " [card]."),
        (" 4242, 4242, 4242, 4242.", " [card]."),
        (" 4242. 4242. 4242. 4242.", " [card]."),
        (" It's 4-2-4-2-4-2-4-2-4-2-4-2-4-2-4-2", " It's [card]"),
        (" 4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2", " [card]"),
        (" four two four two, four two four two, 4242 4242", " [card]"),
        (" 424242, double four 2 4 2, 4242", " 424242, double four 2 4 2, 4242"),  # of twelve digits, a wrong one
        (" double five double five, double five double five, double five 5 5, 4444", " [card]"),
        (" 3782 822463 10005", " [card]"),
        (" 4,242,424,242,424,242", " [card]"),
        (" 4242424242424242 123 12/27", " [card] 123 12/27"),
        (" ٤٢٤٢ ٤٢٤٢ ٤٢٤٢ ٤٢٤٢", " [card]"),
        ("卡号4242424242424242。", "卡号[card]。"),
        (" first 4242 4242 4242 4242 and 5555 5555 5555 4444", " first [card] and [card]"),
        (" order 4242 4242 4242 4241", " order 4242 4242 4242 4241"),
        (" A4242424242424242", " A4242424242424242"),
        (" 4242:4242:4242:4242", " 4242:4242:4242:4242"),
    ],
)
def test_cards(text: str, expected: str) -> None:
    assert redacted(text, kinds=["card"]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" DE89 3704 0044 0532 0130 00.", " [iban]."),
        (" de89370400440532013000", " [iban]"),
        (" D E 8 9, 3704 0044 0532 0130 00", " [iban]"),
        (" It is GB82 WEST 1234 5698 7654 32, thanks.", " It is [iban], thanks."),
        (" G-B-8-2 W-E-S-T 1234-5698-7654-32", " [iban]"),
        (" NO93 8601 1117 947", " [iban]"),
        (" DE89 3704 0044 0532 0130 01", " DE89 3704 0044 0532 0130 01"),
        (" DE89 3704 0044 0532 0130 001", " DE89 3704 0044 0532 0130 001"),
        (" XX89 3704 0044 0532 0130 00", " XX89 3704 0044 0532 0130 00"),
    ],
)
def test_ibans(text: str, expected: str) -> None:
    assert redacted(text, kinds=["iban"]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Write to john.smith@gmail.com.", " Write to [email]."),
        (" john dot smith at gmail dot com", " [email]"),
        (" john.smith at gmail.com, please", " [email], please"),
        (" John at Gmail dot com", " [email]"),
        (" J-O-H-N at gmail.com", " [email]"),
        (" john underscore smith at mail dot example dot co dot uk.", " [email]."),
        (" my email is info at example dot com.", " my email is [email]."),
        (" look at john.smith at gmail.com", " look at [email]"),
        (" john punkt smith at gmx punkt de", " [email]"),
        (" jean point dupont arobase orange point fr", " [email]"),
        (" josé@example.es", " [email]"),
        ("邮箱是wang@qq.com。", "邮箱是[email]。"),
        (" john@localhost", " [email]"),
        (" I work at amazon.com", " I work at amazon.com"),
        (" look at example dot com", " look at example dot com"),
        (" meet me at nine dot", " meet me at nine dot"),
        (" 5 apples @ 3 dollars", " 5 apples @ 3 dollars"),
    ],
)
def test_emails(text: str, expected: str) -> None:
    assert redacted(text, kinds=["email"]) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", " call +49 170 1234567", " call [phone]"),
        ("en", " call 0049 170 1234567", " call [phone]"),
        ("en", " plus four four 7911 123456", " [phone]"),
        ("en", " +44 (0) 7911 123456", " [phone]"),
        ("en", " 212-555-1234, 24 hours", " [phone], 24 hours"),
        ("en", " (212) 555-1234", " [phone]"),
        ("en", " 5 5 5, 1 2 3, 4 5 6 7", " 5 5 5, 1 2 3, 4 5 6 7"),  # no such area
        ("en", " 555-123-4567", " [phone]"),
        ("en", " 2 1 2, 5 5 5, 1 2 3 4", " [phone]"),
        ("en", " 1-800-555-1234.", " [phone]."),
        ("en", " 07911 123456", " [phone]"),
        ("en", " oh two oh, 7946 0958", " [phone]"),
        ("en", " 98765 43210", " [phone]"),
        ("de", " 0170 1234567", " [phone]"),
        ("de", " null eins sieben null, 1 2 3 4 5 6 7", " [phone]"),
        ("fr", " 06 12 34 56 78", " [phone]"),
        ("es", " 612 34 56 78", " [phone]"),
        ("ja", " 090-1234-5678", " [phone]"),
        ("ko", " 010-1234-5678입니다", " [phone]입니다"),
        ("zh", "电话是138 1234 5678。", "电话是[phone]。"),
        ("zh", "电话一三八一二三四五六七八", "电话[phone]"),
        ("en", " in 1999, 2000, 2001, 2002", " in 1999, 2000, 2001, 2002"),
        ("da", " 2010 2011", " 2010 2011"),
        ("en", " from 10:30 to 11:45", " from 10:30 to 11:45"),
        ("en", " $1,234,567.89 and 2,125,551,234 people", " $1,234,567.89 and 2,125,551,234 people"),
        ("en", " $2125551234, 2125551234 € or 2125551234%", " $2125551234, 2125551234 € or 2125551234%"),
        ("en", " 3 4 5 6 7, page 2000", " 3 4 5 6 7, page 2000"),
        ("en", " order number 4929 1234 5678 9013", " order number 4929 1234 5678 9013"),
        ("en", " 2125551234x and A2125551234", " 2125551234x and A2125551234"),
        ("en", " one two three four five six seven eight nine", " one two three four five six seven eight nine"),
        ("en", " 1 2 3 4 5 6 7 8 9 10", " 1 2 3 4 5 6 7 8 9 10"),
    ],
)
def test_phones(language: str, text: str, expected: str) -> None:
    assert redacted(text, language, ["phone"]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" 192.168.1.1.", " [ip]."),
        (" 192 dot 168 dot 1 dot 1", " [ip]"),
        (" 192. 168. 001. 001", " [ip]"),
        (" 2001:db8::1, ::1", " [ip], [ip]"),
        (" fe80:0:0:0:0:0:0:1", " [ip]"),
        (" version 10.0.19045.1", " version 10.0.19045.1"),
        (" 10:30:45, 1:2, a::, dead:beef", " 10:30:45, 1:2, [ip], dead:beef"),
        (" 1.2.3, 1.2.3.4.5", " 1.2.3, 1.2.3.4.5"),
    ],
)
def test_ips(text: str, expected: str) -> None:
    assert redacted(text, kinds=["ip"]) == expected


def test_only_what_is_asked_for_is_found() -> None:
    text = " 4242 4242 4242 4242, john@gmail.com, 192.168.1.1"
    assert redacted(text, kinds=["email"]) == " 4242 4242 4242 4242, [email], 192.168.1.1"
    assert redacted(text, kinds=[]) == text


@given(digits=st.text("0123456789", min_size=15, max_size=15))
@examples(200)
def test_one_of_ten_check_digits_is_right(digits: str) -> None:
    cards = [f"4{digits[1:]}{check}" for check in range(10)]
    assert sum(map(is_card_number, cards)) == 1


@given(account=st.text("0123456789", min_size=18, max_size=18))
@examples(100)
def test_two_wrong_digits_side_by_side_make_a_wrong_iban(account: str) -> None:
    right = [f"DE{check:02d}{account}" for check in range(2, 99) if is_iban(f"DE{check:02d}{account}")]
    assert len(right) == 1
    swapped = f"{right[0][:5]}{right[0][6]}{right[0][5]}{right[0][7:]}"
    assert is_iban(swapped) == (swapped == right[0])


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (" Hello there, my card is 4242", "4242"),
        (" Hello there, it is 4242 42 double", "4242 42 double"),
        (" That was 4242. Bye now", "now"),
        (" write to john dot", "john dot"),
        (" write to john dot smith", "john dot smith"),
        (" write to john dot smith at gmail", "john dot smith at gmail"),
        (" account D E 89", "D E 89"),
        (" account GB82 WEST", "GB82 WEST"),
        (" call plus 49", "plus 49"),
        ("电话是138 1234", "138 1234"),
        ("你好吗今天", "天"),
        ("", ""),
    ],
)
def test_what_may_go_on_is_the_end_of_a_text(text: str, rest: str) -> None:
    assert text[find_open_end(text) :] == rest
