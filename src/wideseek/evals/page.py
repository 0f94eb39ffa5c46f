"""Pages that need nothing but themselves: a template of this package, filled, with its styles and scripts inside.

`$name` in a template is replaced by what is given; HTML that is given has to be escaped already (`text` does it).
"""

from __future__ import annotations

import base64
import csv
import html
import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import msgspec

from wideseek.files import write_own
from wideseek.table.exchange import formula_as_text

_TEMPLATES = files("wideseek.evals") / "templates"


def fill(template: str, **parts: str) -> str:
    """The template with its parts; `$style` is the common style sheet."""
    return Template(read(template)).substitute(parts, style=read("page.css"))


def read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def text(value: object) -> str:
    """`value` as text that is safe anywhere in a page."""
    return html.escape(str(value), quote=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, style: str = "") -> str:
    """A table whose cells are text; its first column heads the rows."""
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{text(first)}</th>' + "".join(f"<td>{text(cell)}</td>" for cell in rest) + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll"><table class="{style}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def embedded(record: Any) -> str:
    """JSON for a `<script type="application/json">`: nothing in it can end the script."""
    return msgspec.json.encode(record).decode().replace("<", "\\u003c")


def packed(record: Any) -> str:
    """JSON, deflated, in base64: for what a page unpacks only when it is asked for."""
    return base64.b64encode(zlib.compress(msgspec.json.encode(record), 6)).decode()


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """CSV, one line a record: numbers with six digits, `None` empty, text that no spreadsheet takes for a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(formula_as_text, columns))
    writer.writerows([_csv_cell(row.get(name)) for name in columns] for row in rows)
    return out.getvalue()


def _csv_cell(value: object) -> object:
    if isinstance(value, str):
        return formula_as_text(value)
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value


def write(path: Path, content: str) -> Path:
    """Write a page whole or not at all. Raises `RunDirError`."""
    write_own(path, content.encode(errors="replace"), "make room there")
    return path
