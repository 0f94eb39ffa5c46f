"""Writing a result where people want it: markdown, CSV, JSON, XLSX, HTML. Every format carries the evidence.

    .md     the table with its sources numbered per row, then every cell's source
    .csv    the table with a `Sources` column, and FILE.sources.csv: every cell's level, page, quote and agent
    .json   the object that `--json` prints
    .xlsx   a sheet `table`, a sheet `pages` with their numbers, a sheet `sources`, a sheet `about`
    .html   one page: each cell links to its page and shows the quote; cells that are not supported are marked

A file is written whole or not at all, and what stood there before is replaced only then. Raises `BadInput` for an
unknown ending or a place that cannot be written.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from wideseek.api import Result
from wideseek.errors import BadInput
from wideseek.evidence import Evidence, Levels, Status
from wideseek.files import check_writable, refuse_link, write_whole
from wideseek.table import Table, xlsx_bytes
from wideseek.table.exchange import is_web_address

SOURCES = "Sources"
CELLS = ".sources.csv"  # the ending of the file beside a CSV that has each cell's evidence
MARKS: Mapping[Status, str] = {"mentioned": "~", "unsupported": "?"}
"""What stands behind a cell's value that is not supported."""
MEANINGS: Mapping[Status, str] = {
    "mentioned": "name and value stand together on a page, nothing ties the value to the column",
    "unsupported": "no page that was read says so",
}


@dataclass(frozen=True)
class CsvOptions:
    """How CSV files are written: `raw` keeps cells that a spreadsheet would take for formulas as they are (else they
    get an apostrophe), `bom` begins the files with the byte order mark by which Excel knows UTF-8.
    """

    raw: bool = False
    bom: bool = False


def write_result(result: Result, path: Path, csv: CsvOptions | None = None) -> list[Path]:
    """Write `result` in the format that the ending of `path` names; returns the files written."""
    writer = check_output(path, result.run_dir)
    try:
        contents = writer(result, path, csv or CsvOptions())
        write_whole(contents)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror or error}): choose another --out") from error
    return list(contents)


def why_not_written(result: Result) -> str | None:
    """Why a result is not worth a file that may hold a better one; `None` where it is."""
    if result.status == "failed":
        return "the run failed"
    return None if result.table.rows else "there is no row"


