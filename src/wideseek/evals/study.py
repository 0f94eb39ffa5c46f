"""Width against depth: item F1 against the number of subagents, and for one agent against turns and context.

    study_width   values -> for each a team that may start so many subagents per round
    study_depth   turns, context -> for each a single agent that may go so far
    load_study    a study's folder -> Study: its arms, point by point (`study_page` shows them)

Every agent of every arm has the same limits of turns and context (`Limits`); an arm varies one thing and leaves the
rest there. Both arms may live in one folder: then they have to share limits, model and tasks, and the page shows both.

    OUT/study.json    `Plan`: the limits, and the values of each arm
    OUT/team-w5/      the run folder of a point (`wideseek.evals`): width 5
    OUT/single-t20-c32000/

A point is a run folder of its own, so that a study that was killed goes on where it stopped. The evaluation itself is
handed in (`Evaluate`); called for a folder that is complete, it has nothing left to do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from wideseek.config import Config
from wideseek.errors import BadInput, RunDirError
from wideseek.evals.curves import Curve
from wideseek.evals.folder import MAY_CHANGE, EvalRun, load_run, write_whole
from wideseek.evals.metrics import score_matrix
from wideseek.evals.records import Metric, Setup, Summary
from wideseek.evals.report_data import current_summary
from wideseek.records import read_record

Arm = Literal["width", "turns", "context"]
Evaluate = Callable[[Config, Path], Awaitable[EvalRun]]
"""Evaluate a configuration in a run folder; what the folder holds is not done again."""

Tell = Callable[[str], None]

TURNS, CONTEXT = 20, 32_000  # the limits of a study that is told none
SEVERAL = ("lead", "sub", "single")
ARMS: dict[Arm, str] = {"width": "team", "turns": "single agent, turns", "context": "single agent, context"}
VARIED: dict[Arm, str] = {
    "width": "subagents per round (largest number)",
    "turns": "turns of the single agent (limit)",
    "context": "context tokens of the single agent (limit)",
}


class Limits(msgspec.Struct, frozen=True):
    """How far every single agent may go, in every arm."""

    turns: int
    context_tokens: int

    def __str__(self) -> str:
        return f"every agent: at most {self.turns} turns and {self.context_tokens:,} tokens of context"


class Plan(msgspec.Struct):
    """The record in study.json."""

    limits: Limits
    arms: dict[Arm, list[int]] = {}
    format: int = 1


@dataclass(frozen=True)
class StudyPoint:
    """One value of one arm, evaluated."""

    arm: Arm
    value: int
    run: EvalRun
    summary: Summary

    @property
    def item_f1(self) -> Metric:
        metric = self.summary.item_f1
        if metric is None:
            raise BadInput(f"{self.run.folder}: no item F1 here (no table was scored): a study needs table tasks")
        return metric

    def cost(self, unit: str) -> float:
        """What an attempt took on average: `TOKENS` and `CALLS` of all agents, or critical `STEPS`."""
        work = self.summary.work
        return {TOKENS: work.tokens, CALLS: work.turns, STEPS: work.critical_steps}[unit]


TOKENS, CALLS, STEPS = "tokens", "model calls", "critical steps"


@dataclass(frozen=True)
class Study:
    """What is known so far: points in the order of arms and values; `missing` names the folders still to be run."""

    folder: Path
    plan: Plan
    points: list[StudyPoint]
    missing: list[str]

    @property
    def complete(self) -> bool:
        return not self.missing and all(point.summary.status == "complete" for point in self.points)

    @property
    def cost_unit(self) -> str:
        """Tokens per attempt; model calls where a policy counts no tokens (the scripted expert)."""
        return TOKENS if self.points and all(point.summary.work.tokens for point in self.points) else CALLS

    @property
    def cost_units(self) -> tuple[str, str]:
        """What item F1 is drawn against: all work, and how long it takes with agents side by side."""
        return self.cost_unit, STEPS

    def arm(self, arm: Arm) -> list[StudyPoint]:
        return [point for point in self.points if point.arm == arm]

    def curve(self, arm: Arm, unit: str) -> Curve:
        """The arm with its cost in `unit`; scores [tasks, points] over the study's tasks."""
        points = self.arm(arm)
        return Curve(ARMS[arm], [p.cost(unit) for p in points], np.column_stack([_task_means(p.run) for p in points]))


# --------------------------------------------------------------------------------------------------------- running


async def study_width(
    values: Sequence[int],
    config: Config,
    out: Path,
    *,
    evaluate: Evaluate,
    turn_limit: int | None = None,
    context_limit: int | None = None,
    tell: Tell | None = None,
) -> Study:
    """Evaluate a team with each number of subagents per round in `values`.

    `evaluate(config, folder)` is called for every point; `tell` gets one line before each. Limits that are not given
    are those of the study in `out`, else 20 turns and 32,000 tokens. Raises `BadInput` for values below 1 and for a
    folder whose study has other limits; whatever `evaluate` raises passes through, and what was done is kept.
    """
    _check("--values", values)
    plan = _planned(out, turn_limit, context_limit, Limits(TURNS, CONTEXT))
    return await _run(plan, {"width": list(values)}, config, out, evaluate, tell)


