"""Dates as `strict` reads and compares them.

    read_date     `wideseek.dates.common_date`, else what dateparser makes of it, if it is a date and no more
    date_near     whether two dates agree as WideSearch means it: within 31 days
    date_text     one spelling for equal dates, to the part that was said

A part that was not said is never filled in to agree with one that was: a gold date asks for all that it says. `1994` or
`June 1994` in the gold is met by any day of that year, or by one at most 31 days from that month's first; 1994 is no
answer where the gold has a month. Nothing depends on the day on which it is read.

dateparser passes over what it does not know: `after 3 May 1994`, `H2 2020` and `2020-W05` are exact dates to it. So
each word of a text has to be a month, a weekday or a word that joins them, and each number the day, the month or the
year.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

from wideseek.dates import Date, common_date, covers
from wideseek.errors import BadInput

NEAR_DAYS = 31

# Notations that `common_date` knows in full: what it refuses among them is no date.
_OWN = re.compile(r"[年月日年월]")
_REMARK = re.compile(r"\s*[(（\[]([^()（）\[\]]*)[)）\]]$")  # 12 May 1994 (aged 70)
_DOUBT = re.compile(
    r"\b(?:or|before|after|since|until|till|by|from|not|about|around|circa|ca?|approx\w*|est\w*|probabl[ey]|possibl[ey]"
    r"|perhaps|maybe|disputed|uncertain|unknown|unclear|early|mid|late|at the latest|at the earliest)\b|[?？~≈<>约約或]"
    r"|左右|前后|前後|以前|以后|可能|之前|之后",
    re.IGNORECASE,
)
_CLOCK = re.compile(r",?\s+(?:at\s+)?\d{1,2}:\d{2}(?::\d{2})?(?:\s*[ap]\.?m\.?)?$", re.IGNORECASE)
# What joins the parts of a date, in the languages that write it: 5 de junio de 1994, 5 мая 1994 г., le 1er juin 1994.
_JOINING_WORDS = "of the de del di den le el il la a st nd rd th er º г года р року roku r d do ngày tháng năm"
_JOINING = frozenset(_JOINING_WORDS.split())
_SIGN = re.compile(r"[^\w\s.,/'’º-]")  # May 2021?, ~3 May 2021
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def date_near(said: Date, gold: Date) -> bool:
    """Whether `said` has every part of `gold` and is no more than 31 days off; ranges at both ends."""
    if said.about != gold.about or not covers(said, gold):
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
    text = text.strip()
    if (remark := _REMARK.search(text)) and remark.start() and not _DOUBT.search(remark[1]):
        text = text[: remark.start()]
    if date := common_date(text):
        return date
    text = _CLOCK.sub("", text)
    if not any(map(str.isdigit, text)) or not any(map(str.isalpha, text)) or len(text) > 100:
        return None
    if _OWN.search(text) or _SIGN.search(text):
        return None
    try:
        read = _dateparser().get_date_data(text)
    except BadInput:
        raise
    except Exception:  # what dateparser trips over is no date
        return None
    if read.date_obj is None or not read.locale:
        return None
    day, exact = read.date_obj, read.period not in ("month", "year")
    if not _is_all_of(text, Date(day.year, None, day.month, day.day if exact else None), read.locale):
        return None
    return Date(day.year, None, day.month, day.day if exact else None)


def _is_all_of(text: str, date: Date, language: str) -> bool:
    """Whether each word and each number of `text` is a part of `date` or joins its parts, and none is missing.

    A year that does not stand in the text (5/12/94, an era) was made up by dateparser.
    """
    months, joining = _words_of(language)
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text).lower())
    numbers = [int(token) for token in tokens if token.isdigit()]
    words = [token for token in tokens if not token.isdigit()]
    named = [word for word in words if word in months]
    said = [date.year, *([date.day] if date.day else []), *([] if named else [date.month])]
    return (
        f"{date.year:04d}" in tokens
        and sorted(numbers) == sorted(part for part in said if part is not None)
        and len(named) <= 1
        and all(word in months or word in joining for word in words)
    )


@lru_cache(maxsize=256)
def _words_of(language: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names of months in a language, and the words that may stand beside them: weekdays, written out, and joins."""
    from dateparser.languages.loader import default_loader

    known = default_loader.get_locale(language).info
    months, days = (
        frozenset(
            token for name in names for spelled in known.get(name, ()) for token in _TOKEN.findall(spelled.lower())
        )
        for names in (_MONTHS, _DAYS)
    )
    return months - _JOINING, frozenset(day for day in days if len(day) > 3) | _JOINING


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
