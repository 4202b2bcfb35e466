"""The cost of a line break after each word, and the width of a text.

Costs rise from the end of a sentence to the inside of a word; `cue_splitting.py` weighs them against the shape of
lines. Words are Whisper's, with the space before them if there is one: Chinese, Japanese, Thai, Lao, Khmer and Burmese
have none, and a word is often a single character. There, the cost follows from the words that jieba finds in Chinese,
the phrases that BudouX finds in Japanese and Thai, and the marks that may not begin or end a line (JIS X 4051).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate

import budoux
from wcwidth import iter_graphemes, wcswidth

from transcript.checks import Check, checked, never
from transcript.formats.function_words import CLAUSE_STARTERS, NAME_PARTICLES, PROCLITICS, TITLES

SENTENCE_BREAK = 0.0
"""After a sentence."""
CLAUSE_BREAK = 1.0
"""After a comma and similar marks."""
PHRASE_BREAK = 2.5
"""Before a word that begins a phrase."""
WORD_BREAK = 4.0
"""Between any two words."""
BOUND_WORDS_BREAK = 9.0
"""Between words that belong together: article and noun, number and unit."""
NAME_BREAK = 25.0
"""Between the parts of a name."""
INSIDE_PHRASE_BREAK = 40.0
"""Inside a phrase of a text without spaces."""
FORBIDDEN_BREAK = 400.0
"""Inside a word, or where a line would begin or end with a mark that may not; only if nothing else fits."""

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff9f]"
    "|[\U00020000-\U0003ffff]"
)
"""A character or mark of a script without spaces between words."""

_NO_LINE_START = frozenset("ー～ゝゞヽヾ々〻ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ℃°ๆฯ")
_CHINESE_ENCLITICS = frozenset("的地得了着著过過吗嗎呢吧啊嘛们們")
"""Characters that belong to the word before them."""
_CHINESE_PROCLITICS = frozenset("要在和把被是很不也都就将將会會能对對从從向与與跟让讓给給为為这這那每")
"""Characters that belong to the word after them."""

_SENTENCE_ENDS = tuple(".!?…。！？｡．؟۔।")
_CLAUSE_ENDS = tuple(",;:،؛、，；：､—–")
_CLOSERS = "\"'”’»›)]}」』】）〕］〉》"
_DASHES = frozenset("-–—")

_BUDOUX_STRETCH = 10_000
"""Characters of a text that are searched for phrases at once, some 20 ms."""


def display_width(text: str) -> int:
    """Return the columns of `text`: two per full-width character (Chinese, Japanese, Korean, emoji), 0 per accent."""
    if text.isascii():
        return len(text)
    return sum(max(0, wcswidth(grapheme)) for grapheme in iter_graphemes(text))


def split_words(text: str) -> list[str]:
    """Split `text` into words with the space before them; into characters where the script has no spaces."""
    words = re.findall(r"\s*\S+", text)
    return [part for word in words for part in (split_graphemes(word) if _UNSPACED.search(word) else [word])]


def split_graphemes(word: str) -> list[str]:
    """Split `word` into the characters that a reader sees; the first keeps the space before it."""
    first, *rest = iter_graphemes(word.lstrip())
    return [word[: -len(word.lstrip())] + first, *rest]


def is_full_width_mark(character: str) -> bool:
    """Return true for punctuation of a script without spaces between words."""
    return is_unspaced(character) and not character.isalnum()


def is_unspaced(character: str) -> bool:
    """Return true for a character of a script without spaces between words."""
    return _UNSPACED.match(character) is not None


def is_torn(before: str, after: str) -> bool:
    """Return true if `after` continues the last character of `before`: a vowel sign, an accent, a joined emoji."""
    if not before or after[0].isascii():
        return False
    tail = before[-8:]
    return sum(1 for _ in iter_graphemes(tail + after[0])) == sum(1 for _ in iter_graphemes(tail))


def break_costs(words: Sequence[str], language: str, check: Check = never) -> list[float]:
    """Return the cost of a line break after each of `words`; `language` is Whisper's code."""
    phrase_ends = _phrase_ends("".join(words), check)
    word_ends = accumulate(map(len, words))
    costs = []
    for at, end in enumerate(checked(word_ends, check)):
        if at + 1 == len(words):
            costs.append(SENTENCE_BREAK)
        elif words[at + 1][0].isspace():
            costs.append(_cost_at_space(words, at, language))
        else:
            costs.append(_cost_without_space(words[at], words[at + 1], end in phrase_ends, language))
    return costs


def _cost_at_space(words: Sequence[str], at: int, language: str) -> float:
    """Return the cost of a break at the space after the word at `at`."""
    before, after = words[at].strip(), words[at + 1].strip()
    if (
        (_is_mark(before) and _ends_open(before))
        or (_is_mark(after) and _starts_closed(after))
        or _is_dialogue_dash(words, at)
    ):
        return FORBIDDEN_BREAK
    if (cost := _punctuation_cost(before, after)) is not None:
        return cost
    if is_unspaced(before[-1]) and is_unspaced(after[0]):
        return CLAUSE_BREAK
    if _is_within_name(words, at, language):
        return NAME_BREAK
    if _belongs_to_next(before, language) or after in _DASHES:
        return BOUND_WORDS_BREAK
    if _begins_phrase(after, language):
        return PHRASE_BREAK
    return BOUND_WORDS_BREAK if before[-1].isdigit() or after[0].isdigit() else WORD_BREAK