async def study_depth(
    turns: Sequence[int],
    context: Sequence[int],
    config: Config,
    out: Path,
    *,
    evaluate: Evaluate,
    turn_limit: int | None = None,
    context_limit: int | None = None,
    tell: Tell | None = None,
) -> Study:
    """Evaluate a single agent with each limit of `turns` (at the full context) and of `context` (at all turns).

    Either may be empty. Limits that are not given are those of the study in `out`, else the largest values. Raises as
    `study_width` does, and for values beyond the limits.
    """
    _check("--turns and --context", [*turns, *context])
    default = Limits(max(turns, default=TURNS), max(context, default=CONTEXT))
    plan = _planned(out, turn_limit, context_limit, default)
    beyond = [f"{v} turns" for v in turns if v > plan.limits.turns]
    beyond += [f"{v:,} tokens of context" for v in context if v > plan.limits.context_tokens]
    if beyond:
        raise BadInput(f"{beyond[0]}: beyond this study's limits ({plan.limits}): raise the limit, in another --out")
    return await _run(plan, {"turns": list(turns), "context": list(context)}, config, out, evaluate, tell)


def point_config(arm: Arm, value: int, limits: Limits, config: Config) -> Config:
    """The configuration of one point: the same limits for every agent, but for what the arm varies."""
    turns = value if arm == "turns" else limits.turns
    context = value if arm == "context" else limits.context_tokens
    changes: dict[str, Any] = {"workflow": "team" if arm == "width" else "single"}
    for role in SEVERAL:
        changes |= {f"{role}.max_turns": turns, f"{role}.context_tokens": context}
    changes["single.max_calls"] = config.sub.max_calls  # tool calls per turn
    if arm == "width":
        changes["lead.max_calls"] = value
    return Config.merged(config.model_dump(mode="json", exclude_defaults=True), changes)


def point_folder(arm: Arm, value: int, limits: Limits) -> str:
    """The name of a point's run folder; a point that lies on two curves has one."""
    if arm == "width":
        return f"team-w{value}"
    turns, context = (value, limits.context_tokens) if arm == "turns" else (limits.turns, value)
    return f"single-t{turns}-c{context}"


async def _run(
    plan: Plan, arms: dict[Arm, list[int]], config: Config, out: Path, evaluate: Evaluate, tell: Tell | None
) -> Study:
    for arm, values in arms.items():
        plan.arms[arm] = sorted({*plan.arms.get(arm, []), *values})
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "study.json", plan)
    places = [(arm, value) for arm, values in arms.items() for value in sorted({*values})]
    for number, (arm, value) in enumerate(places, 1):
        name = point_folder(arm, value, plan.limits)
        if tell:
            tell(f"point {number} of {len(places)}: {name}")
        run = await evaluate(point_config(arm, value, plan.limits, config), out / name)
        if run.summary is not None and run.summary.status == "interrupted":
            break
    return load_study(out)


def _planned(out: Path, turns: int | None, context: int | None, default: Limits) -> Plan:
    """The plan of the study in `out`, or a new one. Raises `BadInput` for other limits than it began with."""
    path = out / "study.json"
    if not path.exists():
        return Plan(Limits(turns or default.turns, context or default.context_tokens))
    plan = _read_plan(path)
    wanted = Limits(turns or plan.limits.turns, context or plan.limits.context_tokens)
    if wanted != plan.limits:
        raise BadInput(f"{out}: this study's limits are others ({plan.limits}): choose another --out")
    return plan


def _read_plan(path: Path) -> Plan:
    try:
        return read_record(path, Plan)
    except FileNotFoundError as error:
        raise RunDirError(f"{path.parent}: no study here (study.json is missing): see wideseek study --help") from error


def _check(option: str, values: Sequence[int]) -> None:
    if not values or min(values) < 1:
        raise BadInput(f"{option}: whole numbers from 1, with commas between: {','.join(map(str, values)) or 'none'}")


# --------------------------------------------------------------------------------------------------------- reading


def load_study(folder: Path) -> Study:
    """The study in `folder` as far as it has been run.

    Raises `RunDirError` where there is none, `BadInput` where its points cannot be compared.
    """
    plan = _read_plan(folder / "study.json")
    points, missing = [], []
    for arm in ARMS:
        for value in plan.arms.get(arm, []):
            name = point_folder(arm, value, plan.limits)
            if (folder / name / "eval.json").is_file():
                points.append(_point(arm, value, load_run(folder / name)))
            else:
                missing.append(name)
    _check_comparable(points)
    return Study(folder, plan, points, missing)


def _point(arm: Arm, value: int, run: EvalRun) -> StudyPoint:
    return StudyPoint(arm, value, run, current_summary(run))


def _check_comparable(points: Sequence[StudyPoint]) -> None:
    """One study, one model, one set of tasks: all that an arm does not vary has to be the same."""
    for point in points[1:]:
        first, other = _sameness(points[0].run.setup), _sameness(point.run.setup)
        for name, value in first.items():
            if other[name] != value:
                raise BadInput(
                    f"{point.run.folder}: its {name} is {other[name]!r}, that of {points[0].run.folder} {value!r}: "
                    "arms of one study share everything but their limits; choose another --out"
                )


def _sameness(setup: Setup) -> dict[str, Any]:
    names = ("bench", "digest", "model", "sub_model", "judge", "trials", "modes", "seed")
    varied = {*SEVERAL, "workflow", *MAY_CHANGE}
    config = {section: value for section, value in setup.config.items() if section not in varied}
    return {name: getattr(setup, name) for name in names} | {"configuration": config}


def _task_means(run: EvalRun) -> Any:  # [tasks]
    """Every task's item F1 over its scored trials; NaN where none was scored."""
    _, matrix = score_matrix("item_f1", run.setup.modes[0], run.tasks, run.attempts, run.setup.trials)
    counts = (~np.isnan(matrix)).sum(axis=1)
    return np.where(counts > 0, np.nansum(matrix, axis=1) / np.maximum(counts, 1), np.nan)
