r"""Tables: named columns and rows of text, read from and written to markdown, CSV, JSON, XLSX, HTML and pandas.

    Table           columns and rows; `from_*` readers, `to_*` writers, `rename`, `select`, `dedupe`, `merge`
    find_tables     every pipe table in a model's answer, in order of appearance
    merge_tables    partial tables put together by key, with notes on what was left out
    write_xlsx      several named sheets in one workbook
    norm_column, norm_key, rows_by_key, first_filled, fold    how columns and rows are matched and merged

Every cell is text, and text survives: `Table.from_markdown(t.to_markdown()) == t` for every table, likewise CSV, JSON
and XLSX. What markdown cannot hold as it is gets escaped the way GitHub renders right:

    |             \|          \            \\
    line feed     <br>        carriage return    &#13;
    <br>          \<br>       text that would be read as a line break
    &amp;         \&amp;      text that would be read as a character reference
    a space       &#32;       at either end of a cell, where readers strip; other white space likewise, by its number

The reader undoes CommonMark's escapes, whoever wrote them: a backslash before ASCII punctuation (`\_`, `\$`), `<br>` in
any form, character references (`&nbsp;`, `&#39;`). A backslash before a letter is a backslash; `**bold**` and links
stay text.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from html.entities import html5
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from wideseek.errors import BadInput

if TYPE_CHECKING:
    import pandas
    from openpyxl.worksheet.worksheet import Worksheet

Row = list[str]


class Table(msgspec.Struct, frozen=True):
    """Columns and rows of text. Every row is as long as `columns`; nothing changes a table, methods return new ones.

    Two columns may bear the same name (models do that; `contract.py` repairs it). `Table()`, with no columns and no
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
    def from_csv(cls, text: str) -> Table:
        """The table in CSV text whose first line names the columns. Short rows are filled up, empty lines skipped.

        Raises `BadInput` naming the line for a row that is too long and for what is not CSV. Files may start with a
        byte order mark: open them as `utf-8-sig`.
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
                    rows.append(_padded(row, len(columns))[: len(columns)])
        except csv.Error as error:
            raise BadInput(f"CSV, line {reader.line_num}: {error}") from error
        return cls(columns or [], rows)

    @classmethod
    def from_json(cls, text: str) -> Table:
        """The table in JSON text: `{"columns": [...], "rows": [[...], ...]}` or a list of objects.

        Numbers keep the text they are written in, `null` is the empty cell, a list of plain values is parted by
        "; ", what is deeper stays JSON text. The columns
        of a list of objects are their keys in order of appearance. Raises `BadInput` for anything else.
        """
        try:
            # Numbers as their text: 1.50 must not become 1.5, nor a long id a float.
            data = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"JSON table: {error}") from error
        if isinstance(data, list) and all(isinstance(item, dict) for item in data):
            columns = list(dict.fromkeys(name for item in data for name in item))
            return cls(columns, [[_json_cell(item.get(name)) for name in columns] for item in data if columns])
        if isinstance(data, dict) and _is_list_of(data.get("columns"), str) and _is_list_of(data.get("rows"), list):
            try:
                return cls(data["columns"], [[_json_cell(cell) for cell in row] for row in data["rows"]])
            except ValueError as error:
                raise BadInput(f"JSON table: {error}") from error
        raise BadInput('JSON table: wanted a list of objects, or {"columns": [names], "rows": [[cells], ...]}')

    @classmethod
    def from_xlsx(cls, path: str | Path, sheet: str | None = None) -> Table:
        """The table on the named sheet of a workbook, or on its first one. Its first row names the columns.

        Numbers become their shortest text, dates ISO dates; formulas give their stored values. Empty rows and columns
        at the end are left out unless the sheet's autofilter (which `to_xlsx` sets) covers them. Raises `BadInput`
        naming the file for what cannot be read.
        """
        return _sheet_table(_open_sheet(Path(path), sheet))

    # ------------------------------------------------------------------------------------------------------- writers

    def to_markdown(self) -> str:
        r"""A GitHub pipe table, one line a row, escaped as the module docstring says; no newline at the end.

        `Table.from_markdown` reads back exactly this table. `Table()` gives the empty string.
        """
        if not self.columns:
            return ""
        lines = [_markdown_line(self.columns), "| " + " | ".join("---" for _ in self.columns) + " |"]
        return "\n".join(lines + [_markdown_line(row) for row in self.rows])

    def to_csv(self) -> str:
        """CSV as in RFC 4180: comma, double quotes where needed, CRLF line ends. Write it with `newline=""`.

        Cells are kept as they are. A spreadsheet that opens CSV may take a cell such as `=1+1` for a formula: give
        people who open untrusted answers in one the XLSX, where text stays text.
        """
        out = io.StringIO(newline="")
        if self.columns:
            csv.writer(out).writerows([self.columns, *self.rows])
        return out.getvalue()

    def to_json(self) -> str:
        """`{"columns": [...], "rows": [[...], ...]}` on one line."""
        return json.dumps({"columns": self.columns, "rows": self.rows}, ensure_ascii=False)

    def to_xlsx(self, path: str | Path) -> None:
        """A workbook with this table on one sheet; see `write_xlsx`."""
        write_xlsx(path, {"table": self})

    def to_html(self) -> str:
        """A bare `<table>` with a head and a body, all text escaped, line breaks as `<br>`."""
        head = _html_line(self.columns, "th")
        body = "\n".join(_html_line(row, "td") for row in self.rows)
        return f"<table>\n<thead>\n{head}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>"

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

    def _index(self, name: str) -> int:
        if name not in self.columns:
            raise BadInput(f"no column {name!r}; there are: {', '.join(map(repr, self.columns))}")
        return self.columns.index(name)


# ------------------------------------------------------------------------------------------------- matching and merging


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


# ------------------------------------------------------------------------------------------------------------ markdown

# What the reader decodes in a cell: a backslash escape, a line break, a character reference.
_REFERENCE = r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]*);"
_BREAK = r"<br[ \t]*/?>"
_DECODED = re.compile(rf"\\([!-/:-@\[-`{{-~])|({_BREAK})|({_REFERENCE})", re.IGNORECASE)
# What the writer encodes, so that the reader gives back the same text.
_ENCODED = re.compile(rf"[\\|\n\r]|{_BREAK}|{_REFERENCE}", re.IGNORECASE)
_ENCODINGS = {"\n": "<br>", "\r": "&#13;"}

_FENCE = re.compile(r"(?:`{3,}|~{3,})[ \t]*([\w+-]*)")
_TABLE_FENCES = {"", "markdown", "md", "gfm", "table", "text", "txt", "plaintext"}
# Fences that share a line with the first or last row: "```markdown | a | b |" and "| 1 | 2 |```".
_FENCE_BEFORE_ROW = re.compile(r"^([ \t]*`{3,}\w*)[ \t]*(?=\|)", re.MULTILINE)
_FENCE_AFTER_ROW = re.compile(r"(?<=\|)[ \t]*(`{3,})[ \t]*$", re.MULTILINE)
_QUOTE_MARKS = re.compile(r"^(?:>\s*)+(?=\|)")
_RULE_CELL = re.compile(r":?\s*-+\s*:?")


def find_tables(text: str) -> list[Table]:
    """Every pipe table in `text`, fenced or not, in order of appearance. Never raises.

    A table is a header and a separator row (`|---|---|`), with the rows that follow; prose with a pipe in it, before or
    after, is not part of it. Only where there is no such table, runs of two or more pipe lines with equally many cells
    count. Fences that name a programming language are skipped. What models write is put right:

    * outer pipes may be missing, blank lines may stand between rows;
    * a short row is filled up with empty cells; in a long one, what is too much is joined to the last cell.
    """
    runs = list(_pipe_runs(text))
    headed = [table for run in runs if (table := _headed_table(run))]
    return headed or [table for run in runs if (table := _headless_table(run))]


def _pipe_runs(text: str) -> Iterator[list[str]]:
    """Lines that may form one table: pipe lines that only blank lines part, up to a second header of its own."""
    run: list[str] = []
    for paragraph in _paragraphs(text):
        if run and paragraph and not _starts_anew(paragraph, run):
            run.extend(paragraph)
            continue
        if run:
            yield run
        run = paragraph
    if run:
        yield run


def _starts_anew(paragraph: list[str], run: list[str]) -> bool:
    """Whether pipe lines after a blank line belong to another table, or to none, rather than to the run before."""
    own_header = len(paragraph) > 1 and _is_separator(paragraph[1])
    return own_header or (run[0].startswith("|") and not paragraph[0].startswith("|"))


def _paragraphs(text: str) -> Iterator[list[str]]:
    """Adjacent pipe lines, each list ended by a blank line; an empty list stands for prose or a fence in between."""
    lines: list[str] = []
    for line in _lines(text):
        if line and "|" in line:
            lines.append(line)
            continue
        if lines:
            yield lines
            lines = []
        if line is None or line:
            yield []
    if lines:
        yield lines


def _lines(text: str) -> Iterator[str | None]:
    """The stripped lines outside of program code; `None` for a fence."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _FENCE_AFTER_ROW.sub(r"\n\1", _FENCE_BEFORE_ROW.sub(r"\1\n", text))
    language: str | None = None
    for line in map(str.strip, text.split("\n")):
        if fence := _FENCE.fullmatch(line):
            # A bare fence closes the open block; one with a word opens a block, even inside an unclosed one.
            named = fence[1].lower()
            language = named if named or language is None else None
            yield None
        elif (language or "") in _TABLE_FENCES:
            yield _QUOTE_MARKS.sub("", line)


