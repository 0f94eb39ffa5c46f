"""The offline index on 99,413 real pages: build, open, queries a second, and whether the right page is found.

    WIDESEEK_DATA=DIR python bench/corpus.py [--data DIR] [--split dev] [--json]

The queries are such as an agent could write: "member + article" for each gold row's own page, and "article" for the
page that lists the members, over all tasks of the split. Ranking was tuned on `train`; report `dev`.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from wideseek.records import Page, Task, read_jsonl
from wideseek.tools.corpus import Corpus

CALLERS = 100
SPEED_QUERIES = 5_000
OPEN = """
import json, sys, time
begin = time.perf_counter(); from wideseek.tools.corpus import Corpus
imported = time.perf_counter(); Corpus.open(sys.argv[1])
first = time.perf_counter(); Corpus.open(sys.argv[1])
again = time.perf_counter()
print(json.dumps([1e3 * (b - a) for a, b in [(begin, imported), (imported, first), (first, again)]]))
"""

Query = tuple[str, str]
"""What is asked, and the url that should be found."""


@click.command()
@click.option("--data", type=click.Path(path_type=Path), envvar="WIDESEEK_DATA", required=True, help="The data folder.")
@click.option("--split", default="dev", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(data: Path, split: str, as_json: bool) -> None:
    """Measure the corpus on the real pages."""
    folder = data
    if not (folder / "wikitables").is_dir():
        raise click.BadParameter(f"{folder}: no wikitables there; set WIDESEEK_DATA or name the folder with --data")
    figures = measured(folder / "wikitables", split)
    if as_json:
        print(json.dumps(figures))
        return
    table = Table("figure", "value", title=f"corpus on wikitables ({split})")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    Console().print(table)


def measured(folder: Path, split: str) -> dict[str, float]:
    """All figures, by name."""
    with tempfile.TemporaryDirectory() as out:
        begin = time.perf_counter()
        Corpus.build(read_jsonl(folder / "pages.jsonl.gz", Page), out)
        figures = {"build seconds": round(time.perf_counter() - begin, 1)}
        corpus = Corpus.open(out)
        figures |= {"pages": len(corpus), "index MB": round(corpus.info.bytes / 1e6, 1)} | open_times(out)
        figures |= asyncio.run(asked(corpus, list(read_jsonl(folder / f"tasks_{split}.jsonl.gz", Task))))
    return figures


def open_times(out: str) -> dict[str, float]:
    """Medians over fresh processes, in milliseconds."""
    runs = [json.loads(subprocess.check_output([sys.executable, "-c", OPEN, out])) for _ in range(5)]
    names = ("import ms", "open ms, fresh process", "open ms, again")
    return {
        name: round(statistics.median(times), 2) for name, times in zip(names, zip(*runs, strict=True), strict=True)
    }


async def asked(corpus: Corpus, tasks: list[Task]) -> dict[str, float]:
    members = [query for task in tasks for query in member_queries(task)]
    lists = [(task.meta["page_title"], task.meta["list_url"]) for task in tasks]
    figures: dict[str, float] = {}
    for name, queries in {"member + article": members, "article": lists}.items():
        figures[f"{name}: queries"] = len(queries)
        ranks = await ranks_of(corpus, queries)
        for top in (1, 3, 10):
            figures[f"{name}: top {top} %"] = round(100 * sum(rank <= top for rank in ranks) / len(ranks), 2)
    some = [query for query, _ in members[:: max(1, len(members) // SPEED_QUERIES)]]
    figures["queries/s, one after another"] = await per_second(lambda query: corpus.search(query, 3), some, 1)
    figures[f"queries/s, {CALLERS} callers"] = await per_second(lambda query: corpus.search(query, 3), some, CALLERS)
    urls = [url for _, url in members[:: max(1, len(members) // SPEED_QUERIES)]]
    figures[f"pages/s, {CALLERS} callers"] = await per_second(corpus.page, urls, CALLERS)
    await corpus.close()
    return figures


def member_queries(task: Task) -> list[Query]:
    """Key cells and article title, for each row of the gold table."""
    lines = [line for line in str(task.answer).splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip().replace("\\|", "|") for cell in _CELLS.split(line)[1:-1]] for line in lines]
    key = [header.index(column) for column in task.unique_columns]
    return [
        (" ".join([*(row[i] for i in key), task.meta["page_title"]]), url)
        for row, url in zip(rows, task.meta["gold_pages"], strict=True)
    ]


_CELLS = re.compile(r"(?<!\\)\|")


async def ranks_of(corpus: Corpus, queries: Sequence[Query]) -> list[float]:
    """Where each query found its url, from 1; infinity where not in the top 10."""

    async def rank(query: str, url: str) -> float:
        found = [hit.url for hit in await corpus.search(query, 10)]
        return found.index(url) + 1 if url in found else float("inf")

    ranks: list[float] = []
    for start in range(0, len(queries), CALLERS):
        ranks += await asyncio.gather(*(rank(*query) for query in queries[start : start + CALLERS]))
    return ranks


async def per_second(ask: Callable[[str], Awaitable[Any]], what: list[str], callers: int) -> int:
    """Lookups a second with so many callers, each asking one thing after another."""
    left = iter(what)

    async def caller() -> None:
        for item in left:
            await ask(item)

    begin = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return round(len(what) / (time.perf_counter() - begin))


if __name__ == "__main__":
    main()
