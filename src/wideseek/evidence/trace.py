"""Where each cell of a table stands, on pages that the rollout's agents read.

    trace(table, key, rollout) -> one Evidence per cell

    1  the pages that may hold a row's key, by an index of the keys' words; the entity's own page first
    2  on each page the records that hold the key, and the sentences that may
    3  a cell is supported by a record's field under the column's label, else by a clause that ties it to the column
    4  of several records of one page, the one that says most of the row speaks for all of it

Where a page says the column under its own label, only that speaks; a value that stands under other labels only is
unsupported.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import msgspec

from wideseek.evidence.clause import About, says
from wideseek.evidence.fit import fits, holds_part
from wideseek.evidence.labels import MORE, PART, STEMS, Label, best_tie, label_of, names_things, tie
from wideseek.evidence.layout import Field, Record, Sentence
from wideseek.evidence.levels import Evidence, EvidenceTable
from wideseek.evidence.names import OWN, doubled_titles, name_of, named_at, ownership, simple_name
from wideseek.evidence.page import Name, ReadPage, Shelf
from wideseek.evidence.text import without_bracket, words
from wideseek.evidence.values import Value, value_of
from wideseek.records import Rollout
from wideseek.table import Table, says_nothing

QUOTE_CHARS = 240
UNSUPPORTED, EMPTY = Evidence("unsupported"), Evidence("empty")


def trace(table: Table, key: Sequence[str], rollout: Rollout, shelf: Shelf | None = None) -> EvidenceTable:
    """The evidence of every cell, of shape rows × columns.

    `key` names the columns that tell rows apart. `shelf` has pages that were prepared before; it is only faster.
    """
    return _Tracer(table, key, rollout, shelf or Shelf()).trace()


def short_answer(said: str, rollout: Rollout) -> Evidence:
    """The first line read that has a short answer, which names no row and no column: it is `mentioned` at most."""
    wanted = re.compile(rf"(?<![\w.,]){re.escape(said.strip())}(?!\w|[.,]\d)", re.IGNORECASE)
    for url, agent in _read_in_order(rollout) if said.strip() else ():
        page = rollout.pages[url]
        for line in (page.title, *page.text.splitlines()):
            if wanted.search(line):
                return Evidence("mentioned", page.url, _shortened(line, said), agent)
    return UNSUPPORTED


@dataclass(frozen=True)
class _KeyPart:
    column: Label
    name: Name
    written: str


class _Source:
    """A page for one row: how much it is the key's, part by part, the records that hold the key, and sentences.

    `loose` are rows of a table on the entity's page that do not name it.
    """

    def __init__(
        self, page: ReadPage, agent: str, key: list[_KeyPart], levels: list[int], names: Mapping[str, list[Name]]
    ) -> None:
        self.page, self.agent, self.levels = page, agent, levels
        self.records: list[Record] = []
        self.loose: list[Record] = []
        self.about = About(
            names=[part.name for part in key],
            written=[part.written for part in key],
            levels=levels,
            every=names,
            title=frozenset(page.title.words),
        )

    @cached_property
    def rarest(self) -> str:
        """The word of the key that says most."""
        return max(
            (word for name in self.about.names for word in name), key=lambda word: (not word.isdigit(), len(word))
        )

    @cached_property
    def sentences(self) -> list[Sentence]:
        return self.page.sentences if any(self.levels) else self.page.sentences_naming(self.rarest)


@dataclass
class _Found:
    """Evidence, and the record that it was taken from."""

    evidence: Evidence
    record: Record | None = None


class _Tracer:
    def __init__(self, table: Table, key: Sequence[str], rollout: Rollout, shelf: Shelf) -> None:
        self._table = table
        self._columns = [label_of(column) for column in table.columns]
        self._key_at = [table.columns.index(name) for name in key]
        self._pages: list[ReadPage] = []
        self._agents: list[str] = []
        for url, agent in _read_in_order(rollout):
            self._pages.append(shelf.indexed(rollout.pages[url]))
            self._agents.append(agent)
        self._keys = {
            name: row[i] for row in table.rows for i in self._key_at if (name := name_of(row[i])) and row[i].strip()
        }
        self._names = frozenset(self._keys)
        self._by_first_word: dict[str, list[Name]] = {}
        for name in self._names:
            self._by_first_word.setdefault(name[0], []).append(name)
        self._owned = self._ownership()
        self._pages_of = self._index()

    def trace(self) -> EvidenceTable:
        rows = [self._trace_row(row) for row in self._table.rows]
        votes = Counter(heading for _, candidates in rows for heading in self._voted(candidates))
        return [
            _coherent(found, candidates, votes, self._key_at, row, self._columns)
            for row, (found, candidates) in zip(self._table.rows, rows, strict=True)
        ]

    # ------------------------------------------------------------------------------------------- pages and their keys

    def _ownership(self) -> list[dict[Name, int]]:
        bare: dict[Name, list[Name]] = {}
        for name, written in self._keys.items():
            if (shorter := words(without_bracket(written))) != name and shorter:
                bare.setdefault(shorter, []).append(name)
        doubled = doubled_titles(self._pages)
        columns = [self._columns[at] for at in self._key_at]
        owned = [ownership(page, self._keys, bare, doubled, columns) for page in self._pages]
        return [{k: v for k, v in found.items() if v == OWN or OWN not in found.values()} for found in owned]

    def _index(self) -> dict[Name, set[int]]:
        """For each key the pages on which it may stand, by its pairs of neighbouring words."""
        simple = {name: simple_name(written) for name, written in self._keys.items()}
        pieces = {name: _pairs(simple[name]) for name in self._keys}
        wanted = {piece for found in pieces.values() for piece in found}
        single = {piece for piece in wanted if isinstance(piece, str)}
        double = wanted - single
        where: dict[object, set[int]] = {piece: set() for piece in wanted}
        for at, page in enumerate(self._pages):
            for piece in (single & page.simple_words) | (double & page.simple_pairs):
                where[piece].add(at)
        found: dict[Name, set[int]] = {}
        for name in self._keys:
            possible = set.intersection(*(where[p] for p in pieces[name])) if pieces[name] else range(len(self._pages))
            found[name] = {at for at in possible if self._pages[at].mentions(name, simple[name])}
        for at, owned in enumerate(self._owned):
            for name in owned:
                found[name].add(at)
        return found

    # --------------------------------------------------------------------------------------------------------- a row

    def _trace_row(self, row: list[str]) -> tuple[list[_Found], list[_Candidates]]:
        key = [_KeyPart(self._columns[i], name, row[i]) for i in self._key_at if (name := name_of(row[i]))]
        sources = _Opened(self._sources(key))
        found = [
            _key_cell(row[i], key, sources) if i in self._key_at else self._cell(row[i], i, key, sources)
            for i in range(len(row))
        ]
        return found, [_Candidates.of(one, row, self._columns) for one in sources.opened if len(one.records) > 1]

    def _sources(self, key: list[_KeyPart]) -> Iterator[_Source]:
        """The pages that may hold the key, the entity's own first."""
        if not key:
            return
        found = set.intersection(*(self._pages_of[part.name] for part in key))
        levels = {at: self._levels(at, key) for at in found}
        for at in sorted(found, key=lambda at: (-min(levels[at]), at)):
            source = _Source(self._pages[at], self._agents[at], key, levels[at], self._by_first_word)
            self._find_records(source, at, key)
            spoken = source.page.records_with(source.rarest) or source.sentences
            if source.records or source.loose or spoken or any(source.levels):
                yield source

    def _levels(self, at: int, key: list[_KeyPart]) -> list[int]:
        if len(key) > 1 and sorted(self._pages[at].title.words) == sorted(w for part in key for w in part.name):
            return [OWN] * len(key)
        return [self._owned[at].get(part.name, 0) for part in key]

    def _find_records(self, source: _Source, at: int, key: list[_KeyPart]) -> None:
        records = source.page.records if any(source.levels) else source.page.records_with(source.rarest)
        mine = source.about.names
        anothers = any(level == OWN and name not in mine for name, level in self._owned[at].items())
        holding: list[tuple[Record, list[_Named]]] = []
        parts, several = list(zip(key, source.levels, strict=True)), len(key) > 1
        for record in records:
            named = [self._names_part(record, part, level, anothers, several) for part, level in parts]
            how = self._holds(record, key, named)
            if how == "holds":
                holding.append((record, named))
            elif how == "loose":
                source.loose.append(record)
        source.records += _named_best(holding)

    def _holds(self, record: Record, key: list[_KeyPart], named: list[_Named]) -> str | None:
        """`holds` where the record is about the row; `loose` where it stands in a table of things on the row's page.
        `named` says of each part of the key how the record names it."""
        if "not" in named:
            return None
        if "by page" in named and not self._may_be_of_page(record, key):
            return None
        if all(one == "by page" for one in named) and record.kind in ("row", "column") and not record.alone:
            return "loose"
        return "holds"

    def _names_part(self, record: Record, part: _KeyPart, level: int, anothers: bool, composite: bool) -> _Named:
        """How the record names this part of the key. One part of a key of several may stand in a longer heading
        (`2011 season`)."""
        labelled = [f for f in record.fields if f.label.words and tie(part.column, f.label) >= STEMS]
        if labelled:
            return _best_named(_is_name(field, part) for field in labelled)
        fields = (f for f in record.fields if not self._is_foreign(record, f, part, level, anothers))
        named = _best_named(_is_name(field, part) for field in fields)
        heading = words(record.heading)
        if heading == part.name or (composite and part.name and _holds_name(heading, part.name)):
            return "exactly"
        return named if named != "not" or not level else "by page"

    def _is_foreign(self, record: Record, field: Field, part: _KeyPart, level: int, anothers: bool) -> bool:
        """A key in a line with a label of its own (`next: Alpha`) names no record; nor does a number under one."""
        if not field.label.words:
            return False
        if all(word.isdigit() for word in part.name) and tie(part.column, field.label) == 0:
            return True
        if record.kind != "lines" or level:
            return False
        return anothers or (tie(part.column, field.label) < PART and not names_things(field.label))

    def _may_be_of_page(self, record: Record, key: list[_KeyPart]) -> bool:
        """Whether a record that does not name the key can be about the page's entity."""
        mine = {part.name for part in key}
        heading = words(record.heading)
        if heading in self._names and heading not in mine:
            return False
        if not _ABOUT_OTHERS.isdisjoint(heading) and len(heading) <= 4:
            return False
        first, *others = record.fields or [Field("", "")]
        if (
            record.kind in ("item", "column")
            and others
            and not first.label.words
            and all(f.label.words for f in others)
        ):
            return False
        return record.kind == "lines" or not any(
            name in self._names and name not in mine for name in (tuple(field.text.words) for field in record.fields)
        )

    # -------------------------------------------------------------------------------------------------------- a cell

    def _cell(self, cell: str, at: int, key: list[_KeyPart], sources: _Opened) -> _Found:
        value = value_of(cell)
        if not value.words:
            return _Found(EMPTY)
        mentioned: _Found | None = None
        for source in sources:
            found, speaks = self._in_records(value, at, source)
            if found is not None and found.evidence.status == "supported":
                return found
            mentioned = mentioned or found
            if speaks:  # the page says the column under its own label, and says something else
                continue
            found = self._in_sentences(value, at, source)
            if found is not None and found.evidence.status == "supported":
                return found
            mentioned = mentioned or found or self._beside_key(value, at, key, source)
        if says_nothing(cell):  # no page says so: it is no value
            return _Found(EMPTY)
        return mentioned or _Found(UNSUPPORTED)

    def _in_records(self, value: Value, at: int, source: _Source) -> tuple[_Found | None, bool]:
        """The best that records say of the cell, and whether a label of the page names the column."""
        mentioned: _Found | None = None
        speaks, column = False, self._columns[at]
        for record in source.records:
            ties = [(_tie(self._columns, at, field), field) for field in record.fields]
            best = max((how for how, _ in ties), default=0.0)
            speaks = speaks or best >= STEMS
            for how, field in ties:
                if (how == best or how >= STEMS) and how >= PART and _fits(value, field, column):
                    return self._supported(source, record, field), speaks
            mentions = (
                best >= MORE
                and any(
                    how == best and holds_part(value, field.text, column, field.label.measure) for how, field in ties
                )
            ) or (
                best == 0
                and any(not f.label.words and fits(value, f.text, labelled=False, column=column) for _, f in ties)
            )
            if mentions and mentioned is None:
                mentioned = _Found(_evidence("mentioned", source, record.quote, value), record)
        if mentioned is None:
            mentioned = self._in_loose(value, at, source)
        return mentioned, speaks

    def _in_loose(self, value: Value, at: int, source: _Source) -> _Found | None:
        for record in source.loose:
            for field in record.fields:
                if _tie(self._columns, at, field) >= PART and _fits(value, field, self._columns[at]):
                    return _Found(_evidence("mentioned", source, record.quote, value), record)
        return None

    def _supported(self, source: _Source, record: Record, field: Field) -> _Found:
        in_table = record.kind in ("row", "column")
        quote = record.quote if record.kind == "row" else f"{field.raw_label}: {field.raw}"
        tied = f"{'header' if in_table else 'label'}: {field.raw_label}"
        return _Found(_evidence("supported", source, quote, value_of(field.raw), tied), record)

    def _in_sentences(self, value: Value, at: int, source: _Source) -> _Found | None:
        near: _Found | None = None
        for sentence in source.page.sentences_with(value, source.sentences):
            said = says(sentence, value, at, self._columns, source.about)
            if said == "tied":
                tied = f"words: {self._table.columns[at]}"
                return _Found(_evidence("supported", source, sentence.raw, value, tied))
            if said == "near" and near is None:
                near = _Found(_evidence("mentioned", source, sentence.raw, value))
        return near

    def _beside_key(self, value: Value, at: int, key: list[_KeyPart], source: _Source) -> _Found | None:
        """`Alpha: 20 m` says that 20 m is Alpha's, not what it is, unless the column asks for just that unit."""
        if len(key) != 1:
            return None
        (part,) = key
        for record in source.page.records_with(max(part.name, key=len)):
            for field in record.fields:
                if record.kind == "lines" and field.label.words == part.name and _fits(value, field, self._columns[at]):
                    return _Found(_evidence("mentioned", source, f"{field.raw_label}: {field.raw}", value), record)
        return None

    # ----------------------------------------------------------------------------------------------- the row as a whole

    def _voted(self, candidates: list[_Candidates]) -> set[str]:
        """Headings of records that say most of a row."""
        return {
            record.heading
            for one in candidates
            for record, count in zip(one.records, one.agree, strict=True)
            if count * 2 > one.filled and count > len(self._key_at)
        }


