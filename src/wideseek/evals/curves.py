"""Two scaling curves at equal cost.

    y(c) = y_i + (y_j - y_i) · (log c - log c_i) / (log c_j - log c_i)     for c_i <= c <= c_j, neighbours in cost
    d_q(c) = a_q(c) - b_q(c)     per task; its mean is the difference, its bootstrap over tasks the interval

Outside of its own range a curve says nothing: where two curves share no cost there is nothing to compare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wideseek.evals.stats import Floats, bootstrap_interval


class Curve(NamedTuple):
    """One way to spend more: `costs` [points], `scores` [tasks, points], every cost above 0."""

    name: str
    costs: Sequence[float]
    scores: Floats


class AtEqualCost(NamedTuple):
    """Two curves at one cost: their values, a - b, and its 95 % interval over tasks."""

    cost: float
    a: float
    b: float
    difference: float
    ci95: tuple[float, float] | None


def interpolate(costs: Sequence[float], values: Sequence[float], at: float) -> float | None:
    """The value at cost `at`, piecewise linear in log cost; `None` outside of the costs that were tried."""
    weights = interpolation_weights(costs, at)
    return None if weights is None else float(weights @ np.asarray(values, dtype=np.float64))


def interpolation_weights(costs: Sequence[float], at: float) -> Floats | None:
    """How much each point counts at cost `at`; points of equal cost count alike. `None` outside of the costs."""
    weights = np.zeros(len(costs))
    below = max((cost for cost in costs if cost <= at), default=None)
    above = min((cost for cost in costs if cost >= at), default=None)
    if below is None or above is None:
        return None
    share = 0.0 if above == below else math.log(at / below) / math.log(above / below)
    for cost, part in ((below, 1.0 - share), (above, share)):
        points = [i for i, own in enumerate(costs) if own == cost]
        weights[points] += part / len(points)
    return weights


def overlap(a: Sequence[float], b: Sequence[float]) -> tuple[float, float] | None:
    """The costs that both have between their cheapest and dearest points; `None` where there are none."""
    if not len(a) or not len(b):
        return None
    low, high = max(min(a), min(b)), min(max(a), max(b))
    return (low, high) if low <= high else None


def at_equal_cost(a: Curve, b: Curve) -> list[AtEqualCost]:
    """Both curves at every cost that one of them tried and both cover, upwards; empty where they do not overlap.

    Rows of `scores` are the same tasks in both; a task that lacks a score somewhere (NaN) is left out.
    """
    shared = overlap(a.costs, b.costs)
    if shared is None:
        return []
    tried = sorted({cost for cost in (*a.costs, *b.costs) if shared[0] <= cost <= shared[1]})
    complete = np.flatnonzero(~np.isnan(np.hstack([a.scores, b.scores])).any(axis=1))
    found = [_at(a, b, cost, complete) for cost in tried] if complete.size else []
    return [row for row in found if row is not None]


def _at(a: Curve, b: Curve, cost: float, rows: NDArray[np.intp]) -> AtEqualCost | None:
    weights_a, weights_b = interpolation_weights(a.costs, cost), interpolation_weights(b.costs, cost)
    if weights_a is None or weights_b is None:
        return None
    of_a, of_b = a.scores[rows] @ weights_a, b.scores[rows] @ weights_b
    difference = of_a - of_b
    return AtEqualCost(
        cost, float(of_a.mean()), float(of_b.mean()), float(difference.mean()), bootstrap_interval(difference)
    )


def no_overlap(a: Curve, b: Curve, unit: str) -> str:
    """Why there is nothing to compare, in words."""
    spans = [f"{curve.name} {min(curve.costs):,.0f} to {max(curve.costs):,.0f}" for curve in (a, b)]
    return f"No comparison: the curves share no cost ({unit} per attempt: {', '.join(spans)})."
