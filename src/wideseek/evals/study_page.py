"""What a study shows: its points as a table, item F1 against what was varied and against what it took, one page.

points_table   Study -> one row a point: study.csv
write_study    Study -> study.csv, equal-cost.csv, study.png, study.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wideseek.errors import BadInput
from wideseek.evals import page
from wideseek.evals.curves import AtEqualCost, Curve, at_equal_cost, no_overlap
from wideseek.evals.plots import SHARE, Axis, Chart, Point, Series, at_values, save_png, short_number, to_svg
from wideseek.evals.records import Metric
from wideseek.evals.study import ARMS, STEPS, TOKENS, VARIED, Arm, Limits, Study, StudyPoint

NO_TOKENS = "This policy counts no tokens: costs are in model calls, and limits of context do not bind."

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
        "critical_steps": work.critical_steps,
        "seconds": work.seconds,
        "usd": work.usd,
        "tasks": metric.tasks,
        "scored": metric.attempts,
        "planned": metric.planned,
        "status": summary.status,
        "folder": point.run.folder.name,
    }


def comparisons(study: Study) -> Iterator[tuple[str, Curve, Curve, list[AtEqualCost]]]:
    """The team against each curve of the single agent, at equal cost: unit, both curves, their differences."""
    if not study.arm("width"):
        return
    others: tuple[Arm, ...] = ("turns", "context")
    for unit in study.cost_units:
        width = study.curve("width", unit)
        for arm in others:
            if study.arm(arm):
                other = study.curve(arm, unit)
                yield unit, width, other, at_equal_cost(width, other)


COMPARED = ("a", "b", "unit", "cost", "item_f1_a", "item_f1_b", "difference", "ci95_low", "ci95_high")


def _comparison_rows(study: Study) -> list[dict[str, Any]]:
    found = [(a.name, b.name, unit, row) for unit, a, b, rows in comparisons(study) for row in rows]
    lines = [(a, b, unit, *row[:4], *(row.ci95 or (None, None))) for a, b, unit, row in found]
    return [dict(zip(COMPARED, line, strict=True)) for line in lines]


# ---------------------------------------------------------------------------------------------------------- charts


def charts(study: Study) -> list[Chart]:
    """One chart per arm, and all arms against their critical steps and their cost."""
    own = [_arm_chart(study, arm) for arm in ARMS if study.arm(arm)]
    return [*own, *(_cost_chart(study, unit) for unit in reversed(study.cost_units))] if own else []


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


def _cost_chart(study: Study, unit: str) -> Chart:
    series = []
    for arm in ARMS:
        if points := study.arm(arm):
            names = [f"{arm} {short_number(p.value)}, {p.cost(unit):,.0f} {unit}" for p in points]
            plotted = [
                _plotted(p, max(p.cost(unit), 1e-9), name, short_number(p.value))
                for p, name in zip(points, names, strict=True)
            ]
            series.append(Series(ARMS[arm], plotted, colour=_colour(arm)))
    if unit == STEPS:
        axis = Axis("critical steps per attempt (turns one after another)", low=0.0)
        return Chart("How long it takes", axis, _f1_axis(), series)
    note = "" if unit == TOKENS else NO_TOKENS
    return Chart("What it costs", Axis(f"{unit} per attempt, all agents", log=True), _f1_axis(), series, note)


def _colour(arm: Arm) -> int:
    return list(ARMS).index(arm)


def _f1_axis() -> Axis:
    return Axis("item F1", low=SHARE.low, high=SHARE.high)


def _plotted(point: StudyPoint, x: float, name: str, label: str = "") -> Point:
    metric = point.item_f1
    low, high = metric.ci95 or (None, None)
    return Point(x, metric.avg, low, high, f"{name}: {_with_interval(metric)}", label)


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
    notes += [no_overlap(a, b, unit) for unit, a, b, rows in comparisons(study) if not rows]
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
    columns = ["point", "item F1 (95 %)", "success", "tokens", "model calls", "subagents", "critical steps", "seconds"]
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
                *(f"{cost:,.1f}" for cost in (work.subagents, work.critical_steps)),
                f"{work.seconds:,.1f}" if work.seconds is not None else "",
                f"{summary.scored} of {summary.planned}",
                point.run.folder.name,
            ]
        )
    return page.table(columns, rows, style="figures")


def _compared_html(study: Study) -> Iterator[str]:
    for unit, a, b, rows in comparisons(study):
        yield f"<h3>{page.text(f'{a.name} against {b.name}, at equal {unit}')}</h3>"
        lines = [
            [f"{r.cost:,.0f}", f"{r.a:.3f}", f"{r.b:.3f}", f"{r.difference:+.3f}", _interval(r.ci95)] for r in rows
        ]
        if rows:
            yield page.table([unit, a.name, b.name, "difference", "95 % interval"], lines, style="figures")
        else:
            yield f"<p>{page.text(no_overlap(a, b, unit))}</p>"


def _interval(ci95: tuple[float, float] | None) -> str:
    return f"{ci95[0]:+.3f} to {ci95[1]:+.3f}" if ci95 else ""
