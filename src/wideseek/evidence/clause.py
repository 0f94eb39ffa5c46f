"""Prose: whether a clause ties a value to a column of a row's entity.

    says(sentence, value, ...)   TIED  key, value and a word of the column stand in one clause, next to each other
                                 NEAR  key and value stand in the sentence; nothing ties the value to the column
                                 None  they do not

A question, a denial, a doubt, a supposition, fiction, an earlier state, and a clause about something else tie nothing.
This is precise and weak: about a fifth of what prose says is tied, and one percent of what it does not say.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from wideseek.evidence.labels import STOP_WORDS, Label, meanings, same_meaning, stem
from wideseek.evidence.layout import Sentence
from wideseek.evidence.names import named_at
from wideseek.evidence.page import Name
from wideseek.evidence.text import UNSPACED, Text, is_unspaced
from wideseek.evidence.units import CURRENCIES, SCALES, UNITS, Measure
from wideseek.evidence.values import MONTHS, Value, value_of

MOST_SPOTS = 8  # places of one value in one sentence that are looked at
Said = Literal["tied", "near"] | None


@dataclass(frozen=True)
class About:
    """Whose cell is looked for: the names of the row's key, how each is written, how much the page is theirs (see
    `names.ownership`), the names of all rows by their first words, and the words of the page's title."""

    names: list[Name]
    written: list[str]
    levels: list[int]
    every: Mapping[str, list[Name]]
    title: frozenset[str]

    @property
    def words(self) -> set[str]:
        return {word for name in self.names for word in name}


_DENIAL = frozenset(
    "not never no neither nor without isn't wasn't doesn't didn't aren't weren't cannot can't false falsely "
    "incorrectly failed denies denied refused hardly barely scarcely differs limit copy rival 不 没 未 非 无".split()
)
_DOUBT = frozenset(
    "wrong incorrect incorrectly erroneous erroneously mistaken mistakenly disputed myth legend rumour rumor hoax "
    "fictional fiction imaginary supposedly misreported wrongly dropped abandoned cancelled retracted debunked "
    "respectively".split()
)
_IN_FICTION = re.compile(r"\bin (?:the|a|his|her|this) (?:\w+ )?(?:novel|film|story|book|game|series|episode)\b", re.I)
_SUPPOSED = frozenset(
    "reportedly than if would might may could should planned proposed expected rumoured rumored allegedly claimed "
    "hypothetical projected hoped aims targeted unlike like".split()
)
_OTHERS = frozenset(
    "other another second former old previous previously earlier formerly used before until neighbouring neighboring "
    "nearby adjacent whether nobody originally once predecessor successor replaced".split()
)
_VERBS = frozenset("is was are were has had have reaches reached measures measured stands stood".split())
_ENDED = frozenset("until before formerly till previously".split())
_OPENERS = STOP_WORDS | frozenset(
    "it its he his she her they their this that these there although while when after before since during until under "
    "over about between also currently originally today now both each all one two with within located situated built "
    "cast made set born known held written drawn sold bought first".split()
)
_AFTER_NUMBER = STOP_WORDS | frozenset(
    "which who where when while but than after before during since until more less out among above below ago long tall "
    "high wide deep".split()
)
_PEOPLE = frozenset({"people", "persons", "inhabitants", "residents"})
_DATE_COLUMNS = {"year", "dat", "date", "day", "season", "edition", *"年份日期月"}
_EVENTS = {
    stem(word)
    for word in "born died opened closed founded established built released published began ended joined debut "
    "launched date".split()
}
_DATED = (
    _EVENTS
    | {
        stem(word)
        for word in "year start started begin retired elected appointed won dissolved season edition since until "
        "completed introduced discovered incorporated abolished formed term office".split()
    }
    | set("年日月期")
)
_DATED_MEANINGS = {number for word in _DATED for number in meanings(word)}
_WEAK = {"no", "total", "number", "numb", "full", "first", "last", "name", "nam", "offici", "current"}


def _kinds(names: str, characters: str) -> set[str]:
    return {stem(word) for word in names.split()} | set(characters)


