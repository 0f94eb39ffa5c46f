"""CSV, JSON and HTML: grids in the text that other programs exchange.

    read_csv, grid_csv      RFC 4180; the first line names the columns
    formula_as_text         a cell that a spreadsheet does not take for a formula
    text_as_formula         the cell as it was before that
    is_web_address          whether a text may become a link
    read_json, grid_json    {"columns": [...], "rows": [[...], ...]}; read also from a list of objects
    grid_html               a bare <table>, written only

`BadInput` says what cannot be read, and in CSV on which line.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
import unicodedata

from wideseek.errors import BadInput
from wideseek.table.rows import Grid, Row, padded


def read_csv(text: str, *, formulas_as_text: bool = False) -> Grid:
    """The grid in CSV text. Short rows are filled up, empty lines skipped; `BadInput` names the line it cannot read.

    `formulas_as_text`: it was written so; the cells come back as they were before (`text_as_formula`).
    """
    reader = csv.reader(io.StringIO(text, newline=""))
    columns: Row | None = None
    rows: list[Row] = []
    try:
        for row in filter(None, reader):
            if columns is None:
                columns = row
            elif any(row[len(columns) :]):
                raise BadInput(f"CSV, line {reader.line_num}: {len(row)} cells for {len(columns)} columns")
            else:
                rows.append(padded(row, len(columns))[: len(columns)])
    except csv.Error as error:
        raise BadInput(f"CSV, line {reader.line_num}: {error}") from error
    grid = [columns or [], *rows]
    return [list(map(text_as_formula, row)) for row in grid] if formulas_as_text else grid


def grid_csv(grid: Grid, *, formulas_as_text: bool = False) -> str:
    """CSV as in RFC 4180, cells as they are or each through `formula_as_text`. No columns give the empty string."""
    out = io.StringIO(newline="")
    if grid[0]:
        csv.writer(out).writerows([map(formula_as_text, row) for row in grid] if formulas_as_text else grid)
    return out.getvalue()


_FORMULA = re.compile(r"[=+\-@＝＋－＠﹢﹣﹦﹫]")
_NO_FORMULA = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)?(\.\d*)?(?<=[\d.])(e[+-]?\d+)?%?|-+", re.IGNORECASE)


def formula_as_text(cell: str) -> str:
    """The cell with an apostrophe before it where a spreadsheet would take it for a formula.

    A formula begins with `=`, `+`, `-` or `@`, also in their wide forms and after what cannot be seen; a tab or a line
    break at the start can hide one (OWASP, "CSV injection"). Numbers (`-84`, `+1,234.5`, `-2e-3`, `-5%`) and dashes
    alone stay as they are. A formula that has apostrophes before it gets one more, so that `text_as_formula` gives
    back every cell.
    """
    return f"'{cell}" if _is_formula(cell.lstrip("'")) else cell


def text_as_formula(cell: str) -> str:
    """The cell that `formula_as_text` made this one of."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell.lstrip("'")) else cell


def _is_formula(cell: str) -> bool:
    if cell[:1] in ("\t", "\r", "\n"):
        return True
    start = next((index for index, char in enumerate(cell) if not _is_unseen(char)), len(cell))
    return bool(_FORMULA.match(cell, start)) and not _NO_FORMULA.fullmatch(cell.strip())


def _is_unseen(char: str) -> bool:
    """Spaces of every kind, control characters, and marks that take no room."""
    return char.isspace() or unicodedata.category(char) in ("Cc", "Cf", "Zs", "Zl", "Zp")


_WEB_ADDRESS = re.compile(r"https?://[^\s\x00-\x1f\ud800-\udfff]+", re.IGNORECASE)


def is_web_address(text: str) -> bool:
    """Whether a text is nothing but an address of the web: no `javascript:`, no `file:`, no spaces."""
    return _WEB_ADDRESS.fullmatch(text) is not None


def read_json(text: str) -> Grid:
    """The grid in JSON text; its rows may be of any length. Raises `BadInput` for what is no table."""
    try:
        # Numbers as their text: 1.50 must not become 1.5, nor a long id a float.
        data = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"JSON table: {error}") from error
    if isinstance(data, list) and all(isinstance(item, dict) for item in data):
        columns = list(dict.fromkeys(name for item in data for name in item))
        return [columns, *([_json_cell(item.get(name)) for name in columns] for item in data if columns)]
    if isinstance(data, dict) and _is_list_of(data.get("columns"), str) and _is_list_of(data.get("rows"), list):
        return [data["columns"], *([_json_cell(cell) for cell in row] for row in data["rows"])]
    raise BadInput('JSON table: wanted a list of objects, or {"columns": [names], "rows": [[cells], ...]}')


def _is_list_of(value: object, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


def _json_cell(value: object) -> str:
    """The cell for a JSON value: text as it is, `null` empty, a list of plain values parted by "; ", else JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return "; ".join(map(_json_cell, value))
    return json.dumps(value, ensure_ascii=False)


def grid_json(grid: Grid) -> str:
    """`{"columns": [...], "rows": [[...], ...]}` on one line."""
    columns, *rows = grid
    return json.dumps({"columns": columns, "rows": rows}, ensure_ascii=False)


def grid_html(grid: Grid) -> str:
    """A bare `<table>` with a head and a body, all text escaped, line breaks as `<br>`."""
    columns, *rows = grid
    head = _html_line(columns, "th")
    body = "\n".join(_html_line(row, "td") for row in rows)
    return f"<table>\n<thead>\n{head}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _html_line(cells: Row, tag: str) -> str:
    texts = (html.escape(cell).replace("\n", "<br>") for cell in cells)
    return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"
