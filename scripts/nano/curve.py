"""Draw the curve of a training, or of several that follow each other: loss, and what is exact on held-out rollouts.

python -m nano.curve OUT.png METRICS.jsonl [METRICS.jsonl ...]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from wideseek.train.log import read_metrics

SMOOTH = 10  # lines of the log


def read(paths: list[Path]) -> list[dict[str, Any]]:
    """The lines of all logs, steps and seconds counted on from one to the next."""
    lines: list[dict[str, Any]] = []
    for path in paths:
        step, seconds = (lines[-1]["step"], lines[-1]["seconds"]) if lines else (0, 0.0)
        lines += [
            {**line, "step": line["step"] + step, "seconds": line["seconds"] + seconds} for line in read_metrics(path)
        ]
    return lines


def draw(lines: list[dict[str, Any]], out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.6), constrained_layout=True)
    learnt = [line for line in lines if line.get("loss") is not None]  # it is null where all steps were skipped
    steps, losses = [line["step"] for line in learnt], [line["loss"] for line in learnt]
    smooth = [
        sum(losses[max(0, i - SMOOTH) : i + 1]) / len(losses[max(0, i - SMOOTH) : i + 1]) for i in range(len(losses))
    ]
    left.plot(steps, losses, color="0.8", linewidth=0.8, label="10 steps")
    left.plot(steps, smooth, color="C0", label=f"{10 * SMOOTH} steps")
    measured = [line for line in lines if "held_out_loss" in line]
    left.plot(
        [m["step"] for m in measured],
        [m["held_out_loss"] for m in measured],
        "o-",
        color="C1",
        label="held out",
        markersize=3,
    )
    left.set(yscale="log", xlabel="step", ylabel="loss (nats a token)", title="loss")
    for key, name in (
        ("held_out_tokens", "tokens"),
        ("held_out_turns", "turns"),
        ("held_out_turns_lead", "turns of leads"),
    ):
        right.plot([m["step"] for m in measured], [m[key] for m in measured], "o-", label=name, markersize=3)
    right.set(xlabel="step", ylim=(0, 1.01), title="exact on held-out rollouts (each token after true ones)")
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    draw(read([Path(path) for path in sys.argv[2:]]), Path(sys.argv[1]))