_LENGTH = _kinds(
    "height length depth width elevation distance size span drop wave diameter thickness", "高长長宽寬深距径跨程"
)
_AREA, _VOLUME = _kinds("area size surface", "面积積"), _kinds("volume capacity storage", "容体積积")
_MASS = _kinds("weight mass tonnage load", "重质質")
_MONEY = _kinds(
    "price cost budget revenue gross salary pay fee prize value gdp income fund money worth asset profit turnover "
    "sales office fine debt",
    "价價票房收入额額费費资資",
)
_SHARE = _kinds("percent share rate votes percentage proportion", "率比占")
_DIMENSIONS = {
    **dict.fromkeys(("m", "km", "cm", "mm", "μm", "ft", "in", "yd", "mi", "nmi", "fathom"), _LENGTH),
    **dict.fromkeys(("km2", "m2", "mi2", "ft2", "ha", "acre"), _AREA),
    **dict.fromkeys(("m3", "km3", "l", "ml", "cl", "gallon", "cc"), _VOLUME),
    **dict.fromkeys(("kg", "g", "mg", "μg", "t", "kt", "mt", "lb", "oz"), _MASS),
    **dict.fromkeys(CURRENCIES, _MONEY),
    "%": _SHARE,
}
"""What a number with this unit can be; a column that is none of it is not meant."""

_TELLING_UNITS = frozenset(unit for unit, kinds in _DIMENSIONS.items() if kinds in (_AREA, _VOLUME))
_SPAN = re.compile(r"\(([^()\d]{0,20}\d[^()]{3,20}?)(?:\s-\s|(?<=日)-)([^()]{4,25})\)|\((\d{4})-(\d{4})\)")
_MEASURES = set("高长長宽寬深重")
_CLAUSE = re.compile(
    r";|:\s|--| - |，|、|, but | but | while | whereas | although | though |, (?:and|or|which|who|where) "
    r"| and (?=(?:[A-Z]\w+ ){1,3}(?:is|was|has|had|are|were|won|became|died)\b|it |its |he |she |they )"
    r"|(?<!\d), (?=[A-Z]\w+ (?:won|is|was|has|had)\b)"
    rf"|(?<=[{UNSPACED}]),|,(?=[{UNSPACED}])"
)


def says(sentence: Sentence, value: Value, index: int, columns: list[Label], about: About) -> Said:
    """Whether the sentence says the value of column `index` of the row that `about` names."""
    if len(value.parts) > 1 and len(value.parts) <= 8 and not sentence.text.find(value.words):
        return _says_all(sentence, value, index, columns, about)
    spots, inside_name = _spots(sentence, value, columns[index])
    if not spots and not inside_name:
        return None
    named = [named_at(sentence.text, n, w) for n, w in zip(about.names, about.written, strict=True)]
    if not all(places or level for places, level in zip(named, about.levels, strict=True)):
        return None
    if not spots or not sentence.whole or _states_nothing(sentence.text):
        return "near"
    clause = _Clause(sentence, named, about, columns, index)
    return "tied" if any(clause.ties(at, end, value) for at, end in spots[:MOST_SPOTS]) else "near"


def _says_all(sentence: Sentence, value: Value, index: int, columns: list[Label], about: About) -> Said:
    """A list: every part has to be said, and is as well said as the worst."""
    worst: Said = "tied"
    for piece in value.pieces:
        said = says(sentence, value_of(piece), index, columns, about)
        if said is None:
            return None
        worst = "near" if said == "near" else worst
    return worst


def _states_nothing(text: Text) -> bool:
    """A question; a sentence that doubts what it says, or says that it is made up; lists that have to be matched."""
    is_question = text.text.rstrip().endswith(("?", "？"))
    return is_question or not _DOUBT.isdisjoint(text.words) or _IN_FICTION.search(text.text) is not None


