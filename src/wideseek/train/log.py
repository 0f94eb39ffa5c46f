"""What a training tells: a line per measurement in metrics.jsonl, TensorBoard, a progress bar with the time left.

OUT/metrics.jsonl     {"step": 40, "seconds": 31.2, "loss": 1.03, ...}
OUT/tensorboard/      the same, where TensorBoard is installed
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from wideseek.errors import RunDirError
from wideseek.files import write_whole

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

PLAIN_EVERY = 30.0  # seconds between two lines of progress where standard error is no terminal


class Log:
    """The measurements of one training in `out`, from `step` on: what a killed run measured after it is dropped.

    `step` -1 starts anew: nothing is kept.
    """

    def __init__(self, out: Path, step: int = 0) -> None:
        self.path = out / "metrics.jsonl"
        kept = [line for line in read_metrics(self.path) if line["step"] <= step]
        self._replace(kept)
        self._before = max((line["seconds"] for line in kept), default=0.0)
        self._started = time.monotonic()
        self._board = _board(out / "tensorboard", step)

    @property
    def seconds(self) -> float:
        """Seconds of training, earlier sittings included."""
        return self._before + time.monotonic() - self._started

    def write(self, step: int, **figures: float) -> None:
        """Record figures of a step. They are in the file when this returns. Raises `RunDirError`."""
        line = {"step": step, "seconds": round(self.seconds, 2), **{k: _short(v) for k, v in figures.items()}}
        try:
            with self.path.open("ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")
        except OSError as error:
            raise unwritable(self.path, error) from error
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(name, value, step)
            self._board.flush()  # a resumed training adds later steps only

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def _replace(self, lines: list[dict[str, Any]]) -> None:
        try:
            write_whole({self.path: b"".join(msgspec.json.encode(line) + b"\n" for line in lines)})
        except OSError as error:
            raise unwritable(self.path, error) from error


def unwritable(path: Path, error: OSError) -> RunDirError:
    return RunDirError(f"{path}: cannot be written ({error.strerror}): make room, then go on with --resume")


def _short(value: float) -> float | None:
    """Six digits; JSON has no word for what is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, without a last one that a kill tore."""
    lines: list[dict[str, Any]] = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            lines.append(msgspec.json.decode(line, type=dict[str, Any]))
        except msgspec.DecodeError:
            break
    return lines


def last_held_out(out: Path) -> dict[str, Any]:
    """The last held-out figures of a training; empty where nothing was held out."""
    measured = [line for line in read_metrics(out / "metrics.jsonl") if "held_out_loss" in line]
    return measured[-1] if measured else {}


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    try:
        return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
    except OSError as error:
        raise unwritable(folder, error) from error


class Bar:
    """How far something is, on standard error: a moving bar on a terminal, else a line now and then.

    `total` is how many steps there are, if that is known; `step` is where this sitting begins.
    """

    def __init__(self, title: str, total: int | None, step: int, console: Console, moving: Progress) -> None:
        self._title, self._total, self._console, self._moving = title, total, console, moving
        self._task = moving.add_task(title, total=total, completed=step, told="", left="")
        self._first, self._started = step, time.monotonic()
        self._lined = self._started

    def show(self, step: int, told: str = "") -> None:
        """So many steps are done; `told` is what there is to say about the last."""
        self._moving.update(self._task, completed=step, told=told, left=(left := self._left(step)))
        now = time.monotonic()
        if not self._console.is_terminal and now - self._lined >= PLAIN_EVERY:
            self._lined = now
            of = f" of {self._total:,}" if self._total else ""
            self.say(" · ".join(filter(None, [f"{self._title}: {step:,}{of}", told, left])))

    def restart(self) -> None:
        """What is left is reckoned from here on: what came before was no step."""
        self._started = time.monotonic()

    def say(self, line: str) -> None:
        """A line of its own, above the bar."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _left(self, step: int) -> str:
        if not self._total or not self._first < step < self._total:
            return ""
        each = (time.monotonic() - self._started) / (step - self._first)
        return f"{timedelta(seconds=round(each * (self._total - step)))} left"


@contextmanager
def progress_bar(title: str, steps: int | None = None, step: int = 0, quiet: bool = False) -> Iterator[Bar]:
    """A bar from `step` to `steps`; without `steps`, a count."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True, quiet=quiet)
    told = (TextColumn("{task.fields[told]}"), TextColumn("{task.fields[left]}"))
    counted = (BarColumn(), TextColumn("{task.completed:,} of {task.total:,}")) if steps else ()
    columns = (TextColumn("{task.description}"), *(counted or (TextColumn("{task.completed:,}"),)), *told)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as moving:
        yield Bar(title, steps, step, console, moving)