_ABOUT_OTHERS = frozenset("see also nearby neighbours neighbors neighbouring related similar others comparison".split())


def _read_in_order(rollout: Rollout) -> Iterable[tuple[str, str]]:
    """Every page's url once, with the first agent that read it, in reading order."""
    seen: set[str] = set()
    for run in rollout.trajectories:
        for url in run.read:
            if url in rollout.pages and url not in seen:
                seen.add(url)
                yield url, run.path


def _holds_name(heading: Name, name: Name) -> bool:
    return f" {' '.join(name)} " in f" {' '.join(heading)} "


def _pairs(simple: Name) -> list[object]:
    return list(simple) if len(simple) < 2 else list(pairwise(simple))


_Named = Literal["exactly", "in part", "by page", "not"]
"""How a record names a key: as it is written, but for a remark in brackets, by the title of its page, or not."""


def _is_name(field: Field, part: _KeyPart) -> _Named:
    said = tuple(field.text.words)
    if said == part.name:
        return "exactly"
    if without_bracket(field.raw) != field.raw and words(without_bracket(field.raw)) == part.name:
        return "in part"
    return "in part" if said and said == words(without_bracket(part.written)) else "not"


def _best_named(each: Iterable[_Named]) -> _Named:
    found = set(each)
    return "exactly" if "exactly" in found else "in part" if "in part" in found else "not"


