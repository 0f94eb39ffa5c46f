"""The learning curve as a picture, OUT/curve.png: the reward of every step, smoothed, and the fixed questions' scores.

The reward is noisy, for every step asks other questions; the scores on the same questions tell how good the model is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wideseek.train.log import read_metrics

SMOOTHED = 5  # steps


def draw_curve(out: Path) -> bool:
    """Draw what metrics.jsonl says. False where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    lines = read_metrics(out / "metrics.jsonl")
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    rewards = _points(lines, "reward")
    axes.plot(*_axes(rewards), color="0.8", linewidth=1)
    axes.plot(*_axes(smoothed(rewards)), color="0.4", label=f"reward, mean of {SMOOTHED} steps")
    for name, colour in (("greedy", "tab:blue"), ("sampled", "tab:orange")):
        points = _points(lines, f"eval_{name}_item_f1")
        if points:
            axes.plot(*_axes(points), marker="o", color=colour, label=f"item F1 on fixed questions, {name}")
    axes.set_xlabel("step")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    FigureCanvasAgg(figure)
    figure.savefig(out / "curve.png")
    return True


def _points(lines: list[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    return [(line["step"], line[name]) for line in lines if line.get(name) is not None]


def smoothed(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Each value replaced by the mean of it and those before it, `SMOOTHED` in all."""
    windows = [points[max(0, at + 1 - SMOOTHED) : at + 1] for at in range(len(points))]
    return [(window[-1][0], sum(value for _, value in window) / len(window)) for window in windows]


def _axes(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]
