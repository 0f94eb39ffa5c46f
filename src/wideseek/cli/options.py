"""What the commands share: the options that several have, exit codes, and how results are printed."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from wideseek.table import Table

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

DEBUG = click.option("--debug", is_flag=True, expose_value=False, help="Show the trace of an error.")
HEADER = click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="A header of every request to model servers; may be repeated. Secrets are not written down.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
FOLDER = click.Path(path_type=Path)


def console() -> Console:
    """Where progress goes: standard error."""
    from rich.console import Console

    return Console(stderr=True)


def replace_unknown_characters() -> None:
    """Characters that standard output's encoding lacks become `?`: a table with some is better than none."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not shows_all("\u00e9\u4e2d"):
        sys.stdout.reconfigure(errors="replace")


def shows_all(text: str) -> bool:
    """Whether standard output's encoding has every character of `text` (halves of surrogate pairs aside)."""
    try:
        text.encode("utf-8", "ignore").decode().encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def print_json(record: Any) -> None:
    """One JSON object on standard output."""
    import msgspec

    sys.stdout.buffer.write(msgspec.json.encode(record) + b"\n")


def print_table(table: Table) -> None:
    """A table on standard output: drawn on a terminal, markdown for a pipe."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Grid

    from wideseek.screen import plain

    screen = Console()
    if not screen.is_terminal:
        click.echo(plain(table.to_markdown()))
        return
    grid = Grid(*(escape(plain(name)) for name in table.columns))
    for row in table.rows:
        grid.add_row(*(escape(plain(cell)) for cell in row))
    screen.print(grid)
