"""Cells whose truth is known, each beside the pages that were read: what an evidence check is measured on.

    records       hand-made cells (tests/fixtures/evidence/*.jsonl)
    pocket        the bundled world's test tables and their pages
    wikitables    real tables, beside their rows' own pages, with or without the page that lists them, or prose only;
                  and the same pages written in other forms
    hybridqa      real tables, beside their article, or beside the prose of their rows' own pages

A set yields `Case`s: a table, and the cells of it to look at. They are all true, or all wrong in the way `kind` says.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import msgspec

from wideseek.answer import final_table
from wideseek.assets import world_pages
from wideseek.evals.benchmarks import load_bench
from wideseek.evidence import EvidenceTable, Shelf, Status, trace
from wideseek.records import Page, Rollout, Task, Trajectory, read_jsonl
from wideseek.table import Table

RECORDS = Path(__file__).parents[1] / "tests" / "fixtures" / "evidence"
HOST = "https://pages.example"
TRUE, TRUE_KEY = "true", "true key"
OTHER_ROW, OTHER_COLUMN = "another row's value", "another column's value"
OTHER_NUMBER, PART = "another number of the own page", "number that is part of the true value"
OTHER_NAME, RANDOM = "another name of the own page", "random digits"
NUMBER = re.compile(r"(?<![\d.,])\d[\d,.]*\d|\b\d\b")
NAME = re.compile(r"\b[A-Z][a-z]+\b")
FACT = re.compile(r"^- ([^:\n]{1,80}): (.*)$", re.MULTILINE)

Cell = tuple[int, int]
"""Row and column, from 0."""
Change = Callable[[Page, int], Page]
"""A page in another form; the number is its place among the pages of its table."""
Counts = dict[str, Counter[Status]]
"""How many cells of each kind stand on each level."""


_last: list[tuple[Rollout, Shelf]] = []


def shelf_of(rollout: Rollout) -> Shelf:
    """The prepared pages of a rollout: the cases of one table follow each other and share theirs."""
    if not _last or _last[0][0] is not rollout:
        _last[:] = [(rollout, Shelf())]
    return _last[0][1]


@dataclass(frozen=True)
class Case:
    kind: str
    table: Table
    key: list[str]
    rollout: Rollout
    cells: list[Cell]

    def levels(self) -> Iterator[Status]:
        """The level that the evidence check gives each of the cells."""
        evidence: EvidenceTable = trace(self.table, self.key, self.rollout, shelf_of(self.rollout))
        return (evidence[row][column].status for row, column in self.cells)


def counted(cases: Iterator[Case]) -> Counts:
    counts: Counts = {}
    for case in cases:
        if case.cells:
            counts.setdefault(case.kind, Counter()).update(case.levels())
    return counts


def share(levels: Counter[Status], level: Status = "supported") -> float:
    """The share of cells on a level, in [0, 1]; 0 where there is no cell."""
    return levels[level] / levels.total() if levels else 0.0


def rollout_that_read(pages: Sequence[Page]) -> Rollout:
    reader = Trajectory(role="lead", read=[page.url for page in pages])
    return Rollout(task=Task(question="q"), trajectories=[reader], pages={page.url: page for page in pages})


# --------------------------------------------------------------------------------------------------------- records


class RecordedPage(msgspec.Struct):
    title: str
    text: str


class CellRecord(msgspec.Struct):
    """One hand-made cell: `cell` is its row and column, `wanted` the levels that are right for it."""

    name: str
    wanted: list[Literal["supported", "mentioned", "unsupported"]]
    pages: list[RecordedPage]
    columns: list[str]
    rows: list[list[str]]
    key: list[str]
    cell: Cell

    @property
    def true(self) -> bool:
        return "supported" in self.wanted

    @property
    def case(self) -> Case:
        pages = [Page(f"{HOST}/{number}", page.title, page.text) for number, page in enumerate(self.pages)]
        kind = TRUE if self.true else "wrong"
        return Case(kind, Table(self.columns, self.rows), self.key, rollout_that_read(pages), [self.cell])


def record_sets() -> list[str]:
    return sorted(path.stem for path in RECORDS.glob("*.jsonl"))


def read_records(name: str) -> list[CellRecord]:
    return list(read_jsonl(RECORDS / f"{name}.jsonl", CellRecord))


def records(name: str) -> Iterator[Case]:
    return (record.case for record in read_records(name))


# ------------------------------------------------------------------------------------------------------- wrong cells


def replaced(table: Table, cell: Cell, value: str) -> Table:
    rows = [list(row) for row in table.rows]
    rows[cell[0]][cell[1]] = value
    return Table(table.columns, rows)


def other_rows(table: Table, columns: list[int]) -> Iterator[tuple[Table, list[Cell]]]:
    """For each column, the table whose values in it are moved up by one row."""
    if len(table.rows) < 2:
        return
    for column in columns:
        values = [row[column] for row in table.rows]
        moved = values[1:] + values[:1]
        rows = [[*row[:column], value, *row[column + 1 :]] for row, value in zip(table.rows, moved, strict=True)]
        wrong = [(row, column) for row, value in enumerate(moved) if value != values[row] and value.strip()]
        yield Table(table.columns, rows), wrong


def other_columns(table: Table, columns: list[int]) -> Iterator[tuple[Table, list[Cell]]]:
    """The table whose values are moved to the left by one column."""
    if len(columns) < 2:
        return
    rows = [list(row) for row in table.rows]
    for row, before in zip(rows, table.rows, strict=True):
        for column, source in zip(columns, columns[1:] + columns[:1], strict=True):
            row[column] = before[source]
    cells = [(row, column) for row in range(len(rows)) for column in columns]
    wrong = [(r, c) for r, c in cells if rows[r][c].strip() and rows[r][c] != table.rows[r][c]]
    yield Table(table.columns, rows), wrong


def own_page(table: Table, row: int, columns: list[int], text: str, draw: random.Random) -> Iterator[Any]:
    """(kind, table, cell) for each cell of a row: another number or name of the row's own page, and random digits."""
    values = table.rows[row]
    numbers = sorted(set(NUMBER.findall(text)) - set(values))
    said = " ".join(values)
    names = [word for word in sorted(set(NAME.findall(text))) if word not in said]
    for column in columns:
        value = values[column]
        if re.search(r"\d", value) and numbers:
            number = draw.choice(numbers)
            parts = [part.replace(",", "") for part in re.findall(r"\d[\d,.]*", value)]
            kind = PART if number.replace(",", "") in parts else OTHER_NUMBER
            yield kind, replaced(table, (row, column), number), (row, column)
        elif names:
            yield OTHER_NAME, replaced(table, (row, column), draw.choice(names)), (row, column)
        digits = re.sub(r"\d", lambda _: str(draw.randrange(10)), value)
        if digits != value:
            yield RANDOM, replaced(table, (row, column), digits), (row, column)


