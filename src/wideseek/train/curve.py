"""The learning curve as a picture, OUT/curve.png: the reward of every step, smoothed, and the fixed questions' scores.

The reward is noisy, for every step asks other questions; the scores on the same questions tell how good the model is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wideseek.train.log import read_metrics, unwritable

SMOOTHED = 5  # steps
SCORES = {"item_f1": "item F1", "em": "exact match"}
"""What is drawn of the fixed questions, by its name in the log: the first that was measured."""


def draw_curve(out: Path) -> bool:
    """Draw what metrics.jsonl says. False where matplotlib is not installed. Raises `RunDirError`."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        return False
    lines = read_metrics(out / "metrics.jsonl")
    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    rewards = _points(lines, "reward")
    axes.plot(*_axes(rewards), color="0.8", linewidth=1, label="reward of a step")
    axes.plot(*_axes(smoothed(rewards)), color="0.4", label=f"its mean over {SMOOTHED} steps")
    score = next((name for name in SCORES if _points(lines, f"eval_greedy_{name}", f"eval_sampled_{name}")), "item_f1")
    for name, colour in (("greedy", "tab:blue"), ("sampled", "tab:orange")):
        points = _points(lines, f"eval_{name}_{score}")
        if points:
            axes.plot(*_axes(points), marker="o", color=colour, label=f"{SCORES[score]} on fixed questions, {name}")
    axes.set_title(out.resolve().name, fontsize="medium")
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    FigureCanvasAgg(figure)
    try:
        figure.savefig(out / "curve.png")
    except OSError as error:
        raise unwritable(out / "curve.png", error) from error
    return True


def _points(lines: list[dict[str, Any]], *names: str) -> list[tuple[int, float]]:
    return [(line["step"], line[name]) for line in lines for name in names if line.get(name) is not None]


def smoothed(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Each value replaced by the mean of it and those before it, `SMOOTHED` in all."""
    windows = [points[max(0, at + 1 - SMOOTHED) : at + 1] for at in range(len(points))]
    return [(window[-1][0], sum(value for _, value in window) / len(window)) for window in windows]


def _axes(points: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]
