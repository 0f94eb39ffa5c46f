"""What the commands share: the options that several have, exit codes, and how they print.

Commands print through `say`, `console`, `print_json` and `print_table` only: no foreign text gets past these unclean.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wideseek.screen import plain, plain_json

if TYPE_CHECKING:
    from wideseek.console import CleanConsole
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


def console(*, stderr: bool = True) -> CleanConsole:
    """What is drawn goes here: progress to standard error, results to standard output. Foreign text is cleaned."""
    from wideseek.console import CleanConsole

    return CleanConsole(stderr=stderr)


def say(text: object, *, err: bool = False) -> None:
    """A line on standard output, or on standard error. Foreign text is cleaned."""
    click.echo(plain(str(text)), err=err)


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
    """One JSON object on a line of standard output, as UTF-8."""
    import msgspec

    sys.stdout.buffer.write(plain_json(msgspec.json.encode(record).decode()).encode() + b"\n")


def print_table(table: Table) -> None:
    """A table on standard output: drawn on a terminal, markdown for a pipe."""
    from rich.table import Table as Grid
    from rich.text import Text

    screen = console(stderr=False)
    if not screen.is_terminal:
        say(table.to_markdown())
        return
    grid = Grid()
    for name in table.columns:
        grid.add_column(Text(name))
    for row in table.rows:
        grid.add_row(*map(Text, row))
    screen.print(grid)
