"""Words that multiply a number: thousand, million, dozen, 万, 亿, lakh, crore, k / M / B; several multiply (万亿)."""

from __future__ import annotations

import re
from decimal import Decimal

from wideseek.quantities.units import CODES, LOWERED

_SCALE_WORDS: dict[str, int] = {
    **dict.fromkeys(("hundred", "百"), 2),
    **dict.fromkeys(("thousand", "thousands", "k", "千", "tausend"), 3),
    **dict.fromkeys(("万", "萬", "만", "ten thousand"), 4),
    **dict.fromkeys(("lakh", "lakhs", "lac", "lacs"), 5),
    **dict.fromkeys(("million", "millions", "mln", "mn", "mio", "mil.", "millionen", "millones", "百万", "百萬"), 6),
    **dict.fromkeys(("crore", "crores", "cr", "千万", "千萬"), 7),
    **dict.fromkeys(("亿", "億", "억"), 8),
    **dict.fromkeys(
        ("billion", "billions", "bn", "bln", "mrd", "milliard", "milliards", "milliarden", "mil millones", "十亿"), 9
    ),
    **dict.fromkeys(("trillion", "trillions", "tn", "trn", "兆", "조"), 12),
    **dict.fromkeys(("quadrillion", "quadrillions"), 15),
}
_FACTORS = {word: Decimal(10) ** exponent for word, exponent in _SCALE_WORDS.items()} | {
    "dozen": Decimal(12),
    "dozens": Decimal(12),
}
CHINESE_SCALES = frozenset(word for word in _SCALE_WORDS if not word[0].isascii())
_CJK_WORDS = sorted(CHINESE_SCALES, key=len, reverse=True)
_LATIN_WORDS = sorted((w for w in _FACTORS if w[0].isascii() and len(w) > 1), key=len, reverse=True)
_SCALE = re.compile(
    rf"[\s-]?(?:(?P<cjk>{'|'.join(_CJK_WORDS)})|(?P<word>{'|'.join(map(re.escape, _LATIN_WORDS))})(?![a-z]))",
    re.IGNORECASE,
)
_SCALE_LETTER = re.compile(r"\s?(?P<letter>[kKMmBbTt])(?![\w²³/])")
_LETTERS = {"k": 3, "m": 6, "b": 9, "t": 12}
_MONEY_MM = re.compile(r"\s?mm\b", re.IGNORECASE)
_MONEY_BEHIND = re.compile(rf"\s?(?:[A-Z]{{1,2}}\$|[$€£¥₹₩₽]|(?:{'|'.join(sorted(CODES))})(?![A-Za-z]))")  # 5 m EUR


def scale_named(name: str) -> tuple[Decimal, int, str]:
    """The factor of the scale word that a unit's name in a column begins with, where it ends, and the word."""
    for word in sorted(_SCALE_WORDS, key=len, reverse=True):
        if len(word.encode()) > 1 and name.lower().startswith(word):
            rest = name[len(word) :].strip().lower()
            if not rest or rest in LOWERED:
                return _FACTORS[word], len(word), word
    return Decimal(1), 0, ""


def scale_after(text: str, at: int, *, money: bool) -> tuple[Decimal, int, str]:
    """The factor of the scale words from `at` on, where they end, and the first of them ("" where there is none)."""
    factor, first = Decimal(1), ""
    while match := _SCALE.match(text, at):
        word = (match["cjk"] or match["word"]).lower()
        if word in ("千", "兆") and re.match(r"[米克瓦卡赫字]|公[里斤]", text[match.end() :]):
            break  # 千米, 千克, 兆瓦: units
        factor, at, first = factor * _FACTORS[word], match.end(), first or word
    if not first and money and (match := _MONEY_MM.match(text, at)):
        return Decimal(10) ** 6, match.end(), "m"
    if not first and (match := _SCALE_LETTER.match(text, at)):
        letter = match["letter"]
        attached = match.start("letter") == at
        # 5m and 5 t are metres and tonnes, 5 K kelvins, unless money is counted.
        if money or (attached and letter in "KMBT") or letter in "kM" or _MONEY_BEHIND.match(text, match.end()):
            return Decimal(10) ** _LETTERS[letter.lower()], match.end(), letter
    return factor, at, first
