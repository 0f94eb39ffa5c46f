"""Column names and the labels of pages: whether a label names a column.

    Label(text)        the words, stems and unit of a column's name, a line's label or a table's header
    tie(column, label) how well the label names the column, from 0 to 3

Words count by their stems, without `the`, `of` and the like; some forty groups of words say the same (`height`,
`tall`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from wideseek.evidence.text import words
from wideseek.evidence.units import BARE, Measure, measure_called, same_unit

SAME, STEMS, SYNONYMS, PART, MORE = 3.0, 2.5, 2.0, 1.0, 0.5
"""How a label names a column: in the same words, by their stems, by words that say the same; `PART` and above: the
label says less than the column; `MORE`: the label says more than the column, so that it may be about something else."""

STOP_WORDS = frozenset("the a an of in at on by for to and or is was s as with from per 的 之".split())

_SAME_MEANING = [
    *(
        "height tall high elevation altitude tallest highest",
        "born birth birthdate birthday",
        "died death dead deceased",
    ),
    *("opened opening open inaugurated launch launched", "population inhabitants residents people"),
    "founded foundation established establishment formed formation creation created inception",
    *("area size", "length long", "director directed directors directs", "country nation", "depth deep", "width wide"),
    *("location located place situated lies", "capacity seats seating holds seat", "price cost costs"),
    *("built construction constructed completed completion finished", "released release premiered premiere"),
    *("author wrote written writer writes", "year date when", "club team", "name title", "age aged old"),
    *("role character plays played portrays", "owner owned", "producer produced", "starring stars cast"),
    *("weight weighs mass", "speed fast", "language spoken", "school college university"),
    *("position pos rank placed ranked", "appearances apps games matches", "points pts", "nationality national"),
    *(
        "capital seat",
        "revenue turnover sales",
        "employees staff employs",
        "number no num",
        "architect designed designer",
    ),
    *("manufacturer made maker", "headquarters headquartered", "closed closure closing", "spouse married wife husband"),
    *("discovered discovery discoverer", "runtime duration", "operator operated", "genre style", "winner won winners"),
    *("volume holds stores", "ceo chief", "predecessor preceded", "successor succeeded", "maximum max", "minimum min"),
    *("average avg mean", "population pop", "高度 身高"),
]

_ENDINGS = "ations ation ities ings ing ions ion ies ers ors ed er or es s e y".split()


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """The word without an ending, if four letters are left."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


_MEANINGS: dict[str, set[int]] = {}
for _number, _group in enumerate(_SAME_MEANING):
    for _word in _group.split():
        _MEANINGS.setdefault(stem(_word), set()).add(_number)
_NONE: set[int] = set()


def meanings(stemmed: str) -> set[int]:
    """The groups of words that say the same as this stem."""
    return _MEANINGS.get(stemmed, _NONE)


def same_meaning(one: str, other: str) -> bool:
    """Whether two stems say the same."""
    return one == other or not meanings(one).isdisjoint(meanings(other))


class Label(NamedTuple):
    """A column's name or a page's label: as written, its words, the stems that carry meaning, and the unit and scale
    that it gives to bare numbers (`Height (m)`: m; `Exports (million EUR)`: €, 6)."""

    text: str
    words: tuple[str, ...]
    stems: frozenset[str]
    measure: Measure

    @property
    def unit(self) -> str:
        return self.measure.unit

    @property
    def is_code(self) -> bool:
        """Whether what stands under the label is a code, a version or an id: digits name something there."""
        return not _CODES.isdisjoint(self.words) or any(name in self.text for name in _CODES_UNSPACED)


_CODES = frozenset(
    "code codes id ids identifier isbn issn ean upc version versions firmware zip zipcode postcode postal "
    "serial".split()
)
_CODES_UNSPACED = ("编号", "版本", "代码", "邮编", "番号")
_SIGNS = {"#": " number ", "%": " percent ", "№": " number "}
_BRACKET = re.compile(r"[(\[（]([^()\[\]（）]*)[)\]）]")


@lru_cache(maxsize=65_536)
def label_of(text: str) -> Label:
    spelt = text
    for sign, word in _SIGNS.items():
        spelt = spelt.replace(sign, word)
    all_words = words(spelt)
    measure, bare = _measure_in(text)
    for sign, word in _SIGNS.items():
        bare = bare.replace(sign, word)
    stems = _stems(words(bare)) or _stems(all_words)
    return Label(text, all_words, stems, measure)


def _stems(named: tuple[str, ...]) -> frozenset[str]:
    return frozenset(stem(word) for word in named if word not in STOP_WORDS)


def _measure_in(label: str) -> tuple[Measure, str]:
    """What a label gives to bare numbers, and the label without it: `Height (m)`, `length in km`, `Area, km²`,
    `Population (thousands)`."""
    for match in _BRACKET.finditer(label):
        if measure := measure_called(match[1]):
            return measure, label[: match.start()] + " " + label[match.end() :]
    before, separator, after = (label + " ").rpartition(" in ") if " in " in label else label.rpartition(",")
    if separator and (measure := measure_called(after)):
        return measure, before
    return BARE, label


_HARMLESS = frozenset(
    stem(word)
    for word in (
        "total official current full name overall main exact approximate estimated original year date number of"
    ).split()
)


@lru_cache(maxsize=262_144)
def tie(column: Label, label: Label) -> float:
    """How well the label names the column; 0 where it does not, or asks for another unit."""
    if not column.words or not label.words or (column.unit and label.unit and not same_unit(column.unit, label.unit)):
        return 0.0
    if column.words == label.words:
        return SAME
    ours, its = column.stems, label.stems
    if not ours or not its:
        return 0.0
    if ours == its:
        return STEMS
    covered, covers = _covered(ours, its), _covered(its, ours)
    if covered == ours and covers == its:
        return SYNONYMS
    if covers == its:
        return PART + len(its) / len(ours) if its - _NO_COLUMN else MORE
    if covered == ours:
        return PART + len(ours) / len(its) if its - covers <= _HARMLESS else MORE
    return 0.0


def _covered(stems: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    """The stems that one of the others says too."""
    return frozenset(one for one in stems if any(same_meaning(one, other) for other in others))


_NO_COLUMN = frozenset(stem(word) for word in "name year date number of".split())  # these alone name no longer column
_NAMING = frozenset({"nam", "name", "titl", "title", "名", "称"})


def names_things(label: Label) -> bool:
    """Whether a label says that its line names the thing: `name`, `official title`."""
    return not label.stems.isdisjoint(_NAMING)


def best_tie(columns: list[Label], index: int, label: Label) -> float:
    """How well the label names column `index`; 0 where another column of the table is named as well or better."""
    mine = tie(columns[index], label)
    if 0 < mine < SAME and any(tie(other, label) >= mine for at, other in enumerate(columns) if at != index):
        return 0.0
    return mine
