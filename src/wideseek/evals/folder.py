"""The run folder of an evaluation: what `run` writes while it works, and what everybody else reads.

    RunFolder   open (new, or where a killed run stopped) -> save an attempt as it ends -> close
    EvalRun     a folder that was read: setup, tasks, attempts, summary; rollouts one at a time, from the disk

What has been saved survives the process: every line is in its file before the attempt's journal is removed.
Memory holds the attempts' rows and one digest per page, never a rollout that has ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import msgspec

from wideseek.errors import BadInput, RunDirError
from wideseek.evals.records import FORMAT, Attempt, Setup, Summary, tasks_digest
from wideseek.files import open_own, open_regular, refuse_link, write_own
from wideseek.journal import Journal, locked
from wideseek.records import Page, Rollout, Score, Task, Usage, decoded_record, read_record

T = TypeVar("T")
Place = tuple[str, int]
"""The task's id and the trial's number, from 0."""

MAY_CHANGE = ("budget", "chat", "prices", "providers")
"""Sections of the configuration that may differ when a run goes on: they do not change what is evaluated."""

_encoder = msgspec.json.Encoder()


class RunFolder:
    """A run folder that is being written; it holds the folder's lock. Use as a context manager.

    Raises `RunDirError` for a folder that another run holds, that cannot be read or written, or that holds the
    evaluation of something else.
    """

    def __init__(self, path: Path, setup: Setup, tasks: Sequence[Task]) -> None:
        self.path, self.setup, self.tasks = path, setup, tasks
        setup.tasks, setup.digest = len(tasks), tasks_digest(tasks)
        self.notes: dict[Path, str] = {}
        self._numbers = {task.instance_id: number for number, task in enumerate(tasks)}
        self._lock = locked(path)
        try:
            refuse_link(path / "attempts")
            self._claim()
            self._rollouts = _Lines(path / "rollouts.jsonl")
            self._scores = _Lines(path / "scores.jsonl")
            self._details = _Lines(path / "details.jsonl")
            self._pages = _Lines(path / "pages.jsonl")
            self.attempts = {row.place: row for _, row in _offsets(path / "scores.jsonl", Attempt)}
            self._page_digests = {page.url: _digest(page) for _, page in _offsets(path / "pages.jsonl", Page)}
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for lines in (self._rollouts, self._scores, self._details, self._pages):
            lines.close()
        self._lock.release()

    @property
    def places(self) -> list[tuple[Task, int]]:
        """Every attempt that belongs to the run: all tasks once, then all a second time ..."""
        return [(task, trial) for trial in range(self.setup.trials) for task in self.tasks]

    def is_ended(self, task: Task, trial: int) -> bool:
        attempt = self.attempts.get((task.instance_id, trial))
        return attempt is not None and attempt.ended

    @contextlib.contextmanager
    def journal(self, task: Task, trial: int) -> Iterator[Journal]:
        """The attempt's own journal: what it holds is not done again."""
        with self._opened(self._attempt_folder(task.instance_id, trial)) as journal:
            yield journal

    def spent(self) -> Usage:
        """What the run has cost so far: its ended attempts, and the journals of the others."""
        total = sum((row.spent + row.judge_usage for row in self.attempts.values() if row.ended), Usage())
        ended = {self._attempt_folder(*place) for place, row in self.attempts.items() if row.ended}
        for folder in sorted((self.path / "attempts").glob("*")):
            if folder not in ended:
                total = total + self._journal_usage(folder)
        return total

    def journal_usage(self, task: Task, trial: int) -> Usage:
        """What the calls in the attempt's journal have cost: those that no longer fitted after a resume too."""
        return self._journal_usage(self._attempt_folder(task.instance_id, trial))

    def _journal_usage(self, folder: Path) -> Usage:
        with self._opened(folder) as journal:
            return journal.spent()

    @contextlib.contextmanager
    def _opened(self, folder: Path) -> Iterator[Journal]:
        """The journal in `folder`; what it skipped is kept in `notes`."""
        refuse_link(folder)
        with Journal(folder) as journal:
            yield journal
        if journal.note:
            self.notes[folder] = journal.note

    def save_rollout(self, rollout: Rollout) -> None:
        """Append the rollout, its pages apart, each page once."""
        own: dict[str, Page] = {}
        for url, page in rollout.pages.items():
            digest = _digest(page)
            if url not in self._page_digests:
                self._page_digests[url] = digest
                self._pages.append(page)
            elif self._page_digests[url] != digest:  # the page has changed since another attempt read it
                own[url] = page
        self._rollouts.append(msgspec.structs.replace(rollout, pages=own))

    def save_attempt(self, attempt: Attempt, scores: dict[str, Score]) -> None:
        """Append the attempt's row and its scores by mode; the journal of one that has ended is removed."""
        if scores:
            self._details.append(Details(attempt.instance_id, attempt.trial, scores))
        self._scores.append(attempt)
        self.attempts[attempt.place] = attempt
        if attempt.ended:
            shutil.rmtree(self._attempt_folder(*attempt.place), ignore_errors=True)

    def save_summary(self, summary: Summary) -> None:
        write_whole(self.path / "summary.json", summary)

    def read_rollout(self, task: Task, trial: int) -> Rollout:
        """An ended attempt's rollout, to score it again."""
        return EvalRun(self.path, self.setup, list(self.tasks), [], None).rollout(task.instance_id, trial)

    def _attempt_folder(self, instance_id: str, trial: int) -> Path:
        return self.path / "attempts" / f"{self._numbers[instance_id]:05d}-{trial}"

    def _claim(self) -> None:
        """Make the folder this evaluation's: a run is resumed with the tasks and the setup that it began with."""
        if (self.path / "eval.json").exists():
            before = _read_json(self.path / "eval.json", Setup)
            self.setup.today = self.setup.today or before.today
            for name, old, new in _differences(before, self.setup):
                raise RunDirError(f"{self.path}: {name} was {old!r}, now it is {new!r}: choose another --out")
        else:
            self.setup.today = self.setup.today or date.today().isoformat()
            lines = b"".join(_encoder.encode(task) + b"\n" for task in self.tasks)
            write_own(self.path / "tasks.jsonl", lines, GO_ON)
        write_whole(self.path / "eval.json", self.setup)


