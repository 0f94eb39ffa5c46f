"""Responses and tasks in files -> scores: the function of `wideseek score`.

responses    {"instance_id", "response"} a line, in any order, several trials of a task among them; or saved
             rollouts ({"task", "answer", ...}), which bring their tasks
tasks        a file of tasks, as `tasks.py` reads and checks it

-> {"results": one flat object per response, in input order, "summary": means, unscored, what judging cost,
    "unanswered": the ids of the tasks in the tasks' file that have no response}
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from wideseek.errors import BadInput
from wideseek.records import Score, Task, Usage, read_jsonl_lines
from wideseek.scoring.frames import reader_versions
from wideseek.scoring.judge import Judge
from wideseek.scoring.table import Mode, score_response
from wideseek.scoring.tasks import check_gold, read_tasks

AT_ONCE = 32  # responses under judgement


class ResponseLine(msgspec.Struct):
    """A response to a task of the tasks' file, or a saved rollout (`task`, `answer`, `error`)."""

    instance_id: str | int = ""
    response: str | None = None
    trial: int | None = None
    task: Task | None = None
    answer: str = ""
    error: str | None = None

    @property
    def name(self) -> str:
        """The task's id as a text, as a file of tasks has it."""
        return str(self.instance_id)


async def score_files(
    responses: Path, tasks: Path | None, *, mode: Mode = "strict", judge: Judge, today: date | None = None
) -> dict[str, Any]:
    """Score every response.

    Raises `BadInput`, one line, before any judge is asked: for a file without a response, a file of tasks that
    `tasks.py` refuses, a task without gold, a trial that is there twice, and a response to an unknown task.
    """
    known = {task.instance_id: task for task in read_tasks(tasks)} if tasks else {}
    lines = list(read_jsonl_lines(responses, ResponseLine))
    if not lines:
        raise BadInput(f"{responses}: holds no response: write one JSON object a line, or check the file")
    pairs = list(_with_tasks(lines, known, responses, tasks))
    _check_repeats(pairs, responses)
    for task in {id(task): task for task, _ in pairs if task.instance_id not in known}.values():
        check_gold(task)
    slots = asyncio.Semaphore(AT_ONCE)

    async def score(task: Task, line: ResponseLine) -> Score:
        if line.error is not None:
            return Score(mode=mode, unscored=line.error)
        async with slots:
            said = line.answer if line.response is None else line.response
            return await score_response(said, task, mode=mode, judge=judge, today=today)

    scores = await asyncio.gather(*(score(task, line) for task, line in pairs))
    results = [_result(task, line, score) for (task, line), score in zip(pairs, scores, strict=True)]
    answered = {task.instance_id for task, _ in pairs}
    unanswered = [name for name in known if name not in answered]
    summary = {**_summary(results, scores, mode, judge), "unanswered": len(unanswered)}
    return {"results": results, "summary": summary, "unanswered": unanswered}


def _with_tasks(
    lines: Sequence[tuple[int, ResponseLine]], known: dict[str, Task], responses: Path, tasks: Path | None
) -> Iterable[tuple[Task, ResponseLine]]:
    for number, line in lines:
        task = known.get(line.name or (line.task.instance_id if line.task else "")) or line.task
        if task is None:
            where = f"there is no such task in {tasks}" if tasks else "name its tasks' file with --tasks"
            named = line.name or "no instance_id"
            raise BadInput(f"{responses}, line {number}: the response is to {named}: {where}")
        yield task, line


def _check_repeats(pairs: Sequence[tuple[Task, ResponseLine]], responses: Path) -> None:
    """Lines of one task without a trial number are its trials; two with the same number are one too many."""
    seen: dict[tuple[str, int], int] = {}
    for number, (task, line) in enumerate(pairs, 1):
        if line.trial is None:
            continue
        if (place := (task.instance_id, line.trial)) in seen:
            raise BadInput(
                f"{responses}: responses {seen[place]} and {number} have the instance_id {task.instance_id} and the "
                f"trial {line.trial}: remove one, or give it a trial of its own"
            )
        seen[place] = number


def _result(task: Task, line: ResponseLine, score: Score) -> dict[str, Any]:
    """One response's figures, under the names that the golden cases of WideSearch's and RLinf's scorers have."""
    result: dict[str, Any] = {"instance_id": task.instance_id}
    if line.trial is not None:
        result["trial"] = line.trial
    if score.value is None:
        return {**result, "unscored": score.unscored}
    if task.kind == "deep":
        return {**result, **score.parts, "format_ok": score.format_ok}
    if score.mode == "rlinf":
        return {**result, "item_f1": score.value, "format_ok": score.format_ok}
    # The published function catches whatever it raises, so in its terms it never has.
    return {**result, **score.parts, "raised": False}


def _summary(results: Sequence[dict[str, Any]], scores: Sequence[Score], mode: Mode, judge: Judge) -> dict[str, Any]:
    """Means over what is scored; `bounds` counts the unscored as 0."""
    scored = [result for result in results if "unscored" not in result]
    names = dict.fromkeys(name for result in scored for name, value in result.items() if isinstance(value, float))
    sums = {name: sum(result.get(name, 0.0) for result in scored) for name in names}
    counts = {name: sum(name in result for result in scored) for name in names}
    unscored = len(results) - len(scored)
    spent = sum((score.judge for score in scores), Usage())
    return {
        "mode": mode,
        **({} if mode == "strict" else {"versions": reader_versions()}),
        "judge": judge.pin,
        "responses": len(results),
        "scored": len(scored),
        "unscored": unscored,
        "means": {name: sums[name] / counts[name] for name in names},
        "bounds": {name: sums[name] / (counts[name] + unscored) for name in names},
        "judge_calls": spent.calls,
        "judge_cached": sum(score.judge_cached for score in scores),
        "judge_tokens": spent.tokens,
        "judge_usd": spent.usd,
    }
