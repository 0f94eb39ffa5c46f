"""What pages show of a run and of one attempt, as plain data.

    current_summary   the figures, of a run that was killed too
    cells_of          task, score, rollout -> gold against answer: rows of cells, each right, wrong, missing or
                      invented, with the evidence of what was said
    agents_of         rollout -> every agent in the order it was started, with its turns

A score names rows by their key as the gold writes it. What the answer wrote there is looked up by the scorer's own
rules; where a judge matched a row or a column, the answer's own spelling is not known: then a right cell shows the
gold's value, and no evidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from wideseek.answer import boxed
from wideseek.errors import BadInput
from wideseek.evals.folder import EvalRun
from wideseek.evals.metrics import summarise
from wideseek.evals.records import Summary
from wideseek.evidence import Evidence, short_answer, telling_key, trace
from wideseek.records import Message, Rollout, RowScore, Score, Task, Trajectory, Turn
from wideseek.scoring.cells import preparation
from wideseek.scoring.spec import Spec, gold_table
from wideseek.scoring.strict import named_columns, response_table
from wideseek.table import Table

MOST_ROWS = 400  # of one table


@dataclass
class Compared:
    """`record` is what the page's script reads; `counts` the cells by what they are."""

    record: dict[str, Any]
    counts: Counter[str] = field(default_factory=Counter)


def current_summary(run: EvalRun) -> Summary:
    """The run's summary; made anew where attempts have ended since it was written, or there is none."""
    scored = sum(attempt.outcome == "scored" for attempt in run.attempts)
    kept = run.summary
    if kept is not None and (kept.scored, kept.planned) == (scored, len(run.tasks) * run.setup.trials):
        return kept
    return summarise(run.setup, run.tasks, run.attempts, interrupted=True)


def text_cut(text: str, most: int) -> str:
    """At most `most` characters, and how many more there are."""
    return text if len(text) <= most else f"{text[:most]} … ({len(text) - most:,} more characters)"


def row_counts(score: Score | None) -> list[int] | None:
    """Rows found, of the gold, invented; `None` without rows."""
    if score is None or not score.rows:
        return None
    found = Counter(row.found for row in score.rows)
    return [found["both"], found["both"] + found["missing"], found["invented"]]


def cells_of(task: Task, score: Score | None, rollout: Rollout | None, text_chars: int) -> Compared:
    """Gold against answer. A task whose gold cannot be read shows the answer's text only."""
    answer = rollout.answer if rollout else ""
    record: dict[str, Any] = {
        "question": text_cut(task.question, text_chars),
        "answer": text_cut(answer, text_chars),
        "note": (score.note or score.unscored if score else None),
        "parts": score.parts if score else {},
    }
    if task.kind == "deep":
        return Compared(record | _short_answer(task, rollout))
    try:
        gold = gold_table(task)
        compared = _Comparison(task, gold, rollout)
    except BadInput as error:
        return Compared(record | {"note": str(error)})
    rows = compared.rows(score)
    counts = Counter(cell["is"] for row in rows for cell in row["cells"])
    counts.pop("", None)
    record |= {
        "columns": compared.shown_columns,
        "key": compared.key_columns,
        "rows": rows[:MOST_ROWS],
        "more": max(0, len(rows) - MOST_ROWS),
        "unasked": compared.unasked,
    }
    return Compared(record, counts)


def _short_answer(task: Task, rollout: Rollout | None) -> dict[str, Any]:
    said = boxed(rollout.answer) if rollout else None
    evidence = None
    if rollout and said:
        evidence = _evidence(short_answer(said, rollout))
    accepted = task.answer if isinstance(task.answer, list) else [task.answer or ""]
    return {"accepted": accepted, "said": said, "evidence": evidence}


