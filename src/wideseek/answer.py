"""From an agent's last words to an answer: a table, or a short text in a box.

A model is asked for one fenced markdown table; the *last* table of its text counts, because models think aloud before
it. When a run ends before the lead has answered, `findings_table` makes the table of what the agents have reported so
far.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from wideseek.records import Rollout
from wideseek.table import Table, find_tables


def final_table(text: str) -> Table | None:
    """The last table in `text`, without a column that only numbers its rows, or `None`."""
    tables = find_tables(text)
    return _without_index(tables[-1]) if tables else None


_NUMBERING = re.compile(r"#?\d+\.?")


def _without_index(table: Table) -> Table:
    """A first column without a name that numbers the rows is an index (pandas prints one so), not data."""
    first, *others = table.columns or [""]
    is_index = not first and others and all(_NUMBERING.fullmatch(row[0]) for row in table.rows)
    return Table(others, [row[1:] for row in table.rows]) if is_index else table


def boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` whose braces balance, or `None`."""
    opened: list[tuple[int, bool]] = []  # where each brace that is open began, and whether it is a box's
    last: tuple[int, str] | None = None
    for mark in re.finditer(r"(\\boxed\s*)?\{|\}", text):
        if mark[0] != "}":
            opened.append((mark.end(), mark[1] is not None))
        elif opened:
            start, is_box = opened.pop()
            if is_box and (last is None or start > last[0]):
                last = start, text[start : mark.start()].strip()
    return last[1] if last else None


def findings_table(
    rollout: Rollout, key: Sequence[str] = (), shaped: Callable[[Table], Table] = lambda table: table
) -> tuple[Table, bool]:
    """What the agents have reported so far as one table, possibly without rows, and whether it is in words only.

    Tables in their reports, each put into shape by `shaped`, are merged on `key` (by default the first report's first
    column). Where no report holds a
    table, the rows are the reports themselves, one per subtask, unless the lead has said why it gives no table.
    """
    reports = [(run.prompt, run.turns[-1].completion.text) for run in rollout.trajectories if run.turns]
    tables = [shaped(_without_index(table)) for _, text in reports for table in find_tables(text)[-1:] if table.rows]
    if tables:
        first, *rest = tables
        merged, _ = first.merge(rest, list(key) or first.columns[:1])
        return merged, False
    said = [[prompt, text] for prompt, text in reports[1:] if text.strip() and not rollout.answer]
    return Table(["subtask", "finding"], said), True
