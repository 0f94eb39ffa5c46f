"""Which columns of a table name its rows, where nobody has said so."""

from __future__ import annotations

import re
from collections.abc import Sequence

from wideseek.evidence.values import value_of
from wideseek.table import Row, Table, norm_key

MOST_COLUMNS = 3  # a key of more columns tells nothing that a page could say


def key_columns(table: Table) -> list[str]:
    """The columns that tell the rows apart, by name, in the table's order; none for a table without columns.

    It is the first column that names something (its cells are mostly words: no ranks, numbers, dates or addresses) and
    has another value in every row; else such a column together with the next ones that tell its rows apart; else the
    first column.
    """
    naming = [at for at in range(len(table.columns)) if _names_something([row[at] for row in table.rows])]
    for at in naming:
        if _are_told_apart(table.rows, [at]):
            return [table.columns[at]]
    others = [at for at in range(len(table.columns)) if at not in naming]
    for first in naming:
        chosen = [first]
        for at in [at for at in naming if at > first] + others:
            if _distinct(table.rows, [*chosen, at]) > _distinct(table.rows, chosen):
                chosen.append(at)
            if len(chosen) > 1 and _are_told_apart(table.rows, chosen):
                return [table.columns[at] for at in sorted(chosen)]
            if len(chosen) == MOST_COLUMNS:
                break
    return [table.columns[naming[0]]] if naming else table.columns[:1]


def telling_key(table: Table, asked: Sequence[str]) -> list[str]:
    """The key that was asked for, where it tells the rows apart; else with the columns of `key_columns` behind it.

    Without a column that was asked for it is `key_columns`. `asked` are names of the table's columns.
    """
    if asked and _are_told_apart(table.rows, [table.columns.index(name) for name in asked]):
        return list(asked)
    return [*asked, *(name for name in key_columns(table) if name not in asked)]


def _names_something(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell.strip()]
    return bool(filled) and sum(map(_is_name, filled)) * 2 > len(filled)


def _is_name(cell: str) -> bool:
    value = value_of(cell)
    is_address = re.match(r"\s*(?:https?://|www\.)", cell) is not None
    return value.number is None and value.day is None and not is_address and any(w.isalpha() for w in value.words)


def _distinct(rows: Sequence[Row], columns: Sequence[int]) -> int:
    return len({tuple(norm_key(row[at]) for at in columns) for row in rows})


def _are_told_apart(rows: Sequence[Row], columns: Sequence[int]) -> bool:
    return _distinct(rows, columns) == len({tuple(map(norm_key, row)) for row in rows})