class _Comparison:
    """The gold and the answer of one table task, their rows by key."""

    def __init__(self, task: Task, gold: Table, rollout: Rollout | None) -> None:
        self._spec = spec = Spec.of(task, gold)
        self._prepare = [preparation(spec.rules[name], name) for name in spec.key]
        names = named_columns(gold, spec)
        self._gold_at = [names.index(name) for name in spec.required]
        self.shown_columns = [gold.columns[index] for index in self._gold_at]
        self.key_columns = [spec.required.index(name) for name in spec.key]
        self._gold = {self._exact(row): row for row in reversed([self._cut(row) for row in gold.rows])}
        said = response_table(rollout.answer, spec) if rollout and rollout.answer else None
        self._said = said or Table([], [])
        own = named_columns(self._said, spec)
        self._said_at = [own.index(name) if name in own else None for name in spec.required]
        self.unasked = [c for c, n in zip(self._said.columns, own, strict=True) if n not in spec.required]
        self._said_rows = {}
        if all(self._said_at[i] is not None for i in self.key_columns):
            self._said_rows = {self._key(self._said_cells(r)): r for r in reversed(range(len(self._said.rows)))}
        self._evidence = self._traced(rollout)

    def rows(self, score: Score | None) -> list[dict[str, Any]]:
        """Every row of the score; without one, the gold's rows as missing and the answer's as they are."""
        if score is not None and score.rows:
            return [self._row(row) for row in score.rows]
        if score is not None and score.value is not None:
            return [self._row(RowScore(self._key_cells(row), "missing")) for row in self._gold_rows]
        gold = [self._line("gold", row, mark="") for row in self._gold_rows]
        said = range(len(self._said.rows))
        return gold + [self._line("answer", self._said_cells(number), number, mark="") for number in said]

    @property
    def _gold_rows(self) -> list[list[str]]:
        return list(reversed(self._gold.values()))

    def _row(self, row: RowScore) -> dict[str, Any]:
        number = self._said_rows.get(self._key_of(row.key))
        if row.found == "invented":
            cells = self._only_key(row.key) if number is None else self._said_cells(number)
            return self._line("invented", cells, number)
        gold = self._gold.get(tuple(row.key), [""] * len(self._spec.required))
        if row.found == "missing":
            return {"is": "missing", "cells": [self._cell("missing", gold=cell) for cell in gold]}
        wrong = {cell.column: cell for cell in row.wrong}
        joined = []
        for i, name in enumerate(self._spec.required):
            if name in wrong:
                joined.append(self._cell("wrong", said=wrong[name].said, gold=wrong[name].gold, at=(number, i)))
                continue
            said = gold[i] if number is None or self._said_at[i] is None else self._said_cells(number)[i]
            joined.append(self._cell("right", said=said, at=(number, i)))
        return {"is": "wrong" if wrong else "right", "cells": joined}

    def _line(
        self, state: str, cells: Sequence[str], number: int | None = None, mark: str | None = None
    ) -> dict[str, Any]:
        """A row whose cells are all alike: `mark` says what (default: as the row)."""
        own = state if mark is None else mark
        return {"is": state, "cells": [self._cell(own, said=cell, at=(number, i)) for i, cell in enumerate(cells)]}

    def _cell(
        self, state: str, *, said: str = "", gold: str = "", at: tuple[int | None, int] = (None, 0)
    ) -> dict[str, Any]:
        cell: dict[str, Any] = {"is": state}
        if said:
            cell["said"] = said
        if gold:
            cell["gold"] = gold
        number, column = at[0], self._said_at[at[1]]
        if number is not None and column is not None and self._evidence:
            cell["evidence"] = _evidence(self._evidence[number][column])
        return cell

    def _traced(self, rollout: Rollout | None) -> list[list[Evidence]]:
        if rollout is None or not self._said.rows:
            return []
        at = [self._said_at[i] for i in self.key_columns]
        key = [self._said.columns[i] for i in at if i is not None]
        return trace(self._said, telling_key(self._said, key), rollout)

    def _said_cells(self, number: int) -> list[str]:
        row = self._said.rows[number]
        return [row[index] if index is not None else "" for index in self._said_at]

    def _cut(self, row: Sequence[str]) -> list[str]:
        return [row[index] for index in self._gold_at]

    def _key_cells(self, cells: Sequence[str]) -> list[str]:
        return [cells[index] for index in self.key_columns]

    def _only_key(self, key: Sequence[str]) -> list[str]:
        cells = dict(zip(self.key_columns, key, strict=True))
        return [cells.get(index, "") for index in range(len(self.shown_columns))]

    def _exact(self, cells: Sequence[str]) -> tuple[str, ...]:
        return tuple(self._key_cells(cells))

    def _key(self, cells: Sequence[str]) -> tuple[str, ...]:
        return self._key_of(self._key_cells(cells))

    def _key_of(self, key: Sequence[str]) -> tuple[str, ...]:
        """The key as rows are joined by."""
        return tuple(prepare(cell) for prepare, cell in zip(self._prepare, key, strict=True))


def _evidence(cell: Evidence) -> dict[str, str]:
    found = {"is": cell.status, "url": cell.url, "quote": cell.quote, "agent": cell.agent, "tie": cell.tie}
    found |= {"verdict": cell.verdict}
    return {name: value for name, value in found.items() if value}


# -------------------------------------------------------------------------------------------------------------- agents


def agents_of(rollout: Rollout, text_chars: int) -> list[dict[str, Any]]:
    """Every agent with its turns; the script reads these names."""
    return [_agent(run, text_chars) for run in rollout.trajectories]


def _agent(run: Trajectory, text_chars: int) -> dict[str, Any]:
    return {
        "path": run.path,
        "role": run.role,
        "prompt": text_cut(run.prompt, text_chars),
        "stop": run.stop,
        "error": run.error,
        "seconds": run.seconds,
        "tokens": run.usage.tokens,
        "read": run.read,
        "turns": [_turn(turn, text_chars) for turn in run.turns],
        "pending": [_message(message, text_chars) for message in run.pending],
    }


def _turn(turn: Turn, text_chars: int) -> dict[str, Any]:
    said = turn.completion
    calls = [
        {
            "name": call.name,
            "arguments": {name: _argument(value, text_chars) for name, value in call.arguments.items()},
            "malformed": call.malformed,
        }
        for call in said.tool_calls
    ]
    return {
        "told": [_message(message, text_chars) for message in turn.messages],
        "reasoning": text_cut(said.reasoning, text_chars),
        "said": text_cut(said.text, text_chars),
        "calls": calls,
        "truncated": said.truncated,
        "tokens": said.usage.tokens,
        "seconds": turn.seconds,
    }


def _argument(value: Any, text_chars: int) -> Any:
    return text_cut(value, text_chars) if isinstance(value, str) else value


def _message(message: Message, text_chars: int) -> dict[str, Any]:
    return {"role": message.role, "text": text_cut(message.text, text_chars), "error": message.error}
