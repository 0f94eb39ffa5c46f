"""Dates as `strict` reads and compares them.

    read_date     `wideseek.dates.common_date`, else what dateparser makes of the text, if it names a year and a month
    date_near     whether two dates agree as WideSearch means it: within 31 days
    date_text     one spelling for equal dates, to the part that was said

A part that was not said is never filled in to agree with one that was: a gold date asks for all that it says. `1994` or
`June 1994` in the gold is met by any day of that year, or by one at most 31 days from that month's first; 1994 is no
answer where the gold has a month. Nothing depends on the day on which it is read.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from wideseek.dates import Date, common_date, covers
from wideseek.errors import BadInput

NEAR_DAYS = 31

# Notations that `common_date` knows in full: what it refuses among them is no date.
_OWN = re.compile(r"[年月日年월]|\bQ[1-4]\b|\d{3}0s\b|\bcentur", re.IGNORECASE)

_REMARK = re.compile(r"\s*[(（\[][^()（）\[\]]*[)）\]]$")  # 12 May 1994 (aged 70)


def date_near(said: Date, gold: Date) -> bool:
    """Whether `said` has every part of `gold` and is no more than 31 days off; ranges at both ends."""
    if not covers(said, gold):
        return False
    if gold.until is not None and said.until is not None and not date_near(said.until, gold.until):
        return False
    if gold.year is None:
        return (gold.month, gold.day) == (said.month, said.day)
    if gold.quarter:
        quarter = said.quarter or ((said.month or 1) + 2) // 3
        return (said.year, quarter) == (gold.year, gold.quarter)
    if gold.month is None:
        return said.year == gold.year
    return abs(said.first_day - gold.first_day) <= NEAR_DAYS


@lru_cache(maxsize=65_536)
def read_date(text: str) -> Date | None:
    """The date in `text`, or `None`.

    Raises `BadInput` where a text needs dateparser and it is not installed: a score must not depend on that.
    """
    text = _REMARK.sub("", text.strip()) or text.strip()
    if date := common_date(text):
        return date
    if not any(map(str.isdigit, text)) or not any(map(str.isalpha, text)) or len(text) > 100 or _OWN.search(text):
        return None
    try:
        read = _dateparser().get_date_data(text)
    except BadInput:
        raise
    except Exception:  # what dateparser trips over is no date
        return None
    day = read.date_obj
    # A year that does not stand in the text (5/12/94, an era) was made up by dateparser.
    if day is None or f"{day.year:04d}" not in re.findall(r"\d+", text):
        return None
    return Date(day.year, None, day.month, None if read.period in ("month", "year") else day.day)


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
