"""How `strict` prepares and compares two cells: WideSearch's rules, their faults repaired.

    plain           a cell's text as it is compared: its words in one case and encoding, without white space; a cell
                    that is a number, with or without a unit, by value; every spelling that pandas takes for a missing
                    value is the blank ""
    preparation     the same after the column's preprocessing: what rows are joined by
    comparison      True or False by the column's metrics, `None` where a judge has to say

Differences from `official_cells.py` (docs/scoring.md names the test of each):

* two cells without a number, or without a date, agree if they are equal, not because neither has one;
* a number has its scale, sign, exponent and unit, and a range is no single number (`wideseek.quantities`);
* a date has the parts that were said: a year agrees with a date of that year if the gold says no more;
* hosts are read from the cell as it stands; cells without any agree if they are equal;
* a blank response is not a part of every text;
* equal cells agree without a judge, who sees cells as they were written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, partial
from urllib.parse import urlsplit

from wideseek import quantities
from wideseek.scoring.dates import date_near as dates_near
from wideseek.scoring.dates import read_date
from wideseek.scoring.plain import folded
from wideseek.scoring.spec import ColumnRule
from wideseek.table import undecorated

Prepare = Callable[[str], str]
Compare = Callable[[str, str], bool | None]

BLANKS = frozenset(
    ("", "nan", "-nan", "n/a", "na", "#n/a", "#na", "<na>", "null", "none", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan")
)
LONGEST = 2_000  # characters of a cell in which a number is looked for

_URL = re.compile(r"https?://[^\s<>\"'|)\]，。；）]+", re.IGNORECASE)


@lru_cache(maxsize=262_144)
def plain(cell: str) -> str:
    """The cell's text as it is compared."""
    text = text_of(cell)
    if len(cell) < 200 and any(map(str.isdigit, text)) and (number := quantities.whole(cell)):
        return number.text()
    return text


@lru_cache(maxsize=262_144)
def text_of(cell: str) -> str:
    """The cell's words in one case and encoding, without white space; "" for a blank."""
    text = folded(undecorated(cell))
    return "" if text in BLANKS else text


def preparation(rule: ColumnRule, column: str = "") -> Prepare:
    """What makes a cell's text after the column's preprocessing: rows are joined by it, exact matches compared."""
    if rule.codes:
        return text_of
    if "extract_number" in rule.preprocess:
        return partial(_number_text, column=column)
    return _date_text if "norm_date" in rule.preprocess else plain


def comparison(rule: ColumnRule, column: str = "") -> Compare:
    """Whether (said, gold) agree by all metrics of the column; `None` where a judge has yet to say.

    `column` is its name: a bare number takes the scale and the unit that it has in brackets.
    """
    compare = [_metric(metric, rule, column) for metric in rule.metric if metric != "llm_judge"]
    undecided = None if "llm_judge" in rule.metric else True

    def agree(said: str, gold: str) -> bool | None:
        if text_of(said) == text_of(gold):
            return rule.codes or not _other_amounts(said, gold, column)
        if not rule.codes and plain(said) == plain(gold):
            return True
        return undecided if all(matches(said, gold) for matches in compare) else False

    return agree


def _other_amounts(said: str, gold: str, column: str) -> bool:
    """Whether cells that differ in case only state other amounts for that: 5 mW and 5 MW, 26 m and 26 M."""
    if said == gold or not any(map(str.isdigit, said)):
        return False
    one, other = (quantities.quantity(cell[:LONGEST], column) for cell in (said, gold))
    if one is None or other is None or not (one.is_known and other.is_known):
        return False
    return not quantities.near(one, other)


def _number_text(cell: str, column: str) -> str:
    number = quantities.quantity(cell[:LONGEST], column)
    return plain(cell) if number is None else number.text()


def _date_text(cell: str) -> str:
    date = read_date(undecorated(cell))
    return plain(cell) if date is None else date.text()


def _metric(name: str, rule: ColumnRule, column: str) -> Callable[[str, str], bool]:
    prepare = preparation(rule, column)
    if name == "number_near":
        return partial(number_near, criterion=float(rule.criterion or 0.0), column=column)
    if name == "date_near":
        return date_near
    if name == "url_match":
        return lambda said, gold: bool(hosts(gold)) and hosts(said) == hosts(gold)
    if name == "in_match":
        return partial(is_part, prepare=prepare)
    if prepare in (plain, text_of):  # equal cells are dealt with already
        return lambda said, gold: False
    return lambda said, gold: prepare(said) == prepare(gold)


def number_near(said: str, gold: str, criterion: float, column: str = "") -> bool:
    """Whether both hold a number and the response's is off by no more than `criterion` times the gold's."""
    said_numbers, gold_numbers = (quantities.alternatives(cell[:LONGEST], column) for cell in (said, gold))
    return any(quantities.near(one, other, criterion) for one in said_numbers for other in gold_numbers)


def date_near(said: str, gold: str) -> bool:
    """Whether both are dates no more than 31 days apart, the response saying all that the gold says."""
    said_date, gold_date = (read_date(undecorated(cell)) for cell in (said, gold))
    return said_date is not None and gold_date is not None and dates_near(said_date, gold_date)


def is_part(said: str, gold: str, prepare: Prepare) -> bool:
    """Whether the response's text, which is not blank, stands in the gold's."""
    return bool(plain(said)) and (prepare(said) in prepare(gold) or text_of(said) in text_of(gold))


def hosts(cell: str) -> frozenset[str]:
    """The hosts that the cell's addresses name."""
    return frozenset(urlsplit(url).netloc.lower() for url in _URL.findall(cell))
