"""What a cell says, and what a page says, as values: numbers with scale and unit, dates, text.

    numbers(text)    every number of a text: its value, unit and place, and whether it is one of its own
    dates(text)      every date: (year, month or 0, day or 0) and its place
    Value(cell)      a cell: a number, a date, a year or words

A scale word, a percent sign, a currency, an exponent or a unit beside the digits belongs to the number. A number that
touches something else is not a number of its own: part of a range, a score, a date, a version, a name (`A-5`).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from datetime import date
from functools import cached_property, lru_cache
from typing import NamedTuple

from wideseek.evidence.text import Text, clean, fold, is_unspaced, without_bracket, words
from wideseek.evidence.units import (
    BARE,
    CURRENCIES,
    POWERS,
    SCALES,
    SIGNS,
    UNITS,
    UNSPACED_UNITS,
    Measure,
    currency_called,
    over,
    same_unit,
    unit_called,
)


class Number(NamedTuple):
    """`at` and `end` are word positions, scale and unit included. `own`: it is a number of its own. `word` stands
    behind a number without a unit, as it is written: what is counted, or a unit that nobody knows. `scaled`: a scale
    word belongs to it."""

    value: float
    unit: str
    at: int
    end: int
    own: bool
    word: str = ""
    scaled: bool = False

    def in_full(self, measure: Measure) -> float:
        """The value under a label that gives bare numbers a scale."""
        return self.value if self.scaled else self.value * 10.0**measure.scale


# --------------------------------------------------------------------------------------------------------- the numbers

_SPELT = {word: value for value, word in enumerate("zero one two three four five six seven eight nine ten".split())}
_SPELT |= {word: value for value, word in enumerate("eleven twelve thirteen fourteen fifteen sixteen".split(), 11)}
_SPELT |= {"seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50}
_SPELT |= {"dozen": 12, "两": 2}
_NO_COUNT = frozenset({"zero", "one"})  # `one of the ...` counts nothing
SPELT_WORDS = frozenset(_SPELT) - _NO_COUNT

_LEADING_ZERO = re.compile(r"0\d+")  # 01001 is a code, no number
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
_IS_DIGITS = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d{1,3})?")
_TOUCHED_BEFORE = re.compile(
    r"[\^#/:*_+\\@<>≤≥±] ?$|\d[.,:/*_-]$|[^\W\d_]-$|\d ?- ?$|\d ?(?:to|through|bis) $|\bno\. ?$"
    r"|\b(?:up to|at least|at most|than|under|below|above) $",
    re.IGNORECASE,
)
_TOUCHED_AFTER = re.compile(
    r" ?- ?\d|[:/*_\\^]\d|[.,]\d|\*|\^| ?(?:to|through|bis) [$€£¥]?\d|[⁄@+'\"=]| / \d"
    r"| or (?:more|less|fewer|over|under)\b| ?(?:BCE?|B\.C\.)\b"
)
_CURRENCY = re.compile(rf"((?<![A-Z])[A-Z]{{1,2}}\$|[{SIGNS}]|\b[A-Z]{{3}}(?=[ \d-]|$)) ?-?$")
_HYPHENED = re.compile(r"-([^\W\d_]+)")
_MINUS = re.compile(r"(?:^|[\s:|(=≈~])-[$€£¥₹]?$")
MOST_POWER = 60  # larger exponents are no quantities
_POWER_OF_TEN = re.compile(r" ?[×x·*] ?10 ?\^ ?(-?\d{1,3})", re.IGNORECASE)


def numbers(text: Text) -> list[Number]:
    """The numbers of a text in order."""
    found: list[Number] = []
    index = 0
    while index < len(text.words):
        number = _number_at(text, index)
        if number is not None:
            found.append(number)
        index = number.end if number is not None and number.end > index else index + 1
    return found


def _number_at(text: Text, at: int) -> Number | None:
    word = text.words[at]
    if word in SPELT_WORDS:
        return _measured(text, float(_SPELT[word]), at, at + 1, own=True)
    if word in _HAN_DIGITS:
        return _han_number(text, at)
    if not _IS_DIGITS.fullmatch(word):
        return None
    start, end_char = text.spans[at]
    before, after = text.text[max(0, start - 8) : start], text.text[end_char : end_char + 12]
    value, end = float(word), at + 1
    own = _TOUCHED_BEFORE.search(before) is None and not _LEADING_ZERO.fullmatch(word)
    if power := _POWER_OF_TEN.match(after):
        value, own = _scaled(value, int(power[1])), own and abs(int(power[1])) <= MOST_POWER
        while end < len(text.words) and text.spans[end][0] < end_char + power.end():
            end += 1
    elif word == "10" and (power := re.match(r" ?\^ ?(-?\d{1,3})", after)):
        value, end, own = _scaled(1.0, int(power[1])), end + 1, own and abs(int(power[1])) <= MOST_POWER
    elif _TOUCHED_AFTER.match(after) or _begins_a_compound(after):
        own = False
    if _MINUS.search(before):
        value = -value
    currency = _CURRENCY.search(before)
    sign = currency[1] if currency else ""
    unit = currency_called(sign)
    return _measured(text, value, at - (unit != "" and _is_code_of(text, at, sign)), end, own=own, unit=unit)


def _is_code_of(text: Text, at: int, currency: str) -> bool:
    """Whether the word before a number is letters of its currency (`SEK 5`, `A$5`), and not the unit of another."""
    if not currency or not at or (at > 1 and text.words[at - 2][0].isdigit()):
        return False
    return currency.removesuffix("$") == text.original(at - 1)


def _scaled(value: float, power: int) -> float:
    return value * 10.0**power if abs(power) <= MOST_POWER else value


def _begins_a_compound(after: str) -> bool:
    """`5-door`, not `5-metre` or `5-million`."""
    hyphened = _HYPHENED.match(after)
    return hyphened is not None and fold(hyphened[1]) not in UNITS.keys() | SCALES.keys()


_LETTERS = {"m": 1e6, "b": 1e9}


def _is_millions(word: str, currency: str) -> bool:
    """`1.2M`; after a currency also `$3m`, `$2b`."""
    return word == "M" or (bool(currency) and word.lower() in _LETTERS)


def _measured(text: Text, value: float, at: int, end: int, *, own: bool, unit: str = "") -> Number:
    """The number with the scale word and the unit that follow it."""
    bare = end
    if end < len(text.words) and text.gap(end) in ("", " ") and _is_millions(text.original(end), unit):
        value, end = value * _LETTERS[text.words[end]], end + 1
    while end < len(text.words) and text.words[end] in SCALES and re.fullmatch(r"[ -]?", text.gap(end)):
        value *= 10.0 ** SCALES[text.words[end]]
        end += 1
    scaled, behind = end > bare, text.spans[end - 1][1]
    after = text.text[behind : behind + 3]
    if sign := re.match(rf" ?([%°‰{SIGNS}])", after):
        unit = unit or sign[1]
        if sign[1] == "°" and text.words[end : end + 1] and text.words[end] in _OF_DEGREES:
            unit, end = unit + text.words[end], end + 1
        return Number(value, unit, at, end, own, scaled=scaled)
    follows, last = _unit_at(text, end)
    if unit or follows:
        return Number(value, unit or follows, at, end if unit and unit != follows else last, own, scaled=scaled)
    return Number(value, "", at, end, own, _word_at(text, end), scaled)


_OF_DEGREES = frozenset("cfnsew")  # Celsius, Fahrenheit, and the four winds of a coordinate
_NO_UNIT = frozenset(
    "the a an of in at on by for to and or is was are were s as with from per high tall long wide deep above below "
    "each total approx approximately about ca circa est estimated max maximum minimum but which who when where while "
    "than after before during since until more less".split()
)


_TONS = {"long": "long ton", "short": "short ton", "metric": "t"}


def _word_at(text: Text, at: int) -> str:
    """The word right behind a number, if it may say what the number counts or is measured in."""
    if at >= len(text.words) or text.gap(at) not in ("", " ", "-"):
        return ""
    word = text.words[at]
    return "" if word in _NO_UNIT or word[0].isdigit() or word in MONTHS else text.original(at)


def _unit_at(text: Text, at: int) -> tuple[str, int]:
    """The unit that stands right after a number, and the position behind it."""
    if at >= len(text.words) or not re.fullmatch(r"[ -]?", text.gap(at)):
        return "", at
    word, rest = text.words[at], text.words[at + 1 : at + 4]
    if is_unspaced(word[0]):
        run = "".join(text.words[at : at + 4])
        name = next((name for name in UNSPACED_UNITS if run.startswith(name)), None)
        return (UNITS[name], at + len(name)) if name else ("", at)
    if word in POWERS and rest and (base := UNITS.get(rest[0])):
        return base + POWERS[word], at + 2
    if word == "per" and rest[:1] == ["cent"]:
        return "%", at + 2
    if word in _TONS and rest and rest[0] in ("ton", "tons", "tonne", "tonnes"):
        return _TONS[word], at + 2
    unit = unit_called(text.original(at))
    return _over_another(text, unit, at + 1) if unit else ("", at)


def _over_another(text: Text, unit: str, at: int) -> tuple[str, int]:
    """`km/h`, `kg per head`: the unit, and what it is divided by, where that stands at `at`."""
    if at < len(text.words) and text.gap(at) == "/" and (whole := over(unit, unit_called(text.original(at)))):
        return whole, at + 1
    if text.words[at : at + 1] == ["per"] and at + 1 < len(text.words):
        other = text.words[at + 1]
        return over(unit, unit_called(text.original(at + 1))) or f"{unit}/{other}", at + 2
    return unit, at


_HAN_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {
    "〇": 0,
    "两": 2,
    "十": 10,
    "百": 100,
    "千": 1000,
}
LONGEST_HAN = 12  # characters of a number in Chinese
_HAN_COUNTED = frozenset("年月日号米公里千万萬亿億人元个個座层層岁歲次届位名所家部件吨度%")


def _han_number(text: Text, at: int) -> Number | None:
    """A run of Chinese numerals that counts something: 三十五米, 一九七一年."""
    if at and text.words[at - 1] in _HAN_DIGITS and not text.gap(at):
        return None  # inside a run that was read from its beginning
    end = at
    while end < len(text.words) and text.words[end] in _HAN_DIGITS and (end == at or not text.gap(end)):
        end += 1
    run = text.words[at:end]
    if len(run) > LONGEST_HAN:
        return None
    follows = text.words[end] if end < len(text.words) and not text.gap(end) else ""
    if follows not in _HAN_COUNTED and not (len(run) > 1 and any(char in "十百千" for char in run)):
        return None
    return _measured(text, float(han_number("".join(run))), at, end, own=True)


def han_number(run: str) -> int:
    """The value of Chinese numerals: 三十五 is 35, 一九七一 is 1971, 二〇〇三 is 2003."""
    if not any(char in "十百千" for char in run):
        return int("".join(str(_HAN_DIGITS[char]) for char in run))
    total = digit = 0
    for char in run:
        value = _HAN_DIGITS[char]
        if value >= 10:
            total, digit = total + (digit or 1) * value, 0
        else:
            digit = value
    return total + digit


# ----------------------------------------------------------------------------------------------------------- the dates

Day = tuple[int, int, int]
"""Year, month and day; 0 for what is not said."""

_MONTH_NAMES = "january february march april may june july august september october november december".split()
MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
MONTHS |= {name[:3]: number for name, number in MONTHS.items()} | {"sept": 9}
_DAY_WORD = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?")
_YEAR_WORD = re.compile(r"1\d{3}|20\d\d")
_DATE_FORMS = (
    re.compile(r"(?<![\d.,/-])(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})(?![\d-])"),
    re.compile(r"(?<![\d.,/-])(?P<y>\d{4})/(?P<m>\d{1,2})/(?P<d>\d{1,2})(?![\d/])"),
    re.compile(r"(?<![\d.,/-])(?P<d>\d{1,2})\.\s?(?P<m>\d{1,2})\.\s?(?P<y>\d{4})(?![\d.])"),
    re.compile(r"(?<!\d)(?P<y>\d{4}) ?年 ?(?:(?P<m>\d{1,2}) ?月)?(?: ?(?P<d>\d{1,2}) ?[日号])?"),
    re.compile(r"(?<![\d.,/-])(?P<y>1\d{3}|20\d\d)-(?P<m>0[1-9]|1[0-2])(?![\d/-])"),
    re.compile(r"(?<!\d)(?P<m>\d{1,2}) ?月 ?(?P<d>\d{1,2}) ?[日号]"),
)
_SLASHED = re.compile(r"(?<![\d/])(\d{1,2})/(\d{1,2})/(\d{4})(?![\d/])")
_HAN_DATE = re.compile(r"[零〇一二三四五六七八九十]{2,4}(?=年)|(?<=[年月])[一二三四五六七八九十]{1,3}(?=[月日])")


class Dated(NamedTuple):
    """A date and its place: word positions, the last one exclusive."""

    day: Day
    at: int
    end: int


def dates(text: Text) -> list[Dated]:
    """The dates of a text. Day and month as two numbers are a date only where one of them can only be the day."""
    found = [*_written_dates(text)]
    if "年" in text.text or "月" in text.text or re.search(r"\d[-/.]\s?\d{1,2}(?:[-/.]|(?!\d))", text.text):
        found += _numeric_dates(text)
    return found


def _numeric_dates(text: Text) -> list[Dated]:
    line = _HAN_DATE.sub(lambda m: str(han_number(m[0])).ljust(len(m[0])), text.text)
    days = [(_day(m.groupdict()), m.span()) for form in _DATE_FORMS for m in form.finditer(line)]
    for match in _SLASHED.finditer(line):
        first, second, year = map(int, match.groups())
        if first > 12 >= second:
            days.append(((year, second, first), match.span()))
        elif second > 12 >= first:
            days.append(((year, first, second), match.span()))
    return [Dated(day, *_word_range(text, *span)) for day, span in days if _is_day(day) and not _is_season(day)]


def _is_season(day: Day) -> bool:
    """`2011-12` is a season, not a month."""
    return day[0] > 0 and not day[2] and day[1] == day[0] % 100 + 1


def _day(parts: dict[str, str | None]) -> Day:
    year, month, day = (int(parts.get(name) or 0) for name in "ymd")
    return year, month, day


def _is_day(day: Day) -> bool:
    try:
        date(day[0] or 2000, day[1] or 1, day[2] or 1)
    except ValueError:
        return False
    return True


def _word_range(text: Text, start: int, end: int) -> tuple[int, int]:
    first = bisect_left(text.spans, (start, 0))
    last = bisect_right(text.spans, (end, 0))
    while last > first and text.spans[last - 1][1] > end:
        last -= 1
    return first, last


def _written_dates(text: Text) -> list[Dated]:
    """`3 May 1994`, `May 3, 1994`, `May 1994`, `3 May`."""
    found, words_, index = [], text.words, 0
    while index < len(words_):
        month = MONTHS.get(words_[index])
        if month and (words_[index] != "may" or text.original(index)[0].isupper()):
            before = _DAY_WORD.fullmatch(words_[index - 1]) if index else None
            end, day = index + 1, int(before[1]) if before else 0
            if not before and end < len(words_) and (after := _DAY_WORD.fullmatch(words_[end])):
                day, end = int(after[1]), end + 1
            year = 0
            if end < len(words_) and _YEAR_WORD.fullmatch(words_[end]):
                year, end = int(words_[end]), end + 1
            if (year or day) and _is_day((year, month, day)):
                found.append(Dated((year, month, day), index - bool(before), end))
                index = end
                continue
        index += 1
    return found


# ----------------------------------------------------------------------------------------------------------- the cells

# What joins the parts of a cell: `Ann Lee, Bob Ray`, `Oslo; Bergen`, `Oslo and Bergen`, a bracket.
_PARTS = re.compile(r"\s*(?:,(?!\d)|[;·•|\n、；，]|\s/\s(?!\d)|\(|\)|\band\b|\bund\b|&|<br ?/?>)\s*")
_APPROXIMATE = frozenset(
    "c ca circa about approximately approx around over nearly almost some est estimated ~ 约 約".split()
)
_TOLERANCE = 1e-9
_SAID_ALWAYS = CURRENCIES | {"%", "°", "°c", "°f"}  # a sentence does not leave these out


class Value:
    """A cell: exactly one of `number` and `day`, or neither (then it is words)."""

    def __init__(self, cell: str) -> None:
        self.raw = cell
        self.text = Text(clean(cell))
        self.words = tuple(self.text.words)
        self.day = self._only_day()
        self.number = self._only_number() if self.day is None else None

    def _only_day(self) -> Day | None:
        whole = [found.day for found in dates(self.text) if (found.at, found.end) == (0, len(self.words))]
        return whole[0] if whole and (whole[0][0] or whole[0][2]) and any(whole[0][1:]) else None

    def _only_number(self) -> Number | None:
        """The number that the cell is, with its unit; `about 35 m` is one too."""
        if len(self.words) == 1 and (ordinal := _ORDINAL.fullmatch(self.words[0])):
            return Number(float(ordinal[1]), "", 0, 1, True)
        if year := re.fullmatch(r"(\d{4}) ?年", self.text.text.strip()):
            return Number(float(year[1]), "", 0, len(self.words), True)
        found = numbers(self.text) if len(self.words) <= 8 else []
        if len(found) != 1 or not found[0].own or self.words[0] in SPELT_WORDS:
            return None
        first = next((i for i, word in enumerate(self.words) if word not in _APPROXIMATE), 0)
        return found[0] if (found[0].at, found[0].end) == (first, len(self.words)) else None

    @cached_property
    def is_year(self) -> bool:
        return self.number is not None and not self.number.unit and _YEAR_WORD.fullmatch(self.words[0]) is not None

    @cached_property
    def pieces(self) -> list[str]:
        """The parts of a cell in words, as they are written."""
        if self.number is not None or self.day is not None:
            return []
        return [piece for piece in _PARTS.split(self.text.text) if words(piece)]

    @cached_property
    def parts(self) -> list[tuple[str, ...]]:
        """The words of each part."""
        return [words(piece) for piece in self.pieces]

    @cached_property
    def without_bracket(self) -> tuple[str, ...]:
        return words(without_bracket(self.text.text))

    @cached_property
    def accented(self) -> tuple[str, ...] | None:
        """The words with their accents, where they have any."""
        return accented(self.text)

    def is_number(self, number: Number, *, labelled: bool, asked: Measure = BARE, stated: Measure = BARE) -> bool:
        """Whether `number` says the cell's number. `labelled`: its line or column is the cell's column, so that a
        missing unit says nothing; `asked` is the unit and scale that the column gives, `stated` what the page's own
        label gives (`Height (ft)`, `Sales (millions)`). Another unit never matches, nor one that nobody knows."""
        mine = self.number
        if mine is None or not number.own:
            return False
        own = mine.in_full(asked)
        if abs(number.in_full(stated) - own) > _TOLERANCE * max(1.0, abs(own)):
            return False
        unit = mine.unit or asked.unit
        if number.unit:  # the page says a unit: so does the cell, or its column
            return same_unit(number.unit, unit)
        if unit and (number.word or (stated.unit and not same_unit(unit, stated.unit))):
            return False
        return not unit or labelled or (unit not in _SAID_ALWAYS and not mine.unit)

    def is_day(self, day: Day) -> bool:
        """Whether `day` says the cell's date: the same parts, or more of them (`May 1994` of `3 May 1994`)."""
        return self.day is not None and all(mine in (0, its) for mine, its in zip(self.day, day, strict=True))

    def is_year_of(self, day: Day) -> bool:
        return self.is_year and self.number is not None and day[0] == int(self.number.value)


value_of = lru_cache(maxsize=65_536)(Value)


def accented(text: Text) -> tuple[str, ...] | None:
    """The words with their accents, where they have any, else `None`."""
    lower = text.text.lower()
    if lower.isascii() or len(lower) != len(text.text) or fold(text.text) == lower:
        return None
    return tuple(lower[start:end] for start, end in text.spans)


def text_parts(text: str) -> list[str]:
    """A field's text cut where a list is cut; a text of digits and separators stays whole."""
    return [text] if re.fullmatch(r"[\d,. ]+", text) else [part for part in _PARTS.split(text) if part]


def leading_number(text: Text) -> Number | None:
    """The number that the text begins with (`about 35 m high`), if at most two words follow it."""
    found = numbers(text)
    first = next((i for i, word in enumerate(text.words) if word not in _APPROXIMATE), 0)
    if len(found) == 1 and found[0].at == first and len(text.words) - found[0].end <= 2:
        return found[0]
    return None