def _headed_table(lines: list[str]) -> Table | None:
    """The table whose header stands right above the first separator row."""
    # Further down only a long rule is a separator: a row of single dashes means "unknown" in all columns.
    separators = (i for i, line in enumerate(lines[1:], 1) if _is_separator(line) and (i == 1 or "---" in line))
    if (at := next(separators, None)) is None:
        return None
    columns = _cells(lines[at - 1])
    outer_pipes = lines[at - 1].startswith("|")
    rows: list[Row] = []
    for line in lines[at + 1 :]:
        cells = _cells(line)
        if outer_pipes and len(cells) != len(columns) and not (line.startswith("|") or line.endswith("|")):
            break  # prose right below the table
        rows.append(_fitted(cells, len(columns)))
    return Table(columns, rows)


def _headless_table(lines: list[str]) -> Table | None:
    """Two or more lines of equally many cells; the first is the header."""
    rows = [_cells(line) for line in lines]
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        return None
    if len(rows[0]) < 2 and not all(line.startswith("|") for line in lines):
        return None
    return Table(rows[0], rows[1:])


def _is_separator(line: str) -> bool:
    cells = [cell for cell in _raw_cells(line) if cell]
    return bool(cells) and all(_RULE_CELL.fullmatch(cell) for cell in cells)


