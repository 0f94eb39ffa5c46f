"""Dates as people write them, with as much of each as was said: nothing is filled in.

    common_date    the date that a whole text is, in one of the notations below, else `None`
    Date           year (0 and below before Christ: 1 BC is 0), quarter, month, day; `None` for what was not said
    covers         whether one date says all that another does, and the same

Read are, alone or as the two ends of a range (`10–12 May 1994`, `2016–2023`, `2010年10月—12月`):

    1994-05-03 · 1994/5/3 · 1994.5.3 · 19940503 · 1994-05 · 1994 · with a time of day behind it
    3 May 1994 · 3rd of May, 1994 · May 3, 1994 · May 1994 · 3 May · May 3
    03.05.1994 (points: the day comes first) · 05/03/1994, 05-03-1994 (the month comes first, as WideSearch has it)
    Q3 2019 · 2019 Q3 · 2019年第三季度
    44 BC · 15 March 44 BC · AD 79 · 公元前297年 · 公元79年
    1994年5月3日 · 一九九四年五月三日 · 民國83年5月3日 · 昭和64年1月7日 · 1994년 5월 3일 · 5月3日

`c.`, `circa`, `约`, `前后` make a date that is about there; the name of a weekday is left aside. Years without an era
have four digits: the century of `5/12/94` was not said. This module depends on no other of the package but
`quantities`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import msgspec

from wideseek.quantities import chinese_number

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Date(msgspec.Struct, frozen=True):
    """What was said of a date, from the year down. `until` is the end of a range, `about` whether a word hedges it."""

    year: int | None = None
    quarter: int | None = None
    month: int | None = None
    day: int | None = None
    until: Date | None = None
    about: bool = False

    @property
    def first_day(self) -> int:
        """The number of the first day that is meant, counted from the year 0; the year has to be known."""
        month = self.month or (3 * self.quarter - 2 if self.quarter else 1)
        return _day_number(self.year or 0, month, self.day or 1)

    def text(self) -> str:
        """ISO 8601 as far as it was said: `1994`, `1994-05`, `1994-Q3`, `--05-03`, `-0296`; `1994~` is about 1994."""
        parts = ["-" if self.year is None else f"{'-' if self.year < 0 else ''}{abs(self.year):04d}"]
        parts += [f"Q{self.quarter}"] if self.quarter else []
        parts += [f"{part:02d}" for part in (self.month, self.day) if part]
        said = "-".join(parts) + ("~" if self.about else "")
        return f"{said}/{self.until.text()}" if self.until else said


def covers(said: Date, wanted: Date) -> bool:
    """Whether `said` has every part that `wanted` has. A month tells the quarter."""
    if (said.until is None) != (wanted.until is None):
        return False
    has_quarter = bool(said.quarter or said.month)
    return (
        (wanted.year is None or said.year is not None)
        and (wanted.quarter is None or has_quarter)
        and (wanted.month is None or said.month is not None)
        and (wanted.day is None or said.day is not None)
    )


def _day_number(year: int, month: int, day: int) -> int:
    """Days from 1 January of the year 0 in the Gregorian calendar carried backwards; any year."""
    before = year * 365 + (year + 3) // 4 - (year + 99) // 100 + (year + 399) // 400
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return before + sum(_MONTH_DAYS[: month - 1]) + (leap and month > 2) + day - 1


# ----------------------------------------------------------------------------------------------------------- notations

_NAME = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})"
_ERA_YEAR = (
    r"(?:(?P<before_ad>ad|ce|a\.d\.|c\.e\.)\s?)?(?P<year>\d{1,4})(?:\s?(?P<era>b\.?c\.?(?:e\.?)?|a\.?d\.?|c\.?e\.?))?"
)
_CLOCK = r"(?:[T\s]\s*\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*(?:Z|[-+]\d{2}:?\d{2})?)?"
_CJK_ERA = (
    r"(?:(?P<era>公元前|西元前|前|公元|西元|民国|民國|明治|大正|昭和|平成|令和)\s*)?(?P<year>\d{1,4}|元)\s*[年년]"
)
_FORMS = [
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        r"(?P<year>[12]\d{3})(?P<month>\d{2})(?P<day>\d{2})",
        _YEAR + r"(?:(?P<mark>[-/.])(?P<month>\d{1,2})(?:(?P=mark)(?P<day>\d{1,2})" + _CLOCK + ")?)?",
        _CJK_ERA + r"(?:\s*(?P<month>\d{1,2})\s*[月월](?:\s*(?P<day>\d{1,2})\s*[日号號일])?)?",
        _CJK_ERA + r"\s*第?\s*(?P<quarter>[1-4])\s*季度?",
        r"(?P<month>\d{1,2})\s*[月월]\s*(?P<day>\d{1,2})\s*[日号號일]",
        _DAY + r"[\s-]+(?:of\s+)?" + _NAME + r"(?:,?[\s-]+" + _ERA_YEAR + ")?",
        _NAME + r"\s+" + _DAY + r"(?:(?:,\s*|\s+)" + _ERA_YEAR + ")?",
        _NAME + r",?[\s-]+(?:" + _YEAR + r"|(?P<before>\d{1,4})\s?(?P<era>b\.?c\.?(?:e\.?)?|a\.?d\.?|c\.?e\.?))",
        r"(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?" + _YEAR,
        r"(?P<month>\d{1,2})(?P<mark>[-/])(?P<day>\d{1,2})(?P=mark)" + _YEAR,
        r"q(?P<quarter>[1-4])[\s,/-]*" + _YEAR,
        _YEAR + r"[\s,/-]*q(?P<quarter>[1-4])",
        r"(?P<ordinal>1st|2nd|3rd|4th|first|second|third|fourth)\s+quarter(?:\s+of)?,?\s+" + _YEAR,
        _ERA_YEAR,
    )
]
_ISO = re.compile(_YEAR + r"-(?P<month>\d{2})-(?P<day>\d{2})", re.ASCII)
_ERAS = {"民国": 1911, "民國": 1911, "明治": 1867, "大正": 1911, "昭和": 1925, "平成": 1988, "令和": 2018}
_ORDINALS = {"1st": 1, "first": 1, "2nd": 2, "second": 2, "3rd": 3, "third": 3, "4th": 4, "fourth": 4}
_ABOUT = re.compile(
    r"^(?:c\.|ca\.?|circa|about|around|approx\.?|approximately|~|≈|约|約|大约|大約)\s*|\s*(?:前后|前後|左右)$",
    re.IGNORECASE,
)
_WEEKDAY = re.compile(
    r"^(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+|\s*\((?:mon|tues|wednes|thurs|fri|satur|sun)day\)$"
    r"|\s*[(（]?(?:星期|周|週|礼拜)[一二三四五六日天][)）]?$",
    re.IGNORECASE,
)
_TO = re.compile(r"\s*(?:[–—~〜～至到]|--|\bto\b|\buntil\b|(?<=\s)-(?=\s))\s*", re.IGNORECASE)
_YEARS = re.compile(r"(\d{4})-(\d{4})")
_DAYS = re.compile(r"(\d{1,2})-(\d{1,2})(?=\s+[a-z])|(?<=[a-z] )(\d{1,2})-(\d{1,2})(?=,? \d{4})", re.IGNORECASE)
_NUMERAL = re.compile(r"[零〇○一二两三四五六七八九十廿卅]+(?=[年月日号號季])|(?<=第)[一二三四](?=季)")


@lru_cache(maxsize=65_536)
def common_date(text: str) -> Date | None:
    """The date that the whole of `text` is, in one of the common notations, or `None`."""
    if match := _ISO.fullmatch(text):  # the commonest notation, at once
        return _date(match.groupdict())
    tidy = _tidied(text)
    if not tidy or len(tidy) > 80 or not any(map(str.isdigit, tidy.replace("元年", "1年"))):
        return None
    exact = _ABOUT.sub("", tidy).strip()
    date = _single(exact) or _range(exact)
    return msgspec.structs.replace(date, about=True) if date and exact != tidy else date


def _tidied(text: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    text = re.sub(r"[‐‑‒−]", "-", text)
    text = _NUMERAL.sub(_arabic, text)
    return _WEEKDAY.sub("", text).strip()


def _arabic(match: re.Match[str]) -> str:
    """二〇二四 is 2024, 廿三 is 23."""
    numeral = match[0].replace("廿", "二十").replace("卅", "三十").replace("○", "〇")
    value = chinese_number(numeral)
    return match[0] if value is None else str(int(value))


def _single(text: str) -> Date | None:
    for form in _FORMS:
        if (match := form.fullmatch(text)) and (date := _date(match.groupdict())):
            return date
    return None


def _date(said: dict[str, str | None]) -> Date | None:
    """The date of a notation's parts; `None` where there is no such day."""
    said["year"] = said.get("year") or said.get("before")
    year, era = _year(said), said.get("era") or said.get("before_ad")
    month = int(said["month"] or 0) if said.get("month") else None
    if said.get("name"):
        month = _MONTHS.index(str(said["name"])[:3].lower()) + 1
    day = int(said["day"] or 0) if said.get("day") else None
    if said.get("mark") in ("/", "-") and month and day and month > 12 and said.get("year"):
        month, day = day, month  # 25/12/1994
    quarter = int(said["quarter"] or 0) if said.get("quarter") else _ORDINALS.get((said.get("ordinal") or "").lower())
    if said.get("year") and (year is None or (era is None and len(str(said["year"])) < 4)):
        return None  # 94 without an era: the century was not said
    if month is not None and not 1 <= month <= 12:
        return None
    if day is not None and not 1 <= day <= _days(year, month or 1):
        return None
    return Date(year, quarter, month, day)