def check_output(path: Path, run_dir: Path | None = None) -> Writer:
    """The writer for `path`. Called before a run starts, so that a long run does not end in an error.

    A link is followed, unless it lies in the run's folder `run_dir`.
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise BadInput(f"{path}: the ending says the format; known endings: {', '.join(_WRITERS)}")
    if path.is_dir() or not path.parent.is_dir():
        there = path.parent.exists()
        folder = f"{path.parent} is not a folder" if there else f"the folder {path.parent} does not exist"
        raise BadInput(f"{path}: {'is a folder' if path.is_dir() else folder}: choose another --out")
    for file in (path, path.with_suffix(CELLS)) if writer is _csv_files else (path,):
        if run_dir and file.parent.resolve().is_relative_to(run_dir.resolve()):
            refuse_link(file)
        try:
            check_writable(file)
        except OSError as error:
            raise BadInput(f"{file}: cannot be written ({error.strerror}): choose another --out") from error
    return writer


def sources_table(result: Result) -> Table:
    """One row per cell that is not empty: what it says, its level, page and quote, what ties it to its column.

    Where a model was asked about the cells (`--verify`), its verdict stands in a last column.
    """
    keys = [result.table.columns.index(name) for name in result.key]
    verified = any(cell.verdict for row in result.evidence for cell in row)
    rows = []
    for row, evidence in zip(result.table.rows, result.evidence, strict=True):
        name = " / ".join(row[index] for index in keys)
        for column, value, cell in zip(result.table.columns, row, evidence, strict=True):
            if cell.status != "empty":
                told = [cell.url, cell.quote, cell.tie, cell.agent, *([cell.verdict] if verified else [])]
                rows.append([name, column, value, cell.status, *(text or "" for text in told)])
    columns = ["row", "column", "value", "status", "page", "quote", "tied by", "read by"]
    return Table([*columns, *(["a model says"] if verified else [])], rows)


def with_sources(result: Result) -> tuple[Table, list[str]]:
    """The table with a `Sources` column that numbers each row's pages, and the pages in the order of their numbers.

    A row's cells that are not supported, and those that a model contradicts, are named after the numbers.
    """
    pages: list[str] = []
    cells = []
    for evidence in result.evidence:
        urls = _urls(evidence)
        pages += [url for url in urls if url not in pages]
        numbers = "".join(f"[{pages.index(url) + 1}]" for url in urls)
        cells.append(f"{numbers} {_doubts(result, evidence)}".strip())
    name = _free_name(SOURCES, result.table.columns)
    rows = [[*row, cell] for row, cell in zip(result.table.rows, cells, strict=True)]
    return Table([*result.table.columns, name], rows), pages


def readers(result: Result) -> dict[str, str]:
    """Which agent read each page that a cell stands on."""
    return {cell.url: cell.agent or "" for row in result.evidence for cell in row if cell.url}


def summary_line(result: Result) -> str:
    """One line of what matters: status, rows, cells by their levels, and who answered."""
    state = result.status if result.status == "complete" else f"{result.status.upper()} ({result.reason})"
    rows = f"{len(result.table.rows)} row{'' if len(result.table.rows) == 1 else 's'}"
    return " · ".join(part for part in (state, rows, cells_line(result.levels), result.label) if part)


def cells_line(levels: Levels) -> str:
    """`27 of 30 cells found, 25 supported, 1 mentioned, 1 unsupported`; of the lower levels those that have a cell."""
    if not levels.cells:
        return "no cells"
    lower = {"mentioned": levels.mentioned, "unsupported": levels.unsupported}
    counts = {"supported": levels.supported, **{name: count for name, count in lower.items() if count}}
    named = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{levels.found:,} of {levels.cells:,} cells found, {named}"


def legend(result: Result) -> list[tuple[str, str]]:
    """(mark, what it says) for each level below `supported` that a cell of the table has."""
    levels = {cell.status for row in result.evidence for cell in row}
    return [(mark, f"{level}: {MEANINGS[level]}") for level, mark in MARKS.items() if level in levels]


def to_markdown(result: Result) -> str:
    """The whole result as one markdown document."""
    table, pages = with_sources(result)
    listed = [f"- [{number}] <{url}>" for number, url in enumerate(pages, 1)]
    notes = [f"- {note}" for note in result.notes]
    parts = [
        f"# {' '.join(result.question.split())}",
        summary_line(result),
        table.to_markdown(),
        "\n".join(f"- {meaning}" for _, meaning in legend(result)),
        "\n".join(notes and ["Notes:", "", *notes]),
        "\n".join(listed and ["## Pages", "", *listed]),
        "## Source of each cell\n\n" + sources_table(result).to_markdown() if result.table.rows else "",
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def to_html(result: Result) -> str:
    """The whole result as one self-contained page."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in result.table.columns)
    body = "\n".join(
        "<tr>" + "".join(_html_cell(value, cell) for value, cell in zip(row, evidence, strict=True)) + "</tr>"
        for row, evidence in zip(result.table.rows, result.evidence, strict=True)
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in result.notes)
    marks = "".join(
        f'<li><span class="{html.escape(meaning.partition(":")[0])}"></span> {html.escape(meaning)}</li>'
        for _, meaning in legend(result)
    )
    return _PAGE.format(
        title=html.escape(" ".join(result.question.split())),
        question=html.escape(result.question),
        summary=html.escape(summary_line(result)),
        marks=f'<ul class="marks">{marks}</ul>' if marks else "",
        head=head,
        body=body,
        notes=f"<h2>Notes</h2><ul>{notes}</ul>" if notes else "",
        sources=sources_table(result).to_html(),
    )


def _html_cell(value: str, cell: Evidence) -> str:
    if cell.status == "empty":
        return "<td></td>"
    text = html.escape(value).replace("\n", "<br>")
    if cell.url and is_web_address(cell.url):
        text = f'<a href="{html.escape(cell.url, quote=True)}">{text}</a>'
    return f'<td class="{cell.status}" title="{html.escape(_told(cell), quote=True)}">{text}</td>'


def _told(cell: Evidence) -> str:
    """What a reader is told of a cell: its level where it is not supported, the quote, what ties it, who read it."""
    meaning = MEANINGS.get(cell.status)
    level = [f"{cell.status}: {meaning}"] if meaning else []
    behind = ", ".join(
        filter(
            None,
            [
                cell.tie and f"tied by {cell.tie}",
                cell.agent and f"read by {cell.agent}",
                cell.verdict and f"a model says: {cell.verdict}",
            ],
        )
    )
    quote = [f"“{cell.quote}”"] if cell.quote else []
    return " ".join([*level, *quote, *([f"({behind})"] if behind else [])])


def _urls(evidence: list[Evidence]) -> list[str]:
    """The pages that a row's supported and mentioned cells stand on, in the order of the cells."""
    return list(dict.fromkeys(cell.url for cell in evidence if cell.url and cell.status != "unsupported"))