def _spots(sentence: Sentence, value: Value, column: Label) -> tuple[list[tuple[int, int]], bool]:
    """Where the value stands as (first word, one past the last); and whether it stands inside a longer name only."""
    text = sentence.text
    if value.number is not None and not column.is_code:
        unit, scale = column.measure
        spots = [
            (number.at, number.end)
            for number in sentence.numbers
            if value.is_number(
                number, labelled=False, asked=Measure(unit or _asked_by_kind(column, number.unit), scale)
            )
        ]
        spots = spots or [(found.at, found.end) for found in sentence.dates if value.is_year_of(found.day)]
        if not value.is_year:  # the day of a date counts nothing
            dated = {i for found in sentence.dates for i in range(found.at, found.end)}
            spots = [spot for spot in spots if spot[0] not in dated]
        mentioned = any(
            number.own and number.value == value.number.value and not value.number.unit and number.unit not in _RELATIVE
            for number in sentence.numbers
        )
        return spots, not spots and mentioned
    if value.day is not None and not column.is_code:
        return [(found.at, found.end) for found in sentence.dates if value.is_day(found.day)], False
    found = [(at, at + len(value.words)) for at in text.find(value.words)]
    spots = [spot for spot in found if _is_whole(text, *spot, value.text.text, column)]
    return spots, bool(found) and not spots


_RELATIVE = frozenset("%°‰") | {"°c", "°f"}


def _asked_by_kind(column: Label, unit: str) -> str:
    """A unit that only a column of this kind has (`Volume`: m3), so that a bare number may be in it."""
    return unit if unit in _TELLING_UNITS and _takes(column, unit) else ""


def _takes(column: Label, unit: str) -> bool:
    """Whether a number with this unit can be what the column asks for."""
    return any(same_meaning(kind, word) for kind in _DIMENSIONS.get(unit, ()) for word in column.stems)


def _is_whole(text: Text, at: int, end: int, written: str, column: Label) -> bool:
    """Whether the value is no part of a longer name or a compound."""
    start, stop = text.spans[at][0], text.spans[end - 1][1]
    first, before, after = text.original(at), text.original(at - 1), text.original(end)
    if first and is_unspaced(first[0]):
        return not (
            before and not text.gap(at) and "\u30a0" <= before[0] <= "\u30ff" and "\u30a0" <= first[0] <= "\u30ff"
        )
    if first[:1].isalpha():
        if written[:1].isupper() and first[0].islower():
            return False
        opens = at <= 1 or re.search(r"[.!?\"]\s*$", text.text[max(0, start - 3) : start]) is not None
        joined = before[:1].isupper() and text.gap(at) == " " and not opens
        if joined and not _is_word_of(column, text.words[at - 1]) and text.words[at - 1] not in STOP_WORDS:
            return False
        joined = after[:1].isupper() and text.gap(end) == " " and written[:1].isupper()
        if joined and not _is_word_of(column, text.words[end]):
            return False
    hyphened_before = text.text[start - 1 : start] == "-" and text.text[start - 2 : start - 1].isalnum()
    return not hyphened_before and not re.match(r"-\w", text.text[stop : stop + 2])


def _is_word_of(column: Label, word: str) -> bool:
    return any(same_meaning(stem(word), wanted) for wanted in column.stems)