def _named_best(holding: list[tuple[Record, list[_Named]]]) -> Iterator[Record]:
    """Of the records that name a key, those that name it as it is written: `Alpha (proposed)` does not speak for
    `Alpha` on a page that has an `Alpha` of its own."""
    exact = {at for _, named in holding for at, how in enumerate(named) if how == "exactly"}
    return (record for record, named in holding if not any(named[at] == "in part" for at in exact))


def _key_cell(cell: str, key: list[_KeyPart], sources: _Opened) -> _Found:
    """A name is supported by a record that holds the key, by a page of its own, or by a sentence that names it."""
    if not words(cell):
        return _Found(EMPTY)
    value = value_of(cell)
    for source in sources:
        if source.records:
            record = source.records[0]
            return _Found(_evidence("supported", source, record.quote, value, "name"), record)
        if all(level == OWN for level in source.levels):
            return _Found(_evidence("supported", source, source.page.title.text, value, "title"))
    for source in sources:
        for sentence in source.sentences:
            places = [named_at(sentence.text, part.name, part.written) for part in key]
            if any(places) and all(p or level for p, level in zip(places, source.levels, strict=True)):
                return _Found(_evidence("supported", source, sentence.raw, value, "name"))
        if all(source.levels):
            return _Found(_evidence("supported", source, source.page.title.text, value, "title"))
    return _Found(UNSUPPORTED)


