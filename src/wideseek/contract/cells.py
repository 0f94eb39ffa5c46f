"""Cells to values, by the type of a model's field and never by guessing.

    cleaned    "**1,234** [3]" for an int: 1234 · "N/A": the default, else None where it may be · for text: as it is

What a type does not explain goes to pydantic as it is. `Contract.typed` has the rules.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

ABSENT = object()  # leave the field out, so that its default counts
_UNKNOWN = {"", "-", "–", "—", "/", "?", "n/a", "na", "nan", "none", "null", "unknown", "未知", "无"}
_FOOTNOTES = re.compile(r"(?:\s*\[\d+\])+$")
_NUMBER = re.compile(r"([+-]?)(\d+|\d{1,3}(?:([,\u00a0\u2009\u202f])\d{3})(?:\3\d{3})*)(\.\d+)?\s*[%％]?")
_TRUE, _FALSE = {"true", "yes", "y", "1", "✓", "✔", "✅", "是"}, {"false", "no", "n", "0", "✗", "✘", "✕", "❌", "否"}
_DAYS = ("%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%Y/%m/%d", "%Y年%m月%d日")


def cleaned(cell: str, field: FieldInfo) -> Any:
    """The value to validate for a field's cell, or `ABSENT`. Raises `ValueError` for a cell that has none."""
    kind, optional = _plain_type(field.annotation)
    items = get_origin(kind) in _COLLECTIONS or kind in _COLLECTIONS
    if not _says_nothing(cell, items or kind in _CLEANERS):
        return _cleaned_items(cell, kind) if items else _cleaned_value(cell, kind)
    if not field.is_required():
        return ABSENT
    if optional:
        return None
    if items or kind is str:
        return [] if items else ""
    raise ValueError("the cell is empty" if not cell.strip() else f"{cell.strip()!r} gives no value")


def _plain_type(annotation: Any) -> tuple[Any, bool]:
    """The type inside `Annotated` and `Optional`, and whether `None` is allowed. A union of several stays as it is."""
    if get_origin(annotation) is Annotated:
        return _plain_type(get_args(annotation)[0])
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    members = [member for member in get_args(annotation) if member is not types.NoneType]
    optional = len(members) < len(get_args(annotation))
    return (_plain_type(members[0])[0] if len(members) == 1 else annotation), optional


def _says_nothing(cell: str, typed: bool) -> bool:
    """Whether a cell holds no value. For text and literals only the empty cell does: "N/A" may be a wanted answer."""
    return _bare(cell).casefold() in _UNKNOWN if typed else not cell.strip()


def _bare(cell: str) -> str:
    """The cell without footnotes and marks of emphasis around it."""
    return _FOOTNOTES.sub("", cell.strip().strip("*_`")).strip("*_` \n\t")


def _cleaned_value(cell: str, kind: Any) -> Any:
    return _CLEANERS[kind](_bare(cell)) if kind in _CLEANERS else cell


def _cleaned_items(cell: str, kind: Any) -> list[Any]:
    """The cell's items, parted at line ends and semicolons if it has any, else at commas, each cleaned by its type."""
    inner = _plain_type(next(iter(get_args(kind)), str))[0]
    # In numbers a comma that no space follows parts thousands.
    comma = r",\s+|[，、]" if inner in _CLEANERS else r"[,，、]"
    separator = r"[\n;；]" if re.search(r"[\n;；]", cell) else comma
    return [_cleaned_value(item.strip(), inner) for item in re.split(separator, cell) if item.strip()]


def _plain_number(text: str) -> str | None:
    """The number without thousands separators and percent sign; `None` for what is not just a number."""
    match = _NUMBER.fullmatch(text.replace("−", "-"))
    if match is None:
        return None
    sign, whole, separator, fraction = match.groups(default="")
    return sign + (whole.replace(separator, "") if separator else whole) + fraction


# What is no number, and no yes or no, goes to pydantic as it is: it says best what is wrong.


def _number(text: str) -> int | float | str:
    plain = _plain_number(text)
    if plain is None:
        return text
    return float(plain) if "." in plain else int(plain)


def _decimal(text: str) -> Decimal | str:
    plain = _plain_number(text)
    return text if plain is None else Decimal(plain)


def _truth(text: str) -> bool | str:
    word = text.casefold()
    return word in _TRUE if word in _TRUE | _FALSE else text


def _moment(text: str) -> datetime:
    for form in (None, *_DAYS):
        with suppress(ValueError):
            return datetime.strptime(text, form) if form else datetime.fromisoformat(text)
    raise ValueError(f"{text!r} is not a date that can be read without guessing")


def _day(text: str) -> date:
    # Not pydantic's reading: it takes "1990" for seconds since 1970.
    return _moment(text).date()


_CLEANERS: dict[Any, Callable[[str], Any]] = {
    int: _number,
    float: _number,
    Decimal: _decimal,
    bool: _truth,
    date: _day,
    datetime: _moment,
}
_COLLECTIONS = (list, set, frozenset, tuple, Sequence)
