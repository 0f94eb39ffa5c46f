"""What a perfect team could score where turns are the cap: the fixed tables of docs/training.md's ablation.

    python bench/width_bound.py            # 48 tables of pocket-dev, as `wideseek study ablation` draws them

In a round of width w a lead starts w subagents, and each reports one row, so after r rounds a table of n rows has at
most m = min(n, w r) of them, and its item F1 is at most 2 m / (m + n), all of them being right. A lead of 4 turns has 2
rounds for rows, since its first turn gets the list and its last writes the table.
"""

from __future__ import annotations

from statistics import fmean

from wideseek.records import Task
from wideseek.table import Table
from wideseek.train.questions import drawn, read_tasks

WIDTHS, ROUNDS, TABLES = (1, 2, 3, 5, 10), (1, 2), 48


def rows_of(task: Task) -> int:
    return len(Table.from_markdown(str(task.answer)).rows)


def main() -> None:
    tasks = [task for task in read_tasks(["pocket-dev"]) if task.kind == "wide"]
    rows = [rows_of(task) for task in drawn(tasks, TABLES, 0)]
    print(f"{len(rows)} tables of {min(rows)} to {max(rows)} rows, {fmean(rows):.2f} on average")
    for rounds in ROUNDS:
        bounds = [fmean(2 * min(n, w * rounds) / (min(n, w * rounds) + n) for n in rows) for w in WIDTHS]
        print(f"{rounds} rounds:", ", ".join(f"width {w} {b:.3f}" for w, b in zip(WIDTHS, bounds, strict=True)))


if __name__ == "__main__":
    main()