def _cells(line: str) -> Row:
    return [_DECODED.sub(_decoded, cell) for cell in _raw_cells(line)]


def _raw_cells(line: str) -> Row:
    """The cells of a stripped line as written, stripped, without the outer pipes' empty ones."""
    # A line holds no line feed, so it can stand for the pipes that part cells.
    marked = re.sub(r"\\.|\|", lambda match: "\n" if match[0] == "|" else match[0], line)
    cells = [cell.strip() for cell in marked.split("\n")]
    if len(cells) > 1 and not cells[0]:
        cells = cells[1:]
    if len(cells) > 1 and not cells[-1]:
        cells = cells[:-1]
    return cells


def _decoded(match: re.Match[str]) -> str:
    escaped, line_break, reference = match.groups()
    if escaped:
        return str(escaped)
    return "\n" if line_break else _referenced(reference)


def _referenced(reference: str) -> str:
    """The text of a character reference; itself where it names nothing."""
    name = reference[1:-1]
    if not name.startswith("#"):
        return html5.get(name + ";", reference)
    code = int(name[2:], 16) if name[1] in "xX" else int(name[1:])
    # Not html.unescape: it reads &#133; as a Windows character, and the writer means U+0085 by it.
    return chr(code) if 0 < code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else reference


def _padded(cells: Row, width: int) -> Row:
    return cells + [""] * (width - len(cells))


def _fitted(cells: Row, width: int) -> Row:
    """The cells of a ragged row as a row of `width`."""
    surplus = [cell for cell in cells[width:] if cell]
    fitted = _padded(cells[:width], width)
    return [*fitted[:-1], " | ".join([fitted[-1], *surplus])] if surplus else fitted


def _markdown_line(cells: Row) -> str:
    return "| " + " | ".join(map(_markdown_cell, cells)) + " |"


def _markdown_cell(cell: str) -> str:
    text = cell.strip()
    start = cell.index(text)
    before, after = cell[:start], cell[start + len(text) :]
    # Readers strip cells, so white space at the ends is written by its number.
    return _numbered(before) + _ENCODED.sub(_encoded, text) + _numbered(after)


