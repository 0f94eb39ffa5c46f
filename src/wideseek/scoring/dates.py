"""Dates as `strict` reads them: a fast path for common notations, dateparser for the rest, every text read once.

    common_date   ISO and its cousins, `2020年5月12日`, `12 May 2020`, `May 12, 2020`, `May 2020`, `05/12/2020`, `1994`
    read_date     the same, else what dateparser makes of it, if the text has a digit and names a year and a month

A date knows how much of it was said: a missing month or day is the first, never today's. `05/12/2020` is 12 May, as
WideSearch has it. Nothing depends on the day on which it is read.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import Any

import msgspec

from wideseek.errors import BadInput

_NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})"
_CLOCK = r"(?:[T\s]\s*\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*(?:Z|[-+]\d{2}:?\d{2})?)?"
_FORMS = [
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        _YEAR + r"(?:(?P<mark>[-/.])(?P<month>\d{1,2})(?:(?P=mark)(?P<day>\d{1,2})" + _CLOCK + ")?)?",
        _YEAR + r"\s*年(?:\s*(?P<month>\d{1,2})\s*月(?:\s*(?P<day>\d{1,2})\s*[日号])?)?",
        _DAY + r"[\s-]+(?:of\s+)?" + _MONTH + r",?[\s-]+" + _YEAR,
        _MONTH + r"\s+(?:" + _DAY + r"(?:,\s*|\s+))?" + _YEAR,
        r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/" + _YEAR,
    )
]


class Date(msgspec.Struct, frozen=True):
    """The first day that a text can mean; `year_only` where it names no month."""

    day: date
    year_only: bool = False


@lru_cache(maxsize=65_536)
def read_date(text: str) -> Date | None:
    """The date in `text`, or `None`.

    Raises `BadInput` where a text needs dateparser and it is not installed: a score must not depend on that.
    """
    text = text.strip()
    if (date := common_date(text)) or not any(map(str.isdigit, text)) or text.isdigit():
        return date
    try:
        read = _dateparser().get_date_data(text).date_obj
    except BadInput:
        raise
    except Exception:  # what dateparser trips over is no date
        return None
    return None if read is None else Date(read.date())


def common_date(text: str) -> Date | None:
    """The date in a text of one of the common notations, or `None`."""
    match = next((found for form in _FORMS if (found := form.fullmatch(text))), None)
    if match is None:
        return None
    said = match.groupdict()
    month = said.get("month") or (_NAMES.index(said["name"][:3].lower()) + 1 if said.get("name") else None)
    try:
        return Date(date(int(said["year"]), int(month or 1), int(said.get("day") or 1)), year_only=month is None)
    except ValueError:  # 31 February, or 31/12/2020: dateparser may know better
        return None


@lru_cache(maxsize=1)
def _dateparser() -> Any:
    try:
        from dateparser.date import DateDataParser
    except ImportError as error:
        raise BadInput("a date in an uncommon notation needs dateparser: pip install dateparser") from error
    # A date in words ("two days ago") or a time stamp is no fact of a table, and both depend on the day of reading.
    settings = {
        "PREFER_DAY_OF_MONTH": "first",
        "REQUIRE_PARTS": ["year", "month"],
        "PARSERS": ["custom-formats", "absolute-time"],
    }
    return DateDataParser(settings=settings)
