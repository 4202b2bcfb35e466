"""Where a line of text may end: what a break costs after each word, and how much room a text takes.

Costs go up from a sentence's end to the inside of a word; `parting.py` weighs them against the shape of lines.
Words are as Whisper has them, with the blank before them, if there is one: in Chinese, Japanese, Thai, Lao, Khmer and
Burmese there is none, and a word is often one character. What a break costs there is told by the words that jieba finds
in Chinese and the phrases that BudouX finds in Japanese and Thai, and by the marks that may not begin or end a line
(JIS X 4051).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import accumulate

import budoux
from wcwidth import iter_graphemes, wcswidth

from src.formats.function_words import LEANERS, NAME_PARTICLES, OPENERS, TITLES

SENTENCE = 0.0
"""After a sentence."""
CLAUSE = 1.0
"""After a comma and the like."""
PHRASE = 2.5
"""Before a word that a phrase begins with."""
WORD = 4.0
"""Between any two words."""
BOUND = 9.0
"""Between words that belong together: article and noun, number and unit."""
NAME = 25.0
"""Between the parts of a name."""
INSIDE = 40.0
"""Within a phrase of a text without blanks."""
NEVER = 400.0
"""Within a word, or where a line would begin or end with a mark that may not: only if there is no other way."""

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff9f]"
    "|[\U00020000-\U0003ffff]"
)
"""A character, or a mark, of scripts that put no blanks between words."""

_NO_LINE_START = frozenset("ー～ゝゞヽヾ々〻ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ℃°ๆฯ")
_CHINESE_TAILS = frozenset("的地得了着著过過吗嗎呢吧啊嘛们們")
"""Belong to the word before them."""
_CHINESE_HEADS = frozenset("要在和把被是很不也都就将將会會能对對从從向与與跟让讓给給为為这這那每")
"""Belong to the word after them."""

_SENTENCE_ENDS = tuple(".!?…。！？｡．؟۔।")
_CLAUSE_ENDS = tuple(",;:،؛、，；：､—–")
_CLOSERS = "\"'”’»›)]}」』】）〕］〉》"
_DASHES = frozenset("-–—")


def width(text: str) -> int:
    """Columns of `text`: two for a full-width character (Chinese, Japanese, Korean, emoji), none for marks above it."""
    if text.isascii():
        return len(text)
    return sum(max(0, wcswidth(grapheme)) for grapheme in iter_graphemes(text))


def split_words(text: str) -> list[str]:
    """The words of `text` with the blank before them; characters where the script has no blanks."""
    words = re.findall(r"\s*\S+", text)
    return [part for word in words for part in (split_graphemes(word) if _UNSPACED.search(word) else [word])]


def split_graphemes(word: str) -> list[str]:
    """What readers take for the characters of `word`; the first one with the blank before it."""
    first, *others = iter_graphemes(word.lstrip())
    return [word[: -len(word.lstrip())] + first, *others]


def is_full_width_mark(character: str) -> bool:
    return is_unspaced(character) and not character.isalnum()


def is_unspaced(character: str) -> bool:
    """Whether it is of a script that puts no blanks between words."""
    return _UNSPACED.match(character) is not None


def is_torn(before: str, after: str) -> bool:
    """Whether `after` goes on with the character that `before` ends with: vowel signs, accents, joined emoji."""
    if not before or after[0].isascii():
        return False
    tail = before[-8:]
    return sum(1 for _ in iter_graphemes(tail + after[0])) == sum(1 for _ in iter_graphemes(tail))


def break_costs(words: Sequence[str], language: str) -> list[float]:
    """What it costs to end a line after each of `words`; `language` is a code of Whisper's."""
    phrase_ends = _phrase_ends("".join(words))
    places = accumulate(map(len, words))
    costs = []
    for at, place in enumerate(places):
        if at + 1 == len(words):
            costs.append(SENTENCE)
        elif words[at + 1][0].isspace():
            costs.append(_between_words(words, at, language))
        else:
            costs.append(_within_text(words[at], words[at + 1], place in phrase_ends, language))
    return costs


def _between_words(words: Sequence[str], at: int, language: str) -> float:
    """The cost of a break where there is a blank, after the word at `at`."""
    before, after = words[at].strip(), words[at + 1].strip()
    if (_is_mark(before) and _opens(before)) or (_is_mark(after) and _closes(after)) or _opens_a_speech(words, at):
        return NEVER
    if (end := _mark_at(before, after)) is not None:
        return end
    if is_unspaced(before[-1]) and is_unspaced(after[0]):
        return CLAUSE
    if _is_within_name(words, at, language):
        return NAME
    if _belongs_to_next(before, language) or after in _DASHES:
        return BOUND
    if _begins_phrase(after, language):
        return PHRASE
    return BOUND if before[-1].isdigit() or after[0].isdigit() else WORD


