"""Mode `strict`, the default: WideSearch's rules with the faults repaired. Pure Python; never leaves [0, 1].

    1 parse     `answer_table`, as `ask` reads: the table that fits the required columns best; cells are text
    2 columns   matched by their words (`plain.folded`), if need be after one mapping by the judge; further columns are
                left aside; a required one that is missing makes all figures 0, as in WideSearch
    3 rows      keys that equal no gold key are mapped by the judge, those of a numbered list without their numbers;
                then rows are grouped by key on both sides, so that the join is one to one whatever merges
    4 cells     a joined row's key cells are right, the others by their metrics; equal cells need no judge
    5 figures   see `metrics.py`

A key that is said twice is one row, and a cell of it is right only if all its rows have it right: repeating a row
costs nothing, hedging gains nothing. Where the gold repeats a key, each of its values is accepted. So the score does
not depend on the order of rows or columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from wideseek.answer import answer_table
from wideseek.concurrency import together
from wideseek.records import RowScore, Score, Task, WrongCell
from wideseek.scoring.cells import Compare, Prepare, comparison, preparation
from wideseek.scoring.judge import Case, Judge, JudgeFailed, Pair
from wideseek.scoring.metrics import FIGURES, NOTHING_RIGHT, table_figures
from wideseek.scoring.plain import folded, without_number
from wideseek.scoring.spec import SAME_MEANING, Spec, gold_table
from wideseek.table import Row, Table, norm_column, unchecked, undecorated

Key = tuple[str, ...]
Groups = dict[Key, list[Row]]
"""The distinct rows of a table by their key, cells in the order of the required columns."""


class _Cell(msgspec.Struct, gc=False):
    """A cell of a joined row: the distinct values said, and the gold's."""

    key: Key
    said: list[str]
    gold: list[str]


class _Joined(msgspec.Struct, gc=False):
    """A key that both tables have, with its rows in each; `single` where each has one."""

    key: Key
    said: list[Row]
    gold: list[Row]
    single: bool

    def cell(self, index: int) -> _Cell:
        if self.single:
            return _Cell(self.key, [self.said[0][index]], [self.gold[0][index]])
        said, gold = (list(dict.fromkeys(row[index] for row in rows)) for rows in (self.said, self.gold))
        return _Cell(self.key, said, gold)


async def strict_score(response: str, task: Task, judge: Judge, case: Case) -> Score:
    """The score with figures, columns and rows. Raises `BadInput` for a bad task, `JudgeFailed` without a verdict."""
    gold = gold_table(task)
    spec = Spec.of(task, gold)
    said = response_table(response, spec)
    if said is None:
        return _no_answer("no table in the response")
    names = await _with_required_names(named_columns(said, spec), spec, judge, case)
    if missing := [name for name in spec.required if name not in names]:
        return _no_answer(f"columns missing: {', '.join(missing)}")
    said_rows = _required_rows(names, said.rows, spec)
    gold_rows = _required_rows(named_columns(gold, spec), gold.rows, spec)
    gold_groups = _grouped(gold_rows, spec, {})
    said_groups = _grouped(said_rows, spec, await _key_mappings(said_rows, gold_rows, spec, judge, case))
    if gold_groups and not said_groups:
        return _no_answer("a table without rows")
    wrong = await _wrong_cells(said_groups, gold_groups, spec, judge, case)
    return _score(said_groups, gold_groups, wrong, spec)


def response_table(response: str, spec: Spec) -> Table | None:
    """The table in the response that is scored, `None` where there is none."""
    return answer_table(response, spec.required, spec.key).table


# ---------------------------------------------------------------------------------------------------- columns and rows


def named_columns(table: Table, spec: Spec) -> list[str]:
    """The table's columns, each by the name of the required one whose words it has."""
    required = {folded(undecorated(name)): name for name in reversed(spec.required)}
    normed = [norm_column(name) for name in table.columns]
    return [name if name in spec.required else required.get(folded(undecorated(name)), name) for name in normed]