def _year(said: dict[str, str | None]) -> int | None:
    if not said.get("year"):
        return None
    number = 1 if said["year"] == "元" else int(said["year"] or 0)
    era = (said.get("era") or said.get("before_ad") or "").lower().replace(".", "")
    if era in _ERAS:
        return _ERAS[era] + number
    if not number and era:
        return None
    return 1 - number if era in ("bc", "bce", "公元前", "西元前", "前") else number


def _days(year: int | None, month: int) -> int:
    """The days of a month; 29 for a February of an unknown year."""
    if month != 2:
        return _MONTH_DAYS[month - 1]
    return 29 if year is None or (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)) else 28


def _range(text: str) -> Date | None:
    """The range whose ends a dash or a word parts; what one end leaves out, the other has said."""
    text = _DAYS.sub(lambda match: "–".join(part for part in match.groups() if part), _YEARS.sub(r"\1–\2", text))
    ends = _TO.split(text)
    if len(ends) != 2:
        return None
    return _from_first(ends[0], ends[1]) or _from_second(ends[0], ends[1])


def _from_second(left: str, right: str) -> Date | None:
    """10–12 May 1994, May–June 1994, 3 May – 5 June 1994: the second end is whole."""
    until = _single(right)
    if until is None:
        return None
    rest = re.sub(r"^\d{1,2}(?:st|nd|rd|th)?\s+(?=[a-z])", "", right, flags=re.IGNORECASE)
    year = re.search(r"\d{1,4}(?:\s?b\.?c\.?(?:e\.?)?)?$", right, re.IGNORECASE)
    era = re.search(r"\s?b\.?c\.?(?:e\.?)?$", right, re.IGNORECASE)
    attempts = [left, f"{left}{era[0]}" if era else "", f"{left} {rest}", f"{left} {year[0]}" if year else ""]
    for attempt in attempts:
        start = _single(attempt) if attempt else None
        if start and _like(start, until):
            return msgspec.structs.replace(start, until=until)
    return None


def _from_first(left: str, right: str) -> Date | None:
    """May 10–12, 1994, 2010年10月–12月, 1994年5月3日–8日: the second end lacks what the first has said."""
    if (year := re.search(r",?\s\d{4}$", right)) and (start := _single(left + year[0])):
        month = re.match(r"\D+", left)
        until = _single(f"{month[0]}{right}" if month else right) or _single(right)
        if until and _like(start, until):
            return msgspec.structs.replace(start, until=until)
    if (start := _single(left)) is None:
        return None
    for taken in (r"^.*年", r"^.*月"):
        if head := re.match(taken, left):
            until = _single(head[0] + right)
            if until and _like(start, until):
                return msgspec.structs.replace(start, until=until)
    return None


def _like(one: Date, other: Date) -> bool:
    """Whether two ends of a range are told equally exactly."""
    return [one.year is None, one.month is None, one.day is None] == [
        other.year is None, other.month is None, other.day is None
    ]  # fmt: skip
