"""Digits and number words as values: groups and decimals, exponents, Chinese numerals; exact decimal arithmetic."""

from __future__ import annotations

import re
from decimal import Context, Decimal

# Exact for every number that a table holds: sums and products are not rounded before this many digits.
EXACT = Context(prec=120, Emax=9_999, Emin=-9_999)
_LONGEST = 60  # digits of one number; what is longer is no quantity
_LARGEST = 400  # the largest exponent


class Ambiguous(Exception):
    """The text can be read in two ways."""


def spelled(number: Decimal) -> str:
    """The shortest plain spelling: 1990.0 and 1990 are one, no exponent."""
    return f"{number.normalize(EXACT):f}" if number else "0"


def value_of(digits: str) -> Decimal:
    """The value of digits with group and decimal marks. Raises `Ambiguous` where they can be read in two ways."""
    plain = digits.replace(" ", "").replace("_", "")
    if len(plain) > _LONGEST:
        raise Ambiguous
    if "'" in plain:
        if not re.fullmatch(r"\d{1,3}(?:'\d{3})+(?:[.,]\d+)?", plain):
            raise Ambiguous
        plain = plain.replace("'", "").replace(",", ".")
    elif " " in digits:
        plain = plain.replace(",", ".")
    elif "," in plain:
        plain = _without_commas(plain)
    elif plain.count(".") > 1:
        if not re.fullmatch(r"\d{1,3}(?:\.\d{3})+", plain):
            raise Ambiguous  # 1.2.3, a version or a date
        plain = plain.replace(".", "")
    return Decimal(plain)


def _without_commas(plain: str) -> str:
    """Digits with commas, and perhaps points, with a decimal point at most."""
    if "." in plain:
        if plain.rindex(".") > plain.rindex(","):  # 1,234.56
            if plain.count(".") > 1:
                raise Ambiguous
            return plain.replace(",", "")
        if plain.count(",") > 1 or not re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+", plain):
            raise Ambiguous
        return plain.replace(".", "").replace(",", ".")  # 1.234,56
    thousands = r"[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d?(?:,\d{2})+,\d{3}|[1-9]\d{0,3}(?:,\d{4}){2,}"
    if re.fullmatch(thousands, plain):
        return plain.replace(",", "")
    if re.fullmatch(r"\d+,\d{1,2}|0,\d+", plain):  # a comma that cannot part groups
        return plain.replace(",", ".")
    raise Ambiguous


def raised(value: Decimal, exponent: str) -> Decimal:
    if abs(int(exponent)) > _LARGEST:
        raise Ambiguous
    return value.scaleb(int(exponent), EXACT)


_CHINESE_DIGITS = {char: i for i, char in enumerate("零一二三四五六七八九")} | {
    "〇": 0, "○": 0, "两": 2, "兩": 2, "壹": 1, "贰": 2, "叁": 3, "肆": 4, "伍": 5, "陆": 6, "柒": 7, "捌": 8, "玖": 9,
}  # fmt: skip
_CHINESE_UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_CHINESE_LARGE = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
CHINESE_NUMERAL = "[" + "".join([*_CHINESE_DIGITS, *_CHINESE_UNITS, *_CHINESE_LARGE]) + "点]+"


def chinese_number(numeral: str) -> Decimal | None:
    """三百五十 is 350, 二〇一九 is 2019, 三点五 is 3.5; `None` for what is no numeral."""
    before, point, after = numeral.partition("点")
    if point:
        whole_part = chinese_number(before)
        if whole_part is None or not after or any(char not in _CHINESE_DIGITS for char in after):
            return None
        return whole_part + Decimal("0." + "".join(str(_CHINESE_DIGITS[char]) for char in after))
    if len(numeral) > 30 or not numeral:
        return None
    if all(char in _CHINESE_DIGITS for char in numeral):
        return Decimal("".join(str(_CHINESE_DIGITS[char]) for char in numeral))
    total, section, digit = 0, 0, 0
    for char in numeral:
        if char in _CHINESE_DIGITS:
            digit = _CHINESE_DIGITS[char]
        elif char in _CHINESE_UNITS:
            section, digit = section + (digit or 1) * _CHINESE_UNITS[char], 0
        elif char in _CHINESE_LARGE:
            total, section, digit = (total + section + digit) * _CHINESE_LARGE[char], 0, 0
        else:
            return None
    return Decimal(total + section + digit)
