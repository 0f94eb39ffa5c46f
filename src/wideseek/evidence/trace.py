"""Evidence: where each cell of the table stands, on pages that the rollout's agents read.

    cell -> the first passage of a page read that holds both the row's key and the cell's value -> (url, quote, agent)

It needs no model. A *passage* is one table row or one sentence of a page; the page's title counts as part of every
passage when the title *is* the key (a page about the entity), but not of a table row about another key. In a table row
the key has to fill a cell. Where a page about the entity has a line `column: value`, only that line speaks for the
column. So two values that stand in each other's rows or columns are both unsupported, even if both occur on the page.

Values are compared as text: case, width, whitespace, thousands separators and markdown marks do not matter, word
boundaries do (`12` is not found in `2012`); an ISO date is also found as written out in English.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cached_property, lru_cache

import msgspec

from wideseek.evidence.levels import Evidence, EvidenceTable
from wideseek.records import Page, Rollout
from wideseek.table import Table

QUOTE_CHARS = 240


def trace(table: Table, key: Sequence[str], rollout: Rollout) -> EvidenceTable:
    """The evidence of every cell, of shape rows × columns.

    `key` names the columns that tell rows apart; a key cell is supported by a passage that holds the whole key.
    """
    keys = [table.columns.index(name) for name in key]
    named = {value for row in table.rows for index in keys for value in _renderings(row[index])[:1]}
    pages = [_ReadPage(page, agent, named) for page, agent in _pages_read(rollout)]
    return [_trace_row(row, table.columns, keys, pages) for row in table.rows]


def _pages_read(rollout: Rollout) -> Iterable[tuple[Page, str]]:
    """Every page once, with the first agent that read it, in reading order."""
    seen: set[str] = set()
    for run in rollout.trajectories:
        for url in run.read:
            if url in rollout.pages and url not in seen:
                seen.add(url)
                yield rollout.pages[url], run.path


def _trace_row(row: list[str], columns: list[str], keys: list[int], pages: list[_ReadPage]) -> list[Evidence]:
    key = [wanted for index in keys for wanted in _renderings(row[index])[:1]]
    about = [page for page in pages if key and page.mentions(key)]
    about.sort(key=lambda page: not page.is_about(key))  # the entity's own page speaks first
    return [_trace_cell(cell, _normal(column), key, about) for cell, column in zip(row, columns, strict=True)]


def _trace_cell(cell: str, column: str, key: list[str], pages: list[_ReadPage]) -> Evidence:
    """The best quote: from the first page that has one, and there a passage that names the column if any does."""
    wanted = _renderings(cell)
    if not wanted:
        return Evidence("empty")
    for page in pages:
        passages = page.passages_with(key, wanted, column)
        if passages:
            best = max(passages, key=lambda passage: _holds(passage.normal, column) if column else False)
            return Evidence("supported", page.url, _shortened(best.text, cell), page.agent)
    return Evidence("unsupported")


_LABEL = re.compile(r"(?:[-*•] )?([^.!?:。！？：]{1,60})[:：]")


class _Passage(msgspec.Struct, frozen=True, gc=False):
    """A table row or a sentence: as written, normalised, and the cells if it is a row, the label if it has one."""

    text: str
    normal: str
    cells: tuple[str, ...] = ()
    label: str = ""

    @classmethod
    def read(cls, text: str) -> _Passage:
        normal = _normal(text)
        if text.lstrip().startswith("|"):
            return cls(text, normal, cells=tuple(cell.strip() for cell in normal.strip("|").split("|")))
        label = _LABEL.match(normal)
        return cls(text, normal, label=label[1].strip() if label else "")


class _ReadPage:
    """A page and what looking up cells in it needs, computed once. `named` are the keys of the whole table."""

    def __init__(self, page: Page, agent: str, named: set[str]) -> None:
        self.url, self.agent = page.url, agent
        self._page, self._named = page, named
        self._title = _normal(page.title)
        self._subject = _normal(re.sub(r"\s*[(（].*?[)）]\s*$", "", page.title))

    @cached_property
    def _passages(self) -> list[_Passage]:
        """The title last, because it says least."""
        lines = [*_split(self._page.text), self._page.title]
        return [_Passage.read(line) for line in lines if line.strip()]

    @cached_property
    def _normal_text(self) -> str:
        return "\n".join(passage.normal for passage in self._passages)

    def mentions(self, key: list[str]) -> bool:
        return all(part in self._normal_text for part in key)

    def is_about(self, key: list[str]) -> bool:
        return any(part in (self._title, self._subject) for part in key)

    def passages_with(self, key: list[str], wanted: list[str], column: str) -> list[_Passage]:
        """The passages that hold the whole key and one rendering of the value."""
        passages = self._passages
        if self.is_about(key) and column:
            passages = [passage for passage in passages if passage.label == column] or passages
        return [
            passage
            for passage in passages
            if any(self._tells(passage, value) if value in key else _holds(passage.normal, value) for value in wanted)
            and all(self._tells(passage, part) for part in key)
        ]

    def _tells(self, passage: _Passage, part: str) -> bool:
        """Whether a passage is about this part of the key."""
        if part in passage.cells:
            return True
        if part in (self._title, self._subject):
            return not any(cell in self._named for cell in passage.cells if cell != part)
        return not passage.cells and _holds(passage.normal, part)


def _split(text: str) -> Iterable[str]:
    """Table rows, and `label: value` that is no sentence, as they are; any other line falls into its sentences."""
    for line in text.splitlines():
        if line.lstrip().startswith("|") or (_LABEL.match(line) and not line.rstrip().endswith((".", "!", "?"))):
            yield line
        else:
            yield from _SENTENCE_END.split(line)


# A short word before a full stop is abbreviated (St., No.), unless it is a number or a unit after one.
_SENTENCE_END = re.compile(
    r"(?:(?<=\w{3}[.!?])|(?<=\d[.!?])|(?<=\d \w[.!?])|(?<=\d \w{2}[.!?])|(?<=[!?]))\s+(?=[^\W\d_a-z]|[“\"(])"
    r"|(?<=[。！？])"
)


def _holds(text: str, part: str) -> bool:
    """Whether `part` stands in `text` with nothing touching it that would make it part of a longer word or number."""
    start = text.find(part)
    while start >= 0:
        before, after = text[:start], text[start + len(part) :]
        if not (_runs_on_before(before, part) or _runs_on_after(part, after)):
            return True
        start = text.find(part, start + 1)
    return False


# What makes digits part of a longer number, a date, a range, a footnote or an enumeration.
_BEFORE_NUMBER = re.compile(r"(?:\d[.,:/-]|(?:^|[\s:|(=])-|\[)$")
_AFTER_NUMBER = re.compile(r"[.,:/-]\d|\]")


def _runs_on_before(before: str, part: str) -> bool:
    if _joined(before[-1:], part[0]) or (before[-1:] == "-" and before[-2:-1].isalpha() and part[0].isalpha()):
        return True
    return part[0].isdigit() and _BEFORE_NUMBER.search(before[-3:]) is not None


def _runs_on_after(part: str, after: str) -> bool:
    if _joined(part[-1], after[:1]) or (after[:1] == "-" and after[1:2].isalpha() and part[-1].isalpha()):
        return True
    return part[-1].isdigit() and _AFTER_NUMBER.match(after) is not None


def _joined(left: str, right: str) -> bool:
    """Whether two neighbouring characters belong to one word or number."""
    return left.isalnum() and right.isalnum() and not (_unspaced(left) or _unspaced(right))


def _unspaced(char: str) -> bool:
    """Chinese, Japanese, Thai, Korean ... : words touch each other, or their endings."""
    return any(low <= char <= high for low, high in _UNSPACED)


_UNSPACED = (
    *(("\u0e00", "\u0eff"), ("\u1000", "\u109f"), ("\u1780", "\u17ff")),  # Thai and Lao, Myanmar, Khmer
    *(("\u3040", "\u9fff"), ("\uac00", "\ud7af"), ("\uf900", "\ufaff")),  # kana and Han, Hangul
)


@lru_cache(maxsize=4096)
def _normal(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"[*_`]+", "", text).replace("’", "'").replace("‘", "'")
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"[‐-―−]", "-", text)
    return re.sub(r"\s+", " ", text).strip()


def _renderings(cell: str) -> list[str]:
    """The normalised value, and other ways to write the same: none for an empty cell."""
    value = _normal(cell)
    if not re.search(r"\w", value):
        return []
    return [value, *_written_out(value)]


def _written_out(value: str) -> list[str]:
    """`1994-05-03` as `3 may 1994`, `may 3 1994`, `may 3, 1994`."""
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return []
    month = _MONTHS[day.month - 1]
    return [f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}", f"{month} {day.day} {day.year}"]


_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)


def _shortened(passage: str, cell: str) -> str:
    """At most `QUOTE_CHARS` characters of the passage, around the cell."""
    passage = re.sub(r"\s+", " ", passage).strip()
    if len(passage) <= QUOTE_CHARS:
        return passage
    middle = max(0, passage.casefold().find(cell.casefold()))
    start = max(0, min(middle - QUOTE_CHARS // 3, len(passage) - QUOTE_CHARS))
    cut = passage[start : start + QUOTE_CHARS]
    return f"{'…' if start else ''}{cut}{'…' if start + QUOTE_CHARS < len(passage) else ''}"
