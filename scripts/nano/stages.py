"""Where answers are lost: the share of gold rows that are still right after each stage of the protocol.

list        the row's name stands in a subagent's list
delegate    a subtask asks for that name
read        its subagent opened that member's page
report      its subagent reported the row right
table       the lead's table has the row right

python -m nano.stages RUN        of an evaluation run of wide tasks (`wideseek eval pocket --out RUN`)
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from wideseek.answer import final_table
from wideseek.evals.folder import load_run
from wideseek.records import Rollout, Trajectory
from wideseek.synth.world import url_of
from wideseek.table import Table

STAGES = ("list", "delegate", "read", "report", "table")


def stages_of(rollout: Rollout) -> tuple[int, Counter[str]]:
    """The number of gold rows, and of those that are right up to each stage."""
    assert isinstance(rollout.task.answer, str)
    gold = Table.from_markdown(rollout.task.answer)
    answer = final_table(rollout.answer)
    subs = rollout.trajectories[1:]
    listed = {line.partition(" ")[2] for run in subs for line in run.answer.splitlines() if line.startswith("#")}
    right: Counter[str] = Counter()
    for row in gold.rows:
        asked = [run for run in subs if f" {row[0]} |" in run.prompt]
        done = {
            "list": row[0] in listed,
            "delegate": bool(asked),
            "read": any(url_of(row[0]) in run.read for run in asked),
            "report": any(_cells(run) == row for run in asked),
            "table": answer is not None and row in answer.rows,
        }
        for stage in STAGES:
            if not done[stage]:
                break
            right[stage] += 1
    return len(gold.rows), right


def _cells(run: Trajectory) -> list[str]:
    return [cell.strip() for cell in run.answer.strip(" |").split("|")][1:]


def stages(rollouts: Iterable[Rollout]) -> dict[str, float]:
    """The share of gold rows that are right up to each stage, over all rollouts."""
    counted = [stages_of(rollout) for rollout in rollouts if rollout.task.kind == "wide"]
    rows = sum(count for count, _ in counted)
    right = sum((found for _, found in counted), Counter[str]())
    return {stage: right[stage] / max(1, rows) for stage in STAGES}


def main() -> None:
    for stage, share in stages(load_run(Path(sys.argv[1])).rollouts()).items():
        print(f"{stage:<10} {share:.3f}")


if __name__ == "__main__":
    main()