def _within_text(before: str, after: str, ends_phrase: bool, language: str) -> float:
    """The cost of a break where there is no blank."""
    if not (is_unspaced(before[-1]) or is_unspaced(after[0])):
        return BOUND if before[-1] in _DASHES and len(before.strip()) > 1 else NEVER
    if _opens(before) or _closes(after) or after[0] in _NO_LINE_START:
        return NEVER
    if (end := _mark_at(before.strip(), after)) is not None:
        return end
    if not ends_phrase or (language in ("zh", "yue") and after[0] in _CHINESE_TAILS):
        return INSIDE
    return BOUND if language in ("zh", "yue") and before[-1] in _CHINESE_HEADS else WORD


def _is_mark(word: str) -> bool:
    return not any(map(str.isalnum, word))


def _opens(text: str) -> bool:
    """Whether it ends with an opening bracket or quote, after which no line may end."""
    return unicodedata.category(text[-1]) in ("Ps", "Pi")


def _closes(text: str) -> bool:
    """Whether it begins with a mark that no line may begin with."""
    return unicodedata.category(text[0]) in ("Pe", "Pf", "Po") and text[0] not in "¿¡"


def _opens_a_speech(words: Sequence[str], at: int) -> bool:
    """Whether the word is the dash before what someone says."""
    return words[at].strip() in _DASHES and (at == 0 or words[at - 1].rstrip(_CLOSERS).endswith(_SENTENCE_ENDS))


def _mark_at(before: str, after: str) -> float | None:
    """What a break costs for the punctuation that it comes after; None where there is none."""
    text = before.rstrip(_CLOSERS) or before
    if text.endswith(".") and _is_abbreviation(text):
        return None
    if text.endswith(_SENTENCE_ENDS):
        return CLAUSE if after[0].islower() else SENTENCE
    if text.endswith(_CLAUSE_ENDS):
        return BOUND if text[-2:-1].isdigit() and after[0].isdigit() else CLAUSE
    return PHRASE if text != before or unicodedata.category(after[0]) in ("Ps", "Pi") else None


def _is_abbreviation(text: str) -> bool:
    core = text[:-1].lower()
    return core in TITLES or (core != "i" and re.fullmatch(r"\w(\.\w)*", core) is not None and not core.isdigit())


def _core(word: str) -> str:
    """`word` without the marks around it, its apostrophe a plain one."""
    return word.replace("’", "'").strip().strip("\"'“”‘’«»„()[]¿¡.,;:!?…-–—")


def _belongs_to_next(word: str, language: str) -> bool:
    if language not in OPENERS:
        return _is_small(word)
    core = _core(word).lower()
    return core.split("'")[0] in OPENERS[language] or core in LEANERS[language] or core in TITLES


def _begins_phrase(word: str, language: str) -> bool:
    return _core(word).lower().split("'")[0] in OPENERS[language] if language in OPENERS else _is_small(word)


def _is_small(word: str) -> bool:
    return len(word) <= 3 and word.islower()


def _is_within_name(words: Sequence[str], at: int, language: str) -> bool:
    """Whether words before and after are parts of one name: George | Bernard | Shaw, Bank | of | England."""
    before = (word for word in reversed(words[max(0, at - 2) : at + 1]) if word.strip() not in NAME_PARTICLES)
    after = (word for word in words[at + 1 : at + 4] if word.strip() not in NAME_PARTICLES)
    return _is_name(next(before, ""), language) and _is_name(next(after, ""), language)


def _is_name(word: str, language: str) -> bool:
    return _core(word)[:1].isupper() and (_core(word).lower() in TITLES or not _belongs_to_next(word, language))


def _phrase_ends(text: str) -> set[int]:
    """The places in `text` at which a phrase ends, where it is of a script without blanks.

    By the script, since the language that is spoken may change: Japanese has kana among its Chinese characters.
    """
    if re.search("[\u3040-\u30ff]", text):
        phrases = _budoux("japanese").parse(text)
    elif re.search("[\u3400-\u9fff]", text):
        import rjieba  # reads its dictionary at once, in a third of a second

        phrases = rjieba.cut(text)
    elif re.search("[\u0e00-\u0e7f]", text):
        phrases = _budoux("thai").parse(text)
    else:
        phrases = list(text) if _UNSPACED.search(text) else []
    return set(accumulate(map(len, phrases)))


@cache
def _budoux(language: str) -> budoux.Parser:
    parser: budoux.Parser = getattr(budoux, f"load_default_{language}_parser")()
    return parser
