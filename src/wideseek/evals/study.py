"""Width against depth: item F1 against the number of subagents, and for one agent against turns and context.

    study_width   values -> for each a team that may start so many subagents per round
    study_depth   turns, context -> for each a single agent that may go so far
    load_study    a study's folder -> Study: its arms, point by point
    write_study   Study -> study.csv, equal-cost.csv, study.png, study.html

Every agent of every arm has the same limits of turns and context (`Limits`); an arm varies one thing and leaves the
rest there. Both arms may live in one folder: then they have to share limits, model and tasks, and the page shows both.

    OUT/study.json    `Plan`: the limits, and the values of each arm
    OUT/team-w5/      the run folder of a point (`wideseek.evals`): width 5
    OUT/single-t20-c32000/

A point is a run folder of its own, so that a study that was killed goes on where it stopped. The evaluation itself is
handed in (`Evaluate`); called for a folder that is complete, it has nothing left to do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from wideseek.config import Config
from wideseek.errors import BadInput, RunDirError
from wideseek.evals import page
from wideseek.evals.curves import AtEqualCost, Curve, at_equal_cost, no_overlap
from wideseek.evals.folder import MAY_CHANGE, EvalRun, load_run, write_whole
from wideseek.evals.metrics import score_matrix
from wideseek.evals.plots import SHARE, Axis, Chart, Point, Series, at_values, save_png, short_number, to_svg
from wideseek.evals.records import Metric, Setup, Summary
from wideseek.evals.report_data import current_summary

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
        return self.summary.work.tokens if unit == TOKENS else self.summary.work.turns


NO_TOKENS = "This policy counts no tokens: costs are in model calls, and limits of context do not bind."
TOKENS, CALLS = "tokens", "model calls"


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

    def arm(self, arm: Arm) -> list[StudyPoint]:
        return [point for point in self.points if point.arm == arm]

    def curve(self, arm: Arm) -> Curve:
        """The arm with its cost; scores [tasks, points] over the study's tasks."""
        points = self.arm(arm)
        return Curve(
            ARMS[arm], [p.cost(self.cost_unit) for p in points], np.column_stack([_task_means(p.run) for p in points])
        )


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
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except FileNotFoundError as error:
        raise RunDirError(f"{path.parent}: no study here (study.json is missing): see wideseek study --help") from error
    except (OSError, msgspec.MsgspecError) as error:
        raise RunDirError(f"{path}: cannot be read: {error}") from error


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


# ---------------------------------------------------------------------------------------------------------- tables


def points_table(study: Study) -> list[dict[str, Any]]:
    """One row a point: the columns of study.csv. Costs are means per attempt."""
    return [_point_row(point, study.plan.limits) for point in study.points]


def _point_row(point: StudyPoint, limits: Limits) -> dict[str, Any]:
    summary, metric, work = point.summary, point.item_f1, point.summary.work
    low, high = metric.ci95 or (None, None)
    official = summary.official.item_f1 if summary.official else None
    return {
        "arm": point.arm,
        "value": point.value,
        "turn_limit": point.value if point.arm == "turns" else limits.turns,
        "context_limit": point.value if point.arm == "context" else limits.context_tokens,
        "item_f1": metric.avg,
        "ci95_low": low,
        "ci95_high": high,
        "bound": metric.bound,
        "item_f1_official": official.avg if official else None,
        "row_f1": summary.row_f1.avg if summary.row_f1 else None,
        "success": summary.success.avg if summary.success else None,
        "tokens": work.tokens,
        "model_calls": work.turns,
        "subagents": work.subagents,
        "width_used": work.width,
        "depth_used": work.depth,
        "critical_turns": work.critical_turns,
        "seconds": work.seconds,
        "usd": work.usd,
        "tasks": metric.tasks,
        "scored": metric.attempts,
        "planned": metric.planned,
        "status": summary.status,
        "folder": point.run.folder.name,
    }


