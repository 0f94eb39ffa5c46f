r"""Pipe tables: found in what models write, read as GitHub shows them, written so that GitHub renders them right.

    read_grids       text -> runs of pipe lines -> header, separator, rows -> cells, decoded; with notes
    find_grids       the same without the notes
    grid_markdown    cells, encoded -> lines

Text survives: what is written is read back the same. What markdown cannot hold as it is gets escaped:

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

import re
from collections.abc import Iterator
from html.entities import html5

from wideseek.table.rows import Grid, Row, padded

# What the reader decodes in a cell: a backslash escape, a line break, a character reference.
_REFERENCE = r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]*);"
_BREAK = r"<br[ \t]*/?>"
_DECODED = re.compile(rf"\\([!-/:-@\[-`{{-~])|({_BREAK})|({_REFERENCE})", re.IGNORECASE)

_FENCE = re.compile(r"(?:`{3,}|~{3,})[ \t]*([\w+-]*)")
_TABLE_FENCES = {"", "markdown", "md", "gfm", "table", "text", "txt", "plaintext"}
# Fences that share a line with the first or last row: "```markdown | a | b |" and "| 1 | 2 |```".
_FENCE_BEFORE_ROW = re.compile(r"^([ \t]*`{3,}\w*)[ \t]*(?=\|)", re.MULTILINE)
_FENCE_AFTER_ROW = re.compile(r"(?<=\|)[ \t]*(`{3,})[ \t]*$", re.MULTILINE)
_QUOTE_MARKS = re.compile(r"^(?:>\s*)+(?=\|)")
_DASHES = r"\-‐‑‒–—―−=－─━═"
_RULE_CELL = re.compile(rf":?\s*[{_DASHES}]+\s*:?")
# A rule as grid tables and terminals draw it: +---+---+, |---+---|, ├───┼───┤.
_CROSSINGS = "+┌┬┐├┼┤└┴┘┏┳┓┣╋┫┗┻┛╔╦╗╠╬╣╚╩╝╞╪╡┠╂┨╭╮╰╯"
_DRAWN_RULE = re.compile(rf"(?=.*[{_CROSSINGS}])(?=.*[{_DASHES}]{{2}})[{_CROSSINGS}{_DASHES}:|│┃║]+")
_OTHER_BARS = re.compile("[｜│┃║]")
# Where a bar may stand that parts no cells: code, wiki links, links, formulas.
_UNSPLIT = re.compile(r"(`+)[^`]+\1|\[\[[^\[\]]+\]\]|\[[^\[\]]+\]\([^()]*\)|\$[^$]+\$")
_SPARE_CELLS = 20_000


def find_grids(text: str) -> list[Grid]:
    """Every pipe table in `text`; `read_grids` has the rules."""
    return [grid for grid, _ in read_grids(text)]


def read_grids(text: str) -> list[tuple[Grid, list[str]]]:
    """Every pipe table in `text`, fenced or not, in order of appearance, with notes on what is in doubt. Never raises.

    A table is a header and a separator row (`|---|---|`), with the rows that follow; prose with a pipe in it, before or
    after, is not part of it. Only where there is no such table, runs of two or more pipe lines with equally many cells
    count. Fences that name a programming language are skipped. What models write is put right:

    * outer pipes may be missing, blank lines may stand between rows;
    * a short row is filled up with empty cells; a long one is read once more with the bars in code, links and formulas
      as text, and if it is still too long, what is too much is joined to the last cell, with a note;
    * a row that is broken over two lines is one row;
    * separators may be written in other dashes or drawn (`+---+`, `├───┤`), bars as `｜` or `│`;
    * rows that follow a table, after prose, without a header and with as many cells, go on with it.

    A table has at most as many cells as its text has characters, and 20,000: further rows are left out, with a note.
    """
    runs = list(_pipe_runs(text))
    headed: list[tuple[Grid, list[str]]] = []
    for run in runs:
        if (read := _headed_grid(run)) is not None:
            headed.append(read)
        elif headed:
            headed[-1][0].extend(_continuing_rows(run, headed[-1][0][0]))
    return headed or [(grid, []) for run in runs if (grid := _headless_grid(run))]


def _continuing_rows(lines: list[str], columns: Row) -> list[Row]:
    """The rows of lines that go on with a table of these columns, or none."""
    rows = [_cells(line) for line in lines]
    fits = all(line.startswith("|") and line.endswith("|") for line in lines)
    if len(columns) < 2 or not fits or any(len(row) != len(columns) for row in rows):
        return []
    return rows[1:] if rows[0] == columns else rows


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


_ENDS = (
    " \t\f\v\u00a0\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2066\u2067\u2068\u2069\ufeff"
)


def _bare(line: str) -> str:
    """The line without white space and invisible marks at its ends: a mark outside the bars is no cell."""
    return line.strip().strip(_ENDS).strip()


def _lines(text: str) -> Iterator[str | None]:
    """The stripped lines outside of program code; `None` for a fence."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _FENCE_AFTER_ROW.sub(r"\n\1", _FENCE_BEFORE_ROW.sub(r"\1\n", text))
    language: str | None = None
    ruled: bool | None = None  # whether the table that is being read has its separator; `None` before its header
    for line in map(_bare, text.split("\n")):
        if fence := _FENCE.fullmatch(line):
            # A bare fence closes the open block; one with a word opens a block, even inside an unclosed one.
            named = fence[1].lower()
            language = named if named or language is None else None
            yield None
            ruled = None
        elif (language or "") in _TABLE_FENCES:
            line = _QUOTE_MARKS.sub("", line)
            if _DRAWN_RULE.fullmatch(line):
                if ruled is False:
                    yield "|---|"
                    ruled = True
                continue
            line = line if "|" in line else _OTHER_BARS.sub("|", line)
            if "|" not in line:
                ruled = None
            elif ruled is None:
                ruled = False
            yield line