async def _with_required_names(names: list[str], spec: Spec, judge: Judge, case: Case) -> list[str]:
    """The column names, with the required one in the place of each that the judge finds to mean it."""
    missing = [name for name in spec.required if name not in names]
    spare = sorted(set(names) - set(spec.required))
    if not missing or not spare:
        return names
    mapping = await judge.map_columns(case, spare, missing)
    return [mapping[name] if name in spare and mapping.get(name) in missing else name for name in names]


def _required_rows(names: list[str], rows: list[Row], spec: Spec) -> list[Row]:
    """The rows that are not blank, cut to the required columns, in their order; of two with one name the first."""
    indices = [names.index(name) for name in spec.required]
    cut = rows if indices == list(range(len(names))) else [[row[i] for i in indices] for row in rows]
    return [row for row in cut if any(row)]


async def _key_mappings(
    said: list[Row], gold: list[Row], spec: Spec, judge: Judge, case: Case
) -> dict[str, dict[str, str]]:
    """Per key column that judges may look at: response cells that equal no gold cell, mapped onto one."""
    mappings = {}
    for name in spec.key:
        rule, index = spec.rules[name], spec.required.index(name)
        if not {"exact_match", "llm_judge"} & set(rule.metric):
            continue
        prepare = preparation(rule, name)
        references = {row[index] for row in gold}
        cells = {row[index] for row in said}
        unknown = sorted(cells - references)
        if unknown:
            known = set(map(prepare, references))
            unknown = [cell for cell in unknown if prepare(cell) not in known]
        mappings[name] = _by_number(cells, unknown, references, prepare)
        unknown = [cell for cell in unknown if cell not in mappings[name]]
        if unknown and references:
            mapping = await judge.map_keys(case, name, unknown, sorted(references))
            mappings[name] |= {cell: onto for cell, onto in mapping.items() if onto in references}
    return mappings


def _by_number(cells: set[str], unknown: list[str], references: set[str], prepare: Prepare) -> dict[str, str]:
    """Keys that differ from a reference only by the number that a list put before one of them, mapped onto it.

    Only where every key of a table has such a number is it a list's: `1. FC Köln` is a name.
    """
    mapping: dict[str, str] = {}
    if not unknown:
        return mapping
    if all(map(without_number, filter(str.strip, cells))):
        named = {prepare(reference): reference for reference in sorted(references, reverse=True)}
        for cell in unknown:
            if (onto := named.get(prepare(without_number(cell) or ""))) is not None:
                mapping[cell] = onto
    elif all(map(without_number, filter(str.strip, references))):
        named = {prepare(without_number(cell) or ""): cell for cell in sorted(references, reverse=True)}
        mapping = {cell: named[prepare(cell)] for cell in unknown if prepare(cell) in named}
    return mapping


def _grouped(rows: Iterable[Row], spec: Spec, mappings: dict[str, dict[str, str]]) -> Groups:
    columns = [
        (spec.required.index(name), preparation(spec.rules[name], name), mappings.get(name, {})) for name in spec.key
    ]
    groups: Groups = {}
    for row in rows:
        key = tuple([prepare(unchecked(mapping.get(row[i], row[i]))) for i, prepare, mapping in columns])
        group = groups.setdefault(key, [])
        if row not in group:
            group.append(row)
    return groups


# --------------------------------------------------------------------------------------------------------------- cells


async def _wrong_cells(said: Groups, gold: Groups, spec: Spec, judge: Judge, case: Case) -> dict[Key, list[WrongCell]]:
    """The wrong cells of each joined row, in the order of the columns."""
    joined = [
        _Joined(key, said[key], rows, len(said[key]) == len(rows) == 1) for key, rows in gold.items() if key in said
    ]
    columns = [(i, name) for i, name in enumerate(spec.required) if name not in spec.key]
    differing = [row for row in joined if row.said != row.gold]
    # Columns are judged side by side, each with one question for all its cells.
    found = await together(_wrong_in_column(i, name, differing, spec, judge, case) for i, name in columns)
    wrong: dict[Key, list[WrongCell]] = {row.key: [] for row in joined}
    for (_, name), cells in zip(columns, found, strict=True):
        for cell in cells:
            wrong[cell.key].append(WrongCell(name, " / ".join(cell.said), " / ".join(cell.gold)))
    return wrong