def comparisons(study: Study) -> Iterator[tuple[Curve, Curve, list[AtEqualCost]]]:
    """The team against each curve of the single agent, at equal cost."""
    if not study.arm("width"):
        return
    width = study.curve("width")
    others: tuple[Arm, ...] = ("turns", "context")
    for arm in others:
        if study.arm(arm):
            other = study.curve(arm)
            yield width, other, at_equal_cost(width, other)


COMPARED = ("a", "b", "unit", "cost", "item_f1_a", "item_f1_b", "difference", "ci95_low", "ci95_high")


def _comparison_rows(study: Study) -> list[dict[str, Any]]:
    found = [(a.name, b.name, row) for a, b, rows in comparisons(study) for row in rows]
    lines = [(a, b, study.cost_unit, *row[:4], *(row.ci95 or (None, None))) for a, b, row in found]
    return [dict(zip(COMPARED, line, strict=True)) for line in lines]


# ---------------------------------------------------------------------------------------------------------- charts


def charts(study: Study) -> list[Chart]:
    """One chart per arm, and all arms against their cost."""
    own = [_arm_chart(study, arm) for arm in ARMS if study.arm(arm)]
    return [*own, _cost_chart(study)] if own else []


def _arm_chart(study: Study, arm: Arm) -> Chart:
    points = study.arm(arm)
    plotted = [_plotted(p, float(p.value), short_number(p.value)) for p in points]
    title = {"width": "Width: subagents", "turns": "Depth: turns", "context": "Depth: context"}[arm]
    return Chart(
        title,
        at_values(VARIED[arm], [p.value for p in points]),
        _f1_axis(),
        [Series(ARMS[arm], plotted, colour=_colour(arm))],
    )


def _cost_chart(study: Study) -> Chart:
    unit = study.cost_unit
    series = []
    for arm in ARMS:
        if points := study.arm(arm):
            names = [f"{arm} {short_number(p.value)}, {p.cost(unit):,.0f} {unit}" for p in points]
            plotted = [_plotted(p, max(p.cost(unit), 1e-9), name) for p, name in zip(points, names, strict=True)]
            series.append(Series(ARMS[arm], plotted, colour=_colour(arm)))
    note = "" if unit == TOKENS else NO_TOKENS
    return Chart("What it costs", Axis(f"{unit} per attempt, all agents", log=True), _f1_axis(), series, note)


def _colour(arm: Arm) -> int:
    return list(ARMS).index(arm)


def _f1_axis() -> Axis:
    return Axis("item F1", low=SHARE.low, high=SHARE.high)


def _plotted(point: StudyPoint, x: float, name: str) -> Point:
    metric = point.item_f1
    low, high = metric.ci95 or (None, None)
    return Point(x, metric.avg, low, high, f"{name}: {_with_interval(metric)}")


def _with_interval(metric: Metric) -> str:
    interval = f" ({metric.ci95[0]:.3f} to {metric.ci95[1]:.3f})" if metric.ci95 else ""
    return f"{metric.avg:.3f}{interval}"


# --------------------------------------------------------------------------------------------------------- writing


def write_study(study: Study) -> list[Path]:
    """Write study.csv, equal-cost.csv, study.png (where matplotlib is installed) and study.html.

    Raises `BadInput` for a study without a point.
    """
    if not study.points:
        raise BadInput(f"{study.folder}: no point of this study has been run yet")
    rows = points_table(study)
    written = [page.write(study.folder / "study.csv", page.csv_text(list(rows[0]), rows))]
    written.append(page.write(study.folder / "equal-cost.csv", page.csv_text(COMPARED, _comparison_rows(study))))
    notes = study_notes(study)
    picture = study.folder / "study.png"
    try:
        drawn = charts(study)
        footer = [str(study.plan.limits), f"{_about(study)}; bars: 95 % intervals over tasks"]
        footer += [chart.note for chart in drawn if chart.note] + notes[:2]
        save_png(drawn, picture, title=_title(study), footer="\n".join(footer))
        written.append(picture)
    except BadInput as error:
        notes.append(str(error))
    return [*written, page.write(study.folder / "study.html", to_html(study, notes))]


