"""How a run ended, told from what is there: `complete` is a promise, and nothing that is known to be missing has it.

    interrupted   the user ended it
    failed        the model failed for good, or there is no row and no value at all
    partial       a budget or a limit ended it, or what is there lacks something that was asked for:
                  a page that was read, a column's values, the share of supported cells that was asked for,
                  the work of a subagent whose model failed, the end of its last row
    complete      none of that

A cell may be empty in a complete table (not every lighthouse was closed); a column that is empty in every row may not.
An agent that ended by a limit of its own is told to its lead, which can ask again, and is a note. An agent whose model
failed is work that a resumed run does: without it the table is partial, unless another agent did the same subtask.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from wideseek.answer import broken_row
from wideseek.budget import Budget
from wideseek.evidence import EvidenceTable, Levels
from wideseek.records import Rollout, Trajectory
from wideseek.table import Row, Table, says_nothing

Status = Literal["complete", "partial", "failed", "interrupted"]
EXIT_CODES: dict[Status, int] = {"complete": 0, "failed": 1, "partial": 3, "interrupted": 130}

_LIMITS = {
    "max_turns": "had all its turns before it answered: raise {role}.max_turns",
    "turn_cap": "was cut off in its answer, which had all the tokens of a turn: raise sampling.max_tokens, or the "
    "server's own limit",
    "context": "had its context full before it answered: raise {role}.context_tokens, or split the question",
    "cut": "was cut off in its answer by the model's server{word}: ask again, or choose another model",
}


def status_of(
    rollout: Rollout, table: Table, evidence: EvidenceTable, budget: Budget, *, answered: bool, min_supported: float
) -> tuple[Status, str]:
    """The status and, in words, its reason. `answered`: `table` is the lead's own, not what was found so far."""
    if budget.interrupted:
        return "interrupted", budget.reason
    if rollout.stop == "error":
        return "failed", rollout.error or "the model failed"
    if rollout.partial:
        return "partial", budget.reason if budget.limited else "budget"
    found = Levels.of(evidence).found > 0
    if not answered:
        return _without_answer(rollout, found)
    if not found:
        return "failed", "the answer is a table without a single value: put the question in other words"
    lacks = list(_lacks(rollout, table, evidence, min_supported))
    return ("partial", "; ".join(lacks)) if lacks else ("complete", "answered")


def _without_answer(rollout: Rollout, found: bool) -> tuple[Status, str]:
    if rollout.stop == "answer":
        reasoned = any(turn.completion.reasoning for turn in rollout.lead.turns[-1:])
        empty = "the model only reasoned and gave no answer" if reasoned else "the model answered with an empty text"
        return "failed", rollout.answer.strip() or empty
    lead = rollout.lead
    word = f" ({lead.error})" if lead.error else ""
    limit = _LIMITS.get(str(rollout.stop), "ended before it answered{word}").format(role=lead.role, word=word)
    return "partial" if found else "failed", f"the {'lead' if lead.role == 'lead' else 'agent'} {limit}"


def _lacks(rollout: Rollout, table: Table, evidence: EvidenceTable, min_supported: float) -> Iterator[str]:
    """What keeps an answer from being complete, one clause each."""
    levels = Levels.of(evidence)
    if not rollout.pages:
        yield "no page was read, so the answer is from the model's memory: ask again, or choose another model"
    elif not levels.supported and not levels.mentioned:
        yield "no cell of the answer stands on a page that was read"
    if empty := empty_columns(table):
        names = ", ".join(empty)
        yield f"no row has a value for {names}: call it what the pages call it, or leave it out"
    if any(map(_stands_for_rows, table.rows)):
        yield "a row of dots stands for rows that are missing: ask again"
    if (row := broken_row(rollout.answer)) is not None:
        yield f"the answer stops in the middle of its last row ({row[:60]!r}): ask again, or raise sampling.max_tokens"
    if failed := unfinished(rollout):
        runs = f"subagent {failed[0].path}" if len(failed) == 1 else f"{len(failed)} subagents"
        yield f"the model failed for {runs}, so that rows may be missing: resume the run"
    if (levels.share or 0.0) < min_supported:
        yield (
            f"{levels.supported:,} of {levels.cells:,} cells are supported, fewer than the share of {min_supported:g} "
            "that was asked for"
        )


def empty_columns(table: Table) -> list[str]:
    """The columns that have a name and no value in any row; "N/A" and the like say nothing."""
    return [
        name
        for index, name in enumerate(table.columns)
        if name.strip() and all(says_nothing(row[index]) for row in table.rows)
    ]


def _stands_for_rows(row: Row) -> bool:
    """Whether a row is only dots: the model left rows out."""
    return all(re.fullmatch(r"\s*(?:\.{2,}|…+)\s*", cell) for cell in row)


def unfinished(rollout: Rollout) -> list[Trajectory]:
    """The subagents whose model failed for good, and whose subtask no other agent has done."""
    done = {run.prompt.strip() for run in rollout.trajectories if run.stop == "answer"}
    return [run for run in rollout.trajectories[1:] if run.stop == "error" and run.prompt.strip() not in done]