def _doubts(result: Result, evidence: list[Evidence]) -> str:
    """`mentioned: height; unsupported: year`; the level alone where it is that of all of a row's several cells.

    Cells that a model was asked about and contradicts are named as well, whatever their level.
    """
    told = []
    for level in MARKS:
        names = [c for c, cell in zip(result.table.columns, evidence, strict=True) if cell.status == level]
        if names:
            told.append(level if len(names) == len(evidence) > 1 else f"{level}: {', '.join(names)}")
    denied = [c for c, cell in zip(result.table.columns, evidence, strict=True) if cell.verdict == "contradicts"]
    return "; ".join([*told, *([f"a model contradicts: {', '.join(denied)}"] if denied else [])])


def _free_name(name: str, taken: list[str]) -> str:
    return name if name not in taken else _free_name(f"{name} ", taken)


# ----------------------------------------------------------------------------------------------------------- formats

Writer = Callable[[Result, Path, CsvOptions], dict[Path, bytes]]


def _markdown_file(result: Result, path: Path, csv: CsvOptions) -> dict[Path, bytes]:
    return {path: _encoded(to_markdown(result))}


def _csv_files(result: Result, path: Path, csv: CsvOptions) -> dict[Path, bytes]:
    """The table, and beside it every cell's evidence. The columns' names do not depend on the model or the run."""
    table, _ = with_sources(result)
    rows = [
        [*row[:-1], " ".join(filter(None, [*_urls(evidence), _doubts(result, evidence)]))]
        for row, evidence in zip(table.rows, result.evidence, strict=True)
    ]
    sources = sources_table(result)
    answered = Table([*sources.columns, "answered by"], [[*row, result.label] for row in sources.rows])
    files = {path: Table(table.columns, rows), path.with_suffix(CELLS): answered}
    start = "\ufeff" if csv.bom else ""
    return {name: _encoded(start + table.to_csv(formulas_as_text=not csv.raw)) for name, table in files.items()}


def _json_file(result: Result, path: Path, csv: CsvOptions) -> dict[Path, bytes]:
    return {path: msgspec.json.format(msgspec.json.encode(result.as_json()), indent=2) + b"\n"}


def _xlsx_file(result: Result, path: Path, csv: CsvOptions) -> dict[Path, bytes]:
    table, pages = with_sources(result)
    read_by = readers(result)
    numbered = [[f"[{number}]", url, read_by[url]] for number, url in enumerate(pages, 1)]
    about = [["question", result.question], ["result", summary_line(result)], *(["note", n] for n in result.notes)]
    about += [["level", meaning] for _, meaning in legend(result)]
    sheets = {
        "table": table,
        "pages": Table(["number", "url", "read by"], numbered),
        "sources": sources_table(result),
        "about": Table(["what", "text"], about),
    }
    return {path: xlsx_bytes(sheets, links={"pages": "url", "sources": "page"})}


def _html_file(result: Result, path: Path, csv: CsvOptions) -> dict[Path, bytes]:
    return {path: _encoded(to_html(result))}


def _encoded(text: str) -> bytes:
    return text.encode(errors="replace")


_WRITERS: dict[str, Writer] = {
    ".md": _markdown_file,
    ".csv": _csv_files,
    ".json": _json_file,
    ".xlsx": _xlsx_file,
    ".html": _html_file,
}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1b1f24; }}
h1 {{ font-size: 1.3rem; white-space: pre-wrap; }}
h2 {{ font-size: 1.05rem; margin-top: 2rem; }}
.summary {{ color: #57606a; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ border: 1px solid #d0d7de; padding: .35rem .6rem; text-align: left; vertical-align: top; }}
td {{ overflow-wrap: anywhere; }}
th {{ background: #f6f8fa; }}
td a {{ color: inherit; text-decoration-color: #8fb8de; }}
td.mentioned {{ background: #eef3f8; }}
td.unsupported {{ background: #fff1e5; }}
.mentioned::after, .unsupported::after {{ font-weight: bold; color: #0550ae; content: " ~"; }}
.unsupported::after {{ color: #bc4c00; content: " ?"; }}
.marks {{ list-style: none; padding: 0; color: #57606a; }}
details {{ margin-top: 2rem; }}
details table {{ font-size: .85rem; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #0d1117; color: #e6edf3; }} th {{ background: #161b22; }} th, td {{ border-color: #30363d; }}
  td.mentioned {{ background: #16263a; }} td.unsupported {{ background: #3d2a12; }}
  .mentioned::after {{ color: #79c0ff; }} .unsupported::after {{ color: #f0883e; }}
}}
</style></head><body>
<h1>{question}</h1>
<p class="summary">{summary}. Each cell links to the page it stands on; hover for the quote.</p>
{marks}
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>
{body}
</tbody></table></div>
{notes}
<details><summary>Source of each cell</summary><div class="scroll">{sources}</div></details>
</body></html>
"""
