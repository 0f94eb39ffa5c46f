"""Workbooks: grids in the sheets of an XLSX file, every cell as text.

    write_workbook    named grids -> sheets: bold frozen header, autofilter, widths to fit
    read_workbook     one sheet -> grid: numbers as their shortest text, ISO dates

Text survives: what looks like a number, an error or a formula is text, characters that XML forbids are written the way
Excel does (`_x000D_`), and the autofilter covers the whole table, so that empty rows and columns at its end come back.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

from wideseek.errors import BadInput
from wideseek.files import write_whole
from wideseek.table.exchange import formula_as_text, is_web_address
from wideseek.table.rows import Grid, padded

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

# XML cannot hold these; a workbook writes them as _x000D_, and the underscore of a text that looks so as _x005F_.
_FORBIDDEN = r"[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]"
_XLSX_ENCODED = re.compile(rf"_(?=x[0-9a-fA-F]{{4}}(?:_|{_FORBIDDEN}))|{_FORBIDDEN}")
_XLSX_DECODED = re.compile(r"_x([0-9a-fA-F]{4})_")
_XLSX_CELL_LIMIT = 32_767
_XLSX_LINK_LIMIT, _XLSX_MOST_LINKS = 2_079, 65_530  # characters of a link, links on a sheet
_WIDEST = 60
_MOST_CELLS = 20_000_000  # in the rectangle that a sheet is read as, empty ones included


def write_workbook(path: str | Path, sheets: Mapping[str, Grid]) -> None:
    """The workbook at `path`, one sheet a grid; an existing file is replaced once the whole is there."""
    try:
        write_whole({Path(path): workbook_bytes(sheets)})
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error.strerror or error}") from error


def workbook_bytes(sheets: Mapping[str, Grid], links: Mapping[str, str] | None = None) -> bytes:
    """The workbook with one sheet a grid.

    `links` maps a sheet to its column of web addresses: those cells can be followed, and stay text.
    """
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.worksheets[0])
    for name, grid in sheets.items():
        sheet = book.create_sheet(name)
        _fill_sheet(sheet, grid)
        if links and name in links:
            _link_column(sheet, grid[0].index(links[name]) + 1)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _fill_sheet(sheet: Worksheet, grid: Grid) -> None:
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter

    wrapped = Alignment(wrap_text=True, vertical="top")
    for y, row in enumerate(grid, 1):
        for x, text in enumerate(row, 1):
            cell = sheet.cell(y, x, _xlsx_text(text))
            cell.data_type = "s"  # or "=1+1" would be a formula and "#N/A" an error
            cell.alignment = wrapped
            if formula_as_text(text) != text:
                cell.quotePrefix = True  # text even after someone edits the cell
            if y == 1:
                cell.font = Font(bold=True)
    for x, texts in enumerate(zip(*grid, strict=True), 1):
        widest = max(map(_display_width, texts))
        sheet.column_dimensions[get_column_letter(x)].width = min(widest, _WIDEST) + 2
    if grid[0]:
        sheet.freeze_panes = "A2"
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(grid[0]))}{len(grid)}"


def _link_column(sheet: Worksheet, column: int) -> None:
    """Make the web addresses below the header links, as far as Excel takes them."""
    linked = 0
    for (cell,) in sheet.iter_rows(min_row=2, min_col=column, max_col=column):
        address = str(cell.value or "")
        if is_web_address(address) and len(address) <= _XLSX_LINK_LIMIT and linked < _XLSX_MOST_LINKS:
            cell.hyperlink = address
            linked += 1


def _xlsx_text(text: str) -> str:
    encoded = _XLSX_ENCODED.sub(lambda match: f"_x{ord(match[0]):04X}_", text)
    return encoded if len(encoded) <= _XLSX_CELL_LIMIT else encoded[: _XLSX_CELL_LIMIT - 1] + "…"


def _display_width(text: str) -> int:
    """Columns that the longest line takes; Chinese and other wide characters take two."""
    return max(len(line) + sum(unicodedata.east_asian_width(c) in "WF" for c in line) for line in text.split("\n"))


def read_workbook(path: Path, sheet: str | None) -> Grid:
    """The grid on the named sheet, or on the first one. Raises `BadInput` naming the file for what cannot be read."""
    opened = _open_sheet(path, sheet)
    height, width = _extent(opened)
    if height * width > _MOST_CELLS:
        raise BadInput(
            f"{path}: sheet {opened.title!r} has {height:,} rows and {width:,} columns, too many to read (at most "
            f"{_MOST_CELLS:,} cells): delete what stands far below or beside the table"
        )
    return _sheet_grid(opened)


def _extent(sheet: Worksheet) -> tuple[int, int]:
    """How many rows and columns the sheet's cells and its autofilter cover."""
    from openpyxl.utils import range_boundaries

    right = bottom = 0
    if sheet.auto_filter.ref:
        _, _, last_column, last_row = range_boundaries(sheet.auto_filter.ref)
        right, bottom = last_column or 0, last_row or 0
    return max(sheet.max_row, bottom), max(sheet.max_column, right)


def _open_sheet(path: Path, name: str | None) -> Worksheet:
    from openpyxl import load_workbook

    try:
        book = load_workbook(path, data_only=True)
    except Exception as error:  # a broken workbook raises whatever the part that trips over it does
        raise BadInput(f"{path}: cannot be read as an XLSX workbook: {error}") from error
    names = [sheet.title for sheet in book.worksheets]
    if not names or (name is not None and name not in names):
        raise BadInput(f"{path}: no sheet {name!r}; there are: {', '.join(map(repr, names)) or 'none'}")
    return book.worksheets[0 if name is None else names.index(name)]


def _sheet_grid(sheet: Worksheet) -> Grid:
    from openpyxl.utils import range_boundaries

    rows = [[_xlsx_cell(value) for value in row] for row in sheet.iter_rows(values_only=True)]
    filled = [(y, x) for y, row in enumerate(rows, 1) for x, text in enumerate(row, 1) if text]
    height, width = max((y for y, _ in filled), default=0), max((x for _, x in filled), default=0)
    if sheet.auto_filter.ref:
        _, _, right, bottom = range_boundaries(sheet.auto_filter.ref)
        height, width = max(height, bottom or 1), max(width, right or 0)
    if not width:
        return [[]]
    return [padded(row[:width], width) for row in rows[:height]] + [[""] * width] * (height - len(rows))


def _xlsx_cell(value: object) -> str:
    """The text of a cell's value: `str`, `None`, a number, a bool, a date or a time."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _XLSX_DECODED.sub(lambda match: chr(int(match[1], 16)), value)
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, date | time) else str(value)
