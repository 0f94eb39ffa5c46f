"""What a terminal shows while an evaluation runs: a bar with the time left, or plain lines where there is no terminal.

Everything goes to the console that it is given (stderr), so that standard output holds the result alone.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from wideseek.budget import money
from wideseek.evals.run import Progress as Watched

EVERY_S = 10.0  # seconds between two plain lines


class Bar:
    """A bar that follows an evaluation: `with Bar(console) as bar: evaluate(..., watch=bar.watch)`."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.completed:,} of {task.total:,}"), BarColumn(24), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=console, transient=True)
        self._bar: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def watch(self, state: Watched) -> None:
        if self._bar is None:
            self._bar = self._progress.add_task("", total=state.total)
        self._progress.update(self._bar, completed=state.done, description=" · ".join(parts(state)))


class Lines:
    """A line at the start, at the end, and every ten seconds in between: for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said = -EVERY_S

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def watch(self, state: Watched) -> None:
        now = time.monotonic()
        if state.done < state.total and now - self._said < EVERY_S:
            return
        self._said = now
        line = " · ".join([f"{state.done:,} of {state.total:,} attempts", *parts(state)])
        self._console.print(Text(line), soft_wrap=True)


def parts(state: Watched) -> list[str]:
    """What is worth saying of a running evaluation, in few words."""
    said = [f"{name} {mean:.3f}" for name, mean in state.means.items()]
    unscored = {name: count for name, count in state.outcomes.items() if name != "scored"}
    said += [f"{count} unscored ({name})" for name, count in unscored.items()]
    spent, limits = state.budget.spent, state.budget.limits
    if spent.tokens:
        said.append(f"{spent.tokens:,}" + (f" of {limits.tokens:,}" if limits.tokens else "") + " tokens")
    if cost := money(state.budget, 2):
        said.append(cost)
    if limits.calls:
        said.append(f"{spent.calls:,} of {limits.calls:,} model calls")
    said.append(duration(state.seconds))
    if state.seconds_left and state.done < state.total:
        said.append(f"{duration(state.seconds_left)} left")
    return said


def duration(seconds: float) -> str:
    """`4 s`, `3 min`, `2 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
