"""An evaluation run as one HTML page that needs nothing but itself.

    run folder -> figures with intervals, charts, what is unscored and why
               -> an index: one row per attempt (JSON in the page, listed, filtered and sorted by its script)
               -> per attempt, deflated, unpacked when it is opened:
                    cells    gold against answer, cell by cell, with evidence          (`report_data.cells_of`)
                    agents   every agent's turns: what it was told, said, called, read (`report_data.agents_of`)

The page stays small enough to open: texts are cut at `text_chars`, tables at `MOST_ROWS` rows, and agents' turns are
left out once the page holds `most_bytes` of them, first trials last; the page says so wherever it is the case.
Everything that comes from a run reaches the page as JSON and is shown as text, never as HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from wideseek.errors import RunDirError
from wideseek.evals import page
from wideseek.evals.folder import EvalRun, load_run
from wideseek.evals.metrics import BY_MODE, METRICS, score_matrix
from wideseek.evals.plots import SHARE, Axis, Chart, Point, Series, to_svg
from wideseek.evals.records import Attempt, Metric, Scores, Summary
from wideseek.evals.report_data import agents_of, cells_of, current_summary, row_counts, text_cut
from wideseek.evidence import Levels
from wideseek.records import Kind, Rollout, Task

REPORT = "report.html"
MOST_BYTES = 24_000_000  # of packed turns: what a phone still opens
TEXT_CHARS = 6_000
QUESTION_CHARS = 220  # in the list

NAMES = {
    "item_f1": "item F1",
    "row_f1": "row F1",
    "success": "success",
    "em": "exact match",
    "answer_f1": "answer F1",
    "contains": "contains",
}
MAIN: dict[Kind, str] = {"wide": "f1_by_item", "deep": "f1"}  # the score of one attempt in the list
OUTCOMES = {
    "policy": "the model's server failed after every retry",
    "budget": "the budget of the run cut the attempt short",
    "judge": "a judge failed",
    "missing": "not made yet",
}


def write_report(run_dir: Path, *, most_bytes: int = MOST_BYTES, text_chars: int = TEXT_CHARS) -> Path:
    """Write report.html into the run folder; returns its path.

    Raises `RunDirError` where there is no evaluation, or the page cannot be written.
    """
    run = load_run(run_dir)
    summary = current_summary(run)
    details = _packed_details(run, most_bytes, text_chars)
    return page.write(run.folder / REPORT, to_html(run, summary, details))


@dataclass
class _Details:
    """What is packed into the page per attempt, and what is counted on the way."""

    index: list[dict[str, Any]] = field(default_factory=list)
    blobs: list[str] = field(default_factory=list)
    cells: Counter[str] = field(default_factory=Counter)
    left_out: int = 0


def _packed_details(run: EvalRun, most_bytes: int, text_chars: int) -> _Details:
    """Everything about every attempt; first trials first, so that the limit meets the later ones."""
    details, spent = _Details(), 0
    numbers = {task.instance_id: number for number, task in enumerate(run.tasks)}
    for attempt in sorted(run.attempts, key=lambda row: (row.trial, numbers[row.instance_id])):
        task, number = run.tasks[numbers[attempt.instance_id]], len(details.index)
        score = run.scores(*attempt.place).get(run.setup.modes[0])
        rollout = _rollout(run, attempt)
        compared = cells_of(task, score, rollout, text_chars)
        details.cells.update(compared.counts)
        details.blobs.append(_blob(f"c{number}", page.packed(compared.record)))
        agents = page.packed(agents_of(rollout, text_chars)) if rollout else ""
        if rollout and spent + len(agents) > most_bytes:
            details.left_out += 1
            agents = ""
        spent += len(agents)
        if agents:
            details.blobs.append(_blob(f"a{number}", agents))
        row = _index_row(run, attempt, numbers[attempt.instance_id])
        details.index.append(row | {"rows": row_counts(score), "agents": bool(agents)})
    return details


def _rollout(run: EvalRun, attempt: Attempt) -> Rollout | None:
    try:
        return run.rollout(*attempt.place)
    except RunDirError:  # the line was torn by a kill
        return None


def _blob(name: str, content: str) -> str:
    return f'<script type="text/plain" id="{name}">{content}</script>'


def _index_row(run: EvalRun, attempt: Attempt, task: int) -> dict[str, Any]:
    """One attempt as the list shows it; the script reads these names."""
    parts = attempt.scores.get(run.setup.modes[0], {})
    main = MAIN[attempt.kind]
    return {
        "task": task,
        "trial": attempt.trial,
        "status": status_of(attempt, run.setup.modes[0]),
        "score": parts.get(main),
        "success": parts.get(METRICS["success"][attempt.kind]),
        "official": attempt.scores.get("official", {}).get(main),
        "supported": attempt.supported,
        "levels": msgspec.to_builtins(attempt.levels),
        "subagents": attempt.subagents,
        "turns": attempt.turns,
        "tokens": attempt.usage.tokens,
        "seconds": attempt.seconds,
        "problem": attempt.problem,
    }


def status_of(attempt: Attempt, mode: str) -> str:
    """One or two words: how the attempt ended."""
    if attempt.outcome != "scored":
        return f"unscored: {attempt.outcome}"
    parts = attempt.scores.get(mode, {})
    if parts.get(METRICS["success"][attempt.kind]) == 1:
        return "right"
    if attempt.stop not in (None, "answer"):
        return f"no answer: {attempt.stop}"
    return "partly right" if parts.get("f1_by_item", parts.get("f1", 0.0)) > 0 else "wrong"


# ------------------------------------------------------------------------------------------------------------ the page


def to_html(run: EvalRun, summary: Summary, details: _Details) -> str:
    """The whole page."""
    return page.fill(
        "report.html",
        title=page.text(f"{summary.model} on {summary.bench}"),
        about=page.text(_about(run, summary)),
        tiles="".join(_tiles(summary)),
        unscored=_unscored(summary, details),
        figures=_figures(summary),
        work=_work(summary),
        charts="".join(to_svg(chart) for chart in charts(run, summary)),
        cells=_cells_bar(details.cells),
        index=page.embedded(_index(run, details)),
        blobs="\n".join(details.blobs),
        script=page.read("report.js"),
        own_style=page.read("report.css"),
    )


def _index(run: EvalRun, details: _Details) -> dict[str, Any]:
    tasks = [
        {"id": task.instance_id, "kind": task.kind, "language": task.language, "question": _short(task)}
        for task in run.tasks
    ]
    return {"tasks": tasks, "attempts": details.index, "trials": run.setup.trials}


def _short(task: Task) -> str:
    return text_cut(" ".join(task.question.split()), QUESTION_CHARS)


def _about(run: EvalRun, summary: Summary) -> str:
    setup = run.setup
    workflow = f"a team of width {setup.width}" if setup.workflow == "team" else "a single agent"
    helpers = f" (subagents: {setup.sub_model})" if setup.sub_model else ""
    split = f", split {setup.split}" if setup.split else ""
    trials = f" × {setup.trials} trials" if setup.trials > 1 else ""
    return f"{workflow}{helpers}; {summary.tasks} tasks{trials}{split}; judge {setup.judge}; status: {summary.status}"


def _tiles(summary: Summary) -> Iterator[str]:
    for name in METRICS:
        metric: Metric | None = getattr(summary, name)
        if metric is None or name in ("answer_f1", "contains"):
            continue
        yield _tile(f"{metric.avg:.3f}", NAMES[name], _ci(metric) and f"95 %: {_ci(metric)}")
    if summary.supported is not None:
        below = _shares(summary.levels) if summary.levels else "by a page that was read"
        yield _tile(f"{summary.supported:.0%}", "cells supported", below)
    usage = summary.costs.total
    yield _tile(f"{summary.work.tokens:,.0f}", "tokens per attempt", f"{usage.tokens:,} in all, ${usage.usd:,.2f}")


def _shares(levels: Levels) -> str:
    """The other levels of all cells: `4% mentioned, 2% unsupported, 10% empty`."""
    names = ("mentioned", "unsupported", "empty")
    return ", ".join(f"{getattr(levels, name) / max(1, levels.cells):.0%} {name}" for name in names)


def _tile(figure: str, name: str, below: str) -> str:
    first, large, last = map(page.text, (name, figure, below))
    return f'<div class="tile"><span>{first}</span><b>{large}</b><span>{last}</span></div>'


def _unscored(summary: Summary, details: _Details) -> str:
    """What a reader has to know before the figures: attempts without a score, and what the page leaves out."""
    lines = [
        f"{count} of {summary.planned} attempts have no score ({name}): {OUTCOMES.get(name, name)}."
        for name, count in summary.unscored.items()
    ]
    if summary.unscored:
        lines.append("Means are over what is scored; “bound” counts the rest as 0, so the truth lies at or above it.")
    lines += summary.problems + summary.notes
    if details.left_out:
        lines.append(
            f"The turns of {details.left_out} attempts are left out here, to keep the page small: see rollouts.jsonl."
        )
    listed = "".join(f"<li>{page.text(line)}</li>" for line in lines)
    return f'<ul class="notes">{listed}</ul>' if listed else ""


def _figures(summary: Summary) -> str:
    """Every figure of every mode side by side, then of every language."""
    mode = summary.modes[0] if summary.modes else "strict"
    blocks: list[tuple[str, Scores]] = [(mode, summary)]
    if summary.official is not None:
        blocks.append(("official", summary.official))
    columns = ["", *(f"{name}{unit}" for name, _ in blocks for unit in (f": avg@{summary.trials}", ", 95 % interval"))]
    columns += [f"max@{summary.trials}", f"min@{summary.trials}", "bound", "tasks", "scored"]
    rows = list(_figure_rows(blocks))
    if len(summary.by_language) > 1:
        for language, scores in summary.by_language.items():
            rows += _figure_rows([(language, scores), *(("", Scores()) for _ in blocks[1:])], f" ({language})")
    return page.table(columns, rows, style="figures")


def _figure_rows(blocks: Sequence[tuple[str, Scores]], suffix: str = "") -> Iterator[list[str]]:
    for name in METRICS:
        metrics: list[Metric | None] = [getattr(scores, name) for _, scores in blocks]
        first = metrics[0]
        if first is not None:
            pairs = [text for m in metrics for text in ((f"{m.avg:.3f}", _ci(m)) if m else ("", ""))]
            rest = [f"{first.max:.3f}", f"{first.min:.3f}", f"{first.bound:.3f}", f"{first.tasks}"]
            yield [NAMES[name] + suffix, *pairs, *rest, f"{first.attempts} of {first.planned}"]


def _ci(metric: Metric) -> str:
    return f"{metric.ci95[0]:.3f} to {metric.ci95[1]:.3f}" if metric.ci95 else ""


def _work(summary: Summary) -> str:
    work, costs = summary.work, summary.costs
    names = ("searches", "reads", "subagents", "turns", "width", "depth")
    rows = [[name, f"{getattr(work, name):,.1f}"] for name in names]
    rows.append(["critical steps", f"{work.critical_steps:,.1f}"])
    rows.append(["tokens", f"{work.tokens:,.0f}"])
    if work.seconds is not None and work.critical_seconds is not None:
        rows.append(["seconds", f"{work.seconds:,.1f}"])
        rows.append(["seconds on the critical path", f"{work.critical_seconds:,.1f}"])
    ledger = {**costs.by_role, "judge": costs.judge, "no longer used": costs.abandoned, "total": costs.total}
    paid = [
        [name, f"{usage.calls:,}", f"{usage.prompt_tokens:,}", f"{usage.completion_tokens:,}", f"{usage.usd:,.4f}"]
        for name, usage in ledger.items()
    ]
    means = page.table(["per attempt", "mean"], rows, style="figures")
    bill = page.table(["all attempts", "calls", "prompt tokens", "completion tokens", "US$"], paid, style="figures")
    return f"<div>{means}</div><div>{bill}</div>"


def _cells_bar(cells: Counter[str]) -> str:
    """The share of cells that are right, wrong, missing and invented, as one bar with its figures."""
    total = cells.total()
    if not total:
        return ""
    kinds = ("right", "wrong", "missing", "invented")
    parts = "".join(f'<i class="{kind}" style="flex:{cells[kind]}"></i>' for kind in kinds if cells[kind])
    named = "".join(
        f'<span><i class="{kind}"></i>{kind}: {cells[kind]:,} ({cells[kind] / total:.1%})</span>' for kind in kinds
    )
    return f'<h2>Cells</h2><div class="bar">{parts}</div><div class="legend cells">{named}</div>'


# -------------------------------------------------------------------------------------------------------------- charts


def charts(run: EvalRun, summary: Summary) -> list[Chart]:
    """Figures with intervals; how scores spread over tasks; what a score costs."""
    main = "item_f1" if summary.item_f1 else "answer_f1"
    _, matrix = score_matrix(main, run.setup.modes[0], run.tasks, run.attempts, run.setup.trials)
    means = [float(np.nanmean(row)) for row in matrix if not np.isnan(row).all()]
    found = [_intervals(summary)]
    if means:
        found += [_histogram(means, NAMES[main]), _against_cost(run, main)]
    return [chart for chart in found if any(series.points for series in chart.series)]


def _intervals(summary: Summary) -> Chart:
    modes: list[tuple[str, Scores]] = [(summary.modes[0] if summary.modes else "strict", summary)]
    modes += [("official", summary.official)] if summary.official else []
    names = [name for name in (*BY_MODE, "em") if getattr(summary, name) is not None]
    series = []
    for number, (mode, scores) in enumerate(modes):
        offset = (number - (len(modes) - 1) / 2) * 0.22
        points = [
            Point(at + offset, m.avg, *_ends(m), f"{NAMES[name]}, {mode}: {m.avg:.3f} ({_ci(m)})")
            for at, name in enumerate(names)
            if (m := getattr(scores, name)) is not None
        ]
        series.append(Series(mode, points, "dots"))
    axis = Axis("", low=-0.5, high=len(names) - 0.5, ticks=[(float(i), NAMES[name]) for i, name in enumerate(names)])
    return Chart("Figures with 95 % intervals over tasks", axis, SHARE, series)


def _ends(metric: Metric) -> tuple[float | None, float | None]:
    return metric.ci95 or (None, None)


def _histogram(means: Sequence[float], name: str) -> Chart:
    counts, edges = np.histogram(means, bins=10, range=(0.0, 1.0))
    points = [
        Point(float(edge) + 0.05, float(count), name=f"{edge:.1f} to {edge + 0.1:.1f}: {count} tasks")
        for count, edge in zip(counts, edges[:-1], strict=True)
    ]
    axis = Axis(f"{name} of a task (mean of its trials)", low=0.0, high=1.0)
    tasks = Axis("tasks", low=0.0, high=1.08 * int(counts.max()), step=1.0)
    return Chart("How the tasks spread", axis, tasks, [Series("tasks", points, "bars", bar=0.1)])


def _against_cost(run: EvalRun, metric: str) -> Chart:
    """Every scored attempt: its score against its tokens, or its turns where no tokens were counted."""
    mode, parts, name = run.setup.modes[0], METRICS[metric], NAMES[metric]
    rows = [row for row in run.attempts if mode in row.scores and row.kind in parts]
    scored = [(row, row.scores[mode].get(parts[row.kind])) for row in rows]
    tokens = any(row.usage.tokens for row, _ in scored)
    points = [
        Point(float(max(1, row.usage.tokens if tokens else row.turns)), value, name=f"{row.instance_id}: {value:.3f}")
        for row, value in scored
        if value is not None
    ]
    axis = Axis("tokens" if tokens else "turns of all agents", log=True)
    title = f"{name[0].upper()}{name[1:]} against cost, by attempt"
    return Chart(title, axis, SHARE, [Series("attempts", _thinned(points), "dots")])


def _thinned(points: list[Point], most: int = 2_000) -> list[Point]:
    return points[:: max(1, -(-len(points) // most))]
