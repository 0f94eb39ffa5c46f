"""The rows of one key: which of them are one row.

Rows agree where no column is filled differently in both. Cells are only ever filled from rows that agree: else
"Springfield, Ohio" without a population would take that of "Springfield, Illinois".
"""

from __future__ import annotations

from collections.abc import Sequence

from wideseek.table import Row, fold, norm_key

MOST_COMPARED = 200
"""Of more different rows than this under one key, which then names nothing, none are merged."""

_Cells = tuple[str, ...]


def merged_rows(group: Sequence[Row]) -> list[Row]:
    """The rows of one key, those that agree merged.

    Where all agree they are one row. Else a row that says nothing beyond another one is left out, and of the others
    those are merged that agree with each other and with no further row; all else stays as it is. The order of the
    rows decides only which spelling of equal cells is kept.
    """
    said = [tuple(norm_key(cell) or cell.strip() for cell in row) for row in group]
    first = list({cells: number for number, cells in reversed([*enumerate(said)])}.values())[::-1]
    if _all_agree([said[number] for number in first]):
        return [fold(group)]
    if len(first) > MOST_COMPARED:
        return [list(group[number]) for number in first]
    telling = [n for n in first if not any(n != other and _is_within(said[n], said[other]) for other in first)]
    return [
        row
        for numbers in _neighbours(telling, said)
        for row in (
            [fold([group[number] for number in numbers])]
            if _all_agree([said[number] for number in numbers])
            else [list(group[number]) for number in numbers]
        )
    ]


def _neighbours(numbers: Sequence[int], said: Sequence[_Cells]) -> list[list[int]]:
    """The rows in groups: rows that agree are in one, directly or through others."""
    groups: list[list[int]] = []
    for number in numbers:
        near = [group for group in groups if any(_all_agree([said[number], said[other]]) for other in group)]
        groups = [group for group in groups if group not in near]
        groups.append(sorted([number, *(other for group in near for other in group)]))
    return sorted(groups)


def _all_agree(rows: Sequence[_Cells]) -> bool:
    return all(len({cell for cell in cells if cell}) <= 1 for cells in zip(*rows, strict=True))


def _is_within(row: _Cells, other: _Cells) -> bool:
    """Whether every filled cell of `row` stands in `other`, too."""
    return all(not cell or cell == more for cell, more in zip(row, other, strict=True))