async def _wrong_in_column(
    index: int, name: str, rows: list[_Joined], spec: Spec, judge: Judge, case: Case
) -> list[_Cell]:
    rule = spec.rules[name]
    compare = comparison(rule, name)
    wrong, open_cells = [], []
    # Most cells are equal as they stand.
    differing = [row for row in rows if not row.single or row.said[0][index] != row.gold[0][index]]
    for cell in [row.cell(index) for row in differing]:
        verdicts = [_any_agreement(text, cell.gold, compare) for text in cell.said]
        if False in verdicts:
            wrong.append(cell)
        elif None in verdicts:
            cell.said = [text for text, verdict in zip(cell.said, verdicts, strict=True) if verdict is None]
            open_cells.append(cell)
    if open_cells:
        wrong += await _judged_wrong(open_cells, name, str(rule.criterion or SAME_MEANING), judge, case)
    return wrong


def _any_agreement(said: str, gold: list[str], compare: Compare) -> bool | None:
    """Whether `said` agrees with one of the gold's values; `None` where a judge has to say."""
    verdicts = [compare(said, accepted) for accepted in gold]
    return True if True in verdicts else None if None in verdicts else False


async def _judged_wrong(cells: list[_Cell], name: str, criterion: str, judge: Judge, case: Case) -> list[_Cell]:
    """The cells of which the judge rejects a value. Each pair is asked about once, whatever the order of rows."""
    pairs = sorted({(said, gold) for cell in cells for said in cell.said for gold in cell.gold})
    agreed = await _verdicts(pairs, name, criterion, judge, case)
    return [cell for cell in cells if not all(any(agreed[said, gold] for gold in cell.gold) for said in cell.said)]


async def _verdicts(pairs: Sequence[Pair], name: str, criterion: str, judge: Judge, case: Case) -> dict[Pair, bool]:
    """The judge's verdicts, checked: a judge that miscounts or answers other than 0 and 1 has not judged."""
    verdicts = list(await judge.agree(case, name, pairs, criterion))
    if len(verdicts) != len(pairs) or any(verdict not in (0, 1) for verdict in verdicts):
        raise JudgeFailed(f"column {name}: {len(pairs)} pairs, and the judge's verdicts are {verdicts[:5]} ...")
    return dict(zip(pairs, map(bool, verdicts), strict=True))


# ------------------------------------------------------------------------------------------------------------- figures


def _score(said: Groups, gold: Groups, wrong: dict[Key, list[WrongCell]], spec: Spec) -> Score:
    width = len(spec.required)
    right_items = sum(width - len(cells) for cells in wrong.values())
    right_rows = sum(not cells for cells in wrong.values())
    figures = table_figures(right_rows, right_items, len(said), len(gold), width)
    if not said and not gold:  # rightly nothing
        figures = dict.fromkeys(FIGURES, 1.0)
    return Score(
        value=figures["f1_by_item"],
        parts=figures,
        columns=_column_shares(wrong, spec),
        rows=_rows(said, gold, wrong, spec),
    )


def _column_shares(wrong: dict[Key, list[WrongCell]], spec: Spec) -> dict[str, float]:
    misses = dict.fromkeys(spec.required, 0)
    for cells in wrong.values():
        for cell in cells:
            misses[cell.column] += 1
    return {name: 1 - missed / len(wrong) for name, missed in misses.items()} if wrong else {}


def _rows(said: Groups, gold: Groups, wrong: dict[Key, list[WrongCell]], spec: Spec) -> list[RowScore]:
    """First the gold's rows in order, found or missing, then the invented ones."""
    indices = [spec.required.index(name) for name in spec.key]
    rows = [
        RowScore([group[0][i] for i in indices], "both" if key in wrong else "missing", wrong.get(key, []))
        for key, group in gold.items()
    ]
    invented = [group for key, group in said.items() if key not in gold]
    return rows + [RowScore([group[0][i] for i in indices], "invented") for group in invented]


def _no_answer(note: str) -> Score:
    return Score(value=0.0, parts=dict(NOTHING_RIGHT), format_ok=False, note=note)