def _differences(before: Setup, now: Setup) -> Iterator[tuple[str, Any, Any]]:
    """(what, what it was, what it is) for everything that makes two evaluations differ."""
    for name in ("format", "bench", "workflow", "model", "sub_model", "seed", "modes", "judge", "today"):
        if getattr(before, name) != getattr(now, name):
            yield name, getattr(before, name), getattr(now, name)
    if before.digest != now.digest:
        yield "the set of tasks", f"{before.tasks} with digest {before.digest}", f"{now.tasks} with digest {now.digest}"
    for section in sorted({*before.config, *now.config} - {*MAY_CHANGE}):
        if before.config.get(section) != now.config.get(section):
            yield section, before.config.get(section), now.config.get(section)
    if now.trials < before.trials:
        yield "trials", before.trials, now.trials


# --------------------------------------------------------------------------------------------------------- reading


@dataclass
class EvalRun:
    """An evaluation that was read from its folder.

    `attempts` holds the last row of each place, in the order of tasks and trials; `summary` is `None` for a run that
    was killed before its first end (`metrics.summarise` makes one).
    """

    folder: Path
    setup: Setup
    tasks: list[Task]
    attempts: list[Attempt]
    summary: Summary | None

    def rollout(self, instance_id: str, trial: int) -> Rollout:
        """One attempt's rollout, its pages put back. Raises `RunDirError` where there is none."""
        offset = self._offsets.get((instance_id, trial))
        if offset is None:
            raise RunDirError(f"{self.folder}: no rollout of task {instance_id!r}, trial {trial}")
        return self._with_pages(_line_at(self.folder / "rollouts.jsonl", offset, Rollout))

    def rollouts(self) -> Iterator[Rollout]:
        """The rollout of every attempt that has one, in the order of tasks and trials; one is held at a time."""
        for task in self.tasks:
            for trial in sorted(trial for name, trial in self._offsets if name == task.instance_id):
                yield self.rollout(task.instance_id, trial)

    def scores(self, instance_id: str, trial: int) -> dict[str, Score]:
        """One attempt's scores by mode with all their details, row by row; empty where it has none."""
        offset = self._detail_offsets.get((instance_id, trial))
        return {} if offset is None else _line_at(self.folder / "details.jsonl", offset, Details).scores

    def _with_pages(self, rollout: Rollout) -> Rollout:
        urls = {url for run in rollout.trajectories for url in run.read} - {*rollout.pages}
        for url in sorted(urls & {*self._page_offsets}):
            rollout.pages[url] = _line_at(self.folder / "pages.jsonl", self._page_offsets[url], Page)
        return rollout

    @cached_property
    def _offsets(self) -> dict[Place, int]:
        """Where the last rollout of each place begins in its file."""
        rows = _offsets(self.folder / "rollouts.jsonl", _RolloutPlace)
        return {(row.task.instance_id, row.trial): offset for offset, row in rows}

    @cached_property
    def _detail_offsets(self) -> dict[Place, int]:
        rows = _offsets(self.folder / "details.jsonl", _DetailsPlace)
        return {(row.instance_id, row.trial): offset for offset, row in rows}

    @cached_property
    def _page_offsets(self) -> dict[str, int]:
        return {row.url: offset for offset, row in _offsets(self.folder / "pages.jsonl", _PageUrl)}


