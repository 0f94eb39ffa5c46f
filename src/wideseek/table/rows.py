"""Rows of text cells: when two column names or two keys are the same, and how rows of one key become one.

    Row, Grid              the cells of a line; a header and the rows below it
    norm_column            a column's name as it is compared
    norm_key               a cell as keys are compared
    rows_by_key, fold      rows grouped by their key; one row out of a group
    first_filled, padded   the first cell that is not blank; a short row filled up

A cell of white space alone is blank.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

Row = list[str]
Grid = list[Row]  # the columns' names, then the rows; `[[]]` where there is no table


def norm_column(name: str) -> str:
    """A column's name as it is compared: stripped, in lower case, without spaces (WideSearch's rule)."""
    return name.strip().lower().replace(" ", "")


def norm_key(cell: str) -> str:
    """A cell as keys are compared: case, runs of white space, `**` and Unicode composition make no difference."""
    return unicodedata.normalize("NFC", " ".join(cell.replace("**", "").split()).casefold())


def rows_by_key(rows: Sequence[Row], key: Sequence[int]) -> list[list[Row]]:
    """The rows grouped by their key cells (column indices), in order of first appearance.

    A row whose key cells are all empty names nothing, so it equals no other: it is a group of its own.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for number, row in enumerate(rows):
        cells = tuple(norm_key(row[i]) for i in key)
        groups.setdefault(cells if any(cells) else (number,), []).append(row)
    return list(groups.values())


def first_filled(cells: Iterable[str]) -> str:
    """The first cell that is not blank, else the empty string."""
    return next((cell for cell in cells if cell.strip()), "")


def fold(rows: Sequence[Row]) -> Row:
    """One row out of several of equal length: in each column the first cell that is not blank. One stays as it is."""
    return rows[0] if len(rows) == 1 else [first_filled(cells) for cells in zip(*rows, strict=True)]


def padded(cells: Row, width: int) -> Row:
    """The cells and as many empty ones as `width` wants."""
    return cells + [""] * (width - len(cells))
