"""What a person sees in a terminal: the team at work, and the table with its sources.

    LiveTree     the lead and its subagents, redrawn four times a second (stderr is a terminal)
    PlainLines   one line per change (stderr is a pipe or a file)
    show_result  the table, its sources, what is not supported (stdout)

Both progress views only read the growing rollout: what they show is derived from the records, never told by the agents.
Foreign text is printed as it is: the console that it goes to cleans it (`wideseek.console`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from wideseek.api import Result, Watch
from wideseek.budget import money
from wideseek.console import CleanConsole
from wideseek.evidence import Status
from wideseek.export import MARKS, legend, readers, summary_line, with_sources
from wideseek.records import Completion, Rollout, Trajectory

_MARKS = {None: ("…", "yellow"), "answer": ("✓", "green"), "error": ("✗", "red")}
_OTHER_STOP = ("■", "magenta")
OVERLONG = 30  # characters of a word that may be broken over lines


class LiveTree:
    """The team as a tree that fits the terminal: running agents first, finished ones as far as there is room."""

    def __init__(self, console: CleanConsole) -> None:
        self._console = console
        self._live = Live(get_renderable=lambda: self, console=console, refresh_per_second=4, transient=True)
        self._watch: Watch | None = None
        self._clock = _Clock()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def watch(self, watch: Watch) -> None:
        self._watch = watch

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._watch is None or not self._watch.rollout.trajectories:
            yield Text("starting …", style="dim")
            return
        runs = list(self._watch.rollout.trajectories)
        room = max(3, options.max_height - 4)
        yield Text(_totals(self._watch, runs), style="bold", no_wrap=True, overflow="ellipsis")
        grid = RichTable.grid(padding=(0, 1))
        for justify in ("left", "left", "right", "right", "right"):
            grid.add_column(justify=justify, no_wrap=True, overflow="ellipsis")
        grid.columns[1].ratio = 1
        grid.expand = True
        shown = _most_telling(runs, room)
        for run in shown:
            grid.add_row(*self._row(run))
        yield grid
        if len(shown) < len(runs):
            yield Text(f"   … and {len(runs) - len(shown)} more", style="dim")

    def _row(self, run: Trajectory) -> list[RenderableType]:
        mark, style = _MARKS.get(run.stop, _OTHER_STOP)
        branch = "" if run.parent is None else "├─ "
        name = Text.assemble((branch, "dim"), (mark, style), " ", (run.path.rpartition("/")[2], "bold"))
        seconds = run.seconds if run.stop else self._clock.seconds(run.path)
        return [
            name,
            Text(" ".join(run.prompt.split()), style="" if run.stop is None else "dim"),
            Text(_doing(run), style=style),
            Text(f"{run.usage.tokens:,} tok" if run.usage.tokens else ""),
            Text(f"{seconds:.0f} s"),
        ]


class PlainLines:
    """One line whenever an agent starts, delegates or stops."""

    def __init__(self, console: CleanConsole) -> None:
        self._console = console
        self._said: set[tuple[str, str]] = set()
        self._watch: Watch | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._say_news()

    def watch(self, watch: Watch) -> None:
        self._watch = watch

    def _follow(self) -> None:
        while not self._ended.wait(0.5):
            self._say_news()

    def _say_news(self) -> None:
        if self._watch is None or not self._watch.rollout.trajectories or not self._watch.rollout.lead.turns:
            return  # until a model has answered there is no news: a wrong key or address has a line of its own
        for run in list(self._watch.rollout.trajectories):
            for event, text in _events(run):
                if (run.path, event) not in self._said:
                    self._said.add((run.path, event))
                    self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def show_result(result: Result, console: CleanConsole) -> None:
    """The table with a sources column, the pages behind the numbers, what the marks say, notes, and a summary line.

    Where the terminal is too narrow for the columns, each row becomes a block of `column: value` lines. A failure
    without a row is told in its own words alone.
    """
    if not result.table.rows and result.status != "complete":
        said = result.reason if result.status == "failed" else f"Nothing was found yet: {result.reason}."
        console.print(Text(said), soft_wrap=not console.is_terminal)
        return
    if console.is_terminal and _columns_fit(result, console.width):
        console.print(_grid(result))
    elif console.is_terminal:
        _print_blocks(result, console)
    else:
        console.print(with_sources(result)[0].to_markdown(), markup=False, highlight=False, soft_wrap=True)
        console.print()
    _print_pages(result, console)
    for mark, meaning in legend(result):
        shown = f"{mark} {meaning}" if console.is_terminal else meaning
        console.print(Text(shown, style="dim"), soft_wrap=not console.is_terminal)
    for note in result.notes:
        console.print(f"note: {escape(note)}", style="yellow", highlight=False, soft_wrap=not console.is_terminal)
    sound = result.status == "complete" and result.levels.supported == result.levels.found
    style = "green" if sound else "yellow"
    console.print(Text(summary_line(result), style=f"bold {style}"), soft_wrap=not console.is_terminal)


def show_agents(rollout: Rollout, console: CleanConsole) -> None:
    """One line per agent: its path, how it stopped, its turns, tokens and time, its question or subtask."""
    grid = RichTable("agent", "stop", "turns", "read", "tokens", "seconds", "question or subtask")
    for run in rollout.trajectories:
        numbers = (f"{len(run.turns)}", f"{len(run.read)}", f"{run.usage.tokens:,}", f"{run.seconds:.1f}")
        grid.add_row(Text(run.path), Text(run.stop or ""), *numbers, Text(_short(run.prompt)))
    console.print(grid)


def show_trajectory(run: Trajectory, console: CleanConsole) -> None:
    """What an agent was told, thought, said and did, in order."""
    for message in run.messages():
        if isinstance(message, Completion):
            if message.reasoning:
                console.print(Text(message.reasoning, style="dim italic"))
            console.print(Text(f"── {run.role} says", style="bold green"))
            console.print(Text(message.text))
            for call in message.tool_calls:
                console.print(Text(f"→ {call.name} {json.dumps(call.arguments, ensure_ascii=False)}", style="cyan"))
        else:
            console.print(Text(f"── {message.role}{' (error)' if message.error else ''}", style="bold blue"))
            console.print(Text(message.text))
    console.print(Text(f"── stopped: {run.stop}{f': {run.error}' if run.error else ''}", style="bold"))


def _grid(result: Result) -> RichTable:
    table, _ = with_sources(result)
    grid = RichTable(show_lines=False, header_style="bold")
    for column in table.columns:
        grid.add_column(escape(column), overflow="fold")
    for row, evidence in zip(table.rows, result.evidence, strict=True):
        cells = [_styled(value, cell.status) for value, cell in zip(row, evidence, strict=False)]
        grid.add_row(*cells, Text(row[-1], style="dim"))
    return grid


def _print_blocks(result: Result, console: CleanConsole) -> None:
    table, _ = with_sources(result)
    for row, evidence in zip(table.rows, result.evidence, strict=True):
        for column, value, cell in zip(table.columns, row, evidence, strict=False):
            console.print(Text.assemble((f"{column}: ", "bold"), _styled(value, cell.status)))
        console.print(Text(f"{table.columns[-1].strip()}: {row[-1]}", style="dim"))
        console.print()


def _print_pages(result: Result, console: CleanConsole) -> None:
    _, pages = with_sources(result)
    read_by = readers(result)
    for number, url in enumerate(pages, 1):
        console.print(
            Text.assemble(
                f"[{number}] ", (url, "underline" if console.is_terminal else ""), f"  read by {read_by[url]}"
            ),
            style="dim",
            soft_wrap=not console.is_terminal,
        )


_LEVEL_STYLES: dict[Status, str] = {"mentioned": "bold cyan", "unsupported": "bold yellow"}


def _styled(value: str, status: Status) -> Text:
    return Text.assemble(value, (MARKS[status], _LEVEL_STYLES[status])) if status in MARKS else Text(value)


def _columns_fit(result: Result, width: int) -> bool:
    """Whether no word has to be broken (but overlong ones), and a row takes six lines at most."""
    table, _ = with_sources(result)
    room = width - 3 * len(table.columns) - 1
    columns = [[name, *cells] for name, *cells in zip(table.columns, *table.rows, strict=True)]
    longest_words = [max(len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    longest_cells = [max(map(len, column)) for column in columns]
    return sum(min(OVERLONG, length) + 1 for length in longest_words) <= room and sum(longest_cells) <= 6 * room


def _totals(watch: Watch, runs: list[Trajectory]) -> str:
    subagents = [run for run in runs if run.parent]
    running = sum(run.stop is None for run in subagents)
    failed = sum(run.stop not in (None, "answer") for run in subagents)
    spent, limits = watch.budget.spent, watch.budget.limits
    parts = [
        f"{watch.budget.seconds:.0f}" + (f" of {limits.seconds:.0f}" if limits.seconds else "") + " s",
        f"{spent.calls} of {limits.calls} model calls" if limits.calls else _counted(spent.calls, "model call"),
        f"{spent.tokens:,}" + (f" of {limits.tokens:,}" if limits.tokens else "") + " tokens",
    ]
    if cost := money(watch.budget, 3):
        parts.append(cost)
    if subagents:
        parts.append(f"subagents: {running} running, {len(subagents) - running - failed} done, {failed} failed")
    return " · ".join(parts)


def _most_telling(runs: list[Trajectory], room: int) -> list[Trajectory]:
    """The lead, what runs, what failed, then the latest finished: in the order they were started."""
    if len(runs) <= room:
        return runs
    ranked = sorted(runs, key=lambda run: (bool(run.parent), run.stop is not None, run.stop == "answer"))
    kept = {run.path for run in ranked[:room]}
    return [run for run in runs if run.path in kept]


def _doing(run: Trajectory) -> str:
    turns = _counted(len(run.turns), "turn")
    return (
        f"turn {len(run.turns) + 1}" if run.stop is None else turns if run.stop == "answer" else f"{run.stop}, {turns}"
    )


def _events(run: Trajectory) -> Iterator[tuple[str, str]]:
    """(what happened, the line that says it) for everything that a plain log tells of an agent."""
    yield "start", f"{run.path}: started: {_short(run.prompt)}"
    if run.parent is None:
        for number, turn in enumerate(run.turns, 1):
            if turn.completion.tool_calls:
                yield (
                    f"turn {number}",
                    f"{run.path}: turn {number}: {_counted(len(turn.completion.tool_calls), 'call')}",
                )
    if run.stop:
        turns, why = _counted(len(run.turns), "turn"), f": {run.error}" if run.error else ""
        yield (
            "stop",
            f"{run.path}: {run.stop} after {turns}, {run.usage.tokens:,} tokens, {run.seconds:.1f} s{why}",
        )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _short(text: str, limit: int = 100) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


class _Clock:
    """Seconds since an agent was first seen: records hold an agent's time only once it has stopped."""

    def __init__(self) -> None:
        self._first: dict[str, float] = {}

    def seconds(self, path: str) -> float:
        now = time.monotonic()
        return now - self._first.setdefault(path, now)