def _says(value: str) -> bool:
    return re.search(r"\w", value) is not None


def table_cases(
    table: Table, key: list[str], pages: Sequence[Page], own: Sequence[Page | None], draw: random.Random
) -> Iterator[Case]:
    """All kinds of cells of one table; `own` has the page of each row, where it has one of its own."""
    rollout = rollout_that_read(pages)
    keys = [table.columns.index(column) for column in key]
    columns = [column for column in range(len(table.columns)) if column not in keys]
    every = [(row, column) for row in range(len(table.rows)) for column in columns]
    yield Case(TRUE, table, key, rollout, [(r, c) for r, c in every if _says(table.rows[r][c])])
    yield Case(TRUE_KEY, table, key, rollout, [(row, column) for row in range(len(table.rows)) for column in keys])
    for kind, moved in ((OTHER_ROW, other_rows), (OTHER_COLUMN, other_columns)):
        for wrong, cells in moved(table, columns):
            yield Case(kind, wrong, key, rollout, [(r, c) for r, c in cells if _says(wrong.rows[r][c])])
    yield from own_page_cases(table, key, rollout, own, draw)


def own_page_cases(
    table: Table, key: list[str], rollout: Rollout, own: Sequence[Page | None], draw: random.Random
) -> Iterator[Case]:
    columns = [column for column, name in enumerate(table.columns) if name not in key]
    for row, page in enumerate(own):
        if page is not None:
            for kind, wrong, cell in own_page(table, row, columns, page.text, draw):
                yield Case(kind, wrong, key, rollout, [cell])


def prose_cases(
    table: Table, key: list[str], pages: Sequence[Page], own: Sequence[Page | None], draw: random.Random
) -> Iterator[Case]:
    """What prose can show: true are only cells whose value stands, as it is, in the prose of the row's own page."""
    rollout = rollout_that_read(pages)
    columns = [column for column, name in enumerate(table.columns) if name not in key]
    cells = [(row, c) for row, page in enumerate(own) if page for c in columns if _stands(table.rows[row][c], page)]
    yield Case(TRUE, table, key, rollout, cells)
    yield from own_page_cases(table, key, rollout, own, draw)


def _stands(value: str, page: Page) -> bool:
    literal = rf"(?<![\w.,]){re.escape(value.strip())}(?!\w|[.,]\d)"
    return _says(value) and re.search(literal, page.text) is not None


