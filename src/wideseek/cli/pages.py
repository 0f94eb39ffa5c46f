"""`wideseek index` and `wideseek search`: pages of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wideseek.cli.options import DEBUG, FOLDER, JSON, console, print_json, say


@click.command(short_help="Index pages for offline search, for `ask --corpus`.")
@click.argument("pages", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", "-o", type=FOLDER, required=True, help="Folder of the index; pages are added to what is there.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@DEBUG
def index(pages: tuple[Path, ...], out: Path, quiet: bool) -> None:
    """Index PAGES (.jsonl or .jsonl.gz, one {url, title, text} a line) for offline search, for `ask --corpus`.

    Running it again adds what is new and replaces what has changed. A build that was killed is finished by running it
    again.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from wideseek.records import Page, read_jsonl
    from wideseek.tools.corpus import Corpus

    shown = (TextColumn("indexing"), BarColumn(), TextColumn("{task.completed:,} pages"), TimeElapsedColumn())
    with Progress(*shown, console=console(), disable=quiet) as progress:
        bar = progress.add_task("", total=None)
        lines = (page for path in pages for page in read_jsonl(path, Page))
        count = Corpus.build(lines, out, progress=lambda done: progress.update(bar, completed=done))
    say(f"{out}: {len(Corpus.open(out)):,} pages, {count:,} of them new or changed")


@click.command(short_help="Search an index, as an agent would.")
@click.argument("query")
@click.option("--corpus", type=FOLDER, help="An index made by `wideseek index`.  [default: the bundled pocket world]")
@click.option("--count", "-n", type=click.IntRange(1, 100), default=3, show_default=True)
@JSON
@DEBUG
def search(query: str, corpus: Path | None, count: int, as_json: bool) -> None:
    """Search an index, as an agent would: to see what your agents will find.

    Where nothing is found one line says so (with --json on standard error), and the exit code is 0.
    """
    import asyncio

    from wideseek.assembly import open_source

    async def hits() -> list[Any]:
        source = open_source(corpus)
        try:
            return list(await source.search(query, count))
        finally:
            await source.close()

    found = asyncio.run(hits())
    if not found:
        where = corpus or "the bundled pocket world"
        say(f"no page of {where} matches the query: try other words, or the title of a page", err=as_json)
    for number, hit in enumerate(found, 1):
        if as_json:
            print_json(hit)
        else:
            say(f"{number}. {hit.title}\n   {hit.url}\n   {hit.snippet}")
