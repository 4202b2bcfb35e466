"""Korean particles, which follow a word without a space: 을 in 쿠버네티스를, 에서는 in RunPod에서는."""

from __future__ import annotations

import re
from itertools import product

_AFTER_CONSONANT, _AFTER_VOWEL, _AFTER_ANY = (
    tuple(particles.split())
    for particles in (
        "은 이 을 과 으로 이랑 이나 이란 이라 이라고 이라는 이라도 이며 이고 이에요 이었다",
        "는 가 를 와 로 랑 나 란 라 라고 라는 라도 며 고 예요 였다",
        "의 에 에서 에게 에게서 한테 한테서 께 께서 도 만 까지 부터 마저 조차 처럼 보다 만큼 밖에 마다 하고 대로 "
        "이다 입니다 입니까",
    )
)
_FIRST, _SECOND = (
    tuple(particles.split())
    for particles in (
        "에 에서 에게 에게서 한테 께 까지 부터 마저 조차 처럼 보다 만큼 만 로 으로 와 과",
        "는 은 도 만 를 을 의 가 이",
    )
)
"""Particles that another one may follow, and those, as in 에서는 and 까지도."""

_COMPOUND = {first + second: first for first, second in product(_FIRST, _SECOND)}
_PARTICLES = {**_COMPOUND, **{particle: particle for particle in (*_AFTER_CONSONANT, *_AFTER_VOWEL, *_AFTER_ANY)}}
"""Each particle, or two of them, and the first of the two, which the word before it decides."""

_LONGEST = max(map(len, _PARTICLES))

_HANGUL = re.compile("[가-힣]")

_FIRST_SYLLABLE, _LAST_SYLLABLE = ord("가"), ord("힣")
_FINALS = 28
"""Final consonants of a syllable in Unicode's order, of which the first is none (Unicode, section 3.12)."""
_FINAL_RIEUL = 8


def has_hangul(text: str) -> bool:
    """Return true if a text has a Korean syllable."""
    return _HANGUL.search(text) is not None


def split_particle(word: str) -> tuple[str, ...]:
    """Return a word without its particle, and the particle; or the word alone if it has none.

    Of several particles, the longest that may follow the syllable before it counts: 은 follows a consonant, 는 a vowel,
    and either a Latin letter.
    """
    if not _HANGUL.match(word[-1:]):
        return (word,)
    for length in range(min(_LONGEST, len(word) - 1), 0, -1):
        particle = _PARTICLES.get(word[-length:])
        if particle is not None and _may_follow(particle, word[-length - 1]):
            return word[:-length], word[-length:]
    return (word,)


def _may_follow(particle: str, letter: str) -> bool:
    if not _FIRST_SYLLABLE <= ord(letter) <= _LAST_SYLLABLE:
        return True
    final = (ord(letter) - _FIRST_SYLLABLE) % _FINALS
    if particle in ("로", "으로"):
        return (particle == "로") == (final in (0, _FINAL_RIEUL))
    if particle in _AFTER_CONSONANT:
        return final != 0
    return particle not in _AFTER_VOWEL or final == 0
