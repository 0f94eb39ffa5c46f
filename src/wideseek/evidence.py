"""Evidence: where each cell of the table stands, on pages that the rollout's agents read.

    cell -> the first passage of a page read that holds both the row's key and the cell's value -> (url, quote, agent)

It needs no model. A *passage* is one line of a page (a table row, a list item, a `key: value` line), or one sentence
where the line is prose; the page's title counts as part of every passage when the title *is* the key (a page about
the entity). So two values that stand in each other's rows are both unsupported, even if both occur on the same page.

Values are compared as text: case, width, whitespace, thousands separators and markdown marks do not matter, word
boundaries do (`12` is not found in `2012`); an ISO date is also found as written out in English.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cached_property, lru_cache
from typing import Literal

import msgspec

from wideseek.records import Page, Rollout
from wideseek.table import Table

QUOTE_CHARS = 240
Status = Literal["supported", "unsupported", "empty"]


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stands behind one cell: the page's url, the passage, and the path of the first agent that read it."""

    status: Status
    url: str | None = None
    quote: str | None = None
    agent: str | None = None


EvidenceTable = list[list[Evidence]]
"""One `Evidence` per cell: `evidence[row][column]`, in the table's order."""


def trace(table: Table, key: Sequence[str], rollout: Rollout) -> EvidenceTable:
    """The evidence of every cell, of shape rows × columns.

    `key` names the columns that tell rows apart; a key cell is supported by a passage that holds the whole key.
    """
    pages = [_ReadPage(page, agent) for page, agent in _pages_read(rollout)]
    keys = [table.columns.index(name) for name in key]
    return [_trace_row(row, table.columns, keys, pages) for row in table.rows]


def supported_share(evidence: EvidenceTable) -> float | None:
    """Supported cells over cells that are not empty, in [0, 1]; `None` where every cell is empty."""
    cells = [cell.status for row in evidence for cell in row if cell.status != "empty"]
    return cells.count("supported") / len(cells) if cells else None


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
        passages = page.passages_with(key, wanted)
        if passages:
            best = max(passages, key=lambda passage: _holds(passage[1], column) if column else False)
            return Evidence("supported", page.url, _shortened(best[0], cell), page.agent)
    return Evidence("unsupported")


class _ReadPage:
    """A page and what looking up cells in it needs, computed once."""

    def __init__(self, page: Page, agent: str) -> None:
        self.url, self.agent = page.url, agent
        self._page = page
        self._title = _normal(page.title)
        self._subject = _normal(re.sub(r"\s*[(（].*?[)）]\s*$", "", page.title))

    @cached_property
    def _passages(self) -> list[tuple[str, str]]:
        """(passage as written, passage normalised); the title last, because it says least."""
        lines = [*_split(self._page.text), self._page.title]
        return [(line, _normal(line)) for line in lines if line.strip()]

    @cached_property
    def _normal_text(self) -> str:
        return "\n".join(normal for _, normal in self._passages)

    def mentions(self, key: list[str]) -> bool:
        return all(_holds(self._normal_text, part) for part in key)

    def is_about(self, key: list[str]) -> bool:
        return any(part in (self._title, self._subject) for part in key)

    def passages_with(self, key: list[str], wanted: list[str]) -> list[tuple[str, str]]:
        """The passages (as written, normalised) that hold the whole key and one rendering of the value."""
        return [
            (passage, normal)
            for passage, normal in self._passages
            if any(self._tells(normal, value) if value in key else _holds(normal, value) for value in wanted)
            and all(self._tells(normal, part) for part in key)
        ]

    def _tells(self, passage: str, part: str) -> bool:
        return part in (self._title, self._subject) or _holds(passage, part)


def _split(text: str) -> Iterable[str]:
    """Lines; a line of prose falls into its sentences. A short word before a full stop is abbreviated (St., No.)."""
    for line in text.splitlines():
        if _STRUCTURED.match(line):
            yield line
        else:
            yield from _SENTENCE_END.split(line)


_STRUCTURED = re.compile(r"\s*(?:[|#*•-]|[^.!?:。！？：]{1,60}[:：])")  # table row, list item, heading, `key: value`
_SENTENCE_END = re.compile(r"(?<=\w{3}[.!?])\s+(?=[A-Z“\"(])|(?<=[。！？])")


def _holds(text: str, part: str) -> bool:
    """Whether `part` stands in `text` with no letter or digit of a spaced script touching it."""
    start = text.find(part)
    while start >= 0:
        end = start + len(part)
        if not (_joined(text[start - 1 : start], part[0]) or _joined(part[-1], text[end : end + 1])):
            return True
        start = text.find(part, start + 1)
    return False


def _joined(left: str, right: str) -> bool:
    """Whether two neighbouring characters belong to one word or number."""
    return left.isalnum() and right.isalnum() and not (_unspaced(left) or _unspaced(right))


def _unspaced(char: str) -> bool:
    """Chinese, Japanese, Thai ... are written without spaces: every character may begin a word."""
    return "\u0e00" <= char <= "\u0eff" or "\u3040" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff"


@lru_cache(maxsize=4096)
def _normal(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"[*_`]+", "", text)
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
