"""Compare two runs on the tasks that both have scored: is the difference more than chance?

    d_q = mean over B's trials of task q - mean over A's trials        one difference a task
    interval: bootstrap over tasks of mean d_q        p: sign-flip permutation test        Holm over the metrics

Positive is in favour of the second run. Tasks that are asked or scored otherwise in the two runs (another version of a
benchmark under the same id) are left out and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import msgspec
import numpy as np

from wideseek.errors import BadInput
from wideseek.evals.folder import EvalRun
from wideseek.evals.metrics import BY_MODE, METRICS, score_matrix
from wideseek.evals.records import Attempt, task_digest
from wideseek.evals.stats import Floats, bootstrap_interval, holm, sign_flip_test
from wideseek.records import Task
from wideseek.table import Table


class Difference(msgspec.Struct, frozen=True):
    """One figure of two runs over `tasks` shared tasks: their means, B minus A with its 95 % interval, and p-values.

    `p` is two-sided and uncorrected, `p_holm` corrected for the number of figures of this mode. `better` and `worse`
    count the tasks in which B is above and below A.
    """

    metric: str
    mode: str
    tasks: int
    a: float
    b: float
    difference: float
    ci95: tuple[float, float] | None
    p: float
    p_holm: float
    better: int
    worse: int


class Cost(msgspec.Struct, frozen=True):
    """What an attempt took on average in the two runs, over the shared tasks."""

    what: str
    a: float
    b: float


class Comparison(msgspec.Struct, frozen=True):
    """Two runs side by side. `left_out` counts tasks under a shared id that are not the same task."""

    a: str
    b: str
    shared: int
    left_out: int
    differences: list[Difference]
    costs: list[Cost]

    def as_table(self) -> Table:
        """One line a figure, for a screen."""
        columns = ["metric", "A", "B", "B - A", "95 % interval", "p", "p (Holm)", "better", "worse", "tasks"]
        lines = [
            [
                f"{d.metric} ({d.mode})",
                *(f"{d.a:.3f}", f"{d.b:.3f}", f"{d.difference:+.3f}"),
                f"{d.ci95[0]:+.3f} to {d.ci95[1]:+.3f}" if d.ci95 else "",
                *(f"{d.p:.4f}", f"{d.p_holm:.4f}", f"{d.better}", f"{d.worse}", f"{d.tasks}"),
            ]
            for d in self.differences
        ]
        empty = [""] * (len(columns) - 4)
        return Table(
            columns,
            lines + [[c.what, f"{c.a:,.4g}", f"{c.b:,.4g}", f"{c.b - c.a:+,.4g}", *empty] for c in self.costs],
        )


def compare(run_a: EvalRun, run_b: EvalRun, *, resamples: int = 10_000, seed: int = 0) -> Comparison:
    """Every figure that both runs have, in every mode that both have. Raises `BadInput` where they share no task."""
    tasks, left_out = _shared(run_a, run_b)
    if not tasks:
        raise BadInput(
            f"{run_a.folder} ({run_a.setup.bench}) and {run_b.folder} ({run_b.setup.bench}) share no task: "
            "there is nothing to compare"
        )
    modes = [mode for mode in run_a.setup.modes if mode in run_b.setup.modes]
    differences = [d for mode in modes for d in _differences(mode, tasks, run_a, run_b, resamples, seed)]
    return Comparison(
        str(run_a.folder), str(run_b.folder), len(tasks), left_out, differences, _costs(tasks, run_a, run_b)
    )


def _shared(run_a: EvalRun, run_b: EvalRun) -> tuple[list[Task], int]:
    """The tasks of both runs, and how many share an id but nothing else."""
    in_b = {task.instance_id: task for task in run_b.tasks}
    both = [task for task in run_a.tasks if task.instance_id in in_b]
    same = [task for task in both if task_digest(task) == task_digest(in_b[task.instance_id])]
    return same, len(both) - len(same)


def _differences(
    mode: str, tasks: Sequence[Task], run_a: EvalRun, run_b: EvalRun, resamples: int, seed: int
) -> list[Difference]:
    found = []
    for metric in METRICS if mode == "strict" else BY_MODE:
        a, b = _task_means(metric, mode, tasks, run_a), _task_means(metric, mode, tasks, run_b)
        scored = ~(np.isnan(a) | np.isnan(b))
        if scored.any():
            found.append(_difference(metric, mode, a[scored], b[scored], resamples, seed))
    corrected = holm([d.p for d in found])
    return [msgspec.structs.replace(d, p_holm=p) for d, p in zip(found, corrected, strict=True)]


def _task_means(metric: str, mode: str, tasks: Sequence[Task], run: EvalRun) -> Floats:
    """The mean over scored trials, one per task that the metric is about; NaN for a task without a score."""
    _, matrix = score_matrix(metric, mode, tasks, run.attempts, run.setup.trials)
    scored = ~np.isnan(matrix)
    counts = scored.sum(axis=1)
    means: Floats = np.where(counts > 0, np.nan_to_num(matrix).sum(axis=1) / np.maximum(counts, 1), np.nan)
    return means


def _difference(metric: str, mode: str, a: Floats, b: Floats, resamples: int, seed: int) -> Difference:
    d = b - a
    p = sign_flip_test(d, resamples, seed)
    return Difference(
        metric=metric,
        mode=mode,
        tasks=len(d),
        a=float(a.mean()),
        b=float(b.mean()),
        difference=float(d.mean()),
        ci95=bootstrap_interval(d, resamples, seed),
        p=p,
        p_holm=p,
        better=int((d > 0).sum()),
        worse=int((d < 0).sum()),
    )


def _costs(tasks: Sequence[Task], run_a: EvalRun, run_b: EvalRun) -> list[Cost]:
    ids = {task.instance_id for task in tasks}
    a, b = ([row for row in run.attempts if row.instance_id in ids and row.ended] for run in (run_a, run_b))
    if not a or not b:
        return []
    return [
        Cost("tokens", fmean(row.usage.tokens for row in a), fmean(row.usage.tokens for row in b)),
        Cost("US dollars", fmean(row.usage.usd for row in a), fmean(row.usage.usd for row in b)),
        Cost("model calls", _calls(a), _calls(b)),
        Cost("critical steps", fmean(row.critical_steps for row in a), fmean(row.critical_steps for row in b)),
    ]


def _calls(rows: Sequence[Attempt]) -> float:
    return fmean(row.usage.calls for row in rows)