class _Opened:
    """Sources one after another, opened when they are asked for: most cells are found on the first."""

    def __init__(self, sources: Iterator[_Source]) -> None:
        self._coming = sources
        self.opened: list[_Source] = []

    def __iter__(self) -> Iterator[_Source]:
        yield from self.opened
        for source in self._coming:
            self.opened.append(source)
            yield source


@dataclass(frozen=True)
class _Candidates:
    """The records of one page about one row: how many cells of the row each of them says."""

    records: list[Record]
    agree: list[int]
    filled: int

    @classmethod
    def of(cls, source: _Source, row: list[str], columns: list[Label]) -> _Candidates:
        cells = [(value_of(cell), at) for at, cell in enumerate(row) if words(cell)]
        agree = [
            sum(any(_says(field, value, at, columns) for field in record.fields) for value, at in cells)
            for record in source.records
        ]
        return cls(source.records, agree, len(cells))


def _tie(columns: list[Label], at: int, field: Field) -> float:
    """How well the field's label names the column; a label that several fields share does not tell them apart."""
    how = best_tie(columns, at, field.label)
    return min(how, MORE) if field.shared else how


def _says(field: Field, value: Value, at: int, columns: list[Label]) -> bool:
    return _tie(columns, at, field) >= STEMS and _fits(value, field, columns[at])


