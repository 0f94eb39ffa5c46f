"""The quantities in a text, one after the other: number, sign, scale and unit, ranges and compounds.

digits  ->  exponent  ->  scale  ->  unit  ->  range  ->  compound
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from wideseek.quantities.amount import Quantity
from wideseek.quantities.following import MONEY_SIGNS, per_after, unit_after
from wideseek.quantities.numerals import EXACT, Ambiguous, raised, value_of
from wideseek.quantities.scales import CHINESE_SCALES, scale_after
from wideseek.quantities.units import CODES, COMMON_CODES, MONEY, UNITS, WORD_CODES, same_kind


def quantities(tidy: str) -> Iterator[Quantity]:
    """Every quantity of a tidied text, in order. Raises `Ambiguous` for digits that can be read in two ways."""
    at, pending = 0, None
    negative = bool(_BRACKETED.fullmatch(tidy))
    while (match := _NUMBER.search(tidy, at)) is not None:
        read = _read(match, tidy)
        at = match.end()
        if read is None:
            continue
        read, at = _ranged(read, tidy)
        if negative:
            low, high = sorted((-read.low, -read.high))
            read = msgspec.structs.replace(read, low=low, high=high, start=0, end=len(tidy))
        if pending is not None and (joined := _compound(pending, read, tidy)):
            pending = joined
            continue
        if pending is not None:
            yield pending
        pending = read
    if pending is not None:
        yield pending


_SIGNED = r"(?P<sign>(?<![A-Za-z0-9_)\]%.])[-+](?:\s(?=[^\s\d]))?)?"
_CURRENCY_MARKS = (
    rf"US\$|HK\$|NT\$|CA?\$|AU?\$|NZ\$|SG?\$|R\$|[${MONEY_SIGNS}]|Rs\.?"
    r"|(?<![A-Za-z])(?:kr\.?|zł|Kč|RM|Rp\.?)(?=\s?[-+]?\d)"
)
_CODES = (  # COP26 and TOP 5 are no money
    rf"(?<![A-Za-z])(?:(?:{'|'.join(COMMON_CODES)})(?=\s?[-+]?\d)"
    rf"|(?:{'|'.join(sorted(CODES - WORD_CODES))})(?=\s[-+]?\d))"
)
_DIGITS = r"\d(?:[\d,.'_]*\d)?|\.\d+"
_GROUPED = r"\d{1,3}(?: \d{3})+(?:[.,]\d+)?(?![\d]|[.,]\d)"
_NUMBER = re.compile(
    rf"(?P<bound>[<>]=?\s*)?{_SIGNED}(?P<money>(?:{_CURRENCY_MARKS}|{_CODES})\s?)?(?P<inner>[-+])?"
    rf"(?P<digits>(?<![\d.,'_])(?:{_GROUPED}|{_DIGITS}))"
)
_EXPONENT = re.compile(r"[eE]([-+]?\d{1,4})(?![\w.])|\s?[x*]\s?10(?:\^|\*\*)\s?\(?([-+]?\d{1,4})\)?(?!\d)")
_BARE_POWER = re.compile(r"\^\s?([-+]?\d{1,4})(?!\d)")
_BRACKETED = re.compile(r"\(\s?(?:[A-Z]{2,3}\s?)?[^\w\s()]?\s?\d[\d,.' ]*[^()\d]{0,12}\)")
_NAME_BEFORE = re.compile(r"[A-Za-z]-?$")
_JOINED_AFTER = re.compile(r"\s?[/:]\s?\d|-\d|\^|(?:\*|x)\d")


def _read(match: re.Match[str], text: str, name_from: int = 0) -> Quantity | None:
    """The quantity whose digits `match` has found, with what follows them; `None` where they are a part of a name.

    What stands before `name_from` is no part of a name.
    """
    start, at = match.start(), match.end()
    if not match["money"] and _NAME_BEFORE.search(
        text, max(name_from, match.start("digits") - 2), match.start("digits")
    ):
        return None  # B2, COVID-19: a name
    if text[max(0, match.start() - 1) : match.start()] == "±":
        return None  # how exact another number is
    digits = match["digits"]
    value = value_of(digits)
    if power := _EXPONENT.match(text, at):
        value, at = raised(value, power[1] or power[2]), power.end()
    elif digits == "10" and (power := _BARE_POWER.match(text, at)):
        value, at = raised(Decimal(1), power[1]), power.end()
    if "-" in (match["sign"] or "") + (match["inner"] or ""):
        value = -value
    money = _currency(match["money"])
    scale, at, scaled = scale_after(text, at, money=bool(money))
    value = EXACT.multiply(value, scale)
    if scaled in CHINESE_SCALES:
        value, at = _more_chinese(value, scale, text, at)
    if len(digits) == 4 and not scaled and _DECADE.match(text, at):
        raise Ambiguous  # 1990s
    if not money and not scaled and _SCORE.match(text, at):
        raise Ambiguous  # 5 score: 5 or 100
    unit, at = _money_with(money, text, at) if money else unit_after(text, at)
    if not scaled and unit in UNITS and UNITS[unit].kind in MONEY:  # 5 EUR million
        scale, at, scaled = scale_after(text, at, money=True)
        value = EXACT.multiply(value, scale)
    bound = (match["bound"] or "").strip()[:1]
    return Quantity(value, value, unit, bound, bool(scaled), start, at)


_DECADE = re.compile(r"'?s\b")
_SCORE = re.compile(r"\s(?:score|gross)\b(?!\s\w)", re.IGNORECASE)


def _currency(mark: str | None) -> str:
    """The name of the currency that stands before a number; a sign in no table stands for itself."""
    name = (mark or "").strip()
    return UNITS[name].name if name in UNITS else name


def _money_with(money: str, text: str, at: int) -> tuple[str, int]:
    """The unit of an amount with its currency before it: `$5 USD`, `$5 per hour`; other words are remarks."""
    unit, end = unit_after(text, at)
    known = UNITS.get(unit)
    if known is None:
        return per_after(text, at, money)
    if known.kind == "share" or same_kind(known.kind, UNITS[money].kind if money in UNITS else money):
        return unit, end
    return money, end


def _more_chinese(value: Decimal, scale: Decimal, text: str, at: int) -> tuple[Decimal, int]:
    """The rest of 3亿5000万: each further number with a smaller scale is added."""
    while match := _FURTHER_DIGITS.match(text, at):
        smaller, end, word = scale_after(text, match.end(), money=False)
        if (word and word not in CHINESE_SCALES) or smaller >= scale:
            break
        value, at, scale = value + Decimal(match[0]) * smaller, end, smaller
    return value, at


_FURTHER_DIGITS = re.compile(r"\d+(?:\.\d+)?")

# ------------------------------------------------------------------------------------------------ ranges, compounds

_TO = re.compile(r"\s?(?:-|~|至|到|\bto\b|\band\b)\s?", re.IGNORECASE)


def _ranged(read: Quantity, text: str) -> tuple[Quantity, int]:
    """The range that `read` opens, else itself, and where it ends. Raises `Ambiguous` for dates, ratios, times."""
    joint = _TO.match(text, read.end)
    if (
        joint
        and "and" in joint[0].lower()
        and not re.search(r"(?:between|from)\s?$", text[: read.start], re.IGNORECASE)
    ):
        joint = None
    second = _NUMBER.match(text, joint.end()) if joint else None
    if joint is None or second is None:
        if _JOINED_AFTER.match(text, read.end):
            raise Ambiguous
        return read, read.end
    other = _read(second, text, joint.end())
    if other is None or _JOINED_AFTER.match(text, other.end):
        raise Ambiguous
    low = read
    if not low.unit:  # 10-20 m: the unit and the scale belong to both
        low = msgspec.structs.replace(low, unit=other.unit)
    scale, _, word = scale_after(text, second.end(), money=False)
    if word and not read.scaled:
        low = msgspec.structs.replace(low, low=EXACT.multiply(low.low, scale))
    if other.unit and not same_kind(low.kind, other.kind):
        raise Ambiguous
    high = other.high
    if other.unit and other.unit != low.unit:
        high = EXACT.divide(other.in_base_unit()[1], low.factor)
    opened = re.search(r"(?:between|from)\s?$", text[: read.start])
    start = opened.start() if opened else read.start
    return Quantity(low.low, high, low.unit, read.bound, other.scaled, start, other.end), other.end


def _compound(first: Quantity, second: Quantity, text: str) -> Quantity | None:
    """2 h 30 min, 5 ft 11 in: neighbours of one kind in falling units are one quantity."""
    if first.kind == "time" and second.unit == "m":  # 1h 30m
        second = msgspec.structs.replace(second, unit="min")
    if not first.unit or first.kind != second.kind or first.kind not in ("time", "length", "mass"):
        return None
    if text[first.end : second.start].strip() not in ("", "and") or first.low != first.high or second.low < 0:
        return None
    if second.factor >= first.factor:
        return None
    more = EXACT.divide(second.in_base_unit()[0], first.factor)
    value = EXACT.add(first.low, more)
    return msgspec.structs.replace(first, low=value, high=value, end=second.end)