def _numbered(space: str) -> str:
    return "".join(_ENCODINGS["\n"] if char == "\n" else f"&#{ord(char)};" for char in space)


def _encoded(match: re.Match[str]) -> str:
    return _ENCODINGS.get(match[0], "\\" + match[0])


# ---------------------------------------------------------------------------------------------------------- JSON, HTML


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


def _html_line(cells: Row, tag: str) -> str:
    texts = (html.escape(cell).replace("\n", "<br>") for cell in cells)
    return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"


# ---------------------------------------------------------------------------------------------------------------- XLSX

# XML cannot hold these; a workbook writes them as _x000D_, and the underscore of a text that looks so as _x005F_.
_FORBIDDEN = r"[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]"
_XLSX_ENCODED = re.compile(rf"_(?=x[0-9a-fA-F]{{4}}(?:_|{_FORBIDDEN}))|{_FORBIDDEN}")
_XLSX_DECODED = re.compile(r"_x([0-9a-fA-F]{4})_")
_XLSX_CELL_LIMIT = 32_767
_WIDEST = 60


def write_xlsx(path: str | Path, sheets: Mapping[str, Table]) -> None:
    """A workbook with one sheet a table, in order: bold frozen header, autofilter, widths to fit.

    All cells are text, also those that look like numbers, errors or formulas (`=1+1` is not computed). Characters that
    XML forbids are written the way Excel does (`_x000D_`). A cell of more than 32,767 characters, which is all that
    Excel takes, is cut there and ends in an ellipsis. Sheet names follow Excel's rules. Raises `BadInput` if `path`
    cannot be written; an existing file is replaced only once the whole workbook is there.
    """
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.worksheets[0])
    for name, table in sheets.items():
        _fill_sheet(book.create_sheet(name), table)
    out = io.BytesIO()
    book.save(out)
    try:
        Path(path).write_bytes(out.getvalue())
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error.strerror or error}") from error


def _fill_sheet(sheet: Worksheet, table: Table) -> None:
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter

    wrapped = Alignment(wrap_text=True, vertical="top")
    for y, row in enumerate([table.columns, *table.rows], 1):
        for x, text in enumerate(row, 1):
            cell = sheet.cell(y, x, _xlsx_text(text))
            cell.data_type = "s"  # or "=1+1" would be a formula and "#N/A" an error
            cell.alignment = wrapped
            if text.startswith("="):
                cell.quotePrefix = True  # text even after someone edits the cell
            if y == 1:
                cell.font = Font(bold=True)
    for x, name in enumerate(table.columns, 1):
        widest = max(_display_width(text) for text in (name, *(row[x - 1] for row in table.rows)))
        sheet.column_dimensions[get_column_letter(x)].width = min(widest, _WIDEST) + 2
    if table.columns:
        sheet.freeze_panes = "A2"
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(table.columns))}{len(table.rows) + 1}"


def _xlsx_text(text: str) -> str:
    encoded = _XLSX_ENCODED.sub(lambda match: f"_x{ord(match[0]):04X}_", text)
    return encoded if len(encoded) <= _XLSX_CELL_LIMIT else encoded[: _XLSX_CELL_LIMIT - 1] + "…"


def _display_width(text: str) -> int:
    """Columns that the longest line takes; Chinese and other wide characters take two."""
    return max(len(line) + sum(unicodedata.east_asian_width(c) in "WF" for c in line) for line in text.split("\n"))


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


def _sheet_table(sheet: Worksheet) -> Table:
    from openpyxl.utils import range_boundaries

    rows = [[_xlsx_cell(value) for value in row] for row in sheet.iter_rows(values_only=True)]
    filled = [(y, x) for y, row in enumerate(rows, 1) for x, text in enumerate(row, 1) if text]
    height, width = max((y for y, _ in filled), default=0), max((x for _, x in filled), default=0)
    if sheet.auto_filter.ref:
        _, _, right, bottom = range_boundaries(sheet.auto_filter.ref)
        height, width = max(height, bottom or 1), max(width, right or 0)
    if not width:
        return Table()
    columns, *cells = [_padded(row[:width], width) for row in rows[:height]] + [[""] * width] * (height - len(rows))
    return Table(columns, cells)


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
