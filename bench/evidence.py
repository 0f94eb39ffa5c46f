"""How often true cells, and cells made wrong in known ways, are shown as supported; and how long tracing takes.

    python bench/evidence.py [--data DIR] [--set pocket --set records ...] [--limit 300] [--json] [--out FILE.json]

Sets that need the data folder are left out, with a word, where it is not named. `wikitables-train` is a slice of train
on which no rule was written. Kinds of cells and page forms: evidence_cases.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from evidence_cases import (
    FORMS,
    HOST,
    OTHER_COLUMN,
    OTHER_ROW,
    TRUE,
    Counts,
    counted,
    hybridqa,
    pocket,
    record_sets,
    records,
    rollout_that_read,
    share,
    wikitables,
)
from rich.console import Console
from rich.table import Table as Grid

from wideseek.evidence import Shelf, trace
from wideseek.records import Page
from wideseek.table import Table

WITHOUT_DATA = ("records", "pocket", "speed")
WITH_DATA = ("wikitables", "wikitables-train", "hybridqa", "forms")
KEPT = 800  # tasks of train that rules may have been written on, in the shuffled order
FORM_TASKS = 60
ROWS, PAGES, CHARS, TABLE_ROWS = 1_000, 400, 20_000, 60


@click.command()
@click.option("--data", type=click.Path(path_type=Path), envvar="WIDESEEK_DATA", help="The data folder.")
@click.option(
    "--set", "names", multiple=True, type=click.Choice(WITHOUT_DATA + WITH_DATA), help="Which.  [default: all]"
)
@click.option("--limit", type=click.IntRange(1), default=300, show_default=True, help="Tables of one set.")
@click.option("--split", default="dev", show_default=True, help="Of wikitables.")
@click.option("--skip", type=click.IntRange(0), default=0, help="Tables of the wikitables split to leave out first.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the JSON object here.")
def main(
    data: Path | None, names: tuple[str, ...], limit: int, split: str, skip: int, as_json: bool, out: Path | None
) -> None:
    """Measure the evidence check."""
    screen = Console()
    progress = Console(stderr=True)
    figures: dict[str, Any] = {}
    chosen = names or WITHOUT_DATA + (WITH_DATA if data else ())
    if missing := [name for name in chosen if name in WITH_DATA and not data]:
        raise click.BadParameter(
            f"{', '.join(missing)}: needs real pages; set WIDESEEK_DATA or name a folder by --data"
        )
    if not data:
        progress.print(f"left out, for want of --data: {', '.join(WITH_DATA)}")
    for name in chosen:
        if name == "speed":
            figures[name] = speed()
            if not as_json:
                screen.print(speed_grid(figures[name]))
            continue
        for title, measure in sets(name, data, limit, split, skip).items():
            progress.print(f"measuring {title} ...")
            begin = time.perf_counter()
            counts = measure()
            figures[title] = {kind: dict(levels) for kind, levels in counts.items()}
            if not as_json:
                screen.print(grid(f"{title} ({time.perf_counter() - begin:.0f} s)", counts))
    if as_json:
        print(json.dumps(figures))
    if out:
        out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def sets(name: str, data: Path | None, limit: int, split: str, skip: int) -> dict[str, Callable[[], Counts]]:
    """What one name stands for: title -> what measures it."""
    if name == "records":
        return {f"records: {each}": lambda each=each: counted(records(each)) for each in record_sets()}
    if name == "pocket":
        return {"pocket": lambda: counted(pocket(limit))}
    assert data is not None
    wiki = data / "wikitables"
    if name == "hybridqa":
        titles = {"hybridqa, the article and the rows' pages": "article", "hybridqa, prose of the rows' pages": "prose"}
        return {t: lambda mode=mode: counted(hybridqa(data / "hybridqa", mode, limit)) for t, mode in titles.items()}
    if name == "forms":
        return {"wikitables, pages in other forms": lambda: forms(wiki, split, min(limit, FORM_TASKS), skip)}
    if name == "wikitables-train":
        split, skip = "train", KEPT + skip
    read = {"all": "all pages", "gold": "the rows' pages", "prose": "prose of the rows' pages"}
    return {
        f"wikitables {split}, {words}": lambda mode=mode: counted(wikitables(wiki, mode, split, limit, skip))
        for mode, words in read.items()
    }


def forms(wiki: Path, split: str, limit: int, skip: int) -> Counts:
    """True, another row's and another column's cells on pages in each form."""
    counts: Counts = {}
    for name, change in FORMS.items():
        cases = wikitables(wiki, "gold", split, limit, skip, change)
        kinds = counted(case for case in cases if case.kind in (TRUE, OTHER_ROW, OTHER_COLUMN))
        counts |= {f"{name}: {kind}": levels for kind, levels in kinds.items()}
    return counts


def grid(title: str, counts: Counts) -> Grid:
    table = Grid("cells", "number", "supported", "mentioned", "unsupported", title=title)
    table.columns[0].no_wrap = True
    for kind, levels in counts.items():
        shares = [f"{share(levels, level):.1%}" for level in ("supported", "mentioned", "unsupported")]
        table.add_row(kind, f"{levels.total():,}", *shares)
    return table


# ------------------------------------------------------------------------------------------------------------- speed


def speed() -> dict[str, float]:
    """One cold call of `trace`; then pages prepared as `ask` does, and one call with them.

    The measure is one pass of `str.split` over all texts.
    """
    pages, table = made_up_pages(), made_up_table()
    split = best_of(5, lambda: [page.text.split() for page in pages])
    rollout = rollout_that_read(pages)
    cold = best_of(1, partial(trace, table, ["Name"], rollout))
    shelf = Shelf()
    preparing = best_of(1, lambda: [shelf.prepare(page) for page in pages])
    warm = best_of(1, partial(trace, table, ["Name"], rollout, shelf))
    again = best_of(1, partial(trace, table, ["Name"], rollout, shelf))
    return {
        "rows": len(table.rows),
        "columns": len(table.columns),
        "pages": len(pages),
        "characters a page": round(sum(len(page.text) for page in pages) / len(pages)),
        "cold, seconds": round(cold, 3),
        "cold, pages/s": round(len(pages) / cold),
        "preparing, milliseconds a page": round(1000 * preparing / len(pages), 2),
        "pages prepared, seconds": round(warm, 3),
        "again, seconds": round(again, 3),
        "cold, in passes of str.split": round(cold / split, 1),
        "pages prepared, in passes of str.split": round(warm / split, 1),
    }


def speed_grid(figures: dict[str, float]) -> Grid:
    table = Grid("figure", "value", title="speed")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    return table


def best_of(times: int, job: Callable[[], Any]) -> float:
    """The least seconds of so many runs."""
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def made_up_table() -> Table:
    rows = [[name(number), *facts(number)] for number in range(ROWS)]
    return Table(["Name", "Height", "Opened", "City", "Owner"], rows)


def made_up_pages() -> list[Page]:
    """Each about one entity; each fourth also lists `TABLE_ROWS` entities in a table."""
    return [Page(f"{HOST}/{number}", name(number), page_text(number)) for number in range(PAGES)]


def page_text(number: int) -> str:
    height, opened, city, owner = facts(number)
    head = f"{name(number)} is a tower.\nheight: {height}\nopened: {opened}\ncity: {city}\nowner: {owner}\n\n"
    if number % 4 == 0:
        listed = [(number * 10 // 4 + i) % ROWS for i in range(TABLE_ROWS)]
        lines = [f"| {name(one)} | {' | '.join(facts(one))} |" for one in listed]
        head += "\n".join(["| Name | Height | Opened | City | Owner |", "|---|---|---|---|---|", *lines]) + "\n\n"
    sentences = (
        f"In {1700 + i % 300} the {WORDS[i % 7]} of {name((number + i) % ROWS)} measured {i % 97} m, "
        f"as {WORDS[(i + 3) % 7]} and {WORDS[(i + 5) % 7]} were kept by the {WORDS[(i * number) % 7]}."
        for i in range(CHARS // 60)
    )
    return (head + "\n".join(sentences))[:CHARS]


WORDS = ("keeper", "harbour", "lantern", "parish", "survey", "garden", "council")


def name(number: int) -> str:
    """A name of two words that is no other's."""
    first, second = divmod(number, 40)
    return f"{WORDS[first % 7].title()}{chr(97 + first)} {WORDS[second % 7].title()}{chr(97 + second // 2)}{second % 2}"


def facts(number: int) -> tuple[str, str, str, str]:
    return (
        f"{20 + number % 380} m",
        str(1600 + number % 400),
        f"{WORDS[number % 7].title()}ton",
        f"{WORDS[number % 5].title()} Trust {number % 13}",
    )


if __name__ == "__main__":
    main()
