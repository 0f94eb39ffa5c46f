"""What a training tells: a line per measurement in metrics.jsonl, TensorBoard, a progress bar with the time left.

OUT/metrics.jsonl     {"step": 40, "seconds": 31.2, "loss": 1.03, ...}
OUT/tensorboard/      the same, where TensorBoard is installed
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Log:
    """The measurements of one training in `out`, from `step` on: what a killed run measured after it is dropped."""

    def __init__(self, out: Path, step: int = 0) -> None:
        self.path = out / "metrics.jsonl"
        kept = [line for line in read_metrics(self.path) if line["step"] <= step]
        self.path.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")
        self._before = max((line["seconds"] for line in kept), default=0.0)
        self._started = time.monotonic()
        self._board = _board(out / "tensorboard", step)

    @property
    def seconds(self) -> float:
        """Seconds of training, earlier sittings included."""
        return self._before + time.monotonic() - self._started

    def write(self, step: int, **figures: float) -> None:
        """Record figures of a step. They are in the file when this returns."""
        line = {"step": step, "seconds": round(self.seconds, 2), **{k: _short(v) for k, v in figures.items()}}
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, without a last one that a kill tore."""
    lines: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)  # type: ignore[no-untyped-call]


class Bar:
    """The progress bar of a training: `told` is what stands at its end."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def show(self, step: int, told: str) -> None:
        self._progress.update(self._task, completed=step, told=told)

    def say(self, line: str) -> None:
        self._progress.console.print(line, highlight=False)


@contextmanager
def progress_bar(title: str, steps: int, step: int, quiet: bool = False) -> Iterator[Bar]:
    """A bar on standard error. Where that is no terminal, `say` prints plain lines and the bar stays away."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, quiet=quiet)
    columns = [
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    ]
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=False) as progress:
        yield Bar(progress, progress.add_task(title, total=steps, completed=step, told=""))