def _cost_without_space(before: str, after: str, ends_phrase: bool, language: str) -> float:
    """Return the cost of a break between two words without a space between them."""
    if not (is_unspaced(before[-1]) or is_unspaced(after[0])):
        return BOUND_WORDS_BREAK if before[-1] in _DASHES and len(before.strip()) > 1 else FORBIDDEN_BREAK
    if _ends_open(before) or _starts_closed(after) or after[0] in _NO_LINE_START:
        return FORBIDDEN_BREAK
    if (cost := _punctuation_cost(before.strip(), after)) is not None:
        return cost
    if not ends_phrase or (language in ("zh", "yue") and after[0] in _CHINESE_ENCLITICS):
        return INSIDE_PHRASE_BREAK
    return BOUND_WORDS_BREAK if language in ("zh", "yue") and before[-1] in _CHINESE_PROCLITICS else WORD_BREAK


def _is_mark(word: str) -> bool:
    return not any(map(str.isalnum, word))


def _ends_open(text: str) -> bool:
    """True if `text` ends with an opening bracket or quote, which no line may end with."""
    return unicodedata.category(text[-1]) in ("Ps", "Pi")


def _starts_closed(text: str) -> bool:
    """True if `text` begins with a mark that no line may begin with."""
    return unicodedata.category(text[0]) in ("Pe", "Pf", "Po") and text[0] not in "¿¡"


def _is_dialogue_dash(words: Sequence[str], at: int) -> bool:
    """True if the word is the dash that begins a line of dialogue."""
    return words[at].strip() in _DASHES and (at == 0 or words[at - 1].rstrip(_CLOSERS).endswith(_SENTENCE_ENDS))


def _punctuation_cost(before: str, after: str) -> float | None:
    """Return the cost of a break after the punctuation that ends `before`; None if there is none."""
    text = before.rstrip(_CLOSERS) or before
    if text.endswith(".") and _is_abbreviation(text):
        return None
    if text.endswith(_SENTENCE_ENDS):
        return CLAUSE_BREAK if after[0].islower() else SENTENCE_BREAK
    if text.endswith(_CLAUSE_ENDS):
        return BOUND_WORDS_BREAK if text[-2:-1].isdigit() and after[0].isdigit() else CLAUSE_BREAK
    return PHRASE_BREAK if text != before or unicodedata.category(after[0]) in ("Ps", "Pi") else None


def _is_abbreviation(text: str) -> bool:
    core = text[:-1].lower()
    return core in TITLES or (core != "i" and re.fullmatch(r"\w(\.\w)*", core) is not None and not core.isdigit())


def _core(word: str) -> str:
    """Return `word` without the marks around it, and with a plain apostrophe."""
    return word.replace("’", "'").strip().strip("\"'“”‘’«»„()[]¿¡.,;:!?…-–—")


def _belongs_to_next(word: str, language: str) -> bool:
    if language not in CLAUSE_STARTERS:
        return _may_be_function_word(word)
    core = _core(word).lower()
    return core.split("'")[0] in CLAUSE_STARTERS[language] or core in PROCLITICS[language] or core in TITLES


def _begins_phrase(word: str, language: str) -> bool:
    if language not in CLAUSE_STARTERS:
        return _may_be_function_word(word)
    return _core(word).lower().split("'")[0] in CLAUSE_STARTERS[language]


def _may_be_function_word(word: str) -> bool:
    return len(word) <= 3 and word.islower()


def _is_within_name(words: Sequence[str], at: int, language: str) -> bool:
    """True if the words before and after are parts of one name: George | Bernard | Shaw, Bank | of | England."""
    before = (word for word in reversed(words[max(0, at - 2) : at + 1]) if word.strip() not in NAME_PARTICLES)
    after = (word for word in words[at + 1 : at + 4] if word.strip() not in NAME_PARTICLES)
    return _is_name(next(before, ""), language) and _is_name(next(after, ""), language)


def _is_name(word: str, language: str) -> bool:
    return _core(word)[:1].isupper() and (_core(word).lower() in TITLES or not _belongs_to_next(word, language))


def _phrase_ends(text: str, check: Check) -> set[int]:
    """Return the offsets in `text` at which a phrase ends, if its script has no spaces.

    Chosen by the script, since the spoken language may change: only Japanese has kana among its Chinese characters.
    """
    if re.search("[\u3040-\u30ff]", text):
        return set(_budoux_ends("japanese", text, check))
    if re.search("[\u3400-\u9fff]", text):
        import rjieba  # reads its dictionary when imported: 0.3 s

        return set(accumulate(map(len, rjieba.cut(text))))
    if re.search("[\u0e00-\u0e7f]", text):
        return set(_budoux_ends("thai", text, check))
    return set(range(1, len(text) + 1)) if _UNSPACED.search(text) else set()


def _budoux_ends(language: str, text: str, check: Check) -> Iterator[int]:
    """Yield the ends of phrases. BudouX looks at three characters on either side of each place."""
    for start in range(0, len(text), _BUDOUX_STRETCH):
        check()
        begin, end = max(0, start - 3), start + _BUDOUX_STRETCH
        phrase_ends = accumulate(map(len, _budoux(language).parse(text[begin : end + 3])), initial=begin)
        yield from (phrase_end for phrase_end in phrase_ends if start < phrase_end <= end)


@cache
def _budoux(language: str) -> budoux.Parser:
    parser: budoux.Parser = getattr(budoux, f"load_default_{language}_parser")()
    return parser