def _headed_grid(lines: list[str]) -> tuple[Grid, list[str]] | None:
    """The table whose header stands right above the first separator row, with notes."""
    # Further down only a long rule is a separator: a row of single dashes means "unknown" in all columns.
    separators = (i for i, line in enumerate(lines[1:], 1) if _is_separator(line) and (i == 1 or "---" in line))
    if (at := next(separators, None)) is None:
        return None
    columns = _cells(lines[at - 1])
    width, outer_pipes = len(columns), lines[at - 1].startswith("|")
    most = (_SPARE_CELLS + sum(map(len, lines))) // width
    rows: list[Row] = []
    long = left_out = 0
    rest = iter(_whole_lines(lines[at + 1 :], width) if outer_pipes else lines[at + 1 :])
    for line in rest:
        cells = _cells(line)
        if outer_pipes and len(cells) != width and not (line.startswith("|") or line.endswith("|")):
            break  # prose right below the table
        if len(rows) >= most:
            left_out += 1
            continue
        if len(cells) > width and len(unsplit := _cells(line, unsplit=True)) <= width:
            cells = unsplit
        long += any(cells[width:])
        rows.append(_fitted(cells, width))
    notes = []
    if long:
        some = "1 row has" if long == 1 else f"{long} rows have"
        notes.append(f"{some} more cells than there are columns; the last cell holds what was too much.")
    if left_out:
        notes.append(f"{left_out} nearly empty rows were left out: the table has {width} columns, its rows few cells.")
    return [columns, *rows], notes


def _whole_lines(lines: list[str], width: int) -> Iterator[str]:
    """The lines, with a row that is broken over two of them put together by a line break."""
    at = 0
    while at < len(lines):
        line, after = lines[at], lines[at + 1] if at + 1 < len(lines) else "|"
        broken = line.startswith("|") and not line.endswith("|") and not after.startswith("|") and after.endswith("|")
        if broken and len(_raw_cells(line)) + len(_raw_cells(after)) - 1 == width:
            yield f"{line}<br>{after}"
            at += 2
        else:
            yield line
            at += 1


def _headless_grid(lines: list[str]) -> Grid | None:
    """Two or more lines of equally many cells; the first is the header."""
    rows = [_cells(line) for line in lines]
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        return None
    if len(rows[0]) < 2 and not all(line.startswith("|") for line in lines):
        return None
    return rows


def _is_separator(line: str) -> bool:
    cells = [cell for cell in _raw_cells(line) if cell]
    return bool(cells) and all(_RULE_CELL.fullmatch(cell) for cell in cells)


_ESCAPING = frozenset("\\&<")


def _cells(line: str, *, unsplit: bool = False) -> Row:
    """The decoded cells; with `unsplit`, bars in code, links and formulas part no cells."""
    if unsplit:
        line = _UNSPLIT.sub(lambda match: re.sub(r"(?<!\\)\|", r"\\|", match[0]), line)
    cells = _raw_cells(line)
    if _ESCAPING.isdisjoint(line):  # most lines hold nothing to decode
        return cells
    return [_DECODED.sub(_decoded, cell) for cell in cells]


def _raw_cells(line: str) -> Row:
    """The cells of a stripped line as written, stripped, without the outer pipes' empty ones."""
    if "\\" in line:  # a line holds no line feed, so that can stand for the pipes that part cells
        line = re.sub(r"\\.|\|", lambda match: "\n" if match[0] == "|" else match[0], line)
        cells = [cell.strip() for cell in line.split("\n")]
    else:
        cells = [cell.strip() for cell in line.split("|")]
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


def _fitted(cells: Row, width: int) -> Row:
    """The cells of a ragged row as a row of `width`."""
    surplus = [cell for cell in cells[width:] if cell]
    fitted = padded(cells[:width], width)
    return [*fitted[:-1], " | ".join([fitted[-1], *surplus])] if surplus else fitted


# -------------------------------------------------------------------------------------------------------------- writing

# What the writer encodes, so that the reader gives back the same text.
_ENCODED = re.compile(rf"[\\|\n\r]|{_BREAK}|{_REFERENCE}", re.IGNORECASE)
_ENCODINGS = {"\n": "<br>", "\r": "&#13;"}


def grid_markdown(grid: Grid) -> str:
    """The pipe table, one line a row, no newline at the end. No columns give the empty string."""
    columns, *rows = grid
    if not columns:
        return ""
    lines = [_markdown_line(columns), "| " + " | ".join("---" for _ in columns) + " |"]
    return "\n".join(lines + [_markdown_line(row) for row in rows])


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