# ------------------------------------------------------------------------------------------------------------ pocket


def pocket(limit: int | None = 300) -> Iterator[Case]:
    pages = {page.url: page for page in read_jsonl(world_pages(), Page)}
    draw = random.Random(1)
    for task in islice(load_bench("pocket", "test", None, kind="wide", data=None), limit):
        table = final_table(str(task.answer))
        key = [column for column in task.unique_columns if table and column in table.columns]
        if table is None or not key:
            continue
        read = [pages[url] for url in task.meta.get("gold_pages", []) if url in pages]
        by_name = {page.title.split(" (")[0]: page for page in reversed(read)}
        own = [by_name.get(row[table.columns.index(key[0])]) for row in table.rows]
        yield from table_cases(table, key, read, own, draw)


# -------------------------------------------------------------------------------------------------------- wikitables

Mode = Literal["all", "gold", "prose"]


@cache
def wiki_pages(folder: Path) -> dict[str, Page]:
    """All pages of a folder, by url: some 100,000, read once."""
    return {page.url: page for page in read_jsonl(folder / "pages.jsonl.gz", Page)}


def wikitables(
    folder: Path, mode: Mode, split: str = "dev", limit: int | None = 300, skip: int = 0, change: Change | None = None
) -> Iterator[Case]:
    """`all`: the rows' own pages and the page that lists them were read; `gold`: the first only; `prose`: their prose.

    Tasks are shuffled (always in the same way) before `skip` are left out.
    """
    pages = wiki_pages(folder)
    tasks = list(read_jsonl(folder / f"tasks_{split}.jsonl.gz", Task))
    random.Random(7).shuffle(tasks)
    draw = random.Random(1)
    for task in islice(tasks, skip, None if limit is None else skip + limit):
        table, key = final_table(str(task.answer)), task.unique_columns
        if table is None or any(column not in table.columns for column in key):
            continue
        found = [pages[url] for url in task.meta["gold_pages"]]
        if mode == "prose":
            found = [prose_only(page) for page in found]
        if change:
            found = [change(page, number) for number, page in enumerate(found)]
        listing = [pages[url] for url in [task.meta["list_url"]] if mode == "all" and url in pages]
        times = Counter(page.url for page in found)
        own = [page if times[page.url] == 1 else None for page in found]
        read = list({page.url: page for page in [*found, *listing]}.values())
        cases = prose_cases if mode == "prose" else table_cases
        yield from cases(table, key, read, own, draw)


def prose_only(page: Page) -> Page:
    """The page without its record lines, tables and headings."""
    lines = [
        line
        for line in page.text.split("\n")
        if not re.match(r"\s*([-*|]|#)", line) and len(line.split()) > 6 and re.search(r"[.!?]\W*$", line)
    ]
    return Page(page.url, page.title, "\n".join(lines))


# ---------------------------------------------------------------------------------------------------------- hybridqa


class _LinkedTable(msgspec.Struct):
    url: str
    header: list[str]
    rows: list[list[str]]
    links: list[list[list[str]]]


def hybridqa(folder: Path, mode: Literal["article", "prose"], limit: int | None = 300) -> Iterator[Case]:
    """`article`: the page with the table was read, and the pages that its key cells link to; `prose`: the latter."""
    pages = wiki_pages(folder)
    tables = list(read_jsonl(folder / "tables.jsonl.gz", _LinkedTable))
    random.Random(7).shuffle(tables)
    draw = random.Random(1)
    usable = ((linked, key) for linked in tables if (key := _key_of(linked)) is not None and linked.url in pages)
    for linked, key in islice(usable, limit):
        table = Table(linked.header, linked.rows)
        urls = [next(iter(links[key]), "") for links in linked.links]
        times = Counter(urls)
        own = [pages.get(url) if times[url] == 1 and url != linked.url else None for url in urls]
        read = [page for page in own if page] + ([pages[linked.url]] if mode == "article" else [])
        cases = prose_cases if mode == "prose" else table_cases
        yield from cases(table, [linked.header[key]], read, own, draw)


def _key_of(linked: _LinkedTable) -> int | None:
    """The first column that names each row: different in every row, with a letter in every cell."""
    if len(set(linked.header)) < len(linked.header) or len(linked.rows) < 2:
        return None
    for column in range(len(linked.header)):
        cells = [row[column].strip() for row in linked.rows]
        if len(set(cells)) == len(cells) and all(re.search(r"[^\W\d_]{2}", cell) for cell in cells):
            return column
    return None


# ------------------------------------------------------------------------------------------------------------- forms

Facts = list[tuple[str, str]]


