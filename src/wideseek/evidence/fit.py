"""Whether a field says a value: it fills the field, or is one of its parts in full."""

from __future__ import annotations

import re

from wideseek.evidence.labels import Label
from wideseek.evidence.text import Text, clean, without_bracket, words
from wideseek.evidence.units import BARE, Measure
from wideseek.evidence.values import Value, accented, dates, leading_number, numbers, text_parts

_PASSED = frozenset("until till before former formerly disputed".split())
_LIST = re.compile(r",\s|;|\sand\s|&|\n|·|•|、|；")


def fits(value: Value, field: Text, *, labelled: bool, column: Label, stated: Measure = BARE) -> bool:
    """Whether the field says the value. `labelled`: the field stands under the column's label; `stated`: the unit and
    the scale that the field's own label gives."""
    if column.is_code:
        same_sign = _sign(field.text) == _sign(value.text.text)
        return same_sign and (tuple(field.words) == value.words or _fits_words(value, field))
    asked = column.measure
    if tuple(field.words) == value.words or _is_same_range(value, field):
        return _same_words(value, field, labelled=labelled, asked=asked, stated=stated)
    if value.day is not None:
        return _BOUND.isdisjoint(field.words) and any(value.is_day(found.day) for found in dates(field))
    if value.number is not None:
        return _fits_number(value, field, labelled=labelled, asked=asked, stated=stated)
    return _fits_words(value, field)


def _sign(text: str) -> str:
    return text.strip()[:1] if text.strip()[:1] in "+-" else ""


_RANGE = re.compile(r"(\d)\s*(?:-|to|till|bis)\s*(?=\d)")


def _is_same_range(value: Value, field: Text) -> bool:
    """`1.5 to 2 m` is `1.5-2 m`."""
    if value.number is not None or value.day is not None or not _RANGE.search(field.text):
        return False
    return words(_RANGE.sub(r"\1 - ", field.text)) == words(_RANGE.sub(r"\1 - ", value.text.text))


def _same_words(value: Value, field: Text, *, labelled: bool, asked: Measure, stated: Measure) -> bool:
    """Equal words may still be other numbers (`3-2` and `3:2`, `5` and `−5`) or bear other accents."""
    found = numbers(field)
    if value.number is None and found and asked.scale != stated.scale:
        return False  # `5-10` under `(thousands)`
    if value.number is not None:
        said = len(found) == 1 and value.is_number(found[0], labelled=labelled, asked=asked, stated=stated)
        return said or not found
    theirs = accented(field)
    return value.accented is None or theirs is None or value.accented == theirs


def _fits_number(value: Value, field: Text, *, labelled: bool, asked: Measure, stated: Measure) -> bool:
    number = value.number
    assert number is not None
    if len(field.words) == 1 and (ordinal := re.fullmatch(r"(\d+)(?:st|nd|rd|th)", field.words[0])):
        return float(ordinal[1]) == number.value
    if value.is_year and any(value.is_year_of(found.day) for found in dates(field)):
        return True
    found = numbers(field)
    whole = found if len(found) == 1 and found[0].at == 0 else []
    parts = [part for text in text_parts(field.text) if (part := leading_number(Text(text))) is not None]
    return any(value.is_number(part, labelled=labelled, asked=asked, stated=stated) for part in (*whole, *parts))


_BOUND = frozenset("not before after until till by planned expected bc bce".split())


def _fits_words(value: Value, field: Text) -> bool:
    if field.text.rstrip().endswith("?") and not value.text.text.rstrip().endswith("?"):
        return False
    bracket = field.text[len(without_bracket(field.text)) :]
    if not _PASSED.isdisjoint(words(bracket)):
        return False
    parts = {part for part in map(words, text_parts(field.text)) if part}
    if len(value.parts) <= 1:
        is_list = _LIST.search(without_bracket(field.text)) is not None
        if is_list:  # one of a list of equals is not the list
            return value.words in {words(part) for part in re.split(r"[()]|\s/\s", field.text)}
        return value.words in parts or value.words == words(without_bracket(field.text)) or _bracket_aside(value, field)
    if all(part in parts for part in value.parts):
        return not _LIST.search(field.text) or len(parts) <= len(value.parts)
    return _bracket_aside(value, field)


def _bracket_aside(value: Value, field: Text) -> bool:
    """`35 m (rebuilt)` says what `35 m` says; a bracket that the page lacks has to be a number or in other letters."""
    if value.without_bracket != tuple(field.words) or value.without_bracket == value.words:
        return False
    bracket = clean(value.text.text)[len(without_bracket(value.text.text)) :]
    return bool(numbers(Text(bracket))) or not bracket.isascii()


def holds_part(value: Value, field: Text, column: Label, stated: Measure = BARE) -> bool:
    """Whether the value stands anywhere in the field; `stated` is what the field's own label gives."""
    if value.number is None or column.is_code:
        return bool(field.find(value.words))
    mine = value.number
    return any(
        found.own
        and found.in_full(stated) == mine.in_full(column.measure)
        and (found.unit or stated.unit) in ("", mine.unit or found.unit or stated.unit)
        for found in numbers(field)
    )
