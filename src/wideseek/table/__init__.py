"""Tables: named columns and rows of text, read from and written to markdown, CSV, JSON, XLSX, HTML and pandas.

    Table           columns and rows; `from_*` readers, `to_*` writers, `rename`, `select`, `dedupe`, `merge`
    find_tables     every pipe table in a model's answer, in order of appearance
    read_tables     the same, each with notes on what could not be told
    write_xlsx      several named sheets in one workbook; `xlsx_bytes` gives it without writing it
    merge_tables    partial tables put together by key, with notes on what was left out

    markdown.py     pipe tables: how they are found, and what is escaped
    cells.py        plain_cell, plain_key, undecorated, counts_rows: what decorates a cell, and what only numbers rows
    exchange.py     CSV, JSON, HTML
    workbook.py     XLSX
    rows.py         norm_column, norm_key, rows_by_key, first_filled, fold: how columns and rows are matched and merged

Every cell is text, and text survives: `Table.from_markdown(t.to_markdown()) == t` for every table, likewise CSV, JSON
and XLSX. The formats know grids (a header and rows below it), never `Table`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wideseek.errors import BadInput
from wideseek.table.cells import counts_rows, plain_cell, plain_key, says_nothing, unchecked, undecorated
from wideseek.table.exchange import grid_csv, grid_html, grid_json, read_csv, read_json
from wideseek.table.markdown import find_grids, grid_markdown, read_grids
from wideseek.table.rows import Grid, Row, first_filled, fold, norm_column, norm_key, rows_by_key
from wideseek.table.workbook import read_workbook, workbook_bytes, write_workbook

if TYPE_CHECKING:
    import pandas

__all__ = [
    "Row",
    "Table",
    "counts_rows",
    "find_tables",
    "first_filled",
    "fold",
    "merge_tables",
    "norm_column",
    "norm_key",
    "plain_cell",
    "plain_key",
    "read_tables",
    "rows_by_key",
    "says_nothing",
    "unchecked",
    "undecorated",
    "write_xlsx",
    "xlsx_bytes",
]


class Table(msgspec.Struct, frozen=True):
    """Columns and rows of text. Every row is as long as `columns`; nothing changes a table, methods return new ones.

    Two columns may bear the same name (models do that; a `Contract` repairs it). `Table()`, with no columns and no
    rows, is what reading finds where there is no table.
    """

    columns: list[str] = []
    rows: list[Row] = []

    def __post_init__(self) -> None:
        """Raises `ValueError` for a row that does not fit."""
        width = len(self.columns)
        for number, row in enumerate(self.rows, 1):
            if len(row) != width or not width:
                raise ValueError(f"row {number} has {len(row)} cells for {width} columns")

    # ------------------------------------------------------------------------------------------------------- readers

    @classmethod
    def from_markdown(cls, text: str) -> Table:
        """The first pipe table in `text` (see `find_tables`), or `Table()` where there is none."""
        return next(iter(find_tables(text)), cls())

    @classmethod
    def from_csv(cls, text: str, *, formulas_as_text: bool = False) -> Table:
        """The table in CSV text whose first line names the columns. Short rows are filled up, empty lines skipped.

        Raises `BadInput` naming the line for a row that is too long and for what is not CSV. Files may start with a
        byte order mark: open them as `utf-8-sig`. `formulas_as_text` undoes what `to_csv` did under that name.
        """
        return cls._of(read_csv(text, formulas_as_text=formulas_as_text))

    @classmethod
    def from_json(cls, text: str) -> Table:
        """The table in JSON text: `{"columns": [...], "rows": [[...], ...]}` or a list of objects.

        Numbers keep the text they are written in, `null` is the empty cell, a list of plain values is parted by
        "; ", what is deeper stays JSON text. The columns of a list of objects are their keys in order of appearance.
        Raises `BadInput` for anything else.
        """
        grid = read_json(text)
        try:
            return cls._of(grid)
        except ValueError as error:
            raise BadInput(f"JSON table: {error}") from error

    @classmethod
    def from_xlsx(cls, path: str | Path, sheet: str | None = None) -> Table:
        """The table on the named sheet of a workbook, or on its first one. Its first row names the columns.

        Numbers become their shortest text, dates ISO dates; formulas give their stored values. Empty rows and columns
        at the end are left out unless the sheet's autofilter (which `to_xlsx` sets) covers them. Raises `BadInput`
        naming the file for what cannot be read.
        """
        return cls._of(read_workbook(Path(path), sheet))

    # ------------------------------------------------------------------------------------------------------- writers

    def to_markdown(self) -> str:
        r"""A GitHub pipe table, one line a row, escaped as `markdown` says; no newline at the end.

        `Table.from_markdown` reads back exactly this table. `Table()` gives the empty string.
        """
        return grid_markdown(self._grid)

    def to_csv(self, *, formulas_as_text: bool = False) -> str:
        """CSV as in RFC 4180: comma, double quotes where needed, CRLF line ends. Write it with `newline=""`.

        Cells are kept as they are. A spreadsheet that opens CSV takes a cell such as `=1+1` for a formula:
        `formulas_as_text` puts an apostrophe before it (`exchange.formula_as_text` has the rule).
        """
        return grid_csv(self._grid, formulas_as_text=formulas_as_text)

    def to_json(self) -> str:
        """`{"columns": [...], "rows": [[...], ...]}` on one line."""
        return grid_json(self._grid)

    def to_xlsx(self, path: str | Path) -> None:
        """A workbook with this table on one sheet; see `write_xlsx`."""
        write_xlsx(path, {"table": self})

    def to_html(self) -> str:
        """A bare `<table>` with a head and a body, all text escaped, line breaks as `<br>`."""
        return grid_html(self._grid)

    def to_pandas(self) -> pandas.DataFrame:
        """A DataFrame of strings. Raises `BadInput` naming the extra where pandas is not installed."""
        try:
            import pandas
        except ImportError as error:
            raise BadInput("to_pandas needs pandas: pip install wideseek[pandas]") from error
        return pandas.DataFrame(self.rows, columns=self.columns)

    def records(self) -> list[dict[str, str]]:
        """One dict a row, column to cell. Of two columns with one name the first counts."""
        backwards = self.columns[::-1]
        return [dict(zip(backwards, row[::-1], strict=True)) for row in self.rows]

    # ------------------------------------------------------------------------------------------------ columns and rows

    def rename(self, mapping: Mapping[str, str]) -> Table:
        """The table with columns renamed, old name to new. Raises `BadInput` for an old name that is not there."""
        for name in mapping:
            self._index(name)
        return Table([mapping.get(name, name) for name in self.columns], self.rows)

    def select(self, columns: Sequence[str]) -> Table:
        """The named columns in the given order. Raises `BadInput` for a name that is not there."""
        indices = [self._index(name) for name in columns]
        return Table(list(columns), [[row[i] for i in indices] for row in self.rows] if columns else [])

    def dedupe(self, key: Sequence[str]) -> Table:
        """One row a key: the first, its empty cells filled from the later ones.

        Keys are equal when `norm_key` of their cells is; rows whose key cells are all empty are all kept. Raises
        `BadInput` for a key column that is not there.
        """
        groups = rows_by_key(self.rows, [self._index(name) for name in key])
        return Table(self.columns, [fold(group) for group in groups])

    def merge(self, others: Iterable[Table], key: Sequence[str]) -> tuple[Table, list[str]]:
        """This table and others as one; see `merge_tables`."""
        return merge_tables([self, *others], key)

    # ----------------------------------------------------------------------------------------------------------- shape

    @classmethod
    def _of(cls, grid: Grid) -> Table:
        return cls(grid[0], grid[1:])

    @property
    def _grid(self) -> Grid:
        return [self.columns, *self.rows]

    def _index(self, name: str) -> int:
        if name not in self.columns:
            raise BadInput(f"no column {name!r}; there are: {', '.join(map(repr, self.columns))}")
        return self.columns.index(name)


def find_tables(text: str) -> list[Table]:
    """Every pipe table in `text`, fenced or not, in order of appearance; `markdown.find_grids` has the rules."""
    return [Table(columns, rows) for columns, *rows in find_grids(text)]


def read_tables(text: str) -> list[tuple[Table, list[str]]]:
    """Every pipe table in `text`, each with notes on what is in doubt; `markdown.read_grids` has the rules."""
    return [(Table(columns, rows), notes) for (columns, *rows), notes in read_grids(text)]


def write_xlsx(path: str | Path, sheets: Mapping[str, Table]) -> None:
    """A workbook with one sheet a table, in order: bold frozen header, autofilter, widths to fit.

    All cells are text, also those that look like numbers, errors or formulas (`=1+1` is not computed). Characters that
    XML forbids are written the way Excel does (`_x000D_`). A cell of more than 32,767 characters, which is all that
    Excel takes, is cut there and ends in an ellipsis. Sheet names follow Excel's rules. Raises `BadInput` if `path`
    cannot be written; an existing file is replaced only once the whole workbook is there.
    """
    write_workbook(path, {name: table._grid for name, table in sheets.items()})


def xlsx_bytes(sheets: Mapping[str, Table], links: Mapping[str, str] | None = None) -> bytes:
    """What `write_xlsx` writes. `links` maps a sheet to a column of web addresses whose cells are links as well."""
    return workbook_bytes({name: table._grid for name, table in sheets.items()}, links)


def merge_tables(tables: Sequence[Table], key: Sequence[str]) -> tuple[Table, list[str]]:
    """The union of the tables' rows by `key`, and notes on tables that were left out.

    Columns are matched by `norm_column`, keep their first spelling, and are all kept, in order of appearance. Where
    rows share a key, each cell is the first that is not blank. A table without all key columns is left out and noted.
    """
    wanted = [norm_column(name) for name in key]
    usable: list[Table] = []
    notes: list[str] = []
    for number, table in enumerate(tables, 1):
        names = {norm_column(name) for name in table.columns}
        if missing := [name for name in key if norm_column(name) not in names]:
            notes.append(f"Table {number} has no column {', '.join(map(repr, missing))} and was left out.")
        else:
            usable.append(table)
    spellings: dict[str, str] = {}
    for table in usable:
        for name in table.columns:
            spellings.setdefault(norm_column(name), name)
    rows = [row for table in usable for row in _aligned_rows(table, list(spellings))]
    groups = rows_by_key(rows, [list(spellings).index(name) for name in wanted]) if usable else []
    return Table(list(spellings.values()), [fold(group) for group in groups]), notes


def _aligned_rows(table: Table, normed: Sequence[str]) -> Iterator[Row]:
    """The table's rows with one cell for each of the normalised names, empty where it has no such column."""
    sources = [[i for i, name in enumerate(table.columns) if norm_column(name) == wanted] for wanted in normed]
    for row in table.rows:
        yield [first_filled(row[i] for i in indices) for indices in sources]
