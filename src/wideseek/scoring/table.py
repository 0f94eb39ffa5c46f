"""One entrance for every task: `score_response`, and `score_rollout` for what an agent has answered.

    wide tasks    `strict` (default), `official` or `rlinf`, see those modules
    deep tasks    see text.py; the mode makes no difference but for the name

A judge that fails leaves the answer unscored (`Score.value` is `None`), and so does a rollout that the infrastructure
failed. A bad *task* is `BadInput`: no gold, a gold without a required column.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from wideseek.records import Rollout, Score, Task
from wideseek.scoring.frames import reader_versions
from wideseek.scoring.judge import Case, ExactJudge, Judge, JudgeFailed
from wideseek.scoring.official import official_figures
from wideseek.scoring.rlinf import rlinf_figures
from wideseek.scoring.spec import Spec, gold_table
from wideseek.scoring.strict import strict_score
from wideseek.scoring.text import text_score

Mode = Literal["strict", "official", "rlinf"]


async def score_response(
    response: str | None, task: Task, *, mode: Mode = "strict", judge: Judge | None = None, today: date | None = None
) -> Score:
    """How good `response` is; no response scores 0.

    `judge` is `ExactJudge()` by default. `today` completes dates in `official` mode only (default: the day it is).
    Raises `BadInput` for a task that cannot be scored against, and where a mode's packages are missing.
    """
    case, judge = Case(task), judge or ExactJudge()
    try:
        score = await _scored(response or "", case, mode, judge, today or date.today())
    except JudgeFailed as failure:
        score = Score(unscored=f"judge {judge.pin}: {failure}")
    score.mode, score.judge, score.judge_cached = mode, case.usage, case.cached
    if mode != "strict" and task.kind == "wide":
        score.versions = reader_versions()
    return score


async def score_rollout(
    rollout: Rollout, *, mode: Mode = "strict", judge: Judge | None = None, today: date | None = None
) -> Score:
    """How good the rollout's answer is; unscored where the infrastructure failed it."""
    if rollout.error is not None:
        return Score(mode=mode, unscored=rollout.error)
    return await score_response(rollout.answer, rollout.task, mode=mode, judge=judge, today=today)


async def _scored(response: str, case: Case, mode: Mode, judge: Judge, today: date) -> Score:
    task = case.task
    if task.kind == "deep":
        return await text_score(response, task, judge, case)
    if mode == "strict":
        return await strict_score(response, task, judge, case)
    gold = gold_table(task)
    spec = Spec.of(task, gold)
    if mode == "official":
        csv = task.meta.get("answer_csv") or gold.to_csv()
        figures, note = await official_figures(response, csv, spec, judge, case, today)
    else:
        markdown = task.answer if isinstance(task.answer, str) else gold.to_markdown()
        figures, note = await rlinf_figures(response, markdown, spec, judge, case)
    return Score(value=figures["f1_by_item"], parts=figures, format_ok=note is None, note=note)
