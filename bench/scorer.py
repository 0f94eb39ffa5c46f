"""`strict` against our own pandas `official` mode, side by side in one run, parsing included.

    python bench/scorer.py [--json]

Tables of 50 x 8 and 2000 x 8: one key column and seven of one kind (exact strings, numbers, dates). One cell in ten is
wrong. Each run begins with what the scorers remember of cells forgotten, and modes take turns; the best of the runs
counts. Dates are in ISO form, `mixed dates` in six notations, one of which (`12. 5. 1994`) is left to dateparser.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import time
import warnings
from collections.abc import Callable
from datetime import date, timedelta

import click
from rich.console import Console
from rich.table import Table as Grid

from wideseek.records import Task
from wideseek.scoring import cells, dates, official_cells
from wideseek.scoring.judge import ExactJudge
from wideseek.scoring.table import Mode, score_response
from wideseek.table import Table

SIZES = (50, 2_000)
COLUMNS = [f"column {i}" for i in range(1, 9)]
TODAY = date(2026, 1, 1)
NOTATIONS: list[Callable[[date], str]] = [
    date.isoformat,
    lambda day: f"{day.day} {day:%B %Y}",
    lambda day: f"{day:%B} {day.day}, {day.year}",
    lambda day: f"{day.year}年{day.month}月{day.day}日",
    lambda day: f"{day:%b} {day.day}, {day.year}",
    lambda day: f"{day.day}. {day.month}. {day.year}",
]
KINDS = {
    "exact": ("norm_str", "exact_match", None),
    "number": ("extract_number", "number_near", 0.05),
    "dates": ("norm_date", "date_near", None),
    "mixed dates": ("norm_date", "date_near", None),
}
TARGETS = {"exact": 10, "number": 10, "dates": 100}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(as_json: bool) -> None:
    """Measure both modes on made-up tables."""
    warnings.simplefilter("ignore")
    figures = asyncio.run(all_measured())
    if as_json:
        print(json.dumps(figures))
        return
    grid = Grid(
        "columns", "rows", "official ms", "strict ms", "ratio", "target", title="one response, parsing included"
    )
    for figure in figures:
        target = TARGETS.get(str(figure["columns"]))
        grid.add_row(*(f"{figure[name]:,}" if name != "columns" else str(figure[name]) for name in figure),
                     f">= {target}" if target else "")  # fmt: skip
    Console().print(grid)


async def all_measured() -> list[dict[str, str | float]]:
    # Two thousand dates in mixed notations would take the official mode minutes.
    return [await measured(kind, rows) for kind in KINDS for rows in SIZES[: 1 if kind == "mixed dates" else 2]]


async def measured(kind: str, rows: int) -> dict[str, str | float]:
    """Milliseconds of both modes for one response, and how many times faster `strict` is."""
    task, response = made_up(kind, rows)
    slow = kind.endswith("dates") and rows > 50
    runs = 1 if slow else 5
    best: dict[Mode, float] = {"official": float("inf"), "strict": float("inf")}
    for mode in best:  # once unmeasured, for imports
        await seconds(mode, *made_up(kind, SIZES[0]))
    gc.collect()
    gc.freeze()  # what imports have left behind is not to be searched while a mode is timed
    for _ in range(runs):
        for mode in best:
            best[mode] = min(best[mode], await seconds(mode, task, response))
    official, strict = best["official"] * 1e3, best["strict"] * 1e3
    return {
        "columns": kind, "rows": rows, "official": round(official, 1), "strict": round(strict, 2),
        "ratio": round(official / strict, 1),
    }  # fmt: skip


async def seconds(mode: Mode, task: Task, response: str) -> float:
    for memory in (cells.plain, dates.read_date, official_cells.parsed):
        memory.cache_clear()
    begin = time.perf_counter()
    score = await score_response(response, task, mode=mode, judge=ExactJudge(), today=TODAY)
    took = time.perf_counter() - begin
    assert score.value is not None
    assert 0.85 < score.value < 0.95, score.note
    return took


def made_up(kind: str, rows: int) -> tuple[Task, str]:
    """A task with gold as CSV, and a response of which one value in ten is wrong."""
    draw = random.Random(0)
    gold = [[f"Entity {i}", *(cell(kind, draw) for _ in COLUMNS[1:])] for i in range(rows)]
    said = [[row[0], *(wrong(kind, text, draw) if draw.random() < 0.114 else text for text in row[1:])] for row in gold]
    preprocess, metric, criterion = KINDS[kind]
    rule = {"preprocess": [preprocess], "metric": [metric], "criterion": criterion}
    names = [name.replace(" ", "") for name in COLUMNS]
    pipeline = dict.fromkeys(names[1:], rule)
    pipeline[names[0]] = {"preprocess": ["norm_str"], "metric": ["exact_match"]}
    evaluation = {"unique_columns": names[:1], "required": names, "eval_pipeline": pipeline}
    task = Task(instance_id=kind, evaluation=evaluation, meta={"answer_csv": Table(COLUMNS, gold).to_csv()})
    return task, f"```markdown\n{Table(COLUMNS, said).to_markdown()}\n```"


def cell(kind: str, draw: random.Random) -> str:
    if kind == "exact":
        return f"Value {draw.randrange(10**6)} of {draw.choice('ABCDEFGH')}"
    if kind == "number":
        return f"{draw.uniform(1, 10**6):,.1f}"
    day = date(1900, 1, 1) + timedelta(days=draw.randrange(40_000))
    return (NOTATIONS[0] if kind == "dates" else draw.choice(NOTATIONS))(day)


def wrong(kind: str, text: str, draw: random.Random) -> str:
    return f"not {text}" if kind == "exact" else cell(kind, draw)


if __name__ == "__main__":
    main()