class Details(msgspec.Struct):
    """One attempt's scores by mode, with which rows and cells are wrong, missing and invented."""

    instance_id: str
    trial: int
    scores: dict[str, Score]


class _DetailsPlace(msgspec.Struct):
    instance_id: str
    trial: int


class _TaskId(msgspec.Struct):
    instance_id: str = ""


class _RolloutPlace(msgspec.Struct):
    task: _TaskId
    trial: int = 0


class _PageUrl(msgspec.Struct):
    url: str


def load_run(folder: str | Path) -> EvalRun:
    """Read the run folder of an evaluation, ended or not. Raises `RunDirError` where there is none."""
    folder = Path(folder)
    if not (folder / "eval.json").is_file():
        raise RunDirError(f"{folder}: no evaluation here (eval.json is missing): make one with `wideseek eval`")
    setup = _read_json(folder / "eval.json", Setup)
    if setup.format > FORMAT:
        raise RunDirError(f"{folder}: is of format {setup.format}, this wideseek reads {FORMAT}: upgrade wideseek")
    tasks = [task for _, task in _offsets(folder / "tasks.jsonl", Task)]
    rows = {row.place: row for _, row in _offsets(folder / "scores.jsonl", Attempt)}
    places = [(task.instance_id, trial) for task in tasks for trial in range(setup.trials)]
    summary = folder / "summary.json"
    return EvalRun(
        folder,
        setup,
        tasks,
        [rows[place] for place in places if place in rows],
        _read_json(summary, Summary) if summary.is_file() else None,
    )


def write_whole(path: Path, record: Any) -> None:
    """Write a record whole or not at all, indented for readers. Raises `RunDirError`."""
    write_own(path, msgspec.json.format(_encoder.encode(record), indent=1) + b"\n", GO_ON)


def _read_json(path: Path, type: type[T]) -> T:
    try:
        return read_record(path, type)
    except FileNotFoundError as error:
        raise RunDirError(f"{path}: is missing") from error


def _line_at(path: Path, offset: int, type: type[T]) -> T:
    with _reading(path) as lines:
        lines.seek(offset)
        return decoded_record(lines.readline(), msgspec.json.Decoder(type), f"{path}, at byte {offset}", offset)


def _offsets(path: Path, type: type[T]) -> Iterator[tuple[int, T]]:
    """(offset, record) of every whole line; a torn last line is left out."""
    if not path.exists():
        return
    decoder, offset = msgspec.json.Decoder(type), 0
    with _reading(path) as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                return
            yield offset, decoded_record(line, decoder, f"{path}, at byte {offset}", offset)
            offset += len(line)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[IO[bytes]]:
    """The open file. Whatever is wrong with it, or with what is read from it, is a `RunDirError`."""
    try:
        with open_regular(path) as file:
            yield file
    except OSError as error:
        raise RunDirError(f"{path}: cannot be read: {error.strerror or error}") from error
    except RunDirError:
        raise
    except BadInput as error:
        raise RunDirError(str(error)) from error


class _Lines:
    """A file of JSON lines that grows at its end; a line torn by a kill is cut off when it is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = open_own(path)
            os.ftruncate(self._file, _whole(path))
        except OSError as error:
            raise _unwritable(path, error) from error

    def append(self, record: Any) -> None:
        """The line is in the file (not only in this process) when this returns. Raises `RunDirError`: disk full."""
        line = memoryview(_encoder.encode(record) + b"\n")
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def close(self) -> None:
        os.close(self._file)


def _whole(path: Path) -> int:
    """The length of the file up to its last line end."""
    step = 1 << 16
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - step)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


GO_ON = "make room, then run the same command again with the same --out; what was recorded is kept"


def _unwritable(path: Path, error: OSError) -> RunDirError:
    return RunDirError(f"{path}: cannot be written ({error.strerror}): {GO_ON}")


def _digest(page: Page) -> bytes:
    return hashlib.blake2b(f"{page.title}\n{page.text}".encode(), digest_size=12).digest()
