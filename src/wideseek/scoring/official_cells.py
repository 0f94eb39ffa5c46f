"""How `official` prepares and compares two cells: WideSearch's preprocess functions and metrics, faults included.

    norm_str, extract_number, norm_date                               what becomes of a cell before it is compared
    exact_match, in_match, url_match, number_near, date_near          1.0 or 0.0 for two prepared cells

Cells are text; a blank one is the text "nan".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

from wideseek.errors import BadInput
from wideseek.scoring.spec import ColumnRule

_NUMBERS = re.compile(r"[-+]?\d*\.\d+%?|[-+]?\d+\.?\d*%?")
_URLS = re.compile(r"https?://(?:[a-zA-Z]|[0-9]|[$-_@.&+]|[!*\\(\\),]|%[0-9a-fA-F][0-9a-fA-F])+")

# ----------------------------------------------------------------------------------------------------------- dates

DateParser = Callable[[str], datetime | None]


def date_parser(today: date) -> DateParser:
    """dateparser's reading of a text, completed from `today`, the first day of a month where none is named.

    Raises `BadInput` where dateparser is not installed.
    """
    try:
        import dateparser  # noqa: F401
    except ImportError as error:
        raise BadInput("the mode official needs dateparser: pip install dateparser") from error
    return partial(parsed, today=today)


@lru_cache(maxsize=65_536)
def parsed(text: str, today: date) -> datetime | None:
    """Remembered: reading a date takes milliseconds, and depends on nothing else."""
    import dateparser

    settings: Any = {"PREFER_DAY_OF_MONTH": "first", "RELATIVE_BASE": datetime.combine(today, datetime.min.time())}
    read: datetime | None = dateparser.parse(text, settings=settings)
    return read


def norm_date(text: str, parse_date: DateParser) -> str:
    """The date as `1994-06-01`; a text that cannot be read stays."""
    read = parse_date(text)
    return text if read is None else read.strftime("%Y-%m-%d")


def date_near(said: str, gold: str, parse_date: DateParser) -> float:
    """1 where no more than 31 days lie between the two, and where neither can be read (a fault)."""
    dates = [_date_or_none(text, parse_date) for text in (said, gold)]
    if None in dates:
        return float(dates == [None, None])
    return float(abs((dates[0] - dates[1]).days) <= 31)  # type: ignore[operator]


def _date_or_none(text: str, parse_date: DateParser) -> datetime | None:
    try:
        return parse_date(text)
    except Exception:  # as published: what dateparser trips over is no date
        return None


# ------------------------------------------------------------------------------------------------- cells: preprocess


def norm_str(text: str) -> str:
    """Lower case, without spaces and asterisks."""
    return text.lower().strip().replace(" ", "").replace("*", "")


def extract_number(text: str) -> str:
    """The first number in the text, with its percent sign, or `NULL`."""
    found = _NUMBERS.search(text.replace(",", ""))
    return found[0] if found else "NULL"


PREPARE: dict[str, Callable[[str], str]] = {"norm_str": norm_str, "extract_number": extract_number}

# ----------------------------------------------------------------------------------------------------- cells: metrics


def comparison(metric: str, rule: ColumnRule, parse_date: DateParser) -> Callable[[str, str], float]:
    """The metric by its name, with the rule's criterion."""
    if metric == "number_near":
        return partial(number_near, criterion=rule.criterion)
    if metric == "date_near":
        return partial(date_near, parse_date=parse_date)
    return COMPARE[metric]


def exact_match(said: str, gold: str) -> float:
    return float(said.lower() == gold.lower())


def in_match(said: str, gold: str) -> float:
    """1 where the response is a part of the gold text."""
    return float(said in gold)


def url_match(said: str, gold: str) -> float:
    """1 where the same hosts are named, also where none is (a fault)."""
    return float(_hosts(said) == _hosts(gold))


def number_near(said: str, gold: str, criterion: Any) -> float:
    """1 where the response is off by no more than `criterion` times the gold number; `50%` is 0.5."""
    numbers = _number(said), _number(gold)
    if numbers[0] is None or numbers[1] is None:
        return float(numbers == (None, None) and said == gold)
    return float(abs(numbers[0] - numbers[1]) <= abs(numbers[1]) * criterion)


COMPARE: dict[str, Callable[[str, str], float]] = {
    "exact_match": exact_match,
    "in_match": in_match,
    "url_match": url_match,
}


def _hosts(text: str) -> set[str]:
    return {urlsplit(url).netloc for url in _URLS.findall(text)}


def _number(text: str) -> float | None:
    try:
        return float(text.replace("%", "")) / 100.0 if "%" in text else float(text)
    except ValueError:
        return None