def blocks(change: Callable[[str, Facts], list[str]]) -> Change:
    """Rewrite each block of "- label: value" lines: (the line above it, its facts) -> lines."""

    def changed(page: Page, number: int) -> Page:
        out: list[str] = []
        facts: Facts = []
        for line in [*page.text.split("\n"), None]:
            fact = FACT.match(line) if line is not None else None
            if fact:
                facts.append((fact[1], fact[2]))
                continue
            if facts:
                heading = out.pop() if out and out[-1].strip() else ""
                out += change(heading, facts)
                facts = []
            if line is not None:
                out.append(line)
        return Page(page.url, page.title, "\n".join(out))

    return changed


def each_fact(write: Callable[[str, str, int], str]) -> Change:
    """Rewrite each fact: (label, value, number of the page) -> line."""
    return lambda page, number: Page(
        page.url, page.title, FACT.sub(lambda fact: write(fact[1], fact[2], number), page.text)
    )


def text(change: Callable[[str], str]) -> Change:
    return lambda page, number: Page(page.url, page.title, change(page.text))


def after_first(write: Callable[[str, str], str]) -> Change:
    """The first fact, which names the row, stays; the others are rewritten."""
    return blocks(lambda above, facts: [above, "- " + ": ".join(facts[0]), *(write(*fact) for fact in facts[1:])])


def _plural(label: str) -> str:
    return f"{label}s" if label[-1].isalpha() and label[-1] != "s" else label


def _linked(label: str, value: str, number: int) -> str:
    return f"- {label}: {value}" if "[" in value else f"- {label}: [{value}](https://en.wikipedia.org/wiki/X_(y))"


def _no_accents(words: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", words) if unicodedata.category(c) != "Mn")


def _curly(words: str) -> str:
    dashed = words.replace("'", "’").replace("-", "–").replace('"', "“")
    return dashed.replace("\n– ", "\n- ").replace(" –", " —")


SITES = (" - Wikipedia", " | Towers of the World", " – The Free Library", " · Sports Reference")
MARKS = ("[3]", " [a]", "[note 2]", "[12][13]")
FORMS: dict[str, Change] = {
    "as it is": lambda page, number: page,
    "title and site": lambda page, number: Page(page.url, page.title + SITES[number % 4], page.text),
    "footnotes": each_fact(lambda label, value, number: f"- {label}: {value}{MARKS[number % 4]}"),
    "links": each_fact(_linked),
    "bold labels": each_fact(lambda label, value, number: f"- **{label}:** {value}"),
    "small labels, no bullet": each_fact(lambda label, value, number: f"{label.lower()}: {value}"),
    "infobox table": blocks(
        lambda above, facts: [above, "", *(f"| {label} | {value} |" for label, value in facts), ""]
    ),
    "table of one row": blocks(
        lambda above, facts: [
            above,
            "",
            f"| {' | '.join(label for label, _ in facts)} |",
            "|" + "---|" * len(facts),
            f"| {' | '.join(value for _, value in facts)} |",
            "",
        ]
    ),
    "one line": blocks(
        lambda above, facts: [above, "", "- " + "; ".join([facts[0][1], *(f"{a}: {b}" for a, b in facts[1:])]), ""]
    ),
    "items with children": blocks(
        lambda above, facts: [above, "", f"- {facts[0][1]}", *(f"  - {a}: {b}" for a, b in facts[1:]), ""]
    ),
    "children under a plain line": blocks(
        lambda above, facts: [above, "", facts[0][1], *(f"  - {a}: {b}" for a, b in facts[1:]), ""]
    ),
    "no line for the key": blocks(lambda above, facts: [above, *(f"- {a}: {b}" for a, b in facts[1:])]),
    "key as heading": blocks(lambda above, facts: [f"## {facts[0][1]}", "", *(f"- {a}: {b}" for a, b in facts[1:])]),
    "label and value on two lines": blocks(lambda above, facts: [line for fact in facts for line in fact]),
    "more words in the label": after_first(lambda label, value: f"- The {label} on record: {value}"),
    "label in the plural": after_first(lambda label, value: f"- {_plural(label)}: {value}"),
    "more words after the value": after_first(lambda label, value: f"- {label}: {value} (as of 2019)"),
    "thousands by space": text(lambda words: re.sub(r"(?<=\d),(?=\d{3}\b)", " ", words)),
    "no accents": lambda page, number: Page(page.url, _no_accents(page.title), _no_accents(page.text)),
    "curly quotes and dashes": text(_curly),
    "values without labels": blocks(
        lambda above, facts: [above, "", "- " + ", ".join(value for _, value in facts), ""]
    ),
}
"""What readers of the real web meet: the record lines of a page in other forms. In the last, nothing is labelled."""
