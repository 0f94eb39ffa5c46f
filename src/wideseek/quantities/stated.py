"""The quantity that a text states: one, not one of several, not denied; in a column, with its scale and unit.

quantity, alternatives, whole
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache

import msgspec

from wideseek.quantities.amount import Quantity
from wideseek.quantities.following import unit_after
from wideseek.quantities.numerals import CHINESE_NUMERAL, EXACT, Ambiguous, chinese_number
from wideseek.quantities.reading import quantities
from wideseek.quantities.scales import scale_named
from wideseek.quantities.tidy import tidied
from wideseek.quantities.units import LOWERED, READINGS, UNITS, same_kind


@lru_cache(maxsize=65_536)
def quantity(text: str, column: str = "") -> Quantity | None:
    """The first quantity of `text`; a bare number takes the scale and unit that `column` names in brackets."""
    found = alternatives(text, column)
    return found[0] if found else None


@lru_cache(maxsize=65_536)
def alternatives(text: str, column: str = "") -> tuple[Quantity, ...]:
    """The first quantity of `text`, and those that state it again in another unit: `115 ft (35 m)`."""
    tidy = tidied(text)
    try:
        found = list(quantities(tidy))
    except Ambiguous:
        return ()
    if not found:
        numeral = _chinese_whole(tidy)
        return () if numeral is None else (numeral,)
    first, *others = found
    if _PLAIN_LIST.fullmatch(tidy) and others:
        return ()
    again = [
        other
        for other in others
        if other.kind == first.kind and first.kind and other.unit != first.unit and _restates(other, first)
    ]
    if _leaves_open(tidy, others, again):
        return ()
    return tuple(
        reading for each in (first, *again) for meant in _meanings(each) for reading in _in_column(meant, column)
    )


def _leaves_open(tidy: str, others: Sequence[Quantity], again: Sequence[Quantity]) -> bool:
    """Whether the text offers more than one number, or denies the one it names: then it states none.

    A year, or what stands in a bracket without a word of doubt (`84 m (rank 3)`), is a remark and no second answer.
    """
    if _DENIED.search(tidy):
        return True
    rivals = [other for other in others if other not in again]
    if rivals and _HEDGED.search(tidy):
        return True
    bare = _BRACKET.sub(lambda bracket: " " * len(bracket[0]), tidy)
    return any(
        bare[other.start : other.end].strip() and not _YEAR.fullmatch(tidy[other.start : other.end].strip())
        for other in rivals
    )


_PLAIN_LIST = re.compile(r"[\d.]+(?:(?:,\s|\s?[;、/&|]\s?|\sand\s|\s)[\d.]+)+")
_DENIED = re.compile(r"\b(?:not|never|isn't|wasn't)\s+(?:\w+\s+){0,2}[-+$€£¥]?\d|[不非]\s?\d", re.IGNORECASE)
_HEDGED = re.compile(
    r"\b(?:or|vs|versus|maybe|perhaps|possibly|probably|either|alternatively)\b|[或]|可能|也许", re.IGNORECASE
)
_BRACKET = re.compile(r"[(\[][^()\[\]]*[)\]]")
_YEAR = re.compile(r"(?:1\d{3}|20\d\d)年?")


def _meanings(read: Quantity) -> Sequence[Quantity]:
    """A quantity in each unit that its word can be."""
    if read.unit not in READINGS:
        return (read,)
    return [msgspec.structs.replace(read, unit=unit) for unit in READINGS[read.unit]]


@lru_cache(maxsize=65_536)
def whole(text: str) -> Quantity | None:
    """The quantity that the whole text is, `None` where anything else stands beside it or its unit is not known."""
    if _ISO_DATE.fullmatch(text):
        return None
    tidy = tidied(text)
    try:
        found = list(quantities(tidy))
    except Ambiguous:
        return None
    if len(found) != 1 or not found[0].is_known:
        return None
    if tidy[: found[0].start].strip() or tidy[found[0].end :].strip():
        return None
    return found[0]


_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

_CHINESE_WHOLE = re.compile(
    rf"(?:第|约|約|共|近|超|-)?(?P<numeral>{CHINESE_NUMERAL})\s?(?P<rest>\w{{0,4}})", re.IGNORECASE
)


def _chinese_whole(text: str) -> Quantity | None:
    """A text without digits that is one Chinese numeral with a measure word: 第五章, 三百五十米."""
    match = _CHINESE_WHOLE.fullmatch(text)
    value = chinese_number(match["numeral"]) if match else None
    if match is None or value is None:
        return None
    unit, _ = unit_after(match["rest"])
    return Quantity(value, value, unit, end=len(text))


def _restates(other: Quantity, first: Quantity) -> bool:
    """Whether two quantities in different units are the same but for rounding (2 %)."""
    pairs = zip(other.in_base_unit(), first.in_base_unit(), strict=True)
    return all(abs(one - two) * 50 <= abs(two) for one, two in pairs)


# ------------------------------------------------------------------------------------------------------- columns

_BRACKETS = re.compile(r"[(\[（](?:in\s?)?([^()\[\]（）]{1,30})[)\]）]")


@lru_cache(maxsize=4_096)
def _column_unit(column: str) -> tuple[Decimal, str]:
    """The scale and unit that a column's name puts in brackets: `revenue (million usd)`, `票房（亿元）`."""
    for inside in reversed(_BRACKETS.findall(column)):
        name = inside.strip().replace("²", "2").replace("³", "3")
        name = re.sub(r"^([$€£¥])\s?(?=\w)(.*)$", r"\2 \1", name)  # $ million
        scale, at, word = scale_named(name)
        rest = name[at:].strip()
        known = LOWERED.get(rest.lower(), "") if rest.lower() not in _LETTERS else ""
        if known or (word and not rest):
            return scale, UNITS[known].name if known else ""
    return Decimal(1), ""


_LETTERS = frozenset("abcdefijknopqrsuvxyz")  # of award(s), name (a); m, g, t, l, h and w are units


def _in_column(read: Quantity, column: str) -> Iterator[Quantity]:
    """A number with the scale and the unit of its column where it has none of its own.

    `$12` in a column of million dollars has a unit and no scale: it is read with the column's, and as it stands.
    """
    scale, unit = _column_unit(column) if column else (Decimal(1), "")
    if read.unit and (read.scaled or scale == 1 or not unit or not same_kind(read.kind, UNITS[unit].kind)):
        yield read
        return
    if read.unit:
        yield read
    factor = Decimal(1) if read.scaled else scale
    yield msgspec.structs.replace(
        read,
        low=EXACT.multiply(read.low, factor),
        high=EXACT.multiply(read.high, factor),
        unit=read.unit or unit,
    )