class _Clause:
    """A sentence looked at for one column of one row."""

    def __init__(
        self, sentence: Sentence, named: list[list[int]], about: About, columns: list[Label], index: int
    ) -> None:
        self._sentence, self._text, self._named, self._about = sentence, sentence.text, named, about
        self._columns, self._index = columns, index
        self._column = columns[index]
        self._wanted = self._column.stems
        cuts = [match.start() for match in _CLAUSE.finditer(self._text.text)]
        self._clause_of = [bisect_right(cuts, start) for start, _ in self._text.spans]

    def ties(self, at: int, end: int, value: Value) -> bool:
        """Whether the clause around the value is about the row's entity, states it, and names the column beside it."""
        low, high = (cut(self._clause_of, self._clause_of[at]) for cut in (bisect_left, bisect_right))
        before = self._text.words[low:at]
        if not _DENIAL.isdisjoint(before[-6:]):
            return False
        if any(self._is_supposed(i) for i in range(max(low, at - 8), at)):
            return False
        if self._compares(end):
            return False
        if value.day is None and not value.is_year and not _ENDED.isdisjoint(self._text.words[end : end + 3]):
            return False  # `its capital was Ost until 1990`
        return self._is_about(low, high, at) and self._names_column(low, high, at, end, value)

    def _compares(self, end: int) -> bool:
        """`35 m taller than Beta` is a difference."""
        behind = self._text.words[end : end + 4]
        return any(
            word.endswith("er") or word in ("more", "less")
            for word, after in pairwise(behind)
            if after in ("than", "tall")
        )

    def _is_supposed(self, at: int) -> bool:
        return self._text.words[at] in _SUPPOSED and self._text.original(at) != "May"

    # ------------------------------------------------------------------------------------------ whose clause it is

    def _is_about(self, low: int, high: int, at: int) -> bool:
        words_ = self._text.words
        inside = [any(low <= i < high for i in places) for places in self._named]
        if any(not there and not level for there, level in zip(inside, self._about.levels, strict=True)):
            return False
        if not _OTHERS.isdisjoint(words_[low:at]):
            return False
        if self._speaks_of_a_part(low, at) or self._belongs_to_another_name(low):
            return False
        if self._speaks_of_a_possession(low, high, at):
            return False
        if self._another_is_subject(low, at):
            return False
        return any(inside) or not self._speaks_of_another(low, at)

    def _speaks_of_a_part(self, low: int, at: int) -> bool:
        """`the base of Alpha is 20 m high` is not Alpha's height."""
        return any(
            low + 1 < i < at
            and self._text.words[i - 1] == "of"
            and not _is_word_of(self._column, self._text.words[i - 2])
            for places in self._named
            for i in places
        )

    def _speaks_of_a_possession(self, low: int, high: int, at: int) -> bool:
        """`Alpha's keeper's house is 12 m high` says nothing of Alpha: what it owns, and what that owns, has to be the
        column (`Alpha's height is 35 m`) or the kind of thing that the key is (`Alpha's tower`)."""
        for name, places in zip(self._about.names, self._named, strict=True):
            for i in places:
                if (
                    low <= i < at
                    and self._owns(i + len(name) - 1)
                    and not self._owns_the_column(i + len(name), high, at)
                ):
                    return True
        return False

    def _owns(self, at: int) -> bool:
        """Whether the word is a possessive: `Alpha's`, `the Twins'`."""
        end = self._text.spans[at][1]
        return self._text.original(at)[-2:].lower() == "'s" or self._text.text[end - 1 : end + 1].lower() == "s'"

    def _owns_the_column(self, start: int, high: int, at: int) -> bool:
        """Whether every thing that is owned from word `start` on is the column: each possessive, and what stands
        between the last of them and the verb; where the value stands there, what ends the words behind it."""
        words_ = self._text.words
        stop = next((i for i in range(start, at) if words_[i] in _VERBS), at)
        owners = [i for i in range(start, stop) if self._owns(i)]
        if not all(_is_word_of(self._column, words_[i]) for i in owners):
            return False
        first = owners[-1] + 1 if owners else start
        if first < stop:
            return any(_is_word_of(self._column, word) for word in words_[first:stop])
        behind = [i for i in range(at, high) if words_[i] in _VERBS or words_[i] in STOP_WORDS]
        last = (behind[0] if behind else high) - 1
        return _is_word_of(self._column, words_[last])

    def _another_is_subject(self, low: int, at: int) -> bool:
        """A foreign name, perhaps with a noun behind it, right before a verb: `Beta is 35 m`, `the Beta tower is`."""
        words_, known = self._text.words, self._about.words | self._about.title
        for i in range(low, at):
            capital = self._text.original(i)[:1].isupper() and not (i == 0 and words_[0] in _OPENERS)
            if not capital or words_[i] in known or words_[i] in MONTHS or _is_word_of(self._column, words_[i]):
                continue
            if not _VERBS.isdisjoint(words_[i + 1 : min(i + 3, at)]):
                return True
        return False

    def _belongs_to_another_name(self, low: int) -> bool:
        """`Beta, which opened in 1905`: a relative clause speaks of the name before it."""
        words_, before = self._text.words, self._text.original(low - 1)
        if words_[low] not in ("which", "who", "whose", "where") or not before[:1].isupper():
            return False
        return not any(tuple(words_[max(0, low - len(name)) : low]) == name for name in self._about.names)

    def _speaks_of_another(self, low: int, at: int) -> bool:
        """On the entity's own page: a clause that opens with another name, or holds the name of another row."""
        words_, key_words = self._text.words, self._about.words
        head = words_[0]
        foreign = head not in _OPENERS and head not in key_words and head not in self._about.title
        worded = head.endswith(("ed", "ing", "ly")) or _is_word_of(self._column, head)
        if low == 0 and at > 0 and foreign and not worded and self._text.original(0)[:1].isupper():
            return True
        if any(self._names_another_row(i) for i in range(low, at)):
            return True
        opening = words_[low]
        if low == 0 and opening in ("its", "his", "her", "their"):  # its neighbour Beta; its base is 20 m high
            after = words_[low + 1 : low + 2]
            capital = any(self._text.original(i)[:1].isupper() and words_[i] not in key_words for i in range(1, at))
            return capital or not (after and self._may_be_its(low + 1, at))
        return False

    def _names_another_row(self, at: int) -> bool:
        first = self._text.words[at]
        return len(first) > 2 and any(
            name not in self._about.names and tuple(self._text.words[at : at + len(name)]) == name
            for name in self._about.every.get(first, ())
        )

    def _may_be_its(self, low: int, at: int) -> bool:
        """After `its`: the column has to be named before a verb, or the clause speaks of a part of the entity."""
        for i in range(low, at):
            if _is_word_of(self._column, self._text.words[i]):
                return True
            if self._text.words[i] in ("is", "was", "are", "were", "has", "had", "measures", "stands"):
                return False
        return False

    # -------------------------------------------------------------------------------------------- what it speaks of

    def _names_column(self, low: int, high: int, at: int, end: int, value: Value) -> bool:
        """A word of the column beside the value: `height of 35 m`, `35 m tall`, `directed by X`, `the X Party`."""
        is_number = value.number is not None
        eventful = self._wanted - _DATE_COLUMNS
        dated = value.day is not None or (value.is_year and self._takes_dates())
        if dated and not eventful:
            return self._is_a_year_thing(at, end, high, value)
        if is_number and not dated and not (value.number and value.number.unit) and self._wanted & _EVENTS:
            return False
        if is_number and (told := self._told_by_unit(at)) is not None:
            return told
        if dated and (born := self._life_span(at)) is not None:
            return born
        return self._enough(self._words_beside(low, high, at, end, value, dated), eventful if dated else self._wanted)

    def _takes_dates(self) -> bool:
        return any(not meanings(word).isdisjoint(_DATED_MEANINGS) for word in self._wanted) or bool(
            self._wanted & _DATED
        )

    def _is_a_year_thing(self, at: int, end: int, high: int, value: Value) -> bool:
        """A column `Year` is tied by `is a 1999 film` only."""
        words_ = self._text.words
        article = at >= 2 and words_[at - 1] in ("a", "an", "the") and words_[at - 2] in ("is", "was")
        return value.is_year and article and end < high and self._text.gap(end) == " "

    def _told_by_unit(self, at: int) -> bool | None:
        """`False` where the number's unit is none of the column; `True` where it says the column by itself."""
        unit = next((number.unit for number in self._sentence.numbers if number.at == at), "")
        if unit not in _DIMENSIONS:
            return None
        if not _takes(self._column, unit) and self._column.unit != unit:
            return False
        rivals = sum(_takes(label, unit) or label.unit == unit for label in self._columns)
        return True if unit in _TELLING_UNITS and rivals == 1 else None

    def _life_span(self, at: int) -> bool | None:
        """`Ann Lee (3 May 1901 - 4 June 1980)` says when she was born and when she died."""
        span = _SPAN.search(self._text.text)
        if span is None or not span.start() <= self._text.spans[at][0] < span.end():
            return None
        late = self._text.spans[at][0] >= (span.start(2) if span[2] else span.start(4))
        if self._wanted & {"born", "birth", "生"}:
            return not late
        return late if self._wanted & {"died", "death", "卒", "逝"} else None

    def _words_beside(self, low: int, high: int, at: int, end: int, value: Value, dated: bool) -> set[str]:
        """The stems of the column that stand beside the value."""
        found: set[str] = set()
        for i in range(max(low, at - 9), min(high, end + 4)):
            word = self._text.words[i]
            if at <= i < end or word in STOP_WORDS:
                continue
            said = {wanted for wanted in self._wanted if same_meaning(stem(word), wanted)}
            left, right = (i + 1, at) if i < at else (end, i)
            if (
                said
                and self._beside(left, right, i < at, value, dated)
                and not self._another_column_between(left, right)
            ):
                found |= said
        return found

    def _another_column_between(self, left: int, right: int) -> bool:
        return any(
            word not in STOP_WORDS
            and stem(word) not in self._wanted
            and any(stem(word) in label.stems for at, label in enumerate(self._columns) if at != self._index)
            for word in self._text.words[left:right]
        )

    def _enough(self, found: set[str], wanted: frozenset[str]) -> bool:
        """Both words of a column of two, half of a longer one."""
        if not found:
            return False
        main = wanted - _WEAK or wanted
        if all(is_unspaced(word[0]) for word in main):
            return main <= found or len(found) >= 2 or bool(found & _MEASURES)
        return len(found & main) == 2 if len(main) == 2 else len(found & main) * 2 >= len(main)

    def _beside(self, left: int, right: int, column_first: bool, value: Value, dated: bool) -> bool:
        """Whether the words between column word and value let one speak of the other."""
        inner = self._text.words[left:right]
        between = (
            self._text.text[self._text.spans[left - 1][1] : self._text.spans[right][0]]
            if right < len(self._text.spans)
            else ""
        )
        if value.number is not None or value.day is not None:
            return self._beside_number(left, right, inner, between, column_first, value, dated)
        if not column_first:
            capital = inner and self._text.original(left)[:1].isupper()
            return len(inner) <= 1 and not re.search(r"[,;()]", between) and not capital
        capitals = any(
            self._text.original(i)[:1].isupper() and self._text.words[i] not in self._about.words
            for i in range(left, right)
        )
        if len(inner) <= 4 and not re.search(r"[,;()]", between) and not capitals:
            return True
        return _ONE_OF_A_LIST.fullmatch(between) is not None

    def _beside_number(
        self, left: int, right: int, inner: list[str], between: str, column_first: bool, value: Value, dated: bool
    ) -> bool:
        if dated:
            if value.is_year and column_first and inner and not inner[-1].isdigit() and inner[-1] not in _BEFORE_YEAR:
                return False
        elif value.is_year and not (column_first and len(inner) <= 2 and inner[-1:] and inner[-1] in _BEFORE_COUNT):
            return False  # 2004 in `in 2004, placed third` is no rank
        if column_first and not dated and "of" in inner[-3:]:
            of = len(inner) - 1 - inner[::-1].index("of")
            if not all(_is_word_of(self._column, word) for word in inner[:of]):
                return False  # `places, with a population of 27,629`: the noun before `of` names the number
        if any(self._is_another_number(i, dated) for i in range(left, right)):
            return False
        if column_first and not dated and value.number is not None and self._counts_something(right):
            return False
        if not column_first and between.strip().startswith("(") and ")" in between:  # 35 m (115 ft) high
            between = between[between.index(")") + 1 :]
            inner = [word for word in inner if word in between.lower().split()]
        if column_first:
            return len(inner) <= 8
        return len(inner) <= 2 and not re.search(r"[,;()]", between)

    def _is_another_number(self, at: int, dated: bool) -> bool:
        word = self._text.words[at]
        is_year = re.fullmatch(r"1\d{3}|20\d\d", word) is not None
        return word[0].isdigit() and is_year == dated

    def _counts_something(self, at: int) -> bool:
        """`the height of 35 towers`: a noun after a bare number says what is counted."""
        end = at + 1
        while end < len(self._text.words) and (self._text.words[end] in SCALES or self._text.words[end] in UNITS):
            end += 1
        if end != at + 1 or end >= len(self._text.words) or self._text.gap(end) != " ":
            return False
        word = self._text.words[end]
        return word not in _AFTER_NUMBER | _PEOPLE and not word[0].isdigit() and not _is_word_of(self._column, word)


_BEFORE_YEAR = frozenset(MONTHS) | frozenset("in since from of year during was is on until".split())
_BEFORE_COUNT = frozenset("of is was are were about".split())
_ONE_OF_A_LIST = re.compile(r"\W*(?:by |are |include |is |was )?(?:(?:[A-Z][\w.'-]*+|and|&|de|van|von|the)[\s,]*+)*+")
