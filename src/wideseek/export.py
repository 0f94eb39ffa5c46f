"""Writing a result where people want it: markdown, CSV, JSON, XLSX, HTML. Every format carries the evidence.

    .md     the table with its sources numbered per row, then every cell's source
    .csv    the table with a `Sources` column, and FILE.sources.csv: every cell's page, quote and agent
    .json   the object that `--json` prints
    .xlsx   a sheet `table`, a sheet `sources`
    .html   one page: each cell links to its page and shows the quote; what is unsupported is marked

Raises `BadInput` for an unknown ending or a place that cannot be written.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path

import msgspec

from wideseek.api import Result
from wideseek.errors import BadInput
from wideseek.evidence import Evidence
from wideseek.table import Table, write_xlsx

UNSUPPORTED = "unsupported"
SOURCES = "Sources"


def write_result(result: Result, path: Path) -> list[Path]:
    """Write `result` in the format that the ending of `path` names; returns the files written."""
    writer = check_output(path)
    try:
        return writer(result, path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror or error}): choose another --out") from error


def check_output(path: Path) -> Callable[[Result, Path], list[Path]]:
    """The writer for `path`. Called before a run starts, so that a long run does not end in an error."""
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise BadInput(f"{path}: the ending says the format; known endings: {', '.join(_WRITERS)}")
    if path.is_dir() or not path.parent.is_dir():
        raise BadInput(f"{path}: {'is a folder' if path.is_dir() else f'the folder {path.parent} does not exist'}")
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}): choose another --out") from error
    if not path.stat().st_size:
        path.unlink()
    return writer


def sources_table(result: Result) -> Table:
    """One row per cell that is not empty: key, column, value, status, page, quote, agent."""
    keys = [result.table.columns.index(name) for name in result.key]
    rows = []
    for row, evidence in zip(result.table.rows, result.evidence, strict=True):
        name = " / ".join(row[index] for index in keys)
        for column, value, cell in zip(result.table.columns, row, evidence, strict=True):
            if cell.status != "empty":
                rows.append([name, column, value, cell.status, cell.url or "", cell.quote or "", cell.agent or ""])
    return Table(["row", "column", "value", "status", "page", "quote", "read by"], rows)


def with_sources(result: Result) -> tuple[Table, list[str]]:
    """The table with a `Sources` column that numbers each row's pages, and the pages in the order of their numbers.

    A row's unsupported cells are named after the numbers.
    """
    pages: list[str] = []
    cells = []
    for evidence in result.evidence:
        urls = list(dict.fromkeys(cell.url for cell in evidence if cell.url))
        pages += [url for url in urls if url not in pages]
        numbers = "".join(f"[{pages.index(url) + 1}]" for url in urls)
        cells.append(f"{numbers} {_unsupported(result, evidence)}".strip())
    name = _free_name(SOURCES, result.table.columns)
    rows = [[*row, cell] for row, cell in zip(result.table.rows, cells, strict=True)]
    return Table([*result.table.columns, name], rows), pages


def summary_line(result: Result) -> str:
    """One line of what matters: rows, supported share, status, and who answered."""
    share = "no cells" if result.supported is None else f"{result.supported:.0%} of the cells supported"
    state = {"complete": "complete", "partial": "PARTIAL", "failed": "FAILED", "interrupted": "INTERRUPTED"}[
        result.status
    ]
    why = "" if result.status == "complete" else f" ({result.reason})"
    rows = f"{len(result.table.rows)} row{'' if len(result.table.rows) == 1 else 's'}"
    return " · ".join(part for part in (f"{state}{why}", rows, share, result.label) if part)


def to_markdown(result: Result) -> str:
    """The whole result as one markdown document."""
    table, pages = with_sources(result)
    listed = [f"- [{number}] <{url}>" for number, url in enumerate(pages, 1)]
    notes = [f"- {note}" for note in result.notes]
    parts = [
        f"# {' '.join(result.question.split())}",
        summary_line(result),
        table.to_markdown(),
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
    return _PAGE.format(
        title=html.escape(" ".join(result.question.split())),
        question=html.escape(result.question),
        summary=html.escape(summary_line(result)),
        head=head,
        body=body,
        notes=f"<h2>Notes</h2><ul>{notes}</ul>" if notes else "",
        sources=sources_table(result).to_html(),
    )


def _html_cell(value: str, cell: Evidence) -> str:
    text = html.escape(value).replace("\n", "<br>")
    if cell.status == "supported" and cell.url:
        title = html.escape(f"{cell.quote} (read by {cell.agent})", quote=True)
        link = html.escape(cell.url, quote=True) if cell.url.startswith(("http://", "https://")) else ""
        return f'<td title="{title}">' + (f'<a href="{link}">{text}</a>' if link else text) + "</td>"
    if cell.status == UNSUPPORTED:
        return f'<td class="unsupported" title="on no page that was read">{text}</td>'
    return "<td></td>"


def _unsupported(result: Result, evidence: list[Evidence]) -> str:
    names = [c for c, cell in zip(result.table.columns, evidence, strict=True) if cell.status == UNSUPPORTED]
    if not names:
        return ""
    return UNSUPPORTED if len(names) == len(evidence) > 1 else f"{UNSUPPORTED}: {', '.join(names)}"


def _free_name(name: str, taken: list[str]) -> str:
    return name if name not in taken else _free_name(f"{name} ", taken)


def _write_markdown(result: Result, path: Path) -> list[Path]:
    path.write_text(to_markdown(result), encoding="utf-8")
    return [path]


def _write_csv(result: Result, path: Path) -> list[Path]:
    table, _ = with_sources(result)
    *columns, last = table.columns
    rows = []
    for row, evidence in zip(table.rows, result.evidence, strict=True):
        urls = dict.fromkeys(cell.url for cell in evidence if cell.url)
        rows.append([*row[:-1], " ".join(filter(None, [*urls, _unsupported(result, evidence)]))])
    name = f"{last} ({result.label})" if result.label else last
    cells = path.with_suffix(".sources.csv")
    path.write_text(Table([*columns, name], rows).to_csv(), encoding="utf-8", newline="")
    cells.write_text(sources_table(result).to_csv(), encoding="utf-8", newline="")
    return [path, cells]


def _write_json(result: Result, path: Path) -> list[Path]:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result.as_json()), indent=2) + b"\n")
    return [path]


def _write_xlsx(result: Result, path: Path) -> list[Path]:
    about = [["question", result.question], ["result", summary_line(result)], *(["note", n] for n in result.notes)]
    table, _ = with_sources(result)
    write_xlsx(path, {"table": table, "sources": sources_table(result), "about": Table(["what", "text"], about)})
    return [path]


def _write_html(result: Result, path: Path) -> list[Path]:
    path.write_text(to_html(result), encoding="utf-8")
    return [path]


_WRITERS: dict[str, Callable[[Result, Path], list[Path]]] = {
    ".md": _write_markdown,
    ".csv": _write_csv,
    ".json": _write_json,
    ".xlsx": _write_xlsx,
    ".html": _write_html,
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
td.unsupported {{ background: #fff1e5; }}
td.unsupported::after {{ content: " ?"; color: #bc4c00; font-weight: bold; }}
details {{ margin-top: 2rem; }}
details table {{ font-size: .85rem; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #0d1117; color: #e6edf3; }} th {{ background: #161b22; }} th, td {{ border-color: #30363d; }}
  td.unsupported {{ background: #3d2a12; }}
}}
</style></head><body>
<h1>{question}</h1>
<p class="summary">{summary}. Each cell links to the page it stands on; hover for the quote. "?" marks a cell that
stands on no page that was read.</p>
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>
{body}
</tbody></table></div>
{notes}
<details><summary>Source of each cell</summary><div class="scroll">{sources}</div></details>
</body></html>
"""