def study_notes(study: Study) -> list[str]:
    """What a reader has to know: what is missing, what has no score, what could not be compared."""
    notes = [f"Not run yet: {', '.join(study.missing)}."] if study.missing else []
    for point in study.points:
        if point.summary.unscored:
            reasons = ", ".join(f"{count} {reason}" for reason, count in point.summary.unscored.items())
            notes.append(
                f"{point.run.folder.name}: attempts without a score: {reasons}; "
                f"item F1 is at least {point.item_f1.bound:.3f} with them as 0."
            )
    unit = study.cost_unit
    notes += [no_overlap(a, b, unit) for a, b, rows in comparisons(study) if not rows]
    return notes


def to_html(study: Study, notes: Sequence[str] = ()) -> str:
    """The study as one page."""
    listed = "".join(f"<li>{page.text(note)}</li>" for note in notes)
    return page.fill(
        "study.html",
        title=page.text(_title(study)),
        about=page.text(_about(study)),
        limits=page.text(f"{study.plan.limits}".capitalize()),
        notes=f'<ul class="notes">{listed}</ul>' if listed else "",
        charts="".join(to_svg(chart) for chart in charts(study)),
        compared="".join(_compared_html(study)),
        points=_points_html(study),
    )


def _title(study: Study) -> str:
    setup = study.points[0].run.setup
    helpers = f" with {setup.sub_model}" if setup.sub_model else ""
    arms = dict.fromkeys("width" if point.arm == "width" else "depth" for point in study.points)
    return f"{' against '.join(arms).capitalize()}: {setup.model}{helpers} on {setup.bench}"


def _about(study: Study) -> str:
    setup = study.points[0].run.setup
    trials = f" × {setup.trials} trials" if setup.trials > 1 else ""
    split = f" ({setup.split})" if setup.split else ""
    return f"{study.points[0].item_f1.tasks} tasks{trials} of {setup.bench}{split}, {setup.modes[0]} scores"


def _points_html(study: Study) -> str:
    columns = ["point", "item F1 (95 %)", "success", "tokens", "model calls", "subagents", "critical turns", "seconds"]
    columns += ["scored", "run"]
    rows = []
    for point in study.points:
        summary, work = point.summary, point.summary.work
        rows.append(
            [
                f"{point.arm} {point.value:,}",
                _with_interval(point.item_f1),
                f"{summary.success.avg:.3f}" if summary.success else "",
                *(f"{cost:,.0f}" for cost in (work.tokens, work.turns)),
                *(f"{cost:,.1f}" for cost in (work.subagents, work.critical_turns)),
                f"{work.seconds:,.1f}" if work.seconds is not None else "",
                f"{summary.scored} of {summary.planned}",
                point.run.folder.name,
            ]
        )
    return page.table(columns, rows, style="figures")


def _compared_html(study: Study) -> Iterator[str]:
    unit = study.cost_unit
    for a, b, rows in comparisons(study):
        yield f"<h3>{page.text(f'{a.name} against {b.name}')}</h3>"
        lines = [
            [f"{r.cost:,.0f}", f"{r.a:.3f}", f"{r.b:.3f}", f"{r.difference:+.3f}", _interval(r.ci95)] for r in rows
        ]
        if rows:
            yield page.table([unit, a.name, b.name, "difference", "95 % interval"], lines, style="figures")
        else:
            yield f"<p>{page.text(no_overlap(a, b, unit))}</p>"


def _interval(ci95: tuple[float, float] | None) -> str:
    return f"{ci95[0]:+.3f} to {ci95[1]:+.3f}" if ci95 else ""
