"""How `strict` prepares and compares two cells: WideSearch's rules, their faults repaired.

    plain           a cell's text as it is compared: lower case, no white space, no asterisks; numbers by value; every
                    spelling that pandas takes for a missing value is the blank ""
    preparation     the same after the column's preprocessing: what rows are joined by
    comparison      True or False by the column's metrics, `None` where a judge has to say

Differences from `official_cells.py` (docs/scoring.md names the test of each):

* two cells without a number, or without a date, agree if they are equal, not because neither has one;
* a year without a month agrees with a date of that year if the gold says no more; it is never today's month and day;
* hosts are read from the cell as it stands; cells without any agree if they are equal;
* a blank response is not a part of every text;
* equal cells agree without a judge, who sees cells as they were written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import lru_cache, partial
from urllib.parse import urlsplit

from wideseek.scoring.dates import read_date
from wideseek.scoring.spec import ColumnRule

Prepare = Callable[[str], str]
Compare = Callable[[str, str], bool | None]

NEAR_DAYS = 31
BLANKS = frozenset(
    ("", "nan", "-nan", "n/a", "na", "#n/a", "#na", "<na>", "null", "none", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan")
)

_PLAIN_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_FIRST_NUMBER = re.compile(r"[-+]?\d*\.\d+%?|[-+]?\d+\.?\d*%?")
_URL = re.compile(r"https?://[^\s<>\"'|)\]，。；）]+", re.IGNORECASE)


@lru_cache(maxsize=262_144)
def plain(cell: str) -> str:
    """The cell's text as it is compared."""
    text = "".join(cell.lower().replace("*", "").split())
    if text in BLANKS:
        return ""
    if text[-1] in "0123456789" and _PLAIN_NUMBER.fullmatch(text):
        return _by_value(text.replace(",", ""))
    return text


def preparation(rule: ColumnRule) -> Prepare:
    """What makes a cell's text after the column's preprocessing: rows are joined by it, exact matches compared."""
    if "extract_number" in rule.preprocess:
        return _number_text
    return _date_text if "norm_date" in rule.preprocess else plain


def comparison(rule: ColumnRule) -> Compare:
    """Whether (said, gold) agree by all metrics of the column; `None` where a judge has yet to say."""
    compare = [_metric(metric, rule) for metric in rule.metric if metric != "llm_judge"]
    undecided = None if "llm_judge" in rule.metric else True

    def agree(said: str, gold: str) -> bool | None:
        if plain(said) == plain(gold):
            return True
        return undecided if all(matches(said, gold) for matches in compare) else False

    return agree


def _number_text(cell: str) -> str:
    number = first_number(cell)
    return plain(cell) if number is None else str(number)


def _date_text(cell: str) -> str:
    date = read_date(cell)
    if date is None:
        return plain(cell)
    return f"{date.day:%Y}" if date.year_only else date.day.isoformat()


def _metric(name: str, rule: ColumnRule) -> Callable[[str, str], bool]:
    prepare = preparation(rule)
    if name == "number_near":
        return partial(number_near, criterion=float(rule.criterion or 0.0))
    if name == "date_near":
        return date_near
    if name == "url_match":
        return lambda said, gold: bool(hosts(gold)) and hosts(said) == hosts(gold)
    if name == "in_match":
        return lambda said, gold: bool(plain(said)) and prepare(said) in prepare(gold)
    if prepare is plain:  # equal cells are dealt with already
        return lambda said, gold: False
    return lambda said, gold: prepare(said) == prepare(gold)


def number_near(said: str, gold: str, criterion: float) -> bool:
    """Whether both hold a number and the response's is off by no more than `criterion` times the gold's."""
    said_number, gold_number = first_number(said), first_number(gold)
    if said_number is None or gold_number is None:
        return False
    return abs(said_number - gold_number) <= abs(gold_number) * criterion


def date_near(said: str, gold: str) -> bool:
    """Whether both are dates no more than 31 days apart, or in the same year where the gold names no month."""
    said_date, gold_date = read_date(said), read_date(gold)
    if said_date is None or gold_date is None:
        return False
    if gold_date.year_only:
        return said_date.day.year == gold_date.day.year
    return abs((said_date.day - gold_date.day).days) <= NEAR_DAYS


def first_number(cell: str) -> float | None:
    """The first number in the cell; `50%` is 0.5, thousands may be parted by commas."""
    found = _FIRST_NUMBER.search(cell.replace(",", ""))
    if found is None:
        return None
    return float(found[0][:-1]) / 100.0 if found[0].endswith("%") else float(found[0])


def hosts(cell: str) -> frozenset[str]:
    """The hosts that the cell's addresses name."""
    return frozenset(urlsplit(url).netloc.lower() for url in _URL.findall(cell))


def _by_value(number: str) -> str:
    """One spelling for equal numbers: 1990, 1990.0 and +1,990 are the same."""
    try:
        value = Decimal(number)
    except InvalidOperation:  # digits of a script that Decimal does not take
        return number
    return f"{value.normalize():f}" if value else "0"
