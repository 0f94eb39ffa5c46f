"""Task files: the one reader and checker of `wideseek eval`, `score` and `train`.

    read_tasks     the tasks of a .jsonl[.gz] file, checked: each with a question, gold and an id of its own
    placed_tasks   the same, one at a time and unchecked, each with its place (file and line)
    check_tasks    raises `BadInput` for tasks that cannot be scored one by one, naming file and line
    check_gold     the same for the gold of one task, wherever it comes from

A line is a task in the train format (`wideseek.records.Task`) or as the sources publish it: `id`, `query`, `answers`,
`golden_answers`, `evaluation` as JSON text, the gold table as CSV text (`answer_csv`) or as a file beside it
(STEM_gold/ID.csv). A task without an id is called after its file and line: `tasks_00007`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from wideseek.errors import BadInput
from wideseek.files import read_text
from wideseek.records import Task, read_jsonl_lines
from wideseek.scoring.spec import Spec, gold_table
from wideseek.scoring.text import accepted_answers
from wideseek.table import Table, norm_column

Placed = tuple[str, Task]
"""A task, and where it stands: a file and a line, or the name of a benchmark."""


def read_tasks(path: Path) -> list[Task]:
    """The checked tasks of a file, in order. Raises `BadInput` in one line: where, what is wrong, what to do."""
    placed = list(placed_tasks(path))
    check_tasks(placed)
    return [task for _, task in placed]


def check_tasks(tasks: Iterable[Placed]) -> None:
    """Raises `BadInput` for an id that is there twice, a task without a question, without gold, with a bad gold."""
    seen: dict[str, str] = {}
    for where, task in tasks:
        name = task.instance_id
        if name in seen:
            first = f" (first: {seen[name]})" if seen[name] != where else ""
            raise BadInput(f"{where}: the id {name!r} occurs twice{first}: give every task an id of its own")
        seen[name] = where
        if not task.question.strip():
            raise BadInput(f"{where}: task {name!r} has no question: write it as `question` or `query`")
        try:
            check_gold(task)
        except BadInput as error:
            raise BadInput(f"{where}: {error}") from error


def check_gold(task: Task) -> None:
    """Raises `BadInput` naming the task if nothing can be scored against it."""
    if not task.answer and not task.meta.get("answer_csv"):
        raise BadInput(
            f"task {task.instance_id!r} has no gold answer, so nothing can be scored against it: "
            "write it as `answer` (a table, or a list of strings) or `answer_csv`"
        )
    if task.kind == "deep":
        accepted_answers(task)
    else:
        Spec.of(task, gold_table(task))


# --------------------------------------------------------------------------------------------------------- reading


def placed_tasks(path: Path) -> Iterator[Placed]:
    """The tasks of one file; gold tables that lie beside it as CSV are read with them."""
    stem = path.name.removesuffix(".gz").removesuffix(".jsonl")
    gold = path.with_name(f"{stem}_gold")
    for nth, (number, record) in enumerate(read_jsonl_lines(path, dict), 1):
        where = f"{path}, line {number}"
        yield where, _task(record, where, f"{stem}_{nth:05d}", gold if gold.is_dir() else None)


def _task(record: dict[str, Any], where: str, default_id: str, gold: Path | None) -> Task:
    """A record of any source as a task. Raises `BadInput` naming the line."""
    record = dict(record)
    record["instance_id"] = str(_first(record, "instance_id", "id", "sample_id", default=default_id))
    if (answers := _first(record, "answer", "answers", "golden_answers")) is not None:
        record["answer"] = answers
    if isinstance(record.get("evaluation"), str):
        record["evaluation"] = _decoded(record["evaluation"], where)
    for name in ("meta", "evaluation"):
        if not isinstance(record.get(name) or {}, dict):
            raise BadInput(f"{where}: `{name}` has to be an object of names and values")
    for name in ("unique_columns", "required"):
        record[name] = record.get(name) or (record.get("evaluation") or {}).get(name) or []
    record["meta"] = {**(record.get("meta") or {}), **_published_gold(record, gold)}
    try:
        task = msgspec.convert(record, Task)
    except msgspec.ValidationError as error:
        raise BadInput(f"{where}: {error}") from error
    if task.kind == "deep" and isinstance(task.answer, str):
        task.answer = [task.answer]
    if task.kind == "wide" and not task.answer and "answer_csv" in task.meta:
        task.answer = _markdown_gold(task, where)
    return task


def _first(record: dict[str, Any], *names: str, default: Any = None) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), default)


def _decoded(text: str, where: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError as error:
        raise BadInput(f"{where}: evaluation: {error}") from error


def _published_gold(record: dict[str, Any], gold: Path | None) -> dict[str, str]:
    """The published CSV text, from the record or from the folder of gold tables: what scoring reads first."""
    if isinstance(record.get("answer_csv"), str):
        return {"answer_csv": _formulas_back(record["answer_csv"])}
    path = gold / f"{record['instance_id']}.csv" if gold else None
    if path is None or not path.is_file():
        return {}
    return {"answer_csv": _formulas_back(read_text(path))}


def _formulas_back(text: str) -> str:
    """The CSV without the apostrophes by which our own files keep formulas from spreadsheets; else as it is."""
    try:
        as_written = Table.from_csv(text.removeprefix("\ufeff"))
        table = Table.from_csv(text.removeprefix("\ufeff"), formulas_as_text=True)
    except BadInput:  # told with its place by what scores with it
        return text
    return text if table == as_written else table.to_csv()


def _markdown_gold(task: Task, where: str) -> str:
    """The published gold as the fenced markdown table that people read, cut to the required columns."""
    try:
        table = Table.from_csv(task.meta["answer_csv"])
    except BadInput as error:
        raise BadInput(f"{where}: gold: {error}") from error
    required = {norm_column(name) for name in task.required}
    kept = [name for name in table.columns if norm_column(name) in required] or table.columns
    return f"```markdown\n{table.select(kept).to_markdown()}\n```"