def _fits(value: Value, field: Field, column: Label) -> bool:
    """Whether a field under the column's label says the value, in the unit and scale that its own label gives."""
    return fits(value, field.text, labelled=True, column=column, stated=field.label.measure)


def _coherent(
    found: list[_Found],
    candidates: list[_Candidates],
    votes: Counter[str],
    key_at: list[int],
    row: list[str],
    columns: list[Label],
) -> list[Evidence]:
    """Of several records of one page, the one that says most of the row, under the heading that serves most rows,
    speaks for all of it; what only another one says is `mentioned`."""
    evidence = [one.evidence for one in found]
    for one in candidates:
        ranks = [(votes[record.heading], count) for record, count in zip(one.records, one.agree, strict=True)]
        highest = max(ranks)
        best = [record for record, rank in zip(one.records, ranks, strict=True) if rank == highest]
        for at, cell in enumerate(found):
            if at in key_at or cell.evidence.status != "supported" or cell.record is None:
                continue
            if all(cell.record is not record for record in one.records) or any(cell.record is b for b in best):
                continue
            said = [f for record in best for f in record.fields if _tie(columns, at, f) >= STEMS]
            if said and not any(_fits(value_of(row[at]), field, columns[at]) for field in said):
                evidence[at] = msgspec.structs.replace(evidence[at], status="mentioned", tie=None)
    return evidence


def _evidence(status: str, source: _Source, quote: str, value: Value, tied: str | None = None) -> Evidence:
    return msgspec.convert(
        {
            "status": status,
            "url": source.page.url,
            "quote": _shortened(quote, value.raw),
            "agent": source.agent,
            "tie": tied,
        },
        Evidence,
    )


def _shortened(passage: str, cell: str) -> str:
    """At most `QUOTE_CHARS` characters of the passage, around the cell."""
    passage = " ".join(passage.split())
    if len(passage) <= QUOTE_CHARS:
        return passage
    middle = max(0, passage.casefold().find(cell.casefold()))
    start = max(0, min(middle - QUOTE_CHARS // 3, len(passage) - QUOTE_CHARS))
    cut = passage[start : start + QUOTE_CHARS]
    return f"{'…' if start else ''}{cut}{'…' if start + QUOTE_CHARS < len(passage) else ''}"
